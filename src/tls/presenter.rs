//! Which certificate a connection gets to see.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use rustls::{
    ServerConfig,
    crypto::ring,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use crate::error::{Error, Result};

/// The protocol of an authority that looks whether this server has a name (RFC 8737).
pub(crate) const CHALLENGE: &[u8] = b"acme-tls/1";

/// The protocols that are spoken: HTTP/1 only, as without TLS.
const PROTOCOLS: [&[u8]; 3] = [b"http/1.1", b"http/1.0", CHALLENGE];

/// Shows the present certificate to clients, and the answer to a challenge to the authority. Without a certificate, no
/// connection comes about.
#[derive(Debug, Default)]
pub(crate) struct Presenter {
    present: RwLock<Option<Arc<CertifiedKey>>>,
    /// The answers to challenges, by the name in question.
    challenges: RwLock<HashMap<String, Arc<CertifiedKey>>>,
}

impl Presenter {
    /// The configuration of connections to which this shows a certificate.
    ///
    /// # Errors
    /// A fault of the library.
    pub(crate) fn config(self: &Arc<Self>) -> Result<Arc<ServerConfig>> {
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| Error::Internal(format!("TLS cannot be set up: {error}")))?;
        let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::<Self>::clone(self));
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Arc::new(config))
    }

    /// Shows this one from now on.
    pub(super) fn show(&self, certificate: Arc<CertifiedKey>) {
        *self.present.write().unwrap_or_else(PoisonError::into_inner) = Some(certificate);
    }

    /// Shows this one to the authority, when it asks for this name.
    pub(super) fn answer(&self, name: String, certificate: CertifiedKey) {
        self.challenges.write().unwrap_or_else(PoisonError::into_inner).insert(name, Arc::new(certificate));
    }

    /// Answers no challenge any more.
    pub(super) fn end_challenges(&self) {
        self.challenges.write().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl ResolvesServerCert for Presenter {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if hello.alpn().is_some_and(|mut offered| offered.any(|protocol| protocol == CHALLENGE)) {
            let challenges = self.challenges.read().unwrap_or_else(PoisonError::into_inner);
            return challenges.get(hello.server_name()?).cloned();
        }
        self.present.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
