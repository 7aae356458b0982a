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
    made::Outcome,
    query::Asked,
    session::Visit,
    views::{ListedRow, meaning},
    words::{Moment, thousands},
};
use crate::{
    api::operator,
    domain::{
        delivery::{Failure, State},
        excerpt::excerpt,
        grant::Grant,
        ids::{DeliveryId, RetryId},
        retry::{Run, RunState},
        selection::Selection,
        timestamp::Timestamp,
        token::{Reach, Scope, Walls},
    },
    error::{Error, Missing},
    store::{
        Admission, Tx, View,
        retries::{self, Candidates},
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

    /// The caller's right, what is meant, and the caller's walls: narrowed to the vendor of the webhook that is named.
    fn selection(&self, door: &Door, visit: &Visit) -> Result<(Grant, Selection, Walls), Error> {
        let state = |text: &str| State::ALL.into_iter().find(|state| state.name() == text);
        let failure = |text: &str| Failure::ALL.into_iter().find(|failure| failure.name() == text);
        let webhook = Asked::text(&self.webhook).map(|id| door.webhook(visit, id)).transpose()?;
        let (grant, endpoint, walls) = match webhook {
            Some((grant, walls, id)) => (grant, Some(id), walls),
            None => {
                let (grant, walls) = visit.caller.horizon(Scope::Webhooks)?;
                (grant, None, walls)
            }
        };
        let selection = Selection {
            account: Asked::text(&self.account).map(str::to_owned),
            endpoint,
            kind: Asked::text(&self.event).map(str::to_owned),
            state: known("state", &self.state, state)?,
            failure: known("error", &self.error, failure)?,
            from: moment(&self.from, "from")?,
            to: moment(&self.to, "to")?,
            delivery: None,
        };
        Ok((grant, selection, walls))
    }
}

/// A word of a filter; one that is not known must not mean all.
fn known<T>(label: &str, text: &str, find: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Error> {
    let unknown = |text| Error::request(format!("{label} '{}' is unknown: choose one of the list", excerpt(text)));
    Asked::text(text).map(|text| find(text).ok_or_else(|| unknown(text))).transpose()
}

/// What a browser makes of a date and a time, taken as UTC.
fn moment(text: &str, label: &str) -> Result<Option<Timestamp>, Error> {
    let Some(text) = Asked::text(text) else { return Ok(None) };
    let wordings = [format!("{text}Z"), format!("{text}:00Z"), format!("{text}T00:00:00Z")];
    let found = wordings.iter().find_map(|wording| Timestamp::parse(wording));
    found.map_or_else(|| operator::moment(label, Some(text)), |found| Ok(Some(found)))
}

/// A word to choose.
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
    let search = search.0;
    let after = Asked::text(&search.after).and_then(DeliveryId::parse);
    let frame = Frame::new(&door, &visit, "/ui/deliveries").saying(&said);
    let look = async {
        let (grant, selection, walls) = search.selection(&door, &visit)?;
        let page = move |view: &View<'_>| search::page(view, &Range::new(view, &walls, selection)?, after, PAGE);
        door.deps.db.read_as(grant, page).await
    };
    let (found, more) = match look.await {
        // An account or a webhook that is not there has no deliveries.
        Err(Error::NotFound(_)) => (Vec::new(), None),
        found => found?,
    };
    let rows: Vec<ListedRow> = found.iter().map(|listed| ListedRow::new(&door, &frame, listed)).collect();
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
    /// What the form sends back: what was counted, and no more.
    sent: Vec<(&'static str, String)>,
    matched: u64,
    matched_words: String,
    skipped: u64,
}

/// How many deliveries match and would be retried.
#[handler]
pub(super) async fn ask(door: Data<&Door>, visit: Visit, search: Query<Search>) -> Result<Response> {
    let search = search.0;
    let frame = Frame::new(&door, &visit, "/ui/deliveries");
    let upto = moment(&search.to, "to")?.map_or(frame.now(), |to| to.min(frame.now()));
    let (grant, field) = field(&door, &visit, &search).await?;
    let count = retries::count(&door.deps.db, grant.into(), &field, operator::COUNTING).await?;
    let given = |filters: [(&'static str, &str); 7]| {
        let filters = filters.into_iter().filter(|(_, value)| !value.is_empty());
        filters.map(|(name, value)| (name, value.to_owned())).collect::<Vec<_>>()
    };
    let bounded = Search { to: upto.precise(), ..search.clone() };
    let mut sent = given(bounded.filters());
    sent.push(("matched", count.matched.to_string()));
    frame::page(&Counted {
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

async fn field(door: &Door, visit: &Visit, search: &Search) -> Result<(Grant, Candidates), Error> {
    let (grant, selection, walls) = search.selection(door, visit)?;
    let field = door.deps.db.read_as(grant, move |view| Candidates::new(view, &walls, selection)).await?;
    Ok((grant, field))
}

/// Starts a run over what was counted.
#[handler]
pub(super) async fn start(door: Data<&Door>, visit: Visit, fields: Fields) -> Result<Response> {
    let search = Search::of(&fields);
    let counted = fields.get("matched").and_then(|matched| matched.parse::<u32>().ok());
    let matched = counted.map(u64::from).filter(|_| !search.to.is_empty()).ok_or_else(|| {
        Error::request(
            "this form does not say how many deliveries were counted: look at the deliveries and begin there",
        )
    })?;
    let start = || async {
        let (grant, field) = field(&door, &visit, &search).await?;
        let start = move |tx: &Tx<'_>| retries::start(tx, &field, matched);
        let run = door.deps.db.write(grant, Admission::Try, start).await?;
        Ok(Outcome::Page(format!("/ui/retries/{}", run.id)))
    };
    Ok(door.made.once(&door, &visit, &fields, start).await?)
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
    /// Whether it can be cancelled by whoever looks.
    can_cancel: bool,
    of: Vec<(&'static str, String)>,
}

impl RunView {
    fn new(door: &Door, visit: &Visit, frame: &Frame<'_>, run: &Run) -> Self {
        let (word, class) = match run.state {
            RunState::Running => ("running", "warn"),
            RunState::Done => ("done", "good"),
            RunState::Cancelled => ("cancelled", ""),
        };
        let selection = &run.selection;
        let webhook = selection.endpoint.map(|id| door.written(run.profile.as_deref().unwrap_or_default(), id));
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
            can_cancel: visit.is_operator() || retries::is_own(run),
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
    let (grant, walls) = visit.caller.horizon(Scope::Webhooks)?;
    let id = RetryId::parse(&id).ok_or(Error::NotFound(Missing::Retry))?;
    let found = door.deps.db.read_as(grant, move |view| retries::find(view, &walls, id)).await?;
    let frame = Frame::new(&door, &visit, "/ui/deliveries").saying(&said);
    frame::page(&RunPage { run: RunView::new(&door, &visit, &frame, &found), frame })
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
    let (grant, walls) = visit.caller.horizon(Scope::Webhooks)?;
    let found = door.deps.db.read_as(grant, move |view| retries::list(view, &walls, None, RUNS)).await?;
    let frame = Frame::new(&door, &visit, "/ui/deliveries");
    frame::page(&Runs { runs: found.iter().map(|run| RunView::new(&door, &visit, &frame, run)).collect(), frame })
}

/// Cancels a run.
#[handler]
pub(super) async fn cancel(door: Data<&Door>, visit: Visit, id: Path<String>, _fields: Fields) -> Result<Response> {
    let (grant, walls) = visit.caller.horizon(Scope::Webhooks)?;
    let id = RetryId::parse(&id).ok_or(Error::NotFound(Missing::Retry))?;
    let cancelled = door.deps.db.write(grant, Admission::Try, move |tx| retries::cancel(tx, &walls, id)).await?;
    Ok(go(&format!("/ui/retries/{}?said=retry-cancelled", cancelled.id)))
}
