//! The states of a delivery (an event on its way to one endpoint), as a pure state machine.
//!
//! | from | what happens | to |
//! |---|---|---|
//! | - | publish, fan out, replay | Pending, due now, or Claimed at once; Held while the endpoint is suspended |
//! | Pending | claim: one attempt and one try more | Claimed |
//! | Claimed | [`settle`] | Delivered, Pending, Exhausted, Held or Cancelled |
//! | Claimed | the server restarts, or the attempt never ends | Pending, due at once in its place in line, the try given back ([`interrupt`]) |
//! | Claimed | the attempt is not begun after all | Pending, due now, attempt and try given back ([`interrupt`]) |
//! | Pending | the endpoint is suspended | Held |
//! | Held | the endpoint is resumed | Pending, due now, tries = 0 |
//! | Pending, Held | the endpoint is deleted | Cancelled |

use std::{
    fmt,
    time::{Duration, UNIX_EPOCH},
};

use crate::domain::{
    endpoint::{EndpointState, SuspendedReason},
    failure_details::FailureDetails,
    ids::{DeliveryId, EndpointId, EventId},
    profile::{RetryPolicy, WhenExhausted},
    timestamp::Timestamp,
};

/// The key of a delivery's row.
pub type DeliveryKey = i64;

/// Bytes of an answer that are kept.
pub const MAX_KEPT_ANSWER: usize = 4096;

/// A longer `Retry-After` is cut to this: one hour.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// The reason that an account reads when its target is refused. It must not learn what a name resolves to.
const BLOCKED: &str = "the rules of the server's operator do not allow its address; the operator finds it in the log";

/// The state of a delivery. The schema refuses anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Waits for its due time. Only pending deliveries are claimed.
    Pending,
    /// An attempt is under way. Only the owner of the claim, or a restart, ends this state.
    Claimed,
    /// The receiver answered 2xx. Final.
    Delivered,
    /// No try is left (a dead letter). Final: a replay is a new delivery.
    Exhausted,
    /// Its endpoint is suspended; it goes out when the endpoint is resumed.
    Held,
    /// Its endpoint was deleted before it went out. Final.
    Cancelled,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Claimed, Self::Delivered, Self::Exhausted, Self::Held, Self::Cancelled];

    /// As it is stored.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Claimed => "claimed",
            Self::Delivered => "delivered",
            Self::Exhausted => "exhausted",
            Self::Held => "held",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether it is the end of a delivery.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Delivered | Self::Exhausted | Self::Cancelled)
    }
}

/// Why an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The host's name has no address, or the look-up took too long.
    Dns,
    /// The egress guard refuses the target's address.
    Blocked,
    /// No connection could be made.
    Connect,
    /// The TLS handshake failed: certificate, name or protocol.
    Tls,
    /// The time allowed for an attempt ran out.
    Timeout,
    /// The connection broke before an answer was there.
    Reset,
    /// The answer is not HTTP.
    Protocol,
    /// An answer that is not 2xx.
    Status,
    /// A fault of this server, which costs no try: it stopped meanwhile, or lacked a descriptor, memory or a thread.
    Interrupted,
    /// A fault of this server that ends the delivery: its stored body is damaged, and was not sent.
    Damaged,
}

impl Failure {
    /// Every class.
    pub const ALL: [Self; 10] = [
        Self::Dns,
        Self::Blocked,
        Self::Connect,
        Self::Tls,
        Self::Timeout,
        Self::Reset,
        Self::Protocol,
        Self::Status,
        Self::Interrupted,
        Self::Damaged,
    ];

    /// As it is stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Blocked => "blocked",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Protocol => "protocol",
            Self::Status => "status",
            Self::Interrupted => "interrupted",
            Self::Damaged => "damaged",
        }
    }

    /// Whether it is a fault of this server, which says nothing of the receiver.
    pub const fn is_ours(self) -> bool {
        matches!(self, Self::Interrupted | Self::Damaged)
    }

    /// The reason of such a failure, as the account may read it.
    pub fn reason_for_account(self, reason: Option<&str>) -> Option<&str> {
        match self {
            Self::Blocked => reason.map(|_| BLOCKED),
            _ => reason,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The answer of a receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The first bytes of the body, at most [`MAX_KEPT_ANSWER`].
    pub body: Vec<u8>,
    /// Whether the body went on after them.
    pub truncated: bool,
    /// The wait that a `Retry-After` header of a 429 or 503 asks for.
    pub retry_after: Option<Duration>,
}

/// The outcome of one attempt: a value, never an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver answered, with any status.
    Answered(Answer),
    /// There was no answer, for this reason.
    Failed(Failure),
}

impl Outcome {
    /// Whether it is a success: a 2xx status, even if the body breaks off.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Answered(answer) if (200..300).contains(&answer.status))
    }

    /// The class of the failure; `None` for a success.
    pub fn failure(&self) -> Option<Failure> {
        match self {
            Self::Answered(_) => (!self.is_success()).then_some(Failure::Status),
            Self::Failed(failure) => Some(*failure),
        }
    }

    /// The answer, if there was one.
    pub fn answer(&self) -> Option<&Answer> {
        match self {
            Self::Answered(answer) => Some(answer),
            Self::Failed(_) => None,
        }
    }
}

/// The outcomes of other deliveries to the endpoint since a delivery failed first in its schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meanwhile {
    /// None was delivered.
    Nothing,
    /// One was delivered: the receiver works, and cannot take this one.
    Delivered,
}

/// The decision about a claimed delivery after its attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// It was delivered.
    Delivered,
    /// It is tried again at this moment.
    Retry(Timestamp),
    /// It is given up. The endpoint is suspended for this reason, or stays as it is.
    Exhausted(Option<SuspendedReason>),
    /// The endpoint was suspended meanwhile: the delivery is held.
    Held,
    /// The endpoint was deleted meanwhile.
    Cancelled,
}

impl Settlement {
    /// The state that the delivery goes to.
    pub const fn state(self) -> State {
        match self {
            Self::Delivered => State::Delivered,
            Self::Retry(_) => State::Pending,
            Self::Exhausted(_) => State::Exhausted,
            Self::Held => State::Held,
            Self::Cancelled => State::Cancelled,
        }
    }
}

/// Decides what happens to a claimed delivery. Pure, so that it can be read and tested alone.
///
/// `tries` counts this attempt. A 410 ends the delivery at once, and so does a damaged body, which suspends no
/// endpoint; `Retry-After` lengthens a wait, never shortens it. With [`WhenExhausted::SuspendIfDead`] a delivery that is
/// given up suspends its endpoint only if nothing was delivered meanwhile; a 410 says itself that the endpoint is gone.
pub fn settle(
    outcome: &Outcome,
    tries: u32,
    endpoint: EndpointState,
    policy: &RetryPolicy,
    (when_exhausted, meanwhile): (WhenExhausted, Meanwhile),
    now: Timestamp,
) -> Settlement {
    if outcome.is_success() {
        return Settlement::Delivered;
    }
    if outcome.failure() == Some(Failure::Damaged) {
        return Settlement::Exhausted(None);
    }
    let gone = outcome.answer().is_some_and(|answer| answer.status == 410);
    match (policy.wait_after(tries).filter(|_| !gone), endpoint) {
        (Some(_), EndpointState::Deleted) => Settlement::Cancelled,
        (Some(_), EndpointState::Suspended) => Settlement::Held,
        (Some(wait), EndpointState::Active) => {
            let asked = outcome.answer().and_then(|answer| answer.retry_after).unwrap_or_default();
            Settlement::Retry(now + wait.max(asked.min(MAX_RETRY_AFTER)))
        }
        (None, EndpointState::Active) => Settlement::Exhausted(match (when_exhausted, meanwhile) {
            (WhenExhausted::StayActive, _) => None,
            (WhenExhausted::Suspend | WhenExhausted::SuspendIfDead, _) if gone => Some(SuspendedReason::Gone),
            (WhenExhausted::Suspend, _) => Some(SuspendedReason::Exhausted),
            (WhenExhausted::SuspendIfDead, Meanwhile::Nothing) => Some(SuspendedReason::Dead),
            (WhenExhausted::SuspendIfDead, Meanwhile::Delivered) => None,
        }),
        (None, EndpointState::Suspended | EndpointState::Deleted) => Settlement::Exhausted(None),
    }
}

/// Decides what happens to a claimed delivery whose attempt nobody will report: it is tried again, and the try does not
/// count.
pub const fn interrupt(endpoint: EndpointState, now: Timestamp) -> Settlement {
    match endpoint {
        EndpointState::Active => Settlement::Retry(now),
        EndpointState::Suspended => Settlement::Held,
        EndpointState::Deleted => Settlement::Cancelled,
    }
}

/// Reads `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date in one of the three forms of HTTP. Decimals, which
/// some receivers send, are rounded up. Anything else is ignored.
pub fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if is_number(whole) && is_number(fraction) {
        let up = u64::from(fraction.bytes().any(|byte| byte != b'0'));
        return Some(Duration::from_secs(whole.parse().unwrap_or(u64::MAX).saturating_add(up)));
    }
    let since_1970 = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some((Timestamp::from_millis(0) + since_1970).since(now))
}

/// A recorded attempt.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// 1 for the first.
    pub number: u32,
    /// When the POST began.
    pub started_at: Timestamp,
    /// How long it took; `None` if it was interrupted.
    pub duration: Option<Duration>,
    /// The class of the failure; `None` for a success.
    pub failure: Option<Failure>,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// The first bytes of the answer's body.
    pub response: Vec<u8>,
    /// Whether the answer's body went on after them.
    pub truncated: bool,
    /// When the next attempt was due, as decided after this one.
    pub next_attempt_at: Option<Timestamp>,
    /// Why it failed, for people.
    pub details: FailureDetails,
}

impl Attempt {
    /// An attempt that ended with this outcome.
    pub fn ended(
        number: u32,
        started_at: Timestamp,
        duration: Duration,
        (outcome, details): (&Outcome, FailureDetails),
        next_attempt_at: Option<Timestamp>,
    ) -> Self {
        let answer = outcome.answer();
        Self {
            number,
            started_at,
            duration: Some(duration),
            failure: outcome.failure(),
            status: answer.map(|answer| answer.status),
            response: answer.map(|answer| answer.body.clone()).unwrap_or_default(),
            truncated: answer.is_some_and(|answer| answer.truncated),
            next_attempt_at,
            details,
        }
    }

    /// Why it failed, as the account may read it.
    pub fn reason_for_account(&self) -> Option<&str> {
        self.failure.and_then(|failure| failure.reason_for_account(self.details.reason.as_deref()))
    }
}

/// The newest replay of a delivery, for display.
#[derive(Debug, Clone, Copy)]
pub struct Replay {
    /// Its public id.
    pub id: DeliveryId,
    /// Its state.
    pub state: State,
    /// When its last attempt ended; when it was made, if none has.
    pub at: Timestamp,
}

/// A delivery, for display.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The key of its row.
    pub key: DeliveryKey,
    /// The public id.
    pub id: DeliveryId,
    /// The endpoint it goes to.
    pub endpoint: EndpointId,
    /// The event it carries.
    pub event: EventId,
    /// The event's name.
    pub kind: String,
    /// The key under which the event was published, if it has one.
    pub event_key: Option<String>,
    /// Whether it carries sample data on somebody's request.
    pub test: bool,
    /// Its state.
    pub state: State,
    /// Attempts begun.
    pub attempts: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its next attempt is due.
    pub due_at: Option<Timestamp>,
    /// The status of the last attempt's answer.
    pub last_status: Option<u16>,
    /// The class of the last attempt's failure.
    pub last_failure: Option<Failure>,
    /// The delivery that it repeats, if it is a replay.
    pub replay_of: Option<DeliveryId>,
    /// The newest replay of it, which may repeat another replay of it.
    pub newest_replay: Option<Replay>,
    /// Whether its receiver has missed it: it failed, and no replay has delivered it since or failed in its place.
    pub missed: bool,
}
