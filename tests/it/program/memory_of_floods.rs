//! Receivers that flood the built program: its memory stays flat and its threads few.

use std::io::{Read, Write};

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use crate::support::{
    measured_server::MeasuredServer,
    raw_client::connect_from,
    raw_receiver::{Peer, RawReceiver},
};

/// How much more memory than before a receiver may cost the program, in KiB.
const FLAT: u64 = 16 << 10;
const ROUNDS: usize = 4;

/// 256 MiB of zeros, packed.
fn bomb() -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![0; 1 << 20];
    (0..256).for_each(|_| packer.write_all(&zeros).expect("packed"));
    packer.finish().expect("packed")
}

#[test]
fn memory_stays_flat_and_threads_are_free_again() {
    let program = MeasuredServer::with(|_| {});
    let calm = RawReceiver::new(|peer| {
        peer.read_request();
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    });
    for _ in 0..ROUNDS {
        assert_eq!(program.attempt(&calm.url())["delivered"], true);
    }
    let before = program.peak();
    let bomb = bomb();
    let length = bomb.len();
    let explode = move |peer: &mut Peer| {
        peer.read_request();
        peer.send(format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {length}\r\n\r\n"));
        peer.send(&bomb);
    };
    let pour = |head: &'static str, rest: &'static str| {
        move |peer: &mut Peer| {
            peer.read_request();
            peer.send(head);
            peer.flood(rest.repeat(4096 / rest.len()));
        }
    };
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let cases = [
        ("gzip bomb", RawReceiver::new(explode), Value::Null),
        ("endless body", RawReceiver::new(pour("HTTP/1.1 200 OK\r\n\r\n", "x")), Value::Null),
        ("endless chunks", RawReceiver::new(pour(chunked, "1\r\nx\r\n")), Value::Null),
        ("endless chunk size", RawReceiver::new(pour(chunked, "0")), Value::Null),
        ("endless 1xx", RawReceiver::new(pour("", "HTTP/1.1 102 Processing\r\n\r\n")), json!("timeout")),
        ("endless header", RawReceiver::new(pour("HTTP/1.1 200 OK\r\nx: ", "x")), Value::Null),
        ("endless headers", RawReceiver::new(pour("HTTP/1.1 200 OK\r\n", "x: y\r\n")), Value::Null),
        ("endless 1xx header", RawReceiver::new(pour("HTTP/1.1 102 P\r\nx: ", "x")), json!("protocol")),
        ("endless start", RawReceiver::new(pour("HTTP/1.1 ", " ")), json!("protocol")),
    ];
    for (name, raw, error) in &cases {
        for _ in 0..ROUNDS {
            let seen = program.attempt(&raw.url());
            assert_eq!(&seen["error"], error, "{name}: {seen}");
            assert!(seen["duration_ms"].as_u64().is_some_and(|took| took < 3000), "{name}: {seen}");
            assert!(seen["response_body"].as_str().is_none_or(|body| body.chars().count() <= 4096), "{name}");
        }
        let grown = program.peak() - before;
        assert!(grown < FLAT, "{name}: {grown} KiB more than {before}");
    }
    let packed = program.attempt(&cases[0].1.url());
    assert!(packed["response_body"].as_str().is_some_and(|body| body.starts_with('\u{1f}')), "as it came: {packed}");
    assert_eq!(program.attempt(&calm.url())["delivered"], true);
    assert!(program.senders() <= 2, "{} threads send", program.senders());
}

#[test]
fn pages_that_are_read_slowly_cost_little_memory() {
    const READERS: usize = 200;
    let program = MeasuredServer::with(|_| {});
    let ask = || {
        let mut stream = connect_from([127, 0, 0, 1], program.address, Some(4096));
        stream.write_all(b"GET /docs HTTP/1.1\r\nhost: n\r\n\r\n").expect("it is open");
        let mut status = [0; 12];
        stream.read_exact(&mut status).expect("it begins");
        assert_eq!(&status, b"HTTP/1.1 200");
        stream
    };
    let first = ask();
    let before = program.peak();
    let slow: Vec<_> = (0..READERS).map(|_| ask()).collect();
    let grown = program.peak() - before;
    assert!(grown < FLAT, "{grown} KiB more than {before} for {READERS} readers");
    drop((first, slow));
}
