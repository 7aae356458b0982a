//! Sessions of the dashboard, whose keys are in browsers' cookies.

use std::{fmt, time::Duration};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// How long a session lasts, used or not: a working day.
pub const LASTS: Duration = Duration::from_secs(12 * 3600);

/// The key of a session, as its browser holds it: 32 random bytes. Wiped from memory when dropped; only its hash is
/// stored.
#[derive(Clone)]
pub struct SessionKey(Zeroizing<[u8; 32]>);

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl SessionKey {
    /// A key of random bytes.
    pub fn from_random(bytes: &[u8; 32]) -> Self {
        Self(Zeroizing::new(*bytes))
    }

    /// Reads a cookie's value; `None` if it cannot be one of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let mut key = Zeroizing::new([0; 32]);
        let length = BASE64_URL_SAFE_NO_PAD.decode_slice(text, &mut *key).ok()?;
        (length == key.len()).then_some(Self(key))
    }

    /// The cookie's value.
    pub fn expose(&self) -> Zeroizing<String> {
        BASE64_URL_SAFE_NO_PAD.encode(*self.0).into()
    }

    /// The SHA-256 of the key, which is stored.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(*self.0).into()
    }

    /// The token in every form of this session: only its own pages can know it.
    pub fn form_token(&self) -> String {
        let mac = match <Hmac<Sha256> as KeyInit>::new_from_slice(&*self.0) {
            Ok(mac) => mac.chain_update(b"form").finalize().into_bytes(),
            Err(_) => unreachable!("HMAC takes a key of any length"),
        };
        BASE64_URL_SAFE_NO_PAD.encode(mac)
    }

    /// Whether this is the token of the session's forms. Takes the same time for every wrong one.
    pub fn knows_form(&self, token: &str) -> bool {
        self.form_token().as_bytes().ct_eq(token.as_bytes()).into()
    }
}
