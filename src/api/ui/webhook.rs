//! One webhook: how it is set, how it fares, and while it is suspended what to do about it.

use askama::Template;
use poem::{
    Response, Result, handler,
    web::{Data, Path, Query},
};

use super::{
    Door,
    chart::Chart,
    fields::Fields,
    frame::{self, Frame, Said, go},
    session::Visit,
    views::{DeliveryRow, WebhookRow, meaning, short},
    webhooks::wanted,
    words::{self, Moment, count, long_span, took},
};
use crate::{
    domain::{
        delivery::Attempt,
        endpoint::{EndpointState, SuspendedReason},
        ids::DeliveryId,
        tally::{Span, Tally},
        timestamp::Timestamp,
        token::Scope,
    },
    error::{Error, Missing},
    store::{
        Tx, audit, deliveries, endpoints,
        tallies::{self, Of},
        webhooks,
    },
};

/// Deliveries shown with a webhook.
const RECENT: usize = 20;
/// Hours in the chart of a week: one bar for six of them.
const WEEK: i64 = 7 * 24;
const HOURS_PER_BAR: usize = 6;

#[derive(Template)]
#[template(path = "webhook.html", config = "src/api/ui/askama.toml")]
struct Page<'a> {
    frame: Frame<'a>,
    row: WebhookRow,
    present: bool,
    suspended: Option<Suspended>,
    schedule: String,
    waits: String,
    after: &'static str,
    timeout: String,
    made: Moment,
    kinds: Vec<(&'static str, bool)>,
    week: Chart,
    recent: Vec<DeliveryRow>,
    answers: Vec<(String, String, &'static str)>,
    looked_at: usize,
    problem: Option<String>,
}

/// What the panel says of a suspended webhook.
struct Suspended {
    what: String,
    held: u64,
    held_words: String,
    last_error: Option<(String, &'static str)>,
}

/// One webhook.
#[handler]
pub(super) async fn show(door: Data<&Door>, visit: Visit, id: Path<String>, said: Query<Said>) -> Result<Response> {
    show_with(&door, &visit, &id, Some(&said), None).await
}

async fn show_with(
    door: &Door,
    visit: &Visit,
    written: &str,
    said: Option<&Said>,
    problem: Option<Error>,
) -> Result<Response> {
    let walls = visit.caller.horizon(Scope::Webhooks)?;
    let (dialect, id) = door.webhook(written)?;
    let mut frame = Frame::new(door, visit, "/ui/webhooks");
    if let Some(said) = said {
        frame = frame.saying(said);
    }
    let now = frame.now();
    let look = door.deps.db.read(move |view| {
        let report = webhooks::find(view, &walls, id, now)?;
        let recent = deliveries::list(view, &report.endpoint, &deliveries::Filter::default(), RECENT)?.deliveries;
        let week = tallies::series(view, Of::Endpoint(report.endpoint.key), Span::Hour, WEEK, now)?;
        let answers = deliveries::answers(view, report.endpoint.key)?;
        Ok((report, recent, week, answers))
    });
    let (report, recent, week, answers) = look.await?;
    let answers = answers.into_iter().map(|answer| {
        let often = count(answer.attempts, "attempt", "attempts");
        (short(answer.failure, answer.status), often, answer.failure.map_or("", meaning))
    });
    if report.profile != dialect.profile.name {
        return Err(Error::NotFound(Missing::Webhook).into());
    }
    let week = in_bars(&week);
    let (endpoint, policy) = (&report.endpoint, &dialect.profile.retry);
    let suspended = (endpoint.state == EndpointState::Suspended).then(|| Suspended {
        what: match endpoint.suspended_reason {
            Some(SuspendedReason::Paused) => "Somebody paused it.".to_owned(),
            Some(SuspendedReason::Gone) => {
                "It answered 410 Gone: the receiver says that it is there no more.".to_owned()
            }
            _ => format!("A delivery failed {} times.", policy.max_attempts),
        },
        last_error: recent.iter().find_map(|delivery| {
            let failure = delivery.last_failure?;
            Some((short(Some(failure), delivery.last_status), meaning(failure)))
        }),
        held: report.held,
        held_words: count(report.held, "delivery is held", "deliveries are held"),
    });
    let status = problem.as_ref().map(|problem| poem::Error::from(problem.clone()).status());
    let mut page = frame::page(&Page {
        row: WebhookRow::new(door, &frame, &report)?,
        present: endpoint.state != EndpointState::Deleted,
        suspended,
        schedule: words::schedule(policy),
        waits: words::waits(policy),
        after: dialect.when_exhausted(),
        timeout: long_span(dialect.profile.timeout),
        made: frame.when(endpoint.created_at),
        kinds: dialect.kinds.iter().map(|kind| (*kind, endpoint.events.wants(kind))).collect(),
        week: Chart::new("week", "Deliveries in 7 days", "7 d ago", &week, now),
        recent: recent.iter().map(|delivery| DeliveryRow::new(&frame, delivery)).collect(),
        answers: answers.collect(),
        looked_at: deliveries::ANSWERS_OF,
        problem: problem.as_ref().map(ToString::to_string),
        frame,
    })?;
    if let Some(status) = status {
        page.set_status(status);
    }
    Ok(page)
}

/// The hours of a week, put together to bars.
fn in_bars(hours: &[(Timestamp, Tally)]) -> Vec<(Timestamp, Tally)> {
    let bars = hours.chunks(HOURS_PER_BAR).filter_map(|hours| {
        let mut sum = hours.first().copied()?;
        hours[1..].iter().for_each(|(_, more)| sum.1.add(more));
        Some(sum)
    });
    bars.collect()
}

/// Does what a button of the page says.
#[handler]
pub(super) async fn act(
    door: Data<&Door>,
    visit: Visit,
    path: Path<(String, String)>,
    fields: Fields,
) -> Result<Response> {
    let Path((written, verb)) = path;
    let done = match verb.as_str() {
        "pause" | "resume" | "delete" => change_state(&door, &visit, &written, &verb).await,
        "change" => change(&door, &visit, &written, &fields).await,
        "drop" => drop_held(&door, &visit, &written).await,
        "test" => return test(&door, &visit, &written, &fields).await,
        "secret" => return rotate(&door, &visit, &written).await,
        _ => return Err(poem::error::NotFoundError.into()),
    };
    match done {
        Ok(said) => Ok(go(&format!("/ui/webhooks/{written}?said={said}"))),
        Err(error @ (Error::Invalid { .. } | Error::Conflict { .. })) => {
            show_with(&door, &visit, &written, None, Some(error)).await
        }
        Err(error) => Err(error.into()),
    }
}

/// A webhook that is there, within the caller's walls.
fn find(
    tx: &Tx<'_>,
    walls: &crate::domain::token::Walls,
    id: crate::domain::ids::EndpointId,
) -> Result<crate::domain::endpoint::Endpoint, Error> {
    let endpoint = endpoints::find(tx, walls, id)?;
    match endpoint.state {
        EndpointState::Deleted => Err(Error::NotFound(Missing::Webhook)),
        EndpointState::Active | EndpointState::Suspended => Ok(endpoint),
    }
}

async fn change_state(door: &Door, visit: &Visit, written: &str, verb: &str) -> Result<&'static str, Error> {
    let walls = visit.caller.horizon(Scope::Webhooks)?;
    let (_, id) = door.webhook(written)?;
    let verb = verb.to_owned();
    let change = move |tx: &Tx<'_>| {
        let key = find(tx, &walls, id)?.key;
        match verb.as_str() {
            "pause" => endpoints::suspend(tx, key, SuspendedReason::Paused).map(|()| "paused"),
            "resume" => endpoints::resume(tx, key).map(|()| "resumed"),
            _ => endpoints::delete(tx, key).map(|()| "deleted"),
        }
    };
    door.deps.db.write_as(visit.caller.actor(), change).await
}

async fn change(door: &Door, visit: &Visit, written: &str, fields: &Fields) -> Result<&'static str, Error> {
    let (deps, walls) = (&door.deps, visit.caller.horizon(Scope::Webhooks)?);
    let (dialect, id) = door.webhook(written)?;
    let events = wanted(fields, dialect, deps.limits.events_per_webhook)?;
    let url = deps.target(fields.need("url", "the URL")?)?;
    deps.vet(&url).await?;
    let change = move |tx: &Tx<'_>| {
        let endpoint = find(tx, &walls, id)?;
        endpoints::set_url(tx, endpoint.key, &url)?;
        endpoints::set_events(tx, endpoint.key, &events)?;
        Ok("changed")
    };
    deps.db.write_as(visit.caller.actor(), change).await
}

/// Drops what is held, a part at a time, whether or not whoever asked waits for it.
async fn drop_held(door: &Door, visit: &Visit, written: &str) -> Result<&'static str, Error> {
    let walls = visit.caller.horizon(Scope::Webhooks)?;
    let (_, id) = door.webhook(written)?;
    let (db, actor) = (door.deps.db.clone(), visit.caller.actor());
    let first = db.write_as(actor, move |tx| {
        let (endpoint, before) = (find(tx, &walls, id)?, deliveries::next_key(tx)?);
        Ok((endpoint.key, before, deliveries::drop_held(tx, endpoint.key, before)?))
    });
    let (key, before, mut more) = first.await?;
    tokio::spawn(async move {
        while more {
            more = db.write_as(actor, move |tx| deliveries::drop_held(tx, key, before)).await.unwrap_or(false);
        }
    });
    Ok("dropping")
}

#[derive(Template)]
#[template(path = "tested.html", config = "src/api/ui/askama.toml")]
struct Tested<'a> {
    frame: Frame<'a>,
    webhook: String,
    url: String,
    kind: String,
    delivery: DeliveryId,
    delivered: bool,
    suspended: bool,
    status: Option<u16>,
    meaning: &'static str,
    took: String,
    answer: String,
}

/// Sends sample data at once and shows what came of it.
async fn test(door: &Door, visit: &Visit, written: &str, fields: &Fields) -> Result<Response> {
    let walls = visit.caller.horizon(Scope::Webhooks)?;
    let (dialect, id) = door.webhook(written)?;
    let named = fields.get("event").map(str::to_owned);
    let (now, deps) = (door.deps.clock.now(), &door.deps);
    let look = deps.db.read(move |view| webhooks::find(view, &walls, id, now)).await?;
    let (kind, body) = dialect.sample_for(&look.endpoint.events, named.as_deref(), now)?;
    let walls = visit.caller.horizon(Scope::Webhooks)?;
    let prepare = move |tx: &Tx<'_>| {
        let endpoint = find(tx, &walls, id)?;
        audit::tested(tx, endpoint.key)?;
        let target = endpoints::target(tx, endpoint.key)?;
        Ok((endpoint, target))
    };
    let (endpoint, target) = deps.db.write_as(visit.caller.actor(), prepare).await?;
    let sent = (deps.send_test)(endpoint.account_id, target, kind.clone(), body).await?;
    let (delivery, attempt): (DeliveryId, Attempt) = sent;
    frame::page(&Tested {
        frame: Frame::new(door, visit, "/ui/webhooks"),
        webhook: written.to_owned(),
        url: endpoint.url.as_str().to_owned(),
        kind,
        delivery,
        delivered: attempt.failure.is_none(),
        suspended: endpoint.state == EndpointState::Suspended,
        status: attempt.status,
        meaning: attempt.failure.map_or("", meaning),
        took: took(attempt.duration.unwrap_or_default()),
        answer: String::from_utf8_lossy(&attempt.response).into_owned(),
    })
}

/// Gives a webhook a new secret, and shows it this once.
async fn rotate(door: &Door, visit: &Visit, written: &str) -> Result<Response> {
    let (deps, walls) = (&door.deps, visit.caller.horizon(Scope::Webhooks)?);
    let (_, id) = door.webhook(written)?;
    let secret = deps.secret(None)?;
    let (shown, overlap) = (secret.shown(), deps.secret_overlap);
    let rotate = move |tx: &Tx<'_>| {
        let endpoint = find(tx, &walls, id)?;
        endpoints::set_secret(tx, &endpoint, &secret.secret, overlap)?;
        Ok(endpoint)
    };
    let endpoint = deps.db.write_as(visit.caller.actor(), rotate).await?;
    let about = format!("{}. The former secret signs too for {}.", endpoint.url.as_str(), long_span(overlap));
    frame::page(&frame::Once {
        frame: Frame::new(door, visit, "/ui/webhooks"),
        title: "The new signing secret",
        about,
        secret: shown.map(|secret| secret.0.to_string()),
        next: format!("/ui/webhooks/{written}"),
    })
}
