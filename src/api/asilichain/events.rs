//! The routes under `/events`, and the catalogue.

use poem::web::Data;
use poem_openapi::{OpenApi, param::Path};

use super::{
    catalogue::CATALOGUE,
    draft::CatalogueEvent,
    errors::Errors,
    examples::Tag,
    idempotency::Key,
    wire::{Accepted, AcceptedEvents, EventType, EventView, NewEvent, NewEvents},
};
use crate::{
    api::{
        openapi::{Body, Printed, RawObject, Refused, WithBody, WithoutBody},
        publishing::{self, BatchPublication, Place, Publication},
    },
    app::{Access, AnyScope, App, Events},
    config,
    error::{Error, Result},
};

pub(crate) struct Routes;

#[OpenApi(tag = "Tag::AsiliChain")]
impl Routes {
    /// Publish an event
    ///
    /// A 202 means: the event is on disk. It goes out to every webhook of the account that wants it. With an
    /// `Idempotency-Key` the same request may be sent again: it gets the same answer and is delivered once. A key holds
    /// as long as its event is kept: 30 days, unless the server's `retention.delivered` says otherwise (at least a
    /// day). Needs the scope `events`.
    #[oai(path = "/events", method = "post", operation_id = "publishEvent")]
    async fn publish(
        &self,
        access: Access<Events>,
        app: Data<&App>,
        settings: Data<&config::AsiliChain>,
        /// A text of 1 to 255 bytes in ASCII or UTF-8, quoted or bare, that names this publish within the account.
        #[oai(name = "Idempotency-Key")]
        idempotency_key: Key,
        body: Body<NewEvent>,
        place: Place,
    ) -> Result<Publication<Accepted>, Refused<Errors, WithBody>> {
        let event = CatalogueEvent::new(body.0, idempotency_key.0, &access, (&settings, app.limits()))?;
        let (event, accepted) = app.publish(&access, event, place).await?;
        Ok(Publication::Accepted(Body(event.answer(&accepted)?)))
    }

    /// Publish many events at once
    ///
    /// 1 to 1,000 events (`limits.events_per_batch`) with at most 10,000 deliveries (`limits.deliveries_per_batch`). A
    /// 202 means: all events are on disk. A refusal means: nothing was stored; it names the first event at fault by its
    /// place, such as `events[3]`. The answers come in the order of the events. The same batch may be sent again if its
    /// events have keys of their own (`idempotency_key`), or if the batch has one (`Idempotency-Key`): it gets the same
    /// answer and is delivered once. Needs the scope `events`.
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
        body: Body<NewEvents>,
        place: Place,
    ) -> Result<BatchPublication<AcceptedEvents>, Refused<Errors, WithBody>> {
        let (publisher, of) = (access.clone(), (settings.clone(), app.limits().clone()));
        let check = move |event| CatalogueEvent::new(event, None, &publisher, (&of.0, &of.1));
        let mut events = publishing::check(body.0.events, app.limits(), check).await?;
        if let Some(key) = idempotency_key.0 {
            CatalogueEvent::name_all(&mut events, &key)?;
        }
        let (stored, place) = app.publish_many(&access, events, place).await?;
        let answer = move || {
            let _held = place;
            let events = stored.into_iter().map(|(event, accepted)| event.answer(&accepted));
            Ok(AcceptedEvents { events: events.collect::<Result<_>>()? })
        };
        Ok(BatchPublication::Accepted(Printed::new(answer).await?))
    }

    /// Get an event
    ///
    /// The event's data as it is delivered, and the state of its deliveries. Needs the scope `events`.
    #[oai(path = "/events/:event_id", method = "get", operation_id = "getEvent")]
    async fn get(
        &self,
        access: Access<Events>,
        app: Data<&App>,
        /// The event's id, `evt_...`.
        event_id: Path<String>,
    ) -> Result<Body<EventView>, Refused<Errors, WithoutBody>> {
        Ok(Body(EventView::new(app.event(&access, &event_id.0).await?)?))
    }

    /// List the catalogue of events
    ///
    /// Every event with its cause, its use and sample data. Needs a token of any scope.
    #[oai(path = "/event-types", method = "get", operation_id = "listEventTypes")]
    async fn event_types(
        &self,
        _access: Access<AnyScope>,
    ) -> Result<Body<Vec<EventType>>, Refused<Errors, WithoutBody>> {
        let types = CATALOGUE.iter().map(|entry| {
            Ok(EventType {
                name: entry.name.to_owned(),
                trigger: entry.trigger.to_owned(),
                useful_for: entry.useful_for.to_owned(),
                sample: serde_json::from_str::<RawObject>(entry.sample)
                    .map_err(|flaw| Error::Internal(flaw.to_string()))?,
            })
        });
        Ok(Body(types.collect::<Result<_>>()?))
    }
}
