//! Group commit: one thread writes, and many writes share a commit.
//!
//! It takes what waits, runs each closure in a savepoint inside one IMMEDIATE transaction, commits once, then answers all.
//! So an answer means: committed, and with `durability = "full"` synced to disk.
//!
//! Which write is next is decided by [`WriteQueue`]: each asker has a fair share of the writer's time. A batch takes as long as
//! hundreds of other writes: it has a commit of its own.

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
    Tx, cascade,
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
/// A group that has run for this long takes no further write of a request: nobody waits longer for one group, however much a write does.
const MAX_GROUP_TIME: Duration = Duration::from_millis(10);

/// What is answered once the database is not where it was.
const LOST: &str = "the database file was removed, replaced or cut short: nothing can be stored, and the server stops";

/// When the writer is gone, however it ended, nothing waits for it.
struct Ends(Arc<WriteQueue>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// What the writer thread owns.
pub(super) struct Writer {
    /// Reads what is committed. Before the connection that writes, which is the last to be closed.
    pub(super) inline_reader: Arc<Mutex<Connection>>,
    pub(super) conn: Connection,
    pub(super) metrics: Arc<Metrics>,
    pub(super) queue: Arc<WriteQueue>,
    pub(super) clock: SharedClock,
    pub(super) keys: Arc<KeyRing>,
    /// Notices that the clock was set; only a server does.
    pub(super) jumps: Option<ClockJumps>,
    pub(super) targets: RefCell<Targets>,
    pub(super) usage: RefCell<Usage>,
    pub(super) claim_budget: Arc<ClaimBudget>,
    pub(super) news: mpsc::UnboundedSender<News>,
    /// Endpoints whose deliveries have yet to follow them; only a server sees to that.
    pub(super) behind: RefCell<BTreeSet<EndpointKey>>,
    /// SQLite's number for what other processes have written, as it was last seen.
    pub(super) others: Cell<i64>,
    /// The last commit failed: nothing is begun unasked.
    pub(super) failed: Cell<bool>,
    /// How many commits had news.
    pub(super) news_count: watch::Sender<u64>,
    /// Set once when the disk cannot be trusted any more.
    pub(super) broken: watch::Sender<Option<String>>,
    /// Of a server only. After the connection: the next holder of the lock finds the file closed.
    pub(super) files: Option<Arc<ServedFiles>>,
}

impl Writer {
    /// Runs until every handle is gone, or until the disk fails.
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
                // What follows an endpoint does not wait for the end of all batches.
                written = self.commit(self.queue.more(self.queue.group()), Some(behind));
            }
            if written.is_break() {
                return;
            }
        }
    }

    /// One group, one transaction: this write, those that wait and may share its commit, and what follows an endpoint. It
    /// breaks off only for a fault after which nothing on the disk can be relied on.
    fn commit(&self, first: Option<(Asker, Write)>, behind: Option<EndpointKey>) -> ControlFlow<()> {
        let watch = Stopwatch::start();
        let (mut answers, mut costs) = (Vec::new(), Vec::new());
        let begun = self.execute("BEGIN IMMEDIATE");
        // The moment is taken when the lock is: another process may have held it for seconds.
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
        // What the commit takes is shared by the writes in it.
        let own: Duration = costs.iter().map(|(_, cost)| *cost).sum();
        let share = watch.elapsed().saturating_sub(own) / u32::try_from(costs.len().max(1)).unwrap_or(u32::MAX);
        self.queue.charge(costs.into_iter().map(|(asker, _)| (asker, share)));
        // Looked at after the commit: what is answered as stored was in the file of this name then.
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
            conn: &self.conn,
            now,
            uptime: self.clock.uptime(),
            keys: &self.keys,
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

    /// Runs the writes of a group, up to the first fault that undoes them all, and notes what each has cost its asker. Those that
    /// still wait then go on waiting.
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

    /// Runs a write in a savepoint of its own. Dropping it drops its reply, which its caller reads as "not available".
    fn run_one(&self, tx: &Tx<'_>, run: Run, answers: &mut Vec<Answer>) -> rusqlite::Result<()> {
        self.execute("SAVEPOINT w")?;
        let (changes, stored) = (tx.news.borrow().changes.len(), tx.stored.borrow().len());
        let (refused, answer) = run(tx);
        answers.push(answer);
        if refused.is_some() {
            // Above all the claims: their rows are gone.
            tx.news.borrow_mut().changes.truncate(changes);
            tx.stored.borrow_mut().truncate(stored);
        }
        let kept = refused.is_none();
        if let Some(why) = refused.filter(Error::is_fault) {
            self.metrics.write_failed(Fault { at: self.clock.uptime(), why });
        }
        // Once SQLite has rolled the group back, a further closure would write outside any transaction.
        if self.conn.is_autocommit() {
            return Err(rolled_back());
        }
        if !kept {
            self.execute("ROLLBACK TO w")?;
        }
        self.execute("RELEASE w")
    }

    /// A command may have resumed an endpoint since the last commit: its deliveries have yet to follow.
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

    /// Undoes a group whole and says why to each of its writes.
    fn undo(&self, error: rusqlite::Error, answers: Vec<Answer>) -> ControlFlow<()> {
        if !self.conn.is_autocommit() {
            let _ = self.execute("ROLLBACK");
        }
        self.targets.borrow_mut().forget();
        let (error_text, is_passing) = (error.to_string(), is_passing(&error));
        // Then the write that led to it has said why.
        let was_rolled_back = error.sqlite_error_code() == Some(rusqlite::ErrorCode::OperationAborted);
        let told = match Error::from(error) {
            // What a failed sync left in the log may be found there at the next start.
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

    /// Stops the server, before anybody is answered: who asks how it is after an answer is told the truth.
    fn give_up(&self, reason: String) {
        tracing::error!(error = %reason, "the database cannot be written: stopping, so that a restart can recover");
        self.broken.send_replace(Some(reason));
    }

    /// Takes note of what is on disk now.
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

    /// Hands the news of a commit over, before anybody is answered. Nobody listens where nothing is served.
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

/// SQLite has undone the whole transaction by itself, as it may when the disk is full.
fn rolled_back() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT), None)
}

/// Whether the failure passes by itself: a full disk, a lock that another process holds, a group that was rolled back.
fn is_passing(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked, OperationAborted};
    is_full(error) || matches!(error.sqlite_error_code(), Some(DatabaseBusy | DatabaseLocked | OperationAborted))
}
