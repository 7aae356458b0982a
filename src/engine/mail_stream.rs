//! The connection to a mail server. A server that says too much is left: nothing else bounds the length of its lines.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use lettre::transport::smtp::client::AsyncTokioStream;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

/// The most that a server may say in a dialogue, in bytes: many times what any server says.
const MOST: usize = 128 << 10;

/// Connects to the first of these addresses that accepts, each of which has this long for it. With a configuration and a
/// host name, TLS comes first.
pub(super) async fn connect(
    addresses: &[SocketAddr],
    limit: Duration,
    tls: Option<(&Arc<ClientConfig>, &str)>,
) -> io::Result<Box<dyn AsyncTokioStream>> {
    let (stream, peer) = dial(addresses, limit).await?;
    let Some((config, host)) = tls else { return Ok(Box::new(Bounded { stream, peer, left: MOST })) };
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await?;
    Ok(Box::new(Bounded { stream, peer, left: MOST }))
}

async fn dial(addresses: &[SocketAddr], limit: Duration) -> io::Result<(TcpStream, SocketAddr)> {
    let mut last = io::Error::other("its name has no address");
    for peer in addresses {
        match timeout(limit, TcpStream::connect(peer)).await {
            Ok(Ok(stream)) => return Ok((stream, *peer)),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::Error::new(io::ErrorKind::TimedOut, "no answer came in time"),
        }
    }
    Err(last)
}

/// A connection from which only so much is read.
#[derive(Debug)]
struct Bounded<S> {
    stream: S,
    peer: SocketAddr,
    left: usize,
}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin + std::fmt::Debug> AsyncTokioStream for Bounded<S> {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let own = self.get_mut();
        if own.left == 0 {
            return Poll::Ready(Err(io::Error::other(format!("it said more than {} KiB", MOST >> 10))));
        }
        let before = into.filled().len();
        let read = Pin::new(&mut own.stream).poll_read(context, into);
        own.left = own.left.saturating_sub(into.filled().len() - before);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
