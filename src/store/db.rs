//! The handle on the database: writes wait for the writer, reads run on a small pool.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    Result, Tx, View,
    claim::ClaimBudget,
    clock_jumps, grants,
    keyring::KeyRing,
    news::News,
    served_files::ServedFiles,
    write::{self, Write},
    write_queue::{Asker, WriteQueueHandle},
};
use crate::{clock::SharedClock, config::Durability, domain::audit::Actor, error::Error, metrics::Metrics};

/// A handle on the database. Cheap to clone; the file stays open, and locked if this process serves it, until all are gone.
#[derive(Clone)]
pub struct Db(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) path: PathBuf,
    pub(super) metrics: Arc<Metrics>,
    pub(super) readers: r2d2::Pool<SqliteConnectionManager>,
    pub(super) inline_reader: Arc<Mutex<Connection>>,
    pub(super) claim_budget: Arc<ClaimBudget>,
    pub(super) clock: SharedClock,
    /// Taken by the one engine.
    pub(super) news: Mutex<Option<mpsc::UnboundedReceiver<News>>>,
    pub(super) news_count: watch::Receiver<u64>,
    pub(super) broken: watch::Receiver<Option<String>>,
    pub(super) keys: Arc<KeyRing>,
    /// Of a server only.
    pub(super) files: Option<Arc<ServedFiles>>,
    /// Last: when it goes, the writer ends, and with it the lock on the file; every other connection is closed by then.
    pub(super) queue: WriteQueueHandle,
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
        let (actor, queue) = (actor.into(), &self.0.queue);
        let run = write::wrap(actor, run, reply);
        let write = if admission == Admission::Batch { Write::Batch(run) } else { Write::One(run) };
        let asker = Asker::from(actor);
        let queued = match admission {
            Admission::Try | Admission::Batch => queue.try_send(asker, write),
            Admission::Wait => queue.send(asker, write).await,
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
        self.read_inline(|view| grants::check(view.conn, actor, now))
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
    pub fn read_inline<T>(&self, run: impl FnOnce(&View<'_>) -> Result<T>) -> Result<T> {
        let conn = self.0.inline_reader.lock().unwrap_or_else(PoisonError::into_inner);
        run(&View { conn: &conn })
    }

    /// How many writes wait for the writer.
    pub fn waiting(&self) -> usize {
        self.0.queue.taken().0
    }

    /// Whether half of the places for waiting writes are taken, or more.
    pub fn is_busy(&self) -> bool {
        let (taken, all) = self.0.queue.taken();
        2 * taken >= all
    }

    /// What is counted and measured about it, and about what is done with it.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.0.metrics
    }

    /// The news of commits: for one listener, once.
    pub fn news(&self) -> Option<mpsc::UnboundedReceiver<News>> {
        self.0.news.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// How many commits had news by now.
    pub fn news_count(&self) -> watch::Receiver<u64> {
        self.0.news_count.clone()
    }

    /// How many new deliveries a publish may claim as it makes them.
    pub fn claim_budget(&self) -> &ClaimBudget {
        &self.0.claim_budget
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
    Ok(clock_jumps::note(tx)?)
}

/// Keeps the file from growing beyond so many pages, or beyond what it has, until the next start: how stories fill it.
pub fn limit_pages(tx: &Tx<'_>, pages: u32) -> Result<()> {
    Ok(tx.conn.pragma_update(None, "max_page_count", pages)?)
}

/// What a commit of the writer waits for, as SQLite has it.
pub fn durability(tx: &Tx<'_>) -> Result<Durability> {
    const FULL: i64 = 2;
    let level: i64 = tx.conn.pragma_query_value(None, "synchronous", |row| row.get(0))?;
    Ok(if level >= FULL { Durability::Full } else { Durability::Normal })
}
