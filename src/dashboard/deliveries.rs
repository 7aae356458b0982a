//! Deliveries of every webhook, filtered; and runs that replay every matching one.

use askama::Template;
use poem::{
    Response, Result, handler,
    web::{Data, Path, Query},
};
use serde::Deserialize;

use super::{
    fields::Fields,
    form_once::Outcome,
    format::{Moment, thousands},
    frame::{Frame, Said},
    query_string::QueryString,
    render::{self, go},
    state::Shared,
    views::{ListedRow, meaning},
    visit::{Allowed, Visit},
};
use crate::{
    app::{Page as Found, PageRequest, Wanted, Webhooks, delivery_list::EXPORTED, recovery},
    domain::{
        delivery::{Failure, State},
        excerpt::excerpt,
        retry::{Run, RunState},
        selection::Selection,
        timestamp::Timestamp,
    },
    error::Error,
};

const PAGE: usize = 40;
const RUNS: usize = 20;

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
    pub(super) fn of(fields: &Fields) -> Self {
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

    pub(super) fn query(&self, after: &str) -> String {
        let asked = self.filters().into_iter().fold(QueryString::new(), |asked, (name, value)| asked.with(name, value));
        asked.with("after", after).query()
    }

    fn is_empty(&self) -> bool {
        self.filters().iter().all(|(_, value)| value.is_empty())
    }

    pub(super) fn wanted(&self) -> Result<Wanted, Error> {
        let text = |text| QueryString::text(text).map(str::to_owned);
        let state = |text: &str| State::ALL.into_iter().find(|state| state.name() == text);
        let failure = |text: &str| Failure::ALL.into_iter().find(|failure| failure.name() == text);
        let selection = Selection {
            account: text(&self.account),
            kind: text(&self.event),
            state: known("state", &self.state, state)?,
            failure: known("error", &self.error, failure)?,
            from: moment(&self.from, "from")?,
            to: moment(&self.to, "to")?,
            ..Selection::default()
        };
        Ok(Wanted { webhook: text(&self.webhook), selection })
    }
}

/// The filters that are filled in.
fn given(filters: [(&'static str, &str); 7]) -> Vec<(&'static str, String)> {
    let filters = filters.into_iter().filter(|(_, value)| !value.is_empty());
    filters.map(|(name, value)| (name, value.to_owned())).collect()
}

/// A word of a filter. An unknown word is an error, because it must not match every delivery.
fn known<T>(label: &str, text: &str, find: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Error> {
    let unknown = |text| Error::request(format!("{label} '{}' is unknown: choose one of the list", excerpt(text)));
    QueryString::text(text).map(|text| find(text).ok_or_else(|| unknown(text))).transpose()
}

/// A date and a time in a browser's form, taken as UTC.
fn moment(text: &str, label: &str) -> Result<Option<Timestamp>, Error> {
    let Some(text) = QueryString::text(text) else { return Ok(None) };
    let wordings = [format!("{text}Z"), format!("{text}:00Z"), format!("{text}T00:00:00Z")];
    let found = wordings.iter().find_map(|wording| Timestamp::parse(wording));
    found.map_or_else(|| Timestamp::read(label, text), Ok).map(Some)
}

struct Choice {
    value: &'static str,
    label: &'static str,
    chosen: bool,
}

/// A filter as people read it.
fn in_words((name, value): (&'static str, String)) -> (&'static str, String) {
    let state = states(&value).into_iter().find(|state| name == "state" && state.chosen);
    (name, state.map_or(value, |state| state.label.to_owned()))
}

/// The states, in the words of the badges.
fn states(chosen: &str) -> Vec<Choice> {
    let word = |state| match state {
        State::Pending => "waiting or retrying",
        State::Claimed => "in flight",
        State::Exhausted => "failed",
        state => state.name(),
    };
    let choice = |state: State| Choice { value: state.name(), label: word(state), chosen: state.name() == chosen };
    State::ALL.into_iter().map(choice).collect()
}

#[derive(Template)]
#[template(path = "deliveries.html", config = "src/dashboard/askama.toml")]
struct Page<'a> {
    frame: Frame<'a>,
    rows: Vec<ListedRow>,
    states: Vec<Choice>,
    errors: Vec<Choice>,
    kinds: Vec<&'a str>,
    searched: bool,
    more: Option<String>,
    retry: Option<String>,
    /// The address of the export: its query.
    query: String,
    /// The filters, for the form that replays what is selected.
    filters: Vec<(&'static str, String)>,
    exported: String,
    of_one_account: bool,
    search: Search,
}

#[handler]
pub(super) async fn list(
    shared: Data<&Shared>,
    visit: Allowed<Webhooks>,
    search: Query<Search>,
    said: Query<Said>,
) -> Result<Response> {
    let search = search.0;
    let frame = Frame::new(&shared, &visit, "/ui/deliveries").saying(&said);
    let page = PageRequest::of(PAGE, &search.after);
    let found = match shared.app.delivery_entries(&visit.access, search.wanted()?, page).await {
        // An unknown account or webhook has no deliveries.
        Err(Error::NotFound(_)) => Found::default(),
        found => found?,
    };
    let rows: Vec<ListedRow> = found.items.iter().map(|entry| ListedRow::of(&shared, &frame, entry)).collect();
    let retriable = matches!(search.state.as_str(), "" | "exhausted" | "cancelled");
    render::page(&Page {
        states: states(&search.state),
        errors: Failure::ALL
            .into_iter()
            .map(|class| Choice { value: class.name(), label: meaning(class), chosen: class.name() == search.error })
            .collect(),
        kinds: shared.kinds(),
        searched: !search.is_empty(),
        more: found.next.map(|next| search.query(&next)),
        retry: (retriable && !rows.is_empty()).then(|| search.query("")),
        query: search.query(""),
        filters: given(search.filters()),
        exported: thousands(EXPORTED as u64),
        of_one_account: visit.is_of_one_account(),
        rows,
        search,
        frame,
    })
}

#[derive(Template)]
#[template(path = "retry.html", config = "src/dashboard/askama.toml")]
struct Counted<'a> {
    frame: Frame<'a>,
    filters: Vec<(&'static str, String)>,
    back: String,
    /// The fields that the form sends back: the filters by which the deliveries were counted.
    sent: Vec<(&'static str, String)>,
    matched: u64,
    matched_words: String,
    skipped: u64,
}

/// The page with the number of matching deliveries, which starts a run.
#[handler]
pub(super) async fn ask(shared: Data<&Shared>, visit: Allowed<Webhooks>, search: Query<Search>) -> Result<Response> {
    let search = search.0;
    let frame = Frame::new(&shared, &visit, "/ui/deliveries");
    let upto = moment(&search.to, "to")?.map_or(frame.now(), |to| to.min(frame.now()));
    let count = shared.app.count_matching(&visit.access, search.wanted()?).await?;
    let bounded = Search { to: upto.precise(), ..search.clone() };
    let mut sent = given(bounded.filters());
    sent.push(("matched", count.matched.to_string()));
    render::page(&Counted {
        filters: given(search.filters()).into_iter().map(in_words).collect(),
        back: search.query(""),
        sent,
        matched: count.matched,
        matched_words: if count.complete {
            thousands(count.matched)
        } else {
            format!("more than {}", thousands(count.matched))
        },
        skipped: count.skipped,
        frame,
    })
}

#[handler]
pub(super) async fn start(shared: Data<&Shared>, visit: Allowed<Webhooks>, fields: Fields) -> Result<Response> {
    let search = Search::of(&fields);
    let counted = fields.get("matched").and_then(|matched| matched.parse::<u32>().ok());
    let matched = counted.map(u64::from).filter(|_| !search.to.is_empty()).ok_or_else(|| {
        Error::request("this form does not say how many deliveries were counted: begin at the list of deliveries")
    })?;
    let start = || async {
        let run = shared.app.recover_counted(&visit.access, search.wanted()?, matched).await?;
        Ok(Outcome::Page(format!("/ui/retries/{}", run.id)))
    };
    Ok(shared.made.once(&visit, &fields, start).await?)
}

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
    /// Whether the visitor may cancel it.
    can_cancel: bool,
    of: Vec<(&'static str, String)>,
}

impl RunView {
    fn new(shared: &Shared, visit: &Visit, frame: &Frame<'_>, run: &Run) -> Self {
        let (word, class) = match run.state {
            RunState::Running => ("running", "warn"),
            RunState::Done => ("done", "good"),
            RunState::Cancelled => ("cancelled", ""),
        };
        let selection = &run.selection;
        let webhook = selection.endpoint.map(|id| shared.written(run.profile.as_deref().unwrap_or_default(), id));
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
            actor: if run.actor == visit.caller.token.to_string() { "you".to_owned() } else { run.actor.clone() },
            matched: run.matched,
            done: run.replayed + run.skipped,
            replayed: thousands(run.replayed),
            skipped: thousands(run.skipped),
            running: run.state == RunState::Running,
            can_cancel: visit.is_operator() || recovery::is_own(run),
            of: of.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))).collect(),
        }
    }
}

#[derive(Template)]
#[template(path = "run.html", config = "src/dashboard/askama.toml")]
struct RunPage<'a> {
    frame: Frame<'a>,
    run: RunView,
}

/// The page of one run and its progress.
#[handler]
pub(super) async fn watch(
    shared: Data<&Shared>,
    visit: Allowed<Webhooks>,
    id: Path<String>,
    said: Query<Said>,
) -> Result<Response> {
    let found = shared.app.run(&visit.access, &id).await?;
    let frame = Frame::new(&shared, &visit, "/ui/deliveries").saying(&said);
    render::page(&RunPage { run: RunView::new(&shared, &visit, &frame, &found), frame })
}

#[derive(Template)]
#[template(path = "runs.html", config = "src/dashboard/askama.toml")]
struct Runs<'a> {
    frame: Frame<'a>,
    runs: Vec<RunView>,
}

#[handler]
pub(super) async fn runs(shared: Data<&Shared>, visit: Allowed<Webhooks>) -> Result<Response> {
    let found = shared.app.runs(&visit.access, PageRequest::of(RUNS, "")).await?;
    let frame = Frame::new(&shared, &visit, "/ui/deliveries");
    render::page(&Runs {
        runs: found.items.iter().map(|run| RunView::new(&shared, &visit, &frame, run)).collect(),
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
    let cancelled = shared.app.cancel_run(&visit.access, &id).await?;
    Ok(go(&format!("/ui/retries/{}?said=retry-cancelled", cancelled.id)))
}
