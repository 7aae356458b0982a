//! Errors, in the terms of the problem. This file knows no HTTP: each API maps an error to a status and a vendor's
//! code.

use std::{fmt, time::Duration};

/// The result of everything that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong. Each message is written for the person who has to act on it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The request cannot be accepted as it is; nothing was stored.
    #[error("{message}")]
    Invalid {
        /// Which rule was broken.
        reason: Invalid,
        /// What to change.
        message: String,
    },
    /// No token, or an unknown or revoked one.
    #[error("{0}")]
    Unauthorized(String),
    /// A valid token that may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// The object does not exist within the visible part.
    #[error("{0} not found")]
    NotFound(Missing),
    /// The object exists, but its state forbids this.
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
    /// A fault of this server. The message is for the log.
    #[error("{0}")]
    Internal(String),
    /// One stored object cannot be read any more, but others can. The message is for the log.
    #[error("{0}")]
    Unreadable(String),
    /// An error about one of several objects.
    #[error("{place}{error}")]
    Within {
        /// The place of the object, to put before the sentence.
        place: String,
        /// The error.
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
    /// A word on the command line.
    CommandLine,
}

/// The kind of object that was not found.
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
    /// The account with this id.
    Account(String),
    /// A token.
    Token,
    /// A recovery.
    Recovery,
    /// A backup.
    Backup,
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
            Self::Recovery => "recovery",
            Self::Backup => "backup",
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
    /// There are already as many as allowed.
    LimitReached,
    /// An attempt is under way.
    UnderWay,
    /// It waits, and goes out by itself.
    Waits,
    /// It was changed since the caller looked at it.
    Changed,
    /// It has ended.
    Ended,
    /// A former secret still signs.
    Overlap,
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

    /// The error of a cursor whose entry is missing.
    #[must_use]
    pub fn of_cursor(self) -> Self {
        if matches!(self, Self::NotFound(_)) { Self::bad_cursor() } else { self }
    }

    /// A broken rule, with what to change.
    pub fn invalid(reason: Invalid, message: impl Into<String>) -> Self {
        Self::Invalid { reason, message: message.into() }
    }

    /// The error of one of several objects: `place` stands before the sentence.
    #[must_use]
    pub fn within(self, place: impl Into<String>) -> Self {
        Self::Within { place: place.into(), error: Box::new(self) }
    }

    /// The error itself, without its place.
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
