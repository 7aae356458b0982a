//! The composition root: from settings to a running server. The one place that wires all.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    sync::watch,
    task::{AbortHandle, JoinHandle},
};

use crate::{
    api::{self, Budgets, Deps, Quota, asg, asilichain, connections},
    clock::{SharedClock, SystemClock},
    config::Config,
    domain::{audit::Actor, profile::Profiles, timestamp::Timestamp},
    engine::{
        Engine, EngineStatus, Guard, LookUp,
        alerts::{Alerts, send_test_mail},
        retention::Retention,
        retries, system_look_up,
    },
    error::{Error, Result},
    store::{self, Admission, Db},
};

/// How long a stop waits for what is under way: attempts, and requests.
const GRACE: Duration = Duration::from_secs(10);

/// Every vendor that is served.
pub fn profiles(config: &Config) -> Profiles {
    let profiles = Profiles::new(vec![
        asg::profile(&config.asg, &config.delivery),
        asilichain::profile(&config.asilichain, &config.delivery),
    ]);
    if config.alerts.warn { profiles } else { profiles.without_warnings() }
}

/// What lies outside the program and may be another thing in a test: the time, and the look-up of names.
#[derive(Clone)]
pub struct Outside {
    /// The time.
    pub clock: SharedClock,
    /// The look-up of names.
    pub look_up: LookUp,
}

impl Default for Outside {
    fn default() -> Self {
        Self { clock: Arc::new(SystemClock), look_up: system_look_up() }
    }
}

/// A server that is ready to run: its database is open and its port is bound.
pub struct App {
    listener: TcpListener,
    address: SocketAddr,
    config: Config,
    db: Db,
    engine: Engine,
    retention: Retention,
    guard: Guard,
    outside: Outside,
}

/// Opens the database and binds the port.
///
/// # Errors
/// Whatever keeps the server from starting, as a sentence.
pub async fn prepare(config: Config, outside: Outside) -> Result<App> {
    let db = store::open(&config.storage, &config.limits, Arc::clone(&outside.clock), true)?;
    let unbound =
        |error: std::io::Error| Error::Internal(format!("cannot listen on {}: {error}", config.server.listen));
    let listener = connections::listen(config.server.listen).map_err(unbound)?;
    let address = listener.local_addr().map_err(unbound)?;
    let guard = Guard::new(&config.egress, address, &outside.look_up, Arc::clone(&outside.clock))?;
    let clock = Arc::clone(&outside.clock);
    let engine = Engine::new(db.clone(), Arc::clone(&clock), profiles(&config), &config, &guard)?;
    let retention = Retention::new(db.clone(), clock, config.retention);
    Ok(App { listener, address, config, db, engine, retention, guard, outside })
}

impl App {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its database.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// What its engine saw when it last came to rest.
    pub fn pulse(&self) -> watch::Receiver<EngineStatus> {
        self.engine.status()
    }

    /// Whoever tells alerts.
    pub fn alerts(&self) -> &Alerts {
        self.engine.alerts()
    }

    /// When its last pass for what has grown old began that has ended.
    pub fn passes(&self) -> watch::Receiver<Option<Timestamp>> {
        self.retention.passes()
    }

    /// Serves until `stop` turns true; then lets what is under way end, ten seconds at most, and writes its outcomes.
    ///
    /// # Errors
    /// When the database fails: a restart recovers.
    pub async fn run(self, stop: watch::Receiver<bool>) -> Result<()> {
        let routes = api::routes(self.deps(), &self.config);
        let (alerts, alerts_stop) = (self.engine.alerts().clone(), stop.clone());
        let (engine, engine_stop) = (self.engine, stop.clone());
        let (engine, mut engine_ended) = spawn(async move { engine.run(engine_stop).await });
        // Should it end unasked, deliveries go on.
        let mut decided = engine_ended.clone();
        let (telling, mut telling_ended) = spawn(async move {
            alerts.run(alerts_stop, asked(&mut decided)).await;
            Ok(())
        });
        let (clock, poll) = (Arc::clone(&self.outside.clock), self.config.delivery.poll_interval);
        let (retries, retention) =
            (retries::run(self.db.clone(), clock, poll, stop.clone()), self.retention.run(stop.clone()));
        let (retries, mut retries_ended) = spawn(async move {
            retries.await;
            Ok(())
        });
        let (retention, mut retention_ended) = spawn(async move {
            retention.await;
            Ok(())
        });
        let (mut server_stop, mut stop) = (stop.clone(), stop);
        let (listener, limits, proxies) = (self.listener, self.config.limits, self.config.server.trusted_proxies);
        let (server, mut server_ended) = spawn(async move {
            connections::serve(listener, routes, &limits, &proxies, asked(&mut server_stop)).await;
            Ok(())
        });
        tokio::select! {
            () = asked(&mut stop) => {}
            () = asked(&mut engine_ended) => {}
            () = asked(&mut server_ended) => {}
            () = asked(&mut telling_ended) => {}
            () = asked(&mut retries_ended) => {}
            () = asked(&mut retention_ended) => {}
            reason = self.db.broken() => return Err(Error::Internal(reason)),
        }
        let parts = [&engine, &server, &telling, &retries, &retention];
        let cut_off = parts.map(JoinHandle::abort_handle);
        if !*stop.borrow() {
            // One of them has ended unasked: the others have no reason to go on.
            cut_off.iter().for_each(AbortHandle::abort);
        }
        // All share the time there is: requests under way are answered, attempts and mails under way end and are written.
        let stopped = tokio::time::timeout(GRACE, async {
            let engine = async {
                let ended = outcome_of(engine).await;
                // For the next start: if it finds an earlier moment, the clock was set back in between.
                drop(self.db.write(Actor::Engine, Admission::Try, store::probe).await);
                ended
            };
            let others = [server, telling, retries, retention].map(outcome_of);
            let [server, telling, retries, retention] = others;
            let ended = tokio::join!(engine, server, telling, retries, retention);
            ended.0.and(ended.1).and(ended.2).and(ended.3).and(ended.4)
        });
        let stopped = stopped.await.unwrap_or_else(|_| {
            tracing::warn!("what is still under way is cut off; the next start makes it again");
            cut_off.iter().for_each(AbortHandle::abort);
            Ok(())
        });
        match self.db.lost() {
            Some(reason) => Err(Error::Internal(reason)),
            None => stopped,
        }
    }

    fn deps(&self) -> Deps {
        let (guard, engine, pulse) = (self.guard.clone(), self.engine.clone(), self.engine.status());
        let mut config = self.config.clone();
        config.server.listen = self.address;
        let config = Arc::new(config);
        Deps {
            db: self.db.clone(),
            clock: Arc::clone(&self.outside.clock),
            vet: Arc::new(move |url| {
                let guard = guard.clone();
                Box::pin(async move {
                    let vetted = tokio::task::spawn_blocking(move || guard.vet(&url)).await;
                    vetted.map_err(|_| Error::Internal("vetting a target panicked".to_owned()))
                })
            }),
            send_test: Arc::new(move |grant, account, target, kind, body| {
                let engine = engine.clone();
                Box::pin(async move { engine.send_test(grant, account, target, kind, body).await })
            }),
            profiles: profiles(&self.config),
            send_test_mail: Arc::new(move |to| {
                let config = Arc::clone(&config);
                Box::pin(async move { send_test_mail(&config, &to).await })
            }),
            looked: Arc::new(move || pulse.borrow().looked),
            watch: self.config.watch.clone(),
            secret_overlap: self.config.delivery.secret_overlap,
            limits: self.config.limits.clone(),
            budgets: Arc::new(Budgets::new(&self.config)),
            quota: Arc::new(Quota::per_minute(self.config.limits.requests_per_minute)),
        }
    }
}

/// Starts a task; what is returned beside it tells when it has ended, however it did.
fn spawn(task: impl Future<Output = Result<()>> + Send + 'static) -> (JoinHandle<Result<()>>, watch::Receiver<bool>) {
    let (alive, ended) = watch::channel(false);
    let task = tokio::spawn(async move {
        let _alive = alive;
        task.await
    });
    (task, ended)
}

/// What a task came to; one that was cut off came to nothing.
async fn outcome_of(task: JoinHandle<Result<()>>) -> Result<()> {
    match task.await {
        Ok(outcome) => outcome,
        Err(cut) if cut.is_cancelled() => Ok(()),
        Err(_) => Err(Error::Internal("a part of the server panicked".to_owned())),
    }
}

/// Ends when a stop is asked for.
async fn asked(stop: &mut watch::Receiver<bool>) {
    // A sender that is gone asks too: it can ask for nothing else any more.
    drop(stop.wait_for(|stop| *stop).await);
}
