//! The database: every line of SQL, and the only user of rusqlite and r2d2.
//!
//! Writes go through one thread (`writer`); reads through a small pool. Neither knows an HTTP status or a vendor's word.

pub mod accounts;
pub mod alerts;
pub mod attempts;
pub mod audit;
mod backup;
mod before;
mod bodies;
mod check;
mod checksum;
mod claim;
mod convert;
pub mod deliveries;
pub mod endpoints;
pub mod erase;
pub mod events;
mod faults;
mod files;
mod following;
mod grants;
mod handover;
mod key_mark;
mod keyring;
mod make;
mod open;
mod outages;
pub mod overview;
mod place;
pub mod queue;
pub mod retention;
pub mod retries;
pub mod search;
pub mod sessions;
mod shares;
mod steps;
mod survey;
pub mod tallies;
mod targets;
pub mod tokens;
mod waiting;
pub mod webhooks;
mod writer;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

pub use self::{
    backup::{Made, Progress, backup, make_folder},
    bodies::{Bodies, Body, SMALL_BODY},
    check::{Found, check},
    handover::{Change, News, Room},
    keyring::{KeyRing, random},
    open::{make_lost_key, open},
    targets::Target,
    writer::Tx,
};
use self::{
    place::Place,
    waiting::{Asker, Places},
    writer::Write,
};
use crate::{
    clock::SharedClock,
    config::Durability,
    domain::{audit::Actor, timestamp::Timestamp},
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
    glance: Arc<Mutex<Connection>>,
    room: Arc<Room>,
    clock: SharedClock,
    /// Taken by the one engine.
    news: Mutex<Option<mpsc::UnboundedReceiver<News>>>,
    told: watch::Receiver<u64>,
    broken: watch::Receiver<Option<String>>,
    keys: Arc<KeyRing>,
    /// Of a server only.
    place: Option<Arc<Place>>,
    /// Last: when it goes, the writer ends, and with it the lock on the file; every other connection is closed by then.
    places: Places,
}

/// How a write takes its place in the writer's queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It is refused if every place is taken, or seven of eight by its own token.
    Try,
    /// It waits for a place: for what the server does by itself.
    Wait,
    /// As [`Admission::Try`], for a write that takes as long as many others: it has a transaction of its own.
    Batch,
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
    /// Runs a closure in one of the writer's next transactions; answers after the commit. Of a request, the same transaction
    /// first checks that the right by which it acts still holds.
    ///
    /// # Errors
    /// The closure's own, whereupon nothing of it is kept; [`Error::Unauthorized`] or [`Error::Forbidden`] for a request whose
    /// token, session, account or scope is gone; [`Error::Unavailable`] when too many writes wait already, the disk is full,
    /// another process holds the database, or it has failed.
    pub async fn write<T: Send + 'static>(
        &self,
        actor: impl Into<Actor>,
        admission: Admission,
        run: impl FnOnce(&Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let (actor, places) = (actor.into(), &self.0.places);
        let run = writer::write(actor, run, reply);
        let write = if admission == Admission::Batch { Write::Batch(run) } else { Write::One(run) };
        let asker = Asker::from(actor);
        let queued = match admission {
            Admission::Try | Admission::Batch => places.try_send(asker, write),
            Admission::Wait => places.send(asker, write).await,
        };
        if !queued {
            return Err(unavailable());
        }
        answer.await.unwrap_or_else(|_| Err(unavailable()))
    }

    /// Checks that the right by which a request acts still holds; the engine and the command line need none.
    ///
    /// # Errors
    /// [`Error::Unauthorized`] if its token or session is gone, [`Error::Forbidden`] if only the scope is.
    pub fn check(&self, actor: impl Into<Actor>) -> Result<()> {
        let (actor, now) = (actor.into(), self.0.clock.now());
        self.glance(|view| grants::check(view.conn, actor, now))
    }

    /// [`Db::read`] for a request: once the closure has run, checks that the right by which the request acts still holds.
    ///
    /// # Errors
    /// As [`Db::check`] and [`Db::read`].
    pub async fn read_as<T: Send + 'static>(
        &self,
        actor: impl Into<Actor>,
        run: impl FnOnce(&View<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let found = self.read(run).await;
        self.check(actor)?;
        found
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
        self.0.places.taken().0
    }

    /// Whether half of the places for waiting writes are taken, or more.
    pub fn is_busy(&self) -> bool {
        let (taken, all) = self.0.places.taken();
        2 * taken >= all
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

    /// Removes copies from before a change of the schema once they are a week old, both in time of service (`lived`) and by
    /// the clock.
    ///
    /// # Errors
    /// Faults of the database only.
    pub async fn forget_copies(&self, now: Timestamp, lived: Duration) -> Result<()> {
        let path = self.0.path.clone();
        self.read(move |view| before::forget(view, &path, now, lived)).await
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
