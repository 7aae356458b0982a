//! One lane: the behaviour of an endpoint, its claims, and its limits.

use std::{collections::VecDeque, time::Duration};

use super::{pace::Pace, window::Window};
use crate::{
    clock::Stopwatch,
    domain::{account::AccountKey, delivery::DeliveryKey, endpoint_settings::Sending, timestamp::Timestamp},
    store::{SMALL_BODY, queue::Claim},
};

/// How much work is claimed ahead of free places, in time, judged by the endpoint's pace. An endpoint that takes longer
/// than this is far away.
const AHEAD: Duration = Duration::from_millis(50);
/// An endpoint that takes less than this may answer at once.
const AT_ONCE: Duration = Duration::from_millis(5);
/// Most claims ahead for each place of an endpoint, however fast it is.
const MOST_AHEAD: u32 = 31;
/// An endpoint that takes longer than this for an attempt is slow.
pub const SLOW: Duration = Duration::from_secs(1);
/// Places of an endpoint that answers at once: more would add nothing.
pub(super) const QUICK_PLACES: usize = 8;
/// Each time that an answer takes this much longer, the endpoint may have one place more.
const FOR_A_PLACE: Duration = Duration::from_micros(500);
/// How many fast answers in a row an endpoint has to give after a slow answer or a failure, until it counts as fast.
pub(super) const TRUSTED_AFTER: u32 = 5;

/// Limits of attempts at the same time.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Over all endpoints.
    pub in_flight: usize,
    /// To one endpoint.
    pub per_endpoint: usize,
    /// Attempts that use a processor rather than wait: to receivers that may answer at once, and as many to others.
    pub at_work: usize,
    /// An attempt that has taken longer makes its endpoint a slow one at once.
    pub slow_after: Duration,
}

impl Limits {
    /// Over all endpoints that are slow or fail.
    pub(super) fn slow(self) -> usize {
        (self.in_flight * 3 / 4).max(1)
    }

    /// Over all endpoints that are slow, fail or are far away.
    pub(super) fn far(self) -> usize {
        (self.in_flight * 7 / 8).max(1)
    }

    /// Over all of these, with first attempts to new endpoints: those are tried however many are slow or far away, and
    /// an endpoint that answers at once always finds a place.
    pub(super) fn not_quick(self) -> usize {
        (self.in_flight * 15 / 16).max(1)
    }

    /// Over all endpoints on probation.
    pub(super) fn on_probation(self) -> usize {
        self.in_flight / 2
    }

    /// Over all endpoints of an account while another account waits.
    pub(super) fn of_account(self) -> usize {
        (self.in_flight / 2).max(1)
    }
}

/// The result of an attempt, for its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptResult {
    /// A success, after this time.
    Succeeded(Duration),
    /// The receiver does not take this event.
    Refused,
    /// A failure, in time.
    Failed,
    /// The receiver asks for a rest: [`Lanes::rest`](super::lanes::Lanes::rest) says until when, as soon as that is on
    /// disk.
    Busy,
    /// A time-out.
    TimedOut,
    /// Unknown, or the attempt never began.
    Unknown,
}

/// The recent behaviour of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behaviour {
    /// Unknown yet.
    New,
    /// It failed, and has not succeeded since.
    Failing,
    /// An attempt is or was slow, or failed, and too few fast answers came since. All such endpoints, with those that
    /// fail, share three quarters of the places.
    Slow,
    /// It answers soon.
    Fast,
    /// Its last attempt timed out: it gets one place, and all such endpoints share half of them.
    Probation,
}

#[derive(Debug)]
pub(super) struct Lane {
    /// Whose endpoint it is; `None` until its first claim.
    pub(super) account: Option<AccountKey>,
    /// When its first unclaimed delivery is due.
    pub(super) turn_at: Option<Timestamp>,
    /// Claims that have not begun, each with the time since it was made.
    pub(super) prefetched: VecDeque<(Stopwatch, Claim)>,
    pub(super) in_flight: usize,
    /// Most in flight at once since none was.
    peak: usize,
    /// Those in flight that take longer than [`Limits::slow_after`].
    pub(super) slow_in_flight: usize,
    pub(super) behaviour: Behaviour,
    /// Fast answers that it still has to give until it counts as fast.
    to_prove: u32,
    pub(super) window: Window,
    /// Its receiver asked for no attempt before this moment.
    pub(super) rests_until: Option<Timestamp>,
    /// Answers that asked for a rest and are not on disk yet.
    asks: usize,
    /// The recent duration of its attempts.
    pub(super) pace: Duration,
    /// The recent size of its bodies.
    pub(super) body: usize,
    /// Whether its next body waits for memory.
    pub(super) waits: Waits,
    /// How its deliveries go out.
    sending: Sending,
    /// The pace of its rate limit.
    limited: Option<Pace>,
    /// Of an ordered endpoint: every delivery with a smaller key has ended; 0 if that is not known.
    pub(super) from: DeliveryKey,
}

/// Whether the next delivery has a large body that waits for memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waits {
    /// As far as known it does not.
    No,
    /// It waits for this many bytes, and is not served until they are free.
    For(usize),
    /// It is the next lane that may claim a large body.
    First,
}

impl Default for Lane {
    fn default() -> Self {
        Self {
            account: None,
            turn_at: None,
            prefetched: VecDeque::new(),
            in_flight: 0,
            peak: 0,
            slow_in_flight: 0,
            behaviour: Behaviour::New,
            to_prove: 0,
            window: Window::new(0),
            rests_until: None,
            asks: 0,
            pace: AHEAD,
            body: 0,
            waits: Waits::No,
            sending: Sending::default(),
            limited: None,
            from: 0,
        }
    }
}

impl Lane {
    fn record(&mut self, ended: AttemptResult, (number, begun): (u64, u64), limits: Limits) {
        match ended {
            AttemptResult::Succeeded(took) => {
                self.window.grow(self.peak, limits.per_endpoint);
                self.pace = (self.pace * 7 + took) / 8;
                if took > limits.slow_after { self.distrust(Behaviour::Slow) } else { self.trust() }
            }
            AttemptResult::Refused => {
                self.window.step_back();
                self.distrust(Behaviour::Failing);
            }
            AttemptResult::Failed => {
                self.window.halve(number, begun);
                self.distrust(Behaviour::Failing);
            }
            AttemptResult::Busy => {
                self.window.restart(number, begun);
                self.asks += 1;
                self.distrust(Behaviour::Failing);
            }
            AttemptResult::TimedOut => {
                self.window.halve(number, begun);
                self.distrust(Behaviour::Probation);
            }
            AttemptResult::Unknown => {}
        }
    }

    /// The next claim in hand, whose attempt begins.
    pub(super) fn begin(&mut self) -> Option<Claim> {
        let (_, claim) = self.prefetched.pop_front()?;
        self.in_flight += 1;
        self.peak = self.peak.max(self.in_flight);
        Some(claim)
    }

    /// An attempt in flight has ended: the one with this `number`, when `begun` attempts had begun. Updates behaviour and
    /// window.
    pub(super) fn ended(&mut self, ended: AttemptResult, (number, begun): (u64, u64), limits: Limits) {
        self.in_flight -= 1;
        self.record(ended, (number, begun), limits);
        if self.in_flight == 0 {
            self.peak = 0;
        }
    }

    /// An attempt in flight has become slow.
    pub(super) fn grew_slow(&mut self) {
        self.slow_in_flight += 1;
        if matches!(self.behaviour, Behaviour::New | Behaviour::Fast) {
            self.distrust(Behaviour::Slow);
        }
    }

    pub(super) fn distrust(&mut self, behaviour: Behaviour) {
        (self.behaviour, self.to_prove) = (behaviour, TRUSTED_AFTER);
    }

    fn trust(&mut self) {
        self.to_prove = self.to_prove.saturating_sub(1);
        let proven = self.to_prove == 0 && self.slow_in_flight == 0;
        self.behaviour = if proven { Behaviour::Fast } else { Behaviour::Slow };
    }

    /// Whether its answers take longer than the prefetched claims can hide.
    fn is_far(&self) -> bool {
        self.pace > AHEAD
    }

    /// Its receiver asked for no attempt before this moment: that is on disk.
    pub(super) fn rest(&mut self, until: Timestamp) {
        self.asks = self.asks.saturating_sub(1);
        self.rests_until = Some(until);
    }

    /// Its deliveries go out in this way from now on.
    pub(super) fn send_like(&mut self, sending: Sending) {
        self.sending = sending;
        self.limited =
            sending.rate_limit.map(|limit| self.limited.map_or(Pace::new(limit), |pace| pace.changed(limit)));
    }

    /// Whether it has neither a rate limit nor an order.
    pub(super) fn is_plain(&self) -> bool {
        self.sending.is_plain()
    }

    /// How many deliveries its rate limit allows to claim now.
    pub(super) fn allowed(&self, now: Timestamp) -> usize {
        self.limited.map_or(usize::MAX, |pace| pace.free(now))
    }

    /// This many deliveries were claimed at this moment.
    pub(super) fn claimed(&mut self, claims: usize, at: Timestamp) {
        if let Some(pace) = &mut self.limited {
            pace.take(claims, at);
        }
    }

    /// The clock was set by this many milliseconds.
    pub(super) fn shift(&mut self, by: i64) {
        let moved = |at: Timestamp| Timestamp::from_millis(at.millis().saturating_add(by));
        (self.turn_at, self.rests_until) = (self.turn_at.map(moved), self.rests_until.map(moved));
        if let Some(pace) = &mut self.limited {
            pace.shift(by);
        }
    }

    /// Whether an attempt may be over before its thread has to wait.
    pub(super) fn may_answer_at_once(&self) -> bool {
        self.pace < AT_ONCE
    }

    /// Whether its receiver asked for no attempt now.
    pub(super) fn rests(&self, now: Timestamp) -> bool {
        self.asks > 0 || self.rests_until.is_some_and(|until| until > now)
    }

    /// Whether nothing would be lost without it.
    pub(super) fn is_idle(&self) -> bool {
        let rests = self.asks > 0 || self.rests_until.is_some();
        self.turn_at.is_none() && self.held() == 0 && !self.on_probation() && !rests && self.is_plain()
    }

    /// Whether this endpoint may start another attempt beside those of all others. `on_probation`: whether endpoints on
    /// probation may start one.
    pub(super) fn may_start(&self, limits: Limits, others: Crowd, on_probation: bool) -> bool {
        let not_quick = others.all();
        match self.behaviour {
            Behaviour::Fast => !self.is_far() || not_quick < limits.far(),
            Behaviour::New => not_quick < limits.not_quick(),
            Behaviour::Slow | Behaviour::Failing => others.slow < limits.slow() && not_quick < limits.far(),
            Behaviour::Probation => others.slow < limits.slow() && not_quick < limits.far() && on_probation,
        }
    }

    /// Most attempts in flight: no more than keep its receiver busy.
    pub(super) fn places(&self, limits: Limits) -> usize {
        if self.behaviour == Behaviour::Probation || self.sending.ordered {
            return 1;
        }
        let useful = QUICK_PLACES + usize::try_from(self.pace.as_micros() / FOR_A_PLACE.as_micros()).unwrap_or(0);
        self.window.size().min(useful).min(limits.per_endpoint)
    }

    /// Most claims: those in flight, and those that will begin soon.
    pub(super) fn most(&self, limits: Limits) -> usize {
        let places = self.places(limits);
        if self.behaviour != Behaviour::Fast || self.body > SMALL_BODY || !self.is_plain() {
            return places;
        }
        let soon = places as u128 * AHEAD.as_micros() / self.pace.as_micros().max(1);
        places + usize::try_from(soon).unwrap_or(usize::MAX).min(places * MOST_AHEAD as usize)
    }

    /// Whether its endpoint is on probation.
    pub(super) fn on_probation(&self) -> bool {
        self.behaviour == Behaviour::Probation
    }

    pub(super) fn held(&self) -> usize {
        self.prefetched.len() + self.in_flight
    }

    pub(super) fn share(&self, limits: Limits) -> Share {
        let held = self.held();
        // Attempts in flight keep their places, even if the lane has fewer now.
        let placed = held.min(self.places(limits)).max(self.in_flight);
        let mut share = Share { ahead: held - placed, ..Share::default() };
        match self.order() {
            Order::Fast => share.quick = placed,
            Order::Far => (share.placed.far, share.in_flight.far) = (placed, self.in_flight),
            _ => (share.placed.slow, share.in_flight.slow) = (placed, self.in_flight),
        }
        if self.behaviour == Behaviour::Probation {
            (share.on_probation, share.probation_in_flight) = (held, self.in_flight);
        }
        share
    }

    pub(super) fn order(&self) -> Order {
        match self.behaviour {
            Behaviour::Fast if self.is_far() => Order::Far,
            Behaviour::Fast => Order::Fast,
            Behaviour::New => Order::New,
            Behaviour::Slow | Behaviour::Failing => Order::Slow,
            Behaviour::Probation => Order::Probation,
        }
    }

    /// Its place in the order of turns, if it may be served.
    pub(super) fn turn(&self, limits: Limits) -> Option<(Order, Timestamp)> {
        let may = self.held() < self.most(limits) && !matches!(self.waits, Waits::For(_)) && self.asks == 0;
        let turn_at = self.turn_at.filter(|_| may)?;
        let paced = self.limited.map_or(turn_at, |pace| pace.ready_at().max(turn_at));
        Some((self.order(), self.rests_until.map_or(paced, |until| until.max(paced))))
    }
}

/// The kinds of lanes with an order of turns of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Fast,
    Far,
    New,
    Slow,
    Probation,
}

impl Order {
    /// How many there are.
    pub(super) const COUNT: usize = 5;
}

/// Places of endpoints that do not answer at once.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Crowd {
    /// Of fast endpoints that are far away.
    pub(super) far: usize,
    /// Of slow, failing and new ones.
    pub(super) slow: usize,
}

impl Crowd {
    pub(super) fn all(self) -> usize {
        self.far + self.slow
    }
}

/// This endpoint's contribution to the global counters.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Share {
    /// Places of endpoints that answer at once.
    pub(super) quick: usize,
    /// Places of all others.
    pub(super) placed: Crowd,
    /// Those of them in flight.
    pub(super) in_flight: Crowd,
    pub(super) ahead: usize,
    pub(super) on_probation: usize,
    /// Those of them in flight.
    pub(super) probation_in_flight: usize,
}

impl Share {
    /// All places.
    pub(super) fn places(&self) -> usize {
        self.quick + self.placed.all()
    }

    /// Replaces the former contribution of an endpoint by its present one.
    pub(super) fn replace(&mut self, former: &Self, present: &Self) {
        let change = |all: &mut usize, former: usize, present: usize| *all = *all - former + present;
        change(&mut self.quick, former.quick, present.quick);
        change(&mut self.placed.far, former.placed.far, present.placed.far);
        change(&mut self.placed.slow, former.placed.slow, present.placed.slow);
        change(&mut self.in_flight.far, former.in_flight.far, present.in_flight.far);
        change(&mut self.in_flight.slow, former.in_flight.slow, present.in_flight.slow);
        change(&mut self.ahead, former.ahead, present.ahead);
        change(&mut self.on_probation, former.on_probation, present.on_probation);
        change(&mut self.probation_in_flight, former.probation_in_flight, present.probation_in_flight);
    }
}
