//! Deliveries, in the vendor's words.

use poem_openapi::Object;
use serde::Serialize;

use super::{catalogue::EventNames, profile::WEBHOOK};
use crate::{
    api::openapi::{Attempt, DeliveryStatus, ErrorClass, Word},
    app::Page,
    domain::delivery,
};

/// An event on its way to a webhook.
#[derive(Debug, Serialize, Object)]
pub(super) struct Delivery {
    /// Its id.
    pub(super) delivery_id: String,
    /// The webhook that it goes to.
    pub(super) webhook_id: String,
    /// The id of its event: the `webhook-id` of its attempts.
    pub(super) event_id: String,
    /// The event's name.
    pub(super) event: Word<EventNames>,
    /// Its status.
    pub(super) status: DeliveryStatus,
    /// The number of attempts that have begun.
    pub(super) attempt_count: u32,
    /// When it was made: RFC 3339, UTC.
    pub(super) created_at: String,
    /// When its next attempt is due; null if none is.
    pub(super) next_attempt_at: Option<String>,
    /// The HTTP status of the last answer; null if there was none.
    pub(super) response_status: Option<u16>,
    /// Why the last attempt failed; null if it did not.
    pub(super) error: Option<ErrorClass>,
    /// The delivery that this one replays; null if it is no replay.
    pub(super) replay_of: Option<String>,
    /// The newest replay of it, which may repeat another replay of it; null if there is none.
    pub(super) newest_replay: Option<String>,
    /// The status of that replay; null if there is none.
    pub(super) newest_replay_status: Option<DeliveryStatus>,
    /// Whether it carries sample data (a test); receivers see `ngoma-test: true`.
    pub(super) test: bool,
}

impl From<&delivery::Delivery> for Delivery {
    fn from(delivery: &delivery::Delivery) -> Self {
        Self {
            delivery_id: delivery.id.to_string(),
            webhook_id: delivery.endpoint.on_wire(WEBHOOK),
            event_id: delivery.event.to_string(),
            event: delivery.kind.as_str().into(),
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
pub(super) struct DeliveryPage {
    /// The deliveries.
    pub(super) deliveries: Vec<Delivery>,
    /// The `cursor` of the next page; null on the last page. A page with few entries may not be the last.
    pub(super) next_cursor: Option<String>,
}

impl From<Page<delivery::Delivery>> for DeliveryPage {
    fn from(page: Page<delivery::Delivery>) -> Self {
        Self { deliveries: page.items.iter().map(Delivery::from).collect(), next_cursor: page.next }
    }
}

/// A delivery with its attempts.
#[derive(Debug, Serialize, Object)]
pub(super) struct DeliveryDetails {
    /// The delivery.
    #[oai(flatten)]
    #[serde(flatten)]
    pub(super) delivery: Delivery,
    /// Every attempt that has ended, in order.
    pub(super) attempts: Vec<Attempt>,
}

impl DeliveryDetails {
    pub(super) fn new(delivery: &delivery::Delivery, attempts: &[delivery::Attempt]) -> Self {
        Self { delivery: Delivery::from(delivery), attempts: attempts.iter().map(Attempt::from).collect() }
    }
}
