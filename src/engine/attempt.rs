//! One attempt: finish the body, sign it, send it, say what happened.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::sender::{Post, Sender};
use crate::{
    clock::Stopwatch,
    domain::{
        delivery::{self, Failure, Outcome},
        post::Headers,
        profile::Profile,
        timestamp::Timestamp,
    },
    store::queue::{Attempted, Claim},
};

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
    let headers = Headers {
        profile,
        event: claim.event,
        delivery: claim.delivery,
        attempt: claim.attempt,
        at: started_at,
        test: claim.test,
        signature: target.secrets.first().map(|secret| secret.sign_body(&body)),
        standard: standard.collect::<Vec<_>>().join(" "),
    };
    let headers = headers.list();
    let post = Post { url: target.url.as_str(), headers: &headers, body: &body, timeout: profile.timeout };
    let (mut outcome, retry_after) = sender.send(&post);
    if let Outcome::Answered(answer) = &mut outcome
        && matches!(answer.status, 429 | 503)
    {
        answer.retry_after = retry_after.and_then(|text| delivery::retry_after(&text, started_at));
    }
    outcome
}
