//! A refusal reaches a client that is still sending: it reads why, instead of a broken pipe.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    process::Command,
    sync::mpsc,
    time::{Duration, Instant},
};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::{
    other_programs::{ask, node, plain_python},
    receiver::PATIENCE,
    world::{COOP, Holder, World},
};

/// Far above what the buffers of two sockets hold.
const LARGE: usize = 6_000_000;
/// More than is thrown away after an answer.
const THROWN_AWAY: usize = 16 << 20;

/// The end of a request, as a client in another language saw it.
#[derive(Debug, Deserialize)]
struct Seen {
    status: Option<u16>,
    bytes: Option<usize>,
    error: Option<String>,
}

fn clients() -> [(&'static str, Command); 2] {
    [("urllib", plain_python("urllib_client.py")), ("fetch", node("fetch_client.mjs"))]
}

/// Requests with a large body, and the status that each is refused with.
fn refused(world: &World) -> Vec<(u16, Value)> {
    let token = |scopes| format!("Bearer {}", world.token_for(Holder::Account(COOP.to_owned()), scopes));
    let (all, looks) = (token("webhooks,events"), token("webhooks"));
    let base = format!("http://{}", world.address());
    let request = |status: u16, method: &str, path: &str, token: &str, kind: &str, bytes: usize| {
        let headers = json!({ "Authorization": token, "Content-Type": kind });
        (status, json!({ "method": method, "url": format!("{base}{path}"), "headers": headers, "bytes": bytes }))
    };
    let json = "application/json";
    vec![
        request(400, "POST", "/events/batch", &all, json, 4_000_000),
        request(401, "POST", "/events", "Bearer ngm_wrong", json, LARGE),
        request(401, "POST", "/v1/events", "Bearer ngm_wrong", json, LARGE),
        request(403, "POST", "/events", &looks, json, LARGE),
        request(404, "POST", "/nowhere", &all, json, LARGE),
        request(405, "PUT", "/events", &all, json, LARGE),
        request(413, "POST", "/events", &all, json, LARGE),
        request(414, "POST", &format!("/events?{}", "x".repeat(9000)), &all, json, LARGE),
        request(415, "POST", "/events", &all, "text/plain", 2_000_000),
        request(429, "PATCH", "/webhooks/x", &looks, json, LARGE),
    ]
}

#[test]
fn a_refusal_of_a_large_body_reaches_ordinary_clients() {
    let world = World::with(|wish| {
        wish.config.limits.requests_per_minute = 1;
        wish.config.server.max_body_bytes = 4_000_000;
    });
    let refused = refused(&world);
    for (name, command) in clients() {
        // Five of each: a reset overtakes an answer only now and then.
        let wanted: Vec<&(u16, Value)> = (0..5).flat_map(|_| &refused).collect();
        let requests: Vec<&Value> = wanted.iter().map(|(_, request)| request).collect();
        let seen = ask(command, serde_json::to_vec(&requests).expect("JSON"));
        let seen: Vec<Seen> = serde_json::from_slice(&seen).expect("a list");
        assert_eq!(seen.len(), wanted.len());
        for ((status, request), seen) in wanted.into_iter().zip(seen) {
            let what = format!("{name}, {} {}: {seen:?}", request["method"], request["url"]);
            assert!(seen.error.is_none(), "{what}");
            // The first one within the limit is let through to its body.
            assert!(seen.status == Some(*status) || *status == 429 && seen.status == Some(413), "{status}: {what}");
            assert!(seen.bytes > Some(20), "a sentence too: {what}");
        }
    }
}

/// The head of a request whose token is unknown.
fn head(world: &World, more: &str) -> String {
    let address = world.address();
    format!("POST /events HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer ngm_wrong\r\n{more}\r\n")
}

fn connect(world: &World) -> TcpStream {
    let stream = TcpStream::connect(world.address()).expect("the kernel takes it");
    stream.set_read_timeout(Some(PATIENCE)).expect("a bound");
    stream.set_write_timeout(Some(PATIENCE)).expect("a bound");
    stream
}

/// Sends a head and reads the answer to its end.
fn refused_by(world: &World, more: &str) -> (TcpStream, String) {
    let mut stream = connect(world);
    stream.write_all(head(world, more).as_bytes()).expect("it is open");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the answer, and then the end of the sending side");
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    (stream, answer)
}

#[test]
fn a_client_that_waits_for_a_go_ahead_is_refused_without_sending() {
    let world = World::new();
    let (mut stream, answer) = refused_by(&world, "content-length: 1000000\r\nexpect: 100-continue\r\n");
    assert!(!answer.contains("100 Continue") && answer.contains("connection: close"), "{answer}");
    // It may still send, as it may not have seen the answer in time.
    stream.write_all(&vec![b'x'; 1_000_000]).expect("it is read");
}

/// Writes until the server has reset the connection, with a pause after each write; gives the number of bytes written.
fn until_reset(mut stream: TcpStream, bytes: &[u8], pause: Duration) -> usize {
    let (begun, mut sent) = (Instant::now(), 0);
    let (_nobody, silence) = mpsc::channel::<()>();
    loop {
        assert!(begun.elapsed() < PATIENCE, "it is read for ever");
        match stream.write(bytes) {
            Ok(count) => sent += count,
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}");
                return sent;
            }
        }
        let _ = silence.recv_timeout(pause);
    }
}

#[test]
fn what_a_refused_client_sends_is_thrown_away_within_bounds() {
    let world = World::new();
    let (stream, _) = refused_by(&world, "content-length: 100000000\r\n");
    let sent = until_reset(stream, &vec![b'x'; 65_536], Duration::ZERO);
    assert!((THROWN_AWAY..2 * THROWN_AWAY).contains(&sent), "{sent}");
    // One that drips ends as soon.
    let begun = Instant::now();
    let (stream, _) = refused_by(&world, "transfer-encoding: chunked\r\n");
    until_reset(stream, b"1\r\nx\r\n", Duration::from_millis(20));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn a_refused_client_that_still_sends_makes_way_for_others_and_holds_its_slot() {
    let world = World::with(|wish| wish.config.limits.connections = 1);
    let (stream, _) = refused_by(&world, "content-length: 100000000\r\n");
    assert_eq!(world.stranger().get("/health/live").status, 200, "its place is free when somebody needs it");
    until_reset(stream, b"x", Duration::from_millis(5));
    let world = World::with(|wish| wish.config.limits.connections_per_client = 1);
    let (stream, _) = refused_by(&world, "content-length: 100000000\r\n");
    let mut second = connect(&world);
    let _ = second.write_all(b"GET /health/live HTTP/1.1\r\nhost: n\r\n\r\n");
    let answered = second.read(&mut [0; 12]).is_ok_and(|count| count > 0);
    assert!(!answered, "the client has as many connections as it may have");
    drop(stream);
}
