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

/// A handle on the database. Cheap to clone. The file stays open until the last clone is dropped; a server's lock on
/// the file is held as long.
#[derive(Clone)]
pub struct Db(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) path: PathBuf,
    pub(super) metrics: Arc<Metrics>,
    pub(super) readers: r2d2::Pool<SqliteConnectionManager>,
    pub(super) inline_reader: Arc<Mutex<Connection>>,
    pub(super) claim_budget: Arc<ClaimBudget>,
    pub(super) clock: SharedClock,
    /// Taken once, by the engine.
    pub(super) news: Mutex<Option<mpsc::UnboundedReceiver<News>>>,
    pub(super) news_count: watch::Receiver<u64>,
    pub(super) broken: watch::Receiver<Option<String>>,
    pub(super) keys: Arc<KeyRing>,
    /// Only in a server.
    pub(super) files: Option<Arc<ServedFiles>>,
    /// The last field: dropping it ends the writer and releases the lock on the file. Every other connection is closed
    /// by then.
    pub(super) queue: WriteQueueHandle,
}

/// How a write takes its place in the writer's queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Refused if the queue is full, or if seven eighths of it hold writes of the same token.
    Try,
    /// Waits until the queue has a free slot: for the server's own work.
    Wait,
    /// As [`Admission::Try`], for a write that takes as long as hundreds of others: it gets a transaction of its own.
    Batch,
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Db")
    }
}

impl Db {
    /// Runs a closure in one of the writer's next transactions and returns after the commit. For a request, the same
    /// transaction first checks that its token or session still allows it.
    ///
    /// # Errors
    /// The closure's own error: then nothing of it is kept. [`Error::Unauthorized`] or [`Error::Forbidden`] if the
    /// token, session, account or scope of a request is gone. [`Error::Unavailable`] when the queue or the disk is
    /// full, when another process keeps the database busy, or when the database has failed.
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

    /// Checks that the token or session of a request still allows it. The engine and the command line need no check.
    ///
    /// # Errors
    /// [`Error::Unauthorized`] if its token or session is gone, [`Error::Forbidden`] if only the scope is.
    pub fn check(&self, actor: impl Into<Actor>) -> Result<()> {
        let (actor, now) = (actor.into(), self.0.clock.now());
        self.read_inline(|view| grants::check(view.conn, actor, now))
    }

    /// [`Db::read`] for a request. After the closure has run, it checks that the token or session of the request still
    /// allows it.
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
            run(&View { conn: &tx, keys: &inner.keys, clock: &inner.clock })
        });
        task.await.unwrap_or_else(|_| Err(Error::Internal("a read panicked".to_owned())))
    }

    /// Runs a closure at once, on the calling thread: only for a read of one indexed row, for which a thread would cost
    /// more.
    ///
    /// # Errors
    /// The closure's own.
    pub fn read_inline<T>(&self, run: impl FnOnce(&View<'_>) -> Result<T>) -> Result<T> {
        let conn = self.0.inline_reader.lock().unwrap_or_else(PoisonError::into_inner);
        run(&View { conn: &conn, keys: &self.0.keys, clock: &self.0.clock })
    }

    /// How many writes wait for the writer.
    pub fn waiting(&self) -> usize {
        self.0.queue.taken().0
    }

    /// Whether the queue of writes is at least half full.
    pub fn is_busy(&self) -> bool {
        let (taken, all) = self.0.queue.taken();
        2 * taken >= all
    }

    /// The metrics of the database and of everything that uses it.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.0.metrics
    }

    /// The receiver of the news of commits. Given out once.
    pub fn news(&self) -> Option<mpsc::UnboundedReceiver<News>> {
        self.0.news.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The number of commits with news so far.
    pub fn news_count(&self) -> watch::Receiver<u64> {
        self.0.news_count.clone()
    }

    /// How many new deliveries a publish may claim in the transaction that makes them.
    pub fn claim_budget(&self) -> &ClaimBudget {
        &self.0.claim_budget
    }
}

fn unavailable() -> Error {
    Error::Unavailable("the database cannot take this now: nothing was stored; try again".to_owned())
}

/// Writes one small row, to test whether the disk takes writes.
///
/// # Errors
/// [`Error::Unavailable`] when the disk takes none.
pub fn probe(tx: &Tx<'_>) -> Result<()> {
    Ok(clock_jumps::note(tx)?)
}

/// Limits the file to this many pages until the next start (at least to its present size). Tests use it to fill the
/// disk.
pub fn limit_pages(tx: &Tx<'_>, pages: u32) -> Result<()> {
    Ok(tx.conn.pragma_update(None, "max_page_count", pages)?)
}

/// The durability of the writer's commits, according to SQLite.
pub fn durability(tx: &Tx<'_>) -> Result<Durability> {
    const FULL: i64 = 2;
    let level: i64 = tx.conn.pragma_query_value(None, "synchronous", |row| row.get(0))?;
    Ok(if level >= FULL { Durability::Full } else { Durability::Normal })
}
