//! The head of a request by a real socket: exactly at each limit it is accepted, and beyond it the whole request is
//! refused.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::json;

use crate::support::{
    client::Answer,
    receiver::{PATIENCE, Receiver},
    world::{COOP, Holder, Wish, World},
};

/// Bytes of a head that a connection buffers at most.
const BUFFER: usize = 64 << 10;
/// How long a look at a connection may last on which nothing is expected.
const GLANCE: Duration = Duration::from_millis(100);
/// Paths of the vendors, of a page, of the monitoring, and one that does not exist.
const PATHS: [(&str, u16); 5] =
    [("/webhooks", 200), ("/v1/webhooks", 200), ("/docs", 200), ("/health/live", 200), ("/nothing", 404)];

struct Head<'a> {
    world: &'a World,
    headers: Vec<(String, String)>,
}

impl<'a> Head<'a> {
    /// With the headers that every client sends, here an operator's.
    fn new(world: &'a World) -> Self {
        let mut head = Self { world, headers: Vec::new() };
        let token = world.token_for(Holder::Operator, "operator");
        head.with("host", "ngoma").with("connection", "close").with("authorization", &format!("Bearer {token}"));
        head
    }

    fn with(&mut self, name: &str, value: &str) -> &mut Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn bytes(&self) -> usize {
        self.headers.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    /// Sends it as this request, and gives the answer.
    fn send(&self, method: &str, url: &str, body: &str) -> Answer {
        let lines: String = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        ask(&mut connect(self.world), format!("{method} {url} HTTP/1.1\r\n{lines}\r\n{body}"))
    }

    fn get(&self, url: &str) -> Answer {
        self.send("GET", url, "")
    }
}

fn connect(world: &World) -> TcpStream {
    let stream = TcpStream::connect(world.address()).expect("the kernel takes it");
    stream.set_read_timeout(Some(PATIENCE)).expect("a bound");
    stream
}

/// Sends these bytes, and reads until the connection is closed.
fn ask(stream: &mut TcpStream, bytes: impl AsRef<[u8]>) -> Answer {
    stream.write_all(bytes.as_ref()).expect("it is open");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer, and then the end");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, text) = answer.split_once("\r\n\r\n").expect("a whole head");
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status").parse().expect("a number");
    let pairs = lines.filter_map(|line| line.split_once(": "));
    let headers = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Answer { status, headers, text: text.to_owned() }
}

/// The refusal in the shape of the vendor whose path it is, naming the limit.
#[track_caller]
fn refused(answer: &Answer, path: &str, status: u16, limit: &str) {
    let sentence = if path.starts_with("/v1/") {
        answer.sentence(status)
    } else {
        assert_eq!(answer.code(status), "INVALID_REQUEST", "{path}");
        answer.text.clone()
    };
    assert!(sentence.contains(limit), "{path}: {sentence}");
    assert!(answer.header("x-request-id").starts_with("req_"), "{path}");
}

#[test]
fn a_request_may_have_as_many_headers_as_request_headers() {
    let world = World::with(|wish: &mut Wish| wish.config.limits.request_headers = 20);
    let mut head = Head::new(&world);
    while head.headers.len() < 20 {
        // One name again and again is as many headers.
        head.with("x-more", "1");
    }
    for (path, status) in PATHS {
        assert_eq!(head.get(path).status, status, "{path}: as many as there may be");
    }
    head.with("x-last", "1");
    for (path, _) in PATHS {
        refused(&head.get(path), path, 431, "limits.request_headers");
    }
}

#[test]
fn headers_may_have_as_many_bytes_as_request_header_bytes() {
    const MOST: usize = 1024;
    let world = World::with(|wish: &mut Wish| wish.config.limits.request_header_bytes = MOST);
    // One that is large, and several that are not.
    for parts in [1, 20] {
        let mut head = Head::new(&world);
        for _ in 1..parts {
            head.with("x-part", "0123456789");
        }
        let room = MOST - head.bytes() - "x-rest".len();
        head.with("x-rest", &"r".repeat(room));
        assert_eq!(head.bytes(), MOST);
        for (path, status) in PATHS {
            assert_eq!(head.get(path).status, status, "{path}: as large as they may be");
        }
        head.headers.last_mut().expect("the rest").1.push('r');
        for (path, _) in PATHS {
            refused(&head.get(path), path, 431, "limits.request_header_bytes");
        }
    }
}

#[test]
fn a_request_s_url_may_have_as_many_bytes_as_request_url_bytes() {
    const MOST: usize = 300;
    let world = World::with(|wish: &mut Wish| wish.config.limits.request_url_bytes = MOST);
    let head = Head::new(&world);
    // The API itself refuses the parameter, once the URL has been read.
    let status_of = |path: &str, status| if path.ends_with("/webhooks") { 400 } else { status };
    for (path, status) in PATHS {
        let status = status_of(path, status);
        let url = format!("{path}?q={}", "q".repeat(MOST - path.len() - "?q=".len()));
        assert_eq!(head.get(&url).status, status, "{path}: as long as it may be");
        refused(&head.get(&format!("{url}q")), path, 414, "limits.request_url_bytes");
        // A proxy's way to ask: the host counts too.
        assert_eq!(head.get(&format!("http://ngoma{}", &url[.."?q=".len() + path.len()])).status, status);
        refused(&head.get(&format!("http://ngoma{url}")), path, 414, "limits.request_url_bytes");
    }
    // Room that the default leaves to any client.
    let world = World::new();
    let long = format!("/webhooks?q={}", "q".repeat(8000));
    assert_eq!(Head::new(&world).get(&long).status, 400, "it is read, and its parameter refused");
    refused(&Head::new(&world).get(&format!("{long}{}", "q".repeat(50_000))), "/webhooks", 414, "at most 8192");
}

#[test]
fn nothing_of_a_request_is_taken_whose_head_is_too_large() {
    let world = World::new();
    let receiver = Receiver::new();
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s");
    let body = json!({ "event": "dds.filed", "cooperative_id": COOP, "data": {} }).to_string();
    let mut head = Head::new(&world);
    head.headers.retain(|(name, _)| name != "connection");
    head.with("content-type", "application/json").with("content-length", &body.len().to_string());
    head.with("x-large", &"x".repeat(20_000));
    // Bytes after the head are no request: the connection is closed.
    let follows = format!("{body}GET /health/live HTTP/1.1\r\nhost: ngoma\r\n\r\n");
    let answer = head.send("POST", "/events", &follows);
    assert!(!answer.text.contains("\"ok\""), "{}", answer.text);
    refused(&answer, "/events", 431, "limits.request_header_bytes");
    assert_eq!(answer.header("connection"), "close");
    assert!(coop.deliveries(&webhook).is_empty(), "nothing was published");
    // Without a body in the way, the connection goes on.
    let large = format!("GET /docs HTTP/1.1\r\nhost: n\r\nx-large: {}\r\n\r\n", "x".repeat(20_000));
    let answer =
        ask(&mut connect(&world), format!("{large}GET /health/live HTTP/1.1\r\nhost: n\r\nconnection: close\r\n\r\n"));
    assert_eq!(answer.status, 431);
    assert!(answer.text.contains("HTTP/1.1 200") && answer.text.contains("\"ok\""), "{}", answer.text);
}

#[test]
fn a_head_without_end_is_buffered_only_so_far() {
    let world = World::with(|wish: &mut Wish| {
        wish.config.limits.request_header_bytes = 32_768;
        wish.config.limits.request_url_bytes = 16_384;
    });
    for start in ["GET /health/live HTTP/1.1\r\nx-large: ", "GET /"] {
        let mut stream = connect(&world);
        stream.write_all(format!("{start}{}", "x".repeat(BUFFER - 1 - start.len())).as_bytes()).expect("it is open");
        stream.set_read_timeout(Some(GLANCE)).expect("a bound");
        stream.read(&mut [0]).expect_err("it may still come to its end");
        stream.set_read_timeout(Some(PATIENCE)).expect("a bound");
        let answer = ask(&mut stream, "x");
        assert_eq!((answer.status, answer.text.as_str()), (431, ""), "{start}");
    }
    // Too many headers for the parser itself.
    let answer = ask(&mut connect(&world), format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(101)));
    assert_eq!((answer.status, answer.text.as_str()), (431, ""));
}

#[test]
fn a_request_without_its_host_or_with_two_is_refused() {
    let world = World::new();
    for (path, status) in PATHS {
        let mut head = Head::new(&world);
        head.with("host", "other");
        refused(&head.get(path), path, 400, "Host");
        head.headers.retain(|(name, _)| name != "host");
        refused(&head.get(path), path, 400, "Host");
        // HTTP/1.0 knew none.
        let token = &head.headers.last().expect("the token").1;
        let old = ask(&mut connect(&world), format!("GET {path} HTTP/1.0\r\nauthorization: {token}\r\n\r\n"));
        assert_eq!(old.status, status, "{path}");
    }
}

#[test]
fn an_idempotency_key_that_is_no_text_or_that_another_contradicts_is_refused() {
    let world = World::new();
    let coop = world.coop();
    let webhook = coop.webhook(&Receiver::new().url(), &["*"], "s");
    let token = world.token_for(Holder::Operator, "operator");
    let body = json!({ "event": "dds.filed", "cooperative_id": COOP, "data": {} }).to_string();
    let publish = |keys: &[&[u8]]| {
        let length = body.len();
        let mut request = format!(
            "POST /events HTTP/1.1\r\nhost: n\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n"
        )
        .into_bytes();
        for key in keys {
            request.extend([b"idempotency-key: ", *key, b"\r\n"].concat());
        }
        request.extend(format!("\r\n{body}").bytes());
        ask(&mut connect(&world), request)
    };
    // The same word in Latin-1; in UTF-8 it is a text.
    let latin: &[u8] = b"commande-\xe9";
    for keys in [&[latin][..], &[latin, b"a"], &[b"a", latin], &[b"a", b"b"], &[b"a", b"a", b"b"], &[b"a", b""]] {
        refused(&publish(keys), "/events", 400, "Idempotency-Key");
    }
    assert!(coop.deliveries(&webhook).is_empty(), "nothing was published");
    for keys in [&["commande-\u{e9}".as_bytes()][..], &[b"a"], &[b"a", b"a"], &[b"a", b"\"a\""]] {
        publish(keys).expect(202);
        assert_eq!(publish(keys).expect(202), publish(keys).expect(202));
    }
    assert_eq!(coop.deliveries(&webhook).len(), 2, "one for each key");
}

#[test]
fn an_if_match_that_is_no_text_names_no_version() {
    let world = World::new();
    let coop = world.coop();
    let path = format!("/webhooks/{}", coop.webhook(&Receiver::new().url(), &["*"], "s"));
    let token = world.token_for(Holder::Account(COOP.to_owned()), "webhooks");
    let (version, body) = (coop.get(&path).header("etag").to_owned(), r#"{"name":"second"}"#);
    let change = |tags: &[&[u8]]| {
        let length = body.len();
        let mut request = format!(
            "PATCH {path} HTTP/1.1\r\nhost: n\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n"
        )
        .into_bytes();
        for tag in tags {
            request.extend([b"if-match: ", *tag, b"\r\n"].concat());
        }
        request.extend(format!("\r\n{body}").bytes());
        ask(&mut connect(&world), request)
    };
    for tags in [&[&b"\xff"[..]][..], &[b"\"\xe9\""], &[b"\"a\"", b"\xff"]] {
        assert_eq!(change(tags).code(412), "WEBHOOK_CHANGED");
    }
    assert_eq!(coop.get(&path).expect(200).get("name"), None, "nothing was changed");
    change(&[b"\xff", version.as_bytes()]).expect(200);
}
