//! ASG Gateway's errors.

use poem::{IntoResponse, Response};

use super::wire::Failure;
use crate::{
    api::openapi::{Body, Shape},
    http::error::Problem,
};

/// The shape of its errors: `{"error": "<sentence>"}`.
#[derive(Debug)]
pub(crate) struct Errors;

impl Shape for Errors {
    type Body = Failure;
    const MEANINGS: &'static [(u16, &'static str)] = &[
        (400, "The request is not of the documented form; the sentence names the fault and its place."),
        (401, "No token, or one that is unknown or revoked, or has expired."),
        (403, "The token lacks the scope, or belongs to another platform's routes or another account."),
        (404, "The account has no such object."),
        (
            409,
            "The same task_id was published with another body, the account has its full number of webhooks, the webhook is paused, a former secret still signs, or ten of your recoveries go on.",
        ),
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

/// An error in this vendor's shape.
pub(crate) fn shape(problem: &Problem) -> Response {
    let body = Body(Failure { error: problem.message.clone() });
    let mut response = body.into_response();
    response.set_status(problem.status);
    response
}
