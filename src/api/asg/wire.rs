//! What goes over the wire, in the vendor's words.

use poem_openapi::{Enum, Object, Webhook, payload::Json};
use serde::{Deserialize, Serialize};

use super::{envelope::TaskSettled, examples::Tag, profile::WEBHOOK};
use crate::{
    api::openapi::{ErrorClass, RawNumber, SecretText, objects},
    app::{events::EventDetails, webhooks::Registered},
    domain::{
        delivery::{self, State},
        endpoint::{Endpoint, EndpointState},
    },
    error::{Error, Result},
};

/// An error.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "AsgError")]
pub(crate) struct Failure {
    /// What is wrong and what to do about it, in a sentence.
    pub(super) error: String,
}

/// Where to deliver `task.settled`.
#[derive(Deserialize, Object)]
#[oai(rename = "AsgNewWebhook")]
pub(super) struct NewWebhook {
    /// Where to POST: an `https://` URL of at most 2048 bytes that the server may deliver to.
    pub(super) callback_url: String,
    /// The signing secret: a line of 1 to 256 bytes; white space around it is no part of it. Best left out: a strong one is
    /// then made and returned once. A library of Standard Webhooks takes `whsec_` and padded base64 as text; give it any
    /// other secret as bytes, not as text.
    pub(super) secret: Option<SecretText>,
    /// Which events to deliver. Default: `["task.settled"]`, the only one there is.
    pub(super) events: Option<Vec<String>>,
    /// The account it is for. Only for tokens that belong to no account.
    pub(super) account: Option<String>,
}

/// A webhook.
#[derive(Serialize, Object)]
#[oai(rename = "AsgWebhook")]
pub(super) struct WebhookView {
    /// Its id.
    pub(super) webhook_id: String,
    /// Where it is delivered to.
    pub(super) callback_url: String,
    /// Which events it gets.
    pub(super) events: Vec<String>,
    /// `false` once it is deleted.
    pub(super) active: bool,
    /// The signing secret, only in the answer to a registration that sent none. It is never shown again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) secret: Option<SecretText>,
}

impl From<Registered> for WebhookView {
    fn from(registered: Registered) -> Self {
        Self { secret: registered.made_secret.as_ref().map(SecretText::from), ..Self::from(&registered.endpoint) }
    }
}

impl From<&Endpoint> for WebhookView {
    fn from(endpoint: &Endpoint) -> Self {
        Self {
            webhook_id: endpoint.id.on_wire(WEBHOOK),
            callback_url: endpoint.url.given().to_owned(),
            events: endpoint.events.entries().to_vec(),
            active: endpoint.state == EndpointState::Active,
            secret: None,
        }
    }
}

/// A settled task to publish.
#[derive(Debug, Deserialize, Object)]
#[oai(rename = "AsgNewEvent")]
pub(super) struct NewEvent {
    /// Always `task.settled`.
    pub(super) event: String,
    /// The account it is for. Only for tokens that belong to no account.
    pub(super) account: Option<String>,
    /// The task. Publishing the same task again, with the same body, changes nothing and gets the same answer.
    pub(super) task_id: String,
    /// The label agreed on.
    pub(super) consensus_label: String,
    /// How sure the label is. Delivered with the literal it is sent with (`1.0` stays `1.0`), of at most 64 bytes. What a
    /// receiver cannot hold is refused: a number that overflows (`1e309`), an integer beyond 2^53 - 1.
    pub(super) confidence: RawNumber,
    /// The on-chain id.
    pub(super) bsv_txid: String,
    /// When the task was settled, RFC 3339, such as `2026-04-08T21:05:00Z`. Delivered as given.
    pub(super) settled_at: String,
    /// Deliver only to the active webhook with this URL, signed with its secret. Without it: to every active webhook.
    pub(super) callback_url: Option<String>,
}

/// Settled tasks to publish together.
#[derive(Debug, Deserialize, Object)]
#[oai(rename = "AsgNewEvents")]
pub(super) struct NewEvents {
    /// 1 to 1,000 of them, each as it would be published alone; together at most 4 MiB.
    #[serde(deserialize_with = "objects")]
    pub(super) events: Vec<NewEvent>,
}

/// A delivery that a publish made.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "AsgDeliveryRef")]
pub(super) struct DeliveryRef {
    /// The delivery's id.
    pub(super) delivery_id: String,
    /// The webhook it goes to.
    pub(super) webhook_id: String,
}

/// What was accepted: on disk, and on its way.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "AsgAcceptedEvent")]
pub(super) struct Accepted {
    /// The event's id: the `webhook-id` of its deliveries.
    pub(super) event_id: String,
    /// Always `task.settled`.
    pub(super) event: String,
    /// The task.
    pub(super) task_id: String,
    /// One delivery for each webhook it goes to.
    pub(super) deliveries: Vec<DeliveryRef>,
}

/// What was accepted together.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "AsgAcceptedEvents")]
pub(super) struct AcceptedEvents {
    /// One answer for each event, in the order in which they were sent.
    pub(super) events: Vec<Accepted>,
}

/// What became of a task's deliveries, together.
#[derive(Debug, Clone, Copy, Serialize, Enum)]
#[oai(rename = "AsgWebhookStatus", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub(super) enum WebhookStatus {
    /// One is still under way.
    Pending,
    /// None is under way, and one was given up: after its last attempt, or as it was answered 410.
    WebhookFail,
    /// None is under way, none failed, and one arrived.
    Delivered,
    /// There is none.
    None,
}

impl WebhookStatus {
    pub(super) fn of(deliveries: &[delivery::Delivery]) -> Self {
        let any = |states: &[State]| deliveries.iter().any(|delivery| states.contains(&delivery.state));
        if any(&[State::Pending, State::Claimed, State::Held]) {
            Self::Pending
        } else if any(&[State::Exhausted]) {
            Self::WebhookFail
        } else if any(&[State::Delivered]) {
            Self::Delivered
        } else {
            Self::None
        }
    }
}

/// Where a delivery is in its life.
#[derive(Debug, Clone, Copy, Serialize, Enum)]
#[oai(rename = "AsgDeliveryStatus", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub(super) enum DeliveryStatus {
    /// Waits for its next attempt.
    Pending,
    /// An attempt is under way.
    InFlight,
    /// The receiver answered 2xx.
    Delivered,
    /// Given up after its last attempt.
    Failed,
    /// Its webhook was deleted before it went out.
    Cancelled,
}

/// One POST to the receiver.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "AsgAttempt")]
pub(super) struct Attempt {
    /// 1 for the first.
    pub(super) attempt: u32,
    /// When it began, RFC 3339, UTC.
    pub(super) started_at: String,
    /// How long it took, in milliseconds; null if the server stopped meanwhile.
    pub(super) duration_ms: Option<u64>,
    /// The HTTP status of the answer; null if there was none.
    pub(super) response_status: Option<u16>,
    /// Why it failed; null if it did not.
    pub(super) error: Option<ErrorClass>,
    /// Why it failed, in words for people; null if it did not, or if the other members say it all.
    pub(super) error_reason: Option<String>,
    /// The first 4 KiB of the headers of an answer that is no success, one on each line, with secrets masked; null if there
    /// was none.
    pub(super) response_headers: Option<String>,
    /// When the next attempt was due, as decided after this one; null if none was.
    pub(super) next_attempt_at: Option<String>,
}

impl From<&delivery::Attempt> for Attempt {
    fn from(attempt: &delivery::Attempt) -> Self {
        Self {
            attempt: attempt.number,
            started_at: attempt.started_at.precise(),
            duration_ms: attempt.duration.map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
            response_status: attempt.status,
            error: attempt.failure.map(Into::into),
            error_reason: attempt.reason_for_account().map(str::to_owned),
            response_headers: attempt.details.headers.clone(),
            next_attempt_at: attempt.next_attempt_at.map(|at| at.precise()),
        }
    }
}

/// A delivery of a task.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "AsgDelivery")]
pub(super) struct Delivery {
    /// Its id.
    pub(super) delivery_id: String,
    /// The webhook it goes to.
    pub(super) webhook_id: String,
    /// Where it is in its life.
    pub(super) status: DeliveryStatus,
    /// Every attempt that has ended, in order.
    pub(super) attempts: Vec<Attempt>,
}

impl Delivery {
    pub(super) fn new(delivery: &delivery::Delivery, attempts: &[delivery::Attempt]) -> Self {
        Self {
            delivery_id: delivery.id.to_string(),
            webhook_id: delivery.endpoint.on_wire(WEBHOOK),
            status: match delivery.state {
                State::Pending | State::Held => DeliveryStatus::Pending,
                State::Claimed => DeliveryStatus::InFlight,
                State::Delivered => DeliveryStatus::Delivered,
                State::Exhausted => DeliveryStatus::Failed,
                State::Cancelled => DeliveryStatus::Cancelled,
            },
            attempts: attempts.iter().map(Attempt::from).collect(),
        }
    }
}

/// The record of a task: what was published, and what became of its deliveries.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "AsgTask")]
pub(super) struct Task {
    /// The task.
    pub(super) task_id: String,
    /// The event that carried it.
    pub(super) event_id: String,
    /// The label agreed on.
    pub(super) consensus_label: String,
    /// How sure the label is.
    pub(super) confidence: RawNumber,
    /// The on-chain id.
    pub(super) bsv_txid: String,
    /// When the task was settled, as given.
    pub(super) settled_at: String,
    /// When it was accepted here, RFC 3339, UTC.
    pub(super) timestamp: String,
    /// The one URL it was published for; null if for all.
    pub(super) callback_url: Option<String>,
    /// What became of its deliveries, together.
    pub(super) webhook_status: WebhookStatus,
    /// Whether a delivery was given up, and none is under way.
    pub(super) webhook_fail: bool,
    /// Its deliveries.
    pub(super) deliveries: Vec<Delivery>,
}

impl Task {
    /// The record of an event, with the attempts of each of its deliveries.
    pub(super) fn new(details: EventDetails, attempts: &[Vec<delivery::Attempt>]) -> Result<Self> {
        let body: TaskSettled<'_> =
            serde_json::from_str(details.body()?).map_err(|flaw| Error::Internal(flaw.to_string()))?;
        let status = WebhookStatus::of(&details.deliveries);
        let deliveries = details.deliveries.iter().zip(attempts);
        Ok(Self {
            task_id: body.task_id.into_owned(),
            event_id: details.event.id.to_string(),
            consensus_label: body.consensus_label.into_owned(),
            confidence: body.confidence,
            bsv_txid: body.bsv_txid.into_owned(),
            settled_at: body.settled_at.into_owned(),
            timestamp: body.timestamp.into_owned(),
            callback_url: details.event.target,
            webhook_status: status,
            webhook_fail: matches!(status, WebhookStatus::WebhookFail),
            deliveries: deliveries.map(|(delivery, attempts)| Delivery::new(delivery, attempts)).collect(),
        })
    }
}

/// The body of a delivery, as the receiver gets it.
#[derive(Debug, Object)]
#[oai(rename = "AsgTaskSettled")]
pub(crate) struct TaskSettledPayload {
    /// Always `task.settled`.
    event: String,
    /// The task.
    task_id: String,
    /// The label agreed on.
    consensus_label: String,
    /// How sure the label is, with the literal it was published with.
    confidence: RawNumber,
    /// The on-chain id.
    bsv_txid: String,
    /// When the task was settled, as published.
    settled_at: String,
    /// When it was accepted here, RFC 3339, UTC.
    timestamp: String,
}

/// What this server sends to a webhook.
#[Webhook(tag = "Tag::Asg")]
#[expect(dead_code, reason = "the trait is read by its derive only, to document what is sent")]
pub(crate) trait Payloads {
    /// task.settled
    ///
    /// POSTed to each webhook. Signed by `X-ASG-Signature: sha256=<hex>`, HMAC-SHA256 of the raw body with the webhook's
    /// secret, and by the Standard Webhooks headers `webhook-id`, `webhook-timestamp`, `webhook-signature`. Answer 2xx
    /// within 10 seconds (by default). Otherwise it is sent again, by default after 1 s and 4 s (three attempts in all), with the
    /// same `webhook-id`: handle it once.
    #[oai(name = "task.settled", method = "post", operation_id = "asgTaskSettled")]
    fn task_settled(&self, payload: Json<TaskSettledPayload>);
}
