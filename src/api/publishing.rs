//! What publishing has of its own: which requests do it, and how a batch goes: all of its events, or none.
//!
//! A batch is large, so there are only so many in memory at once, and of one token only a part of them. One more waits
//! before its body is read.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use poem::{FromRequest, Request, RequestBody, http::Method};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Deps, exchange::Exchange};
use crate::{
    config::Limits,
    domain::{event::Accepted, grant::Grant, ids::TokenId},
    error::{Error, Invalid, Result},
    store::{Admission, Tx},
};

/// One token may hold this part of the places.
const PART: usize = 4;

/// How a request publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One event.
    One,
    /// Many at once.
    Batch,
}

/// How this request publishes, if it does.
pub(super) fn form(request: &Request) -> Option<Form> {
    match (request.method(), request.uri().path()) {
        (&Method::POST, "/events" | "/v1/events") => Some(Form::One),
        (&Method::POST, "/events/batch" | "/v1/events/batch") => Some(Form::Batch),
        _ => None,
    }
}

/// The places of the batches that are in memory.
#[derive(Debug)]
pub struct Places {
    all: Arc<Semaphore>,
    each: usize,
    of_one: Mutex<HashMap<TokenId, Arc<Semaphore>>>,
}

impl Places {
    /// So many, a quarter of them for one token.
    pub fn new(all: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(all)), each: (all / PART).max(1), of_one: Mutex::default() }
    }

    fn of(&self, token: TokenId) -> Arc<Semaphore> {
        let mut of_one = self.of_one.lock().unwrap_or_else(PoisonError::into_inner);
        of_one.retain(|_, places| Arc::strong_count(places) > 1);
        Arc::clone(of_one.entry(token).or_insert_with(|| Arc::new(Semaphore::new(self.each))))
    }
}

/// The place of a batch, given back when it goes. Taken after the token is known and before the body is read.
pub(super) struct Place {
    _own: OwnedSemaphorePermit,
    _one: OwnedSemaphorePermit,
}

impl<'a> FromRequest<'a> for Place {
    async fn from_request(request: &'a Request, _: &mut RequestBody) -> poem::Result<Self> {
        let missing = || Error::Internal("a batch without its caller".to_owned());
        let places = &request.data::<Deps>().ok_or_else(missing)?.batches;
        let token = request.data::<Exchange>().and_then(|exchange| exchange.caller().0).ok_or_else(missing)?;
        let own = places.of(token).acquire_owned().await.map_err(|_| missing())?;
        let one = Arc::clone(&places.all).acquire_owned().await.map_err(|_| missing())?;
        Ok(Self { _own: own, _one: one })
    }
}

/// Checks every event of a batch, on a thread where that keeps nobody waiting: there may be many.
///
/// # Errors
/// A batch that is empty or too long; what is wrong with the first event that cannot be published, with its place.
pub(super) async fn check<E: Send + 'static, C: Send + 'static>(
    events: Vec<E>,
    limits: &Limits,
    check: impl Fn(E) -> Result<C> + Send + 'static,
) -> Result<Vec<C>> {
    let most = limits.events_per_batch;
    if !(1..=most).contains(&events.len()) {
        let count = events.len();
        return Err(Error::request(format!(
            "events has {count} entries: 1 to {most} are taken (limits.events_per_batch)"
        )));
    }
    let checked = tokio::task::spawn_blocking(move || {
        let each = |(place, event)| check(event).map_err(|error| error.within(format!("events[{place}].")));
        events.into_iter().enumerate().map(each).collect()
    });
    checked.await.unwrap_or_else(|_| Err(Error::Internal("checking a batch panicked".to_owned())))
}

/// Stores every event of a batch in one transaction, and gives each with its answer, in their order.
///
/// # Errors
/// Whatever keeps one of them from being stored, with its place; then none is.
pub(super) async fn publish<C: Send + 'static>(
    deps: &Deps,
    grant: Grant,
    place: Place,
    events: Vec<C>,
    store: impl Fn(&Tx<'_>, &C) -> Result<Accepted> + Send + 'static,
) -> Result<Vec<(C, Accepted)>> {
    let most = deps.limits.deliveries_per_batch;
    let publish = move |tx: &Tx<'_>| {
        // Held until it is written, also when whoever sent it has gone away.
        let _place = place;
        let mut deliveries = 0;
        let each = |(place, event)| {
            let accepted = store(tx, &event).map_err(|error| error.within(format!("events[{place}]: ")))?;
            deliveries += accepted.deliveries.len();
            if deliveries > most {
                return Err(too_many(most).within(format!("events[{place}]: ")));
            }
            Ok((event, accepted))
        };
        events.into_iter().enumerate().map(each).collect()
    };
    deps.db.write(grant, Admission::Batch, publish).await
}

fn too_many(most: usize) -> Error {
    Error::invalid(
        Invalid::Payload,
        format!(
            "with this one they come to more than {most} deliveries (limits.deliveries_per_batch): publish fewer at once"
        ),
    )
}
