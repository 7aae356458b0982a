//! Receivers that misbehave: each attempt ends in time, is recorded with its class, and harms no other webhook.

use std::time::Duration;

use Expected::{Delivered, Failed, Status};
use serde_json::{Value, json};

use crate::support::{
    isolation::Isolation,
    raw_receiver::{Behaviour, FullBacklog, Peer, RawReceiver},
    receiver::Receiver,
};

/// How an attempt must end.
enum Expected {
    Failed(&'static str),
    Status(u16),
    Delivered(u16),
}

impl Isolation {
    /// Every one of these ends with its class, or with its status.
    fn tour(&self, cases: &[(&str, Behaviour, Expected)]) {
        for (name, behaviour, expected) in cases {
            let raw = RawReceiver::new(*behaviour);
            let record = self.attempt(name, &raw.url(), json!({}));
            let (error, status) = match *expected {
                Failed(class) => (json!(class), Value::Null),
                Status(status) => (json!("status"), json!(status)),
                Delivered(status) => (Value::Null, json!(status)),
            };
            assert_eq!((&record.error, &record.status), (&error, &status), "{name}: {record:?}");
        }
    }
}

/// Hears the request, then says this and closes.
macro_rules! says {
    ($($text:expr),*) => { |peer: &mut Peer| { peer.read_request(); $(peer.send($text);)* } };
}

/// Hears the request, then says this and keeps the connection open.
macro_rules! says_and_holds {
    ($($text:expr),*) => { |peer: &mut Peer| { peer.read_request(); $(peer.send($text);)* peer.hold_open(); } };
}

fn thousand_headers() -> String {
    (0..1000).map(|number| format!("x-header-{number}: {number}\r\n")).collect()
}

#[test]
fn slow_and_silent_receivers_run_into_the_time_out() {
    let isolation = Isolation::new();
    isolation.tour(&[
        ("accepts and hangs", |peer| peer.hold_open(), Failed("timeout")),
        ("reads and hangs", says_and_holds!(), Failed("timeout")),
        ("hangs within the status line", says_and_holds!("HTTP/1.1 20"), Failed("timeout")),
        ("hangs within the headers", says_and_holds!("HTTP/1.1 200 OK\r\nx-a: "), Delivered(200)),
        (
            "drips its headers",
            |peer| {
                peer.read_request();
                peer.drip(format!("HTTP/1.1 200 OK\r\n{}\r\n", thousand_headers()));
            },
            Delivered(200),
        ),
        (
            "drips its body",
            |peer| {
                peer.read_request();
                peer.send("HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n");
                peer.drip([b'x'; 5000]);
            },
            Delivered(200),
        ),
        (
            "drips the body of a failure",
            |peer| {
                peer.read_request();
                peer.send("HTTP/1.1 500 No\r\n\r\n");
                peer.drip([b'x'; 5000]);
            },
            Status(500),
        ),
        (
            "drips chunks",
            |peer| {
                peer.read_request();
                peer.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
                peer.drip("1\r\nx\r\n".repeat(1000));
            },
            Delivered(200),
        ),
    ]);
    let full = FullBacklog::new();
    let record = isolation.attempt("never accepts", &full.url(), json!({}));
    assert_eq!((record.error, record.status), (json!("timeout"), Value::Null));
}

#[test]
fn receivers_that_never_read_a_big_body_run_into_the_time_out() {
    let isolation = Isolation::with(|wish| {
        wish.config.server.max_body_bytes = 32 << 20;
        wish.config.limits.string_bytes = 32 << 20;
    });
    let raw = RawReceiver::new(|peer| peer.hold_open());
    let record = isolation.attempt("never reads", &raw.url(), json!({ "long": "x".repeat(8 << 20) }));
    assert_eq!((record.error, record.status), (json!("timeout"), Value::Null));
    let raw = RawReceiver::new(|peer| {
        peer.send("HTTP/1.1 100 Continue\r\n\r\n");
        peer.hold_open();
    });
    let record = isolation.attempt("says nothing of use", &raw.url(), json!({ "long": "x".repeat(4 << 20) }));
    assert_eq!((record.error, record.status), (json!("timeout"), Value::Null));
}

#[test]
fn a_receiver_that_hangs_up_is_recorded_as_a_reset_unless_the_status_was_there() {
    let reset_within_the_request: Behaviour = |peer| {
        peer.reset_on_close();
        let _ = std::io::Read::read(&mut peer.stream, &mut [0]);
    };
    Isolation::new().tour(&[
        ("resets within the request", reset_within_the_request, Failed("reset")),
        (
            "resets before the headers",
            |peer| {
                peer.read_request();
                peer.reset_on_close();
            },
            Failed("reset"),
        ),
        (
            "resets within the status line",
            |peer| {
                peer.read_request();
                peer.send("HTTP/1.1 20");
                peer.reset_on_close();
            },
            Failed("reset"),
        ),
        (
            "resets within the headers",
            |peer| {
                peer.read_request();
                peer.send("HTTP/1.1 200 OK\r\ncontent-len");
                peer.reset_on_close();
            },
            Delivered(200),
        ),
        (
            "resets after the headers",
            |peer| {
                peer.read_request();
                peer.send("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\npart");
                // Time for the headers to be read: a reset discards unread bytes.
                peer.wait(Duration::from_millis(200));
                peer.reset_on_close();
            },
            Delivered(200),
        ),
        ("closes without an answer", says!(), Failed("reset")),
        ("closes within the status line", says!("HTTP/1.1 20"), Failed("reset")),
        ("closes within the headers", says!("HTTP/1.1 200 OK\r\ncontent-len"), Delivered(200)),
        ("closes after the headers", says!("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"), Delivered(200)),
        ("closes after a 1xx", says!("HTTP/1.1 100 Continue\r\n\r\n"), Failed("reset")),
    ]);
}

#[test]
fn receivers_that_speak_another_protocol_are_recorded_as_a_protocol_error() {
    Isolation::new().tour(&[
        ("HTTP/0.9", says!("<html>received</html>\r\n"), Failed("protocol")),
        ("HTTP/2", says!(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x80\x00\x04"), Failed("protocol")),
        ("another protocol", says!("RTSP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n"), Failed("protocol")),
        ("no number", says!("HTTP/1.1 OK\r\n\r\n"), Failed("protocol")),
        ("a status of four digits", says!("HTTP/1.1 2000 OK\r\n\r\n"), Failed("protocol")),
        ("status 000", says!("HTTP/1.1 000 Nothing\r\n\r\n"), Failed("protocol")),
        ("zeros", says!([0; 4096]), Failed("protocol")),
    ]);
}

#[test]
fn a_status_counts_with_any_head() {
    Isolation::new().tour(&[
        (
            "1,000 headers",
            says!("HTTP/1.1 200 OK\r\n", thousand_headers(), "content-length: 2\r\n\r\nok"),
            Delivered(200),
        ),
        (
            "a header without an end",
            |peer| {
                peer.read_request();
                peer.send("HTTP/1.1 200 OK\r\nx-long: ");
                peer.flood([b'x'; 4096]);
            },
            Delivered(200),
        ),
        (
            "a status line without an end",
            |peer| {
                peer.read_request();
                peer.send("HTTP/1.1 200 ");
                peer.flood([b'x'; 4096]);
            },
            Delivered(200),
        ),
        ("a length that is no number", says!("HTTP/1.1 200 OK\r\ncontent-length: ten\r\n\r\nok"), Delivered(200)),
        ("a negative length", says!("HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nok"), Delivered(200)),
        ("two lengths", says!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok!"), Delivered(200)),
    ]);
}

#[test]
fn endless_interim_answers_come_to_an_end() {
    Isolation::new().tour(&[
        (
            "endless 100",
            |peer| {
                peer.read_request();
                peer.flood("HTTP/1.1 100 Continue\r\n\r\n");
            },
            Failed("timeout"),
        ),
        (
            "endless 103",
            |peer| {
                peer.read_request();
                peer.flood("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n");
            },
            Failed("timeout"),
        ),
        (
            "103, then more than the buffer holds",
            |peer| {
                peer.read_request();
                let answer = "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 90000\r\n\r\n";
                peer.send([answer.as_bytes(), &[b'x'; 90_000]].concat());
            },
            Delivered(200),
        ),
        ("one 100", says!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"), Delivered(200)),
    ]);
}

#[test]
fn a_status_counts_with_any_body() {
    let utf_16: Behaviour = says!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-16\r\ncontent-length: 6\r\n\r\n",
        b"\xff\xfeo\x00k\x00"
    );
    Isolation::new().tour(&[
        (
            "a chunk size that is no number",
            says!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nok\r\n0\r\n\r\n"),
            Delivered(200),
        ),
        (
            "a chunk size beyond all bounds",
            says!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffffff\r\nok"),
            Delivered(200),
        ),
        (
            "a negative chunk size",
            says!("HTTP/1.1 503 No\r\ntransfer-encoding: chunked\r\n\r\n-5\r\nok\r\n0\r\n\r\n"),
            Status(503),
        ),
        (
            "a chunk size without an end",
            |peer| {
                peer.read_request();
                peer.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;");
                peer.flood([b'x'; 4096]);
            },
            Delivered(200),
        ),
        ("a length too long", says!("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nshort"), Delivered(200)),
        (
            "a length beyond all bounds",
            says!("HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551615\r\n\r\nok"),
            Delivered(200),
        ),
        ("204 with a body", says!("HTTP/1.1 204 No Content\r\ncontent-length: 4\r\n\r\nbody"), Delivered(204)),
        ("101", says!("HTTP/1.1 101 Switching\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"), Status(101)),
        ("999", says!("HTTP/1.1 999 Denied\r\ncontent-length: 0\r\n\r\n"), Status(999)),
        ("UTF-16", utf_16, Delivered(200)),
    ]);
}

#[test]
fn redirects_are_failures_and_nobody_follows_them() {
    let isolation = Isolation::new();
    let elsewhere = Receiver::new();
    for status in 300..=308 {
        let answer = format!("HTTP/1.1 {status} There\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", elsewhere.url());
        let raw = RawReceiver::new(move |peer| {
            peer.read_request();
            peer.send(&answer);
        });
        let record = isolation.attempt("redirects", &raw.url(), json!({}));
        assert_eq!((record.error, record.status), (json!("status"), json!(status)));
        assert_eq!(raw.connections(), 1);
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[test]
fn the_rest_of_one_answer_is_never_read_as_the_next() {
    let isolation = Isolation::new();
    let after = "HTTP/1.1 500 Smuggled\r\ncontent-length: 0\r\n\r\n";
    let answers = [
        format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok{after}"),
        format!("HTTP/1.1 204 No Content\r\n\r\n{after}"),
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n{after}"),
    ];
    for answer in answers {
        let said = answer.clone();
        let raw = RawReceiver::new(move |peer| while peer.read_request().ends_with('}') && peer.send(&said) {});
        let webhook = isolation.coop.webhook(&raw.url(), &["dds.filed"], "s");
        for _ in 0..3 {
            let record = isolation.another(&answer, &webhook, json!({}));
            assert_eq!(record.error, Value::Null, "{answer}: {record:?}");
        }
        isolation.coop.delete(&format!("/webhooks/{webhook}")).expect(204);
    }
}

#[test]
fn an_answer_is_kept_as_it_was_sent() {
    let isolation = Isolation::new();
    // It says gzip and is none: the body is not unpacked.
    let raw = RawReceiver::new(|peer| {
        let request = peer.read_request();
        assert!(!request.contains("accept-encoding"), "{request}");
        peer.send("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 5\r\n\r\nplain");
    });
    let record = isolation.attempt("gzip that is none", &raw.url(), json!({}));
    assert_eq!((record.error, record.body, record.truncated), (Value::Null, json!("plain"), json!(false)));
    let raw = RawReceiver::new(|peer| {
        peer.read_request();
        peer.send("HTTP/1.1 200 OK\r\n\r\n");
        peer.flood([b'x'; 4096]);
    });
    let record = isolation.attempt("huge body", &raw.url(), json!({}));
    assert_eq!((record.error, record.truncated), (Value::Null, json!(true)));
    assert_eq!(record.body.as_str().map(str::len), Some(4096));
}
