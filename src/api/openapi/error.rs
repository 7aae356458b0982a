//! The shape of errors, unless a vendor has its own: `{"error": {"code", "message", "request_id"}}`.

use poem::{IntoResponse, Response, http::StatusCode};
use poem_openapi::{
    Object,
    error::{AuthorizationError, ContentTypeError, ParseParamError, ParsePathError},
};
use serde::Serialize;

use super::{
    body::Body,
    words::{Word, Words},
};
use crate::http::error::{CODES, Problem, code};

/// The codes of errors.
#[derive(Debug)]
pub(crate) enum ErrorCodes {}

impl Words for ErrorCodes {
    const SCHEMA: &'static str = "ErrorCode";
    const MEANING: &'static str = "The code of an error, for programs. A later version may add codes.";

    fn all() -> Vec<&'static str> {
        CODES.to_vec()
    }
}

/// An error.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "ApiError")]
pub(crate) struct Failure {
    /// The error.
    pub(crate) error: FailureDetail,
}

/// The error.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "ApiErrorDetail")]
pub(crate) struct FailureDetail {
    /// The code, for programs.
    pub(crate) code: Word<ErrorCodes>,
    /// The sentence, for people: what to do about it.
    pub(crate) message: String,
    /// The id of this request in the server's log.
    pub(crate) request_id: String,
}

pub(crate) fn answer(status: StatusCode, code: &str, message: String, request_id: &str) -> Response {
    let error = FailureDetail { code: code.into(), message, request_id: request_id.to_owned() };
    let mut response = Body(Failure { error }).into_response();
    response.set_status(status);
    response
}

/// An error, as clients read it.
pub(crate) fn shape(problem: &Problem, request_id: &str) -> Response {
    answer(problem.status, code(problem), problem.message.clone(), request_id)
}

/// The status and the sentence for an error. Errors of poem-openapi get sentences of ours.
pub(crate) fn explain(error: &poem::Error) -> Problem {
    let status = error.status();
    if error.is::<AuthorizationError>() {
        let message = "no token: send the header 'Authorization: Bearer ngm_...'";
        Problem::without_error(status, message.to_owned())
    } else if error.is::<ContentTypeError>() {
        let message = "the body must be JSON in UTF-8: send the header 'Content-Type: application/json'";
        Problem::without_error(status, message.to_owned())
    } else if error.is::<ParsePathError>() {
        Problem::without_error(StatusCode::NOT_FOUND, "there is nothing of this name".to_owned())
    } else if let Some(wrong) = error.downcast_ref::<ParseParamError>() {
        let message = match wrong.reason.contains("integer") {
            true => format!("{} must be a whole number, such as 20", wrong.name),
            false => format!("{} is not one of the values that it takes: /docs shows them", wrong.name),
        };
        Problem::without_error(status, message)
    } else {
        Problem::of(error)
    }
}
