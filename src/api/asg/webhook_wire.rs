//! Webhooks: the bodies of requests and answers, in the vendor's words.

use poem_openapi::Object;
use serde::{Deserialize, Serialize};

use super::{
    delivery_wire::DeliveryEntry,
    profile::{EventNames, WEBHOOK},
};
use crate::{
    api::openapi::{
        Attempt, ErrorClass, Headers, Metadata, SecretText, SuspendedReason, Word, given, removed_by_null, settings,
        shown_headers, shown_metadata,
    },
    app::{
        webhook_test::TestOutcome,
        webhooks::{Change, EventList, NewState, Registered, WebhookSummary},
    },
    domain::{
        endpoint::{Endpoint, EndpointState, Resend},
        endpoint_settings::{RateLimit, SettingsChange},
        token::Visible,
        version::IfMatch,
    },
    error::{Error, Result},
};

/// A webhook to register.
#[derive(Deserialize, Object)]
#[oai(rename = "AsgWebhookInput")]
pub(super) struct WebhookInput {
    /// The URL that events are POSTed to: an `https://` URL of at most 2048 bytes that the server may deliver to.
    pub(super) callback_url: String,
    /// The signing secret: one line of 1 to 256 bytes. White space around it is removed. Best left out: then a strong
    /// secret is made and returned once. The libraries of Standard Webhooks read `whsec_` and padded base64 as text;
    /// give them any other secret as bytes.
    pub(super) secret: Option<SecretText>,
    /// The events to deliver. Default: `["task.settled"]`, the only event.
    pub(super) events: Option<Vec<String>>,
    /// The account. Only for tokens that belong to no account.
    pub(super) account: Option<String>,
    /// Its name, for people: one line of at most 80 characters.
    pub(super) name: Option<String>,
    /// Its description, for people: one line of at most 500 characters.
    pub(super) description: Option<String>,
    /// Texts for your own programs, by name: at most 20, a name of at most 40 characters, a text of at most 500. They are not
    /// sent.
    pub(super) metadata: Option<Metadata>,
    /// Headers that every request to the webhook has, such as an API key of the receiver: at most 10, a value of at most 1,024
    /// characters in ASCII. The values are stored encrypted, and never shown again.
    pub(super) headers: Option<Headers>,
    /// Most deliveries to it per second, from 0.1 to 1000, with at most three decimals. What waits costs no try. Without it
    /// there is no limit.
    pub(super) rate_limit: Option<f64>,
    /// Whether its deliveries go out one at a time, in the order of acceptance: each waits until the one before it is
    /// delivered or given up. Default: false.
    pub(super) ordered: Option<bool>,
}

/// A webhook.
#[derive(Serialize, Object)]
#[oai(rename = "AsgWebhook")]
pub(super) struct WebhookView {
    /// Its id.
    pub(super) webhook_id: String,
    /// The URL that events are POSTed to.
    pub(super) callback_url: String,
    /// The events that it gets.
    pub(super) events: Vec<String>,
    /// `false` if it is paused or deleted.
    pub(super) active: bool,
    /// The account that it belongs to; left out for a token of this account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) account: Option<String>,
    /// Its name; left out if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    /// Its description; left out if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    /// The texts for programs of its owner; left out if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) metadata: Option<Metadata>,
    /// The headers that every request has, their values masked; left out if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) headers: Option<Headers>,
    /// Most deliveries to it per second; left out if there is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rate_limit: Option<f64>,
    /// `true`: its deliveries go out one at a time, in the order of acceptance. Otherwise left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ordered: Option<bool>,
    /// When it was deleted: RFC 3339, UTC; left out if it is not deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) deleted_at: Option<String>,
    /// The signing secret that was made. Only in the answer to a registration without `secret`; it is never shown
    /// again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) secret: Option<SecretText>,
    /// How many failed deliveries are sent again. Only in the answer to a PATCH that resumed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) resent_deliveries: Option<u64>,
    /// How many held deliveries go out after the failed ones. Only in the answer to a PATCH that resumed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) released_deliveries: Option<u64>,
}

impl WebhookView {
    /// A webhook as the caller sees it.
    pub(super) fn new(endpoint: &Endpoint, visible: &Visible) -> Self {
        Self {
            webhook_id: endpoint.id.on_wire(WEBHOOK),
            callback_url: endpoint.url.given().to_owned(),
            events: endpoint.events.entries().to_vec(),
            active: endpoint.state == EndpointState::Active,
            account: account(endpoint, visible),
            name: endpoint.about.name.clone(),
            description: endpoint.about.description.clone(),
            metadata: shown_metadata(endpoint),
            headers: shown_headers(endpoint),
            rate_limit: endpoint.settings.sending.rate_limit.map(RateLimit::as_per_second),
            ordered: endpoint.settings.sending.ordered.then_some(true),
            deleted_at: endpoint.deleted_at.map(|at| at.to_string()),
            secret: None,
            resent_deliveries: None,
            released_deliveries: None,
        }
    }

    /// A new webhook, with the secret that was made for it.
    pub(super) fn registered(registered: &Registered, visible: &Visible) -> Self {
        let secret = registered.made_secret.as_ref().map(SecretText::from);
        Self { secret, ..Self::new(&registered.endpoint, visible) }
    }
}

/// The account of a webhook, for a caller who belongs to none.
fn account(endpoint: &Endpoint, visible: &Visible) -> Option<String> {
    visible.account.is_none().then(|| endpoint.account_id.clone())
}

/// A webhook with its last deliveries.
#[derive(Serialize, Object)]
#[oai(rename = "AsgWebhookDetails")]
pub(super) struct WebhookDetails {
    /// Its id.
    webhook_id: String,
    /// The URL that events are POSTed to.
    callback_url: String,
    /// The events that it gets.
    events: Vec<String>,
    /// `false` if it is paused.
    active: bool,
    /// The account that it belongs to; left out for a token of this account.
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    /// Its name; left out if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Its description; left out if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// The texts for programs of its owner; left out if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata>,
    /// The headers that every request has, their values masked; left out if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<Headers>,
    /// Most deliveries to it per second; left out if there is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_limit: Option<f64>,
    /// `true`: its deliveries go out one at a time, in the order of acceptance. Otherwise left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    ordered: Option<bool>,
    /// When it was registered: RFC 3339, UTC.
    created_at: String,
    /// When it was paused; null while it is active.
    paused_at: Option<String>,
    /// Why it is paused; null while it is active.
    paused_reason: Option<SuspendedReason>,
    /// How many deliveries are held until it is resumed.
    held_deliveries: u64,
    /// How many deliveries failed since its last delivered event and were not replayed: resuming it sends them again.
    failed_deliveries: u64,
    /// The last 20 deliveries, newest first.
    recent_deliveries: Vec<DeliveryEntry>,
}

impl WebhookDetails {
    pub(super) fn new(WebhookSummary { endpoint, held, failed, recent }: &WebhookSummary, visible: &Visible) -> Self {
        Self {
            webhook_id: endpoint.id.on_wire(WEBHOOK),
            callback_url: endpoint.url.given().to_owned(),
            events: endpoint.events.entries().to_vec(),
            active: endpoint.state == EndpointState::Active,
            account: account(endpoint, visible),
            name: endpoint.about.name.clone(),
            description: endpoint.about.description.clone(),
            metadata: shown_metadata(endpoint),
            headers: shown_headers(endpoint),
            rate_limit: endpoint.settings.sending.rate_limit.map(RateLimit::as_per_second),
            ordered: endpoint.settings.sending.ordered.then_some(true),
            created_at: endpoint.created_at.to_string(),
            paused_at: endpoint.suspended_at.map(|at| at.to_string()),
            paused_reason: endpoint.suspended_reason.map(Into::into),
            held_deliveries: *held,
            failed_deliveries: *failed,
            recent_deliveries: recent.iter().map(DeliveryEntry::from).collect(),
        }
    }
}

/// The changes to a webhook. A field that is left out stays as it is.
#[derive(Deserialize, Object)]
#[oai(rename = "AsgWebhookUpdate")]
pub(super) struct WebhookChange {
    /// The new URL. Deliveries that wait go there too.
    #[serde(default, deserialize_with = "given")]
    callback_url: Option<String>,
    /// The events from now on.
    #[serde(default, deserialize_with = "given")]
    events: Option<Vec<String>>,
    /// The new signing secret, in the form of a registration's. `X-ASG-Signature` is made with the new secret at once.
    /// `webhook-signature` has a signature of the former secret too, for 24 hours (by default).
    #[serde(default, deserialize_with = "given")]
    secret: Option<SecretText>,
    /// `false` pauses the webhook: deliveries are held. `true` resumes it: they go out.
    #[serde(default, deserialize_with = "given")]
    active: Option<bool>,
    /// With `"active": true`: whether deliveries that failed since its last success are sent again too. Default: true.
    #[serde(default, deserialize_with = "given")]
    resend_failed: Option<bool>,
    /// The new name, for people; an empty one or null removes it.
    #[serde(default, deserialize_with = "given")]
    name: Option<Option<String>>,
    /// The new description, for people; an empty one or null removes it.
    #[serde(default, deserialize_with = "given")]
    description: Option<Option<String>>,
    /// Texts for your own programs, by name: at most 20, a name of at most 40 characters, a text of at most 500. They are not
    /// sent. They replace all former ones; an empty object or null removes them.
    #[serde(default, deserialize_with = "given")]
    metadata: Option<Option<Metadata>>,
    /// Headers that every request to the webhook has, such as an API key of the receiver: at most 10, a value of at most 1,024
    /// characters in ASCII. The values are stored encrypted, and never shown again. They replace all former
    /// ones, except that the value `***` keeps the value that is stored; an empty object or null removes them.
    #[serde(default, deserialize_with = "given")]
    headers: Option<Option<Headers>>,
    /// Most deliveries to it per second from now on, as in a registration; 0 or null removes the limit.
    #[serde(default, deserialize_with = "given")]
    rate_limit: Option<Option<f64>>,
    /// Whether its deliveries go out one at a time from now on, in the order of acceptance. Those that wait count too.
    #[serde(default, deserialize_with = "given")]
    ordered: Option<bool>,
}

impl TryFrom<WebhookChange> for Change {
    type Error = Error;

    fn try_from(change: WebhookChange) -> Result<Self> {
        let WebhookChange {
            callback_url: url,
            events,
            secret,
            active,
            resend_failed,
            name,
            description,
            metadata,
            headers,
            rate_limit,
            ordered,
        } = change;
        let resumes = active == Some(true);
        if resend_failed.is_some() && !resumes {
            return Err(Error::request(
                "resend_failed goes with \"active\": true, which resumes the webhook: it was not there",
            ));
        }
        let resend = if resend_failed == Some(false) { Resend::Nothing } else { Resend::Failed };
        let state = active.map(|active| if active { NewState::Active(resend) } else { NewState::Paused });
        let (events, secret) = (events.map(EventList::Ordered), secret.map(|own| own.0));
        let settings = SettingsChange {
            rate_limit: removed_by_null(rate_limit).into(),
            ordered,
            ..settings(removed_by_null(metadata), removed_by_null(headers))
        };
        let (name, description) = (removed_by_null(name), removed_by_null(description));
        Ok(Self { url, events, secret, name, description, settings, state, only_if: IfMatch::default() })
    }
}

/// The event of a test.
#[derive(Debug, Default, Deserialize, Object)]
#[oai(rename = "AsgWebhookTest")]
pub(super) struct TestRequest {
    /// Default: `task.settled`, the only event.
    pub(super) event: Option<Word<EventNames>>,
}

/// The result of a test.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "AsgWebhookTestResult")]
pub(super) struct TestResult {
    /// The id of the test delivery.
    delivery_id: String,
    /// Whether the receiver answered 2xx.
    delivered: bool,
    /// The HTTP status of the answer; null if there was none.
    response_status: Option<u16>,
    /// How long the attempt took, in milliseconds.
    duration_ms: u64,
    /// Why the attempt failed; null if it did not.
    error: Option<ErrorClass>,
    /// Why it failed, in words for people; null if it did not, or if the other members say it all.
    error_reason: Option<String>,
    /// The first 4 KiB of the answer's body, as text; null if there was no answer.
    response_body: Option<String>,
    /// The first 4 KiB of the headers of an answer that is no success, one on each line, with secrets masked; null if there
    /// was none.
    response_headers: Option<String>,
}

impl From<&TestOutcome> for TestResult {
    fn from(tested: &TestOutcome) -> Self {
        let attempt = Attempt::from(&tested.attempt);
        Self {
            delivery_id: tested.delivery.to_string(),
            delivered: attempt.error.is_none(),
            response_status: attempt.response_status,
            duration_ms: attempt.duration_ms.unwrap_or_default(),
            error: attempt.error,
            error_reason: attempt.error_reason,
            response_body: attempt.response_body,
            response_headers: attempt.response_headers,
        }
    }
}
