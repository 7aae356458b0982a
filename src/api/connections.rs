//! What a connection may take: there are only so many, each keeps only so much of a head, and one that takes no answer for
//! too long is closed.
//!
//! A connection has `client_timeout` from its start, and from each byte of an answer that it takes, to bring the next answer
//! about. So a client that sends a header a minute, or never reads, or just waits, holds its place for a bounded time.
//!
//! They speak HTTP/1.1 only: over HTTP/2 one connection could ask for any number of things at once, and be kept by pings.

use std::{
    convert::Infallible,
    future::Future,
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::{rt::TokioIo, server::graceful::GracefulShutdown};
use poem::{
    Endpoint, Response,
    http::uri::Scheme,
    web::{LocalAddr, RemoteAddr},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpListener,
    task::JoinSet,
    time::{Sleep, sleep},
};

use crate::{clock::from_now, config::Limits};

/// Rest after a failed accept, which is mostly a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What a connection buffers: more than the limits of a head can add up to. To a head that does not fit, hyper itself
/// answers 431, without a body.
const BUFFER: usize = 64 << 10;

/// Serves as many connections as there may be until `stop` ends; then no more, and it ends when the last request under way
/// is answered. Dropping it cuts them off.
pub async fn serve(
    listener: TcpListener,
    routes: impl Endpoint<Output = Response> + 'static,
    limits: &Limits,
    stop: impl Future<Output = ()>,
) {
    let mut http = http1::Builder::new();
    // Whoever has said all may say so, and still gets the answer.
    http.max_buf_size(BUFFER).half_close(true);
    let local = listener.local_addr().map(|address| LocalAddr(address.into())).unwrap_or_default();
    let (mut stop, routes) = (pin!(stop), Arc::new(routes));
    let (mut open, ending) = (JoinSet::new(), GracefulShutdown::new());
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some(_) = open.join_next() => {}
            accepted = listener.accept(), if open.len() < limits.connections => {
                let Ok((stream, remote)) = accepted else {
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                };
                let (routes, local) = (Arc::clone(&routes), local.clone());
                let service = service_fn(move |request| {
                    let request = (request, local.clone(), RemoteAddr(remote.into()), Scheme::HTTP).into();
                    let routes = Arc::clone(&routes);
                    async move { Ok::<_, Infallible>(routes.get_response(request).await.into()) }
                });
                let stream = TokioIo::new(Timed::new(stream, limits.client_timeout));
                open.spawn(ending.watch(http.serve_connection(stream, service)));
            }
        }
    }
    drop(listener);
    ending.shutdown().await;
}

/// A connection that ends when it has taken no answer for too long.
struct Timed<I> {
    inner: I,
    deadline: Pin<Box<Sleep>>,
    timeout: Duration,
}

impl<I> Timed<I> {
    fn new(inner: I, timeout: Duration) -> Self {
        Self { inner, deadline: Box::pin(sleep(timeout)), timeout }
    }

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
