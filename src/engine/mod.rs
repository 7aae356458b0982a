//! What acts without being asked: the loop that settles what has ended, claims what is due, and has it sent.

pub mod alerts;
mod attempt;
mod egress;
mod flights;
mod lane;
pub mod lanes;
mod look_ups;
mod mail;
mod pool;
pub mod retention;
pub mod retries;
pub mod round;
mod sender;
mod tallies;
mod tests;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use tokio::sync::{Semaphore, mpsc, watch};

use self::{
    alerts::Alerts,
    attempt::{DELIVERED, Told, count, tell, tell_cut_off},
    flights::{Closing, Flight, Flights},
    lanes::{Lanes, Limits},
    pool::Pool,
    round::{Around, Ended, Round},
    sender::Sender,
    tallies::Tallies,
};
pub use self::{
    egress::Guard,
    look_ups::{LookUp, LookUps, Unresolved, system_look_up},
    sender::{authorities, kept_connections},
};
use crate::{
    clock::{self, SharedClock, Stopwatch},
    config::{self, Config},
    domain::{delivery::Failure, profile::Profiles, timestamp::Timestamp},
    error::{Error, Result},
    figures::Fault,
    store::{
        Db, News,
        queue::{Claim, CutOff},
    },
};

/// An attempt is given up as lost this long after it must have timed out.
const LOST_AFTER: Duration = Duration::from_secs(60);
/// Attempts at work for each processor: more would only take turns at it.
const AT_WORK_PER_PROCESSOR: usize = 4;
/// The engine. Cheap to clone.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Engine")
    }
}

struct Inner {
    db: Db,
    settings: config::Delivery,
    pool: Pool,
    tests: Semaphore,
    tests_of: Mutex<HashMap<String, Arc<Semaphore>>>,
    flights: Arc<Flights>,
    alerts: Alerts,
    /// Taken by the one `run`.
    ended: Mutex<Option<mpsc::UnboundedReceiver<Ended>>>,
    pulse: watch::Sender<Pulse>,
}

/// What the engine saw when it last came to rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulse {
    /// The moment at which it looked for due work.
    pub at: Timestamp,
    /// The same as the machine's uptime, which never steps.
    pub looked: Duration,
    /// How many commits' news it had heard by then.
    pub heard: u64,
    /// Deliveries that are claimed and not settled.
    pub busy: usize,
    /// Endpoints with something to be claimed at once.
    pub wanted: usize,
}

/// The engine around its rounds: its channels, and what it counts and tells of each turn.
struct Threads<'a> {
    inner: &'a Inner,
    news: mpsc::UnboundedReceiver<News>,
    ended: mpsc::UnboundedReceiver<Ended>,
    /// The moment of the round.
    at: Timestamp,
    tallies: Tallies,
    told: Told,
}

impl Around for Threads<'_> {
    fn next_news(&mut self) -> Option<News> {
        self.news.try_recv().ok()
    }

    fn next_ended(&mut self) -> Option<Ended> {
        self.ended.try_recv().ok()
    }

    fn begin(&mut self, claim: Claim) {
        let flight = Flight::new(claim, &self.inner.flights);
        if let Err(error) = self.inner.pool.run(move || flight.run()) {
            tracing::error!(%error, "no thread for a delivery");
        }
    }

    fn written(&mut self, ended: &[Arc<Ended>], cut_off: &[CutOff]) {
        let (figures, profiles) = (self.inner.db.figures(), &self.inner.flights.profiles);
        tell_cut_off(figures, profiles, cut_off);
        self.tallies.written(self.at);
        for ended in ended {
            self.tallies.count(ended, self.at);
            let Ended { claim, attempted: Some(attempted), .. } = &**ended else { continue };
            if let Some(profile) = profiles.get(&claim.target.profile) {
                count(figures, profile, claim, attempted);
                let loud = !attempted.outcome.is_success() && self.told.is_loud(claim.target.key, self.at);
                tell(profile, claim, attempted, loud);
            }
        }
    }

    fn alert(&mut self) {
        self.inner.alerts.wake();
    }
}

/// Whether an engine can be made of these settings.
///
/// # Errors
/// A setting that cannot be used, named.
pub fn check(config: &Config) -> Result<()> {
    sender::roots(&config.egress.extra_ca)?;
    alerts::check(config)
}

impl Engine {
    /// An engine at rest.
    ///
    /// # Errors
    /// A setting that cannot be used.
    pub fn new(db: Db, clock: SharedClock, profiles: Profiles, config: &Config, guard: &Guard) -> Result<Self> {
        let settings = config.delivery.clone();
        for profile in profiles.iter() {
            db.figures().show_profile(profile.name, Failure::ALL.map(Failure::name).into_iter().chain([DELIVERED]));
        }
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let lanes = Lanes::new(Limits {
            in_flight: settings.max_in_flight,
            per_endpoint: settings.max_in_flight_per_endpoint,
            at_work: processors * AT_WORK_PER_PROCESSOR,
        });
        let lanes = lanes.with_body_bytes(settings.max_in_flight_bytes);
        let sender = Arc::new(Sender::new(guard, &config.egress.extra_ca, settings.max_in_flight)?);
        let own = (db.clone(), Arc::clone(&clock), profiles.clone());
        let alerts = Alerts::new(own, config, guard, Arc::clone(&sender))?;
        let (ended, ended_seen) = mpsc::unbounded_channel();
        let looked = clock.uptime();
        let flights = Flights { clock, profiles, sender, lanes: Arc::new(Mutex::new(lanes)), ended };
        Ok(Self(Arc::new(Inner {
            db,
            settings,
            pool: Pool::default(),
            tests: Semaphore::new(tests::AT_ONCE),
            tests_of: Mutex::default(),
            flights: Arc::new(flights),
            alerts,
            ended: Mutex::new(Some(ended_seen)),
            pulse: watch::Sender::new(Pulse {
                at: Timestamp::from_millis(i64::MIN),
                looked,
                heard: 0,
                busy: 0,
                wanted: 0,
            }),
        })))
    }

    /// What it saw when it last came to rest.
    pub fn pulse(&self) -> watch::Receiver<Pulse> {
        self.0.pulse.subscribe()
    }

    /// Whoever tells alerts.
    pub fn alerts(&self) -> &Alerts {
        &self.0.alerts
    }

    /// Works until `stop` turns true and what is in flight has ended; then every outcome is written.
    ///
    /// # Errors
    /// When what a crash left behind cannot be recovered, or a second `run` is asked for.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) -> Result<()> {
        let inner = &self.0;
        let taken = inner.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (Some(ended), Some(news)) = (taken, inner.db.news()) else {
            return Err(Error::Internal("the engine runs already".to_owned()));
        };
        let flights = &inner.flights;
        let _closes = Closing(Arc::clone(flights));
        inner.recover().await?;
        let lost_after = inner.settings.timeout + LOST_AFTER;
        let mut round = Round::new(inner.db.clone(), flights.profiles.clone(), Arc::clone(&flights.lanes), lost_after);
        let (tallies, told) = (Tallies::default(), Told::default());
        let mut threads = Threads { inner, news, ended, at: flights.clock.now(), tallies, told };
        let (mut polled, mut written_since_stop) = (true, false);
        let mut since_poll = Stopwatch::start();
        loop {
            let at = flights.clock.now();
            threads.at = at;
            // However much happens, it looks now and then for what nothing tells of.
            if polled || since_poll.elapsed() >= inner.settings.poll_interval {
                (polled, since_poll) = (true, Stopwatch::start());
            }
            let stopping = *stop.borrow_and_update();
            if stopping {
                round.close();
            }
            round.collect(&mut threads, at, polled);
            round.count(threads.tallies.due(at, stopping));
            let mut failed = false;
            if polled || stopping || !round.work().is_empty() {
                match round.write(&mut threads).await {
                    Ok(()) => {
                        inner.db.figures().turned(None);
                        written_since_stop = stopping;
                    }
                    Err(error) => {
                        tracing::error!(%error, "deliveries pause until the database takes writes again");
                        inner.db.figures().turned(Some(Fault { at: flights.clock.uptime(), why: error }));
                        failed = true;
                    }
                }
            }
            round.grant(flights.clock.now());
            let (busy, wanted, rest) = inner.look_around(at, failed);
            let looked = flights.clock.uptime();
            inner.pulse.send_replace(Pulse { at, looked, heard: round.heard(), busy, wanted });
            // Whatever was claimed by a publish before the last turn is in the news by now.
            if written_since_stop && busy == 0 && threads.news.is_empty() {
                if threads.tallies.is_empty() || failed {
                    return Ok(());
                }
                continue;
            }
            polled = false;
            tokio::select! {
                Some(one) = threads.ended.recv() => round.returned(one),
                Some(one) = threads.news.recv() => round.hear(one, &mut threads),
                _ = stop.changed() => {}
                () = clock::pause(lanes::AT_WORK), if flights.lanes().is_pressed() => {}
                () = flights.clock.sleep(at, rest) => polled = true,
            }
        }
    }
}

impl Inner {
    /// Takes up what an earlier run has left.
    async fn recover(&self) -> Result<()> {
        let recovered = round::recover(&self.db).await?;
        if !recovered.is_empty() {
            tracing::info!(recovered = recovered.len(), "attempts cut off by the last stop are made again");
            tell_cut_off(self.db.figures(), &self.flights.profiles, &recovered);
        }
        Ok(())
    }

    /// How much is under way, how many endpoints wait to be claimed for, and how long to rest unless something happens.
    fn look_around(&self, at: Timestamp, failed: bool) -> (usize, usize, Duration) {
        let lanes = self.flights.lanes();
        self.db.figures().flying(lanes.flying());
        let poll = self.settings.poll_interval;
        let (busy, wanted) = (lanes.busy(), lanes.wanted(at).len());
        let rest = match wanted {
            _ if failed => poll,
            // What was claimed as a stop began is given back by the next turn.
            _ if !lanes.is_open() && lanes.has_in_hand() => Duration::ZERO,
            0 => lanes.next_turn(at).map_or(poll, |next| next.since(at).min(poll)),
            _ => Duration::ZERO,
        };
        (busy, wanted, rest)
    }
}

fn unavailable() -> Error {
    Error::Unavailable("the server cannot send this now: try again".to_owned())
}
