//! The first page: how everything stands, and what needs somebody.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use askama::Template;
use poem::{
    Response, Result, handler,
    web::{Data, Query},
};

use super::{
    Door,
    chart::Chart,
    frame::{self, Frame, Said, go},
    session::Visit,
    views::WebhookRow,
    words::{bytes, long_span, thousands},
};
use crate::{
    api::look::Looks,
    domain::{
        account::AccountKey,
        endpoint::EndpointState,
        grant::Grant,
        stats::Stats,
        timestamp::Timestamp,
        token::{Scope, Walls},
    },
    error::Error,
    store::{
        View, alerts,
        overview::{self, Overview},
        webhooks::{self, Report},
    },
};

/// Webhooks that need somebody, of each kind.
const SHOWN: usize = 10;
/// How long what was seen is shown to whoever asks: a look counts all that waits.
const PAUSE: Duration = Duration::from_secs(5);
/// Callers whose looks are remembered.
const MOST: usize = 1000;

#[derive(Template)]
#[template(path = "overview.html", config = "src/api/ui/askama.toml")]
struct Page<'a> {
    frame: Frame<'a>,
    tiles: Vec<Tile>,
    minutes: Chart,
    hours: Chart,
    trouble: Vec<WebhookRow>,
    /// Those that are not shown: how many, what they are, and where they are listed.
    more: Vec<(u64, &'static str, &'static str)>,
    any_webhook: bool,
    unsent: u64,
    machine: Option<Machine>,
}

/// One number.
struct Tile {
    label: &'static str,
    value: String,
    class: &'static str,
    href: &'static str,
}

/// What the operator sees of the machine.
struct Machine {
    database: String,
    free: Option<String>,
    uptime: String,
    version: &'static str,
}

/// What was seen, of one caller's walls.
struct Seen {
    all: Overview,
    suspended: Vec<Report>,
    failing: Vec<Report>,
    unsent: u64,
    now: Timestamp,
}

/// Whose walls.
type Whose = (Option<String>, Option<AccountKey>);

/// What all with the same walls share.
type Shared = Looks<Result<Arc<Seen>, Error>>;

/// The last looks at everything: all whose walls are the same share one.
#[derive(Default)]
pub(super) struct Overviews(Mutex<HashMap<Whose, Arc<Shared>>>);

impl Overviews {
    /// What was last seen within these walls. The look is of all who share it; the right of each is checked when it has ended.
    async fn last(&self, door: &Door, grant: Grant, walls: Walls, operator: bool) -> Result<Arc<Seen>, Error> {
        let looks = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if all.len() >= MOST {
                all.clear();
            }
            Arc::clone(all.entry((walls.profile.as_deref().map(str::to_owned), walls.account)).or_default())
        };
        let (db, now) = (door.deps.db.clone(), door.deps.clock.now());
        let look = || async move { db.read(move |view| look(view, &walls, operator, now)).await.map(Arc::new) };
        let seen = looks.last(door.deps.clock.uptime(), PAUSE, look).await;
        door.deps.db.check(grant)?;
        seen.unwrap_or_else(|| Err(Error::Internal("a look at everything panicked".to_owned())))
    }
}

fn look(view: &View<'_>, walls: &Walls, operator: bool, now: Timestamp) -> Result<Seen, Error> {
    let state = |state| webhooks::Filter { state, ..webhooks::Filter::default() };
    let (suspended, _) = webhooks::list(view, walls, &state(Some(EndpointState::Suspended)), SHOWN, now)?;
    let failing = webhooks::Filter { failing: true, ..webhooks::Filter::default() };
    let (failing, _) = webhooks::list(view, walls, &failing, SHOWN, now)?;
    let unsent = if operator { alerts::unsent_count(view)? } else { 0 };
    Ok(Seen { all: overview::look(view, walls, now)?, suspended, failing, unsent, now })
}

/// How everything stands.
#[handler]
pub(super) async fn show(door: Data<&Door>, visit: Visit, said: Query<Said>) -> Result<Response> {
    let scopes = &visit.caller.scopes;
    if !scopes.allow(Scope::Webhooks) && scopes.allow(Scope::Events) {
        return Ok(go("/ui/events"));
    }
    let (grant, walls) = visit.caller.horizon(Scope::Webhooks)?;
    let frame = Frame::new(&door, &visit, "/ui").saying(&said);
    let seen = door.overviews.last(&door, grant, walls, visit.is_operator()).await?;
    let Seen { all, suspended, failing, unsent, now } = &*seen;
    let more = [
        (all.suspended, suspended.len(), "suspended", "/ui/webhooks?state=suspended"),
        (all.failing, failing.len(), "failing", "/ui/webhooks?state=failing"),
    ];
    let more = more.into_iter().map(|(all, shown, what, href)| (all.saturating_sub(shown as u64), what, href));
    let trouble = suspended.iter().chain(failing).map(|report| WebhookRow::new(&door, &frame, report));
    let day: u64 = all.hours.iter().map(|(_, hour): &(_, Stats)| hour.failed).sum();
    let oldest = all.due_since.map_or_else(|| "–".to_owned(), |since| long_span(now.since(since)));
    let tile = |label, value: u64, class, href| Tile {
        label,
        value: thousands(value),
        class: if value > 0 { class } else { "" },
        href,
    };
    let tiles = vec![
        tile("due now", all.due, "", "/ui/deliveries?state=pending"),
        Tile { label: "oldest due", value: oldest, class: "", href: "" },
        tile("in flight", all.in_flight, "", "/ui/deliveries?state=claimed"),
        tile("retrying", all.pending.saturating_sub(all.due), "warn", "/ui/deliveries?state=pending"),
        tile("held", all.held, "warn", "/ui/deliveries?state=held"),
        tile("failed", all.failed, "bad", "/ui/deliveries?state=exhausted"),
        tile("failed attempts, 24 h", day, "warn", ""),
    ];
    let machine = visit.is_operator().then(|| Machine {
        database: bytes(door.database_bytes()),
        free: door.deps.db.free_space().map(bytes),
        uptime: long_span(door.uptime()),
        version: frame.version(),
    });
    frame::page(&Page {
        tiles,
        minutes: Chart::new("minutes", "Deliveries per minute", "60 min ago", &all.minutes, *now),
        hours: Chart::new("hours", "Deliveries per hour", "24 h ago", &all.hours, *now),
        trouble: trouble.collect::<Result<_, _>>()?,
        any_webhook: all.active + all.suspended > 0,
        more: more.filter(|(more, ..)| *more > 0).collect(),
        unsent: *unsent,
        machine,
        frame,
    })
}
