//! A vendor's words: what differs between the vendors for what the program can do.

use std::{fmt, sync::Arc};

use crate::{
    domain::{
        endpoint::{Endpoint, EventFilter},
        profile::{Profile, WhenExhausted},
        timestamp::Timestamp,
    },
    error::{Error, Result},
};

/// An event that nobody published: its name, and the stored body that the profile's envelope finishes.
pub(super) type Sample = (String, String);

/// Makes the stored body of sample data, for an event of this name, of this account, at this moment. It refuses a name that
/// its catalogue does not have.
type MakeSample = Box<dyn Fn(&str, &str, Timestamp) -> Result<String> + Send + Sync>;

/// A vendor's words.
pub struct Dialect {
    /// What differs for the engine.
    pub profile: Profile,
    /// What people call it.
    pub title: &'static str,
    /// The names of its catalogue, in order.
    pub kinds: Vec<&'static str>,
    /// The stored body of sample data.
    pub sample: MakeSample,
}

impl fmt::Debug for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title)
    }
}

impl Dialect {
    /// What happens to an endpoint when a delivery is given up, for people.
    pub const fn when_exhausted(&self) -> &'static str {
        match self.profile.when_exhausted {
            WhenExhausted::StayActive => "After the last one the delivery has failed; the webhook stays active.",
            WhenExhausted::Suspend => "After the last one the webhook is suspended, and what comes for it is held.",
        }
    }

    /// The events that a webhook wants, of at most `most` entries.
    ///
    /// # Errors
    /// As [`EventFilter::parse`].
    pub(super) fn filter(&self, entries: Vec<String>, most: usize) -> Result<EventFilter> {
        EventFilter::parse(entries, self.kinds.iter().copied(), most)
    }

    /// What an endpoint is tested with: the event that is named, or the first that it wants.
    ///
    /// # Errors
    /// [`UnknownEvent`](crate::error::Invalid::UnknownEvent) for a name that is not in the catalogue.
    pub(super) fn sample_for(&self, endpoint: &Endpoint, named: Option<&str>, now: Timestamp) -> Result<Sample> {
        let kinds = || self.kinds.iter().copied();
        let kind = named.or_else(|| endpoint.events.first_of(kinds())).or(kinds().next()).unwrap_or_default();
        Ok((kind.to_owned(), (self.sample)(kind, &endpoint.account_id, now)?))
    }
}

/// Every vendor that is served. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Dialects(Arc<[Dialect]>);

impl Dialects {
    pub(super) fn new(dialects: Vec<Dialect>) -> Self {
        Self(dialects.into())
    }

    pub(super) fn all(&self) -> &[Dialect] {
        &self.0
    }

    /// The vendor of this profile.
    pub(super) fn of(&self, profile: &str) -> Result<&Dialect> {
        let found = self.0.iter().find(|dialect| dialect.profile.name == profile);
        found.ok_or_else(|| Error::Internal(format!("no profile '{profile}'")))
    }
}
