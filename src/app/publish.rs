//! Publishing: one event, or a batch, of which all events are stored or none.

use super::{Access, App, Events};
use crate::{
    domain::{
        event::{Accepted, Audience, IdempotencyKey, NewEvent, Published},
        timestamp::Timestamp,
    },
    error::{Error, Invalid, Result},
    store::{Admission, Tx, accounts, events},
};

/// An event that a door has checked against its vendor's page.
pub trait Draft: Send + 'static {
    /// The id of the account that gets it.
    fn account(&self) -> &str;

    /// Its name in the catalogue.
    fn kind(&self) -> &str;

    /// The body of its deliveries, for the vendor's envelope to finish. `at` is the time of acceptance.
    ///
    /// # Errors
    /// Faults of ours only.
    fn body(&self, at: Timestamp) -> Result<String>;

    /// The key under which a repeat is recognised, if it has one.
    fn key(&self) -> Option<&IdempotencyKey>;

    /// The endpoints that get it.
    fn audience(&self) -> &Audience {
        &Audience::Subscribers
    }

    /// The refusal, in the vendor's words.
    fn refused(&self, why: Refusal) -> Error;
}

/// Why a well-formed event is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Its key was used before with another body.
    KeyReused,
    /// No active webhook has the URL that the event names.
    NoSuchTarget,
}

impl App {
    /// Publishes an event. It is on disk when this returns. `held`, which counts the event's memory, is kept until the
    /// event is stored, also if the request has gone away.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an unknown account; [`Draft::refused`]; [`Error::TooMany`] if the account's share of the
    /// database is used up.
    pub async fn publish<D: Draft, H: Send + 'static>(
        &self,
        access: &Access<Events>,
        draft: D,
        held: H,
    ) -> Result<(D, Accepted)> {
        let vendor = self.vendor(access)?;
        let publish = move |tx: &Tx<'_>| {
            let accepted = store(tx, vendor, &draft)?;
            Ok((draft, accepted, held))
        };
        let (draft, accepted, _held) = self.0.db.write(access.actor(), Admission::Try, publish).await?;
        self.metrics().accepted(vendor, 1);
        Ok((draft, accepted))
    }

    /// Publishes many events in one transaction. Returns each with its result, in their order, and `held`, which the
    /// caller keeps until the answer is printed.
    ///
    /// # Errors
    /// As [`App::publish`], with the place of the event at fault; then no event is stored. [`Error::Invalid`] if they
    /// have more deliveries than `limits.deliveries_per_batch`.
    pub async fn publish_many<D: Draft, H: Send + 'static>(
        &self,
        access: &Access<Events>,
        drafts: Vec<D>,
        held: H,
    ) -> Result<(Vec<(D, Accepted)>, H)> {
        let (vendor, most) = (self.vendor(access)?, self.limits().deliveries_per_batch);
        let publish = move |tx: &Tx<'_>| {
            let mut deliveries = 0;
            let each = |(place, draft)| {
                let accepted = store(tx, vendor, &draft).and_then(|accepted| {
                    deliveries += accepted.deliveries.len();
                    if deliveries > most { Err(too_many(most)) } else { Ok(accepted) }
                });
                Ok((draft, accepted.map_err(|error| error.within(format!("events[{place}]: ")))?))
            };
            let stored = drafts.into_iter().enumerate().map(each).collect::<Result<Vec<_>>>()?;
            Ok((stored, held))
        };
        let (stored, held) = self.0.db.write(access.actor(), Admission::Batch, publish).await?;
        self.metrics().accepted(vendor, stored.len());
        Ok((stored, held))
    }

    /// The profile of the vendor on whose route a request publishes.
    fn vendor(&self, access: &Access<Events>) -> Result<&'static str> {
        Ok(self.dialect(access.visible().profile.as_deref().unwrap_or_default())?.profile.name)
    }
}

/// Stores an event and makes its deliveries.
fn store(tx: &Tx<'_>, vendor: &str, draft: &impl Draft) -> Result<Accepted> {
    let event = NewEvent {
        account: accounts::find(tx, vendor, draft.account())?.key,
        kind: draft.kind().to_owned(),
        body: draft.body(tx.now)?.into(),
        idempotency_key: draft.key().cloned(),
    };
    match events::publish(tx, &event, draft.audience())? {
        Published::Accepted(accepted) => Ok(accepted),
        Published::Reused => Err(draft.refused(Refusal::KeyReused)),
        Published::NoSuchTarget => Err(draft.refused(Refusal::NoSuchTarget)),
    }
}

fn too_many(most: usize) -> Error {
    Error::invalid(
        Invalid::Payload,
        format!(
            "with this one they come to more than {most} deliveries (limits.deliveries_per_batch): publish fewer at once"
        ),
    )
}
