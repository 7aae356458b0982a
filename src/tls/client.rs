//! HTTP to the directory of an authority, as the ACME library asks for it.
//!
//! The operator names the directory in the settings, as the mail server: the guard of deliveries does not judge it.

use std::{future::Future, path::Path, pin::Pin, sync::Arc, time::Duration};

use http_body_util::BodyExt;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use tokio::task::spawn_blocking;
use tokio_util::bytes::Bytes;
use ureq::{
    Agent,
    http::Request,
    tls::{Certificate, RootCerts, TlsConfig},
};

use crate::{engine::authorities, error::Result};

/// One request, from the look-up of the name to the end of the answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The largest answer that is read, in bytes: a chain has some KiB.
const MOST: u64 = 1 << 20;

/// A client of a directory.
#[derive(Debug, Clone)]
pub(super) struct Client(Agent);

impl Client {
    /// A client that trusts the public authorities and, if the path is not empty, those of this PEM file.
    ///
    /// # Errors
    /// A file that cannot be used.
    pub(super) fn new(extra_ca: &Path) -> Result<Self> {
        let roots = if extra_ca.as_os_str().is_empty() {
            RootCerts::WebPki
        } else {
            let trusted = authorities("tls.extra_ca", extra_ca)?;
            let trusted = trusted.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
            RootCerts::Specific(Arc::new(trusted))
        };
        let agent = Agent::config_builder()
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .https_only(true)
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .build();
        Ok(Self(agent.into()))
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let agent = self.0.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let Ok(body) = body.collect().await.map(|body| body.to_bytes());
            let answer = spawn_blocking(move || -> Result<BytesResponse, ureq::Error> {
                let answer = if body.is_empty() {
                    agent.run(Request::from_parts(head, ()))?
                } else {
                    agent.run(Request::from_parts(head, &body[..]))?
                };
                let (parts, mut body) = answer.into_parts();
                let bytes = body.with_config().limit(MOST).read_to_vec()?;
                Ok(BytesResponse { parts, body: Box::new(Bytes::from(bytes)) })
            });
            let answer = answer.await.map_err(|error| Error::Other(error.into()))?;
            answer.map_err(|error| Error::Other(error.into()))
        })
    }
}
