//! Every limit of the config: a value exactly at it is accepted, one more is refused by a message that names it.

use std::{pin::pin, sync::mpsc, task::Poll, thread};

use ngoma::{domain::audit::Actor, error::Error, store::Admission};
use serde_json::{Value, json};

use crate::support::{
    client::{Answer, Client},
    receiver::{PATIENCE, Receiver, Reply},
    world::{COOP, Holder, OTHER_COOP, Wish, World, defaults},
    writer::{hold_writer, poll},
};

const TARGET: &str = "http://127.0.0.1:1/";
const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

fn task(id: &str, label: &str) -> Value {
    json!({ "event": "task.settled", "task_id": id, "consensus_label": label, "confidence": 1.0, "bsv_txid": "x",
            "settled_at": "2026-04-08T21:05:00Z" })
}

#[track_caller]
fn names(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "'{word}' is not in: {text}");
    }
}

#[test]
fn a_payload_may_be_nested_as_deep_as_json_depth() {
    for depth in [1, 4, 64, 500] {
        let world = World::with(|wish: &mut Wish| wish.config.limits.json_depth = depth);
        let coop = world.coop();
        let publish = |depth: usize| {
            let data = format!(r#"{{"a":{}{}}}"#, "[".repeat(depth - 1), "]".repeat(depth - 1));
            coop.post_text("/events", &format!(r#"{{"event":"dds.filed","data":{data}}}"#).replace(":}", ":0}"))
        };
        let event = publish(depth).expect(202);
        let kept = coop.get(&format!("/events/{}", event["event_id"].as_str().expect("an id")));
        assert_eq!(kept.status, 200, "and it can be looked at");
        let refused = publish(depth + 1);
        assert_eq!(refused.code(422), "INVALID_PAYLOAD", "{depth}");
        names(&refused.text, &["limits.json_depth", "data.a"]);
    }
}

#[test]
fn a_string_may_have_as_many_bytes_as_string_bytes() {
    let world = World::with(|wish: &mut Wish| wish.config.limits.string_bytes = 40);
    let coop = world.coop();
    // Bytes, not characters; and a key is a string too.
    for (fits, beyond) in [("x".repeat(40), "x".repeat(41)), ("é".repeat(20), "é".repeat(20) + "x")] {
        for (good, bad) in
            [(json!({ "a": [fits] }), json!({ "a": [beyond] })), (json!({ &fits: 1 }), json!({ &beyond: 1 }))]
        {
            coop.post("/events", json!({ "event": "dds.filed", "data": good })).expect(202);
            let refused = coop.post("/events", json!({ "event": "dds.filed", "data": bad }));
            assert_eq!(refused.code(422), "INVALID_PAYLOAD");
            names(&refused.text, &["limits.string_bytes"]);
        }
    }
    let customer = world.customer();
    customer.post("/v1/events", task("t1", &"x".repeat(40))).expect(202);
    let sentence = customer.post("/v1/events", task("t2", &"x".repeat(41))).sentence(422);
    names(&sentence, &["consensus_label", "40 bytes"]);
    customer.get("/v1/tasks/t2").sentence(404);
}

#[test]
fn a_number_may_have_64_bytes() {
    let world = World::new();
    let customer = world.customer();
    for (length, fits) in [(64, true), (65, false), (200_000, false)] {
        let digits = format!("0.{}", "5".repeat(length - 2));
        let body = task(&format!("n{length}"), "cat").to_string();
        let body = body.replace("\"confidence\":1.0", &format!("\"confidence\":{digits}"));
        let answer = customer.post_text("/v1/events", &body);
        if fits {
            answer.expect(202);
        } else {
            names(&answer.sentence(422), &["confidence", "64 bytes"]);
        }
    }
}

#[test]
fn a_url_may_have_as_many_bytes_as_url_bytes() {
    let world = World::with(|wish: &mut Wish| wish.config.limits.url_bytes = 64);
    let (coop, customer) = (world.coop(), world.customer());
    let url = |length: usize| format!("{TARGET}{}", "p".repeat(length - TARGET.len()));
    let webhook = coop.webhook(&url(64), &["*"], "s");
    let refusals = [
        coop.post("/webhooks", json!({ "url": url(65), "events": ["*"], "cooperative_id": COOP })),
        coop.patch(&format!("/webhooks/{webhook}"), json!({ "url": url(65) })),
    ];
    for refused in refusals {
        assert_eq!(refused.code(422), "URL_NOT_ALLOWED");
        names(&refused.text, &["64 bytes"]);
    }
    customer.post("/v1/webhooks", json!({ "callback_url": url(64) })).expect(201);
    names(&customer.post("/v1/webhooks", json!({ "callback_url": url(65) })).sentence(422), &["64 bytes"]);
    let mut named = task("t", "cat");
    named["callback_url"] = url(65).into();
    names(&customer.post("/v1/events", named.clone()).sentence(422), &["64 bytes"]);
    named["callback_url"] = url(64).into();
    customer.post("/v1/events", named).expect(202);
}

#[test]
fn an_account_may_have_as_many_webhooks_as_webhooks_per_account() {
    let world = World::with(|wish: &mut Wish| wish.config.limits.webhooks_per_account = 2);
    let coop = world.coop();
    let register = |url: &str| coop.post("/webhooks", json!({ "url": url, "events": ["*"], "cooperative_id": COOP }));
    let first = register(TARGET).expect(201)["webhook_id"].as_str().expect("an id").to_owned();
    let second = register(TARGET).expect(201)["webhook_id"].as_str().expect("an id").to_owned();
    coop.patch(&format!("/webhooks/{second}"), json!({ "status": "SUSPENDED" })).expect(200);
    let refused = register(TARGET);
    assert_eq!(refused.code(409), "LIMIT_REACHED", "a suspended one counts");
    names(&refused.text, &["2 webhooks", "delete one"]);
    coop.delete(&format!("/webhooks/{first}")).expect(204);
    register(TARGET).expect(201);
    assert_eq!(register(TARGET).code(409), "LIMIT_REACHED", "one was deleted, so one had room");

    let customer = world.customer();
    let register = || customer.post("/v1/webhooks", json!({ "callback_url": TARGET }));
    let first = register().expect(201)["webhook_id"].as_str().expect("an id").to_owned();
    register().expect(201);
    names(&register().sentence(409), &["2 webhooks", "delete one"]);
    customer.delete(&format!("/v1/webhooks/{first}")).expect(200);
    customer.delete(&format!("/v1/webhooks/{first}")).expect(200);
    register().expect(201);
    register().sentence(409);
    assert_eq!(customer.get("/v1/webhooks").expect(200).as_array().map(Vec::len), Some(3), "the deleted one is shown");
}

#[test]
fn a_filter_may_have_as_many_entries_as_events_per_webhook() {
    let world = World::with(|wish: &mut Wish| wish.config.limits.events_per_webhook = 3);
    let coop = world.coop();
    let webhook = coop.webhook(TARGET, &["dds.filed", "batch.*", "*"], "s");
    let many = ["dds.filed", "dds.filed", "dds.filed", "dds.filed"];
    let refusals = [
        coop.post("/webhooks", json!({ "url": TARGET, "events": many, "cooperative_id": COOP })),
        coop.patch(&format!("/webhooks/{webhook}"), json!({ "events": many })),
    ];
    for refused in refusals {
        assert_eq!(refused.code(400), "INVALID_REQUEST");
        names(&refused.text, &["events", "at most 3"]);
    }
    let customer = world.customer();
    let register = |count: usize| {
        customer.post("/v1/webhooks", json!({ "callback_url": TARGET, "events": vec!["task.settled"; count] }))
    };
    assert_eq!(register(3).expect(201)["events"], json!(["task.settled"]), "doubles are dropped");
    names(&register(4).sentence(400), &["events", "at most 3"]);
}

#[test]
fn a_page_may_hold_as_many_deliveries_as_page_size() {
    let world = World::with(|wish: &mut Wish| wish.config.limits.page_size = 5);
    let receiver = Receiver::new();
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s");
    for _ in 0..7 {
        coop.publish("dds.filed", json!({}));
    }
    world.settle();
    let page = |query: &str| coop.get(&format!("/webhooks/{webhook}/deliveries{query}"));
    for query in ["?limit=5", ""] {
        let shown = page(query).expect(200);
        assert_eq!(shown["deliveries"].as_array().map(Vec::len), Some(5), "'{query}': nor by leaving it out");
    }
    for wrong in ["6", "0", "-1", "4294967296", "five", "5.0"] {
        assert_eq!(page(&format!("?limit={wrong}")).code(400), "INVALID_REQUEST", "{wrong}");
    }
    names(&page("?limit=6").text, &["limit", "1 to 5"]);
}

/// The token's quota in an answer: the limit, the rest, and when it is whole again.
fn quota(answer: &Answer) -> [&str; 3] {
    ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"].map(|name| answer.header(name))
}

#[test]
fn a_token_may_ask_as_often_as_requests_per_minute_and_publish_as_often_as_it_likes() {
    let world = World::with(|wish: &mut Wish| wish.config.limits.requests_per_minute = 2);
    let (coop, customer) = (world.coop(), world.customer());
    assert_eq!(quota(&coop.get("/webhooks")), ["2", "1", "30"]);
    // A refusal for another reason counts too.
    assert_eq!(quota(&coop.get("/webhooks/wh_x")), ["2", "0", "60"]);
    for path in ["/webhooks", "/event-types", "/webhooks/wh_x/deliveries"] {
        let refused = coop.get(path);
        assert_eq!(refused.code(429), "RATE_LIMITED");
        let wait: u64 = refused.header("retry-after").parse().expect("whole seconds");
        assert!((1..=30).contains(&wait), "{wait}");
        assert_eq!(quota(&refused), ["2", "0", "60"]);
        names(&refused.text, &["too many requests", &format!("{wait} s")]);
    }
    let replay = coop.post("/webhooks/wh_x/replay/events", json!({}));
    assert_eq!(replay.code(429), "RATE_LIMITED", "only publishing is free, not what looks like it");
    for _ in 0..5 {
        let published = coop.post("/events", json!({ "event": "dds.filed", "data": {} }));
        published.expect(202);
        assert_eq!(quota(&published), ["", "", ""], "publishing is not counted");
    }
    // Every token has its own; a bad token takes nothing from anybody.
    world.client("nonsense").get("/webhooks").code(401);
    world.coop().get("/webhooks").expect(200);
    customer.get("/v1/webhooks").expect(200);
    customer.get("/v1/webhooks").expect(200);
    let refused = customer.get("/v1/webhooks");
    names(&refused.sentence(429), &["too many requests"]);
    assert!(!refused.header("retry-after").is_empty() && quota(&refused)[0] == "2");
    customer.post("/v1/events", task("t", "cat")).expect(202);
    assert_eq!(world.stranger().get("/health/live").status, 200);
    let watcher = world.operator();
    for _ in 0..5 {
        let shown = watcher.get("/metrics");
        assert_eq!((shown.status, quota(&shown)), (200, ["", "", ""]), "watching is not counted");
    }
    assert_eq!(quota(&watcher.get("/operator/overview")), ["2", "1", "30"]);
}

#[test]
fn no_requests_per_minute_is_no_limit() {
    let world = World::with(|wish: &mut Wish| wish.config.limits.requests_per_minute = 0);
    let coop = world.coop();
    for _ in 0..300 {
        let answer = coop.get("/event-types");
        answer.expect(200);
        assert_eq!(quota(&answer), ["", "", ""]);
    }
}

#[test]
fn a_server_starts_however_many_writes_wait() {
    let mut world = World::with(|wish: &mut Wish| wish.config.limits.waiting_writes = 1);
    world.stop();
    let mut crowd = None;
    let started = world.try_start_after(|db| {
        let (held, db) = (hold_writer(db), db.clone());
        let mut waits = Box::pin(async move { db.write(Actor::Engine, Admission::Try, |_| Ok(())).await });
        assert!(poll(waits.as_mut()).is_pending(), "the one place is taken");
        crowd = Some((held, waits));
    });
    started.expect("it starts");
    let ((open, held), waits) = crowd.expect("a crowd");
    assert_eq!(world.stranger().get("/health/live").status, 200);
    open.send(()).expect("the writer waits");
    held.join().expect("no panic");
    world.block_on(waits).expect("written");
    world.settle();
}

#[test]
fn more_writes_than_waiting_writes_are_refused_with_503_and_nothing_is_stored() {
    let world = World::with(|wish: &mut Wish| wish.config.limits.waiting_writes = 2);
    let operator = Holder::Operator;
    let (coop, customer) = (world.coop(), world.customer());
    let operator = world.client(&world.token_for(operator, "operator"));
    // Their first use is noted, by a write, once in a minute.
    for (client, path) in [(&coop, "/webhooks"), (&customer, "/v1/webhooks"), (&operator, "/webhooks")] {
        client.get(path).expect(200);
    }
    world.settle();
    let (open, held) = hold_writer(world.db());
    let (first, second) = (
        world.db().write(Actor::Engine, Admission::Try, |_| Ok(1)),
        world.db().write(Actor::Engine, Admission::Try, |_| Ok(2)),
    );
    let (mut first, mut second) = (pin!(first), pin!(second));
    assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending(), "two wait");
    let mut third = pin!(world.db().write(Actor::Engine, Admission::Try, |_| Ok(3)));
    assert!(matches!(poll(third.as_mut()), Poll::Ready(Err(Error::Unavailable(_)))), "a third may not");

    let event = json!({ "event": "dds.filed", "cooperative_id": COOP, "data": {} });
    let webhook = json!({ "url": TARGET, "events": ["*"], "cooperative_id": COOP });
    for (client, path, body) in
        [(&coop, "/events", &event), (&coop, "/webhooks", &webhook), (&operator, "/events", &event)]
    {
        let refused = client.send("POST", path, &JSON, Some(body.to_string().as_bytes()));
        assert_eq!(refused.code(503), "UNAVAILABLE", "{path}");
        names(&refused.text, &["nothing was stored", "try again"]);
        assert_eq!(refused.header("retry-after"), "1");
    }
    let refused = customer.post("/v1/events", task("t", "cat"));
    names(&refused.sentence(503), &["nothing was stored"]);
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(world.stranger().get("/health/live").status, 200);
    assert_eq!(coop.get("/webhooks").expect(200), json!([]), "looking goes on");

    open.send(()).expect("the writer waits");
    held.join().expect("no panic");
    assert_eq!((world.block_on(first), world.block_on(second)), (Ok(1), Ok(2)), "those that waited had their turn");
    customer.get("/v1/tasks/t").sentence(404);
    assert_eq!(coop.get("/webhooks").expect(200), json!([]), "what was refused was not stored");
    publish_again(&coop, &customer);
}

fn publish_again(coop: &Client, customer: &Client) {
    coop.post("/events", json!({ "event": "dds.filed", "cooperative_id": COOP, "data": {} })).expect(202);
    customer.post("/v1/events", task("t", "cat")).expect(202);
}

#[test]
fn by_default_no_more_writes_wait_than_connections_can_ask_for() {
    let limits = defaults().limits;
    assert!(limits.waiting_writes <= limits.connections, "{limits:?}");
}

#[test]
fn an_account_may_have_two_tests_under_way_and_leaves_the_others_a_place() {
    let world = World::new();
    let (hanging, healthy) = (Receiver::new(), Receiver::new());
    hanging.always(Reply::Gate(200));
    let test = |client: &Client, webhook: &str| client.send("POST", &format!("/webhooks/{webhook}/test"), &[], None);
    let coop = world.coop();
    let webhook = coop.webhook(&hanging.url(), &["*"], "s");
    let (ended, ends) = mpsc::channel();
    for _ in 0..12 {
        let (coop, webhook, ended) = (coop.clone(), webhook.clone(), ended.clone());
        thread::spawn(move || ended.send(test(&coop, &webhook)));
    }
    for _ in 0..10 {
        let refused = ends.recv_timeout(PATIENCE / 6).expect("it is told that there is no place");
        assert_eq!(refused.code(503), "UNAVAILABLE");
    }
    assert_eq!(hanging.posts().len(), 2);
    let other = world.client(&world.token_for(Holder::Account(OTHER_COOP.to_owned()), "webhooks,events"));
    let body = json!({ "url": healthy.url(), "events": ["*"], "cooperative_id": OTHER_COOP });
    let made = other.post("/webhooks", body).expect(201);
    let answer = test(&other, made["webhook_id"].as_str().expect("an id")).expect(200);
    assert_eq!(answer["delivered"], true);
    hanging.open_gate();
    for _ in 0..2 {
        assert_eq!(ends.recv_timeout(PATIENCE).expect("it ends").expect(200)["delivered"], true);
    }
}
