//! Deliveries of all accounts, and the request that each sends.

use poem_openapi::Object;
use serde::Serialize;

use crate::{
    api::openapi::{Attempt, DeliveryStatus, ErrorClass},
    app::{
        Page,
        deliveries::{DeliveryDetails, Listed, Preview},
    },
    domain::profile::Profiles,
};

/// A delivery, with its account.
#[derive(Debug, Serialize, Object)]
pub(crate) struct DeliveryReport {
    /// Its id.
    delivery_id: String,
    /// The account of the webhook.
    account_id: String,
    /// The profile of the account.
    profile: String,
    /// The webhook that it goes to.
    webhook_id: String,
    /// The present URL of the webhook.
    url: String,
    /// The id of its event: the `webhook-id` of its attempts.
    event_id: String,
    /// The event's name.
    event: String,
    /// Its status.
    status: DeliveryStatus,
    /// The number of attempts that have begun.
    attempt_count: u32,
    /// When it was made: RFC 3339, UTC.
    created_at: String,
    /// When its next attempt is due; null if none is.
    next_attempt_at: Option<String>,
    /// The HTTP status of the last answer; null if there was none.
    response_status: Option<u16>,
    /// Why the last attempt failed; null if it did not.
    error: Option<ErrorClass>,
    /// The delivery that this one replays; null if it is no replay.
    replay_of: Option<String>,
    /// The newest replay of it, which may repeat another replay of it; null if there is none.
    newest_replay: Option<String>,
    /// The status of that replay; null if there is none.
    newest_replay_status: Option<DeliveryStatus>,
    /// Whether it carries sample data (a test).
    test: bool,
}

impl DeliveryReport {
    pub(crate) fn new(listed: &Listed, profiles: &Profiles) -> Self {
        let delivery = &listed.delivery;
        Self {
            delivery_id: delivery.id.to_string(),
            account_id: listed.account_id.clone(),
            profile: listed.profile.clone(),
            webhook_id: profiles.on_wire(&listed.profile, delivery.endpoint),
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
            newest_replay: delivery.newest_replay.map(|replay| replay.id.to_string()),
            newest_replay_status: delivery.newest_replay.map(|replay| replay.state.into()),
            test: delivery.test,
        }
    }
}

/// One page of deliveries, newest first.
#[derive(Debug, Serialize, Object)]
pub(crate) struct DeliveryReportPage {
    /// The deliveries.
    pub(crate) deliveries: Vec<DeliveryReport>,
    /// The `cursor` of the next page; null on the last page. A page with few entries may not be the last.
    pub(crate) next_cursor: Option<String>,
}

impl DeliveryReportPage {
    pub(crate) fn new(page: Page<Listed>, profiles: &Profiles) -> Self {
        let deliveries = page.items.iter().map(|listed| DeliveryReport::new(listed, profiles));
        Self { deliveries: deliveries.collect(), next_cursor: page.next }
    }
}

/// A header of a request.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "RequestHeader")]
pub(crate) struct Header {
    /// Its name, in the letter case in which it is sent.
    name: String,
    /// Its value. Of a signature only the kind is shown, because the rest is secret.
    value: String,
}

/// A request to a receiver.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "DeliveryRequest")]
pub(crate) struct Request {
    /// Always `POST`.
    method: String,
    /// The present URL of the webhook. An earlier attempt may have used another one.
    url: String,
    /// The headers of the last attempt, or those that the first will have. `host` and `content-length` are added when
    /// it is sent.
    headers: Vec<Header>,
    /// The body, the same on every attempt.
    body: String,
}

impl From<Preview> for Request {
    fn from(Preview { url, headers, body }: Preview) -> Self {
        let headers = headers.into_iter().map(|(name, value)| Header { name, value });
        Self { method: "POST".to_owned(), url, headers: headers.collect(), body }
    }
}

/// A delivery with its attempts and its request.
#[derive(Debug, Serialize, Object)]
pub(crate) struct DeliveryReportDetails {
    /// The delivery.
    #[oai(flatten)]
    #[serde(flatten)]
    pub(crate) delivery: DeliveryReport,
    /// Every attempt that has ended, in order.
    pub(crate) attempts: Vec<Attempt>,
    /// The request; null if the stored body is damaged, which is never sent.
    pub(crate) request: Option<Request>,
}

impl DeliveryReportDetails {
    pub(crate) fn new(details: DeliveryDetails, profiles: &Profiles) -> Self {
        Self {
            delivery: DeliveryReport::new(&details.listed, profiles),
            attempts: details.attempts.iter().map(Attempt::for_operator).collect(),
            request: details.request.ok().map(Request::from),
        }
    }
}
