//! TLS of the server itself: names, certificate, and where it comes from.

use std::{net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::hint::socket_address;

/// The longest name of a host, in bytes.
const LONGEST_NAME: usize = 253;

/// TLS of the server itself.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The names of the server.
    pub domains: Vec<String>,
    /// Where the authority writes, as `mailto:`; empty: nowhere.
    pub contact: String,
    /// The address of the authority's ACME directory.
    pub directory: String,
    /// A PEM file of authorities that may have signed the directory's own certificate; empty for the public ones.
    pub extra_ca: PathBuf,
    /// The PEM file of a certificate and its chain; empty: one is got by ACME.
    pub certificate: PathBuf,
    /// The PEM file of its private key.
    pub key: PathBuf,
    /// The address that answers `http://` with a redirect.
    #[serde(deserialize_with = "read_address", serialize_with = "write_address")]
    pub http_listen: Option<SocketAddr>,
}

impl Tls {
    /// Whether the server speaks TLS.
    pub fn is_on(&self) -> bool {
        !self.domains.is_empty() || self.has_files()
    }

    /// Whether the certificate comes from files of the operator's.
    pub fn has_files(&self) -> bool {
        !self.certificate.as_os_str().is_empty()
    }

    /// The scheme of the server's own address.
    pub fn scheme(&self) -> &'static str {
        if self.is_on() { "https" } else { "http" }
    }
}

/// Whether this is the name of a host, in the form that certificates have.
pub(super) fn is_name(text: &str) -> bool {
    let label = |label: &str| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !label.is_empty() && !label.starts_with('-') && !label.ends_with('-') && label.bytes().all(plain)
    };
    // The last part of a name is no number: it would be an address.
    let last = text.rsplit('.').next().unwrap_or_default();
    text.len() <= LONGEST_NAME && text.split('.').all(label) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

fn read_address<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(from)?;
    if text.is_empty() {
        return Ok(None);
    }
    socket_address(&text).map(Some).map_err(de::Error::custom)
}

fn write_address<S: Serializer>(address: &Option<SocketAddr>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&address.map(|address| address.to_string()).unwrap_or_default())
}
