//! Receivers: they count what arrives in a ledger, all on one thread.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
};

use crate::{ledger::Ledger, prepare::NUMBER, wire};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const REFUSAL: &[u8] = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n";

/// When a receiver answers, and what.
#[derive(Debug, Clone, Copy)]
pub enum Answers {
    AtOnce,
    After(Duration),
    Never,
    /// At once, with a status of failure.
    Failing,
    /// At once twice, then after this time.
    EveryThirdAfter(Duration),
}

/// Receivers on ports of their own, so that each is another host for the sender.
pub struct Receiver {
    pub addresses: Vec<SocketAddr>,
    ledger: Shared,
    _runtime: Runtime,
}

type Shared = Arc<Mutex<Arc<Ledger>>>;

impl Receiver {
    pub fn start(hosts: usize, answers: Answers) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let ledger = Shared::new(Mutex::new(Arc::new(Ledger::new(0, 1, 1))));
        let open = |_| {
            let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
            let address = listener.local_addr().expect("a port");
            runtime.spawn(accept(listener, answers, Arc::clone(&ledger)));
            address
        };
        Self { addresses: (0..hosts).map(open).collect(), ledger, _runtime: runtime }
    }

    /// A target at each of them.
    pub fn urls(&self) -> Vec<String> {
        self.addresses.iter().map(|address| format!("http://{address}/")).collect()
    }

    /// Counts in this ledger from now on.
    pub fn count_in(&self, ledger: &Arc<Ledger>) {
        *self.ledger.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(ledger);
    }
}

async fn accept(listener: TcpListener, answers: Answers, ledger: Shared) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(receive(stream, answers, Arc::clone(&ledger)));
    }
}

/// Receives on one connection until it is closed.
async fn receive(mut stream: TcpStream, answers: Answers, ledger: Shared) {
    let mut bytes = Vec::with_capacity(4096);
    let mut answered = 0_u32;
    while let Ok(1..) = stream.read_buf(&mut bytes).await {
        let Some(body) = wire::whole(&bytes) else { continue };
        let number = wire::find(&bytes[body.clone()], NUMBER.as_bytes())
            .and_then(|at| wire::number(&bytes[body.start + at + NUMBER.len()..]));
        if let Some(number) = number {
            ledger.lock().unwrap_or_else(PoisonError::into_inner).arrived(number);
        }
        answered += 1;
        match answers {
            Answers::AtOnce | Answers::Failing => {}
            Answers::EveryThirdAfter(delay) if answered.is_multiple_of(3) => tokio::time::sleep(delay).await,
            Answers::EveryThirdAfter(_) => {}
            Answers::After(delay) => tokio::time::sleep(delay).await,
            Answers::Never => std::future::pending().await,
        }
        bytes.clear();
        let answer = if matches!(answers, Answers::Failing) { REFUSAL } else { ANSWER };
        if stream.write_all(answer).await.is_err() {
            return;
        }
    }
}
