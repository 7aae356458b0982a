//! Shapes of answers: a status that came counts, whatever is wrong around it; and no connection is used again after
//! anything odd.

use std::{io::Read, sync::mpsc, time::Duration};

use End::{Closes, Holds, Resets, Unread};
use Expected::{Delivered, Failed, Status};
use serde_json::{Value, json};

use crate::support::{
    isolation::{Isolation, last_attempt},
    raw_receiver::{Peer, RawReceiver},
    receiver::PATIENCE,
    world::World,
};

/// The behaviour of a receiver around its answer.
#[derive(Clone, Copy)]
enum End {
    /// Reads the request, answers, closes.
    Closes,
    /// Reads the request, answers, and keeps the connection open.
    Holds,
    /// Reads the request, answers, and resets the connection.
    Resets,
    /// Answers before it reads anything, and closes: the system then resets the connection.
    Unread,
}

/// How the attempt ends.
#[derive(Clone, Copy)]
enum Expected {
    Failed(&'static str),
    Status(u16),
    Delivered(u16),
}

fn says(bytes: Vec<u8>, end: End) -> RawReceiver {
    RawReceiver::new(move |peer: &mut Peer| {
        if !matches!(end, Unread) {
            peer.read_request();
        }
        peer.send(&bytes);
        match end {
            Holds => peer.hold_open(),
            Resets => peer.reset_on_close(),
            Closes | Unread => {}
        }
    })
}

/// The name of a shape, its bytes, how the connection ends, and how the attempt ends.
type Shape = (&'static str, &'static [u8], End, Expected);

/// Each attempt ends as its shape says.
fn tour(shapes: &[Shape]) {
    let isolation = Isolation::new();
    for (name, bytes, end, expected) in shapes {
        let raw = says(bytes.to_vec(), *end);
        check(&isolation, name, &raw, json!({}), *expected);
    }
}

#[track_caller]
fn check(isolation: &Isolation, name: &str, raw: &RawReceiver, data: Value, expected: Expected) {
    let record = isolation.attempt(name, &raw.url(), data);
    let (error, status) = match expected {
        Failed(class) => (json!(class), Value::Null),
        Status(status) => (json!("status"), json!(status)),
        Delivered(status) => (Value::Null, json!(status)),
    };
    assert_eq!((&record.error, &record.status), (&error, &status), "{name}: {record:?}");
}

#[test]
fn a_status_counts_with_any_status_line() {
    tour(&[
        ("plain", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", Holds, Delivered(200)),
        ("no reason", b"HTTP/1.1 200 \r\ncontent-length: 0\r\n\r\n", Holds, Delivered(200)),
        ("no reason, no space", b"HTTP/1.1 204\r\n\r\n", Holds, Delivered(204)),
        ("a reason in Latin-1", b"HTTP/1.1 200 D\xe9j\xe0\r\ncontent-length: 0\r\n\r\n", Holds, Delivered(200)),
        ("control bytes as a reason", b"HTTP/1.1 200 \x00\x01\x7f\r\ncontent-length: 0\r\n\r\n", Holds, Delivered(200)),
        ("HTTP/1.0", b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", Closes, Delivered(200)),
        ("HTTP/1.0 without headers", b"HTTP/1.0 202 Accepted\r\n\r\n", Closes, Delivered(202)),
        (
            "HTTP/1.0 and chunks",
            b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            Closes,
            Delivered(200),
        ),
        ("HTTP/1.2", b"HTTP/1.2 200 OK\r\ncontent-length: 0\r\n\r\n", Holds, Delivered(200)),
        ("HTTP/2 in words", b"HTTP/2 200\r\ncontent-length: 0\r\n\r\n", Closes, Delivered(200)),
        ("HTTP/2.0 in words", b"HTTP/2.0 503 Busy\r\ncontent-length: 0\r\n\r\n", Closes, Status(503)),
        ("HTTP/1", b"HTTP/1 200 OK\r\ncontent-length: 0\r\n\r\n", Closes, Delivered(200)),
        ("small letters", b"http/1.1 200 ok\r\ncontent-length: 0\r\n\r\n", Closes, Delivered(200)),
        ("two spaces", b"HTTP/1.1  200  OK\r\ncontent-length: 0\r\n\r\n", Closes, Delivered(200)),
        ("a tab", b"HTTP/1.1\t200\tOK\r\ncontent-length: 0\r\n\r\n", Closes, Delivered(200)),
        ("empty lines before it", b"\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", Closes, Delivered(200)),
        ("line feeds only", b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok", Holds, Delivered(200)),
        ("line feeds only, 410", b"HTTP/1.1 410 Gone\n\n", Closes, Status(410)),
        ("mixed ends of lines", b"HTTP/1.1 200 OK\ncontent-length: 2\r\n\nok", Holds, Delivered(200)),
        ("a status line alone", b"HTTP/1.1 200 OK\r\n", Closes, Delivered(200)),
        ("a status line alone, held", b"HTTP/1.1 200 OK\r\n", Holds, Delivered(200)),
        ("a status line without its end", b"HTTP/1.1 200 O", Closes, Delivered(200)),
        ("a status line without its end, held", b"HTTP/1.1 500 ", Holds, Status(500)),
        ("a status that may go on", b"HTTP/1.1 200", Closes, Failed("reset")),
        ("a status of four digits", b"HTTP/1.1 2000 OK\r\n\r\n", Closes, Failed("protocol")),
        ("a status of two digits", b"HTTP/1.1 20 OK\r\n\r\n", Closes, Failed("protocol")),
        ("a signed status", b"HTTP/1.1 +20 OK\r\n\r\n", Closes, Failed("protocol")),
        ("status 099", b"HTTP/1.1 099 Low\r\n\r\n", Closes, Failed("protocol")),
        ("no version", b"HTTP 200 OK\r\n\r\n", Closes, Failed("protocol")),
        ("a page", b"<!doctype html><title>HTTP/1.1 200 OK</title>\r\n\r\n", Closes, Failed("protocol")),
        ("nothing", b"", Closes, Failed("reset")),
        ("empty lines", b"\r\n\r\n", Closes, Failed("reset")),
    ]);
}

#[test]
fn a_status_counts_with_any_headers() {
    tour(&[
        (
            "a folded header",
            b"HTTP/1.1 200 OK\r\nx-a: 1\r\n 2\r\n\t3\r\ncontent-length: 2\r\n\r\nok",
            Holds,
            Delivered(200),
        ),
        ("a fold first", b"HTTP/1.1 200 OK\r\n folded\r\ncontent-length: 2\r\n\r\nok", Holds, Delivered(200)),
        ("a folded length", b"HTTP/1.1 200 OK\r\ncontent-length:\r\n 2\r\n\r\nok", Holds, Delivered(200)),
        ("no colon", b"HTTP/1.1 200 OK\r\nnonsense\r\ncontent-length: 2\r\n\r\nok", Holds, Delivered(200)),
        ("no name", b"HTTP/1.1 200 OK\r\n: value\r\ncontent-length: 2\r\n\r\nok", Holds, Delivered(200)),
        ("a space in a name", b"HTTP/1.1 200 OK\r\nx a: 1\r\ncontent-length: 2\r\n\r\nok", Holds, Delivered(200)),
        ("a space after a name", b"HTTP/1.1 200 OK\r\ncontent-length : 2\r\n\r\nok", Holds, Delivered(200)),
        ("a name in Latin-1", b"HTTP/1.1 200 OK\r\nx-\xe9: 1\r\ncontent-length: 2\r\n\r\nok", Holds, Delivered(200)),
        (
            "a value in UTF-8",
            b"HTTP/1.1 200 OK\r\nx: \xe2\x82\xac\r\ncontent-length: 2\r\n\r\nok",
            Holds,
            Delivered(200),
        ),
        ("a zero in a value", b"HTTP/1.1 200 OK\r\nx: a\x00b\r\ncontent-length: 2\r\n\r\nok", Holds, Delivered(200)),
        (
            "a bare return in a value",
            b"HTTP/1.1 200 OK\r\nx: a\rb\r\ncontent-length: 2\r\n\r\nok",
            Holds,
            Delivered(200),
        ),
        ("an empty value", b"HTTP/1.1 200 OK\r\nx:\r\ncontent-length: 2\r\n\r\nok", Holds, Delivered(200)),
        ("a broken head", b"HTTP/1.1 201 Created\r\nlocation: /a\r\nx-b", Closes, Delivered(201)),
        ("a broken head, reset", b"HTTP/1.1 429 Slow\r\nretry-after: 60\r\nx-b", Resets, Status(429)),
        ("no end of the head", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n", Holds, Delivered(200)),
    ]);
}

#[test]
fn a_status_counts_with_any_length_of_its_body() {
    tour(&[
        ("no number as a length", b"HTTP/1.1 200 OK\r\ncontent-length: ten\r\n\r\nok", Holds, Delivered(200)),
        ("a negative length", b"HTTP/1.1 503 Busy\r\ncontent-length: -2\r\n\r\nok", Closes, Status(503)),
        ("an empty length", b"HTTP/1.1 200 OK\r\ncontent-length: \r\n\r\nok", Closes, Delivered(200)),
        ("a signed length", b"HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nok", Closes, Delivered(200)),
        ("a length of hex digits", b"HTTP/1.1 200 OK\r\ncontent-length: 0x2\r\n\r\nok", Closes, Delivered(200)),
        (
            "a length of 30 digits",
            b"HTTP/1.1 200 OK\r\ncontent-length: 999999999999999999999999999999\r\n\r\nok",
            Closes,
            Delivered(200),
        ),
        ("two lengths", b"HTTP/1.1 410 Gone\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok!", Closes, Status(410)),
        (
            "the same length twice",
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok",
            Holds,
            Delivered(200),
        ),
        ("a list of lengths", b"HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\n\r\nok", Holds, Delivered(200)),
        (
            "a length and chunks",
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            Holds,
            Delivered(200),
        ),
        (
            "chunks twice",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            Holds,
            Delivered(200),
        ),
        ("another coding", b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nok", Closes, Delivered(200)),
        (
            "a coding within chunks",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            Holds,
            Delivered(200),
        ),
        ("a coding of nonsense", b"HTTP/1.1 500 No\r\ntransfer-encoding: \x0bchunked\r\n\r\nok", Closes, Status(500)),
    ]);
}

#[test]
fn a_status_counts_behind_interim_answers() {
    tour(&[
        ("100", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", Holds, Delivered(200)),
        (
            "100 with headers",
            b"HTTP/1.1 100 Continue\r\nx-a: 1\r\ndate: now\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            Holds,
            Delivered(200),
        ),
        (
            "102 and 103",
            b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 204 No\r\n\r\n",
            Holds,
            Delivered(204),
        ),
        (
            "100 twice",
            b"HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 100 Go\r\n\r\nHTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n",
            Holds,
            Status(410),
        ),
        ("199", b"HTTP/1.1 199 Odd\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", Holds, Delivered(200)),
        ("100 of HTTP/1.0", b"HTTP/1.0 100 Go\n\nHTTP/1.0 200 OK\n\nok", Closes, Delivered(200)),
        ("101", b"HTTP/1.1 101 Switch\r\nupgrade: h2c\r\n\r\n", Holds, Status(101)),
        ("100 alone", b"HTTP/1.1 100 Continue\r\n\r\n", Closes, Failed("reset")),
        ("100 alone, held", b"HTTP/1.1 100 Continue\r\n\r\n", Holds, Failed("timeout")),
        ("a broken 100", b"HTTP/1.1 100 Continue\r\nx-a", Closes, Failed("reset")),
        ("100, then nonsense", b"HTTP/1.1 100 Continue\r\n\r\nnonsense", Closes, Failed("protocol")),
    ]);
}

#[test]
fn a_status_counts_with_any_body() {
    tour(&[
        ("a bad chunk", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nok", Holds, Delivered(200)),
        ("a chunk too short", b"HTTP/1.1 410 Gone\r\ntransfer-encoding: chunked\r\n\r\n9\r\nok", Closes, Status(410)),
        (
            "chunks without an end",
            b"HTTP/1.1 503 Busy\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n",
            Resets,
            Status(503),
        ),
        (
            "bad trailers",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nno trailer\r\n\r\n",
            Holds,
            Delivered(200),
        ),
        ("no length", b"HTTP/1.1 200 OK\r\n\r\nok", Closes, Delivered(200)),
        ("no length, held", b"HTTP/1.1 200 OK\r\n\r\nok", Holds, Delivered(200)),
        ("a body too short", b"HTTP/1.1 429 Slow\r\ncontent-length: 9\r\n\r\nok", Closes, Status(429)),
        ("a body too long", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok and more", Holds, Delivered(200)),
        (
            "204 with a body",
            b"HTTP/1.1 204 No\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            Holds,
            Delivered(204),
        ),
        ("304", b"HTTP/1.1 304 Same\r\ncontent-length: 99\r\n\r\n", Holds, Status(304)),
    ]);
}

#[test]
fn an_answer_that_came_before_the_body_was_read_counts() {
    let isolation = Isolation::with(|wish| {
        wish.config.server.max_body_bytes = 32 << 20;
        wish.config.limits.string_bytes = 32 << 20;
        wish.config.delivery.timeout = Duration::from_secs(3);
    });
    let answers: [(&[u8], Expected); 5] = [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", Delivered(200)),
        (b"HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 3\r\n\r\nbig", Status(413)),
        (b"HTTP/1.1 410 Gone\r\n\r\n", Status(410)),
        (b"HTTP/1.1 100 Go\r\nx: 1\r\n\r\nHTTP/1.1 202 OK\r\ncontent-length: 0\r\n\r\n", Delivered(202)),
        (b"HTTP/1.0 503 Busy\n\n", Status(503)),
    ];
    for (bytes, expected) in answers {
        let name = String::from_utf8_lossy(bytes).into_owned();
        check(&isolation, &name, &says(bytes.to_vec(), Unread), json!({}), expected);
        check(&isolation, &name, &says(bytes.to_vec(), Unread), json!({ "long": "x".repeat(1 << 20) }), expected);
    }
    for (bytes, expected) in answers.into_iter().take(2) {
        let name = String::from_utf8_lossy(bytes).into_owned();
        check(&isolation, &name, &says(bytes.to_vec(), Unread), json!({ "long": "x".repeat(8 << 20) }), expected);
        // It keeps the connection and never reads.
        let holds = RawReceiver::new(move |peer: &mut Peer| {
            peer.send(bytes);
            peer.hold_open();
        });
        check(&isolation, &name, &holds, json!({ "long": "x".repeat(8 << 20) }), expected);
    }
    // It answers early, and reads the whole body nevertheless.
    let (whole, read) = mpsc::channel();
    let raw = RawReceiver::new(move |peer: &mut Peer| {
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        let mut chunk = vec![0; 64 << 10];
        while let Ok(read) = peer.stream.read(&mut chunk)
            && read > 0
        {
            if chunk[..read].ends_with(b"}") {
                let _ = whole.send(());
            }
        }
    });
    let record = isolation.attempt("reads late", &raw.url(), json!({ "long": "x".repeat(2 << 20) }));
    assert_eq!((record.error, record.status, record.body), (Value::Null, json!(200), json!("ok")));
    read.recv_timeout(PATIENCE).expect("it has read the whole body");
}

#[test]
fn large_heads_of_answers_are_read_in_small_memory() {
    let isolation = Isolation::new();
    let head = |header: String| format!("HTTP/1.1 200 OK\r\n{header}content-length: 2\r\n\r\nok");
    let many: String = (0..5000).map(|number| format!("x-header-{number}: {number}\r\n")).collect();
    for (name, header) in [
        ("a header of 64 KiB", format!("x-long: {}\r\n", "x".repeat(64 << 10))),
        ("a name of 64 KiB", format!("{}: 1\r\n", "x".repeat(64 << 10))),
        ("a header of 200 KiB", format!("x-long: {}\r\n", "x".repeat(200 << 10))),
        ("5,000 headers", many),
        ("1,000 folds", format!("x-a: 1\r\n{}", " more\r\n".repeat(1000))),
    ] {
        let raw = says(head(header).into_bytes(), Holds);
        let record = isolation.attempt(name, &raw.url(), json!({}));
        assert_eq!((record.error, record.status, record.body), (Value::Null, json!(200), json!("ok")), "{name}");
    }
    let raw = says(head(format!("x-long: {}\r\n", "x".repeat(400 << 10))).into_bytes(), Holds);
    check(&isolation, "a header of 400 KiB", &raw, json!({}), Delivered(200));
}

/// Publishes this often to a receiver that answers every POST so. Gives the number of its connections.
fn connections(isolation: &Isolation, name: &str, answer: &'static [u8], posts: usize) -> usize {
    let raw = RawReceiver::new(move |peer: &mut Peer| while peer.read_request().ends_with('}') && peer.send(answer) {});
    let webhook = isolation.coop.webhook(&raw.url(), &["dds.filed"], "s");
    for _ in 0..posts {
        let record = isolation.another(name, &webhook, json!({}));
        assert_eq!((record.error, record.status), (Value::Null, json!(200)), "{name}");
    }
    isolation.coop.delete(&format!("/webhooks/{webhook}")).expect(204);
    raw.connections()
}

#[test]
fn a_connection_is_used_again_after_a_clean_answer_and_never_after_an_odd_one() {
    let isolation = Isolation::new();
    let clean: [(&str, &[u8]); 5] = [
        ("a length", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"),
        ("chunks", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
        (
            "an interim answer",
            b"HTTP/1.1 103 Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        ),
        ("it says so", b"HTTP/1.1 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok"),
        ("no reason", b"HTTP/1.1 200 \r\ncontent-length: 0\r\n\r\n"),
    ];
    for (name, answer) in clean {
        assert_eq!(connections(&isolation, name, answer, 3), 1, "{name}");
    }
    let odd: [(&str, &[u8]); 14] = [
        ("it asks to close", b"HTTP/1.1 200 OK\r\nConnection: x, Close\r\ncontent-length: 2\r\n\r\nok"),
        ("bytes after the body", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok!"),
        ("an answer after the answer", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nHTTP/1.1 500 No\r\n\r\n"),
        ("bytes after the chunks", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n\r\n"),
        ("HTTP/1.0", b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok"),
        ("HTTP/1.2", b"HTTP/1.2 200 OK\r\ncontent-length: 2\r\n\r\nok"),
        ("line feeds only", b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok"),
        ("a fold", b"HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 2\r\n\r\nok"),
        ("no colon", b"HTTP/1.1 200 OK\r\nnonsense\r\ncontent-length: 2\r\n\r\nok"),
        ("a space after a name", b"HTTP/1.1 200 OK\r\ncontent-length : 2\r\n\r\nok"),
        ("a zero", b"HTTP/1.1 200 OK\r\nx: \x00\r\ncontent-length: 2\r\n\r\nok"),
        ("the same length twice", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok"),
        ("a length and chunks", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("a coding within chunks", b"HTTP/1.1 200 OK\r\ntransfer-encoding: x, chunked\r\n\r\n0\r\n\r\n"),
    ];
    for (name, answer) in odd {
        assert_eq!(connections(&isolation, name, answer, 3), 3, "{name}");
    }
}

#[test]
fn an_answer_that_nobody_asked_for_is_not_read_as_the_answer_to_the_next_post() {
    let isolation = Isolation::new();
    let (said, late) = mpsc::channel();
    let raw = RawReceiver::new(move |peer: &mut Peer| {
        while peer.read_request().ends_with('}') {
            peer.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            // The connection is put aside by then.
            peer.wait(Duration::from_millis(50));
            peer.send("HTTP/1.1 500 Smuggled\r\ncontent-length: 0\r\n\r\n");
            let _ = said.send(());
        }
    });
    let webhook = isolation.coop.webhook(&raw.url(), &["dds.filed"], "s");
    for round in 1..=3 {
        let record = isolation.another("smuggles", &webhook, json!({}));
        assert_eq!((record.error, record.status), (Value::Null, json!(200)));
        late.recv_timeout(PATIENCE).expect("it says more");
        assert_eq!(raw.connections(), round);
    }
}

#[test]
fn retry_after_is_read_in_odd_heads_too() {
    let world = World::new();
    let coop = world.coop();
    let heads: [&[u8]; 7] = [
        b"HTTP/1.1 503 Busy\r\nretry-after: 120\r\nnonsense\r\n\r\n",
        b"HTTP/1.0 429 Slow\nRETRY-AFTER:120\n\n",
        b"HTTP/1.1 429\r\nretry-after:\r\n 120\r\ncontent-length: x\r\n\r\n",
        b"HTTP/1.1 503 Busy\r\nretry-after : 120 \r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"HTTP/1.1 100 Go\r\nretry-after: 7\r\n\r\nHTTP/1.1 503 Busy\r\nretry-after: 120\r\n\r\n",
        b"HTTP/2 503\r\nretry-after: 119.5\r\nretry-after: 600\r\n\r\n",
        b"HTTP/1.1 503 Busy\r\nretry-after: 120\r\nx-b",
    ];
    for head in heads {
        let raw = says(head.to_vec(), Closes);
        let webhook = coop.webhook(&raw.url(), &["*"], "s");
        coop.publish("dds.filed", json!({}));
        world.settle();
        let delivery = coop.deliveries(&webhook)[0].clone();
        let head = String::from_utf8_lossy(head);
        assert_eq!(delivery["next_attempt_at"], "2026-04-20T11:57:00.000Z", "{head}: {delivery}");
        coop.delete(&format!("/webhooks/{webhook}")).expect(204);
    }
}

#[test]
fn a_410_ends_a_delivery_in_odd_heads_too() {
    let isolation = Isolation::new();
    for head in
        ["HTTP/1.0 410\n\n", "HTTP/1.1 410 Gone\r\nno colon\r\n", "HTTP/1.1 410 Gone\r\ncontent-length: -1\r\n\r\n"]
    {
        let raw = says(head.as_bytes().to_vec(), Closes);
        let webhook = isolation.coop.webhook(&raw.url(), &["dds.filed"], "s");
        isolation.coop.publish("dds.filed", json!({}));
        isolation.world.settle();
        let record = last_attempt(&isolation.coop, head, &webhook);
        assert_eq!((record.error, record.status), (json!("status"), json!(410)), "{head}");
        assert_eq!(isolation.coop.status(&webhook), "SUSPENDED", "{head}");
    }
}
