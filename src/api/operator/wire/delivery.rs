//! Deliveries of all accounts, and the request that each sends.

use poem_openapi::Object;
use serde::Serialize;

use crate::{
    api::{
        history::{Attempt, DeliveryStatus},
        operator::on_wire,
        reasons::ErrorClass,
    },
    domain::{
        attempt_headers::{AttemptHeaders, USER_AGENT},
        delivery,
        profile::Profiles,
        timestamp::Timestamp,
    },
    error::{Error, Result},
    store::search::Listed,
};

/// What stands where a signature would.
pub(in crate::api) const MASK: &str = "***";

/// A delivery, and whose it is.
#[derive(Debug, Serialize, Object)]
pub(in crate::api::operator) struct DeliveryReport {
    /// Its id.
    delivery_id: String,
    /// The account it belongs to.
    account_id: String,
    /// The vendor it belongs to.
    profile: String,
    /// The webhook it goes to.
    webhook_id: String,
    /// Where that is now.
    url: String,
    /// The event it carries: the `webhook-id` of its attempts.
    event_id: String,
    /// The event's name.
    event: String,
    /// Where it is in its life.
    status: DeliveryStatus,
    /// Attempts begun.
    attempt_count: u32,
    /// When it was made, RFC 3339, UTC.
    created_at: String,
    /// When its next attempt is due; null if none is.
    next_attempt_at: Option<String>,
    /// The HTTP status of the last answer; null if there was none.
    response_status: Option<u16>,
    /// Why the last attempt failed; null if it did not.
    error: Option<ErrorClass>,
    /// The delivery that this one repeats; null if it is no replay.
    replay_of: Option<String>,
    /// Whether it carries sample data (a test).
    test: bool,
}

impl DeliveryReport {
    pub(in crate::api::operator) fn new(listed: &Listed, profiles: &Profiles) -> Self {
        let delivery = &listed.delivery;
        Self {
            delivery_id: delivery.id.to_string(),
            account_id: listed.account_id.clone(),
            profile: listed.profile.clone(),
            webhook_id: on_wire(profiles, &listed.profile, delivery.endpoint),
            url: listed.url.clone(),
            event_id: delivery.event.to_string(),
            event: delivery.kind.clone(),
            status: delivery.state.into(),
            attempt_count: delivery.attempts,
            created_at: delivery.created_at.to_string(),
            next_attempt_at: delivery.due_at.map(|at| at.precise()),
            response_status: delivery.last_status,
            error: delivery.last_failure.map(ErrorClass::from),
            replay_of: delivery.replay_of.map(|id| id.to_string()),
            test: delivery.test,
        }
    }
}

/// One page of deliveries, newest first.
#[derive(Debug, Serialize, Object)]
pub(in crate::api::operator) struct DeliveryReportPage {
    /// The deliveries.
    pub(in crate::api::operator) deliveries: Vec<DeliveryReport>,
    /// Send it as `cursor` to get the next page; null on the last. A page that is not full need not be the last.
    pub(in crate::api::operator) next_cursor: Option<String>,
}

/// A header of a request.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "RequestHeader")]
pub(in crate::api) struct Header {
    /// Its name, in the letter case in which it is sent.
    pub(in crate::api) name: String,
    /// Its value; of a signature only its kind, for the rest is as good as a secret.
    pub(in crate::api) value: String,
}

/// A request to a receiver.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "DeliveryRequest")]
pub(in crate::api) struct Request {
    /// Always `POST`.
    method: String,
    /// The URL of the webhook as it is now: an earlier attempt may have gone elsewhere.
    url: String,
    /// The headers of the last attempt, or of the first if there was none; `host` and `content-length` are added on the way.
    pub(in crate::api) headers: Vec<Header>,
    /// The body, the same on every attempt.
    pub(in crate::api) body: String,
}

impl Request {
    pub(in crate::api) fn new(
        listed: &Listed,
        attempts: &[delivery::Attempt],
        body: &str,
        profiles: &Profiles,
        now: Timestamp,
    ) -> Result<Self> {
        let unknown = || Error::Internal(format!("there is no profile '{}'", listed.profile));
        let profile = profiles.get(&listed.profile).ok_or_else(unknown)?;
        let last = attempts.last();
        let headers = AttemptHeaders {
            profile,
            event: listed.delivery.event,
            delivery: listed.delivery.id,
            attempt: last.map_or(1, |last| last.number),
            at: last.map_or(now, |last| last.started_at),
            test: listed.delivery.test,
            signature: Some(format!("sha256={MASK}")),
            standard: format!("v1,{MASK}"),
        };
        let header = |(name, value): (&str, String)| Header { name: name.to_owned(), value };
        let mut headers: Vec<Header> = headers.list().into_iter().map(header).collect();
        headers.push(header(("user-agent", USER_AGENT.to_owned())));
        let webhook = listed.delivery.endpoint.on_wire(profile.endpoint_prefix);
        Ok(Self {
            method: "POST".to_owned(),
            url: listed.url.clone(),
            headers,
            body: (profile.envelope)(&webhook, body).text(),
        })
    }
}

/// A delivery with its attempts and its request.
#[derive(Debug, Serialize, Object)]
pub(in crate::api::operator) struct DeliveryReportDetails {
    /// The delivery.
    #[oai(flatten)]
    #[serde(flatten)]
    pub(in crate::api::operator) delivery: DeliveryReport,
    /// Every attempt that has ended, in order.
    pub(in crate::api::operator) attempts: Vec<Attempt>,
    /// What is sent; null if its stored body is damaged, which is never sent.
    pub(in crate::api::operator) request: Option<Request>,
}
