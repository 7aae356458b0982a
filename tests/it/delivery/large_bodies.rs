//! Large bodies: memory for them has a limit in bytes, for deliveries and for publishes. Waiting bodies keep their
//! order, and small ones do not wait.

use std::{sync::mpsc, thread};

use ngoma::engine::lanes::AttemptResult;
use rusqlite::Connection;
use serde_json::json;

use crate::support::{
    client::Client,
    lane_harness::{FAST, LaneHarness},
    receiver::{PATIENCE, Receiver, Reply},
    world::{Holder, OTHER_COOP, Wish, World},
    writer::hold_writer,
};

/// Most bytes of large bodies in memory.
const MOST: usize = 100_000;

fn filled(bytes: usize) -> serde_json::Value {
    json!({ "filling": "x".repeat(bytes) })
}

#[test]
fn a_large_body_waits_for_memory_in_order_and_small_ones_pass() {
    let world = World::with(|wish: &mut Wish| wish.config.delivery.max_in_flight_bytes = MOST);
    let coop = world.coop();
    let kinds = ["dds.filed", "loan.repaid", "batch.exported"];
    let hanging: Vec<Receiver> = kinds.iter().map(|_| Receiver::new()).collect();
    for (kind, receiver) in kinds.iter().zip(&hanging) {
        receiver.always(Reply::Gate(200));
        coop.webhook(&receiver.url(), &[*kind], "s");
    }
    let small = Receiver::new();
    coop.webhook(&small.url(), &["batch.graded"], "s");
    coop.publish(kinds[0], filled(50_000));
    hanging[0].wait_for(1);
    // The second does not fit, and the third, which would, does not pass it.
    coop.publish(kinds[1], filled(60_000));
    coop.publish(kinds[2], filled(40_000));
    for number in 0..5 {
        coop.publish("batch.graded", json!({ "number": number }));
        small.wait_for(number + 1);
    }
    assert_eq!((hanging[1].posts().len(), hanging[2].posts().len()), (0, 0));
    hanging[0].open_gate();
    hanging[1].wait_for(1);
    hanging[2].wait_for(1);
    hanging.iter().for_each(Receiver::open_gate);
    world.settle();
    // A body larger than all memory for large bodies goes alone.
    hanging.iter().for_each(|receiver| _ = receiver.always(Reply::status(200)));
    let huge = json!({ "filling": [ "x".repeat(60_000), "x".repeat(60_000) ] });
    coop.publish(kinds[0], huge.clone());
    coop.publish(kinds[1], huge);
    world.settle();
    assert_eq!(hanging.iter().map(|receiver| receiver.posts().len()).collect::<Vec<_>>(), [2, 2, 1]);
}

#[test]
fn the_deliveries_of_one_event_share_its_body() {
    let world = World::with(|wish: &mut Wish| wish.config.delivery.max_in_flight_bytes = MOST);
    let coop = world.coop();
    let receiver = Receiver::new();
    receiver.always(Reply::Gate(200));
    for _ in 0..10 {
        coop.webhook(&receiver.url(), &["*"], "s");
    }
    coop.publish("dds.filed", filled(60_000));
    receiver.wait_for(10);
    receiver.open_gate();
    world.settle();
    let posts = receiver.posts();
    assert!(posts.iter().all(|post| post.body.len() > 60_000) && posts.len() == 10, "each has it whole");
}

#[test]
fn receivers_on_probation_hold_half_of_the_memory_for_large_bodies() {
    let mut harness = LaneHarness::new(4);
    harness.lanes = std::mem::replace(&mut harness.lanes, LaneHarness::new(0).lanes).with_body_bytes(MOST);
    for endpoint in [1, 2] {
        harness.attempts(endpoint, 1, AttemptResult::TimedOut);
    }
    for endpoint in [3, 4] {
        harness.attempts(endpoint, 1, FAST);
    }
    let allowed = |harness: &mut LaneHarness| -> Vec<(i64, usize)> {
        let wanted = harness.lanes.wanted(harness.now);
        harness.lanes.allowed(wanted).iter().map(|wanted| (wanted.endpoint, wanted.large_bytes)).collect()
    };
    (1..5).for_each(|endpoint| harness.publish(endpoint, 1));
    assert_eq!(allowed(&mut harness), [(1, MOST / 2), (2, MOST / 2), (3, MOST), (4, MOST)]);
    // The body of an endpoint on probation does not fit: it waits, and others on probation wait behind it.
    harness.does_not_fit(1, 40_000);
    assert_eq!(allowed(&mut harness), [(2, 0), (3, MOST), (4, MOST)]);
    // A body of another endpoint does not fit: now all wait behind it.
    harness.does_not_fit(3, 80_000);
    assert_eq!(allowed(&mut harness), [(2, 0), (4, 0)]);
    harness.lanes.admit_large_bodies(30_000);
    assert_eq!(allowed(&mut harness), [(2, 0), (4, 0)], "30,000 and 80,000 are too many");
    harness.lanes.admit_large_bodies(20_000);
    assert_eq!(
        allowed(&mut harness),
        [(2, 0), (3, MOST), (4, MOST)],
        "it is let in, and the half has no room beside it"
    );
    harness.lanes.admit_large_bodies(10_000);
    assert_eq!(allowed(&mut harness), [(1, MOST / 2), (2, MOST / 2), (3, MOST), (4, MOST)]);
}

/// Publishes such an event from a thread, and sends the status.
fn publish(client: &Client, bytes: usize, told: &mpsc::Sender<u16>) {
    let (client, told) = (client.clone(), told.clone());
    let body = json!({ "event": "dds.filed", "data": filled(bytes) });
    thread::spawn(move || told.send(client.post("/events", body).status));
}

#[test]
fn requests_that_wait_for_the_database_hold_as_many_bytes_as_request_bytes() {
    // A quarter for one account: two of these bodies, without the part that is not counted.
    let world = World::with(|wish: &mut Wish| {
        wish.config.limits.request_bytes = 4 * 100_000;
        (wish.config.server.max_body_bytes, wish.config.server.max_batch_bytes) = (100_000, 100_000);
    });
    let other = world.client(&world.token_for(Holder::Account(OTHER_COOP.to_owned()), "events"));
    let coop = world.coop();
    for client in [&coop, &other] {
        client.post("/events", json!({ "event": "dds.filed", "data": {} })).expect(202);
    }
    world.settle();
    let (open, held) = hold_writer(world.db());
    let (told, tells) = mpsc::channel();
    let before = world.db().waiting();
    (0..2).for_each(|_| publish(&coop, 50_000, &told));
    while world.db().waiting() < before + 2 {
        thread::yield_now();
    }
    let body = json!({ "event": "dds.filed", "data": filled(50_000) });
    let refused = coop.post("/events", body);
    assert_eq!(refused.code(503), "UNAVAILABLE");
    assert!(refused.text.contains("limits.request_bytes") && refused.text.contains("try again"), "{}", refused.text);
    assert_eq!(refused.header("retry-after"), "1");
    // A small one, and one of another account, go on to the database.
    publish(&coop, 1000, &told);
    publish(&other, 50_000, &told);
    while world.db().waiting() < before + 4 {
        thread::yield_now();
    }
    open.send(()).expect("the writer waits");
    held.join().expect("no panic");
    for _ in 0..4 {
        assert_eq!(tells.recv_timeout(PATIENCE).expect("it is answered"), 202);
    }
    coop.publish("dds.filed", filled(50_000));
}

#[test]
fn a_list_of_webhooks_holds_the_newest_thousand_of_those_that_were_deleted() {
    let mut world = World::new();
    let url = |name: &str| json!({ "callback_url": format!("http://127.0.0.1:1/{name}") });
    let first = world.customer().post("/v1/webhooks", url("kept")).expect(201);
    let gone = world.customer().post("/v1/webhooks", url("gone")).expect(201);
    let gone = gone["webhook_id"].as_str().expect("an id");
    world.customer().delete(&format!("/v1/webhooks/{gone}")).expect(200);
    world.stop();
    Connection::open(world.database())
        .expect("the file")
        .execute_batch(
            "INSERT INTO endpoint (id, account, profile, url, events, state, created_at, secret, deleted_lived,
                                   deleted_at)
               SELECT randomblob(16), account, profile, url, events, state, created_at, secret, deleted_lived, deleted_at
               FROM endpoint, (WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT 1200)
                               SELECT value FROM n)
               WHERE state = 'deleted';",
        )
        .expect("a history");
    world.start();
    let listed = world.customer().get("/v1/webhooks").expect(200);
    let listed = listed.as_array().expect("a list");
    assert_eq!((listed.len(), &listed[0]["webhook_id"]), (1001, &first["webhook_id"]));
    assert!(listed.iter().all(|webhook| webhook["webhook_id"] != gone), "the oldest are left out");
}
