//! Recoveries, which replay every matching delivery: their progress, and what became of the replays.

use askama::Template;
use poem::{
    Response, Result, handler,
    web::{Data, Path, Query},
};

use super::{
    deliveries::{self, Criterion},
    fields::Fields,
    format::{Moment, thousands},
    frame::{Frame, Said},
    render::{self, go},
    state::Shared,
    visit::{Allowed, Visit},
};
use crate::{
    app::{PageRequest, Webhooks, recoveries},
    domain::{
        recovery::{Recovery, RecoveryState},
        timestamp::Timestamp,
    },
};

const PAGE: usize = 20;

struct RecoveryView {
    id: String,
    word: &'static str,
    class: &'static str,
    made: Moment,
    actor: String,
    matched: u64,
    done: u64,
    replayed: String,
    skipped: String,
    /// What became of the replays, in words.
    became: String,
    running: bool,
    /// Whether the visitor may cancel it.
    can_cancel: bool,
    of: Vec<Criterion>,
}

impl RecoveryView {
    fn new(shared: &Shared, visit: &Visit, frame: &Frame<'_>, found: &Recovery) -> Self {
        let (word, class) = match found.state {
            RecoveryState::Running => ("running", "warn"),
            RecoveryState::Done => ("done", "good"),
            RecoveryState::Cancelled => ("cancelled", ""),
        };
        let selection = &found.selection;
        let webhook = selection.endpoint.map(|id| shared.written(found.profile.as_deref().unwrap_or_default(), id));
        let text = |name, value: Option<String>| Some(Criterion { name, value: value?, at: None });
        let time =
            |name, at: Option<Timestamp>| Some(Criterion { name, value: String::new(), at: Some(frame.when(at?)) });
        let of = [
            text("account", selection.account.clone()),
            text("webhook", webhook),
            text("URL or name contains", selection.url.clone()),
            text("event", selection.kind.clone()),
            text("state", selection.state.map(|state| deliveries::word(state).to_owned())),
            text("error", selection.failure.map(|failure| failure.to_string())),
            time("from", selection.from),
            time("to", selection.to),
        ];
        Self {
            id: found.id.to_string(),
            word,
            class,
            made: frame.when(found.created_at),
            actor: if found.actor == visit.caller.token.to_string() { "you".to_owned() } else { found.actor.clone() },
            matched: found.matched,
            done: found.replayed + found.skipped,
            replayed: thousands(found.replayed),
            skipped: thousands(found.skipped),
            became: format!(
                "{} delivered, {} failed, {} waiting",
                thousands(found.delivered),
                thousands(found.failed),
                thousands(found.waiting)
            ),
            running: found.state == RecoveryState::Running,
            can_cancel: visit.is_operator() || recoveries::is_own(found),
            of: of.into_iter().flatten().collect(),
        }
    }
}

#[derive(Template)]
#[template(path = "recovery.html", config = "src/dashboard/askama.toml")]
struct RecoveryPage<'a> {
    frame: Frame<'a>,
    recovery: RecoveryView,
}

/// The page of one recovery, its progress, and what became of its replays.
#[handler]
pub(super) async fn watch(
    shared: Data<&Shared>,
    visit: Allowed<Webhooks>,
    id: Path<String>,
    said: Query<Said>,
) -> Result<Response> {
    let found = shared.app.recovery(&visit.access, &id).await?;
    let frame = Frame::new(&shared, &visit, "/ui/deliveries").saying(&said);
    render::page(&RecoveryPage { recovery: RecoveryView::new(&shared, &visit, &frame, &found), frame })
}

#[derive(Template)]
#[template(path = "recoveries.html", config = "src/dashboard/askama.toml")]
struct Recoveries<'a> {
    frame: Frame<'a>,
    recoveries: Vec<RecoveryView>,
}

#[handler]
pub(super) async fn past(shared: Data<&Shared>, visit: Allowed<Webhooks>) -> Result<Response> {
    let found = shared.app.recoveries(&visit.access, PageRequest::of(PAGE, "")).await?;
    let frame = Frame::new(&shared, &visit, "/ui/deliveries");
    render::page(&Recoveries {
        recoveries: found.items.iter().map(|found| RecoveryView::new(&shared, &visit, &frame, found)).collect(),
        frame,
    })
}

#[handler]
pub(super) async fn cancel(
    shared: Data<&Shared>,
    visit: Allowed<Webhooks>,
    id: Path<String>,
    _fields: Fields,
) -> Result<Response> {
    let cancelled = shared.app.cancel_recovery(&visit.access, &id).await?;
    Ok(go(&format!("/ui/recoveries/{}?said=recovery-cancelled", cancelled.id)))
}
