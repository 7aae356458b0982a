//! Bearer tokens, their reach, and their holders.

use std::{borrow::Cow, fmt};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

pub use crate::domain::scope::{Scope, Scopes};
use crate::{
    domain::{
        account::AccountKey, excerpt::excerpt, grant::Grant, ids::TokenId, text::is_hidden, timestamp::Timestamp,
    },
    error::{Error, Invalid, Result},
};

/// The beginning of every token, by which people and secret scanners recognise it.
pub const PREFIX: &str = "ngm_";
/// Base-62 digits of 32 bytes.
const BODY_DIGITS: usize = 43;
/// Base-62 digits of the checksum: the first 4 bytes of the body's SHA-256.
const CHECK_DIGITS: usize = 6;

const MAX_LABEL: usize = 200;

/// Checks a token's label: at most 200 bytes, and only characters that show themselves in a list.
///
/// # Errors
/// Any other text.
pub fn check_label(label: &str) -> Result<()> {
    if label.len() > MAX_LABEL {
        return Err(Error::request(format!("label has more than {MAX_LABEL} bytes")));
    }
    if label.contains(is_hidden) {
        return Err(Error::request("label holds control characters, line ends or marks of direction: leave them out"));
    }
    Ok(())
}

/// A bearer token as its owner holds it. It is shown once and wiped from memory when dropped; only its hash is stored.
#[derive(Clone)]
pub struct BearerToken(Zeroizing<String>);

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl BearerToken {
    /// A token of 32 random bytes: prefix, base-62 digits, checksum.
    pub fn from_random(bytes: &[u8; 32]) -> Self {
        let body = base62(bytes, BODY_DIGITS);
        Self([PREFIX, &body, &checksum(&body)].concat().into())
    }

    /// Reads a token of a request; `None` if it cannot be one of ours, which saves a look-up.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(PREFIX).filter(|digits| digits.len() == BODY_DIGITS + CHECK_DIGITS)?;
        let (body, check) = digits.split_at_checked(BODY_DIGITS)?;
        (*checksum(body) == check).then(|| Self(text.to_owned().into()))
    }

    /// The SHA-256 of the token, which is stored.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }

    /// Whether this is the hash of this token. Takes the same time for every wrong one.
    pub fn has_hash(&self, stored: &[u8]) -> bool {
        self.hash().as_slice().ct_eq(stored).into()
    }

    /// The token itself, for the one time it is shown.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

fn checksum(body: &str) -> Zeroizing<String> {
    base62(&Sha256::digest(body.as_bytes())[..4], CHECK_DIGITS)
}

/// The bytes as one big-endian number in base 62, with this many digits.
fn base62(bytes: &[u8], digits: usize) -> Zeroizing<String> {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut number = Zeroizing::new(bytes.to_vec());
    let mut out = Zeroizing::new(String::with_capacity(digits));
    for _ in 0..digits {
        let mut remainder = 0;
        for byte in number.iter_mut() {
            let value = remainder * 256 + u32::from(*byte);
            *byte = (value / 62) as u8;
            remainder = value % 62;
        }
        out.insert(0, char::from(ALPHABET[remainder as usize]));
    }
    out
}

/// The reach of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// One account.
    Account {
        /// The key of its row.
        key: AccountKey,
        /// Its public id.
        id: String,
        /// Its profile.
        profile: String,
    },
    /// Every account of a profile: the platform itself.
    Platform(String),
    /// Every account of every profile: the operator.
    Everything,
}

/// The holder of a valid token. It alone decides what a request may see and do. Only the store makes a caller, from the
/// row of a token or a session.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The token.
    pub token: TokenId,
    /// Its reach.
    pub reach: Reach,
    /// Its scopes.
    pub scopes: Scopes,
    /// When it was last used, roughly.
    pub last_used_at: Option<Timestamp>,
    /// The SHA-256 of the session's key, if the request has a session.
    session: Option<[u8; 32]>,
    /// The key of the newest account at that moment.
    newest_account: AccountKey,
}

/// The accounts that a request may see. Every query of a request is made within these. (A [`Scope`] is
/// something else: an action that a token allows.)
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Visible {
    /// The one profile that is seen: of the routes that were called, or of the caller; `None` shows all of them.
    pub profile: Option<Cow<'static, str>>,
    /// The caller's own account; `None` shows every account.
    pub account: Option<AccountKey>,
}

impl Visible {
    /// Every account of every profile.
    pub const EVERYTHING: Self = Self { profile: None, account: None };

    /// The same accounts, but only of this profile.
    pub fn narrowed_to(&self, profile: &'static str) -> Self {
        Self { profile: Some(profile.into()), account: self.account }
    }
}

impl Caller {
    /// The holder of this token, as the store reads it.
    pub fn new(
        (token, reach, scopes): (TokenId, Reach, Scopes),
        last_used_at: Option<Timestamp>,
        session: Option<[u8; 32]>,
        newest_account: AccountKey,
    ) -> Self {
        Self { token, reach, scopes, last_used_at, session, newest_account }
    }

    fn grant_for(&self, scope: Option<Scope>) -> Grant {
        let account = match &self.reach {
            Reach::Account { key, .. } => Some(*key),
            Reach::Platform(_) | Reach::Everything => None,
        };
        Grant { token: self.token, session: self.session, account, newest_account: self.newest_account, scope }
    }

    /// The grant for a request that needs no scope.
    pub fn grant(&self) -> Grant {
        self.grant_for(None)
    }

    /// The right to act and the visible part, for a route of this vendor that needs one of the token's scopes, or any.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for a token of another vendor, or without the scope.
    pub fn visible_for(&self, vendor: &'static str, needed: Option<Scope>) -> Result<(Grant, Visible)> {
        let (home, account) = match &self.reach {
            Reach::Account { key, profile, .. } => (profile.as_str(), Some(*key)),
            Reach::Platform(profile) => (profile.as_str(), None),
            Reach::Everything => (vendor, None),
        };
        if home != vendor {
            return Err(Error::Forbidden("this token belongs to another platform's routes".to_owned()));
        }
        Ok((self.grant_with(needed)?, Visible { profile: Some(vendor.into()), account }))
    }

    /// The right to act and the visible part, for routes of no vendor: they show everything that the token reaches.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for a token without the scope.
    pub fn visible_everywhere(&self, needed: Option<Scope>) -> Result<(Grant, Visible)> {
        let (profile, account) = match &self.reach {
            Reach::Account { key, profile, .. } => (Some(profile.clone().into()), Some(*key)),
            Reach::Platform(profile) => (Some(profile.clone().into()), None),
            Reach::Everything => (None, None),
        };
        Ok((self.grant_with(needed)?, Visible { profile, account }))
    }

    fn grant_with(&self, needed: Option<Scope>) -> Result<Grant> {
        needed.map_or(Ok(()), |scope| self.scopes.need(scope))?;
        Ok(self.grant_for(needed))
    }

    /// Whether the token is the operator's, who may do everything in every account.
    pub fn is_operator(&self) -> bool {
        self.scopes.is_operator() && self.reach == Reach::Everything
    }

    /// The id of the account for which a request acts: the token's own, or the one it names.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if it names another account than the token's own; [`Error::Invalid`] if there is none at
    /// all.
    pub fn acts_for<'a>(&'a self, named: Option<&'a str>, field: &str) -> Result<&'a str> {
        match (&self.reach, named) {
            (Reach::Account { id, .. }, Some(named)) if named != id => {
                Err(Error::Forbidden(format!("{field} '{}' is not the account of this token", excerpt(named))))
            }
            (Reach::Account { id, .. }, _) => Ok(id),
            (_, Some(named)) => Ok(named),
            (_, None) => Err(Error::invalid(
                Invalid::Request,
                format!("{field} is missing: this token belongs to no account, so the request must name one"),
            )),
        }
    }
}
