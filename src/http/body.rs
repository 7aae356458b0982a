//! The bytes of a request's body: their limit, and the memory that they take.

use std::{io, sync::Arc, time::Duration};

use poem::{FromRequest, Request, RequestBody, Result, http::StatusCode};
use tokio::io::AsyncReadExt;
use zeroize::Zeroizing;

use super::{budget::Budgets, context::RequestContext};
use crate::error::Error;

/// The memory for a body at first, in bytes; it is doubled when it is full. These first bytes are not counted.
const UNCOUNTED: usize = 4096;
/// How long a body waits for more memory.
const PATIENCE: Duration = Duration::from_secs(2);

/// The limits of a request's body; attached to every request.
#[derive(Debug, Clone)]
pub(crate) struct BodyLimits {
    /// Most bytes.
    pub(crate) bytes: usize,
    /// The limits of its events, if it is a batch.
    pub(crate) batch: Option<BatchLimits>,
    /// The memory that all bodies share.
    pub(crate) budgets: Arc<Budgets>,
}

/// How many events a batch may have, and how large each may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchLimits {
    /// Most events.
    pub(crate) events: usize,
    /// Most bytes of an event, as it is written.
    pub(crate) event_bytes: usize,
}

/// Reads a body of at most `limit` bytes, whether or not it announces its length. It may hold a secret: it is wiped.
///
/// Memory is taken as the bytes come, so a slow client holds little more than it has sent.
pub(crate) async fn read(request: &Request, body: &mut RequestBody, limit: usize) -> Result<Zeroizing<Vec<u8>>> {
    let too_large =
        || poem::Error::from_string(format!("the body is larger than {limit} bytes"), StatusCode::PAYLOAD_TOO_LARGE);
    let announced = request.header("content-length").and_then(|length| length.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let mut reader = <poem::Body as FromRequest>::from_request(request, body).await?.into_async_read();
    // One byte more than the limit, to see whether the body goes on.
    let most = announced.unwrap_or(limit) + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(most.min(UNCOUNTED)));
    let failed = |error: io::Error| Error::request(format!("the body could not be read: {error}"));
    while reader.read_buf(&mut *bytes).await.map_err(failed)? > 0 {
        if bytes.len() > limit {
            return Err(too_large());
        }
        if bytes.len() == bytes.capacity() {
            let room = (2 * bytes.len()).min(most);
            count(request, room - bytes.len()).await?;
            // A vector that grows by itself leaves a copy of the secret behind.
            let mut larger = Zeroizing::new(Vec::with_capacity(room));
            larger.extend_from_slice(&bytes);
            bytes = larger;
        }
    }
    RequestContext::of(request)?.read_body();
    Ok(bytes)
}

/// Takes this many bytes of the memory for bodies, until the request is answered or its events are stored.
async fn count(request: &Request, bytes: usize) -> Result<(), Error> {
    let missing = || Error::Internal("a body without limits".to_owned());
    let budgets = &request.data::<BodyLimits>().ok_or_else(missing)?.budgets;
    let context = request.data::<RequestContext>().ok_or_else(missing)?;
    // Requests without a token share one part.
    let part = budgets.request_bytes.take(&context.holder().unwrap_or_default(), bytes, PATIENCE).await;
    context.count_body(part.ok_or_else(|| {
        let message = "the server has no memory for this request now, as others are not stored yet \
                       (limits.request_bytes): nothing was stored; try again";
        Error::Unavailable(message.to_owned())
    })?);
    Ok(())
}
