//! Published events, and the state of their deliveries.

use super::{Access, App, Events, Page, PageRequest, id};
use crate::{
    domain::{
        delivery::{Attempt, Delivery},
        endpoint::Endpoint,
        event::{Event, StoredBody},
        ids::EventId,
        token::AccessScope,
    },
    error::{Error, Missing, Result},
    store::{View, deliveries, endpoints, events},
};

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
    /// A page of events, newest first, of one account or one name if the filter asks for it. It reads at most 10,000
    /// events, so a page with a filter may be short or empty and not the last. For one account it also finds every
    /// event that its webhooks got.
    pub async fn events(
        &self,
        access: &Access<Events>,
        (account, kind): (Option<String>, Option<String>),
        page: PageRequest,
    ) -> Result<EventPage> {
        let (size, after) = (self.page_size(&page)?, page.after(EventId::parse)?);
        let filter = events::Filter { account, kind, after };
        let found = self.read(access, move |view, scope| events::list(view, scope, &filter, size)).await?;
        Ok(EventPage { page: Page::new(found.events, found.next), partial: found.partial })
    }

    /// One event.
    pub async fn event(&self, access: &Access<Events>, event: &str) -> Result<EventDetails> {
        let event = id(EventId::parse(event), Missing::Event)?;
        self.read(access, move |view, scope| EventDetails::of(view, events::find(view, scope, event)?)).await
    }

    /// As [`App::event`], with every webhook of its account.
    pub async fn event_and_webhooks(
        &self,
        access: &Access<Events>,
        event: &str,
    ) -> Result<(EventDetails, Vec<Endpoint>)> {
        let event = id(EventId::parse(event), Missing::Event)?;
        let look = move |view: &View<'_>, scope: &AccessScope| {
            let event = events::find(view, scope, event)?;
            let own = AccessScope { profile: None, account: Some(event.account) };
            Ok((EventDetails::of(view, event)?, endpoints::list(view, &own)?))
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
        let look = move |view: &View<'_>, scope: &AccessScope| {
            let event = events::find_by_key(view, scope, &key, account.as_deref())?;
            let details = EventDetails::of(view, event)?;
            let attempts = details.deliveries.iter().map(|delivery| deliveries::attempts(view, delivery.key));
            let attempts = attempts.collect::<Result<_>>()?;
            Ok((details, attempts))
        };
        self.read(access, look).await
    }
}
