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
    times::{Times, moment},
    views::{ListedRow, meaning},
    visit::{Allowed, Visit},
};
use crate::{
    app::{Looked, Page as Found, PageRequest, Wanted, Webhooks, delivery_list::EXPORTED, recoveries},
    domain::{
        delivery::{Failure, State},
        excerpt::excerpt,
        ids::DeliveryId,
        recovery::{Recovery, RecoveryState},
        selection::Selection,
        token::{AccessScope, Scope},
    },
    error::{Error, Missing},
};

const PAGE: usize = 40;
const RECOVERIES: usize = 20;

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub(super) struct Search {
    q: String,
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
            q: text("q"),
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

    fn filters(&self) -> [(&'static str, &str); 8] {
        [
            ("q", &self.q),
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

    /// The deliveries of the list.
    pub(super) fn looked(&self, shared: &Shared) -> Result<Looked, Error> {
        Ok(Looked { wanted: self.wanted(shared)?, text: QueryString::text(&self.q).map(str::to_owned) })
    }

    /// The deliveries to replay: the failed ones, unless another state is chosen.
    fn recoverable(&self, shared: &Shared) -> Result<Wanted, Error> {
        if QueryString::text(&self.q).is_some() {
            return Err(Error::request(
                "a recovery looks through no payloads: take the text away, or replay one by one",
            ));
        }
        let Wanted { webhook, selection } = self.wanted(shared)?;
        let state = selection.state.or(Some(State::Exhausted));
        Ok(Wanted { webhook, selection: Selection { state, ..selection } })
    }

    /// Whether a recovery may replay exactly what the list shows.
    fn is_recoverable(&self) -> bool {
        self.q.is_empty() && matches!(self.state.as_str(), "" | "exhausted" | "delivered" | "cancelled")
    }

    /// The filter by time.
    fn times(&self, frame: &Frame<'_>) -> Result<Times, Error> {
        let time = (moment(&self.from, "from")?, moment(&self.to, "to")?);
        let at = |from: &str, to: &str| Self { from: from.to_owned(), to: to.to_owned(), ..self.clone() }.query("");
        Ok(Times::new(time, frame.now(), at))
    }

    /// The webhook, by its id or by a part of its URL.
    fn webhook(&self, shared: &Shared) -> (Option<String>, Option<String>) {
        let text = QueryString::text(&self.webhook).map(str::to_owned);
        let is_id = text.as_ref().is_some_and(|text| is_webhook(shared, text));
        if is_id { (text, None) } else { (None, text) }
    }

    /// The filters; a webhook is meant by its id or by a part of its URL.
    fn wanted(&self, shared: &Shared) -> Result<Wanted, Error> {
        let (webhook, url) = self.webhook(shared);
        let text = |text| QueryString::text(text).map(str::to_owned);
        let state = |text: &str| State::ALL.into_iter().find(|state| state.name() == text);
        let failure = |text: &str| Failure::ALL.into_iter().find(|failure| failure.name() == text);
        let selection = Selection {
            account: text(&self.account),
            url,
            kind: text(&self.event),
            state: known("state", &self.state, state)?,
            failure: known("error", &self.error, failure)?,
            from: moment(&self.from, "from")?,
            to: moment(&self.to, "to")?,
            ..Selection::default()
        };
        Ok(Wanted { webhook, selection })
    }
}

/// The filters that are filled in.
fn given(filters: [(&'static str, &str); 8]) -> Vec<(&'static str, String)> {
    let filters = filters.into_iter().filter(|(_, value)| !value.is_empty());
    filters.map(|(name, value)| (name, value.to_owned())).collect()
}

/// A word of a filter. An unknown word is an error, because it must not match every delivery.
fn known<T>(label: &str, text: &str, find: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Error> {
    let unknown = |text| Error::request(format!("{label} '{}' is unknown: choose one of the list", excerpt(text)));
    QueryString::text(text).map(|text| find(text).ok_or_else(|| unknown(text))).transpose()
}

/// Whether this is the id of a webhook, of any vendor.
fn is_webhook(shared: &Shared, text: &str) -> bool {
    shared.app.profiles().webhook(&AccessScope::EVERYTHING, text).is_ok()
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
    /// The account or the webhook of the filter, if there is none of this id.
    unknown: Option<String>,
    more: Option<String>,
    /// Whether a recovery may replay exactly what the filters choose.
    can_recover: bool,
    /// The query of the export.
    export: Option<String>,
    /// The filters, for the form that replays what is selected.
    filters: Vec<(&'static str, String)>,
    exported: String,
    of_one_account: bool,
    times: Times,
    /// How far back payloads were looked through, if there are older ones.
    searched_to: Option<Moment>,
    /// The query of the list of events with the same text.
    events: Option<String>,
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
    let (found, unknown) = match shared.app.delivery_entries(&visit.access, search.looked(&shared)?, page).await {
        Err(Error::NotFound(Missing::Webhook)) => {
            (Found::default(), Some(format!("webhook {}", search.webhook.trim())))
        }
        Err(Error::NotFound(missing)) => (Found::default(), Some(missing.to_string())),
        found => (found?, None),
    };
    let rows: Vec<ListedRow> = found.items.iter().map(|entry| ListedRow::of(&shared, &frame, entry)).collect();
    let searched_to = found.next.as_deref().filter(|_| !search.q.is_empty()).and_then(DeliveryId::parse);
    let looks_at_events = !search.q.is_empty() && visit.caller.scopes.allow(Scope::Events);
    render::page(&Page {
        states: states(&search.state),
        errors: Failure::ALL
            .into_iter()
            .map(|class| Choice { value: class.name(), label: meaning(class), chosen: class.name() == search.error })
            .collect(),
        kinds: shared.kinds(),
        searched: !search.is_empty(),
        more: found.next.map(|next| search.query(&next)),
        unknown,
        can_recover: !rows.is_empty() && search.is_recoverable(),
        export: (!rows.is_empty() && search.q.is_empty()).then(|| search.query("")),
        filters: given(search.filters()),
        exported: thousands(EXPORTED as u64),
        times: search.times(&frame)?,
        searched_to: searched_to.map(|id| frame.when(id.minted_at())),
        events: looks_at_events.then(|| QueryString::new().with("q", &search.q).query()),
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
    let wanted = search.recoverable(&shared)?;
    let word = wanted.selection.state.map_or("", word);
    let count = shared.app.count_matching(&visit.access, wanted).await?;
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
        let started = shared.app.recover_counted(&visit.access, search.recoverable(&shared)?, matched).await?;
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
            ("URL or name contains", selection.url.clone()),
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
