//! JSON bodies, read from their raw text, so that a payload keeps each number's own literal.

use std::{borrow::Cow, fmt, marker::PhantomData};

use poem::{
    IntoResponse, Request, RequestBody, Response, Result,
    http::{StatusCode, header},
};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ApiResponse, ExtractParamOptions,
    error::ContentTypeError,
    payload::Payload,
    registry::{MetaMediaType, MetaRequest, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry},
    types::{ParseError, ParseFromJSON, ParseResult, ToJSON, Type},
};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{batch, idempotency::HEADER, json_error, unknown_members};
use crate::{
    app::Answer,
    domain::{signature::SigningSecret, token::BearerToken},
    error::Error,
    http::{
        blocking,
        body::{BodyLimits, read},
        context::RequestContext,
    },
};

/// Most bytes of an empty object, with white space.
const MOST_OF_NOTHING: usize = 1024;
/// An empty object.
const NOTHING: &[u8] = b"{}";

/// A JSON body: documented by its `Object`, read and written by serde.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

impl<T: Type> Payload for Body<T> {
    const CONTENT_TYPE: &'static str = "application/json";

    fn check_content_type(content_type: &str) -> bool {
        let mut parts = content_type.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default();
        essence.eq_ignore_ascii_case(Self::CONTENT_TYPE) && parts.all(is_utf8)
    }

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<'a, T: Type + DeserializeOwned + 'static> ApiExtractor<'a> for Body<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let content = vec![MetaMediaType { content_type: Self::CONTENT_TYPE, schema: T::schema_ref() }];
        Some(MetaRequest { description: None, content, required: T::IS_REQUIRED })
    }

    async fn from_request(request: &'a Request, body: &mut RequestBody, _: ExtractParamOptions<()>) -> Result<Self> {
        is_plain(request)?;
        let limits = request.data::<BodyLimits>().ok_or_else(|| Error::Internal("a body without limits".to_owned()))?;
        let bytes = read(request, body, limits.bytes).await?;
        match request.content_type() {
            // An optional body that is not there needs no type.
            None if bytes.is_empty() && !T::IS_REQUIRED => {}
            None => return Err(ContentTypeError::ExpectContentType.into()),
            Some(given) if Self::check_content_type(given) => {}
            Some(given) => return Err(ContentTypeError::NotSupported { content_type: given.to_owned() }.into()),
        }
        let context = RequestContext::of(request)?;
        let others = match context.door().publishing() {
            Some(_) => Others::Ignored,
            None => {
                if request.headers().contains_key(HEADER) {
                    context.note_body(digest(&bytes));
                }
                Others::Refused
            }
        };
        let (limits, length) = (limits.batch, bytes.len());
        let parse = move || -> Result<T> {
            limits.map_or(Ok(()), |limits| batch::check(limits, &bytes))?;
            Ok(parse(&bytes, others)?)
        };
        Ok(Self(blocking::run(length, parse).await??))
    }
}

/// The digest of a body: a repeat may have other white space between its parts.
fn digest(bytes: &[u8]) -> [u8; 32] {
    let compact = compact(bytes);
    Sha256::digest(if is_nothing(&compact) { NOTHING } else { &compact }).into()
}

/// Whether a body says nothing: there is none, or it is null or an empty object.
fn is_nothing(compact: &[u8]) -> bool {
    [b"", &b"null"[..], NOTHING].contains(&compact)
}

/// A body without the white space between its parts.
fn compact(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    let (mut in_text, mut escaped) = (false, false);
    let mut compact = Zeroizing::new(Vec::with_capacity(bytes.len()));
    compact.extend(bytes.iter().filter(|byte| {
        let kept = in_text || !byte.is_ascii_whitespace();
        if **byte == b'"' && !escaped {
            in_text = !in_text;
        }
        escaped = in_text && **byte == b'\\' && !escaped;
        kept
    }));
    compact
}

/// A request without a body. Null and an empty object are taken too: many clients send one with every POST.
pub(crate) struct NoBody;

impl<'a> ApiExtractor<'a> for NoBody {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    async fn from_request(request: &'a Request, body: &mut RequestBody, _: ExtractParamOptions<()>) -> Result<Self> {
        is_plain(request)?;
        let bytes = read(request, body, MOST_OF_NOTHING).await?;
        if is_nothing(&compact(&bytes)) {
            return Ok(Self);
        }
        Err(Error::request("this route takes no body: send none, or an empty object").into())
    }
}

/// What becomes of members that a body is not documented to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Others {
    /// A publish takes them: a platform's newer events must not be refused.
    Ignored,
    /// Every other body: a misspelt member would do nothing, in silence.
    Refused,
}

fn parse<T: Type + DeserializeOwned>(bytes: &[u8], others: Others) -> Result<T, Error> {
    let bytes = if bytes.is_empty() && !T::IS_REQUIRED { b"null" } else { bytes };
    let text = json_error::text(bytes)?;
    let mut reader = serde_json::Deserializer::from_str(text);
    let mut unknown = unknown_members::Unknown::default();
    let value = match others {
        Others::Ignored => serde_path_to_error::deserialize(&mut reader),
        Others::Refused => {
            let mut note = |path: serde_ignored::Path<'_>| unknown.note(&path);
            serde_path_to_error::deserialize(serde_ignored::Deserializer::new(&mut reader, &mut note))
        }
    };
    let value = value.map_err(|flaw| json_error::explain(text, &flaw.path().to_string(), flaw.inner()))?;
    reader.end().map_err(|flaw| json_error::explain(text, ".", &flaw))?;
    unknown.check::<T>()?;
    Ok(value)
}

/// An object, where serde would also take an array of its fields.
struct Whole<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Whole<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectOnly(PhantomData))
    }
}

struct ObjectOnly<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectOnly<T> {
    type Value = Whole<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Whole<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Whole)
    }
}

/// Reads a list of objects, for a field of a body.
pub(crate) fn objects<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    Ok(Vec::<Whole<T>>::deserialize(from)?.into_iter().map(|whole| whole.0).collect())
}

/// Whether a parameter of the content type allows UTF-8, the only encoding of JSON (RFC 8259, section 8.1).
fn is_utf8(parameter: &str) -> bool {
    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    let charset = value.trim().trim_matches('"');
    !name.trim().eq_ignore_ascii_case("charset")
        || ["utf-8", "utf8"].iter().any(|utf8| charset.eq_ignore_ascii_case(utf8))
}

/// Refuses a compressed body: bodies are read as they come.
fn is_plain(request: &Request) -> Result<()> {
    let mut codings = request.headers().get_all(header::CONTENT_ENCODING).iter();
    if codings.all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Ok(());
    }
    let message = "the body must not be compressed: send it without Content-Encoding";
    Err(poem::Error::from_string(message, StatusCode::UNSUPPORTED_MEDIA_TYPE))
}

impl<T: Serialize + Send> IntoResponse for Body<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(json) => Response::builder().content_type("application/json").body(json),
            Err(error) => {
                poem::Error::from(Error::Internal(format!("an answer could not be written: {error}"))).into_response()
            }
        }
    }
}

impl<T: Type> ApiResponse for Body<T> {
    fn meta() -> MetaResponses {
        let content = vec![MetaMediaType { content_type: Self::CONTENT_TYPE, schema: T::schema_ref() }];
        let response = MetaResponse {
            description: "Success.",
            status: Some(200),
            status_range: None,
            content,
            headers: Vec::new(),
        };
        MetaResponses { responses: vec![response] }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

/// A JSON body that is printed before it is answered: because it may be large, or because a repeat gets it too.
#[derive(Debug)]
pub(crate) struct Printed<T>(Vec<u8>, PhantomData<T>);

impl<T: Serialize> Printed<T> {
    /// A small answer, printed at once.
    pub(crate) fn of(value: &T) -> Result<Self, Error> {
        let printed = serde_json::to_vec(value);
        let printed = printed.map_err(|flaw| Error::Internal(format!("an answer could not be written: {flaw}")))?;
        Ok(Self(printed, PhantomData))
    }

    /// An answer that may be large, printed on a thread of its own.
    pub(crate) async fn new(make: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<Self, Error> {
        let print = move || {
            serde_json::to_vec(&make()?)
                .map_err(|flaw| Error::Internal(format!("an answer could not be written: {flaw}")))
        };
        Ok(Self(blocking::run(usize::MAX, print).await??, PhantomData))
    }
}

impl<T> From<Answer> for Printed<T> {
    fn from(answer: Answer) -> Self {
        Self(answer.as_bytes().to_vec(), PhantomData)
    }
}

impl<T: Type> Payload for Printed<T> {
    const CONTENT_TYPE: &'static str = Body::<T>::CONTENT_TYPE;

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Send> IntoResponse for Printed<T> {
    fn into_response(self) -> Response {
        // It may show a secret: no proxy and no browser keeps it.
        Response::builder().content_type("application/json").header(header::CACHE_CONTROL, "no-store").body(self.0)
    }
}

impl<T: Type + Send> ApiResponse for Printed<T> {
    fn meta() -> MetaResponses {
        Body::<T>::meta()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

/// A signing secret as it is sent or shown; wiped from memory when it is dropped.
#[derive(Deserialize, Serialize)]
#[serde(transparent)]
pub(crate) struct SecretText(pub(crate) Zeroizing<String>);

impl From<&BearerToken> for SecretText {
    fn from(token: &BearerToken) -> Self {
        Self(token.expose().to_owned().into())
    }
}

impl From<&SigningSecret> for SecretText {
    fn from(secret: &SigningSecret) -> Self {
        Self(secret.expose().to_owned().into())
    }
}

/// A JSON object, as it was written.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(transparent)]
pub(crate) struct RawObject(pub(crate) Box<RawValue>);

/// A JSON number, with its own literal.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub(crate) struct RawNumber(pub(crate) Box<RawValue>);

impl<'de> Deserialize<'de> for RawNumber {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        match raw.get().as_bytes().first() {
            Some(b'-' | b'0'..=b'9') => Ok(Self(raw)),
            _ => Err(serde::de::Error::custom("expected a number")),
        }
    }
}

macro_rules! raw_type {
    ($name:ident, $schema:literal, $set:expr) => {
        impl Type for $name {
            const IS_REQUIRED: bool = true;
            type RawValueType = Self;
            type RawElementValueType = Self;

            fn name() -> Cow<'static, str> {
                $schema.into()
            }

            fn schema_ref() -> MetaSchemaRef {
                let mut schema = MetaSchema::new($schema);
                let set: fn(&mut MetaSchema) = $set;
                set(&mut schema);
                MetaSchemaRef::Inline(Box::new(schema))
            }

            fn as_raw_value(&self) -> Option<&Self> {
                Some(self)
            }

            fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
                Box::new(std::iter::once(self))
            }
        }

        impl ParseFromJSON for $name {
            fn parse_from_json(value: Option<serde_json::Value>) -> ParseResult<Self> {
                serde_json::from_value(value.unwrap_or_default()).map_err(ParseError::custom)
            }
        }

        impl ToJSON for $name {
            fn to_json(&self) -> Option<serde_json::Value> {
                serde_json::to_value(self).ok()
            }
        }
    };
}

raw_type!(RawObject, "object", |schema| {
    schema.additional_properties = Some(Box::new(MetaSchemaRef::Inline(Box::new(MetaSchema::ANY))));
});
raw_type!(RawNumber, "number", |_| {});
raw_type!(SecretText, "string", |_| {});
