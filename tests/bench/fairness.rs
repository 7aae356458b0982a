//! One account publishes at a modest pace beside another that publishes as fast as it is answered, events or batches,
//! to webhooks of its own. The result is how long the publishes of the first account take.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    load::{Load, Pace},
    prepare::{Account, KIND, data},
    process::Folder,
    receiver::{Answers, Receiver},
    table::{Table, ms, whole},
    wire,
};

/// The modest account: 100 events a second for 10 seconds.
const PACED: Load =
    Load { publishers: 4, pace: Pace::PerSecond(100.0), most: 1_000, time: Duration::from_secs(10), fan: 1 };
/// How long the other has been at it before.
const BEFORE: Duration = Duration::from_secs(1);

/// The load of the other account: connections, events of each request (1: no batch), and webhooks that get each event.
const SCENES: [(&str, usize, usize, usize); 4] = [
    ("nothing", 0, 1, 1),
    ("64 publishers of one event", 64, 1, 1),
    ("8 publishers of batches of 1,000", 8, 1_000, 1),
    ("8 publishers of batches of 250 to 10 webhooks", 8, 250, 10),
];

/// With the usual limit the other account would be refused after some seconds.
const NO_LIMIT: (&str, &str) = ("NGOMA_LIMITS__PENDING_PER_ACCOUNT", "0");

pub fn run(_long: bool) {
    println!(
        "An account publishes 100 events a second from 4 publishers for {} s, beside another account that publishes flat \
         out. Latencies in ms.\n",
        PACED.time.as_secs()
    );
    let table = Table::new(
        46,
        &["beside it", "other's events/s", "publish p50", "p99", "at most", "arrival p99", "MiB at most"],
    );
    for (name, connections, events, webhooks) in SCENES {
        let (own, other) = (Receiver::start(1, Answers::AtOnce), Receiver::start(webhooks, Answers::AtOnce));
        let folder = Folder::new();
        let store = folder.store();
        let modest = store.account("COOP-1", own.urls());
        let greedy = store.account("COOP-2", other.urls());
        store.close();
        let server = folder.serve_with(&[NO_LIMIT]);
        let flood = Flood::start(server.address, &greedy, connections, events);
        thread::sleep(BEFORE);
        let figures = PACED.run(server.address, &modest, &own);
        let rate = flood.end();
        assert_eq!(figures.missing, 0, "events of the modest account never arrived");
        table.row(&[
            name.to_owned(),
            whole(rate),
            ms(figures.publish.p50()),
            ms(figures.publish.p99()),
            ms(figures.publish.longest()),
            ms(figures.arrival.p99()),
            whole(server.memory().1),
        ]);
    }
}

/// Connections on which the same request is sent as soon as the last one was answered.
struct Flood {
    stop: Arc<AtomicBool>,
    accepted: Arc<AtomicU64>,
    since: Instant,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Flood {
    fn start(address: SocketAddr, account: &Account, connections: usize, events: usize) -> Self {
        let (stop, accepted) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let request = Arc::new(request(address, account, events));
        let send = |_| {
            let (stop, accepted, request) = (Arc::clone(&stop), Arc::clone(&accepted), Arc::clone(&request));
            thread::spawn(move || {
                let mut stream = TcpStream::connect(address).expect("a connection");
                let (mut answer, mut part) = (Vec::new(), vec![0; 64 << 10]);
                while !stop.load(Ordering::Relaxed) {
                    stream.write_all(&request).expect("a connection that is kept");
                    answer.clear();
                    while wire::whole(&answer).is_none() {
                        let read = stream.read(&mut part).expect("a connection that is kept");
                        assert!(read > 0, "the server hung up");
                        answer.extend_from_slice(&part[..read]);
                    }
                    if answer.starts_with(b"HTTP/1.1 202") {
                        accepted.fetch_add(events as u64, Ordering::Relaxed);
                    }
                }
            })
        };
        let threads = (0..connections).map(send).collect();
        Self { stop, accepted, since: Instant::now(), threads }
    }

    /// Ends it, and gives the events that were accepted in a second.
    fn end(self) -> f64 {
        let rate = self.accepted.load(Ordering::Relaxed) as f64 / self.since.elapsed().as_secs_f64();
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("every request is answered");
        }
        rate
    }
}

fn request(address: SocketAddr, account: &Account, events: usize) -> Vec<u8> {
    let Account { id, token } = account;
    let event = |number| format!(r#"{{"event":"{KIND}","cooperative_id":"{id}","data":{}}}"#, data(number, 500));
    let all: Vec<String> = (0..events as u64).map(event).collect();
    let (path, body) = match all.as_slice() {
        [one] => ("/events", one.clone()),
        all => ("/events/batch", format!(r#"{{"events":[{}]}}"#, all.join(","))),
    };
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}
