//! AsiliChain's dialect: `/webhooks`, 15 events, `X-AsiliChain-Signature`.
//! Source of every rule: the vendor's page "Webhooks Overview".

mod catalogue;
mod envelope;
mod events;
mod examples;
mod idempotency;
mod webhooks;
mod wire;

use poem::{IntoResponse, Response};

use self::wire::{Failure, FailureDetail};
pub(super) use self::{
    events::Routes as EventRoutes, examples::SUPPLEMENT, webhooks::Routes as WebhookRoutes, wire::Payloads,
};
use super::{problem::Problem, refused::Shape};
use crate::{
    config,
    domain::profile::{Profile, RetryPolicy, WhenExhausted},
    error::{Conflict, Error, Invalid, Missing},
};

/// The name of this profile.
pub const NAME: &str = "asilichain";
/// The prefix of its webhook ids.
const WEBHOOK: &str = "wh_";

/// The header of its signature, in the vendor's own letter case.
const SIGNATURE: &str = "X-AsiliChain-Signature";

/// What differs for the engine.
pub fn profile(settings: &config::AsiliChain, delivery: &config::Delivery) -> Profile {
    Profile {
        name: NAME,
        endpoint_prefix: WEBHOOK,
        signature_header: SIGNATURE,
        timeout: delivery.timeout,
        retry: RetryPolicy {
            max_attempts: u32::try_from(settings.waits.len()).unwrap_or(u32::MAX).saturating_add(1),
            waits: settings.waits.iter().map(|wait| wait.0).collect(),
        },
        when_exhausted: WhenExhausted::Suspend(resume_by),
        envelope: envelope::finish,
    }
}

/// The command line that resumes a webhook. The page: "Reactivate via PATCH /webhooks/{webhook_id}".
fn resume_by(webhook: &str) -> String {
    format!(
        "curl -X PATCH \"$NGOMA/webhooks/{webhook}\" -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' -d '{{\"status\":\"ACTIVE\"}}'"
    )
}

/// The shape of its errors: `{"error": {"code", "message", "request_id"}}`.
#[derive(Debug)]
pub(super) struct Errors;

impl Shape for Errors {
    type Body = Failure;
    const MEANINGS: &'static [(u16, &'static str)] = &[
        (400, "`INVALID_REQUEST`: the request is not of the documented form; the message names the field."),
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
        (503, "`UNAVAILABLE`: the server cannot take this now; nothing was stored, try again."),
    ];
}

/// An error as this vendor's clients read it.
pub(super) fn shape(problem: &Problem, request_id: &str) -> Response {
    let error = FailureDetail {
        code: code(problem).to_owned(),
        message: match &problem.error {
            // Its place in a batch may stand before it.
            Some(Error::NotFound(Missing::Account)) => {
                problem.message.replace("account not found", "cooperative not found")
            }
            _ => problem.message.clone(),
        },
        request_id: request_id.to_owned(),
    };
    let mut response = super::body::Body(Failure { error }).into_response();
    response.set_status(problem.status);
    response
}

fn code(problem: &Problem) -> &'static str {
    match &problem.error {
        Some(Error::NotFound(Missing::Webhook)) => "WEBHOOK_NOT_FOUND",
        Some(Error::NotFound(Missing::Delivery)) => "DELIVERY_NOT_FOUND",
        Some(Error::NotFound(Missing::Event)) => "EVENT_NOT_FOUND",
        Some(Error::NotFound(Missing::Account)) => "COOPERATIVE_NOT_FOUND",
        Some(Error::Conflict { reason: Conflict::Suspended, .. }) => "WEBHOOK_SUSPENDED",
        Some(Error::Conflict { reason: Conflict::LimitReached, .. }) => "LIMIT_REACHED",
        Some(Error::Invalid { reason, .. }) => match reason {
            Invalid::Request => "INVALID_REQUEST",
            Invalid::Payload => "INVALID_PAYLOAD",
            Invalid::UnknownEvent => "UNKNOWN_EVENT",
            Invalid::Target => "URL_NOT_ALLOWED",
            Invalid::KeyReused => "IDEMPOTENCY_KEY_REUSED",
        },
        _ => match problem.status.as_u16() {
            401 => "UNAUTHORIZED",
            403 => "FORBIDDEN",
            404 => "NOT_FOUND",
            405 => "METHOD_NOT_ALLOWED",
            413 => "PAYLOAD_TOO_LARGE",
            415 => "UNSUPPORTED_MEDIA_TYPE",
            429 => "RATE_LIMITED",
            503 => "UNAVAILABLE",
            400..=499 => "INVALID_REQUEST",
            _ => "INTERNAL",
        },
    }
}
