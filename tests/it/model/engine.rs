//! The engine's side of the machine: it hears, begins, writes and claims as the engine's loop does, one round a step.

use std::{collections::BTreeMap, fmt::Debug, sync::Arc, time::Duration};

use ngoma::{
    domain::timestamp::Timestamp,
    engine::lanes,
    store::{
        Change,
        queue::{self, Claim, Lost},
    },
};

use crate::model::{
    lane_rules::{Page, Promise},
    machine::{Ended, Machine, index, key, url},
    states::{Beside, Life, Parcel, Reaction, Standing},
    writes::attempted,
};

/// What is in hand for so long is given back.
const OLD: Duration = Duration::from_secs(1);
/// More than any history leaves to be done.
const MOST_ROUNDS: usize = 10_000;

impl Machine {
    /// One round of the engine's loop.
    pub fn turn(&mut self, polled: bool, beside: Beside) {
        self.hear();
        self.launch();
        if polled || !self.running().lanes.is_open() {
            self.take_back();
        }
        let now = Timestamp::from_millis(self.model.now);
        let wanted = self.running().lanes.wanted(now);
        let places: Vec<(usize, usize)> = wanted.iter().map(|(endpoint, quota)| (index(*endpoint), *quota)).collect();
        if self.running().lanes.is_open() {
            self.book.judge_wanted(&self.model, &places);
        } else {
            assert!(places.is_empty(), "nothing is wanted any more");
        }
        let running = self.running();
        let idle = running.ended.is_empty() && running.lost.is_empty() && wanted.is_empty();
        if polled || !running.lanes.is_open() || !idle {
            self.write_turn(wanted, beside);
            self.launch();
        }
        self.grant();
        let now = Timestamp::from_millis(self.model.now);
        let lanes = &self.running().lanes;
        if lanes.is_open() && lanes.wanted(now).is_empty() {
            self.book.judge_rest(&self.model);
        }
    }

    /// The engine comes to the news of every commit so far.
    pub fn hear(&mut self) {
        self.receive();
        for news in std::mem::take(&mut self.running().unheard) {
            if news.shifted != 0 {
                self.running().lanes.shift(news.shifted);
                self.book.shift(news.shifted);
            }
            for change in news.changes {
                self.hear_of(change, news.at);
            }
        }
    }

    fn hear_of(&mut self, change: Change, at: Timestamp) {
        match change {
            Change::Due(endpoint, due) => {
                self.book.due(index(endpoint), due.millis());
                self.running().lanes.due(endpoint, due);
            }
            Change::Made(claim) => {
                self.check_claim(&claim);
                self.book.pages[index(claim.target.key)].hand += 1;
                self.running().lanes.take_in_hand(claim);
            }
            Change::Suspect(endpoint) => {
                self.book.pages[index(endpoint)].promise = Promise::Probation;
                self.running().lanes.suspect(endpoint);
            }
            Change::Served(claimed) => {
                let (place, next) = (index(claimed.endpoint), claimed.next.map(Timestamp::millis));
                self.book.served(place, claimed.claims.len(), next, at.millis());
                self.running().lanes.served(claimed, at);
            }
            Change::Alert => {}
        }
    }

    /// News lie there until the engine comes to them.
    pub fn receive(&mut self) {
        let running = self.running();
        while let Ok(news) = running.news.try_recv() {
            running.unheard.push(news);
        }
    }

    /// A claim is of a delivery that is claimed, in its present attempt, for where its endpoint was.
    pub fn check_claim(&self, claim: &Claim) {
        let index = index(claim.key);
        assert_eq!(self.ids.get(index), Some(&claim.delivery), "a claim of what is not there");
        let Parcel { place, life, attempts, tries, .. } = self.model.parcels[index];
        assert!(matches!(life, Life::Claimed { .. }), "a claim of what is {life:?}");
        assert_eq!((claim.attempt, claim.tries), (attempts, tries));
        assert_eq!(claim.target.key, key(place));
        assert!(claim.tries <= self.model.allowed(place), "tried more often than its page says");
    }

    /// Begins whatever may begin.
    fn launch(&mut self) {
        while let Some(claim) = self.running().lanes.begin() {
            self.fly(claim);
        }
        if self.running().lanes.is_open() {
            self.book.judge_begun();
        }
    }

    /// A thread's way from claim to claim, until an attempt is under way.
    fn fly(&mut self, claim: Claim) {
        let mut next = Some(claim);
        while let Some(claim) = next {
            let place = index(claim.target.key);
            self.book.begun(place);
            if !claim.target.is_stale() {
                let present = url(self.model.places[place].address);
                assert_eq!(self.model.places[place].standing, Standing::Active, "an attempt begins that nobody wants");
                assert_eq!(claim.target.url, present, "an attempt begins at an address that was left");
                self.running().flights.push(Arc::new(claim));
                return;
            }
            next = self.land(Arc::new(claim), None, lanes::Ended::Unknown);
        }
    }

    fn land(&mut self, claim: Arc<Claim>, reaction: Option<Reaction>, ended: lanes::Ended) -> Option<Claim> {
        let expected = self.book.ended(index(claim.target.key), ended);
        let probation = self.running().lanes.ended(claim.owner(), ended);
        assert_eq!(probation, Some(expected), "whether it goes on probation, or off it");
        self.running().ended.push(Ended { claim, reaction, probation: expected });
        self.running().lanes.begin()
    }

    pub fn end(&mut self, which: usize, reaction: Reaction, took: u64) {
        let flights = &mut self.running().flights;
        if flights.is_empty() {
            return;
        }
        let claim = flights.swap_remove(which % flights.len());
        let ended = match reaction {
            Reaction::TimesOut => lanes::Ended::TimedOut,
            Reaction::Breaks => lanes::Ended::Unknown,
            Reaction::Takes => lanes::Ended::Well(Duration::from_millis(took)),
            Reaction::Fails | Reaction::Asks(_) | Reaction::Gone => lanes::Ended::Failed,
        };
        if let Some(next) = self.land(claim, Some(reaction), ended) {
            self.fly(next);
        }
    }

    /// Whoever comes late changes nothing, neither in the lanes nor on disk.
    pub fn end_late(&mut self, which: usize, reaction: Reaction) {
        if let Some(claim) = self.over.get(which % self.over.len().max(1)).cloned() {
            assert_eq!(self.running().lanes.ended(claim.owner(), lanes::Ended::TimedOut), None);
            let profile = self.profiles.get(&claim.target.profile).expect("a profile").clone();
            let settled = self.write(move |tx| queue::settle(tx, &claim, &attempted(reaction), &profile));
            assert_eq!(settled.expect("it settles"), None, "a lost claim decides nothing");
        }
    }

    /// No attempt that is under way will ever end.
    pub fn lose_all(&mut self) {
        let running = self.running();
        let mut lost = running.lanes.lost(Duration::ZERO);
        let mut flights = std::mem::take(&mut running.flights);
        lost.sort_unstable();
        flights.sort_unstable_by_key(|claim| claim.key);
        assert_eq!(lost, flights.iter().map(|claim| claim.key).collect::<Vec<_>>());
        for claim in &flights {
            self.book.ended(index(claim.target.key), lanes::Ended::Unknown);
        }
        self.running().lost.extend(flights);
    }

    /// What will not begin soon goes out of hand.
    fn take_back(&mut self) {
        let closed = !self.running().lanes.is_open();
        for claim in self.running().lanes.overdue() {
            let place = index(claim.target.key);
            let suspect = self.book.pages[place].promise == Promise::Probation;
            assert!(closed || suspect || self.since.elapsed() > OLD, "{:?}", self.book.pages[place]);
            self.book.unsent(place);
            self.running().ended.push(Ended { claim: Arc::new(claim), reaction: None, probation: None });
        }
        let hands =
            self.book.pages.iter().filter(|page| page.hand > 0 && (closed || page.promise == Promise::Probation));
        assert_eq!(hands.count(), 0, "it is all given back");
    }

    fn grant(&mut self) {
        let now = Timestamp::from_millis(self.model.now);
        let (in_all, each) = self.running().lanes.room(now);
        self.running().db.room().grant(in_all, each.clone());
        let each: BTreeMap<usize, usize> = each.into_iter().map(|(endpoint, room)| (index(endpoint), room)).collect();
        self.book.judge_room(&self.model, in_all, &each);
        self.model.grant(in_all, each);
        if self.running().lanes.is_open() {
            self.book.judge_room_left(&self.model);
        }
    }

    /// What the engine does first: takes up what an earlier run has left. These claims are found.
    pub fn recover(&mut self, claimed: &[usize]) {
        let recovered = self.write(|tx| {
            let recovered = queue::recover(tx, &Lost::All)?;
            queue::take_up(tx)?;
            Ok(recovered)
        });
        assert_eq!(recovered.expect("it recovers").len(), claimed.len());
        claimed.iter().for_each(|parcel| self.model.recover(*parcel));
        self.model.room = Default::default();
        self.book.unwritten = 0;
        self.book.pages.iter_mut().for_each(|page| *page = Page::default());
        // What is pending is among the news.
        self.hear();
        for (page, place) in self.book.pages.iter().zip(&self.model.places) {
            assert_eq!(page.promise == Promise::Probation, place.timed_out && place.standing != Standing::Deleted);
        }
    }

    /// A stop lets what is under way end, and gives back the rest: nothing is left for the next start to recover.
    pub fn stop(&mut self) {
        self.running().db.room().close();
        self.running().lanes.close();
        self.model.room = Default::default();
        // Whoever publishes meanwhile is answered, and nobody claims it.
        self.publish(0, 0);
        for round in 0.. {
            assert!(round < MOST_ROUNDS, "it never ends");
            self.turn(false, Beside::Nothing);
            if self.running().lanes.busy() == 0 {
                break;
            }
            while !self.running().flights.is_empty() {
                self.end(0, Reaction::Takes, 1);
            }
        }
        assert!(self.model.claimed().is_empty(), "a stop leaves no claim");
    }

    /// Lanes and count agree on who holds what, and no turn comes too late.
    pub fn agree_on_turns(&mut self, after: &dyn Debug) {
        self.receive();
        let unheard = self.running().unheard.iter().flat_map(|news| &news.changes);
        let unheard = unheard.filter(|change| matches!(change, Change::Made(_))).count();
        let (busy, flying) = (self.running().lanes.busy(), self.running().lanes.flying());
        assert_eq!((busy, flying), (self.book.busy(), self.running().flights.len()), "after {after:?}");
        assert_eq!(busy + unheard, self.model.claimed().len(), "after {after:?}");
        if self.running().unheard.is_empty() && self.model.unnoticed == 0 {
            let now = Timestamp::from_millis(self.model.now);
            let next = self.running().lanes.next_turn(now).map(Timestamp::millis);
            self.book.judge_turns(&self.model, next);
        }
    }

    /// From here on everybody answers well, and the clock goes from turn to turn: nothing is late, nothing is left.
    pub fn comes_to_rest(&mut self) {
        for round in 0.. {
            assert!(round < MOST_ROUNDS, "it never comes to rest");
            while !self.running().flights.is_empty() {
                self.end(0, Reaction::Takes, 1);
            }
            self.turn(true, Beside::Nothing);
            self.agree(&"a turn at the end");
            let now = Timestamp::from_millis(self.model.now);
            let running = self.running();
            if running.flights.is_empty() && running.ended.is_empty() && running.lanes.wanted(now).is_empty() {
                let Some(next) = running.lanes.next_turn(now) else { break };
                let late = self.model.parcels.iter().filter_map(Parcel::due).find(|due| *due < next.millis());
                assert_eq!(late, None, "it is due before any turn");
                self.advance(next.millis() - now.millis());
            }
        }
        let is_left = |parcel: &&Parcel| matches!(parcel.life, Life::Pending { .. } | Life::Claimed { .. });
        assert_eq!(self.model.parcels.iter().find(is_left), None, "it is left behind");
    }
}
