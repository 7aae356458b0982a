//! One delivery: what was sent, what came of each attempt, and how to send it again.

use askama::Template;
use poem::{
    Response, Result, handler,
    web::{Data, Path, Query},
};

use super::{
    Door,
    fields::Fields,
    frame::{self, Frame, Said, go},
    session::Visit,
    views::{ListedRow, meaning},
    words::{self, Moment, indented, shell, took},
};
use crate::{
    domain::{
        delivery::{Attempt, State},
        ids::DeliveryId,
        post::{Headers, USER_AGENT},
        token::Scope,
    },
    error::{Error, Missing},
    store::{Tx, deliveries, endpoints, search, webhooks},
};

/// Where `ngoma listen` listens.
const TEST_RECEIVER: &str = "http://127.0.0.1:9000/";
/// Stands for what is made anew at each attempt.
const SIGNED: &str = "made for each attempt with the signing secret";

#[derive(Template)]
#[template(path = "delivery.html", config = "src/api/ui/askama.toml")]
struct Page<'a> {
    frame: Frame<'a>,
    row: ListedRow,
    attempts: Vec<Step>,
    headers: Vec<(String, String)>,
    raw: String,
    pretty: String,
    curl: String,
    replay_of: Option<String>,
    can_replay: bool,
    can_cancel: bool,
    suspended: bool,
}

/// One attempt in the line.
struct Step {
    number: u32,
    at: Moment,
    took: String,
    good: bool,
    said: String,
    answer: String,
    truncated: bool,
    next: Option<(String, Moment)>,
}

impl Step {
    fn new(frame: &Frame<'_>, attempt: &Attempt) -> Self {
        let ended = attempt.started_at + attempt.duration.unwrap_or_default();
        let said = match (attempt.failure, attempt.status) {
            (None, Some(status)) => format!("answered {status}"),
            (None, None) => "delivered".to_owned(),
            (Some(failure), Some(status)) => format!("answered {status}: {}", meaning(failure)),
            (Some(failure), None) => format!("{failure}: {}", meaning(failure)),
        };
        Self {
            number: attempt.number,
            at: Moment { exact: attempt.started_at.precise(), ..frame.when(attempt.started_at) },
            took: attempt.duration.map(took).unwrap_or_default(),
            good: attempt.failure.is_none(),
            said,
            answer: String::from_utf8_lossy(&attempt.response).into_owned(),
            truncated: attempt.truncated,
            next: attempt.next_attempt_at.map(|at| (words::long_span(at.since(ended)), frame.when(at))),
        }
    }
}

/// One delivery.
#[handler]
pub(super) async fn show(door: Data<&Door>, visit: Visit, id: Path<String>, said: Query<Said>) -> Result<Response> {
    let walls = visit.caller.horizon(Scope::Webhooks)?;
    let id = DeliveryId::parse(&id).ok_or(Error::NotFound(Missing::Delivery))?;
    let frame = Frame::new(&door, &visit, "/ui/deliveries").saying(&said);
    let now = frame.now();
    let look = door.deps.db.read(move |view| {
        let listed = search::find(view, &walls, id)?;
        let attempts = deliveries::attempts(view, listed.delivery.key)?;
        let body = deliveries::body_of(view, listed.delivery.event)?;
        let report = webhooks::find(view, &walls, listed.delivery.endpoint, now)?;
        Ok((listed, attempts, body, report))
    });
    let (listed, attempts, stored, report) = look.await?;
    let (delivery, profile) = (&listed.delivery, &door.dialect(&listed.profile)?.profile);
    let row = ListedRow::new(&door, &frame, &listed)?;
    let body = String::from_utf8_lossy(&(profile.envelope)(&row.webhook, &stored)).into_owned();
    let headers = Headers {
        profile,
        event: delivery.event,
        delivery: delivery.id,
        attempt: delivery.attempts.max(1),
        at: attempts.last().map_or(now, |last| last.started_at),
        test: delivery.test,
        signature: Some(SIGNED.to_owned()),
        standard: SIGNED.to_owned(),
    };
    let mut headers: Vec<(String, String)> =
        headers.list().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    headers.push(("user-agent".to_owned(), USER_AGENT.to_owned()));
    let sent = headers.iter().filter(|(_, value)| value != SIGNED);
    let sent: Vec<String> = sent.map(|(name, value)| format!(" -H {}", shell(&format!("{name}: {value}")))).collect();
    let curl = format!("curl -sS {TEST_RECEIVER}{} --data-binary {}", sent.concat(), shell(&body));
    let suspended = report.endpoint.suspended_at.is_some();
    frame::page(&Page {
        attempts: attempts.iter().map(|attempt| Step::new(&frame, attempt)).collect(),
        headers,
        pretty: indented(&body),
        raw: body,
        curl,
        replay_of: delivery.replay_of.map(|id| id.to_string()),
        can_replay: delivery.state != State::Claimed && row.delivery.badge.word != "deleted",
        can_cancel: matches!(delivery.state, State::Pending | State::Held),
        suspended,
        row,
        frame,
    })
}

/// Replays or cancels.
#[handler]
pub(super) async fn act(
    door: Data<&Door>,
    visit: Visit,
    path: Path<(String, String)>,
    _fields: Fields,
) -> Result<Response> {
    let Path((written, verb)) = path;
    let walls = visit.caller.horizon(Scope::Webhooks)?;
    let id = DeliveryId::parse(&written).ok_or(Error::NotFound(Missing::Delivery))?;
    let (actor, db) = (visit.caller.actor(), &door.deps.db);
    match verb.as_str() {
        "replay" => {
            let replay = move |tx: &Tx<'_>| {
                let endpoint = deliveries::endpoint_of(tx, &walls, id)?;
                let endpoint = endpoints::find(tx, &walls, endpoint.id)?;
                deliveries::replay(tx, &endpoint, id)
            };
            let made = db.write_as(actor, replay).await?;
            Ok(go(&format!("/ui/deliveries/{}?said=replayed", made.id)))
        }
        "cancel" => {
            db.write_as(actor, move |tx| deliveries::cancel(tx, &walls, id)).await?;
            Ok(go(&format!("/ui/deliveries/{id}?said=cancelled")))
        }
        _ => Err(poem::error::NotFoundError.into()),
    }
}
