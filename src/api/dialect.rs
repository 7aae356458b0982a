//! What a door that serves every vendor needs to know of each.

use std::fmt;

use crate::{
    domain::{
        endpoint::Endpoint,
        excerpt::excerpt,
        profile::{Profile, WhenExhausted},
        timestamp::Timestamp,
    },
    error::{Error, Invalid, Result},
};

/// An event that nobody published: its name, and the stored body that the profile's envelope finishes.
pub(crate) type Sample = (String, String);

/// Makes the stored body of sample data, for an event of this name, of this account, at this moment.
type MakeSample = Box<dyn Fn(&str, &str, Timestamp) -> Result<String> + Send + Sync>;

/// A vendor's words.
pub(crate) struct Dialect {
    /// What differs for the engine.
    pub(crate) profile: Profile,
    /// What people call it.
    pub(crate) title: &'static str,
    /// The names of its catalogue, in order.
    pub(crate) kinds: Vec<&'static str>,
    /// The stored body of sample data, made for an event of this name, of this account, at this moment.
    pub(crate) sample: MakeSample,
}

impl fmt::Debug for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title)
    }
}

impl Dialect {
    /// What happens to an endpoint when a delivery is given up, for people.
    pub(crate) const fn when_exhausted(&self) -> &'static str {
        match self.profile.when_exhausted {
            WhenExhausted::StayActive => "After the last one the delivery has failed; the webhook stays active.",
            WhenExhausted::Suspend => "After the last one the webhook is suspended, and what comes for it is held.",
        }
    }

    /// What an endpoint is tested with: the event that is named, or the first that it wants.
    ///
    /// # Errors
    /// [`Invalid::UnknownEvent`] for a name that is not in the catalogue.
    pub(crate) fn sample_for(&self, endpoint: &Endpoint, named: Option<&str>, now: Timestamp) -> Result<Sample> {
        let kinds = || self.kinds.iter().copied();
        let kind = match named {
            Some(named) => kinds().find(|kind| *kind == named),
            None => endpoint.events.first_of(kinds()).or(kinds().next()),
        };
        let kind = kind.ok_or_else(|| {
            let named = excerpt(named.unwrap_or_default());
            let message = format!("event '{named}' is unknown: the catalogue has {}", self.kinds.join(", "));
            Error::invalid(Invalid::UnknownEvent, message)
        })?;
        Ok((kind.to_owned(), (self.sample)(kind, &endpoint.account_id, now)?))
    }
}
