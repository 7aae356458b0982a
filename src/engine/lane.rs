//! One lane: what is known of an endpoint, what it holds, and what it may hold.

use std::{collections::VecDeque, time::Duration};

use crate::{
    clock::Stopwatch,
    domain::timestamp::Timestamp,
    store::{SMALL_BODY, queue::Claim},
};

/// Claims are taken ahead of their places for so much time, judged by how fast the endpoint answers.
const AHEAD: Duration = Duration::from_millis(50);
/// Most claims of one endpoint for each of its places, however fast it answers.
const MOST_AHEAD: u32 = 32;
/// An endpoint that takes longer is slow.
pub const SLOW: Duration = Duration::from_secs(1);

/// How many attempts at the same time.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Over all endpoints.
    pub in_flight: usize,
    /// To one endpoint.
    pub per_endpoint: usize,
    /// Those that are at work rather than waiting.
    pub at_work: usize,
}

impl Limits {
    /// Over all endpoints that are not fast, so that those that are always find a place.
    pub(super) fn slow(self) -> usize {
        (self.in_flight * 3 / 4).max(1)
    }

    /// The same, with the first attempts at new ones: so that these are made however many are slow.
    pub(super) fn slow_or_new(self) -> usize {
        (self.in_flight * 7 / 8).max(1)
    }

    /// Over all endpoints on probation.
    pub(super) fn on_probation(self) -> usize {
        self.in_flight / 2
    }
}

/// How an attempt ended, as far as its lane cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptResult {
    /// Well, after so long.
    Succeeded(Duration),
    /// In time, but not well.
    Failed,
    /// By the time-out.
    TimedOut,
    /// Nobody knows, or it never began.
    Unknown,
}

/// What is known of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behaviour {
    /// Nothing: it holds one place.
    New,
    /// Its last attempt failed: it holds one place.
    Failing,
    /// Its last attempt ended well, but slowly: it may hold many, and all but the fast together three quarters of them.
    Slow,
    /// Its last attempt ended well, and soon: it may hold many.
    Fast,
    /// Its last attempt timed out: it holds one place, and all such together at most half of them.
    Probation,
}

#[derive(Debug)]
pub(super) struct Lane {
    /// When something of it is due that is not claimed.
    pub(super) turn_at: Option<Timestamp>,
    /// Claimed, not begun; since when.
    pub(super) prefetched: VecDeque<(Stopwatch, Claim)>,
    pub(super) in_flight: usize,
    pub(super) behaviour: Behaviour,
    /// How long an attempt takes, of late.
    pub(super) pace: Duration,
    /// How large a body is, of late.
    pub(super) body: usize,
    /// Whether its next body waits until there is memory for it.
    pub(super) waits: Waits,
}

/// Whether an endpoint's next delivery has a large body for which there is no memory yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waits {
    /// Not that anybody knows.
    No,
    /// For this many bytes: it is not served until they are free.
    For(usize),
    /// No more: it is the next that may claim a large body.
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
    /// What the end of an attempt says of its endpoint.
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

    /// Whether it may have one more, where those that are not fast have so many, and those on probation may or may not.
    pub(super) fn may_start(&self, limits: Limits, slow: usize, on_probation: bool) -> bool {
        match self.behaviour {
            Behaviour::Fast => true,
            Behaviour::New => slow < limits.slow_or_new(),
            Behaviour::Slow | Behaviour::Failing => slow < limits.slow(),
            Behaviour::Probation => slow < limits.slow() && on_probation,
        }
    }

    /// How many attempts it may have under way.
    pub(super) fn places(&self, limits: Limits) -> usize {
        if matches!(self.behaviour, Behaviour::Fast | Behaviour::Slow) { limits.per_endpoint } else { 1 }
    }

    /// How many claims it may hold: those under way, and those that will be before long.
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
        // What is under way holds its place, however few the lane has by now.
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

    /// Where it stands in the order of turns, if it may be served.
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

/// The lanes that stand in one order of turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Fast,
    New,
    Slow,
    Probation,
}

/// What a lane takes of what all have together.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Share {
    /// Places of those that are fast.
    pub(super) fast: usize,
    /// Places of all others.
    pub(super) slow: usize,
    /// Of these, those under way.
    pub(super) slow_in_flight: usize,
    pub(super) ahead: usize,
    pub(super) on_probation: usize,
    /// Of these, those under way.
    pub(super) probation_in_flight: usize,
}
