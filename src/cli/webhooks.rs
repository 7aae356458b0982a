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

/// Resume a suspended webhook; a running server acts at once, else the next start does
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  ngoma webhooks resume wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Resume a suspended webhook: failed deliveries since its last success are sent again, then held ones go out
    #[command(
        after_help = "Examples:\n  ngoma webhooks resume wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1\n  ngoma webhooks resume wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1 --leave-failed    only the held ones\n\nRepair the receiver first. Failed deliveries that were replayed before are not sent again."
    )]
    Resume {
        /// The webhook's id, wh_... or whk_..., from the alert or the dashboard.
        #[arg(value_name = "WEBHOOK")]
        webhook: String,
        /// Leave the failed deliveries: only the held ones go out.
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
