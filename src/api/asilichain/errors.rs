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
        (403, "`FORBIDDEN`: the token lacks the scope, or belongs to another platform's routes or another account."),
        (
            404,
            "`WEBHOOK_NOT_FOUND`, `DELIVERY_NOT_FOUND`, `EVENT_NOT_FOUND`, `RECOVERY_NOT_FOUND`, `COOPERATIVE_NOT_FOUND`, `NOT_FOUND`: the account has no such object.",
        ),
        (
            409,
            "`WEBHOOK_SUSPENDED`: resume the webhook first. `LIMIT_REACHED`: delete a webhook first, or wait for one of your ten recoveries. `SECRET_OVERLAP`: a former secret still signs.",
        ),
        (413, "`PAYLOAD_TOO_LARGE`: the body is larger than max_body_bytes, or a batch than max_batch_bytes."),
        (
            422,
            "`URL_NOT_ALLOWED`, `UNKNOWN_EVENT`, `INVALID_PAYLOAD`, `IDEMPOTENCY_KEY_REUSED`: the request is well-formed, but it cannot be accepted.",
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
