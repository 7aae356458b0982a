//! Receivers that answer after a delay, on ports of their own: they count what arrives, and are cheap.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    server::NoServerSessionStorage,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    runtime::{Builder, Runtime},
};
use tokio_rustls::TlsAcceptor;

use crate::wire;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const LAST_ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// How it is connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    Http,
    KeptTls,
    /// Each delivery needs a full handshake.
    FreshTls,
}

impl Connection {
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http, kept",
            Self::KeptTls => "TLS, kept",
            Self::FreshTls => "TLS, fresh",
        }
    }
}

pub struct Distant {
    addresses: Vec<SocketAddr>,
    arrived: Arc<AtomicUsize>,
    authority: Option<(TempDir, PathBuf)>,
    _runtime: Runtime,
}

#[derive(Clone)]
struct Answers {
    delay: Duration,
    answer: &'static [u8],
    arrived: Arc<AtomicUsize>,
}

impl Distant {
    pub fn start(hosts: usize, connection: Connection, delay: Duration) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let arrived = Arc::<AtomicUsize>::default();
        let (authority, acceptor) = match connection {
            Connection::Http => (None, None),
            _ => {
                let (folder, path, config) = certified();
                (Some((folder, path)), Some(TlsAcceptor::from(Arc::new(config))))
            }
        };
        let answer = if connection == Connection::FreshTls { LAST_ANSWER } else { ANSWER };
        let answers = Answers { delay, answer, arrived: Arc::clone(&arrived) };
        let open = |_| {
            let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
            let address = listener.local_addr().expect("a port");
            runtime.spawn(accept(listener, acceptor.clone(), answers.clone()));
            address
        };
        Self { addresses: (0..hosts).map(open).collect(), arrived, authority, _runtime: runtime }
    }

    pub fn urls(&self) -> Vec<String> {
        let scheme = if self.authority.is_some() { "https" } else { "http" };
        self.addresses.iter().map(|address| format!("{scheme}://{address}/")).collect()
    }

    /// The file of the authority that certifies it.
    pub fn authority(&self) -> Option<&Path> {
        self.authority.as_ref().map(|(_, path)| path.as_path())
    }

    pub fn arrived(&self) -> usize {
        self.arrived.load(Relaxed)
    }

    /// Arrivals a second, measured for this long after `warm`.
    pub fn pace(&self, warm: Duration, measured: Duration) -> f64 {
        while self.arrived() == 0 {
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(warm);
        let (before, watch) = (self.arrived(), Instant::now());
        thread::sleep(measured);
        (self.arrived() - before) as f64 / watch.elapsed().as_secs_f64()
    }
}

/// A certificate for this machine, and the file of its authority.
fn certified() -> (TempDir, PathBuf, ServerConfig) {
    let key = || KeyPair::generate().expect("a key");
    let mut authority = CertificateParams::new(Vec::new()).expect("no names");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, key()).expect("an authority");
    let own = key();
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
    let certificate = certificate.signed_by(&own, &authority).expect("a certificate");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("authority.pem");
    std::fs::write(&path, authority.pem()).expect("a file");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(own.serialize_der()));
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("versions").with_no_client_auth();
    let mut config = builder.with_single_cert(vec![certificate.der().clone()], key).expect("a certificate");
    // No session is resumed: each handshake is a full one.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    (folder, path, config)
}

async fn accept(listener: TcpListener, acceptor: Option<TlsAcceptor>, answers: Answers) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, answers) = (acceptor.clone(), answers.clone());
        let _ = stream.set_nodelay(true);
        tokio::spawn(async move {
            match acceptor {
                None => receive(stream, answers).await,
                Some(acceptor) => {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        receive(stream, answers).await;
                    }
                }
            }
        });
    }
}

/// Receives on one connection until it is closed.
async fn receive(mut stream: impl AsyncRead + AsyncWrite + Unpin, answers: Answers) {
    let mut bytes = Vec::with_capacity(2048);
    while let Ok(1..) = stream.read_buf(&mut bytes).await {
        if wire::whole(&bytes).is_none() {
            continue;
        }
        answers.arrived.fetch_add(1, Relaxed);
        if !answers.delay.is_zero() {
            tokio::time::sleep(answers.delay).await;
        }
        bytes.clear();
        if stream.write_all(answers.answer).await.is_err() || stream.flush().await.is_err() {
            return;
        }
        if answers.answer == LAST_ANSWER {
            let _ = stream.shutdown().await;
            return;
        }
    }
}
