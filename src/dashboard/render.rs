//! From a page to an answer: its text, its headers, its compression.

use std::io::Write;

use askama::Template;
use flate2::{Compression, write::GzEncoder};
use poem::{
    IntoResponse, Response, Result,
    http::{HeaderValue, StatusCode, header},
};

use crate::error::Error;

pub(super) const HTML: &str = "text/html; charset=utf-8";

/// The policy of every page: it loads from this server alone, and its forms go to this server alone.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Pages shorter than this are sent as they are.
const WORTH_COMPRESSING: usize = 1024;

pub(super) fn page(template: &impl Template) -> Result<Response> {
    let unmade = |flaw: askama::Error| Error::Internal(format!("a page cannot be made: {flaw}"));
    let text = template.render().map_err(unmade)?;
    Ok(Response::builder().content_type(HTML).body(text))
}

/// A page as an answer, with the status of the error on it, if there is one.
pub(super) fn page_with(template: &impl Template, error: Option<Error>) -> Result<Response> {
    let mut response = page(template)?;
    if let Some(error) = error {
        response.set_status(poem::Error::from(error).status());
    }
    Ok(response)
}

/// Leads to another page, after a form.
pub(super) fn go(to: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    if let Ok(to) = HeaderValue::from_str(to) {
        response.headers_mut().insert(header::LOCATION, to);
    }
    response
}

/// Adds the headers that keep other sites out of a page.
pub(super) fn sealed(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
        // Not 'no-referrer': then a browser would not send the origin of a form.
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A page in gzip. Other sites cannot have a browser ask for a page with its cookie, so the length reveals nothing to
/// them.
pub(super) async fn compressed(mut response: Response) -> Response {
    let text = response.take_body().into_bytes().await.unwrap_or_default();
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if text.len() < WORTH_COMPRESSING {
        response.set_body(text);
        return response;
    }
    let plain = text.clone();
    let zip = tokio::task::spawn_blocking(move || {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&plain)?;
        encoder.finish()
    });
    if let Ok(Ok(zipped)) = zip.await {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        response.set_body(zipped);
    } else {
        response.set_body(text);
    }
    response
}
