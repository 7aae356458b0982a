//! `ngoma deliveries`: lists deliveries and their states.

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    database::{block_on, open},
    output::{is_unread, print_json},
    selection::{Filters, Status, name},
};
use crate::{
    api::profiles,
    clock,
    config::Config,
    domain::{
        delivery::{DeliveryKey, Failure, State},
        profile::Profiles,
        selection::Selection,
        text::escaped,
        token::AccessScope,
    },
    error::{Error, Result},
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

/// List deliveries, newest first, or watch them; works with and without a running server
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ngoma deliveries                                         the last 20\n  ngoma deliveries --status failed --since 2h\n  ngoma deliveries --account COOP-MBALE-001 --error timeout --limit 100\n  ngoma deliveries --follow                                new and changed ones, as they come\n  ngoma deliveries --status failed --json | jq -r '.[].delivery_id'"
)]
pub(super) struct Args {
    #[command(flatten)]
    filters: Filters,
    /// Only deliveries with this status.
    #[arg(long, ignore_case = true)]
    status: Option<Status>,
    /// Most deliveries to list.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=10_000))]
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
    let (scope, selection) = args.filters.read(&profiles, args.status)?;
    let (limit, as_json) = (usize::from(args.limit), args.json);
    block_on(async {
        if args.follow {
            return follow(&db, &scope, selection, limit, |listed| line(listed, &profiles, as_json)).await;
        }
        show(&look(&db, &scope, &selection, limit, usize::MAX).await?, &profiles, as_json);
        Ok(())
    })
}

/// Prints new and changed deliveries, until nobody reads them. Each round reads the watched deliveries again, and every
/// newer one.
async fn follow(
    db: &Db,
    scope: &AccessScope,
    selection: Selection,
    limit: usize,
    tell: impl Fn(&Listed),
) -> Result<()> {
    // Deliveries in any state are watched: they may change to the state that the filter asks for.
    let (state, failure) = (selection.state, selection.failure);
    let any = Selection { state: None, failure: None, ..selection.clone() };
    let range = {
        let (scope, any) = (scope.clone(), any.clone());
        db.read(move |view| Range::new(view, &scope, any)).await.map_err(named)?
    };
    let mut newest = db.read(search::newest).await?;
    let known = |found: Vec<Listed>| found.into_iter().rev().filter(move |listed| listed.delivery.key <= newest);
    known(look(db, scope, &selection, limit, PAGES).await?).for_each(|listed| tell(&listed));
    let mut watched: VecDeque<_> = known(look(db, scope, &any, WATCHED, PAGES).await?).map(|one| seen(&one)).collect();
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

/// The newest `limit` deliveries, from at most `pages` pages; each page is a read of its own.
async fn look(db: &Db, scope: &AccessScope, selection: &Selection, limit: usize, pages: usize) -> Result<Vec<Listed>> {
    let (mut found, mut after) = (Vec::new(), None);
    for _ in 0..pages {
        let (scope, selection, left) = (scope.clone(), selection.clone(), limit.min(MOST) - found.len());
        let page = db.read(move |view| search::page(view, &Range::new(view, &scope, selection)?, after, left));
        let (page, next) = page.await.map_err(named)?;
        found.extend(page);
        after = next;
        if after.is_none() || found.len() >= limit.min(MOST) {
            break;
        }
    }
    Ok(found)
}

/// The sentence about a missing object, with the command that finds it.
pub(super) fn named(error: Error) -> Error {
    match error {
        Error::NotFound(missing) => {
            Error::request(format!("there is no such {missing}: 'ngoma account list' and 'ngoma deliveries' show ids"))
        }
        error => error,
    }
}

fn show(found: &[Listed], profiles: &Profiles, as_json: bool) {
    if as_json {
        print_json(&found.iter().map(|listed| object(listed, profiles)).collect());
    } else if found.is_empty() {
        say!("there is no such delivery");
    } else {
        found.iter().for_each(|listed| line(listed, profiles, false));
    }
}

fn line(listed: &Listed, profiles: &Profiles, as_json: bool) {
    if as_json {
        return print_json(&object(listed, profiles));
    }
    let delivery = &listed.delivery;
    let status = delivery.last_status.map(|status| status.to_string());
    let failure = delivery.last_failure.filter(|failure| *failure != Failure::Status).map(|class| class.to_string());
    let last = status.or(failure).unwrap_or_else(|| "-".to_owned());
    let next = delivery.due_at.map_or_else(String::new, |due| format!("  next {due}"));
    let replay = delivery.newest_replay;
    let replay = replay.map_or_else(String::new, |replay| format!("  replayed: {} {}", name(replay.state), replay.id));
    say!(
        "{}  {}  {:<9} {:<11} attempts {} {:<22} {:<20} {}{next}{replay}",
        delivery.created_at,
        delivery.id,
        name(delivery.state),
        last,
        delivery.attempts,
        escaped(&delivery.kind),
        escaped(&listed.account_id),
        webhook(listed, profiles),
    );
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
