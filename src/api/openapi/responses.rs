//! The responses that operations document: the error responses, each in the shape of its door, and an answer that both
//! vendors give.

use std::{
    collections::{BTreeMap, BTreeSet},
    marker::PhantomData,
    sync::{Mutex, PoisonError},
};

use poem_openapi::{
    ApiResponse,
    registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry},
    types::Type,
};
use serde::Serialize;
use url::form_urlencoded;

use super::{
    body::{Body, Printed},
    refusals::{Refusal, Refusals},
};
use crate::error::Error;

/// The shape of an error at a door.
pub(crate) trait Shape: Send + Sync + 'static {
    type Body: Type;
    /// Whether the body has the code of the error. If not, the document can only say its meaning.
    const HAS_CODES: bool;
}

/// A page of a list whose body is an array.
#[derive(ApiResponse)]
pub(crate) enum Listed<T: Type + Serialize> {
    /// Success.
    #[oai(status = 200)]
    Page(
        Body<Vec<T>>,
        /// `<...>; rel="next"`: the address of the next page (RFC 8288). There is none on the last page.
        #[oai(header = "Link")]
        Option<String>,
    ),
}

/// A thing with its version.
#[derive(ApiResponse)]
pub(crate) enum Versioned<T: Type + Serialize> {
    /// Success.
    #[oai(status = 200)]
    Current(
        Body<T>,
        /// The version of the webhook, for `If-Match`. Each change of its settings, its secret or its status makes another
        /// version, also when a delivery suspends it.
        #[oai(header = "ETag")]
        String,
    ),
}

/// The header `Link` for the page after this one: the same address, with this cursor and these other parameters.
pub(crate) fn next_page(path: &str, others: &[(&str, Option<String>)], cursor: Option<&str>) -> Option<String> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in others {
        value.as_deref().map(|value| query.append_pair(name, value));
    }
    query.append_pair("cursor", cursor?);
    Some(format!("<{path}?{}>; rel=\"next\"", query.finish()))
}

/// The answer to a registration.
#[derive(ApiResponse)]
pub(crate) enum Registered<T: Type + Serialize> {
    /// The webhook is registered and active.
    #[oai(status = 201)]
    Created(Printed<T>),
}

/// An error on its way out of a handler, at a door with errors of this shape; and the refusals that the operation may
/// answer with.
#[derive(Debug)]
pub(crate) struct Refused<S, R>(Error, PhantomData<(S, R)>);

impl<S, R> From<Error> for Refused<S, R> {
    fn from(error: Error) -> Self {
        Self(error, PhantomData)
    }
}

impl<S, R> From<Refused<S, R>> for poem::Error {
    fn from(refused: Refused<S, R>) -> Self {
        refused.0.into()
    }
}

impl<S: Shape, R: Refusals> ApiResponse for Refused<S, R> {
    fn meta() -> MetaResponses {
        let mut all = Vec::new();
        R::add_to(&mut all);
        let mut by_status: BTreeMap<u16, Vec<Refusal>> = BTreeMap::new();
        for refusal in all {
            let of_status = by_status.entry(refusal.status).or_default();
            of_status.retain(|other| other.code != refusal.code);
            of_status.push(refusal);
        }
        let responses = by_status.into_iter().map(|(status, refusals)| MetaResponse {
            description: kept(describe::<S>(&refusals)),
            status: Some(status),
            status_range: None,
            content: vec![MetaMediaType { content_type: "application/json", schema: S::Body::schema_ref() }],
            headers: refusals.iter().flat_map(|refusal| refusal.headers).map(|name| header(name)).collect(),
        });
        MetaResponses { responses: responses.collect() }
    }

    fn register(registry: &mut Registry) {
        S::Body::register(registry);
    }
}

/// The meanings of a status: a sentence for each, with its code if the door's errors have codes.
fn describe<S: Shape>(refusals: &[Refusal]) -> String {
    let sentence = |refusal: &Refusal| match refusal.meaning.split_at_checked(1) {
        // A sentence that begins with the name of a member keeps it as it is.
        Some((first, rest)) if !S::HAS_CODES && !rest.split(' ').next().is_some_and(|word| word.contains('_')) => {
            format!("{}{rest}", first.to_uppercase())
        }
        _ if !S::HAS_CODES => refusal.meaning.to_owned(),
        _ => format!("`{}`: {}", refusal.code, refusal.meaning),
    };
    refusals.iter().map(sentence).collect::<Vec<_>>().join(" ")
}

/// A header by its name; [`document`](super::document) describes it.
fn header(name: &str) -> MetaHeader {
    let schema = MetaSchemaRef::Inline(Box::new(MetaSchema::new("string")));
    MetaHeader { name: name.to_owned(), description: None, required: true, deprecated: false, schema }
}

/// The text as the library wants it: it lives as long as the program. Each text is kept once.
fn kept(text: String) -> &'static str {
    static TEXTS: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut texts = TEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = texts.get(text.as_str()) {
        return known;
    }
    let text: &'static str = text.leak();
    texts.insert(text);
    text
}
