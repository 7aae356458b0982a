//! One attempt: complete the body, sign it, send it, and record the outcome in metrics and in a log line.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::sender::{Post, Sender, Sent};
use crate::{
    clock::Stopwatch,
    domain::{
        attempt_headers::AttemptHeaders,
        delivery::{self, Failure, Outcome},
        endpoint::EndpointKey,
        failure_details::FailureDetails,
        own_headers::OwnHeaders,
        profile::{Profile, Profiles},
        timestamp::Timestamp,
    },
    metrics::Metrics,
    store::queue::{Attempted, Claim, CutOff},
};

/// The name of the outcome of a success.
pub(super) const DELIVERED: &str = "delivered";
/// Failures of an endpoint in a second that are logged at info; further ones are logged at debug.
const FAILURES_LOGGED: u32 = 5;
/// Attempts cut off by a crash that are logged one by one.
const CUT_OFF_LOGGED: usize = 100;

/// Makes the attempt of a claim, on the calling thread.
pub(super) fn attempt(claim: &Claim, profile: &Profile, sender: &Sender, started_at: Timestamp) -> Attempted {
    let watch = Stopwatch::start();
    if started_at.checked().is_err() {
        // Signatures and TLS have no date for it. The writer stops the server.
        let outcome = Outcome::Failed(Failure::Interrupted);
        return Attempted { started_at, duration: watch.elapsed(), outcome, details: FailureDetails::default() };
    }
    let sent = catch_unwind(AssertUnwindSafe(|| post(claim, profile, sender, started_at)));
    let (outcome, details) = sent.unwrap_or_else(|_| {
        tracing::error!(delivery.id = %claim.delivery, "sending panicked; the attempt is made again");
        (Outcome::Failed(Failure::Interrupted), FailureDetails::default())
    });
    Attempted { started_at, duration: watch.elapsed(), outcome, details }
}

fn post(claim: &Claim, profile: &Profile, sender: &Sender, started_at: Timestamp) -> (Outcome, FailureDetails) {
    let target = &claim.target;
    let Ok(stored) = &claim.body else {
        return (Outcome::Failed(Failure::Damaged), FailureDetails::default());
    };
    let body = (profile.envelope)(&target.id.on_wire(profile.endpoint_prefix), stored);
    let event = claim.event.to_string();
    let standard = target.secrets.iter().map(|secret| secret.sign_standard_in_parts(&event, started_at, &body.parts()));
    let headers = AttemptHeaders {
        profile,
        event: claim.event,
        delivery: claim.delivery,
        attempt: claim.attempt,
        at: started_at,
        test: claim.test,
        signature: target.secrets.first().map(|secret| secret.sign_body_in_parts(&body.parts())),
        standard: standard.collect::<Vec<_>>().join(" "),
        own: target.headers.list().collect(),
    };
    let headers = headers.list();
    let post = Post { url: target.url.as_str(), headers: &headers, body: body.parts(), timeout: profile.timeout };
    let Sent { mut outcome, mut details, retry_after } = sender.send(&post);
    mask(&target.headers, &mut outcome, &mut details);
    if let Outcome::Answered(answer) = &mut outcome
        && matches!(answer.status, 429 | 503)
    {
        answer.retry_after = retry_after.and_then(|text| delivery::retry_after(&text, started_at));
    }
    (outcome, details)
}

/// Masks the values of the owner's headers in the kept part of an answer: some receivers send the request back.
fn mask(own: &OwnHeaders, outcome: &mut Outcome, details: &mut FailureDetails) {
    if own.is_empty() {
        return;
    }
    if let Outcome::Answered(answer) = outcome {
        own.mask(&mut answer.body);
    }
    for text in [&mut details.headers, &mut details.reason].into_iter().flatten() {
        own.mask_text(text);
    }
}

/// Counts an attempt. The first attempt of a delivery also counts how long the delivery waited.
pub(super) fn count(metrics: &Metrics, profile: &Profile, claim: &Claim, attempted: &Attempted) {
    if claim.test {
        return;
    }
    let outcome = attempted.outcome.failure().map_or(DELIVERED, Failure::name);
    let waited = (claim.attempt == 1).then(|| attempted.started_at.since(claim.delivery.minted_at()));
    metrics.attempted(profile.name, outcome, attempted.duration, waited);
}

/// Logs an attempt in one line: at info if it failed and is `loud`, else at debug.
pub(super) fn log_attempt(profile: &Profile, claim: &Claim, attempted: &Attempted, loud: bool) {
    let Attempted { outcome, duration, details, .. } = attempted;
    let (status, reason) = (outcome.answer().map(|answer| answer.status), details.reason.as_deref());
    let (delivery, kind, attempt) = (claim.delivery, &claim.kind, claim.attempt);
    let (prefix, endpoint) = (profile.endpoint_prefix, claim.target.id);
    // A JSON log would show a larger number as text.
    let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let outcome = outcome.failure().map_or(DELIVERED, Failure::name);
    if loud && outcome != DELIVERED {
        tracing::info!(delivery.id = %delivery, endpoint.id = %format_args!("{prefix}{endpoint}"), event.kind = %kind, attempt, duration_ms, status, outcome = %outcome, reason);
    } else {
        tracing::debug!(delivery.id = %delivery, endpoint.id = %format_args!("{prefix}{endpoint}"), event.kind = %kind, attempt, duration_ms, status, outcome = %outcome, reason);
    }
}

/// Counts attempts that were cut off, and logs the first of them.
pub(super) fn log_cut_off(metrics: &Metrics, profiles: &Profiles, cut_off: &[CutOff]) {
    let outcome = Failure::Interrupted.name();
    for CutOff { profile, .. } in cut_off {
        if let Some(profile) = profiles.get(profile) {
            metrics.cut_off(profile.name, outcome);
        }
    }
    for CutOff { delivery, endpoint, profile, kind, attempt } in cut_off.iter().take(CUT_OFF_LOGGED) {
        let endpoint = endpoint.on_wire(profiles.get(profile).map_or("", |profile| profile.endpoint_prefix));
        tracing::info!(delivery.id = %delivery, endpoint.id = %endpoint, event.kind = %kind, attempt, outcome = %outcome);
    }
}

/// The number of logged failures of each endpoint in the present second.
#[derive(Debug, Default)]
pub(super) struct FailureLog {
    second: i64,
    of: HashMap<EndpointKey, u32>,
}

impl FailureLog {
    /// Whether a further failure of this endpoint is logged at info: a limited number in a second, so that no log fills
    /// a disk.
    pub(super) fn is_loud(&mut self, endpoint: EndpointKey, at: Timestamp) -> bool {
        let second = at.millis().div_euclid(1000);
        if self.second != second {
            self.second = second;
            self.of.clear();
        }
        let logged = self.of.entry(endpoint).or_default();
        *logged += 1;
        *logged <= FAILURES_LOGGED
    }
}
