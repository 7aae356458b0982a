//! The delivery state machine against a plain model of it: whatever history befalls the queue, both come to the same.
//!
//! The store is driven directly, without doors or engine, so that a history of hundreds of steps takes milliseconds.

use std::time::Duration;

use proptest::prelude::*;

use crate::queue::Machine;

/// Longest a claim lasts in these histories, in milliseconds.
pub const LEASE: i64 = 70_000;
/// Most deliveries in flight to one endpoint.
pub const PER_ENDPOINT: usize = 3;
/// The waits of the two pages, in milliseconds: ASG's three attempts, AsiliChain's five.
const WAITS: [&[i64]; 2] = [&[1_000, 4_000], &[30_000, 300_000, 1_800_000, 7_200_000]];
/// The dialect that suspends a webhook whose delivery is given up.
const SUSPENDS: usize = 1;
const HOUR: i64 = 3_600_000;

/// What a receiver does.
#[derive(Debug, Clone, Copy)]
pub enum Reaction {
    Takes,
    Fails,
    /// Fails, and asks for a wait of so many seconds.
    Asks(u64),
    Gone,
    TimesOut,
}

/// One step of a history. Numbers name things modulo how many there are.
#[derive(Debug, Clone)]
pub enum Step {
    Register(usize),
    Publish(usize),
    Claim { free: usize, free_probation: usize },
    Settle(usize, Reaction),
    SettleLate(usize, Reaction),
    Crash,
    LeasesEnd,
    Suspend(usize),
    Resume(usize),
    Delete(usize),
    Replay(usize),
    Advance(i64),
    AdvanceToDue,
    AdvanceToJustBefore,
}

fn reaction() -> impl Strategy<Value = Reaction> {
    prop_oneof![
        3 => Just(Reaction::Takes),
        8 => Just(Reaction::Fails),
        2 => prop_oneof![Just(0), Just(2), Just(600), Just(9_999)].prop_map(Reaction::Asks),
        1 => Just(Reaction::Gone),
        2 => Just(Reaction::TimesOut),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let any = 0..10_000_usize;
    prop_oneof![
        1 => (0..2_usize).prop_map(Step::Register),
        6 => (0..2_usize).prop_map(Step::Publish),
        14 => (1..7_usize, 0..4_usize).prop_map(|(free, free_probation)| Step::Claim { free, free_probation }),
        20 => (any.clone(), reaction()).prop_map(|(which, reaction)| Step::Settle(which, reaction)),
        3 => (any.clone(), reaction()).prop_map(|(which, reaction)| Step::SettleLate(which, reaction)),
        1 => Just(Step::Crash),
        2 => Just(Step::LeasesEnd),
        2 => any.clone().prop_map(Step::Suspend),
        5 => any.clone().prop_map(Step::Resume),
        1 => any.clone().prop_map(Step::Delete),
        3 => any.prop_map(Step::Replay),
        3 => prop_oneof![Just(1), Just(999), Just(LEASE), 0..HOUR].prop_map(Step::Advance),
        10 => Just(Step::AdvanceToDue),
        3 => Just(Step::AdvanceToJustBefore),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Active,
    Suspended,
    Deleted,
}

/// An endpoint, as the model sees it.
#[derive(Debug, Clone)]
pub struct Place {
    pub dialect: usize,
    pub standing: Standing,
    /// How its last attempt ended, as far as that is known.
    pub promise: Promise,
}

/// What an endpoint has shown of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// Nothing yet.
    New,
    /// It ended an attempt in time.
    Proven,
    /// It let one time out since.
    Probation,
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
    pub life: Life,
    pub attempts: u32,
    pub tries: u32,
}

/// The design's table of states, and nothing else.
#[derive(Debug, Default)]
pub struct Model {
    pub now: i64,
    pub places: Vec<Place>,
    pub parcels: Vec<Parcel>,
}

impl Model {
    pub fn register(&mut self, dialect: usize) {
        self.places.push(Place { dialect, standing: Standing::Active, promise: Promise::New });
    }

    pub fn publish(&mut self, dialect: usize) {
        for place in 0..self.places.len() {
            if self.places[place].dialect == dialect && self.places[place].standing != Standing::Deleted {
                self.add(place);
            }
        }
    }

    pub fn add(&mut self, place: usize) {
        let life = match self.places[place].standing {
            Standing::Active => Life::Pending { due: self.now },
            Standing::Suspended => Life::Held,
            Standing::Deleted => Life::Cancelled,
        };
        self.parcels.push(Parcel { place, life, attempts: 0, tries: 0 });
    }

    pub fn claim(&mut self, parcel: usize) {
        let parcel = &mut self.parcels[parcel];
        parcel.life = Life::Claimed { since: self.now };
        parcel.attempts += 1;
        parcel.tries += 1;
    }

    pub fn settle(&mut self, parcel: usize, reaction: Reaction) {
        let Parcel { place, tries, .. } = self.parcels[parcel];
        let wait = WAITS[self.places[place].dialect].get(tries as usize - 1).copied();
        let asked = if let Reaction::Asks(seconds) = reaction { (seconds as i64 * 1000).min(HOUR) } else { 0 };
        let timed_out = matches!(reaction, Reaction::TimesOut);
        self.places[place].promise = if timed_out { Promise::Probation } else { Promise::Proven };
        self.parcels[parcel].life = match (reaction, wait) {
            (Reaction::Takes, _) => Life::Delivered,
            (Reaction::Gone, _) | (_, None) => Life::Exhausted,
            (_, Some(wait)) => self.again(place, self.now + wait.max(asked)),
        };
        if self.parcels[parcel].life == Life::Exhausted && self.places[place].dialect == SUSPENDS {
            self.suspend(place);
        }
    }

    /// Gives up the claims that began at this moment or before.
    pub fn recover(&mut self, until: i64) -> usize {
        let mut count = 0;
        for parcel in 0..self.parcels.len() {
            if matches!(self.parcels[parcel].life, Life::Claimed { since } if since <= until) {
                self.parcels[parcel].life = self.again(self.parcels[parcel].place, self.now);
                self.parcels[parcel].tries -= 1;
                count += 1;
            }
        }
        count
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

    pub fn resume(&mut self, place: usize) {
        if self.places[place].standing == Standing::Suspended {
            self.places[place].standing = Standing::Active;
            let due = self.now;
            for parcel in self.waiting(place) {
                (parcel.life, parcel.tries) = (Life::Pending { due }, 0);
            }
        }
    }

    pub fn delete(&mut self, place: usize) {
        self.places[place].standing = Standing::Deleted;
        for parcel in self.waiting(place) {
            parcel.life = Life::Cancelled;
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

    pub fn in_flight(&self, place: usize) -> usize {
        let flies = |parcel: &&Parcel| parcel.place == place && matches!(parcel.life, Life::Claimed { .. });
        self.parcels.iter().filter(flies).count()
    }

    /// Places in flight that an endpoint may hold.
    pub fn limit(&self, place: usize) -> usize {
        if self.places[place].promise == Promise::Proven { PER_ENDPOINT } else { 1 }
    }

    pub fn on_probation(&self, place: usize) -> bool {
        self.places[place].promise == Promise::Probation
    }

    /// When the first of what is pending for an endpoint is due.
    pub fn head(&self, place: usize) -> Option<i64> {
        let dues = self.parcels.iter().filter(|parcel| parcel.place == place).filter_map(Parcel::due);
        dues.min()
    }

    /// Whether an endpoint has something due and a place to send it from.
    pub fn is_ready(&self, place: usize) -> bool {
        self.head(place).is_some_and(|due| due <= self.now) && self.in_flight(place) < self.limit(place)
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
        machine.shows_the_same();
    }
}

#[test]
fn an_endpoint_that_never_answers_is_tried_as_often_as_its_page_says_and_no_more() {
    for (dialect, waits) in WAITS.iter().enumerate() {
        let mut machine = Machine::new();
        machine.take(&Step::Publish(dialect));
        for wait in waits.iter().copied().chain([0]) {
            machine.take(&Step::Claim { free: 1, free_probation: 1 });
            assert_eq!(machine.under_way(), 1, "it is tried when it is due");
            machine.take(&Step::Settle(0, Reaction::Fails));
            machine.take(&Step::Advance(wait));
            machine.agree(&"a wait has passed");
        }
        machine.take(&Step::Advance(HOUR * 24));
        machine.take(&Step::Claim { free: 1, free_probation: 1 });
        assert_eq!(machine.under_way(), 0, "no try is left");
    }
}

/// How long an attempt takes in these histories.
pub const TOOK: Duration = Duration::from_millis(12);
