//! The errors of the operator's routes.

use crate::api::openapi::{Failure, Shape};

/// The errors of these routes.
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
        (403, "`FORBIDDEN`: the token lacks the scope `operator`."),
        (
            404,
            "`ACCOUNT_NOT_FOUND`, `TOKEN_NOT_FOUND`, `WEBHOOK_NOT_FOUND`, `DELIVERY_NOT_FOUND`, `RETRY_NOT_FOUND`, `NOT_FOUND`: the object does not exist.",
        ),
        (
            409,
            "`ALREADY_EXISTS`: an account with this id exists. `WEBHOOK_SUSPENDED`: resume the webhook first. `DELIVERY_IN_FLIGHT`: an attempt is under way. `ALREADY_ENDED`: the delivery has ended, or its webhook is deleted.",
        ),
        (413, "`PAYLOAD_TOO_LARGE`: the body is larger than max_body_bytes."),
        (414, "`INVALID_REQUEST`: the URL is longer than limits.request_url_bytes."),
        (415, "`UNSUPPORTED_MEDIA_TYPE`: the body is not sent as application/json in UTF-8, or is compressed."),
        (422, "Not used by these routes."),
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
