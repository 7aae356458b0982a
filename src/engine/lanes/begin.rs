//! Which claim begins next.

use super::{Lane, Lanes, Started};
use crate::{clock::Stopwatch, domain::timestamp::Timestamp, store::queue::Claim};

impl Lanes {
    /// Whether a claim waits only for a processor.
    pub fn is_pressed(&self) -> bool {
        let waits = |at_once: bool| !self.hands[usize::from(at_once)].is_empty() && !self.has_processor(at_once);
        self.open && self.has_place() && (waits(false) || waits(true))
    }

    /// The next claim to begin, if one may begin now. Accounts take turns, and the endpoints of each.
    pub fn begin(&mut self, now: Timestamp) -> Option<Claim> {
        self.note_slow_attempts();
        if !self.open || !self.has_prefetched() || !self.has_place() {
            return None;
        }
        // Both kinds of receivers take turns.
        let at_once = self.begun.is_multiple_of(2);
        self.begin_one(now, at_once).or_else(|| self.begin_one(now, !at_once))
    }

    /// The next claim to a receiver that may answer at once, or to another.
    fn begin_one(&mut self, now: Timestamp, at_once: bool) -> Option<Claim> {
        let kind = usize::from(at_once);
        if !self.has_processor(at_once) {
            return None;
        }
        let limits = self.limits;
        // Claims made before their endpoint went on probation keep to its limit too.
        let trusted = self.taken.probation_in_flight < limits.on_probation();
        let others = self.taken.in_flight;
        let (mut begun, mut blocked) = (None, Vec::new());
        while begun.is_none()
            && let Some((account, endpoint)) = self.hands[kind].next()
        {
            begun = self.with(endpoint, |lane| {
                let has_place = lane.in_flight < lane.places(limits) && lane.may_start(limits, others, trusted);
                let begun = if has_place && !lane.rests(now) { lane.begin()? } else { return None };
                lane.rests_until = None;
                Some(begun)
            });
            let is_left = self.lanes.get(&endpoint).is_some_and(|lane| !lane.prefetched.is_empty());
            if is_left && begun.is_some() {
                self.put_in_hand(account, endpoint);
            } else if is_left {
                blocked.push((account, endpoint));
            }
        }
        blocked.into_iter().for_each(|(account, endpoint)| self.put_in_hand(account, endpoint));
        let claim = begun?;
        let (endpoint, since, number) = (claim.target.key, Stopwatch::start(), self.begun);
        self.in_flight.insert(claim.key, Started { attempt: claim.attempt, endpoint, since, number, is_slow: false });
        self.ages.begun((claim.key, number), at_once);
        self.begun += 1;
        Some(claim)
    }

    /// Moves the attempts that have become slow, and their endpoints, to the share of slow ones.
    fn note_slow_attempts(&mut self) {
        for (key, number) in self.ages.grown_older(self.limits.slow_after) {
            let started = self.in_flight.get_mut(&key).filter(|started| started.number == number);
            if let Some(started) = started {
                started.is_slow = true;
                let endpoint = started.endpoint;
                self.with(endpoint, Lane::grew_slow);
            }
        }
    }

    fn has_processor(&self, at_once: bool) -> bool {
        self.ages.at_work(at_once) < self.limits.at_work
    }
}
