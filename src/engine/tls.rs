//! TLS to receivers: which certificates are trusted. One configuration serves every connection, so that all share the
//! sessions that receivers let resume.

use std::{path::Path, sync::Arc};

use rustls::{
    ALL_VERSIONS, CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use ureq::tls::{PemItem, parse_pem};

use crate::{
    config,
    error::{Error, Result},
};

/// Receivers whose sessions are kept.
const SESSIONS: usize = 512;

/// The certificates of a PEM file that this setting names, each as DER.
///
/// # Errors
/// A file that cannot be used.
fn given(setting: &str, extra_ca: &Path) -> Result<Vec<Vec<u8>>> {
    let unusable =
        |problem: String| Error::request(format!("{setting}: {} cannot be used: {problem}", extra_ca.display()));
    // Reading a pipe would block.
    if let Some(kind) = config::no_file(extra_ca) {
        return Err(Error::request(format!("{setting}: {} is {kind}, not a file", extra_ca.display())));
    }
    let pem = std::fs::read(extra_ca).map_err(|error| unusable(error.to_string()))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| unusable(error.to_string()))? {
            certificates.push(certificate.der().to_vec());
        }
    }
    if certificates.is_empty() {
        return Err(unusable("it holds no certificate in PEM form".to_owned()));
    }
    Ok(certificates)
}

/// The authorities to trust, each as DER: those of a PEM file that this setting names, and the public ones.
///
/// # Errors
/// A file that cannot be used.
pub fn authorities(setting: &str, extra_ca: &Path) -> Result<Vec<Vec<u8>>> {
    let mut authorities = given(setting, extra_ca)?;
    authorities.extend(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().map(|der| der.to_vec()));
    Ok(authorities)
}

/// The configuration of the connections to receivers. They trust the public authorities and, if the path is not empty,
/// the certificates of this PEM file.
///
/// # Errors
/// A file that cannot be used.
pub(super) fn client_config(extra_ca: &Path) -> Result<Arc<ClientConfig>> {
    let internal = |error: String| Error::Internal(format!("TLS cannot be set up: {error}"));
    let given = if extra_ca == Path::new("") { Vec::new() } else { given("egress.extra_ca", extra_ca)? };
    let given: Vec<CertificateDer<'static>> = given.into_iter().map(CertificateDer::from).collect();
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    // One that is no authority is passed over, as one among many in a file of the system.
    roots.add_parsable_certificates(given.iter().cloned());
    let provider = Arc::new(provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(&provider)).build();
    let verifier = verifier.map_err(|error| internal(error.to_string()))?;
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(ALL_VERSIONS);
    let builder = builder.map_err(|error| internal(error.to_string()))?;
    let mut config = if given.is_empty() {
        builder.with_webpki_verifier(verifier)
    } else {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(GivenOrSigned { given, verifier }))
    }
    .with_no_client_auth();
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    Ok(Arc::new(config))
}

/// ring, not aws-lc-rs: a program with it is 2 MB smaller, and as fast with the keys that most receivers have (P-256,
/// RSA). aws-lc-rs is two to three times as fast with P-384, and has P-521, which is rare.
fn provider() -> CryptoProvider {
    ring::default_provider()
}

/// Verifies as the web's rules say, with one exception. A receiver's own certificate that stands in `egress.extra_ca` is
/// trusted also if it calls itself an authority, as many self-signed ones do. Its name and its dates must be right.
#[derive(Debug)]
struct GivenOrSigned {
    given: Vec<CertificateDer<'static>>,
    verifier: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for GivenOrSigned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            // The dates were checked before this.
            Err(error) if is_authority(&error) && self.given.iter().any(|given| given == end_entity) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// Whether a certificate was refused only because it is an authority's own.
fn is_authority(error: &rustls::Error) -> bool {
    let rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(reason))) = error else { return false };
    reason.downcast_ref() == Some(&webpki::Error::CaUsedAsEndEntity)
}
