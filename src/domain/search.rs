//! What people look for in a list: an id, a key, or words of a payload. And the places at which such a list goes on.

use std::{fmt, time::Duration};

use memchr::memmem::Finder;

use crate::{
    domain::{
        event::MAX_IDEMPOTENCY_KEY,
        ids::{DeliveryId, EndpointId, EventId},
        profile::Profiles,
    },
    error::{Error, Result},
};

/// The text that somebody looks for, read.
#[derive(Debug, Clone)]
pub enum Sought {
    /// An event's id.
    Event(EventId),
    /// A delivery's id.
    Delivery(DeliveryId),
    /// A webhook's id: the name of its profile, and the endpoint.
    Webhook(&'static str, EndpointId),
    /// Any other text: an idempotency key, or words of a payload.
    Words(Words),
}

impl Sought {
    /// Reads a text; `None` if there is nothing in it to look for.
    ///
    /// # Errors
    /// A text that is longer than an idempotency key may be.
    pub fn parse(text: &str, profiles: &Profiles) -> Result<Option<Self>> {
        let text = text.trim();
        if text.len() > MAX_IDEMPOTENCY_KEY {
            return Err(Error::request(format!("a text to look for has at most {MAX_IDEMPOTENCY_KEY} bytes")));
        }
        let webhook = || {
            profiles.iter().find_map(|profile| {
                Some(Self::Webhook(profile.name, EndpointId::from_wire(profile.endpoint_prefix, text)?))
            })
        };
        let delivery = || DeliveryId::parse(text).map(Self::Delivery);
        let found = EventId::parse(text).map(Self::Event).or_else(delivery).or_else(webhook);
        Ok(found.or_else(|| Words::parse(text).map(Self::Words)))
    }
}

/// Words that a payload must hold, all of them and in any order. Between quotes several words are one. The letter case
/// of A to Z makes no difference.
#[derive(Debug, Clone)]
pub struct Words {
    key: String,
    /// The longest first: few payloads hold it.
    finders: Vec<Finder<'static>>,
}

impl Words {
    fn parse(text: &str) -> Option<Self> {
        let mut words = Vec::new();
        for (place, part) in text.split('"').enumerate() {
            if place % 2 == 0 {
                words.extend(part.split_whitespace());
            } else if !part.trim().is_empty() {
                words.push(part);
            }
        }
        words.sort_by_key(|word| std::cmp::Reverse(word.len()));
        let finders = words.iter().map(|word| Finder::new(&word.to_ascii_lowercase()).into_owned());
        let finders: Vec<_> = finders.collect();
        (!finders.is_empty()).then(|| Self { key: text.to_owned(), finders })
    }

    /// The whole text, which may be an idempotency key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Whether this payload holds all of them. `lower` is room for a copy of the payload, used again and again.
    pub fn are_in(&self, payload: &[u8], lower: &mut Vec<u8>) -> bool {
        lower.clear();
        lower.extend_from_slice(payload);
        lower.make_ascii_lowercase();
        self.finders.iter().all(|word| word.find(lower).is_some())
    }
}

/// The place at which a list goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<T> {
    /// At its newest entry.
    Start,
    /// After this entry.
    After(T),
    /// After this entry, among those whose key is the text that is looked for.
    Keyed(T),
    /// At the newest payload: every entry whose key is the text has been listed.
    Payloads,
}

const KEYED: &str = "key.";
const PAYLOADS: &str = "payloads";

impl<T> Place<T> {
    /// Reads a cursor, of whose ids `read` reads one; `None` if no list gave it.
    pub fn parse(cursor: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<Self> {
        match cursor.strip_prefix(KEYED) {
            Some(id) => read(id).map(Self::Keyed),
            None if cursor == PAYLOADS => Some(Self::Payloads),
            None => read(cursor).map(Self::After),
        }
    }
}

impl<T: fmt::Display> fmt::Display for Place<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => Ok(()),
            Self::After(id) => write!(f, "{id}"),
            Self::Keyed(id) => write!(f, "{KEYED}{id}"),
            Self::Payloads => f.write_str(PAYLOADS),
        }
    }
}

/// A page of a list that somebody asks for.
#[derive(Debug, Clone)]
pub struct Asked<T> {
    /// What to look for; `None` lists everything.
    pub sought: Option<Sought>,
    /// Where the page begins.
    pub place: Place<T>,
    /// Most entries of the page.
    pub limit: usize,
    /// The machine's uptime at which a look through payloads ends.
    pub until: Duration,
}

impl<T: Copy> Asked<T> {
    /// The entry after which the page begins, in a list that looks for no words.
    ///
    /// # Errors
    /// [`Error::bad_cursor`] for a place that only a list of words has.
    pub fn after(&self) -> Result<Option<T>> {
        match self.place {
            Place::Start => Ok(None),
            Place::After(id) => Ok(Some(id)),
            Place::Keyed(_) | Place::Payloads => Err(Error::bad_cursor()),
        }
    }
}
