//! The use cases of the program: one method of [`App`] for each. They are the only way from a door to the store and the
//! engine.
//!
//! A method that serves a request takes its [`Access`] and values of the domain, and returns values of the domain. It
//! knows no HTTP and no vendor: the differences between vendors are in a [`Dialect`], or in a [`Draft`](publish::Draft)
//! of an event. Ids are texts, as people write them. A text that is no id names nothing.
//!
//! Every method may return the errors of [`Db::read_as`] and [`Db::write`], [`NotFound`](crate::error::Error::NotFound)
//! for objects that the caller does not see, and [`Invalid`](crate::error::Error::Invalid) for a value, a page size or
//! a cursor that is refused. A method names its other errors.
//!
//! Rules that the command line needs too are values of their own: [`Wanted`], [`NewAccount`](accounts::NewAccount),
//! [`NewToken`](tokens::NewToken).

mod access;
pub mod accounts;
pub mod alerts;
mod audit;
mod callers;
mod checked_webhook;
pub mod deliveries;
pub mod delivery_list;
mod dialect;
pub mod events;
pub mod health;
mod heartbeat;
mod once;
pub mod overview;
mod page;
pub mod publish;
pub mod recoveries;
mod searches;
pub mod secrets;
mod selection;
pub mod sign_in_links;
pub mod signatures;
mod system;
pub mod tokens;
pub mod webhook_stats;
pub mod webhook_test;
pub mod webhooks;

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

pub(crate) use self::dialect::Dialects;
pub use self::{
    access::{Access, AnyScope, Events, Manages, Operator, Right, Webhooks},
    dialect::Dialect,
    once::{Answer, Once},
    page::{Page, PageRequest},
    searches::PATIENCE,
    selection::{Looked, Wanted},
    system::{Backup, BackupFile, BackupPart, Room},
};
use self::{checked_webhook::CheckedWebhook, searches::Searches};
use crate::{
    clock::SharedClock,
    config::{Config, Limits},
    domain::{
        certificate::ServedCertificate, ids::EndpointId, profile::Profiles, timestamp::Timestamp, token::Visible,
    },
    engine::{Engine, Guard, backups::Backups},
    error::Result,
    metrics::Metrics,
    store::{Admission, Db, Tx, View},
};

/// The use cases of the program. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// What others find out and show here.
#[derive(Debug)]
pub struct Watched {
    /// The room that is left.
    pub room: watch::Receiver<Room>,
    /// The server's own certificate; `None` if it speaks no TLS by itself.
    pub certificate: watch::Receiver<Option<ServedCertificate>>,
}

impl Watched {
    /// For a process that serves nobody.
    pub fn nothing() -> Self {
        Self { room: Room::unwatched(), certificate: watch::channel(None).1 }
    }
}

struct Parts {
    db: Db,
    engine: Engine,
    guard: Guard,
    clock: SharedClock,
    profiles: Profiles,
    dialects: Dialects,
    config: Config,
    backups: Backups,
    watched: Watched,
    searches: Searches,
    /// The machine's uptime at the start of the server.
    started: Duration,
}

impl App {
    /// An app over an open database, with the engine that sends, the guard that judges targets, the backups, and what is
    /// watched.
    pub fn new(
        (db, engine, guard): (Db, Engine, Guard),
        (backups, watched): (Backups, Watched),
        clock: SharedClock,
        (profiles, dialects): (Profiles, Vec<Dialect>),
        config: Config,
    ) -> Self {
        let (started, dialects) = (clock.uptime(), Dialects::new(dialects));
        db.metrics().set_started(clock.now());
        Self(Arc::new(Parts {
            db,
            engine,
            guard,
            clock,
            profiles,
            dialects,
            config,
            backups,
            watched,
            searches: Searches::default(),
            started,
        }))
    }

    /// The clock.
    pub fn clock(&self) -> &SharedClock {
        &self.0.clock
    }

    /// The limits of one client.
    pub fn limits(&self) -> &Limits {
        &self.0.config.limits
    }

    /// How long a former secret signs too, after a new one.
    pub fn secret_overlap(&self) -> Duration {
        self.0.config.delivery.secret_overlap
    }

    /// Whether everybody may see the metrics, without a token.
    pub fn shows_metrics_to_all(&self) -> bool {
        self.0.config.watch.metrics_public
    }

    /// The address at which people reach the server, without a slash at its end.
    pub fn public_url(&self) -> String {
        match self.0.config.server.public_url.trim_end_matches('/') {
            "" => format!("{}://{}", self.0.config.tls.scheme(), self.0.guard.own()),
            public => public.to_owned(),
        }
    }

    /// Whether there is a mail server.
    pub fn mails(&self) -> bool {
        !self.0.config.alerts.smtp_url.is_empty()
    }

    /// The metrics.
    pub fn metrics(&self) -> &Arc<Metrics> {
        self.0.db.metrics()
    }

    /// The profiles of all vendors.
    pub fn profiles(&self) -> &Profiles {
        &self.0.profiles
    }

    /// The dialects of all vendors.
    pub fn dialects(&self) -> &[Dialect] {
        self.0.dialects.all()
    }

    /// The dialect of this profile.
    ///
    /// # Errors
    /// [`Internal`](crate::error::Error::Internal) if there is none.
    pub fn dialect(&self, profile: &str) -> Result<&Dialect> {
        self.0.dialects.of(profile)
    }

    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// The webhook with this id, and the access narrowed to its profile.
    fn resolve<S: Right>(&self, access: &Access<S>, webhook: &str) -> Result<(EndpointId, Access<S>)> {
        let (id, visible) = self.0.profiles.webhook(access.visible(), webhook)?;
        Ok((id, access.within(visible)))
    }

    /// Reads for a request, within what it may see. If its right is gone after the read, the request gets an error.
    async fn read<S: Right, T: Send + 'static>(
        &self,
        access: &Access<S>,
        run: impl FnOnce(&View<'_>, &Visible) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let visible = access.visible().clone();
        self.0.db.read_as(access.actor(), move |view| run(view, &visible)).await
    }

    /// Writes for a request. Its right is checked in the same transaction.
    async fn write<S: Right, T: Send + 'static>(
        &self,
        access: &Access<S>,
        run: impl FnOnce(&Tx<'_>, &Visible) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let visible = access.visible().clone();
        self.0.db.write(access.actor(), Admission::Try, move |tx| run(tx, &visible)).await
    }
}

/// The id, or the error for a text that is no id: it names nothing.
fn id<T>(parsed: Option<T>, missing: crate::error::Missing) -> Result<T> {
    parsed.ok_or(crate::error::Error::NotFound(missing))
}
