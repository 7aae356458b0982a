//! What a connection may take: there are only so many, and one that takes no answer for too long is closed.
//!
//! A connection has `client_timeout` from its start, and from each byte of an answer that it takes, to bring the next answer
//! about. So a client that sends a header a minute, or never reads, or just waits, holds its place for a bounded time.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use poem::{
    http::uri::Scheme,
    listener::Acceptor,
    web::{LocalAddr, RemoteAddr},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Sleep, sleep},
};

use crate::{clock::from_now, config::Limits};

/// Rest after a failed accept, which is mostly a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts as many connections as there may be, and bounds each.
pub struct Bounded<A> {
    inner: A,
    places: Arc<Semaphore>,
    timeout: Duration,
}

impl<A> Bounded<A> {
    /// Bounds what `inner` accepts.
    pub fn new(inner: A, limits: &Limits) -> Self {
        Self { inner, places: Arc::new(Semaphore::new(limits.connections)), timeout: limits.client_timeout }
    }
}

impl<A: Acceptor> Acceptor for Bounded<A> {
    type Io = Timed<A::Io>;

    fn local_addr(&self) -> Vec<LocalAddr> {
        self.inner.local_addr()
    }

    async fn accept(&mut self) -> io::Result<(Self::Io, LocalAddr, RemoteAddr, Scheme)> {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(io::Error::other)?;
        match self.inner.accept().await {
            Ok((inner, local, remote, scheme)) => {
                let deadline = Box::pin(sleep(self.timeout));
                Ok((Timed { inner, deadline, timeout: self.timeout, _place: place }, local, remote, scheme))
            }
            Err(error) => {
                sleep(ACCEPT_PAUSE).await;
                Err(error)
            }
        }
    }
}

/// A connection that ends when it has taken no answer for too long.
pub struct Timed<I> {
    inner: I,
    deadline: Pin<Box<Sleep>>,
    timeout: Duration,
    _place: OwnedSemaphorePermit,
}

impl<I> Timed<I> {
    /// Ready with an error once the time is up; else the task is woken then.
    fn check(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        self.deadline.as_mut().poll(cx).map(|()| io::ErrorKind::TimedOut.into())
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Timed<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(error) = self.check(cx) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Timed<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Poll::Ready(error) = self.check(cx) {
            return Poll::Ready(Err(error));
        }
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        if matches!(written, Poll::Ready(Ok(_))) {
            let until = from_now(self.timeout);
            self.deadline.as_mut().reset(until);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
