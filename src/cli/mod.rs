//! The command line: one file per command.
//!
//! The help of the program lists the exit codes.

#[macro_use]
mod output;

mod account;
mod alerts;
mod app;
mod backup;
mod check;
mod completions;
mod database;
mod deliveries;
mod descriptors;
mod erase;
mod key;
mod listen;
mod log;
mod man;
mod manner;
mod openapi;
mod owner;
mod recover;
mod restore;
mod selection;
mod serve;
mod setup;
mod setup_present;
mod setup_questions;
mod start;
mod supervisor;
mod table;
mod token;
mod version;
mod webhook_settings;
mod webhook_view;
mod webhooks;
mod wrong;

use std::{env, io, path::PathBuf, process::ExitCode};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use tracing::Level;

use self::{manner::Manner, version::VERSION, wrong::is_wrong};
use crate::{
    config::{Config, Reader},
    error::{Error, Result},
};

/// The heading of the options that every command has.
const COMMON: &str = "Options of every command";

/// A self-hosted webhook sender: one binary, one SQLite file.
#[derive(Debug, Parser)]
#[command(
    version = VERSION,
    after_help = "Start here:\n  ngoma serve --dev                 try it on this machine; prints tokens and the address of the docs\n  ngoma listen --secret whsec_...   verify and print deliveries\n\nExit codes:\n  0  done; of 'serve': stopped by SIGTERM or Ctrl-C, everything written\n  1  the command failed, or 'check' found a problem; a sentence on standard error gives the reason;\n     of 'serve' also: stopped at once by a second signal\n  2  the command line is wrong; nothing was done"
)]
pub struct Cli {
    /// The settings file. Default: the file that the variable NGOMA_CONFIG names, else ./config.toml or
    /// /etc/ngoma/config.toml, the first that is there, else the built-in settings.
    #[arg(long, global = true, value_name = "FILE", help_heading = COMMON)]
    config: Option<PathBuf>,
    /// Print only the result: no heads of tables, no confirmations, no hints, no progress.
    #[arg(long, short, global = true, help_heading = COMMON)]
    quiet: bool,
    /// Print no colours. Without a terminal, with NO_COLOR or with TERM=dumb there are none anyway.
    #[arg(long, global = true, help_heading = COMMON)]
    no_color: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Args),
    Setup(setup::Args),
    Account(account::Args),
    Token(token::Args),
    Key(key::Args),
    Webhooks(webhooks::Args),
    Alerts(alerts::Args),
    Deliveries(deliveries::Args),
    #[command(alias = "retry")]
    Recover(recover::Args),
    Listen(listen::Args),
    Backup(backup::Args),
    Restore(restore::Args),
    Check(check::Args),
    Openapi(openapi::Args),
    Completions(completions::Args),
    Man(man::Args),
}

impl Cli {
    /// Reads the command line. If it is wrong, or asks for help, the program ends here.
    pub fn read() -> Self {
        let plain = env::args_os().any(|word| word == "--no-color");
        let matches = Self::command().color(manner::colours(plain)).get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }

    /// Runs the command, and returns the exit code.
    pub fn run(self) -> ExitCode {
        // Memory holds keys, secrets and tokens: keep them out of core files, and away from other processes of this
        // user.
        if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
            log::complain(Level::WARN, &format!("core files cannot be forbidden: {error}"));
        }
        manner::set(Manner { quiet: self.quiet, plain: self.no_color });
        let done = self.dispatch().and_then(|()| match output::unprinted() {
            // The reader has gone away (`| head`): no error.
            None | Some(io::ErrorKind::BrokenPipe) => Ok(()),
            Some(kind) => Err(Error::Internal(format!("standard output cannot be written: {kind}"))),
        });
        let code = match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                log::complain(Level::ERROR, &error.to_string());
                if is_wrong(&error) { ExitCode::from(2) } else { ExitCode::FAILURE }
            }
        };
        log::drain();
        code
    }

    fn dispatch(self) -> Result<()> {
        let named = self.config.as_deref();
        let load = || Config::load(named).map_err(|error| Error::request(error.to_string()));
        let config = || load().inspect(|config| config.note_how_to_call(named, Reader::Here, owner::is_by_sudo()));
        // For commands that use the database. 'check' stays root: it tells root what the owner could not use. 'backup' and
        // 'restore' act as the owner of each place where they read or write.
        let owned = || config().and_then(|config| owner::act(&config).map(|()| config));
        match self.command {
            Command::Serve(args) => {
                log::open(Config::log_format(self.config.as_deref()))?;
                let config = load()?;
                config.note_how_to_call(named, Reader::Anywhere, owner::is_of_service());
                serve::run(args, config)
            }
            Command::Setup(args) => setup::run(args, &owned()?),
            Command::Account(args) => account::run(args, &owned()?),
            Command::Token(args) => token::run(args, &owned()?),
            Command::Key(args) => key::run(&args, &owned()?),
            Command::Webhooks(args) => webhooks::run(args, &owned()?),
            Command::Alerts(args) => alerts::run(args, &owned()?),
            Command::Deliveries(args) => deliveries::run(args, &owned()?),
            Command::Recover(args) => recover::run(args, &owned()?),
            Command::Listen(args) => listen::run(args, &config()?),
            Command::Backup(args) => backup::run(&args, &config()?),
            Command::Restore(args) => restore::run(&args, &config()?),
            Command::Check(args) => check::run(&args, config()),
            Command::Openapi(args) => openapi::run(&args),
            Command::Completions(args) => completions::run(&args, &mut Self::command()),
            Command::Man(args) => man::run(&args, Self::command()),
        }
    }
}
