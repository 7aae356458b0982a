//! Batches: many events in one request, all or none, in one transaction, each as if published alone.

use std::{sync::mpsc, thread, time::Instant};

use serde_json::{Value, json};

use crate::support::{
    client::{Answer, Client},
    receiver::{PATIENCE, Receiver},
    world::{COOP, CUSTOMER, Holder, OTHER_COOP, Wish, World},
    writer::hold_writer,
};

const JSON: (&str, &str) = ("content-type", "application/json");

fn event(data: &Value) -> Value {
    json!({ "event": "dds.filed", "data": data })
}

fn keyed(key: &str, data: &Value) -> Value {
    json!({ "event": "dds.filed", "data": data, "idempotency_key": key })
}

fn task(id: &str, label: &str) -> Value {
    json!({ "event": "task.settled", "task_id": id, "consensus_label": label, "confidence": 1.0, "bsv_txid": "x",
            "settled_at": "2026-04-08T21:05:00Z" })
}

fn send(client: &Client, events: &[Value]) -> Answer {
    client.post("/events/batch", json!({ "events": events }))
}

fn send_under(client: &Client, key: &str, events: &[Value]) -> Answer {
    let body = json!({ "events": events }).to_string();
    client.send("POST", "/events/batch", &[JSON, ("idempotency-key", key)], Some(body.as_bytes()))
}

/// The answers to the events of a batch.
#[track_caller]
fn answers(answer: &Answer) -> Vec<Value> {
    answer.expect(202)["events"].as_array().expect("a list").clone()
}

fn stored(world: &World) -> (u64, u64) {
    let file = rusqlite::Connection::open(world.database()).expect("the file");
    let count = |table| file.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0));
    (count("event").expect("a count"), count("delivery").expect("a count"))
}

fn message(answer: &Answer) -> String {
    answer.json()["error"]["message"].as_str().expect("a sentence").to_owned()
}

#[test]
fn a_batch_is_answered_event_by_event_in_order_and_each_arrives() {
    let world = World::new();
    let (receiver, deaf) = (Receiver::new(), Receiver::new());
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["dds.*"], "s3cret");
    coop.webhook(&deaf.url(), &["loan.repaid"], "s3cret");
    let mut events: Vec<Value> = (0..1000).map(|number| event(&json!({ "number": number }))).collect();
    events[7] = json!({ "event": "batch.exported", "cooperative_id": COOP, "data": {}, "created_at": "2026-04-20T11:55:00+03:00" });
    let answers = answers(&send(&coop, &events));
    assert_eq!(answers.len(), 1000);
    assert_eq!(answers[7]["created_at"], "2026-04-20T11:55:00+03:00");
    assert_eq!((&answers[7]["event"], &answers[7]["deliveries"]), (&json!("batch.exported"), &json!([])));
    world.settle();
    let mut numbers: Vec<u64> = Vec::new();
    for (number, answer) in answers.iter().enumerate().filter(|(number, _)| *number != 7) {
        assert_eq!((&answer["event"], &answer["cooperative_id"]), (&json!("dds.filed"), &json!(COOP)));
        assert_eq!(answer["deliveries"][0]["webhook_id"], webhook);
        if number % 100 == 0 {
            let seen = coop.get(&format!("/events/{}", answer["event_id"].as_str().expect("an id"))).expect(200);
            assert_eq!(seen["data"]["number"], number);
            assert_eq!(seen["deliveries"][0]["status"], "DELIVERED");
        }
    }
    numbers.extend(receiver.posts().iter().map(|post| post.json()["data"]["number"].as_u64().expect("a number")));
    numbers.sort_unstable();
    assert_eq!(numbers, (0..1000).filter(|number| *number != 7).collect::<Vec<_>>(), "each once");
    assert_eq!(deaf.posts().len(), 0);
}

#[test]
fn a_batch_of_tasks_is_answered_task_by_task_and_each_arrives() {
    let world = World::new();
    let receiver = Receiver::new();
    let customer = world.customer();
    customer.post("/v1/webhooks", json!({ "callback_url": receiver.url() })).expect(201);
    let tasks: Vec<Value> = (0..20).map(|number| task(&format!("t{number}"), "cat")).collect();
    let batch = json!({ "events": tasks });
    let answer = customer.post("/v1/events/batch", batch.clone());
    let answers = answers(&answer);
    assert_eq!(answers.iter().map(|one| one["task_id"].clone()).collect::<Vec<_>>()[19], "t19");
    world.settle();
    assert_eq!(receiver.posts().len(), 20);
    assert!(receiver.posts().iter().all(|post| String::from_utf8_lossy(&post.body).contains("\"confidence\":1.0,")));
    assert_eq!(customer.post("/v1/events/batch", batch).expect(202), answer.json(), "known by their task_id");
    assert_eq!(customer.get("/v1/tasks/t7").expect(200)["webhook_status"], "delivered");
    let twice = json!({ "events": [task("u", "cat"), task("u", "cat")] });
    let twice = customer.post("/v1/events/batch", twice).expect(202);
    assert_eq!(twice["events"][0], twice["events"][1], "within one batch too");
    world.settle();
    assert_eq!(receiver.posts().len(), 21);
    let against = json!({ "events": [task("new", "cat"), task("t3", "dog")] });
    let sentence = customer.post("/v1/events/batch", against).sentence(409);
    assert!(sentence.starts_with("events[1]: task 't3'"), "{sentence}");
    customer.get("/v1/tasks/new").sentence(404);
}

#[test]
fn one_event_at_fault_refuses_the_whole_batch_and_is_named_by_its_place() {
    let world = World::new();
    let (coop, customer) = (world.coop(), world.customer());
    let platform = world.client(&world.token_for(Holder::Platform("asilichain".to_owned()), "events"));
    coop.webhook("http://127.0.0.1:1/", &["*"], "s");
    let good = event(&json!({}));
    let deep = "[".repeat(65) + &"]".repeat(65);
    let deep: Value = serde_json::from_str(&format!(r#"{{"a":{deep}}}"#)).expect("JSON");
    let cases = [
        (event(&deep), 422, "events[3].data.a"),
        (event(&json!([])), 422, "events[3].data is no JSON object"),
        (json!({ "event": "no.such", "data": {} }), 422, "events[3].event 'no.such'"),
        (json!({ "event": "dds.filed", "data": {}, "created_at": "today" }), 400, "events[3].created_at"),
        (json!({ "event": "dds.filed", "cooperative_id": OTHER_COOP, "data": {} }), 403, "events[3].cooperative_id"),
        (json!({ "event": "dds.filed" }), 400, "events[3]: missing field `data`"),
        (json!({ "event": 5, "data": {} }), 400, "events[3].event"),
        (keyed("", &json!({})), 400, "events[3].idempotency_key"),
        (keyed("a\nb", &json!({})), 400, "events[3].idempotency_key"),
        (keyed(&"k".repeat(256), &json!({})), 400, "events[3].idempotency_key"),
    ];
    let before = stored(&world);
    for (bad, status, named) in cases {
        let answer = send(&coop, &[good.clone(), good.clone(), good.clone(), bad, good.clone()]);
        assert_eq!(answer.status, status, "{}", answer.text);
        assert!(message(&answer).starts_with(named), "{named}: {}", answer.text);
    }
    let of = |cooperative: &str| json!({ "event": "dds.filed", "cooperative_id": cooperative, "data": {} });
    let answer = send(&platform, &[of(COOP), of(OTHER_COOP), of("COOP-NOWHERE")]);
    assert_eq!(answer.code(404), "COOPERATIVE_NOT_FOUND");
    assert_eq!(message(&answer), "events[2]: cooperative COOP-NOWHERE not found");
    let mut elsewhere = task("t2", "cat");
    elsewhere["callback_url"] = "http://127.0.0.1:1/unknown".into();
    let sentence = customer.post("/v1/events/batch", json!({ "events": [task("t1", "cat"), elsewhere] })).sentence(422);
    assert!(sentence.starts_with("events[1]: callback_url is no webhook"), "{sentence}");
    let mut unusable = task("t2", "cat");
    unusable["callback_url"] = "ftp://a.example/".into();
    let sentence = customer.post("/v1/events/batch", json!({ "events": [unusable] })).sentence(422);
    assert!(sentence.starts_with("events[0].callback_url: this URL cannot be used"), "{sentence}");
    assert_eq!(stored(&world), before, "nothing of any of them");
    world.settle();
    answers(&send(&coop, &[good.clone(), good]));
}

#[test]
fn each_event_of_a_batch_may_have_a_key_of_its_own() {
    let world = World::new();
    let receiver = Receiver::new();
    let coop = world.coop();
    coop.webhook(&receiver.url(), &["*"], "s");
    let (first, second) = (json!({ "n": 1 }), json!({ "n": 2 }));
    let both = answers(&send(&coop, &[keyed("a", &first), keyed("b", &second)]));
    assert_eq!(answers(&send(&coop, &[keyed("b", &second), keyed("a", &first)])), [both[1].clone(), both[0].clone()]);
    // The same key in a single publish, by the field and by the header.
    assert_eq!(coop.post("/events", keyed("a", &first)).expect(202), both[0]);
    let body = event(&first).to_string();
    let header = |key| coop.send("POST", "/events", &[JSON, ("idempotency-key", key)], Some(body.as_bytes()));
    assert_eq!(header("a").expect(202), both[0]);
    let two = keyed("a", &first).to_string();
    let answer = coop.send("POST", "/events", &[JSON, ("idempotency-key", "b")], Some(two.as_bytes()));
    assert_eq!(answer.code(400), "INVALID_REQUEST");
    // Within one batch.
    let twice = answers(&send(&coop, &[keyed("c", &first), keyed("c", &first), event(&first)]));
    assert_eq!(twice[0], twice[1]);
    assert_ne!(twice[0]["event_id"], twice[2]["event_id"]);
    let before = stored(&world);
    for events in [[keyed("d", &first), keyed("d", &second)], [keyed("e", &first), keyed("a", &second)]] {
        let answer = send(&coop, &events);
        assert_eq!(answer.code(422), "IDEMPOTENCY_KEY_REUSED");
        assert!(message(&answer).starts_with("events[1]: this Idempotency-Key"), "{}", answer.text);
    }
    assert_eq!(stored(&world), before);
    world.settle();
    assert_eq!(receiver.posts().len(), 4);
}

#[test]
fn a_batch_may_have_a_key_as_a_whole() {
    let world = World::new();
    let receiver = Receiver::new();
    let coop = world.coop();
    coop.webhook(&receiver.url(), &["*"], "s");
    let events = [event(&json!({ "n": 1 })), event(&json!({ "n": 1 })), keyed("own", &json!({ "n": 3 }))];
    let first = answers(&send_under(&coop, "import-7", &events));
    assert_ne!(first[0]["event_id"], first[1]["event_id"], "alike, and yet two events");
    assert_eq!(answers(&send_under(&coop, "\"import-7\"", &events)), first);
    assert_eq!(answers(&send(&coop, &events[2..]))[0], first[2], "known by its own key");
    // Another batch under the same key, however little differs: one event more or less, or another order.
    let more = [&events[..], &[event(&json!({}))]].concat();
    let turned = [events[2].clone(), events[0].clone(), events[1].clone()];
    let before = stored(&world);
    for other in [&more[..], &events[..2], &turned[..], &events[..1]] {
        let answer = send_under(&coop, "import-7", other);
        assert_eq!(answer.code(422), "IDEMPOTENCY_KEY_REUSED", "{}", answer.text);
    }
    assert_eq!(stored(&world), before);
    answers(&send_under(&coop, "import-8", &events[..2]));
    let alone =
        coop.send("POST", "/events", &[JSON, ("idempotency-key", "import-7")], Some(more[3].to_string().as_bytes()));
    alone.expect(202);
    world.settle();
    assert_eq!(receiver.posts().len(), 6);
}

#[test]
fn a_batch_may_have_as_many_events_bytes_and_deliveries_as_the_config_says() {
    let world = World::with(|wish: &mut Wish| {
        wish.config.limits.events_per_batch = 4;
        wish.config.limits.deliveries_per_batch = 6;
        wish.config.server.max_body_bytes = 1024;
        wish.config.server.max_batch_bytes = 2048;
    });
    let (coop, customer) = (world.coop(), world.customer());
    let events = |count: usize| vec![event(&json!({})); count];
    assert_eq!(answers(&send(&coop, &events(4))).len(), 4);
    for count in [0, 5] {
        let answer = send(&coop, &events(count));
        assert_eq!(answer.code(400), "INVALID_REQUEST");
        assert!(message(&answer).contains("1 to 4") && message(&answer).contains("limits.events_per_batch"));
        let tasks = vec![task("t", "cat"); count];
        let sentence = customer.post("/v1/events/batch", json!({ "events": tasks })).sentence(400);
        assert!(sentence.contains("1 to 4"), "{sentence}");
    }
    for path in ["a", "b"] {
        coop.webhook(&format!("http://127.0.0.1:1/{path}"), &["*"], "s");
    }
    answers(&send(&coop, &events(3)));
    let before = stored(&world);
    let answer = send(&coop, &events(4));
    assert_eq!(answer.code(422), "INVALID_PAYLOAD");
    let message_of_it = message(&answer);
    assert!(message_of_it.starts_with("events[3]: with this one they come to more than 6"), "{message_of_it}");
    assert!(message_of_it.contains("limits.deliveries_per_batch"), "{message_of_it}");
    assert_eq!(stored(&world), before);
    let sized = |bytes: usize| {
        let start = r#"{"events":[{"event":"dds.filed","data":{}},"#;
        format!("{start}{}{}]}}", " ".repeat(bytes - start.len() - 38), event(&json!({ "a": 1 })))
    };
    assert_eq!(coop.post_text("/events/batch", &sized(2048)).status, 202);
    let refused = coop.post_text("/events/batch", &sized(2049));
    assert_eq!(refused.code(413), "PAYLOAD_TOO_LARGE");
    assert!(message(&refused).contains("2048 bytes"), "{}", refused.text);
    assert_eq!(coop.post_text("/events", &sized(1025)).code(413), "PAYLOAD_TOO_LARGE", "of one event as before");
    assert_eq!(coop.get("/events/batch").header("allow"), "POST");
}

#[test]
fn an_event_of_a_batch_may_have_as_many_bytes_as_an_event_alone() {
    const MOST: usize = 70_000;
    let world = World::with(|wish: &mut Wish| wish.config.server.max_body_bytes = MOST);
    let (coop, customer) = (world.coop(), world.customer());
    let before = stored(&world);
    let padded = |text: &Value, bytes: usize| {
        let text = text.to_string();
        format!("{{{}{}", " ".repeat(bytes - text.len()), &text[1..])
    };
    let small = event(&json!({}));
    let batch = |texts: [&str; 3]| format!(r#"{{"events":[{}]}}"#, texts.join(","));
    let (at, beyond) = (padded(&small, MOST), padded(&small, MOST + 1));
    let refused = coop.post_text("/events/batch", &batch([&small.to_string(), &at, &beyond]));
    assert_eq!(refused.code(413), "PAYLOAD_TOO_LARGE");
    let said = format!("events[2] has {} bytes: at most {MOST} are taken of one event", MOST + 1);
    assert!(message(&refused).starts_with(&said), "{}", refused.text);
    assert_eq!(coop.post_text("/events", &beyond).code(413), "PAYLOAD_TOO_LARGE");
    let [one, other, third] = ["t1", "t2", "t3"].map(|id| task(id, "cat"));
    let beyond = padded(&one, MOST + 1);
    let refused = customer.post_text("/v1/events/batch", &batch([&beyond, &other.to_string(), &third.to_string()]));
    assert!(refused.sentence(413).starts_with("events[0] has "), "{}", refused.text);
    assert_eq!(stored(&world), before, "nothing of any of them");
    coop.post_text("/events/batch", &batch([&small.to_string(), &at, &at])).expect(202);
    let at = padded(&one, MOST);
    customer.post_text("/v1/events/batch", &batch([&at, &other.to_string(), &third.to_string()])).expect(202);
    // Too many deliveries are refused before any is made.
    let many = format!(r#"{{"events":[{}0]}}"#, "0,".repeat(50_000));
    assert!(message(&coop.post_text("/events/batch", &many)).starts_with("events has 50001 entries: 1 to 1000"));
}

#[test]
fn by_default_a_batch_has_a_thousand_events_and_not_one_more() {
    let world = World::new();
    let coop = world.coop();
    let events = |count: usize| vec![event(&json!({})); count];
    assert_eq!(answers(&send(&coop, &events(1000))).len(), 1000);
    let before = stored(&world);
    let refused = send(&coop, &events(1001));
    assert_eq!(refused.code(400), "INVALID_REQUEST");
    assert!(message(&refused).starts_with("events has 1001 entries: 1 to 1000"), "{}", refused.text);
    assert_eq!(stored(&world), before);
}

#[test]
fn a_batch_that_may_not_be_published_is_refused_before_it_is_read() {
    let world = World::new();
    let manager = world.client(&world.token_for(Holder::Account(COOP.to_owned()), "webhooks"));
    for client in [manager, world.customer()] {
        assert_eq!(client.post_text("/events/batch", "{").code(403), "FORBIDDEN");
    }
    assert!(world.coop().post_text("/v1/events/batch", "{").sentence(403).contains("another platform"));
}

#[test]
fn publishing_batches_is_not_counted_as_management() {
    let world = World::with(|wish: &mut Wish| wish.config.limits.requests_per_minute = 1);
    let (coop, customer) = (world.coop(), world.customer());
    for number in 0..4 {
        let answer = send(&coop, &[event(&json!({}))]);
        assert_eq!((answer.status, answer.header("x-ratelimit-limit")), (202, ""));
        let tasks = json!({ "events": [task(&format!("t{number}"), "cat")] });
        customer.post("/v1/events/batch", tasks).expect(202);
    }
}

#[test]
fn a_batch_waits_while_its_account_has_others_in_progress() {
    let world = World::with(|wish: &mut Wish| wish.config.limits.batches = 4);
    let other = world.client(&world.token_for(Holder::Account(OTHER_COOP.to_owned()), "events"));
    let (coop, good) = (world.coop(), vec![event(&json!({}))]);
    // Their first use is noted.
    answers(&send(&coop, &good));
    assert_eq!(send(&other, &[]).status, 400);
    world.settle();
    let before = stored(&world).0;
    let (open, held) = hold_writer(world.db());
    let (told, tells) = mpsc::channel();
    let ask = |events: Vec<Value>| {
        let (coop, told) = (coop.clone(), told.clone());
        thread::spawn(move || told.send(send(&coop, &events).status));
    };
    (0..3).for_each(|_| ask(good.clone()));
    // A quarter of the places is one account's. Another account gets its refusal at once; the same account waits for a
    // place.
    while world.db().waiting() == 0 {
        assert_eq!(send(&other, &[]).status, 400);
    }
    ask(Vec::new());
    for _ in 0..20 {
        assert_eq!(send(&other, &[]).status, 400);
    }
    assert!(tells.try_recv().is_err(), "nobody of them was answered");
    open.send(()).expect("the writer waits");
    held.join().expect("no panic");
    let mut told: Vec<u16> = (0..4).map(|_| tells.recv_timeout(PATIENCE).expect("it is answered")).collect();
    told.sort_unstable();
    assert_eq!(told, [202, 202, 202, 400], "each had its turn");
    assert_eq!(stored(&world).0, before + 3);
}

#[test]
fn claims_of_an_undone_batch_are_never_sent_and_its_webhook_goes_on() {
    let world = World::new();
    let receiver = Receiver::new();
    let (coop, platform) =
        (world.coop(), world.client(&world.token_for(Holder::Platform("asilichain".to_owned()), "events")));
    coop.webhook(&receiver.url(), &["*"], "s");
    // It has proven itself: new deliveries are claimed as they are made.
    coop.publish("dds.filed", json!({ "n": 0 }));
    world.settle();
    let of =
        |cooperative: &str, n: u64| json!({ "event": "dds.filed", "cooperative_id": cooperative, "data": { "n": n } });
    let mut events: Vec<Value> = (0..400).map(|_| of(COOP, 9)).collect();
    events.push(of("COOP-NOWHERE", 9));
    assert_eq!(send(&platform, &events).code(404), "COOPERATIVE_NOT_FOUND");
    coop.publish("dds.filed", json!({ "n": 1 }));
    answers(&send(&coop, &vec![event(&json!({ "n": 2 })); 300]));
    world.settle();
    let seen: Vec<u64> =
        receiver.posts().iter().map(|post| post.json()["data"]["n"].as_u64().expect("a number")).collect();
    assert_eq!((seen.len(), seen.contains(&9)), (302, false));
}

#[test]
fn nobody_waits_for_more_than_one_batch() {
    let world = World::with(|wish: &mut Wish| wish.config.limits.batches = 40);
    let (coop, customer) = (world.coop(), world.customer());
    [("/webhooks", &coop), ("/v1/webhooks", &customer)].into_iter().for_each(|(path, client)| drop(client.get(path)));
    world.settle();
    let (open, held) = hold_writer(world.db());
    let (told, tells) = mpsc::channel();
    let ask = |who: &'static str, client: &Client, path: &'static str, body: Value| {
        let (client, told, waiting) = (client.clone(), told.clone(), world.db().waiting());
        thread::spawn(move || told.send((who, client.post(path, body).status)));
        let begun = Instant::now();
        while world.db().waiting() == waiting {
            assert!(begun.elapsed() < PATIENCE, "it waits for the writer");
        }
    };
    let batch = |count| json!({ "events": vec![event(&json!({})); count] });
    for _ in 0..4 {
        ask("batch", &coop, "/events/batch", batch(300));
    }
    ask("refused", &customer, "/v1/events/batch", json!({ "events": [task("t", "cat"), task("t", "dog")] }));
    ask("one", &coop, "/events", event(&json!({})));
    ask("one", &customer, "/v1/events", task("u", "cat"));
    open.send(()).expect("the writer waits");
    held.join().expect("no panic");
    let told: Vec<(&str, u16)> = (0..7).map(|_| tells.recv_timeout(PATIENCE).expect("it is answered")).collect();
    let ones: Vec<usize> = (0..7).filter(|place| told[*place].0 == "one").collect();
    assert!(ones.iter().all(|place| *place < 4), "they came last and waited for no four: {told:?}");
    let expected = |who: &str| match who {
        "refused" => 409,
        _ => 202,
    };
    assert!(told.iter().all(|(who, status)| *status == expected(who)), "{told:?}");
    assert_eq!(stored(&world).0, 4 * 300 + 2, "of {CUSTOMER}'s batch nothing");
}
