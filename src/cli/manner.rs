//! How a command prints, by the options that all commands have.

use std::{env, sync::OnceLock};

use anstream::{AutoStream, stream::RawStream};
use clap::ColorChoice;

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

/// Whether colours may be shown at all: not with --no-color, and not on a terminal that shows none.
pub(super) fn colours(plain: bool) -> ColorChoice {
    // clap takes a terminal for one with colours, whatever it is, where CI is set.
    let is_dumb = env::var_os("TERM").is_some_and(|name| name == "dumb");
    if plain || is_dumb { ColorChoice::Never } else { ColorChoice::Auto }
}

/// Whether a stream shows colours: a terminal, unless the user wants none. Help and errors of clap follow the same rules.
pub(super) fn has_colours(stream: &impl RawStream) -> bool {
    colours(manner().plain) != ColorChoice::Never && AutoStream::choice(stream) != anstream::ColorChoice::Never
}
