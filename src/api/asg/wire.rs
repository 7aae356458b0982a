//! Settled tasks: the bodies of requests, answers and deliveries, in the vendor's words.

use poem_openapi::{Enum, Object, Webhook, payload::Json};
use serde::{Deserialize, Serialize};

use super::{delivery_wire::Delivery, envelope::TaskSettled, examples::Tag, profile::EventNames};
use crate::{
    api::openapi::{RawNumber, Word, objects},
    app::events::EventDetails,
    domain::delivery::{self, State},
    error::{Error, Result},
};

/// An error.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "AsgError")]
pub(crate) struct Failure {
    /// A sentence: what is wrong, and what to do about it.
    pub(super) error: String,
}

/// A settled task to publish.
#[derive(Debug, Deserialize, Object)]
#[oai(rename = "AsgEventInput")]
pub(super) struct EventInput {
    /// Always `task.settled`.
    pub(super) event: Word<EventNames>,
    /// The account. Only for tokens that belong to no account.
    pub(super) account: Option<String>,
    /// The task's id. Publishing the same task again with the same body changes nothing and gets the same answer.
    pub(super) task_id: String,
    /// The label that was agreed on.
    pub(super) consensus_label: String,
    /// How sure the label is. The number is delivered as it was written (`1.0` stays `1.0`); it has at most 64 bytes.
    /// Numbers that a receiver cannot hold are refused: one that overflows (`1e309`), an integer beyond 2^53 - 1.
    pub(super) confidence: RawNumber,
    /// The on-chain id.
    pub(super) bsv_txid: String,
    /// When the task was settled: RFC 3339, such as `2026-04-08T21:05:00Z`. Delivered as given.
    pub(super) settled_at: String,
    /// The URL of one active webhook: only it gets the event. Without it, every active webhook gets the event.
    pub(super) callback_url: Option<String>,
}

/// Settled tasks to publish together.
#[derive(Debug, Deserialize, Object)]
#[oai(rename = "AsgEventsInput")]
pub(super) struct EventsInput {
    /// 1 to 1,000 events, each as if published alone; at most 4 MiB together.
    #[serde(deserialize_with = "objects")]
    pub(super) events: Vec<EventInput>,
}

/// A delivery of an accepted event.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "AsgDeliveryRef")]
pub(super) struct DeliveryRef {
    /// The delivery's id.
    pub(super) delivery_id: String,
    /// The webhook that it goes to.
    pub(super) webhook_id: String,
}

/// An accepted event. It is on disk, and its deliveries go out.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "AsgAcceptedEvent")]
pub(super) struct Accepted {
    /// The event's id: the `webhook-id` of its deliveries.
    pub(super) event_id: String,
    /// Always `task.settled`.
    pub(super) event: Word<EventNames>,
    /// The task's id.
    pub(super) task_id: String,
    /// The deliveries, one for each webhook that gets the event.
    pub(super) deliveries: Vec<DeliveryRef>,
}

/// The accepted events of a batch.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "AsgAcceptedEvents")]
pub(super) struct AcceptedEvents {
    /// The answer to each event, in the order of the batch.
    pub(super) events: Vec<Accepted>,
}

/// The result of a task's deliveries together.
#[derive(Debug, Clone, Copy, Serialize, Enum)]
#[oai(rename = "AsgWebhookStatus", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub(super) enum WebhookStatus {
    /// A delivery is still under way.
    Pending,
    /// No delivery is under way, and one was given up: after its last attempt, or because the receiver answered 410. No
    /// replay of it has arrived since.
    WebhookFail,
    /// No delivery is under way, none failed for good, and one arrived.
    Delivered,
    /// There is no delivery.
    None,
}

impl WebhookStatus {
    pub(super) fn of(deliveries: &[delivery::Delivery]) -> Self {
        let any = |states: &[State]| deliveries.iter().any(|delivery| states.contains(&delivery.state));
        if any(&[State::Pending, State::Claimed, State::Held]) {
            Self::Pending
        } else if deliveries.iter().any(|delivery| delivery.missed) {
            Self::WebhookFail
        } else if any(&[State::Delivered, State::Exhausted]) {
            // What failed and is not missed was delivered by a replay, whose row may be removed.
            Self::Delivered
        } else {
            Self::None
        }
    }
}

/// A published task and the result of its deliveries.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "AsgTask")]
pub(super) struct Task {
    /// The task's id.
    pub(super) task_id: String,
    /// The event's id.
    pub(super) event_id: String,
    /// The label that was agreed on.
    pub(super) consensus_label: String,
    /// How sure the label is.
    pub(super) confidence: RawNumber,
    /// The on-chain id.
    pub(super) bsv_txid: String,
    /// When the task was settled, as given.
    pub(super) settled_at: String,
    /// When this server accepted it: RFC 3339, UTC.
    pub(super) timestamp: String,
    /// The URL of the one webhook that it was published for; null if for all.
    pub(super) callback_url: Option<String>,
    /// The result of its deliveries together.
    pub(super) webhook_status: WebhookStatus,
    /// Whether a delivery was given up, no replay of it has arrived since, and none is under way.
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
    event: Word<EventNames>,
    /// The task's id.
    task_id: String,
    /// The label that was agreed on.
    consensus_label: String,
    /// How sure the label is. The number is as it was published.
    confidence: RawNumber,
    /// The on-chain id.
    bsv_txid: String,
    /// When the task was settled, as published.
    settled_at: String,
    /// When this server accepted it: RFC 3339, UTC.
    timestamp: String,
}

/// The deliveries of this vendor, for the contract.
#[Webhook(tag = "Tag::Deliveries")]
#[expect(dead_code, reason = "the trait is read by its derive only, to document what is sent")]
pub(crate) trait Payloads {
    /// task.settled
    ///
    /// Tells a receiver of a settled task, by a POST to each webhook. It changes nothing on this server but the state
    /// of the delivery: an answer 2xx within 10 seconds (by default) ends it. Otherwise the event is sent again with
    /// the same `webhook-id`, by default after 1 s and after 4 s more (three attempts in all). Handle each `webhook-id`
    /// once. Signed in two ways: by `X-ASG-Signature: sha256=<hex>`, the HMAC-SHA256 of the raw body with the webhook's
    /// secret, and by the headers `webhook-id`, `webhook-timestamp` and `webhook-signature` of Standard Webhooks.
    #[oai(name = "task.settled", method = "post", operation_id = "asgTaskSettled")]
    fn task_settled(&self, payload: Json<TaskSettledPayload>);
}
