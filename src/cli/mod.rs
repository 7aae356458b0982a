//! The command line: one file per command.
//!
//! Exit codes stand in the help of the program.

/// Prints a line; whoever reads it may have gone away (`| head`), which is no error.
macro_rules! say {
    ($($part:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($part)*);
    }};
}

mod account;
mod check;
mod completions;
mod descriptors;
mod key;
mod listen;
mod openapi;
mod serve;
mod start;
mod token;

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use clap::{Parser, Subcommand};
use serde_json::Value;

use crate::{
    clock::SystemClock,
    config::Config,
    error::{Error, Result},
    store::{self, Db},
};

/// A self-hosted webhook sender: one binary, one SQLite file.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Start here:\n  ngoma serve --dev                 try it on this machine; prints tokens and the address of the docs\n  ngoma listen --secret whsec_...   see deliveries arrive, verified\n\nExit codes:\n  0  done; of 'serve': stopped by SIGTERM or Ctrl-C, everything written\n  1  it could not be done, or 'check' found something; the reason is on standard error, in a sentence\n  2  the command line is wrong; nothing was done"
)]
pub struct Cli {
    /// The settings file. Default: ./config.toml if it is there, else the built-in defaults.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Args),
    Account(account::Args),
    Token(token::Args),
    Key(key::Args),
    Listen(listen::Args),
    Check(check::Args),
    Openapi(openapi::Args),
    Completions(completions::Args),
}

impl Cli {
    /// Runs the command and says by the exit code how it went.
    pub fn run(self) -> ExitCode {
        match self.dispatch() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("ngoma: {error}");
                ExitCode::FAILURE
            }
        }
    }

    fn dispatch(self) -> Result<()> {
        let config = || Config::load(self.config.as_deref()).map_err(|error| Error::request(error.to_string()));
        match self.command {
            Command::Serve(args) => serve::run(args, config()?),
            Command::Account(args) => account::run(args, &config()?),
            Command::Token(args) => token::run(args, &config()?),
            Command::Key(args) => key::run(&args, &config()?),
            Command::Listen(args) => listen::run(args, &config()?),
            Command::Check(args) => check::run(&args, &config()?),
            Command::Openapi(args) => openapi::run(&args),
            Command::Completions(args) => completions::run(&args),
        }
    }
}

/// Runs a future to its end, for commands that are not servers.
fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Error::Internal(error.to_string()))?.block_on(future)
}

/// The database that is there, also while a server runs on it.
fn open(config: &Config) -> Result<Db> {
    if !config.storage.path.exists() {
        return Err(Error::request(format!(
            "there is no database at {}: 'ngoma serve' or 'ngoma account create' makes it",
            config.storage.path.display()
        )));
    }
    open_or_make(config)
}

/// The database, made if it is not there.
fn open_or_make(config: &Config) -> Result<Db> {
    store::open(&config.storage, config.limits.waiting_writes, Arc::new(SystemClock), false)
}

/// Shows on the terminal, if there is one, how far long work has come; the next line takes its place.
fn show(progress: &str) {
    use std::io::{IsTerminal, Write};
    let mut terminal = std::io::stderr();
    if terminal.is_terminal() {
        // The rest of a longer line is wiped.
        let _ = write!(terminal, "\r{progress}\x1b[K").and_then(|()| terminal.flush());
    }
}

/// Prints one line of JSON.
fn print_json(value: &Value) {
    say!("{value}");
}
