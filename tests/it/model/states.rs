//! A plain model of the queue: the design's table of states, and nothing else.

use std::{collections::BTreeMap, time::Duration};

use crate::model::steps::{HOUR, Reaction, STEP};

/// Most attempts at the same time, and most of one endpoint.
pub const IN_FLIGHT: usize = 6;
pub const PER_ENDPOINT: usize = 3;
/// An answer that takes longer is slow. Every history is shorter.
pub const SLOW_AFTER: Duration = Duration::from_secs(60);
/// The waits of the two pages, in milliseconds: ASG's three attempts, AsiliChain's five.
pub const WAITS: [&[i64]; 2] = [&[1_000, 4_000], &[30_000, 300_000, 1_800_000, 7_200_000]];
/// The vendor that suspends a webhook whose delivery is given up.
const SUSPENDS: usize = 1;
/// The wait after a fault of our own.
const AFTER_A_FAULT: i64 = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointState {
    Active,
    Suspended,
    Deleted,
}

/// An endpoint, as the model sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub vendor: usize,
    pub state: EndpointState,
    /// Its URL is the first, the second and so on.
    pub address: usize,
    /// Whether its last attempt timed out, as far as that is written.
    pub timed_out: bool,
    /// The first delivery given up since its last success.
    pub outage: Option<usize>,
    pub resumed: Option<i64>,
    /// Its receiver asked for no delivery before this moment.
    pub rests: Option<i64>,
    /// How often its receiver has turned from succeeding to failing, or back.
    pub turns: u64,
}

/// The state of a delivery, with its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    Pending { due: i64 },
    Claimed { since: i64 },
    Delivered,
    Exhausted,
    Held,
    Cancelled,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub endpoint: usize,
    pub event: usize,
    pub made: i64,
    pub state: DeliveryState,
    pub attempts: u32,
    pub tries: u32,
    /// The outage in which it was given up.
    pub outage: Option<usize>,
    pub replay: bool,
    pub replayed: bool,
    /// It failed, and no replay of its event has been delivered since, or failed in its place.
    pub missed: bool,
    /// The turns of its endpoint at the first failure of its schedule.
    pub first_failed: Option<u64>,
}

/// The design's table of states, and nothing else.
#[derive(Debug, Default)]
pub struct Model {
    pub now: i64,
    /// Whether a delivery that is given up suspends its endpoint only if nothing was delivered to it meanwhile.
    pub only_dead: bool,
    /// By how much the clock was set since something was written.
    pub unnoticed: i64,
    pub endpoints: Vec<Endpoint>,
    pub deliveries: Vec<Delivery>,
    /// How many were published.
    pub events: usize,
    /// The outage in which each was claimed last: a success ends it.
    pub claimed_in: BTreeMap<usize, Option<usize>>,
    /// The URL for which each was claimed last: a rest is for that one.
    pub claimed_for: BTreeMap<usize, usize>,
    /// The turns of its endpoint when each was claimed last: a success turns that one back.
    pub claimed_at_turn: BTreeMap<usize, u64>,
    /// How many new deliveries may be claimed as they are made: in all, and of each endpoint.
    pub room: (usize, BTreeMap<usize, usize>),
    /// Claims at birth of which the engine has not heard.
    pub unheard: usize,
    /// How much of it was taken for nothing.
    pub wasted: BTreeMap<usize, usize>,
}

impl Model {
    pub fn register(&mut self, vendor: usize) {
        self.endpoints.push(Endpoint {
            vendor,
            state: EndpointState::Active,
            address: 0,
            timed_out: false,
            outage: None,
            resumed: None,
            rests: None,
            turns: 0,
        });
    }

    pub fn publish(&mut self, vendor: usize, large: bool) {
        let event = self.events;
        self.events += 1;
        for endpoint in self.audience(vendor) {
            self.add(endpoint, event);
            if !large && self.takes_room(endpoint) {
                let delivery = self.deliveries.len() - 1;
                self.claim(delivery);
                self.unheard += 1;
            }
        }
    }

    /// It takes room, and leaves nothing else behind.
    pub fn publish_undone(&mut self, vendor: usize) {
        for endpoint in self.audience(vendor) {
            let taken = usize::from(self.takes_room(endpoint));
            *self.wasted.entry(endpoint).or_default() += taken;
        }
    }

    fn audience(&self, vendor: usize) -> Vec<usize> {
        let wants = |endpoint: &usize| {
            self.endpoints[*endpoint].vendor == vendor && self.endpoints[*endpoint].state != EndpointState::Deleted
        };
        (0..self.endpoints.len()).filter(wants).collect()
    }

    fn takes_room(&mut self, endpoint: usize) -> bool {
        let (in_all, each) = &mut self.room;
        let left = each.entry(endpoint).or_default();
        let takes = self.endpoints[endpoint].state == EndpointState::Active && *in_all > 0 && *left > 0;
        *in_all -= usize::from(takes);
        *left -= usize::from(takes);
        takes
    }

    /// Room is granted to these anew.
    pub fn grant(&mut self, in_all: usize, each: BTreeMap<usize, usize>) {
        self.wasted.retain(|endpoint, _| !each.contains_key(endpoint));
        self.room.0 = in_all;
        self.room.1.extend(each);
    }

    /// How much room an endpoint would have, had nothing been taken for nothing.
    pub fn room_of(&self, endpoint: usize) -> usize {
        let count = |of: &BTreeMap<usize, usize>| of.get(&endpoint).copied().unwrap_or(0);
        count(&self.room.1) + count(&self.wasted)
    }

    fn add(&mut self, endpoint: usize, event: usize) {
        let state = self.again(endpoint, self.now);
        let (made, outage) = (self.now, None);
        let (attempts, tries, replay, replayed, missed, first_failed) = (0, 0, false, false, false, None);
        self.deliveries.push(Delivery {
            endpoint,
            event,
            made,
            state,
            attempts,
            tries,
            outage,
            replay,
            replayed,
            missed,
            first_failed,
        });
    }

    pub fn replay(&mut self, original: usize) {
        let Delivery { endpoint, event, .. } = self.deliveries[original];
        self.deliveries[original].replayed = true;
        self.add(endpoint, event);
        self.deliveries.last_mut().expect("it was made").replay = true;
    }

    pub fn claim(&mut self, delivery: usize) {
        self.claimed_in.insert(delivery, self.endpoints[self.deliveries[delivery].endpoint].outage);
        self.claimed_at_turn.insert(delivery, self.endpoints[self.deliveries[delivery].endpoint].turns);
        self.claimed_for.insert(delivery, self.endpoints[self.deliveries[delivery].endpoint].address);
        let delivery = &mut self.deliveries[delivery];
        delivery.state = DeliveryState::Claimed { since: self.now };
        delivery.attempts += 1;
        delivery.tries += 1;
    }

    pub fn settle(&mut self, delivery: usize, reaction: Reaction) {
        let Delivery { endpoint, tries, .. } = self.deliveries[delivery];
        let wait = WAITS[self.endpoints[endpoint].vendor].get(tries as usize - 1).copied();
        let asked = (reaction.asked() as i64 * 1000).min(HOUR);
        match reaction {
            Reaction::TimesOut => self.endpoints[endpoint].timed_out = true,
            Reaction::Breaks => self.deliveries[delivery].tries -= 1,
            _ => self.endpoints[endpoint].timed_out = false,
        }
        self.deliveries[delivery].state = match (reaction, wait) {
            (Reaction::Takes, _) => DeliveryState::Delivered,
            (Reaction::Breaks, _) => self.again(endpoint, self.now + AFTER_A_FAULT),
            (Reaction::Gone, _) | (_, None) => DeliveryState::Exhausted,
            (_, Some(wait)) => self.again(endpoint, self.now + wait.max(asked)),
        };
        if asked > 0 && self.claimed_for[&delivery] == self.endpoints[endpoint].address {
            let rests = &mut self.endpoints[endpoint].rests;
            *rests = Some(rests.unwrap_or(0).max(self.now + asked));
        }
        let first_failed = self.deliveries[delivery].first_failed;
        let is_dead = tries == 1 || first_failed == Some(self.endpoints[endpoint].turns);
        self.turn(delivery, tries, reaction);
        self.note_missed(delivery);
        match self.deliveries[delivery].state {
            DeliveryState::Exhausted => {
                self.deliveries[delivery].outage = Some(*self.endpoints[endpoint].outage.get_or_insert(delivery));
                let suspends = !self.only_dead || is_dead || matches!(reaction, Reaction::Gone);
                if self.endpoints[endpoint].vendor == SUSPENDS && suspends {
                    self.suspend(endpoint);
                }
            }
            DeliveryState::Delivered if self.claimed_in[&delivery] == self.endpoints[endpoint].outage => {
                self.endpoints[endpoint].outage = None
            }
            _ => {}
        }
    }

    /// A receiver that failed turns back with the success of an attempt that was claimed after that.
    fn turn(&mut self, delivery: usize, tries: u32, reaction: Reaction) {
        let turns = &mut self.endpoints[self.deliveries[delivery].endpoint].turns;
        let fails = *turns % 2 == 1;
        match reaction {
            Reaction::Breaks => {}
            Reaction::Takes => *turns += u64::from(fails && self.claimed_at_turn[&delivery] == *turns),
            _ => {
                *turns += u64::from(!fails);
                if tries == 1 {
                    self.deliveries[delivery].first_failed = Some(*turns);
                }
            }
        }
    }

    /// What an endpoint misses of an event: its last failure, until a delivery of the event arrives. A failure after a
    /// later replay has arrived is none.
    fn note_missed(&mut self, ended: usize) {
        let Delivery { endpoint, event, .. } = self.deliveries[ended];
        let kin = |delivery: &Delivery| (delivery.endpoint, delivery.event) == (endpoint, event);
        let has_arrived = |delivery: &Delivery| kin(delivery) && delivery.state == DeliveryState::Delivered;
        match self.deliveries[ended].state {
            DeliveryState::Delivered => {}
            DeliveryState::Exhausted if !self.deliveries[ended + 1..].iter().any(has_arrived) => {}
            _ => return,
        }
        self.deliveries.iter_mut().filter(|delivery| kin(delivery)).for_each(|delivery| delivery.missed = false);
        self.deliveries[ended].missed = self.deliveries[ended].state == DeliveryState::Exhausted;
    }

    /// An attempt that never began was never counted.
    pub fn give_back(&mut self, delivery: usize) {
        self.recover(delivery);
        self.deliveries[delivery].attempts -= 1;
    }

    /// An attempt that will never end costs no try, and its delivery goes back to its place in line.
    pub fn recover(&mut self, delivery: usize) {
        let Delivery { endpoint, made, replay, .. } = self.deliveries[delivery];
        let line = self.endpoints[endpoint].resumed.map_or(made, |resumed| made.max(resumed)).min(self.now);
        self.deliveries[delivery].state = self.again(endpoint, line - i64::from(replay));
        self.deliveries[delivery].tries -= 1;
    }

    fn again(&self, endpoint: usize, due: i64) -> DeliveryState {
        match self.endpoints[endpoint].state {
            EndpointState::Active => DeliveryState::Pending { due },
            EndpointState::Suspended => DeliveryState::Held,
            EndpointState::Deleted => DeliveryState::Cancelled,
        }
    }

    pub fn suspend(&mut self, endpoint: usize) {
        if self.endpoints[endpoint].state == EndpointState::Active {
            self.endpoints[endpoint].state = EndpointState::Suspended;
            for delivery in self.waiting(endpoint) {
                delivery.state = DeliveryState::Held;
            }
        }
    }

    /// The deliveries that a resume sends again, in the order of events: given up since the last success, not replayed.
    fn failed(&self, endpoint: usize) -> Vec<usize> {
        let outage = self.endpoints[endpoint].outage;
        let is_failed = |delivery: &usize| {
            let delivery = &self.deliveries[*delivery];
            delivery.endpoint == endpoint
                && delivery.outage.is_some()
                && delivery.outage == outage
                && !delivery.replayed
        };
        let mut failed: Vec<usize> = (0..self.deliveries.len()).filter(is_failed).collect();
        failed.sort_by_key(|delivery| (self.deliveries[*delivery].event, *delivery));
        failed
    }

    pub fn resume(&mut self, endpoint: usize, resend: bool) {
        if self.endpoints[endpoint].state == EndpointState::Suspended {
            self.endpoints[endpoint].state = EndpointState::Active;
            let due = self.now;
            (self.endpoints[endpoint].resumed, self.endpoints[endpoint].rests) = (Some(due), None);
            for delivery in self.waiting(endpoint) {
                (delivery.state, delivery.tries) = (DeliveryState::Pending { due }, 0);
            }
            // Failed deliveries go before the held ones.
            for failed in if resend { self.failed(endpoint) } else { Vec::new() } {
                self.replay(failed);
                self.deliveries.last_mut().expect("it was made").state = DeliveryState::Pending { due: due - 1 };
            }
        }
    }

    /// It has the next URL, where nothing rests.
    pub fn relocate(&mut self, endpoint: usize) {
        self.endpoints[endpoint].address += 1;
        self.endpoints[endpoint].rests = None;
    }

    pub fn delete(&mut self, endpoint: usize) {
        self.endpoints[endpoint].state = EndpointState::Deleted;
        for delivery in self.waiting(endpoint) {
            delivery.state = DeliveryState::Cancelled;
        }
    }

    /// A write notices how far the clock was set, and shifts the waiting deliveries.
    pub fn notice(&mut self) {
        let by = std::mem::take(&mut self.unnoticed);
        for delivery in &mut self.deliveries {
            if let DeliveryState::Pending { due } = &mut delivery.state
                && by.abs() >= STEP
            {
                *due += by;
            }
        }
        if by.abs() >= STEP {
            let times = self.endpoints.iter_mut().flat_map(|endpoint| [&mut endpoint.resumed, &mut endpoint.rests]);
            times.flatten().for_each(|time| *time += by);
        }
    }

    fn waiting(&mut self, endpoint: usize) -> impl Iterator<Item = &mut Delivery> {
        let waits = move |delivery: &&mut Delivery| {
            delivery.endpoint == endpoint
                && matches!(delivery.state, DeliveryState::Pending { .. } | DeliveryState::Held)
        };
        self.deliveries.iter_mut().filter(waits)
    }

    // Figures for the checks.

    /// Tries that one schedule allows.
    pub fn allowed(&self, endpoint: usize) -> u32 {
        WAITS[self.endpoints[endpoint].vendor].len() as u32 + 1
    }

    pub fn claimed(&self) -> Vec<usize> {
        let is_claimed = |delivery: &usize| matches!(self.deliveries[*delivery].state, DeliveryState::Claimed { .. });
        (0..self.deliveries.len()).filter(is_claimed).collect()
    }

    /// When the first pending delivery of an endpoint is due.
    pub fn head(&self, endpoint: usize) -> Option<i64> {
        self.dues(endpoint).min()
    }

    /// How many deliveries of an endpoint are due.
    pub fn due(&self, endpoint: usize) -> usize {
        self.dues(endpoint).filter(|due| *due <= self.now).count()
    }

    fn dues(&self, endpoint: usize) -> impl Iterator<Item = i64> {
        self.deliveries.iter().filter(move |delivery| delivery.endpoint == endpoint).filter_map(Delivery::due)
    }
}

impl Delivery {
    pub fn due(&self) -> Option<i64> {
        if let DeliveryState::Pending { due } = self.state { Some(due) } else { None }
    }
}
