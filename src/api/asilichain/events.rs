//! The routes under `/events`, and the catalogue.

use poem::web::Data;
use poem_openapi::{ApiResponse, OpenApi, param::Path};

use super::{
    Errors, NAME, WEBHOOK,
    catalogue::{self, CATALOGUE},
    envelope::{self, Stored},
    idempotency::Key,
    wire::{Accepted, Delivery, DeliveryRef, EventType, EventView, NewEvent},
};
use crate::{
    api::{
        Deps, Tag,
        auth::Authenticated,
        body::{Body, RawObject},
        refused::{Refused, WithBody, WithoutBody},
    },
    config,
    domain::{
        event::{self, Audience, IdempotencyKey, Published},
        excerpt::excerpt,
        ids::EventId,
        json,
        timestamp::{MAX_TIME, Timestamp},
        token::Scope,
    },
    error::{Error, Invalid, Missing, Result},
    store::{Tx, accounts, deliveries, events},
};

/// The routes.
pub(crate) struct Routes;

#[derive(ApiResponse)]
enum Publication {
    /// On disk, and on its way.
    #[oai(status = 202)]
    Accepted(Body<Accepted>),
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
    ) -> Result<Publication, Refused<Errors, WithBody>> {
        auth.0.walls(NAME, Scope::Events)?;
        let account_id = auth.0.acts_for(body.0.cooperative_id.as_deref(), "cooperative_id")?.to_owned();
        let data = check(&body.0, &deps.limits)?;
        let NewEvent { event: kind, created_at, .. } = body.0;
        let key = idempotency_key
            .0
            .map(|key| IdempotencyKey::new(&key, &[&kind, &data, created_at.as_deref().unwrap_or_default()]));
        let key = key.transpose()?;
        let api_version = settings.api_version.clone();
        let account = account_id.clone();
        let named = kind.clone();
        let publish = move |tx: &Tx<'_>| {
            let stated = created_at.unwrap_or_else(|| tx.now.to_string());
            let event = event::NewEvent {
                account: accounts::find(tx, NAME, &account)?.key,
                body: envelope::stored(&kind, &api_version, &stated, &data).into(),
                kind,
                idempotency_key: key,
            };
            events::publish(tx, &event, &Audience::Subscribers)
        };
        let Published::Accepted(accepted) = deps.db.write(publish).await? else {
            let message = "this Idempotency-Key was used before with another body: use a new key for a new event";
            return Err(Error::invalid(Invalid::KeyReused, message).into());
        };
        let deliveries = accepted.deliveries.iter().map(|(delivery, endpoint)| DeliveryRef {
            delivery_id: delivery.to_string(),
            webhook_id: endpoint.on_wire(WEBHOOK),
        });
        Ok(Publication::Accepted(Body(Accepted {
            event_id: accepted.id.to_string(),
            event: named,
            cooperative_id: account_id,
            created_at: Stored::read(&accepted.body)?.created_at,
            deliveries: deliveries.collect(),
        })))
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
        let walls = auth.0.walls(NAME, Scope::Events)?;
        let id = EventId::parse(&event_id.0).ok_or(Error::NotFound(Missing::Event))?;
        let look = deps.db.read(move |view| {
            let event = events::find(view, &walls, id)?;
            let deliveries = deliveries::of_event(view, event.key)?;
            Ok((event, deliveries))
        });
        let (event, deliveries) = look.await?;
        let stored = Stored::read(&event.body)?;
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

/// Checks an event against the catalogue, and prints its data as it will be delivered.
fn check(body: &NewEvent, limits: &config::Limits) -> Result<String> {
    if catalogue::find(&body.event).is_none() {
        let message = format!("event '{}' is unknown: GET /event-types lists the catalogue", excerpt(&body.event));
        return Err(Error::invalid(Invalid::UnknownEvent, message));
    }
    if body.created_at.as_deref().is_some_and(|time| !Timestamp::is_rfc3339(time)) {
        let message =
            format!("created_at is no RFC 3339 time of at most {MAX_TIME} bytes, such as 2026-04-20T11:55:00Z");
        return Err(Error::request(message));
    }
    let data = body.data.0.get();
    if !data.starts_with('{') {
        return Err(Error::invalid(Invalid::Payload, "data is no JSON object"));
    }
    let limits = json::Limits { depth: limits.json_depth, string_bytes: limits.string_bytes };
    json::stringify(data, limits).map_err(|flaw| Error::invalid(Invalid::Payload, format!("data{flaw}")))
}
