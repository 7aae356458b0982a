//! Types that the documents of all doors share: the status of a delivery, its attempts, why an attempt failed, and why
//! a webhook is suspended.

use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};

use crate::domain::{
    delivery::{self, Failure, State},
    endpoint,
};

/// Says for which value of the domain each word of an enumeration stands.
macro_rules! stands_for {
    ($wire:ty => $domain:ty { $($word:ident => $value:ident),* $(,)? }) => {
        impl From<$domain> for $wire {
            fn from(value: $domain) -> Self {
                match value { $(<$domain>::$value => Self::$word,)* }
            }
        }

        impl From<$wire> for $domain {
            fn from(word: $wire) -> Self {
                match word { $(<$wire>::$word => Self::$value,)* }
            }
        }
    };
}

pub(crate) use stands_for;

stands_for!(DeliveryStatus => State {
    Pending => Pending, InFlight => Claimed, Delivered => Delivered, Failed => Exhausted, Held => Held, Cancelled => Cancelled,
});
stands_for!(ErrorClass => Failure {
    Dns => Dns, Blocked => Blocked, Connect => Connect, Tls => Tls, Timeout => Timeout, Reset => Reset,
    Protocol => Protocol, Status => Status, Interrupted => Interrupted, Damaged => Damaged,
});
stands_for!(SuspendedReason => endpoint::SuspendedReason { Exhausted => Exhausted, Gone => Gone, Paused => Paused });

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
    /// Why it failed, in words for people; null if it did not, or if the other members say it all.
    pub(crate) error_reason: Option<String>,
    /// The first 4 KiB of the headers of an answer that is no success, one on each line, with secrets masked; null if there
    /// was none.
    pub(crate) response_headers: Option<String>,
    /// When the next attempt was due, as decided after this one; null if none was.
    pub(crate) next_attempt_at: Option<String>,
}

impl Attempt {
    /// The attempt with the reason as the operator may read it: it names a refused address.
    pub(crate) fn for_operator(attempt: &delivery::Attempt) -> Self {
        Self { error_reason: attempt.details.reason.clone(), ..Self::from(attempt) }
    }
}

/// The attempt as its account may read it.
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
            error_reason: attempt.reason_for_account().map(str::to_owned),
            response_headers: attempt.details.headers.clone(),
            next_attempt_at: attempt.next_attempt_at.map(|at| at.precise()),
        }
    }
}

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
