//! The receivers' zoo: whatever a receiver does, its attempt ends by itself, is recorded with its class, and harms nobody.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    raw_receiver::{Beast, Crowded, Guest, Manners},
    receiver::Receiver,
    world::{Client, Wish, World},
};

/// The time-out of an attempt here.
pub const TIMEOUT: Duration = Duration::from_secs(1);
/// How soon after it an attempt has ended.
const GRACE: Duration = Duration::from_secs(2);

/// A server with few places, a healthy receiver, and whoever misbehaves beside it.
pub struct Zoo {
    pub world: World,
    pub coop: Client,
    healthy: Receiver,
}

/// What became of one attempt: its class (none if it was delivered), the status, and what was kept of the body.
#[derive(Debug)]
pub struct Record {
    pub error: Value,
    pub status: Value,
    pub body: Value,
    pub truncated: Value,
}

impl Zoo {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut Wish)) -> Self {
        let world = World::with(|wish: &mut Wish| {
            wish.config.delivery.timeout = TIMEOUT;
            wish.config.delivery.max_in_flight = 2;
            wish.config.delivery.max_in_flight_per_endpoint = 1;
            change(wish);
        });
        let (coop, healthy) = (world.coop(), Receiver::new());
        coop.webhook(&healthy.url(), &["loan.repaid"], "s");
        Self { world, coop, healthy }
    }

    /// One attempt at this URL: ended in time, recorded, and its place is free again.
    #[track_caller]
    pub fn attempt(&self, name: &str, url: &str, data: Value) -> Record {
        let webhook = self.coop.webhook(url, &["dds.filed"], "s");
        let record = self.another(name, &webhook, data);
        self.coop.delete(&format!("/webhooks/{webhook}")).expect(204);
        record
    }

    /// The same, at a webhook that is there.
    #[track_caller]
    pub fn another(&self, name: &str, webhook: &str, data: Value) -> Record {
        self.coop.publish("dds.filed", data);
        self.world.settle();
        let record = last_attempt(&self.coop, name, webhook);
        let before = self.healthy.posts().len();
        self.coop.publish("loan.repaid", json!({}));
        self.world.settle();
        assert_eq!(self.healthy.posts().len(), before + 1, "{name}: a healthy neighbour gets its delivery");
        record
    }

    /// Every one of these ends with its class, or with its status.
    fn tour(&self, beasts: &[(&str, Manners, Expected)]) {
        for (name, manners, expected) in beasts {
            let beast = Beast::new(*manners);
            let record = self.attempt(name, &beast.url(), json!({}));
            let (error, status) = match *expected {
                Failed(class) => (json!(class), Value::Null),
                Status(status) => (json!("status"), json!(status)),
                Delivered(status) => (Value::Null, json!(status)),
            };
            assert_eq!((&record.error, &record.status), (&error, &status), "{name}: {record:?}");
        }
    }
}

/// The last attempt of a webhook's newest delivery, ended in time.
#[track_caller]
pub fn last_attempt(coop: &Client, name: &str, webhook: &str) -> Record {
    let newest = coop.deliveries(webhook)[0]["delivery_id"].as_str().expect("an id").to_owned();
    let delivery = coop.delivery(webhook, &newest);
    let attempt = delivery["attempts"].as_array().and_then(|attempts| attempts.last()).expect("an attempt").clone();
    let took = Duration::from_millis(attempt["duration_ms"].as_u64().expect("a duration"));
    assert!(took < TIMEOUT + GRACE, "{name}: took {took:?}");
    assert_eq!(delivery["status"] == "DELIVERED", attempt["error"].is_null(), "{name}: {delivery}");
    Record {
        error: attempt["error"].clone(),
        status: attempt["response_status"].clone(),
        body: attempt["response_body"].clone(),
        truncated: attempt["response_truncated"].clone(),
    }
}

/// How an attempt must end.
enum Expected {
    Failed(&'static str),
    Status(u16),
    Delivered(u16),
}
use Expected::{Delivered, Failed, Status};

/// Hears the request, then says this and closes.
macro_rules! says {
    ($($text:expr),*) => { |guest: &mut Guest| { guest.hear(); $(guest.say($text);)* } };
}

/// Hears the request, then says this and keeps the connection open.
macro_rules! says_and_holds {
    ($($text:expr),*) => { |guest: &mut Guest| { guest.hear(); $(guest.say($text);)* guest.hold(); } };
}

fn thousand_headers() -> String {
    (0..1000).map(|number| format!("x-header-{number}: {number}\r\n")).collect()
}

#[test]
fn whoever_is_slow_or_silent_runs_into_the_time_out() {
    let zoo = Zoo::new();
    zoo.tour(&[
        ("accepts and hangs", |guest| guest.hold(), Failed("timeout")),
        ("reads and hangs", says_and_holds!(), Failed("timeout")),
        ("hangs within the headers", says_and_holds!("HTTP/1.1 200 OK\r\nx-a: "), Failed("timeout")),
        (
            "drips its headers",
            |guest| {
                guest.hear();
                guest.drip(format!("HTTP/1.1 200 OK\r\n{}\r\n", thousand_headers()));
            },
            Failed("timeout"),
        ),
        (
            "drips its body",
            |guest| {
                guest.hear();
                guest.say("HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n");
                guest.drip([b'x'; 5000]);
            },
            Delivered(200),
        ),
        (
            "drips the body of a failure",
            |guest| {
                guest.hear();
                guest.say("HTTP/1.1 500 No\r\n\r\n");
                guest.drip([b'x'; 5000]);
            },
            Status(500),
        ),
        (
            "drips chunks",
            |guest| {
                guest.hear();
                guest.say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
                guest.drip("1\r\nx\r\n".repeat(1000));
            },
            Delivered(200),
        ),
    ]);
    let crowded = Crowded::new();
    let record = zoo.attempt("never accepts", &crowded.url(), json!({}));
    assert_eq!((record.error, record.status), (json!("timeout"), Value::Null));
}

#[test]
fn whoever_never_reads_a_big_body_runs_into_the_time_out() {
    let zoo = Zoo::with(|wish| {
        wish.config.server.max_body_bytes = 32 << 20;
        wish.config.limits.string_bytes = 32 << 20;
    });
    let beast = Beast::new(|guest| guest.hold());
    let record = zoo.attempt("never reads", &beast.url(), json!({ "long": "x".repeat(8 << 20) }));
    assert_eq!((record.error, record.status), (json!("timeout"), Value::Null));
    let beast = Beast::new(|guest| {
        guest.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        guest.hold();
    });
    let record = zoo.attempt("answers and never reads", &beast.url(), json!({ "long": "x".repeat(8 << 20) }));
    assert_eq!((record.error, record.status), (json!("timeout"), Value::Null));
}

#[test]
fn whoever_hangs_up_is_recorded_as_a_reset_unless_the_status_was_there() {
    let reset_within_the_request: Manners = |guest| {
        guest.reset();
        let _ = std::io::Read::read(&mut guest.stream, &mut [0]);
    };
    Zoo::new().tour(&[
        ("resets within the request", reset_within_the_request, Failed("reset")),
        (
            "resets before the headers",
            |guest| {
                guest.hear();
                guest.reset();
            },
            Failed("reset"),
        ),
        (
            "resets within the headers",
            |guest| {
                guest.hear();
                guest.say("HTTP/1.1 200 OK\r\ncontent-len");
                guest.reset();
            },
            Failed("reset"),
        ),
        (
            "resets after the headers",
            |guest| {
                guest.hear();
                guest.say("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\npart");
                // Time for the headers to be read: a reset takes with it what nobody has read.
                guest.wait(Duration::from_millis(200));
                guest.reset();
            },
            Delivered(200),
        ),
        ("closes without an answer", says!(), Failed("reset")),
        ("closes within the headers", says!("HTTP/1.1 200 OK\r\ncontent-len"), Failed("reset")),
        ("closes after the headers", says!("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"), Delivered(200)),
        ("closes after a 1xx", says!("HTTP/1.1 100 Continue\r\n\r\n"), Failed("reset")),
    ]);
}

#[test]
fn whoever_speaks_another_language_is_recorded_as_a_breach_of_protocol() {
    Zoo::new().tour(&[
        ("HTTP/0.9", says!("<html>received</html>\r\n"), Failed("protocol")),
        ("HTTP/2", says!(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x80\x00\x04"), Failed("protocol")),
        ("HTTP/2 in words", says!("HTTP/2 200\r\ncontent-length: 0\r\n\r\n"), Failed("protocol")),
        ("no number", says!("HTTP/1.1 OK\r\n\r\n"), Failed("protocol")),
        ("a status of four digits", says!("HTTP/1.1 2000 OK\r\n\r\n"), Failed("protocol")),
        ("status 000", says!("HTTP/1.1 000 Nothing\r\n\r\n"), Failed("protocol")),
        ("zeros", says!([0; 4096]), Failed("protocol")),
        (
            "1,000 headers",
            says!("HTTP/1.1 200 OK\r\n", thousand_headers(), "content-length: 2\r\n\r\nok"),
            Failed("protocol"),
        ),
        (
            "a header without an end",
            |guest| {
                guest.hear();
                guest.say("HTTP/1.1 200 OK\r\nx-long: ");
                guest.flood([b'x'; 4096]);
            },
            Failed("protocol"),
        ),
        (
            "a status line without an end",
            |guest| {
                guest.hear();
                guest.say("HTTP/1.1 200 ");
                guest.flood([b'x'; 4096]);
            },
            Failed("protocol"),
        ),
        ("a length that is no number", says!("HTTP/1.1 200 OK\r\ncontent-length: ten\r\n\r\nok"), Failed("protocol")),
        ("a negative length", says!("HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nok"), Failed("protocol")),
        (
            "two lengths",
            says!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok!"),
            Failed("protocol"),
        ),
    ]);
}

#[test]
fn endless_interim_answers_come_to_an_end() {
    Zoo::new().tour(&[
        (
            "endless 100",
            |guest| {
                guest.hear();
                guest.flood("HTTP/1.1 100 Continue\r\n\r\n");
            },
            Failed("timeout"),
        ),
        (
            "endless 103",
            |guest| {
                guest.hear();
                guest.flood("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n");
            },
            Failed("timeout"),
        ),
        (
            "103, then more than the buffer holds",
            |guest| {
                guest.hear();
                let answer = "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 90000\r\n\r\n";
                guest.say([answer.as_bytes(), &[b'x'; 90_000]].concat());
            },
            Delivered(200),
        ),
        ("one 100", says!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"), Delivered(200)),
    ]);
}

#[test]
fn a_status_counts_whatever_its_body_is() {
    let utf_16: Manners = says!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-16\r\ncontent-length: 6\r\n\r\n",
        b"\xff\xfeo\x00k\x00"
    );
    Zoo::new().tour(&[
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
            |guest| {
                guest.hear();
                guest.say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;");
                guest.flood([b'x'; 4096]);
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
    let zoo = Zoo::new();
    let elsewhere = Receiver::new();
    for status in 300..=308 {
        let answer = format!("HTTP/1.1 {status} There\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", elsewhere.url());
        let beast = Beast::new(move |guest| {
            guest.hear();
            guest.say(&answer);
        });
        let record = zoo.attempt("redirects", &beast.url(), json!({}));
        assert_eq!((record.error, record.status), (json!("status"), json!(status)));
        assert_eq!(beast.connections(), 1);
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[test]
fn what_is_left_of_one_answer_is_never_taken_for_the_next() {
    let zoo = Zoo::new();
    let after = "HTTP/1.1 500 Smuggled\r\ncontent-length: 0\r\n\r\n";
    let answers = [
        format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok{after}"),
        format!("HTTP/1.1 204 No Content\r\n\r\n{after}"),
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n{after}"),
    ];
    for answer in answers {
        let said = answer.clone();
        let beast = Beast::new(move |guest| while guest.hear().ends_with('}') && guest.say(&said) {});
        let webhook = zoo.coop.webhook(&beast.url(), &["dds.filed"], "s");
        for _ in 0..3 {
            let record = zoo.another(&answer, &webhook, json!({}));
            assert_eq!(record.error, Value::Null, "{answer}: {record:?}");
        }
        zoo.coop.delete(&format!("/webhooks/{webhook}")).expect(204);
    }
}

#[test]
fn an_answer_is_kept_as_it_was_sent() {
    let zoo = Zoo::new();
    // It says gzip, and is none: nobody unpacks it.
    let beast = Beast::new(|guest| {
        let request = guest.hear();
        assert!(!request.contains("accept-encoding"), "{request}");
        guest.say("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 5\r\n\r\nplain");
    });
    let record = zoo.attempt("gzip that is none", &beast.url(), json!({}));
    assert_eq!((record.error, record.body, record.truncated), (Value::Null, json!("plain"), json!(false)));
    let beast = Beast::new(|guest| {
        guest.hear();
        guest.say("HTTP/1.1 200 OK\r\n\r\n");
        guest.flood([b'x'; 4096]);
    });
    let record = zoo.attempt("huge body", &beast.url(), json!({}));
    assert_eq!((record.error, record.truncated), (Value::Null, json!(true)));
    assert_eq!(record.body.as_str().map(str::len), Some(4096));
}
