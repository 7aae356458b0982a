//! An event that was checked against the catalogue, with the body of its deliveries and the answer to its publisher.

use super::{
    catalogue,
    envelope::{self, Stored},
    fit,
    profile::WEBHOOK,
    wire::{Accepted, DeliveryRef, EventInput},
};
use crate::{
    app::{
        Access, Events,
        publish::{Draft, Refusal},
    },
    config,
    domain::{
        event::{self, IdempotencyKey},
        json,
        timestamp::Timestamp,
    },
    error::{Error, Invalid, Result},
};

/// The sentence about an unusable idempotency key, in the header or in the body.
const WRONG_KEY: &str = "idempotency_key (or the header Idempotency-Key) must have 1 to 255 bytes";

pub(super) struct CatalogueEvent {
    cooperative: String,
    kind: String,
    api_version: String,
    /// The data as it will be delivered.
    data: String,
    created_at: Option<String>,
    key: Option<IdempotencyKey>,
    /// Where the data does not fit the catalogue, if the settings ask for it.
    pub(super) misfits: Vec<String>,
}

impl CatalogueEvent {
    /// Checks an event against the catalogue and the limits; `key` is the header's.
    pub(super) fn new(
        event: EventInput,
        key: Option<String>,
        access: &Access<Events>,
        (settings, limits): (&config::AsiliChain, &config::Limits),
    ) -> Result<Self> {
        let cooperative = access.acts_for(event.cooperative_id.as_deref(), "cooperative_id")?;
        let data = check(&event, limits)?;
        let (kind, api_version) = (event.event.into_text(), settings.api_version.clone());
        let misfits = fit::misfits_if(settings.validate, &kind, &data);
        let created_at = event.created_at;
        let mut checked = Self { cooperative, kind, api_version, data, created_at, key: None, misfits };
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

    /// The parts that identify the event within its account, in which its key is known.
    fn parts(&self) -> [&str; 3] {
        [&self.kind, &self.data, self.created_at.as_deref().unwrap_or_default()]
    }

    /// Gives each event of a batch without a key a key of its own: the batch's key and its place.
    pub(super) fn name_all(events: &mut [Self], key: &str) -> Result<()> {
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

    pub(super) fn answer(self, accepted: &event::Accepted) -> Result<Accepted> {
        let deliveries = accepted.deliveries.iter().map(|(delivery, endpoint)| DeliveryRef {
            delivery_id: delivery.to_string(),
            webhook_id: endpoint.on_wire(WEBHOOK),
        });
        Ok(Accepted {
            event_id: accepted.id.to_string(),
            event: self.kind.into(),
            cooperative_id: self.cooperative,
            created_at: Stored::read(&accepted.body)?.created_at,
            deliveries: deliveries.collect(),
        })
    }
}

impl Draft for CatalogueEvent {
    fn account(&self) -> &str {
        &self.cooperative
    }

    fn kind(&self) -> &str {
        &self.kind
    }

    fn body(&self, at: Timestamp) -> Result<String> {
        let now = at.to_string();
        let stated = self.created_at.as_deref().unwrap_or(&now);
        Ok(envelope::stored(&self.kind, &self.api_version, stated, &self.data))
    }

    fn key(&self) -> Option<&IdempotencyKey> {
        self.key.as_ref()
    }

    fn refused(&self, _: Refusal) -> Error {
        // No event names a single target, so only a reused key is refused.
        let message = "this Idempotency-Key was used before with another body: use a new key for a new event";
        Error::invalid(Invalid::KeyReused, message)
    }
}

/// Checks an event against the catalogue, and prints its data as it will be delivered.
fn check(body: &EventInput, limits: &config::Limits) -> Result<String> {
    catalogue::find(body.event.as_ref())?;
    body.created_at.as_deref().map(|time| Timestamp::read("created_at", time)).transpose()?;
    let data = body.data.0.get();
    if !data.starts_with('{') {
        return Err(Error::invalid(Invalid::Payload, "data is no JSON object"));
    }
    let limits = json::Limits { depth: limits.json_depth, string_bytes: limits.string_bytes };
    json::stringify(data, limits).map_err(|flaw| Error::invalid(Invalid::Payload, format!("data{flaw}")))
}
