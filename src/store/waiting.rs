//! The writes that wait for the writer. Each asker (a token, the command line, the server itself) has a line of its own, and
//! the next write is that of the asker who has used least of the writer's time. So a tenant who publishes as fast as it can
//! leaves the others their share; alone, it has all of it.
//!
//! This is start-time fair queueing, with the time that each write took as its cost: a batch of a thousand events weighs as
//! much as it costs.

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

/// The writes of one asker, and how much of the writer's time it has used.
#[derive(Default)]
struct Line {
    writes: VecDeque<(Write, OwnedSemaphorePermit)>,
    used: Duration,
}

#[derive(Default)]
struct Lines {
    of: HashMap<Asker, Line>,
    /// What the asker that was served last had used before. A line that begins anew begins here: nobody saves time up.
    served_at: Duration,
    closed: bool,
}

impl Lines {
    fn next(&mut self, within_group: bool) -> Option<(Asker, Write)> {
        let waiting = self.of.iter().filter(|(_, line)| !line.writes.is_empty());
        let first = |(asker, line): &(&Asker, &Line)| (**asker != Asker::Server, line.used);
        let asker = *waiting.min_by_key(first)?.0;
        let line = self.of.get_mut(&asker)?;
        if within_group && matches!(line.writes.front(), Some((Write::Batch(_), _))) {
            return None;
        }
        // The place is free from now on.
        let (write, _place) = line.writes.pop_front()?;
        if asker != Asker::Server {
            self.served_at = self.served_at.max(line.used);
        }
        Some((asker, write))
    }
}

/// All lines. Those who ask hold it as [`Places`], the writer as it is.
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
            if let Some(next) = lines.next(false) {
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
        self.lines().next(false)
    }

    /// Whether nobody can ask any more.
    pub(super) fn is_closed(&self) -> bool {
        self.lines().closed
    }

    /// The next write if it waits now and may share the commit of others.
    pub(super) fn more(&self) -> Option<(Asker, Write)> {
        self.lines().next(true)
    }

    /// Notes what a write has cost its asker.
    pub(super) fn charge(&self, asker: Asker, cost: Duration) {
        if asker != Asker::Server {
            let mut lines = self.lines();
            if let Some(line) = lines.of.get_mut(&asker) {
                line.used += cost;
            }
        }
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

    fn line_up(&self, asker: Asker, write: Write, place: OwnedSemaphorePermit, most: usize) -> bool {
        let mut lines = self.waiting.lines();
        let served_at = lines.served_at;
        // Who waits for nothing and has used no more than others begins anew some day.
        lines.of.retain(|_, line| !line.writes.is_empty() || line.used > served_at);
        let line = lines.of.entry(asker).or_default();
        if line.writes.len() >= most {
            return false;
        }
        if line.writes.is_empty() {
            line.used = line.used.max(served_at);
        }
        line.writes.push_back((write, place));
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
