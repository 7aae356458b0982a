//! Alerts: what a person has to be told of an endpoint, by which ways, and when it is tried again.

use std::time::Duration;

use crate::domain::{
    delivery::Failure,
    endpoint::{EndpointState, Resumed, masked},
    ids::{AlertId, DeliveryId, EndpointId},
    timestamp::Timestamp,
};

/// The key of an alert's row.
pub type AlertKey = i64;

/// The waits after the first tries to tell an alert; then [`HOURLY`].
const WAITS: [Duration; 4] =
    [Duration::from_secs(5), Duration::from_secs(15), Duration::from_secs(60), Duration::from_secs(600)];
const HOURLY: Duration = Duration::from_secs(3600);
/// An alert that is refused, not only delayed, is given up when it is so old: by then it is of no use.
const STALE: Duration = Duration::from_secs(7 * 86_400);

/// Held deliveries are cancelled so long after they were told of as expiring.
pub const NOTICE: Duration = Duration::from_secs(7 * 86_400);

/// A way by which alerts are told. Each alert goes by all that are set up, each with its own tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Channel {
    /// A line at warn, always: the first way, from which the others start.
    Log,
    /// The account's alert e-mail.
    Mail,
    /// A signed POST to the operator's own webhook.
    Webhook,
}

impl Channel {
    /// Every way.
    pub const ALL: [Self; 3] = [Self::Log, Self::Mail, Self::Webhook];

    /// As it is stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Mail => "mail",
            Self::Webhook => "webhook",
        }
    }
}

/// What an alert is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An endpoint was suspended.
    Suspended,
    /// A delivery has used half of its tries, or was given up.
    Warning,
    /// Held deliveries will be cancelled.
    Expiring,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Suspended, Self::Warning, Self::Expiring];

    /// As it is stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Suspended => "suspended",
            Self::Warning => "warning",
            Self::Expiring => "expiring",
        }
    }
}

/// The failing delivery that an alert is about.
#[derive(Debug, Clone)]
pub struct Failing {
    /// The delivery; unknown of alerts that an older version wrote.
    pub delivery: Option<DeliveryId>,
    /// When its first attempt began.
    pub since: Timestamp,
    /// The class of its last failure.
    pub failure: Failure,
    /// The status of the last answer, if there was one.
    pub status: Option<u16>,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum What {
    /// The endpoint was suspended, because this delivery was given up.
    Suspended(Failing),
    /// This delivery failed so many times; without a next attempt it was given up.
    Warning {
        /// The delivery.
        failing: Failing,
        /// Tries of its schedule.
        tries: u32,
        /// When it is tried again.
        next_attempt_at: Option<Timestamp>,
    },
    /// So many held deliveries will be cancelled in seven days, the oldest of which was made then.
    Expiring {
        /// How many.
        held: u64,
        /// When the oldest was made.
        oldest: Timestamp,
    },
}

/// An alert, as it stands when it is told.
#[derive(Debug, Clone)]
pub struct Alert {
    /// The key of its row.
    pub key: AlertKey,
    /// The public id, the same by every way and at every try.
    pub id: AlertId,
    /// What happened.
    pub what: What,
    /// When it was decided.
    pub created_at: Timestamp,
    /// The public id of the account.
    pub account: String,
    /// Whom to mail; `None` if the account has no address now.
    pub addressee: Option<String>,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// The name of its profile.
    pub profile: String,
    /// Where it is now, whole: only for its owner.
    pub url: String,
    /// Its state now.
    pub state: EndpointState,
    /// How many deliveries are held for it now.
    pub held: u64,
    /// How many deliveries failed since its last success and were not replayed.
    pub failed: u64,
}

impl Alert {
    /// What resuming the endpoint would set going now.
    pub const fn resuming(&self) -> Resumed {
        Resumed { resent: self.failed, released: self.held }
    }

    /// Where the endpoint is, for those who do not own it.
    pub fn masked_url(&self) -> String {
        masked(&self.url)
    }

    /// What it is about.
    pub const fn kind(&self) -> Kind {
        match self.what {
            What::Suspended(_) => Kind::Suspended,
            What::Warning { .. } => Kind::Warning,
            What::Expiring { .. } => Kind::Expiring,
        }
    }

    /// The failing delivery that it is about.
    pub const fn failing(&self) -> Option<&Failing> {
        match &self.what {
            What::Suspended(failing) | What::Warning { failing, .. } => Some(failing),
            What::Expiring { .. } => None,
        }
    }
}

/// Why an alert could not be told, in words for a log and a list: no password, no secret, no query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undelivered {
    /// Whoever was to take it is not there, or says "not now".
    Later(String),
    /// It was refused, as it may be until somebody changes a setting here or there.
    Refused(String),
    /// There is no such way any more.
    Never(String),
}

impl Undelivered {
    /// When an alert of this age is tried again, after the so-many-th try of this start; `None`: never.
    pub fn again(&self, tries: u32, created_at: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let place = usize::try_from(tries.saturating_sub(1)).unwrap_or(usize::MAX);
        let again = now + WAITS.get(place).copied().unwrap_or(HOURLY);
        match self {
            Self::Later(_) => Some(again),
            Self::Refused(_) => (now.since(created_at) < STALE).then_some(again),
            Self::Never(_) => None,
        }
    }

    /// The reason.
    pub fn words(&self) -> &str {
        match self {
            Self::Later(words) | Self::Refused(words) | Self::Never(words) => words,
        }
    }
}
