//! Deliveries and their attempts, in the vendor's words.

use poem_openapi::Object;
use serde::Serialize;

use super::profile::{EventNames, WEBHOOK};
use crate::{
    api::openapi::{self, ErrorClass, Word, wire_enum},
    app::Page,
    domain::delivery::{self, State},
};

wire_enum! {
    /// The status of a delivery.
    AsgDeliveryStatus ("snake_case") of State {
        /// It waits for its next attempt.
        Pending => Pending,
        /// An attempt is under way.
        InFlight => Claimed,
        /// The receiver answered 2xx.
        Delivered => Delivered,
        /// It was given up after its last attempt.
        Failed => Exhausted,
        /// Its webhook is paused. It goes out when the webhook is resumed.
        Held => Held,
        /// Its webhook was deleted before it went out.
        Cancelled => Cancelled,
    }
}

pub(super) use AsgDeliveryStatus as DeliveryStatus;

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

/// A delivery in a list.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "AsgDeliveryEntry")]
pub(super) struct DeliveryEntry {
    /// Its id.
    delivery_id: String,
    /// The webhook that it goes to.
    webhook_id: String,
    /// The id of its event: the `webhook-id` of its attempts.
    event_id: String,
    /// Always `task.settled`.
    event: Word<EventNames>,
    /// The task; null for a test.
    task_id: Option<String>,
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
    /// Whether it carries sample data (a test); receivers see `ngoma-test: true`.
    test: bool,
}

impl From<&delivery::Delivery> for DeliveryEntry {
    fn from(delivery: &delivery::Delivery) -> Self {
        Self {
            delivery_id: delivery.id.to_string(),
            webhook_id: delivery.endpoint.on_wire(WEBHOOK),
            event_id: delivery.event.to_string(),
            event: delivery.kind.as_str().into(),
            task_id: delivery.event_key.clone(),
            status: delivery.state.into(),
            attempt_count: delivery.attempts,
            created_at: delivery.created_at.to_string(),
            next_attempt_at: delivery.due_at.map(|at| at.precise()),
            response_status: delivery.last_status,
            error: delivery.last_failure.map(Into::into),
            replay_of: delivery.replay_of.map(|id| id.to_string()),
            newest_replay: delivery.newest_replay.map(|replay| replay.id.to_string()),
            newest_replay_status: delivery.newest_replay.map(|replay| replay.state.into()),
            test: delivery.test,
        }
    }
}

/// One page of deliveries, newest first.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "AsgDeliveryPage")]
pub(super) struct DeliveryPage {
    /// The deliveries.
    deliveries: Vec<DeliveryEntry>,
    /// The `cursor` of the next page; null on the last page. A page with few entries may not be the last.
    next_cursor: Option<String>,
}

impl From<Page<delivery::Delivery>> for DeliveryPage {
    fn from(page: Page<delivery::Delivery>) -> Self {
        Self { deliveries: page.items.iter().map(DeliveryEntry::from).collect(), next_cursor: page.next }
    }
}

/// A delivery with its attempts.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "AsgDeliveryDetails")]
pub(super) struct DeliveryDetails {
    /// The delivery.
    #[oai(flatten)]
    #[serde(flatten)]
    delivery: DeliveryEntry,
    /// Every attempt that has ended, in order.
    attempts: Vec<openapi::Attempt>,
}

impl DeliveryDetails {
    pub(super) fn new(delivery: &delivery::Delivery, attempts: &[delivery::Attempt]) -> Self {
        let attempts = attempts.iter().map(openapi::Attempt::from).collect();
        Self { delivery: DeliveryEntry::from(delivery), attempts }
    }
}
