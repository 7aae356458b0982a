//! Several deliveries at once: those that a person has ticked are replayed; those that match are exported.

use poem::{
    Response, Result, handler,
    web::{Data, Query},
};

use super::{
    csv::Csv,
    deliveries::Search,
    fields::Fields,
    form_once::Outcome,
    state::{Parts, Shared},
    views::shown_url,
    visit::Allowed,
};
use crate::{
    app::{
        Webhooks,
        delivery_list::{DeliveryEntry, Export, ReplayedTogether},
    },
    domain::delivery::Failure,
    error::Error,
};

/// The head of an export.
const HEAD: [&str; 16] = [
    "delivery_id",
    "event_id",
    "event",
    "key",
    "account",
    "webhook_id",
    "url",
    "state",
    "attempts",
    "last_status",
    "last_error",
    "made_at",
    "next_attempt_at",
    "replay_of",
    "replay_state",
    "test",
];

/// Replays the deliveries that are ticked, and leads back to the list.
#[handler]
pub(super) async fn replay(shared: Data<&Shared>, visit: Allowed<Webhooks>, fields: Fields) -> Result<Response> {
    let chosen: Vec<String> = fields.all("delivery").map(str::to_owned).collect();
    if chosen.is_empty() {
        return Err(Error::request("no delivery is selected: go back, and tick the boxes of some").into());
    }
    let replay = || async {
        let ReplayedTogether { replayed, skipped } = shared.app.replay_together(&visit.access, chosen).await?;
        let filters = Search::of(&fields).query("");
        Ok(Outcome::Page(format!("/ui/deliveries?{filters}&said=replayed-some&replayed={replayed}&skipped={skipped}")))
    };
    Ok(shared.made.once(&visit, &fields, replay).await?)
}

/// The deliveries that match, as CSV.
#[handler]
pub(super) async fn export(shared: Data<&Shared>, visit: Allowed<Webhooks>, search: Query<Search>) -> Result<Response> {
    let Export { entries, complete } = shared.app.export(&visit.access, search.looked(&shared)?).await?;
    let mut csv = Csv::new(&HEAD);
    entries.iter().for_each(|entry| csv.line(&line(&shared, entry)));
    let cut = if complete { String::new() } else { format!("-newest-{}", entries.len()) };
    Ok(Response::builder()
        .content_type("text/csv; charset=utf-8; header=present")
        .header("content-disposition", format!("attachment; filename=\"deliveries{cut}.csv\""))
        .body(csv.text()))
}

fn line(shared: &Parts, DeliveryEntry { listed, own_key }: &DeliveryEntry) -> [String; 16] {
    let delivery = &listed.delivery;
    let text = |text: Option<String>| text.unwrap_or_default();
    [
        delivery.id.to_string(),
        delivery.event.to_string(),
        delivery.kind.clone(),
        text(own_key.as_ref().map(|key| key.value.clone())),
        listed.account_id.clone(),
        shared.written(&listed.profile, delivery.endpoint),
        shown_url(&listed.url),
        delivery.state.name().to_owned(),
        delivery.attempts.to_string(),
        text(delivery.last_status.map(|status| status.to_string())),
        delivery.last_failure.map_or("", Failure::name).to_owned(),
        delivery.created_at.precise(),
        text(delivery.due_at.map(|at| at.precise())),
        text(delivery.replay_of.map(|id| id.to_string())),
        delivery.newest_replay.map_or("", |newest| newest.state.name()).to_owned(),
        delivery.test.to_string(),
    ]
}
