//! The bodies of requests and answers, in the vendor's words.

use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};

use super::{catalogue::EventNames, delivery_wire::Delivery, profile::WEBHOOK};
use crate::{
    api::openapi::{
        Attempt, ErrorClass, Headers, Metadata, RawObject, SecretText, SuspendedReason, Word, given, objects,
        removed_by_null, settings, shown_headers, shown_metadata,
    },
    app::{
        webhook_test::TestOutcome,
        webhooks::{Change, EventList, NewState, Registered, WebhookSummary},
    },
    domain::{
        endpoint::{Endpoint, EndpointState, Resend},
        endpoint_settings::{RateLimit, SettingsChange},
        version::IfMatch,
    },
    error::{Error, Result},
};

/// The status of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[oai(rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum WebhookStatus {
    /// Deliveries go out.
    Active,
    /// Deliveries are held until the webhook is resumed.
    Suspended,
}

/// A webhook to register.
#[derive(Deserialize, Object)]
pub(super) struct WebhookInput {
    /// The URL that events are POSTed to: an `https://` URL of at most 2048 bytes that the server may deliver to.
    pub(super) url: String,
    /// The events to deliver: names of the catalogue, prefixes such as `batch.*`, or `*` for all.
    pub(super) events: Vec<String>,
    /// The account that it belongs to: the token's own.
    pub(super) cooperative_id: String,
    /// The signing secret: one line of 1 to 256 bytes. White space around it is removed. Best left out: then a strong
    /// secret is made and returned once. The libraries of Standard Webhooks read `whsec_` and padded base64 as text;
    /// give them any other secret as bytes.
    pub(super) secret: Option<SecretText>,
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
#[oai(rename = "Webhook")]
pub(super) struct WebhookView {
    /// Its id.
    pub(super) webhook_id: String,
    /// The URL that events are POSTed to.
    pub(super) url: String,
    /// The events that it gets.
    pub(super) events: Vec<String>,
    /// The account that it belongs to.
    pub(super) cooperative_id: String,
    /// Its status.
    pub(super) status: WebhookStatus,
    /// When it was registered: RFC 3339, UTC.
    pub(super) created_at: String,
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

impl From<&Registered> for WebhookView {
    fn from(registered: &Registered) -> Self {
        Self { secret: registered.made_secret.as_ref().map(SecretText::from), ..Self::from(&registered.endpoint) }
    }
}

impl From<&Endpoint> for WebhookView {
    fn from(endpoint: &Endpoint) -> Self {
        Self {
            webhook_id: endpoint.id.on_wire(WEBHOOK),
            url: endpoint.url.given().to_owned(),
            events: endpoint.events.entries().to_vec(),
            cooperative_id: endpoint.account_id.clone(),
            status: match endpoint.state {
                EndpointState::Active => WebhookStatus::Active,
                EndpointState::Suspended | EndpointState::Deleted => WebhookStatus::Suspended,
            },
            created_at: endpoint.created_at.to_string(),
            name: endpoint.about.name.clone(),
            description: endpoint.about.description.clone(),
            metadata: shown_metadata(endpoint),
            headers: shown_headers(endpoint),
            rate_limit: endpoint.settings.sending.rate_limit.map(RateLimit::as_per_second),
            ordered: endpoint.settings.sending.ordered.then_some(true),
            secret: None,
            resent_deliveries: None,
            released_deliveries: None,
        }
    }
}

/// A webhook with its last deliveries.
#[derive(Serialize, Object)]
pub(super) struct WebhookDetails {
    /// Its id.
    pub(super) webhook_id: String,
    /// The URL that events are POSTed to.
    pub(super) url: String,
    /// The events that it gets.
    pub(super) events: Vec<String>,
    /// The account that it belongs to.
    pub(super) cooperative_id: String,
    /// Its status.
    pub(super) status: WebhookStatus,
    /// When it was registered: RFC 3339, UTC.
    pub(super) created_at: String,
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
    /// When it was suspended; null while it is active.
    pub(super) suspended_at: Option<String>,
    /// Why it is suspended; null while it is active.
    pub(super) suspended_reason: Option<SuspendedReason>,
    /// How many deliveries are held until it is resumed.
    pub(super) held_deliveries: u64,
    /// How many deliveries failed since its last delivered event and were not replayed: resuming it sends them again.
    pub(super) failed_deliveries: u64,
    /// The last 20 deliveries, newest first.
    pub(super) recent_deliveries: Vec<Delivery>,
}

impl From<WebhookSummary> for WebhookDetails {
    fn from(WebhookSummary { endpoint, held, failed, recent }: WebhookSummary) -> Self {
        let endpoint = &endpoint;
        let view = WebhookView::from(endpoint);
        Self {
            webhook_id: view.webhook_id,
            url: view.url,
            events: view.events,
            cooperative_id: view.cooperative_id,
            status: view.status,
            created_at: view.created_at,
            name: view.name,
            description: view.description,
            metadata: view.metadata,
            headers: view.headers,
            rate_limit: view.rate_limit,
            ordered: view.ordered,
            suspended_at: endpoint.suspended_at.map(|at| at.to_string()),
            suspended_reason: endpoint.suspended_reason.map(Into::into),
            held_deliveries: held,
            failed_deliveries: failed,
            recent_deliveries: recent.iter().map(Delivery::from).collect(),
        }
    }
}

/// The changes to a webhook. A field that is left out stays as it is.
#[derive(Deserialize, Object)]
#[oai(rename = "WebhookUpdate")]
pub(super) struct WebhookChange {
    /// The new URL. Deliveries that wait go there too.
    #[serde(default, deserialize_with = "given")]
    pub(super) url: Option<String>,
    /// The events from now on.
    #[serde(default, deserialize_with = "given")]
    pub(super) events: Option<Vec<String>>,
    /// The new signing secret, in the form of a registration's. `X-AsiliChain-Signature` is made with the new secret at
    /// once. `webhook-signature` has a signature of the former secret too, for 24 hours (by default).
    #[serde(default, deserialize_with = "given")]
    pub(super) secret: Option<SecretText>,
    /// `ACTIVE` resumes the webhook: deliveries that failed since its last success are sent again, then held deliveries
    /// go out. `SUSPENDED` pauses it.
    #[serde(default, deserialize_with = "given")]
    pub(super) status: Option<WebhookStatus>,
    /// With `ACTIVE`: whether failed deliveries are sent again. Default: true.
    #[serde(default, deserialize_with = "given")]
    pub(super) resend_failed: Option<bool>,
    /// The new name, for people; an empty one or null removes it.
    #[serde(default, deserialize_with = "given")]
    pub(super) name: Option<Option<String>>,
    /// The new description, for people; an empty one or null removes it.
    #[serde(default, deserialize_with = "given")]
    pub(super) description: Option<Option<String>>,
    /// Texts for your own programs, by name: at most 20, a name of at most 40 characters, a text of at most 500. They are not
    /// sent. They replace all former ones; an empty object or null removes them.
    #[serde(default, deserialize_with = "given")]
    pub(super) metadata: Option<Option<Metadata>>,
    /// Headers that every request to the webhook has, such as an API key of the receiver: at most 10, a value of at most 1,024
    /// characters in ASCII. The values are stored encrypted, and never shown again. They replace all former
    /// ones, except that the value `***` keeps the value that is stored; an empty object or null removes them.
    #[serde(default, deserialize_with = "given")]
    pub(super) headers: Option<Option<Headers>>,
    /// Most deliveries to it per second from now on, as in a registration; 0 or null removes the limit.
    #[serde(default, deserialize_with = "given")]
    pub(super) rate_limit: Option<Option<f64>>,
    /// Whether its deliveries go out one at a time from now on, in the order of acceptance. Those that wait count too.
    #[serde(default, deserialize_with = "given")]
    pub(super) ordered: Option<bool>,
}

impl TryFrom<WebhookChange> for Change {
    type Error = Error;

    fn try_from(change: WebhookChange) -> Result<Self> {
        let WebhookChange {
            url,
            events,
            secret,
            status,
            resend_failed,
            name,
            description,
            metadata,
            headers,
            rate_limit,
            ordered,
        } = change;
        let resumes = status == Some(WebhookStatus::Active);
        if resend_failed.is_some() && !resumes {
            return Err(Error::request(
                "resend_failed goes with \"status\": \"ACTIVE\", which resumes the webhook: it was not there",
            ));
        }
        let resend = if resend_failed == Some(false) { Resend::Nothing } else { Resend::Failed };
        let state = status.map(|status| match status {
            WebhookStatus::Active => NewState::Active(resend),
            WebhookStatus::Suspended => NewState::Paused,
        });
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
#[oai(rename = "WebhookTest")]
pub(super) struct TestRequest {
    /// The event's name. Default: the first event that the webhook gets.
    pub(super) event: Option<Word<EventNames>>,
}

/// The result of a test.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "WebhookTestResult")]
pub(super) struct TestResult {
    /// The id of the test delivery.
    pub(super) delivery_id: String,
    /// Whether the receiver answered 2xx.
    pub(super) delivered: bool,
    /// The HTTP status of the answer; null if there was none.
    pub(super) response_status: Option<u16>,
    /// How long the attempt took, in milliseconds.
    pub(super) duration_ms: u64,
    /// Why the attempt failed; null if it did not.
    pub(super) error: Option<ErrorClass>,
    /// Why it failed, in words for people; null if it did not, or if the other members say it all.
    pub(super) error_reason: Option<String>,
    /// The first 4 KiB of the answer's body, as text; null if there was no answer.
    pub(super) response_body: Option<String>,
    /// The first 4 KiB of the headers of an answer that is no success, one on each line, with secrets masked; null if there
    /// was none.
    pub(super) response_headers: Option<String>,
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

/// An event to publish.
#[derive(Debug, Deserialize, Object)]
pub(super) struct EventInput {
    /// The event's name.
    pub(super) event: Word<EventNames>,
    /// The account. Needed only with a token that belongs to no account.
    pub(super) cooperative_id: Option<String>,
    /// The data: any JSON object. The schema with the event's name and `Data`, such as `BatchExportedData`, has the
    /// fields that AsiliChain's reference lists; fields may be left out or added. It is delivered as `JSON.stringify`
    /// prints it; integers beyond 2^53 - 1 must be strings.
    pub(super) data: RawObject,
    /// When it happened: RFC 3339, such as `2026-04-20T11:55:00Z`. Delivered as given. Default: the time when the
    /// server accepts it.
    pub(super) created_at: Option<String>,
    /// The idempotency key of this event: like the header `Idempotency-Key`, but each event of a batch can have its
    /// own.
    pub(super) idempotency_key: Option<String>,
}

/// Events to publish together.
#[derive(Debug, Deserialize, Object)]
pub(super) struct EventsInput {
    /// 1 to 1,000 events, each as if published alone; at most 4 MiB together.
    #[serde(deserialize_with = "objects")]
    pub(super) events: Vec<EventInput>,
}

/// A delivery of an accepted event.
#[derive(Debug, Serialize, Object)]
pub(super) struct DeliveryRef {
    /// The delivery's id.
    pub(super) delivery_id: String,
    /// The webhook that it goes to.
    pub(super) webhook_id: String,
}

/// An accepted event. It is on disk, and its deliveries go out.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "AcceptedEvent")]
pub(super) struct Accepted {
    /// The event's id: the `webhook-id` of its deliveries.
    pub(super) event_id: String,
    /// The event's name.
    pub(super) event: Word<EventNames>,
    /// The account that it belongs to.
    pub(super) cooperative_id: String,
    /// The time in the body of its deliveries.
    pub(super) created_at: String,
    /// The deliveries, one for each webhook that wants the event.
    pub(super) deliveries: Vec<DeliveryRef>,
}

/// The accepted events of a batch.
#[derive(Debug, Serialize, Object)]
pub(super) struct AcceptedEvents {
    /// The answer to each event, in the order of the batch.
    pub(super) events: Vec<Accepted>,
}
