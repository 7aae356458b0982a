//! The key that a payload has of its own: a batch's id, a task's id. People know an event by it.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use crate::domain::excerpt::excerpt;

/// The member in which some bodies keep the payload.
const DATA: &str = "data";

/// The first member of a payload whose name ends in `_id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnKey {
    /// Its name, such as `batch_id`.
    pub name: String,
    /// Its value, cut if it is long.
    pub value: String,
}

impl OwnKey {
    /// The own key of a stored body: of its member `data`, or of itself if it has none. `None` if there is none.
    pub fn of(body: &str) -> Option<Self> {
        let mut found = None;
        // The reader stops at the key: that the rest is unread is no error here.
        let _ = serde_json::Deserializer::from_str(body).deserialize_map(Seeking(&mut found));
        found
    }
}

/// Reads an object up to its own key.
struct Seeking<'a>(&'a mut Option<OwnKey>);

impl<'de> Visitor<'de> for Seeking<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(name) = members.next_key::<String>()? {
            if name == DATA {
                return members.next_value_seed(Self(self.0));
            }
            if !name.ends_with("_id") {
                members.next_value::<IgnoredAny>()?;
                continue;
            }
            let value = match members.next_value::<Value>()? {
                Value::String(text) => text,
                Value::Number(number) => number.to_string(),
                _ => continue,
            };
            *self.0 = Some(OwnKey { name: excerpt(&name).into_owned(), value: excerpt(&value).into_owned() });
            return Ok(());
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Seeking<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}
