//! Why an attempt failed, in words, and the headers of its answer: kept with the attempt, and shown to people.
//! Certificates have their reasons in `tls`.

use std::{net::TcpListener, sync::Arc};

use ngoma::config::Secret;
use serde_json::{Value, json};

use crate::support::{
    browser,
    database::query,
    isolation::{Isolation, Record},
    mailbox::{Mailbox, told, world_with},
    raw_receiver::{Behaviour, FullBacklog, RawReceiver},
    receiver::{Receiver, Reply},
    site::Site,
    world::{COOP, Holder, World},
};

/// A port of this machine at which nobody listens.
fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port()
}

#[track_caller]
fn because(record: &Record, reason: &str) {
    assert!(record.reason.as_str().is_some_and(|text| text.contains(reason)), "{reason}: {record:?}");
    assert!(record.reason.as_str().is_some_and(|text| text.chars().count() < 310), "it is short");
}

#[test]
fn a_receiver_that_cannot_be_reached_has_its_reason() {
    let isolation = Isolation::with(|wish| {
        wish.config.egress.allow =
            vec!["127.0.0.0/8".parse().expect("a block"), "10.0.0.0/8".parse().expect("a block")];
        wish.look_up = Arc::new(|host, _| Err(std::io::Error::other(format!("no such name: {host}"))));
    });
    let refused = format!("http://127.0.0.1:{}/", closed_port());
    because(&isolation.attempt("refused", &refused, json!({})), "connection refused: nothing listens at its port");
    because(&isolation.attempt("unknown", "http://unknown.example/", json!({})), "does not exist, has no address");
    let full = FullBacklog::new();
    because(&isolation.attempt("never accepts", &full.url(), json!({})), "no connection in time");
    let raw = RawReceiver::new(|peer| peer.hold_open());
    because(&isolation.attempt("hangs", &raw.url(), json!({})), "connected, but no answer in time");
    let raw = RawReceiver::new(|peer| {
        peer.read_request();
        peer.send("HTTP/1.1 2");
        peer.hold_open();
    });
    because(&isolation.attempt("hangs within", &raw.url(), json!({})), "its headers did not end in time");
}

#[test]
fn an_answer_that_is_none_has_its_reason() {
    let isolation = Isolation::new();
    let cases: [(&str, Behaviour, &str); 4] = [
        ("resets", |peer| peer.reset_on_close(), "reset the connection"),
        ("closes", |_| (), "closed the connection before it answered"),
        ("closes within", |peer| _ = peer.send("HTTP/1.1 2"), "closed the connection within the headers"),
        (
            "speaks SSH",
            |peer| _ = peer.send("SSH-2.0-OpenSSH_9.6\u{1b}[2J\r\n\r\n"),
            "not HTTP/1.1: it begins with \"SSH-2.0-OpenSSH_9.6\\u{1b}[2J",
        ),
    ];
    for (name, end, reason) in cases {
        let raw = RawReceiver::new(move |peer| {
            peer.read_request();
            end(peer);
        });
        because(&isolation.attempt(name, &raw.url(), json!({})), reason);
    }
}

#[test]
fn a_redirect_is_named_without_its_secrets() {
    let isolation = Isolation::new();
    for (location, shown) in [
        (
            "https://user:word@elsewhere.example/path/that/is/long?key=secret#secret",
            "it redirects to https://***@elsewhere.example/path/that/i...",
        ),
        ("/login?next=secret", "it redirects to /login"),
        ("//elsewhere.example/#secret", "it redirects to //elsewhere.example/"),
        ("[Resume the webhook now](https://elsewhere.example)", "it redirects to ***"),
    ] {
        let raw = RawReceiver::new(move |peer| {
            peer.read_request();
            peer.send(format!("HTTP/1.1 307 Go\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n"));
        });
        let record = isolation.attempt("redirects", &raw.url(), json!({}));
        assert_eq!((&record.reason, &record.status), (&json!(shown), &json!(307)));
        let headers = record.headers.as_str().expect("headers");
        assert!(
            !headers.contains("secret") && !headers.contains("word") && headers.contains("location: "),
            "{headers}"
        );
    }
}

#[test]
fn the_headers_of_a_failure_are_kept_in_part_and_without_secrets() {
    let isolation = Isolation::new();
    let secret = "hidden-7f3a";
    let raw = RawReceiver::new(move |peer| {
        peer.read_request();
        peer.send(format!(
            "HTTP/1.1 500 No\r\nserver: nginx\r\nx-request-id: 42\r\nset-cookie: sid={secret}\r\nX-Api-Key: {secret}\r\n\
             authorization: Bearer {secret}\r\nx-csrf-token: {secret}\r\nx-session: {secret}\r\nx-colour: \u{202e}red\r\n\
             content-length: 2\r\n\r\nno"
        ));
    });
    let record = isolation.attempt("fails", &raw.url(), json!({}));
    let headers = record.headers.as_str().expect("headers");
    for line in
        ["server: nginx\n", "x-request-id: 42\n", "set-cookie: ***\n", "x-api-key: ***\n", "authorization: ***\n"]
    {
        assert!(headers.contains(line), "{line}: {headers}");
    }
    assert!(!headers.contains(secret) && headers.contains("x-colour: \\u{202e}red"), "{headers}");
    assert_eq!(record.reason, Value::Null, "the status says it all");
    let raw = RawReceiver::new(|peer| {
        peer.read_request();
        let long = format!("x-long: {}\r\n", "é".repeat(900)).repeat(4);
        peer.send(format!("HTTP/1.1 500 No\r\n{long}content-length: 2\r\n\r\nno"));
    });
    let record = isolation.attempt("fails at length", &raw.url(), json!({}));
    let length = record.headers.as_str().expect("headers").len();
    assert!((4093..=4096).contains(&length), "{length}");
    // The account's count of stored bytes equals the bytes that are stored.
    let counted: u64 = query(&isolation.world, &format!("SELECT stored_bytes FROM account WHERE id = '{COOP}'"));
    let stored: u64 = query(
        &isolation.world,
        "SELECT (SELECT sum(octet_length(body)) FROM event)
           + (SELECT sum(ifnull(octet_length(response), 0) + ifnull(octet_length(headers), 0)) FROM attempt)",
    );
    assert_eq!(counted, stored);
}

#[test]
fn a_delivered_attempt_keeps_neither() {
    let isolation = Isolation::new();
    let good = Receiver::new();
    good.always(Reply::Answer(200, "x-request-id: 42\r\n", b"ok".to_vec()));
    let record = isolation.attempt("good", &good.url(), json!({}));
    assert_eq!((record.reason, record.headers, record.body), (Value::Null, Value::Null, json!("ok")));
    let kept: u64 = query(
        &isolation.world,
        "SELECT count(*) FROM attempt WHERE failure IS NULL AND (reason IS NOT NULL OR headers IS NOT NULL)",
    );
    assert_eq!(kept, 0);
}

#[test]
fn the_reason_is_shown_wherever_an_attempt_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut mailbox = Mailbox::within(folder.path());
    let own = Receiver::new();
    let world = world_with(&mailbox.url(), |wish| {
        wish.config.alerts.webhook_url = Secret::from(own.url());
        wish.config.alerts.webhook_secret = Secret::from("any text".to_owned());
        wish.config.asilichain.waits.clear();
    });
    let (coop, operator, customer) = (world.coop(), world.operator(), world.customer());
    let reason = "connection refused: nothing listens at its port";
    let url = format!("http://127.0.0.1:{}/", closed_port());
    let webhook = coop.webhook(&url, &["*"], "s");
    let test = coop.post(&format!("/webhooks/{webhook}/test"), json!({})).expect(200);
    assert_eq!((&test["error_reason"], &test["response_headers"]), (&json!(reason), &Value::Null));
    let published = coop.publish("dds.filed", json!({}));
    let delivery = published["deliveries"][0]["delivery_id"].as_str().expect("an id").to_owned();
    world.settle();
    assert_eq!(coop.delivery(&webhook, &delivery)["attempts"][0]["error_reason"], reason);
    let seen = operator.get(&format!("/operator/deliveries/{delivery}")).expect(200);
    assert_eq!(seen["attempts"][0]["error_reason"], reason);
    told(&world);
    assert_eq!(own.only().json()["data"]["error_reason"], reason);
    assert_eq!(operator.get("/operator/alerts").expect(200)["alerts"][0]["error_reason"], reason);
    let mail = mailbox.wait_for(1).remove(0);
    assert!(mail.text().contains(&format!("reason         {reason}")), "{}", mail.text());
    let page = browser::of(&world, COOP, "webhooks,events").get(&format!("/ui/deliveries/{delivery}"));
    assert!(page.text.contains(reason), "{}", page.text);
    // The other vendor.
    customer.post("/v1/webhooks", json!({ "callback_url": url })).expect(201);
    let task = json!({
        "event": "task.settled", "task_id": "t", "consensus_label": "cat", "confidence": 1.0, "bsv_txid": "x",
        "settled_at": "2026-04-08T21:05:00Z",
    });
    customer.post("/v1/events", task).expect(202);
    world.settle();
    let record = customer.get("/v1/tasks/t").expect(200);
    assert_eq!(record["deliveries"][0]["attempts"][0]["error_reason"], reason, "{record}");
}

#[test]
fn the_address_of_a_refused_target_is_shown_to_the_operator_alone() {
    let mut world = World::with(|wish| {
        wish.config.asilichain.waits.clear();
        wish.look_up = Arc::new(|_, port| Ok(vec![([127, 7, 7, 7], port).into()]));
    });
    let webhook = world.coop().webhook("http://inside.example:1/", &["*"], "s");
    world.config.egress.allow.clear();
    world.restart();
    let (coop, operator) = (world.coop(), world.operator());
    let published = coop.publish("dds.filed", json!({}));
    let delivery = published["deliveries"][0]["delivery_id"].as_str().expect("an id").to_owned();
    world.settle();
    let theirs = coop.delivery(&webhook, &delivery).to_string();
    assert!(theirs.contains("do not allow its address") && !theirs.contains("127.7.7.7"), "{theirs}");
    let test = coop.post(&format!("/webhooks/{webhook}/test"), json!({})).text;
    assert!(test.contains("do not allow its address") && !test.contains("127.7.7.7"), "{test}");
    let ours = operator.get(&format!("/operator/deliveries/{delivery}")).expect(200).to_string();
    assert!(ours.contains("the address 127.7.7.7 is not allowed"), "{ours}");
    let path = format!("/ui/deliveries/{delivery}");
    let page = browser::of(&world, COOP, "webhooks,events").get(&path).text;
    assert!(page.contains("do not allow its address") && !page.contains("127.7.7.7"), "{page}");
    assert!(browser::operator(&world).get(&path).text.contains("127.7.7.7"));
    let everything = world.client(&world.token_for(Holder::Operator, "operator"));
    assert_eq!(everything.get("/operator/alerts").expect(200)["alerts"][0]["error"], "blocked");
}

#[test]
fn the_line_of_a_failed_attempt_says_why() {
    let mut site = Site::new();
    site.set("LOG__LEVEL", "info");
    let server = site.start();
    server.coop().webhook(&format!("http://127.0.0.1:{}/", closed_port()), &["*"], "s");
    server.coop().publish("dds.filed", json!({}));
    server.running.error_with("outcome=connect reason=\"connection refused: nothing listens at its port\"");
}
