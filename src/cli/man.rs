//! `ngoma man`: the man pages and the completions for shells, as files where a system looks for them.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::Command;
use clap_mangen::Man;

use super::completions::{self, Shell};
use crate::error::{Error, Result};

/// Write the man pages, and the completions for bash, zsh and fish
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  ngoma man /usr/local/share     as root; then: man ngoma, man ngoma-token-create")]
pub(super) struct Args {
    /// The folder to write them into: they get the places below it in which a system looks for them.
    folder: PathBuf,
}

/// Where each shell looks for completions, under the folder that is given.
const COMPLETIONS: [(Shell, &str, &str); 3] = [
    (Shell::Bash, "bash-completion/completions", "ngoma"),
    (Shell::Zsh, "zsh/site-functions", "_ngoma"),
    (Shell::Fish, "fish/vendor_completions.d", "ngoma.fish"),
];

pub(super) fn run(args: &Args, mut command: Command) -> Result<()> {
    for (shell, place, name) in COMPLETIONS {
        write(&args.folder.join(place), name, &completions::script(shell, &mut command.clone()))?;
    }
    command = command.disable_help_subcommand(true);
    command.build();
    pages(&command, &args.folder.join("man/man1"))
}

/// Writes the page of a command, and those of its subcommands.
fn pages(command: &Command, folder: &Path) -> Result<()> {
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let page = Man::new(command.clone())
        .title(name.to_uppercase())
        .date("")
        .source(format!("Ngoma {}", env!("CARGO_PKG_VERSION")))
        .manual("Ngoma, webhook sender");
    let mut text = Vec::new();
    page.render(&mut text).map_err(|error| unwritten(folder, &error))?;
    // What stands below a help are examples and notes: the library has no such name for it.
    let text = String::from_utf8_lossy(&text).replace("\n.SH EXTRA\n", "\n.SH NOTES\n");
    write(folder, &format!("{name}.1"), text.as_bytes())?;
    command.get_subcommands().filter(|below| !below.is_hide_set()).try_for_each(|below| pages(below, folder))
}

fn write(folder: &Path, name: &str, text: &[u8]) -> Result<()> {
    let file = folder.join(name);
    fs::create_dir_all(folder).map_err(|error| unwritten(folder, &error))?;
    fs::write(&file, text).map_err(|error| unwritten(&file, &error))
}

fn unwritten(path: &Path, error: &io::Error) -> Error {
    Error::request(format!("{} cannot be written: {error}", path.display()))
}
