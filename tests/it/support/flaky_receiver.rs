//! A receiver that answers well, badly or not at all, by a pattern from a seed, and keeps a ledger of every POST.

use std::{
    collections::HashSet,
    io::BufReader,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use crate::support::receiver::{PATIENCE, Post, answer, lock, read_post};

/// How a POST was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    Well,
    Badly,
    ByClosing,
}

/// A line of the ledger.
#[derive(Debug, Clone)]
pub struct Entry {
    pub round: usize,
    pub post: Post,
    pub answered: Answered,
}

struct Shared {
    random: Mutex<Random>,
    /// Of a hundred answers: how many are good, and how many are errors; the rest closes.
    odds: (u64, u64),
    round: AtomicUsize,
    entries: Mutex<Vec<Entry>>,
    came: Condvar,
    open: Mutex<HashSet<SocketAddr>>,
    closed: Condvar,
    gone: AtomicBool,
}

pub struct FlakyReceiver {
    shared: Arc<Shared>,
    port: u16,
}

impl FlakyReceiver {
    pub fn new(seed: u64, odds: (u64, u64)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let shared = Arc::new(Shared {
            random: Mutex::new(Random(seed)),
            odds,
            round: AtomicUsize::new(0),
            entries: Mutex::new(Vec::new()),
            came: Condvar::new(),
            open: Mutex::new(HashSet::new()),
            closed: Condvar::new(),
            gone: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            while let Ok((stream, peer)) = listener.accept() {
                if accepting.gone.load(Ordering::SeqCst) {
                    return;
                }
                lock(&accepting.open).insert(peer);
                accepting.closed.notify_all();
                let serving = Arc::clone(&accepting);
                thread::spawn(move || {
                    serving.serve(stream);
                    lock(&serving.open).remove(&peer);
                    serving.closed.notify_all();
                });
            }
        });
        Self { shared, port }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    /// Waits until every connection of a sender that has ended is read to its end, and begins the next round.
    pub fn next_round(&self) {
        // Connections are accepted in order: once this one is, all before it were.
        let probe = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        let own = HashSet::from([probe.local_addr().expect("connected")]);
        let open = lock(&self.shared.open);
        let waited = self.shared.closed.wait_timeout_while(open, PATIENCE, |open| *open != own);
        assert!(!waited.expect("no panic").1.timed_out(), "connections of a dead sender stay open");
        self.shared.round.fetch_add(1, Ordering::SeqCst);
    }

    pub fn entries(&self) -> Vec<Entry> {
        lock(&self.shared.entries).clone()
    }

    /// Waits until the ledger meets the story's condition.
    pub fn wait_until(&self, what: &str, mut holds: impl FnMut(&[Entry]) -> bool) {
        let entries = lock(&self.shared.entries);
        let waited = self.shared.came.wait_timeout_while(entries, PATIENCE, |entries| !holds(entries));
        let (entries, timeout) = waited.expect("no panic");
        assert!(!timeout.timed_out(), "not after {} POSTs: {what}", entries.len());
    }

    /// Waits a short time for one more POST.
    pub fn wait_a_little(&self) {
        let entries = lock(&self.shared.entries);
        drop(self.shared.came.wait_timeout(entries, Duration::from_millis(50)));
    }
}

impl Drop for FlakyReceiver {
    fn drop(&mut self) {
        self.shared.gone.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream);
        while let Some(post) = read_post(&mut reader) {
            let roll = lock(&self.random).below(100);
            let answered = match roll {
                roll if roll < self.odds.0 => Answered::Well,
                roll if roll < self.odds.0 + self.odds.1 => Answered::Badly,
                _ => Answered::ByClosing,
            };
            lock(&self.entries).push(Entry { round: self.round.load(Ordering::SeqCst), post, answered });
            self.came.notify_all();
            let status = match answered {
                Answered::Well => 200,
                Answered::Badly => 500,
                Answered::ByClosing => return,
            };
            if answer(reader.get_mut(), status, "", b"").is_err() {
                return;
            }
        }
    }
}

/// Numbers that look random and follow from the seed (SplitMix64).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end
    }
}
