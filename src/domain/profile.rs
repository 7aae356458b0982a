//! A dialect is data and one pure function: what differs between the vendors, and nothing else.

use std::time::Duration;

/// Finishes a stored body for one endpoint: `(webhook id on the wire, stored body) -> bytes to send`.
///
/// By concatenation, never by parsing, so that every attempt and every replay sends the same bytes.
pub type Envelope = fn(&str, &str) -> Vec<u8>;

/// What differs between two vendors for the engine.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Its name in the config, on the command line and in the database.
    pub name: &'static str,
    /// The prefix of its webhook ids.
    pub endpoint_prefix: &'static str,
    /// The header of its signature, in the vendor's own letter case.
    pub signature_header: &'static str,
    /// From the look-up of the name to the last byte of the answer.
    pub timeout: Duration,
    /// How often and when a delivery is tried.
    pub retry: RetryPolicy,
    /// What happens to the endpoint when a delivery is exhausted.
    pub when_exhausted: WhenExhausted,
    /// Finishes the body.
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
    /// The wait after the `tries`-th failed try; `None` when no try is left.
    pub fn wait_after(&self, tries: u32) -> Option<Duration> {
        if tries >= self.max_attempts {
            return None;
        }
        let place = usize::try_from(tries.saturating_sub(1)).unwrap_or(usize::MAX);
        self.waits.get(place).or(self.waits.last()).copied()
    }
}

/// What happens to an endpoint when one of its deliveries is exhausted.
#[derive(Debug, Clone, Copy)]
pub enum WhenExhausted {
    /// It stays active.
    StayActive,
    /// It is suspended, and its account is told, with the command line that this makes of the webhook id: it resumes.
    Suspend(fn(&str) -> String),
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

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Profile> {
        self.0.iter()
    }
}
