//! Publishers: each on one kept connection, all on one thread, so that they take little of the two cores.

use std::{net::SocketAddr, sync::Arc, thread, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

use crate::{
    ledger::{Figures, Ledger},
    prepare::{Account, KIND, data},
    process::Process,
    receiver::Receiver,
    wire,
};

/// When a publisher sends its next event.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// Once the last one is answered.
    FlatOut,
    /// All publishers together publish this many a second, to the millisecond; later if answers are late.
    PerSecond(f64),
    /// Once the last one has arrived at its webhooks.
    AfterArrival,
}

/// The load: it ends after `most` events or when `time` is over.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub publishers: usize,
    pub pace: Pace,
    pub most: usize,
    pub time: Duration,
    /// How many webhooks get each event.
    pub fan: u32,
}

impl Load {
    /// Publishes there as this account, and waits until all has arrived.
    pub fn run(self, address: SocketAddr, account: &Account, receiver: &Receiver) -> Figures {
        let ledger = Arc::new(Ledger::new(self.most, self.publishers, self.fan));
        receiver.count_in(&ledger);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let start = Instant::now();
            let publisher = |place| {
                let request = Request::new(address, account);
                tokio::spawn(self.publish(place, start, address, request, Arc::clone(&ledger)))
            };
            let publishers: Vec<_> = (0..self.publishers).map(publisher).collect();
            for publisher in publishers {
                publisher.await.expect("every publish is accepted");
            }
        });
        ledger.wait();
        ledger.figures()
    }

    /// Publishes to two in turns, the other one frozen meanwhile: so other work of the machine slows both alike.
    pub fn in_turns(self, turns: u32, sides: [(&Process, &Account); 2], receiver: &Receiver) -> [Figures; 2] {
        self.in_turns_after(Duration::ZERO, turns, sides, receiver)
    }

    /// Likewise; each has this long after a freeze before its turn is measured.
    pub fn in_turns_after(
        self,
        rest: Duration,
        turns: u32,
        sides: [(&Process, &Account); 2],
        receiver: &Receiver,
    ) -> [Figures; 2] {
        let mut figures = [Figures::default(), Figures::default()];
        for turn in 0..2 * turns {
            let (side, other) = if turn % 2 == 0 { (0, 1) } else { (1, 0) };
            let (server, account) = sides[side];
            sides[other].0.signal("STOP");
            server.signal("CONT");
            thread::sleep(rest);
            figures[side].add(&self.run(server.address, account, receiver));
        }
        sides[0].0.signal("CONT");
        figures
    }

    /// One publisher: its share of the events, one after the other.
    async fn publish(
        self,
        place: usize,
        start: Instant,
        address: SocketAddr,
        mut request: Request,
        ledger: Arc<Ledger>,
    ) {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("a connection");
        let mut answer = Vec::with_capacity(4096);
        for event in (place..self.most).step_by(self.publishers) {
            if let Pace::PerSecond(rate) = self.pace {
                tokio::time::sleep_until(start + Duration::from_secs_f64(event as f64 / rate)).await;
            }
            if start.elapsed() >= self.time {
                break;
            }
            request.carry(ledger.number(event));
            ledger.sent(event);
            stream.write_all(&request.bytes).await.expect("a connection that is kept");
            read(&mut stream, &mut answer).await;
            ledger.answered(event);
            if matches!(self.pace, Pace::AfterArrival) {
                ledger.until_next_arrival(place).await;
            }
        }
    }
}

/// Reads one answer, which must be a 202.
async fn read(stream: &mut TcpStream, answer: &mut Vec<u8>) {
    answer.clear();
    while wire::whole(answer).is_none() {
        let read = stream.read_buf(answer).await.expect("a connection that is kept");
        assert!(read > 0, "the server hung up");
    }
    assert!(answer.starts_with(b"HTTP/1.1 202"), "{}", String::from_utf8_lossy(answer));
}

/// A publish of 600 bytes, of which only the event's number changes.
struct Request {
    bytes: Vec<u8>,
    number: usize,
}

impl Request {
    fn new(address: SocketAddr, account: &Account) -> Self {
        let Account { id, token } = account;
        let body = format!(
            r#"{{"event":"{KIND}","cooperative_id":"{id}","data":{}}}"#,
            data(100_000_000, 600 - 54 - id.len())
        );
        let bytes = format!(
            "POST /events HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let number = bytes.find("100000000").expect("the number is in the data");
        Self { bytes: bytes.into_bytes(), number }
    }

    fn carry(&mut self, number: u64) {
        let digits = number.to_string();
        self.bytes[self.number..self.number + digits.len()].copy_from_slice(digits.as_bytes());
    }
}
