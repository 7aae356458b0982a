//! The connections that wait for a request, in order. When no more connections may be open, the one that has waited
//! longest is closed, and a new one gets its place. A connection with a request in progress is never closed for that.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio::sync::Notify;

/// The ticket of a connection that does not wait for a request.
const NONE: u64 = 0;

/// The connections that wait for a request. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Idle(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    came: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    last: u64,
    /// By ticket: the connection that has waited longest comes first.
    connections: BTreeMap<u64, Weak<Connection>>,
}

impl Idle {
    /// Adds a new connection. It waits for its first request.
    pub(super) fn enter(&self) -> Arc<Connection> {
        let connection = Arc::new(Connection {
            idle: self.clone(),
            ticket: AtomicU64::new(NONE),
            answered: AtomicBool::new(false),
            unread: AtomicBool::new(false),
            dismissed: AtomicBool::new(false),
            close: Notify::new(),
        });
        connection.wait();
        connection
    }

    /// Closes the connection that has waited longest; `false` if none waits.
    pub(super) fn dismiss(&self) -> bool {
        let mut waiting = self.waiting();
        while let Some((_, connection)) = waiting.connections.pop_first() {
            if let Some(connection) = connection.upgrade() {
                connection.dismissed.store(true, Ordering::Relaxed);
                connection.close.notify_one();
                drop(waiting);
                return true;
            }
        }
        false
    }

    /// Ends when a connection begins to wait.
    pub(super) async fn came(&self) {
        self.0.came.notified().await;
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection: it waits for a request, or has one in progress until its answer is taken.
#[derive(Debug)]
pub(super) struct Connection {
    idle: Idle,
    /// Changed only while the list is locked.
    ticket: AtomicU64,
    answered: AtomicBool,
    unread: AtomicBool,
    dismissed: AtomicBool,
    close: Notify,
}

impl Connection {
    /// Whether it waits for a request.
    pub(super) fn waits(&self) -> bool {
        self.ticket.load(Ordering::Relaxed) != NONE
    }

    /// Notes that a request has come; `false` if the connection is being closed already.
    pub(super) fn begin(&self) -> bool {
        self.answered.store(false, Ordering::Relaxed);
        let mut waiting = self.idle.waiting();
        waiting.connections.remove(&self.ticket.swap(NONE, Ordering::Relaxed));
        !self.dismissed.load(Ordering::Relaxed)
    }

    /// Notes that there is an answer, and whether the body of its request was left unread. Once the answer is sent, the
    /// connection waits again.
    pub(super) fn answered(&self, unread: bool) {
        self.unread.store(unread, Ordering::Relaxed);
        self.answered.store(true, Ordering::Relaxed);
    }

    /// Whether the client may still be sending a body that nobody reads.
    pub(super) fn may_still_send(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }

    /// Notes that everything is sent.
    pub(super) fn sent(self: &Arc<Self>) {
        if self.answered.swap(false, Ordering::Relaxed) {
            self.wait();
        }
    }

    /// Ends when the connection must be closed to make way.
    pub(super) async fn dismissed(&self) {
        self.close.notified().await;
    }

    fn wait(self: &Arc<Self>) {
        let mut waiting = self.idle.waiting();
        waiting.last += 1;
        let ticket = waiting.last;
        self.ticket.store(ticket, Ordering::Relaxed);
        waiting.connections.insert(ticket, Arc::downgrade(self));
        drop(waiting);
        self.idle.0.came.notify_one();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let ticket = self.ticket.load(Ordering::Relaxed);
        self.idle.waiting().connections.remove(&ticket);
    }
}
