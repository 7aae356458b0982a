//! The routes under `/events`, and the catalogue.

use poem::web::Data;
use poem_openapi::{ApiResponse, OpenApi, param::Path};

use super::{
    Errors, NAME, WEBHOOK,
    catalogue::{self, CATALOGUE},
    envelope::{self, Stored},
    idempotency::Key,
    wire::{Accepted, AcceptedEvents, Delivery, DeliveryRef, EventType, EventView, NewEvent, NewEvents},
};
use crate::{
    api::{
        Deps, Tag,
        auth::Authenticated,
        body::{Body, Printed, RawObject},
        publishing::{self, Place},
        refused::{Refused, WithBody, WithoutBody},
    },
    config,
    domain::{
        event::{self, Audience, IdempotencyKey, Published},
        excerpt::excerpt,
        ids::EventId,
        json,
        timestamp::Timestamp,
        token::{Caller, Scope},
    },
    error::{Error, Invalid, Missing, Result},
    store::{Admission, Tx, accounts, deliveries, events},
};

/// What is said of a key that is none, wherever it stands.
const WRONG_KEY: &str = "idempotency_key (or the header Idempotency-Key) must have 1 to 255 bytes";

/// The routes.
pub(crate) struct Routes;

#[derive(ApiResponse)]
enum Publication {
    /// On disk, and on its way.
    #[oai(status = 202)]
    Accepted(Body<Accepted>),
}

#[derive(ApiResponse)]
enum BatchPublication {
    /// All of them are on disk, and on their way.
    #[oai(status = 202)]
    Accepted(Printed<AcceptedEvents>),
}

#[OpenApi(tag = "Tag::AsiliChain")]
impl Routes {
    /// Publish an event
    ///
    /// A 202 means: on disk, and on its way to every webhook of the cooperative that wants it. With an `Idempotency-Key`
    /// the same request may be sent again: it gets the same answer and is delivered once. A key holds as long as its event
    /// is kept: 30 days, unless the server's `retention.delivered` says otherwise (a day at least). Needs the scope
    /// `events`.
    #[oai(path = "/events", method = "post", operation_id = "publishEvent")]
    async fn publish(
        &self,
        auth: Authenticated,
        deps: Data<&Deps>,
        settings: Data<&config::AsiliChain>,
        /// Any text of 1 to 255 bytes in ASCII or UTF-8, quoted or bare, that names this publish within the cooperative.
        #[oai(name = "Idempotency-Key")]
        idempotency_key: Key,
        body: Body<NewEvent>,
        place: Place,
    ) -> Result<Publication, Refused<Errors, WithBody>> {
        let (grant, _) = auth.0.walls(NAME, Scope::Events)?;
        let checked = Checked::new(body.0, idempotency_key.0, &auth.0, &deps.limits)?;
        let api_version = settings.api_version.clone();
        let (checked, accepted, _held) = deps
            .db
            .write(grant, Admission::Try, move |tx| {
                let accepted = checked.store(tx, &api_version)?;
                Ok((checked, accepted, place))
            })
            .await?;
        deps.db.metrics().accepted(NAME, 1);
        Ok(Publication::Accepted(Body(checked.answer(&accepted)?)))
    }

    /// Publish many events at once
    ///
    /// 1 to 1,000 events (`limits.events_per_batch`) that come to 10,000 deliveries at most (`limits.deliveries_per_batch`), all
    /// or none: a 202 means that each is on disk and on its way, a refusal
    /// that nothing was stored; it names the first event at fault by its place, such as `events[3]`. They are taken in their
    /// order and answered in it. A batch may be sent again if its events have keys of their own (`idempotency_key`), or if it
    /// has one as a whole (`Idempotency-Key`): it gets the same answer and is delivered once. Needs the scope `events`.
    #[oai(path = "/events/batch", method = "post", operation_id = "publishBatch")]
    async fn publish_batch(
        &self,
        auth: Authenticated,
        deps: Data<&Deps>,
        settings: Data<&config::AsiliChain>,
        /// Any text of 1 to 255 bytes in ASCII or UTF-8, quoted or bare, that names this batch within the cooperative. An
        /// event with an `idempotency_key` of its own is known by that instead.
        #[oai(name = "Idempotency-Key")]
        idempotency_key: Key,
        body: Body<NewEvents>,
        place: Place,
    ) -> Result<BatchPublication, Refused<Errors, WithBody>> {
        let (grant, _) = auth.0.walls(NAME, Scope::Events)?;
        let (caller, limits) = (auth.0, deps.limits.clone());
        let check = move |event| Checked::new(event, None, &caller, &limits);
        let mut events = publishing::check(body.0.events, &deps.limits, check).await?;
        if let Some(key) = idempotency_key.0 {
            Checked::name_all(&mut events, &key)?;
        }
        let api_version = settings.api_version.clone();
        let store = move |tx: &Tx<'_>, event: &Checked| event.store(tx, &api_version);
        let (place, stored) = publishing::publish(&deps, grant, place, events, store).await?;
        deps.db.metrics().accepted(NAME, stored.len());
        let answer = move || {
            let _held = place;
            let events = stored.into_iter().map(|(event, accepted)| event.answer(&accepted));
            Ok(AcceptedEvents { events: events.collect::<Result<_>>()? })
        };
        Ok(BatchPublication::Accepted(Printed::new(answer).await?))
    }

    /// Look at an event
    ///
    /// Its data, as it is delivered, and what became of its deliveries. Needs the scope `events`.
    #[oai(path = "/events/:event_id", method = "get", operation_id = "getEvent")]
    async fn get(
        &self,
        auth: Authenticated,
        deps: Data<&Deps>,
        /// The event's id, `evt_...`.
        event_id: Path<String>,
    ) -> Result<Body<EventView>, Refused<Errors, WithoutBody>> {
        let (grant, walls) = auth.0.walls(NAME, Scope::Events)?;
        let id = EventId::parse(&event_id.0).ok_or(Error::NotFound(Missing::Event))?;
        let look = deps.db.read_as(grant, move |view| {
            let event = events::find(view, &walls, id)?;
            let body = deliveries::body_of(view, event.id)?;
            let deliveries = deliveries::of_event(view, event.key)?;
            Ok((event, body, deliveries))
        });
        let (event, body, deliveries) = look.await?;
        let stored = Stored::read(&body.map_err(Error::from)?)?;
        Ok(Body(EventView {
            event_id: event.id.to_string(),
            event: event.kind,
            cooperative_id: event.account_id,
            created_at: stored.created_at,
            data: stored.data,
            deliveries: deliveries.iter().map(Delivery::from).collect(),
        }))
    }

    /// The catalogue of events
    ///
    /// Every event there is, what makes it happen, who cares, and sample data. Needs a token, of any scope.
    #[oai(path = "/event-types", method = "get", operation_id = "listEventTypes")]
    async fn event_types(&self, auth: Authenticated) -> Result<Body<Vec<EventType>>, Refused<Errors, WithoutBody>> {
        auth.0.walls(NAME, Scope::Webhooks).or_else(|_| auth.0.walls(NAME, Scope::Events))?;
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

/// An event that may be published.
struct Checked {
    cooperative: String,
    kind: String,
    /// As it will be delivered.
    data: String,
    created_at: Option<String>,
    key: Option<IdempotencyKey>,
}

impl Checked {
    /// Holds an event against the catalogue and the limits; `key` is the header's.
    fn new(event: NewEvent, key: Option<String>, caller: &Caller, limits: &config::Limits) -> Result<Self> {
        let cooperative = caller.acts_for(event.cooperative_id.as_deref(), "cooperative_id")?.to_owned();
        let data = check(&event, limits)?;
        let mut checked = Self { cooperative, kind: event.event, data, created_at: event.created_at, key: None };
        let own = event.idempotency_key;
        if own.as_ref().is_some_and(|own| own.contains('\n')) {
            return Err(Error::request("idempotency_key holds a line break: send a text of one line"));
        }
        if matches!((&key, &own), (Some(key), Some(own)) if key != own) {
            return Err(Error::request("idempotency_key is not the header's Idempotency-Key: send one of them"));
        }
        if let Some(key) = key.or(own) {
            let key = IdempotencyKey::new(&key, &checked.parts());
            checked.key = Some(key.map_err(|_| Error::request(WRONG_KEY))?);
        }
        Ok(checked)
    }

    /// What makes it the event that it is, its cooperative left out, within which its key is known.
    fn parts(&self) -> [&str; 3] {
        [&self.kind, &self.data, self.created_at.as_deref().unwrap_or_default()]
    }

    /// Names every event of a batch that has no key of its own by its place in it.
    fn name_all(events: &mut [Self], key: &str) -> Result<()> {
        let own = |event: &Self| event.key.as_ref().map_or_else(String::new, |key| key.text.clone());
        let keys: Vec<String> = events.iter().map(own).collect();
        let parts = events
            .iter()
            .zip(&keys)
            .flat_map(|(event, key)| [event.cooperative.as_str(), key].into_iter().chain(event.parts()));
        let whole = IdempotencyKey::new(key, &parts.collect::<Vec<_>>())?;
        let unnamed = events.iter_mut().enumerate().filter(|(_, event)| event.key.is_none());
        unnamed.for_each(|(place, event)| event.key = Some(whole.nth(place)));
        Ok(())
    }

    /// Stores it and sends it on its way.
    fn store(&self, tx: &Tx<'_>, api_version: &str) -> Result<event::Accepted> {
        let now = tx.now.to_string();
        let stated = self.created_at.as_deref().unwrap_or(&now);
        let event = event::NewEvent {
            account: accounts::find(tx, NAME, &self.cooperative)?.key,
            body: envelope::stored(&self.kind, api_version, stated, &self.data).into(),
            kind: self.kind.clone(),
            idempotency_key: self.key.clone(),
        };
        match events::publish(tx, &event, &Audience::Subscribers)? {
            Published::Accepted(accepted) => Ok(accepted),
            Published::Reused | Published::NoSuchTarget => Err(Error::invalid(
                Invalid::KeyReused,
                "this Idempotency-Key was used before with another body: use a new key for a new event",
            )),
        }
    }

    /// What its publisher is told.
    fn answer(self, accepted: &event::Accepted) -> Result<Accepted> {
        let deliveries = accepted.deliveries.iter().map(|(delivery, endpoint)| DeliveryRef {
            delivery_id: delivery.to_string(),
            webhook_id: endpoint.on_wire(WEBHOOK),
        });
        Ok(Accepted {
            event_id: accepted.id.to_string(),
            event: self.kind,
            cooperative_id: self.cooperative,
            created_at: Stored::read(&accepted.body)?.created_at,
            deliveries: deliveries.collect(),
        })
    }
}

/// Checks an event against the catalogue, and prints its data as it will be delivered.
fn check(body: &NewEvent, limits: &config::Limits) -> Result<String> {
    if catalogue::find(&body.event).is_none() {
        let message = format!("event '{}' is unknown: GET /event-types lists the catalogue", excerpt(&body.event));
        return Err(Error::invalid(Invalid::UnknownEvent, message));
    }
    body.created_at.as_deref().map(|time| Timestamp::read("created_at", time)).transpose()?;
    let data = body.data.0.get();
    if !data.starts_with('{') {
        return Err(Error::invalid(Invalid::Payload, "data is no JSON object"));
    }
    let limits = json::Limits { depth: limits.json_depth, string_bytes: limits.string_bytes };
    json::stringify(data, limits).map_err(|flaw| Error::invalid(Invalid::Payload, format!("data{flaw}")))
}
