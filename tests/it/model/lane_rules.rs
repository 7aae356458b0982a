//! What the lanes promise, kept beside them by plain counting: whose turn it is, who holds how much, how each behaved.

use std::collections::BTreeMap;

use ngoma::engine::lanes::{Ended, SLOW};

use crate::model::states::{IN_FLIGHT, Model, PER_ENDPOINT};

/// Most claims for each place of an endpoint, and most of all endpoints beyond the places there are.
const MOST_FOR_A_PLACE: usize = 32;
const MOST_AHEAD_IN_ALL: usize = 512;
/// Places of all that are not fast, without those that the new may have beyond them, and with these.
const SLOW_PLACES: usize = IN_FLIGHT * 3 / 4;
const SLOW_AND_NEW_PLACES: usize = IN_FLIGHT * 7 / 8;

/// What an endpoint has shown of itself since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Promise {
    /// Nothing.
    #[default]
    New,
    /// Its last attempt failed.
    Failing,
    /// It ended its last attempt well, but slowly.
    Slow,
    /// It ended its last attempt well.
    Proven,
    /// It let one time out since.
    Probation,
}

/// An endpoint's page.
#[derive(Debug, Clone, Default)]
pub struct Page {
    pub promise: Promise,
    /// Claimed, not begun.
    pub hand: usize,
    /// Begun, not ended.
    pub flying: usize,
    /// The moment of its turn, as far as the engine has heard.
    pub turn: Option<i64>,
}

impl Page {
    /// Attempts that it may have under way.
    fn limit(&self) -> usize {
        if matches!(self.promise, Promise::Proven | Promise::Slow) { PER_ENDPOINT } else { 1 }
    }

    /// Claims that it may hold.
    fn most(&self) -> usize {
        if self.promise == Promise::Proven { PER_ENDPOINT * MOST_FOR_A_PLACE } else { self.limit() }
    }

    /// Places that it takes: what is under way has one.
    fn placed(&self) -> usize {
        self.held().min(self.limit()).max(self.flying)
    }

    fn is_fast(&self) -> bool {
        self.promise == Promise::Proven
    }

    /// Places that it may hold together with all that are not fast.
    fn part(&self) -> usize {
        match self.promise {
            Promise::Proven => IN_FLIGHT,
            Promise::New => SLOW_AND_NEW_PLACES,
            Promise::Slow | Promise::Failing | Promise::Probation => SLOW_PLACES,
        }
    }

    fn held(&self) -> usize {
        self.hand + self.flying
    }

    fn has_place(&self) -> bool {
        self.held() < self.limit()
    }

    fn on_probation(&self) -> bool {
        self.promise == Promise::Probation
    }
}

#[derive(Debug, Default)]
pub struct Book {
    pub pages: Vec<Page>,
    /// Ended or given back, but not on disk.
    pub unwritten: usize,
}

impl Book {
    pub fn due(&mut self, place: usize, at: i64) {
        let turn = &mut self.pages[place].turn;
        *turn = Some(turn.map_or(at, |turn| turn.min(at)));
    }

    pub fn shift(&mut self, by: i64) {
        for turn in self.pages.iter_mut().filter_map(|page| page.turn.as_mut()) {
            *turn += by;
        }
    }

    pub fn served(&mut self, place: usize, claims: usize, next: Option<i64>, now: i64) {
        self.pages[place].turn = next.map(|next| next.max(now));
        self.pages[place].hand += claims;
    }

    /// An attempt begins; at no other moment do the limits bind.
    pub fn begun(&mut self, place: usize) {
        let page = &mut self.pages[place];
        assert!(page.hand > 0, "what begins was in hand");
        (page.hand, page.flying) = (page.hand - 1, page.flying + 1);
        assert!(page.flying <= page.limit(), "endpoint {place} has more under way than it may: {page:?}");
        let under_way = self.flying(|_| true) + self.unwritten;
        assert!(under_way <= IN_FLIGHT, "{under_way} are under way or not written");
        let slow = self.flying(|page| !page.is_fast());
        assert!(self.pages[place].is_fast() || slow <= self.pages[place].part(), "{slow} of {IN_FLIGHT} are slow");
        let suspects = self.flying(Page::on_probation);
        assert!(
            !self.pages[place].on_probation() || suspects <= IN_FLIGHT / 2,
            "{suspects} of {IN_FLIGHT} on probation"
        );
    }

    /// An attempt has ended. Says whether the endpoint goes on probation, or off it.
    pub fn ended(&mut self, place: usize, ended: Ended) -> Option<bool> {
        self.unwritten += 1;
        let page = &mut self.pages[place];
        page.flying -= 1;
        let before = page.on_probation();
        match ended {
            Ended::Well(took) if took > SLOW => page.promise = Promise::Slow,
            Ended::Well(_) => page.promise = Promise::Proven,
            Ended::Failed => page.promise = Promise::Failing,
            Ended::TimedOut => page.promise = Promise::Probation,
            Ended::Unknown => {}
        }
        (page.on_probation() != before).then_some(!before)
    }

    /// A claim goes out of hand without an attempt.
    pub fn unsent(&mut self, place: usize) {
        self.pages[place].hand -= 1;
        self.unwritten += 1;
    }

    /// Claims that nobody else may have.
    pub fn busy(&self) -> usize {
        self.pages.iter().map(Page::held).sum::<usize>() + self.unwritten
    }

    fn flying(&self, which: impl Fn(&Page) -> bool) -> usize {
        self.pages.iter().filter(|page| which(page)).map(|page| page.flying).sum()
    }

    fn free(&self) -> usize {
        let placed =
            |fast: bool| -> usize { self.pages.iter().filter(|page| page.is_fast() == fast).map(Page::placed).sum() };
        IN_FLIGHT.saturating_sub(placed(true) + placed(false).min(SLOW_AND_NEW_PLACES))
    }

    /// What is free of its part.
    fn free_for(&self, page: &Page) -> usize {
        let placed = self.pages.iter().filter(|page| !page.is_fast()).map(Page::placed);
        if page.is_fast() { self.free() } else { page.part().saturating_sub(placed.sum()).min(self.free()) }
    }

    fn free_on_probation(&self) -> usize {
        let held = self.pages.iter().filter(|page| page.on_probation()).map(Page::held);
        (IN_FLIGHT / 2).saturating_sub(held.sum())
    }

    /// Has something due, and a place to send it from.
    fn is_ready(&self, model: &Model, place: usize) -> bool {
        let page = &self.pages[place];
        model.due(place) > 0
            && page.has_place()
            && self.free_for(page) > 0
            && (!page.on_probation() || self.free_on_probation() > 0)
    }

    fn ready(&self, model: &Model) -> Vec<usize> {
        if model.unnoticed != 0 {
            // Nobody can tell before the clock is set right.
            return Vec::new();
        }
        (0..self.pages.len()).filter(|place| self.is_ready(model, *place)).collect()
    }

    /// What is asked for in a turn is what may be claimed, and goes to whoever has waited longest.
    pub fn judge_wanted(&self, model: &Model, wanted: &[(usize, usize)]) {
        let quotas: BTreeMap<usize, usize> = wanted.iter().copied().collect();
        assert_eq!(quotas.len(), wanted.len(), "each is asked for once");
        let mut placed: BTreeMap<usize, usize> = BTreeMap::new();
        for (place, quota) in &quotas {
            let page = &self.pages[*place];
            let places = (*quota).min(page.limit().saturating_sub(page.held()));
            assert!(page.held() + quota <= page.most(), "endpoint {place} would hold too much: {quota} for {page:?}");
            placed.insert(*place, places);
        }
        let places: usize = placed.values().sum();
        let ahead = quotas.values().sum::<usize>() - places;
        let slow: usize = placed.iter().filter(|(place, _)| !self.pages[**place].is_fast()).map(|(_, n)| n).sum();
        for (place, _) in placed.iter().filter(|(_, places)| **places > 0) {
            let page = &self.pages[*place];
            let theirs = placed.iter().filter(|(rival, _)| self.pages[**rival].part() <= page.part());
            let theirs: usize = theirs.map(|(_, places)| places).sum();
            assert!(theirs <= self.free_for(page), "{:?} would take the places of those of whom more is known", page);
        }
        let suspects: usize =
            quotas.iter().filter(|(place, _)| self.pages[**place].on_probation()).map(|(_, n)| n).sum();
        assert!(places <= self.free(), "more is claimed than there are places");
        assert!(ahead <= MOST_AHEAD_IN_ALL, "more is claimed ahead than may be");
        assert!(suspects <= self.free_on_probation(), "those on probation would hold more than half");
        for place in self.ready(model) {
            if placed.get(&place).is_some_and(|places| *places > 0) {
                continue;
            }
            let page = &self.pages[place];
            let suspected = page.on_probation() && suspects == self.free_on_probation();
            let slowed = !page.is_fast() && slow >= self.free_for(page);
            assert!(suspected || slowed || places == self.free(), "endpoint {place} waits while a place is free");
            let rivals = placed.iter().filter(|(rival, places)| {
                let rival = &self.pages[**rival];
                **places > 0 && (!suspected || rival.on_probation()) && (!slowed || rival.part() <= page.part())
            });
            for (rival, places) in rivals {
                assert!(*places <= 1, "{rival} gets a second before endpoint {place} has had a first");
                let (first, second) = (self.pages[*rival].turn, self.pages[place].turn);
                assert!(first <= second, "endpoint {place} has waited longer than {rival}: {second:?}, {first:?}");
            }
        }
    }

    /// New deliveries are claimed as they are made only where nothing older waits, and no more than may be held.
    pub fn judge_room(&self, model: &Model, in_all: usize, each: &BTreeMap<usize, usize>) {
        assert!(in_all <= self.free() + MOST_AHEAD_IN_ALL);
        for (place, room) in each {
            let page = &self.pages[*place];
            assert!(
                page.held() + room <= page.most().max(page.held()),
                "too much room for {place}: {room} for {page:?}"
            );
            assert!(*room == 0 || !page.on_probation(), "room for {place}, which is on probation");
            let waits = model.unnoticed == 0 && model.due(*place) > 0;
            assert!(*room == 0 || !waits, "room for {place}, where older ones wait");
        }
    }

    /// A proven endpoint for which nothing waits has room: what is published for it is sent at once.
    pub fn judge_room_left(&self, model: &Model) {
        for (place, page) in self.pages.iter().enumerate() {
            let waits = model.unnoticed != 0 || page.turn.is_some_and(|turn| turn <= model.now);
            if page.promise == Promise::Proven && !waits {
                let places = page.limit().saturating_sub(page.held());
                assert!(model.room_of(place) >= places, "no room for {place}: {page:?}");
            }
        }
    }

    /// Whatever may begin has begun.
    pub fn judge_begun(&self) {
        let full = self.flying(|_| true) + self.unwritten >= IN_FLIGHT;
        let suspects = self.flying(Page::on_probation);
        let slow = self.flying(|page| !page.is_fast());
        for (place, page) in self.pages.iter().enumerate() {
            let capped = (page.on_probation() && suspects >= IN_FLIGHT / 2) || (!page.is_fast() && slow >= page.part());
            let may = page.hand > 0 && page.flying < page.limit();
            assert!(!may || full || capped, "endpoint {place} may begin, and does not: {page:?}");
        }
    }

    /// Once nothing more is asked for, nobody is left who could be served.
    pub fn judge_rest(&self, model: &Model) {
        let left = self.ready(model);
        assert!(left.is_empty() || self.free() == 0, "{left:?} are ready, and nobody serves them: {:?}", self.pages);
    }

    /// No turn comes later than something is due, so nothing is forgotten.
    pub fn judge_turns(&self, model: &Model, next_turn: Option<i64>) {
        for (place, page) in self.pages.iter().enumerate() {
            let Some(due) = model.head(place) else { continue };
            let turn = page.turn.expect("what is pending has a turn");
            assert!(turn <= due.max(model.now), "endpoint {place} has something due at {due}, and its turn at {turn}");
            let is_awaited = turn > model.now && page.has_place();
            assert!(!is_awaited || next_turn.is_some_and(|next| next <= due), "{next_turn:?} is too late for {place}");
        }
    }
}
