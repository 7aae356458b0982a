//! The states that webhooks and deliveries are in, in the vendor's words.

use poem_openapi::Enum;
use serde::{Deserialize, Serialize};

use crate::domain::{delivery::State, endpoint};

/// Whether a webhook is delivered to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[oai(rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum WebhookStatus {
    /// Deliveries go out.
    Active,
    /// Deliveries are held until it is resumed.
    Suspended,
}

/// Why a webhook is suspended: every attempt of a delivery failed (`exhausted`), it answered 410 (`gone`), or somebody paused it
/// (`paused`).
#[derive(Debug, Clone, Copy, Serialize, Enum)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub(super) enum SuspendedReason {
    Exhausted,
    Gone,
    Paused,
}

impl From<endpoint::SuspendedReason> for SuspendedReason {
    fn from(reason: endpoint::SuspendedReason) -> Self {
        match reason {
            endpoint::SuspendedReason::Exhausted => Self::Exhausted,
            endpoint::SuspendedReason::Gone => Self::Gone,
            endpoint::SuspendedReason::Paused => Self::Paused,
        }
    }
}

/// Where a delivery is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Enum)]
#[oai(rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum DeliveryStatus {
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
