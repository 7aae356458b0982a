//! The first page: whether all is well, what needs a person, and the numbers of deliveries.

use askama::Template;
use poem::{
    Response, Result, handler,
    web::{Data, Query},
};

use super::{
    chart::Chart,
    format::{Moment, bytes, count, long_span, thousands},
    frame::{Frame, Said},
    query_string::account_page,
    render::{self, go},
    state::Shared,
    views::WebhookRow,
    visit::{Allowed, Visit},
    webhook::resume_button,
};
use crate::{
    app::{
        Webhooks,
        overview::{OldBackup, Snapshot},
        tokens::TokenRecord,
    },
    domain::{endpoint::SuspendedReason, timestamp::Timestamp, token::Scope},
};

#[derive(Template)]
#[template(path = "overview.html", config = "src/dashboard/askama.toml")]
struct Page<'a> {
    frame: Frame<'a>,
    verdict: Verdict,
    /// What needs a person, the worst first.
    needs: Vec<Need>,
    failing: Vec<WebhookRow>,
    /// How many failing webhooks are not shown.
    more_failing: Option<String>,
    any_webhook: bool,
    tiles: Vec<Tile>,
    minutes: Chart,
    hours: Chart,
    machine: Option<Machine>,
}

/// The first sentence.
struct Verdict {
    class: &'static str,
    said: String,
}

/// Something that needs a person, with what mends it.
enum Need {
    /// A suspended webhook, and the text of the button that resumes it.
    Webhook(Box<WebhookRow>, String),
    /// Suspended webhooks that are not shown: how many, and the address of their list.
    More(String, &'static str),
    /// A problem that is mended on another page.
    Other(Other),
    /// The last backup is too old.
    Backup(String),
    /// A token that expires soon: in words, when, and the page with its account's tokens if the visitor may see it.
    Token(String, Moment, Option<String>),
}

struct Other {
    class: &'static str,
    word: &'static str,
    said: String,
    href: &'static str,
    label: &'static str,
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
    let Snapshot { all, failing, now, .. } = &*seen;
    let needs = needs(&shared, &frame, &seen)?;
    let more = all.failing.saturating_sub(failing.len() as u64);
    let failing = failing.iter().map(|report| WebhookRow::new(&shared, &frame, report));
    let machine = visit.is_operator().then(|| Machine {
        database: bytes(shared.app.database_bytes()),
        free: shared.app.free_space().map(bytes),
        uptime: long_span(shared.app.uptime()),
        version: frame.version(),
    });
    render::page(&Page {
        verdict: verdict(&seen, &needs),
        needs,
        failing: failing.collect::<Result<_, _>>()?,
        more_failing: more_of(more, "failing"),
        any_webhook: all.active + all.suspended > 0,
        tiles: tiles(&seen),
        minutes: Chart::new(("minutes", "Deliveries per minute", "60 min ago"), &all.minutes, None, *now),
        hours: Chart::new(("hours", "Deliveries per hour", "24 h ago"), &all.hours, None, *now),
        machine,
        frame,
    })
}

/// `and 3 more that are suspended`; `None` for none.
fn more_of(number: u64, what: &str) -> Option<String> {
    let are = if number == 1 { "is" } else { "are" };
    (number > 0).then(|| format!("and {} more that {are} {what}", thousands(number)))
}

/// What needs a person, the worst first: suspended webhooks, failed deliveries, webhooks that somebody paused, alerts,
/// tokens that expire, the disk, the backup.
fn needs(shared: &Shared, frame: &Frame<'_>, seen: &Snapshot) -> Result<Vec<Need>> {
    let Snapshot { all, suspended, .. } = seen;
    let (paused, mut broken): (Vec<_>, Vec<_>) =
        suspended.iter().partition(|report| report.endpoint.suspended_reason == Some(SuspendedReason::Paused));
    broken.sort_by_key(|report| std::cmp::Reverse(report.failed + report.held));
    let webhook = |report| -> Result<Need> {
        let row = WebhookRow::new(shared, frame, report)?;
        let resume = resume_button(row.failed + row.held);
        Ok(Need::Webhook(Box::new(row), resume))
    };
    let mut needs = broken.into_iter().map(webhook).collect::<Result<Vec<_>>>()?;
    // A resume sends those of suspended webhooks.
    let resumed: u64 = suspended.iter().map(|report| report.failed).sum();
    let failed = all.failed.saturating_sub(resumed);
    if failed > 0 {
        let said = count(failed, "delivery failed and was not replayed", "deliveries failed and were not replayed");
        let (href, label) = ("/ui/recover?state=exhausted", "Replay…");
        needs.push(Need::Other(Other { class: "bad", word: "failed", said, href, label }));
    }
    needs.extend(paused.into_iter().map(webhook).collect::<Result<Vec<_>>>()?);
    let more = more_of(all.suspended.saturating_sub(suspended.len() as u64), "suspended");
    needs.extend(more.map(|said| Need::More(said, "/ui/webhooks?state=suspended")));
    if seen.unsent > 0 {
        let said = format!("{} not sent yet", count(seen.unsent, "alert is", "alerts are"));
        let (href, label) = ("/ui/alerts", "See why");
        needs.push(Need::Other(Other { class: "warn", word: "alerts", said, href, label }));
    }
    needs.extend(seen.expiring.iter().map(|token| expiring(frame, token, seen.now)));
    if let Some(said) = seen.disk.clone() {
        let (href, label) = ("/ui/system", "See the server");
        needs.push(Need::Other(Other { class: "warn", word: "disk", said, href, label }));
    }
    needs.extend(seen.backup.map(|backup| {
        Need::Backup(match backup {
            OldBackup::Never => format!("There is no backup in {}", shared.app.backup_folder().display()),
            OldBackup::Made(at) => format!("The last backup was made {}", frame.when(at).words),
        })
    }));
    Ok(needs)
}

/// A token that expires soon, or has expired.
fn expiring(frame: &Frame<'_>, token: &TokenRecord, now: Timestamp) -> Need {
    let name = token.label.clone().unwrap_or_else(|| token.id.to_string());
    let whose = token.account.as_ref().map(|account| format!(" of {account}")).unwrap_or_default();
    let at = token.expires_at.unwrap_or(now);
    let verb = if at <= now { "expired" } else { "expires" };
    let page = token.account.as_deref().map_or_else(|| "/ui/accounts".to_owned(), account_page);
    Need::Token(format!("The token {name}{whose} {verb}"), frame.when(at), frame.operator.then(|| page + "#tokens"))
}

fn verdict(seen: &Snapshot, needs: &[Need]) -> Verdict {
    let all = &seen.all;
    let others =
        needs.iter().filter(|need| matches!(need, Need::Other(_) | Need::Backup(_) | Need::Token(..))).count() as u64;
    let webhooks = || count(all.suspended, "webhook", "webhooks");
    let need = |number| if number == 1 { "needs you" } else { "need you" };
    let said = match (all.suspended, others) {
        (0, 0) if all.failing > 0 => {
            let fail = count(all.failing, "webhook fails", "webhooks fail");
            return Verdict {
                class: "warn",
                said: format!("Nothing needs you yet: {fail}, and the server tries again"),
            };
        }
        (0, 0) => {
            let delivered: u64 = all.hours.iter().map(|(_, hour)| hour.delivered).sum();
            let waits = match all.pending + all.in_flight {
                0 => "nothing waits".to_owned(),
                waiting => count(waiting, "delivery waits", "deliveries wait"),
            };
            let said = format!("All is well: {} delivered in the last 24 h, {waits}", thousands(delivered));
            return Verdict { class: "good", said };
        }
        (0, others) => format!("{} {}", count(others, "thing", "things"), need(others)),
        (suspended, 0) => format!("{} {}", webhooks(), need(suspended)),
        (_, others) => format!("{} and {} need you", webhooks(), count(others, "other thing", "other things")),
    };
    Verdict { class: "bad", said }
}

fn tiles(seen: &Snapshot) -> Vec<Tile> {
    let Snapshot { all, now, .. } = seen;
    let day: u64 = all.hours.iter().map(|(_, hour)| hour.failed).sum();
    let oldest = all.due_since.map_or_else(|| "–".to_owned(), |since| long_span(now.since(since)));
    let tile = |label, value: u64, class, href| Tile {
        label,
        value: thousands(value),
        class: if value > 0 { class } else { "" },
        href,
    };
    vec![
        tile("due now", all.due, "", "/ui/deliveries?state=pending"),
        Tile { label: "oldest due", value: oldest, class: "", href: "" },
        tile("in flight", all.in_flight, "", "/ui/deliveries?state=claimed"),
        tile("retrying", all.pending.saturating_sub(all.due), "warn", "/ui/deliveries?state=pending"),
        tile("held", all.held, "warn", "/ui/deliveries?state=held"),
        tile("failed", all.failed, "bad", "/ui/deliveries?state=exhausted"),
        tile("failed attempts, 24 h", day, "warn", ""),
    ]
}
