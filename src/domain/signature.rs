//! Signing secrets and the two ways a delivery is signed.
//!
//! Both vendors' pages: `sha256=` and the lower-case hex of HMAC-SHA256 over the exact bytes of the body, keyed with
//! the bytes of the secret. Standard Webhooks 1.0.0: `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`,
//! keyed with what its libraries make of the secret.

use std::fmt;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
    prelude::BASE64_STANDARD,
};
use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{
    domain::timestamp::Timestamp,
    error::{Error, Result},
};

/// The prefix of a secret in Standard Webhooks' own form; the rest is its key in base64.
pub const PREFIX: &str = "whsec_";

/// When the vendor's signature header changes to a new secret. `webhook-signature` has both secrets' signatures during the
/// overlap, whichever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// At once.
    Now,
    /// When the overlap has ended: until then the former secret signs it.
    AfterOverlap,
}

/// Longest signing secret, in bytes.
pub const MAX_SECRET_BYTES: usize = 256;

/// Base64 as lenient libraries read it: without padding, and with bits after the last byte. No library reads the
/// alphabet for URLs: such a secret is text to them.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// A signing secret: never printed, wiped from memory when dropped, compared in constant time.
#[derive(Clone)]
pub struct SigningSecret(Zeroizing<String>);

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl PartialEq for SigningSecret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for SigningSecret {}

impl SigningSecret {
    /// Takes a subscriber's own secret: a line of 1 to 256 bytes, as the vendors' pages set no minimum. White space
    /// around it is removed.
    ///
    /// # Errors
    /// A secret that is empty or longer, that holds a control character, or that is `whsec_` without a key: libraries
    /// read that as the empty key, with which anybody can sign.
    pub fn parse(text: impl Into<Zeroizing<String>>) -> Result<Self> {
        let text = text.into();
        let secret = Zeroizing::new(text.trim().to_owned());
        let is_control = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
        if secret.is_empty() {
            return Err(Error::request(format!("secret is empty: it must have 1 to {MAX_SECRET_BYTES} bytes")));
        }
        if secret.len() > MAX_SECRET_BYTES {
            let length = secret.len();
            return Err(Error::request(format!("secret has {length} bytes: at most {MAX_SECRET_BYTES} are taken")));
        }
        if secret.contains(is_control) {
            return Err(Error::request(
                "secret holds a line end or another control character: it must be one line of text",
            ));
        }
        if secret.strip_prefix(PREFIX).is_some_and(|rest| rest.trim_end_matches('=').is_empty()) {
            return Err(Error::request(format!("secret has no key after {PREFIX}: anybody could sign with it")));
        }
        Ok(Self(secret))
    }

    /// A stored secret. It signs as before, also if such a secret would be refused now.
    pub fn from_stored(text: impl Into<Zeroizing<String>>) -> Self {
        Self(text.into())
    }

    /// Makes a secret of 32 random bytes, in Standard Webhooks' form.
    pub fn from_random(bytes: &[u8; 32]) -> Self {
        let rest = Zeroizing::new(BASE64_STANDARD.encode(bytes));
        Self([PREFIX, &rest].concat().into())
    }

    /// The secret itself, for the one answer that shows it and for encryption at rest.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The value of a vendor's signature header for this body.
    pub fn sign_body(&self, body: &[u8]) -> String {
        self.sign_body_in_parts(&[body])
    }

    /// As above, for a body in several parts.
    pub fn sign_body_in_parts(&self, body: &[&[u8]]) -> String {
        let mac = fed(keyed(self.0.as_bytes()), body).finalize().into_bytes();
        let mut out = String::with_capacity(71);
        out.push_str("sha256=");
        HEXLOWER.encode_append(&mac, &mut out);
        out
    }

    /// The value of the `webhook-signature` header for this secret: `v1,` and the base64 of the signature of
    /// `id.timestamp.body`.
    ///
    /// The key is the decoded rest of a `whsec_` secret if that is base64, else the bytes of the secret. Base64 without
    /// its padding gets two signatures with a space between them: some libraries decode it, others use the bytes, as
    /// this server did before.
    pub fn sign_standard(&self, id: &str, at: Timestamp, body: &[u8]) -> String {
        self.sign_standard_in_parts(id, at, &[body])
    }

    /// As above, for a body in several parts.
    pub fn sign_standard_in_parts(&self, id: &str, at: Timestamp, body: &[&[u8]]) -> String {
        let sign = |key: &[u8]| {
            let mac = fed(keyed(key).chain_update(format!("{id}.{}.", at.unix_seconds())), body);
            format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
        };
        let Some(rest) = self.0.strip_prefix(PREFIX) else { return sign(self.0.as_bytes()) };
        if let Ok(key) = BASE64_STANDARD.decode(rest).map(Zeroizing::new) {
            return sign(&key);
        }
        match LENIENT.decode(rest.trim_end_matches('=')).map(Zeroizing::new) {
            Ok(key) if !key.is_empty() => format!("{} {}", sign(&key), sign(self.0.as_bytes())),
            _ => sign(self.0.as_bytes()),
        }
    }

    /// Whether a vendor's signature header is right for this body. Takes the same time for every wrong one.
    pub fn verifies_body(&self, body: &[u8], header: &str) -> bool {
        self.sign_body(body).as_bytes().ct_eq(header.as_bytes()).into()
    }

    /// Whether one of the entries of a `webhook-signature` header is right for this id, time and body.
    pub fn verifies_standard(&self, id: &str, at: Timestamp, body: &[u8], header: &str) -> bool {
        let expected = self.sign_standard(id, at, body);
        let is_one = |entry: &str| expected.split(' ').any(|own| own.as_bytes().ct_eq(entry.as_bytes()).into());
        header.split(' ').any(is_one)
    }
}

/// The HMAC-SHA256 of a text in several parts.
pub(super) fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    fed(keyed(key), parts).finalize().into_bytes().into()
}

fn fed(mac: Hmac<Sha256>, parts: &[&[u8]]) -> Hmac<Sha256> {
    parts.iter().fold(mac, |mac, part| mac.chain_update(part))
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    // A key longer than a block is hashed first, as RFC 2104 has it: every length is taken, and the error type is
    // empty.
    match <Hmac<Sha256> as KeyInit>::new_from_slice(key) {
        Ok(mac) => mac,
        Err(_) => unreachable!("HMAC takes a key of any length"),
    }
}
