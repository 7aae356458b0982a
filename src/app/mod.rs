//! What the program can do: one method of [`App`] for each thing. It is the only way from a door to the store and the engine.
//!
//! A method that serves a request takes its [`Access`], then values of the domain, and gives values of the domain. It knows no HTTP
//! and no vendor: what a vendor has of its own is a [`Dialect`], or a [`Draft`](publish::Draft) of an event. Ids are texts, as
//! people write them: a text that is no id names nothing.
//!
//! Every method may fail with what [`Db::read_as`] and [`Db::write`] fail with, with
//! [`NotFound`](crate::error::Error::NotFound) for what the caller does not see, and with
//! [`Invalid`](crate::error::Error::Invalid) for a value, a page size or a cursor that cannot be taken. Each names what else
//! there is.
//!
//! Rules that the command line needs too are values of their own: [`Wanted`], [`NewAccount`](accounts::NewAccount),
//! [`NewToken`](tokens::NewToken).

mod access;
pub mod accounts;
pub mod alerts;
mod audit;
mod backups;
mod callers;
pub mod deliveries;
mod dialect;
pub mod events;
pub mod health;
pub mod overview;
mod page;
pub mod publish;
pub mod recovery;
mod selection;
mod system;
pub mod tokens;
pub mod webhooks;

use std::{sync::Arc, time::Duration};

pub use self::{
    access::{Access, AnyScope, Events, Manages, Operator, Right, Webhooks},
    backups::Backup,
    dialect::Dialect,
    page::{Page, PageRequest},
    selection::Wanted,
};
use self::{backups::Backups, dialect::Dialects};
use crate::{
    clock::SharedClock,
    config::{Config, Limits},
    domain::{ids::EndpointId, profile::Profiles, timestamp::Timestamp, token::AccessScope},
    engine::{Engine, Guard},
    error::Result,
    metrics::Metrics,
    store::{Admission, Db, Tx, View},
};

/// What the program can do. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// What it does it with.
struct Parts {
    db: Db,
    engine: Engine,
    guard: Guard,
    clock: SharedClock,
    profiles: Profiles,
    dialects: Dialects,
    config: Config,
    backups: Backups,
    /// The machine's uptime when it began.
    started: Duration,
}

impl App {
    /// An app over an open database, with the engine that sends and the guard that judges targets. `config` states the address
    /// that the server listens on.
    pub fn new(
        (db, engine, guard): (Db, Engine, Guard),
        clock: SharedClock,
        (profiles, dialects): (Profiles, Vec<Dialect>),
        config: Config,
    ) -> Self {
        let (started, dialects) = (clock.uptime(), Dialects::new(dialects));
        Self(Arc::new(Parts {
            db,
            engine,
            guard,
            clock,
            profiles,
            dialects,
            config,
            backups: Backups::default(),
            started,
        }))
    }

    /// The time.
    pub fn clock(&self) -> &SharedClock {
        &self.0.clock
    }

    /// What one client may take.
    pub fn limits(&self) -> &Limits {
        &self.0.config.limits
    }

    /// How long a former secret signs too.
    pub fn secret_overlap(&self) -> Duration {
        self.0.config.delivery.secret_overlap
    }

    /// Whether everybody may see the metrics.
    pub fn shows_metrics_to_all(&self) -> bool {
        self.0.config.watch.metrics_public
    }

    /// Whether there is a mail server.
    pub fn mails(&self) -> bool {
        !self.0.config.alerts.smtp_url.is_empty()
    }

    /// The metrics.
    pub fn metrics(&self) -> &Arc<Metrics> {
        self.0.db.metrics()
    }

    /// Every vendor that is served, as the engine knows it.
    pub fn profiles(&self) -> &Profiles {
        &self.0.profiles
    }

    /// Every vendor that is served.
    pub fn dialects(&self) -> &[Dialect] {
        self.0.dialects.all()
    }

    /// The vendor of this profile.
    ///
    /// # Errors
    /// [`Internal`](crate::error::Error::Internal) if there is none.
    pub fn dialect(&self, profile: &str) -> Result<&Dialect> {
        self.0.dialects.of(profile)
    }

    /// The present moment.
    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// The webhook of this id, and the access narrowed to its vendor.
    fn resolve<S: Right>(&self, access: &Access<S>, webhook: &str) -> Result<(EndpointId, Access<S>)> {
        let (id, scope) = self.0.profiles.webhook(access.scope(), webhook)?;
        Ok((id, access.within(scope)))
    }

    /// Reads what a request may see; if its right is gone when that is done, nothing of it is given.
    async fn read<S: Right, T: Send + 'static>(
        &self,
        access: &Access<S>,
        run: impl FnOnce(&View<'_>, &AccessScope) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let scope = access.scope().clone();
        self.0.db.read_as(access.grant(), move |view| run(view, &scope)).await
    }

    /// Writes by the right of a request, which is checked in the same transaction.
    async fn write<S: Right, T: Send + 'static>(
        &self,
        access: &Access<S>,
        run: impl FnOnce(&Tx<'_>, &AccessScope) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let scope = access.scope().clone();
        self.0.db.write(access.grant(), Admission::Try, move |tx| run(tx, &scope)).await
    }
}

/// An id as somebody writes it; a text that is none names nothing.
fn id<T>(parsed: Option<T>, missing: crate::error::Missing) -> Result<T> {
    parsed.ok_or(crate::error::Error::NotFound(missing))
}
