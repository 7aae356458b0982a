//! The server. This is the only place that puts all parts together, runs them and stops them.

mod doors;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use poem::{Endpoint, EndpointExt, Response};
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;

use self::doors::Answers;
use crate::{
    api,
    app::{App, Watched},
    clock::{SharedClock, SystemClock},
    config::Config,
    dashboard::Dashboard,
    domain::{audit::Actor, certificate::ServedCertificate, timestamp::Timestamp},
    engine::{
        Caretaker, Engine, EngineStatus, Guard, LookUp, alerts::Alerts, backups::Backups, recoveries,
        retention::Retention, system_look_up,
    },
    error::{Error, Result},
    http::{
        auth::TokenCheck, budget::Budgets, pipeline::Pipeline, rate_limit::RateLimit, redirect::Redirect,
        server as http_server,
    },
    store::{
        self, Admission, Db, Tx, answers,
        serving::{self, Manner},
    },
    tls::Certificates,
};

/// How long a stop waits for attempts and requests in progress.
const GRACE: Duration = Duration::from_secs(10);

/// How long a stop waits after that for the database to take its note.
const LAST_WRITE: Duration = Duration::from_secs(1);

/// The parts outside the program, which tests replace: the time, and the look-up of names.
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

/// A server that is ready to run: its database is open and its ports are bound.
pub struct Server {
    listener: TcpListener,
    /// The port of redirects to TLS.
    redirects: Option<TcpListener>,
    certificates: Option<Certificates>,
    address: SocketAddr,
    config: Config,
    db: Db,
    engine: Engine,
    retention: Retention,
    backups: Backups,
    guard: Guard,
    outside: Outside,
}

/// Opens the database and binds the port.
///
/// # Errors
/// A problem that prevents the start, as a sentence.
pub async fn prepare(config: Config, outside: Outside) -> Result<Server> {
    let certificates = Certificates::new(&config.tls, &config.storage.path, Arc::clone(&outside.clock))?;
    let db = store::open(&config.storage, &config.limits, Arc::clone(&outside.clock), true)?;
    let listen =
        |address, option| http_server::listen(address).map_err(|error| http_server::unbound(address, &error, option));
    let listener = listen(config.server.listen, "--listen or server.listen")?;
    let redirects = config.tls.http_listen.map(|address| listen(address, "tls.http_listen")).transpose()?;
    let address = listener.local_addr().map_err(|error| Error::Internal(error.to_string()))?;
    let guard = Guard::new(&config.egress, address, &outside.look_up, Arc::clone(&outside.clock))?;
    let clock = Arc::clone(&outside.clock);
    let engine = Engine::new(db.clone(), Arc::clone(&clock), api::profiles(&config), &config, &guard)?;
    // Before any request comes.
    db.write(Actor::Engine, Admission::Wait, answers::forget_begun).await?;
    let backups = Backups::new(db.clone(), Arc::clone(&clock), &config)?;
    let retention = Retention::new(db.clone(), clock, config.retention);
    Ok(Server { listener, redirects, certificates, address, config, db, engine, retention, backups, guard, outside })
}

impl Server {
    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its database.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// The state of its engine when it last had nothing to do.
    pub fn status(&self) -> watch::Receiver<EngineStatus> {
        self.engine.status()
    }

    /// The part that sends alerts.
    pub fn alerts(&self) -> &Alerts {
        self.engine.alerts()
    }

    /// The beginning of the last retention pass that has ended.
    pub fn passes(&self) -> watch::Receiver<Option<Timestamp>> {
        self.retention.passes()
    }

    /// When the last backup began that the server tried to make by itself, and that has ended.
    pub fn backups(&self) -> watch::Receiver<Option<Timestamp>> {
        self.backups.tries()
    }

    /// Serves until `stop` turns true. Then attempts and requests in progress may end, for ten seconds at most, and
    /// their outcomes are written.
    ///
    /// # Errors
    /// When the database fails: a restart recovers.
    pub async fn run(self, mut stop: watch::Receiver<bool>) -> Result<()> {
        let (db, engine_ended) = (self.db.clone(), CancellationToken::new());
        // Other writes may wait before it, and requests are answered meanwhile.
        let begun = tokio::spawn(note_begin(db.clone(), self.manner()));
        let mut parts = self.start(&stop, &engine_ended)?;
        let first = tokio::select! {
            () = asked(&mut stop) => Ok(()),
            Some(ended) = parts.join_next() => outcome_of(ended),
            reason = db.broken() => {
                parts.detach_all();
                return Err(Error::Internal(reason));
            }
        };
        let was_asked = *stop.borrow();
        if !was_asked {
            // One part has ended although no stop was asked for: the others end too.
            parts.abort_all();
        }
        // All parts share the time: requests are answered, attempts and mails end and are written.
        let stopped = tokio::time::timeout(GRACE, async {
            let rest = async {
                let mut outcome = first;
                while let Some(ended) = parts.join_next().await {
                    outcome = outcome.and(outcome_of(ended));
                }
                outcome
            };
            let mark = async {
                engine_ended.cancelled().await;
                let _ = begun.await;
                note_end(&db, was_asked).await;
            };
            tokio::join!(rest, mark).0
        });
        let stopped = match stopped.await {
            Ok(stopped) => stopped,
            Err(_) => {
                tracing::warn!("attempts still under way are cut off; the next start makes them again");
                drop(tokio::time::timeout(LAST_WRITE, note_end(&db, was_asked)).await);
                Ok(())
            }
        };
        match db.lost() {
            Some(reason) => Err(Error::Internal(reason)),
            None => stopped,
        }
    }

    /// Starts all parts. Each ends after `stop` turns true; `engine_ended` is cancelled when the engine has ended.
    ///
    /// # Errors
    /// TLS that cannot be set up.
    fn start(self, stop: &watch::Receiver<bool>, engine_ended: &CancellationToken) -> Result<JoinSet<Result<()>>> {
        let mut parts = JoinSet::new();
        let tls = self.certificates.as_ref().map(|certificates| certificates.presenter().config()).transpose()?;
        let app = self.app();
        let pipeline = self.pipeline(app.clone());
        let care = self.caretaker().run(stop.clone());
        parts.spawn(async move {
            care.await;
            Ok(())
        });
        let beat_stop = stop.clone();
        parts.spawn(async move {
            app.beat(beat_stop).await;
            Ok(())
        });
        let (alerts, alerts_stop) = (self.engine.alerts().clone(), stop.clone());
        // The engine may still report outcomes that need alerts.
        let engine_done = engine_ended.clone();
        parts.spawn(async move {
            alerts.run(alerts_stop, engine_done.cancelled()).await;
            Ok(())
        });
        let (engine, engine_stop, on_end) = (self.engine, stop.clone(), engine_ended.clone().drop_guard());
        parts.spawn(async move {
            let _on_end = on_end;
            engine.run(engine_stop).await
        });
        let (clock, poll) = (Arc::clone(&self.outside.clock), self.config.delivery.poll_interval);
        let recoveries = recoveries::run(self.db, clock, poll, stop.clone());
        parts.spawn(async move {
            recoveries.await;
            Ok(())
        });
        let retention = self.retention.run(stop.clone());
        parts.spawn(async move {
            retention.await;
            Ok(())
        });
        if let Some(listener) = self.redirects {
            let (redirect, limits) = (Redirect::of(&self.config), Redirect::limits(&self.config.limits));
            let mut redirects_stop = stop.clone();
            parts.spawn(async move {
                http_server::serve(listener, redirect, &limits, &[], None, asked(&mut redirects_stop)).await;
                Ok(())
            });
        }
        if let Some(certificates) = self.certificates {
            let certificates = certificates.run(stop.clone());
            parts.spawn(async move {
                certificates.await;
                Ok(())
            });
        }
        let backups = self.backups.run(stop.clone());
        parts.spawn(async move {
            backups.await;
            Ok(())
        });
        let (listener, limits, proxies) = (self.listener, self.config.limits, self.config.server.trusted_proxies);
        let mut server_stop = stop.clone();
        parts.spawn(async move {
            http_server::serve(listener, pipeline, &limits, &proxies, tls, asked(&mut server_stop)).await;
            Ok(())
        });
        Ok(parts)
    }

    fn pipeline(&self, app: App) -> impl Endpoint<Output = Response> + 'static {
        let (config, clock) = (&self.config, Arc::clone(&self.outside.clock));
        let (budgets, per_minute) = (Arc::new(Budgets::new(config)), config.limits.requests_per_minute);
        let tokens = TokenCheck {
            app: app.clone(),
            rate_limit: Arc::new(RateLimit::per_minute(per_minute)),
            budgets: Arc::clone(&budgets),
        };
        let answers = Answers {
            pages: api::pages().into_iter().chain(doors::guide_pages()).chain([doors::favicon()]).collect(),
            dashboard: Dashboard::new(app.clone(), Arc::clone(&budgets), config),
            api: api::routes(app, tokens, config).boxed(),
        };
        let (limits, server) = (config.limits.clone(), config.server.clone());
        Pipeline::new(answers.doors(), limits, server, clock, self.db.metrics(), budgets)
    }

    fn caretaker(&self) -> Caretaker {
        Caretaker {
            db: self.db.clone(),
            clock: Arc::clone(&self.outside.clock),
            config: self.config.clone(),
            backups: self.backups.clone(),
            certificate: self.certificate(),
        }
    }

    /// How it serves, for the commands beside it.
    fn manner(&self) -> Manner {
        if self.config.dev { Manner::Dev } else { Manner::BySettings }
    }

    /// The state of the server's own certificate.
    fn certificate(&self) -> watch::Receiver<Option<ServedCertificate>> {
        self.certificates.as_ref().map_or_else(|| watch::channel(None).1, Certificates::seen)
    }

    fn app(&self) -> App {
        let mut config = self.config.clone();
        config.server.listen = self.address;
        let parts = (self.db.clone(), self.engine.clone(), self.guard.clone());
        let watched = Watched { room: self.retention.room(), certificate: self.certificate() };
        let watched = (self.backups.clone(), watched);
        let vendors = (api::profiles(&config), api::dialects(&config));
        App::new(parts, watched, Arc::clone(&self.outside.clock), vendors, config)
    }
}

/// Notes that the server begins, for the next start.
async fn note_begin(db: Db, manner: Manner) {
    let begins = move |tx: &Tx<'_>| serving::begins(tx, manner);
    if let Err(error) = db.write(Actor::Engine, Admission::Wait, begins).await {
        tracing::warn!(%error, "the start could not be noted: the next one does not know whether this server ended well");
    }
}

/// Notes the end of the server for the next start. If that finds an earlier moment, the clock was set back in between.
async fn note_end(db: &Db, was_asked: bool) {
    let note = if was_asked { serving::ends } else { store::probe };
    drop(db.write(Actor::Engine, Admission::Try, note).await);
}

/// The outcome of a part that has ended; one that was cut off has none.
fn outcome_of(ended: Result<Result<()>, JoinError>) -> Result<()> {
    match ended {
        Ok(outcome) => outcome,
        Err(cut) if cut.is_cancelled() => Ok(()),
        Err(_) => Err(Error::Internal("a part of the server panicked".to_owned())),
    }
}

/// Ends when a stop is asked for.
async fn asked(stop: &mut watch::Receiver<bool>) {
    // A dropped sender also means a stop.
    drop(stop.wait_for(|stop| *stop).await);
}
