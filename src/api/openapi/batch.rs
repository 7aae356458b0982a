//! The limits of a batch, checked before it is parsed: too many events, or one that is too large, then cost no memory.

use std::fmt;

use poem::http::StatusCode;
use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{error::Error, http::body::BatchLimits};

/// Checks the text of a batch against its limits. A text that is no batch is left to the parser, which has a sentence
/// for it.
pub(super) fn check(limits: BatchLimits, text: &[u8]) -> poem::Result<()> {
    // A smaller text has no event that is too large, and few events.
    if text.len() <= limits.event_bytes.min(SMALL) {
        return Ok(());
    }
    let Ok(Batch { events: Events { count, largest: (bytes, place) } }) = serde_json::from_slice(text) else {
        return Ok(());
    };
    check_count(count, limits.events)?;
    if bytes > limits.event_bytes {
        let most = limits.event_bytes;
        let message =
            format!("events[{place}] has {bytes} bytes: at most {most} are taken of one event (server.max_body_bytes)");
        return Err(poem::Error::from_string(message, StatusCode::PAYLOAD_TOO_LARGE));
    }
    Ok(())
}

/// Checks a number of events against the limit.
///
/// # Errors
/// A batch that is empty or too long.
pub(crate) fn check_count(count: usize, most: usize) -> Result<(), Error> {
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

/// The number of events, and the size and place of the largest.
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
