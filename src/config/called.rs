//! How the program is called here: the one place that makes the command lines in hints.

use std::{
    path::{self, Path, PathBuf},
    sync::OnceLock,
};

use super::{Config, sources};

/// Who reads the hints of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// The person who typed this command, in the same shell.
    Here,
    /// Somebody with a shell on the machine, in any folder: who reads the log, a mail or an answer of a server.
    Anywhere,
}

#[derive(Debug, Default)]
struct Called {
    /// What stands before the name of the program.
    before: &'static str,
    /// What stands after the words of a command.
    after: String,
}

static CALLED: OnceLock<Called> = OnceLock::new();

/// A command of this program as it works here, from its words: `sudo ngoma token list --config /srv/ngoma.toml`.
pub fn command(words: &str) -> String {
    let after = CALLED.get().map_or("", |called| &called.after);
    format!("{}{after}", command_for_all(words))
}

/// As [`command`], without the name of the settings file: for texts that strangers may read.
pub fn command_for_all(words: &str) -> String {
    format!("{}ngoma {words}", CALLED.get().map_or("", |called| called.before))
}

impl Config {
    /// Notes how a command that is named in a hint finds these settings, and whether it needs `sudo`. `named` is the file
    /// that the command line named.
    pub fn note_how_to_call(&self, named: Option<&Path>, reader: Reader, sudo: bool) {
        let file = match reader {
            // Another command in this shell finds any other file as this one did.
            Reader::Here => named.map(Path::to_owned),
            Reader::Anywhere => self.file.as_deref().map(absolute).filter(|_| !self.is_of_service()),
        };
        let after = file.map_or_else(String::new, |file| format!(" --config {}", quoted(&file.to_string_lossy())));
        // There is one command in a process.
        let _ = CALLED.set(Called { before: if sudo { "sudo " } else { "" }, after });
    }

    /// Whether these are the settings of the service.
    pub fn is_of_service(&self) -> bool {
        self.file.as_deref().map(absolute).is_some_and(|file| file == Path::new(sources::OF_SERVICE))
    }
}

/// The whole name of a file: a person in any folder can use it.
pub(super) fn absolute(file: &Path) -> PathBuf {
    path::absolute(file).unwrap_or_else(|_| file.to_owned())
}

/// A word as a shell takes it.
pub fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%".contains(c);
    if word.chars().all(is_plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}
