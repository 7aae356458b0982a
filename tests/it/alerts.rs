//! When a webhook is suspended, a person is told: durably, in the same transaction; the log until there is mail.

use serde_json::json;

use crate::{
    program::{Running, ngoma, word_after},
    receiver::{Receiver, Reply},
    world::{Client, World},
};

#[test]
fn a_suspension_is_logged_at_warn_with_addressee_reason_and_the_line_that_resumes() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut make = ngoma(
        folder.path(),
        &["account", "create", "--profile", "asilichain", "--id", "COOP-1", "--alert-email", "ops@coop.example"],
    );
    assert!(make.status().expect("it runs").success());
    let token = ["token", "create", "--account", "COOP-1", "--scope", "webhooks,events", "--json"];
    let made = crate::program::run(folder.path(), &token).1;
    let made: serde_json::Value = serde_json::from_str(&made).expect("JSON");
    let receiver = Receiver::new();
    receiver.always(Reply::status(410));
    let mut serve = ngoma(folder.path(), &["serve", "--listen", "127.0.0.1:0"]);
    serve
        .env("NGOMA_EGRESS__ALLOW", "[\"127.0.0.0/8\"]")
        .env("NGOMA_EGRESS__ALLOW_HTTP", "true")
        .env("NGOMA_LOG__FORMAT", "json");
    let mut server = Running::start(&mut serve);
    let coop =
        Client::at(word_after(&server.line_with("address"), "address"), made["token"].as_str().expect("a token"));
    let body = json!({ "url": format!("{}?key=hidden", receiver.url()), "events": ["*"], "cooperative_id": "COOP-1" });
    let webhook = coop.post("/webhooks", body).expect(201)["webhook_id"].as_str().expect("an id").to_owned();
    coop.post("/events", json!({ "event": "dds.filed", "data": {} })).expect(202);
    receiver.wait_for(1);
    // The stop waits for the outcome to be written, and so for the alert.
    server.signal("TERM");
    assert!(server.wait().success());
    let log = server.log();
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect();
    let alert = lines.iter().find(|line| line["level"] == "WARN").unwrap_or_else(|| panic!("an alert: {log}"));
    assert_eq!((&alert["to"], &alert["webhook"]), (&json!("ops@coop.example"), &json!(webhook)));
    assert_eq!(
        (&alert["last_error"], &alert["last_status"], &alert["held"]),
        (&json!("status"), &json!(410), &json!(0))
    );
    assert_eq!(alert["url"], receiver.url(), "without the query, which may hold a secret");
    let line = alert["resume_by"].as_str().expect("a line");
    assert!(line.contains("PATCH") && line.contains(&webhook) && line.contains("ACTIVE"), "{line}");
    assert!(alert["failing_since"].is_string() && alert["suspended_at"].is_string());
}

#[test]
fn an_alert_is_durable_and_told_once() {
    let world = World::new();
    let receiver = Receiver::new();
    receiver.always(Reply::status(500));
    let coop = world.coop();
    coop.webhook(&receiver.url(), &["*"], "s");
    coop.publish("dds.filed", json!({}));
    world.settle();
    for wait in ["30s", "5m", "30m", "119m50s"] {
        world.advance(wait);
    }
    coop.publish("dds.filed", json!({}));
    world.settle();
    world.advance("10s");
    let file = rusqlite::Connection::open(world.database()).expect("the file");
    let row = file.query_row("SELECT count(*), min(held), min(addressee), min(told_at) FROM alert", [], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, String>(2)?, row.get::<_, Option<i64>>(3)?))
    });
    let (count, held, addressee, told_at) = row.expect("a row");
    assert_eq!((count, addressee.as_str()), (1, "ops@coop.example"), "one suspension, one alert");
    assert_eq!(held, 1, "what waited for a retry is held");
    assert!(told_at.is_some());
}

#[test]
fn pausing_by_hand_alerts_nobody() {
    let world = World::new();
    let coop = world.coop();
    let webhook = coop.webhook("http://127.0.0.1:1/", &["*"], "s");
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": "SUSPENDED" })).expect(200);
    world.settle();
    let file = rusqlite::Connection::open(world.database()).expect("the file");
    let count: i64 = file.query_row("SELECT count(*) FROM alert", [], |row| row.get(0)).expect("a count");
    assert_eq!(count, 0);
}
