//! `ngoma webhooks`: resume a suspended webhook.

use clap::Subcommand;
use serde_json::json;

use super::{
    database::{block_on, open},
    deliveries::named,
    output::print_json,
    selection,
};
use crate::{
    api::profiles,
    config::Config,
    domain::{
        audit::Actor,
        endpoint::{EndpointState, Resend, Resumed},
    },
    error::{Error, Result},
    store::{Admission, Tx, endpoints},
};

/// Resume a suspended webhook; the server does it, at once or when it is started
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  ngoma webhooks resume wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a suspended webhook active again: what failed since its last success is sent again, then what is held goes out
    #[command(
        after_help = "Examples:\n  ngoma webhooks resume wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1\n  ngoma webhooks resume wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1 --leave-failed    only what is held\n\nRepair the receiver first. What was replayed already is not sent again."
    )]
    Resume {
        /// The webhook, wh_... or whk_..., as the alert and the dashboard show it.
        #[arg(value_name = "WEBHOOK")]
        webhook: String,
        /// Leave what failed as it is: only what is held goes out.
        #[arg(long)]
        leave_failed: bool,
        /// Print one JSON object instead of text.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(args: Args, config: &Config) -> Result<()> {
    let Command::Resume { webhook, leave_failed, json: as_json } = args.command;
    let (id, scope) = selection::webhook(&profiles(config), &webhook)?;
    let resend = if leave_failed { Resend::Nothing } else { Resend::Failed };
    let resume = move |tx: &Tx<'_>| {
        let endpoint = endpoints::find(tx, &scope, id)?;
        match endpoint.state {
            EndpointState::Deleted => Err(Error::request("this webhook is deleted: it cannot be resumed")),
            EndpointState::Active | EndpointState::Suspended => endpoints::resume(tx, endpoint.key, resend),
        }
    };
    let db = open(config)?;
    let resumed = block_on(async { db.write(Actor::CommandLine, Admission::Try, resume).await.map_err(named) })?;
    let Resumed { resent, released } = resumed.unwrap_or(Resumed { resent: 0, released: 0 });
    match resumed {
        _ if as_json => print_json(&json!({
            "webhook_id": webhook,
            "resumed": resumed.is_some(),
            "resent_deliveries": resent,
            "released_deliveries": released,
        })),
        None => say!("{webhook} is active already: nothing was changed"),
        Some(resumed) => say!("{webhook} is active again: {resumed}"),
    }
    Ok(())
}
