//! AsiliChain's dialect: `/webhooks`, 15 events, `X-AsiliChain-Signature`.
//! Source of every rule: the vendor's page "Webhooks Overview".

mod catalogue;
mod envelope;
mod events;
mod examples;
mod idempotency;
mod webhooks;
mod wire;

use poem::Response;

pub(super) use self::{
    events::Routes as EventRoutes, examples::SUPPLEMENT, webhooks::Routes as WebhookRoutes, wire::Payloads,
};
use super::{
    dialect::Dialect,
    failure::{self, Failure},
    problem::Problem,
    refused::Shape,
};
use crate::{
    config,
    domain::{
        excerpt::excerpt,
        profile::{ByHand, Profile, RetryPolicy, WhenExhausted, curl},
    },
    error::{Error, Invalid, Missing},
};

/// The name of this profile.
pub const NAME: &str = "asilichain";
/// The prefix of its webhook ids.
const WEBHOOK: &str = "wh_";

/// The header of its signature, in the vendor's own letter case.
const SIGNATURE: &str = "X-AsiliChain-Signature";

/// What differs for the engine.
pub fn profile(settings: &config::AsiliChain, delivery: &config::Delivery) -> Profile {
    let retry = RetryPolicy {
        max_attempts: u32::try_from(settings.waits.len()).unwrap_or(u32::MAX).saturating_add(1),
        waits: settings.waits.iter().map(|wait| wait.0).collect(),
    };
    Profile {
        name: NAME,
        endpoint_prefix: WEBHOOK,
        signature_header: SIGNATURE,
        timeout: delivery.timeout,
        // What is left then takes two hours: time enough to act before it is suspended.
        warn_after: Some(retry.half()),
        retry,
        when_exhausted: WhenExhausted::Suspend,
        by_hand,
        envelope: envelope::finish,
    }
}

/// What the doors need that serve every vendor.
pub(super) fn dialect(settings: &config::AsiliChain, delivery: &config::Delivery) -> Dialect {
    let api_version = settings.api_version.clone();
    Dialect {
        profile: profile(settings, delivery),
        title: "AsiliChain",
        kinds: catalogue::names().collect(),
        sample: Box::new(move |kind, account, now| {
            let unknown = || {
                let message = format!("event '{}' is unknown: GET /event-types lists the catalogue", excerpt(kind));
                Error::invalid(Invalid::UnknownEvent, message)
            };
            let entry = catalogue::find(kind).ok_or_else(unknown)?;
            Ok(envelope::stored(entry.name, &api_version, &now.to_string(), &entry.sample_for(account)))
        }),
    }
}

/// What a person may do about a webhook. The page: "Reactivate via PATCH /webhooks/{webhook_id}".
fn by_hand(base: &str, webhook: &str) -> ByHand {
    let url = format!("{base}/webhooks/{webhook}");
    ByHand {
        look: curl("GET", &url, None),
        test: Some(curl("POST", &format!("{url}/test"), None)),
        resume: Some(curl("PATCH", &url, Some(r#"{"status":"ACTIVE"}"#))),
    }
}

/// The shape of its errors: `{"error": {"code", "message", "request_id"}}`.
#[derive(Debug)]
pub(super) struct Errors;

impl Shape for Errors {
    type Body = Failure;
    const MEANINGS: &'static [(u16, &'static str)] = &[
        (
            400,
            "`INVALID_REQUEST`: the request is not of the documented form; the message says what is wrong, and where.",
        ),
        (401, "`UNAUTHORIZED`: no token, or one that is unknown or revoked."),
        (403, "`FORBIDDEN`: the token lacks the scope, or belongs to another vendor's routes or another cooperative."),
        (
            404,
            "`WEBHOOK_NOT_FOUND`, `DELIVERY_NOT_FOUND`, `EVENT_NOT_FOUND`, `COOPERATIVE_NOT_FOUND`, `NOT_FOUND`: there is no such thing in this account.",
        ),
        (409, "`WEBHOOK_SUSPENDED`: resume the webhook first. `LIMIT_REACHED`: delete a webhook first."),
        (413, "`PAYLOAD_TOO_LARGE`: the body is larger than max_body_bytes, or a batch than max_batch_bytes."),
        (414, "`INVALID_REQUEST`: the URL is longer than limits.request_url_bytes."),
        (415, "`UNSUPPORTED_MEDIA_TYPE`: the body is not sent as application/json in UTF-8, or is compressed."),
        (
            422,
            "`URL_NOT_ALLOWED`, `UNKNOWN_EVENT`, `INVALID_PAYLOAD`, `IDEMPOTENCY_KEY_REUSED`: well-formed, but it cannot be accepted.",
        ),
        (429, "`RATE_LIMITED`: too many requests of this token; `Retry-After` says how long to wait."),
        (
            431,
            "`INVALID_REQUEST`: there are more headers, or larger ones, than limits.request_headers and request_header_bytes allow.",
        ),
        (500, "`INTERNAL`: a fault of the server; its log says more, under the request_id."),
        (
            503,
            "`UNAVAILABLE`: the server cannot take this now: try again. Nothing was stored, unless the message says that this is not known.",
        ),
    ];
}

/// An error as this vendor's clients read it.
pub(super) fn shape(problem: &Problem, request_id: &str) -> Response {
    match &problem.error {
        Some(Error::NotFound(Missing::Account(id))) => {
            // Its place in a batch may stand before it.
            let message = problem.message.replace(&format!("account {id}"), &format!("cooperative {id}"));
            failure::answer(problem.status, "COOPERATIVE_NOT_FOUND", message, request_id)
        }
        _ => failure::shape(problem, request_id),
    }
}
