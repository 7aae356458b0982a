//! The shape of errors everywhere but where a vendor has its own: `{"error": {"code", "message", "request_id"}}`.

use poem::{IntoResponse, Response, http::StatusCode};
use poem_openapi::Object;
use serde::Serialize;

use super::{body::Body, problem::Problem};
use crate::error::{Conflict, Error, Invalid, Missing};

/// An error.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "ApiError")]
pub(crate) struct Failure {
    /// What went wrong.
    pub(crate) error: FailureDetail,
}

/// What went wrong.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "ApiErrorDetail")]
pub(crate) struct FailureDetail {
    /// For programs: one of the documented codes. New ones may come.
    pub(crate) code: String,
    /// For people: what to do about it.
    pub(crate) message: String,
    /// Names this request in the server's log.
    pub(crate) request_id: String,
}

/// An error, under this code.
pub(crate) fn answer(status: StatusCode, code: &str, message: String, request_id: &str) -> Response {
    let error = FailureDetail { code: code.to_owned(), message, request_id: request_id.to_owned() };
    let mut response = Body(Failure { error }).into_response();
    response.set_status(status);
    response
}

/// An error, as clients read it.
pub(crate) fn shape(problem: &Problem, request_id: &str) -> Response {
    answer(problem.status, code(problem), problem.message.clone(), request_id)
}

/// For programs, and for the log: one of the documented codes.
pub(super) fn code(problem: &Problem) -> &'static str {
    match &problem.error {
        Some(Error::NotFound(missing)) => match missing {
            Missing::Webhook => "WEBHOOK_NOT_FOUND",
            Missing::Delivery => "DELIVERY_NOT_FOUND",
            Missing::Event => "EVENT_NOT_FOUND",
            Missing::Account(_) => "ACCOUNT_NOT_FOUND",
            Missing::Token => "TOKEN_NOT_FOUND",
            Missing::Retry => "RETRY_NOT_FOUND",
            Missing::Task => "NOT_FOUND",
        },
        Some(Error::Conflict { reason, .. }) => match reason {
            Conflict::Suspended => "WEBHOOK_SUSPENDED",
            Conflict::LimitReached => "LIMIT_REACHED",
            Conflict::Exists => "ALREADY_EXISTS",
            Conflict::UnderWay => "DELIVERY_IN_FLIGHT",
            Conflict::Ended => "ALREADY_ENDED",
            Conflict::Different => "INVALID_REQUEST",
        },
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
