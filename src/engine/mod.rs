//! What acts without being asked: the tick that settles what has ended, claims what is due, and hands it to the senders.

pub mod alerts;
mod attempt;
mod egress;
mod look_ups;
mod pool;
mod sender;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use self::{
    attempt::{Ended, attempt},
    pool::Pool,
    sender::Sender,
};
pub use self::{
    egress::Guard,
    look_ups::{LookUp, system_look_up},
};
use crate::{
    clock::{SharedClock, Stopwatch},
    config::{self, Config},
    domain::{
        delivery::{Attempt, DeliveryKey, Failure, Outcome, Settlement},
        endpoint::EndpointKey,
        ids::{DeliveryId, EventId},
        profile::Profiles,
        timestamp::Timestamp,
    },
    error::{Error, Result},
    store::{
        Db,
        queue::{self, Claim, Lost, Places, Target, TestRecord},
    },
};

/// A claim is given up as lost this long after its attempt must have timed out.
const LEASE_GRACE: Duration = Duration::from_secs(60);
/// Test deliveries under way at once; one more waits for a place, but not for long.
const TESTS_AT_ONCE: usize = 8;
const TEST_PATIENCE: Duration = Duration::from_secs(1);

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
    clock: SharedClock,
    profiles: Profiles,
    settings: config::Delivery,
    sender: Sender,
    pool: Pool,
    tests: Semaphore,
    ended: mpsc::UnboundedSender<Ended>,
    /// Taken by the one `run`.
    ended_seen: Mutex<Option<mpsc::UnboundedReceiver<Ended>>>,
    pulse: watch::Sender<Pulse>,
}

/// What the engine saw when it last came to rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulse {
    /// The moment at which it looked for due work.
    pub at: Timestamp,
    /// The count of [`Db::due`] that it had seen by then.
    pub due_seen: u64,
    /// Attempts under way, or not yet settled.
    pub busy: usize,
}

/// What is between two turns of the tick.
#[derive(Default)]
struct Hands {
    /// The claims that are vouched for: under way, or ended but not settled.
    flights: HashMap<DeliveryKey, Flying>,
    /// Ended, but not settled yet: kept until the database takes it.
    unsettled: Vec<Arc<Ended>>,
}

/// An attempt under way.
struct Flying {
    attempt: u32,
    probation: bool,
    since: Stopwatch,
}

impl Hands {
    /// Takes an outcome; one of a claim that was given up counts for nothing.
    fn take(&mut self, ended: Ended) {
        if self.flights.get(&ended.claim.key).is_some_and(|flying| flying.attempt == ended.claim.attempt) {
            self.unsettled.push(Arc::new(ended));
        }
    }

    /// Gives up what should have ended long ago. A lease is measured by a clock that does not step.
    fn give_up(&mut self, lease: Duration) {
        self.flights.retain(|key, flying| {
            let lost = flying.since.elapsed() > lease && !self.unsettled.iter().any(|ended| ended.claim.key == *key);
            if lost {
                tracing::error!(delivery.key = key, "an attempt never ended: its claim is given back");
            }
            !lost
        });
    }

    fn on_probation(&self) -> usize {
        self.flights.values().filter(|flying| flying.probation).count()
    }
}

/// What one turn came to.
struct Turn {
    claims: Vec<Claim>,
    next: Option<Timestamp>,
    suspended: bool,
}

impl Engine {
    /// An engine at rest.
    ///
    /// # Errors
    /// A setting that cannot be used.
    pub fn new(db: Db, clock: SharedClock, profiles: Profiles, config: &Config, guard: &Guard) -> Result<Self> {
        let settings = config.delivery.clone();
        let (ended, ended_seen) = mpsc::unbounded_channel();
        let pulse = watch::Sender::new(Pulse { at: Timestamp::from_millis(i64::MIN), due_seen: 0, busy: 0 });
        Ok(Self(Arc::new(Inner {
            db,
            clock,
            profiles,
            settings,
            sender: Sender::new(guard, &config.egress.extra_ca)?,
            pool: Pool::default(),
            tests: Semaphore::new(TESTS_AT_ONCE),
            ended,
            ended_seen: Mutex::new(Some(ended_seen)),
            pulse,
        })))
    }

    /// What it saw when it last came to rest.
    pub fn pulse(&self) -> watch::Receiver<Pulse> {
        self.0.pulse.subscribe()
    }

    /// Works until `stop` turns true and what is in flight has ended; then every outcome is written.
    ///
    /// # Errors
    /// When what a crash left behind cannot be recovered, or a second `run` is asked for.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) -> Result<()> {
        let inner = &self.0;
        let taken = inner.ended_seen.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut ended = taken.ok_or_else(|| Error::Internal("the engine runs already".to_owned()))?;
        let recovered = inner.db.write(|tx| queue::recover(tx, &Lost::All)).await?;
        if recovered > 0 {
            tracing::info!(recovered, "attempts cut off by the last stop are made again");
        }
        let mut due = inner.db.due();
        let mut hands = Hands::default();
        let mut untold = true;
        loop {
            while let Ok(one) = ended.try_recv() {
                hands.take(one);
            }
            let stopping = *stop.borrow_and_update();
            let due_seen = *due.borrow_and_update();
            let at = inner.clock.now();
            let next = match inner.turn(&mut hands, stopping).await {
                Ok(turn) => {
                    untold |= turn.suspended;
                    inner.dispatch(&mut hands, turn.claims);
                    turn.next
                }
                Err(error) => {
                    tracing::error!(%error, "deliveries pause until the database takes writes again");
                    None
                }
            };
            if untold {
                untold = alerts::tell(&inner.db, &inner.profiles).await.is_err();
            }
            inner.pulse.send_replace(Pulse { at, due_seen, busy: hands.flights.len() });
            if stopping && hands.flights.is_empty() {
                return Ok(());
            }
            tokio::select! {
                Some(one) = ended.recv() => hands.take(one),
                _ = due.changed() => {}
                _ = stop.changed() => {}
                () = inner.clock.sleep(at, inner.rest(at, next, &hands)) => {}
            }
        }
    }

    /// Sends a test delivery at once, whatever state its endpoint is in, and records it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when no sending thread can be had or the record cannot be written.
    pub async fn send_test(&self, target: Target, kind: String, body: String) -> Result<(DeliveryId, Attempt)> {
        let inner = Arc::clone(&self.0);
        let place = tokio::time::timeout(TEST_PATIENCE, inner.tests.acquire()).await;
        let _place = place.ok().and_then(std::result::Result::ok).ok_or_else(unavailable)?;
        let now = inner.clock.now();
        let claim = Claim {
            key: 0,
            delivery: DeliveryId::mint(now),
            attempt: 1,
            tries: 1,
            started_at: now,
            probation: false,
            event: EventId::mint(now),
            kind,
            test: true,
            body,
            target: Arc::new(target),
        };
        let (reply, answer) = oneshot::channel();
        let work = Arc::clone(&inner);
        let run = move || -> pool::Report {
            let profile = work.profiles.get(&claim.target.profile);
            let ended = profile.map(|profile| attempt(claim, profile, &work.sender));
            Box::new(move || drop(reply.send(ended)))
        };
        inner.pool.run(run).map_err(|_| unavailable())?;
        let ended = answer.await.ok().flatten().ok_or_else(unavailable)?;
        let (endpoint, record) = record_of(ended);
        let seen = (record.delivery, record.attempt.clone());
        inner.db.write(move |tx| queue::record_test(tx, endpoint, &record)).await?;
        Ok(seen)
    }
}

impl Inner {
    /// One transaction: settle what has ended, give lost claims back, claim what is due.
    async fn turn(self: &Arc<Self>, hands: &mut Hands, stopping: bool) -> Result<Turn> {
        let lease = self.settings.timeout + LEASE_GRACE;
        hands.give_up(lease);
        let under_way = hands.flights.len() - hands.unsettled.len();
        let settling = hands.unsettled.iter().filter(|ended| ended.claim.probation).count();
        let most_probation = self.settings.max_in_flight / 2;
        let places = Places {
            free: if stopping { 0 } else { self.settings.max_in_flight.saturating_sub(under_way) },
            free_probation: most_probation.saturating_sub(hands.on_probation() - settling),
            per_endpoint: self.settings.max_in_flight_per_endpoint,
        };
        let (ended, inner) = (hands.unsettled.clone(), Arc::clone(self));
        let vouched: Vec<DeliveryKey> = hands.flights.keys().copied().collect();
        let turn = self.db.write_in_turn(move |tx| {
            let mut suspended = false;
            for one in &ended {
                let Some(profile) = inner.profiles.get(&one.claim.target.profile) else { continue };
                let settlement = queue::settle(tx, &one.claim, &one.outcome, one.duration, profile)?;
                suspended |= matches!(settlement, Some(Settlement::Exhausted(Some(_))));
            }
            queue::recover(tx, &Lost::Expired { vouched })?;
            let (claims, next) = queue::claim(tx, places, lease)?;
            Ok(Turn { claims, next, suspended })
        });
        let turn = turn.await?;
        hands.unsettled.iter().for_each(|ended| log(ended));
        for ended in hands.unsettled.drain(..) {
            hands.flights.remove(&ended.claim.key);
        }
        Ok(turn)
    }

    /// Hands claims to the sending threads.
    fn dispatch(self: &Arc<Self>, hands: &mut Hands, claims: Vec<Claim>) {
        for claim in claims {
            let flying = Flying { attempt: claim.attempt, probation: claim.probation, since: Stopwatch::start() };
            hands.flights.insert(claim.key, flying);
            let inner = Arc::clone(self);
            let flight = Flight { claim: Some(claim), ended: self.ended.clone() };
            if let Err(error) = self.pool.run(move || flight.run(&inner)) {
                tracing::error!(%error, "no thread for a delivery");
            }
        }
    }

    /// How long to rest unless something happens: until the next turn, but never longer than the poll interval.
    fn rest(&self, at: Timestamp, next: Option<Timestamp>, hands: &Hands) -> Duration {
        let poll = self.settings.poll_interval;
        if hands.flights.len() >= self.settings.max_in_flight || !hands.unsettled.is_empty() {
            return poll;
        }
        next.map_or(poll, |next| next.since(at).min(poll))
    }
}

/// A claim on its way through a thread. However that ends, an outcome is reported.
struct Flight {
    claim: Option<Claim>,
    ended: mpsc::UnboundedSender<Ended>,
}

impl Flight {
    fn run(mut self, inner: &Inner) -> pool::Report {
        let profile = self.claim.as_ref().and_then(|claim| inner.profiles.get(&claim.target.profile));
        let ended = profile.and_then(|profile| Some(attempt(self.claim.take()?, profile, &inner.sender)));
        Box::new(move || {
            // Nobody listens only when the engine has stopped; the next start recovers the claim.
            ended.into_iter().for_each(|ended| drop(self.ended.send(ended)));
        })
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if let Some(claim) = self.claim.take() {
            let ended = Ended { claim, outcome: Outcome::Failed(Failure::Interrupted), duration: Duration::ZERO };
            drop(self.ended.send(ended));
        }
    }
}

fn record_of(ended: Ended) -> (EndpointKey, TestRecord) {
    let Ended { claim, outcome, duration } = ended;
    let attempt = Attempt::ended(claim.attempt, claim.started_at, duration, &outcome, None);
    let record =
        TestRecord { delivery: claim.delivery, event: claim.event, kind: claim.kind, body: claim.body, attempt };
    (claim.target.key, record)
}

/// One line an attempt; a failure is worth more attention than a success.
fn log(ended: &Ended) {
    let Ended { claim, outcome, duration } = ended;
    let status = outcome.answer().map(|answer| answer.status);
    let (delivery, kind, attempt) = (claim.delivery, &claim.kind, claim.attempt);
    let endpoint = claim.target.id;
    let duration_ms = duration.as_millis();
    match outcome.failure() {
        None => {
            tracing::debug!(delivery.id = %delivery, endpoint.id = %endpoint, event.kind = %kind, attempt, duration_ms, status, outcome = "delivered")
        }
        Some(class) => {
            tracing::info!(delivery.id = %delivery, endpoint.id = %endpoint, event.kind = %kind, attempt, duration_ms, status, outcome = %class)
        }
    }
}

fn unavailable() -> Error {
    Error::Unavailable("the server cannot send this now: try again".to_owned())
}
