//! Failed deliveries: the published schedule, and a webhook that is suspended and resumed.

use std::time::Duration;

use ngoma::domain::signature::SigningSecret;
use serde_json::{Value, json};

use crate::support::{
    client::Client,
    receiver::{Receiver, Reply},
    world::World,
};

/// Lets a webhook fail until it is suspended.
fn suspend(world: &World, coop: &Client, receiver: &Receiver) {
    receiver.always(Reply::status(500));
    coop.publish("batch.exported", json!({ "batch_id": "B-suspends" }));
    world.settle();
    for wait in ["30s", "5m", "30m", "2h"] {
        world.advance(wait);
    }
}

#[test]
fn a_failed_delivery_is_tried_five_times_on_the_published_schedule_and_then_suspended() {
    let world = World::new();
    let receiver = Receiver::new();
    receiver.always(Reply::status(500));
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
    coop.publish("batch.exported", json!({}));
    world.settle();
    for (wait, count) in [("30s", 2), ("5m", 3), ("30m", 4), ("2h", 5)] {
        assert_eq!(coop.status(&webhook), "ACTIVE");
        world.move_clock(humantime::parse_duration(wait).expect("a wait") - Duration::from_millis(1));
        world.settle();
        assert_eq!(receiver.posts().len(), count - 1, "not before {wait} have passed");
        world.advance("1ms");
        assert_eq!(receiver.posts().len(), count, "after {wait}");
    }
    assert_eq!(coop.status(&webhook), "SUSPENDED");
    world.advance("30d");
    assert_eq!(receiver.posts().len(), 5, "never more than five attempts");
    let details = coop.get(&format!("/webhooks/{webhook}")).expect(200);
    assert_eq!(details["suspended_at"], "2026-04-20T14:30:30Z");
    assert_eq!(details["suspended_reason"], "exhausted");
    assert_eq!(details["recent_deliveries"][0]["status"], "FAILED");
    assert!(receiver.posts().windows(2).all(|pair| pair[0].body == pair[1].body), "every attempt sends the same bytes");
    let ids: Vec<String> = receiver.posts().iter().map(|post| post.header("webhook-id").to_owned()).collect();
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "the same webhook-id: {ids:?}");
}

#[test]
fn each_attempt_is_signed_anew_with_its_own_time() {
    let world = World::new();
    let receiver = Receiver::new();
    receiver.next([Reply::status(500)]);
    let coop = world.coop();
    coop.webhook(&receiver.url(), &["*"], "s3cret");
    coop.publish("batch.exported", json!({}));
    world.settle();
    world.advance("30s");
    let [first, second] = &receiver.posts()[..] else { panic!("two attempts") };
    assert_eq!((first.header("webhook-timestamp"), second.header("webhook-timestamp")), ("1776686100", "1776686130"));
    let secret = SigningSecret::parse("s3cret".to_owned()).expect("a secret");
    assert!(secret.verifies_standard(
        second.header("webhook-id"),
        world.now(),
        &second.body,
        second.header("webhook-signature")
    ));
}

#[test]
fn while_suspended_everything_is_held_and_resuming_sends_it_with_a_fresh_schedule() {
    let world = World::new();
    let receiver = Receiver::new();
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
    suspend(&world, &coop, &receiver);
    for number in 0..3 {
        coop.publish("dds.filed", json!({ "number": number }));
    }
    world.advance("3h");
    assert_eq!(receiver.posts().len(), 5, "held, not sent");
    let details = coop.get(&format!("/webhooks/{webhook}")).expect(200);
    assert_eq!(details["held_deliveries"], 3);
    assert_eq!(details["recent_deliveries"][0]["status"], "HELD");
    receiver.next([Reply::status(500), Reply::status(500), Reply::status(500)]).always(Reply::status(500));
    let resumed = coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": "ACTIVE" })).expect(200);
    assert_eq!(resumed["status"], "ACTIVE");
    world.settle();
    assert_eq!(receiver.posts().len(), 9, "the one that failed and those that were held are due at once");
    for wait in ["30s", "5m", "30m"] {
        world.advance(wait);
    }
    receiver.always(Reply::status(200));
    world.advance("2h");
    assert_eq!(receiver.posts().len(), 25, "five attempts each, anew");
    assert_eq!(coop.status(&webhook), "ACTIVE");
    assert!(coop.deliveries(&webhook)[..4].iter().all(|delivery| delivery["status"] == "DELIVERED"));
    let details = coop.get(&format!("/webhooks/{webhook}")).expect(200);
    assert_eq!((&details["suspended_at"], &details["suspended_reason"]), (&Value::Null, &Value::Null));
}

#[test]
fn suspension_holds_other_pending_deliveries() {
    let world = World::new();
    let receiver = Receiver::new();
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
    receiver.always(Reply::status(500));
    coop.publish("batch.exported", json!({}));
    world.settle();
    for wait in ["30s", "5m", "30m"] {
        world.advance(wait);
    }
    world.advance("1h");
    coop.publish("dds.filed", json!({}));
    world.settle();
    assert_eq!(coop.deliveries(&webhook)[0]["status"], "PENDING");
    world.advance("1h");
    let [second, first] = &coop.deliveries(&webhook)[..] else { panic!("two deliveries") };
    assert_eq!((&first["status"], &second["status"]), (&json!("FAILED"), &json!("HELD")));
    assert_eq!(second["next_attempt_at"], Value::Null);
}

#[test]
fn an_answer_of_410_ends_the_delivery_and_suspends_at_once() {
    let world = World::new();
    let receiver = Receiver::new();
    receiver.always(Reply::status(410));
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
    coop.publish("batch.exported", json!({}));
    world.settle();
    let details = coop.get(&format!("/webhooks/{webhook}")).expect(200);
    assert_eq!((&details["status"], &details["suspended_reason"]), (&json!("SUSPENDED"), &json!("gone")));
    world.advance("3h");
    assert_eq!(receiver.posts().len(), 1);
}

#[test]
fn retry_after_lengthens_a_wait_but_never_shortens_it() {
    let world = World::new();
    let coop = world.coop();
    let cases = [
        ("retry-after: 120\r\n", "2026-04-20T11:57:00.000Z"),
        ("retry-after: 5\r\n", "2026-04-20T11:55:30.000Z"),
        ("retry-after: 999999\r\n", "2026-04-20T12:55:00.000Z"),
        ("retry-after: Mon, 20 Apr 2026 12:00:00 GMT\r\n", "2026-04-20T12:00:00.000Z"),
        ("retry-after: Monday, 20-Apr-26 12:00:00 GMT\r\n", "2026-04-20T12:00:00.000Z"),
        ("retry-after: Mon Apr 20 12:00:00 2026\r\n", "2026-04-20T12:00:00.000Z"),
        ("retry-after: 120.5\r\n", "2026-04-20T11:57:01.000Z"),
        ("retry-after: 120.0\r\n", "2026-04-20T11:57:00.000Z"),
        ("retry-after: soon\r\n", "2026-04-20T11:55:30.000Z"),
        ("retry-after: -120\r\n", "2026-04-20T11:55:30.000Z"),
        ("retry-after: 1e9\r\n", "2026-04-20T11:55:30.000Z"),
        ("retry-after: \r\n", "2026-04-20T11:55:30.000Z"),
    ];
    for (header, due) in cases {
        let receiver = Receiver::new();
        receiver.always(Reply::Answer(503, header, Vec::new()));
        let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
        coop.publish("batch.exported", json!({}));
        world.settle();
        assert_eq!(coop.deliveries(&webhook)[0]["next_attempt_at"], due, "{header}");
        coop.delete(&format!("/webhooks/{webhook}")).expect(204);
    }
}

#[test]
fn a_redirect_is_a_failure_and_is_not_followed() {
    let world = World::new();
    let (receiver, elsewhere) = (Receiver::new(), Receiver::new());
    let location: &'static str = Box::leak(format!("location: {}\r\n", elsewhere.url()).into_boxed_str());
    receiver.always(Reply::Answer(307, location, Vec::new()));
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
    coop.publish("batch.exported", json!({}));
    world.settle();
    assert!(elsewhere.posts().is_empty());
    let delivery = &coop.deliveries(&webhook)[0];
    assert_eq!((&delivery["response_status"], &delivery["error"]), (&json!(307), &json!("status")));
}
