//! Deliveries of every webhook, filtered; and the page that counts those that match, and starts a recovery.

use askama::Template;
use poem::{
    Response, Result, handler,
    web::{Data, Query},
};
use serde::Deserialize;

use super::{
    fields::Fields,
    form_once::Outcome,
    format::{Moment, thousands},
    frame::{Frame, Said},
    query_string::QueryString,
    render,
    state::Shared,
    times::{Times, moment},
    views::{ListedRow, meaning},
    visit::Allowed,
};
use crate::{
    app::{Looked, Page as Found, PageRequest, Wanted, Webhooks, delivery_list::EXPORTED},
    domain::{
        delivery::{Failure, State},
        excerpt::excerpt,
        ids::DeliveryId,
        selection::Selection,
        token::{Scope, Visible},
    },
    error::{Error, Missing},
};

const PAGE: usize = 40;

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
    shared.app.profiles().webhook(&Visible::EVERYTHING, text).is_ok()
}

struct Choice {
    value: &'static str,
    label: &'static str,
    chosen: bool,
}

/// A filter that chose deliveries, as people read it.
pub(super) struct Criterion {
    pub(super) name: &'static str,
    pub(super) value: String,
    /// The moment, if it is one.
    pub(super) at: Option<Moment>,
}

impl Criterion {
    fn new(frame: &Frame<'_>, (name, value): (&'static str, String)) -> Self {
        let at = match name {
            "from" | "to" => moment(&value, name).ok().flatten().map(|at| frame.when(at)),
            _ => None,
        };
        let state = states(&value).into_iter().find(|state| name == "state" && state.chosen);
        Self { name, value: state.map_or(value, |state| state.label.to_owned()), at }
    }
}

/// A state, in the words of the badges.
pub(super) const fn word(state: State) -> &'static str {
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
    /// The filters, for the form that replays the selected deliveries.
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
    filters: Vec<Criterion>,
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
        filters: given(search.filters()).into_iter().map(|filter| Criterion::new(&frame, filter)).collect(),
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
