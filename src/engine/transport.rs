//! A connection as ureq uses it.
//!
//! It reads the head of an answer itself, and gives ureq a plain one: so no oddity of a receiver hides a status. It saves
//! system calls: it sends the head and the body of a POST together, and checks whether it is still open only when it is
//! used again, not also when it is put aside. It saves memory: it has buffers only while they are used.

use std::{
    fmt,
    io::{self, ErrorKind},
    mem,
    net::SocketAddr,
    time::Duration,
};

use ureq::unversioned::transport::{Buffers, NextTimeout, Transport};

use super::{
    answer_head::AnswerHead,
    line::{Deadline, Line, Ready},
    look_ups::is_ours,
    progress::{self, Noted},
    reuse,
};
use crate::clock::SharedClock;

/// Bytes of an answer that are read at once.
const INPUT: usize = 4 << 10;
/// Bytes of a request that are written at once.
const OUTPUT: usize = 16 << 10;
/// Written bytes up to this size are held back, to be sent together with what follows.
const MOST_HELD: usize = 4 << 10;
/// How long a receiver that has answered may let the rest of the request wait.
const REST: Duration = Duration::from_secs(1);

/// The buffers of a connection.
#[derive(Default)]
struct WireBuffers {
    input: Vec<u8>,
    /// The part of the input that has come and is not consumed.
    unread: std::ops::Range<usize>,
    progress: bool,
    output: Vec<u8>,
    /// Written but not sent yet: the beginning of the output.
    held: usize,
}

impl Buffers for WireBuffers {
    fn output(&mut self) -> &mut [u8] {
        if self.output.len() < OUTPUT {
            self.output.resize(OUTPUT, 0);
        }
        &mut self.output[self.held..]
    }

    fn input(&self) -> &[u8] {
        &self.input[self.unread.clone()]
    }

    fn input_append_buf(&mut self) -> &mut [u8] {
        self.input.copy_within(self.unread.clone(), 0);
        self.unread = 0..self.unread.len();
        if self.input.len() < INPUT {
            self.input.resize(INPUT, 0);
        }
        &mut self.input[self.unread.end..]
    }

    fn input_appended(&mut self, amount: usize) {
        self.unread.end += amount;
    }

    fn input_consume(&mut self, amount: usize) {
        self.progress = amount > 0;
        self.unread.start += amount;
    }

    /// Every POST says how long its body is: the first part, for chunks, stays empty.
    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        (&mut [], self.output())
    }

    fn can_use_input(&self) -> bool {
        self.progress && !self.unread.is_empty()
    }
}

/// The connection.
pub(super) struct Wire {
    line: Line,
    peer: SocketAddr,
    clock: SharedClock,
    /// The uptime at which it was made.
    made: Duration,
    buffers: WireBuffers,
    head: AnswerHead,
    /// Whether ureq has the head of the answer.
    is_answered: bool,
    /// Why the rest of the request could not be sent. An answer may be there nevertheless.
    unsent: Option<io::Error>,
    /// Whether it was used since it was last put aside.
    used: bool,
}

impl Wire {
    pub(super) fn new(line: Line, peer: SocketAddr, clock: SharedClock) -> Self {
        let (made, buffers, head) = (clock.uptime(), WireBuffers::default(), AnswerHead::default());
        Self { line, peer, clock, made, buffers, head, is_answered: false, unsent: None, used: false }
    }

    /// Sends the held bytes and this many more.
    fn send(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let (output, end) = (mem::take(&mut self.buffers.output), mem::take(&mut self.buffers.held) + amount);
        let written = self.write(&output[..end], Deadline::within(*timeout.after));
        self.buffers.output = output;
        match written {
            Err(error) if error.kind() == ErrorKind::TimedOut => Err(ureq::Error::Timeout(timeout.reason)),
            // The bytes are not HTTP, or this server is at fault.
            Err(error) if error.kind() == ErrorKind::InvalidData || is_ours(&error) => Err(error.into()),
            Err(error) => {
                self.unsent = Some(error);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn write(&mut self, bytes: &[u8], deadline: Deadline) -> io::Result<()> {
        let mut sent = 0;
        let mut hears = true;
        loop {
            match self.line.write(bytes, &mut sent) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                written => return written,
            }
            let at_most = if self.is_answered { REST.min(deadline.left()) } else { deadline.left() };
            match self.line.until_ready(hears && !self.is_answered, at_most)? {
                Ready::Write => {}
                Ready::Read => hears = self.hear(None)?,
                Ready::Nothing if self.is_answered => return Err(ErrorKind::BrokenPipe.into()),
                Ready::Nothing => return Err(ErrorKind::TimedOut.into()),
            }
        }
    }

    /// Reads some of the head of the answer. False: the other side has ended.
    fn hear(&mut self, deadline: Option<Deadline>) -> io::Result<bool> {
        let mut bytes = mem::take(&mut self.buffers.input);
        bytes.resize(INPUT, 0);
        let read = self.line.read(&mut bytes, deadline);
        let came = match &read {
            Ok(came) => *came,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
            Err(_) => 0,
        };
        if came > 0 {
            self.used = true;
            progress::answered(&bytes[..came]);
        }
        let head = self.head.read(&bytes[..came]);
        if let Some(status) = self.head.status() {
            let (retry_after, headers) = (self.head.retry_after().map(str::to_owned), self.head.headers().to_vec());
            progress::note(Noted { status, retry_after, headers });
        }
        match head.map_err(|unreadable| io::Error::new(ErrorKind::InvalidData, unreadable))? {
            (end, true) => self.answer(&bytes[end..came]),
            _ => self.buffers.input = bytes,
        }
        read.map(|_| came > 0)
    }

    /// Gives ureq the head of the answer, and the beginning of the body.
    fn answer(&mut self, body: &[u8]) {
        self.is_answered = true;
        self.buffers.input = [&self.head.cleaned(), body].concat();
        self.buffers.unread = 0..self.buffers.input.len();
        self.buffers.progress = true;
    }

    /// Reads until the head of the answer is complete.
    fn await_head(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let deadline = Deadline::within(*timeout.after);
        while !self.is_answered {
            match self.hear(Some(deadline)) {
                Ok(true) => {}
                Err(error) if error.kind() == ErrorKind::TimedOut => return Err(ureq::Error::Timeout(timeout.reason)),
                heard => {
                    return match self.unsent.take() {
                        Some(unsent) => Err(unsent.into()),
                        None => Ok(heard?),
                    };
                }
            }
        }
        Ok(true)
    }
}

impl Transport for Wire {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        if self.unsent.is_some() {
            return Ok(());
        }
        if self.buffers.held == 0 && amount <= MOST_HELD {
            self.buffers.held = amount;
            return Ok(());
        }
        self.send(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        if self.buffers.held > 0 {
            self.send(0, timeout)?;
        }
        self.buffers.output = Vec::new();
        if !self.is_answered {
            return self.await_head(timeout);
        }
        let space = self.buffers.input_append_buf();
        if space.is_empty() {
            // The size of a chunk has no end.
            return Err(io::Error::from(ErrorKind::InvalidData).into());
        }
        match self.line.read(space, Some(Deadline::within(*timeout.after))) {
            Ok(came) => {
                self.buffers.input_appended(came);
                Ok(came > 0)
            }
            Err(error) if error.kind() == ErrorKind::TimedOut => Err(ureq::Error::Timeout(timeout.reason)),
            Err(error) => Err(error.into()),
        }
    }

    fn is_open(&mut self) -> bool {
        if mem::take(&mut self.used) {
            // It is put aside. The rest is checked when it is used again.
            let is_whole = self.unsent.take().is_none();
            (self.head, self.is_answered, self.buffers) = Default::default();
            return is_whole;
        }
        let age = self.clock.uptime().saturating_sub(self.made);
        reuse::may_be_reused(self.peer, age) && self.line.is_quiet()
    }

    fn is_tls(&self) -> bool {
        self.line.is_tls()
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection to {}", self.peer)
    }
}
