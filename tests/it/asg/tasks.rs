//! The promises of ASG Gateway's page and of the contract's table for it.

use serde_json::{Value, json};

use crate::support::{
    client::Client,
    receiver::{Receiver, Reply},
    world::{CUSTOMER, Holder, Wish, World},
};

pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

pub fn register(client: &Client, url: &str) -> Value {
    client.post("/v1/webhooks", json!({ "callback_url": url, "secret": SECRET })).expect(201)
}

/// A world whose customer has a webhook that answers with this status.
fn with_webhook(status: u16) -> (World, Receiver, Client) {
    let (world, receiver) = (World::new(), Receiver::new());
    receiver.always(Reply::status(status));
    let customer = world.customer();
    register(&customer, &receiver.url());
    (world, receiver, customer)
}

pub fn task(id: &str) -> Value {
    json!({
        "event": "task.settled", "task_id": id, "consensus_label": "cat", "confidence": 1.0,
        "bsv_txid": "abc", "settled_at": "2026-04-08T21:05:00Z"
    })
}

pub fn status_of(client: &Client, id: &str) -> String {
    client.get(&format!("/v1/tasks/{id}")).expect(200)["webhook_status"].as_str().expect("a status").to_owned()
}

#[test]
fn the_body_is_the_page_s_with_each_number_s_own_literal() {
    let (world, receiver, customer) = with_webhook(200);
    let text = r#"{"settled_at":"2026-04-08T21:05:00+00:00","event":"task.settled","confidence":1.0,
        "consensus_label":"cat \u00e9","task_id":"tsk_1","bsv_txid":"abc","something":"else"}"#;
    customer.post_text("/v1/events", text).expect(202);
    world.settle();
    assert_eq!(
        receiver.only().text(),
        r#"{"event":"task.settled","task_id":"tsk_1","consensus_label":"cat é","confidence":1.0,"bsv_txid":"abc","settled_at":"2026-04-08T21:05:00+00:00","timestamp":"2026-04-20T11:55:00Z"}"#
    );
}

#[test]
fn the_signature_header_is_in_the_vendor_s_own_letter_case() {
    let (world, receiver, customer) = with_webhook(200);
    customer.post("/v1/events", task("t")).expect(202);
    world.settle();
    let post = receiver.only();
    let (_, value) = post.headers.iter().find(|(name, _)| name == "X-ASG-Signature").expect("in this letter case");
    let hex = value.strip_prefix("sha256=").expect("the prefix");
    assert!(hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{value}");
}

#[test]
fn the_202_names_each_delivery() {
    let world = World::new();
    let customer = world.customer();
    let webhook = register(&customer, "http://127.0.0.1:1/");
    let accepted = customer.post("/v1/events", task("tsk_9")).expect(202);
    let keys: Vec<&String> = accepted.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["event_id", "event", "task_id", "deliveries"]);
    assert!(accepted["event_id"].as_str().is_some_and(|id| id.starts_with("evt_")), "{accepted}");
    assert_eq!(accepted["event"], "task.settled");
    assert_eq!(accepted["task_id"], "tsk_9");
    assert_eq!(accepted["deliveries"][0]["webhook_id"], webhook["webhook_id"]);
    assert!(accepted["deliveries"][0]["delivery_id"].as_str().is_some_and(|id| id.starts_with("dlv_")), "{accepted}");
}

#[test]
fn without_a_callback_url_every_active_webhook_gets_it() {
    let world = World::new();
    let (one, two) = (Receiver::new(), Receiver::new());
    let customer = world.customer();
    register(&customer, &one.url());
    register(&customer, &two.url());
    let accepted = customer.post("/v1/events", task("t")).expect(202);
    assert_eq!(accepted["deliveries"].as_array().expect("a list").len(), 2);
    world.settle();
    assert_eq!(one.only().body, two.only().body);
}

#[test]
fn a_callback_url_selects_the_webhook_and_so_the_signing_secret() {
    let world = World::new();
    let (one, two) = (Receiver::new(), Receiver::new());
    let customer = world.customer();
    register(&customer, &one.url());
    customer.post("/v1/webhooks", json!({ "callback_url": two.url(), "secret": "old" })).expect(201);
    // Registered twice with the same URL: the newest counts.
    customer.post("/v1/webhooks", json!({ "callback_url": two.url(), "secret": "new" })).expect(201);
    let mut body = task("t");
    body["callback_url"] = json!(two.url());
    customer.post("/v1/events", body).expect(202);
    world.settle();
    assert!(one.posts().is_empty());
    let post = two.only();
    let secret = ngoma::domain::signature::SigningSecret::parse("new".to_owned()).expect("a secret");
    assert!(secret.verifies_body(&post.body, post.header("X-ASG-Signature")));
    assert_eq!(customer.get("/v1/tasks/t").expect(200)["callback_url"], two.url());
}

#[test]
fn a_task_for_the_callback_url_of_a_paused_webhook_is_held_and_goes_out_after_the_resume() {
    let (world, receiver) = (World::new(), Receiver::new());
    let customer = world.customer();
    let webhook = register(&customer, &receiver.url());
    let path = format!("/v1/webhooks/{}", webhook["webhook_id"].as_str().expect("an id"));
    customer.patch(&path, json!({ "active": false })).expect(200);
    let mut body = task("t");
    body["callback_url"] = json!(receiver.url());
    customer.post("/v1/events", body).expect(202);
    world.settle();
    assert_eq!(receiver.posts().len(), 0);
    assert_eq!(customer.patch(&path, json!({ "active": true })).expect(200)["released_deliveries"], 1);
    world.settle();
    receiver.only();
}

#[test]
fn a_callback_url_that_is_no_webhook_is_refused_and_nothing_is_stored() {
    let world = World::new();
    let customer = world.customer();
    register(&customer, "http://127.0.0.1:1/");
    let mut body = task("t");
    body["callback_url"] = json!("http://127.0.0.1:1/elsewhere");
    let sentence = customer.post("/v1/events", body).sentence(422);
    assert!(sentence.contains("callback_url"), "{sentence}");
    customer.get("/v1/tasks/t").sentence(404);
}

#[test]
fn three_attempts_with_one_and_four_seconds_between() {
    let (world, receiver, customer) = with_webhook(503);
    customer.post("/v1/events", task("t")).expect(202);
    world.settle();
    for (almost, count) in [("999ms", 1), ("3999ms", 2)] {
        world.advance(almost);
        assert_eq!(receiver.posts().len(), count);
        world.advance("1ms");
        assert_eq!(receiver.posts().len(), count + 1);
    }
    world.advance("1d");
    assert_eq!(receiver.posts().len(), 3, "no further automatic attempts");
    let numbers: Vec<String> = receiver.posts().iter().map(|post| post.header("ngoma-attempt").to_owned()).collect();
    assert_eq!(numbers, ["1", "2", "3"]);
}

#[test]
fn exhaustion_marks_the_task_with_webhook_fail_and_leaves_the_webhook_active() {
    let (world, _receiver, customer) = with_webhook(500);
    customer.post("/v1/events", task("t")).expect(202);
    world.settle();
    let record = customer.get("/v1/tasks/t").expect(200);
    assert_eq!((&record["webhook_status"], &record["webhook_fail"]), (&json!("pending"), &json!(false)));
    world.advance("1s");
    world.advance("4s");
    let record = customer.get("/v1/tasks/t").expect(200);
    assert_eq!((&record["webhook_status"], &record["webhook_fail"]), (&json!("webhook_fail"), &json!(true)));
    let attempts = record["deliveries"][0]["attempts"].as_array().expect("a list").clone();
    assert_eq!(attempts.len(), 3);
    assert_eq!(attempts[0]["next_attempt_at"], "2026-04-20T11:55:01.000Z");
    assert_eq!(attempts[2]["next_attempt_at"], Value::Null);
    assert!(attempts.iter().all(|attempt| attempt["response_status"] == 500 && attempt["error"] == "status"));
    assert_eq!(customer.get("/v1/webhooks").expect(200)[0]["active"], true);
}

#[test]
fn the_task_record_holds_the_published_fields() {
    let (world, _receiver, customer) = with_webhook(200);
    customer.post("/v1/events", task("tsk 1/ü")).expect(202);
    world.settle();
    let answer = customer.get("/v1/tasks/tsk%201%2F%C3%BC");
    assert!(answer.text.contains("\"confidence\":1.0"), "{}", answer.text);
    let record = answer.expect(200);
    for (field, value) in task("tsk 1/ü").as_object().expect("an object") {
        assert!(field == "event" || record[field] == *value, "{field}: {record}");
    }
    assert_eq!(record["timestamp"], "2026-04-20T11:55:00Z");
    assert_eq!(record["callback_url"], Value::Null);
    assert_eq!(record["webhook_status"], "delivered");
}

#[test]
fn webhook_status_speaks_for_all_deliveries_of_a_task() {
    let world = World::new();
    let (good, bad) = (Receiver::new(), Receiver::new());
    let customer = world.customer();
    customer.post("/v1/events", task("nobody")).expect(202);
    assert_eq!(status_of(&customer, "nobody"), "none");
    register(&customer, &good.url());
    register(&customer, &bad.url());
    bad.always(Reply::status(500));
    customer.post("/v1/events", task("both")).expect(202);
    world.settle();
    assert_eq!(status_of(&customer, "both"), "pending", "one arrived, one is under way");
    world.advance("1s");
    world.advance("4s");
    assert_eq!(status_of(&customer, "both"), "webhook_fail", "one arrived, one was given up");
    bad.always(Reply::status(200));
    customer.post("/v1/events", task("well")).expect(202);
    world.settle();
    assert_eq!(status_of(&customer, "well"), "delivered");
}

#[test]
fn the_same_task_again_is_the_same_202_and_another_body_a_409() {
    let (world, receiver, customer) = with_webhook(200);
    let first = customer.post("/v1/events", task("t")).expect(202);
    world.advance("10s");
    assert_eq!(customer.post("/v1/events", task("t")).expect(202), first);
    let mut other = task("t");
    other["consensus_label"] = json!("dog");
    let sentence = customer.post("/v1/events", other).sentence(409);
    assert!(sentence.contains("'t'"), "{sentence}");
    world.settle();
    assert_eq!(receiver.posts().len(), 1, "delivered once");
}

#[test]
fn two_customers_may_have_tasks_of_the_same_id() {
    let world = World::new();
    world.account("asg", "CUST-8", None);
    let other = world.client(&world.token_for(Holder::Account("CUST-8".to_owned()), "webhooks,events"));
    let first = world.customer().post("/v1/events", task("t")).expect(202);
    let second = other.post("/v1/events", task("t")).expect(202);
    assert_ne!(first["event_id"], second["event_id"]);
}

#[test]
fn the_platform_publishes_for_the_account_it_names() {
    let world = World::new();
    let receiver = Receiver::new();
    register(&world.customer(), &receiver.url());
    let platform = world.client(&world.token_for(Holder::Platform("asg".to_owned()), "events,webhooks"));
    let sentence = platform.post("/v1/events", task("t")).sentence(400);
    assert!(sentence.contains("account"), "{sentence}");
    let mut named = task("t");
    named["account"] = json!(CUSTOMER);
    platform.post("/v1/events", named.clone()).expect(202);
    world.settle();
    assert_eq!(receiver.posts().len(), 1);
    named["account"] = json!("CUST-unknown");
    platform.post("/v1/events", named).sentence(404);
    assert_eq!(platform.get("/v1/webhooks").expect(200).as_array().expect("a list").len(), 1, "the whole profile's");
}

#[test]
fn webhook_retry_max_counts_attempts_in_all_and_repeats_the_last_wait() {
    let world = World::with(|wish: &mut Wish| wish.config.asg.max_attempts = 5);
    let receiver = Receiver::new();
    receiver.always(Reply::status(500));
    let customer = world.customer();
    register(&customer, &receiver.url());
    customer.post("/v1/events", task("t")).expect(202);
    world.settle();
    for (count, wait) in ["1s", "4s", "16s", "16s"].into_iter().enumerate() {
        assert_eq!(receiver.posts().len(), count + 1);
        world.advance(wait);
    }
    assert_eq!(receiver.posts().len(), 5);
    world.advance("1d");
    assert_eq!(receiver.posts().len(), 5);
}

#[test]
fn a_body_that_is_no_settled_task_is_refused_with_a_sentence() {
    let world = World::new();
    let customer = world.customer();
    let with = |field: &str, value: Value| {
        let mut body = task("t");
        body[field] = value;
        body
    };
    let cases = [
        (with("event", json!("task.started")), 422, "task.started"),
        (with("settled_at", json!("yesterday")), 400, "settled_at"),
        (with("confidence", json!("high")), 400, "confidence"),
        (with("consensus_label", json!(7)), 400, "consensus_label"),
        (with("task_id", json!("")), 400, "task_id"),
        (with("account", json!("CUST-8")), 403, "CUST-8"),
        (json!({ "event": "task.settled" }), 400, "task_id"),
        (json!([]), 400, "body"),
    ];
    for (body, status, word) in cases {
        let sentence = customer.post("/v1/events", body.clone()).sentence(status);
        assert!(sentence.contains(word), "{body}: {sentence}");
    }
    customer.get("/v1/tasks/t").sentence(404);
}

#[test]
fn a_task_that_several_customers_have_is_shown_to_the_platform_by_name() {
    let world = World::new();
    world.account("asg", "CUST-8", None);
    let platform = world.client(&world.token_for(Holder::Platform("asg".to_owned()), "events"));
    let of = |account: &str, label: &str| {
        let mut body = task("t");
        body["account"] = json!(account);
        body["consensus_label"] = json!(label);
        body
    };
    platform.post("/v1/events", of("CUST-7", "cat")).expect(202);
    assert_eq!(platform.get("/v1/tasks/t").expect(200)["consensus_label"], "cat");
    platform.post("/v1/events", of("CUST-8", "dog")).expect(202);
    assert!(platform.get("/v1/tasks/t").sentence(400).contains("?account="));
    assert_eq!(platform.get("/v1/tasks/t?account=CUST-8").expect(200)["consensus_label"], "dog");
    assert_eq!(world.customer().get("/v1/tasks/t").expect(200)["consensus_label"], "cat");
    world.customer().get("/v1/tasks/t?account=CUST-8").sentence(403);
}
