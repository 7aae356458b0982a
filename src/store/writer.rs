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
    ops::ControlFlow,
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
    following,
    handover::{Change, News, Room},
    keyring::KeyRing,
    place::Place,
    queue::Claimed,
    steps::Steps,
    targets::Targets,
};
use crate::{
    clock::{SharedClock, Stopwatch},
    domain::{audit::Actor, endpoint::EndpointKey, timestamp::Timestamp},
    error::{Error, Result},
    figures::{Fault, Figures, Step},
};

/// Most writes that share one commit.
const MAX_GROUP: usize = 256;

/// What is answered once the database is not where it was.
const LOST: &str = "the database file was removed, replaced or cut short: nothing can be stored, and the server stops";

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

/// Runs in the transaction; says why what it did is not kept, if so, and how to answer.
pub(super) type Run = Box<dyn FnOnce(&Tx<'_>) -> (Option<Error>, Answer) + Send>;

/// Wraps a closure of this actor so that its result reaches `reply` after the commit.
pub(super) fn write<T: Send + 'static>(
    actor: Actor,
    run: impl FnOnce(&Tx<'_>) -> Result<T> + Send + 'static,
    reply: oneshot::Sender<Result<T>>,
) -> Run {
    Box::new(move |tx| {
        tx.actor.set(actor);
        let result = catch_unwind(AssertUnwindSafe(|| run(tx)))
            .unwrap_or_else(|_| Err(Error::Internal("a write panicked; it was undone".to_owned())));
        let refused = result.as_ref().err().cloned();
        let answer: Answer = Box::new(move |failed| {
            // A write that failed by itself says why. A caller that has gone away needs no answer.
            let _ = reply.send(match failed {
                Some(failed) => result.and(Err(failed)),
                None => result,
            });
        });
        (refused, answer)
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
    /// Of a server only. After the connection: whoever takes the lock next finds the file closed.
    pub(super) place: Option<Arc<Place>>,
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
                if self.commit(group, behind).is_break() {
                    return;
                }
            }
        }
    }

    /// One group, one transaction. It breaks off only for a fault after which nothing on the disk can be relied on.
    fn commit(&self, group: Vec<Run>, behind: Option<EndpointKey>) -> ControlFlow<()> {
        let (writes, watch) = (group.len(), Stopwatch::start());
        let mut answers = Vec::with_capacity(writes);
        let begun = self.execute("BEGIN IMMEDIATE");
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
        let mut held = None;
        let done = begun
            .and_then(|()| self.steps.as_ref().map_or(Ok(()), |steps| steps.follow(&tx, uptime)))
            .and_then(|()| self.run_all(group, &tx, &mut answers))
            .and_then(|()| {
                let changed = self.conn.total_changes() > changes;
                self.steps.as_ref().map_or(Ok(()), |steps| steps.note(&tx, changed))
            })
            .and_then(|()| {
                held = self.place.as_ref().map(|place| place.hold());
                self.execute("COMMIT")
            });
        self.failed.set(done.is_err());
        // Looked at after the commit: what is answered as stored was in the file of this name then.
        let place = || self.place.as_ref().map(|place| place.hold());
        if let Some(lost) = held.or_else(place).and_then(|held| held.lost(&self.conn)) {
            self.give_up(lost);
            let told = Error::Unavailable(LOST.to_owned());
            answers.into_iter().for_each(|answer| answer(Some(told.clone())));
            return ControlFlow::Break(());
        }
        if let Err(error) = done {
            return self.undo(error, answers);
        }
        self.figures.committed(writes, watch.elapsed());
        if self.conn.total_changes() > changes {
            self.figures.wrote(uptime);
        }
        self.committed(tx, uptime, behind);
        answers.into_iter().for_each(|answer| answer(None));
        ControlFlow::Continue(())
    }

    /// Runs each write of a group in a savepoint of its own, up to the first fault that undoes them all. Dropping a write
    /// drops its reply, which its caller reads as "not available".
    fn run_all(&self, group: Vec<Run>, tx: &Tx<'_>, answers: &mut Vec<Answer>) -> rusqlite::Result<()> {
        for write in group {
            self.execute("SAVEPOINT w")?;
            let before = tx.news.borrow().changes.len();
            let (refused, answer) = write(tx);
            answers.push(answer);
            if refused.is_some() {
                // Above all the claims: their rows are gone.
                tx.news.borrow_mut().changes.truncate(before);
            }
            let kept = refused.is_none();
            if let Some(why) = refused.filter(Error::is_fault) {
                self.figures.write_failed(Fault { at: self.clock.uptime(), why });
            }
            // Once SQLite has rolled the group back, a further closure would write outside any transaction.
            if self.conn.is_autocommit() {
                return Err(rolled_back());
            }
            if !kept {
                self.execute("ROLLBACK TO w")?;
            }
            self.execute("RELEASE w")?;
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
            Error::Internal(_) => Error::Unavailable("the database failed: nothing was stored; try again".to_owned()),
            told => told,
        };
        tracing::warn!(error = error_text, "nothing of these writes was stored");
        if !was_rolled_back {
            self.figures.write_failed(Fault { at: self.clock.uptime(), why: told.clone() });
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
    fn committed(&self, tx: Tx<'_>, uptime: Duration, followed: Option<EndpointKey>) {
        if let Some(steps) = &self.steps {
            steps.committed(tx.now, uptime);
            let by = tx.news.borrow().shifted;
            if by != 0 {
                self.figures.stepped(Step { by, at: uptime });
            }
        }
        if self.place.is_some() {
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
