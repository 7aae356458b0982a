//! `ngoma recover`: replays one delivery, or every matching one.

use std::{
    io::{IsTerminal, Write},
    time::Duration,
};

use clap::ValueEnum;
use serde_json::json;

use super::{
    database::{block_on, expect_same, open},
    deliveries::named,
    manner::is_quiet,
    output::print_json,
    selection::{ALL, Filters, Status},
    wrong::wrong,
};
use crate::{
    clock,
    config::{Config, command},
    domain::{
        audit::Actor,
        excerpt::excerpt,
        ids::DeliveryId,
        recovery::{Recovery, RecoveryState},
        selection::Selection,
    },
    error::{Error, Result},
    store::{
        Admission, Db, Tx,
        candidates::{self, Candidates},
        recoveries,
    },
};

/// How often the progress is read.
const EVERY: Duration = Duration::from_millis(200);
/// After this many reads without progress the command ends: receivers are slow, or no server runs.
const PATIENCE: u32 = 25;

/// Replay one delivery, or all that match; a running server acts at once, else the next start does
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ngoma recover dlv_01HXYZ7A1B2C3D4E5F6G7H8J9K               this one\n  ngoma recover --account COOP-MBALE-001 --since 2h         counts the failed ones\n  ngoma recover --account COOP-MBALE-001 --since 2h --yes   replays each of them once\n  ngoma recover --url erp.coop.example --status delivered --since 2h --until 1h --yes   a receiver has lost an hour\n  ngoma recover --all --yes                                 every failed one, of every account\n\nDeliveries that were replayed before are left out: their replays count. Deliveries of a suspended webhook are skipped:\nresume it first ('ngoma webhooks resume'), which sends again the deliveries that failed since its last success.\nThe recovery goes on when this command is ended, and after a restart. The API and the dashboard can cancel it."
)]
pub(super) struct Args {
    /// The delivery to replay, dlv_..., from 'ngoma deliveries'.
    #[arg(value_name = "DELIVERY", conflicts_with_all = ["account", "webhook", "url", "event", "error", "since", "until", "status", "cancelled", "all"])]
    delivery: Option<String>,
    #[command(flatten)]
    filters: Filters,
    /// The status of the deliveries to replay. Delivered ones are sent again only if this asks for them.
    #[arg(long, ignore_case = true, default_value = "failed")]
    status: Recoverable,
    /// The former name of '--status cancelled'.
    #[arg(long, hide = true, conflicts_with = "status")]
    cancelled: bool,
    /// No filter: every delivery with this status.
    #[arg(long)]
    all: bool,
    /// Start it. Without --yes the deliveries are only counted.
    #[arg(long)]
    yes: bool,
    /// Print one JSON object instead of text, and wait for nothing.
    #[arg(long)]
    json: bool,
}

/// The status of deliveries that can be replayed.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Recoverable {
    Failed,
    Delivered,
    Cancelled,
    Any,
}

impl Recoverable {
    /// `None`: any of the others.
    const fn status(self) -> Option<Status> {
        match self {
            Self::Failed => Some(Status::Failed),
            Self::Delivered => Some(Status::Delivered),
            Self::Cancelled => Some(Status::Cancelled),
            Self::Any => None,
        }
    }
}

impl Args {
    /// Every failed delivery of a webhook.
    pub(super) fn of_webhook(webhook: String, yes: bool, json: bool) -> Self {
        let filters = Filters::of_webhook(webhook);
        Self { delivery: None, filters, status: Recoverable::Failed, cancelled: false, all: false, yes, json }
    }
}

pub(super) fn run(args: Args, config: &Config) -> Result<()> {
    let (one, yes, as_json) = (args.delivery.is_some(), args.yes, args.json);
    let (visible, selection) = match args.delivery {
        Some(text) => {
            let id = DeliveryId::parse(&text).ok_or_else(|| unknown(&text))?;
            (ALL, Selection { delivery: Some(id), ..Selection::default() })
        }
        None if args.filters.is_empty() && !args.all && !args.cancelled => {
            return Err(wrong("which deliveries? Name one, give a filter, or --all; --help has examples"));
        }
        None => {
            let status = if args.cancelled { Recoverable::Cancelled } else { args.status };
            args.filters.read(config, status.status())?
        }
    };
    let db = open(config)?;
    block_on(async {
        let found = db.read(move |view| Candidates::new(view, &visible, selection)).await.map_err(named)?;
        let count = candidates::count(&db, Actor::CommandLine, &found, Duration::MAX).await?;
        expect_same()?;
        if one {
            judge_one(count)?;
        }
        if !yes && !one {
            if as_json {
                print_json(&json!({ "matched": count.matched, "skipped": count.skipped }));
            } else {
                say!("{} deliveries match, {} of them of suspended or deleted webhooks", count.matched, count.skipped);
                let next = match count.matched {
                    0 => "there is nothing to replay",
                    all if all == count.skipped => "resume their webhooks first, then run this command again",
                    _ => "run this command again with --yes to replay them",
                };
                say!("nothing was replayed: {next}");
            }
            return Ok(());
        }
        let start = move |tx: &Tx<'_>| recoveries::start(tx, &found, count.matched);
        let started = db.write(Actor::CommandLine, Admission::Try, start).await?;
        expect_same()?;
        if as_json {
            let id = started.id.to_string();
            // The former name of the id is there for this version.
            print_json(&json!({ "recovery_id": id, "retry_id": id, "matched": started.matched }));
            return Ok(());
        }
        follow(&db, started).await
    })
}

fn unknown(text: &str) -> Error {
    wrong(format!("'{}' is no delivery's id, dlv_...: '{}' shows them", excerpt(text), command("deliveries")))
}

/// Refuses a single delivery that does not exist, or whose webhook is not active.
fn judge_one(count: candidates::Count) -> Result<()> {
    match (count.matched, count.skipped) {
        (0, _) => Err(Error::request(format!("there is no such delivery: '{}' shows them", command("deliveries")))),
        (_, 0) => Ok(()),
        _ => Err(Error::request("its webhook is suspended or deleted: resume it first")),
    }
}

/// Shows the progress of a recovery until it ends.
async fn follow(db: &Db, mut recovery: Recovery) -> Result<()> {
    let (id, mut idle) = (recovery.id, 0);
    let terminal = std::io::stdout().is_terminal() && !is_quiet();
    while recovery.state == RecoveryState::Running && idle < PATIENCE {
        clock::pause(EVERY).await;
        let now = db.read(move |view| recoveries::find(view, &ALL, id)).await?;
        expect_same()?;
        idle = if now.replayed + now.skipped > recovery.replayed + recovery.skipped { 0 } else { idle + 1 };
        recovery = now;
        if terminal {
            let _ = write!(std::io::stdout(), "\r{} of {} ", recovery.replayed + recovery.skipped, recovery.matched);
            let _ = std::io::stdout().flush();
        }
    }
    if terminal {
        say!();
    }
    let Recovery { replayed, skipped, matched, delivered, failed, waiting, .. } = recovery;
    let became = format!("of the replays {delivered} are delivered, {failed} failed, {waiting} wait");
    match recovery.state {
        RecoveryState::Done if replayed == 0 && skipped > 0 => {
            return Err(Error::request(format!(
                "{id} is done, and nothing was replayed: {skipped} skipped, because their webhooks are suspended or deleted"
            )));
        }
        RecoveryState::Done => confirm!("{id} is done: {replayed} replayed, {skipped} skipped; {became}"),
        RecoveryState::Cancelled => say!("{id} was cancelled: {replayed} of {matched} replayed; {became}"),
        RecoveryState::Running => {
            say!(
                "{id} is not done, {replayed} of {matched} replayed: the server goes on with it, also if it is started later"
            )
        }
    }
    Ok(())
}
