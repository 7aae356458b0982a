//! The statistics of a webhook, for its own account.

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{
    receiver::{Receiver, Reply},
    world::{COOP, Holder, OTHER_COOP, World},
};

#[test]
fn a_webhook_s_statistics_are_measured_from_its_attempts() {
    let world = World::new();
    let (receiver, other) = (Receiver::new(), Receiver::new());
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s");
    let beside = coop.webhook(&other.url(), &["loan.repaid"], "s");
    let path = format!("/webhooks/{webhook}/stats");
    let none = json!({ "webhook_id": webhook, "delivered_24h": 0, "failed_24h": 0, "success_percent_24h": null,
                       "p50_ms_24h": null, "p95_ms_24h": null, "waiting": 0, "held": 0, "failed_not_replayed": 0,
                       "last_success_at": null, "last_error_at": null, "last_error": null, "last_error_reason": null,
                       "last_error_status": null });
    assert_eq!(coop.get(&path).expect(200), none);
    for number in 0..20 {
        receiver.next([Reply::status(if number < 15 { 200 } else { 503 })]);
        coop.publish(if number == 0 { "loan.repaid" } else { "dds.filed" }, json!({}));
        world.settle();
    }
    // The attempts took 3, 6, 9 ... 60 ms.
    let conn = Connection::open(world.database()).expect("the file");
    let own = "(SELECT key FROM delivery WHERE endpoint = 1)";
    let spread = format!(
        "UPDATE attempt SET duration_ms = 3 * (SELECT count(*) FROM attempt a WHERE a.delivery IN {own} AND a.delivery <= attempt.delivery)
         WHERE delivery IN {own}"
    );
    assert_eq!(conn.execute(&spread, []).expect("it is spread"), 20);
    let stats = coop.get(&path).expect(200);
    for (name, value) in [
        ("delivered_24h", json!(15)),
        ("failed_24h", json!(5)),
        ("success_percent_24h", json!(75.0)),
        ("p50_ms_24h", json!(30)),
        ("p95_ms_24h", json!(57)),
        ("waiting", json!(5)),
        ("failed_not_replayed", json!(0)),
        ("last_error", json!("status")),
        ("last_error_status", json!(503)),
        ("last_error_at", json!("2026-04-20T11:55:00.000Z")),
    ] {
        assert_eq!(stats[name], value, "{name}: {stats}");
    }
    let one = coop.get(&format!("/webhooks/{beside}/stats")).expect(200);
    assert_eq!((&one["delivered_24h"], &one["last_error"]), (&json!(1), &Value::Null), "each its own");
}

#[test]
fn the_statistics_say_what_was_given_up_and_why_the_last_attempt_failed() {
    let world = World::new();
    let receiver = Receiver::new();
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s");
    coop.publish("dds.filed", json!({}));
    world.settle();
    receiver.always(Reply::status(410));
    let failed =
        coop.publish("dds.filed", json!({}))["deliveries"][0]["delivery_id"].as_str().expect("an id").to_owned();
    world.settle();
    coop.post(&format!("/webhooks/{webhook}/test"), json!({})).expect(200);
    coop.publish("dds.filed", json!({}));
    let stats = || coop.get(&format!("/webhooks/{webhook}/stats")).expect(200);
    assert_eq!((&stats()["held"], &stats()["failed_not_replayed"]), (&json!(1), &json!(1)), "a test is not counted");
    assert_eq!(&stats()["last_success_at"].as_str().expect("a time")[..19], "2026-04-20T11:55:00");
    receiver.always(Reply::status(200));
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": "ACTIVE", "resend_failed": false })).expect(200);
    coop.post(&format!("/webhooks/{webhook}/replay/{failed}"), json!({})).expect(202);
    world.settle();
    assert_eq!((&stats()["held"], &stats()["failed_not_replayed"]), (&json!(0), &json!(0)), "it was replayed");
    // Nothing listens there: the reason is that of the attempt.
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "url": "http://127.0.0.1:1/" })).expect(200);
    world.advance("2d");
    let refused =
        coop.publish("dds.filed", json!({}))["deliveries"][0]["delivery_id"].as_str().expect("an id").to_owned();
    world.settle();
    let attempt = &coop.delivery(&webhook, &refused)["attempts"][0];
    let stats = stats();
    assert_eq!((&stats["last_error"], &stats["last_error_reason"]), (&json!("connect"), &attempt["error_reason"]));
    assert!(attempt["error_reason"].is_string(), "{attempt}");
    assert_eq!((&stats["delivered_24h"], &stats["failed_24h"]), (&json!(0), &json!(1)), "of the last 24 hours");
    assert_eq!((&stats["success_percent_24h"], &stats["p95_ms_24h"]), (&json!(0.0), &Value::Null), "nothing answered");
}

#[test]
fn an_account_sees_the_statistics_of_its_own_webhooks_alone() {
    let world = World::new();
    let coop = world.coop();
    let webhook = coop.webhook(&Receiver::new().url(), &["*"], "s");
    let path = format!("/webhooks/{webhook}/stats");
    let foreign = world.client(&world.token_for(Holder::Account(OTHER_COOP.to_owned()), "webhooks"));
    assert_eq!(foreign.get(&path).code(404), "WEBHOOK_NOT_FOUND");
    let narrow = world.client(&world.token_for(Holder::Account(COOP.to_owned()), "events"));
    assert_eq!(narrow.get(&path).code(403), "FORBIDDEN");
    coop.delete(&format!("/webhooks/{webhook}"));
    assert_eq!(coop.get(&path).code(404), "WEBHOOK_NOT_FOUND");
}
