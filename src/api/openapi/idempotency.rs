//! The header `Idempotency-Key`. A key that cannot be read is refused: if it were dropped, a repeat would be a second
//! event, or a second webhook.

use data_encoding::HEXLOWER;
use poem::{Request, RequestBody, http::HeaderMap};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaParamIn, MetaSchemaRef, Registry},
    types::Type,
};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::{
    app::Once,
    domain::event::IdempotencyKey,
    error::{Error, Result},
    http::context::RequestContext,
};

/// The name of the header.
pub(super) const HEADER: &str = "idempotency-key";

/// The header of a request, if it has one, and what is read from it.
pub(crate) struct KeyHeader<T> {
    /// The key as it was sent, without quotes.
    pub(crate) text: Option<String>,
    read: T,
}

/// The key of a publish. The event itself, or the batch, takes it.
pub(crate) type Key = KeyHeader<()>;

/// The key of any other request that may be repeated. A handler takes it after the body, which it names too.
pub(crate) type Repeat = KeyHeader<Option<IdempotencyKey>>;

/// What is read from the header.
pub(crate) trait OfHeader: Sized {
    /// Reads the text of the header.
    ///
    /// # Errors
    /// A text that is no key.
    fn read(request: &Request, text: Option<&str>) -> Result<Self>;
}

impl OfHeader for () {
    fn read(_: &Request, _: Option<&str>) -> Result<()> {
        Ok(())
    }
}

impl OfHeader for Option<IdempotencyKey> {
    fn read(request: &Request, text: Option<&str>) -> Result<Self> {
        let Some(text) = text else { return Ok(None) };
        let body = RequestContext::of(request)?.body_digest().map(|digest| HEXLOWER.encode(&digest));
        let parts = [request.method().as_str(), request.uri().path(), body.as_deref().unwrap_or_default()];
        IdempotencyKey::new(text, &parts).map(Some)
    }
}

impl Repeat {
    /// The request, with the view in which its answer is printed.
    pub(crate) fn answering<T, V: Serialize>(self, view: impl FnOnce(&T) -> V + Send + Sync + 'static) -> Once<T> {
        Once::new(self.read, move |made| {
            let printed = serde_json::to_string(&view(made)).map(Zeroizing::new);
            printed.map_err(|flaw| Error::Internal(format!("an answer could not be written: {flaw}")))
        })
    }
}

impl<'a, T: OfHeader> ApiExtractor<'a> for KeyHeader<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];

    type ParamType = Option<String>;
    type ParamRawType = String;

    fn register(registry: &mut Registry) {
        <Option<String> as Type>::register(registry);
    }

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Header)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(Option::<String>::schema_ref())
    }

    fn param_raw_type(&self) -> Option<&String> {
        self.text.as_ref()
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        options: ExtractParamOptions<Option<String>>,
    ) -> poem::Result<Self> {
        let text = only(request.headers(), options.name)?;
        Ok(Self { read: T::read(request, text)?, text: text.map(str::to_owned) })
    }
}

/// The text of a header. It may be sent several times, but with the same text.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>> {
    let mut only = None;
    for value in headers.get_all(name) {
        let text = str::from_utf8(value.as_bytes());
        let text = unquoted(text.map_err(|_| Error::request(format!("{name} is no text: send it in ASCII or UTF-8")))?);
        if only.replace(text).is_some_and(|other| other != text) {
            return Err(Error::request(format!("{name} was sent twice, with different values: send one")));
        }
    }
    Ok(only)
}

/// A structured header value is quoted; a bare one is taken too (IETF draft 07 of the Idempotency-Key header).
fn unquoted(key: &str) -> &str {
    key.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(key)
}
