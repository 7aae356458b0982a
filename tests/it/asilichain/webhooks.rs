//! AsiliChain's webhook management: list, look, change, delete, replay, test, deliveries and their attempts; publishing.

use ngoma::domain::signature::SigningSecret;
use serde_json::{Value, json};

use crate::support::{
    receiver::{Receiver, Reply},
    world::{COOP, Holder, OTHER_COOP, World},
};

#[test]
fn the_list_shows_the_cooperative_s_webhooks_in_order() {
    let world = World::new();
    let coop = world.coop();
    assert_eq!(coop.get("/webhooks").expect(200), json!([]));
    let first = coop.webhook("http://127.0.0.1:1/one", &["*"], "s");
    let second = coop.webhook("http://127.0.0.1:1/two", &["dds.*"], "s");
    let listed = coop.get("/webhooks").expect(200);
    let ids: Vec<&Value> = listed.as_array().expect("a list").iter().map(|webhook| &webhook["webhook_id"]).collect();
    assert_eq!(ids, [&json!(first), &json!(second)]);
    assert_eq!(listed[1]["events"], json!(["dds.*"]));
}

#[test]
fn details_show_the_last_twenty_deliveries_newest_first() {
    let world = World::new();
    let receiver = Receiver::new();
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s");
    let mut events: Vec<Value> =
        (0..25).map(|number| coop.publish("dds.filed", json!({ "number": number }))["event_id"].clone()).collect();
    world.settle();
    let details = coop.get(&format!("/webhooks/{webhook}")).expect(200);
    let recent = details["recent_deliveries"].as_array().expect("a list");
    events.reverse();
    let shown: Vec<Value> = recent.iter().map(|delivery| delivery["event_id"].clone()).collect();
    assert_eq!(shown, events[..20]);
    assert_eq!(details["held_deliveries"], 0);
    assert_eq!((&details["suspended_at"], &details["suspended_reason"]), (&Value::Null, &Value::Null));
    assert_eq!(recent[0]["status"], "DELIVERED");
}

#[test]
fn patch_changes_url_and_events_and_leaves_the_rest() {
    let world = World::new();
    let (old, new) = (Receiver::new(), Receiver::new());
    let coop = world.coop();
    let webhook = coop.webhook(&old.url(), &["dds.filed"], "s3cret");
    let path = format!("/webhooks/{webhook}");
    let before = coop.get("/webhooks").expect(200)[0].clone();
    let changed = coop.patch(&path, json!({ "url": new.url(), "events": ["dds.filed", "loan.*"] })).expect(200);
    assert_eq!(changed["url"], new.url());
    assert_eq!(changed["events"], json!(["dds.filed", "loan.*"]));
    assert_eq!((&changed["status"], &changed["created_at"]), (&before["status"], &before["created_at"]));
    coop.publish("loan.repaid", json!({}));
    world.settle();
    let post = new.only();
    let secret = SigningSecret::parse("s3cret".to_owned()).expect("a secret");
    assert!(secret.verifies_body(&post.body, post.header("x-asilichain-signature")), "the secret is the same");
    assert!(old.posts().is_empty());
    assert_eq!(coop.patch(&path, json!({})).expect(200), changed, "nothing asked, nothing changed");
}

#[test]
fn a_new_url_is_used_for_deliveries_that_wait() {
    let world = World::new();
    let (old, new) = (Receiver::new(), Receiver::new());
    old.always(Reply::status(500));
    let coop = world.coop();
    let webhook = coop.webhook(&old.url(), &["*"], "s");
    coop.publish("dds.filed", json!({}));
    world.settle();
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "url": new.url() })).expect(200);
    world.advance("30s");
    assert_eq!((old.posts().len(), new.posts().len()), (1, 1));
}

#[test]
fn after_a_new_secret_standard_webhooks_carries_both_signatures_for_a_day() {
    let world = World::new();
    let receiver = Receiver::new();
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "old");
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "secret": "new" })).expect(200);
    let [old, new] = ["old", "new"].map(|secret| SigningSecret::parse(secret.to_owned()).expect("a secret"));
    let verified = |secret: &SigningSecret| {
        let post = receiver.last();
        let header = post.header("webhook-signature");
        secret.verifies_standard(post.header("webhook-id"), world.now(), &post.body, header)
    };
    coop.publish("dds.filed", json!({}));
    world.settle();
    assert!(verified(&new) && verified(&old));
    assert_eq!(receiver.last().header("webhook-signature").split(' ').count(), 2);
    assert!(new.verifies_body(&receiver.last().body, receiver.last().header("X-AsiliChain-Signature")), "at once");
    world.advance("24h");
    coop.publish("dds.filed", json!({}));
    world.settle();
    assert!(verified(&new) && !verified(&old), "a day later only the new one");
}

#[test]
fn a_webhook_can_be_paused_and_resumed() {
    let world = World::new();
    let receiver = Receiver::new();
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s");
    let path = format!("/webhooks/{webhook}");
    assert_eq!(coop.patch(&path, json!({ "status": "SUSPENDED" })).expect(200)["status"], "SUSPENDED");
    assert_eq!(coop.get(&path).expect(200)["suspended_reason"], "paused");
    coop.publish("dds.filed", json!({}));
    world.advance("1h");
    assert!(receiver.posts().is_empty());
    coop.patch(&path, json!({ "status": "ACTIVE" })).expect(200);
    world.settle();
    assert_eq!(receiver.posts().len(), 1);
}

#[test]
fn a_deleted_webhook_is_gone_and_what_waited_is_cancelled() {
    let world = World::new();
    let receiver = Receiver::new();
    receiver.always(Reply::status(500));
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s");
    let event = coop.publish("dds.filed", json!({}))["event_id"].as_str().expect("an id").to_owned();
    world.settle();
    let path = format!("/webhooks/{webhook}");
    assert_eq!(coop.delete(&path).expect(204), Value::Null);
    assert_eq!(coop.get(&path).code(404), "WEBHOOK_NOT_FOUND");
    assert_eq!(coop.delete(&path).code(404), "WEBHOOK_NOT_FOUND");
    assert_eq!(coop.patch(&path, json!({ "status": "ACTIVE" })).code(404), "WEBHOOK_NOT_FOUND");
    assert_eq!(coop.get(&format!("{path}/deliveries")).code(404), "WEBHOOK_NOT_FOUND");
    assert_eq!(coop.get("/webhooks").expect(200), json!([]));
    world.advance("3h");
    assert_eq!(receiver.posts().len(), 1);
    assert_eq!(coop.get(&format!("/events/{event}")).expect(200)["deliveries"][0]["status"], "CANCELLED");
}

#[test]
fn a_replay_is_a_new_delivery_of_the_same_bytes_under_the_same_webhook_id() {
    let world = World::new();
    let receiver = Receiver::new();
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s");
    coop.publish("dds.filed", json!({ "price": 1.5 }));
    world.settle();
    let original = coop.deliveries(&webhook)[0]["delivery_id"].as_str().expect("an id").to_owned();
    world.advance("1d");
    let replay = coop.post(&format!("/webhooks/{webhook}/replay/{original}"), json!({})).expect(202);
    assert_eq!((&replay["replay_of"], &replay["status"]), (&json!(original), &json!("PENDING")));
    assert_ne!(replay["delivery_id"], original);
    world.settle();
    let [first, second] = &receiver.posts()[..] else { panic!("two POSTs") };
    assert_eq!(first.body, second.body);
    assert_eq!(first.header("webhook-id"), second.header("webhook-id"));
    assert_eq!(second.header("ngoma-delivery"), replay["delivery_id"]);
    assert_eq!(second.header("ngoma-attempt"), "1");
}

#[test]
fn a_replay_needs_no_body_and_is_refused_while_suspended() {
    let world = World::new();
    let receiver = Receiver::new();
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s");
    coop.publish("dds.filed", json!({}));
    world.settle();
    let original = coop.deliveries(&webhook)[0]["delivery_id"].as_str().expect("an id").to_owned();
    let path = format!("/webhooks/{webhook}/replay/{original}");
    coop.send("POST", &path, &[], None).expect(202);
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": "SUSPENDED" })).expect(200);
    assert_eq!(coop.send("POST", &path, &[], None).code(409), "WEBHOOK_SUSPENDED");
    let unknown = format!("/webhooks/{webhook}/replay/dlv_01HXYZ7A1B2C3D4E5F6G7H8J9K");
    assert_eq!(coop.send("POST", &unknown, &[], None).code(404), "DELIVERY_NOT_FOUND");
}

#[test]
fn a_test_sends_sample_data_at_once_and_tells_what_came_of_it() {
    let world = World::new();
    let receiver = Receiver::new();
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["dds.*", "batch.graded"], "s3cret");
    let path = format!("/webhooks/{webhook}/test");
    let result = coop.send("POST", &path, &[], None).expect(200);
    let post = receiver.only();
    assert_eq!(post.json()["event"], "dds.generated", "the first event that it gets");
    assert_eq!(post.json()["data"]["dds_id"], "DDS-2026-0102");
    assert_eq!(post.header("ngoma-test"), "true");
    let secret = SigningSecret::parse("s3cret".to_owned()).expect("a secret");
    assert!(secret.verifies_body(&post.body, post.header("X-AsiliChain-Signature")));
    let keys: Vec<&String> = result.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["delivery_id", "delivered", "response_status", "duration_ms", "error", "response_body"]);
    assert_eq!(
        (&result["delivered"], &result["response_status"], &result["error"]),
        (&json!(true), &json!(200), &Value::Null)
    );
    assert_eq!(result["response_body"], r#"{"received":true}"#);
    let named = coop.post(&path, json!({ "event": "payout.failed" })).expect(200);
    assert_eq!(receiver.last().json()["event"], "payout.failed");
    let recorded = coop.delivery(&webhook, named["delivery_id"].as_str().expect("an id"));
    assert_eq!((&recorded["status"], &recorded["test"]), (&json!("DELIVERED"), &json!(true)));
    assert_eq!(recorded["attempts"].as_array().expect("a list").len(), 1);
    assert_eq!(coop.post(&path, json!({ "event": "moon.landed" })).code(422), "UNKNOWN_EVENT");
    for empty in ["", "null", "{}"] {
        coop.post_text(&path, empty).expect(200);
    }
}

#[test]
fn a_test_works_while_suspended_and_never_retries_or_suspends() {
    let world = World::new();
    let receiver = Receiver::new();
    receiver.always(Reply::status(410));
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s");
    let path = format!("/webhooks/{webhook}/test");
    let failed = coop.send("POST", &path, &[], None).expect(200);
    assert_eq!(
        (&failed["delivered"], &failed["error"], &failed["response_status"]),
        (&json!(false), &json!("status"), &json!(410))
    );
    assert_eq!(coop.status(&webhook), "ACTIVE");
    world.advance("3h");
    assert_eq!(receiver.posts().len(), 1);
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": "SUSPENDED" })).expect(200);
    receiver.always(Reply::status(200));
    assert_eq!(coop.send("POST", &path, &[], None).expect(200)["delivered"], true);
    assert_eq!(coop.status(&webhook), "SUSPENDED");
}

#[test]
fn a_replay_of_a_test_is_still_marked_as_a_test() {
    let world = World::new();
    let receiver = Receiver::new();
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s");
    let test = coop.send("POST", &format!("/webhooks/{webhook}/test"), &[], None).expect(200);
    let path = format!("/webhooks/{webhook}/replay/{}", test["delivery_id"].as_str().expect("an id"));
    coop.send("POST", &path, &[], None).expect(202);
    world.settle();
    assert_eq!(receiver.posts().len(), 2);
    assert_eq!(receiver.last().header("ngoma-test"), "true");
}

#[test]
fn deliveries_are_listed_page_by_page_and_by_filter() {
    let world = World::new();
    let receiver = Receiver::new();
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s");
    for number in 0..7 {
        receiver.next([Reply::status(if number % 2 == 0 { 200 } else { 500 })]);
        coop.publish(if number < 3 { "dds.filed" } else { "loan.repaid" }, json!({ "number": number }));
        world.settle();
    }
    let path = format!("/webhooks/{webhook}/deliveries");
    let all = coop.deliveries(&webhook);
    let mut paged = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = coop.get(&format!("{path}?limit=3{cursor}")).expect(200);
        paged.extend(page["deliveries"].as_array().expect("a list").clone());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(paged, all);
    assert_eq!(all.len(), 7);
    let count =
        |query: &str| coop.get(&format!("{path}?{query}")).expect(200)["deliveries"].as_array().expect("a list").len();
    assert_eq!((count("status=DELIVERED"), count("status=PENDING"), count("status=HELD")), (4, 3, 0));
    assert_eq!((count("event=dds.filed"), count("event=dds.filed&status=PENDING")), (3, 1));
    for query in
        ["limit=0", "limit=101", "limit=many", "status=LOST", "cursor=x", "cursor=dlv_01HXYZ7A1B2C3D4E5F6G7H8J9K"]
    {
        assert_eq!(coop.get(&format!("{path}?{query}")).code(400), "INVALID_REQUEST", "{query}");
    }
}

#[test]
fn a_delivery_shows_every_attempt_with_the_answer_s_first_4_kib() {
    let world = World::new();
    let receiver = Receiver::new();
    receiver.next([
        Reply::Answer(500, "", vec![b'x'; 5000]),
        Reply::Answer(404, "", b"no such page".to_vec()),
        Reply::Close,
        // A kept connection that breaks is tried once more on a fresh one.
        Reply::Close,
    ]);
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s");
    coop.publish("dds.filed", json!({}));
    world.settle();
    world.advance("30s");
    world.advance("5m");
    let id = coop.deliveries(&webhook)[0]["delivery_id"].as_str().expect("an id").to_owned();
    let delivery = coop.delivery(&webhook, &id);
    assert_eq!((&delivery["attempt_count"], &delivery["status"]), (&json!(3), &json!("PENDING")));
    assert_eq!(delivery["next_attempt_at"], "2026-04-20T12:30:30.000Z");
    let [first, second, third] = &delivery["attempts"].as_array().expect("a list")[..] else {
        panic!("three attempts")
    };
    assert_eq!(first["response_body"].as_str().map(str::len), Some(4096));
    assert_eq!((&first["response_truncated"], &first["response_status"]), (&json!(true), &json!(500)));
    assert_eq!((&second["response_body"], &second["response_truncated"]), (&json!("no such page"), &json!(false)));
    assert_eq!(
        (&second["started_at"], &second["next_attempt_at"]),
        (&json!("2026-04-20T11:55:30.000Z"), &json!("2026-04-20T12:00:30.000Z"))
    );
    assert_eq!(
        (&third["error"], &third["response_status"], &third["response_body"]),
        (&json!("reset"), &Value::Null, &Value::Null)
    );
    assert!(third["duration_ms"].is_u64());
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
