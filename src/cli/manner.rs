//! How a command prints, by the options that all commands have.

use std::{env, io::IsTerminal, sync::OnceLock};

/// How much is printed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Manner {
    /// Only the result.
    pub(super) quiet: bool,
    /// Never in colours.
    pub(super) plain: bool,
}

static MANNER: OnceLock<Manner> = OnceLock::new();

/// Sets how this command prints.
pub(super) fn set(manner: Manner) {
    // There is one command in a process.
    let _ = MANNER.set(manner);
}

fn manner() -> Manner {
    MANNER.get().copied().unwrap_or_default()
}

/// Whether only the result is printed.
pub(super) fn is_quiet() -> bool {
    manner().quiet
}

/// Whether a stream shows colours: a terminal, unless the user wants none.
pub(super) fn has_colours(stream: &impl IsTerminal) -> bool {
    // See no-color.org: any text but an empty one.
    let unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = env::var_os("TERM").is_some_and(|name| name == "dumb");
    stream.is_terminal() && !unwanted && !is_dumb && !manner().plain
}
