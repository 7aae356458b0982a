//! Alerts about endpoints: their kinds, their channels, and when a failed delivery of an alert is tried again.

use std::time::Duration;

use crate::domain::{
    delivery::Failure,
    endpoint::{EndpointState, Resumed, SuspendedReason, masked},
    ids::{AlertId, DeliveryId, EndpointId},
    timestamp::Timestamp,
};

/// The key of an alert's row.
pub type AlertKey = i64;

/// The waits after the first failed tries; then [`HOURLY`].
const WAITS: [Duration; 4] =
    [Duration::from_secs(5), Duration::from_secs(15), Duration::from_secs(60), Duration::from_secs(600)];
/// The longest wait, also of a channel that asks to wait.
pub const HOURLY: Duration = Duration::from_secs(3600);
/// An alert that is refused, or whose channel is not set up, is given up at this age: by then it is useless.
pub const STALE: Duration = Duration::from_secs(7 * 86_400);

/// Held deliveries are cancelled this long after the alert that announces it.
pub const NOTICE: Duration = Duration::from_secs(7 * 86_400);

/// A channel of alerts. Each alert goes by all channels that are set up, each with its own tries.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Channel {
    /// A log line at warn. Always the first channel; the others follow it.
    Log,
    /// The account's alert e-mail, or the operator's.
    Mail,
    /// A POST to a channel of the operator, by its name.
    Post(String),
}

impl Channel {
    /// The channel of this name.
    pub fn named(name: &str) -> Self {
        match name {
            "log" => Self::Log,
            "mail" => Self::Mail,
            name => Self::Post(name.to_owned()),
        }
    }

    /// As it is stored and shown.
    pub fn name(&self) -> &str {
        match self {
            Self::Log => "log",
            Self::Mail => "mail",
            Self::Post(name) => name,
        }
    }
}

/// The kind of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An endpoint was suspended.
    Suspended,
    /// A delivery has used half of its tries, or was given up.
    Warning,
    /// Held deliveries will be cancelled.
    Expiring,
    /// An endpoint that was suspended or failed has taken a delivery again.
    Recovered,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Suspended, Self::Warning, Self::Expiring, Self::Recovered];

    /// As it is stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Suspended => "suspended",
            Self::Warning => "warning",
            Self::Expiring => "expiring",
            Self::Recovered => "recovered",
        }
    }
}

/// The failing delivery that an alert is about.
#[derive(Debug, Clone)]
pub struct Failing {
    /// The delivery; `None` in alerts of an older version.
    pub delivery: Option<DeliveryId>,
    /// When its first attempt began.
    pub since: Timestamp,
    /// The class of its last failure.
    pub failure: Failure,
    /// The status of the last answer, if there was one.
    pub status: Option<u16>,
    /// Why it failed last, as the operator may read it; `None` once the attempt is removed.
    pub reason: Option<String>,
}

impl Failing {
    /// Why it failed last, as the account may read it.
    pub fn reason_for_account(&self) -> Option<&str> {
        self.failure.reason_for_account(self.reason.as_deref())
    }
}

/// The reason for an alert.
#[derive(Debug, Clone)]
pub enum What {
    /// The endpoint was suspended, because this delivery was given up; and which of the reasons that was, `None` in
    /// alerts of an older version.
    Suspended(Failing, Option<SuspendedReason>),
    /// This delivery failed `tries` times. Without a next attempt it was given up.
    Warning {
        /// The delivery.
        failing: Failing,
        /// Tries of its schedule.
        tries: u32,
        /// When it is tried again.
        next_attempt_at: Option<Timestamp>,
    },
    /// Held deliveries will be cancelled in seven days.
    Expiring {
        /// Their number.
        held: u64,
        /// When the oldest of them was made.
        oldest: Timestamp,
    },
    /// It has taken a delivery again, after the alert of this moment.
    Recovered(Timestamp),
}

/// An alert, with the present state of its endpoint.
#[derive(Debug, Clone)]
pub struct Alert {
    /// The key of its row.
    pub key: AlertKey,
    /// The public id, the same by every channel and at every try.
    pub id: AlertId,
    /// The reason for an alert.
    pub what: What,
    /// When it was written.
    pub created_at: Timestamp,
    /// The public id of the account.
    pub account: String,
    /// The address to mail to; `None` if the account has none now.
    pub addressee: Option<String>,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// The name of its profile.
    pub profile: String,
    /// Its present URL, complete: only for its owner.
    pub url: String,
    /// Its present state.
    pub state: EndpointState,
    /// The number of deliveries held for it now.
    pub held: u64,
    /// The number of deliveries that failed since its last success and were not replayed.
    pub failed: u64,
}

impl Alert {
    /// The deliveries that a resume of the endpoint would send now.
    pub const fn resuming(&self) -> Resumed {
        Resumed { resent: self.failed, released: self.held }
    }

    /// The endpoint's URL, for people who do not own it.
    pub fn masked_url(&self) -> String {
        masked(&self.url)
    }

    /// Its kind.
    pub const fn kind(&self) -> Kind {
        match self.what {
            What::Suspended(..) => Kind::Suspended,
            What::Warning { .. } => Kind::Warning,
            What::Expiring { .. } => Kind::Expiring,
            What::Recovered(_) => Kind::Recovered,
        }
    }

    /// Why the endpoint was suspended, for an alert about a suspension.
    pub const fn suspended_reason(&self) -> Option<SuspendedReason> {
        match self.what {
            What::Suspended(_, reason) => reason,
            What::Warning { .. } | What::Expiring { .. } | What::Recovered(_) => None,
        }
    }

    /// The failing delivery that it is about.
    pub const fn failing(&self) -> Option<&Failing> {
        match &self.what {
            What::Suspended(failing, _) | What::Warning { failing, .. } => Some(failing),
            What::Expiring { .. } | What::Recovered(_) => None,
        }
    }
}

/// Why an alert was not delivered, in words for a log and a list: no password, no secret, no query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undelivered {
    /// The destination cannot be reached, or said "not now".
    Later(String),
    /// It asked for no further try before this time has passed.
    Rest(String, Duration),
    /// It was refused, until somebody changes a setting here or there.
    Refused(String),
    /// The channel no longer exists.
    Never(String),
}

impl Undelivered {
    /// When an alert of this age is tried again, after this many tries since the start; `None`: never.
    pub fn again(&self, tries: u32, created_at: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let place = usize::try_from(tries.saturating_sub(1)).unwrap_or(usize::MAX);
        let again = now + WAITS.get(place).copied().unwrap_or(HOURLY);
        match self {
            Self::Later(_) => Some(again),
            Self::Rest(_, wait) => Some(again.max(now + (*wait).min(HOURLY))),
            Self::Refused(_) => (now.since(created_at) < STALE).then_some(again),
            Self::Never(_) => None,
        }
    }

    /// Until when its channel is left in peace, whatever else waits for it; `None`: this was about one alert only.
    pub fn rests(&self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Later(_) => Some(now + WAITS[0]),
            Self::Rest(_, wait) => Some(now + (*wait).clamp(WAITS[0], HOURLY)),
            Self::Refused(_) | Self::Never(_) => None,
        }
    }

    /// The same, with these words before the reason.
    #[must_use]
    pub fn within(self, place: &str) -> Self {
        match self {
            Self::Later(words) => Self::Later(format!("{place}{words}")),
            Self::Rest(words, wait) => Self::Rest(format!("{place}{words}"), wait),
            Self::Refused(words) => Self::Refused(format!("{place}{words}")),
            Self::Never(words) => Self::Never(format!("{place}{words}")),
        }
    }

    /// The reason.
    pub fn words(&self) -> &str {
        match self {
            Self::Later(words) | Self::Rest(words, _) | Self::Refused(words) | Self::Never(words) => words,
        }
    }
}
