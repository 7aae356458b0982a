//! The count of one endpoint beside its lane: its behaviour, its claims, and its limit.

use std::{collections::BTreeMap, time::Duration};

use crate::model::states::{IN_FLIGHT, PER_ENDPOINT, SLOW_AFTER};

/// Most claims of an endpoint for each of its places.
const MOST_FOR_A_PLACE: usize = 32;
/// Most places of all endpoints that are slow, fail or are on probation; with those far away; with new ones too.
pub const SLOW_PLACES: usize = IN_FLIGHT * 3 / 4;
pub const FAR_PLACES: usize = IN_FLIGHT * 7 / 8;
pub const NEW_PLACES: usize = IN_FLIGHT * 15 / 16;
/// Fast answers in a row after which an endpoint is trusted again.
const ROW: u32 = 5;
/// An endpoint whose attempts take longer is far away: in nanoseconds.
const FAR: u128 = 50_000_000;

/// How an endpoint's last attempts ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reputation {
    /// It has had none since the start.
    #[default]
    New,
    /// It failed in time.
    Failing,
    /// It succeeded slowly, or not often enough since it failed.
    Slow,
    /// It succeeds fast.
    Proven,
    /// It timed out.
    Probation,
}

/// The kinds of endpoints that share places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Quick,
    Far,
    New,
    Slow,
}

impl Kind {
    /// Most places of all endpoints of this kind and those with a smaller part.
    pub fn part(self) -> usize {
        match self {
            Self::Quick => IN_FLIGHT,
            Self::New => NEW_PLACES,
            Self::Far => FAR_PLACES,
            Self::Slow => SLOW_PLACES,
        }
    }
}

/// The count of one endpoint.
#[derive(Debug, Clone)]
pub struct LaneRecord {
    pub owner: usize,
    /// Whose endpoint it is, as far as the engine knows: that begins with its first claim.
    pub account: Option<usize>,
    pub reputation: Reputation,
    /// Fast answers since the last other one; none: there was no other.
    pub row: Option<u32>,
    /// Most attempts, as its answers allow, and the size from which on more are allowed slowly.
    pub size: f64,
    pub careful_from: f64,
    /// How many attempts of all endpoints had begun when the size was halved last.
    pub halved: u64,
    /// Most attempts under way at once since none was.
    pub peak: usize,
    /// The mean time of its attempts, in nanoseconds.
    pace: u128,
    /// Claimed, not begun.
    pub prefetched: usize,
    /// Begun, not ended: each delivery, and how many attempts of all endpoints had begun before.
    pub in_flight: BTreeMap<usize, u64>,
    /// The moment of its turn, as far as the engine has heard.
    pub turn: Option<i64>,
    /// Nothing begins before this moment, and nothing while an answer that asks for a rest is not on disk.
    pub rest: Option<i64>,
    pub asked: usize,
    /// Whether it rested since it had its last room for claims at birth.
    pub rested: bool,
}

impl LaneRecord {
    pub fn new(owner: usize) -> Self {
        Self {
            owner,
            account: None,
            reputation: Reputation::New,
            row: None,
            size: 1.0,
            careful_from: f64::MAX,
            halved: 0,
            peak: 0,
            pace: FAR,
            prefetched: 0,
            in_flight: BTreeMap::new(),
            turn: None,
            rest: None,
            asked: 0,
            rested: false,
        }
    }

    /// Most attempts under way.
    pub fn limit(&self) -> usize {
        let useful = 8 + (self.pace / 500_000) as usize;
        if self.on_probation() { 1 } else { (self.size as usize).min(useful).min(PER_ENDPOINT) }
    }

    /// Most claims held.
    pub fn most(&self) -> usize {
        let micros = (self.pace / 1_000).max(1) as usize;
        let ahead = (self.limit() * 50_000 / micros).min(self.limit() * (MOST_FOR_A_PLACE - 1));
        self.limit() + if self.reputation == Reputation::Proven { ahead } else { 0 }
    }

    /// These claims have come for it.
    pub fn prefetch(&mut self, claims: usize) {
        self.prefetched += claims;
        self.account = self.account.or((claims > 0).then_some(self.owner));
    }

    /// It goes on probation, or begins there.
    pub fn suspect(&mut self) {
        (self.reputation, self.row) = (Reputation::Probation, Some(0));
    }

    /// Places that it takes: each attempt under way has one.
    pub fn placed(&self) -> usize {
        self.held().min(self.limit()).max(self.in_flight.len())
    }

    pub fn kind(&self) -> Kind {
        match self.reputation {
            Reputation::Proven if self.pace > FAR => Kind::Far,
            Reputation::Proven => Kind::Quick,
            Reputation::New => Kind::New,
            Reputation::Slow | Reputation::Failing | Reputation::Probation => Kind::Slow,
        }
    }

    pub fn held(&self) -> usize {
        self.prefetched + self.in_flight.len()
    }

    pub fn has_place(&self) -> bool {
        self.held() < self.limit()
    }

    pub fn on_probation(&self) -> bool {
        self.reputation == Reputation::Probation
    }

    pub fn rests(&self, now: i64) -> bool {
        self.asked > 0 || self.rest.is_some_and(|rest| rest > now)
    }

    /// The turn, which a rest puts off.
    pub fn turn(&self) -> Option<i64> {
        self.turn.map(|turn| self.rest.map_or(turn, |rest| rest.max(turn)))
    }

    /// Half as many attempts, unless this failure belongs to a burst that has halved them already.
    pub fn halve(&mut self, number: u64, begun: u64) {
        if number >= self.halved {
            self.size = (self.size / 2.0).max(1.0);
            (self.careful_from, self.halved) = (self.size, begun);
        }
    }

    pub fn succeeds(&mut self, took: Duration) {
        if self.peak * 2 >= self.size as usize {
            self.size += if self.size < self.careful_from { 1.0 } else { 1.0 / self.size };
            self.size = if self.size >= PER_ENDPOINT as f64 + 1.0 { PER_ENDPOINT as f64 } else { self.size };
        }
        self.pace = (self.pace * 7 + took.as_nanos()) / 8;
        if took > SLOW_AFTER {
            (self.reputation, self.row) = (Reputation::Slow, Some(0));
        } else {
            self.row = self.row.map(|row| row + 1);
            let trusted = self.row.is_none_or(|row| row >= ROW);
            self.reputation = if trusted { Reputation::Proven } else { Reputation::Slow };
        }
    }
}

/// Places taken, of quick endpoints, of far ones, and of all others.
#[derive(Debug, Default, Clone, Copy)]
pub struct Places {
    pub quick: usize,
    pub far: usize,
    pub others: usize,
}

impl Places {
    pub fn add(&mut self, kind: Kind, places: usize) {
        *match kind {
            Kind::Quick => &mut self.quick,
            Kind::Far => &mut self.far,
            Kind::New | Kind::Slow => &mut self.others,
        } += places;
    }

    pub fn not_quick(self) -> usize {
        self.far + self.others
    }

    /// Places left for an endpoint of this kind.
    pub fn left(self, kind: Kind) -> usize {
        let of_part = |most: usize| most.saturating_sub(self.not_quick());
        match kind {
            Kind::Quick => usize::MAX,
            Kind::Far => of_part(FAR_PLACES),
            Kind::New => of_part(NEW_PLACES),
            Kind::Slow => of_part(FAR_PLACES).min(SLOW_PLACES.saturating_sub(self.others)),
        }
    }
}
