//! `ngoma webhooks`: register, change, list, test, pause, resume and recover webhooks.

use std::collections::HashMap;

use clap::Subcommand;
use serde_json::json;

use super::{
    app::{access, app},
    database::{block_on, open},
    deliveries::{named, named_of},
    output::{nothing, print_json},
    recover, selection,
    table::{Cell, Column, print_table},
    webhook_settings, webhook_view,
    wrong::OfWords,
};
use crate::{
    api::profiles,
    app::webhook_test::TestOutcome,
    config::{Config, command},
    domain::{
        delivery::Attempt,
        endpoint::{Endpoint, EndpointState, Resend, Resumed},
        timestamp::Timestamp,
    },
    error::{Error, Result},
    store::{View, accounts, endpoints},
};

/// Register, change, list, test, pause, resume and recover webhooks; a running server follows at once
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ngoma webhooks create --account COOP-MBALE-001 --url https://erp.coop.example/hook --events 'batch.*'\n  ngoma webhooks list\n  ngoma webhooks test wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1\n  ngoma webhooks resume wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1"
)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Register a webhook for an account, active at once
    #[command(
        after_help = "Examples:\n  ngoma webhooks create --account COOP-MBALE-001 --url https://erp.coop.example/hook --events 'batch.*,loan.repaid'\n  ngoma webhooks create --account COOP-MBALE-001 --url https://erp.coop.example/hook --events '*' --header @key.txt\n\nkey.txt has lines such as 'X-Api-Key: ...'. The rules are those of the API."
    )]
    Create(webhook_settings::Create),
    /// Change a webhook's URL, events and own settings; what is not named stays
    #[command(
        after_help = "Examples:\n  ngoma webhooks set wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1 --rate-limit 5 --ordered\n  ngoma webhooks set wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1 --metadata till=mbale-2 --description 'the till of Mbale'\n  ngoma webhooks set wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1 --header @- --no-header X-Old-Key\n\nThe rules are those of the API. Values of headers are stored encrypted, and never shown again."
    )]
    Set(webhook_settings::Set),
    /// Show a webhook with its settings; values of headers are masked
    #[command(after_help = "Example:\n  ngoma webhooks show wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1")]
    Show {
        /// The webhook's id, wh_... or whk_..., from 'ngoma webhooks list'.
        #[arg(value_name = "WEBHOOK")]
        webhook: String,
        /// Print one JSON object instead of text.
        #[arg(long)]
        json: bool,
    },
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
        /// The webhook's id, wh_... or whk_..., from 'ngoma webhooks list'.
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
        Command::Create(new) => webhook_settings::create(new, config),
        Command::Set(change) => webhook_settings::set(change, config),
        Command::Show { webhook, json } => {
            selection::webhook(&profiles(config), &webhook)?;
            webhook_settings::show(&app(config)?, &webhook, json)
        }
        Command::List { account, json } => list(account, json, config),
        Command::Test { webhook, event, json } => test(&webhook, event, json, config),
        Command::Pause { webhook, json } => pause(&webhook, json, config),
        Command::Resume { webhook, leave_failed, json } => {
            resume(&webhook, if leave_failed { Resend::Nothing } else { Resend::Failed }, json, config)
        }
        Command::Recover { webhook, yes, json } => recover::run(recover::Args::of_webhook(webhook, yes, json), config),
    }
}

const COLUMNS: [Column; 5] = [
    Column::Text("WEBHOOK", 0),
    Column::Text("STATUS", 0),
    Column::Text("SINCE", 0),
    Column::Text("ACCOUNT", 0),
    Column::Text("URL", 0),
];

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
    if found.is_empty() {
        nothing(
            as_json,
            &format!("there is no webhook: '{}' says how to register one", command("webhooks create --help")),
        );
    } else if as_json {
        print_json(&found.iter().map(|(profile, one)| webhook_view::object(one, profile, &profiles)).collect());
    } else {
        let row = |(profile, one): &(String, Endpoint)| -> Vec<Cell> {
            let since = one.suspended_at.unwrap_or(one.created_at).to_string();
            let (id, status) = (webhook_view::id(one, profile, &profiles), Cell::status(webhook_view::status(one)));
            vec![id.into(), status, since.into(), one.account_id.as_str().into(), one.url.given().into()]
        };
        print_table(&COLUMNS, &found.iter().map(row).collect::<Vec<_>>());
    }
    Ok(())
}

fn test(webhook: &str, event: Option<String>, as_json: bool, config: &Config) -> Result<()> {
    selection::webhook(&profiles(config), webhook)?;
    let app = app(config)?;
    let tested = block_on(app.test(&access(), webhook, event)).of_words().map_err(named_of(webhook))?;
    let TestOutcome { kind, delivery, attempt: Attempt { status, failure, duration, details, .. }, .. } = &tested;
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
        None => confirm!("a test of {kind} has arrived: {answer} after {took} ms ({delivery})"),
        Some(failure) => {
            let why = details.reason.as_deref().map_or_else(|| failure.to_string(), |why| format!("{failure}: {why}"));
            return Err(Error::request(format!("the test of {kind} did not arrive: {answer}, {why} ({delivery})")));
        }
    }
    Ok(())
}

fn pause(webhook: &str, as_json: bool, config: &Config) -> Result<()> {
    selection::webhook(&profiles(config), webhook)?;
    let (app, access) = (app(config)?, access());
    let paused = block_on(async {
        let was = app.webhook(&access, webhook).await?.endpoint.state;
        app.pause(&access, webhook).await?;
        Ok(was == EndpointState::Active)
    });
    match paused.map_err(named_of(webhook))? {
        paused if as_json => print_json(&json!({ "webhook_id": webhook, "paused": paused })),
        true => {
            let resume = command(&format!("webhooks resume {webhook}"));
            confirm!("{webhook} is paused: its deliveries are held; '{resume}' ends this");
        }
        false => confirm!("{webhook} is suspended already: nothing was changed"),
    }
    Ok(())
}

fn resume(webhook: &str, resend: Resend, as_json: bool, config: &Config) -> Result<()> {
    selection::webhook(&profiles(config), webhook)?;
    let resumed = block_on(app(config)?.resume(&access(), webhook, resend)).map_err(named_of(webhook))?;
    let Resumed { resent, released } = resumed.unwrap_or(Resumed { resent: 0, released: 0 });
    match resumed {
        _ if as_json => print_json(&json!({
            "webhook_id": webhook,
            "resumed": resumed.is_some(),
            "resent_deliveries": resent,
            "released_deliveries": released,
        })),
        None => confirm!("{webhook} is active already: nothing was changed"),
        Some(resumed) => confirm!("{webhook} is active again: {resumed}"),
    }
    Ok(())
}
