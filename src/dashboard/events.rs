//! Published events: the webhooks that got each, and why the others did not.

use askama::Template;
use poem::{
    Response, Result, handler,
    web::{Data, Path, Query},
};
use serde::Deserialize;

use super::{
    format::Moment,
    frame::Frame,
    query_string::QueryString,
    render,
    state::Shared,
    times::{Times, moment},
    views::{DeliveryRow, Shown, file, shown_url},
    visit::Allowed,
};
use crate::{
    app::{
        Events, PageRequest,
        events::{EventFilter, EventPage as Found},
    },
    domain::{
        delivery::{Delivery, State},
        endpoint::{Endpoint, EndpointState},
        event::Event,
        ids::EventId,
        token::Scope,
    },
    error::Error,
};

const PAGE: usize = 40;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Search {
    q: String,
    account: String,
    event: String,
    from: String,
    to: String,
    after: String,
}

impl Search {
    fn query(&self, (from, to): (&str, &str), after: &str) -> String {
        let asked = QueryString::new().with("q", &self.q).with("account", &self.account).with("event", &self.event);
        asked.with("from", from).with("to", to).with("after", after).query()
    }
}

struct Row {
    id: String,
    kind: String,
    account: String,
    test: bool,
    at: Moment,
}

#[derive(Template)]
#[template(path = "events.html", config = "src/dashboard/askama.toml")]
struct Page<'a> {
    frame: Frame<'a>,
    rows: Vec<Row>,
    kinds: Vec<&'a str>,
    more: Option<String>,
    partial: bool,
    searched: bool,
    /// The account of the filter, if there is none of this id.
    unknown: Option<String>,
    of_one_account: bool,
    times: Times,
    /// How far back payloads were looked through, if there are older ones.
    searched_to: Option<Moment>,
    search: Search,
}

#[handler]
pub(super) async fn list(shared: Data<&Shared>, visit: Allowed<Events>, search: Query<Search>) -> Result<Response> {
    let search = search.0;
    let text = |text| QueryString::text(text).map(str::to_owned);
    let (from, to) = (moment(&search.from, "from")?, moment(&search.to, "to")?);
    let filter = EventFilter { account: text(&search.account), kind: text(&search.event), from, to };
    let page = PageRequest::of(PAGE, &search.after);
    let (found, unknown) = match shared.app.events(&visit.access, (filter, text(&search.q)), page).await {
        Err(Error::NotFound(missing)) => (Found::default(), Some(missing.to_string())),
        found => (found?, None),
    };
    let frame = Frame::new(&shared, &visit, "/ui/events");
    let rows = found.page.items.into_iter().map(|event| Row {
        id: event.id.to_string(),
        kind: event.kind,
        account: event.account_id,
        test: event.test,
        at: frame.when(event.accepted_at),
    });
    let searched_to = found.page.next.as_deref().filter(|_| !search.q.is_empty()).and_then(EventId::parse);
    render::page(&Page {
        rows: rows.collect(),
        kinds: shared.kinds(),
        more: found.page.next.map(|after| search.query((&search.from, &search.to), &after)),
        partial: found.partial,
        searched: [&search.q, &search.account, &search.event, &search.from, &search.to]
            .iter()
            .any(|text| !text.is_empty()),
        unknown,
        times: Times::new((from, to), frame.now(), |from, to| search.query((from, to), "")),
        searched_to: searched_to.map(|id| frame.when(id.minted_at())),
        of_one_account: visit.is_of_one_account(),
        search,
        frame,
    })
}

/// A webhook that got an event.
struct Matched {
    webhook: String,
    url: String,
    delivery: DeliveryRow,
}

/// A webhook that did not get an event.
struct Passed {
    webhook: String,
    url: String,
    why: String,
}

#[derive(Template)]
#[template(path = "event.html", config = "src/dashboard/askama.toml")]
struct EventPage<'a> {
    frame: Frame<'a>,
    id: String,
    kind: String,
    account: String,
    vendor: &'static str,
    test: bool,
    at: Moment,
    target: Option<String>,
    body: Option<Shown>,
    /// Where the body does not fit the catalogue.
    misfits: Vec<String>,
    /// The deliveries, in groups with a heading: who got it, who will, who will not.
    groups: Vec<(&'static str, Vec<Matched>)>,
    passed: Vec<Passed>,
    sees_webhooks: bool,
}

#[handler]
pub(super) async fn show(shared: Data<&Shared>, visit: Allowed<Events>, id: Path<String>) -> Result<Response> {
    let (details, all) = shared.app.event_and_webhooks(&visit.access, &id).await?;
    let (event, made) = (&details.event, &details.deliveries);
    let dialect = shared.dialect(&event.profile)?;
    let frame = Frame::new(&shared, &visit, "/ui/events");
    let written = |endpoint: &Endpoint| endpoint.id.on_wire(dialect.profile.endpoint_prefix);
    let mut groups = HEADINGS.map(|heading| (heading, Vec::new()));
    for delivery in made {
        let endpoint = all.iter().find(|endpoint| endpoint.id == delivery.endpoint);
        groups[place(delivery)].1.push(Matched {
            webhook: endpoint.map(written).unwrap_or_default(),
            url: endpoint.map_or(String::new(), |endpoint| shown_url(endpoint.url.given())),
            delivery: DeliveryRow::new(&frame, delivery),
        });
    }
    let others = all.iter().filter(|endpoint| made.iter().all(|delivery| delivery.endpoint != endpoint.id));
    let passed = others.map(|endpoint| Passed {
        webhook: written(endpoint),
        url: shown_url(endpoint.url.given()),
        why: why_not(event, endpoint),
    });
    let sees_webhooks = visit.caller.scopes.allow(Scope::Webhooks);
    render::page(&EventPage {
        id: event.id.to_string(),
        kind: event.kind.clone(),
        account: event.account_id.clone(),
        vendor: dialect.title,
        test: event.test,
        at: frame.when(event.accepted_at),
        target: event.target.as_deref().map(shown_url),
        misfits: details.body().map_or(Ok(Vec::new()), |body| (dialect.misfits)(&event.kind, body))?,
        body: details.body().ok().map(|body| Shown::new(body, format!("/ui/events/{}/body", event.id))),
        groups: groups.into_iter().filter(|(_, group)| !group.is_empty()).collect(),
        // Webhooks are named only to a token that may list them.
        passed: if sees_webhooks { passed.collect() } else { Vec::new() },
        sees_webhooks,
        frame,
    })
}

/// The headings of an event's deliveries: those that arrived, those that may, those that will not, and those for which
/// a replay stands.
const HEADINGS: [&str; 4] = [
    "Webhooks that got it",
    "Webhooks that will get it",
    "Webhooks that did not get it: failed or cancelled",
    "Replayed since: the replay is above",
];

/// The place of a delivery's heading.
const fn place(delivery: &Delivery) -> usize {
    match delivery.state {
        State::Delivered => 0,
        _ if delivery.newest_replay.is_some() => 3,
        State::Pending | State::Claimed | State::Held => 1,
        State::Exhausted | State::Cancelled => 2,
    }
}

/// The payload of an event, as it is stored.
#[handler]
pub(super) async fn whole(shared: Data<&Shared>, visit: Allowed<Events>, id: Path<String>) -> Result<Response> {
    let details = shared.app.event(&visit.access, &id).await?;
    Ok(file(&details.event.id.to_string(), details.body()?.to_owned()))
}

/// Why an endpoint has no delivery of an event, as far as its present state shows it.
fn why_not(event: &Event, endpoint: &Endpoint) -> String {
    if event.test {
        return "the event is a test of another webhook".to_owned();
    }
    if endpoint.created_at > event.accepted_at {
        return "it was registered later".to_owned();
    }
    match &event.target {
        Some(target) if !endpoint.url.is_same_as(target) => {
            return "the event was published for another URL".to_owned();
        }
        Some(_) => return "another webhook with this URL got it: the newest that was active".to_owned(),
        None => {}
    }
    if !endpoint.events.wants(&event.kind) {
        return format!("its events ({}) do not hold {}", endpoint.events.entries().join(", "), event.kind);
    }
    let now = match endpoint.state {
        EndpointState::Deleted => "it is deleted now",
        EndpointState::Active | EndpointState::Suspended => "its events were changed since",
    };
    format!("{now}, or its delivery was removed because it had grown old")
}
