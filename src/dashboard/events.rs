//! Events: what was published, who got it, and why others did not.

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
    render::{self, go},
    state::Door,
    views::{DeliveryRow, Shown, file, shown_url},
    visit::Visit,
};
use crate::{
    domain::{
        endpoint::{Endpoint, EndpointState},
        event::Event,
        ids::EventId,
        token::{Reach, Scope, Walls},
    },
    error::{Error, Missing},
    store::{View, deliveries, endpoints, events},
};

/// Events on a page.
const PAGE: usize = 40;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Search {
    id: String,
    account: String,
    event: String,
    after: String,
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
    of_one_account: bool,
    search: Search,
}

/// The events within the walls, newest first.
#[handler]
pub(super) async fn list(door: Data<&Door>, visit: Visit, search: Query<Search>) -> Result<Response> {
    let (grant, walls) = visit.caller.horizon(Scope::Events)?;
    let search = search.0;
    if let Some(id) = QueryString::text(&search.id) {
        let id = EventId::parse(id).ok_or(Error::NotFound(Missing::Event))?;
        return Ok(go(&format!("/ui/events/{id}")));
    }
    let filter = events::Filter {
        account: QueryString::text(&search.account).map(str::to_owned),
        kind: QueryString::text(&search.event).map(str::to_owned),
        after: QueryString::text(&search.after).and_then(EventId::parse),
    };
    let found = match door.deps.db.read_as(grant, move |view| events::list(view, &walls, &filter, PAGE)).await {
        // An account that is not there has no events.
        Err(Error::NotFound(_)) => events::Page { events: Vec::new(), next: None, partial: false },
        found => found?,
    };
    let frame = Frame::new(&door, &visit, "/ui/events");
    let rows = found.events.into_iter().map(|event| Row {
        id: event.id.to_string(),
        kind: event.kind,
        account: event.account_id,
        test: event.test,
        at: frame.when(event.accepted_at),
    });
    let next = |id: EventId| {
        let asked = QueryString::new().with("account", &search.account).with("event", &search.event);
        asked.with("after", &id.to_string()).query()
    };
    render::page(&Page {
        rows: rows.collect(),
        kinds: door.dialects.iter().flat_map(|dialect| dialect.kinds.iter().copied()).collect(),
        more: found.next.map(next),
        partial: found.partial,
        searched: !(search.account.is_empty() && search.event.is_empty()),
        of_one_account: matches!(visit.caller.reach, Reach::Account { .. }),
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

/// A webhook that did not.
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
    matched: Vec<Matched>,
    passed: Vec<Passed>,
    sees_webhooks: bool,
}

/// One event.
#[handler]
pub(super) async fn show(door: Data<&Door>, visit: Visit, id: Path<String>) -> Result<Response> {
    let (grant, walls) = visit.caller.horizon(Scope::Events)?;
    let id = EventId::parse(&id).ok_or(Error::NotFound(Missing::Event))?;
    let look = door.deps.db.read_as(grant, move |view| {
        let event = events::find(view, &walls, id)?;
        let made = deliveries::of_event(view, event.key)?;
        let own = Walls { profile: None, account: Some(event.account) };
        Ok((made, endpoints::list(view, &own)?, deliveries::body_of(view, id)?, event))
    });
    let (made, all, body, event) = look.await?;
    let dialect = door.dialect(&event.profile)?;
    let frame = Frame::new(&door, &visit, "/ui/events");
    let written = |endpoint: &Endpoint| endpoint.id.on_wire(dialect.profile.endpoint_prefix);
    let matched = made.iter().map(|delivery| {
        let endpoint = all.iter().find(|endpoint| endpoint.id == delivery.endpoint);
        Matched {
            webhook: endpoint.map(written).unwrap_or_default(),
            url: endpoint.map_or(String::new(), |endpoint| shown_url(endpoint.url.as_str())),
            delivery: DeliveryRow::new(&frame, delivery),
        }
    });
    let others = all.iter().filter(|endpoint| made.iter().all(|delivery| delivery.endpoint != endpoint.id));
    let passed = others.map(|endpoint| Passed {
        webhook: written(endpoint),
        url: shown_url(endpoint.url.as_str()),
        why: why_not(&event, endpoint),
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
        body: body.as_ref().ok().map(|body| Shown::new(body, format!("/ui/events/{}/body", event.id))),
        matched: matched.collect(),
        // What a token may not list is not named.
        passed: if sees_webhooks { passed.collect() } else { Vec::new() },
        sees_webhooks,
        frame,
    })
}

/// The payload of an event, as it is stored.
#[handler]
pub(super) async fn whole(door: Data<&Door>, visit: Visit, id: Path<String>) -> Result<Response> {
    let (grant, walls) = visit.caller.horizon(Scope::Events)?;
    let id = EventId::parse(&id).ok_or(Error::NotFound(Missing::Event))?;
    let look = move |view: &View<'_>| {
        events::find(view, &walls, id)?;
        deliveries::body_of(view, id)
    };
    let body = door.deps.db.read_as(grant, look).await?.map_err(Error::from)?;
    Ok(file(&id.to_string(), body.to_string()))
}

/// Why an endpoint has no delivery of an event, as far as it can be told from what it is now.
fn why_not(event: &Event, endpoint: &Endpoint) -> String {
    if event.test {
        return "the event is a test of another webhook".to_owned();
    }
    if endpoint.created_at > event.accepted_at {
        return "it was registered later".to_owned();
    }
    match &event.target {
        Some(target) if target != endpoint.url.as_str() => return "the event was published for another URL".to_owned(),
        Some(_) => return "another webhook with this URL got it: the newest that was active".to_owned(),
        None => {}
    }
    if !endpoint.events.wants(&event.kind) {
        return format!("its events ({}) do not hold {}", endpoint.events.entries().join(", "), event.kind);
    }
    let now = match endpoint.state {
        EndpointState::Deleted => "it is deleted now",
        EndpointState::Active | EndpointState::Suspended => "its events are others now",
    };
    format!("{now}, or its delivery was removed because it had grown old")
}
