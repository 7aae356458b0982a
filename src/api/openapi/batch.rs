//! What the events of a batch may be, judged before the batch is parsed: a number of events that nobody takes, or one of
//! them that is too large, then costs no memory.

use std::fmt;

use poem::http::StatusCode;
use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::error::Error;

/// How many events a batch may have, and how large each may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Most events.
    pub(crate) events: usize,
    /// Most bytes of an event, as it is written.
    pub(crate) event_bytes: usize,
}

impl Limits {
    /// Holds the text of a batch against its limits. What is no batch is left to the parser, which says what is wrong.
    pub(super) fn check(self, text: &[u8]) -> poem::Result<()> {
        // A smaller one has no event that is too large, and no number of events that matters.
        if text.len() <= self.event_bytes.min(SMALL) {
            return Ok(());
        }
        let Ok(Batch { events: Events { count, largest: (bytes, place) } }) = serde_json::from_slice(text) else {
            return Ok(());
        };
        check_count(count, self.events)?;
        if bytes > self.event_bytes {
            let most = self.event_bytes;
            let message = format!(
                "events[{place}] has {bytes} bytes: at most {most} are taken of one event (server.max_body_bytes)"
            );
            return Err(poem::Error::from_string(message, StatusCode::PAYLOAD_TOO_LARGE));
        }
        Ok(())
    }
}

/// Holds a number of events against the limit.
///
/// # Errors
/// A batch that is empty or too long.
pub(super) fn check_count(count: usize, most: usize) -> Result<(), Error> {
    if (1..=most).contains(&count) {
        return Ok(());
    }
    Err(Error::request(format!("events has {count} entries: 1 to {most} are taken (limits.events_per_batch)")))
}

/// A batch up to this size, in bytes, is parsed at once.
const SMALL: usize = 64 << 10;

#[derive(Deserialize)]
struct Batch {
    events: Events,
}

/// How many events there are, and the size and place of the largest.
struct Events {
    count: usize,
    largest: (usize, usize),
}

impl<'de> Deserialize<'de> for Events {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Measure)
    }
}

struct Measure;

impl<'de> Visitor<'de> for Measure {
    type Value = Events;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut events: A) -> Result<Events, A::Error> {
        let (mut count, mut largest) = (0, (0, 0));
        while let Some(event) = events.next_element::<&RawValue>()? {
            let bytes = event.get().len();
            if bytes > largest.0 {
                largest = (bytes, count);
            }
            count += 1;
        }
        Ok(Events { count, largest })
    }
}
