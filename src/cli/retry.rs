//! `ngoma retry`: replays one delivery, or every matching one.

use std::{
    io::{IsTerminal, Write},
    time::Duration,
};

use serde_json::json;

use super::{
    database::{block_on, open},
    deliveries::named,
    output::print_json,
    selection::{ALL, Filters, Status},
};
use crate::{
    api::profiles,
    clock,
    config::Config,
    domain::{
        audit::Actor,
        ids::DeliveryId,
        retry::{Run, RunState},
        selection::Selection,
    },
    error::{Error, Result},
    store::{
        Admission, Db,
        retries::{self, Candidates},
    },
};

/// How often the progress is read.
const EVERY: Duration = Duration::from_millis(200);
/// After this many reads without progress the command ends: receivers are slow, or no server runs.
const PATIENCE: u32 = 25;

/// Replay one delivery, or all that match; a running server acts at once, else the next start does
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ngoma retry dlv_01HXYZ7A1B2C3D4E5F6G7H8J9K               this one\n  ngoma retry --account COOP-MBALE-001 --since 2h         counts the failed ones\n  ngoma retry --account COOP-MBALE-001 --since 2h --yes   replays each of them once\n  ngoma retry --all --yes                                 every failed one, of every account\n\nDeliveries that were replayed before are left out: their replays count. Deliveries of a suspended webhook are skipped:\nresume it first ('ngoma webhooks resume'), which sends again the deliveries that failed since its last success.\nThe run goes on when this command is ended, and after a restart. The API and the dashboard can cancel it."
)]
pub(super) struct Args {
    /// The delivery to replay, dlv_..., from 'ngoma deliveries'.
    #[arg(value_name = "DELIVERY", conflicts_with_all = ["account", "webhook", "event", "error", "since", "cancelled", "all"])]
    delivery: Option<String>,
    #[command(flatten)]
    filters: Filters,
    /// Replay cancelled deliveries instead of failed ones.
    #[arg(long)]
    cancelled: bool,
    /// No filter: every failed delivery.
    #[arg(long)]
    all: bool,
    /// Start it. Without --yes the deliveries are only counted.
    #[arg(long)]
    yes: bool,
    /// Print one JSON object instead of text, and wait for nothing.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args, config: &Config) -> Result<()> {
    let (one, yes, as_json) = (args.delivery.is_some(), args.yes, args.json);
    let (scope, selection) = match args.delivery {
        Some(text) => {
            let id = DeliveryId::parse(&text).ok_or_else(|| Error::request(format!("'{text}' is no delivery's id")))?;
            (ALL, Selection { delivery: Some(id), ..Selection::default() })
        }
        None if args.filters.is_empty() && !args.all && !args.cancelled => {
            return Err(Error::request("which deliveries? Name one, give a filter, or --all"));
        }
        None => {
            let status = if args.cancelled { Status::Cancelled } else { Status::Failed };
            args.filters.read(&profiles(config), Some(status))?
        }
    };
    let db = open(config)?;
    block_on(async {
        let field = db.read(move |view| Candidates::new(view, &scope, selection)).await.map_err(named)?;
        let count = retries::count(&db, Actor::CommandLine, &field, Duration::MAX).await?;
        if one {
            judge_one(count)?;
        }
        if !yes && !one {
            if as_json {
                print_json(&json!({ "matched": count.matched, "skipped": count.skipped }));
            } else {
                say!("{} deliveries match, {} of them of suspended or deleted webhooks", count.matched, count.skipped);
                let next = if count.matched == 0 { "there is nothing to replay" } else { "run this again with --yes" };
                say!("nothing was replayed: {next}");
            }
            return Ok(());
        }
        let run =
            db.write(Actor::CommandLine, Admission::Try, move |tx| retries::start(tx, &field, count.matched)).await?;
        if as_json {
            print_json(&json!({ "retry_id": run.id.to_string(), "matched": run.matched }));
            return Ok(());
        }
        follow(&db, run).await
    })
}

/// Refuses a single delivery that does not exist, or whose webhook is not active.
fn judge_one(count: retries::Count) -> Result<()> {
    match (count.matched, count.skipped) {
        (0, _) => Err(Error::request("there is no such delivery: 'ngoma deliveries' shows them")),
        (_, 0) => Ok(()),
        _ => Err(Error::request("its webhook is suspended or deleted: resume it first")),
    }
}

/// Shows the progress of a run until it ends.
async fn follow(db: &Db, mut run: Run) -> Result<()> {
    let (id, mut idle) = (run.id, 0);
    let terminal = std::io::stdout().is_terminal();
    while run.state == RunState::Running && idle < PATIENCE {
        clock::pause(EVERY).await;
        let now = db.read(move |view| retries::find(view, &ALL, id)).await?;
        idle = if now.replayed + now.skipped > run.replayed + run.skipped { 0 } else { idle + 1 };
        run = now;
        if terminal {
            let _ = write!(std::io::stdout(), "\r{} of {} ", run.replayed + run.skipped, run.matched);
            let _ = std::io::stdout().flush();
        }
    }
    if terminal {
        say!();
    }
    let Run { replayed, skipped, matched, .. } = run;
    match run.state {
        RunState::Done if replayed == 0 && skipped > 0 => {
            return Err(Error::request(format!(
                "{id} is done, and nothing was replayed: {skipped} skipped, because their webhooks are suspended or deleted"
            )));
        }
        RunState::Done => say!("{id} is done: {replayed} replayed, {skipped} skipped"),
        RunState::Cancelled => say!("{id} was cancelled: {replayed} of {matched} replayed"),
        RunState::Running => {
            say!(
                "{id} is not done, {replayed} of {matched} replayed: the server goes on with it, also if it is started later"
            )
        }
    }
    Ok(())
}
