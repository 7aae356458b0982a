//! Store and lanes against a plain model of them: whatever history befalls the queue, all come to the same.
//!
//! Both are driven directly, as the engine drives them, without doors, threads or sockets: so a history of hundreds of
//! steps takes milliseconds.

use std::collections::BTreeMap;

use proptest::prelude::*;

pub use crate::model::steps::{Beside, Reaction, Step};
use crate::model::{
    machine::Machine,
    steps::{HOUR, STEP, step},
};

/// Most attempts at the same time, and most of one endpoint.
pub const IN_FLIGHT: usize = 6;
pub const PER_ENDPOINT: usize = 3;
/// The waits of the two pages, in milliseconds: ASG's three attempts, AsiliChain's five.
const WAITS: [&[i64]; 2] = [&[1_000, 4_000], &[30_000, 300_000, 1_800_000, 7_200_000]];
/// The dialect that suspends a webhook whose delivery is given up.
const SUSPENDS: usize = 1;
/// The wait after a fault of our own.
const AFTER_A_FAULT: i64 = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Active,
    Suspended,
    Deleted,
}

/// An endpoint, as the model sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub dialect: usize,
    pub standing: Standing,
    /// Its URL is the first, the second and so on.
    pub address: usize,
    /// Whether its last attempt timed out, as far as that is written.
    pub timed_out: bool,
    /// The first delivery given up since its last success.
    pub outage: Option<usize>,
    pub resumed: Option<i64>,
}

/// A delivery, as the model sees it: the state and what belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    Pending { due: i64 },
    Claimed { since: i64 },
    Delivered,
    Exhausted,
    Held,
    Cancelled,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parcel {
    pub place: usize,
    pub event: usize,
    pub made: i64,
    pub life: Life,
    pub attempts: u32,
    pub tries: u32,
    /// The outage in which it was given up.
    pub outage: Option<usize>,
    pub replay: bool,
    pub replayed: bool,
}

/// The design's table of states, and nothing else.
#[derive(Debug, Default)]
pub struct Model {
    pub now: i64,
    /// By how much the clock was set since something was written.
    pub unnoticed: i64,
    pub places: Vec<Place>,
    pub parcels: Vec<Parcel>,
    /// How many were published.
    pub events: usize,
    /// The outage in which each was claimed last: a success ends it.
    pub claimed_in: BTreeMap<usize, Option<usize>>,
    /// How many new deliveries may be claimed as they are made: in all, and of each endpoint.
    pub room: (usize, BTreeMap<usize, usize>),
    /// How much of it was taken for nothing.
    pub wasted: BTreeMap<usize, usize>,
}

impl Model {
    pub fn register(&mut self, dialect: usize) {
        self.places.push(Place {
            dialect,
            standing: Standing::Active,
            address: 0,
            timed_out: false,
            outage: None,
            resumed: None,
        });
    }

    pub fn publish(&mut self, dialect: usize, large: bool) {
        let event = self.events;
        self.events += 1;
        for place in self.audience(dialect) {
            self.add(place, event);
            if !large && self.takes_room(place) {
                let parcel = self.parcels.len() - 1;
                self.claim(parcel);
            }
        }
    }

    /// It takes room, and leaves nothing else behind.
    pub fn publish_undone(&mut self, dialect: usize) {
        for place in self.audience(dialect) {
            let taken = usize::from(self.takes_room(place));
            *self.wasted.entry(place).or_default() += taken;
        }
    }

    fn audience(&self, dialect: usize) -> Vec<usize> {
        let wants =
            |place: &usize| self.places[*place].dialect == dialect && self.places[*place].standing != Standing::Deleted;
        (0..self.places.len()).filter(wants).collect()
    }

    fn takes_room(&mut self, place: usize) -> bool {
        let (in_all, each) = &mut self.room;
        let left = each.entry(place).or_default();
        let takes = self.places[place].standing == Standing::Active && *in_all > 0 && *left > 0;
        *in_all -= usize::from(takes);
        *left -= usize::from(takes);
        takes
    }

    /// Room is granted to these anew.
    pub fn grant(&mut self, in_all: usize, each: BTreeMap<usize, usize>) {
        self.wasted.retain(|place, _| !each.contains_key(place));
        self.room.0 = in_all;
        self.room.1.extend(each);
    }

    /// How much room an endpoint would have, had nothing been taken for nothing.
    pub fn room_of(&self, place: usize) -> usize {
        let count = |of: &BTreeMap<usize, usize>| of.get(&place).copied().unwrap_or(0);
        count(&self.room.1) + count(&self.wasted)
    }

    fn add(&mut self, place: usize, event: usize) {
        let life = self.again(place, self.now);
        let (made, outage) = (self.now, None);
        let (attempts, tries, replay, replayed) = (0, 0, false, false);
        self.parcels.push(Parcel { place, event, made, life, attempts, tries, outage, replay, replayed });
    }

    pub fn replay(&mut self, original: usize) {
        let Parcel { place, event, .. } = self.parcels[original];
        self.parcels[original].replayed = true;
        self.add(place, event);
        self.parcels.last_mut().expect("it was made").replay = true;
    }

    pub fn claim(&mut self, parcel: usize) {
        self.claimed_in.insert(parcel, self.places[self.parcels[parcel].place].outage);
        let parcel = &mut self.parcels[parcel];
        parcel.life = Life::Claimed { since: self.now };
        parcel.attempts += 1;
        parcel.tries += 1;
    }

    pub fn settle(&mut self, parcel: usize, reaction: Reaction) {
        let Parcel { place, tries, .. } = self.parcels[parcel];
        let wait = WAITS[self.places[place].dialect].get(tries as usize - 1).copied();
        let asked = if let Reaction::Asks(seconds) = reaction { (seconds as i64 * 1000).min(HOUR) } else { 0 };
        match reaction {
            Reaction::TimesOut => self.places[place].timed_out = true,
            Reaction::Breaks => self.parcels[parcel].tries -= 1,
            _ => self.places[place].timed_out = false,
        }
        self.parcels[parcel].life = match (reaction, wait) {
            (Reaction::Takes, _) => Life::Delivered,
            (Reaction::Breaks, _) => self.again(place, self.now + AFTER_A_FAULT),
            (Reaction::Gone, _) | (_, None) => Life::Exhausted,
            (_, Some(wait)) => self.again(place, self.now + wait.max(asked)),
        };
        match self.parcels[parcel].life {
            Life::Exhausted => {
                self.parcels[parcel].outage = Some(*self.places[place].outage.get_or_insert(parcel));
                if self.places[place].dialect == SUSPENDS {
                    self.suspend(place);
                }
            }
            Life::Delivered if self.claimed_in[&parcel] == self.places[place].outage => {
                self.places[place].outage = None
            }
            _ => {}
        }
    }

    /// An attempt that never began was never counted.
    pub fn give_back(&mut self, parcel: usize) {
        self.recover(parcel);
        self.parcels[parcel].attempts -= 1;
    }

    /// An attempt that nobody will report on costs no try, and what it was for goes back to its place in line.
    pub fn recover(&mut self, parcel: usize) {
        let Parcel { place, made, replay, .. } = self.parcels[parcel];
        let line = self.places[place].resumed.map_or(made, |resumed| made.max(resumed)).min(self.now);
        self.parcels[parcel].life = self.again(place, line - i64::from(replay));
        self.parcels[parcel].tries -= 1;
    }

    fn again(&self, place: usize, due: i64) -> Life {
        match self.places[place].standing {
            Standing::Active => Life::Pending { due },
            Standing::Suspended => Life::Held,
            Standing::Deleted => Life::Cancelled,
        }
    }

    pub fn suspend(&mut self, place: usize) {
        if self.places[place].standing == Standing::Active {
            self.places[place].standing = Standing::Suspended;
            for parcel in self.waiting(place) {
                parcel.life = Life::Held;
            }
        }
    }

    /// What a resume sends again: given up since the last success, and not replayed. In the order of the events.
    fn failed(&self, place: usize) -> Vec<usize> {
        let outage = self.places[place].outage;
        let is_failed = |parcel: &usize| {
            let parcel = &self.parcels[*parcel];
            parcel.place == place && parcel.outage.is_some() && parcel.outage == outage && !parcel.replayed
        };
        let mut failed: Vec<usize> = (0..self.parcels.len()).filter(is_failed).collect();
        failed.sort_by_key(|parcel| (self.parcels[*parcel].event, *parcel));
        failed
    }

    pub fn resume(&mut self, place: usize, resend: bool) {
        if self.places[place].standing == Standing::Suspended {
            self.places[place].standing = Standing::Active;
            let due = self.now;
            self.places[place].resumed = Some(due);
            for parcel in self.waiting(place) {
                (parcel.life, parcel.tries) = (Life::Pending { due }, 0);
            }
            // What failed goes before it.
            for failed in if resend { self.failed(place) } else { Vec::new() } {
                self.replay(failed);
                self.parcels.last_mut().expect("it was made").life = Life::Pending { due: due - 1 };
            }
        }
    }

    pub fn delete(&mut self, place: usize) {
        self.places[place].standing = Standing::Deleted;
        for parcel in self.waiting(place) {
            parcel.life = Life::Cancelled;
        }
    }

    /// A write sees how far the clock was set, and moves along what waits.
    pub fn notice(&mut self) {
        let by = std::mem::take(&mut self.unnoticed);
        for parcel in &mut self.parcels {
            if let Life::Pending { due } = &mut parcel.life
                && by.abs() >= STEP
            {
                *due += by;
            }
        }
        if by.abs() >= STEP {
            self.places.iter_mut().filter_map(|place| place.resumed.as_mut()).for_each(|resumed| *resumed += by);
        }
    }

    fn waiting(&mut self, place: usize) -> impl Iterator<Item = &mut Parcel> {
        let waits = move |parcel: &&mut Parcel| {
            parcel.place == place && matches!(parcel.life, Life::Pending { .. } | Life::Held)
        };
        self.parcels.iter_mut().filter(waits)
    }

    // What the queue's promises are about.

    /// Tries that one schedule allows.
    pub fn allowed(&self, place: usize) -> u32 {
        WAITS[self.places[place].dialect].len() as u32 + 1
    }

    pub fn claimed(&self) -> Vec<usize> {
        let is_claimed = |parcel: &usize| matches!(self.parcels[*parcel].life, Life::Claimed { .. });
        (0..self.parcels.len()).filter(is_claimed).collect()
    }

    /// When the first of what is pending for an endpoint is due.
    pub fn head(&self, place: usize) -> Option<i64> {
        self.dues(place).min()
    }

    /// How many deliveries of an endpoint are due.
    pub fn due(&self, place: usize) -> usize {
        self.dues(place).filter(|due| *due <= self.now).count()
    }

    fn dues(&self, place: usize) -> impl Iterator<Item = i64> {
        self.parcels.iter().filter(move |parcel| parcel.place == place).filter_map(Parcel::due)
    }
}

impl Parcel {
    pub fn due(&self) -> Option<i64> {
        if let Life::Pending { due } = self.life { Some(due) } else { None }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 100,
        // A failing history is printed; a file beside the sources would say no more.
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_happens_every_delivery_is_where_the_table_of_states_says(
        history in prop::collection::vec(step(), 1..300)
    ) {
        let mut machine = Machine::new();
        for step in &history {
            machine.take(step);
            machine.agree(step);
        }
        machine.comes_to_rest();
        machine.shows_the_same();
    }
}

#[test]
fn an_endpoint_that_never_answers_is_tried_as_often_as_its_page_says_and_no_more() {
    for (dialect, waits) in WAITS.iter().enumerate() {
        let mut machine = Machine::new();
        machine.take(&Step::Publish { dialect, large: false });
        for wait in waits.iter().copied().chain([0]) {
            machine.take(&Step::Turn(Beside::Nothing));
            assert_eq!(machine.under_way(), 1, "it is tried when it is due");
            machine.take(&Step::End { which: 0, reaction: Reaction::TimesOut, took: 10_000 });
            machine.take(&Step::Turn(Beside::Nothing));
            machine.take(&Step::Advance((wait - 1).max(0)));
            machine.take(&Step::Turn(Beside::Nothing));
            assert_eq!(machine.under_way(), 0, "and not before");
            machine.take(&Step::Advance(1));
            machine.agree(&"a wait has passed");
        }
        machine.take(&Step::Advance(HOUR * 24));
        machine.take(&Step::Poll);
        assert_eq!(machine.under_way(), 0, "no try is left");
    }
}
