//! One delivery: its request, its attempts, and how to send it again.

use askama::Template;
use poem::{
    Response, Result, handler,
    web::{Data, Path, Query},
};

use super::{
    fields::Fields,
    form_once::Outcome,
    format::{self, Moment, shell, took},
    frame::{Frame, Said},
    render::{self, go},
    state::Shared,
    views::{ListedRow, Shown, file, meaning, reason},
    visit::Allowed,
};
use crate::{
    app::{
        Webhooks,
        deliveries::{MASK, Preview},
    },
    domain::{
        delivery::{Attempt, State},
        endpoint::EndpointState,
        ids::DeliveryId,
        timestamp::Timestamp,
    },
    error::Error,
};

/// Where `ngoma listen` listens.
const TEST_RECEIVER: &str = "http://127.0.0.1:9000/";

#[derive(Template)]
#[template(path = "delivery.html", config = "src/dashboard/askama.toml")]
struct Page<'a> {
    frame: Frame<'a>,
    row: ListedRow,
    attempts: Vec<Step>,
    /// The request; `None` if the body is damaged, which is never sent.
    sent: Option<Sent>,
    replay_of: Option<String>,
    can_replay: bool,
    can_cancel: bool,
    suspended: bool,
    deleted: bool,
    /// Whether its state is final.
    ended: bool,
}

/// The request, and the line that sends it to a test receiver.
struct Sent {
    headers: Vec<(String, String)>,
    body: Shown,
    curl: String,
}

impl Sent {
    fn new(delivery: DeliveryId, request: Preview) -> Self {
        let body = Shown::new(&request.body, format!("/ui/deliveries/{delivery}/body"));
        let headers = request.headers.iter().filter(|(_, value)| !value.contains(MASK));
        let headers = headers.map(|(name, value)| format!(" -H {}", shell(&format!("{name}: {value}"))));
        let sent = body.raw.as_deref().map_or_else(|| format!("@{delivery}.json"), shell);
        let curl = format!("curl -sS {TEST_RECEIVER}{} --data-binary {sent}", headers.collect::<String>());
        Self { headers: request.headers, body, curl }
    }
}

/// Most bytes of an answer in the page.
const ANSWER: usize = 512;
/// Most attempts whose answers are in the page: the last ones.
const ANSWERS: usize = 5;

/// One attempt in the line.
struct Step {
    number: u32,
    at: Moment,
    took: String,
    good: bool,
    said: String,
    reason: String,
    answer: String,
    headers: String,
    truncated: bool,
    /// The wait after it; and the next attempt, if it has yet to come.
    next: Option<(String, Option<Moment>)>,
}

impl Step {
    /// A step; `next` is the attempt after it, or its due time if it has yet to come.
    fn new(
        frame: &Frame<'_>,
        attempt: &Attempt,
        next: Result<Timestamp, Option<Timestamp>>,
        with_answer: bool,
    ) -> Self {
        let ended = attempt.started_at + attempt.duration.unwrap_or_default();
        let shown = if with_answer { attempt.response.len().min(ANSWER) } else { 0 };
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
            reason: reason(frame, attempt),
            headers: attempt.details.headers.clone().filter(|_| with_answer).unwrap_or_default(),
            answer: String::from_utf8_lossy(&attempt.response[..shown]).into_owned(),
            truncated: attempt.truncated || shown < attempt.response.len(),
            next: match next {
                Ok(at) => Some((format::long_span(at.since(ended)), None)),
                Err(due) => due.map(|at| (format::long_span(at.since(ended)), Some(frame.when(at)))),
            },
        }
    }
}

#[handler]
pub(super) async fn show(
    shared: Data<&Shared>,
    visit: Allowed<Webhooks>,
    id: Path<String>,
    said: Query<Said>,
) -> Result<Response> {
    let frame = Frame::new(&shared, &visit, "/ui/deliveries").saying(&said);
    let details = shared.app.delivery(&visit.access, &id).await?;
    let (listed, attempts) = (&details.listed, &details.attempts);
    let (delivery, state) = (&listed.delivery, listed.endpoint_state);
    let with_answer = attempts.len().saturating_sub(ANSWERS);
    let steps = attempts.iter().zip(0..).map(|(attempt, place)| {
        let next = attempts.get(place + 1).map(|next| next.started_at).ok_or(delivery.due_at);
        Step::new(&frame, attempt, next, place >= with_answer)
    });
    render::page(&Page {
        attempts: steps.collect(),
        sent: details.request.ok().map(|request| Sent::new(delivery.id, request)),
        replay_of: delivery.replay_of.map(|id| id.to_string()),
        can_replay: delivery.state != State::Claimed && state == EndpointState::Active,
        can_cancel: matches!(delivery.state, State::Pending | State::Held),
        suspended: state == EndpointState::Suspended,
        deleted: state == EndpointState::Deleted,
        ended: matches!(delivery.state, State::Delivered | State::Exhausted | State::Cancelled),
        row: ListedRow::new(&shared, &frame, listed),
        frame,
    })
}

/// The body of a delivery, to the byte.
#[handler]
pub(super) async fn whole(shared: Data<&Shared>, visit: Allowed<Webhooks>, id: Path<String>) -> Result<Response> {
    let details = shared.app.delivery(&visit.access, &id).await?;
    Ok(file(&details.listed.delivery.id.to_string(), details.request.map_err(Error::from)?.body))
}

#[handler]
pub(super) async fn act(
    shared: Data<&Shared>,
    visit: Allowed<Webhooks>,
    path: Path<(String, String)>,
    fields: Fields,
) -> Result<Response> {
    let Path((id, verb)) = path;
    match verb.as_str() {
        "replay" => {
            let replay = || async {
                let made = shared.app.replay(&visit.access, &id).await?;
                Ok(Outcome::Page(format!("/ui/deliveries/{}?said=replayed", made.delivery.id)))
            };
            Ok(shared.made.once(&visit, &fields, replay).await?)
        }
        "cancel" => {
            shared.app.cancel(&visit.access, &id).await?;
            Ok(go(&format!("/ui/deliveries/{id}?said=cancelled")))
        }
        _ => Err(poem::error::NotFoundError.into()),
    }
}
