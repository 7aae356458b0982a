//! When each event was sent, was answered and arrived, by the number that the event carries.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use tokio::sync::Notify;

/// How long to wait for the next arrival before the rest counts as missing.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often it is looked whether all has arrived.
const LOOK: Duration = Duration::from_millis(2);

/// Where the numbers of the next ledger begin: a late arrival of an earlier run is none of a later one. All have as
/// many digits.
static NUMBERS: AtomicU64 = AtomicU64::new(100_000_000);

/// The record of one load.
pub struct Ledger {
    start: Instant,
    first: u64,
    /// How often each event is to arrive.
    fan: u32,
    events: Vec<Event>,
    complete: AtomicUsize,
    publishers: Vec<Notify>,
}

/// Nanoseconds since the start; 0: not yet.
#[derive(Default)]
struct Event {
    sent: AtomicU64,
    answered: AtomicU64,
    arrivals: AtomicU32,
    arrived: AtomicU64,
}

impl Ledger {
    /// A ledger for this many events. Publishers take turns at them, and each goes to `fan` webhooks.
    pub fn new(events: usize, publishers: usize, fan: u32) -> Self {
        Self {
            start: Instant::now(),
            first: NUMBERS.fetch_add(events as u64, Relaxed),
            fan,
            events: (0..events).map(|_| Event::default()).collect(),
            complete: AtomicUsize::new(0),
            publishers: (0..publishers).map(|_| Notify::new()).collect(),
        }
    }

    /// The number that an event carries.
    pub fn number(&self, event: usize) -> u64 {
        self.first + event as u64
    }

    pub fn sent(&self, event: usize) {
        self.events[event].sent.store(self.now(), Relaxed);
    }

    pub fn answered(&self, event: usize) {
        self.events[event].answered.store(self.now(), Relaxed);
    }

    /// Notes that the event of this number has arrived at one of its webhooks. Events of another ledger are left out.
    pub fn arrived(&self, number: u64) {
        let place = number.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
        let Some((place, event)) = place.and_then(|place| Some((place, self.events.get(place)?))) else { return };
        if event.arrivals.fetch_add(1, Relaxed) + 1 == self.fan {
            event.arrived.store(self.now(), Relaxed);
            self.complete.fetch_add(1, Relaxed);
            self.publishers[place % self.publishers.len()].notify_one();
        }
    }

    /// Ends when one more event of this publisher has arrived everywhere.
    pub async fn until_next_arrival(&self, publisher: usize) {
        self.publishers[publisher].notified().await;
    }

    /// Waits until everything that was answered has arrived, or nothing comes any more.
    pub fn wait(&self) {
        let answered = self.events.iter().filter(|event| event.answered.load(Relaxed) > 0).count();
        let (mut seen, mut since) = (0, Instant::now());
        while seen < answered && since.elapsed() < PATIENCE {
            thread::sleep(LOOK);
            let complete = self.complete.load(Relaxed);
            if complete > seen {
                (seen, since) = (complete, Instant::now());
            }
        }
    }

    pub fn figures(&self) -> Figures {
        let taken: Vec<(u64, u64, u64)> = self
            .events
            .iter()
            .map(|event| (event.sent.load(Relaxed), event.answered.load(Relaxed), event.arrived.load(Relaxed)))
            .filter(|(_, answered, _)| *answered > 0)
            .collect();
        let arrived = || taken.iter().filter(|(.., arrived)| *arrived > 0);
        let begin = taken.iter().map(|(sent, ..)| *sent).min().unwrap_or(0);
        let end = arrived().map(|(.., arrived)| *arrived).max().unwrap_or(0);
        Figures {
            arrived: arrived().count(),
            missing: taken.len() - arrived().count(),
            time: Duration::from_nanos(end.saturating_sub(begin)),
            publish: Spread::of(taken.iter().map(|(sent, answered, _)| answered - sent)),
            arrival: Spread::of(arrived().map(|(sent, _, arrived)| arrived - sent)),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1)
    }
}

/// The result of a load.
#[derive(Debug, Default)]
pub struct Figures {
    arrived: usize,
    /// Events that were answered and never arrived.
    pub missing: usize,
    /// From the first that was sent until the last had arrived.
    time: Duration,
    /// From sending a publish to its answer.
    pub publish: Spread,
    /// From sending a publish to its last arrival.
    pub arrival: Spread,
}

impl Figures {
    /// Events that arrived, a second.
    pub fn rate(&self) -> f64 {
        self.arrived as f64 / self.time.as_secs_f64()
    }

    /// Adds the result of another turn.
    pub fn add(&mut self, turn: &Self) {
        self.arrived += turn.arrived;
        self.missing += turn.missing;
        self.time += turn.time;
        self.publish.add(&turn.publish);
        self.arrival.add(&turn.arrival);
    }
}

/// Durations in nanoseconds, in order.
#[derive(Debug, Default)]
pub struct Spread(Vec<u64>);

impl Spread {
    fn of(nanos: impl Iterator<Item = u64>) -> Self {
        let mut nanos: Vec<u64> = nanos.collect();
        nanos.sort_unstable();
        Self(nanos)
    }

    fn add(&mut self, other: &Self) {
        self.0.extend(&other.0);
        self.0.sort_unstable();
    }

    pub fn p50(&self) -> Duration {
        self.at(50)
    }

    pub fn p99(&self) -> Duration {
        self.at(99)
    }

    pub fn longest(&self) -> Duration {
        Duration::from_nanos(self.0.last().copied().unwrap_or(0))
    }

    fn at(&self, percent: usize) -> Duration {
        Duration::from_nanos(self.0.get(self.0.len() * percent / 100).copied().unwrap_or(0))
    }
}
