//! The promises of AsiliChain's page: registration, events, schedule, suspension, resumption.

use std::time::Duration;

use ngoma::domain::signature::SigningSecret;
use serde_json::{Value, json};

use crate::support::{
    browser,
    receiver::{Receiver, Reply},
    world::{COOP, Client, Holder, OTHER_COOP, World},
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
fn registering_answers_201_with_what_was_registered() {
    let world = World::new();
    let events = json!(["batch.delivered", "batch.exported", "batch.settled", "dds.generated"]);
    let url = "http://127.0.0.1:1/asilichain-webhook";
    let body = json!({ "url": url, "events": events, "cooperative_id": COOP, "secret": "your_webhook_signing_secret" });
    let webhook = world.coop().post("/webhooks", body).expect(201);
    let keys: Vec<&String> = webhook.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["webhook_id", "url", "events", "cooperative_id", "status", "created_at"]);
    assert!(webhook["webhook_id"].as_str().is_some_and(|id| id.starts_with("wh_0")), "{webhook}");
    assert_eq!(webhook["url"], url);
    assert_eq!(webhook["events"], events);
    assert_eq!(webhook["status"], "ACTIVE");
    assert_eq!(webhook["created_at"], "2026-04-20T11:55:00Z");
}

#[test]
fn a_secret_left_out_is_made_and_shown_once() {
    let world = World::new();
    let receiver = Receiver::new();
    let coop = world.coop();
    let body = json!({ "url": receiver.url(), "events": ["*"], "cooperative_id": COOP });
    let webhook = coop.post("/webhooks", body).expect(201);
    let secret = SigningSecret::parse(webhook["secret"].as_str().expect("a secret").to_owned()).expect("usable");
    let path = format!("/webhooks/{}", webhook["webhook_id"].as_str().expect("an id"));
    for path in ["/webhooks", &path] {
        assert!(!coop.get(path).text.contains("secret"), "never shown again");
    }
    coop.publish("dds.filed", json!({}));
    world.settle();
    let post = receiver.only();
    assert!(secret.verifies_body(&post.body, post.header("X-AsiliChain-Signature")));
}

#[test]
fn an_event_reaches_the_webhook_that_asked_for_it_in_the_page_s_form() {
    let world = World::new();
    let receiver = Receiver::new();
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["batch.exported"], "s3cret");
    coop.post_text(
        "/events",
        &format!(r#"{{"event":"batch.exported","cooperative_id":"{COOP}","data":{{ "weight_kg": 450.00, "7": 1, "token_id": 4821 }}}}"#),
    )
    .expect(202);
    world.settle();
    assert_eq!(
        receiver.only().text(),
        format!(
            r#"{{"webhook_id":"{webhook}","event":"batch.exported","api_version":"2026-04-01","created_at":"2026-04-20T11:55:00Z","data":{{"7":1,"weight_kg":450,"token_id":4821}}}}"#
        )
    );
}

#[test]
fn the_headers_let_both_kinds_of_library_verify() {
    let world = World::new();
    let receiver = Receiver::new();
    let coop = world.coop();
    coop.webhook(&receiver.url(), &["*"], "s3cret");
    let event = coop.publish("batch.graded", json!({}));
    world.settle();
    let post = receiver.only();
    let secret = SigningSecret::parse("s3cret".to_owned()).expect("a secret");
    let (_, vendor) =
        post.headers.iter().find(|(name, _)| name == "X-AsiliChain-Signature").expect("in this letter case");
    assert!(secret.verifies_body(&post.body, vendor));
    assert_eq!(post.header("webhook-id"), event["event_id"]);
    assert_eq!(post.header("webhook-timestamp"), "1776686100");
    let standard = post.header("webhook-signature");
    assert!(secret.verifies_standard(post.header("webhook-id"), world.now(), &post.body, standard), "{standard}");
    assert_eq!(post.header("content-type"), "application/json");
    assert_eq!(post.header("user-agent"), concat!("ngoma/", env!("CARGO_PKG_VERSION")));
    assert_eq!(post.header("ngoma-delivery"), event["deliveries"][0]["delivery_id"]);
    assert_eq!(post.header("ngoma-attempt"), "1");
    assert_eq!(post.header("ngoma-test"), "");
}

#[test]
fn created_at_is_sent_as_given_and_defaults_to_the_moment_of_acceptance() {
    let world = World::new();
    let receiver = Receiver::new();
    let coop = world.coop();
    coop.webhook(&receiver.url(), &["*"], "s3cret");
    let given = "2026-04-20T14:55:00.5+03:00";
    let body = json!({ "event": "dds.filed", "cooperative_id": COOP, "data": {}, "created_at": given });
    assert_eq!(coop.post("/events", body).expect(202)["created_at"], given);
    assert_eq!(coop.publish("dds.filed", json!({}))["created_at"], "2026-04-20T11:55:00Z");
    world.settle();
    let stated: Vec<Value> = receiver.posts().iter().map(|post| post.json()["created_at"].clone()).collect();
    assert!(stated.contains(&json!(given)) && stated.contains(&json!("2026-04-20T11:55:00Z")), "{stated:?}");
}

#[test]
fn a_webhook_gets_what_it_subscribed_to_and_nothing_else() {
    let world = World::new();
    let coop = world.coop();
    let cases: [(&[&str], &[&str]); 4] = [
        (&["*"], &["batch.exported", "dds.filed", "dds.generated", "payout.failed"]),
        (&["dds.*"], &["dds.filed", "dds.generated"]),
        (&["batch.*", "payout.failed"], &["batch.exported", "payout.failed"]),
        (&["dds.filed"], &["dds.filed"]),
    ];
    let receivers: Vec<Receiver> = cases.iter().map(|_| Receiver::new()).collect();
    for (receiver, (filter, _)) in receivers.iter().zip(&cases) {
        coop.webhook(&receiver.url(), filter, "s3cret");
    }
    for event in ["batch.exported", "dds.filed", "dds.generated", "payout.failed"] {
        coop.publish(event, json!({}));
    }
    world.settle();
    for (receiver, (filter, expected)) in receivers.iter().zip(&cases) {
        let mut got: Vec<String> =
            receiver.posts().iter().map(|post| post.json()["event"].as_str().expect("a name").to_owned()).collect();
        got.sort();
        assert_eq!(got, *expected, "{filter:?}");
    }
}

#[test]
fn an_event_that_nobody_asked_for_is_accepted_with_no_deliveries() {
    let world = World::new();
    let accepted = world.coop().publish("loan.repaid", json!({}));
    assert_eq!(accepted["deliveries"], json!([]));
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
fn suspension_holds_what_else_is_pending() {
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
        ("retry-after: soon\r\n", "2026-04-20T11:55:30.000Z"),
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

#[test]
fn the_catalogue_lists_the_page_s_15_events_with_samples() {
    let world = World::new();
    let types = world.coop().get("/event-types").expect(200);
    let types = types.as_array().expect("a list");
    assert_eq!(types.len(), 15);
    let page = include_str!("events.txt");
    for (event, line) in types.iter().zip(page.lines()) {
        let [name, trigger, useful_for] = line.split(" | ").collect::<Vec<_>>()[..] else {
            panic!("three cells: {line}")
        };
        assert_eq!([&event["name"], &event["trigger"], &event["useful_for"]], [name, trigger, useful_for]);
        assert!(event["sample"].as_object().is_some_and(|sample| sample.len() > 3), "{event}");
    }
}

#[test]
fn a_test_carries_the_cooperative_s_own_id_from_the_api_and_from_the_dashboard() {
    let world = World::new();
    let receiver = Receiver::new();
    let coop = world.client(&world.token_for(Holder::Account(OTHER_COOP.to_owned()), "webhooks"));
    let body = json!({ "url": receiver.url(), "events": ["*"], "cooperative_id": OTHER_COOP });
    let webhook = coop.post("/webhooks", body).expect(201)["webhook_id"].as_str().expect("an id").to_owned();
    let browser = browser::of(&world, OTHER_COOP, "webhooks");
    let mut named = 0;
    for event in coop.get("/event-types").expect(200).as_array().expect("a list") {
        let name = event["name"].as_str().expect("a name");
        coop.post(&format!("/webhooks/{webhook}/test"), json!({ "event": name })).expect(200);
        let page = browser.post(&format!("/ui/webhooks/{webhook}/test"), &[("event", name)]);
        assert_eq!(page.status, 200, "{}", page.text);
        let posts = receiver.posts();
        let [by_api, by_dashboard] = &posts[posts.len() - 2..] else { panic!("two tests came") };
        assert_eq!(
            (by_api.json()["event"].as_str(), &by_api.json()["data"]),
            (Some(name), &by_dashboard.json()["data"])
        );
        assert!(!by_api.text().contains(COOP), "{}", by_api.text());
        if event["sample"].get("cooperative_id").is_some() {
            assert_eq!(by_api.json()["data"]["cooperative_id"], OTHER_COOP);
            named += 1;
        }
    }
    assert!(named >= 5, "{named} samples name a cooperative");
}
