//! What can go wrong, in the words of the problem. Knows no HTTP: the doors map each kind to a status and a vendor's code.

use std::{fmt, time::Duration};

/// The result of everything that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong. Each message is written for the person who has to act on it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// What was asked cannot be accepted as it stands; nothing was stored.
    #[error("{message}")]
    Invalid {
        /// Which rule was broken.
        reason: Invalid,
        /// What to change.
        message: String,
    },
    /// No token, or one that is unknown or revoked.
    #[error("{0}")]
    Unauthorized(String),
    /// A valid token that may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// There is no such thing within the caller's scope.
    #[error("{0} not found")]
    NotFound(Missing),
    /// The thing is there, but in a state that forbids this.
    #[error("{message}")]
    Conflict {
        /// Which state is in the way.
        reason: Conflict,
        /// What to do about it.
        message: String,
    },
    /// The caller asks too often, or has used up its share.
    #[error("{message}")]
    TooMany {
        /// When it may ask again.
        wait: Duration,
        /// What to do.
        message: String,
    },
    /// Not possible right now (disk full, database busy, shutting down); nothing was stored, try again.
    #[error("{0}")]
    Unavailable(String),
    /// A fault of ours. The message is for the log.
    #[error("{0}")]
    Internal(String),
    /// One stored thing cannot be read any more, and the others can. The message is for the log.
    #[error("{0}")]
    Unreadable(String),
    /// What is wrong with one of several things.
    #[error("{place}{error}")]
    Within {
        /// Which of them, ready to stand before the sentence.
        place: String,
        /// What is wrong with it.
        error: Box<Self>,
    },
}

/// The rules a request can break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invalid {
    /// The request is not of the documented form.
    Request,
    /// The payload holds something that cannot be delivered unchanged.
    Payload,
    /// An event name, or a filter, that the catalogue does not know.
    UnknownEvent,
    /// A target that the egress guard refuses.
    Target,
    /// An idempotency key that came with another body before.
    KeyReused,
}

/// What was not found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// A webhook, on the wire; an endpoint, in the code.
    Webhook,
    /// A delivery.
    Delivery,
    /// An event.
    Event,
    /// An ASG task: an event by its idempotency key.
    Task,
    /// The tenant of this id; for one of the vendors a cooperative.
    Account(String),
    /// A token.
    Token,
    /// A retry run.
    Retry,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Account(id) => return write!(f, "account {id}"),
            Self::Webhook => "webhook",
            Self::Delivery => "delivery",
            Self::Event => "event",
            Self::Task => "task",
            Self::Token => "token",
            Self::Retry => "retry run",
        })
    }
}

/// The states that stand in the way of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflict {
    /// The webhook is suspended.
    Suspended,
    /// The same key was used before for something else.
    Different,
    /// It exists already.
    Exists,
    /// There are as many as there may be.
    LimitReached,
    /// An attempt is under way.
    UnderWay,
    /// It has come to its end.
    Ended,
}

impl Error {
    /// A request that is not of the documented form.
    pub fn request(message: impl Into<String>) -> Self {
        Self::invalid(Invalid::Request, message)
    }

    /// A cursor that no list gave, or whose entry is gone.
    pub fn bad_cursor() -> Self {
        Self::request("cursor is not one that this list gave: start again without it")
    }

    /// The same of a cursor: what it names is not there.
    #[must_use]
    pub fn of_cursor(self) -> Self {
        if matches!(self, Self::NotFound(_)) { Self::bad_cursor() } else { self }
    }

    /// A broken rule, with what to change.
    pub fn invalid(reason: Invalid, message: impl Into<String>) -> Self {
        Self::Invalid { reason, message: message.into() }
    }

    /// The same, of one of several things: `place` stands before the sentence.
    #[must_use]
    pub fn within(self, place: impl Into<String>) -> Self {
        Self::Within { place: place.into(), error: Box::new(self) }
    }

    /// What is wrong, wherever it is.
    pub fn kind(&self) -> &Self {
        match self {
            Self::Within { error, .. } => error.kind(),
            error => error,
        }
    }

    /// Whether the server or its machine is at fault, not the request.
    pub fn is_fault(&self) -> bool {
        matches!(self.kind(), Self::Unavailable(_) | Self::Internal(_))
    }

    /// A state in the way, with what to do about it.
    pub fn conflict(reason: Conflict, message: impl Into<String>) -> Self {
        Self::Conflict { reason, message: message.into() }
    }
}
