//! From an error to a status and a sentence. Each vendor then puts it in its own shape.

use poem::{
    error::{MethodNotAllowedError, NotFoundError, ResponseError},
    http::StatusCode,
};
use poem_openapi::error::{AuthorizationError, ContentTypeError, ParseParamError, ParsePathError};

use crate::error::{Error, Invalid};

/// What an answer that refuses says, before it is given a vendor's shape.
#[derive(Debug)]
pub(crate) struct Problem {
    /// The HTTP status.
    pub(crate) status: StatusCode,
    /// The error behind it, unless the request never came so far.
    pub(crate) error: Option<Error>,
    /// What to do about it. For a fault of ours it says nothing of the inside.
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
            Self::Conflict { .. } => StatusCode::CONFLICT,
            Self::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) | Self::Unreadable(_) | Self::Within { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl Problem {
    /// What an error of the server, ours or poem's, means to the caller.
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
        } else if error.is::<AuthorizationError>() {
            "no token: send the header 'Authorization: Bearer ngm_...'".to_owned()
        } else if error.is::<ContentTypeError>() {
            "the body must be JSON in UTF-8: send the header 'Content-Type: application/json'".to_owned()
        } else if error.is::<ParsePathError>() {
            return Self {
                status: StatusCode::NOT_FOUND,
                error: None,
                message: "there is nothing of this name".to_owned(),
            };
        } else if let Some(wrong) = error.downcast_ref::<ParseParamError>() {
            format!("{} is not one of the values that it takes: /docs shows them", wrong.name)
        } else {
            error.to_string()
        };
        Self { status, error: None, message }
    }
}
