//! The bodies of requests, answers and deliveries, in the vendor's words.

use poem_openapi::{Enum, Object, Webhook, payload::Json};
use serde::{Deserialize, Serialize};

use super::{
    envelope::TaskSettled,
    examples::Tag,
    profile::{TASK_SETTLED, WEBHOOK},
};
use crate::{
    api::openapi::{self, ErrorClass, RawNumber, SecretText, Word, Words, objects},
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
    /// A sentence: what is wrong, and what to do about it.
    pub(super) error: String,
}

/// The names of events.
#[derive(Debug)]
pub(super) enum EventNames {}

impl Words for EventNames {
    const SCHEMA: &'static str = "AsgEventName";
    const MEANING: &'static str = "The name of an event.";

    fn all() -> Vec<&'static str> {
        vec![TASK_SETTLED]
    }
}

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
    /// `false` if it is deleted.
    pub(super) active: bool,
    /// Its name; left out if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    /// Its description; left out if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    /// The signing secret that was made. Only in the answer to a registration without `secret`; it is never shown
    /// again.
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
            name: endpoint.about.name.clone(),
            description: endpoint.about.description.clone(),
            secret: None,
        }
    }
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

/// The status of a delivery.
#[derive(Debug, Clone, Copy, Serialize, Enum)]
#[oai(rename = "AsgDeliveryStatus", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub(super) enum DeliveryStatus {
    /// It waits for its next attempt.
    Pending,
    /// An attempt is under way.
    InFlight,
    /// The receiver answered 2xx.
    Delivered,
    /// It was given up after its last attempt.
    Failed,
    /// Its webhook was deleted before it went out.
    Cancelled,
}

impl From<State> for DeliveryStatus {
    fn from(state: State) -> Self {
        match state {
            State::Pending | State::Held => Self::Pending,
            State::Claimed => Self::InFlight,
            State::Delivered => Self::Delivered,
            State::Exhausted => Self::Failed,
            State::Cancelled => Self::Cancelled,
        }
    }
}

/// One POST to the receiver.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "AsgAttempt")]
pub(super) struct Attempt {
    /// The number of the attempt: 1 for the first.
    pub(super) attempt: u32,
    /// When the attempt began: RFC 3339, UTC.
    pub(super) started_at: String,
    /// How long the attempt took, in milliseconds; null if the server stopped meanwhile.
    pub(super) duration_ms: Option<u64>,
    /// The HTTP status of the answer; null if there was none.
    pub(super) response_status: Option<u16>,
    /// Why the attempt failed; null if it did not.
    pub(super) error: Option<ErrorClass>,
    /// The reason in words for people; null if there is none, or if the other members say everything.
    pub(super) error_reason: Option<String>,
    /// The first 4 KiB of the headers of an answer that is no success, one on each line, with secrets masked; null if there
    /// was none.
    pub(super) response_headers: Option<String>,
    /// When the next attempt was due; null if there was none.
    pub(super) next_attempt_at: Option<String>,
}

impl From<&delivery::Attempt> for Attempt {
    fn from(attempt: &delivery::Attempt) -> Self {
        let openapi::Attempt {
            attempt,
            started_at,
            duration_ms,
            response_status,
            error,
            error_reason,
            response_headers,
            next_attempt_at,
            ..
        } = attempt.into();
        Self {
            attempt,
            started_at,
            duration_ms,
            response_status,
            error,
            error_reason,
            response_headers,
            next_attempt_at,
        }
    }
}

/// A delivery of a task.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "AsgDelivery")]
pub(super) struct Delivery {
    /// Its id.
    pub(super) delivery_id: String,
    /// The webhook that it goes to.
    pub(super) webhook_id: String,
    /// Its status.
    pub(super) status: DeliveryStatus,
    /// The delivery that this one replays; null if it is no replay.
    pub(super) replay_of: Option<String>,
    /// The newest replay of it, which may repeat another replay of it; null if there is none.
    pub(super) newest_replay: Option<String>,
    /// The status of that replay; null if there is none.
    pub(super) newest_replay_status: Option<DeliveryStatus>,
    /// Every attempt that has ended, in order.
    pub(super) attempts: Vec<Attempt>,
}

impl Delivery {
    pub(super) fn new(delivery: &delivery::Delivery, attempts: &[delivery::Attempt]) -> Self {
        Self {
            delivery_id: delivery.id.to_string(),
            webhook_id: delivery.endpoint.on_wire(WEBHOOK),
            status: delivery.state.into(),
            replay_of: delivery.replay_of.map(|id| id.to_string()),
            newest_replay: delivery.newest_replay.map(|replay| replay.id.to_string()),
            newest_replay_status: delivery.newest_replay.map(|replay| replay.state.into()),
            attempts: attempts.iter().map(Attempt::from).collect(),
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
