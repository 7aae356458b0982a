//! An ordered webhook: one delivery at a time, in the order of acceptance.

use serde_json::json;

use crate::{
    asg::tasks::SECRET,
    support::{
        client::Client,
        flaky_receiver::{Answered, FlakyReceiver},
        receiver::{Receiver, Reply},
        world::{COOP, World},
    },
};

/// An ordered webhook of the cooperative, and its path.
fn ordered(coop: &Client, url: &str) -> (String, String) {
    let body = json!({ "url": url, "events": ["*"], "cooperative_id": COOP, "secret": "s", "ordered": true });
    let webhook = coop.post("/webhooks", body).expect(201)["webhook_id"].as_str().expect("an id").to_owned();
    let path = format!("/webhooks/{webhook}");
    (webhook, path)
}

/// Publishes events of these numbers; gives the ids of their deliveries.
fn publish(coop: &Client, numbers: impl IntoIterator<Item = u64>) -> Vec<String> {
    let one = |number| {
        let published = coop.publish("dds.filed", json!({ "number": number }));
        published["deliveries"][0]["delivery_id"].as_str().expect("an id").to_owned()
    };
    numbers.into_iter().map(one).collect()
}

fn arrived(receiver: &Receiver) -> Vec<u64> {
    receiver.posts().iter().map(|post| post.json()["data"]["number"].as_u64().expect("a number")).collect()
}

fn resume(coop: &Client, path: &str) {
    coop.patch(path, json!({ "status": "ACTIVE" })).expect(200);
}

#[test]
fn each_delivery_waits_until_the_one_before_it_is_delivered() {
    let world = World::new();
    let (coop, receiver) = (world.coop(), Receiver::new());
    let (webhook, _) = ordered(&coop, &receiver.url());
    receiver.always(Reply::Gate(200));
    publish(&coop, 1..=3);
    for before in 1..=3 {
        receiver.wait_for(before);
        assert_eq!(world.in_flight(), 1);
        let waiting = coop.deliveries(&webhook).iter().filter(|one| one["attempt_count"] == 0).count();
        assert_eq!((receiver.posts().len(), waiting), (before, 3 - before), "the others cost no try");
        receiver.open_gate();
    }
    world.settle();
    assert_eq!(arrived(&receiver), [1, 2, 3]);
}

#[test]
fn a_delivery_that_waits_for_its_retry_keeps_those_after_it_waiting_over_a_restart_too() {
    let mut world = World::new();
    let (coop, receiver) = (world.coop(), Receiver::new());
    ordered(&coop, &receiver.url());
    receiver.next([Reply::status(500), Reply::status(500)]);
    publish(&coop, 1..=2);
    world.settle();
    world.advance("29s");
    publish(&coop, [3]);
    world.settle();
    assert_eq!(arrived(&receiver), [1]);
    world.advance("1s");
    assert_eq!(arrived(&receiver), [1, 1]);
    world.restart();
    world.settle();
    assert_eq!(arrived(&receiver), [1, 1], "five minutes are not over");
    world.advance("5m");
    assert_eq!(arrived(&receiver), [1, 1, 1, 2, 3]);
}

#[test]
fn after_a_delivery_that_is_given_up_the_next_one_goes_out() {
    let world = World::new();
    let (customer, receiver) = (world.customer(), Receiver::new());
    let body = json!({ "callback_url": receiver.url(), "secret": SECRET, "ordered": true });
    assert_eq!(customer.post("/v1/webhooks", body).expect(201)["ordered"], true);
    receiver.next([500, 500, 500].map(Reply::status));
    for task in ["one", "two"] {
        customer.post("/v1/events", crate::asg::tasks::task(task)).expect(202);
    }
    world.settle();
    ["1s", "4s"].iter().for_each(|wait| world.advance(wait));
    let tasks: Vec<String> = receiver.posts().iter().map(|post| post.json()["task_id"].to_string()).collect();
    assert_eq!(tasks, ["\"one\"", "\"one\"", "\"one\"", "\"two\""]);
}

#[test]
fn a_resume_sends_what_failed_in_its_former_place_then_what_was_held_one_after_the_other() {
    let world = World::new();
    let (coop, receiver) = (world.coop(), Receiver::new());
    let (webhook, path) = ordered(&coop, &receiver.url());
    receiver.next([Reply::status(410)]);
    publish(&coop, 1..=3);
    world.settle();
    assert_eq!((arrived(&receiver), coop.status(&webhook)), (vec![1], "SUSPENDED".to_owned()));
    // It fails once more: the held deliveries go on waiting.
    receiver.next([Reply::status(200), Reply::status(500)]);
    resume(&coop, &path);
    world.settle();
    publish(&coop, [4]);
    world.settle();
    assert_eq!(arrived(&receiver), [1, 1, 2]);
    world.advance("30s");
    assert_eq!(arrived(&receiver), [1, 1, 2, 2, 3, 4]);
}

#[test]
fn a_failed_delivery_that_a_resume_sends_goes_before_those_that_came_after_it_even_if_it_fails_again() {
    let world = World::new();
    let (coop, receiver) = (world.coop(), Receiver::new());
    let (_, path) = ordered(&coop, &receiver.url());
    receiver.next([410, 500, 410].map(Reply::status));
    publish(&coop, 1..=2);
    world.settle();
    resume(&coop, &path);
    world.settle();
    world.advance("30s");
    assert_eq!(arrived(&receiver), [1, 1, 1], "it is suspended again");
    resume(&coop, &path);
    world.settle();
    assert_eq!(arrived(&receiver), [1, 1, 1, 1, 2]);
}

#[test]
fn a_replay_has_its_place_behind_what_waits_and_a_test_has_none() {
    let world = World::new();
    let (coop, receiver) = (world.coop(), Receiver::new());
    let (_, path) = ordered(&coop, &receiver.url());
    let first = publish(&coop, [1]).remove(0);
    world.settle();
    receiver.next([Reply::status(500)]);
    publish(&coop, 2..=3);
    world.settle();
    coop.post(&format!("{path}/replay/{first}"), json!(null)).expect(202);
    publish(&coop, [4]);
    world.settle();
    assert_eq!(arrived(&receiver), [1, 2]);
    coop.post(&format!("{path}/test"), json!(null)).expect(200);
    assert_eq!(receiver.posts().len(), 3, "a test waits for none");
    world.advance("30s");
    let numbers: Vec<u64> =
        receiver.posts()[3..].iter().map(|post| post.json()["data"]["number"].as_u64().expect("a number")).collect();
    assert_eq!(numbers, [2, 3, 1, 4]);
}

#[test]
fn when_the_first_one_is_cancelled_the_next_one_goes_out_at_once() {
    let world = World::new();
    let (coop, receiver) = (world.coop(), Receiver::new());
    ordered(&coop, &receiver.url());
    receiver.next([Reply::status(500)]);
    let first = publish(&coop, 1..=2).remove(0);
    world.settle();
    world.operator().post(&format!("/operator/deliveries/{first}/cancel"), json!(null)).expect(200);
    world.settle();
    assert_eq!(arrived(&receiver), [1, 2]);
}

#[test]
fn an_order_that_is_switched_on_holds_for_what_waits_and_ends_when_it_is_switched_off() {
    let world = World::new();
    let (coop, receiver) = (world.coop(), Receiver::new());
    let webhook = coop.webhook(&receiver.url(), &["*"], "s");
    let path = format!("/webhooks/{webhook}");
    receiver.next([500, 500].map(Reply::status));
    publish(&coop, [1]);
    world.settle();
    world.advance("10s");
    publish(&coop, [2]);
    world.settle();
    assert_eq!(coop.patch(&path, json!({ "ordered": true })).expect(200)["ordered"], true);
    publish(&coop, [3]);
    world.settle();
    assert_eq!(arrived(&receiver), [1, 2], "both wait for their next try, and the third for them");
    world.advance("20s");
    assert_eq!(arrived(&receiver), [1, 2, 1], "the second was tried later");
    receiver.next([Reply::status(500)]);
    world.advance("10s");
    assert_eq!(arrived(&receiver), [1, 2, 1, 2]);
    publish(&coop, [4]);
    let off = coop.patch(&path, json!({ "ordered": false })).expect(200);
    assert!(off.get("ordered").is_none(), "{off}");
    world.settle();
    let mut rest = arrived(&receiver).split_off(4);
    rest.sort_unstable();
    assert_eq!(rest, [3, 4], "they overtake the second");
}

#[test]
fn a_long_backlog_that_a_resume_releases_in_slices_keeps_its_order() {
    const MANY: u64 = 2_300;
    let world = World::new();
    let (coop, receiver) = (world.coop(), Receiver::new());
    let (_, path) = ordered(&coop, &receiver.url());
    coop.patch(&path, json!({ "status": "SUSPENDED" })).expect(200);
    for first in (1..=MANY).step_by(100) {
        let one = |number| json!({ "event": "dds.filed", "cooperative_id": COOP, "data": { "number": number } });
        let events: Vec<_> = (first..first + 100).map(one).collect();
        coop.post("/events/batch", json!({ "events": events })).expect(202);
    }
    resume(&coop, &path);
    publish(&coop, [MANY + 1]);
    world.settle();
    assert!(arrived(&receiver).into_iter().eq(1..=MANY + 1));
}

#[test]
fn real_receivers_that_fail_and_servers_that_crash_see_no_delivery_before_its_turn() {
    const EVENTS: u64 = 400;
    let mut world = World::new();
    let receiver = FlakyReceiver::new(7, (85, 10));
    let (_, path) = ordered(&world.coop(), &receiver.url());
    for first in (1..=EVENTS).step_by(50) {
        let coop = world.coop();
        publish(&coop, first..first + 50);
        world.crash();
        world.start();
        for _ in 0..4 {
            world.advance("10m");
            resume(&world.coop(), &path);
        }
    }
    while world.coop().get(&path).expect(200)["held_deliveries"] != 0 || {
        world.advance("3h");
        world.coop().deliveries(path.trim_start_matches("/webhooks/")).iter().any(|one| one["status"] == "PENDING")
    } {
        resume(&world.coop(), &path);
    }
    let accepted = receiver.entries().into_iter().filter(|entry| entry.answered == Answered::Well);
    let mut numbers: Vec<u64> =
        accepted.map(|entry| entry.post.json()["data"]["number"].as_u64().expect("a number")).collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
    numbers.dedup();
    assert!(numbers.into_iter().eq(1..=EVENTS), "every one has arrived");
}
