//! AsiliChain's errors.

use poem::Response;

use crate::{
    api::openapi::{
        Failure, Shape,
        error::{answer, shape as common_shape},
    },
    error::{Error, Missing},
    http::error::Problem,
};

/// The errors of its routes: `{"error": {"code", "message", "request_id"}}`.
#[derive(Debug)]
pub(crate) struct Errors;

impl Shape for Errors {
    type Body = Failure;
    const MEANINGS: &'static [(u16, &'static str)] = &[
        (
            400,
            "`INVALID_REQUEST`: the request is not of the documented form; the message names the fault and its place.",
        ),
        (401, "`UNAUTHORIZED`: no token, or one that is unknown or revoked."),
        (403, "`FORBIDDEN`: the token lacks the scope, or belongs to another platform's routes or another account."),
        (
            404,
            "`WEBHOOK_NOT_FOUND`, `DELIVERY_NOT_FOUND`, `EVENT_NOT_FOUND`, `COOPERATIVE_NOT_FOUND`, `NOT_FOUND`: the account has no such object.",
        ),
        (409, "`WEBHOOK_SUSPENDED`: resume the webhook first. `LIMIT_REACHED`: delete a webhook first."),
        (413, "`PAYLOAD_TOO_LARGE`: the body is larger than max_body_bytes, or a batch than max_batch_bytes."),
        (414, "`INVALID_REQUEST`: the URL is longer than limits.request_url_bytes."),
        (415, "`UNSUPPORTED_MEDIA_TYPE`: the body is not sent as application/json in UTF-8, or is compressed."),
        (
            422,
            "`URL_NOT_ALLOWED`, `UNKNOWN_EVENT`, `INVALID_PAYLOAD`, `IDEMPOTENCY_KEY_REUSED`: the request is well-formed, but it cannot be accepted.",
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

/// An error in this vendor's shape, which calls an account a cooperative.
pub(crate) fn shape(problem: &Problem, request_id: &str) -> Response {
    match &problem.error {
        Some(Error::NotFound(Missing::Account(id))) => {
            // The event's place in a batch may stand before these words.
            let message = problem.message.replace(&format!("account {id}"), &format!("cooperative {id}"));
            answer(problem.status, "COOPERATIVE_NOT_FOUND", message, request_id)
        }
        _ => common_shape(problem, request_id),
    }
}
