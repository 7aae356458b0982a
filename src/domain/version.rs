//! The version of a webhook, as `ETag` shows it and `If-Match` names it: a change that was made meanwhile is not
//! overwritten.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::{
    domain::endpoint::Endpoint,
    error::{Conflict, Error, Result},
};

/// The version of an endpoint's settings and state. Its deliveries do not change it, unless one suspends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version(String);

impl Version {
    /// The present version of an endpoint.
    pub fn of(endpoint: &Endpoint) -> Self {
        let Endpoint { id, url, about, settings, headers_mark, events, state, suspended_at, secret_at, .. } = endpoint;
        let decided = format!(
            "{id} {url:?} {about:?} {settings:?} {headers_mark:?} {events:?} {state:?} {suspended_at:?} {secret_at:?}"
        );
        Self(HEXLOWER.encode(&Sha256::digest(decided)[..12]))
    }

    /// As `ETag` shows it.
    pub fn tag(&self) -> String {
        format!("\"{}\"", self.0)
    }
}

/// The versions to which a request may be applied.
#[derive(Debug, Clone, Default)]
pub struct IfMatch(Option<Vec<String>>);

impl IfMatch {
    /// Reads the text of an `If-Match`. Without one, or with `*`, every version will do. A weak tag matches none (RFC 9110,
    /// section 13.1.1).
    pub fn parse(text: Option<&str>) -> Self {
        let tags = |text: &str| text.split(',').map(|tag| tag.trim().to_owned()).collect();
        Self(text.map(tags).filter(|tags: &Vec<String>| !tags.iter().any(|tag| tag == "*")))
    }

    /// Checks that an endpoint has one of these versions.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it has not.
    pub fn check(&self, endpoint: &Endpoint) -> Result<()> {
        let Some(tags) = &self.0 else { return Ok(()) };
        let present = Version::of(endpoint).tag();
        if tags.contains(&present) {
            return Ok(());
        }
        let message = format!("the webhook has changed: its version is {present} now. Get it again, then decide");
        Err(Error::conflict(Conflict::Changed, message))
    }
}
