//! The error responses that an operation documents, each in the shape of its door.

use std::marker::PhantomData;

use poem_openapi::{
    ApiResponse,
    registry::{MetaMediaType, MetaResponse, MetaResponses, Registry},
    types::Type,
};
use serde::Serialize;

use super::body::Body;
use crate::error::Error;

/// The shape of an error at a door, and the meaning of each status.
pub(crate) trait Shape: Send + Sync + 'static {
    type Body: Type;
    /// The statuses of its routes, each with its meaning there. A status that is not listed has its meaning in [`COMMON`].
    const MEANINGS: &'static [(u16, &'static str)];
}

/// The meaning of each status that is the same at all doors with [`Failure`](super::Failure) as body.
const COMMON: [(u16, &str); 8] = [
    (400, "`INVALID_REQUEST`: the request is not of the documented form; the message names the fault and its place."),
    (401, "`UNAUTHORIZED`: no token, or one that is unknown or revoked, or has expired."),
    (414, "`INVALID_REQUEST`: the URL is longer than limits.request_url_bytes."),
    (415, "`UNSUPPORTED_MEDIA_TYPE`: the body is not sent as application/json in UTF-8, or is compressed."),
    (429, "`RATE_LIMITED`: too many requests of this token; `Retry-After` says how long to wait."),
    (
        431,
        "`INVALID_REQUEST`: there are more headers, or larger ones, than limits.request_headers and request_header_bytes allow.",
    ),
    (500, "`INTERNAL`: a fault of the server; its log says more, under the request_id."),
    (
        503,
        "`UNAVAILABLE`: the server cannot take this now: try again. Nothing was stored, unless the message says that this is not known.",
    ),
];

/// The errors that an operation can answer with.
pub(crate) trait Kind: Send + Sync + 'static {
    const STATUSES: &'static [u16];
}

/// For an operation without a token: the head of a request may be too large or broken.
#[derive(Debug)]
pub(crate) struct WithoutToken;

impl Kind for WithoutToken {
    const STATUSES: &'static [u16] = &[400, 414, 431];
}

/// For an operation that takes no body.
#[derive(Debug)]
pub(crate) struct WithoutBody;

impl Kind for WithoutBody {
    const STATUSES: &'static [u16] = &[400, 401, 403, 404, 414, 429, 431, 500, 503];
}

/// For an operation that takes no body and may conflict with the state of a thing.
#[derive(Debug)]
pub(crate) struct OnState;

impl Kind for OnState {
    const STATUSES: &'static [u16] = &[400, 401, 403, 404, 409, 414, 429, 431, 500, 503];
}

/// For an operation that takes a body.
#[derive(Debug)]
pub(crate) struct WithBody;

impl Kind for WithBody {
    const STATUSES: &'static [u16] = &[400, 401, 403, 404, 409, 413, 414, 415, 422, 429, 431, 500, 503];
}

/// The answer to a registration.
#[derive(ApiResponse)]
pub(crate) enum Registered<T: Type + Serialize> {
    /// The webhook is registered and active.
    #[oai(status = 201)]
    Created(Body<T>),
}

/// An error on its way out of a handler.
#[derive(Debug)]
pub(crate) struct Refused<S, K>(Error, PhantomData<(S, K)>);

impl<S, K> From<Error> for Refused<S, K> {
    fn from(error: Error) -> Self {
        Self(error, PhantomData)
    }
}

impl<S, K> From<Refused<S, K>> for poem::Error {
    fn from(refused: Refused<S, K>) -> Self {
        refused.0.into()
    }
}

impl<S: Shape, K: Kind> ApiResponse for Refused<S, K> {
    fn meta() -> MetaResponses {
        let meaning = |status| S::MEANINGS.iter().chain(&COMMON).find(|(of, _)| *of == status);
        let meanings = K::STATUSES.iter().filter_map(|status| meaning(*status));
        let responses = meanings.map(|(status, description)| MetaResponse {
            description,
            status: Some(*status),
            status_range: None,
            content: vec![MetaMediaType { content_type: "application/json", schema: S::Body::schema_ref() }],
            headers: Vec::new(),
        });
        MetaResponses { responses: responses.collect() }
    }

    fn register(registry: &mut Registry) {
        S::Body::register(registry);
    }
}
