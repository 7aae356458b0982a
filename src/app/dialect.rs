//! A vendor's dialect: the differences between the vendors that this floor needs.

use std::{fmt, sync::Arc};

use crate::{
    domain::{
        endpoint::{Endpoint, EventFilter},
        excerpt::excerpt,
        profile::{Profile, WhenExhausted},
        timestamp::Timestamp,
        token::Visible,
    },
    error::{Error, Invalid, Result},
};

/// Sample data: the event's name, and its stored body for the profile's envelope to finish.
pub(crate) type Sample = (String, String);

/// Makes the stored body of sample data for an event name, an account and a moment. It refuses names outside the
/// catalogue.
type MakeSample = Box<dyn Fn(&str, &str, Timestamp) -> Result<String> + Send + Sync>;

/// Where the stored body of an event of this name does not fit the vendor's catalogue, in sentences.
type FindMisfits = Box<dyn Fn(&str, &str) -> Result<Vec<String>> + Send + Sync>;

/// A vendor's dialect.
pub struct Dialect {
    /// The part that the engine needs.
    pub profile: Profile,
    /// The vendor's name, for people.
    pub title: &'static str,
    /// The names of its events, in the order of the catalogue.
    pub kinds: Vec<&'static str>,
    /// The stored body of sample data.
    pub sample: MakeSample,
    /// A command line that publishes sample data, with the base of the server's URLs, an event name, an account and a
    /// moment. It refuses names outside the catalogue.
    pub publish: fn(&str, &str, &str, Timestamp) -> Result<String>,
    /// Where a stored body does not fit the catalogue; empty also if the settings do not ask for it.
    pub misfits: FindMisfits,
}

impl fmt::Debug for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title)
    }
}

impl Dialect {
    /// A sentence for people: what happens to an endpoint when a delivery is given up.
    pub const fn when_exhausted(&self) -> &'static str {
        match self.profile.when_exhausted {
            WhenExhausted::StayActive => "After the last one the delivery has failed; the webhook stays active.",
            WhenExhausted::Suspend => "After the last one the webhook is suspended, and what comes for it is held.",
            WhenExhausted::SuspendIfDead => {
                "After the last one the webhook is suspended, and what comes for it is held, unless something else was delivered meanwhile."
            }
        }
    }

    /// The event filter of a list with at most `most` entries.
    ///
    /// # Errors
    /// As [`EventFilter::parse`].
    pub(super) fn filter(&self, entries: Vec<String>, most: usize) -> Result<EventFilter> {
        EventFilter::parse(entries, self.kinds.iter().copied(), most)
    }

    /// The sample data for a test of an endpoint: of the named event, or of the first event that the endpoint wants.
    ///
    /// # Errors
    /// [`UnknownEvent`](crate::error::Invalid::UnknownEvent) for a name that is not in the catalogue.
    pub(crate) fn sample_for(&self, endpoint: &Endpoint, named: Option<&str>, now: Timestamp) -> Result<Sample> {
        let kinds = || self.kinds.iter().copied();
        let kind = named.or_else(|| endpoint.events.first_of(kinds())).or(kinds().next()).unwrap_or_default();
        Ok((kind.to_owned(), (self.sample)(kind, &endpoint.account_id, now)?))
    }
}

/// Every vendor that is served. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Dialects(Arc<[Dialect]>);

impl Dialects {
    pub(crate) fn new(dialects: Vec<Dialect>) -> Self {
        Self(dialects.into())
    }

    pub(super) fn all(&self) -> &[Dialect] {
        &self.0
    }

    /// Checks the name of an event by which a list is narrowed: a misspelt one would find nothing, in silence.
    ///
    /// # Errors
    /// [`UnknownEvent`](Invalid::UnknownEvent) if no visible vendor has such an event.
    pub(crate) fn check_event(&self, visible: &Visible, kind: Option<&str>) -> Result<()> {
        let is_seen =
            |dialect: &&Dialect| visible.profile.as_ref().is_none_or(|profile| *profile == dialect.profile.name);
        let known: Vec<&str> = self.0.iter().filter(is_seen).flat_map(|dialect| &dialect.kinds).copied().collect();
        match kind {
            Some(kind) if !known.contains(&kind) => {
                let message = format!("event '{}' is unknown: expected one of {}", excerpt(kind), known.join(", "));
                Err(Error::invalid(Invalid::UnknownEvent, message))
            }
            _ => Ok(()),
        }
    }

    /// The vendor of this profile.
    pub(super) fn of(&self, profile: &str) -> Result<&Dialect> {
        let found = self.0.iter().find(|dialect| dialect.profile.name == profile);
        found.ok_or_else(|| Error::Internal(format!("no profile '{profile}'")))
    }
}
