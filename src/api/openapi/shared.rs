//! What is shown of a delivery alike wherever it is shown: its status, and its attempts.

use poem_openapi::{Enum, Object};
use serde::Serialize;

use super::reasons::ErrorClass;
use crate::domain::delivery::{self, State};

/// Where a delivery is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Enum)]
#[oai(rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum DeliveryStatus {
    /// Waits for its next attempt.
    Pending,
    /// An attempt is under way.
    InFlight,
    /// The receiver answered 2xx.
    Delivered,
    /// Given up after its last attempt; a replay sends it again.
    Failed,
    /// Its webhook is suspended; it goes out when that is resumed.
    Held,
    /// Its webhook was deleted before it went out.
    Cancelled,
}

impl From<State> for DeliveryStatus {
    fn from(state: State) -> Self {
        match state {
            State::Pending => Self::Pending,
            State::Claimed => Self::InFlight,
            State::Delivered => Self::Delivered,
            State::Exhausted => Self::Failed,
            State::Held => Self::Held,
            State::Cancelled => Self::Cancelled,
        }
    }
}

impl From<DeliveryStatus> for State {
    fn from(status: DeliveryStatus) -> Self {
        match status {
            DeliveryStatus::Pending => Self::Pending,
            DeliveryStatus::InFlight => Self::Claimed,
            DeliveryStatus::Delivered => Self::Delivered,
            DeliveryStatus::Failed => Self::Exhausted,
            DeliveryStatus::Held => Self::Held,
            DeliveryStatus::Cancelled => Self::Cancelled,
        }
    }
}

/// One POST to the receiver.
#[derive(Debug, Serialize, Object)]
pub(crate) struct Attempt {
    /// 1 for the first.
    pub(crate) attempt: u32,
    /// When it began, RFC 3339, UTC.
    pub(crate) started_at: String,
    /// How long it took, in milliseconds; null if the server stopped meanwhile.
    pub(crate) duration_ms: Option<u64>,
    /// The HTTP status of the answer; null if there was none.
    pub(crate) response_status: Option<u16>,
    /// The first 4 KiB of the answer's body, as text; null if there was none.
    pub(crate) response_body: Option<String>,
    /// Whether the answer's body went on after that.
    pub(crate) response_truncated: bool,
    /// Why it failed; null if it did not.
    pub(crate) error: Option<ErrorClass>,
    /// When the next attempt was due, as decided after this one; null if none was.
    pub(crate) next_attempt_at: Option<String>,
}

impl From<&delivery::Attempt> for Attempt {
    fn from(attempt: &delivery::Attempt) -> Self {
        Self {
            attempt: attempt.number,
            started_at: attempt.started_at.precise(),
            duration_ms: attempt.duration.map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
            response_status: attempt.status,
            response_body: attempt.status.map(|_| String::from_utf8_lossy(&attempt.response).into_owned()),
            response_truncated: attempt.truncated,
            error: attempt.failure.map(Into::into),
            next_attempt_at: attempt.next_attempt_at.map(|at| at.precise()),
        }
    }
}
