//! The rules of the lanes, checked by plain counting beside them: whose turn it is, and how many claims each endpoint
//! holds.

use std::collections::BTreeMap;

use ngoma::engine::lanes::AttemptResult;

use crate::model::{
    lane_record::{FAR_PLACES, Kind, LaneRecord, NEW_PLACES, Places, Reputation, SLOW_PLACES},
    states::{IN_FLIGHT, Model},
};

/// Most claims of all endpoints beyond their places.
const MOST_AHEAD_IN_ALL: usize = 512;
/// Most places of an account while another account waits.
const HALF: usize = IN_FLIGHT / 2;

#[derive(Debug, Default)]
pub struct LaneRules {
    pub lanes: Vec<LaneRecord>,
    /// Claims that have ended or are given back, and are not on disk yet.
    pub unwritten: usize,
    /// How many attempts have begun since the start.
    begun: u64,
}

impl LaneRules {
    /// The engine starts with no memory.
    pub fn start(&mut self) {
        (self.unwritten, self.begun) = (0, 0);
        self.lanes.iter_mut().for_each(|lane| *lane = LaneRecord::new(lane.owner));
    }

    pub fn due(&mut self, endpoint: usize, at: i64) {
        let turn = &mut self.lanes[endpoint].turn;
        *turn = Some(turn.map_or(at, |turn| turn.min(at)));
    }

    pub fn shift(&mut self, by: i64) {
        for lane in &mut self.lanes {
            (lane.turn, lane.rest) = (lane.turn.map(|turn| turn + by), lane.rest.map(|rest| rest + by));
        }
    }

    pub fn served(&mut self, endpoint: usize, claims: usize, next: Option<i64>, now: i64) {
        self.lanes[endpoint].turn = next.map(|next| next.max(now));
        self.lanes[endpoint].prefetch(claims);
    }

    /// A rest is on disk.
    pub fn rest(&mut self, endpoint: usize, until: i64) {
        let lane = &mut self.lanes[endpoint];
        (lane.asked, lane.rest, lane.rested) = (lane.asked.saturating_sub(1), Some(until), true);
    }

    /// The endpoint was resumed or moved: it begins with one attempt again, and its rest is over.
    pub fn restart(&mut self, endpoint: usize) {
        let lane = &mut self.lanes[endpoint];
        (lane.size, lane.careful_from, lane.halved, lane.rest) = (1.0, f64::MAX, self.begun, None);
    }

    /// An attempt begins: the limits are checked here and at no other moment.
    pub fn begun(&mut self, endpoint: usize, delivery: usize, now: i64) {
        let lane = &mut self.lanes[endpoint];
        assert!(lane.prefetched > 0, "what begins was prefetched");
        assert!(!lane.rests(now), "endpoint {endpoint} begins at rest: {lane:?} at {now}");
        // Its rest is over for good, wherever the clock is set.
        lane.rest = None;
        lane.prefetched -= 1;
        lane.in_flight.insert(delivery, self.begun);
        lane.peak = lane.peak.max(lane.in_flight.len());
        self.begun += 1;
        assert!(lane.in_flight.len() <= lane.limit(), "endpoint {endpoint} has more under way than it may: {lane:?}");
        let under_way = self.in_flight(|_| true) + self.unwritten;
        assert!(under_way <= IN_FLIGHT, "{under_way} are under way or not written");
        let (slow, not_quick) =
            (self.in_flight(|lane| lane.kind() == Kind::Slow), self.in_flight(|lane| lane.kind() != Kind::Quick));
        let kept = match self.lanes[endpoint].kind() {
            Kind::Quick => true,
            Kind::Far => not_quick <= FAR_PLACES,
            Kind::New => not_quick <= NEW_PLACES,
            Kind::Slow => slow <= SLOW_PLACES && not_quick <= FAR_PLACES,
        };
        assert!(kept, "{slow} of {IN_FLIGHT} are slow, {not_quick} are not quick");
        let suspects = self.in_flight(LaneRecord::on_probation);
        assert!(
            !self.lanes[endpoint].on_probation() || suspects <= IN_FLIGHT / 2,
            "{suspects} of {IN_FLIGHT} on probation"
        );
    }

    /// An attempt has ended. Says whether the endpoint goes on probation (true) or off it (false).
    pub fn ended(&mut self, endpoint: usize, delivery: usize, ended: AttemptResult) -> Option<bool> {
        self.unwritten += 1;
        let (begun, lane) = (self.begun, &mut self.lanes[endpoint]);
        let before = lane.on_probation();
        let number = lane.in_flight.remove(&delivery).expect("it was under way");
        let mut bad = |reputation| (lane.reputation, lane.row) = (reputation, Some(0));
        match ended {
            AttemptResult::Succeeded(took) => lane.succeeds(took),
            AttemptResult::Refused => {
                bad(Reputation::Failing);
                lane.size = if lane.size > 2.0 { lane.size - 1.0 } else { 1.0 };
            }
            AttemptResult::Failed => {
                bad(Reputation::Failing);
                lane.halve(number, begun);
            }
            AttemptResult::Busy => {
                bad(Reputation::Failing);
                lane.halve(number, begun);
                (lane.size, lane.asked) = (1.0, lane.asked + 1);
            }
            AttemptResult::TimedOut => {
                bad(Reputation::Probation);
                lane.halve(number, begun);
            }
            AttemptResult::Unknown => {}
        }
        lane.peak = if lane.in_flight.is_empty() { 0 } else { lane.peak };
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
        self.lanes.iter().filter(|lane| which(lane)).map(|lane| lane.in_flight.len()).sum()
    }

    fn placed(&self) -> Places {
        let mut placed = Places::default();
        self.lanes.iter().for_each(|lane| placed.add(lane.kind(), lane.placed()));
        placed
    }

    fn of_account(&self, account: Option<usize>) -> usize {
        self.lanes.iter().filter(|lane| account.is_some() && lane.account == account).map(LaneRecord::placed).sum()
    }

    fn free(&self) -> usize {
        let placed = self.placed();
        IN_FLIGHT.saturating_sub(placed.quick + placed.not_quick().min(NEW_PLACES))
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

    fn free_on_probation(&self) -> usize {
        let held = self.lanes.iter().filter(|lane| lane.on_probation()).map(LaneRecord::held);
        (IN_FLIGHT / 2).saturating_sub(held.sum())
    }

    /// Whether something is due for the endpoint and a place is free for it, or will be soon.
    fn is_ready(&self, model: &Model, endpoint: usize) -> bool {
        let lane = &self.lanes[endpoint];
        let free = if lane.held() == 0 { self.free_soon() } else { self.free() };
        model.due(endpoint) > 0
            && !lane.rests(model.now)
            && lane.has_place()
            && free.min(self.placed().left(lane.kind())) > 0
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
        let mut given: BTreeMap<usize, usize> = BTreeMap::new();
        let mut after = self.placed();
        for (endpoint, quota) in &quotas {
            let lane = &self.lanes[*endpoint];
            let places = (*quota).min(lane.limit().saturating_sub(lane.held()));
            assert!(
                lane.held() + quota <= lane.most(),
                "endpoint {endpoint} would hold too much: {quota} for {lane:?}"
            );
            assert!(!lane.rests(model.now), "endpoint {endpoint} is at rest: {lane:?}");
            after.add(lane.kind(), places);
            given.extend((places > 0).then_some((*endpoint, places)));
        }
        let of = |kind: Kind| -> usize {
            given.iter().filter(|(endpoint, _)| self.lanes[**endpoint].kind() == kind).map(|(_, places)| places).sum()
        };
        let (new, far, slow) = (of(Kind::New), of(Kind::Far), of(Kind::Slow));
        assert!(slow == 0 || after.others - new <= SLOW_PLACES, "slow ones would take the places of others: {after:?}");
        assert!(slow + far == 0 || after.not_quick() - new <= FAR_PLACES, "nor those far away: {after:?}");
        assert!(new == 0 || after.not_quick() <= NEW_PLACES, "nor new ones: {after:?}");
        let on_probation = quotas.iter().filter(|(endpoint, _)| self.lanes[**endpoint].on_probation());
        let suspects: usize = on_probation.map(|(_, quota)| quota).sum();
        assert!(suspects <= self.free_on_probation(), "those on probation would hold more than half");
        let claims: usize = quotas.values().sum();
        assert!(claims <= self.free() + self.spare(), "more is claimed ahead than may be");
        let others = quotas.iter().filter(|(endpoint, _)| self.lanes[**endpoint].reputation != Reputation::Proven);
        assert!(others.map(|(_, n)| n).sum::<usize>() <= self.free_soon(), "more is claimed than there are places");
        for endpoint in self.ready(model).into_iter().filter(|endpoint| !given.contains_key(endpoint)) {
            self.check_waits(endpoint, &given, after, suspects);
        }
    }

    /// An endpoint that is ready and gets nothing waits for a reason: `given` are the places that others get, of which
    /// `suspects` on probation, and `after` the places that are taken then.
    fn check_waits(&self, endpoint: usize, given: &BTreeMap<usize, usize>, after: Places, suspects: usize) {
        let lane = &self.lanes[endpoint];
        let suspected = lane.on_probation() && suspects == self.free_on_probation();
        let crowded = after.left(lane.kind()) == 0;
        let places_given: usize = given.values().sum();
        assert!(suspected || crowded || places_given >= self.free(), "endpoint {endpoint} waits while a place is free");
        let after_all = |account: Option<usize>| -> usize {
            let given = given.iter().filter(|(rival, _)| account.is_some() && self.lanes[**rival].account == account);
            self.of_account(account) + given.map(|(_, places)| places).sum::<usize>()
        };
        let has_half = after_all(lane.account) >= HALF;
        let may_precede = |rival: &LaneRecord| {
            suspected && !rival.on_probation() || crowded && rival.kind().part() > lane.kind().part()
        };
        for (rival, places) in given {
            let rival_lane = &self.lanes[*rival];
            if may_precede(rival_lane) || has_half && rival_lane.account != lane.account {
                continue;
            }
            let beyond = after_all(rival_lane.account).saturating_sub(HALF.max(self.of_account(rival_lane.account)));
            let of_others = given.iter().filter(|(other, _)| {
                self.lanes[**other].account == rival_lane.account && may_precede(&self.lanes[**other])
            });
            let of_others: usize = of_others.map(|(_, places)| places).sum();
            // Endpoints that hold nothing also get claims ahead, for places that will be free soon.
            let soon = if lane.held() > 0 { places_given.saturating_sub(self.free()) } else { 0 };
            assert!(
                has_half || beyond <= of_others + soon,
                "account {:?} has its half, and gets more before endpoint {endpoint}: {given:?}, {:?}",
                rival_lane.account,
                self.lanes
            );
            let held = rival_lane.held();
            assert!(
                held + places <= lane.held() + 1,
                "{rival} gets a second before endpoint {endpoint} has had a first"
            );
            let (first, second) = (rival_lane.turn(), lane.turn());
            assert!(
                held < lane.held() || first <= second,
                "endpoint {endpoint} has waited longer than {rival}: {given:?}, {:?}",
                self.lanes
            );
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
            assert!(*room == 0 || !lane.rests(model.now), "room for {endpoint}, which is at rest");
            let waits = heard_all && model.unnoticed == 0 && model.due(*endpoint) > 0;
            assert!(*room == 0 || !waits, "room for {endpoint}, where older ones wait");
        }
    }

    /// A quick endpoint for which nothing waits has room: an event published for it is sent at once.
    pub fn check_room_left(&mut self, model: &Model) {
        for (endpoint, lane) in self.lanes.iter_mut().enumerate() {
            let waits = model.unnoticed != 0 || lane.turn.is_some_and(|turn| turn <= model.now);
            let places = lane.limit().saturating_sub(lane.held());
            let room = model.room_of(endpoint);
            // The end of a rest is no news: only the next change grants room again.
            lane.rested &= room == 0;
            if lane.kind() == Kind::Quick && !waits && !lane.rested {
                assert!(room >= places, "no room for {endpoint}: {lane:?}");
            }
        }
    }

    /// Every attempt that may begin has begun.
    pub fn check_begun(&self, now: i64) {
        let full = self.in_flight(|_| true) + self.unwritten >= IN_FLIGHT;
        let suspects = self.in_flight(LaneRecord::on_probation);
        let mut begun = Places::default();
        self.lanes.iter().for_each(|lane| begun.add(lane.kind(), lane.in_flight.len()));
        for (endpoint, lane) in self.lanes.iter().enumerate() {
            let capped = (lane.on_probation() && suspects >= IN_FLIGHT / 2) || begun.left(lane.kind()) == 0;
            let may = lane.prefetched > 0 && lane.in_flight.len() < lane.limit() && !lane.rests(now);
            assert!(!may || full || capped, "endpoint {endpoint} may begin, and does not: {lane:?}");
        }
    }

    /// When a turn asks for nothing, no endpoint could be served.
    pub fn check_idle(&self, model: &Model) {
        let left = self.ready(model);
        assert!(left.is_empty() || self.free() == 0, "{left:?} are ready, and nobody serves them: {:?}", self.lanes);
    }

    /// No turn comes later than the first due delivery of its endpoint, or the end of its rest: none is forgotten.
    pub fn check_turns(&self, model: &Model, next_turn: Option<i64>) {
        for (endpoint, lane) in self.lanes.iter().enumerate() {
            let Some(due) = model.head(endpoint) else { continue };
            let turn = lane.turn.expect("what is pending has a turn");
            assert!(
                turn <= due.max(model.now),
                "endpoint {endpoint} has something due at {due}, and its turn at {turn}"
            );
            let (turn, due) = (lane.rest.map_or(turn, |rest| rest.max(turn)), lane.rest.unwrap_or(due).max(due));
            let is_awaited = turn > model.now && lane.has_place() && lane.asked == 0;
            assert!(
                !is_awaited || next_turn.is_some_and(|next| next <= due),
                "{next_turn:?} is too late for {endpoint}"
            );
        }
    }
}
