//! A vendor's profile: data and one pure function. It holds the differences between the vendors, and nothing else.

use std::time::Duration;

use crate::{
    domain::{excerpt::excerpt, ids::EndpointId, token::Visible},
    error::{Error, Missing, Result},
};

/// Completes a stored body for one endpoint: `(webhook id on the wire, stored body) -> bytes to send`.
///
/// It only concatenates and never parses, so every attempt and every replay sends the same bytes.
pub type Envelope = for<'a> fn(&str, &'a str) -> Finished<'a>;

/// A completed body in two parts, so that the stored body, which may be large, is not copied.
#[derive(Debug)]
pub struct Finished<'a> {
    /// The bytes before the rest.
    pub head: String,
    /// The stored body, or its end.
    pub rest: &'a str,
}

impl Finished<'_> {
    /// Its bytes, in order.
    pub fn parts(&self) -> [&[u8]; 2] {
        [self.head.as_bytes(), self.rest.as_bytes()]
    }

    /// The whole text.
    pub fn text(&self) -> String {
        [&self.head, self.rest].concat()
    }
}

/// The differences between two vendors that the engine needs.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Its name in the config, on the command line and in the database.
    pub name: &'static str,
    /// The prefix of its webhook ids.
    pub endpoint_prefix: &'static str,
    /// The header of its signature, in the vendor's own letter case.
    pub signature_header: &'static str,
    /// The time limit of an attempt, from the look-up of the name to the last byte of the answer.
    pub timeout: Duration,
    /// How often and when a delivery is tried.
    pub retry: RetryPolicy,
    /// The effect of an exhausted delivery on the endpoint.
    pub when_exhausted: WhenExhausted,
    /// The failed try from which on its account is warned, if more tries are left; it is also warned when a delivery is
    /// given up without a suspension. `None`: never.
    pub warn_after: Option<u32>,
    /// Command lines for a person: `(base of the server's URLs, webhook id on the wire) -> command lines`.
    pub by_hand: fn(&str, &str) -> ByHand,
    /// Completes the body.
    pub envelope: Envelope,
}

/// How often and when a delivery is tried. No jitter: the published table is a promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all, the first included.
    pub max_attempts: u32,
    /// The wait after each failure; the last one is repeated if more attempts are allowed.
    pub waits: Vec<Duration>,
}

impl RetryPolicy {
    /// Half of the tries, rounded up.
    pub const fn half(&self) -> u32 {
        self.max_attempts.div_ceil(2)
    }

    /// The wait after the `tries`-th failed try; `None` when no try is left.
    pub fn wait_after(&self, tries: u32) -> Option<Duration> {
        if tries >= self.max_attempts {
            return None;
        }
        let place = usize::try_from(tries.saturating_sub(1)).unwrap_or(usize::MAX);
        self.waits.get(place).or(self.waits.last()).copied()
    }
}

/// The effect of an exhausted delivery on its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenExhausted {
    /// It stays active.
    StayActive,
    /// It is suspended, and its account is alerted.
    Suspend,
    /// The same, but only if nothing was delivered to it since the delivery failed first. Otherwise it stays active.
    SuspendIfDead,
}

/// Shell commands that a person may paste to work on an endpoint, in short lines. The token is `$TOKEN`.
#[derive(Debug, Clone)]
pub struct ByHand {
    /// Look at it.
    pub look: String,
    /// Send a test, where the vendor has tests.
    pub test: Option<String>,
    /// Make it active again, where the vendor has suspensions.
    pub resume: Option<String>,
}

/// A request as a shell command that can be pasted, a part on each line.
pub fn curl(method: &str, url: &str, body: Option<&str>) -> String {
    let mut parts =
        vec![format!("curl -sS -X {method}"), format!("'{url}'"), "-H \"Authorization: Bearer $TOKEN\"".to_owned()];
    if let Some(body) = body {
        parts.extend(["-H 'Content-Type: application/json'".to_owned(), format!("-d '{body}'")]);
    }
    parts.join(" \\\n  ")
}

/// Every profile that is served.
#[derive(Debug, Clone)]
pub struct Profiles(Vec<Profile>);

impl Profiles {
    /// The profiles in the order they are served.
    pub fn new(profiles: Vec<Profile>) -> Self {
        Self(profiles)
    }

    /// The profile of this name.
    pub fn get(&self, name: &str) -> Option<&Profile> {
        self.0.iter().find(|profile| profile.name == name)
    }

    /// The profile of a name that a user gives.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is none, with the names there are.
    pub fn named(&self, name: &str) -> Result<&Profile> {
        self.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.iter().map(|profile| profile.name).collect();
            Error::request(format!("profile '{}' is unknown: expected {}", excerpt(name), known.join(" or ")))
        })
    }

    /// The endpoint of an id with its vendor's prefix, and the visible part, narrowed to that vendor.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a text that is no such id, or the id of a vendor that is not visible.
    pub fn webhook(&self, visible: &Visible, text: &str) -> Result<(EndpointId, Visible)> {
        let found = self.iter().find_map(|profile| {
            let id = EndpointId::from_wire(profile.endpoint_prefix, text)?;
            let is_seen = visible.profile.as_ref().is_none_or(|seen| *seen == profile.name);
            is_seen.then(|| (id, visible.narrowed_to(profile.name)))
        });
        found.ok_or(Error::NotFound(Missing::Webhook))
    }

    /// The id of an endpoint, as its vendor writes it.
    pub fn on_wire(&self, profile: &str, id: EndpointId) -> String {
        id.on_wire(self.get(profile).map_or("", |profile| profile.endpoint_prefix))
    }

    /// These profiles, without warnings.
    pub fn without_warnings(mut self) -> Self {
        self.0.iter_mut().for_each(|profile| profile.warn_after = None);
        self
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Profile> {
        self.0.iter()
    }
}
