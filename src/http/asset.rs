//! Pages and files that never change while the server runs. They have an ETag, so that a slow link loads them once.
//! Each is made and compressed when it is first asked for; then all answers share its bytes.

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

use crate::error::{Error, Result};

/// Marks an answer whose bytes are shared by all who ask for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct SharedBytes;

/// A page or file that never changes.
pub(crate) struct Asset {
    content_type: &'static str,
    make: Box<dyn Fn() -> Result<String> + Send + Sync>,
    immutable: bool,
    ready: OnceLock<Ready>,
}

/// An asset that was made.
struct Ready {
    etag: String,
    policy: String,
    gzip: Bytes,
    /// The bytes for the few clients that take no gzip; made when the first of them asks.
    plain: OnceLock<Bytes>,
}

impl Asset {
    /// An asset of this type, which `make` makes.
    pub(crate) fn new(content_type: &'static str, make: impl Fn() -> Result<String> + Send + Sync + 'static) -> Self {
        Self { content_type, make: Box::new(make), immutable: false, ready: OnceLock::new() }
    }

    /// For an asset whose address names its content in the query: a browser loads it once and never asks again.
    pub(crate) fn immutable(self) -> Self {
        Self { immutable: true, ..self }
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
        let etag = data_encoding::HEXLOWER.encode(&Sha256::digest(text)[..8]);
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

/// The policy of a page: it may run the scripts that stand in it, and ask this server; nothing else.
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

impl Endpoint for Asset {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Err(MethodNotAllowedError.into());
        }
        let (ready, lasts) = (self.ready()?, self.immutable && request.uri().query().is_some());
        let response = Response::builder()
            .extension(SharedBytes)
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
