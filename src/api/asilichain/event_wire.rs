//! Published events and the catalogue, in the vendor's words.

use poem_openapi::Object;
use serde::Serialize;

use super::{catalogue::EventNames, delivery_wire::Delivery, envelope::Stored};
use crate::{
    api::openapi::{RawObject, Word},
    app::{Page, events::EventDetails},
    domain::event,
    error::Result,
};

/// A published event and its deliveries.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "PublishedEvent")]
pub(super) struct EventView {
    /// The event's id.
    pub(super) event_id: String,
    /// Its name.
    pub(super) event: Word<EventNames>,
    /// The account that it belongs to.
    pub(super) cooperative_id: String,
    /// The time in the body of its deliveries.
    pub(super) created_at: String,
    /// The data, as it is delivered.
    pub(super) data: RawObject,
    /// Its deliveries, replays included.
    pub(super) deliveries: Vec<Delivery>,
}

impl EventView {
    pub(super) fn new(details: EventDetails) -> Result<Self> {
        let Stored { created_at, data } = Stored::read(details.body()?)?;
        Ok(Self {
            event_id: details.event.id.to_string(),
            event: details.event.kind.into(),
            cooperative_id: details.event.account_id,
            created_at,
            data,
            deliveries: details.deliveries.iter().map(Delivery::from).collect(),
        })
    }
}

/// An event in a list, without its data.
#[derive(Debug, Serialize, Object)]
pub(super) struct EventSummary {
    /// Its id.
    pub(super) event_id: String,
    /// Its name.
    pub(super) event: Word<EventNames>,
    /// The account that it belongs to.
    pub(super) cooperative_id: String,
    /// When this server accepted it: RFC 3339, UTC.
    pub(super) accepted_at: String,
    /// The key that it was published with; of an event of a batch with a key, the batch's. Null if it had none.
    pub(super) idempotency_key: Option<String>,
    /// Whether it is sample data (a test).
    pub(super) test: bool,
}

/// One page of events, newest first.
#[derive(Debug, Serialize, Object)]
pub(super) struct EventPage {
    /// The events.
    pub(super) events: Vec<EventSummary>,
    /// The `cursor` of the next page; null on the last page. A page with few entries may not be the last.
    pub(super) next_cursor: Option<String>,
}

impl From<Page<event::Event>> for EventPage {
    fn from(page: Page<event::Event>) -> Self {
        let summary = |event: event::Event| EventSummary {
            event_id: event.id.to_string(),
            idempotency_key: event.given_key().map(str::to_owned),
            event: event.kind.into(),
            cooperative_id: event.account_id,
            accepted_at: event.accepted_at.precise(),
            test: event.test,
        };
        Self { events: page.items.into_iter().map(summary).collect(), next_cursor: page.next }
    }
}

/// An event of the catalogue.
#[derive(Debug, Serialize, Object)]
pub(super) struct EventType {
    /// Its name.
    pub(super) name: Word<EventNames>,
    /// The cause of the event.
    pub(super) trigger: String,
    /// The use of the event.
    pub(super) useful_for: String,
    /// Sample data.
    pub(super) sample: RawObject,
}
