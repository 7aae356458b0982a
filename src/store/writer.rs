//! Group commit: one thread writes, and many writes share a commit.
//!
//! The thread takes the queued writes, runs each closure in a savepoint inside one IMMEDIATE transaction, commits once,
//! then sends all results. So a result means: committed, and with `durability = "full"` synced to disk.
//!
//! [`WriteQueue`] decides which write is next: each asker has a fair share of the writer's time. A batch takes as long
//! as hundreds of short writes, so it gets a commit of its own.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    ops::ControlFlow,
    sync::{Arc, Mutex},
    time::Duration,
};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    Tx, View, cascade,
    claim::ClaimBudget,
    clock_jumps::ClockJumps,
    convert::is_full,
    keyring::KeyRing,
    news::News,
    served_files::ServedFiles,
    shares,
    targets::Targets,
    usage::Usage,
    write::{self, Answer, Run, Write},
    write_queue::{Asker, WriteQueue},
};
use crate::{
    clock::{SharedClock, Stopwatch},
    domain::{audit::Actor, endpoint::EndpointKey, timestamp::Timestamp},
    error::Error,
    metrics::{ClockJump, Fault, Metrics},
};

/// Most writes that share one commit.
const MAX_GROUP: usize = 256;
/// A group that has run for this long takes no further write of a request: this limits how long the others wait.
const MAX_GROUP_TIME: Duration = Duration::from_millis(10);

/// The error of every write once the database file is gone.
const LOST: &str = "the database file was removed, replaced or cut short: nothing can be stored, and the server stops";

/// Ends the queue when the writer has ended for any reason.
struct Ends(Arc<WriteQueue>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// The parts that the writer thread owns.
pub(super) struct Writer {
    /// Sees only committed data. Declared before the writing connection, which must be the last to close.
    pub(super) inline_reader: Arc<Mutex<Connection>>,
    pub(super) conn: Connection,
    pub(super) metrics: Arc<Metrics>,
    pub(super) queue: Arc<WriteQueue>,
    pub(super) clock: SharedClock,
    pub(super) keys: Arc<KeyRing>,
    /// Detects jumps of the wall clock; only in a server.
    pub(super) jumps: Option<ClockJumps>,
    pub(super) targets: RefCell<Targets>,
    pub(super) usage: RefCell<Usage>,
    pub(super) claim_budget: Arc<ClaimBudget>,
    pub(super) news: mpsc::UnboundedSender<News>,
    /// Endpoints whose deliveries are not all updated yet; only in a server.
    pub(super) behind: RefCell<BTreeSet<EndpointKey>>,
    /// SQLite's counter of other processes' writes, as last read.
    pub(super) others: Cell<i64>,
    /// Whether the last commit failed: then the writer starts no work of its own.
    pub(super) failed: Cell<bool>,
    /// The number of commits with news.
    pub(super) news_count: watch::Sender<u64>,
    /// Set once, when the disk can no longer be trusted.
    pub(super) broken: watch::Sender<Option<String>>,
    /// Only in a server. Declared after the connection: the next holder of the lock must find the file closed.
    pub(super) files: Option<Arc<ServedFiles>>,
}

impl Writer {
    /// Runs until every handle is dropped, or until the disk fails.
    pub(super) fn run(self) {
        let _ends = Ends(Arc::clone(&self.queue));
        loop {
            let behind = self.behind.borrow().first().copied().filter(|_| !self.failed.get());
            let first = match behind {
                Some(_) => self.queue.now(),
                None => self.queue.wait(),
            };
            if first.is_none() && self.queue.is_closed() {
                return;
            }
            let alone = matches!(first, Some((_, Write::Batch(_))));
            let mut written = self.commit(first, behind.filter(|_| !alone));
            if let (Some(behind), true, ControlFlow::Continue(())) = (behind, alone, written) {
                // A cascade does not wait until all batches are done.
                written = self.commit(self.queue.more(self.queue.group()), Some(behind));
            }
            if written.is_break() {
                return;
            }
        }
    }

    /// One group in one transaction: this write, the queued writes that may join it, and one step of a cascade. It
    /// breaks only for a fault after which the file can no longer be trusted.
    fn commit(&self, first: Option<(Asker, Write)>, behind: Option<EndpointKey>) -> ControlFlow<()> {
        let watch = Stopwatch::start();
        let (mut answers, mut costs) = (Vec::new(), Vec::new());
        let begun = self.execute("BEGIN IMMEDIATE");
        // The time is read after the lock is taken: another process may have held the lock for seconds.
        let Ok(now) = self.clock.now().checked().map_err(|error| self.give_up(error.to_string())) else {
            return ControlFlow::Break(());
        };
        let tx = self.begin(now);
        let changes = self.conn.total_changes();
        let mut held = None;
        let done = begun
            .and_then(|()| self.look_beside())
            .and_then(|()| self.jumps.as_ref().map_or(Ok(()), |jumps| jumps.follow(&tx, tx.uptime)))
            .and_then(|()| self.run_group(&tx, first, behind, &mut answers, &mut costs))
            .and_then(|()| shares::write(&tx))
            .and_then(|()| {
                let changed = self.conn.total_changes() > changes;
                self.jumps.as_ref().map_or(Ok(()), |jumps| jumps.note(&tx, changed))
            })
            .and_then(|()| {
                held = self.files.as_ref().map(|files| files.hold());
                self.execute("COMMIT")
            });
        self.failed.set(done.is_err());
        // The writes share the cost of the commit.
        let own: Duration = costs.iter().map(|(_, cost)| *cost).sum();
        let share = watch.elapsed().saturating_sub(own) / u32::try_from(costs.len().max(1)).unwrap_or(u32::MAX);
        self.queue.charge(costs.into_iter().map(|(asker, _)| (asker, share)));
        // Checked after the commit: then everything reported as stored is in the file that has this name.
        let hold = || self.files.as_ref().map(|files| files.hold());
        if let Some(reason) = held.or_else(hold).and_then(|held| held.lost(&self.conn)) {
            self.give_up(reason);
            let lost = Error::Unavailable(LOST.to_owned());
            answers.into_iter().for_each(|answer| answer(Some(lost.clone())));
            return ControlFlow::Break(());
        }
        if let Err(error) = done {
            return self.undo(error, answers);
        }
        self.metrics.committed(answers.len(), watch.elapsed());
        self.metrics.set_accounts_near_limit(self.usage.borrow().near_limit());
        if self.conn.total_changes() > changes {
            self.metrics.wrote(tx.uptime);
        }
        self.committed(tx, behind);
        answers.into_iter().for_each(|answer| answer(None));
        ControlFlow::Continue(())
    }

    fn begin(&self, now: Timestamp) -> Tx<'_> {
        Tx {
            view: View { conn: &self.conn, keys: &self.keys, clock: &self.clock },
            now,
            uptime: self.clock.uptime(),
            inline_reader: &self.inline_reader,
            targets: &self.targets,
            usage: &self.usage,
            stored: RefCell::default(),
            claim_budget: &self.claim_budget,
            news: RefCell::new(News::new(now)),
            actor: Cell::new(Actor::Engine),
            serving: self.files.is_some(),
            behind: RefCell::default(),
        }
    }

    /// Runs the writes of a group until one fault undoes them all, and notes the cost of each. The remaining writes
    /// stay queued.
    fn run_group(
        &self,
        tx: &Tx<'_>,
        first: Option<(Asker, Write)>,
        behind: Option<EndpointKey>,
        answers: &mut Vec<Answer>,
        costs: &mut Vec<(Asker, Duration)>,
    ) -> rusqlite::Result<()> {
        let alone = matches!(first, Some((_, Write::Batch(_))));
        let (mut next, begun, mut group) = (first, Stopwatch::start(), self.queue.group());
        while let Some((asker, Write::One(run) | Write::Batch(run))) = next {
            let watch = Stopwatch::start();
            self.run_one(tx, run, answers)?;
            costs.push((asker, watch.elapsed()));
            self.queue.charge(costs.last().copied());
            group.late = begun.elapsed() >= MAX_GROUP_TIME;
            next = if alone || answers.len() >= MAX_GROUP { None } else { self.queue.more(group) };
        }
        if let Some(endpoint) = behind {
            let follow = write::wrap(Actor::Engine, move |tx| cascade::follow(tx, endpoint), oneshot::channel().0);
            self.run_one(tx, follow, answers)?;
        }
        Ok(())
    }

    /// Runs a write in a savepoint of its own. If it is dropped, its caller gets "not available".
    fn run_one(&self, tx: &Tx<'_>, run: Run, answers: &mut Vec<Answer>) -> rusqlite::Result<()> {
        self.execute("SAVEPOINT w")?;
        let (changes, stored) = (tx.news.borrow().changes.len(), tx.stored.borrow().len());
        let (refused, answer) = run(tx);
        answers.push(answer);
        if refused.is_some() {
            // Above all the claims: their rows are undone.
            tx.news.borrow_mut().changes.truncate(changes);
            tx.stored.borrow_mut().truncate(stored);
        }
        let kept = refused.is_none();
        if let Some(why) = refused.filter(Error::is_fault) {
            self.metrics.write_failed(Fault { at: self.clock.uptime(), why });
        }
        // After SQLite has rolled back by itself, another closure would write outside any transaction.
        if self.conn.is_autocommit() {
            return Err(rolled_back());
        }
        if !kept {
            self.execute("ROLLBACK TO w")?;
        }
        self.execute("RELEASE w")
    }

    /// A command may have changed an endpoint since the last commit: its deliveries are to be updated.
    fn look_beside(&self) -> rusqlite::Result<()> {
        if self.files.is_none() {
            return Ok(());
        }
        let others = self.conn.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        if others != self.others.get() {
            self.behind.borrow_mut().extend(cascade::behind(&self.conn)?);
            self.others.set(others);
        }
        Ok(())
    }

    fn undo(&self, error: rusqlite::Error, answers: Vec<Answer>) -> ControlFlow<()> {
        if !self.conn.is_autocommit() {
            let _ = self.execute("ROLLBACK");
        }
        self.targets.borrow_mut().forget();
        let (error_text, is_passing) = (error.to_string(), is_passing(&error));
        // Otherwise the write that caused it has reported the fault.
        let was_rolled_back = error.sqlite_error_code() == Some(rusqlite::ErrorCode::OperationAborted);
        let told = match Error::from(error) {
            // After a failed sync, the next start may still find the data in the log.
            Error::Internal(_) if !is_passing => Error::Unavailable(
                "the database failed, and whether this was stored is not known: look first, or send it again under the same key"
                    .to_owned(),
            ),
            Error::Internal(_) => Error::Unavailable("the database failed: nothing was stored; try again".to_owned()),
            told => told,
        };
        tracing::warn!(error = error_text, "nothing of these writes was stored");
        if !was_rolled_back {
            self.metrics.write_failed(Fault { at: self.clock.uptime(), why: told.clone() });
        }
        if !is_passing {
            self.give_up(error_text);
        }
        answers.into_iter().for_each(|answer| answer(Some(told.clone())));
        if is_passing { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    /// Stops the server before any result is sent: a status that a client reads after its result must be true.
    fn give_up(&self, reason: String) {
        tracing::error!(error = %reason, "the database cannot be written: stopping, so that a restart can recover");
        self.broken.send_replace(Some(reason));
    }

    /// Updates the state in memory after a commit.
    fn committed(&self, tx: Tx<'_>, followed: Option<EndpointKey>) {
        if let Some(jumps) = &self.jumps {
            jumps.committed(tx.now, tx.uptime);
            let by = tx.news.borrow().shifted;
            if by != 0 {
                self.metrics.clock_jumped(ClockJump { by, at: tx.uptime });
            }
        }
        if self.files.is_some() {
            let mut behind = self.behind.borrow_mut();
            followed.map(|endpoint| behind.remove(&endpoint));
            behind.extend(tx.behind.into_inner());
        }
        self.tell(tx.news.into_inner());
    }

    /// Sends the news of a commit, before any result is sent. Without a server nobody receives it.
    fn tell(&self, mut news: News) {
        if !news.is_empty() {
            news.number = *self.news_count.borrow() + 1;
            let number = news.number;
            let _ = self.news.send(news);
            self.news_count.send_replace(number);
        }
    }

    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.conn.prepare_cached(sql)?.execute([]).map(drop)
    }
}

/// SQLite has rolled back the whole transaction by itself, as it may when the disk is full.
fn rolled_back() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT), None)
}

/// Whether the fault is temporary: a full disk, a lock that another process holds, a group that was rolled back.
fn is_passing(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked, OperationAborted};
    is_full(error) || matches!(error.sqlite_error_code(), Some(DatabaseBusy | DatabaseLocked | OperationAborted))
}
