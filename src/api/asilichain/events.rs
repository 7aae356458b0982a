//! The routes under `/events`, and the catalogue.

use poem::web::Data;
use poem_openapi::{
    OpenApi,
    param::{Path, Query},
};

use super::{
    catalogue::{CATALOGUE, EventNames},
    draft::CatalogueEvent,
    errors::{Errors, NoCooperative},
    event_wire::{EventPage, EventType, EventView},
    examples::Tag,
    warnings::{BatchPublication, Publication, Warnings},
    wire::{AcceptedEvents, EventInput, EventsInput},
};
use crate::{
    api::{
        openapi::{
            Body, Key, Printed, RawObject, Refused, Word,
            refusals::{BadPayload, KeyReused, NoEvent, Publish, Token, UnknownEvent},
        },
        publishing::{self, Place},
    },
    app::{Access, AnyScope, App, Events, PageRequest, events::EventFilter},
    config,
    domain::timestamp::Timestamp,
    error::{Error, Result},
};

#[derive(Default)]
pub(crate) struct Routes {
    warnings: Warnings,
}

#[OpenApi(tag = "Tag::AsiliChain")]
impl Routes {
    /// Publish an event
    ///
    /// Publishes an event. It stores the event and sends it to every webhook of the account that wants it. A 202 means:
    /// the event is on disk. With an `Idempotency-Key` the same request may be sent again: it gets the same answer and
    /// is delivered once. A key holds as long as its event is kept: 30 days, unless the server's `retention.delivered`
    /// says otherwise (at least a day). Data that does not fit the catalogue is accepted; the header `X-Ngoma-Warnings`
    /// says where. Needs the scope `events`.
    #[oai(path = "/events", method = "post", operation_id = "publishEvent")]
    async fn publish(
        &self,
        access: Access<Events>,
        app: Data<&App>,
        settings: Data<&config::AsiliChain>,
        /// A text of 1 to 255 bytes in ASCII or UTF-8, quoted or bare, that names this publish within the account.
        #[oai(name = "Idempotency-Key")]
        idempotency_key: Key,
        body: Body<EventInput>,
        place: Place,
    ) -> Result<Publication, Refused<Errors, (Publish, NoCooperative, UnknownEvent, BadPayload, KeyReused)>> {
        let event = CatalogueEvent::new(body.0, idempotency_key.0, &access, (&settings, app.limits()))?;
        let (event, accepted) = app.publish(&access, event, place).await?;
        let warnings = self.warnings.of(&event, &accepted);
        Ok(Publication::Accepted(Body(event.answer(&accepted)?), warnings))
    }

    /// Publish many events at once
    ///
    /// Publishes 1 to 1,000 events (`limits.events_per_batch`) with at most 10,000 deliveries
    /// (`limits.deliveries_per_batch`) together. It stores and sends all of them, or none. A 202 means: all events are
    /// on disk. A refusal means: nothing was stored; it names the first event at fault by its place, such as
    /// `events[3]`. The answers come in the order of the events. The same batch may be sent again if its events have
    /// keys of their own (`idempotency_key`), or if the batch has one (`Idempotency-Key`): it gets the same answer and
    /// is delivered once. Needs the scope `events`.
    #[oai(path = "/events/batch", method = "post", operation_id = "publishBatch")]
    async fn publish_batch(
        &self,
        access: Access<Events>,
        app: Data<&App>,
        settings: Data<&config::AsiliChain>,
        /// A text of 1 to 255 bytes in ASCII or UTF-8, quoted or bare, that names this batch within the account. An
        /// event with an `idempotency_key` of its own is known by that key instead.
        #[oai(name = "Idempotency-Key")]
        idempotency_key: Key,
        body: Body<EventsInput>,
        place: Place,
    ) -> Result<BatchPublication, Refused<Errors, (Publish, NoCooperative, UnknownEvent, BadPayload, KeyReused)>> {
        let (publisher, of) = (access.clone(), (settings.clone(), app.limits().clone()));
        let check = move |event| CatalogueEvent::new(event, None, &publisher, (&of.0, &of.1));
        let mut events = publishing::check(body.0.events, app.limits(), check).await?;
        if let Some(key) = idempotency_key.0 {
            CatalogueEvent::name_all(&mut events, &key)?;
        }
        let (stored, place) = app.publish_many(&access, events, place).await?;
        let warnings = self.warnings.of_all(&stored);
        let answer = move || {
            let _held = place;
            let events = stored.into_iter().map(|(event, accepted)| event.answer(&accepted));
            Ok(AcceptedEvents { events: events.collect::<Result<_>>()? })
        };
        Ok(BatchPublication::Accepted(Printed::new(answer).await?, warnings))
    }

    /// List events
    ///
    /// Lists the events of the account, newest first, page by page. It changes nothing. Of events that no webhook got,
    /// only the last 10,000 of this server are listed, unless `q` or `since` leads to them. A page with a filter may
    /// have few entries or none, and still have a `next_cursor`. Needs the scope `events`.
    #[oai(path = "/events", method = "get", operation_id = "listEvents")]
    #[expect(clippy::too_many_arguments, reason = "each is a documented parameter of the route")]
    async fn list(
        &self,
        access: Access<Events>,
        app: Data<&App>,
        /// Only events accepted at this time or later: RFC 3339.
        since: Query<Option<String>>,
        /// Only events accepted at this time or earlier: RFC 3339.
        until: Query<Option<String>>,
        /// Only events of this name.
        event: Query<Option<Word<EventNames>>>,
        /// What to look for: the id of an event, a delivery or a webhook; an idempotency key; or words of the payload, all
        /// of which it must hold, in any letter case. Words between quotes must stand together. Ids and keys are found at
        /// once. A page looks through payloads for 2 s: it may have few entries or none, and still have a `next_cursor`,
        /// which goes on further back.
        q: Query<Option<String>>,
        /// Entries on a page: at least 1, at most the server's `limits.page_size`. Default: 20.
        limit: Query<Option<u32>>,
        /// The `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Body<EventPage>, Refused<Errors, (Token, UnknownEvent)>> {
        let filter = EventFilter {
            account: None,
            kind: event.0.map(Word::into_text),
            from: Timestamp::read_if("since", since.0.as_deref())?,
            to: Timestamp::read_if("until", until.0.as_deref())?,
        };
        let found = app.events(&access, (filter, q.0), PageRequest::asked(limit.0, cursor.0)).await?;
        Ok(Body(found.page.into()))
    }

    /// Get an event
    ///
    /// Shows an event with its data as it is delivered, and the state of its deliveries. It changes nothing. Needs the
    /// scope `events`.
    #[oai(path = "/events/:event_id", method = "get", operation_id = "getEvent")]
    async fn get(
        &self,
        access: Access<Events>,
        app: Data<&App>,
        /// The event's id, `evt_...`.
        event_id: Path<String>,
    ) -> Result<Body<EventView>, Refused<Errors, (Token, NoEvent)>> {
        Ok(Body(EventView::new(app.event(&access, &event_id.0).await?)?))
    }

    /// List the catalogue of events
    ///
    /// Lists the catalogue: every event with its cause, its use and sample data. It changes nothing. Needs a token of
    /// any scope.
    #[oai(path = "/event-types", method = "get", operation_id = "listEventTypes")]
    async fn event_types(&self, _access: Access<AnyScope>) -> Result<Body<Vec<EventType>>, Refused<Errors, Token>> {
        let types = CATALOGUE.iter().map(|entry| {
            Ok(EventType {
                name: entry.name.into(),
                trigger: entry.trigger.to_owned(),
                useful_for: entry.useful_for.to_owned(),
                sample: serde_json::from_str::<RawObject>(entry.sample)
                    .map_err(|flaw| Error::Internal(flaw.to_string()))?,
            })
        });
        Ok(Body(types.collect::<Result<_>>()?))
    }
}
