//! Bytes, not only numbers: what the built program holds in memory, whatever one token or the receivers of all accounts
//! do, and who goes on meanwhile.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{
    client::Client,
    raw_client::connect_from,
    raw_receiver::RawReceiver,
    receiver::Receiver,
    site::{Server, Site},
    world::COOP,
};

/// The most memory that the program may ever hold, in KiB.
const MOST: u64 = 128 << 10;
/// Who goes on is answered within this time: below the time-out of those who hold it up.
const SOON: Duration = Duration::from_secs(9);

/// A site that logs little, whose events may have this many bytes.
fn site(event_bytes: usize) -> Site {
    let mut site = Site::new();
    site.set("SERVER__MAX_BODY_BYTES", &event_bytes.to_string()).set("LOG__LEVEL", "info");
    site
}

/// The JSON of an event of this many bytes, unlike any other.
fn event(number: usize, bytes: usize) -> String {
    let start =
        format!(r#"{{"event":"batch.exported","cooperative_id":"{COOP}","data":{{"number":{number},"filling":["#);
    let part = format!(r#""{}","#, "x".repeat(50_000));
    let parts = (bytes - start.len() - 10) / part.len();
    let rest = bytes - start.len() - parts * part.len() - r#"""]}}"#.len();
    format!(r#"{start}{}"{}"]}}}}"#, part.repeat(parts), "x".repeat(rest))
}

fn address(server: &Server) -> SocketAddr {
    server.address().parse().expect("an address")
}

fn token(server: &Server) -> String {
    server.environment()[1].1.to_owned()
}

/// A receiver of the customer's that has shown that it answers well.
fn healthy(customer: &Client) -> Receiver {
    let receiver = Receiver::new();
    customer.post("/v1/webhooks", json!({ "callback_url": receiver.url() })).expect(201);
    goes_on(customer, &receiver, "first");
    receiver
}

/// The customer publishes, is delivered to, and asks, as if nothing else were going on.
#[track_caller]
fn goes_on(customer: &Client, receiver: &Receiver, task: &str) {
    let (begun, before) = (Instant::now(), receiver.posts().len());
    let body = json!({ "event": "task.settled", "task_id": task, "consensus_label": "cat", "confidence": 1.0,
                       "bsv_txid": "x", "settled_at": "2026-04-08T21:05:00Z" });
    customer.post("/v1/events", body.clone()).expect(202);
    receiver.wait_for(before + 1);
    customer.get(&format!("/v1/tasks/{task}")).expect(200);
    customer.get("/v1/webhooks").expect(200);
    assert!(begun.elapsed() < SOON, "it took {:?}", begun.elapsed());
}

#[track_caller]
fn peak_is_low(server: &Server, of: &str) {
    let peak = server.running.peak();
    assert!(peak < MOST, "{peak} KiB for {of}");
    // For the table of figures.
    println!("{} MiB: {of}", peak >> 10);
}

/// Publishes this many events of this many bytes to receivers that never read.
fn never_read(event_bytes: usize, events: usize) {
    const RECEIVERS: usize = 100;
    let site = site(event_bytes);
    let server = site.start();
    let (coop, customer) = (server.coop(), server.customer());
    let receiver = healthy(&customer);
    let deaf = RawReceiver::new(|peer| peer.hold_open());
    for _ in 0..RECEIVERS {
        coop.webhook(&deaf.url(), &["*"], "s");
    }
    for number in 0..events {
        let published = coop.post_text("/events", &event(number, event_bytes)).expect(202);
        assert_eq!(published["deliveries"].as_array().map(Vec::len), Some(RECEIVERS));
        goes_on(&customer, &receiver, &format!("beside-{number}"));
    }
    // By then they have connected and read nothing.
    let begun = Instant::now();
    while deaf.connections() < 4 {
        assert!(begun.elapsed() < SOON, "they are tried");
        goes_on(&customer, &receiver, &format!("{:?}", begun.elapsed()));
    }
    goes_on(&customer, &receiver, "last");
    peak_is_low(&server, &format!("{events} events of {event_bytes} bytes to {RECEIVERS} receivers that never read"));
}

#[test]
fn large_events_to_receivers_that_never_read_cost_little_memory_and_keep_nobody_waiting() {
    never_read(262_144, 40);
}

#[test]
fn events_of_2_mb_to_receivers_that_never_read_cost_little_memory_and_keep_nobody_waiting() {
    never_read(2_000_000, 4);
}

#[test]
fn answers_that_are_not_read_cost_little_memory_and_keep_nobody_waiting() {
    const READERS: usize = 119;
    let site = site(4_000_000);
    let server = site.start();
    let (coop, customer) = (server.coop(), server.customer());
    let receiver = healthy(&customer);
    let published = coop.post_text("/events", &event(0, 4_000_000)).expect(202);
    let id = published["event_id"].as_str().expect("an id");
    let ask = format!("GET /events/{id} HTTP/1.1\r\nhost: n\r\nauthorization: Bearer {}\r\n\r\n", token(&server));
    let begin = |_| {
        let mut stream = connect_from([127, 0, 0, 1], address(&server), Some(4096));
        stream.write_all(ask.as_bytes()).expect("it is open");
        stream
    };
    let (mut first, mut status) = (begin(0), [0; 12]);
    first.read_exact(&mut status).expect("it is answered");
    assert_eq!(&status, b"HTTP/1.1 200");
    let slow: Vec<TcpStream> = (1..READERS).map(begin).collect();
    for number in 0..40 {
        goes_on(&customer, &receiver, &format!("beside-{number}"));
    }
    peak_is_low(&server, &format!("{READERS} readers of an answer of 4 MB who do not read it"));
    drop((first, slow));
}

/// A connection that has sent this much of a batch.
fn begun_batch((server, token): &(SocketAddr, String), announced: usize, sent: usize) -> TcpStream {
    let mut stream = connect_from([127, 0, 0, 1], *server, None);
    let head = format!(
        "POST /events/batch HTTP/1.1\r\nhost: n\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         content-length: {announced}\r\n\r\n"
    );
    let body = format!(r#"{{"events":[{}"#, " ".repeat(sent - r#"{"events":["#.len()));
    stream.set_write_timeout(Some(SOON)).expect("a bound");
    // One that is refused need not take all of it.
    let _ = stream.write_all((head + &body).as_bytes());
    stream
}

fn small_batch(client: &Client) -> u16 {
    let one: Value = serde_json::from_str(&event(0, 50_500)).expect("JSON");
    client.post("/events/batch", json!({ "events": [one] })).status
}

#[test]
fn batches_that_trickle_in_hold_few_bytes_and_no_place() {
    let site = site(262_144);
    let server = site.start();
    let (coop, customer, coops) = (server.coop(), server.customer(), (address(&server), token(&server)));
    let receiver = healthy(&customer);
    let slow: Vec<TcpStream> = (0..64).map(|_| begun_batch(&coops, 4_000_000, 20_000)).collect();
    for number in 0..20 {
        let begun = Instant::now();
        assert_eq!(small_batch(&coop), 202, "of the same token too");
        assert!(begun.elapsed() < SOON, "it took {:?}", begun.elapsed());
        goes_on(&customer, &receiver, &format!("beside-{number}"));
    }
    peak_is_low(&server, "64 batches that trickle in");
    drop(slow);
}

#[test]
fn batches_of_which_little_is_missing_keep_no_other_token_waiting() {
    let site = site(262_144);
    let server = site.start();
    let (customer, coops) = (server.customer(), (address(&server), token(&server)));
    let receiver = healthy(&customer);
    let slow: Vec<TcpStream> = thread::scope(|scope| {
        let begin = |_| scope.spawn(|| begun_batch(&coops, 4_000_000, 3_999_000));
        let begun: Vec<_> = (0..64).map(begin).collect();
        goes_on(&customer, &receiver, "at-first");
        begun.into_iter().map(|begun| begun.join().expect("no panic")).collect()
    });
    for number in 0..10 {
        goes_on(&customer, &receiver, &format!("beside-{number}"));
    }
    peak_is_low(&server, "64 batches of 4 MB of which the last kilobyte is missing");
    drop(slow);
}
