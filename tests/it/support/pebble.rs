//! Pebble: an authority that gives certificates by ACME, for tests. It forgets everything when it ends.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use ngoma::domain::timestamp::Timestamp;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde_json::{Value, json};
use tempfile::TempDir;
use time::OffsetDateTime;

use crate::support::{
    curl::{Curl, free_port},
    program::Running,
};

/// The life of its certificates, in days.
pub const LIFE: u32 = 90;

/// Certificates of an authority that the story made.
pub struct Own {
    authority: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

impl Own {
    /// An authority that writes its files to this folder.
    pub fn new(folder: &Path) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Own CA");
        let authority =
            CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
        fs::write(folder.join("authority.pem"), authority.as_ref().pem()).expect("written");
        Self { authority, folder: folder.to_owned() }
    }

    /// The file with the authority itself.
    pub fn authority(&self) -> PathBuf {
        self.folder.join("authority.pem")
    }

    /// Writes a new certificate for `localhost` and 127.0.0.1, and its key, to files of this name.
    pub fn certificate(&self, name: &str) -> (PathBuf, PathBuf) {
        self.write(name, |_| {})
    }

    /// Writes one for another name than that of this machine.
    pub fn certificate_for(&self, name: &str, domain: &str) -> (PathBuf, PathBuf) {
        let names = CertificateParams::new(vec![domain.to_owned()]).expect("a name").subject_alt_names;
        self.write(name, |params| params.subject_alt_names = names)
    }

    /// Writes one that holds from the first of these moments to the second.
    pub fn certificate_of(&self, name: &str, from: Timestamp, until: Timestamp) -> (PathBuf, PathBuf) {
        let date = |at: Timestamp| OffsetDateTime::from_unix_timestamp(at.unix_seconds()).expect("a date");
        self.write(name, |params| (params.not_before, params.not_after) = (date(from), date(until)))
    }

    fn write(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("names");
        change(&mut params);
        let chain = params.signed_by(&key, &self.authority).expect("a certificate");
        let [at_chain, at_key] = ["pem", "key"].map(|kind| self.folder.join(format!("{name}.{kind}")));
        fs::write(&at_chain, chain.pem()).expect("written");
        fs::write(&at_key, key.serialize_pem()).expect("written");
        fs::set_permissions(&at_key, fs::Permissions::from_mode(0o600)).expect("set");
        (at_chain, at_key)
    }
}

/// Pebble, on loopback.
pub struct Pebble {
    running: Option<Running>,
    folder: TempDir,
    ports: [u16; 2],
    config: Value,
    /// The file of the authority that signed the directory's own certificate.
    pub trust: PathBuf,
}

impl Pebble {
    /// One that looks for the answers to challenges at this port.
    pub fn new(looks_at: u16) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let own = Own::new(folder.path());
        let (certificate, key) = own.certificate("pebble");
        let ports = [free_port(), free_port()];
        let address = |port: u16| format!("127.0.0.1:{port}");
        let config = json!({ "pebble": {
            "listenAddress": address(ports[0]), "managementListenAddress": address(ports[1]),
            "certificate": certificate, "privateKey": key, "httpPort": 1, "tlsPort": looks_at,
            "ocspResponderURL": "", "externalAccountBindingRequired": false,
        }});
        let mut pebble = Self { running: None, trust: own.authority(), folder, ports, config };
        pebble.forget_and_give(LIFE);
        pebble
    }

    /// Ends it, and starts it again as [`Pebble::forget`], with certificates of this many days.
    pub fn forget_and_give(&mut self, days: u32) {
        self.config["pebble"]["certificateValidityPeriod"] = json!(days * 86_400);
        fs::write(self.folder.path().join("config.json"), self.config.to_string()).expect("written");
        self.forget();
    }

    fn start(&mut self) {
        let mut command = Command::new("pebble");
        command.args(["-config", "config.json"]).current_dir(self.folder.path());
        command.envs([("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_WFE_NONCEREJECT", "0")]);
        let there = Command::new("pebble").arg("-help").output();
        assert!(there.is_ok(), "pebble is missing: run the suite by tests/run, which installs it");
        let mut running = Running::start(&mut command);
        running.line_with("ACME directory available");
        self.running = Some(running);
    }

    /// Ends it.
    pub fn stop(&mut self) {
        self.running = None;
    }

    /// Ends it, and starts it again with new roots and no account.
    pub fn forget(&mut self) {
        self.stop();
        self.start();
    }

    pub fn directory(&self) -> String {
        format!("https://127.0.0.1:{}/dir", self.ports[0])
    }

    /// The file of the root that signs its certificates.
    pub fn root(&self) -> PathBuf {
        let curl = Curl::new(&format!("https://127.0.0.1:{}", self.ports[1]), &self.trust, self.folder.path());
        let answer = curl.ask("127.0.0.1", "/roots/0", &[], None);
        assert_eq!(answer.status, 200, "{}", answer.text);
        let file = self.folder.path().join("root.pem");
        fs::write(&file, &answer.text).expect("written");
        file
    }
}

/// The certificates of a PEM file.
pub fn certificates(file: &Path) -> Vec<CertificateDer<'static>> {
    let all = CertificateDer::pem_file_iter(file).expect("a file").collect::<Result<Vec<_>, _>>();
    all.expect("certificates")
}
