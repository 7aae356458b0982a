//! The output of commands: results, confirmations, hints, JSON, progress.
//!
//! Results and confirmations go to standard output, hints and progress to standard error. `--quiet` leaves only the
//! results.

use std::{
    io::{self, IsTerminal, Write},
    sync::OnceLock,
};

use serde_json::Value;

use super::{log, manner::is_quiet};
use crate::domain::text::{escaped, escaped_json};

/// Prints a line, or several lines. Unusual characters are escaped.
macro_rules! say {
    () => { say!("") };
    ($($part:tt)*) => { $crate::cli::output::say(&format!($($part)*)) };
}

/// Prints the result of a command, unless `--quiet` is there.
macro_rules! confirm {
    ($($part:tt)*) => { $crate::cli::output::confirm(&format!($($part)*)) };
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

/// As `say`, for the result of a command.
pub(super) fn confirm(text: &str) {
    if !is_quiet() {
        say(text);
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
    if terminal.is_terminal() && !is_quiet() {
        // Wipes the rest of a longer line.
        let _ = write!(terminal, "\r{}\x1b[K", escaped(progress)).and_then(|()| terminal.flush());
    }
}

/// Prints a hint to standard error.
pub(super) fn hint(text: &str) {
    if !is_quiet() {
        let _ = writeln!(io::stderr(), "{}", escaped(text));
    }
}

/// Prints one line of JSON. Unusual characters are escaped, which does not change its meaning.
pub(super) fn print_json(value: &Value) {
    say!("{}", escaped_json(&value.to_string()));
}

/// The sentence of an empty list: where its entries come from. With JSON the list is an empty array.
pub(super) fn nothing(as_json: bool, why: &str) {
    if as_json {
        print_json(&Value::Array(Vec::new()));
    } else {
        hint(why);
    }
}
