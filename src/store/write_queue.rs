//! The writes that wait for the writer. Each asker (a token, the command line, the server itself) has a line of its own, and
//! the next write is that of the asker who has used least of the writer's time. So a tenant who publishes as fast as it can
//! leaves the others their share; alone, it has all of it.
//!
//! This is start-time fair queueing, with the time that each write took, its commit included, as its cost: a batch of a
//! thousand events weighs what it takes.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::write::Write;
use crate::domain::{audit::Actor, ids::TokenId};

/// An eighth of the places is out of reach of any one token.
const FOR_OTHERS: usize = 8;

/// A party whose writes wait in one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Asker {
    /// The engine and its like: what has ended is written before anything new is taken.
    Server,
    CommandLine,
    Token(TokenId),
}

impl From<Actor> for Asker {
    fn from(actor: Actor) -> Self {
        match actor {
            Actor::Engine => Self::Server,
            Actor::CommandLine => Self::CommandLine,
            Actor::Request(grant) => Self::Token(grant.token()),
        }
    }
}

/// A write in its line.
struct Queued {
    write: Write,
    /// Numbers go up as writes come: of two askers who have used the same, the first to come is first.
    number: u64,
    _held: OwnedSemaphorePermit,
}

/// The writes of one asker, and how much of the writer's time it has used.
#[derive(Default)]
struct AskerQueue {
    ones: VecDeque<Queued>,
    batches: VecDeque<Queued>,
    /// Its last write was a batch: a single one goes first now.
    after_batch: bool,
    used: Duration,
}

impl AskerQueue {
    fn len(&self) -> usize {
        self.ones.len() + self.batches.len()
    }

    /// The number of its next write, and whether that is a batch.
    fn next(&self) -> Option<(u64, bool)> {
        let (one, batch) = (self.ones.front(), self.batches.front());
        match (one, batch) {
            (Some(one), Some(batch)) if !self.after_batch && batch.number < one.number => Some((batch.number, true)),
            (Some(one), _) => Some((one.number, false)),
            (None, batch) => batch.map(|batch| (batch.number, true)),
        }
    }

    fn take(&mut self, is_batch: bool) -> Option<Write> {
        self.after_batch = is_batch;
        let queue = if is_batch { &mut self.batches } else { &mut self.ones };
        queue.pop_front().map(|queued| queued.write)
    }
}

#[derive(Default)]
struct Queues {
    of: HashMap<Asker, AskerQueue>,
    /// What the asker that was served last had used before. A line that begins anew begins here: nobody saves time up.
    served_at: Duration,
    /// How many writes have come.
    number: u64,
    /// Nobody asks any more.
    closed: bool,
    /// Nobody writes any more.
    ended: bool,
}

impl Queues {
    /// The next write, of all of them or of a group.
    fn next(&mut self, group: Option<Group>) -> Option<(Asker, Write)> {
        let first = |(asker, queue): (&Asker, &AskerQueue)| {
            let (number, is_batch) = match group {
                None => queue.next()?,
                // What came later has the next group, and a batch has its own.
                Some(group) => {
                    queue.ones.front().map(|one| (one.number, false)).filter(|(number, _)| *number <= group.upto)?
                }
            };
            Some(((*asker != Asker::Server, queue.used, number), *asker, is_batch))
        };
        let of_group = |asker: &Asker| *asker == Asker::Server || !group.is_some_and(|group| group.late);
        let queues = self.of.iter().filter(|(asker, _)| of_group(asker));
        let (_, asker, is_batch) = queues.filter_map(first).min_by_key(|(order, ..)| *order)?;
        let queue = self.of.get_mut(&asker)?;
        let write = queue.take(is_batch)?;
        if asker != Asker::Server {
            self.served_at = self.served_at.max(queue.used);
        }
        Some((asker, write))
    }
}

/// Which writes may share a commit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group {
    /// Those that waited when it began.
    upto: u64,
    /// It has taken its time: only the server's own writes may still join.
    pub(super) late: bool,
}

/// All lines. The writer holds it as it is, and those who ask as [`WriteQueueHandle`].
pub(super) struct WriteQueue {
    queues: Mutex<Queues>,
    came: Condvar,
}

impl WriteQueue {
    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next write, as soon as there is one; `None` when nobody can ask any more.
    pub(super) fn wait(&self) -> Option<(Asker, Write)> {
        let mut queues = self.queues();
        loop {
            if let Some(next) = queues.next(None) {
                return Some(next);
            }
            if queues.closed {
                return None;
            }
            queues = self.came.wait(queues).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The next write if one waits now.
    pub(super) fn now(&self) -> Option<(Asker, Write)> {
        self.queues().next(None)
    }

    /// The writes that wait now, as a group.
    pub(super) fn group(&self) -> Group {
        Group { upto: self.queues().number, late: false }
    }

    /// The next write of a group.
    pub(super) fn more(&self, group: Group) -> Option<(Asker, Write)> {
        self.queues().next(Some(group))
    }

    /// Nobody writes any more: what waits, and what comes, is not taken.
    pub(super) fn end(&self) {
        let mut queues = self.queues();
        (queues.closed, queues.ended) = (true, true);
        queues.of.clear();
    }

    /// Whether nobody can ask any more.
    pub(super) fn is_closed(&self) -> bool {
        self.queues().closed
    }

    /// Notes what writes have cost their askers.
    pub(super) fn charge(&self, costs: impl IntoIterator<Item = (Asker, Duration)>) {
        let mut queues = self.queues();
        for (asker, cost) in costs.into_iter().filter(|(asker, _)| *asker != Asker::Server) {
            // A line that was forgotten meanwhile had used no more than this.
            let served_at = queues.served_at;
            let queue =
                queues.of.entry(asker).or_insert_with(|| AskerQueue { used: served_at, ..AskerQueue::default() });
            queue.used += cost;
        }
        // Who waits for nothing and has used no more than others begins anew some day.
        let served_at = queues.served_at;
        queues.of.retain(|_, queue| queue.len() > 0 || queue.used > served_at);
    }
}

/// The places for waiting writes. When it goes, the writer ends once nothing waits.
pub(super) struct WriteQueueHandle {
    queue: Arc<WriteQueue>,
    free: Arc<Semaphore>,
    all: usize,
}

impl WriteQueueHandle {
    /// So many places.
    pub(super) fn new(all: usize) -> (Self, Arc<WriteQueue>) {
        let queue = Arc::new(WriteQueue { queues: Mutex::default(), came: Condvar::new() });
        (Self { queue: Arc::clone(&queue), free: Arc::new(Semaphore::new(all)), all }, queue)
    }

    /// Queues a write if there is a place for it.
    pub(super) fn try_send(&self, asker: Asker, write: Write) -> bool {
        let most = match asker {
            Asker::Token(_) => self.all - self.all / FOR_OTHERS,
            Asker::Server | Asker::CommandLine => self.all,
        };
        match Arc::clone(&self.free).try_acquire_owned() {
            Ok(queued) => self.line_up(asker, write, queued, most),
            Err(_) => false,
        }
    }

    /// Queues a write as soon as there is a place for it.
    pub(super) async fn send(&self, asker: Asker, write: Write) -> bool {
        match Arc::clone(&self.free).acquire_owned().await {
            Ok(queued) => self.line_up(asker, write, queued, self.all),
            Err(_) => false,
        }
    }

    fn line_up(&self, asker: Asker, write: Write, held: OwnedSemaphorePermit, most: usize) -> bool {
        let mut queues = self.queue.queues();
        if queues.ended {
            return false;
        }
        queues.number += 1;
        let (served_at, number) = (queues.served_at, queues.number);
        let queue = queues.of.entry(asker).or_default();
        if queue.len() >= most {
            return false;
        }
        if queue.len() == 0 {
            queue.used = queue.used.max(served_at);
        }
        let of_kind = if matches!(write, Write::Batch(_)) { &mut queue.batches } else { &mut queue.ones };
        of_kind.push_back(Queued { write, number, _held: held });
        drop(queues);
        self.queue.came.notify_one();
        true
    }

    /// How many writes wait, of how many that may.
    pub(super) fn taken(&self) -> (usize, usize) {
        (self.all - self.free.available_permits(), self.all)
    }
}

impl Drop for WriteQueueHandle {
    fn drop(&mut self) {
        self.queue.queues().closed = true;
        self.queue.came.notify_one();
    }
}
