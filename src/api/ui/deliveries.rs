//! Deliveries of every webhook, by what somebody looks for; and all that match, retried.

use askama::Template;
use poem::{
    Response, Result, handler,
    web::{Data, Path, Query},
};
use serde::Deserialize;

use super::{
    Door,
    fields::Fields,
    frame::{self, Frame, Said, go},
    query::Asked,
    session::Visit,
    views::{ListedRow, meaning},
    words::{Moment, thousands},
};
use crate::{
    api::operator,
    domain::{
        delivery::{Failure, State},
        ids::{DeliveryId, RetryId},
        retry::{Run, RunState},
        selection::Selection,
        timestamp::Timestamp,
        token::{Reach, Scope},
    },
    error::{Error, Missing},
    store::{
        Tx,
        retries::{self, Field},
        search::{self, Range},
    },
};

/// Deliveries on a page.
const PAGE: usize = 40;
/// Runs that are shown.
const RUNS: usize = 20;

/// What somebody looks for, as a form writes it.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub(super) struct Search {
    state: String,
    account: String,
    webhook: String,
    event: String,
    error: String,
    from: String,
    to: String,
    after: String,
}

impl Search {
    fn of(fields: &Fields) -> Self {
        let text = |name| fields.get(name).unwrap_or_default().to_owned();
        Self {
            state: text("state"),
            account: text("account"),
            webhook: text("webhook"),
            event: text("event"),
            error: text("error"),
            from: text("from"),
            to: text("to"),
            after: String::new(),
        }
    }

    fn filters(&self) -> [(&'static str, &str); 7] {
        [
            ("state", &self.state),
            ("account", &self.account),
            ("webhook", &self.webhook),
            ("event", &self.event),
            ("error", &self.error),
            ("from", &self.from),
            ("to", &self.to),
        ]
    }

    fn query(&self, after: &str) -> String {
        let asked = self.filters().into_iter().fold(Asked::new(), |asked, (name, value)| asked.with(name, value));
        asked.with("after", after).query()
    }

    fn is_empty(&self) -> bool {
        self.filters().iter().all(|(_, value)| value.is_empty())
    }

    fn selection(&self, door: &Door) -> Result<Selection, Error> {
        let state = |text: &str| State::ALL.into_iter().find(|state| state.name() == text);
        let failure = |text: &str| Failure::ALL.into_iter().find(|failure| failure.name() == text);
        Ok(Selection {
            account: Asked::text(&self.account).map(str::to_owned),
            endpoint: Asked::text(&self.webhook).map(|id| door.webhook(id).map(|(_, id)| id)).transpose()?,
            kind: Asked::text(&self.event).map(str::to_owned),
            state: state(&self.state),
            failure: failure(&self.error),
            from: moment(&self.from, "from")?,
            to: moment(&self.to, "to")?,
            delivery: None,
        })
    }
}

/// What a browser makes of a date and a time, taken as UTC.
fn moment(text: &str, label: &str) -> Result<Option<Timestamp>, Error> {
    let Some(text) = Asked::text(text) else { return Ok(None) };
    let wordings = [text.to_owned(), format!("{text}Z"), format!("{text}:00Z"), format!("{text}T00:00:00Z")];
    let found = wordings.iter().find_map(|wording| Timestamp::parse(wording));
    found.map(Some).ok_or_else(|| Error::request(format!("{label} is no time, such as 2026-04-20T11:55")))
}

/// A word to choose.
struct Choice {
    value: &'static str,
    label: &'static str,
    chosen: bool,
}

/// The states, in the words of the badges.
fn states(chosen: &str) -> Vec<Choice> {
    let word = |state| match state {
        State::Pending => "waiting",
        State::Claimed => "in flight",
        State::Exhausted => "failed",
        state => state.name(),
    };
    let choice = |state: State| Choice { value: state.name(), label: word(state), chosen: state.name() == chosen };
    State::ALL.into_iter().map(choice).collect()
}

#[derive(Template)]
#[template(path = "deliveries.html", config = "src/api/ui/askama.toml")]
struct Page<'a> {
    frame: Frame<'a>,
    rows: Vec<ListedRow>,
    states: Vec<Choice>,
    errors: Vec<Choice>,
    kinds: Vec<&'a str>,
    searched: bool,
    more: Option<String>,
    retry: Option<String>,
    of_one_account: bool,
    search: Search,
}

/// Deliveries within the walls, newest first.
#[handler]
pub(super) async fn list(
    door: Data<&Door>,
    visit: Visit,
    search: Query<Search>,
    said: Query<Said>,
) -> Result<Response> {
    let walls = visit.caller.horizon(Scope::Webhooks)?;
    let search = search.0;
    let selection = search.selection(&door)?;
    let after = Asked::text(&search.after).and_then(DeliveryId::parse);
    let frame = Frame::new(&door, &visit, "/ui/deliveries").saying(&said);
    let look = door.deps.db.read(move |view| {
        let range = Range::new(view, &walls, selection)?;
        search::page(view, &range, after, PAGE)
    });
    let (found, more) = match look.await {
        // An account or a webhook that is not there has no deliveries.
        Err(Error::NotFound(_)) => (Vec::new(), None),
        found => found?,
    };
    let rows = found.iter().map(|listed| ListedRow::new(&door, &frame, listed)).collect::<Result<Vec<_>, _>>()?;
    let retriable = matches!(search.state.as_str(), "" | "exhausted" | "cancelled");
    frame::page(&Page {
        states: states(&search.state),
        errors: Failure::ALL
            .into_iter()
            .map(|class| Choice { value: class.name(), label: meaning(class), chosen: class.name() == search.error })
            .collect(),
        kinds: door.dialects.iter().flat_map(|dialect| dialect.kinds.iter().copied()).collect(),
        searched: !search.is_empty(),
        more: more.map(|id| search.query(&id.to_string())),
        retry: (retriable && !rows.is_empty()).then(|| search.query("")),
        of_one_account: matches!(visit.caller.reach, Reach::Account { .. }),
        rows,
        search,
        frame,
    })
}

#[derive(Template)]
#[template(path = "retry.html", config = "src/api/ui/askama.toml")]
struct Counted<'a> {
    frame: Frame<'a>,
    filters: Vec<(&'static str, String)>,
    back: String,
    matched: u64,
    matched_words: String,
    skipped: u64,
}

/// How many deliveries match and would be retried.
#[handler]
pub(super) async fn ask(door: Data<&Door>, visit: Visit, search: Query<Search>) -> Result<Response> {
    let (field, search) = (field(&door, &visit, &search).await?, search.0);
    let count = retries::count(&door.deps.db, &field, operator::COUNTING).await?;
    let filters = search.filters().into_iter().filter(|(_, value)| !value.is_empty());
    frame::page(&Counted {
        frame: Frame::new(&door, &visit, "/ui/deliveries"),
        filters: filters.map(|(name, value)| (name, value.to_owned())).collect(),
        back: search.query(""),
        matched: count.matched,
        matched_words: if count.complete {
            thousands(count.matched)
        } else {
            format!("more than {}", thousands(count.matched))
        },
        skipped: count.skipped,
    })
}

async fn field(door: &Door, visit: &Visit, search: &Search) -> Result<Field, Error> {
    let walls = visit.caller.horizon(Scope::Webhooks)?;
    let selection = search.selection(door)?;
    door.deps.db.read(move |view| Field::new(view, &walls, selection)).await
}

/// Starts a run over all that match.
#[handler]
pub(super) async fn start(door: Data<&Door>, visit: Visit, fields: Fields) -> Result<Response> {
    let field = field(&door, &visit, &Search::of(&fields)).await?;
    let count = retries::count(&door.deps.db, &field, operator::COUNTING).await?;
    let start = move |tx: &Tx<'_>| retries::start(tx, &field, count.matched);
    let run = door.deps.db.write_as(visit.caller.actor(), start).await?;
    Ok(go(&format!("/ui/retries/{}", run.id)))
}

/// A run, as it stands.
struct RunView {
    id: String,
    word: &'static str,
    class: &'static str,
    made: Moment,
    actor: String,
    matched: u64,
    done: u64,
    replayed: String,
    skipped: String,
    running: bool,
    of: Vec<(&'static str, String)>,
}

impl RunView {
    fn new(door: &Door, frame: &Frame<'_>, run: &Run) -> Self {
        let (word, class) = match run.state {
            RunState::Running => ("running", "warn"),
            RunState::Done => ("done", "good"),
            RunState::Cancelled => ("cancelled", ""),
        };
        let selection = &run.selection;
        let webhook = selection.endpoint.map(|id| {
            let profile = run.profile.as_deref().and_then(|profile| door.written(profile, id).ok());
            profile.unwrap_or_else(|| id.to_string())
        });
        let of = [
            ("account", selection.account.clone()),
            ("webhook", webhook),
            ("event", selection.kind.clone()),
            ("error", selection.failure.map(|failure| failure.to_string())),
            ("from", selection.from.map(|from| from.to_string())),
            ("to", selection.to.map(|to| to.to_string())),
        ];
        Self {
            id: run.id.to_string(),
            word,
            class,
            made: frame.when(run.created_at),
            actor: run.actor.clone(),
            matched: run.matched,
            done: run.replayed + run.skipped,
            replayed: thousands(run.replayed),
            skipped: thousands(run.skipped),
            running: run.state == RunState::Running,
            of: of.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))).collect(),
        }
    }
}

#[derive(Template)]
#[template(path = "run.html", config = "src/api/ui/askama.toml")]
struct RunPage<'a> {
    frame: Frame<'a>,
    run: RunView,
}

/// One run and how far it has come.
#[handler]
pub(super) async fn watch(door: Data<&Door>, visit: Visit, id: Path<String>, said: Query<Said>) -> Result<Response> {
    let walls = visit.caller.horizon(Scope::Webhooks)?;
    let id = RetryId::parse(&id).ok_or(Error::NotFound(Missing::Retry))?;
    let found = door.deps.db.read(move |view| retries::find(view, &walls, id)).await?;
    let frame = Frame::new(&door, &visit, "/ui/deliveries").saying(&said);
    frame::page(&RunPage { run: RunView::new(&door, &frame, &found), frame })
}

#[derive(Template)]
#[template(path = "runs.html", config = "src/api/ui/askama.toml")]
struct Runs<'a> {
    frame: Frame<'a>,
    runs: Vec<RunView>,
}

/// The last runs.
#[handler]
pub(super) async fn runs(door: Data<&Door>, visit: Visit) -> Result<Response> {
    let walls = visit.caller.horizon(Scope::Webhooks)?;
    let found = door.deps.db.read(move |view| retries::list(view, &walls, None, RUNS)).await?;
    let frame = Frame::new(&door, &visit, "/ui/deliveries");
    frame::page(&Runs { runs: found.iter().map(|run| RunView::new(&door, &frame, run)).collect(), frame })
}

/// Cancels a run.
#[handler]
pub(super) async fn cancel(door: Data<&Door>, visit: Visit, id: Path<String>, _fields: Fields) -> Result<Response> {
    let walls = visit.caller.horizon(Scope::Webhooks)?;
    let id = RetryId::parse(&id).ok_or(Error::NotFound(Missing::Retry))?;
    let cancelled = door.deps.db.write_as(visit.caller.actor(), move |tx| retries::cancel(tx, &walls, id)).await?;
    Ok(go(&format!("/ui/retries/{}?said=retry-cancelled", cancelled.id)))
}
