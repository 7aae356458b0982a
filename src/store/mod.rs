//! The database: every line of SQL, and the only user of rusqlite and r2d2.
//!
//! Writes go through one thread (`writer`); reads through a small pool. Neither knows an HTTP status or a vendor's word.

pub mod accounts;
pub mod alerts;
pub mod attempts;
pub mod audit;
mod backup;
mod bodies;
mod claim;
mod convert;
pub mod deliveries;
pub mod endpoints;
pub mod erase;
pub mod events;
mod files;
mod following;
mod handover;
mod keyring;
mod open;
pub mod overview;
pub mod queue;
pub mod retention;
pub mod retries;
pub mod search;
pub mod sessions;
mod steps;
mod survey;
pub mod tallies;
mod targets;
pub mod tokens;
pub mod webhooks;
mod writer;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use self::writer::Write;
pub use self::{
    backup::{Made, Progress, backup, make_folder},
    bodies::{Bodies, Body, SMALL_BODY},
    handover::{Change, News, Room},
    keyring::{KeyRing, random},
    open::{check, open},
    targets::Target,
    writer::Tx,
};
use crate::{
    config::Durability,
    domain::audit::Actor,
    error::{Error, Result},
    figures::Figures,
};

/// A handle on the database. Cheap to clone; the file stays open, and locked if this process serves it, until all are gone.
#[derive(Clone)]
pub struct Db(Arc<Inner>);

struct Inner {
    path: PathBuf,
    figures: Arc<Figures>,
    readers: r2d2::Pool<SqliteConnectionManager>,
    glance: Mutex<Connection>,
    room: Arc<Room>,
    /// Who makes the changes that are nobody else's.
    actor: Actor,
    /// Taken by the one engine.
    news: Mutex<Option<mpsc::UnboundedReceiver<News>>>,
    told: watch::Receiver<u64>,
    broken: watch::Receiver<Option<String>>,
    /// Last: when it goes, the writer ends, and with it the lock on the file; every other connection is closed by then.
    queue: mpsc::Sender<Write>,
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Db")
    }
}

/// A reading connection: one consistent view for as long as a closure runs.
#[derive(Debug)]
pub struct View<'a> {
    conn: &'a Connection,
}

impl Db {
    /// Runs a closure in the writer's next transaction; answers after the commit.
    ///
    /// # Errors
    /// The closure's own, whereupon nothing of it is kept; [`Error::Unavailable`] when too many writes wait already, the
    /// disk is full, another process holds the database, or it has failed.
    pub async fn write<T: Send + 'static>(&self, run: impl FnOnce(&Tx<'_>) -> Result<T> + Send + 'static) -> Result<T> {
        self.write_as(self.0.actor, run).await
    }

    /// The same for what somebody else changes: the audit names them.
    ///
    /// # Errors
    /// As [`Db::write`].
    pub async fn write_as<T: Send + 'static>(
        &self,
        actor: Actor,
        run: impl FnOnce(&Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.0.queue.try_send(Write::One(writer::write(actor, run, reply))).map_err(|_| unavailable())?;
        answer.await.unwrap_or_else(|_| Err(unavailable()))
    }

    /// The same for one that takes as long as many others: it has a transaction of its own, and others have theirs between
    /// it and the next.
    ///
    /// # Errors
    /// As [`Db::write`].
    pub async fn write_batch<T: Send + 'static>(
        &self,
        run: impl FnOnce(&Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.0.queue.try_send(Write::Batch(writer::write(self.0.actor, run, reply))).map_err(|_| unavailable())?;
        answer.await.unwrap_or_else(|_| Err(unavailable()))
    }

    /// The same for the engine, which waits for a place in the queue rather than be refused one.
    ///
    /// # Errors
    /// As [`Db::write`].
    pub async fn write_in_turn<T: Send + 'static>(
        &self,
        run: impl FnOnce(&Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.write_in_turn_as(self.0.actor, run).await
    }

    /// The same for what somebody else has begun and nobody waits for.
    ///
    /// # Errors
    /// As [`Db::write`].
    pub async fn write_in_turn_as<T: Send + 'static>(
        &self,
        actor: Actor,
        run: impl FnOnce(&Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.0.queue.send(Write::One(writer::write(actor, run, reply))).await.map_err(|_| unavailable())?;
        answer.await.unwrap_or_else(|_| Err(unavailable()))
    }

    /// Runs a closure on a reading connection, off the async threads.
    ///
    /// # Errors
    /// The closure's own; [`Error::Unavailable`] when every connection stays busy.
    pub async fn read<T: Send + 'static>(
        &self,
        run: impl FnOnce(&View<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let inner = Arc::clone(&self.0);
        let task = tokio::task::spawn_blocking(move || {
            let mut conn = inner.readers.get()?;
            let tx = conn.transaction()?;
            run(&View { conn: &tx })
        });
        task.await.unwrap_or_else(|_| Err(Error::Internal("a read panicked".to_owned())))
    }

    /// Reads in place: only for one indexed row, so small that a thread of its own would cost more.
    ///
    /// # Errors
    /// The closure's own.
    pub fn glance<T>(&self, run: impl FnOnce(&View<'_>) -> Result<T>) -> Result<T> {
        let conn = self.0.glance.lock().unwrap_or_else(PoisonError::into_inner);
        run(&View { conn: &conn })
    }

    /// How many writes wait for the writer.
    pub fn waiting(&self) -> usize {
        self.0.queue.max_capacity() - self.0.queue.capacity()
    }

    /// Whether half of the places for waiting writes are taken, or more.
    pub fn is_busy(&self) -> bool {
        2 * self.waiting() >= self.0.queue.max_capacity()
    }

    /// What is counted and measured about it, and about what is done with it.
    pub fn figures(&self) -> &Arc<Figures> {
        &self.0.figures
    }

    /// Brings the log back into the file and empties it: what was removed is in neither then. Says whether it could: nobody
    /// may read an earlier state meanwhile, and nobody who writes waits for long.
    ///
    /// # Errors
    /// Faults of the database only.
    pub async fn empty_log(&self) -> Result<bool> {
        let inner = Arc::clone(&self.0);
        let task = tokio::task::spawn_blocking(move || open::empty_log(&*inner.readers.get()?));
        task.await.unwrap_or_else(|_| Err(Error::Internal("emptying the log panicked".to_owned())))
    }

    /// The news of commits: for one listener, once.
    pub fn news(&self) -> Option<mpsc::UnboundedReceiver<News>> {
        self.0.news.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// How many commits had news by now.
    pub fn told(&self) -> watch::Receiver<u64> {
        self.0.told.clone()
    }

    /// Where room for new claims is granted.
    pub fn room(&self) -> &Room {
        &self.0.room
    }

    /// Ends with the reason when the disk cannot be trusted any more.
    pub async fn broken(&self) -> String {
        let mut broken = self.0.broken.clone();
        match broken.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => "the writer has ended".to_owned(),
        }
    }
}

fn unavailable() -> Error {
    Error::Unavailable("the database cannot take this now: nothing was stored; try again".to_owned())
}

/// Writes one row, the moment, to see whether the disk takes it.
///
/// # Errors
/// [`Error::Unavailable`] when it does not.
pub fn probe(tx: &Tx<'_>) -> Result<()> {
    Ok(steps::note(tx)?)
}

/// Keeps the file from growing beyond so many pages, or beyond what it has, until the next start: how stories fill it.
///
/// # Errors
/// Faults of the database only.
pub fn limit_pages(tx: &Tx<'_>, pages: u32) -> Result<()> {
    Ok(tx.conn.pragma_update(None, "max_page_count", pages)?)
}

/// What a commit of the writer waits for, as SQLite has it.
///
/// # Errors
/// Faults of the database only.
pub fn durability(tx: &Tx<'_>) -> Result<Durability> {
    const FULL: i64 = 2;
    let level: i64 = tx.conn.pragma_query_value(None, "synchronous", |row| row.get(0))?;
    Ok(if level >= FULL { Durability::Full } else { Durability::Normal })
}
