//! Publishing: the memory that events hold until they are stored, and batches, of which all events are stored or none.
//!
//! A batch that has been read waits for a place until few others are on their way to the database. A client that sends
//! its batch slowly holds no place.

use std::time::Duration;

use poem::{FromRequest, Request, RequestBody};
use poem_openapi::{ApiResponse, types::Type};
use serde::Serialize;

use super::openapi::{Body, Printed, batch};
use crate::{
    config::Limits,
    error::{Error, Result},
    http::{
        auth::TokenCheck,
        blocking,
        budget::Part,
        context::{Publishing, RequestContext},
    },
};

/// The answer to a published event.
#[derive(ApiResponse)]
pub(super) enum Publication<T: Type + Serialize> {
    /// The event is on disk, and its deliveries go out.
    #[oai(status = 202)]
    Accepted(Body<T>),
}

/// The answer to a batch.
#[derive(ApiResponse)]
pub(super) enum BatchPublication<T: Type> {
    /// All events are on disk, and their deliveries go out.
    #[oai(status = 202)]
    Accepted(Printed<T>),
}

/// The memory of a publish's body and, for a batch, its place. They are taken when the body has been read, and held
/// until the events are stored, also if the client has gone away.
#[derive(Debug)]
pub(super) struct Place {
    _body: Option<Part>,
    _batch: Option<Part>,
}

impl<'a> FromRequest<'a> for Place {
    async fn from_request(request: &'a Request, _: &mut RequestBody) -> poem::Result<Self> {
        let missing = || Error::Internal("a publish without its caller".to_owned());
        let context = RequestContext::of(request)?;
        let mut place = Self { _body: context.take_body(), _batch: None };
        if context.door().publishing() == Some(Publishing::Batch) {
            let batches = &request.data::<TokenCheck>().ok_or_else(missing)?.budgets.batches;
            let holder = context.holder().ok_or_else(missing)?;
            place._batch = batches.take(&holder, 1, Duration::MAX).await;
        }
        Ok(place)
    }
}

/// Checks every event of a batch.
///
/// # Errors
/// The batch is empty or too long; or the first event that cannot be published, with its place.
pub(super) async fn check<E: Send + 'static, C: Send + 'static>(
    events: Vec<E>,
    limits: &Limits,
    check: impl Fn(E) -> Result<C> + Send + 'static,
) -> Result<Vec<C>> {
    batch::check_count(events.len(), limits.events_per_batch)?;
    let all = move || {
        let each = |(place, event)| check(event).map_err(|error| error.within(format!("events[{place}].")));
        events.into_iter().enumerate().map(each).collect()
    };
    blocking::run(usize::MAX, all).await?
}
