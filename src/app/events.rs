//! Published events, and the state of their deliveries.

use super::{Access, App, Events, Page, PageRequest, id};
use crate::{
    domain::{
        delivery::{Attempt, Delivery},
        endpoint::Endpoint,
        event::{Event, StoredBody},
        ids::EventId,
        selection::check_time,
        timestamp::Timestamp,
        token::Visible,
    },
    error::{Error, Missing, Result},
    store::{View, deliveries, endpoints, event_list, events},
};

pub use crate::store::event_list::Filter as EventFilter;

/// A page of events.
#[derive(Debug, Default)]
pub struct EventPage {
    /// The events.
    pub page: Page<Event>,
    /// Whether older events of the account may be missing: those that none of its webhooks got.
    pub partial: bool,
}

/// An event, its stored body, and its deliveries.
#[derive(Debug)]
pub struct EventDetails {
    /// The event.
    pub event: Event,
    /// Its body, for its vendor's envelope to finish.
    pub body: StoredBody,
    /// Every delivery of it, in the order they were made.
    pub deliveries: Vec<Delivery>,
}

impl EventDetails {
    fn of(view: &View<'_>, event: Event) -> Result<Self> {
        let (body, deliveries) = (deliveries::body_of(view, event.id)?, deliveries::of_event(view, event.key)?);
        Ok(Self { event, body, deliveries })
    }

    /// The stored body.
    ///
    /// # Errors
    /// [`Error::Unreadable`] if it is damaged.
    pub fn body(&self) -> Result<&str> {
        self.body.as_deref().map_err(|damaged| Error::from(*damaged))
    }
}

impl App {
    /// A page of events, newest first: those that match the filter and in which the text is found. It reads at most
    /// 10,000 events, or looks through payloads for [`PATIENCE`](super::PATIENCE), so it may be short or empty and not
    /// the last. Without a text, it also finds every event that the webhooks of an account got.
    ///
    /// # Errors
    /// [`Error::TooMany`] if other searches through payloads do not end.
    pub async fn events(
        &self,
        access: &Access<Events>,
        (filter, text): (EventFilter, Option<String>),
        page: PageRequest,
    ) -> Result<EventPage> {
        check_time(filter.from, filter.to)?;
        self.0.dialects.check_event(access.visible(), filter.kind.as_deref())?;
        let (asked, turn) = self.asked(access, text, &page, EventId::parse).await?;
        let list = move |view: &View<'_>, visible: &Visible| {
            let _turn = turn;
            event_list::list(view, visible, &filter, &asked)
        };
        let found = self.read(access, list).await?;
        Ok(EventPage { page: Page::new(found.events, found.next), partial: found.partial })
    }

    /// At most `most` events that were published under this key, or in a batch under this key; the newest first.
    pub async fn events_keyed(&self, access: &Access<Events>, key: String, most: usize) -> Result<Vec<Event>> {
        self.read(access, move |view, visible| event_list::keyed(view, visible, &key, most)).await
    }

    /// One event.
    pub async fn event(&self, access: &Access<Events>, event: &str) -> Result<EventDetails> {
        let event = id(EventId::parse(event), Missing::Event)?;
        self.read(access, move |view, visible| EventDetails::of(view, events::find(view, visible, event)?)).await
    }

    /// As [`App::event`], with every webhook of its account.
    pub async fn event_and_webhooks(
        &self,
        access: &Access<Events>,
        event: &str,
    ) -> Result<(EventDetails, Vec<Endpoint>)> {
        let event = id(EventId::parse(event), Missing::Event)?;
        let look = move |view: &View<'_>, visible: &Visible| {
            let event = events::find(view, visible, event)?;
            let own = Visible { profile: None, account: Some(event.account) };
            Ok((
                EventDetails::of(view, event)?,
                endpoints::list(view, &own, Timestamp::from_millis(i64::MIN), (0, None))?,
            ))
        };
        self.read(access, look).await
    }

    /// The event that was published under this key, with the attempts of each delivery. If an account is named, only
    /// its event.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the caller sees none; [`Error::Invalid`] if several accounts have one.
    pub async fn event_by_key(
        &self,
        access: &Access<Events>,
        key: String,
        account: Option<String>,
    ) -> Result<(EventDetails, Vec<Vec<Attempt>>)> {
        let look = move |view: &View<'_>, visible: &Visible| {
            let event = events::find_by_key(view, visible, &key, account.as_deref())?;
            let details = EventDetails::of(view, event)?;
            let attempts = details.deliveries.iter().map(|delivery| deliveries::attempts(view, delivery.key));
            let attempts = attempts.collect::<Result<_>>()?;
            Ok((details, attempts))
        };
        self.read(access, look).await
    }
}
