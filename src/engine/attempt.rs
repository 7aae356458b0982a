//! One attempt: finish the body, sign it, send it, say what happened, in figures and in a line of the log.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::sender::{Post, Sender};
use crate::{
    clock::Stopwatch,
    domain::{
        attempt_headers::AttemptHeaders,
        delivery::{self, Failure, Outcome},
        endpoint::EndpointKey,
        profile::{Profile, Profiles},
        timestamp::Timestamp,
    },
    metrics::Metrics,
    store::queue::{Attempted, Claim, CutOff},
};

/// The outcome of an attempt that did not fail.
pub(super) const DELIVERED: &str = "delivered";
/// Failures of an endpoint in a second that are told at info; the others are told at debug.
const FAILURES_LOGGED: u32 = 5;
/// Attempts cut off by a crash that are told one by one.
const CUT_OFF_LOGGED: usize = 100;

/// Makes the attempt that a claim allows, on the thread that asks.
pub(super) fn attempt(claim: &Claim, profile: &Profile, sender: &Sender, started_at: Timestamp) -> Attempted {
    let watch = Stopwatch::start();
    if started_at.checked().is_err() {
        // Neither a signature nor TLS has a date for it. The writer stops the server.
        let outcome = Outcome::Failed(Failure::Interrupted);
        return Attempted { started_at, duration: watch.elapsed(), outcome };
    }
    let sent = catch_unwind(AssertUnwindSafe(|| post(claim, profile, sender, started_at)));
    let outcome = sent.unwrap_or_else(|_| {
        tracing::error!(delivery.id = %claim.delivery, "sending panicked; the attempt is made again");
        Outcome::Failed(Failure::Interrupted)
    });
    Attempted { started_at, duration: watch.elapsed(), outcome }
}

fn post(claim: &Claim, profile: &Profile, sender: &Sender, started_at: Timestamp) -> Outcome {
    let target = &claim.target;
    let Ok(stored) = &claim.body else { return Outcome::Failed(Failure::Damaged) };
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
    };
    let headers = headers.list();
    let post = Post { url: target.url.as_str(), headers: &headers, body: body.parts(), timeout: profile.timeout };
    let (mut outcome, retry_after) = sender.send(&post);
    if let Outcome::Answered(answer) = &mut outcome
        && matches!(answer.status, 429 | 503)
    {
        answer.retry_after = retry_after.and_then(|text| delivery::retry_after(&text, started_at));
    }
    outcome
}

/// Counts an attempt; the first of a delivery tells how long that has waited.
pub(super) fn count(metrics: &Metrics, profile: &Profile, claim: &Claim, attempted: &Attempted) {
    let outcome = attempted.outcome.failure().map_or(DELIVERED, Failure::name);
    let waited = (claim.attempt == 1).then(|| attempted.started_at.since(claim.delivery.minted_at()));
    metrics.attempted(profile.name, outcome, attempted.duration, waited);
}

/// Tells an attempt in one line; a failure is worth more attention than a success, if it is `loud`.
pub(super) fn log_attempt(profile: &Profile, claim: &Claim, attempted: &Attempted, loud: bool) {
    let Attempted { outcome, duration, .. } = attempted;
    let status = outcome.answer().map(|answer| answer.status);
    let (delivery, kind, attempt) = (claim.delivery, &claim.kind, claim.attempt);
    let (prefix, endpoint) = (profile.endpoint_prefix, claim.target.id);
    // A log in JSON shows a longer number as a text.
    let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let outcome = outcome.failure().map_or(DELIVERED, Failure::name);
    if loud && outcome != DELIVERED {
        tracing::info!(delivery.id = %delivery, endpoint.id = %format_args!("{prefix}{endpoint}"), event.kind = %kind, attempt, duration_ms, status, outcome = %outcome);
    } else {
        tracing::debug!(delivery.id = %delivery, endpoint.id = %format_args!("{prefix}{endpoint}"), event.kind = %kind, attempt, duration_ms, status, outcome = %outcome);
    }
}

/// Counts attempts that were cut off, and tells the first of them.
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

/// How many failures of each endpoint were told in this second.
#[derive(Debug, Default)]
pub(super) struct FailureLog {
    second: i64,
    of: HashMap<EndpointKey, u32>,
}

impl FailureLog {
    /// Whether one more failure of this endpoint is told aloud: so many a second, so that no log fills a disk.
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
