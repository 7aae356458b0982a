//! How events are published: the memory that they hold until they are stored, and batches, which are stored as a whole or
//! not at all.
//!
//! A batch that has been read waits for a place until few others are on their way to the database. A client that sends its
//! batch slowly holds no place.

use std::time::Duration;

use poem::{FromRequest, Request, RequestBody};

use super::openapi::batch;
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

/// What a publish holds until it is stored, also if its client has gone away: the memory of its body, and the place of a
/// batch. It is taken when the body has been read.
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
/// A batch that is empty or too long; the fault of the first event that cannot be published, with its place.
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
