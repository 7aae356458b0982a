//! Types that the documents of all doors share: the status of a delivery, its attempts, why an attempt failed, and why
//! a webhook is suspended.

use poem_openapi::Object;
use serde::Serialize;

use crate::domain::{
    delivery::{self, Failure, State},
    endpoint,
};

/// Defines an enumeration of the wire, whose words have this case, with the value of the domain that each word stands for.
macro_rules! wire_enum {
    ($(#[$doc:meta])* $wire:ident ($case:tt) of $domain:ty { $($(#[$about:meta])* $word:ident => $value:ident,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, poem_openapi::Enum)]
        #[oai(rename_all = $case)]
        #[serde(rename_all = $case)]
        pub(crate) enum $wire {
            $($(#[$about])* $word,)*
        }

        impl From<$domain> for $wire {
            fn from(value: $domain) -> Self {
                match value { $(<$domain>::$value => Self::$word,)* }
            }
        }

        impl From<$wire> for $domain {
            fn from(word: $wire) -> Self {
                match word { $($wire::$word => Self::$value,)* }
            }
        }
    };
}

pub(crate) use wire_enum;

wire_enum! {
    /// The status of a delivery.
    DeliveryStatus ("SCREAMING_SNAKE_CASE") of State {
        /// It waits for its next attempt.
        Pending => Pending,
        /// An attempt is under way.
        InFlight => Claimed,
        /// The receiver answered 2xx.
        Delivered => Delivered,
        /// It was given up after its last attempt. A replay sends it again.
        Failed => Exhausted,
        /// Its webhook is suspended. It goes out when the webhook is resumed.
        Held => Held,
        /// Its webhook was deleted before it went out.
        Cancelled => Cancelled,
    }
}

/// One POST to the receiver.
#[derive(Debug, Serialize, Object)]
pub(crate) struct Attempt {
    /// The number of the attempt: 1 for the first.
    pub(crate) attempt: u32,
    /// When the attempt began: RFC 3339, UTC.
    pub(crate) started_at: String,
    /// How long the attempt took, in milliseconds; null if the server stopped meanwhile.
    pub(crate) duration_ms: Option<u64>,
    /// The HTTP status of the answer; null if there was none.
    pub(crate) response_status: Option<u16>,
    /// The first 4 KiB of the answer's body, as text; null if there was none.
    pub(crate) response_body: Option<String>,
    /// Whether the answer's body was longer.
    pub(crate) response_truncated: bool,
    /// Why the attempt failed; null if it did not.
    pub(crate) error: Option<ErrorClass>,
    /// The reason in words for people; null if there is none, or if the other members say everything.
    pub(crate) error_reason: Option<String>,
    /// The first 4 KiB of the headers of an answer that is no success, one on each line, with secrets masked; null if there
    /// was none.
    pub(crate) response_headers: Option<String>,
    /// When the next attempt was due; null if there was none.
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

wire_enum! {
    /// Why an attempt failed: no address for the name (`dns`), an address that may not be delivered to (`blocked`), no
    /// connection (`connect`), no TLS with it (`tls`), no whole answer in time (`timeout`), a connection that broke
    /// (`reset`), an answer that is not HTTP (`protocol`) or not 2xx (`status`), a stop of this server (`interrupted`,
    /// which costs no try), or a body that was damaged on this server's disk and was not sent (`damaged`).
    ErrorClass ("snake_case") of Failure {
        Dns => Dns, Blocked => Blocked, Connect => Connect, Tls => Tls, Timeout => Timeout, Reset => Reset,
        Protocol => Protocol, Status => Status, Interrupted => Interrupted, Damaged => Damaged,
    }
}

wire_enum! {
    /// Why a webhook is suspended: every attempt of a delivery failed (`exhausted`), the same and nothing else was delivered
    /// meanwhile (`dead`, with the setting `suspend_when = "dead"`), it answered 410 (`gone`), or somebody paused
    /// it (`paused`).
    SuspendedReason ("snake_case") of endpoint::SuspendedReason {
        Exhausted => Exhausted, Dead => Dead, Gone => Gone, Paused => Paused,
    }
}
