//! Recoveries: an account replays the deliveries that a webhook has missed, and sees their outcome.

use serde_json::{Value, json};

use crate::support::{
    aging::{age, pass},
    client::Client,
    database::query,
    receiver::{Receiver, Reply},
    world::{COOP, Holder, OTHER_COOP, World},
};

/// Before every delivery of a story.
pub const BEFORE: &str = "2026-04-20T00:00:00Z";

/// A webhook that is active again after these events were answered 410.
fn with_failed(world: &World, receiver: &Receiver, events: &[&str]) -> (Client, String) {
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
    receiver.always(Reply::status(410));
    for event in events {
        coop.publish(event, json!({}));
        world.settle();
        coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": "ACTIVE", "resend_failed": false })).expect(200);
    }
    receiver.always(Reply::status(200));
    (coop, webhook)
}

fn recover(coop: &Client, webhook: &str, body: Value) -> Value {
    let started = coop.post(&format!("/webhooks/{webhook}/recover"), body).expect(202);
    assert_eq!((&started["state"], &started["webhook_id"]), (&json!("RUNNING"), &json!(webhook)));
    started
}

fn count(coop: &Client, webhook: &str, mut body: Value) -> Value {
    body["since"] = body.get("since").cloned().unwrap_or(json!(BEFORE));
    body["dry_run"] = true.into();
    coop.post(&format!("/webhooks/{webhook}/recover"), body).expect(200)
}

/// The recovery once it has ended, as this client sees it.
fn ended(world: &World, client: &Client, recovery: &Value) -> Value {
    let path = format!("/recoveries/{}", recovery["recovery_id"].as_str().expect("an id"));
    for _ in 0..1000 {
        let seen = client.get(&path).expect(200);
        if seen["state"] != "RUNNING" {
            world.settle();
            return client.get(&path).expect(200);
        }
        world.advance("1s");
    }
    panic!("it never ends: {}", client.get(&path).text);
}

/// What became of the replays.
fn became(recovery: &Value) -> [u64; 3] {
    ["delivered", "failed", "waiting"].map(|member| recovery[member].as_u64().expect("a count"))
}

#[test]
fn an_account_lets_its_webhook_have_again_what_failed_and_sees_what_became_of_it() {
    let world = World::new();
    let receiver = Receiver::new();
    let (coop, webhook) = with_failed(&world, &receiver, &["batch.exported"; 3]);
    // The first comes, the second is refused for good, the third fails and waits.
    receiver.always(Reply::status(500)).next([Reply::status(200), Reply::status(410)]);
    let recovery = recover(&coop, &webhook, json!({ "since": BEFORE }));
    assert_eq!((&recovery["status"], &recovery["since"]), (&json!("FAILED"), &json!("2026-04-20T00:00:00.000Z")));
    let seen = ended(&world, &coop, &recovery);
    assert_eq!((&seen["state"], &seen["matched"], &seen["replayed"]), (&json!("DONE"), &json!(3), &json!(3)));
    assert_eq!(coop.status(&webhook), "SUSPENDED");
    assert_eq!(became(&seen), [1, 1, 1], "one is held: {seen}");
    receiver.always(Reply::status(200));
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": "ACTIVE" })).expect(200);
    world.settle();
    let seen = ended(&world, &coop, &recovery);
    assert_eq!(became(&seen), [2, 1, 0], "the resume's replay of the refused one is none of the recovery's: {seen}");
}

#[test]
fn a_dry_run_counts_and_sends_nothing() {
    let world = World::new();
    let receiver = Receiver::new();
    let (coop, webhook) = with_failed(&world, &receiver, &["batch.exported", "loan.repaid"]);
    assert_eq!(count(&coop, &webhook, json!({})), json!({ "matched": 2, "skipped": 0, "complete": true }));
    world.advance("1m");
    assert_eq!(receiver.posts().len(), 2);
    assert_eq!(coop.get("/recoveries").expect(200)["recoveries"], json!([]));
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": "SUSPENDED" })).expect(200);
    assert_eq!(count(&coop, &webhook, json!({}))["skipped"], 2, "also while it is suspended");
}

#[test]
fn a_recovery_takes_the_deliveries_of_a_time_an_event_and_an_error() {
    let world = World::new();
    let receiver = Receiver::new();
    let (coop, webhook) = with_failed(&world, &receiver, &["batch.exported", "loan.repaid"]);
    world.advance("1h");
    receiver.always(Reply::Close);
    coop.publish("dds.filed", json!({}));
    world.settle();
    ["30s", "5m", "30m", "2h"].iter().for_each(|wait| world.advance(wait));
    for (body, expected) in [
        (json!({}), 3),
        (json!({ "since": "2026-04-20T12:00:00Z" }), 1),
        (json!({ "until": "2026-04-20T12:00:00Z" }), 2),
        (json!({ "since": "2026-04-20T12:00:00Z", "until": "2026-04-20T12:30:00Z" }), 0),
        (json!({ "event": "loan.repaid" }), 1),
        (json!({ "error": "reset" }), 1),
        (json!({ "error": "status", "event": "batch.exported" }), 1),
    ] {
        assert_eq!(count(&coop, &webhook, body.clone())["matched"], expected, "{body}");
    }
    let path = format!("/webhooks/{webhook}/recover");
    for body in [
        json!({}),
        json!({ "since": "yesterday" }),
        json!({ "since": BEFORE, "until": "noon" }),
        json!({ "since": BEFORE, "status": "HELD" }),
        json!({ "since": BEFORE, "error": "bored" }),
    ] {
        assert_eq!(coop.post(&path, body.clone()).code(400), "INVALID_REQUEST", "{body}");
    }
}

#[test]
fn delivered_and_cancelled_deliveries_are_sent_again_only_when_the_status_asks_for_them() {
    let world = World::new();
    let receiver = Receiver::new();
    let (coop, webhook) = with_failed(&world, &receiver, &["batch.exported"]);
    coop.publish("loan.repaid", json!({}));
    world.settle();
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": "SUSPENDED" })).expect(200);
    let held = coop.publish("dds.filed", json!({}))["deliveries"][0]["delivery_id"].clone();
    let held = held.as_str().expect("an id");
    world.operator().post(&format!("/operator/deliveries/{held}/cancel"), json!({})).expect(200);
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": "ACTIVE", "resend_failed": false })).expect(200);
    coop.post(&format!("/webhooks/{webhook}/test"), json!({})).expect(200);
    let matched = |status: Value| count(&coop, &webhook, json!({ "status": status }))["matched"].clone();
    assert_eq!(count(&coop, &webhook, json!({}))["matched"], 1, "what failed");
    for (status, expected) in [("FAILED", 1), ("DELIVERED", 1), ("CANCELLED", 1), ("any", 3)] {
        assert_eq!(matched(json!(status)), expected, "{status}");
    }
    let before = receiver.posts().len();
    let recovery = recover(&coop, &webhook, json!({ "since": BEFORE, "status": "DELIVERED" }));
    let seen = ended(&world, &coop, &recovery);
    assert_eq!((became(&seen), &seen["status"]), ([1, 0, 0], &json!("DELIVERED")));
    assert_eq!(receiver.posts().len(), before + 1);
    assert_eq!(receiver.last().json()["event"], "loan.repaid");
    let recovery = recover(&coop, &webhook, json!({ "since": BEFORE, "status": "any" }));
    let seen = ended(&world, &coop, &recovery);
    assert_eq!((became(&seen), &seen["status"]), ([3, 0, 0], &json!("any")), "the replay just made counts too: {seen}");
}

#[test]
fn a_webhook_of_another_account_is_not_there_and_a_suspended_one_is_resumed_first() {
    let world = World::new();
    let receiver = Receiver::new();
    let (coop, webhook) = with_failed(&world, &receiver, &["batch.exported"]);
    let path = format!("/webhooks/{webhook}/recover");
    let foreign = world.client(&world.token_for(Holder::Account(OTHER_COOP.to_owned()), "webhooks,events"));
    for body in [json!({ "since": BEFORE }), json!({ "since": BEFORE, "dry_run": true })] {
        assert_eq!(foreign.post(&path, body).code(404), "WEBHOOK_NOT_FOUND");
    }
    let events = world.client(&world.token_for(Holder::Account(COOP.to_owned()), "events"));
    assert_eq!(events.post(&path, json!({ "since": BEFORE })).code(403), "FORBIDDEN");
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": "SUSPENDED" })).expect(200);
    let refused = coop.post(&path, json!({ "since": BEFORE }));
    assert!(refused.text.contains("resume it first"), "as of one replay: {}", refused.text);
    assert_eq!(refused.code(409), "WEBHOOK_SUSPENDED");
    coop.delete(&format!("/webhooks/{webhook}")).expect(204);
    assert_eq!(coop.post(&path, json!({ "since": BEFORE })).code(404), "WEBHOOK_NOT_FOUND");
}

#[test]
fn an_account_lists_looks_at_and_cancels_its_own_recoveries() {
    let world = World::new();
    let receiver = Receiver::new();
    let (coop, webhook) = with_failed(&world, &receiver, &["batch.exported"; 2]);
    receiver.always(Reply::Hang);
    let recovery = recover(&coop, &webhook, json!({ "since": BEFORE }));
    let path = format!("/recoveries/{}", recovery["recovery_id"].as_str().expect("an id"));
    let by_operator =
        world.operator().post("/operator/recoveries", json!({ "webhook_id": webhook, "account_id": COOP }));
    let by_operator = by_operator.expect(202)["recovery_id"].as_str().expect("an id").to_owned();
    let listed = coop.get("/recoveries").expect(200);
    let ids: Vec<&Value> =
        listed["recoveries"].as_array().expect("a list").iter().map(|one| &one["recovery_id"]).collect();
    assert_eq!(ids, [&json!(by_operator), &recovery["recovery_id"]], "newest first");
    assert_eq!(listed["recoveries"][0]["actor"], "somebody else");
    let first = coop.get("/recoveries?limit=1").expect(200);
    let second =
        coop.get(&format!("/recoveries?cursor={}", first["next_cursor"].as_str().expect("a cursor"))).expect(200);
    assert_eq!(second["recoveries"][0]["recovery_id"], recovery["recovery_id"]);
    assert_eq!(coop.post(&format!("/recoveries/{by_operator}/cancel"), json!({})).code(403), "FORBIDDEN");
    assert_eq!(coop.post(&format!("{path}/cancel"), json!({})).expect(200)["state"], "CANCELLED");
    assert_eq!(coop.get(&path).expect(200)["state"], "CANCELLED");
    let foreign = world.client(&world.token_for(Holder::Account(OTHER_COOP.to_owned()), "webhooks,events"));
    assert_eq!(foreign.get("/recoveries").expect(200)["recoveries"], json!([]));
    assert_eq!(foreign.get(&path).code(404), "RECOVERY_NOT_FOUND");
    assert_eq!(foreign.post(&format!("{path}/cancel"), json!({})).code(404), "RECOVERY_NOT_FOUND");
}

#[test]
fn a_restart_and_removed_replays_leave_what_became_of_them() {
    let mut world = World::new();
    let receiver = Receiver::new();
    let (coop, webhook) = with_failed(&world, &receiver, &["batch.exported"; 2]);
    receiver.next([Reply::status(200), Reply::status(500)]);
    let recovery = recover(&coop, &webhook, json!({ "since": BEFORE }));
    let seen = ended(&world, &coop, &recovery);
    assert_eq!(became(&seen), [1, 0, 1]);
    world.restart();
    world.advance("30s");
    let coop = world.coop();
    assert_eq!(became(&ended(&world, &coop, &recovery)), [2, 0, 0]);
    coop.publish("dds.filed", json!({}));
    world.settle();
    pass(&world);
    ["1h", "30d", "1h"].iter().for_each(|time| age(&world, time));
    let replays = "SELECT count(*) FROM delivery WHERE replay_of IS NOT NULL";
    assert_eq!(query::<i64>(&world, replays), 0, "they are removed");
    assert_eq!(became(&ended(&world, &coop, &recovery)), [2, 0, 0]);
}

#[test]
fn a_cancelled_replay_waits_no_more() {
    let world = World::new();
    let receiver = Receiver::new();
    let (coop, webhook) = with_failed(&world, &receiver, &["batch.exported"; 2]);
    receiver.always(Reply::status(500));
    let recovery = recover(&coop, &webhook, json!({ "since": BEFORE }));
    assert_eq!(became(&ended(&world, &coop, &recovery)), [0, 0, 2]);
    let waiting = coop.deliveries(&webhook)[0]["delivery_id"].as_str().expect("an id").to_owned();
    world.operator().post(&format!("/operator/deliveries/{waiting}/cancel"), json!({})).expect(200);
    assert_eq!(became(&ended(&world, &coop, &recovery)), [0, 0, 1]);
    coop.delete(&format!("/webhooks/{webhook}")).expect(204);
    let seen = ended(&world, &coop, &recovery);
    assert_eq!((became(&seen), &seen["replayed"]), ([0, 0, 0], &json!(2)));
}
