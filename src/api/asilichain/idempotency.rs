//! The header `Idempotency-Key`. A key that cannot be read is refused: if it were dropped, a repeat would be a second
//! event.

use poem::{Request, RequestBody, http::HeaderMap};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaParamIn, MetaSchemaRef, Registry},
    types::Type,
};

use crate::error::{Error, Result};

/// The key of a publish, if the request has one.
pub(super) struct Key(pub(super) Option<String>);

impl<'a> ApiExtractor<'a> for Key {
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
        self.0.as_ref()
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        options: ExtractParamOptions<Option<String>>,
    ) -> poem::Result<Self> {
        Ok(Self(only(request.headers(), options.name)?.map(str::to_owned)))
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
