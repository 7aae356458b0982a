//! The details of a failed attempt that are kept for people: its reason, in a line, and the headers of the answer.

use std::{borrow::Cow, fmt::Write};

use crate::domain::{endpoint::masked, text::escaped};

/// Bytes of an answer's headers that are kept.
pub const MAX_KEPT_HEADERS: usize = 4096;
/// Characters of a reason that are kept.
const MAX_REASON: usize = 300;
/// What stands for a secret.
const MASK: &str = "***";

/// Headers whose values are secrets, and parts of the names of such headers.
const SECRET_HEADERS: [&str; 4] = ["set-cookie", "set-cookie2", "cookie", "authentication-info"];
const SECRET_WORDS: [&str; 11] = [
    "authorization",
    "token",
    "secret",
    "session",
    "signature",
    "password",
    "credential",
    "api-key",
    "apikey",
    "csrf",
    "x-auth",
];
/// Headers whose values are URLs.
const URL_HEADERS: [&str; 4] = ["location", "content-location", "refresh", "link"];

/// The details of a failed attempt. A delivered one has none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FailureDetails {
    /// Why it failed, in one line, as the operator may read it; `None` if the class and the status say it all.
    pub reason: Option<String>,
    /// The first bytes of the answer's headers, one on each line, with secrets masked; at most [`MAX_KEPT_HEADERS`].
    pub headers: Option<String>,
}

impl FailureDetails {
    /// Details with this reason. Text from the receiver in it is escaped and cut.
    pub fn because(reason: &str) -> Self {
        let reason = escaped(reason);
        let reason = match reason.char_indices().nth(MAX_REASON) {
            Some((end, _)) => format!("{}...", &reason[..end]),
            None => reason.into_owned(),
        };
        Self { reason: Some(reason), headers: None }
    }

    /// The details of an answer that is no success.
    pub fn of_answer<'a>(
        status: u16,
        location: Option<&str>,
        headers: impl Iterator<Item = (&'a str, &'a [u8])>,
    ) -> Self {
        let redirect = location.filter(|_| (300..400).contains(&status));
        let details = redirect.map(|to| Self::because(&format!("it redirects to {}", masked_location(to))));
        Self { headers: Some(shown(headers)), ..details.unwrap_or_default() }
    }
}

/// Headers as text, one on each line.
fn shown<'a>(headers: impl Iterator<Item = (&'a str, &'a [u8])>) -> String {
    let mut text = String::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value);
        // Writing to a String never fails.
        let _ = writeln!(text, "{name}: {}", escaped(&shown_value(name, &value)));
        if text.len() > MAX_KEPT_HEADERS {
            text.truncate(text.floor_char_boundary(MAX_KEPT_HEADERS));
            break;
        }
    }
    text
}

fn shown_value<'a>(name: &str, value: &'a str) -> Cow<'a, str> {
    let name = name.to_ascii_lowercase();
    if SECRET_HEADERS.contains(&name.as_str()) || SECRET_WORDS.iter().any(|word| name.contains(word)) {
        return MASK.into();
    }
    if URL_HEADERS.contains(&name.as_str()) {
        return masked_location(value).into();
    }
    value.into()
}

/// A URL that a receiver named, whole or relative, without what may be a secret: a user, a query, a fragment, the end of
/// a longer path. What is no URL is masked as a whole: people get to read this.
fn masked_location(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    if url.contains(|c: char| !c.is_alphanumeric() && !"-._~:/@!$&'*+,;=%".contains(c)) {
        return MASK.to_owned();
    }
    let Some((scheme, rest)) = url.split_once("//") else { return masked(url) };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path = masked(path);
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}//{MASK}@{host}{path}"),
        None => format!("{scheme}//{authority}{path}"),
    }
}
