//! AsiliChain's errors.

use poem::Response;

use crate::{
    api::openapi::{
        Failure, Shape,
        error::{answer, shape as common_shape},
        refusals::refusals,
    },
    error::{Error, Missing},
    http::error::Problem,
};

/// The errors of its routes: `{"error": {"code", "message", "request_id"}}`.
#[derive(Debug)]
pub(crate) struct Errors;

impl Shape for Errors {
    type Body = Failure;
    const HAS_CODES: bool = true;
}

refusals! {
    /// The account is not there.
    NoCooperative = 404 "COOPERATIVE_NOT_FOUND" "the cooperative that the request names does not exist.";
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
