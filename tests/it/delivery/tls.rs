//! Receivers behind TLS: trusted certificates, and the class of failure of the others.

use std::{io::Write, path::Path, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::{
    ServerConfig, ServerConnection, Stream,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};
use serde_json::{Value, json};

use crate::support::{
    isolation::{Isolation, Record},
    program::{finish, ngoma},
    raw_receiver::{Behaviour, Peer, RawReceiver, read_request},
    world::Wish,
};

pub(super) const NAME: &str = "shop.example";

type Authority = CertifiedIssuer<'static, KeyPair>;

/// A private authority.
fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate")
}

/// A server's certificate for a name, changed, and signed by an authority or by itself.
fn certificate(name: &str, by: Option<&Authority>, change: impl FnOnce(&mut CertificateParams)) -> Arc<ServerConfig> {
    let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    change(&mut params);
    let key = KeyPair::generate().expect("a key");
    let signed = match by {
        Some(authority) => params.signed_by(&key, authority),
        None => params.self_signed(&key),
    };
    let chain: Vec<CertificateDer<'static>> = vec![signed.expect("a certificate").der().clone()];
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key);
    Arc::new(config.expect("a server's certificate"))
}

/// A receiver that answers 200 to clients that accept its certificate.
pub(super) fn serving(config: &Arc<ServerConfig>) -> RawReceiver {
    let config = Arc::clone(config);
    RawReceiver::new(move |peer: &mut Peer| {
        let mut connection = ServerConnection::new(Arc::clone(&config)).expect("a connection");
        let mut stream = Stream::new(&mut connection, &mut peer.stream);
        while read_request(&mut stream).ends_with('}') {
            let said = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            if said.and_then(|()| stream.flush()).is_err() {
                return;
            }
        }
    })
}

/// A server that trusts this authority, and knows every name as loopback.
fn isolation(trusted: &Authority) -> Isolation {
    trusting(&trusted.as_ref().pem())
}

/// A server that trusts these certificates, and knows every name as loopback.
pub(super) fn trusting(pem: &str) -> Isolation {
    trusting_with(pem, |_| {})
}

/// Such a server with other settings.
pub(super) fn trusting_with(pem: &str, change: impl FnOnce(&mut Wish)) -> Isolation {
    Isolation::with(|wish| {
        change(wish);
        let file = wish.config.storage.path.with_file_name("authority.pem");
        std::fs::write(&file, pem).expect("written");
        wish.config.egress.extra_ca = file;
        wish.look_up = Arc::new(|_, port| Ok(vec![([127, 0, 0, 1], port).into()]));
    })
}

#[track_caller]
pub(super) fn attempt(isolation: &Isolation, name: &str, raw: &RawReceiver) -> Record {
    isolation.attempt(name, &format!("https://{NAME}:{}/hook", raw.port()), json!({}))
}

#[test]
fn a_private_authority_of_the_settings_is_trusted() {
    let own = authority("Own CA");
    let isolation = isolation(&own);
    let good = serving(&certificate(NAME, Some(&own), |_| {}));
    let record = attempt(&isolation, "good", &good);
    assert_eq!((record.error, record.status, record.body), (Value::Null, json!(200), json!("ok")));
    // An address can have a certificate too.
    let address = serving(&certificate("127.0.0.1", Some(&own), |_| {}));
    let url = format!("https://127.0.0.1:{}/", address.port());
    assert_eq!(isolation.attempt("address", &url, json!({})).error, Value::Null);
}

#[test]
fn the_public_authorities_stay_trusted_beside_a_private_one() {
    let own = authority("Own CA");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("authority.pem");
    std::fs::write(&file, own.as_ref().pem()).expect("written");
    let trusted = ngoma::engine::authorities("egress.extra_ca", &file).expect("authorities");
    let is_trusted = |der: &[u8]| trusted.iter().any(|trusted| trusted == der);
    assert!(is_trusted(own.as_ref().der()));
    let public = webpki_root_certs::TLS_SERVER_ROOT_CERTS;
    assert!(public.len() > 100 && public.iter().all(|der| is_trusted(der)));
}

#[test]
fn no_other_certificate_is_taken() {
    let own = authority("Own CA");
    let stranger = authority("A stranger");
    let expired = |params: &mut CertificateParams| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    };
    let early = |params: &mut CertificateParams| params.not_before = date_time_ymd(4000, 1, 1);
    let isolation = isolation(&own);
    let bad = [
        ("self-signed", certificate(NAME, None, |_| {}), "self-signed"),
        ("of an authority nobody knows", certificate(NAME, Some(&stranger), |_| {}), "an unknown authority"),
        ("expired", certificate(NAME, Some(&own), expired), "its certificate expired on 2021-01-01"),
        ("not valid yet", certificate(NAME, Some(&own), early), "its certificate is not valid before 4000-01-01"),
        (
            "of another host",
            certificate("other.example", Some(&own), |_| {}),
            "its certificate is for other.example, not for shop.example",
        ),
        (
            "of a host below",
            certificate(&format!("www.{NAME}"), Some(&own), |_| {}),
            "its certificate is for www.shop.example, not for shop.example",
        ),
    ];
    for (name, config, reason) in bad {
        let raw = serving(&config);
        let record = attempt(&isolation, name, &raw);
        assert_eq!((record.error, record.status), (json!("tls"), Value::Null), "{name}");
        assert!(record.reason.as_str().is_some_and(|text| text.contains(reason)), "{name}: {}", record.reason);
        assert_eq!(raw.connections(), 1, "{name}: no second try in one attempt");
    }
}

#[test]
fn a_broken_handshake_is_recorded_as_tls_or_timeout() {
    let isolation = isolation(&authority("Own CA"));
    let in_time = "the TLS handshake did not end in time";
    let cases: [(&str, Behaviour, &str, &str); 6] = [
        ("stalls before it", |peer| peer.hold_open(), "timeout", in_time),
        (
            "stalls within it",
            |peer| {
                // The header of a record of 100 bytes that never comes.
                peer.send(b"\x16\x03\x03\x00\x64");
                peer.hold_open();
            },
            "timeout",
            in_time,
        ),
        ("drips it", |peer| peer.drip(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc".repeat(1000)), "timeout", in_time),
        (
            "speaks plain HTTP",
            |peer| {
                peer.send("HTTP/1.1 400 Plain\r\n\r\n");
                peer.hold_open();
            },
            "tls",
            "what came back is not TLS",
        ),
        (
            "refuses it",
            |peer| {
                peer.send(b"\x15\x03\x03\x00\x02\x02\x28");
                peer.hold_open();
            },
            "tls",
            "no TLS version or cipher suite in common",
        ),
        (
            "hangs up in it",
            |peer| {
                let _ = std::io::Read::read(&mut peer.stream, &mut [0; 4096]);
                peer.reset_on_close();
            },
            "tls",
            "closed the connection during the TLS handshake",
        ),
    ];
    for (name, behaviour, class, reason) in cases {
        let record = attempt(&isolation, name, &RawReceiver::new(behaviour));
        assert_eq!((record.error, record.status), (json!(class), Value::Null), "{name}");
        assert!(record.reason.as_str().is_some_and(|text| text.contains(reason)), "{name}: {}", record.reason);
    }
}

#[test]
fn a_file_of_authorities_that_cannot_be_used_stops_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
    write("empty.pem", "");
    write("broken.pem", "-----BEGIN CERTIFICATE-----\nnot base64!\n-----END CERTIFICATE-----\n");
    for file in ["absent.pem", "empty.pem", "broken.pem"] {
        let serve = |folder: &Path| {
            let mut command = ngoma(folder, &["serve", "--listen", "127.0.0.1:0"]);
            finish(command.env("NGOMA_EGRESS__EXTRA_CA", file))
        };
        let (code, _, sentence) = serve(folder.path());
        assert_eq!(code, 1, "{file}: {sentence}");
        assert!(sentence.contains("egress.extra_ca") && sentence.contains(file), "{sentence}");
    }
}
