//! The header `Idempotency-Key`. A key that cannot be read is refused: if it were dropped, a repeat would be a second
//! event, or a second webhook.

use data_encoding::HEXLOWER;
use poem::{Request, http::HeaderMap};
use serde::Serialize;
use zeroize::Zeroizing;

use super::header::{HeaderOf, OfHeader};
use crate::{
    app::Once,
    domain::event::IdempotencyKey,
    error::{Error, Result},
    http::context::RequestContext,
};

/// The name of the header.
pub(super) const HEADER: &str = "idempotency-key";

/// The key of a publish. The event itself, or the batch, takes it.
pub(crate) type Key = HeaderOf<Option<String>>;

/// The key of any other request that may be repeated. A handler takes it after the body, which it names too.
pub(crate) type Repeat = HeaderOf<Option<IdempotencyKey>>;

impl OfHeader for Option<String> {
    fn read(request: &Request, name: &str) -> Result<Self> {
        Ok(only(request.headers(), name)?.map(str::to_owned))
    }
}

impl OfHeader for Option<IdempotencyKey> {
    fn read(request: &Request, name: &str) -> Result<Self> {
        let Some(text) = only(request.headers(), name)? else { return Ok(None) };
        let body = RequestContext::of(request)?.body_digest().map(|digest| HEXLOWER.encode(&digest));
        let parts = [request.method().as_str(), request.uri().path(), body.as_deref().unwrap_or_default()];
        IdempotencyKey::new(text, &parts).map(Some)
    }
}

impl Repeat {
    /// The request, with the view in which its answer is printed.
    pub(crate) fn answering<T, V: Serialize>(self, view: impl FnOnce(&T) -> V + Send + Sync + 'static) -> Once<T> {
        Once::new(self.0, move |made| {
            let printed = serde_json::to_string(&view(made)).map(Zeroizing::new);
            printed.map_err(|flaw| Error::Internal(format!("an answer could not be written: {flaw}")))
        })
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
