//! The queue of the writer. Each asker (a token, the command line, the server itself) has a queue of its own. The next
//! write is from the asker that has used the least of the writer's time. So an account that publishes as fast as it can
//! leaves the others their share; when it is alone, it gets all the time.
//!
//! This is start-time fair queueing. The cost of a write is the time it took, with its part of the commit: a batch of a
//! thousand events costs as much as it takes.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::write::Write;
use crate::domain::{audit::Actor, ids::TokenId};

/// One token may hold all slots but an eighth.
const FOR_OTHERS: usize = 8;

/// Whose writes share a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Asker {
    /// The engine and the server's other tasks. Their writes go first: outcomes are written before new work is
    /// accepted.
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

struct Queued {
    write: Write,
    /// Increases with each write. Between two askers that have used the same time, the lower number goes first.
    number: u64,
    _held: OwnedSemaphorePermit,
}

/// The queue of one asker, and the writer's time it has used.
#[derive(Default)]
struct AskerQueue {
    ones: VecDeque<Queued>,
    batches: VecDeque<Queued>,
    /// Whether its last write was a batch: then a short one goes first.
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
    /// The time used by the last served asker. A new queue starts with this value: nobody saves time up.
    served_at: Duration,
    /// How many writes were queued so far.
    number: u64,
    /// Every handle is gone: no write will come.
    closed: bool,
    /// The writer has ended: no write will be taken.
    ended: bool,
}

impl Queues {
    /// The next write, from all queues or only from those that may join a group.
    fn next(&mut self, group: Option<Group>) -> Option<(Asker, Write)> {
        let first = |(asker, queue): (&Asker, &AskerQueue)| {
            let (number, is_batch) = match group {
                None => queue.next()?,
                // A later write waits for the next group, and a batch for a commit of its own.
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
    /// The number of the last write that was queued when the group began.
    upto: u64,
    /// Whether the group has run long enough: only the server's own writes may still join.
    pub(super) late: bool,
}

/// All queues. The writer owns it; callers use a [`WriteQueueHandle`].
pub(super) struct WriteQueue {
    queues: Mutex<Queues>,
    came: Condvar,
}

impl WriteQueue {
    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next write; `None` when no write will come.
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

    /// The next write, if one is queued now.
    pub(super) fn now(&self) -> Option<(Asker, Write)> {
        self.queues().next(None)
    }

    pub(super) fn group(&self) -> Group {
        Group { upto: self.queues().number, late: false }
    }

    pub(super) fn more(&self, group: Group) -> Option<(Asker, Write)> {
        self.queues().next(Some(group))
    }

    /// Ends the queue: queued and later writes are dropped.
    pub(super) fn end(&self) {
        let mut queues = self.queues();
        (queues.closed, queues.ended) = (true, true);
        queues.of.clear();
    }

    /// Whether no write will come.
    pub(super) fn is_closed(&self) -> bool {
        self.queues().closed
    }

    /// Adds the costs of writes to their askers.
    pub(super) fn charge(&self, costs: impl IntoIterator<Item = (Asker, Duration)>) {
        let mut queues = self.queues();
        for (asker, cost) in costs.into_iter().filter(|(asker, _)| *asker != Asker::Server) {
            // A queue that was removed meanwhile had used no more than this.
            let served_at = queues.served_at;
            let queue =
                queues.of.entry(asker).or_insert_with(|| AskerQueue { used: served_at, ..AskerQueue::default() });
            queue.used += cost;
        }
        // An empty queue that has used no more than the others is removed; its asker starts again later.
        let served_at = queues.served_at;
        queues.of.retain(|_, queue| queue.len() > 0 || queue.used > served_at);
    }
}

/// The entrance to the queue, with a limited number of slots. When it is dropped, the writer ends after the last queued
/// write.
pub(super) struct WriteQueueHandle {
    queue: Arc<WriteQueue>,
    free: Arc<Semaphore>,
    all: usize,
}

impl WriteQueueHandle {
    pub(super) fn new(all: usize) -> (Self, Arc<WriteQueue>) {
        let queue = Arc::new(WriteQueue { queues: Mutex::default(), came: Condvar::new() });
        (Self { queue: Arc::clone(&queue), free: Arc::new(Semaphore::new(all)), all }, queue)
    }

    /// Queues a write if a slot is free; returns whether it did.
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

    /// Queues a write as soon as a slot is free; returns whether it did.
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

    /// Taken slots, and all slots.
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
