//! Parses the command line and runs one command.

use std::process::ExitCode;

use ngoma::cli::Cli;

fn main() -> ExitCode {
    Cli::read().run()
}
