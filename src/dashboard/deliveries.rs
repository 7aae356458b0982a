//! Deliveries of every webhook, filtered; and recoveries, which replay every matching one.

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
    app::{Page as Found, PageRequest, Wanted, Webhooks, recoveries},
    domain::{
        delivery::{Failure, State},
        excerpt::excerpt,
        recovery::{Recovery, RecoveryState},
        selection::Selection,
        timestamp::Timestamp,
    },
    error::Error,
};

const PAGE: usize = 40;
const RECOVERIES: usize = 20;

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
        let asked = self.filters().into_iter().fold(QueryString::new(), |asked, (name, value)| asked.with(name, value));
        asked.with("after", after).query()
    }

    fn is_empty(&self) -> bool {
        self.filters().iter().all(|(_, value)| value.is_empty())
    }

    fn wanted(&self) -> Result<Wanted, Error> {
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

    /// The deliveries to replay: the failed ones, unless another state is chosen.
    fn recoverable(&self) -> Result<Wanted, Error> {
        let Wanted { webhook, selection } = self.wanted()?;
        let state = selection.state.or(Some(State::Exhausted));
        Ok(Wanted { webhook, selection: Selection { state, ..selection } })
    }
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

/// A state, in the words of the badges.
const fn word(state: State) -> &'static str {
    match state {
        State::Pending => "waiting or retrying",
        State::Claimed => "in flight",
        State::Exhausted => "failed",
        State::Delivered | State::Held | State::Cancelled => state.name(),
    }
}

fn states(chosen: &str) -> Vec<Choice> {
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
    recover: Option<String>,
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
    let found = match shared.app.deliveries(&visit.access, search.wanted()?, page).await {
        // An unknown account or webhook has no deliveries.
        Err(Error::NotFound(_)) => Found::default(),
        found => found?,
    };
    let rows: Vec<ListedRow> = found.items.iter().map(|listed| ListedRow::new(&shared, &frame, listed)).collect();
    let recoverable = matches!(search.state.as_str(), "" | "exhausted" | "delivered" | "cancelled");
    render::page(&Page {
        states: states(&search.state),
        errors: Failure::ALL
            .into_iter()
            .map(|class| Choice { value: class.name(), label: meaning(class), chosen: class.name() == search.error })
            .collect(),
        kinds: shared.kinds(),
        searched: !search.is_empty(),
        more: found.next.map(|next| search.query(&next)),
        recover: (recoverable && !rows.is_empty()).then(|| search.query("")),
        of_one_account: visit.is_of_one_account(),
        rows,
        search,
        frame,
    })
}

#[derive(Template)]
#[template(path = "recover.html", config = "src/dashboard/askama.toml")]
struct Counted<'a> {
    frame: Frame<'a>,
    filters: Vec<(&'static str, String)>,
    back: String,
    /// The fields that the form sends back: the filters by which the deliveries were counted.
    sent: Vec<(&'static str, String)>,
    matched: u64,
    matched_words: String,
    /// The state of the deliveries: `failed`.
    word: &'static str,
    skipped: u64,
}

/// The page with the number of matching deliveries, which starts a recovery.
#[handler]
pub(super) async fn ask(shared: Data<&Shared>, visit: Allowed<Webhooks>, search: Query<Search>) -> Result<Response> {
    let search = search.0;
    let frame = Frame::new(&shared, &visit, "/ui/deliveries");
    let upto = moment(&search.to, "to")?.map_or(frame.now(), |to| to.min(frame.now()));
    let wanted = search.recoverable()?;
    let word = wanted.selection.state.map_or("", word);
    let count = shared.app.count_matching(&visit.access, wanted).await?;
    let given = |filters: [(&'static str, &str); 7]| {
        let filters = filters.into_iter().filter(|(_, value)| !value.is_empty());
        filters.map(|(name, value)| (name, value.to_owned())).collect::<Vec<_>>()
    };
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
        word,
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
        let started = shared.app.recover_counted(&visit.access, search.recoverable()?, matched).await?;
        Ok(Outcome::Page(format!("/ui/recoveries/{}", started.id)))
    };
    Ok(shared.made.once(&visit, &fields, start).await?)
}

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
    of: Vec<(&'static str, String)>,
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
        let of = [
            ("account", selection.account.clone()),
            ("webhook", webhook),
            ("URL contains", selection.url.clone()),
            ("event", selection.kind.clone()),
            ("state", selection.state.map(|state| self::word(state).to_owned())),
            ("error", selection.failure.map(|failure| failure.to_string())),
            ("from", selection.from.map(|from| from.to_string())),
            ("to", selection.to.map(|to| to.to_string())),
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
            of: of.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))).collect(),
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
    let found = shared.app.recoveries(&visit.access, PageRequest::of(RECOVERIES, "")).await?;
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
