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

use super::writer::Write;
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
struct Place {
    write: Write,
    /// Numbers go up as writes come: of two askers who have used the same, the first to come is first.
    number: u64,
    _held: OwnedSemaphorePermit,
}

/// The writes of one asker, and how much of the writer's time it has used.
#[derive(Default)]
struct Line {
    ones: VecDeque<Place>,
    batches: VecDeque<Place>,
    /// Its last write was a batch: a single one goes first now.
    after_batch: bool,
    used: Duration,
}

impl Line {
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
        let line = if is_batch { &mut self.batches } else { &mut self.ones };
        line.pop_front().map(|place| place.write)
    }
}

#[derive(Default)]
struct Lines {
    of: HashMap<Asker, Line>,
    /// What the asker that was served last had used before. A line that begins anew begins here: nobody saves time up.
    served_at: Duration,
    /// How many writes have come.
    number: u64,
    /// Nobody asks any more.
    closed: bool,
    /// Nobody writes any more.
    ended: bool,
}

impl Lines {
    /// The next write, of all of them or of a group.
    fn next(&mut self, group: Option<Group>) -> Option<(Asker, Write)> {
        let first = |(asker, line): (&Asker, &Line)| {
            let (number, is_batch) = match group {
                None => line.next()?,
                // What came later has the next group, and a batch has its own.
                Some(group) => {
                    line.ones.front().map(|one| (one.number, false)).filter(|(number, _)| *number <= group.upto)?
                }
            };
            Some(((*asker != Asker::Server, line.used, number), *asker, is_batch))
        };
        let of_group = |asker: &Asker| *asker == Asker::Server || !group.is_some_and(|group| group.late);
        let lines = self.of.iter().filter(|(asker, _)| of_group(asker));
        let (_, asker, is_batch) = lines.filter_map(first).min_by_key(|(order, ..)| *order)?;
        let line = self.of.get_mut(&asker)?;
        let write = line.take(is_batch)?;
        if asker != Asker::Server {
            self.served_at = self.served_at.max(line.used);
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

/// All lines. The writer holds it as it is, and those who ask as [`Places`].
pub(super) struct Waiting {
    lines: Mutex<Lines>,
    came: Condvar,
}

impl Waiting {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next write, as soon as there is one; `None` when nobody can ask any more.
    pub(super) fn wait(&self) -> Option<(Asker, Write)> {
        let mut lines = self.lines();
        loop {
            if let Some(next) = lines.next(None) {
                return Some(next);
            }
            if lines.closed {
                return None;
            }
            lines = self.came.wait(lines).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The next write if one waits now.
    pub(super) fn now(&self) -> Option<(Asker, Write)> {
        self.lines().next(None)
    }

    /// The writes that wait now, as a group.
    pub(super) fn group(&self) -> Group {
        Group { upto: self.lines().number, late: false }
    }

    /// The next write of a group.
    pub(super) fn more(&self, group: Group) -> Option<(Asker, Write)> {
        self.lines().next(Some(group))
    }

    /// Nobody writes any more: what waits, and what comes, is not taken.
    pub(super) fn end(&self) {
        let mut lines = self.lines();
        (lines.closed, lines.ended) = (true, true);
        lines.of.clear();
    }

    /// Whether nobody can ask any more.
    pub(super) fn is_closed(&self) -> bool {
        self.lines().closed
    }

    /// Notes what writes have cost their askers.
    pub(super) fn charge(&self, costs: impl IntoIterator<Item = (Asker, Duration)>) {
        let mut lines = self.lines();
        for (asker, cost) in costs.into_iter().filter(|(asker, _)| *asker != Asker::Server) {
            // A line that was forgotten meanwhile had used no more than this.
            let served_at = lines.served_at;
            let line = lines.of.entry(asker).or_insert_with(|| Line { used: served_at, ..Line::default() });
            line.used += cost;
        }
        // Who waits for nothing and has used no more than others begins anew some day.
        let served_at = lines.served_at;
        lines.of.retain(|_, line| line.len() > 0 || line.used > served_at);
    }
}

/// The places for waiting writes. When it goes, the writer ends once nothing waits.
pub(super) struct Places {
    waiting: Arc<Waiting>,
    free: Arc<Semaphore>,
    all: usize,
}

impl Places {
    /// So many places.
    pub(super) fn new(all: usize) -> (Self, Arc<Waiting>) {
        let waiting = Arc::new(Waiting { lines: Mutex::default(), came: Condvar::new() });
        (Self { waiting: Arc::clone(&waiting), free: Arc::new(Semaphore::new(all)), all }, waiting)
    }

    /// Lines a write up if there is a place for it.
    pub(super) fn try_send(&self, asker: Asker, write: Write) -> bool {
        let most = match asker {
            Asker::Token(_) => self.all - self.all / FOR_OTHERS,
            Asker::Server | Asker::CommandLine => self.all,
        };
        match Arc::clone(&self.free).try_acquire_owned() {
            Ok(place) => self.line_up(asker, write, place, most),
            Err(_) => false,
        }
    }

    /// Lines a write up as soon as there is a place for it.
    pub(super) async fn send(&self, asker: Asker, write: Write) -> bool {
        match Arc::clone(&self.free).acquire_owned().await {
            Ok(place) => self.line_up(asker, write, place, self.all),
            Err(_) => false,
        }
    }

    fn line_up(&self, asker: Asker, write: Write, held: OwnedSemaphorePermit, most: usize) -> bool {
        let mut lines = self.waiting.lines();
        if lines.ended {
            return false;
        }
        lines.number += 1;
        let (served_at, number) = (lines.served_at, lines.number);
        let line = lines.of.entry(asker).or_default();
        if line.len() >= most {
            return false;
        }
        if line.len() == 0 {
            line.used = line.used.max(served_at);
        }
        let of_kind = if matches!(write, Write::Batch(_)) { &mut line.batches } else { &mut line.ones };
        of_kind.push_back(Place { write, number, _held: held });
        drop(lines);
        self.waiting.came.notify_one();
        true
    }

    /// How many writes wait, of how many that may.
    pub(super) fn taken(&self) -> (usize, usize) {
        (self.all - self.free.available_permits(), self.all)
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        self.waiting.lines().closed = true;
        self.waiting.came.notify_one();
    }
}
