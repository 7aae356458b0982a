//! Whether the data of an event fits the catalogue: the fields of its name, each of its kind. Data that does not fit is
//! accepted, and its publisher and the operator are told (`asilichain.validate`).
//!
//! A misfit names fields of the catalogue and kinds of JSON, never a value or a name from the payload.

use std::{borrow::Cow, collections::HashMap};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::payload_fields::{Field, Kind, fields};
use crate::{config::Validate, domain::timestamp::Timestamp};

/// The members of an object. A name without an escape is not copied.
#[derive(Deserialize)]
struct Members<'a>(#[serde(borrow)] HashMap<Name<'a>, &'a RawValue>);

#[derive(Deserialize, PartialEq, Eq, Hash)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// As [`misfits`], if the settings ask for it.
pub(super) fn misfits_if(validate: Validate, event: &str, data: &str) -> Vec<String> {
    match validate {
        Validate::Off => Vec::new(),
        Validate::Warn => misfits(event, data),
    }
}

/// Where the data of an event does not fit, in ASCII, such as `data.weight_kg: expected a number, got a string`.
/// `data` is a JSON object. Fields that the catalogue does not have are no misfits.
fn misfits(event: &str, data: &str) -> Vec<String> {
    let Ok(Members(members)) = serde_json::from_str(data) else { return Vec::new() };
    let (mut misfits, mut missing) = (Vec::new(), Vec::new());
    for Field { name, kind, optional } in fields(event) {
        match members.get(&Name(Cow::Borrowed(*name))).map(|value| value.get()) {
            Some(value) if kind.has(value) => {}
            Some(value) => misfits.push(format!("data.{name}: expected {}, got {}", kind.words(), words(*kind, value))),
            None if *optional => {}
            None => missing.push(*name),
        }
    }
    if !missing.is_empty() {
        misfits.push(format!("data: expected also {}", missing.join(", ")));
    }
    misfits
}

impl Kind {
    /// Whether a JSON value is of this kind.
    fn has(self, value: &str) -> bool {
        let (first, is_number) =
            (value.as_bytes().first(), value.starts_with(|c: char| c == '-' || c.is_ascii_digit()));
        match self {
            Self::Text => first == Some(&b'"'),
            Self::Number => is_number,
            Self::Integer => is_number && is_whole(value),
            Self::Flag => matches!(value, "true" | "false"),
            // A time has no character that JSON escapes.
            Self::Time => {
                value.len() > 2 && first == Some(&b'"') && Timestamp::parse(&value[1..value.len() - 1]).is_some()
            }
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::Number => "a number",
            Self::Integer => "an integer",
            Self::Flag => "true or false",
            Self::Time => "an RFC 3339 time",
        }
    }
}

/// Whether the number is an integer, as ECMAScript prints numbers.
fn is_whole(number: &str) -> bool {
    number.contains("e+") || !number.contains(['.', 'e'])
}

/// The kind of a JSON value that is not of the expected kind.
fn words(expected: Kind, value: &str) -> &'static str {
    match value.as_bytes().first() {
        Some(b'"') if matches!(expected, Kind::Time) => "another string",
        Some(b'"') => "a string",
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b't' | b'f') => "true or false",
        Some(b'n') => "null",
        _ if matches!(expected, Kind::Integer) => "a fraction",
        _ => "a number",
    }
}
