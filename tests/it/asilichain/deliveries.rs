//! Deliveries of a webhook: listed, looked at, replayed; and test deliveries.

use ngoma::domain::signature::SigningSecret;
use serde_json::{Value, json};

use crate::support::{
    browser,
    receiver::{Receiver, Reply},
    world::{COOP, Holder, OTHER_COOP, World},
};

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
fn a_test_sends_sample_data_at_once_and_reports_the_result() {
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
    let known = ["delivery_id", "delivered", "response_status", "duration_ms", "error"];
    assert_eq!(keys[..5], known);
    assert_eq!(keys[5..], ["error_reason", "response_body", "response_headers"]);
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
fn a_test_that_is_replayed_suspends_nobody() {
    let world = World::new();
    let receiver = Receiver::new();
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s");
    let test = coop.send("POST", &format!("/webhooks/{webhook}/test"), &[], None).expect(200);
    receiver.always(Reply::status(500));
    let path = format!("/webhooks/{webhook}/replay/{}", test["delivery_id"].as_str().expect("an id"));
    coop.send("POST", &path, &[], None).expect(202);
    world.settle();
    for wait in ["30s", "5m", "30m", "2h"] {
        world.advance(wait);
    }
    assert_eq!(coop.deliveries(&webhook)[0]["status"], "FAILED");
    assert_eq!(coop.status(&webhook), "ACTIVE");
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
