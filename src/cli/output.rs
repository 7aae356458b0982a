//! What commands print: text, JSON, progress.

use std::{
    io::{self, IsTerminal, Write},
    sync::OnceLock,
};

use serde_json::Value;

use super::log;
use crate::domain::text::{escaped, escaped_json};

/// Prints a line, or several lines. Unusual characters are escaped.
macro_rules! say {
    () => { say!("") };
    ($($part:tt)*) => { $crate::cli::output::say(&format!($($part)*)) };
}

/// Why standard output could not be written.
static UNPRINTED: OnceLock<io::ErrorKind> = OnceLock::new();

/// Prints to standard output. A failure is noted.
pub(super) fn print(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    if let Err(error) = out.write_all(bytes).and_then(|()| out.flush()) {
        UNPRINTED.get_or_init(|| error.kind());
    }
}

/// Prints lines of text. Characters that a terminal would not show are escaped.
pub(super) fn say(text: &str) {
    if !log::print(text) {
        let lines: Vec<_> = text.split('\n').map(escaped).collect();
        print(format!("{}\n", lines.join("\n")).as_bytes());
    }
}

/// Whether the reader of the output has gone away.
pub(super) fn is_unread() -> bool {
    UNPRINTED.get().is_some()
}

/// Why standard output could not be written, if it could not.
pub(super) fn unprinted() -> Option<io::ErrorKind> {
    UNPRINTED.get().copied()
}

/// Shows the progress of long work on the terminal, if there is one; the next line takes its place.
pub(super) fn show(progress: &str) {
    let mut terminal = io::stderr();
    if terminal.is_terminal() {
        // Wipes the rest of a longer line.
        let _ = write!(terminal, "\r{}\x1b[K", escaped(progress)).and_then(|()| terminal.flush());
    }
}

/// Prints a line about the output to standard error.
pub(super) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{}", escaped(text));
}

/// Prints one line of JSON. Unusual characters are escaped, which does not change its meaning.
pub(super) fn print_json(value: &Value) {
    say!("{}", escaped_json(&value.to_string()));
}
