//! Resuming after a long outage: failed deliveries are sent again in slices, in their order, so that no other webhook
//! waits.

use std::time::Instant;

use ngoma::domain::ids::EventId;
use rusqlite::Connection;
use serde_json::json;

use crate::{
    delivery::resume::{counts, in_order, resume, waiting, webhook},
    support::{
        receiver::{PATIENCE, Receiver, Reply},
        world::World,
    },
};

/// More than one transaction takes.
const MANY: usize = 2_500;
/// Deliveries made after the failure.
const HELD: usize = 5;

/// Gives the first webhook many deliveries that failed in one outage, and some that are held. The ids of their events
/// are in the order in which they came.
fn fail(conn: &Connection) {
    let all = MANY + HELD;
    conn.execute_batch(&format!(
        "WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT {all})
           INSERT INTO event (key, id, account, kind, body, accepted_at)
           SELECT value, unhex(printf('%032X', value)), 1, 'dds.filed', '{{}}', 0 FROM n;
         INSERT INTO delivery (key, id, event, endpoint, state, attempts, tries, created_at, outage)
           SELECT key, randomblob(16), key, 1, 'exhausted', 5, 5, 0, 1 FROM event WHERE key <= {MANY};
         INSERT INTO delivery (key, id, event, endpoint, state, created_at)
           SELECT key, randomblob(16), key, 1, 'held', 0 FROM event WHERE key > {MANY};
         UPDATE endpoint SET outage = 1, state = 'suspended', suspended_at = 1, suspended_reason = 'exhausted'"
    ))
    .expect("a long outage");
}

/// Waits until all has followed its webhook, and compares the order in which it is to be sent with that of the events.
/// Deliveries under way have no due time, and come first.
#[track_caller]
fn judge_order(world: &World, path: &str) {
    let begun = Instant::now();
    while waiting(&world.coop(), path) != (0, 0) {
        assert!(begun.elapsed() < PATIENCE, "it does not follow");
    }
    let conn = Connection::open(world.database()).expect("the file");
    let sql = "SELECT event FROM delivery WHERE state IN ('pending', 'claimed') ORDER BY due_at, key";
    let mut rows = conn.prepare(sql).expect("SQL");
    let order: Vec<usize> =
        rows.query_map([], |row| row.get(0)).expect("rows").map(|row| row.expect("a key")).collect();
    assert_eq!(order, (1..=MANY + HELD).collect::<Vec<_>>());
}

/// Everything has arrived, and nothing but these twice.
#[track_caller]
fn judge_arrived(receiver: &Receiver, twice: &[usize]) {
    let id = |number: usize| EventId::from_bytes((number as u128).to_be_bytes()).to_string();
    let mut expected: Vec<String> = (1..=MANY + HELD).chain(twice.iter().copied()).map(id).collect();
    let mut arrived: Vec<String> =
        receiver.wait_for(expected.len()).iter().map(|post| post.header("webhook-id").to_owned()).collect();
    arrived.sort_unstable();
    expected.sort_unstable();
    assert_eq!(arrived, expected);
}

/// A stopped world whose one webhook is suspended after a long outage.
fn after_a_long_outage(receiver: &Receiver) -> (World, String) {
    let mut world = in_order();
    let (_, path) = webhook(&world.coop(), receiver);
    world.stop();
    fail(&Connection::open(world.database()).expect("the file"));
    (world, path)
}

#[test]
fn failed_deliveries_in_many_slices_go_in_order_before_held_ones_even_over_a_crash() {
    let receiver = Receiver::new();
    receiver.always(Reply::Hang);
    let (mut world, path) = after_a_long_outage(&receiver);
    world.start();
    let coop = world.coop();
    assert_eq!(waiting(&coop, &path), (MANY as u64, HELD as u64));
    assert_eq!(counts(&resume(&coop, &path)), (&json!(MANY), &json!(HELD)));
    receiver.wait_for(1);
    judge_order(&world, &path);
    world.crash_during(&receiver);
    world.start();
    receiver.wait_for(2);
    judge_order(&world, &path);
    world.crash_during(&receiver);
    receiver.always(Reply::status(200));
    world.start();
    judge_arrived(&receiver, &[1, 1]);
    world.settle();
    assert_eq!(waiting(&world.coop(), &path), (0, 0));
}

#[test]
fn a_resume_cut_off_by_a_stop_is_finished_after_the_next_start() {
    let receiver = Receiver::new();
    receiver.always(Reply::Hang);
    let (mut world, path) = after_a_long_outage(&receiver);
    // As a stop leaves it that comes before the first slice.
    Connection::open(world.database())
        .expect("the file")
        .execute_batch(
            "UPDATE endpoint SET state = 'active', suspended_at = NULL, suspended_reason = NULL,
               resend = (SELECT max(key) FROM delivery)",
        )
        .expect("resumed");
    world.start();
    receiver.wait_for(1);
    judge_order(&world, &path);
    world.crash_during(&receiver);
}

#[test]
fn a_webhook_paused_before_all_was_sent_again_sends_the_rest_when_it_is_resumed() {
    let receiver = Receiver::new();
    let (mut world, path) = after_a_long_outage(&receiver);
    world.start();
    let coop = world.coop();
    resume(&coop, &path);
    coop.patch(&path, json!({ "status": "SUSPENDED" })).expect(200);
    world.settle();
    resume(&coop, &path);
    judge_arrived(&receiver, &[]);
}
