//! The first page: the numbers of deliveries and webhooks, and the webhooks in trouble.

use askama::Template;
use poem::{
    Response, Result, handler,
    web::{Data, Query},
};

use super::{
    chart::Chart,
    format::{bytes, long_span, thousands},
    frame::{Frame, Said},
    render::{self, go},
    state::Shared,
    views::WebhookRow,
    visit::{Allowed, Visit},
};
use crate::{
    app::{Webhooks, overview::Snapshot},
    domain::{stats::Stats, token::Scope},
};

#[derive(Template)]
#[template(path = "overview.html", config = "src/dashboard/askama.toml")]
struct Page<'a> {
    frame: Frame<'a>,
    tiles: Vec<Tile>,
    minutes: Chart,
    hours: Chart,
    trouble: Vec<WebhookRow>,
    /// Webhooks in trouble that are not shown: their number, their state, and the address of their list.
    more: Vec<(u64, &'static str, &'static str)>,
    any_webhook: bool,
    unsent: u64,
    machine: Option<Machine>,
}

struct Tile {
    label: &'static str,
    value: String,
    class: &'static str,
    href: &'static str,
}

/// The facts of the server that only the operator sees.
struct Machine {
    database: String,
    free: Option<String>,
    uptime: String,
    version: &'static str,
}

#[handler]
pub(super) async fn show(
    shared: Data<&Shared>,
    visit: Visit,
    allowed: Result<Allowed<Webhooks>>,
    said: Query<Said>,
) -> Result<Response> {
    let scopes = &visit.caller.scopes;
    if !scopes.allow(Scope::Webhooks) && scopes.allow(Scope::Events) {
        return Ok(go("/ui/events"));
    }
    let frame = Frame::new(&shared, &visit, "/ui").saying(&said);
    let seen = shared.overviews.last(&shared.app, &allowed?.access).await?;
    let Snapshot { all, suspended, failing, unsent, now } = &*seen;
    let more = [
        (all.suspended, suspended.len(), "suspended", "/ui/webhooks?state=suspended"),
        (all.failing, failing.len(), "failing", "/ui/webhooks?state=failing"),
    ];
    let more = more.into_iter().map(|(all, shown, what, href)| (all.saturating_sub(shown as u64), what, href));
    let trouble = suspended.iter().chain(failing).map(|report| WebhookRow::new(&shared, &frame, report));
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
        database: bytes(shared.app.database_bytes()),
        free: shared.app.free_space().map(bytes),
        uptime: long_span(shared.app.uptime()),
        version: frame.version(),
    });
    render::page(&Page {
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
