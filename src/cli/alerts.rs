//! `ngoma alerts`: the channels of alerts.

use clap::Subcommand;
use serde_json::json;

use super::{
    database::{block_on, expect_secrets},
    output::print_json,
};
use crate::{
    config::Config,
    domain::text::escaped,
    engine::try_channels,
    error::{Error, Result},
};

/// Try the channels of alerts
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ngoma alerts test\n  ngoma alerts test slack")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Send a test to every channel of alerts, or to one; works while the server runs
    #[command(
        after_help = "Examples:\n  ngoma alerts test\n  ngoma alerts test slack\n\nThe channels are those of [[alerts.channel]], by their names, and 'mail' if alerts.operator_email is set. The command itself\nsends the test, with the settings that it reads: give it the server's --config and environment."
    )]
    Test {
        /// The name of the channel. Default: all of them.
        channel: Option<String>,
        /// Print a JSON array instead of text.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(args: Args, config: &Config) -> Result<()> {
    let Command::Test { channel, json } = args.command;
    expect_secrets(config)?;
    let tested = block_on(try_channels::test_channels(config, channel.as_deref()))?;
    if json {
        let rows = tested.iter().map(|(name, outcome)| {
            let problem = outcome.as_ref().err().map(ToString::to_string);
            json!({ "channel": name, "taken": outcome.is_ok(), "problem": problem })
        });
        print_json(&rows.collect());
    } else {
        for (name, outcome) in &tested {
            match outcome {
                Ok(()) => say!("{name}: a test was taken"),
                Err(error) => say!("{name}: {}", escaped(&error.to_string())),
            }
        }
    }
    match tested.iter().filter(|(_, outcome)| outcome.is_err()).count() {
        0 => Ok(()),
        refused => Err(Error::Unavailable(format!("{refused} of {} channels did not take the test", tested.len()))),
    }
}
