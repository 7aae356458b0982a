//! Pages that never change while the server runs: compressed once, with an ETag, so that a slow link loads them once. All
//! answers share their bytes.

use std::{io::Write, sync::Arc};

use flate2::{Compression, write::GzEncoder};
use hyper::body::Bytes;
use poem::{
    Endpoint, Request, Response,
    error::MethodNotAllowedError,
    http::{Method, StatusCode},
};
use sha2::{Digest, Sha256};

/// A page, ready to be sent.
#[derive(Clone)]
pub(super) struct Page(Arc<Ready>);

struct Ready {
    content_type: &'static str,
    etag: String,
    plain: Bytes,
    gzip: Option<Bytes>,
}

impl Page {
    /// Compresses a page.
    pub(super) fn new(content_type: &'static str, text: String) -> Self {
        let plain = Bytes::from(text);
        let digest = Sha256::digest(&plain);
        let etag = format!("\"{}\"", digest[..8].iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        let gzip = encoder.write_all(&plain).and_then(|()| encoder.finish()).ok().map(Bytes::from);
        Self(Arc::new(Ready { content_type, etag, plain, gzip }))
    }
}

impl Endpoint for Page {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let page = &self.0;
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Err(MethodNotAllowedError.into());
        }
        let response = Response::builder()
            .header("etag", &page.etag)
            .header("cache-control", "no-cache")
            .header("vary", "accept-encoding");
        let lists = |header: &str, wanted: &str| {
            request.header(header).is_some_and(|value| value.split(',').any(|part| part.trim().starts_with(wanted)))
        };
        if lists("if-none-match", &page.etag) || lists("if-none-match", &format!("W/{}", page.etag)) {
            return Ok(response.status(StatusCode::NOT_MODIFIED).finish());
        }
        let response = response.content_type(page.content_type);
        Ok(match &page.gzip {
            Some(gzip) if lists("accept-encoding", "gzip") => {
                response.header("content-encoding", "gzip").body(gzip.clone())
            }
            _ => response.body(page.plain.clone()),
        })
    }
}

/// The page that leads to everything.
pub(super) const INDEX: &str = r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Ngoma</title>
<style>
  :root { color-scheme: light dark; font: 1.05rem/1.6 system-ui, sans-serif }
  body { max-width: 38rem; margin: 3rem auto; padding: 0 1.2rem }
  li { margin: .4rem 0 }
</style>
<h1>Ngoma</h1>
<p>This server delivers webhooks: it stores events durably, signs them, delivers them, and retries.</p>
<ul>
  <li><a href="/docs">The docs</a>: every route of both vendors, to read and to try</li>
  <li><a href="/openapi.json">openapi.json</a>: the contract, for programs</li>
  <li><a href="/health/ready">Health</a>: can it do its work? (<a href="/health/live">is it alive?</a>)</li>
</ul>
<p>No token yet? On the server: <code>ngoma account create --help</code>, then <code>ngoma token create --help</code>.</p>
</html>
"#;
