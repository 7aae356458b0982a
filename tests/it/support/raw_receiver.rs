//! A receiver by a bare socket on loopback: a function of the story handles each connection, well or badly.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use socket2::{Domain, SockRef, Socket, Type};

use crate::support::receiver::{PATIENCE, lock};

/// The behaviour of such a receiver on a connection.
pub type Behaviour = fn(&mut Peer);

/// The pause between two bytes that drip.
const DRIP: Duration = Duration::from_millis(20);

/// State that the threads of a receiver share.
struct Shared {
    connections: AtomicUsize,
    gone: Mutex<bool>,
    left: Condvar,
}

/// The receiver. Its threads end with it.
pub struct RawReceiver {
    shared: Arc<Shared>,
    address: SocketAddr,
}

impl RawReceiver {
    pub fn new(behaviour: impl Fn(&mut Peer) + Clone + Send + 'static) -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)), behaviour)
    }

    pub fn at(address: SocketAddr, behaviour: impl Fn(&mut Peer) + Clone + Send + 'static) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        // Small, so that unread bytes stay with the sender.
        socket.set_recv_buffer_size(16 << 10).expect("a small buffer");
        socket.set_reuse_address(true).expect("a port that was used before");
        socket.bind(&address.into()).expect("a free port");
        socket.listen(64).expect("a listener");
        let listener = TcpListener::from(socket);
        let address = listener.local_addr().expect("bound");
        let shared = Shared { connections: AtomicUsize::new(0), gone: Mutex::new(false), left: Condvar::new() };
        let shared = Arc::new(shared);
        let own = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if *lock(&own.gone) {
                    return;
                }
                own.connections.fetch_add(1, Ordering::SeqCst);
                let mut peer = Peer { stream, shared: Arc::clone(&own) };
                let behaviour = behaviour.clone();
                thread::spawn(move || behaviour(&mut peer));
            }
        });
        Self { shared, address }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// How many connections were made to it.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Drop for RawReceiver {
    fn drop(&mut self) {
        *lock(&self.shared.gone) = true;
        self.shared.left.notify_all();
        let _ = TcpStream::connect(self.address);
    }
}

/// One connection to such a receiver.
pub struct Peer {
    pub stream: TcpStream,
    shared: Arc<Shared>,
}

impl Peer {
    /// Reads the whole request, head and body.
    pub fn read_request(&mut self) -> String {
        read_request(&mut self.stream)
    }

    /// Whether these bytes could be written.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Writes the same until the other side has gone.
    pub fn flood(&mut self, bytes: impl AsRef<[u8]>) {
        while !*lock(&self.shared.gone) && self.send(bytes.as_ref()) {}
    }

    /// Writes one byte after another, slowly, until the other side has gone.
    pub fn drip(&mut self, bytes: impl AsRef<[u8]>) {
        for byte in bytes.as_ref() {
            if !self.wait(DRIP) || !self.send([*byte]) {
                return;
            }
        }
    }

    /// Waits; false when the story has ended.
    pub fn wait(&self, time: Duration) -> bool {
        let waited = self.shared.left.wait_timeout_while(lock(&self.shared.gone), time, |gone| !*gone);
        !*waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0
    }

    /// Keeps the connection open and does nothing, until the story has ended.
    pub fn hold_open(&self) {
        self.wait(PATIENCE);
    }

    /// Resets the connection as soon as it is closed, which the end of its function does.
    pub fn reset_on_close(&self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).expect("a socket");
    }
}

/// Reads a request from a stream.
pub fn read_request(stream: &mut impl Read) -> String {
    let (mut seen, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut chunk).unwrap_or(0);
        seen.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&seen);
        let whole = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            length.is_none_or(|length| length.parse().is_ok_and(|length: usize| body.len() >= length))
        });
        if read == 0 || whole {
            return text.into_owned();
        }
    }
}

/// A receiver that never accepts, and whose backlog is full.
pub struct FullBacklog {
    socket: Socket,
    _waiting: Vec<TcpStream>,
}

impl FullBacklog {
    pub fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a free port");
        socket.listen(0).expect("a listener");
        let mut waiting = Vec::new();
        loop {
            match TcpStream::connect_timeout(&address(&socket), Duration::from_millis(200)) {
                Ok(stream) => waiting.push(stream),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => break,
                Err(error) => panic!("{error}"),
            }
            assert!(waiting.len() < 100, "the backlog has no end");
        }
        Self { socket, _waiting: waiting }
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address())
    }

    pub fn address(&self) -> SocketAddr {
        address(&self.socket)
    }
}

fn address(socket: &Socket) -> SocketAddr {
    let port = socket.local_addr().expect("bound").as_socket_ipv4().expect("IPv4").port();
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}
