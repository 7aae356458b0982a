//! ASG Gateway's errors.

use poem::{IntoResponse, Response};

use super::wire::Failure;
use crate::{
    api::openapi::{Body, Shape, refusals::refusals},
    http::error::Problem,
};

/// The shape of its errors: `{"error": "<sentence>"}`.
#[derive(Debug)]
pub(crate) struct Errors;

impl Shape for Errors {
    type Body = Failure;
    const HAS_CODES: bool = false;
}

refusals! {
    /// The task is not there.
    NoTask = 404 "NOT_FOUND" "no task of this id can be seen with this token.";
    /// The task is known with another body.
    TaskDiffers = 409 "INVALID_REQUEST" "the same task_id was published with another body.";
    /// The task is for a webhook that is not there.
    BadTarget = 422 "URL_NOT_ALLOWED" "callback_url is no webhook of the account.";
}

/// An error in this vendor's shape.
pub(crate) fn shape(problem: &Problem) -> Response {
    let body = Body(Failure { error: problem.message.clone() });
    let mut response = body.into_response();
    response.set_status(problem.status);
    response
}
