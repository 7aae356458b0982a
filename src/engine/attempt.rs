//! One attempt: finish the body, sign it, send it, say what happened.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use time::{OffsetDateTime, format_description::well_known::Rfc2822};

use super::sender::{Post, Sender};
use crate::{
    clock::Stopwatch,
    domain::{
        delivery::{Failure, Outcome},
        profile::Profile,
        timestamp::Timestamp,
    },
    store::queue::Claim,
};

/// An attempt that has ended, on its way to be settled.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) claim: Claim,
    pub(super) outcome: Outcome,
    pub(super) duration: Duration,
}

/// Makes the attempt that a claim allows, on the thread that asks.
pub(super) fn attempt(claim: Claim, profile: &Profile, sender: &Sender) -> Ended {
    let watch = Stopwatch::start();
    let sent = catch_unwind(AssertUnwindSafe(|| post(&claim, profile, sender)));
    let outcome = sent.unwrap_or_else(|_| {
        tracing::error!(delivery.id = %claim.delivery, "sending panicked; the attempt is made again");
        Outcome::Failed(Failure::Interrupted)
    });
    Ended { claim, outcome, duration: watch.elapsed() }
}

fn post(claim: &Claim, profile: &Profile, sender: &Sender) -> Outcome {
    let target = &claim.target;
    let body = (profile.envelope)(&target.id.on_wire(profile.endpoint_prefix), &claim.body);
    let event = claim.event.to_string();
    let standard = target.secrets.iter().map(|secret| secret.sign_standard(&event, claim.started_at, &body));
    let mut headers = vec![
        ("content-type", "application/json".to_owned()),
        ("webhook-signature", standard.collect::<Vec<_>>().join(" ")),
        ("webhook-timestamp", claim.started_at.unix_seconds().to_string()),
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
        answer.retry_after = retry_after.and_then(|text| parse_retry_after(&text, claim.started_at));
    }
    outcome
}

/// Reads `Retry-After` (RFC 9110, section 10.2.3): whole seconds, or a date.
fn parse_retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date = OffsetDateTime::parse(text, &Rfc2822).ok()?;
    Some(Timestamp::from_millis(date.unix_timestamp().saturating_mul(1000)).since(now))
}
