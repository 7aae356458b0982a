//! The promises of AsiliChain's page: registration, events, schedule, suspension, resumption.

use ngoma::domain::signature::SigningSecret;
use serde_json::{Value, json};

use crate::support::{
    receiver::Receiver,
    world::{COOP, Holder, OTHER_COOP, World},
};

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
    assert_eq!(post.header("accept"), "*/*");
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
fn an_idempotency_key_makes_a_repeat_harmless() {
    let world = World::new();
    let receiver = Receiver::new();
    let coop = world.coop();
    coop.webhook(&receiver.url(), &["*"], "s");
    let body = json!({ "event": "dds.filed", "cooperative_id": COOP, "data": { "n": 1 } });
    let publish = |key: &str, body: &Value| {
        let headers = [("content-type", "application/json"), ("Idempotency-Key", key)];
        coop.send("POST", "/events", &headers, Some(body.to_string().as_bytes()))
    };
    let first = publish("order-17", &body).expect(202);
    world.advance("1h");
    assert_eq!(publish("\"order-17\"", &body).expect(202), first, "quoted or bare, the same key");
    let other = json!({ "event": "dds.filed", "cooperative_id": COOP, "data": { "n": 2 } });
    assert_eq!(publish("order-17", &other).code(422), "IDEMPOTENCY_KEY_REUSED");
    assert_ne!(publish("order-18", &other).expect(202)["event_id"], first["event_id"]);
    assert_eq!(publish("", &body).code(400), "INVALID_REQUEST");
    assert_eq!(publish(&"k".repeat(256), &body).code(400), "INVALID_REQUEST");
    world.settle();
    assert_eq!(receiver.posts().len(), 2, "{:?}", receiver.posts());
    let foreign = world.client(&world.token_for(Holder::Account(OTHER_COOP.to_owned()), "events"));
    let theirs = json!({ "event": "dds.filed", "data": { "n": 1 } });
    let headers = [("content-type", "application/json"), ("Idempotency-Key", "order-17")];
    let accepted = foreign.send("POST", "/events", &headers, Some(theirs.to_string().as_bytes())).expect(202);
    assert_ne!(accepted["event_id"], first["event_id"], "a key is the cooperative's own");
}

#[test]
fn an_event_can_be_looked_at_with_its_data_and_deliveries() {
    let world = World::new();
    let receiver = Receiver::new();
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s");
    let accepted = coop.publish("dds.filed", json!({ "n": 1.50, "deep": [{ "x": null }] }));
    world.settle();
    let event = coop.get(&format!("/events/{}", accepted["event_id"].as_str().expect("an id"))).expect(200);
    assert_eq!(event["data"], json!({ "n": 1.5, "deep": [{ "x": null }] }));
    assert_eq!((&event["event"], &event["cooperative_id"]), (&json!("dds.filed"), &json!(COOP)));
    assert_eq!(event["created_at"], accepted["created_at"]);
    let delivery = &event["deliveries"][0];
    let keys: Vec<&String> = delivery.as_object().expect("an object").keys().collect();
    let expected = [
        "delivery_id",
        "webhook_id",
        "event_id",
        "event",
        "status",
        "attempt_count",
        "created_at",
        "next_attempt_at",
        "response_status",
        "error",
        "replay_of",
        "newest_replay",
        "newest_replay_status",
        "test",
    ];
    assert_eq!(keys, expected);
    assert_eq!((&delivery["webhook_id"], &delivery["status"]), (&json!(webhook), &json!("DELIVERED")));
    assert_eq!(coop.get("/events/evt_01HXYZ6Z9Y8X7W6V5T4S3R2Q1P").code(404), "EVENT_NOT_FOUND");
}

#[test]
fn data_that_no_receiver_could_read_exactly_is_refused_with_its_path() {
    let world = World::new();
    let coop = world.coop();
    let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    let cases = [
        (r#"{"a":[1,{"id":9007199254740993}]}"#, "data.a[1].id"),
        (r#"{"a":1e400}"#, "data.a"),
        (r#"{"a":"\ud800"}"#, "data.a"),
        (&format!(r#"{{"a":{deep}}}"#), "nested too deep"),
        (r#"[1]"#, "data is no JSON object"),
        (r#""text""#, "data is no JSON object"),
        ("null", "data"),
    ];
    for (data, word) in cases {
        let answer =
            coop.post_text("/events", &format!(r#"{{"event":"dds.filed","cooperative_id":"{COOP}","data":{data}}}"#));
        assert!(answer.status == 422 || answer.status == 400, "{}", answer.text);
        assert!(answer.text.contains(word), "{data}: {}", answer.text);
    }
}
