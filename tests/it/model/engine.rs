//! The engine's own rounds, driven by hand: every claim, attempt and turn is compared with the model and with the rules
//! of the lanes.

use std::{collections::BTreeMap, fmt::Debug, time::Duration};

use ngoma::{
    domain::timestamp::Timestamp,
    engine::{lanes, round},
    store::queue,
};

use crate::model::{
    lane_rules::{LaneRecord, Reputation},
    machine::{Machine, index, url},
    states::{Delivery, DeliveryState, EndpointState},
    steps::{Beside, Reaction},
    threads::{ChangeSeen, ClaimSeen, Seen, attempted},
};

/// A prefetched claim that has waited for longer is given back.
const OLD: Duration = Duration::from_secs(1);
/// More than any history leaves to be done.
const MOST_ROUNDS: usize = 10_000;
/// Milliseconds of an attempt whose end comes too late.
const TOOK: u64 = 12;

impl Machine {
    /// One round of the engine.
    pub fn turn(&mut self, polled: bool, beside: Beside) {
        let now = Timestamp::from_millis(self.model.now);
        let running = self.running();
        running.round.collect(&mut running.threads, now, polled);
        let open = running.round.lanes().is_open();
        self.replay_seen();
        if open {
            self.rules.check_begun();
        }
        self.note_given_back(polled);
        let wanted = self.wanted();
        if open {
            self.rules.check_wanted(&self.model, &wanted);
        } else {
            assert!(wanted.is_empty(), "closed lanes want nothing");
        }
        if polled || !open || !self.running().round.work().is_empty() {
            self.write_turn(&wanted, beside);
            if open {
                self.rules.check_begun();
            }
        }
        self.grant();
        let now = Timestamp::from_millis(self.model.now);
        if open && self.running().threads.has_heard_all() && self.running().round.lanes().wanted(now).is_empty() {
            self.rules.check_idle(&self.model);
        }
    }

    /// The claims that the next turn asks for: endpoints, and how many of each.
    fn wanted(&mut self) -> Vec<(usize, usize)> {
        let wanted = &self.running().round.work().wanted;
        wanted.iter().map(|wanted| (index(wanted.endpoint), wanted.claims)).collect()
    }

    /// Takes the engine's actions since the last time over into the rules, in order. Checks each claim and each attempt.
    pub fn replay_seen(&mut self) {
        for seen in std::mem::take(&mut self.running().threads.seen) {
            match seen {
                Seen::Heard { shifted, at, changes } => {
                    if shifted != 0 {
                        self.rules.shift(shifted);
                    }
                    changes.into_iter().for_each(|change| self.replay_change(change, at));
                }
                Seen::Begun(claim) => {
                    self.rules.begun(claim.endpoint);
                    if !claim.stale {
                        let endpoint = &self.model.endpoints[claim.endpoint];
                        assert_eq!(endpoint.state, EndpointState::Active, "an attempt begins at an inactive endpoint");
                        assert_eq!(claim.url, url(endpoint.address), "an attempt begins at a former URL");
                    }
                }
                Seen::Landed { endpoint, ended, probation } => {
                    let expected = self.rules.ended(endpoint, ended);
                    assert_eq!(probation, expected, "whether it goes on probation, or off it");
                }
                Seen::Written { outcomes } => self.rules.unwritten -= outcomes,
            }
        }
    }

    fn replay_change(&mut self, change: ChangeSeen, at: i64) {
        match change {
            ChangeSeen::Due(endpoint, due) => self.rules.due(endpoint, due),
            ChangeSeen::Made(claim) => {
                self.check_claim(&claim);
                self.rules.lanes[claim.endpoint].prefetched += 1;
            }
            ChangeSeen::Suspect(endpoint) => self.rules.lanes[endpoint].reputation = Reputation::Probation,
            ChangeSeen::Served { endpoint, claims, next } => self.rules.served(endpoint, claims.len(), next, at),
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
        if threads.in_flight.is_empty() {
            return;
        }
        let claim = threads.in_flight.swap_remove(which % threads.in_flight.len());
        threads.end(claim, reaction, took);
        self.replay_seen();
    }

    /// An end that comes too late changes nothing, neither in the lanes nor on disk.
    pub fn end_late(&mut self, which: usize, reaction: Reaction) {
        if let Some(late) = self.over.get(which % self.over.len().max(1)).cloned() {
            assert_eq!(self.running().round.lanes().ended(late.claim.owner(), lanes::Ended::TimedOut), None);
            let profile = self.profiles.get(&late.claim.target.profile).expect("a profile").clone();
            let settled = self.write(move |tx| queue::settle(tx, &late.claim, &attempted(reaction, TOOK), &profile));
            assert_eq!(settled.expect("it settles"), None, "a lost claim decides nothing");
        }
    }

    /// No attempt that is under way will ever end.
    pub fn lose_all(&mut self) {
        let running = self.running();
        let before = running.round.work().lost.len();
        running.round.lose(Duration::ZERO);
        let mut lost = running.round.work().lost[before..].to_vec();
        let mut in_flight = std::mem::take(&mut running.threads.in_flight);
        lost.sort_unstable();
        in_flight.sort_unstable_by_key(|claim| claim.key);
        assert_eq!(lost, in_flight.iter().map(|claim| claim.key).collect::<Vec<_>>());
        for claim in &in_flight {
            self.rules.ended(index(claim.target.key), lanes::Ended::Unknown);
        }
        self.running().threads.lost.extend(in_flight);
    }

    /// Notes the prefetched claims that the round gives back.
    fn note_given_back(&mut self, polled: bool) {
        let running = self.running();
        let closed = !running.round.lanes().is_open();
        let ended = &running.round.work().ended;
        let given_back: Vec<usize> =
            ended[running.threads.noted..].iter().map(|ended| index(ended.claim.target.key)).collect();
        running.threads.noted = ended.len();
        assert!(polled || closed || given_back.is_empty(), "only a poll or a stop gives back");
        for endpoint in given_back {
            let suspect = self.rules.lanes[endpoint].reputation == Reputation::Probation;
            assert!(closed || suspect || self.since.elapsed() > OLD, "{:?}", self.rules.lanes[endpoint]);
            self.rules.unsent(endpoint);
        }
        if polled || closed {
            let goes = |lane: &&LaneRecord| lane.prefetched > 0 && (closed || lane.reputation == Reputation::Probation);
            assert_eq!(self.rules.lanes.iter().filter(goes).count(), 0, "it is all given back");
        }
    }

    fn grant(&mut self) {
        let now = Timestamp::from_millis(self.model.now);
        let (in_all, each) = self.running().round.grant(now);
        let each: BTreeMap<usize, usize> = each.into_iter().map(|(endpoint, room)| (index(endpoint), room)).collect();
        // A commit beside a failed turn is heard of in the next round.
        let heard_all = self.running().threads.has_heard_all();
        self.rules.check_room(&self.model, in_all, &each, heard_all);
        self.model.grant(in_all, each);
        if self.running().round.lanes().is_open() {
            self.rules.check_room_left(&self.model);
        }
    }

    /// An engine's start: it takes up the deliveries of an earlier run, with these claims.
    pub fn recover(&mut self, claimed: &[usize]) {
        self.model.notice();
        let db = self.running().db.clone();
        let recovered = self.runtime.block_on(round::recover(&db)).expect("it recovers");
        assert_eq!(recovered.len(), claimed.len());
        claimed.iter().for_each(|delivery| self.model.recover(*delivery));
        self.model.room = Default::default();
        self.rules.unwritten = 0;
        self.rules.lanes.iter_mut().for_each(|lane| *lane = LaneRecord::default());
        // Pending deliveries are among the news.
        let running = self.running();
        running.round.hear_and_begin(&mut running.threads);
        self.replay_seen();
        for (lane, endpoint) in self.rules.lanes.iter().zip(&self.model.endpoints) {
            let suspect = endpoint.timed_out && endpoint.state != EndpointState::Deleted;
            assert_eq!(lane.reputation == Reputation::Probation, suspect);
        }
    }

    /// A stop lets attempts under way end, and gives back the rest: the next start has nothing to recover.
    pub fn stop(&mut self) {
        self.running().round.close();
        self.model.room = Default::default();
        // A publish meanwhile is answered, and not claimed.
        self.publish(0, 0);
        for round in 0.. {
            assert!(round < MOST_ROUNDS, "it never ends");
            self.turn(false, Beside::Nothing);
            if self.running().round.lanes().busy() == 0 {
                break;
            }
            self.end_all();
        }
        assert!(self.model.claimed().is_empty(), "a stop leaves no claim");
    }

    fn end_all(&mut self) {
        while !self.running().threads.in_flight.is_empty() {
            self.end(0, Reaction::Takes, 1);
        }
    }

    /// The lanes hold what the rules have counted, and no turn comes too late.
    pub fn agree_on_turns(&mut self, after: &dyn Debug) {
        let running = self.running();
        let unheard = running.threads.unheard_claims();
        let lanes = running.round.lanes();
        let (busy, in_flight) = (lanes.busy(), lanes.flying());
        drop(lanes);
        assert_eq!(in_flight, running.threads.in_flight.len(), "after {after:?}");
        let heard_all = running.threads.has_heard_all();
        assert_eq!(busy, self.rules.busy(), "after {after:?}");
        assert_eq!(busy + unheard, self.model.claimed().len(), "after {after:?}");
        if heard_all && self.model.unnoticed == 0 {
            let now = Timestamp::from_millis(self.model.now);
            let next = self.running().round.lanes().next_turn(now).map(Timestamp::millis);
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
            let idle = running.threads.is_idle() && running.round.work().is_empty();
            if idle && running.round.lanes().wanted(now).is_empty() {
                let next = running.round.lanes().next_turn(now);
                let Some(next) = next else { break };
                let late = self.model.deliveries.iter().filter_map(Delivery::due).find(|due| *due < next.millis());
                assert_eq!(late, None, "it is due before any turn");
                self.advance(next.millis() - now.millis());
            }
        }
        let is_left = |delivery: &&Delivery| {
            matches!(delivery.state, DeliveryState::Pending { .. } | DeliveryState::Claimed { .. })
        };
        assert_eq!(self.model.deliveries.iter().find(is_left), None, "it is left behind");
    }
}
