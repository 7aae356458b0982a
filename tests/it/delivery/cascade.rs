//! A long backlog: a change of its webhook takes a moment, and the deliveries follow in slices, so that no other
//! webhook waits.

use std::sync::Arc;

use ngoma::{
    clock::{Clock, ManualClock},
    domain::{audit::Actor, endpoint::SuspendedReason},
    store::{self, Admission, endpoints, erase, queue},
};
use rusqlite::Connection;
use serde_json::json;

use crate::support::{
    aging::age,
    database::{largest_transaction, query},
    receiver::{PATIENCE, Receiver, Reply},
    world::{COOP, START, World},
};

/// More than is changed in one transaction, several times.
const LONG: usize = 20_000;
/// Pages that one transaction may write: those of its slice, and of their indexes.
const PAGES: usize = 200;

/// Gives the first webhook this many deliveries in this state; pending ones are due at this moment.
fn fill(conn: &Connection, state: &str, count: usize, due_at: i64) {
    let due_at = if state == "pending" { due_at.to_string() } else { "NULL".to_owned() };
    let rows = format!(
        "INSERT INTO event (id, account, kind, body, accepted_at) VALUES (randomblob(16), 1, 'dds.filed', '{{}}', 0);
         INSERT INTO delivery (id, event, endpoint, state, due_at, created_at, attempts, tries)
           SELECT randomblob(16), (SELECT max(key) FROM event), 1, '{state}', {due_at}, 0, 2, 2
           FROM (WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT {count}) SELECT * FROM n)"
    );
    conn.execute_batch(&rows).expect("a backlog");
}

/// A stopped world whose one webhook has this backlog.
fn stopped_with(receiver: &Receiver, state: &str, count: usize, due_at: i64) -> World {
    let mut world = World::with(|wish| wish.config.delivery.max_in_flight = 1);
    world.coop().webhook(&receiver.url(), &["*"], "s");
    world.stop();
    fill(&Connection::open(world.database()).expect("the file"), state, count, due_at);
    world
}

fn count(conn: &Connection, condition: &str) -> usize {
    let sql = format!("SELECT count(*) FROM delivery WHERE {condition}");
    conn.query_row(&sql, [], |row| row.get(0)).expect("a number")
}

/// Waits until this many deliveries meet the condition.
#[track_caller]
fn wait_for(world: &World, conn: &Connection, condition: &str, expected: usize) {
    let begun = std::time::Instant::now();
    while count(conn, condition) != expected {
        assert!(begun.elapsed() < PATIENCE, "{} of {expected}: {condition}", count(conn, condition));
        // A write of its own: it shares a commit with a slice, or waits for one.
        world.write(|_| Ok(())).expect("the writer answers");
    }
}

#[test]
fn a_long_backlog_follows_its_webhook_in_slices() {
    let receiver = Receiver::new();
    receiver.always(Reply::Gate(200));
    let later = START.millis() + 1_000_000;
    let mut world = stopped_with(&receiver, "pending", LONG, later);
    world.start();
    let coop = world.coop();
    let webhook = coop.get("/webhooks").expect(200)[0]["webhook_id"].as_str().expect("an id").to_owned();
    let path = format!("/webhooks/{webhook}");
    let conn = Connection::open(world.database()).expect("the file");
    // As long as it reads, the log is not begun anew.
    let reader = Connection::open(world.database()).expect("the file");
    reader.execute_batch("BEGIN; SELECT count(*) FROM account;").expect("a view");
    assert_eq!(coop.patch(&path, json!({ "status": "SUSPENDED" })).expect(200)["status"], "SUSPENDED");
    wait_for(&world, &conn, "state = 'held'", LONG);
    assert_eq!(coop.patch(&path, json!({ "status": "ACTIVE" })).expect(200)["status"], "ACTIVE");
    // Each with a fresh schedule, and due at once.
    wait_for(
        &world,
        &conn,
        &format!("(state = 'pending' AND due_at < {later} AND tries = 0) OR state = 'claimed'"),
        LONG,
    );
    receiver.wait_for(1);
    coop.delete(&path).expect(204);
    wait_for(&world, &conn, "state IN ('cancelled', 'claimed')", LONG);
    let largest = largest_transaction(&world.folder().join("ngoma.db-wal"));
    assert!((10..PAGES).contains(&largest), "the largest transaction wrote {largest} pages");
    world.crash_during(&receiver);
}

#[test]
fn a_cascade_cut_off_by_a_stop_is_finished_after_the_next_start() {
    const MANY: usize = 2500;
    let receiver = Receiver::new();
    for (change, left, follows) in [
        ("state = 'suspended', suspended_at = 1, suspended_reason = 'paused'", "pending", "held"),
        ("state = 'deleted'", "pending", "cancelled"),
        ("state = 'deleted'", "held", "cancelled"),
    ] {
        let mut world = stopped_with(&receiver, left, MANY, 0);
        let conn = Connection::open(world.database()).expect("the file");
        conn.execute(&format!("UPDATE endpoint SET {change}"), []).expect("changed");
        world.start();
        wait_for(&world, &conn, &format!("state = '{follows}'"), MANY);
        world.settle();
    }
    assert!(receiver.posts().is_empty(), "none of them was sent");
    let mut world = stopped_with(&receiver, "held", MANY, 0);
    receiver.always(Reply::Gate(200));
    world.start();
    let conn = Connection::open(world.database()).expect("the file");
    wait_for(&world, &conn, "state = 'held'", 0);
    receiver.wait_for(1);
    world.crash_during(&receiver);
}

#[test]
fn deliveries_that_a_cascade_has_not_reached_are_shown_as_held() {
    const MANY: usize = 1500;
    let receiver = Receiver::new();
    let world = stopped_with(&receiver, "pending", MANY, 0);
    let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&world.clock);
    // No server runs: the rest stays as it is.
    let db = store::open(&world.config.storage, &world.config.limits, clock, false).expect("it opens");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let claimed = runtime.block_on(db.write(Actor::Engine, Admission::Try, |tx| {
        endpoints::suspend(tx, 1, SuspendedReason::Paused)?;
        queue::claim(tx, &[queue::Wanted { endpoint: 1, claims: 10, large_bytes: usize::MAX, from: 0 }])
    }));
    let claimed = claimed.expect("it is committed");
    assert!(claimed[0].claims.is_empty() && claimed[0].next.is_none(), "nothing is claimed, nor looked for again");
    let conn = Connection::open(world.database()).expect("the file");
    assert_eq!(count(&conn, "state = 'pending'"), MANY, "what serves sees to that");
    assert_eq!(runtime.block_on(db.read(|view| endpoints::held(view, 1))), Ok(MANY as u64));
}

#[test]
fn many_bytes_go_in_small_steps_too_by_age_and_by_erasing() {
    /// Bodies of 256 KiB, and twenty answers of 4 KiB to each.
    const LARGE: &str = "
        WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT 60)
          INSERT INTO event (id, account, kind, body, accepted_at)
          SELECT randomblob(16), 1, 'k', hex(zeroblob(131072)), 0 FROM n;
        INSERT INTO delivery (id, event, endpoint, state, attempts, tries, created_at)
          SELECT randomblob(16), key, 1, 'delivered', 20, 20, 0 FROM event WHERE kind = 'k';
        WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT 20)
          INSERT INTO attempt (delivery, number, started_at, duration_ms, status, response)
          SELECT key, value, 0, 7, 200, zeroblob(4096) FROM n, delivery WHERE created_at = 0;
        PRAGMA wal_checkpoint(TRUNCATE);";
    for by_age in [true, false] {
        let mut world = World::new();
        let receiver = Receiver::new();
        world.coop().webhook(&receiver.url(), &["*"], "s");
        world.stop();
        Connection::open(world.database()).expect("the file").execute_batch(LARGE).expect("many bytes");
        world.start();
        world.coop().publish("batch.exported", json!({}));
        world.settle();
        age(&world, "1h");
        // As long as it reads, the log is not begun anew.
        let reader = Connection::open(world.database()).expect("the file");
        reader.execute_batch("BEGIN; SELECT count(*) FROM account;").expect("a view");
        if by_age {
            age(&world, "30d");
        } else {
            world.write(|tx| erase::begin(tx, COOP)).expect("begun");
            age(&world, "1h");
        }
        let left: i64 = query(&world, "SELECT count(*) FROM event WHERE kind = 'k'");
        let largest = largest_transaction(&world.folder().join("ngoma.db-wal"));
        assert_eq!(left, 0, "by age: {by_age}");
        assert!((100..3 * PAGES).contains(&largest), "the largest transaction wrote {largest} pages, by age: {by_age}");
    }
}
