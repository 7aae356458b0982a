//! `ngoma completions`: completions of command lines, for a shell.

use clap::{Command, ValueEnum};
use clap_complete::{Shell as Known, generate};

use super::output::print;
use crate::error::Result;

/// Print completions for a shell
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ngoma completions bash > /etc/bash_completion.d/ngoma\n  ngoma completions zsh > \"${fpath[1]}/_ngoma\"\n  ngoma completions fish > ~/.config/fish/completions/ngoma.fish"
)]
pub(super) struct Args {
    /// The shell.
    shell: Shell,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Shell {
    Bash,
    Zsh,
    Fish,
}

pub(super) fn run(args: &Args, command: &mut Command) -> Result<()> {
    print(&script(args.shell, command));
    Ok(())
}

/// The whole text: it is complete before it is printed, because the reader may go away in the middle.
pub(super) fn script(shell: Shell, command: &mut Command) -> Vec<u8> {
    let shell = match shell {
        Shell::Bash => Known::Bash,
        Shell::Zsh => Known::Zsh,
        Shell::Fish => Known::Fish,
    };
    let mut script = Vec::new();
    generate(shell, command, "ngoma", &mut script);
    script
}
