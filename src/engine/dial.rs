//! Connections to receivers are made here: over all addresses of a name, staggered (RFC 8305), so that a dead IPv6
//! network costs a quarter of a second and no attempt.

use std::{
    collections::{HashMap, VecDeque},
    fmt, io,
    net::{SocketAddr, TcpStream},
    os::fd::OwnedFd,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags},
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt},
};
use rustls::{ClientConfig, pki_types::ServerName};
use ureq::unversioned::transport::{ConnectionDetails, Connector};

use super::{
    line::{Deadline, Line, wait},
    look_ups::is_ours,
    progress::{self, Phase},
    transport::Wire,
};
use crate::clock::SharedClock;

/// How long an address is waited for before the next one is tried beside it.
const STAGGER: Duration = Duration::from_millis(250);
/// Addresses that are tried at the same time; the next one takes the place of the first.
const AT_ONCE: usize = 4;
/// Receivers whose last address is remembered.
const MOST_REMEMBERED: usize = 4096;

/// Makes the connections of ureq. All copies share the memory of addresses that answered.
#[derive(Clone)]
pub(super) struct Dialler {
    tls: Arc<ClientConfig>,
    clock: SharedClock,
    /// The address that connected last, by host and port.
    last: Arc<Mutex<HashMap<String, SocketAddr>>>,
}

impl fmt::Debug for Dialler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dialler")
    }
}

impl Dialler {
    pub(super) fn new(tls: Arc<ClientConfig>, clock: SharedClock) -> Self {
        Self { tls, clock, last: Arc::default() }
    }

    fn last(&self, receiver: &str) -> Option<SocketAddr> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).get(receiver).copied()
    }

    fn remember(&self, receiver: &str, address: SocketAddr) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() >= MOST_REMEMBERED {
            last.clear();
        }
        last.insert(receiver.to_owned(), address);
    }
}

impl Connector for Dialler {
    type Out = Wire;

    fn connect(&self, details: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<Wire>, ureq::Error> {
        let deadline = Deadline::within(*details.timeout.after);
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::TimedOut => ureq::Error::Timeout(details.timeout.reason),
            _ => error.into(),
        };
        progress::set(Phase::Dialling);
        let receiver = details.uri.authority().map_or("", |authority| authority.as_str());
        let addresses = in_turn(&details.addrs, self.last(receiver));
        let (stream, peer) = dial(&addresses, deadline).map_err(failed)?;
        self.remember(receiver, peer);
        progress::set(Phase::Connected);
        let line = if details.needs_tls() {
            let host = details.uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
            let name =
                ServerName::try_from(host.to_owned()).map_err(|_| ureq::Error::Tls("no name for a certificate"))?;
            Line::tls(stream, &self.tls, name, deadline).map_err(failed)?
        } else {
            Line::plain(stream)
        };
        progress::set(Phase::Ready);
        Ok(Some(Wire::new(line, peer, Arc::clone(&self.clock))))
    }
}

/// The order of the addresses: the one that connected last, then IPv6 and IPv4 in turn, as the resolver began.
fn in_turn(addresses: &[SocketAddr], last: Option<SocketAddr>) -> Vec<SocketAddr> {
    let begins = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut one, mut other): (VecDeque<_>, VecDeque<_>) =
        addresses.iter().copied().partition(|address| address.is_ipv6() == begins);
    let mut ordered = Vec::with_capacity(addresses.len());
    while !one.is_empty() || !other.is_empty() {
        ordered.extend(one.pop_front());
        ordered.extend(other.pop_front());
    }
    if let Some(place) = ordered.iter().position(|address| Some(*address) == last) {
        ordered[..=place].rotate_right(1);
    }
    ordered
}

/// A connection that is being made.
struct Begun {
    socket: OwnedFd,
    address: SocketAddr,
}

/// Connects to the first address that answers.
fn dial(addresses: &[SocketAddr], deadline: Deadline) -> io::Result<(TcpStream, SocketAddr)> {
    let (mut next, mut begun) = (addresses.iter().copied().peekable(), VecDeque::new());
    let mut failures = Failures(None);
    let mut stagger = Deadline::within(Duration::ZERO);
    loop {
        if let Some(address) = next.next_if(|_| stagger.left().is_zero()) {
            match begin(address) {
                Ok((socket, true)) => return connected(Begun { socket, address }),
                Ok((socket, false)) => {
                    if begun.len() == AT_ONCE {
                        begun.pop_front();
                    }
                    begun.push_back(Begun { socket, address });
                    stagger = Deadline::within(STAGGER);
                }
                Err(error) => failures.note(error),
            }
            continue;
        }
        if begun.is_empty() {
            return Err(failures.first());
        }
        let at_most = if next.peek().is_some() { stagger.left().min(deadline.left()) } else { deadline.left() };
        if deadline.left().is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let Some(place) = first_ready(&begun, at_most)? else { continue };
        let Some(ready) = begun.remove(place) else { continue };
        match sockopt::socket_error(&ready.socket)? {
            Ok(()) => return connected(ready),
            Err(error) => {
                failures.note(error.into());
                stagger = Deadline::within(Duration::ZERO);
            }
        }
    }
}

/// Why addresses failed: a fault of this server is remembered before the others, because it costs no try.
struct Failures(Option<io::Error>);

impl Failures {
    fn note(&mut self, error: io::Error) {
        if self.0.as_ref().is_none_or(|noted| !is_ours(noted)) {
            self.0 = Some(error);
        }
    }

    fn first(self) -> io::Error {
        self.0.unwrap_or_else(|| io::ErrorKind::ConnectionRefused.into())
    }
}

/// Begins a connection; true: it is made already.
fn begin(address: SocketAddr) -> io::Result<(OwnedFd, bool)> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    match connect(&socket, &address) {
        Ok(()) => Ok((socket, true)),
        Err(Errno::INPROGRESS | Errno::INTR) => Ok((socket, false)),
        Err(error) => Err(error.into()),
    }
}

/// The first of these connections that is made or has failed, if any is within this time.
fn first_ready(begun: &VecDeque<Begun>, at_most: Duration) -> io::Result<Option<usize>> {
    let mut descriptors: Vec<_> = begun.iter().map(|begun| PollFd::new(&begun.socket, PollFlags::OUT)).collect();
    wait(&mut descriptors, at_most)?;
    Ok(descriptors.iter().position(|descriptor| !descriptor.revents().is_empty()))
}

fn connected(made: Begun) -> io::Result<(TcpStream, SocketAddr)> {
    let stream = TcpStream::from(made.socket);
    stream.set_nonblocking(false)?;
    // A request goes out in few writes: none waits for the one before.
    stream.set_nodelay(true)?;
    Ok((stream, made.address))
}
