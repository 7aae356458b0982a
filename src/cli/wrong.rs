//! Wrong words on the command line: the program ends with 2 then, as it does for a wrong option.

use std::{fmt::Display, ops::RangeInclusive, str::FromStr, time::Duration};

use crate::error::{Error, Invalid, Result};

/// The error for a word that cannot be taken.
pub(super) fn wrong(message: impl Into<String>) -> Error {
    Error::invalid(Invalid::CommandLine, message)
}

/// A number of an option, within these bounds.
pub(super) fn number<T: FromStr + PartialOrd + Display>(text: &str, bounds: RangeInclusive<T>) -> Result<T, String> {
    let given = text.parse().ok().filter(|given| bounds.contains(given));
    given.ok_or_else(|| format!("expected a number from {} to {}", bounds.start(), bounds.end()))
}

/// A length of time of an option.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| "expected a number with a unit, such as 500ms, 12s, 12h or 90d".to_owned())
}

/// The result of reading words of the command line.
pub(super) trait OfWords<T> {
    /// If a rule refuses a word, the command line is wrong.
    fn of_words(self) -> Result<T>;
}

impl<T> OfWords<T> for Result<T> {
    fn of_words(self) -> Self {
        self.map_err(|error| match error {
            Error::Invalid { message, .. } => wrong(message),
            error => error,
        })
    }
}

/// Whether an error says that the command line is wrong.
pub(super) fn is_wrong(error: &Error) -> bool {
    matches!(error.kind(), Error::Invalid { reason: Invalid::CommandLine, .. })
}
