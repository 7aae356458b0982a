//! The log of requests: one line each, at a fitting level, with no text of a client.

use std::{path::Path, process::Command};

use serde_json::{Value, json};

use crate::support::{
    client::Client,
    database::make,
    program::{Running, ngoma, run},
    receiver::{Receiver, Reply},
};

/// A server of one cooperative whose log is kept.
struct Logged {
    running: Running,
    base: String,
    coop: Client,
    token_id: String,
    settings: [String; 2],
    folder: tempfile::TempDir,
}

impl Logged {
    fn with(level: &str, format: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        make(folder.path());
        run(folder.path(), &["account", "create", "--profile", "asilichain", "--id", "COOP-1"]);
        let create = ["token", "create", "--account", "COOP-1", "--scope", "webhooks,events", "--json"];
        let made: Value = serde_json::from_str(&run(folder.path(), &create).1).expect("JSON");
        let text = |name: &str| made[name].as_str().expect("a text").to_owned();
        let settings = [level, format].map(str::to_owned);
        let (running, base) = serve(folder.path(), &settings);
        Self { running, coop: Client::at(&base, &text("token")), base, token_id: text("id"), settings, folder }
    }

    /// A client of another token of the cooperative, and that token's id.
    fn other(&self) -> (Client, String) {
        let create = ["token", "create", "--account", "COOP-1", "--scope", "webhooks,events", "--json"];
        let made: Value = serde_json::from_str(&run(self.folder.path(), &create).1).expect("JSON");
        let text = |name: &str| made[name].as_str().expect("a text").to_owned();
        (Client::at(&self.base, &text("token")), text("id"))
    }

    /// Kills it, starts another on the same file, and gives the log of the first.
    fn crash(&mut self) -> String {
        let log = self.running.log();
        self.running = serve(self.folder.path(), &self.settings).0;
        log
    }

    /// Stops it, and gives its log.
    fn end(mut self) -> String {
        self.running.signal("TERM");
        assert!(self.running.wait().success());
        self.running.log()
    }
}

fn serve(folder: &Path, [level, format]: &[String; 2]) -> (Running, String) {
    let mut serve: Command = ngoma(folder, &["serve", "--listen", "127.0.0.1:0"]);
    serve
        .env("NGOMA_LOG__LEVEL", level)
        .env("NGOMA_LOG__FORMAT", format)
        .env("NGOMA_EGRESS__ALLOW", "[\"127.0.0.0/8\"]")
        .env("NGOMA_EGRESS__ALLOW_HTTP", "true");
    let mut running = Running::start(&mut serve);
    let address = running.address();
    (running, address)
}

/// The lines of attempts.
fn attempts(log: &str) -> Vec<Value> {
    let lines = log.lines().map(|line| serde_json::from_str(line).expect("one object a line"));
    lines.filter(|line: &Value| line.get("delivery.id").is_some()).collect()
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
    Client::at(&server.base, "hidden-and-wrong").get("/webhooks").expect(401);
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
    let errors: Vec<&Value> = lines.iter().filter_map(|line| line.get("error")).collect();
    assert_eq!(errors, ["INVALID_REQUEST", "INVALID_REQUEST", "UNAUTHORIZED"], "why it was refused: {log}");
    assert!(lines[4].get("account").is_none() && lines[6].get("token.id").is_none(), "nobody known");
    for hidden in ["hidden", "only for the receiver", "nonsense"] {
        assert!(!log.contains(hidden), "{hidden}: {log}");
    }
}

#[test]
fn frequent_successes_and_a_client_in_a_loop_are_quiet_by_default() {
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
    let refused = lines.iter().filter(|line| line["status"] == 422 && line["error"] == "UNKNOWN_EVENT").count();
    assert_eq!(well, 0, "{log}");
    assert!((10..150).contains(&refused), "{refused} of 200 refusals, ten a second: {log}");
    assert!(lines.iter().any(|line| line["path"] == "/webhooks"), "{log}");
}

#[test]
fn a_client_in_a_loop_hides_neither_what_others_are_refused_nor_our_own_faults() {
    let server = Logged::with("info", "json");
    let (other, other_id) = server.other();
    for _ in 0..200 {
        server.coop.post("/events", json!({ "event": "no.such", "data": {} })).expect(422);
    }
    other.post("/events", json!({ "event": "no.such", "data": {} })).expect(422);
    let conn = rusqlite::Connection::open(server.folder.path().join("ngoma.db")).expect("the file");
    conn.execute_batch("ALTER TABLE event RENAME TO gone").expect("a fault");
    for _ in 0..100 {
        other.post("/events", json!({ "event": "no.such", "data": {} })).expect(422);
    }
    other.post("/events", event()).expect(500);
    conn.execute_batch("ALTER TABLE gone RENAME TO event").expect("mended");
    let log = server.end();
    let lines = lines(&log);
    assert!(lines.iter().any(|line| line["token.id"] == other_id.as_str() && line["status"] == 422), "{log}");
    let fault = lines.iter().find(|line| line["status"] == 500).unwrap_or_else(|| panic!("no fault: {log}"));
    assert_eq!((&fault["level"], &fault["error"]), (&json!("WARN"), &json!("INTERNAL")));
}

#[test]
fn a_logged_path_shows_known_words_and_ids_and_no_text_of_a_client() {
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
    let attempts = attempts(&log);
    let told = |line: &Value| (line["level"].clone(), line["outcome"].clone(), line["status"].clone());
    assert_eq!(told(&attempts[0]), (json!("INFO"), json!("status"), json!(500)), "{log}");
    assert_eq!(told(&attempts[1]), (json!("DEBUG"), json!("delivered"), json!(200)), "{log}");
    for line in &attempts {
        assert!(line["duration_ms"].is_u64() && line["attempt"] == 1 && line["event.kind"] == "dds.filed", "{line}");
        assert_eq!(line["endpoint.id"], webhook.as_str(), "{line}");
    }
    assert!(!log.contains("hidden") && !log.contains("only for the receiver"), "{log}");
}

#[test]
fn test_deliveries_and_attempts_cut_off_by_a_crash_leave_a_log_line() {
    let mut server = Logged::with("info", "json");
    let receiver = Receiver::new();
    let body = json!({ "url": receiver.url(), "events": ["*"], "cooperative_id": "COOP-1" });
    let webhook = server.coop.post("/webhooks", body).expect(201)["webhook_id"].as_str().expect("an id").to_owned();
    receiver.next([Reply::status(500), Reply::Hang]);
    let test = server.coop.post(&format!("/webhooks/{webhook}/test"), json!({})).expect(200);
    let cut_off = server.coop.post("/events", event()).expect(202)["deliveries"][0]["delivery_id"].clone();
    receiver.wait_for(2);
    server.running.error_with("delivery.id");
    let before = server.crash();
    receiver.wait_for(3);
    let after = server.end();
    let told = |log: &str| -> Vec<[Value; 4]> {
        let field = |line: &Value| ["delivery.id", "level", "outcome", "attempt"].map(|name| line[name].clone());
        attempts(log).iter().map(field).collect()
    };
    assert_eq!(told(&before), [[test["delivery_id"].clone(), json!("INFO"), json!("status"), json!(1)]], "{before}");
    assert_eq!(told(&after), [[cut_off, json!("INFO"), json!("interrupted"), json!(1)]], "{after}");
}

#[test]
fn a_webhook_that_fails_by_the_thousand_is_quiet_by_default() {
    let server = Logged::with("info", "json");
    let (ill, other) = (Receiver::new(), Receiver::new());
    ill.always(Reply::status(500));
    other.always(Reply::status(500));
    for (url, event) in [(ill.url(), "dds.filed"), (other.url(), "loan.repaid")] {
        server.coop.post("/webhooks", json!({ "url": url, "events": [event], "cooperative_id": "COOP-1" })).expect(201);
    }
    let batch = json!({ "events": vec![event(); 300] });
    server.coop.post("/events/batch", batch).expect(202);
    ill.wait_for(300);
    server.coop.post("/events", json!({ "event": "loan.repaid", "data": {} })).expect(202);
    other.wait_for(1);
    let log = server.end();
    let of = |kind: &str| attempts(&log).iter().filter(|line| line["event.kind"] == kind).count();
    assert!((5..150).contains(&of("dds.filed")), "{} of 300, five a second", of("dds.filed"));
    assert_eq!(of("loan.repaid"), 1);
}
