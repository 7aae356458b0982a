//! Headers that the owner of a webhook adds to every request, such as an API key of the receiver. Their values are
//! secrets: they are stored encrypted, and shown masked.

use std::{collections::BTreeMap, fmt};

use zeroize::Zeroizing;

use crate::{
    domain::excerpt::excerpt,
    error::{Error, Result},
};

/// Most headers of a webhook.
const MOST: usize = 10;
/// Longest name, in bytes.
const NAME: usize = 64;
/// Longest value, in bytes.
const VALUE: usize = 1024;
/// Values with fewer bytes are no secrets: an answer that holds them is kept as it is.
const SHORTEST_SECRET: usize = 4;
/// What stands for a value.
pub const MASK: &str = "***";

/// Names that the server sets, or by which HTTP finds the end of a message or the use of a connection.
const RESERVED: [&str; 17] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];
/// Beginnings of the names that the server sets.
const RESERVED_BEGINNINGS: [&str; 2] = ["webhook-", "ngoma-"];
/// The end of the names of the vendors' signatures.
const SIGNATURE: &str = "-signature";

/// Headers as an owner gives them, not yet checked.
#[derive(Clone)]
pub struct GivenHeaders(pub BTreeMap<String, Zeroizing<String>>);

impl fmt::Debug for GivenHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

/// The change of a webhook's headers by a request.
#[derive(Debug, Clone)]
pub enum HeadersChange {
    /// These take the place of all former ones.
    All(GivenHeaders),
    /// Some of them change.
    Some {
        /// They are added, or take the place of those with the same names.
        set: GivenHeaders,
        /// The names of those that are removed.
        removed: Vec<String>,
    },
}

impl HeadersChange {
    /// The headers after the change.
    ///
    /// # Errors
    /// As [`OwnHeaders::parse`]; [`Error::Invalid`] for a name to remove that no header has, and for a mask of a header that
    /// was not there.
    pub fn of(self, former: OwnHeaders) -> Result<OwnHeaders> {
        let (set, removed) = match self {
            Self::All(given) => return OwnHeaders::parse(given)?.unmasked(&former),
            Self::Some { set, removed } => (set, removed),
        };
        if let Some(unknown) = removed.iter().find(|name| !former.names().any(|own| own.eq_ignore_ascii_case(name))) {
            let names: Vec<&str> = former.names().collect();
            let has = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return Err(Error::request(format!("headers has no {} to remove: it has {has}", excerpt(unknown))));
        }
        let replaced = |name: &str| set.0.keys().chain(&removed).any(|other| other.eq_ignore_ascii_case(name));
        let kept = former.0.iter().filter(|(name, _)| !replaced(name)).cloned();
        OwnHeaders::parse(GivenHeaders(kept.chain(set.0.clone()).collect()))?.unmasked(&former)
    }
}

/// The headers, in the letter case and the order in which they are sent.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct OwnHeaders(Vec<(String, Zeroizing<String>)>);

impl fmt::Debug for OwnHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

impl OwnHeaders {
    /// Checks the headers that an owner gives.
    ///
    /// # Errors
    /// [`Error::Invalid`] for too many, for a name that HTTP or this server uses, and for a value that HTTP cannot carry. No
    /// message holds a value.
    pub fn parse(GivenHeaders(given): GivenHeaders) -> Result<Self> {
        if given.len() > MOST {
            return Err(Error::request(format!("headers has {} entries: at most {MOST} are taken", given.len())));
        }
        let mut kept: Vec<(String, Zeroizing<String>)> = Vec::new();
        for (name, value) in given {
            check_name(&name)?;
            if kept.iter().any(|(other, _)| other.eq_ignore_ascii_case(&name)) {
                return Err(Error::request(format!("headers has {name} twice")));
            }
            let is_plain = |byte: u8| matches!(byte, b' '..=b'~');
            if value.is_empty() || value.len() > VALUE || value.trim() != value.as_str() || !value.bytes().all(is_plain)
            {
                return Err(Error::request(format!(
                    "headers.{name} must have 1 to {VALUE} characters in ASCII, on one line, without spaces around it"
                )));
            }
            kept.push((name, value));
        }
        Ok(Self(kept))
    }

    /// These headers, with the former values in the places of masks: so a webhook can be sent back as it was shown.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a mask of a header that was not there.
    fn unmasked(self, former: &Self) -> Result<Self> {
        let unmask = |(name, value): (String, Zeroizing<String>)| {
            if *value != MASK {
                return Ok((name, value));
            }
            let found = former.0.iter().find(|(other, _)| other.eq_ignore_ascii_case(&name));
            let found = found.map(|(_, value)| value.clone());
            let missing =
                || Error::request(format!("headers.{name} is {MASK}, which stands for a value: give the value"));
            found.ok_or_else(missing).map(|value| (name, value))
        };
        self.0.into_iter().map(unmask).collect::<Result<_>>().map(Self)
    }

    /// The headers of stored bytes; `None` if they are none.
    pub fn from_stored(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok().map(Self)
    }

    /// As they are stored, before they are encrypted.
    pub fn stored(&self) -> Zeroizing<String> {
        serde_json::to_string(&self.0).unwrap_or_default().into()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Name and value of each.
    pub fn list(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Masks the values in bytes that a receiver sent back: whole ones, the part after the word before a space (such as
    /// `Bearer`), and a beginning of one at the end, where the bytes were cut off.
    pub fn mask(&self, bytes: &mut Vec<u8>) {
        let values = self.0.iter().map(|(_, value)| value.as_bytes());
        let parts = self.0.iter().filter_map(|(_, value)| value.rsplit_once(' ')).map(|(_, part)| part.as_bytes());
        let mut secrets: Vec<&[u8]> = values.chain(parts).filter(|secret| secret.len() >= SHORTEST_SECRET).collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        for secret in secrets {
            let mut from = 0;
            while let Some(at) = memchr::memmem::find(&bytes[from..], secret) {
                bytes.splice(from + at..from + at + secret.len(), MASK.bytes());
                from += at + MASK.len();
            }
            let cut = (SHORTEST_SECRET..secret.len()).rev().find(|length| bytes.ends_with(&secret[..*length]));
            if let Some(length) = cut {
                bytes.truncate(bytes.len() - length);
                bytes.extend(MASK.bytes());
            }
        }
    }

    /// As [`OwnHeaders::mask`], in a text.
    pub fn mask_text(&self, text: &mut String) {
        let mut bytes = std::mem::take(text).into_bytes();
        self.mask(&mut bytes);
        *text = String::from_utf8_lossy(&bytes).into_owned();
    }
}

fn check_name(name: &str) -> Result<()> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || name.len() > NAME || !name.bytes().all(is_token) {
        let name = excerpt(name);
        return Err(Error::request(format!(
            "headers has the name '{name}': a name has 1 to {NAME} letters, digits or any of !#$%&'*+-.^_`|~"
        )));
    }
    // CGI, WSGI and PHP give a program `_` and `-` as the same name.
    let lower = name.to_ascii_lowercase().replace('_', "-");
    if RESERVED.contains(&lower.as_str())
        || RESERVED_BEGINNINGS.iter().any(|beginning| lower.starts_with(beginning))
        || lower.ends_with(SIGNATURE)
    {
        return Err(Error::request(format!("headers has {name}: the server sets it by itself, or HTTP needs it")));
    }
    Ok(())
}
