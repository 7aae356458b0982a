//! Wrong words on the command line: the program ends with 2 then, as it does for a wrong option.

use crate::error::{Error, Invalid, Result};

/// The error for a word that cannot be taken.
pub(super) fn wrong(message: impl Into<String>) -> Error {
    Error::invalid(Invalid::CommandLine, message)
}

/// What comes of words of the command line.
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
