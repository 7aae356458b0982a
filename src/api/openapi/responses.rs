//! The error responses that an operation documents, each in the shape of its door.

use std::marker::PhantomData;

use poem_openapi::{
    ApiResponse,
    registry::{MetaMediaType, MetaResponse, MetaResponses, Registry},
    types::Type,
};

use crate::error::Error;

/// The shape of an error at a door, and the meaning of each status.
pub(crate) trait Shape: Send + Sync + 'static {
    type Body: Type;
    /// Each status that its routes answer, with its meaning and the codes it comes with.
    const MEANINGS: &'static [(u16, &'static str)];
}

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
        let meanings = S::MEANINGS.iter().filter(|(status, _)| K::STATUSES.contains(status));
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
