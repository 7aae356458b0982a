//! The command line: one file per command.
//!
//! Exit codes stand in the help of the program.

/// Prints a line, or several; what others wrote is shown escaped.
macro_rules! say {
    () => { say!("") };
    ($($part:tt)*) => { $crate::cli::say(&format!($($part)*)) };
}

mod account;
mod backup;
mod check;
mod completions;
mod deliveries;
mod descriptors;
mod erase;
mod key;
mod listen;
mod log;
mod openapi;
mod retry;
mod selection;
mod serve;
mod start;
mod supervisor;
mod token;
mod webhooks;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, OnceLock},
};

use clap::{Parser, Subcommand};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use serde_json::Value;
use tracing::Level;

use crate::{
    clock::SystemClock,
    config::Config,
    domain::text::{escaped, escaped_json},
    error::{Error, Result},
    store::{self, Db},
};

/// The version and, if it was built in a checkout, the commit.
const VERSION: &str = env!("NGOMA_VERSION");

/// A self-hosted webhook sender: one binary, one SQLite file.
#[derive(Debug, Parser)]
#[command(
    version = VERSION,
    after_help = "Start here:\n  ngoma serve --dev                 try it on this machine; prints tokens and the address of the docs\n  ngoma listen --secret whsec_...   see deliveries arrive, verified\n\nExit codes:\n  0  done; of 'serve': stopped by SIGTERM or Ctrl-C, everything written\n  1  it could not be done, or 'check' found something; the reason is on standard error, in a sentence;\n     of 'serve' also: stopped at once by a second signal\n  2  the command line is wrong; nothing was done"
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
    Webhooks(webhooks::Args),
    Deliveries(deliveries::Args),
    Retry(retry::Args),
    Listen(listen::Args),
    Backup(backup::Args),
    Check(check::Args),
    Openapi(openapi::Args),
    Completions(completions::Args),
}

impl Cli {
    /// Runs the command and says by the exit code how it went.
    pub fn run(self) -> ExitCode {
        // Keys, secrets and tokens go through memory: none of it is for a core file, or for another process of this user.
        if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
            log::complain(Level::WARN, &format!("core files cannot be forbidden: {error}"));
        }
        let done = self.dispatch().and_then(|()| match UNPRINTED.get() {
            // Whoever read it has gone away (`| head`): no error.
            None | Some(io::ErrorKind::BrokenPipe) => Ok(()),
            Some(kind) => Err(Error::Internal(format!("standard output cannot be written: {kind}"))),
        });
        let code = match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                log::complain(Level::ERROR, &error.to_string());
                ExitCode::FAILURE
            }
        };
        log::drain();
        code
    }

    fn dispatch(self) -> Result<()> {
        let config = || Config::load(self.config.as_deref()).map_err(|error| Error::request(error.to_string()));
        match self.command {
            Command::Serve(args) => {
                log::open(Config::log_format(self.config.as_deref()))?;
                serve::run(args, config()?)
            }
            Command::Account(args) => account::run(args, &config()?),
            Command::Token(args) => token::run(args, &config()?),
            Command::Key(args) => key::run(&args, &config()?),
            Command::Webhooks(args) => webhooks::run(args, &config()?),
            Command::Deliveries(args) => deliveries::run(args, &config()?),
            Command::Retry(args) => retry::run(args, &config()?),
            Command::Listen(args) => listen::run(args, &config()?),
            Command::Backup(args) => backup::run(&args, &config()?),
            Command::Check(args) => check::run(&args, &config()?),
            Command::Openapi(args) => openapi::run(&args),
            Command::Completions(args) => completions::run(&args),
        }
    }
}

/// Why something could not be printed, once that was so.
static UNPRINTED: OnceLock<io::ErrorKind> = OnceLock::new();

/// Prints to standard output; what cannot be is noted.
fn print(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    if let Err(error) = out.write_all(bytes).and_then(|()| out.flush()) {
        UNPRINTED.get_or_init(|| error.kind());
    }
}

/// Prints lines of text: in each, what would not show itself on a terminal is escaped.
fn say(text: &str) {
    if !log::print(text) {
        let lines: Vec<_> = text.split('\n').map(escaped).collect();
        print(format!("{}\n", lines.join("\n")).as_bytes());
    }
}

/// Whether nobody reads any more what is printed.
fn is_unread() -> bool {
    UNPRINTED.get().is_some()
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
    store::open(&config.storage, &config.limits, Arc::new(SystemClock), false)
}

/// Shows on the terminal, if there is one, how far long work has come; the next line takes its place.
fn show(progress: &str) {
    use std::io::IsTerminal;
    let mut terminal = io::stderr();
    if terminal.is_terminal() {
        // The rest of a longer line is wiped.
        let _ = write!(terminal, "\r{}\x1b[K", escaped(progress)).and_then(|()| terminal.flush());
    }
}

/// Prints one line of JSON, which means the same with what others wrote escaped.
fn print_json(value: &Value) {
    say!("{}", escaped_json(&value.to_string()));
}
