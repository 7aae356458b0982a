//! The rules of the lanes, checked by plain counting beside them: whose turn it is, how many claims each endpoint
//! holds, and how it has behaved.

use std::collections::BTreeMap;

use ngoma::engine::lanes::{AttemptResult, SLOW};

use crate::model::states::{IN_FLIGHT, Model, PER_ENDPOINT};

/// Most claims of an endpoint for each of its places, and most claims of all endpoints beyond their places.
const MOST_FOR_A_PLACE: usize = 32;
const MOST_AHEAD_IN_ALL: usize = 512;
/// Most places of all endpoints that are not fast: of those that have answered, and together with new ones.
const SLOW_PLACES: usize = IN_FLIGHT * 3 / 4;
const SLOW_AND_NEW_PLACES: usize = IN_FLIGHT * 7 / 8;

/// How an endpoint's last attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reputation {
    /// It has had none since the start.
    #[default]
    New,
    /// It failed in time.
    Failing,
    /// It succeeded slowly.
    Slow,
    /// It succeeded fast.
    Proven,
    /// It timed out.
    Probation,
}

/// The count of one endpoint.
#[derive(Debug, Clone, Default)]
pub struct LaneRecord {
    pub reputation: Reputation,
    /// Claimed, not begun.
    pub prefetched: usize,
    /// Begun, not ended.
    pub in_flight: usize,
    /// The moment of its turn, as far as the engine has heard.
    pub turn: Option<i64>,
}

impl LaneRecord {
    /// Most attempts under way.
    fn limit(&self) -> usize {
        if matches!(self.reputation, Reputation::Proven | Reputation::Slow) { PER_ENDPOINT } else { 1 }
    }

    /// Most claims held.
    fn most(&self) -> usize {
        if self.reputation == Reputation::Proven { PER_ENDPOINT * MOST_FOR_A_PLACE } else { self.limit() }
    }

    /// Places that it takes: each attempt under way has one.
    fn placed(&self) -> usize {
        self.held().min(self.limit()).max(self.in_flight)
    }

    fn is_fast(&self) -> bool {
        self.reputation == Reputation::Proven
    }

    /// Most places of this endpoint together with all endpoints that are no faster.
    fn part(&self) -> usize {
        match self.reputation {
            Reputation::Proven => IN_FLIGHT,
            Reputation::New => SLOW_AND_NEW_PLACES,
            Reputation::Slow | Reputation::Failing | Reputation::Probation => SLOW_PLACES,
        }
    }

    fn held(&self) -> usize {
        self.prefetched + self.in_flight
    }

    fn has_place(&self) -> bool {
        self.held() < self.limit()
    }

    fn on_probation(&self) -> bool {
        self.reputation == Reputation::Probation
    }
}

#[derive(Debug, Default)]
pub struct LaneRules {
    pub lanes: Vec<LaneRecord>,
    /// Claims that have ended or are given back, and are not on disk yet.
    pub unwritten: usize,
}

impl LaneRules {
    pub fn due(&mut self, endpoint: usize, at: i64) {
        let turn = &mut self.lanes[endpoint].turn;
        *turn = Some(turn.map_or(at, |turn| turn.min(at)));
    }

    pub fn shift(&mut self, by: i64) {
        for turn in self.lanes.iter_mut().filter_map(|lane| lane.turn.as_mut()) {
            *turn += by;
        }
    }

    pub fn served(&mut self, endpoint: usize, claims: usize, next: Option<i64>, now: i64) {
        self.lanes[endpoint].turn = next.map(|next| next.max(now));
        self.lanes[endpoint].prefetched += claims;
    }

    /// An attempt begins: the limits are checked here and at no other moment.
    pub fn begun(&mut self, endpoint: usize) {
        let lane = &mut self.lanes[endpoint];
        assert!(lane.prefetched > 0, "what begins was prefetched");
        (lane.prefetched, lane.in_flight) = (lane.prefetched - 1, lane.in_flight + 1);
        assert!(lane.in_flight <= lane.limit(), "endpoint {endpoint} has more under way than it may: {lane:?}");
        let under_way = self.in_flight(|_| true) + self.unwritten;
        assert!(under_way <= IN_FLIGHT, "{under_way} are under way or not written");
        let slow = self.in_flight(|lane| !lane.is_fast());
        assert!(
            self.lanes[endpoint].is_fast() || slow <= self.lanes[endpoint].part(),
            "{slow} of {IN_FLIGHT} are slow"
        );
        let suspects = self.in_flight(LaneRecord::on_probation);
        assert!(
            !self.lanes[endpoint].on_probation() || suspects <= IN_FLIGHT / 2,
            "{suspects} of {IN_FLIGHT} on probation"
        );
    }

    /// An attempt has ended. Says whether the endpoint goes on probation (true) or off it (false).
    pub fn ended(&mut self, endpoint: usize, ended: AttemptResult) -> Option<bool> {
        self.unwritten += 1;
        let lane = &mut self.lanes[endpoint];
        lane.in_flight -= 1;
        let before = lane.on_probation();
        match ended {
            AttemptResult::Succeeded(took) if took > SLOW => lane.reputation = Reputation::Slow,
            AttemptResult::Succeeded(_) => lane.reputation = Reputation::Proven,
            AttemptResult::Failed => lane.reputation = Reputation::Failing,
            AttemptResult::TimedOut => lane.reputation = Reputation::Probation,
            AttemptResult::Unknown => {}
        }
        (lane.on_probation() != before).then_some(!before)
    }

    /// A prefetched claim is given back without an attempt.
    pub fn unsent(&mut self, endpoint: usize) {
        self.lanes[endpoint].prefetched -= 1;
        self.unwritten += 1;
    }

    /// Claims held, and outcomes not written yet.
    pub fn busy(&self) -> usize {
        self.lanes.iter().map(LaneRecord::held).sum::<usize>() + self.unwritten
    }

    fn in_flight(&self, which: impl Fn(&LaneRecord) -> bool) -> usize {
        self.lanes.iter().filter(|lane| which(lane)).map(|lane| lane.in_flight).sum()
    }

    fn free(&self) -> usize {
        let placed = |fast: bool| -> usize {
            self.lanes.iter().filter(|lane| lane.is_fast() == fast).map(LaneRecord::placed).sum()
        };
        IN_FLIGHT.saturating_sub(placed(true) + placed(false).min(SLOW_AND_NEW_PLACES))
    }

    /// Claims that may still be taken beyond the places.
    fn spare(&self) -> usize {
        MOST_AHEAD_IN_ALL.saturating_sub(self.ahead())
    }

    fn ahead(&self) -> usize {
        self.lanes.iter().map(|lane| lane.held() - lane.placed()).sum()
    }

    /// Claims for endpoints that hold none: places are free again soon where others have claims ahead.
    fn free_soon(&self) -> usize {
        self.free() + if self.ahead() > 0 { self.spare() } else { 0 }
    }

    /// Places left of this endpoint's part.
    fn left_of_part(&self, lane: &LaneRecord) -> usize {
        let placed = self.lanes.iter().filter(|lane| !lane.is_fast()).map(LaneRecord::placed);
        if lane.is_fast() { usize::MAX } else { lane.part().saturating_sub(placed.sum()) }
    }

    fn free_on_probation(&self) -> usize {
        let held = self.lanes.iter().filter(|lane| lane.on_probation()).map(LaneRecord::held);
        (IN_FLIGHT / 2).saturating_sub(held.sum())
    }

    /// Whether something is due for the endpoint and a place is free for it, or will be soon.
    fn is_ready(&self, model: &Model, endpoint: usize) -> bool {
        let lane = &self.lanes[endpoint];
        let free = if lane.held() == 0 { self.free_soon() } else { self.free() };
        model.due(endpoint) > 0
            && lane.has_place()
            && free.min(self.left_of_part(lane)) > 0
            && (!lane.on_probation() || self.free_on_probation() > 0)
    }

    fn ready(&self, model: &Model) -> Vec<usize> {
        if model.unnoticed != 0 {
            // The lanes do not know yet that the clock was set.
            return Vec::new();
        }
        (0..self.lanes.len()).filter(|endpoint| self.is_ready(model, *endpoint)).collect()
    }

    /// A turn asks for no more than may be claimed, and serves the endpoint that has waited longest first.
    pub fn check_wanted(&self, model: &Model, wanted: &[(usize, usize)]) {
        let quotas: BTreeMap<usize, usize> = wanted.iter().copied().collect();
        assert_eq!(quotas.len(), wanted.len(), "each is asked for once");
        let mut placed: BTreeMap<usize, usize> = BTreeMap::new();
        for (endpoint, quota) in &quotas {
            let lane = &self.lanes[*endpoint];
            let places = (*quota).min(lane.limit().saturating_sub(lane.held()));
            assert!(
                lane.held() + quota <= lane.most(),
                "endpoint {endpoint} would hold too much: {quota} for {lane:?}"
            );
            placed.insert(*endpoint, places);
        }
        let (claims, places): (usize, usize) = (quotas.values().sum(), placed.values().sum());
        let slow: usize = placed.iter().filter(|(endpoint, _)| !self.lanes[**endpoint].is_fast()).map(|(_, n)| n).sum();
        for (endpoint, _) in placed.iter().filter(|(_, places)| **places > 0) {
            let lane = &self.lanes[*endpoint];
            let theirs = placed.iter().filter(|(rival, _)| {
                let rival = &self.lanes[**rival];
                !rival.is_fast() && rival.part() <= lane.part()
            });
            let theirs: usize = theirs.map(|(_, places)| places).sum();
            let part = self.left_of_part(lane);
            assert!(theirs <= part, "{lane:?} would take the places of faster endpoints");
        }
        let suspects: usize =
            quotas.iter().filter(|(endpoint, _)| self.lanes[**endpoint].on_probation()).map(|(_, n)| n).sum();
        assert!(claims <= self.free() + self.spare(), "more is claimed ahead than may be");
        let others = quotas.iter().filter(|(endpoint, _)| self.lanes[**endpoint].reputation != Reputation::Proven);
        assert!(others.map(|(_, n)| n).sum::<usize>() <= self.free_soon(), "more is claimed than there are places");
        assert!(suspects <= self.free_on_probation(), "those on probation would hold more than half");
        for endpoint in self.ready(model) {
            if placed.get(&endpoint).is_some_and(|places| *places > 0) {
                continue;
            }
            let lane = &self.lanes[endpoint];
            let suspected = lane.on_probation() && suspects == self.free_on_probation();
            let slowed = !lane.is_fast() && slow >= self.left_of_part(lane);
            assert!(suspected || slowed || places >= self.free(), "endpoint {endpoint} waits while a place is free");
            let rivals = placed.iter().filter(|(rival, places)| {
                let rival = &self.lanes[**rival];
                **places > 0 && (!suspected || rival.on_probation()) && (!slowed || rival.part() <= lane.part())
            });
            for (rival, places) in rivals {
                let held = self.lanes[*rival].held();
                assert!(
                    held + places <= lane.held() + 1,
                    "{rival} gets a second before endpoint {endpoint} has had a first"
                );
                let (first, second) = (self.lanes[*rival].turn, self.lanes[endpoint].turn);
                let is_behind = held < lane.held();
                assert!(
                    is_behind || first <= second,
                    "endpoint {endpoint} has waited longer than {rival}: {second:?}, {first:?}"
                );
            }
        }
    }

    /// Claims at birth are granted only where nothing older waits, and no more than may be held.
    pub fn check_room(&self, model: &Model, in_all: usize, each: &BTreeMap<usize, usize>, heard_all: bool) {
        assert!(in_all <= self.free() + MOST_AHEAD_IN_ALL, "more room than there is");
        for (endpoint, room) in each {
            let lane = &self.lanes[*endpoint];
            assert!(
                lane.held() + room <= lane.most().max(lane.held()),
                "too much room for {endpoint}: {room} for {lane:?}"
            );
            assert!(*room == 0 || !lane.on_probation(), "room for {endpoint}, which is on probation");
            let waits = heard_all && model.unnoticed == 0 && model.due(*endpoint) > 0;
            assert!(*room == 0 || !waits, "room for {endpoint}, where older ones wait");
        }
    }

    /// A fast endpoint for which nothing waits has room: an event published for it is sent at once.
    pub fn check_room_left(&self, model: &Model) {
        for (endpoint, lane) in self.lanes.iter().enumerate() {
            let waits = model.unnoticed != 0 || lane.turn.is_some_and(|turn| turn <= model.now);
            if lane.reputation == Reputation::Proven && !waits {
                let places = lane.limit().saturating_sub(lane.held());
                assert!(model.room_of(endpoint) >= places, "no room for {endpoint}: {lane:?}");
            }
        }
    }

    /// Every attempt that may begin has begun.
    pub fn check_begun(&self) {
        let full = self.in_flight(|_| true) + self.unwritten >= IN_FLIGHT;
        let suspects = self.in_flight(LaneRecord::on_probation);
        let slow = self.in_flight(|lane| !lane.is_fast());
        for (endpoint, lane) in self.lanes.iter().enumerate() {
            let capped = (lane.on_probation() && suspects >= IN_FLIGHT / 2) || (!lane.is_fast() && slow >= lane.part());
            let may = lane.prefetched > 0 && lane.in_flight < lane.limit();
            assert!(!may || full || capped, "endpoint {endpoint} may begin, and does not: {lane:?}");
        }
    }

    /// When a turn asks for nothing, no endpoint could be served.
    pub fn check_idle(&self, model: &Model) {
        let left = self.ready(model);
        assert!(left.is_empty() || self.free() == 0, "{left:?} are ready, and nobody serves them: {:?}", self.lanes);
    }

    /// No turn comes later than the first due delivery of its endpoint, so none is forgotten.
    pub fn check_turns(&self, model: &Model, next_turn: Option<i64>) {
        for (endpoint, lane) in self.lanes.iter().enumerate() {
            let Some(due) = model.head(endpoint) else { continue };
            let turn = lane.turn.expect("what is pending has a turn");
            assert!(
                turn <= due.max(model.now),
                "endpoint {endpoint} has something due at {due}, and its turn at {turn}"
            );
            let is_awaited = turn > model.now && lane.has_place();
            assert!(
                !is_awaited || next_turn.is_some_and(|next| next <= due),
                "{next_turn:?} is too late for {endpoint}"
            );
        }
    }
}
