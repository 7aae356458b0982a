//! One attempt: finish the body, sign it, send it, say what happened, in figures and in a line of the log.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{
    flights::Ended,
    sender::{Post, Sender},
};
use crate::{
    clock::Stopwatch,
    domain::{
        delivery::{self, Failure, Outcome},
        profile::{Profile, Profiles},
        timestamp::Timestamp,
    },
    figures::Figures,
    store::queue::{Attempted, Claim},
};

/// The outcome of an attempt that did not fail.
pub(super) const DELIVERED: &str = "delivered";

/// Makes the attempt that a claim allows, on the thread that asks.
pub(super) fn attempt(claim: &Claim, profile: &Profile, sender: &Sender, started_at: Timestamp) -> Attempted {
    let watch = Stopwatch::start();
    let sent = catch_unwind(AssertUnwindSafe(|| post(claim, profile, sender, started_at)));
    let outcome = sent.unwrap_or_else(|_| {
        tracing::error!(delivery.id = %claim.delivery, "sending panicked; the attempt is made again");
        Outcome::Failed(Failure::Interrupted)
    });
    Attempted { started_at, duration: watch.elapsed(), outcome }
}

fn post(claim: &Claim, profile: &Profile, sender: &Sender, started_at: Timestamp) -> Outcome {
    let target = &claim.target;
    let body = (profile.envelope)(&target.id.on_wire(profile.endpoint_prefix), &claim.body);
    let event = claim.event.to_string();
    let standard = target.secrets.iter().map(|secret| secret.sign_standard(&event, started_at, &body));
    let mut headers = vec![
        ("content-type", "application/json".to_owned()),
        ("webhook-signature", standard.collect::<Vec<_>>().join(" ")),
        ("webhook-timestamp", started_at.unix_seconds().to_string()),
        ("webhook-id", event),
        ("ngoma-delivery", claim.delivery.to_string()),
        ("ngoma-attempt", claim.attempt.to_string()),
    ];
    headers.extend(target.secrets.first().map(|secret| (profile.signature_header, secret.sign_body(&body))));
    if claim.test {
        headers.push(("ngoma-test", "true".to_owned()));
    }
    let post = Post { url: target.url.as_str(), headers: &headers, body: &body, timeout: profile.timeout };
    let (mut outcome, retry_after) = sender.send(&post);
    if let Outcome::Answered(answer) = &mut outcome
        && matches!(answer.status, 429 | 503)
    {
        answer.retry_after = retry_after.and_then(|text| delivery::retry_after(&text, started_at));
    }
    outcome
}

/// Counts an attempt; the first of a delivery tells how long that has waited.
pub(super) fn count(figures: &Figures, profile: &Profile, claim: &Claim, attempted: &Attempted) {
    let outcome = attempted.outcome.failure().map_or(DELIVERED, Failure::name);
    let waited = (claim.attempt == 1).then(|| attempted.started_at.since(claim.delivery.minted_at()));
    figures.attempted(profile.name, outcome, attempted.duration, waited);
}

/// Counts an attempt whose outcome is written, and tells it in one line; a failure is worth more attention than a success.
pub(super) fn tell(ended: &Ended, profiles: &Profiles, figures: &Figures) {
    let Ended { claim, attempted: Some(attempted), .. } = ended else { return };
    if let Some(profile) = profiles.get(&claim.target.profile) {
        count(figures, profile, claim, attempted);
    }
    let Attempted { outcome, duration, .. } = attempted;
    let status = outcome.answer().map(|answer| answer.status);
    let (delivery, kind, attempt) = (claim.delivery, &claim.kind, claim.attempt);
    let endpoint = claim.target.id;
    // A log in JSON shows a longer number as a text.
    let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    match outcome.failure() {
        None => {
            tracing::debug!(delivery.id = %delivery, endpoint.id = %endpoint, event.kind = %kind, attempt, duration_ms, status, outcome = DELIVERED)
        }
        Some(class) => {
            tracing::info!(delivery.id = %delivery, endpoint.id = %endpoint, event.kind = %kind, attempt, duration_ms, status, outcome = %class)
        }
    }
}
