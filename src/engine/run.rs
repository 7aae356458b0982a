//! The engine's loop: it settles what has ended, claims what is due, and has it sent.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use tokio::sync::{mpsc, watch};

use super::{
    alerts::{self, Alerts},
    attempt::{DELIVERED, FailureLog, count, log_attempt, log_cut_off},
    egress::Guard,
    in_flight::{CloseOnDrop, EndedClaim, InFlight, SendContext},
    lanes::{self, Lanes, Limits},
    pool::Pool,
    sender::{self, Sender},
    stats::StatsBuffer,
    test_delivery::TestSender,
};
use crate::{
    clock::{self, SharedClock, Stopwatch},
    config::{self, Config},
    domain::{
        audit::Actor,
        delivery::{Attempt, DeliveryKey, Failure},
        grant::Grant,
        ids::DeliveryId,
        profile::Profiles,
        timestamp::Timestamp,
    },
    error::{Error, Result},
    metrics::Fault,
    store::{
        Admission, Change, Db, News, Target, Tx, endpoints,
        queue::{self, Lost, Wanted},
        stats::{self, MinuteStats},
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
    tests: TestSender,
    context: Arc<SendContext>,
    alerts: Alerts,
    /// Taken by the one `run`.
    ended: Mutex<Option<mpsc::UnboundedReceiver<EndedClaim>>>,
    status: watch::Sender<EngineStatus>,
}

/// What the engine saw when it last came to rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineStatus {
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

/// What is to be written in one turn: kept until the database takes it.
#[derive(Default)]
struct Work {
    ended: Vec<Arc<EndedClaim>>,
    lost: Vec<DeliveryKey>,
    wanted: Vec<Wanted>,
    counts: Option<Arc<Vec<MinuteStats>>>,
    stats: StatsBuffer,
    failure_log: FailureLog,
}

impl Work {
    fn is_empty(&self) -> bool {
        self.ended.is_empty() && self.lost.is_empty() && self.wanted.is_empty() && self.counts.is_none()
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
            db.metrics().show_profile(profile.name, Failure::ALL.map(Failure::name).into_iter().chain([DELIVERED]));
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
        let context = Arc::new(SendContext { clock, profiles, sender, lanes: Mutex::new(lanes), ended });
        let pool = Pool::default();
        let tests = TestSender::new(db.clone(), Arc::clone(&context), pool.clone());
        Ok(Self(Arc::new(Inner {
            db,
            settings,
            pool,
            tests,
            context,
            alerts,
            ended: Mutex::new(Some(ended_seen)),
            status: watch::Sender::new(EngineStatus {
                at: Timestamp::from_millis(i64::MIN),
                looked,
                heard: 0,
                busy: 0,
                wanted: 0,
            }),
        })))
    }

    /// What it saw when it last came to rest.
    pub fn status(&self) -> watch::Receiver<EngineStatus> {
        self.0.status.subscribe()
    }

    /// Whoever tells alerts.
    pub fn alerts(&self) -> &Alerts {
        &self.0.alerts
    }

    /// Sends a test delivery of this account at once, whatever state its endpoint is in, and records it; each only if the right
    /// of the request still holds.
    ///
    /// # Errors
    /// As [`Db::check`]; [`Error::Unavailable`] when no sending thread can be had or the record cannot be written.
    pub async fn send_test(
        &self,
        grant: Grant,
        account: String,
        target: Target,
        kind: String,
        body: String,
    ) -> Result<(DeliveryId, Attempt)> {
        self.0.tests.send(grant, account, target, kind, body).await
    }

    /// Works until `stop` turns true and what is in flight has ended; then every outcome is written.
    ///
    /// # Errors
    /// When what a crash left behind cannot be recovered, or a second `run` is asked for.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) -> Result<()> {
        let inner = &self.0;
        let taken = inner.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (Some(mut ended), Some(mut news)) = (taken, inner.db.news()) else {
            return Err(Error::Internal("the engine runs already".to_owned()));
        };
        let _closes = CloseOnDrop(Arc::clone(&inner.context));
        inner.recover().await?;
        let (mut work, mut heard) = (Work::default(), 0);
        let (mut polled, mut written_since_stop) = (true, false);
        let mut since_poll = Stopwatch::start();
        loop {
            let at = inner.context.clock.now();
            // However much happens, it looks now and then for what nothing tells of.
            if polled || since_poll.elapsed() >= inner.settings.poll_interval {
                (polled, since_poll) = (true, Stopwatch::start());
            }
            let stopping = *stop.borrow_and_update();
            if stopping {
                inner.stop_claiming();
            }
            inner.hear_all(&mut news, &mut heard);
            inner.launch();
            inner.gather(&mut work, &mut ended, at, polled);
            work.counts = work.stats.due(at, stopping);
            let mut failed = false;
            if polled || stopping || !work.is_empty() {
                match inner.turn(&mut work, at).await {
                    Ok(()) => {
                        // What it claimed is among the news.
                        inner.hear_all(&mut news, &mut heard);
                        inner.launch();
                        inner.db.metrics().turned(None);
                        written_since_stop = stopping;
                    }
                    Err(error) => {
                        tracing::error!(%error, "deliveries pause until the database takes writes again");
                        inner.db.metrics().turned(Some(Fault { at: inner.context.clock.uptime(), why: error }));
                        failed = true;
                    }
                }
            }
            let (busy, wanted, rest) = inner.grant_claim_budget(at, failed);
            let looked = inner.context.clock.uptime();
            inner.status.send_replace(EngineStatus { at, looked, heard, busy, wanted });
            // Whatever was claimed by a publish before the last turn is in the news by now.
            if written_since_stop && busy == 0 && news.is_empty() {
                if work.stats.is_empty() || failed {
                    return Ok(());
                }
                continue;
            }
            polled = false;
            tokio::select! {
                Some(one) = ended.recv() => work.ended.push(Arc::new(one)),
                Some(one) = news.recv() => inner.hear(one, &mut heard),
                _ = stop.changed() => {}
                () = clock::pause(lanes::AT_WORK), if inner.context.lanes().is_pressed() => {}
                () = inner.context.clock.sleep(at, rest) => polled = true,
            }
        }
    }
}

impl Inner {
    /// Takes up what an earlier run has left: claims that nobody settled, and what is pending.
    async fn recover(&self) -> Result<()> {
        let recover = |tx: &Tx<'_>| {
            let recovered = queue::recover(tx, &Lost::All)?;
            queue::take_up(tx)?;
            Ok(recovered)
        };
        // What is pending is among the news, in its order with every step of the clock.
        let recovered = self.db.write(Actor::Engine, Admission::Wait, recover).await?;
        if !recovered.is_empty() {
            tracing::info!(recovered = recovered.len(), "attempts cut off by the last stop are made again");
            log_cut_off(self.db.metrics(), &self.context.profiles, &recovered);
        }
        Ok(())
    }

    fn hear_all(&self, news: &mut mpsc::UnboundedReceiver<News>, heard: &mut u64) {
        while let Ok(one) = news.try_recv() {
            self.hear(one, heard);
        }
    }

    /// Takes the news of a commit.
    fn hear(&self, news: News, heard: &mut u64) {
        *heard = news.number;
        let mut lanes = self.context.lanes();
        if news.shifted != 0 {
            lanes.shift(news.shifted);
        }
        for change in news.changes {
            match change {
                Change::Due(endpoint, at) => lanes.due(endpoint, at),
                Change::ClaimedAtBirth(claim) => lanes.prefetch(claim),
                Change::TimedOut(endpoint) => lanes.put_on_probation(endpoint),
                Change::Served(claimed) => lanes.served(claimed, news.at),
                Change::Alert => self.alerts.wake(),
            }
        }
    }

    fn stop_claiming(&self) {
        self.db.claim_budget().close();
        self.context.lanes().close();
    }

    /// Begins as many attempts as may be under way.
    fn launch(&self) {
        loop {
            let Some(claim) = self.context.lanes().begin() else { return };
            let in_flight = InFlight::new(claim, &self.context);
            if let Err(error) = self.pool.run(move || in_flight.run()) {
                tracing::error!(%error, "no thread for a delivery");
            }
        }
    }

    /// Collects what is to be written; what grows old is looked for now and then.
    fn gather(&self, work: &mut Work, ended: &mut mpsc::UnboundedReceiver<EndedClaim>, at: Timestamp, polled: bool) {
        let mut lanes = self.context.lanes();
        while let Ok(one) = ended.try_recv() {
            work.ended.push(Arc::new(one));
        }
        if polled || !lanes.is_open() {
            let unsent = lanes.overdue().into_iter();
            work.ended.extend(
                unsent.map(|claim| Arc::new(EndedClaim { claim, attempted: None, faulty: false, probation: None })),
            );
        }
        if polled {
            let lost = lanes.lost(self.settings.timeout + LOST_AFTER);
            if !lost.is_empty() {
                tracing::error!(attempts = lost.len(), "attempts never ended (was the process paused?): made again");
            }
            work.lost.extend(lost);
        }
        lanes.admit_large_bodies(self.db.claim_budget().bodies().bytes());
        let wanted = lanes.wanted(at);
        work.wanted = lanes.allowed(wanted);
    }

    /// One transaction: settle what has ended, give back what did not begin or was lost, claim what is due, and add what was
    /// counted.
    async fn turn(&self, work: &mut Work, at: Timestamp) -> Result<()> {
        let (ended, context) = (work.ended.clone(), Arc::clone(&self.context));
        let (lost, wanted) = (work.lost.clone(), std::mem::take(&mut work.wanted));
        let counts = work.counts.clone();
        let written = self.db.write(Actor::Engine, Admission::Wait, move |tx| {
            for one in &ended {
                match (&one.attempted, context.profiles.get(&one.claim.target.profile)) {
                    (Some(attempted), Some(profile)) => queue::settle(tx, &one.claim, attempted, profile)?,
                    _ => queue::give_back(tx, &one.claim, one.faulty)?,
                };
                if let Some(timed_out) = one.probation {
                    endpoints::set_timed_out(tx, one.claim.target.key, timed_out)?;
                }
            }
            let mut cut_off = Vec::new();
            for key in &lost {
                cut_off.append(&mut queue::recover(tx, &Lost::One(*key))?);
            }
            tx.served(queue::claim(tx, &wanted)?);
            counts.map(|counts| stats::add(tx, &counts)).transpose()?;
            Ok(cut_off)
        });
        log_cut_off(self.db.metrics(), &self.context.profiles, &written.await?);
        self.context.lanes().written(work.ended.len() + work.lost.len());
        work.stats.written(at);
        for ended in work.ended.drain(..) {
            work.stats.count(&ended, at);
            let EndedClaim { claim, attempted: Some(attempted), .. } = &*ended else { continue };
            if let Some(profile) = self.context.profiles.get(&claim.target.profile) {
                count(self.db.metrics(), profile, claim, attempted);
                let loud = !attempted.outcome.is_success() && work.failure_log.is_loud(claim.target.key, at);
                log_attempt(profile, claim, attempted, loud);
            }
        }
        work.lost.clear();
        Ok(())
    }

    /// How much is under way, and how long to rest unless something happens. Grants room on the way.
    fn grant_claim_budget(&self, at: Timestamp, failed: bool) -> (usize, usize, Duration) {
        let mut lanes = self.context.lanes();
        lanes.admit_large_bodies(self.db.claim_budget().bodies().bytes());
        let (in_all, each) = lanes.claim_budget(at);
        self.db.claim_budget().grant(in_all, each);
        self.db.metrics().set_in_flight(lanes.in_flight());
        let poll = self.settings.poll_interval;
        let (busy, wanted) = (lanes.busy(), lanes.wanted(at).len());
        let rest = match wanted {
            _ if failed => poll,
            // What was claimed as a stop began is given back by the next turn.
            _ if !lanes.is_open() && lanes.has_prefetched() => Duration::ZERO,
            0 => lanes.next_turn(at).map_or(poll, |next| next.since(at).min(poll)),
            _ => Duration::ZERO,
        };
        (busy, wanted, rest)
    }
}
