//! The engine's own rounds, driven by hand: every claim, attempt and turn is compared with the model and with the rules
//! of the lanes.

use std::{collections::BTreeMap, fmt::Debug, sync::Arc, time::Duration};

use ngoma::{
    domain::timestamp::Timestamp,
    engine::{Round, lanes::AttemptResult},
    store::queue,
};

use crate::model::{
    lane_record::{LaneRecord, Reputation},
    machine::{Machine, Running, index, url},
    states::{Delivery, DeliveryState, EndpointState},
    steps::{Beside, Reaction},
    threads::{ChangeSeen, ClaimSeen, Returned, Seen, attempted},
};

/// A prefetched claim that has waited for longer is given back.
const OLD: Duration = Duration::from_secs(1);
/// More than any history leaves to be done.
const MOST_ROUNDS: usize = 10_000;
/// Milliseconds of an attempt whose end comes too late.
const TOOK: u64 = 12;
/// How often the engine writes its counts, in milliseconds.
const STATS_EVERY: i64 = 10_000;

impl Machine {
    /// One round of the engine. If it is `polled`, the engine has rested before it.
    pub fn turn(&mut self, polled: bool, beside: Beside) -> Round {
        let running = self.running();
        running.rounds.hear_all();
        running.rounds.begin_all();
        self.replay_seen();
        if self.is_open() {
            self.rules.check_begun(self.model.now);
        }
        self.running().threads.forward_reports();
        if polled {
            self.rest();
        }
        let polled = std::mem::take(&mut self.running().is_first) || polled;
        let wanted = self.running().rounds.wanted();
        let wanted: Vec<(usize, usize)> = wanted.iter().map(|(endpoint, quota)| (index(*endpoint), *quota)).collect();
        if self.is_open() {
            self.rules.check_wanted(&self.model, &wanted);
        } else {
            assert!(wanted.is_empty(), "closed lanes want nothing");
        }
        // A stop closes the lanes first.
        let wanted = if self.stopping { Vec::new() } else { wanted };
        let writes = self.counts_are_due() || polled || self.stopping || !wanted.is_empty() || self.has_outcomes();
        let round = self.write_turn(&wanted, writes, polled || self.stopping, beside);
        if self.is_open() {
            self.rules.check_begun(self.model.now);
        }
        self.check_granted();
        let now = Timestamp::from_millis(self.model.now);
        if self.is_open() && self.running().has_heard_all() && self.running().in_flight.lanes().wanted(now).is_empty() {
            self.rules.check_idle(&self.model);
        }
        round
    }

    fn is_open(&mut self) -> bool {
        self.running().in_flight.lanes().is_open()
    }

    fn has_outcomes(&mut self) -> bool {
        let threads = &self.running().threads;
        !threads.returned.is_empty() || !threads.lost.is_empty()
    }

    /// Whether the next round writes the engine's counts.
    fn counts_are_due(&mut self) -> bool {
        let now = self.model.now;
        let counts = &mut self.running().counts;
        let last = *counts.written_at.get_or_insert(now);
        counts.due |= now - last >= STATS_EVERY || now < last;
        counts.due
    }

    /// Has the engine rest until its time is over: its next round polls.
    fn rest(&mut self) {
        let now = Timestamp::from_millis(self.model.now);
        let Self { running, runtime, .. } = self;
        let Running { rounds, threads, stop, .. } = running.as_mut().expect("it runs");
        // Each claim that has come back may wake it once.
        for _ in 0..=threads.returned.len() {
            runtime.block_on(rounds.wait(Some(now), stop));
        }
    }

    /// Takes the engine's actions since the last time over into the rules, in order. Checks each claim and each
    /// attempt.
    pub fn replay_seen(&mut self) {
        for seen in self.running().threads.take_seen() {
            match seen {
                Seen::Heard { shifted, at, changes } => {
                    if shifted != 0 {
                        self.rules.shift(shifted);
                    }
                    changes.into_iter().for_each(|change| self.replay_change(change, at));
                }
                Seen::Begun { claim, at } => {
                    self.rules.begun(claim.endpoint, claim.delivery, at);
                    self.running().prefetched.retain(|one| one.delivery != claim.delivery);
                    if !claim.stale {
                        let endpoint = &self.model.endpoints[claim.endpoint];
                        assert_eq!(endpoint.state, EndpointState::Active, "an attempt begins at an inactive endpoint");
                        assert_eq!(claim.url, url(endpoint.address), "an attempt begins at a former URL");
                    }
                }
                Seen::Landed { result, returned } => {
                    let probation =
                        self.rules.ended(index(returned.claim.target.key), index(returned.claim.key), result);
                    self.running().threads.expected.push_back((returned, probation));
                }
            }
        }
    }

    fn replay_change(&mut self, change: ChangeSeen, at: i64) {
        match change {
            ChangeSeen::Due(endpoint, due) => self.rules.due(endpoint, due),
            ChangeSeen::Made(claim) => {
                self.check_claim(&claim);
                self.model.unheard -= 1;
                self.rules.lanes[claim.endpoint].prefetch(1);
                self.running().prefetched.push(claim);
            }
            ChangeSeen::TimedOut(endpoint) => self.rules.lanes[endpoint].suspect(),
            ChangeSeen::Rests(endpoint, until) => self.rules.rest(endpoint, until),
            ChangeSeen::Restarted(endpoint) => self.rules.restart(endpoint),
            ChangeSeen::Served { endpoint, claims, next } => {
                self.rules.served(endpoint, claims.len(), next, at);
                self.running().prefetched.extend(claims);
            }
        }
    }

    /// A claim is of a delivery that is claimed, in its present attempt, for its own endpoint.
    pub fn check_claim(&self, claim: &ClaimSeen) {
        assert_eq!(self.ids.get(claim.delivery), Some(&claim.id), "a claim of a delivery that is not there");
        let Delivery { endpoint, state, attempts, tries, .. } = self.model.deliveries[claim.delivery];
        assert!(matches!(state, DeliveryState::Claimed { .. }), "a claim of a delivery that is {state:?}");
        assert_eq!((claim.attempt, claim.tries), (attempts, tries));
        assert_eq!(claim.endpoint, endpoint);
        assert!(claim.tries <= self.model.allowed(endpoint), "tried more often than its page says");
    }

    /// An attempt under way ends.
    pub fn end(&mut self, which: usize, reaction: Reaction, took: u64) {
        let threads = &mut self.running().threads;
        if let Some(claim) = threads.take(which) {
            threads.end(claim, reaction, took);
            self.replay_seen();
        }
    }

    /// An end that comes too late changes nothing, neither in the lanes nor on disk.
    pub fn end_late(&mut self, which: usize, reaction: Reaction) {
        if let Some(claim) = self.over.get(which % self.over.len().max(1)).cloned() {
            let ended = self.running().in_flight.lanes().ended(claim.owner(), AttemptResult::TimedOut);
            assert_eq!(ended, None);
            let profile = self.profiles.get(&claim.target.profile).expect("a profile").clone();
            let settled = self.write(move |tx| queue::settle(tx, &claim, &attempted(reaction, TOOK), &profile));
            assert_eq!(settled.expect("it settles"), None, "a lost claim decides nothing");
        }
    }

    /// No attempt that is under way will ever end.
    pub fn lose_all(&mut self) {
        let running = self.running();
        running.rounds.give_up_lost(Duration::ZERO);
        assert_eq!(running.in_flight.lanes().in_flight(), 0, "all of them are lost");
        let lost = running.threads.take_all();
        for claim in &lost {
            self.rules.ended(index(claim.target.key), index(claim.key), AttemptResult::Unknown);
        }
        self.running().threads.lost.extend(lost);
    }

    /// The prefetched claims that the last round has given back: those that are not claimed any more, or were claimed
    /// anew.
    pub fn given_back(&mut self, claimed_anew: &[usize]) -> Vec<ClaimSeen> {
        let closed = !self.is_open();
        let prefetched = std::mem::take(&mut self.running().prefetched);
        let (kept, given_back): (Vec<_>, Vec<_>) = prefetched
            .into_iter()
            .partition(|claim| self.is_claimed(claim.delivery) && !claimed_anew.contains(&claim.delivery));
        self.running().prefetched = kept;
        let now = self.model.now;
        let goes = |lane: &LaneRecord| lane.reputation == Reputation::Probation || lane.rests(now);
        for claim in &given_back {
            let waits = goes(&self.rules.lanes[claim.endpoint]);
            assert!(closed || waits || self.since.elapsed() > OLD, "{:?}", self.rules.lanes[claim.endpoint]);
            self.rules.unsent(claim.endpoint);
        }
        let left = self.rules.lanes.iter().find(|lane| lane.prefetched > 0 && (closed || goes(lane)));
        assert!(left.is_none(), "it is all given back: {left:?}");
        given_back
    }

    /// Compares the claims at birth that the engine grants to publishes with the rules, and takes them over.
    fn check_granted(&mut self) {
        let (in_all, each) = self.running().db.claim_budget().left();
        let mut changed: BTreeMap<usize, usize> = each.into_iter().map(|(key, claims)| (index(key), claims)).collect();
        for (endpoint, claims) in &self.model.room.1 {
            if changed.get(endpoint).copied().unwrap_or(0) == *claims {
                changed.remove(endpoint);
            } else {
                changed.entry(*endpoint).or_insert(0);
            }
        }
        // The engine hears in its next round of a commit beside a failed turn.
        let heard_all = self.running().has_heard_all();
        self.rules.check_room(&self.model, in_all, &changed, heard_all);
        self.model.grant(in_all, changed);
        if self.is_open() {
            self.rules.check_room_left(&self.model);
        }
    }

    /// An engine's start: it takes up the deliveries of an earlier run, with these claims.
    pub fn recover(&mut self, claimed: &[usize]) {
        self.model.notice();
        let Self { running, runtime, .. } = self;
        runtime.block_on(running.as_mut().expect("it runs").rounds.take_up()).expect("it takes them up");
        claimed.iter().for_each(|delivery| self.model.recover(*delivery));
        self.model.room = Default::default();
        self.model.wasted = Default::default();
        self.model.unheard = 0;
        self.rules.start();
        // Pending deliveries are among the news.
        let running = self.running();
        running.rounds.hear_all();
        self.replay_seen();
        for (lane, endpoint) in self.rules.lanes.iter().zip(&self.model.endpoints) {
            let suspect = endpoint.timed_out && endpoint.state != EndpointState::Deleted;
            assert_eq!(lane.reputation == Reputation::Probation, suspect);
            let is_there = endpoint.state != EndpointState::Deleted;
            assert_eq!(lane.rest, endpoint.rests.filter(|rest| is_there && *rest > self.model.now));
        }
    }

    /// A stop lets attempts under way end, and gives back the rest: the next start has nothing to recover.
    pub fn stop(&mut self) {
        self.stopping = true;
        self.turn(false, Beside::Nothing);
        // A publish meanwhile is answered, and not claimed.
        self.publish(0, 0);
        for round in 0.. {
            assert!(round < MOST_ROUNDS, "it never ends");
            self.end_all();
            if self.turn(false, Beside::Nothing) == Round::Drained {
                break;
            }
        }
        assert_eq!(self.running().in_flight.lanes().busy(), 0);
        assert!(self.model.claimed().is_empty(), "a stop leaves no claim");
    }

    fn end_all(&mut self) {
        while self.under_way() > 0 {
            self.end(0, Reaction::Takes, 1);
        }
    }

    /// The lanes hold what the rules have counted, and no turn comes too late.
    pub fn agree_on_turns(&mut self, after: &dyn Debug) {
        let running = self.running();
        let lanes = running.in_flight.lanes();
        let (busy, in_flight) = (lanes.busy(), lanes.in_flight());
        drop(lanes);
        assert_eq!(in_flight, self.under_way(), "after {after:?}");
        assert_eq!(busy, self.rules.busy(), "after {after:?}");
        assert_eq!(busy + self.model.unheard, self.model.claimed().len(), "after {after:?}");
        if self.running().has_heard_all() && self.model.unnoticed == 0 {
            let now = Timestamp::from_millis(self.model.now);
            let next = self.running().in_flight.lanes().next_turn(now).map(Timestamp::millis);
            self.rules.check_turns(&self.model, next);
        }
    }

    /// From here on every receiver answers well, and the clock goes from turn to turn: nothing is late, nothing is
    /// left.
    pub fn comes_to_rest(&mut self) {
        for round in 0.. {
            assert!(round < MOST_ROUNDS, "it never comes to rest");
            self.end_all();
            self.turn(true, Beside::Nothing);
            self.agree(&"a turn at the end");
            let now = Timestamp::from_millis(self.model.now);
            let running = self.running();
            let wanted = running.in_flight.lanes().wanted(now);
            if running.threads.is_idle() && wanted.is_empty() {
                let next = running.in_flight.lanes().next_turn(now);
                let Some(next) = next else { break };
                let rest = |delivery: &Delivery| self.model.endpoints[delivery.endpoint].rests.unwrap_or(i64::MIN);
                let due = self.model.deliveries.iter().filter_map(|one| one.due().map(|due| due.max(rest(one))));
                let late = due.into_iter().find(|due| *due < next.millis());
                assert_eq!(late, None, "it is due before any turn");
                self.advance(next.millis() - now.millis());
            }
        }
        let is_left = |delivery: &&Delivery| {
            matches!(delivery.state, DeliveryState::Pending { .. } | DeliveryState::Claimed { .. })
        };
        assert_eq!(self.model.deliveries.iter().find(is_left), None, "it is left behind");
    }

    /// The model settles an attempt that was written, or gives a claim back that never began.
    pub fn follow(&mut self, Returned { claim, reaction }: Returned) {
        let delivery = index(claim.key);
        match reaction {
            Some(reaction) => {
                self.model.settle(delivery, reaction);
                self.over.push(Arc::clone(&claim));
            }
            None => self.model.give_back(delivery),
        }
    }
}
