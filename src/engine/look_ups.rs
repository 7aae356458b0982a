//! Look-ups of names: bounded in threads, in time and in number, and one at a time for each name, so that a few names that
//! hang keep no healthy one waiting.

use std::{
    collections::{HashMap, VecDeque},
    io,
    net::{SocketAddr, ToSocketAddrs},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use crate::{
    clock::Stopwatch,
    error::{Error, Result},
};

/// Threads that look names up; a look-up that hangs keeps one until the system gives up.
const THREADS: usize = 16;
/// Names that may wait for a thread.
const MOST_WAITING: usize = 256;
/// Names whose addresses are remembered.
const MOST_KNOWN: usize = 4096;
/// How long addresses are remembered. Each is judged again at every attempt, remembered or not.
const KNOWN_FOR: Duration = Duration::from_secs(5);

/// Looks a host's name up: the system's resolver, or a test's.
pub type LookUp = Arc<dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync>;

/// The system's own resolver.
pub fn system_look_up() -> LookUp {
    Arc::new(|host, port| Ok((host, port).to_socket_addrs()?.collect()))
}

type Name = (String, u16);

/// What is known of a name.
enum Entry {
    /// Somebody asked; a thread is on it, or will be.
    Asked,
    /// What came of it, and when.
    Known(Option<Vec<SocketAddr>>, Stopwatch),
}

#[derive(Default)]
struct State {
    names: HashMap<Name, Entry>,
    waiting: VecDeque<Name>,
    ended: bool,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The threads that look names up.
pub(super) struct LookUps(Arc<Shared>);

impl LookUps {
    /// # Errors
    /// When the system starts no threads.
    pub(super) fn start(look_up: &LookUp) -> Result<Self> {
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() });
        for _ in 0..THREADS {
            let (shared, look_up) = (Arc::clone(&shared), Arc::clone(look_up));
            let spawned = thread::Builder::new().name("look-up".to_owned()).spawn(move || work(&shared, &look_up));
            spawned.map_err(|error| Error::Internal(format!("a look-up thread could not be started: {error}")))?;
        }
        Ok(Self(shared))
    }

    /// The addresses of a name.
    ///
    /// # Errors
    /// There are none; or none came in time, or too many names wait already.
    pub(super) fn resolve(&self, host: &str, port: u16, within: Duration) -> io::Result<Vec<SocketAddr>> {
        let name = (host.to_owned(), port);
        let watch = Stopwatch::start();
        let mut state = self.0.lock();
        let stale = |entry: &Entry| matches!(entry, Entry::Known(_, since) if since.elapsed() >= KNOWN_FOR);
        if state.names.get(&name).is_none_or(stale) {
            if state.waiting.len() >= MOST_WAITING {
                return Err(io::Error::new(io::ErrorKind::WouldBlock, "too many look-ups are waiting"));
            }
            if state.names.len() >= MOST_KNOWN {
                state.names.retain(|_, entry| !stale(entry));
            }
            state.names.insert(name.clone(), Entry::Asked);
            state.waiting.push_back(name.clone());
            self.0.changed.notify_all();
        }
        loop {
            match state.names.get(&name) {
                Some(Entry::Known(Some(addresses), _)) => return Ok(addresses.clone()),
                Some(Entry::Known(None, _)) => return Err(io::Error::new(io::ErrorKind::NotFound, "no such name")),
                Some(Entry::Asked) | None => {}
            }
            let left = within.saturating_sub(watch.elapsed());
            if left.is_zero() {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the look-up takes too long"));
            }
            state = self.0.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for LookUps {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.changed.notify_all();
    }
}

fn work(shared: &Shared, look_up: &LookUp) {
    let mut state = shared.lock();
    while !state.ended {
        let Some(name) = state.waiting.pop_front() else {
            state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        drop(state);
        let found = look_up(&name.0, name.1).ok().filter(|addresses| !addresses.is_empty());
        state = shared.lock();
        state.names.insert(name, Entry::Known(found, Stopwatch::start()));
        shared.changed.notify_all();
    }
}
