//! Connections and their limits: how many there are, how large a head may be, how long a client may take.
//!
//! When no more connections may be open, the one that has waited longest for a request makes way.
//!
//! A connection has `client_timeout` from its start, and from each answer that it has taken, to send the head of a
//! request. It has as long again for the body, and as long again to take the answer, or a part of a large answer. So a
//! client that sends a header a minute, never reads, reads a byte now and then, or just waits, holds its place for a
//! bounded time.
//!
//! A connection whose client still sends a body that was refused lingers for a short time: see `linger`.
//!
//! With TLS, the handshake belongs to the time for the first head. It takes a place as any connection does, and makes way
//! as one that waits for a request.
//!
//! Connections speak HTTP/1.1 only: over HTTP/2 one connection could ask for any number of things at once, and pings
//! would keep it open.

use std::{
    future::{Future, poll_fn},
    io::{self, IoSlice},
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::{
    rt::TokioIo,
    server::graceful::{GracefulShutdown, Watcher},
};
use ipnet::IpNet;
use poem::{
    Endpoint, Response,
    http::uri::Scheme,
    web::{LocalAddr, RemoteAddr},
};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinSet,
    time::{Sleep, sleep},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::{
    client::is_trusted,
    connection_slots::ConnectionSlots,
    context::BodyUnread,
    idle::{Connection, Idle},
    linger::{Linger, Lingering},
};
use crate::{
    clock::{Clock, SystemClock, from_now},
    config::Limits,
    error::Error,
    tls::CHALLENGE,
};

/// Rest after a failed accept, which is mostly a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The buffer of a connection: larger than any head within the limits. To a head that does not fit, hyper itself
/// answers 431, without a body.
const BUFFER: usize = 64 << 10;
/// How much of an answer the kernel keeps until its client takes it, in bytes. Without this it keeps up to 4 MiB.
/// (Linux doubles the number for its own use.)
const UNREAD: u32 = 64 << 10;
/// How much of a larger answer a client must take in one `client_timeout`, in bytes. With 30 s, that is the speed of
/// the slowest mobile links.
const PART: usize = 128 << 10;
/// How much of an answer a connection by TLS encrypts ahead of what its client takes, in bytes: one record.
const ENCRYPTED: usize = 16 << 10;
/// Connections that the kernel keeps until they are accepted.
const BACKLOG: u32 = 1024;

/// Why an address cannot be listened on, and what to do. `option` names the setting of the address.
pub(crate) fn unbound(address: SocketAddr, error: &io::Error, option: &str) -> Error {
    let remedy = match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!(": another program listens there, perhaps a server that runs already; stop it, or set {option}")
        }
        io::ErrorKind::PermissionDenied => {
            format!(
                ": ports below 1024 need a right: AmbientCapabilities=CAP_NET_BIND_SERVICE in the systemd unit; or set {option} to a \
                 higher one, and let a proxy take this one"
            )
        }
        io::ErrorKind::AddrNotAvailable => {
            format!(": this machine has no such address; set {option} to one that it has, or to 0.0.0.0 for all")
        }
        _ => String::new(),
    };
    Error::Internal(format!("cannot listen on {address}: {error}{remedy}"))
}

/// Binds the port.
///
/// # Errors
/// When another process has the port, or this process may not bind it.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    // Every connection inherits it.
    socket.set_send_buffer_size(UNREAD)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// What every connection of a port needs.
struct Port<E> {
    http: http1::Builder,
    routes: Arc<E>,
    local: LocalAddr,
    tls: Option<TlsAcceptor>,
    /// Cancelled when no more requests are taken.
    ending: CancellationToken,
}

/// A connection that was accepted.
struct Accepted {
    stream: Timed<TcpStream>,
    remote: SocketAddr,
    tracked: Arc<Connection>,
    watcher: Watcher,
}

/// Serves connections until `stop` ends, by TLS if it is configured. Then it accepts no more, and ends when the last
/// request in progress is answered. Dropping it cuts the connections off.
pub(crate) async fn serve(
    listener: TcpListener,
    routes: impl Endpoint<Output = Response> + 'static,
    limits: &Limits,
    proxies: &[IpNet],
    tls: Option<Arc<ServerConfig>>,
    stop: impl Future<Output = ()>,
) {
    let mut http = http1::Builder::new();
    // A client may close its sending side and still get the answer.
    http.max_buf_size(BUFFER).half_close(true);
    let local = listener.local_addr().map(|address| LocalAddr(address.into())).unwrap_or_default();
    let (tls, ending) = (tls.map(TlsAcceptor::from), CancellationToken::new());
    let port = Arc::new(Port { http, routes: Arc::new(routes), local, tls, ending: ending.clone() });
    let mut stop = pin!(stop);
    let (mut open, graceful, slots, idle) =
        (JoinSet::new(), GracefulShutdown::new(), ConnectionSlots::default(), Idle::default());
    let lingering = Lingering::default();
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            Some(_) = open.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, remote)) = accepted else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        // A trusted proxy brings many clients: their requests are counted one by one.
        let most = if is_trusted(remote.ip(), proxies) { usize::MAX } else { limits.connections_per_client };
        let Some(slot) = slots.take(remote.ip(), most) else { continue };
        tokio::select! {
            () = &mut stop => break,
            () = make_way(&mut open, limits.connections, &idle) => {}
        }
        let (port, tracked, watcher) = (Arc::clone(&port), idle.enter(), graceful.watcher());
        let stream = Timed::new(stream, limits.client_timeout, Arc::clone(&tracked), lingering.clone());
        let connection = Accepted { stream, remote, tracked: Arc::clone(&tracked), watcher };
        open.spawn(async move {
            // Nobody needs to know how it ended.
            tokio::select! {
                () = port.serve(connection) => {}
                () = tracked.dismissed() => {}
            }
            drop(slot);
        });
    }
    drop(listener);
    ending.cancel();
    graceful.shutdown().await;
}

impl<E: Endpoint<Output = Response> + 'static> Port<E> {
    /// Serves a connection to its end.
    async fn serve(&self, accepted: Accepted) {
        match &self.tls {
            // Its state is large, and plain connections need no room for it.
            Some(tls) => Box::pin(self.serve_by_tls(tls, accepted)).await,
            None => {
                let Accepted { stream, remote, tracked, watcher } = accepted;
                let moved_on = Arc::clone(&stream.moved_on);
                self.answer(stream, Scheme::HTTP, remote, (tracked, moved_on), watcher).await;
            }
        }
    }

    async fn serve_by_tls(&self, tls: &TlsAcceptor, accepted: Accepted) {
        let Accepted { stream, remote, tracked, watcher } = accepted;
        let moved_on = Arc::clone(&stream.moved_on);
        let shaken = tokio::select! {
            shaken = tls.accept_with(stream, |session| session.set_buffer_limit(Some(ENCRYPTED))) => shaken,
            () = self.ending.cancelled() => return,
        };
        let Ok(mut stream) = shaken else { return };
        if stream.get_ref().1.alpn_protocol() == Some(CHALLENGE) {
            // The authority has seen the certificate of the challenge.
            drop(stream.shutdown().await);
            return;
        }
        self.answer(stream, Scheme::HTTPS, remote, (tracked, moved_on), watcher).await;
    }

    /// Answers the requests of a connection.
    async fn answer<I: AsyncRead + AsyncWrite + Unpin + 'static>(
        &self,
        stream: I,
        scheme: Scheme,
        remote: SocketAddr,
        (tracked, moved_on): (Arc<Connection>, Arc<AtomicBool>),
        watcher: Watcher,
    ) {
        let service = service_fn(move |request| {
            let (moved_on, tracked) = (Arc::clone(&moved_on), Arc::clone(&tracked));
            moved_on.store(true, Ordering::Relaxed);
            let begun = tracked.begin();
            let request = (request, self.local.clone(), RemoteAddr(remote.into()), scheme.clone()).into();
            let routes = Arc::clone(&self.routes);
            async move {
                if !begun {
                    return Err(io::Error::from(io::ErrorKind::ConnectionAborted));
                }
                let answer = routes.get_response(request).await;
                moved_on.store(true, Ordering::Relaxed);
                tracked.answered(answer.data::<BodyUnread>().is_some());
                Ok(answer.into())
            }
        });
        let mut connection = pin!(watcher.watch(self.http.serve_connection(TokioIo::new(stream), service)));
        // hyper writes the date into each answer: a connection at a time without dates ends.
        poll_fn(|cx| match SystemClock.now().checked() {
            Ok(_) => connection.as_mut().poll(cx).map(drop),
            Err(_) => Poll::Ready(()),
        })
        .await;
    }
}

/// Waits until fewer connections are open than `most`. The one that has waited longest for a request makes way, else
/// the first that begins to wait.
async fn make_way(open: &mut JoinSet<()>, most: usize, idle: &Idle) {
    while open.try_join_next().is_some() {}
    while open.len() >= most {
        if idle.dismiss() {
            open.join_next().await;
            continue;
        }
        tokio::select! {
            _ = open.join_next() => {}
            () = idle.came() => {}
        }
    }
}

/// A stream that fails when its client takes too long.
struct Timed<I> {
    inner: I,
    deadline: Pin<Box<Sleep>>,
    timeout: Duration,
    /// Bytes of answers that the client has taken since its time was renewed.
    taken: usize,
    /// Whether the head of a request has come, or there is an answer: then the time is renewed.
    moved_on: Arc<AtomicBool>,
    connection: Arc<Connection>,
    lingering: Lingering,
    linger: Option<Linger>,
}

impl<I> Timed<I> {
    fn new(inner: I, timeout: Duration, connection: Arc<Connection>, lingering: Lingering) -> Self {
        let (deadline, moved_on) = (Box::pin(sleep(timeout)), Arc::default());
        Self { inner, deadline, timeout, taken: 0, moved_on, connection, lingering, linger: None }
    }

    /// Ready with an error once the time is up. Before, it has the task woken when the time is up.
    fn check(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if self.moved_on.swap(false, Ordering::Relaxed) {
            self.renew();
        }
        self.deadline.as_mut().poll(cx).map(|()| io::ErrorKind::TimedOut.into())
    }

    /// Counts what the client took of an answer, and renews its time if that is enough.
    fn took(&mut self, bytes: usize) {
        if !self.connection.waits() {
            self.taken += bytes;
        }
        if self.taken >= PART {
            self.renew();
        }
    }

    fn renew(&mut self) {
        self.taken = 0;
        let until = from_now(self.timeout);
        self.deadline.as_mut().reset(until);
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

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Timed<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Poll::Ready(error) = self.check(cx) {
            return Poll::Ready(Err(error));
        }
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        if let Poll::Ready(Ok(count)) = written {
            self.took(count);
        }
        written
    }

    /// Without this, hyper copies every answer into a buffer of its own.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(error) = self.check(cx) {
            return Poll::Ready(Err(error));
        }
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, parts);
        if let Poll::Ready(Ok(count)) = written {
            self.took(count);
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        if matches!(flushed, Poll::Ready(Ok(()))) {
            // All that there was of the answer: by TLS no single write says so.
            if self.taken > 0 {
                self.renew();
            }
            self.connection.sent();
        }
        flushed
    }

    /// Closes the sending side. If the client may still be sending, it also waits until the client has finished, within
    /// the bounds of `linger`.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.linger.is_none() {
            ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
            if this.connection.may_still_send() {
                this.linger = this.lingering.begin();
            }
        }
        match &mut this.linger {
            Some(linger) => linger.poll(&mut this.inner, cx).map(Ok),
            None => Poll::Ready(Ok(())),
        }
    }
}
