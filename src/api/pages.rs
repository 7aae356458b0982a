//! Pages that never change while the server runs: with an ETag, so that a slow link loads them once. Each is made and
//! compressed when it is first asked for, as most servers never are; then all answers share its bytes.

use std::{
    io::{Read, Write},
    sync::OnceLock,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use hyper::body::Bytes;
use poem::{
    Endpoint, Request, Response,
    error::MethodNotAllowedError,
    http::{Method, StatusCode},
};
use sha2::{Digest, Sha256};

use super::exchange::Shared;
use crate::error::{Error, Result};

/// A page that can be asked for.
pub(super) struct Page {
    content_type: &'static str,
    make: Box<dyn Fn() -> Result<String> + Send + Sync>,
    kept: bool,
    ready: OnceLock<Ready>,
}

/// A page that was made.
struct Ready {
    etag: String,
    policy: String,
    gzip: Bytes,
    /// For the few that take no gzip; made when the first of them asks.
    plain: OnceLock<Bytes>,
}

impl Page {
    /// A page of this type, made so.
    pub(super) fn new(content_type: &'static str, make: impl Fn() -> Result<String> + Send + Sync + 'static) -> Self {
        Self { content_type, make: Box::new(make), kept: false, ready: OnceLock::new() }
    }

    /// The same, for a page whose address says by its query which content it has: a browser never asks for it again.
    pub(super) fn kept(self) -> Self {
        Self { kept: true, ..self }
    }

    fn ready(&self) -> Result<&Ready> {
        if let Some(ready) = self.ready.get() {
            return Ok(ready);
        }
        let ready = Ready::compress((self.make)()?.as_bytes()).map_err(|flaw| unmade(&flaw))?;
        Ok(self.ready.get_or_init(|| ready))
    }
}

impl Ready {
    fn compress(text: &[u8]) -> std::io::Result<Self> {
        let etag = Sha256::digest(text)[..8].iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text)?;
        let policy = policy(&String::from_utf8_lossy(text));
        Ok(Self { etag: format!("\"{etag}\""), policy, gzip: encoder.finish()?.into(), plain: OnceLock::new() })
    }

    fn plain(&self) -> std::io::Result<Bytes> {
        if let Some(plain) = self.plain.get() {
            return Ok(plain.clone());
        }
        let mut plain = Vec::new();
        GzDecoder::new(&self.gzip[..]).read_to_end(&mut plain)?;
        Ok(self.plain.get_or_init(|| plain.into()).clone())
    }
}

/// What a page may do: run the scripts that stand in it, and ask this server; nothing else.
fn policy(page: &str) -> String {
    let scripts = page.split("</script>").filter_map(|part| part.split_once("<script")?.1.split_once('>'));
    let hash = |(_, script): (_, &str)| format!(" 'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(script)));
    let scripts: String = scripts.map(hash).collect();
    let scripts = if scripts.is_empty() { " 'none'" } else { &scripts };
    format!(
        "default-src 'none'; script-src{scripts}; style-src 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; \
         form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
    )
}

fn unmade(flaw: &std::io::Error) -> Error {
    Error::Internal(format!("a page cannot be made: {flaw}"))
}

impl Endpoint for Page {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Err(MethodNotAllowedError.into());
        }
        let (ready, lasts) = (self.ready()?, self.kept && request.uri().query().is_some());
        let response = Response::builder()
            .extension(Shared)
            .header("etag", &ready.etag)
            .header("cache-control", if lasts { "public, max-age=31536000, immutable" } else { "no-cache" })
            .header("content-security-policy", &ready.policy)
            .header("x-content-type-options", "nosniff")
            .header("vary", "accept-encoding");
        let lists = |header: &str, wanted: &str| {
            request.header(header).is_some_and(|value| value.split(',').any(|part| part.trim().starts_with(wanted)))
        };
        if lists("if-none-match", &ready.etag) || lists("if-none-match", &format!("W/{}", ready.etag)) {
            return Ok(response.status(StatusCode::NOT_MODIFIED).finish());
        }
        let response = response.content_type(self.content_type);
        Ok(if lists("accept-encoding", "gzip") {
            response.header("content-encoding", "gzip").body(ready.gzip.clone())
        } else {
            response.body(ready.plain().map_err(|flaw| unmade(&flaw))?)
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
  <li><a href="/ui">The dashboard</a>: what goes out, what waits, what fails, and what to do about it</li>
  <li><a href="/guide">The guide</a>: how to run this server, publish to it, and repair what fails</li>
  <li><a href="/docs">The docs</a>: every route of both vendors, to read and to try</li>
  <li><a href="/openapi.json">openapi.json</a>: the contract, for programs</li>
  <li><a href="/health/ready">Health</a>: can it do its work? (<a href="/health/live">is it alive?</a>)</li>
</ul>
<p>No token yet? On the server: <code>ngoma account create --help</code>, then <code>ngoma token create --help</code>.</p>
</html>
"#;
