//! Kinds of TLS that receivers use: their own certificates, keys, versions, and bodies after their answers.

use std::{io::Write, path::Path, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};
use rustls::{
    ServerConfig, ServerConnection, Stream, SupportedProtocolVersion,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject},
    version::{TLS12, TLS13},
};
use serde_json::{Value, json};

use super::tls::{NAME, attempt, serving, trusting};
use crate::support::{
    other_programs::openssl,
    raw_receiver::{Peer, RawReceiver, read_request},
};

/// A receiver's own certificate, as PEM and as its server has it.
struct Own {
    pem: String,
    der: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Own {
    /// Signed by itself; it calls itself an authority, as many tools make it.
    fn new(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let signed = params.self_signed(&key).expect("a certificate");
        let der_key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Self { pem: signed.pem(), der: signed.der().clone(), key: der_key }
    }

    /// As the command line of OpenSSL makes it, with a key of this kind.
    fn by_openssl(folder: &Path, kind: &[&str]) -> Self {
        let (key, certificate) = (folder.join("key.pem"), folder.join("certificate.pem"));
        let mut command = openssl();
        command.args(["req", "-x509", "-nodes", "-days", "30", "-subj", "/CN=own", "-addext"]);
        command.arg(format!("subjectAltName=DNS:{NAME}")).args(kind);
        command.arg("-keyout").arg(&key).arg("-out").arg(&certificate);
        let made = command.output().expect("openssl runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let pem = std::fs::read_to_string(&certificate).expect("a certificate");
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate");
        Self { pem, der, key: PrivateKeyDer::from_pem_file(&key).expect("a key") }
    }

    fn config(&self, versions: &[&'static SupportedProtocolVersion]) -> Arc<ServerConfig> {
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![self.der.clone()], self.key.clone_key());
        Arc::new(config.expect("a server's certificate"))
    }
}

const BOTH: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

#[test]
fn a_receivers_own_certificate_in_the_settings_is_trusted_even_if_it_calls_itself_an_authority() {
    let own = Own::new(NAME, |_| {});
    let plain = Own::new(NAME, |params| params.is_ca = IsCa::NoCa);
    let isolation = trusting(&[own.pem.as_str(), &plain.pem].concat());
    for (name, own) in [("an authority", &own), ("none", &plain)] {
        for version in BOTH {
            let raw = serving(&own.config(&[version]));
            let record = attempt(&isolation, name, &raw);
            assert_eq!((record.error, record.status), (Value::Null, json!(200)), "{name}, {version:?}");
        }
    }
}

#[test]
fn an_own_certificate_is_trusted_only_as_it_was_given_for_its_name_and_in_its_time() {
    let expired = |params: &mut CertificateParams| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    };
    let given = [
        ("of another host", Own::new("other.example", |_| {})),
        ("expired", Own::new(NAME, expired)),
        ("not valid yet", Own::new(NAME, |params| params.not_before = date_time_ymd(4000, 1, 1))),
    ];
    let pem: String = given.iter().map(|(_, own)| own.pem.as_str()).collect();
    let isolation = trusting(&[pem.as_str(), &Own::new(NAME, |_| {}).pem].concat());
    for (name, own) in given.into_iter().chain([("like one that is given", Own::new(NAME, |_| {}))]) {
        let raw = serving(&own.config(&BOTH));
        let record = attempt(&isolation, name, &raw);
        assert_eq!((record.error, record.status), (json!("tls"), Value::Null), "{name}");
    }
}

#[test]
fn every_kind_of_key_that_receivers_use_is_accepted() {
    let folder = tempfile::tempdir().expect("a folder");
    let kinds: [(&str, &[&str]); 5] = [
        ("P-256", &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]),
        ("P-384", &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"]),
        ("RSA 2048", &["-newkey", "rsa:2048"]),
        ("RSA 4096", &["-newkey", "rsa:4096"]),
        ("Ed25519", &["-newkey", "ed25519"]),
    ];
    for (name, kind) in kinds {
        let own = Own::by_openssl(folder.path(), kind);
        let isolation = trusting(&own.pem);
        for version in BOTH {
            let raw = serving(&own.config(&[version]));
            let record = attempt(&isolation, name, &raw);
            assert_eq!((record.error, record.status), (Value::Null, json!(200)), "{name}, {version:?}");
        }
    }
}

#[test]
fn every_suite_that_receivers_use_is_accepted() {
    let folder = tempfile::tempdir().expect("a folder");
    let rsa = Own::by_openssl(folder.path(), &["-newkey", "rsa:2048"]);
    let own = Own::new(NAME, |_| {});
    let isolation = trusting(&[rsa.pem.as_str(), &own.pem].concat());
    for suite in ring::ALL_CIPHER_SUITES {
        let mut provider = ring::default_provider();
        provider.cipher_suites = vec![*suite];
        let signs = if format!("{:?}", suite.suite()).contains("RSA") { &rsa } else { &own };
        let config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[suite.version()])
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![signs.der.clone()], signs.key.clone_key());
        let raw = serving(&Arc::new(config.expect("a server's certificate")));
        let record = attempt(&isolation, "suite", &raw);
        assert_eq!((record.error, record.status), (Value::Null, json!(200)), "{suite:?}");
    }
}

/// A receiver that answers every POST with these bytes, in one record of TLS.
fn saying(config: &Arc<ServerConfig>, answer: &'static str) -> RawReceiver {
    let config = Arc::clone(config);
    RawReceiver::new(move |peer: &mut Peer| {
        let mut connection = ServerConnection::new(Arc::clone(&config)).expect("a connection");
        let mut stream = Stream::new(&mut connection, &mut peer.stream);
        while read_request(&mut stream).ends_with('}') && stream.write_all(answer.as_bytes()).is_ok() {}
    })
}

#[test]
fn connections_of_tls_are_kept_and_bytes_behind_an_answer_end_them() {
    let own = Own::new(NAME, |_| {});
    let isolation = trusting(&own.pem);
    let long = format!("HTTP/1.1 200 OK\r\ncontent-length: 9000\r\n\r\n{}", "x".repeat(9000));
    let long: &'static str = Box::leak(long.into_boxed_str());
    for (answer, posts, connections) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", 3, 1),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 500 Smuggled\r\n\r\n", 3, 3),
        ("HTTP/1.0 200 OK\n\nok", 2, 2),
        // Only its beginning is read.
        (long, 2, 2),
    ] {
        let raw = saying(&own.config(&BOTH), answer);
        let url = format!("https://{NAME}:{}/hook", raw.port());
        let webhook = isolation.coop.webhook(&url, &["dds.filed"], "s");
        for _ in 0..posts {
            let record = isolation.another(answer, &webhook, json!({}));
            assert_eq!((record.error, record.status), (Value::Null, json!(200)), "{answer}");
        }
        isolation.coop.delete(&format!("/webhooks/{webhook}")).expect(204);
        assert_eq!(raw.connections(), connections, "{answer}");
    }
}

#[test]
fn a_large_body_goes_through_tls_and_an_early_answer_counts() {
    let own = Own::new(NAME, |_| {});
    let config = own.config(&BOTH);
    let isolation = super::tls::trusting_with(&own.pem, |wish| {
        wish.config.server.max_body_bytes = 32 << 20;
        wish.config.limits.string_bytes = 32 << 20;
        wish.config.delivery.timeout = std::time::Duration::from_secs(2);
    });
    let body = |length: usize| json!({ "long": "x".repeat(length) });
    let raw = serving(&config);
    let url = |raw: &RawReceiver| format!("https://{NAME}:{}/hook", raw.port());
    assert_eq!(isolation.attempt("reads it", &url(&raw), body(1 << 20)).error, Value::Null);
    let early = RawReceiver::new(move |peer: &mut Peer| {
        let mut connection = ServerConnection::new(Arc::clone(&config)).expect("a connection");
        let mut stream = Stream::new(&mut connection, &mut peer.stream);
        let _ = std::io::Read::read(&mut stream, &mut [0; 100]);
        let _ = stream.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig");
        peer.hold_open();
    });
    let record = isolation.attempt("answers early", &url(&early), body(4 << 20));
    assert_eq!((record.error, record.status, record.body), (json!("status"), json!(413), json!("big")));
}
