//! `ngoma alerts`: the channels of alerts.

use clap::Subcommand;

use super::database::block_on;
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
        after_help = "Examples:\n  ngoma alerts test\n  ngoma alerts test slack\n\nThe channels are those of alerts.channel, by their names, and mail, if alerts.operator_email is set. The command itself sends the\ntest, with the settings that it reads: give it the server's --config and environment."
    )]
    Test {
        /// The name of the channel. Default: all of them.
        channel: Option<String>,
    },
}

pub(super) fn run(args: Args, config: &Config) -> Result<()> {
    let Command::Test { channel } = args.command;
    let tested = block_on(try_channels::test_channels(config, channel.as_deref()))?;
    let mut refused = 0;
    for (name, outcome) in &tested {
        match outcome {
            Ok(()) => say!("{name}: a test was taken"),
            Err(error) => {
                refused += 1;
                say!("{name}: {}", escaped(&error.to_string()));
            }
        }
    }
    match refused {
        0 => Ok(()),
        _ => Err(Error::Unavailable(format!("{refused} of {} channels did not take the test", tested.len()))),
    }
}
