//! Why an attempt failed and why a webhook is suspended, as every answer says it.

use poem_openapi::Enum;
use serde::{Deserialize, Serialize};

use crate::domain::{delivery::Failure, endpoint};

/// Why an attempt failed: no address for the name (`dns`), an address that may not be delivered to (`blocked`), no connection
/// (`connect`), no TLS with it (`tls`), no whole answer in time (`timeout`), a connection that broke (`reset`), an answer that
/// is not HTTP (`protocol`) or not 2xx (`status`), a stop of this server (`interrupted`, which costs no try), or a body that
/// was damaged on this server's disk and was not sent (`damaged`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub(crate) enum ErrorClass {
    Dns,
    Blocked,
    Connect,
    Tls,
    Timeout,
    Reset,
    Protocol,
    Status,
    Interrupted,
    Damaged,
}

impl From<ErrorClass> for Failure {
    fn from(class: ErrorClass) -> Self {
        match class {
            ErrorClass::Dns => Self::Dns,
            ErrorClass::Blocked => Self::Blocked,
            ErrorClass::Connect => Self::Connect,
            ErrorClass::Tls => Self::Tls,
            ErrorClass::Timeout => Self::Timeout,
            ErrorClass::Reset => Self::Reset,
            ErrorClass::Protocol => Self::Protocol,
            ErrorClass::Status => Self::Status,
            ErrorClass::Interrupted => Self::Interrupted,
            ErrorClass::Damaged => Self::Damaged,
        }
    }
}

impl From<Failure> for ErrorClass {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Dns => Self::Dns,
            Failure::Blocked => Self::Blocked,
            Failure::Connect => Self::Connect,
            Failure::Tls => Self::Tls,
            Failure::Timeout => Self::Timeout,
            Failure::Reset => Self::Reset,
            Failure::Protocol => Self::Protocol,
            Failure::Status => Self::Status,
            Failure::Interrupted => Self::Interrupted,
            Failure::Damaged => Self::Damaged,
        }
    }
}

/// Why a webhook is suspended: every attempt of a delivery failed (`exhausted`), it answered 410 (`gone`), or somebody paused it
/// (`paused`).
#[derive(Debug, Clone, Copy, Serialize, Enum)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub(crate) enum SuspendedReason {
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
