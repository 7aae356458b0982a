//! One delivery: its request, its attempts, and how to send it again.

use askama::Template;
use poem::{
    Response, Result, handler,
    web::{Data, Path, Query},
};

use super::{
    alike::Alike,
    attempts::{Answer, Step},
    fields::Fields,
    form_once::Outcome,
    format::shell,
    frame::{Frame, Said},
    render::{self, go},
    signature,
    state::Shared,
    views::{DeliveryRow, ListedRow, Shown, file},
    visit::Allowed,
};
use crate::{
    app::{Webhooks, deliveries::Preview, signatures::Signed},
    domain::{delivery::State, endpoint::EndpointState, ids::DeliveryId},
    error::Error,
};

/// Where `ngoma listen` listens.
const TEST_RECEIVER: &str = "http://127.0.0.1:9000/";

#[derive(Template)]
#[template(path = "delivery.html", config = "src/dashboard/askama.toml")]
struct Page<'a> {
    frame: Frame<'a>,
    row: ListedRow,
    attempts: Vec<Alike<Step>>,
    last: Option<Answer>,
    /// The request; `None` if the body is damaged, which is never sent.
    sent: Option<Sent>,
    /// Which signatures the request has, in words.
    signed: String,
    can_check: bool,
    replay_of: Option<String>,
    replays: Vec<DeliveryRow>,
    can_replay: bool,
    can_cancel: bool,
    suspended: bool,
    deleted: bool,
    /// Whether its state is final.
    ended: bool,
}

/// The request, and the line that sends it to a test receiver.
struct Sent {
    url: String,
    headers: Vec<(String, String)>,
    body: Shown,
    curl: String,
}

impl Sent {
    fn new(delivery: DeliveryId, request: Preview) -> Self {
        let body = Shown::new(&request.body, format!("/ui/deliveries/{delivery}/body"));
        let is_bare =
            |name: &str| !matches!(name, "host" | "content-length") && !name.to_lowercase().ends_with("signature");
        let headers = request.headers.iter().filter(|(name, _)| is_bare(name));
        let headers = headers.map(|(name, value)| format!(" -H {}", shell(&format!("{name}: {value}"))));
        let sent = body.raw.as_deref().map_or_else(|| format!("@{delivery}.json"), shell);
        let curl = format!("curl -sS {TEST_RECEIVER}{} --data-binary {sent}", headers.collect::<String>());
        Self { url: request.url, headers: request.headers, body, curl }
    }
}

/// Which signatures a shown request has.
fn signed(signed: Signed) -> String {
    match signed {
        Signed::AsSent => "As the last attempt sent it, with its signatures.".to_owned(),
        Signed::ByFormer(at) => {
            format!(
                "As the last attempt sent it. Its signatures are of the former secret: a new one replaced it at {at}."
            )
        }
        Signed::Changed(at) => {
            format!(
                "The signatures cannot be shown: the secret was changed at {at}, after the last attempt, and the former one is gone."
            )
        }
        Signed::Gone => "The signatures cannot be shown: the secret is gone.".to_owned(),
        Signed::NotSent => "As the first attempt will send it. It is signed when it is sent.".to_owned(),
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
    let details = shared.app.delivery_in_full(&visit.access, &id).await?;
    let (listed, attempts) = (&details.listed, &details.attempts);
    let (delivery, state) = (&listed.delivery, listed.endpoint_state);
    render::page(&Page {
        attempts: Step::line(&frame, attempts, delivery.due_at),
        last: attempts.last().map(|last| Answer::new(&frame, last)),
        can_check: details.request.is_ok() && details.signed != Signed::NotSent && details.signed != Signed::Gone,
        sent: details.request.ok().map(|request| Sent::new(delivery.id, request)),
        signed: signed(details.signed),
        replays: details.replays.iter().map(|replay| DeliveryRow::new(&frame, replay)).collect(),
        replay_of: delivery.replay_of.map(|id| id.to_string()),
        can_replay: delivery.state.is_final() && state == EndpointState::Active,
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
        "check" => signature::check(&shared, &visit, &id, &fields).await,
        "cancel" => {
            shared.app.cancel(&visit.access, &id).await?;
            Ok(go(&format!("/ui/deliveries/{id}?said=cancelled")))
        }
        _ => Err(poem::error::NotFoundError.into()),
    }
}
