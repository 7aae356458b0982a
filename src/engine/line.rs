//! A connection to a receiver, plain or TLS. Its reads end at a deadline; its writes never wait.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::TcpStream,
    sync::Arc,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{RecvFlags, SendFlags, recv, send},
};
use rustls::{ClientConfig, ClientConnection, pki_types::ServerName};

use crate::clock::Stopwatch;

/// Time-outs longer than this are rounded up to a tenth of a second, so that the next one is mostly the same.
const FINE: Duration = Duration::from_secs(1);
const COARSE_MS: u128 = 100;

/// The end of the time for something.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    since: Stopwatch,
    within: Duration,
}

impl Deadline {
    /// This long from now.
    pub(super) fn within(within: Duration) -> Self {
        Self { since: Stopwatch::start(), within }
    }

    pub(super) fn left(self) -> Duration {
        self.within.saturating_sub(self.since.elapsed())
    }
}

/// Waits until one of these happens to one of the descriptors, at most for this time. Gives the number of those.
pub(super) fn wait(descriptors: &mut [PollFd<'_>], at_most: Duration) -> io::Result<usize> {
    let deadline = Deadline::within(at_most);
    loop {
        let left = Timespec::try_from(deadline.left()).map_err(io::Error::other)?;
        match poll(descriptors, Some(&left)) {
            Err(Errno::INTR) => {}
            polled => return Ok(polled?),
        }
    }
}

/// A socket as rustls reads and writes it.
struct Socket {
    stream: TcpStream,
    /// The time-out that the system has.
    timeout: Option<Duration>,
    /// When reads end; `None`: they do not wait.
    deadline: Option<Deadline>,
}

impl Read for Socket {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some(deadline) = self.deadline else {
            return Ok(recv(&self.stream, into, RecvFlags::DONTWAIT)?.0);
        };
        loop {
            let left = deadline.left();
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            let timeout = Some(coarse(left));
            if self.timeout != timeout {
                self.stream.set_read_timeout(timeout)?;
                self.timeout = timeout;
            }
            match self.stream.read(into) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(ErrorKind::TimedOut.into()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(send(&self.stream, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The readiness of a connection that had no room for a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ready {
    Write,
    Read,
    Nothing,
}

/// The connection.
pub(super) struct Line {
    socket: Socket,
    tls: Option<Box<ClientConnection>>,
}

impl Line {
    pub(super) fn plain(stream: TcpStream) -> Self {
        Self { socket: Socket { stream, timeout: None, deadline: None }, tls: None }
    }

    /// Negotiates TLS with a server of this name.
    ///
    /// # Errors
    /// A handshake that fails, or is not complete at the deadline.
    pub(super) fn tls(
        stream: TcpStream,
        config: &Arc<ClientConfig>,
        name: ServerName<'static>,
        deadline: Deadline,
    ) -> io::Result<Self> {
        let mut line = Self::plain(stream);
        let mut tls = Box::new(ClientConnection::new(Arc::clone(config), name).map_err(invalid)?);
        line.socket.deadline = Some(deadline);
        while tls.is_handshaking() {
            while tls.wants_write() {
                let is_full = would_block(tls.write_tls(&mut line.socket))?;
                if is_full && line.until_ready(false, deadline.left())? == Ready::Nothing {
                    return Err(ErrorKind::TimedOut.into());
                }
            }
            if tls.is_handshaking() {
                line.receive(&mut tls)?;
            }
        }
        line.tls = Some(tls);
        Ok(line)
    }

    pub(super) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Reads the received bytes; waits for some until the deadline, if there is one. 0: the other side has ended.
    pub(super) fn read(&mut self, into: &mut [u8], deadline: Option<Deadline>) -> io::Result<usize> {
        self.socket.deadline = deadline;
        let Some(mut tls) = self.tls.take() else { return self.socket.read(into) };
        let read = loop {
            match tls.reader().read(into) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => break read,
            }
            if let Err(error) = self.receive(&mut tls) {
                break Err(error);
            }
        };
        self.tls = Some(tls);
        read
    }

    /// One read of TLS, and the reply that it asks for.
    fn receive(&mut self, tls: &mut ClientConnection) -> io::Result<()> {
        let read = tls.read_tls(&mut self.socket)?;
        let processed = tls.process_new_packets().map_err(invalid);
        // A reply that finds no room goes out with the next write. So does the alert that names an error, if any does.
        let written = if tls.wants_write() { would_block(tls.write_tls(&mut self.socket)) } else { Ok(false) };
        processed?;
        written?;
        if read == 0 && tls.is_handshaking() { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    /// Writes the bytes after the first `sent`, and counts them there.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room for some of them now.
    pub(super) fn write(&mut self, bytes: &[u8], sent: &mut usize) -> io::Result<()> {
        let Some(tls) = &mut self.tls else {
            while *sent < bytes.len() {
                *sent += retried(|| self.socket.write(&bytes[*sent..]))?;
            }
            return Ok(());
        };
        loop {
            if *sent < bytes.len() {
                *sent += tls.writer().write(&bytes[*sent..])?;
            }
            while tls.wants_write() {
                retried(|| tls.write_tls(&mut self.socket))?;
            }
            if *sent == bytes.len() {
                return Ok(());
            }
        }
    }

    /// Waits until there is room for a write or, if `reads`, something to read.
    pub(super) fn until_ready(&self, reads: bool, at_most: Duration) -> io::Result<Ready> {
        let wanted = if reads { PollFlags::OUT | PollFlags::IN } else { PollFlags::OUT };
        let mut descriptors = [PollFd::new(&self.socket.stream, wanted)];
        if wait(&mut descriptors, at_most)? == 0 {
            return Ok(Ready::Nothing);
        }
        let happened = descriptors[0].revents();
        // An error is reported by the next write.
        let is_room = happened.intersects(PollFlags::OUT | PollFlags::ERR | PollFlags::HUP);
        Ok(if is_room { Ready::Write } else { Ready::Read })
    }

    /// Whether the connection is open and nothing has come on it.
    pub(super) fn is_quiet(&mut self) -> bool {
        let Some(tls) = &mut self.tls else {
            let peeked = recv(&self.socket.stream, &mut [0; 1], RecvFlags::DONTWAIT | RecvFlags::PEEK);
            return peeked == Err(Errno::AGAIN);
        };
        self.socket.deadline = None;
        loop {
            match tls.process_new_packets() {
                Ok(state) if state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed() => {}
                _ => return false,
            }
            match tls.read_tls(&mut self.socket) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return !tls.wants_write(),
                Ok(read) if read > 0 => {}
                _ => return false,
            }
        }
    }
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}

/// Whether there was no room.
fn would_block(written: io::Result<usize>) -> io::Result<bool> {
    match written {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(true),
        written => written.map(|_| false),
    }
}

/// Repeats a write that a signal interrupted.
fn retried(mut write: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match write() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            written => return written,
        }
    }
}

/// Rounds a time-out up, so that the next one is mostly the same.
fn coarse(timeout: Duration) -> Duration {
    if timeout <= FINE {
        return timeout;
    }
    let millis = timeout.as_millis().div_ceil(COARSE_MS) * COARSE_MS;
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}
