//! Resuming a webhook sends its failed deliveries since the last success, then the held ones, each in order.

use std::time::Instant;

use serde_json::{Value, json};

use crate::support::{
    browser::{of, operator},
    client::Client,
    database::make_older,
    mailbox::told,
    program::run,
    receiver::{PATIENCE, Receiver, Reply},
    world::{COOP, CUSTOMER, Holder, World},
};

/// A world that sends one delivery after the other, so that POSTs show the order of their due times.
pub fn in_order() -> World {
    World::with(|wish| wish.config.delivery.max_in_flight_per_endpoint = 1)
}

/// A webhook of the cooperative, and its path.
pub fn webhook(coop: &Client, receiver: &Receiver) -> (String, String) {
    let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
    let path = format!("/webhooks/{webhook}");
    (webhook, path)
}

fn publish(world: &World, number: u64) -> String {
    let published = world.coop().publish("dds.filed", json!({ "number": number }));
    world.settle();
    published["deliveries"][0]["delivery_id"].as_str().expect("an id").to_owned()
}

/// The numbers that arrived from the `first` POST on.
fn arrived(receiver: &Receiver, first: usize) -> Vec<u64> {
    receiver.posts()[first..].iter().map(|post| post.json()["data"]["number"].as_u64().expect("a number")).collect()
}

pub fn resume(coop: &Client, path: &str) -> Value {
    coop.patch(path, json!({ "status": "ACTIVE" })).expect(200)
}

fn resume_and_leave(coop: &Client, path: &str) -> Value {
    coop.patch(path, json!({ "status": "ACTIVE", "resend_failed": false })).expect(200)
}

/// How many failed ones are sent again, and how many held ones are released, as an answer says it.
pub fn counts(answer: &Value) -> (&Value, &Value) {
    (&answer["resent_deliveries"], &answer["released_deliveries"])
}

/// How many would be sent again, and how many are held, as the webhook says it.
pub fn waiting(coop: &Client, path: &str) -> (u64, u64) {
    let seen = coop.get(path).expect(200);
    (seen["failed_deliveries"].as_u64().expect("a count"), seen["held_deliveries"].as_u64().expect("a count"))
}

/// A webhook that a 410 has suspended, with the delivery that was refused so and two more that are held.
fn suspended(world: &World, receiver: &Receiver) -> (String, String) {
    let (webhook, path) = webhook(&world.coop(), receiver);
    receiver.always(Reply::status(410));
    (1..=3).for_each(|number| drop(publish(world, number)));
    receiver.always(Reply::status(200));
    (webhook, path)
}

#[test]
fn the_delivery_that_suspended_a_webhook_arrives_when_it_is_resumed_before_those_that_were_held() {
    let world = in_order();
    let (coop, receiver) = (world.coop(), Receiver::new());
    let (webhook, path) = webhook(&coop, &receiver);
    receiver.always(Reply::status(500));
    let failed = publish(&world, 1);
    ["30s", "5m", "30m", "2h"].iter().for_each(|wait| world.advance(wait));
    assert_eq!(coop.status(&webhook), "SUSPENDED");
    (2..=3).for_each(|number| drop(publish(&world, number)));
    assert_eq!(waiting(&coop, &path), (1, 2));
    receiver.always(Reply::status(200));
    let resumed = resume(&coop, &path);
    assert_eq!(counts(&resumed), (&json!(1), &json!(2)), "the answer says how many of each");
    world.settle();
    assert_eq!(arrived(&receiver, 5), [1, 2, 3]);
    let posts = receiver.posts();
    assert_eq!((&posts[5].body, posts[5].header("webhook-id")), (&posts[0].body, posts[0].header("webhook-id")));
    let replay = coop.delivery(&webhook, posts[5].header("ngoma-delivery"));
    assert_eq!((&replay["replay_of"], &replay["status"]), (&json!(failed), &json!("DELIVERED")));
    assert_eq!(coop.delivery(&webhook, &failed)["status"], "FAILED", "what failed is on record");
    assert_eq!(waiting(&coop, &path), (0, 0));
}

#[test]
fn failed_deliveries_can_be_left_to_a_later_resume_which_sends_them_in_the_order_of_their_events() {
    let world = in_order();
    let (coop, receiver) = (world.coop(), Receiver::new());
    let (_, path) = suspended(&world, &receiver);
    receiver.always(Reply::status(410));
    let left = resume_and_leave(&coop, &path);
    assert_eq!(counts(&left), (&json!(0), &json!(2)));
    world.settle();
    assert_eq!(arrived(&receiver, 1), [2], "the first of the held, which suspends it again");
    assert_eq!(waiting(&coop, &path), (2, 1));
    receiver.always(Reply::status(200));
    assert_eq!(counts(&resume(&coop, &path)), (&json!(2), &json!(1)));
    world.settle();
    assert_eq!(arrived(&receiver, 2), [1, 2, 3]);
}

#[test]
fn of_a_replay_that_failed_too_only_the_newest_is_sent_again_in_the_place_of_its_event() {
    let world = in_order();
    let (coop, receiver) = (world.coop(), Receiver::new());
    let (_, path) = suspended(&world, &receiver);
    // The replay of the first fails as it did, and after it the one that was held.
    receiver.always(Reply::status(410));
    for expected in [(1, 2), (1, 2)] {
        assert_eq!(waiting(&coop, &path), expected);
        resume(&coop, &path);
        world.settle();
    }
    resume_and_leave(&coop, &path);
    world.settle();
    assert_eq!(arrived(&receiver, 0), [1, 1, 1, 2]);
    receiver.always(Reply::status(200));
    assert_eq!(counts(&resume(&coop, &path)), (&json!(2), &json!(1)));
    world.settle();
    assert_eq!(arrived(&receiver, 4), [1, 2, 3], "the replay is younger than the second, its event is older");
}

#[test]
fn only_an_answer_that_resumes_counts_and_a_second_resume_sends_nothing_twice() {
    let world = in_order();
    let (coop, receiver) = (world.coop(), Receiver::new());
    let (_, path) = suspended(&world, &receiver);
    resume(&coop, &path);
    world.settle();
    for (status, expected) in [("ACTIVE", Value::Null), ("SUSPENDED", Value::Null), ("ACTIVE", json!(0))] {
        let answer = coop.patch(&path, json!({ "status": status })).expect(200);
        assert_eq!(counts(&answer), (&expected, &expected), "{status}");
        assert_eq!(answer.get("resent_deliveries").is_some(), expected != Value::Null, "absent, not null");
        world.settle();
    }
    world.advance("3d");
    assert_eq!(arrived(&receiver, 1), [1, 2, 3], "each of them once");
    let wrong = coop.patch(&path, json!({ "status": "ACTIVE", "resend_failed": "no" }));
    assert_eq!(wrong.code(400), "INVALID_REQUEST");
    assert!(wrong.text.contains("resend_failed"), "{}", wrong.text);
}

#[test]
fn a_success_ends_what_a_resume_sends_again_and_a_test_is_none() {
    let world = in_order();
    let (coop, receiver) = (world.coop(), Receiver::new());
    let (_, path) = suspended(&world, &receiver);
    coop.post(&format!("{path}/test"), json!({})).expect(200);
    assert_eq!(waiting(&coop, &path).0, 1, "a test that arrives says nothing of what failed");
    resume_and_leave(&coop, &path);
    world.settle();
    assert_eq!(waiting(&coop, &path), (0, 0), "what was held has arrived since");
    // A test that fails is no delivery that anybody misses.
    receiver.always(Reply::status(410));
    coop.post(&format!("{path}/test"), json!({})).expect(200);
    coop.patch(&path, json!({ "status": "SUSPENDED" })).expect(200);
    assert_eq!(counts(&resume(&coop, &path)), (&json!(0), &json!(0)));
}

#[test]
fn a_success_that_was_under_way_before_the_failure_hides_nothing() {
    let world = World::new();
    let (coop, receiver) = (world.coop(), Receiver::new());
    let (webhook, path) = webhook(&coop, &receiver);
    publish(&world, 0);
    receiver.next([Reply::Gate(200), Reply::status(410)]);
    for number in [1, 2] {
        coop.publish("dds.filed", json!({ "number": number }));
        receiver.wait_for(1 + number);
    }
    let begun = Instant::now();
    while coop.status(&webhook) != "SUSPENDED" {
        assert!(begun.elapsed() < PATIENCE, "it is never suspended");
    }
    receiver.open_gate();
    world.settle();
    assert_eq!(waiting(&coop, &path), (1, 0));
    resume(&coop, &path);
    world.settle();
    assert_eq!(arrived(&receiver, 3), [2]);
}

#[test]
fn a_resume_and_a_recovery_never_replay_the_same_delivery_twice() {
    let world = in_order();
    let (coop, receiver) = (world.coop(), Receiver::new());
    let (webhook, path) = suspended(&world, &receiver);
    resume(&coop, &path);
    let operator = world.operator();
    let dry = operator.post("/operator/recoveries", json!({ "dry_run": true })).expect(200);
    assert_eq!(dry["matched"], 0, "{dry}");
    world.settle();
    receiver.always(Reply::status(410));
    let failed = publish(&world, 4);
    resume_and_leave(&coop, &path);
    receiver.always(Reply::Hang);
    coop.post(&format!("/webhooks/{webhook}/replay/{failed}"), json!({})).expect(202);
    assert_eq!(waiting(&coop, &path), (0, 0), "it is on its way again");
}

#[test]
fn dropping_held_deliveries_leaves_failed_ones_to_the_resume() {
    let world = in_order();
    let (coop, receiver) = (world.coop(), Receiver::new());
    let (webhook, path) = suspended(&world, &receiver);
    assert_eq!(of(&world, COOP, "webhooks").post(&format!("/ui/webhooks/{webhook}/drop"), &[]).status, 303);
    assert_eq!(counts(&resume(&coop, &path)), (&json!(1), &json!(0)));
    world.settle();
    assert_eq!(arrived(&receiver, 1), [1]);
}

#[test]
fn a_database_of_an_older_version_knows_what_to_send_again() {
    let mut world = in_order();
    let receiver = Receiver::new();
    let (_, path) = webhook(&world.coop(), &receiver);
    let fail = |number| {
        receiver.next([Reply::status(410)]);
        publish(&world, number);
    };
    fail(1);
    world.advance("10s");
    resume_and_leave(&world.coop(), &path);
    publish(&world, 2);
    world.advance("10s");
    fail(3);
    world.coop().post(&format!("{path}/test"), json!({})).expect(200);
    world.advance("10s");
    world.stop();
    make_older(&world, 6, "");
    world.start();
    let coop = world.coop();
    assert_eq!(counts(&resume(&coop, &path)), (&json!(1), &json!(0)));
    world.settle();
    assert_eq!(arrived(&receiver, 4), [3], "the first failed before the last success");
}

#[test]
fn the_dashboard_counts_failed_and_held_and_resumes_with_or_without_the_failed() {
    for leave in [false, true] {
        let (world, receiver) = (in_order(), Receiver::new());
        let (webhook, _) = suspended(&world, &receiver);
        let (browser, path) = (of(&world, COOP, "webhooks"), format!("/ui/webhooks/{webhook}"));
        let page = browser.get(&path).text;
        for part in [
            "1 delivery failed, 2 are held",
            "1 failed delivery is sent again, then 2 held ones go out",
            "Resume and send all 3",
            "Leave the failed",
        ] {
            assert!(page.contains(part), "'{part}' is not in {page}");
        }
        let tested = browser.post(&format!("{path}/test"), &[]).text;
        assert!(tested.contains("Resume and send all 3"), "{tested}");
        let fields: &[(&str, &str)] = if leave { &[("failed", "leave")] } else { &[] };
        let page = browser.follow(&browser.post(&format!("{path}/resume"), fields)).text;
        let said = if leave {
            "Resumed: 2 held deliveries go out."
        } else {
            "Resumed: 1 failed delivery is sent again, then 2 held ones go out."
        };
        assert!(page.contains(said), "{page}");
        world.settle();
        let test = 1;
        assert_eq!(arrived(&receiver, 1 + test), if leave { vec![2, 3] } else { vec![1, 2, 3] });
        let audit = operator(&world).get("/ui/audit?action=webhook.resumed").text;
        assert!(audit.contains(&said["Resumed: ".len()..said.len() - 1]), "{audit}");
        let page = browser.follow(&browser.post(&format!("{path}/resume"), &[])).text;
        assert!(page.contains("It was active already"), "{page}");
    }
}

#[test]
fn a_webhook_that_never_suspends_by_itself_sends_again_what_failed_when_it_is_paused_and_resumed() {
    let (world, receiver) = (in_order(), Receiver::new());
    receiver.always(Reply::status(500));
    let customer = world.client(&world.token_for(Holder::Account(CUSTOMER.to_owned()), "webhooks,events"));
    let made = customer.post("/v1/webhooks", json!({ "callback_url": receiver.url(), "secret": "s3cret" })).expect(201);
    let task = json!({ "event": "task.settled", "task_id": "tsk_1", "consensus_label": "cat", "confidence": 1.0,
                       "bsv_txid": "9f1c5a7b", "settled_at": "2026-04-08T21:05:00Z" });
    customer.post("/v1/events", task).expect(202);
    world.settle();
    ["1s", "4s"].iter().for_each(|wait| world.advance(wait));
    assert_eq!(receiver.posts().len(), 3, "given up");
    receiver.always(Reply::status(200));
    let browser = of(&world, CUSTOMER, "webhooks");
    let path = format!("/ui/webhooks/{}", made["webhook_id"].as_str().expect("an id"));
    assert_eq!(browser.post(&format!("{path}/pause"), &[]).status, 303);
    assert!(browser.get(&path).text.contains("1 delivery failed"));
    let page = browser.follow(&browser.post(&format!("{path}/resume"), &[])).text;
    assert!(page.contains("Resumed: 1 failed delivery is sent again."), "{page}");
    world.settle();
    assert_eq!(receiver.posts().len(), 4);
    let task = customer.get("/v1/tasks/tsk_1").expect(200);
    assert_eq!(task["deliveries"].as_array().map(Vec::len), Some(2), "{task}");
}

#[test]
fn the_command_line_resumes_with_a_server_and_without_one() {
    let (mut world, receiver) = (in_order(), Receiver::new());
    std::fs::write(world.folder().join("config.toml"), "").expect("a config");
    for serving in [true, false] {
        let (webhook, path) = suspended(&world, &receiver);
        let before = receiver.posts().len();
        if !serving {
            world.stop();
        }
        let said = run(world.folder(), &["webhooks", "resume", &webhook]);
        let expected = format!("{webhook} is active again: 1 failed delivery is sent again, then 2 held ones go out\n");
        assert_eq!(said, (0, expected, String::new()));
        if !serving {
            world.start();
        }
        // A server looks once a second for changes by commands.
        world.advance("1s");
        receiver.wait_for(before + 3);
        world.settle();
        assert_eq!(arrived(&receiver, before), [1, 2, 3], "with a server: {serving}");
        let again = run(world.folder(), &["webhooks", "resume", &webhook]);
        assert_eq!((again.0, again.1), (0, format!("{webhook} is active already: nothing was changed\n")));
        world.coop().delete(&path).expect(204);
        let gone = run(world.folder(), &["webhooks", "resume", &webhook]);
        assert!(gone.0 == 1 && gone.2.contains("deleted"), "{gone:?}");
    }
    let (webhook, _) = suspended(&world, &receiver);
    let before = receiver.posts().len();
    let (code, out, err) = run(world.folder(), &["webhooks", "resume", &webhook, "--leave-failed", "--json"]);
    assert_eq!(code, 0, "{err}");
    let said: Value = serde_json::from_str(&out).expect("JSON");
    let expected = json!({ "webhook_id": webhook, "resumed": true, "resent_deliveries": 0, "released_deliveries": 2 });
    assert_eq!(said, expected);
    world.advance("1s");
    receiver.wait_for(before + 2);
    world.settle();
    assert_eq!(arrived(&receiver, before), [2, 3]);
    for (wrong, expected) in [("wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1", 1), ("dlv_1", 2)] {
        let (code, _, err) = run(world.folder(), &["webhooks", "resume", wrong]);
        assert!(code == expected && err.contains("webhook") && err.lines().count() == 1, "{err}");
    }
}

#[test]
fn operators_and_alert_webhooks_see_how_many_deliveries_failed() {
    let (own, receiver) = (Receiver::new(), Receiver::new());
    let world = World::with(|wish| {
        wish.config.alerts.webhook_url = own.url().into();
        wish.config.alerts.webhook_secret = "a secret of the operator".to_owned().into();
    });
    suspended(&world, &receiver);
    told(&world);
    let data = &own.last().json()["data"];
    assert_eq!((&data["failed_deliveries"], &data["resume"].is_string()), (&json!(1), &true));
    let operator = world.operator();
    let report = &operator.get("/operator/webhooks").expect(200)["webhooks"][0];
    assert_eq!((&report["failed_deliveries"], &report["held"]), (&json!(1), &json!(2)));
    let alert = &operator.get("/operator/alerts").expect(200)["alerts"][0];
    assert_eq!((&alert["failed_deliveries"], &alert["held"]), (&json!(1), &json!(2)));
}
