//! Look-ups of host names, limited in threads, time and number, one at a time for each name: so that names that hang do
//! not delay the others.
//!
//! A name is quick while its last look-up found addresses soon. All other names, new ones included, may use half of the
//! threads.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    io,
    net::{Ipv4Addr, SocketAddr, ToSocketAddrs, UdpSocket},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use rustix::io::Errno;

use crate::{
    clock::{SharedClock, Stopwatch},
    error::{Error, Result},
};

/// Threads for look-ups; one that hangs is lost until the system gives up.
const THREADS: usize = 16;
/// Threads for names that are not quick.
const FOR_OTHERS: usize = THREADS / 2;
/// A look-up that finds addresses within this is quick.
const QUICK: Duration = Duration::from_secs(1);
/// Queue limit, applied separately to quick and slow names.
const MOST_WAITING: usize = 256;
/// Names whose addresses are cached.
const MOST_KNOWN: usize = 4096;
/// How long addresses are cached: not longer than the shortest wait between two attempts. Every attempt checks its
/// addresses, cached or not.
const KNOWN_FOR: Duration = Duration::from_secs(1);

/// The look-up of a host name: the system's resolver, or a test's.
pub type LookUp = Arc<dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync>;

/// The system's own resolver.
pub fn system_look_up() -> LookUp {
    Arc::new(|host, port| match (host, port).to_socket_addrs() {
        Ok(found) => Ok(found.collect()),
        Err(error) => {
            // The resolver does not report that it got no socket. Binding one shows whether that was so.
            UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
            Err(error)
        }
    })
}

/// Why a name has no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// It has none, or its name server does not answer in time.
    #[error("the name has no address, or its look-up takes too long")]
    ByItself,
    /// No thread was free in time, or the system lacked a resource: a fault of this server.
    #[error("the name could not be looked up")]
    ByUs,
}

type Name = (String, u16);
type Found = std::result::Result<Vec<SocketAddr>, Unresolved>;

/// A name that waits for a thread, and how long a caller waits for it.
struct Asked {
    name: Name,
    since: Stopwatch,
    within: Duration,
}

impl Asked {
    fn left(&self) -> Duration {
        self.within.saturating_sub(self.since.elapsed())
    }
}

/// The state of a name.
enum Entry {
    /// Requested; the stopwatch starts when a thread takes it.
    Asked(Option<Stopwatch>),
    /// The result, and the uptime at which it was found.
    Known(Found, Duration),
}

#[derive(Default)]
struct State {
    names: HashMap<Name, Entry>,
    quick: HashSet<Name>,
    waiting: VecDeque<Asked>,
    /// Threads used by names that are not quick.
    others: usize,
    ended: bool,
}

impl State {
    /// Queues a name for a thread, if the queue of its kind has room.
    fn queue(&mut self, asked: Asked) -> std::result::Result<(), Unresolved> {
        // Nobody waits for these any more; the next caller requests them again.
        let (gone, waiting) = self.waiting.drain(..).partition::<VecDeque<_>, _>(|asked| asked.left().is_zero());
        self.waiting = waiting;
        gone.iter().for_each(|asked| drop(self.names.remove(&asked.name)));
        let quick = self.quick.contains(&asked.name);
        if self.waiting.iter().filter(|other| self.quick.contains(&other.name) == quick).count() >= MOST_WAITING {
            return Err(Unresolved::ByUs);
        }
        self.names.insert(asked.name.clone(), Entry::Asked(None));
        self.waiting.push_back(asked);
        Ok(())
    }

    /// The next name that may have a thread, and whether it is quick.
    fn next(&mut self) -> Option<(Asked, bool)> {
        let free = self.others < FOR_OTHERS;
        let place = self.waiting.iter().position(|asked| free || self.quick.contains(&asked.name))?;
        let asked = self.waiting.remove(place)?;
        let quick = self.quick.contains(&asked.name);
        Some((asked, quick))
    }

    fn note(&mut self, name: Name, found: Found, quick: bool, now: Duration) {
        if !quick {
            self.quick.remove(&name);
        } else if self.quick.len() < MOST_KNOWN || self.quick.contains(&name) {
            self.quick.insert(name.clone());
        } else {
            // Hardly any server has this many receivers: the set starts again.
            self.quick.clear();
        }
        self.names.insert(name, Entry::Known(found, now));
    }
}

struct Shared {
    clock: SharedClock,
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The threads for look-ups.
pub struct LookUps(Arc<Shared>);

impl LookUps {
    /// # Errors
    /// When the system cannot start threads.
    pub fn start(look_up: &LookUp, clock: SharedClock) -> Result<Self> {
        let shared = Arc::new(Shared { clock, state: Mutex::default(), changed: Condvar::new() });
        for _ in 0..THREADS {
            let (shared, look_up) = (Arc::clone(&shared), Arc::clone(look_up));
            let spawned = thread::Builder::new().name("look-up".to_owned()).spawn(move || work(&shared, &look_up));
            spawned.map_err(|error| Error::Internal(format!("a look-up thread could not be started: {error}")))?;
        }
        Ok(Self(shared))
    }

    /// The addresses of a name. Blocks for at most this time.
    ///
    /// # Errors
    /// The name has none, none came in time, or too many names wait.
    pub fn resolve(&self, host: &str, port: u16, within: Duration) -> Found {
        let name = (host.to_owned(), port);
        let since = Stopwatch::start();
        let mut state = self.0.lock();
        let now = self.0.clock.uptime();
        let stale = |entry: &Entry| matches!(entry, Entry::Known(_, at) if now.saturating_sub(*at) >= KNOWN_FOR);
        if state.names.get(&name).is_none_or(stale) {
            if state.names.len() >= MOST_KNOWN {
                state.names.retain(|_, entry| !stale(entry));
            }
            state.queue(Asked { name: name.clone(), since, within })?;
            self.0.changed.notify_all();
        } else if let Some(asked) = state.waiting.iter_mut().find(|asked| asked.name == name)
            && asked.left() < within
        {
            // The first caller may give up earlier.
            (asked.since, asked.within) = (since, within);
        }
        loop {
            let begun = match state.names.get(&name) {
                Some(Entry::Known(found, _)) => return found.clone(),
                Some(Entry::Asked(begun)) => *begun,
                None => None,
            };
            let left = within.saturating_sub(since.elapsed());
            if left.is_zero() {
                // A look-up that began late had no time to end.
                let had_time = begun.is_some_and(|begun| begun.elapsed() >= within / 2);
                return Err(if had_time { Unresolved::ByItself } else { Unresolved::ByUs });
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
        let Some((asked, quick)) = state.next() else {
            state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        if asked.left().is_zero() {
            // Nobody waits for it any more; the next caller requests it again.
            state.names.remove(&asked.name);
            continue;
        }
        let (name, begun) = (asked.name, Stopwatch::start());
        state.names.insert(name.clone(), Entry::Asked(Some(begun)));
        state.others += usize::from(!quick);
        drop(state);
        let found = match look_up(&name.0, name.1) {
            Ok(addresses) if !addresses.is_empty() => Ok(addresses),
            Err(error) if is_ours(&error) => Err(Unresolved::ByUs),
            _ => Err(Unresolved::ByItself),
        };
        state = shared.lock();
        state.others -= usize::from(!quick);
        let is_quick = found.is_ok() && begun.elapsed() < QUICK;
        state.note(name, found, is_quick, shared.clock.uptime());
        shared.changed.notify_all();
    }
}

/// Whether this system lacks a resource for a connection: descriptors or memory.
pub(super) fn is_ours(error: &io::Error) -> bool {
    let lacks = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| lacks.contains(&errno))
}
