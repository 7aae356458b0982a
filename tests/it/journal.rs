//! What the log says of requests: one line each, at a level that fits, and nothing that a client wrote into it.

use std::process::Command;

use serde_json::{Value, json};

use crate::{
    program::{Running, ngoma, run, word_after},
    receiver::{Receiver, Reply},
    world::Client,
};

/// A server of one cooperative whose log is kept.
struct Logged {
    running: Running,
    coop: Client,
    token_id: String,
    _folder: tempfile::TempDir,
}

impl Logged {
    fn with(level: &str, format: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        run(folder.path(), &["account", "create", "--profile", "asilichain", "--id", "COOP-1"]);
        let create = ["token", "create", "--account", "COOP-1", "--scope", "webhooks,events", "--json"];
        let made: Value = serde_json::from_str(&run(folder.path(), &create).1).expect("JSON");
        let text = |name: &str| made[name].as_str().expect("a text").to_owned();
        let mut serve: Command = ngoma(folder.path(), &["serve", "--listen", "127.0.0.1:0"]);
        serve
            .env("NGOMA_LOG__LEVEL", level)
            .env("NGOMA_LOG__FORMAT", format)
            .env("NGOMA_EGRESS__ALLOW", "[\"127.0.0.0/8\"]")
            .env("NGOMA_EGRESS__ALLOW_HTTP", "true");
        let mut running = Running::start(&mut serve);
        let address = word_after(&running.line_with("address"), "address").to_owned();
        let coop = Client::at(&address, &text("token"));
        Self { running, coop, token_id: text("id"), _folder: folder }
    }

    /// Stops it, and gives its log.
    fn end(mut self) -> String {
        self.running.signal("TERM");
        assert!(self.running.wait().success());
        self.running.log()
    }
}

fn lines(log: &str) -> Vec<Value> {
    let lines =
        log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("one object a line: {line}")));
    lines.filter(|line: &Value| line.get("request.id").is_some()).collect()
}

fn event() -> Value {
    json!({ "event": "dds.filed", "data": { "note": "only for the receiver" } })
}

#[test]
fn each_request_leaves_one_wide_line() {
    let server = Logged::with("debug", "json");
    let coop = server.coop.clone();
    let made = coop.post(
        "/webhooks",
        json!({ "url": "http://127.0.0.1:1/?key=hidden", "events": ["*"], "cooperative_id": "COOP-1" }),
    );
    let webhook = made.expect(201)["webhook_id"].as_str().expect("an id").to_owned();
    let refused = coop.get(&format!("/webhooks/{webhook}/deliveries?status=nonsense&note=hidden"));
    assert_eq!(refused.status, 400);
    coop.post("/events", event()).expect(202);
    coop.post("/events/batch", json!({ "events": [event()] })).expect(202);
    coop.get("/health/live").expect(200);
    coop.post_text("/events", "{").expect(400);
    Client::at(&base(&server), "hidden-and-wrong").get("/webhooks").expect(401);
    let token_id = server.token_id.clone();
    let log = server.end();
    let lines = lines(&log);
    let seen: Vec<(&str, &str, &str, u64)> = lines
        .iter()
        .map(|line| {
            let text = |name: &str| line[name].as_str().expect("a text");
            (text("level"), text("method"), text("path"), line["status"].as_u64().expect("a number"))
        })
        .collect();
    let deliveries = format!("/webhooks/{webhook}/deliveries");
    let expected = [
        ("INFO", "POST", "/webhooks", 201),
        ("INFO", "GET", deliveries.as_str(), 400),
        ("DEBUG", "POST", "/events", 202),
        ("DEBUG", "POST", "/events/batch", 202),
        ("DEBUG", "GET", "/health/live", 200),
        ("INFO", "POST", "/events", 400),
        ("INFO", "GET", "/webhooks", 401),
    ];
    assert_eq!(seen, expected, "{log}");
    assert_eq!(lines[1]["request.id"], refused.header("x-request-id"));
    assert_eq!((&lines[1]["account"], &lines[1]["token.id"]), (&json!("COOP-1"), &json!(token_id)));
    assert!(lines.iter().all(|line| line["duration_ms"].is_u64()), "{log}");
    assert!(lines[4].get("account").is_none() && lines[6].get("token.id").is_none(), "nobody known");
    for hidden in ["hidden", "only for the receiver", "nonsense"] {
        assert!(!log.contains(hidden), "{hidden}: {log}");
    }
}

fn base(server: &Logged) -> String {
    let line = server.running.seen.iter().find(|line| line.contains("address")).expect("a line");
    word_after(line, "address").to_owned()
}

#[test]
fn what_goes_well_by_the_thousand_is_quiet_by_default_and_a_client_in_a_loop_is_too() {
    let server = Logged::with("info", "json");
    let coop = server.coop.clone();
    for _ in 0..50 {
        coop.post("/events", event()).expect(202);
        coop.get("/health/ready").expect(200);
    }
    for _ in 0..200 {
        coop.post("/events", json!({ "event": "no.such", "data": {} })).expect(422);
    }
    coop.get("/webhooks").expect(200);
    let log = server.end();
    let lines = lines(&log);
    let well = lines.iter().filter(|line| line["status"] == 202 || line["path"] == "/health/ready").count();
    let refused = lines.iter().filter(|line| line["status"] == 422).count();
    assert_eq!(well, 0, "{log}");
    assert!((10..150).contains(&refused), "{refused} of 200 refusals, ten a second: {log}");
    assert!(lines.iter().any(|line| line["path"] == "/webhooks"), "{log}");
}

#[test]
fn a_path_shows_words_and_ids_and_nothing_that_a_client_made_up() {
    let server = Logged::with("info", "text");
    let coop = server.coop.clone();
    let token = "ngm_5T7bLqY0eVxkWm2hGJ9sRZc4uPnAdF8oCiH3tNvKzE1QyBc4fG0z";
    for (path, shown) in [
        (format!("/webhooks/{token}"), "/webhooks/..."),
        ("/v1/tasks/Task%20of%20Mary".to_owned(), "/v1/tasks/..."),
        ("/webhooks/wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1/test".to_owned(), "/webhooks/wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1/test"),
        (format!("/{}", "a".repeat(3000)), "/..."),
    ] {
        coop.get(&path);
        server.running.error_with(&format!("path=\"{shown}\""));
    }
    let log = server.end();
    assert!(!log.contains("5T7bLq") && !log.contains("Mary") && !log.contains("aaaa"), "{log}");
}

#[test]
fn each_attempt_leaves_one_wide_line() {
    let server = Logged::with("debug", "json");
    let receiver = Receiver::new();
    receiver.next([Reply::status(500)]);
    let body = json!({ "url": format!("{}/?key=hidden", receiver.url()), "events": ["*"], "cooperative_id": "COOP-1" });
    let webhook = server.coop.post("/webhooks", body).expect(201)["webhook_id"].as_str().expect("an id").to_owned();
    server.coop.post("/events", event()).expect(202);
    receiver.wait_for(1);
    server.running.error_with("delivery.id");
    server.coop.post("/events", event()).expect(202);
    receiver.wait_for(2);
    let log = server.end();
    let attempts: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).expect("one object a line"))
        .filter(|line: &Value| line.get("delivery.id").is_some())
        .collect();
    let told = |line: &Value| (line["level"].clone(), line["outcome"].clone(), line["status"].clone());
    assert_eq!(told(&attempts[0]), (json!("INFO"), json!("status"), json!(500)), "{log}");
    assert_eq!(told(&attempts[1]), (json!("DEBUG"), json!("delivered"), json!(200)), "{log}");
    for line in &attempts {
        assert!(line["duration_ms"].is_u64() && line["attempt"] == 1 && line["event.kind"] == "dds.filed", "{line}");
        assert!(webhook.ends_with(line["endpoint.id"].as_str().expect("an id")), "{line}");
    }
    assert!(!log.contains("hidden") && !log.contains("only for the receiver"), "{log}");
}
