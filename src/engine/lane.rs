//! One lane: the behaviour of an endpoint, its claims, and its limits.

use std::{collections::VecDeque, time::Duration};

use crate::{
    clock::Stopwatch,
    domain::timestamp::Timestamp,
    store::{SMALL_BODY, queue::Claim},
};

/// How much work is claimed ahead of free places, in time, judged by the endpoint's pace.
const AHEAD: Duration = Duration::from_millis(50);
/// Most claims of an endpoint for each of its places, however fast it is.
const MOST_AHEAD: u32 = 32;
/// An endpoint that takes longer than this is slow.
pub const SLOW: Duration = Duration::from_secs(1);

/// Limits of attempts at the same time.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Over all endpoints.
    pub in_flight: usize,
    /// To one endpoint.
    pub per_endpoint: usize,
    /// Attempts that use a processor rather than wait.
    pub at_work: usize,
}

impl Limits {
    /// Over all endpoints that are not fast, so that fast ones always find a place.
    pub(super) fn slow(self) -> usize {
        (self.in_flight * 3 / 4).max(1)
    }

    /// Over all endpoints that are not fast, with first attempts to new ones: so that new endpoints are tried however
    /// many are slow.
    pub(super) fn slow_or_new(self) -> usize {
        (self.in_flight * 7 / 8).max(1)
    }

    /// Over all endpoints on probation.
    pub(super) fn on_probation(self) -> usize {
        self.in_flight / 2
    }
}

/// The result of an attempt, for its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptResult {
    /// A success, after this time.
    Succeeded(Duration),
    /// A failure, in time.
    Failed,
    /// A time-out.
    TimedOut,
    /// Unknown, or the attempt never began.
    Unknown,
}

/// The recent behaviour of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behaviour {
    /// Unknown yet: it gets one place.
    New,
    /// Its last attempt failed: it gets one place.
    Failing,
    /// Its last attempt succeeded slowly: it may get many places, but all endpoints that are not fast share three
    /// quarters of them.
    Slow,
    /// Its last attempt succeeded soon: it may get many places.
    Fast,
    /// Its last attempt timed out: it gets one place, and all such endpoints share half of them.
    Probation,
}

#[derive(Debug)]
pub(super) struct Lane {
    /// When its first unclaimed delivery is due.
    pub(super) turn_at: Option<Timestamp>,
    /// Claims that have not begun, each with the time since it was made.
    pub(super) prefetched: VecDeque<(Stopwatch, Claim)>,
    pub(super) in_flight: usize,
    pub(super) behaviour: Behaviour,
    /// The recent duration of its attempts.
    pub(super) pace: Duration,
    /// The recent size of its bodies.
    pub(super) body: usize,
    /// Whether its next body waits for memory.
    pub(super) waits: Waits,
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
            turn_at: None,
            prefetched: VecDeque::new(),
            in_flight: 0,
            behaviour: Behaviour::New,
            pace: AHEAD,
            body: 0,
            waits: Waits::No,
        }
    }
}

impl Lane {
    /// Updates the behaviour after an attempt.
    pub(super) fn record(&mut self, ended: AttemptResult) {
        match ended {
            AttemptResult::Succeeded(took) => {
                self.behaviour = if took > SLOW { Behaviour::Slow } else { Behaviour::Fast };
                self.pace = (self.pace * 7 + took) / 8;
            }
            AttemptResult::Failed => self.behaviour = Behaviour::Failing,
            AttemptResult::TimedOut => self.behaviour = Behaviour::Probation,
            AttemptResult::Unknown => {}
        }
    }

    /// Whether this endpoint may start another attempt, given `slow` non-fast attempts in flight. `on_probation`:
    /// whether endpoints on probation may start one.
    pub(super) fn may_start(&self, limits: Limits, slow: usize, on_probation: bool) -> bool {
        match self.behaviour {
            Behaviour::Fast => true,
            Behaviour::New => slow < limits.slow_or_new(),
            Behaviour::Slow | Behaviour::Failing => slow < limits.slow(),
            Behaviour::Probation => slow < limits.slow() && on_probation,
        }
    }

    /// Most attempts in flight.
    pub(super) fn places(&self, limits: Limits) -> usize {
        if matches!(self.behaviour, Behaviour::Fast | Behaviour::Slow) { limits.per_endpoint } else { 1 }
    }

    /// Most claims: those in flight, and those that will begin soon.
    pub(super) fn most(&self, limits: Limits) -> usize {
        let rounds = if self.behaviour != Behaviour::Fast || self.body > SMALL_BODY {
            1
        } else {
            AHEAD.as_micros() / self.pace.as_micros().max(1)
        };
        let rounds = u32::try_from(rounds).unwrap_or(MOST_AHEAD).clamp(1, MOST_AHEAD);
        self.places(limits) * rounds as usize
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
        match self.behaviour {
            Behaviour::Fast => share.fast = placed,
            _ => (share.slow, share.slow_in_flight) = (placed, self.in_flight),
        }
        if self.behaviour == Behaviour::Probation {
            (share.on_probation, share.probation_in_flight) = (held, self.in_flight);
        }
        share
    }

    /// Its place in the order of turns, if it may be served.
    pub(super) fn turn(&self, limits: Limits) -> Option<(Order, Timestamp)> {
        let may = self.held() < self.most(limits) && !matches!(self.waits, Waits::For(_));
        let turn_at = self.turn_at.filter(|_| may)?;
        let order = match self.behaviour {
            Behaviour::Fast => Order::Fast,
            Behaviour::New => Order::New,
            Behaviour::Slow | Behaviour::Failing => Order::Slow,
            Behaviour::Probation => Order::Probation,
        };
        Some((order, turn_at))
    }
}

/// The kinds of lanes with an order of turns of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Fast,
    New,
    Slow,
    Probation,
}

/// This endpoint's contribution to the global counters.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Share {
    /// Places of fast endpoints.
    pub(super) fast: usize,
    /// Places of all other endpoints.
    pub(super) slow: usize,
    /// Those of them in flight.
    pub(super) slow_in_flight: usize,
    pub(super) ahead: usize,
    pub(super) on_probation: usize,
    /// Those of them in flight.
    pub(super) probation_in_flight: usize,
}
