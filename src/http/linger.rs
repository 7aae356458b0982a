//! The end of a connection whose client still sends a body that nobody reads.
//!
//! A socket that is closed while bytes wait in it sends a reset, and many clients then report a broken pipe instead of
//! the answer that was there before. So the server closes its own side only, reads the bytes of the client and throws them
//! away, until the client has closed too. That is bounded in time, in bytes and in the number of connections; what goes
//! beyond is reset. The connection keeps its slot meanwhile, and makes way for new ones as any that waits.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Sleep, sleep},
};

/// How long a connection lingers: enough for some MiB by a usual line. A client that drips ends then too.
const LONGEST: Duration = Duration::from_secs(2);
/// How many bytes are thrown away, at most: four times the largest batch with the shipped settings.
const MOST: usize = 16 << 20;
/// Connections that linger at the same time. Others are closed at once.
const AT_ONCE: usize = 64;
/// Bytes read in one step.
const STEP: usize = 16 << 10;

/// Lets connections linger.
#[derive(Debug, Clone)]
pub(super) struct Lingering(Arc<Semaphore>);

impl Default for Lingering {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Lingering {
    /// Begins to throw away the bytes of a client, if not too many connections linger already.
    pub(super) fn begin(&self) -> Option<Linger> {
        let place = Arc::clone(&self.0).try_acquire_owned().ok()?;
        Some(Linger { deadline: Box::pin(sleep(LONGEST)), left: MOST, _place: place })
    }
}

/// A connection that lingers.
#[derive(Debug)]
pub(super) struct Linger {
    deadline: Pin<Box<Sleep>>,
    left: usize,
    _place: OwnedSemaphorePermit,
}

impl Linger {
    /// Ready when the client has closed its side, or a bound is reached.
    pub(super) fn poll(&mut self, stream: &mut (impl AsyncRead + Unpin), cx: &mut Context<'_>) -> Poll<()> {
        let mut space = [0; STEP];
        while self.deadline.as_mut().poll(cx).is_pending() {
            let mut bytes = ReadBuf::new(&mut space);
            let read = ready!(Pin::new(&mut *stream).poll_read(cx, &mut bytes));
            let count = bytes.filled().len();
            if read.is_err() || count == 0 || count >= self.left {
                break;
            }
            self.left -= count;
        }
        Poll::Ready(())
    }
}
