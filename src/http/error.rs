//! From an error to a status, a code and a sentence. Each door then gives them the shape of its own errors.

use poem::{
    error::{MethodNotAllowedError, NotFoundError, ResponseError},
    http::StatusCode,
};

use crate::error::{Conflict, Error, Invalid, Missing};

/// An error as the client sees it, before it gets the shape of a door's errors.
#[derive(Debug)]
pub(crate) struct Problem {
    /// The HTTP status.
    pub(crate) status: StatusCode,
    /// The error behind it; `None` if the HTTP library refused the request.
    pub(crate) error: Option<Error>,
    /// What to do about it. The message for a fault of the server shows no details.
    pub(crate) message: String,
}

impl ResponseError for Error {
    fn status(&self) -> StatusCode {
        match self.kind() {
            Self::Invalid { reason: Invalid::Request, .. } => StatusCode::BAD_REQUEST,
            Self::Invalid { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Conflict { reason: Conflict::Changed, .. } => StatusCode::PRECONDITION_FAILED,
            Self::Conflict { .. } => StatusCode::CONFLICT,
            Self::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) | Self::Unreadable(_) | Self::Within { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl Problem {
    /// The status and the sentence for an error.
    pub(crate) fn of(error: &poem::Error) -> Self {
        let status = error.status();
        if let Some(ours) = error.downcast_ref::<Error>() {
            let message = match ours.kind() {
                Error::Internal(_) | Error::Unreadable(_) => {
                    "internal error: the server's log says more, under this request's id".to_owned()
                }
                _ => ours.to_string(),
            };
            return Self { status, error: Some(ours.kind().clone()), message };
        }
        let message = if error.is::<NotFoundError>() {
            "there is nothing at this path: /docs shows every route".to_owned()
        } else if error.is::<MethodNotAllowedError>() {
            "this path does not take this method: /docs shows those it takes".to_owned()
        } else {
            error.to_string()
        };
        Self::without_error(status, message)
    }

    /// A problem that the HTTP library found.
    pub(crate) const fn without_error(status: StatusCode, message: String) -> Self {
        Self { status, error: None, message }
    }
}

/// Every code that an answer may have; COOPERATIVE_NOT_FOUND is what a vendor calls ACCOUNT_NOT_FOUND.
pub(crate) const CODES: [&str; 29] = [
    "INVALID_REQUEST",
    "UNAUTHORIZED",
    "FORBIDDEN",
    "NOT_FOUND",
    "WEBHOOK_NOT_FOUND",
    "DELIVERY_NOT_FOUND",
    "EVENT_NOT_FOUND",
    "COOPERATIVE_NOT_FOUND",
    "ACCOUNT_NOT_FOUND",
    "TOKEN_NOT_FOUND",
    "RECOVERY_NOT_FOUND",
    "METHOD_NOT_ALLOWED",
    "WEBHOOK_SUSPENDED",
    "LIMIT_REACHED",
    "ALREADY_EXISTS",
    "DELIVERY_IN_FLIGHT",
    "DELIVERY_PENDING",
    "WEBHOOK_CHANGED",
    "ALREADY_ENDED",
    "SECRET_OVERLAP",
    "PAYLOAD_TOO_LARGE",
    "UNSUPPORTED_MEDIA_TYPE",
    "UNKNOWN_EVENT",
    "URL_NOT_ALLOWED",
    "INVALID_PAYLOAD",
    "IDEMPOTENCY_KEY_REUSED",
    "RATE_LIMITED",
    "INTERNAL",
    "UNAVAILABLE",
];

/// The code of a problem, for programs and for the log: one of [`CODES`].
pub(crate) fn code(problem: &Problem) -> &'static str {
    match &problem.error {
        Some(Error::NotFound(missing)) => match missing {
            Missing::Webhook => "WEBHOOK_NOT_FOUND",
            Missing::Delivery => "DELIVERY_NOT_FOUND",
            Missing::Event => "EVENT_NOT_FOUND",
            Missing::Account(_) => "ACCOUNT_NOT_FOUND",
            Missing::Token => "TOKEN_NOT_FOUND",
            Missing::Recovery => "RECOVERY_NOT_FOUND",
            Missing::Backup => "NOT_FOUND",
            Missing::Task => "NOT_FOUND",
        },
        Some(Error::Conflict { reason, .. }) => match reason {
            Conflict::Suspended => "WEBHOOK_SUSPENDED",
            Conflict::LimitReached => "LIMIT_REACHED",
            Conflict::Exists => "ALREADY_EXISTS",
            Conflict::UnderWay => "DELIVERY_IN_FLIGHT",
            Conflict::Changed => "WEBHOOK_CHANGED",
            Conflict::Waits => "DELIVERY_PENDING",
            Conflict::Ended => "ALREADY_ENDED",
            Conflict::Overlap => "SECRET_OVERLAP",
            Conflict::Different => "INVALID_REQUEST",
        },
        Some(Error::Invalid { reason, .. }) => match reason {
            Invalid::Request | Invalid::CommandLine => "INVALID_REQUEST",
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
