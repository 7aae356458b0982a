//! Group commit: one thread writes, and many writes share a commit.
//!
//! It takes what waits, runs each closure in a savepoint inside one IMMEDIATE transaction, commits once, then answers all.
//! So an answer means: committed, and with `durability = "full"` synced to disk.
//!
//! A batch takes as long as hundreds of other writes: it has a commit of its own, and between two batches all others that wait
//! have theirs. So nobody waits for more than one.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeSet, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use rusqlite::Connection;
use tokio::sync::{
    mpsc::{self, error::TryRecvError},
    oneshot, watch,
};

use super::{
    convert::is_full,
    files::ServingLock,
    following, grants,
    handover::{Change, News, Room},
    keyring::KeyRing,
    queue::Claimed,
    steps::Steps,
    targets::Targets,
};
use crate::{
    clock::{SharedClock, Stopwatch},
    domain::{audit::Actor, endpoint::EndpointKey, timestamp::Timestamp},
    error::{Error, Result},
    figures::{Figures, Step},
};

/// Most writes that share one commit.
const MAX_GROUP: usize = 256;

/// A transaction is a moment: all that is written in it happens at `now`.
#[derive(Debug)]
pub struct Tx<'a> {
    /// The connection, inside the transaction.
    pub(super) conn: &'a Connection,
    /// The moment of the transaction.
    pub now: Timestamp,
    pub(super) keys: &'a KeyRing,
    pub(super) targets: &'a RefCell<Targets>,
    pub(super) room: &'a Room,
    pub(super) news: RefCell<News>,
    /// Who makes the change at hand.
    actor: Cell<Actor>,
    /// Endpoints that have changed, and not all of whose deliveries have followed.
    pub(super) behind: RefCell<BTreeSet<EndpointKey>>,
}

impl Tx<'_> {
    /// Who makes the change at hand.
    pub(super) fn actor(&self) -> Actor {
        self.actor.get()
    }

    /// Hands what was claimed to those who deliver, with the news of this commit.
    pub fn served(&self, claimed: Vec<Claimed>) {
        claimed.into_iter().for_each(|claimed| self.tell(Change::Served(claimed)));
    }

    /// Something of this endpoint is due at this moment.
    pub(super) fn due(&self, endpoint: EndpointKey, at: Timestamp) {
        self.tell(Change::Due(endpoint, at));
    }

    pub(super) fn tell(&self, change: Change) {
        self.news.borrow_mut().changes.push(change);
    }

    /// This endpoint is not any more what claims took it for.
    pub(super) fn changed(&self, endpoint: EndpointKey) {
        self.targets.borrow_mut().changed(endpoint);
    }
}

/// Reports a write's own result, unless the commit failed.
type Answer = Box<dyn FnOnce(Option<Error>) + Send>;

/// A write on its way to the writer.
pub(super) enum Write {
    /// One that shares a commit.
    One(Run),
    /// One that takes long, and has its own.
    Batch(Run),
}

/// Runs in the transaction, says whether to keep what it did, and how to answer.
pub(super) type Run = Box<dyn FnOnce(&Tx<'_>) -> (bool, Answer) + Send>;

/// Wraps a closure of this actor so that its result reaches `reply` after the commit. The actor is checked first.
pub(super) fn write<T: Send + 'static>(
    actor: Actor,
    run: impl FnOnce(&Tx<'_>) -> Result<T> + Send + 'static,
    reply: oneshot::Sender<Result<T>>,
) -> Run {
    Box::new(move |tx| {
        tx.actor.set(actor);
        let admitted = || grants::check(tx.conn, actor, tx.now).and_then(|()| run(tx));
        let result = catch_unwind(AssertUnwindSafe(admitted))
            .unwrap_or_else(|_| Err(Error::Internal("a write panicked; it was undone".to_owned())));
        let keep = result.is_ok();
        let answer: Answer = Box::new(move |failed| {
            // A write that failed by itself says why. A caller that has gone away needs no answer.
            let _ = reply.send(match failed {
                Some(failed) => result.and(Err(failed)),
                None => result,
            });
        });
        (keep, answer)
    })
}

/// What the writer thread owns.
pub(super) struct Writer {
    pub(super) conn: Connection,
    pub(super) figures: Arc<Figures>,
    pub(super) queue: mpsc::Receiver<Write>,
    pub(super) clock: SharedClock,
    pub(super) keys: Arc<KeyRing>,
    /// Notices that the clock was set; only a server does.
    pub(super) steps: Option<Steps>,
    pub(super) targets: RefCell<Targets>,
    pub(super) room: Arc<Room>,
    pub(super) news: mpsc::UnboundedSender<News>,
    /// Endpoints whose deliveries have yet to follow them; only a server sees to that.
    pub(super) behind: RefCell<BTreeSet<EndpointKey>>,
    /// The last commit failed: nothing is begun unasked.
    pub(super) failed: Cell<bool>,
    /// How many commits had news.
    pub(super) told: watch::Sender<u64>,
    /// Set once when the disk cannot be trusted any more.
    pub(super) broken: watch::Sender<Option<String>>,
    /// After the connection: whoever takes the lock next finds the file closed.
    pub(super) lock: Option<ServingLock>,
}

impl Writer {
    /// Runs until every handle is gone, or until the disk fails.
    pub(super) fn run(mut self) {
        let mut batches = VecDeque::new();
        loop {
            let behind = self.behind.borrow().first().copied();
            let mut group = Vec::new();
            if batches.is_empty() && (behind.is_none() || self.failed.get()) {
                match self.queue.blocking_recv() {
                    Some(Write::One(run)) => group.push(run),
                    Some(Write::Batch(run)) => batches.push_back(run),
                    None => return,
                }
            }
            while group.len() < MAX_GROUP {
                match self.queue.try_recv() {
                    Ok(Write::One(run)) => group.push(run),
                    Ok(Write::Batch(run)) => batches.push_back(run),
                    Err(TryRecvError::Disconnected) if group.is_empty() && batches.is_empty() => return,
                    Err(_) => break,
                }
            }
            group.extend(
                behind.map(|endpoint| {
                    write(Actor::Engine, move |tx| following::follow(tx, endpoint), oneshot::channel().0)
                }),
            );
            let batch = batches.pop_front().map(|batch| vec![batch]);
            self.figures.batches_wait(batches.len());
            let groups = [(!group.is_empty()).then_some((group, behind)), batch.map(|batch| (batch, None))];
            for (group, behind) in groups.into_iter().flatten() {
                if let Err(fatal) = self.commit(group, behind) {
                    tracing::error!(error = %fatal, "the database cannot be written: stopping, so that a restart can recover");
                    self.broken.send_replace(Some(fatal));
                    return;
                }
            }
        }
    }

    /// One group, one transaction. `Err` only for a fault after which nothing on the disk can be relied on.
    fn commit(&self, group: Vec<Run>, behind: Option<EndpointKey>) -> Result<(), String> {
        let (writes, watch) = (group.len(), Stopwatch::start());
        let mut answers = Vec::with_capacity(writes);
        let mut failed = self.execute("BEGIN IMMEDIATE").err();
        // Looked at within the transaction: the first of another server comes after this one, or this one is given up.
        if let Some(lost) = self.lock.as_ref().and_then(ServingLock::lost) {
            return Err(lost);
        }
        // The moment is taken when the lock is: another process may have held it for seconds.
        let now = self.clock.now();
        let tx = Tx {
            conn: &self.conn,
            now,
            keys: &self.keys,
            targets: &self.targets,
            room: &self.room,
            news: RefCell::new(News::new(now)),
            actor: Cell::new(Actor::Engine),
            behind: RefCell::default(),
        };
        let changes = self.conn.total_changes();
        let uptime = self.clock.uptime();
        if let (None, Some(steps)) = (&failed, &self.steps) {
            failed = steps.follow(&tx, uptime).err();
        }
        for write in group {
            // Once SQLite has rolled the group back, a further closure would write outside any transaction.
            if failed.is_none() && self.conn.is_autocommit() {
                failed = Some(rolled_back());
            }
            failed = failed.or_else(|| self.execute("SAVEPOINT w").err());
            if failed.is_some() {
                // Dropping it drops its reply, which its caller reads as "not available".
                continue;
            }
            let before = tx.news.borrow().changes.len();
            let (keep, answer) = write(&tx);
            if !keep {
                // Above all the claims: their rows are gone.
                tx.news.borrow_mut().changes.truncate(before);
            }
            if !self.conn.is_autocommit() {
                let undo = if keep { Ok(()) } else { self.execute("ROLLBACK TO w") };
                failed = failed.or(undo.and_then(|()| self.execute("RELEASE w")).err());
            }
            answers.push(answer);
        }
        if failed.is_none() && self.conn.is_autocommit() {
            failed = Some(rolled_back());
        }
        if let (None, Some(steps)) = (&failed, &self.steps) {
            failed = steps.note(&tx, self.conn.total_changes() > changes).err();
        }
        let failed = failed.or_else(|| self.execute("COMMIT").err());
        self.failed.set(failed.is_some());
        let Some(error) = failed else {
            self.figures.committed(writes, watch.elapsed());
            self.committed(tx, uptime, behind);
            answers.into_iter().for_each(|answer| answer(None));
            return Ok(());
        };
        self.undo(error, answers)
    }

    /// Undoes a group whole and says why to each of its writes.
    fn undo(&self, error: rusqlite::Error, answers: Vec<Answer>) -> Result<(), String> {
        if !self.conn.is_autocommit() {
            let _ = self.execute("ROLLBACK");
        }
        self.targets.borrow_mut().forget();
        let fatal = !is_passing(&error);
        let error_text = error.to_string();
        let told = match Error::from(error) {
            Error::Internal(_) => Error::Unavailable("the database failed: nothing was stored; try again".to_owned()),
            told => told,
        };
        tracing::warn!(error = error_text, "nothing of these writes was stored");
        answers.into_iter().for_each(|answer| answer(Some(told.clone())));
        if fatal { Err(error_text) } else { Ok(()) }
    }

    /// Takes note of what is on disk now.
    fn committed(&self, tx: Tx<'_>, uptime: Duration, followed: Option<EndpointKey>) {
        if let Some(steps) = &self.steps {
            steps.committed(tx.now, uptime);
            let by = tx.news.borrow().shifted;
            if by != 0 {
                self.figures.stepped(Step { by, at: uptime });
            }
        }
        if self.lock.is_some() {
            let mut behind = self.behind.borrow_mut();
            followed.map(|endpoint| behind.remove(&endpoint));
            behind.extend(tx.behind.into_inner());
        }
        self.tell(tx.news.into_inner());
    }

    /// Hands the news of a commit over, before anybody is answered. Nobody listens where nothing is served.
    fn tell(&self, mut news: News) {
        if !news.is_empty() {
            news.number = *self.told.borrow() + 1;
            let number = news.number;
            let _ = self.news.send(news);
            self.told.send_replace(number);
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
