//! `ngoma webhooks`: list, test, pause, resume and recover webhooks.

use std::{collections::HashMap, sync::Arc};

use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    database::{block_on, open},
    deliveries::named,
    output::print_json,
    recover, selection,
};
use crate::{
    api::{dialects, profiles},
    clock::{SharedClock, SystemClock},
    config::Config,
    domain::{
        audit::Actor,
        delivery::Attempt,
        endpoint::{Endpoint, EndpointState, Resend, Resumed, SuspendedReason},
        profile::Profiles,
        text::escaped,
        timestamp::Timestamp,
    },
    engine::{Engine, Guard, system_look_up},
    error::{Error, Result},
    store::{Admission, Db, Tx, View, accounts, audit, endpoints},
};

/// List, test, pause, resume and recover webhooks; a running server acts at once, else the next start does
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ngoma webhooks list\n  ngoma webhooks test wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1\n  ngoma webhooks resume wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1"
)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the webhooks that are not deleted: state, account and URL
    #[command(
        after_help = "Examples:\n  ngoma webhooks list --account COOP-MBALE-001\n  ngoma webhooks list --json | jq -r '.[] | select(.status == \"SUSPENDED\") | .webhook_id'"
    )]
    List {
        /// Only webhooks of this account.
        #[arg(long, value_name = "ID")]
        account: Option<String>,
        /// Print a JSON array instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Send one signed test delivery now, also to a suspended webhook; exit code 1 if it does not arrive
    #[command(
        after_help = "Example:\n  ngoma webhooks test wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1 --event batch.exported\n\nThe command itself sends it, with the settings that it reads: give it the server's --config and environment."
    )]
    Test {
        /// The webhook's id, wh_... or whk_..., from 'ngoma webhooks list'.
        #[arg(value_name = "WEBHOOK")]
        webhook: String,
        /// The event whose sample data is sent. Default: the first event that the webhook wants.
        #[arg(long, value_name = "NAME")]
        event: Option<String>,
        /// Print one JSON object instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Pause a webhook: its deliveries are held until it is resumed
    #[command(after_help = "Example:\n  ngoma webhooks pause wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1")]
    Pause {
        /// The webhook's id, wh_... or whk_..., from 'ngoma webhooks list'.
        #[arg(value_name = "WEBHOOK")]
        webhook: String,
        /// Print one JSON object instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Resume a suspended webhook: failed deliveries since its last success are sent again, then held ones go out
    #[command(
        after_help = "Examples:\n  ngoma webhooks resume wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1\n  ngoma webhooks resume wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1 --leave-failed    only the held ones\n\nRepair the receiver first. Failed deliveries that were replayed before are not sent again."
    )]
    Resume {
        /// The webhook's id, wh_... or whk_..., from the alert, the dashboard or 'ngoma webhooks list'.
        #[arg(value_name = "WEBHOOK")]
        webhook: String,
        /// Leave the failed deliveries: only the held ones go out.
        #[arg(long)]
        leave_failed: bool,
        /// Print one JSON object instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Replay every failed delivery of a webhook, as 'ngoma recover --webhook' does
    #[command(
        after_help = "Examples:\n  ngoma webhooks recover wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1          counts them\n  ngoma webhooks recover wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1 --yes    replays each of them once\n\n'ngoma recover' has more filters."
    )]
    Recover {
        /// The webhook's id, wh_... or whk_..., from 'ngoma webhooks list'.
        #[arg(value_name = "WEBHOOK")]
        webhook: String,
        /// Start it. Without --yes the deliveries are only counted.
        #[arg(long)]
        yes: bool,
        /// Print one JSON object instead of text, and wait for nothing.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(args: Args, config: &Config) -> Result<()> {
    match args.command {
        Command::List { account, json } => list(account, json, config),
        Command::Test { webhook, event, json } => test(&webhook, event, json, config),
        Command::Pause { webhook, json } => pause(&webhook, json, config),
        Command::Resume { webhook, leave_failed, json } => {
            resume(&webhook, if leave_failed { Resend::Nothing } else { Resend::Failed }, json, config)
        }
        Command::Recover { webhook, yes, json } => recover::run(recover::Args::of_webhook(webhook, yes, json), config),
    }
}

fn list(account: Option<String>, as_json: bool, config: &Config) -> Result<()> {
    let (profiles, db) = (profiles(config), open(config)?);
    let list = move |view: &View<'_>| {
        account.as_deref().map(|id| accounts::see(view, &selection::ALL, id)).transpose()?;
        let of: HashMap<_, _> =
            accounts::list(view)?.into_iter().map(|account| (account.id, account.profile)).collect();
        let all = endpoints::list(view, &selection::ALL, Timestamp::from_millis(i64::MAX), (0, None))?.into_iter();
        let listed = all.filter(|one| one.state != EndpointState::Deleted);
        let listed = listed.filter(|one| account.as_ref().is_none_or(|account| *account == one.account_id));
        Ok(listed.map(|one| (of.get(&one.account_id).cloned().unwrap_or_default(), one)).collect::<Vec<_>>())
    };
    let found = block_on(async { db.read(list).await.map_err(named) })?;
    if as_json {
        print_json(&found.iter().map(|(profile, one)| object(one, profile, &profiles)).collect());
    } else if found.is_empty() {
        say!("there is no webhook: an account registers one at the API, or you do at the dashboard (/ui/webhooks)");
    } else {
        say!("{:<30}  {:<9}  {:<20}  {:<24}  URL", "WEBHOOK", "STATUS", "SINCE", "ACCOUNT");
        for (profile, one) in &found {
            let since = one.suspended_at.unwrap_or(one.created_at).to_string();
            let (id, account) = (id(one, profile, &profiles), escaped(&one.account_id));
            say!("{id:<30}  {:<9}  {since:<20}  {account:<24}  {}", status(one), escaped(one.url.given()));
        }
    }
    Ok(())
}

fn id(endpoint: &Endpoint, profile: &str, profiles: &Profiles) -> String {
    endpoint.id.on_wire(profiles.get(profile).map_or("", |profile| profile.endpoint_prefix))
}

const fn status(endpoint: &Endpoint) -> &'static str {
    match endpoint.state {
        EndpointState::Active => "ACTIVE",
        EndpointState::Suspended => "SUSPENDED",
        EndpointState::Deleted => "DELETED",
    }
}

fn object(endpoint: &Endpoint, profile: &str, profiles: &Profiles) -> Value {
    json!({
        "webhook_id": id(endpoint, profile, profiles),
        "account_id": endpoint.account_id,
        "profile": profile,
        "url": endpoint.url.given(),
        "events": endpoint.events.entries(),
        "status": status(endpoint),
        "suspended_at": endpoint.suspended_at.map(|at| at.to_string()),
        "suspended_reason": endpoint.suspended_reason.map(SuspendedReason::name),
        "created_at": endpoint.created_at.to_string(),
    })
}

/// The webhook, unless it is deleted.
fn live(endpoint: Endpoint, then: &str) -> Result<Endpoint> {
    match endpoint.state {
        EndpointState::Deleted => Err(Error::request(format!("this webhook is deleted: it cannot be {then}"))),
        EndpointState::Active | EndpointState::Suspended => Ok(endpoint),
    }
}

fn test(webhook: &str, event: Option<String>, as_json: bool, config: &Config) -> Result<()> {
    let (id, visible) = selection::webhook(&profiles(config), webhook)?;
    let (db, dialects) = (open(config)?, dialects(config));
    let prepare = move |tx: &Tx<'_>| {
        let endpoint = live(endpoints::find(tx, &visible, id)?, "tested")?;
        let target = endpoints::target(tx, endpoint.key)?;
        let dialect = dialects.iter().find(|dialect| dialect.profile.name == target.profile);
        let dialect = dialect.ok_or_else(|| Error::Internal(format!("no profile '{}'", target.profile)))?;
        let sample = dialect.sample_for(&endpoint, event.as_deref(), tx.now)?;
        audit::tested(tx, endpoint.key)?;
        Ok((endpoint.account_id, target, sample))
    };
    let (kind, delivery, attempt) = block_on(async {
        let (account, target, (kind, body)) =
            db.write(Actor::CommandLine, Admission::Try, prepare).await.map_err(named)?;
        let sent = engine(&db, config)?.send_test(Actor::CommandLine, account, target, kind.clone(), body).await?;
        Ok((kind, sent.0, sent.1))
    })?;
    let Attempt { status, failure, duration, details, .. } = &attempt;
    let took = duration.map_or(0, |took| took.as_millis());
    if as_json {
        print_json(&json!({
            "webhook_id": webhook,
            "event": kind,
            "delivery_id": delivery.to_string(),
            "delivered": failure.is_none(),
            "response_status": status,
            "duration_ms": u64::try_from(took).unwrap_or(u64::MAX),
            "error": failure.map(|failure| failure.name()),
            "error_reason": details.reason,
        }));
    }
    let answer = status.map_or_else(|| "no answer".to_owned(), |status| format!("status {status}"));
    match failure {
        None if as_json => {}
        None => say!("a test of {kind} has arrived: {answer} after {took} ms ({delivery})"),
        Some(failure) => {
            let why = details.reason.as_deref().map_or_else(|| failure.to_string(), |why| format!("{failure}: {why}"));
            return Err(Error::request(format!("the test of {kind} did not arrive: {answer}, {why} ({delivery})")));
        }
    }
    Ok(())
}

/// An engine that only sends tests.
fn engine(db: &Db, config: &Config) -> Result<Engine> {
    let clock: SharedClock = Arc::new(SystemClock);
    let guard = Guard::new(&config.egress, config.server.listen, &system_look_up(), Arc::clone(&clock))?;
    Engine::new(db.clone(), clock, profiles(config), config, &guard)
}

fn pause(webhook: &str, as_json: bool, config: &Config) -> Result<()> {
    let (id, visible) = selection::webhook(&profiles(config), webhook)?;
    let pause = move |tx: &Tx<'_>| {
        let endpoint = live(endpoints::find(tx, &visible, id)?, "paused")?;
        endpoints::suspend(tx, endpoint.key, SuspendedReason::Paused)?;
        Ok(endpoint.state == EndpointState::Active)
    };
    let db = open(config)?;
    let paused = block_on(async { db.write(Actor::CommandLine, Admission::Try, pause).await.map_err(named) })?;
    match paused {
        _ if as_json => print_json(&json!({ "webhook_id": webhook, "paused": paused })),
        true => say!("{webhook} is paused: its deliveries are held until 'ngoma webhooks resume {webhook}'"),
        false => say!("{webhook} is suspended already: nothing was changed"),
    }
    Ok(())
}

fn resume(webhook: &str, resend: Resend, as_json: bool, config: &Config) -> Result<()> {
    let (id, visible) = selection::webhook(&profiles(config), webhook)?;
    let resume = move |tx: &Tx<'_>| {
        let endpoint = live(endpoints::find(tx, &visible, id)?, "resumed")?;
        endpoints::resume(tx, endpoint.key, resend)
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
