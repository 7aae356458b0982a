//! The engine: it is made of the settings, and runs round after round until it is stopped.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use tokio::sync::{mpsc, watch};

use super::{
    alerts::{self, Alerts},
    attempt::DELIVERED,
    egress::Guard,
    in_flight::{CloseOnDrop, EndedClaim, InFlight, SendingThread},
    lanes::{Lanes, Limits, SLOW},
    pool::Pool,
    rounds::{EngineStatus, Handlers, Round, Rounds},
    sender::Sender,
    test_delivery::TestSender,
    tls,
};
use crate::{
    clock::SharedClock,
    config::{self, Config},
    domain::{
        audit::Actor,
        delivery::{Attempt, Failure},
        ids::DeliveryId,
        profile::Profiles,
        timestamp::Timestamp,
    },
    error::{Error, Result},
    store::{Change, Db, News, Target},
};

/// Attempts that use a processor at the same time, for each processor: more would only take turns.
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
    in_flight: Arc<InFlight>,
    sender: Arc<Sender>,
    alerts: Alerts,
    /// Taken once, by `run`.
    ended: Mutex<Option<mpsc::UnboundedReceiver<EndedClaim>>>,
    status: watch::Sender<EngineStatus>,
}

/// Checks the settings of the engine.
///
/// # Errors
/// A setting that cannot be used, by its name.
pub fn check(config: &Config) -> Result<()> {
    tls::client_config(&config.egress.extra_ca)?;
    alerts::check(config)
}

impl Engine {
    /// An engine that does not run yet.
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
            per_endpoint: settings.max_in_flight_per_endpoint.min(settings.max_in_flight),
            at_work: processors * AT_WORK_PER_PROCESSOR,
            slow_after: SLOW,
        });
        let lanes = lanes.with_body_bytes(settings.max_in_flight_bytes);
        let sender = Arc::new(Sender::new(guard, &config.egress.extra_ca, settings.max_in_flight)?);
        let own = (db.clone(), Arc::clone(&clock), profiles.clone());
        let alerts = Alerts::new(own, config, guard, Arc::clone(&sender))?;
        let looked = clock.uptime();
        let (in_flight, ended) = InFlight::new(clock, profiles, lanes);
        let (in_flight, pool) = (Arc::new(in_flight), Pool::default());
        let tests = TestSender::new(db.clone(), Arc::clone(&in_flight), Arc::clone(&sender), pool.clone());
        Ok(Self(Arc::new(Inner {
            db,
            settings,
            pool,
            tests,
            in_flight,
            sender,
            alerts,
            ended: Mutex::new(Some(ended)),
            status: watch::Sender::new(EngineStatus {
                at: Timestamp::from_millis(i64::MIN),
                looked,
                heard: 0,
                busy: 0,
                wanted: 0,
            }),
        })))
    }

    /// The status at the end of its last round.
    pub fn status(&self) -> watch::Receiver<EngineStatus> {
        self.0.status.subscribe()
    }

    /// The delivery of alerts.
    pub fn alerts(&self) -> &Alerts {
        &self.0.alerts
    }

    /// Sends a test delivery of this account at once, in any state of its endpoint, and records it. Before each step it
    /// checks that the token or session of the request still allows it.
    ///
    /// # Errors
    /// As [`Db::check`]; [`Error::Unavailable`] when there is no sending thread, or when the record cannot be written.
    pub async fn send_test(
        &self,
        actor: impl Into<Actor>,
        account: String,
        target: Target,
        kind: String,
        body: String,
    ) -> Result<(DeliveryId, Attempt)> {
        self.0.tests.send(actor.into(), account, target, kind, body).await
    }

    /// Works until `stop` turns true and nothing is in flight; then every outcome is written.
    ///
    /// # Errors
    /// When the claims of a crash cannot be ended, or on a second call.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) -> Result<()> {
        let mut rounds = self.rounds()?;
        let _closes = CloseOnDrop(Arc::clone(&self.0.in_flight));
        rounds.take_up().await?;
        loop {
            let stopping = *stop.borrow_and_update();
            match rounds.round(stopping).await {
                // More is due than one transaction took, or a stop gives back deliveries that were claimed as it began.
                Round::Again => {}
                // The next delivery is due at this moment; a commit, an ended attempt or a stop comes earlier.
                Round::Idle(until) => rounds.wait(Some(until), &mut stop).await,
                // The disk may be full, or another process may hold the database: that takes a while to pass.
                Round::Failed => rounds.wait(None, &mut stop).await,
                // Nothing is left that a restart would have to take up.
                Round::Drained => return Ok(()),
            }
        }
    }

    /// The rounds of the one `run`.
    fn rounds(&self) -> Result<Rounds> {
        let inner = &self.0;
        let taken = inner.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (Some(ended), Some(news)) = (taken, inner.db.news()) else {
            return Err(Error::Internal("the engine runs already".to_owned()));
        };
        let (pool, in_flight, sender) = (inner.pool.clone(), Arc::clone(&inner.in_flight), Arc::clone(&inner.sender));
        let begin = move |claim| {
            let thread = SendingThread::new(claim, &in_flight, &sender);
            if let Err(error) = pool.run(move || thread.run()) {
                tracing::error!(%error, "no thread for a delivery");
            }
        };
        let alerts = inner.alerts.clone();
        let heard = move |news: &News| {
            if news.changes.iter().any(|change| matches!(change, Change::Alert)) {
                alerts.wake();
            }
        };
        let handlers = Handlers { begin: Box::new(begin), heard: Box::new(heard) };
        let (db, settings, in_flight) = (inner.db.clone(), inner.settings.clone(), Arc::clone(&inner.in_flight));
        Ok(Rounds::new(db, settings, in_flight, (news, ended), inner.status.clone(), handlers))
    }
}
