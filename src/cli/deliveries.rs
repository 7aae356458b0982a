//! `ngoma deliveries`: lists deliveries and their states.

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    database::{block_on, expect_same, open},
    output::{self, is_unread, nothing, print_json},
    selection::{Filters, Status, name},
    table::{Cell, Column, print_heads, print_rows, print_table},
    wrong::{OfWords, number, wrong},
};
use crate::{
    api::profiles,
    app::PATIENCE,
    clock::{self, Clock, SystemClock},
    config::{Config, command},
    domain::{
        delivery::{DeliveryKey, Failure, State},
        ids::DeliveryId,
        profile::Profiles,
        search::{Asked, Place, Sought},
        selection::Selection,
        token::Visible,
    },
    error::{Error, Missing, Result},
    store::{
        Db,
        search::{self, Listed, Range},
    },
};

/// How often `--follow` looks.
const EVERY: Duration = Duration::from_secs(1);
/// How many of the newest deliveries `--follow` watches.
const WATCHED: usize = 1000;
/// How many pages `--follow` looks through for these when it begins.
const PAGES: usize = 20;
const MOST: usize = 10_000;
/// What an empty list says.
const NONE: &str = "there is no delivery yet: they come when an event is published that a webhook wants";
/// What an empty list says if there are filters.
const NONE_MATCHES: &str = "no delivery matches: leave out a filter, or look further back with --since";

/// List deliveries, newest first, or watch them; works with and without a running server
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ngoma deliveries                                         the last 20\n  ngoma deliveries --status failed --since 2h\n  ngoma deliveries --account COOP-MBALE-001 --error timeout --limit 100\n  ngoma deliveries --follow                                new and changed ones, as they come\n  ngoma deliveries --status failed --json | jq -r '.[].delivery_id'\n  ngoma deliveries --search BATCH-2026-004821              those with this in their payload, or with this id or key"
)]
pub(super) struct Args {
    #[command(flatten)]
    filters: Filters,
    /// Only deliveries with this status.
    #[arg(long, ignore_case = true)]
    status: Option<Status>,
    /// Only deliveries with this text: the id of an event, a delivery or a webhook; an idempotency key; or words of the
    /// payload, all of which it must hold, in any letter case. Words between quotes must stand together.
    #[arg(long, value_name = "TEXT", conflicts_with = "follow")]
    search: Option<String>,
    /// Go on where a search ended: with the text that it printed after --after.
    #[arg(long, value_name = "PLACE", conflicts_with = "follow")]
    after: Option<String>,
    /// List this many deliveries at most, 1 to 10000.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = |text: &str| number::<u16>(text, 1..=10_000))]
    limit: u16,
    /// Go on and print new and changed deliveries, until Ctrl-C. It watches the newest 1,000 that match the other
    /// filters.
    #[arg(long)]
    follow: bool,
    /// Print a JSON array instead of text; with --follow one object on each line.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args, config: &Config) -> Result<()> {
    let (profiles, db) = (profiles(config), open(config)?);
    let is_narrowed =
        !args.filters.is_empty() || args.status.is_some() || args.search.is_some() || args.after.is_some();
    let (visible, selection) = args.filters.read(config, args.status)?;
    let (limit, as_json) = (usize::from(args.limit), args.json);
    let (search, place) = (sought(args.search, &profiles)?, place(args.after)?);
    if args.follow {
        if !as_json {
            print_heads(&COLUMNS);
        }
        return block_on(follow(&db, &visible, selection, limit, |listed| line(listed, &profiles, as_json)));
    }
    let is_search = search.is_some();
    let (found, next) = block_on(look(&db, &visible, &selection, (search, place), (limit, usize::MAX)))?;
    show(&found, &profiles, as_json, if is_narrowed { NONE_MATCHES } else { NONE });
    if let Some(next) = next.filter(|_| is_search) {
        output::hint(&searched(&next, &format!("; --after {next} goes on further back")));
    }
    Ok(())
}

/// The text to look for, read.
fn sought(text: Option<String>, profiles: &Profiles) -> Result<Option<Sought>> {
    let Some(text) = text else { return Ok(None) };
    Sought::parse(&text, profiles).of_words()?.map(Some).ok_or_else(|| wrong("--search holds no word to look for"))
}

/// The place at which the list begins.
fn place(after: Option<String>) -> Result<Place<DeliveryId>> {
    let unknown = || wrong("no list ended at this --after: leave it out to begin with the newest");
    after.map_or(Ok(Place::Start), |text| Place::parse(&text, DeliveryId::parse).ok_or_else(unknown))
}

/// How far back a search has come.
fn searched(next: &Place<DeliveryId>, more: &str) -> String {
    match next {
        Place::After(id) => format!("searched back to {}{more}", id.minted_at()),
        _ => format!("payloads are not searched yet{more}"),
    }
}

/// Prints new and changed deliveries, until nobody reads them. Each round reads the watched deliveries again, and every
/// newer one.
async fn follow(db: &Db, visible: &Visible, selection: Selection, limit: usize, tell: impl Fn(&Listed)) -> Result<()> {
    // Deliveries in any state are watched: they may change to the state that the filter asks for.
    let (state, failure) = (selection.state, selection.failure);
    let any = Selection { state: None, failure: None, ..selection.clone() };
    let range = {
        let (visible, any) = (visible.clone(), any.clone());
        db.read(move |view| Range::new(view, &visible, any)).await.map_err(named)?
    };
    let mut newest = db.read(search::newest).await?;
    let known = |found: Vec<Listed>| found.into_iter().rev().filter(move |listed| listed.delivery.key <= newest);
    let start = || (None, Place::Start);
    let last = look(db, visible, &selection, start(), (limit, PAGES)).await?.0;
    expect_same()?;
    known(last).for_each(|listed| tell(&listed));
    let (last, _) = look(db, visible, &any, start(), (WATCHED, PAGES)).await?;
    let mut watched: VecDeque<_> = known(last).map(|one| seen(&one)).collect();
    while !is_unread() {
        clock::pause(EVERY).await;
        let (keys, of) = (watched.iter().map(|(key, ..)| *key).collect::<Vec<_>>(), range.clone());
        let mut found = db.read(move |view| search::again(view, &of, &keys)).await?;
        loop {
            let of = range.clone();
            let (new, last) = db.read(move |view| search::newer(view, &of, newest)).await?;
            found.extend(new);
            if std::mem::replace(&mut newest, last) == last {
                break;
            }
        }
        expect_same()?;
        let before: HashSet<_> = watched.drain(..).collect();
        let fits = |listed: &Listed| {
            state.is_none_or(|state| state == listed.delivery.state)
                && failure.is_none_or(|failure| Some(failure) == listed.delivery.last_failure)
        };
        found.iter().filter(|listed| !before.contains(&seen(listed)) && fits(listed)).for_each(&tell);
        watched.extend(found.iter().rev().take(WATCHED).rev().map(seen));
    }
    Ok(())
}

/// The parts of a delivery that show a change.
fn seen(Listed { delivery, .. }: &Listed) -> (DeliveryKey, State, u32) {
    (delivery.key, delivery.state, delivery.attempts)
}

/// At most `limit` deliveries from this place on, from at most `pages` pages, and the place where they end. Each page is
/// a read of its own.
async fn look(
    db: &Db,
    visible: &Visible,
    selection: &Selection,
    (sought, mut place): (Option<Sought>, Place<DeliveryId>),
    (limit, pages): (usize, usize),
) -> Result<(Vec<Listed>, Option<Place<DeliveryId>>)> {
    let (mut found, limit) = (Vec::new(), limit.min(MOST));
    for _ in 0..pages {
        let (visible, selection) = (visible.clone(), selection.clone());
        let until = SystemClock.uptime() + PATIENCE;
        let asked = Asked { sought: sought.clone(), place, limit: limit - found.len(), until };
        let page = db.read(move |view| search::list(view, &Range::new(view, &visible, selection)?, &asked));
        let (page, next) = page.await.map_err(named)?;
        found.extend(page);
        let Some(next) = next else { return Ok((found, None)) };
        place = next;
        if sought.is_some() {
            output::show(&searched(&place, ""));
        }
        if found.len() >= limit {
            break;
        }
    }
    Ok((found, Some(place)))
}

/// As [`named`], for a command on the webhook with this id.
pub(super) fn named_of(webhook: &str) -> impl Fn(Error) -> Error {
    move |error| match error {
        Error::NotFound(Missing::Webhook) => Error::request(format!(
            "there is no webhook {webhook}, or it is deleted: '{}' shows all webhooks",
            command("webhooks list")
        )),
        error => named(error),
    }
}

/// The sentence about a missing object, with the command that finds it.
pub(super) fn named(error: Error) -> Error {
    match error {
        Error::NotFound(Missing::Account(id)) => {
            Error::request(format!("there is no account {id}: '{}' shows all accounts", command("account list")))
        }
        Error::NotFound(Missing::Webhook) => Error::request(format!(
            "there is no such webhook, or it is deleted: '{}' shows all webhooks",
            command("webhooks list")
        )),
        Error::NotFound(missing) => Error::request(format!(
            "there is no such {missing}: '{}' and '{}' show the ids",
            command("account list"),
            command("deliveries")
        )),
        error => error,
    }
}

fn show(found: &[Listed], profiles: &Profiles, as_json: bool, why: &str) {
    if found.is_empty() {
        nothing(as_json, why);
    } else if as_json {
        print_json(&found.iter().map(|listed| object(listed, profiles)).collect());
    } else {
        print_table(&COLUMNS, &found.iter().map(|listed| row(listed, profiles)).collect::<Vec<_>>());
    }
}

const COLUMNS: [Column; 10] = [
    Column::Text("MADE", 20),
    Column::Text("DELIVERY", 30),
    Column::Text("STATUS", 9),
    Column::Text("LAST", 11),
    Column::Number("ATTEMPTS"),
    Column::Text("EVENT", 0),
    Column::Text("ACCOUNT", 0),
    Column::Text("WEBHOOK", 29),
    Column::Text("NEXT", 0),
    Column::Text("REPLAYED", 0),
];

fn line(listed: &Listed, profiles: &Profiles, as_json: bool) {
    if as_json {
        print_json(&object(listed, profiles));
    } else {
        print_rows(&COLUMNS, &[row(listed, profiles)]);
    }
}

fn row(listed: &Listed, profiles: &Profiles) -> Vec<Cell> {
    let delivery = &listed.delivery;
    let status = delivery.last_status.map(|status| status.to_string());
    let failure = delivery.last_failure.filter(|failure| *failure != Failure::Status).map(|class| class.to_string());
    let replay = delivery.newest_replay.map(|replay| format!("{} {}", name(replay.state), replay.id));
    vec![
        delivery.created_at.to_string().into(),
        delivery.id.to_string().into(),
        Cell::status(name(delivery.state)),
        status.or(failure).unwrap_or_else(|| "-".to_owned()).into(),
        delivery.attempts.to_string().into(),
        format!("{}{}", delivery.kind, if delivery.test { " (test)" } else { "" }).into(),
        listed.account_id.as_str().into(),
        webhook(listed, profiles).into(),
        delivery.due_at.map_or_else(|| "-".to_owned(), |due| due.to_string()).into(),
        replay.unwrap_or_else(|| "-".to_owned()).into(),
    ]
}

fn webhook(listed: &Listed, profiles: &Profiles) -> String {
    listed.delivery.endpoint.on_wire(profiles.get(&listed.profile).map_or("", |profile| profile.endpoint_prefix))
}

fn object(listed: &Listed, profiles: &Profiles) -> Value {
    let delivery = &listed.delivery;
    json!({
        "delivery_id": delivery.id.to_string(),
        "account_id": listed.account_id,
        "webhook_id": webhook(listed, profiles),
        "event_id": delivery.event.to_string(),
        "event": delivery.kind,
        "status": name(delivery.state),
        "attempt_count": delivery.attempts,
        "created_at": delivery.created_at.to_string(),
        "next_attempt_at": delivery.due_at.map(|at| at.precise()),
        "response_status": delivery.last_status,
        "error": delivery.last_failure.map(Failure::name),
        "replay_of": delivery.replay_of.map(|id| id.to_string()),
        "newest_replay": delivery.newest_replay.map(|replay| replay.id.to_string()),
        "newest_replay_status": delivery.newest_replay.map(|replay| name(replay.state)),
        "test": delivery.test,
    })
}
