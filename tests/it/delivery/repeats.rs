//! A request with an `Idempotency-Key` has its effect once, and each repeat gets the answer of the first.

use std::fs;

use ngoma::store::{answers, endpoints};
use serde_json::{Value, json};

use crate::support::{
    aging::age,
    browser::operator,
    client::{Answer, Client},
    operations::{JSON, owner, task, text},
    receiver::{Receiver, Reply},
    world::{COOP, CUSTOMER, OTHER_COOP, World, together},
};

/// Sends a request under this key.
fn keyed(client: &Client, path: &str, key: &str, body: &Value) -> Answer {
    client.send("POST", path, &[JSON[0], ("idempotency-key", key)], Some(body.to_string().as_bytes()))
}

fn coop_webhook(receiver: &Receiver) -> Value {
    json!({ "url": receiver.url(), "events": ["*"], "cooperative_id": COOP })
}

fn count(client: &Client, path: &str) -> usize {
    client.get(path).expect(200).as_array().expect("a list").len()
}

#[test]
fn a_registration_under_a_key_is_made_once_and_every_repeat_shows_the_secret_that_was_made() {
    let (mut world, receiver) = (World::new(), Receiver::new());
    let asg = json!({ "callback_url": receiver.url() });
    for (account, path, body) in [(COOP, "/webhooks", coop_webhook(&receiver)), (CUSTOMER, "/v1/webhooks", asg)] {
        let client = owner(&world, account);
        let first = keyed(&client, path, "register-1", &body);
        let id = text(&first.expect(201)["webhook_id"]);
        assert!(first.json()["secret"].as_str().is_some_and(|secret| secret.starts_with("whsec_")), "{}", first.text);
        let again = keyed(&client, path, "\"register-1\"", &body);
        assert_eq!((again.status, &again.text), (201, &first.text));
        assert_eq!(count(&client, path), 1);
        let mut another = body.clone();
        another["name"] = "another".into();
        let refused = keyed(&client, path, "register-1", &another);
        assert!(refused.status == 422 && refused.text.contains("Idempotency-Key"), "{}", refused.text);
        assert_eq!(keyed(&client, path, "register-2", &body).status, 201, "another key is another webhook");
        client.post(path, body.clone()).expect(201);
        assert_eq!(count(&client, path), 3, "and without a key each is one");
        // The answer stays, whatever becomes of the webhook and of the server.
        client.delete(&format!("{path}/{id}"));
        world.crash();
        world.start();
        let client = owner(&world, account);
        assert_eq!(keyed(&client, path, "register-1", &body).text, first.text);
    }
    let wrong = keyed(&world.coop(), "/webhooks", &"k".repeat(256), &coop_webhook(&receiver));
    assert_eq!(wrong.code(400), "INVALID_REQUEST");
}

#[test]
fn a_key_is_its_account_s_own_and_names_one_path() {
    let (world, receiver) = (World::new(), Receiver::new());
    let (coop, other) = (world.coop(), owner(&world, OTHER_COOP));
    let first = keyed(&coop, "/webhooks", "k", &coop_webhook(&receiver)).expect(201);
    let theirs = json!({ "url": receiver.url(), "events": ["*"], "cooperative_id": OTHER_COOP });
    assert_ne!(keyed(&other, "/webhooks", "k", &theirs).expect(201)["webhook_id"], first["webhook_id"]);
    let path = format!("/webhooks/{}/test", text(&first["webhook_id"]));
    assert_eq!(keyed(&coop, &path, "k", &json!({})).code(422), "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(receiver.posts().len(), 0);
    // A platform's token uses the key of the account that it acts for.
    let platform = world.operator();
    assert_eq!(keyed(&platform, "/webhooks", "k", &coop_webhook(&receiver)).expect(201), first);
}

#[test]
fn a_replay_a_recovery_a_rotation_and_a_test_under_a_key_happen_once() {
    let (world, receiver) = (World::new(), Receiver::new());
    let (coop, customer) = (world.coop(), world.customer());
    let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
    let made = customer.post("/v1/webhooks", json!({ "callback_url": receiver.url(), "secret": "s3cret" })).expect(201);
    let asg = text(&made["webhook_id"]);
    receiver.always(Reply::status(410));
    coop.publish("dds.filed", json!({}));
    customer.post("/v1/events", task("t")).expect(202);
    world.settle();
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": "ACTIVE", "resend_failed": false })).expect(200);
    customer.patch(&format!("/v1/webhooks/{asg}"), json!({ "active": true, "resend_failed": false }));
    receiver.always(Reply::status(200));
    let of_asg = customer.get(&format!("/v1/webhooks/{asg}/deliveries")).expect(200);
    let deliveries =
        [text(&coop.deliveries(&webhook)[0]["delivery_id"]), text(&of_asg["deliveries"][0]["delivery_id"])];
    for (client, base, delivery) in [
        (&coop, format!("/webhooks/{webhook}"), &deliveries[0]),
        (&customer, format!("/v1/webhooks/{asg}"), &deliveries[1]),
    ] {
        let since = json!({ "since": "2026-04-20T00:00:00Z", "status": "any" });
        for (key, path, body, status) in [
            ("test", format!("{base}/test"), json!({}), 200),
            ("replay", format!("{base}/replay/{delivery}"), json!({}), 202),
            ("recover", format!("{base}/recover"), since, 202),
            ("rotate", format!("{base}/secret/rotate"), json!({}), 201),
        ] {
            let before = receiver.posts().len();
            let first = keyed(client, &path, key, &body);
            assert_eq!(first.status, status, "{path}: {}", first.text);
            world.settle();
            let sent = receiver.posts().len() - before;
            for _ in 0..2 {
                let again = keyed(client, &path, key, &body);
                assert_eq!((again.status, &again.text), (status, &first.text), "{path}");
            }
            world.settle();
            assert_eq!(receiver.posts().len() - before, sent, "{path}: a repeat sends nothing");
            let other = json!({ "dry_run": false, "since": "2026-04-19T00:00:00Z", "event": "dds.filed" });
            if key == "recover" {
                assert_eq!(keyed(client, &path, key, &other).status, 422, "{path}");
            }
        }
        let recoveries = if base.starts_with("/v1") { "/v1/recoveries" } else { "/recoveries" };
        let recoveries = client.get(recoveries).expect(200);
        assert_eq!(recoveries["recoveries"].as_array().map(Vec::len), Some(1), "{recoveries}");
    }
}

#[test]
fn an_operator_s_replay_under_a_key_happens_once_and_a_key_where_none_is_taken_is_refused() {
    let (world, receiver) = (World::new(), Receiver::new());
    let (coop, of_operator) = (world.coop(), world.operator());
    let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
    coop.publish("dds.filed", json!({}));
    world.settle();
    let delivery = text(&coop.deliveries(&webhook)[0]["delivery_id"]);
    let path = format!("/operator/deliveries/{delivery}/replay");
    let first = keyed(&of_operator, &path, "once", &json!({}));
    assert_eq!(first.status, 202, "{}", first.text);
    world.settle();
    assert_eq!(keyed(&of_operator, &path, "once", &json!({})).text, first.text);
    world.settle();
    assert_eq!((coop.deliveries(&webhook).len(), receiver.posts().len()), (2, 2));
    let account = json!({ "account_id": "COOP-NEW", "profile": "asilichain" });
    let refused = keyed(&of_operator, "/operator/accounts", "once", &account);
    assert_eq!(refused.code(400), "INVALID_REQUEST");
    assert!(refused.text.contains("takes no Idempotency-Key"), "{}", refused.text);
    // A publish of ASG Gateway is known by its task.
    world
        .customer()
        .send("POST", "/v1/events", &[JSON[0], ("idempotency-key", "k")], Some(task("t").to_string().as_bytes()))
        .expect(202);
}

#[test]
fn a_repeat_may_be_printed_otherwise_and_a_body_where_none_is_taken_is_refused() {
    let (world, receiver) = (World::new(), Receiver::new());
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
    let path = format!("/webhooks/{webhook}/test");
    let send = |path: &str, body: Option<&str>| {
        coop.send("POST", path, &[JSON[0], ("idempotency-key", "one")], body.map(str::as_bytes))
    };
    let first = send(&path, Some(r#"{"event":"dds.filed"}"#));
    assert_eq!(first.status, 200, "{}", first.text);
    assert_eq!(send(&path, Some("{ \"event\" :\n \"dds.filed\" }")).text, first.text);
    assert_eq!(send(&path, Some(r#"{"event":"dds. filed"}"#)).status, 422, "another text");
    let other = coop.webhook(&receiver.url(), &["dds.filed"], "s3cret");
    let path = format!("/webhooks/{other}/test");
    let two =
        |body: Option<&str>| coop.send("POST", &path, &[JSON[0], ("idempotency-key", "two")], body.map(str::as_bytes));
    let first = two(None);
    assert_eq!(first.status, 200, "{}", first.text);
    assert_eq!(two(Some(" { } ")).text, first.text, "no body is as good as an empty object");
    let delivery = text(&coop.deliveries(&other)[0]["delivery_id"]);
    let of_asg = world.customer().post("/v1/webhooks", json!({ "callback_url": receiver.url() })).expect(201);
    for (client, path) in [
        (&coop, format!("/webhooks/{other}/replay/{delivery}")),
        (&world.customer(), format!("/v1/webhooks/{}/replay/{delivery}", text(&of_asg["webhook_id"]))),
        (&world.operator(), format!("/operator/deliveries/{delivery}/replay")),
        (&world.operator(), format!("/operator/deliveries/{delivery}/cancel")),
        (&coop, "/recoveries/rec_01HXYZ8M9N8P7Q6R5S4T3V2W1X/cancel".to_owned()),
        (&world.customer(), "/v1/recoveries/rec_01HXYZ8M9N8P7Q6R5S4T3V2W1X/cancel".to_owned()),
        (&world.operator(), "/operator/recoveries/rec_01HXYZ8M9N8P7Q6R5S4T3V2W1X/cancel".to_owned()),
    ] {
        for body in [r#"{"x":1}"#, "zzz", "[]"] {
            let refused = client.send("POST", &path, &JSON, Some(body.as_bytes()));
            assert!(refused.status == 400 && refused.text.contains("takes no body"), "{path}: {}", refused.text);
        }
        let large = "x".repeat(5000);
        assert_eq!(client.send("POST", &path, &JSON, Some(large.as_bytes())).status, 413, "{path}");
    }
}

#[test]
fn the_key_of_a_test_that_the_server_s_end_cut_off_may_be_used_again_at_once() {
    let (mut world, receiver) = (World::new(), Receiver::new());
    let webhook = world.coop().webhook(&receiver.url(), &["*"], "s3cret");
    let path = format!("/webhooks/{webhook}/test");
    receiver.always(Reply::Gate(200));
    let cut_off = {
        let (coop, path) = (world.coop(), path.clone());
        std::thread::spawn(move || coop.try_send("POST", &path, &[JSON[0], ("idempotency-key", "cut")], Some(b"{}")))
    };
    receiver.wait_for(1);
    world.crash_during(&receiver);
    let _ = cut_off.join();
    receiver.always(Reply::status(200));
    world.start();
    let again = keyed(&world.coop(), &path, "cut", &json!({}));
    assert_eq!(again.status, 200, "{}", again.text);
}

#[test]
fn the_same_key_from_several_connections_at_once_has_one_effect() {
    let (world, receiver) = (World::new(), Receiver::new());
    let (coop, body) = (world.coop(), coop_webhook(&receiver));
    let ask = |_| {
        let (coop, body) = (coop.clone(), body.clone());
        Box::new(move || keyed(&coop, "/webhooks", "at-once", &body).text) as Box<dyn FnOnce() -> String + Send>
    };
    let answers = together((0..6).map(ask).collect());
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(count(&coop, "/webhooks"), 1);
    // While an attempt of a test is under way, a repeat is refused; then it gets the answer.
    let id = text(&serde_json::from_str::<Value>(&answers[0]).expect("JSON")["webhook_id"]);
    let path = format!("/webhooks/{id}/test");
    receiver.always(Reply::Gate(200));
    let first = {
        let (coop, path) = (coop.clone(), path.clone());
        std::thread::spawn(move || keyed(&coop, &path, "one-test", &json!({})).text)
    };
    receiver.wait_for(1);
    let meanwhile = keyed(&coop, &path, "one-test", &json!({}));
    assert_eq!(meanwhile.code(409), "DELIVERY_IN_FLIGHT");
    receiver.open_gate();
    let first = first.join().expect("an answer");
    assert_eq!(keyed(&coop, &path, "one-test", &json!({})).text, first);
    assert_eq!(receiver.posts().len(), 1, "one attempt");
    // A request that could not be carried out leaves its key free.
    coop.patch(&format!("/webhooks/{id}"), json!({ "status": "SUSPENDED" })).expect(200);
    let recover = format!("/webhooks/{id}/recover");
    let since = json!({ "since": "2026-04-20T00:00:00Z" });
    assert_eq!(keyed(&coop, &recover, "later", &since).code(409), "WEBHOOK_SUSPENDED");
    coop.patch(&format!("/webhooks/{id}"), json!({ "status": "ACTIVE" })).expect(200);
    assert_eq!(keyed(&coop, &recover, "later", &since).status, 202);
}

#[test]
fn kept_answers_are_encrypted_and_open_after_a_rotation_of_the_key() {
    let (world, receiver) = (World::new(), Receiver::new());
    let (coop, mut body) = (world.coop(), coop_webhook(&receiver));
    body["name"] = "a name that stands in the answer".into();
    let first = keyed(&coop, "/webhooks", "sealed", &body);
    let secret = text(&first.expect(201)["secret"]);
    world.write(endpoints::add_key).expect("a new key");
    world.write(|tx| endpoints::reseal(tx, 0, 100)).expect("sealed again");
    assert!(!world.write(endpoints::forget_old_keys).expect("looked"), "an answer still needs the old key");
    world.write(|tx| answers::reseal(tx, 0, 100)).expect("sealed again");
    assert!(world.write(endpoints::forget_old_keys).expect("forgotten"), "nothing needs the old key");
    assert_eq!(keyed(&coop, "/webhooks", "sealed", &body).text, first.text);
    let files = [world.database(), world.database().with_extension("db-wal")];
    let bytes: Vec<u8> = files.iter().flat_map(|file| fs::read(file).unwrap_or_default()).collect();
    let holds = |text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(holds("a name that stands in the answer"), "in the row of the webhook");
    assert!(!holds(&secret) && !holds("\"webhook_id\""), "the answer is nowhere in the clear");
}

#[test]
fn a_key_holds_as_long_as_that_of_a_delivered_event() {
    let (world, receiver) = (World::new(), Receiver::new());
    let (coop, body) = (world.coop(), coop_webhook(&receiver));
    let first = keyed(&coop, "/webhooks", "old", &body);
    first.expect(201);
    age(&world, "1h");
    age(&world, "29d 22h");
    assert_eq!(keyed(&coop, "/webhooks", "old", &body).text, first.text);
    age(&world, "2h");
    age(&world, "1h");
    assert_ne!(keyed(&coop, "/webhooks", "old", &body).text, first.text, "it is a new request by now");
    assert_eq!(count(&coop, "/webhooks"), 2);
}

#[test]
fn what_waits_or_is_under_way_is_not_replayed() {
    let (world, receiver) = (World::new(), Receiver::new());
    let (coop, operator_client, browser) = (world.coop(), world.operator(), operator(&world));
    let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
    receiver.always(Reply::status(500));
    let accepted = coop.publish("dds.filed", json!({}));
    world.settle();
    let delivery = text(&accepted["deliveries"][0]["delivery_id"]);
    let paths = [format!("/webhooks/{webhook}/replay/{delivery}"), format!("/operator/deliveries/{delivery}/replay")];
    let page = format!("/ui/deliveries/{delivery}");
    let refused = |code: &str| {
        for (client, path) in [(&coop, &paths[0]), (&operator_client, &paths[1])] {
            assert_eq!(client.post(path, json!({})).code(409), code);
        }
        assert!(!browser.get(&page).text.contains(&format!("{page}/replay")), "no button");
        assert_eq!(browser.post(&format!("{page}/replay"), &[]).status, 409);
    };
    refused("DELIVERY_PENDING");
    receiver.always(Reply::Gate(200));
    world.move_clock(std::time::Duration::from_secs(30));
    receiver.wait_for(2);
    refused("DELIVERY_IN_FLIGHT");
    receiver.open_gate();
    world.settle();
    assert_eq!(coop.deliveries(&webhook).len(), 1, "no replay was made");
    coop.post(&paths[0], json!({})).expect(202);
}
