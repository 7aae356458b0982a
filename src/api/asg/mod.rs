//! ASG Gateway's dialect: `/v1/webhooks`, `task.settled`, `X-ASG-Signature`.
//! Source of every rule: the vendor's page "Webhooks" and its "Retry policy".

mod envelope;
mod examples;
mod handlers;
mod wire;

use poem::{IntoResponse, Response};

use self::wire::Failure;
pub(super) use self::{examples::SUPPLEMENT, handlers::Routes, wire::Payloads};
use super::{dialect::Dialect, problem::Problem, refused::Shape};
use crate::{
    config,
    domain::{
        json,
        profile::{ByHand, Profile, RetryPolicy, WhenExhausted, curl},
    },
};

/// The name of this profile.
pub const NAME: &str = "asg";
/// The one event of its catalogue.
const TASK_SETTLED: &str = "task.settled";
/// The prefix of its webhook ids.
const WEBHOOK: &str = "whk_";

/// The header of its signature, in the vendor's own letter case.
const SIGNATURE: &str = "X-ASG-Signature";

/// What differs for the engine.
pub fn profile(settings: &config::Asg, delivery: &config::Delivery) -> Profile {
    Profile {
        name: NAME,
        endpoint_prefix: WEBHOOK,
        signature_header: SIGNATURE,
        timeout: delivery.timeout,
        retry: RetryPolicy {
            max_attempts: settings.max_attempts,
            waits: settings.waits.iter().map(|wait| wait.0).collect(),
        },
        when_exhausted: WhenExhausted::StayActive,
        // Its tries take seconds: nobody could act on half of them. But nothing else tells of a task that is given up.
        warn_after: Some(settings.max_attempts),
        by_hand,
        envelope: envelope::finish,
    }
}

/// What the doors need that serve every vendor.
pub(super) fn dialect(settings: &config::Asg, delivery: &config::Delivery) -> Dialect {
    Dialect {
        profile: profile(settings, delivery),
        title: "ASG Gateway",
        kinds: vec![TASK_SETTLED],
        sample: Box::new(|kind, _, now| {
            let time = json::quote(&now.to_string());
            Ok(format!(
                r#"{{"event":{},"task_id":"tsk_sample","consensus_label":"cat","confidence":1.0,"bsv_txid":"9f1c5a7be0d34c2f","settled_at":{time},"timestamp":{time}}}"#,
                json::quote(kind)
            ))
        }),
    }
}

/// What a person may do about a webhook: the page has no more.
fn by_hand(base: &str, _: &str) -> ByHand {
    ByHand { look: curl("GET", &format!("{base}/v1/webhooks"), None), test: None, resume: None }
}

/// The shape of its errors: `{"error": "<sentence>"}`.
#[derive(Debug)]
pub(super) struct Errors;

impl Shape for Errors {
    type Body = Failure;
    const MEANINGS: &'static [(u16, &'static str)] = &[
        (400, "The request is not of the documented form; the sentence says what is wrong, and where."),
        (401, "No token, or one that is unknown or revoked."),
        (403, "The token lacks the scope, or belongs to another vendor's routes or another account."),
        (404, "There is no such thing in this account."),
        (409, "The same task_id was published with another body, or the account has as many webhooks as it may have."),
        (413, "The body is larger than max_body_bytes, or a batch than max_batch_bytes."),
        (414, "The URL is longer than limits.request_url_bytes."),
        (415, "The body is not sent as application/json in UTF-8, or is compressed."),
        (
            422,
            "The URL may not be delivered to, the event is unknown, a value cannot be delivered, or callback_url is no active webhook.",
        ),
        (429, "Too many requests of this token; Retry-After says how long to wait."),
        (431, "There are more headers, or larger ones, than limits.request_headers and request_header_bytes allow."),
        (500, "A fault of the server; its log says more."),
        (
            503,
            "The server cannot take this now: try again. Nothing was stored, unless the sentence says that this is not known.",
        ),
    ];
}

/// An error as this vendor's clients read it.
pub(super) fn shape(problem: &Problem) -> Response {
    let body = super::body::Body(Failure { error: problem.message.clone() });
    let mut response = body.into_response();
    response.set_status(problem.status);
    response
}
