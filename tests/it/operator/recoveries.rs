//! Recoveries: matching deliveries are counted first, then each is replayed once, at a limited pace.

use std::{collections::BTreeSet, time::Duration};

use ngoma::{
    domain::{audit::Actor, delivery::State, selection::Selection, timestamp::Timestamp, token::Visible},
    store::{
        candidates::{self, Candidates},
        recoveries,
    },
};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{
    client::Client,
    receiver::{PATIENCE, Receiver, Reply},
    world::{COOP, Holder, OTHER_COOP, World},
};

/// Deliveries that a receiver has missed.
const MANY: usize = 10_000;
/// Most replays of a webhook that wait at once.
const WAITING: u64 = 100;

/// A webhook of the cooperative to this receiver, with this many deliveries that failed with a 500, each of its own
/// event.
fn with_failed(world: &mut World, receiver: &Receiver, many: usize) -> String {
    let webhook = world.coop().webhook(&receiver.url(), &["*"], "s3cret");
    world.coop().publish("batch.exported", json!({}));
    world.settle();
    fail(world, many);
    webhook
}

/// An id of the moment at which its event was accepted.
const ID: &str = "unhex(printf('%012X', accepted_at) || hex(randomblob(10)))";

/// Makes this many failed deliveries (500) for every webhook. One event was published before.
fn fail(world: &mut World, many: usize) {
    world.stop();
    let fill = format!(
        "INSERT INTO event (id, account, kind, body, accepted_at)
           SELECT randomblob(16), account, kind, body, accepted_at FROM event,
             (WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT {many}) SELECT * FROM n)
           WHERE event.key = 1;
         INSERT INTO delivery (id, event, endpoint, state, attempts, tries, created_at)
           SELECT {ID}, event.key, endpoint.key, 'exhausted', 5, 5, accepted_at FROM event, endpoint
           WHERE event.key > 1;
         INSERT INTO attempt (delivery, number, started_at, duration_ms, failure, status)
           SELECT key, 5, created_at, 7, 'status', 500 FROM delivery WHERE state = 'exhausted';"
    );
    database(world).execute_batch(&fill).expect("failures");
    world.start();
}

fn database(world: &World) -> Connection {
    let conn = Connection::open(world.database()).expect("the file");
    conn.busy_timeout(PATIENCE).expect("set");
    conn
}

fn count(world: &World, sql: &str) -> u64 {
    database(world).query_row(sql, [], |row| row.get(0)).expect("a count")
}

fn start(operator: &Client, body: Value) -> String {
    let run = operator.post("/operator/recoveries", body).expect(202);
    assert_eq!((&run["state"], &run["replayed"]), (&json!("RUNNING"), &json!(0)));
    run["recovery_id"].as_str().expect("an id").to_owned()
}

fn look(operator: &Client, run: &str) -> Value {
    operator.get(&format!("/operator/recoveries/{run}")).expect(200)
}

/// Lets time pass until the run has come so far.
fn until(world: &World, run: &str, is_there: impl Fn(&Value) -> bool) -> Value {
    let operator = world.operator();
    for _ in 0..100_000 {
        let seen = look(&operator, run);
        if is_there(&seen) {
            return seen;
        }
        world.advance("1s");
    }
    panic!("it does not come so far: {}", look(&operator, run));
}

fn is_done(run: &Value) -> bool {
    run["state"] == "DONE"
}

fn replayed(run: &Value) -> u64 {
    run["replayed"].as_u64().expect("a number")
}

/// The events that came, the first of all left out.
fn arrived(receiver: &Receiver) -> (usize, BTreeSet<String>) {
    let posts = receiver.posts();
    (posts.len() - 1, posts[1..].iter().map(|post| post.header("webhook-id").to_owned()).collect())
}

#[test]
fn ten_thousand_failed_deliveries_are_replayed_each_once_over_two_restarts() {
    let mut world = World::new();
    let receiver = Receiver::new();
    with_failed(&mut world, &receiver, MANY);
    let dry = world.operator().post("/operator/recoveries", json!({ "dry_run": true })).expect(200);
    assert_eq!(dry, json!({ "matched": MANY, "skipped": 0, "complete": true }));
    assert_eq!(count(&world, "SELECT count(*) FROM delivery WHERE replay_of IS NOT NULL"), 0, "only counted");
    let run = start(&world.operator(), json!({}));
    for part in [3, 2] {
        let seen = until(&world, &run, |seen| replayed(seen) >= (MANY / part) as u64);
        assert_eq!((&seen["state"], &seen["matched"]), (&json!("RUNNING"), &json!(MANY)));
        world.restart();
    }
    let done = until(&world, &run, is_done);
    assert_eq!((replayed(&done), &done["skipped"]), (MANY as u64, &json!(0)));
    assert!(done["ended_at"].is_string());
    world.settle();
    let (posts, events) = arrived(&receiver);
    assert_eq!((posts, events.len()), (MANY, MANY), "every one arrives, and once");
    let dry = world.operator().post("/operator/recoveries", json!({ "dry_run": true })).expect(200);
    assert_eq!(dry["matched"], 0, "what was replayed is left to its replay");
}

#[test]
fn a_crash_in_the_middle_of_a_recovery_repeats_no_replay() {
    let mut world = World::new();
    let receiver = Receiver::new();
    with_failed(&mut world, &receiver, 1000);
    let run = start(&world.operator(), json!({}));
    until(&world, &run, |seen| replayed(seen) >= 300);
    world.crash();
    world.start();
    let done = until(&world, &run, is_done);
    assert_eq!(replayed(&done), 1000);
    world.settle();
    let twice = "SELECT count(*) FROM (SELECT 1 FROM delivery GROUP BY replay_of HAVING count(*) > 1 AND replay_of IS NOT NULL)";
    assert_eq!(count(&world, twice), 0);
    assert_eq!(arrived(&receiver).1.len(), 1000);
}

#[test]
fn a_cancel_in_the_middle_stops_a_recovery_and_another_does_the_rest() {
    let mut world = World::new();
    let receiver = Receiver::new();
    with_failed(&mut world, &receiver, 1000);
    let operator = world.operator();
    let run = start(&operator, json!({ "account_id": COOP }));
    until(&world, &run, |seen| replayed(seen) >= 300);
    let cancelled = operator.post(&format!("/operator/recoveries/{run}/cancel"), json!({})).expect(200);
    assert_eq!(cancelled["state"], "CANCELLED");
    for _ in 0..5 {
        world.advance("1s");
    }
    let by_then = replayed(&cancelled);
    assert!(by_then < 1000, "in the middle");
    assert_eq!(look(&operator, &run), cancelled, "nothing more happens");
    assert_eq!(arrived(&receiver).0 as u64, by_then, "what was replayed goes out");
    let again = operator.post(&format!("/operator/recoveries/{run}/cancel"), json!({})).expect(200);
    assert_eq!(again, cancelled);
    let rest = start(&operator, json!({}));
    let done = until(&world, &rest, is_done);
    assert_eq!((done["matched"].as_u64(), replayed(&done)), (Some(1000 - by_then), 1000 - by_then));
    world.settle();
    let (posts, events) = arrived(&receiver);
    assert_eq!((posts, events.len()), (1000, 1000));
    let listed = operator.get("/operator/recoveries?limit=1").expect(200);
    assert_eq!(listed["recoveries"][0]["recovery_id"], json!(rest), "newest first");
    let next = listed["next_cursor"].as_str().expect("a cursor");
    let listed = operator.get(&format!("/operator/recoveries?cursor={next}")).expect(200);
    assert_eq!((&listed["recoveries"][0], &listed["next_cursor"]), (&cancelled, &Value::Null));
}

#[test]
fn replays_of_a_webhook_that_wait_at_once_are_limited() {
    let mut world = World::new();
    let receiver = Receiver::new();
    with_failed(&mut world, &receiver, 500);
    receiver.always(Reply::Hang);
    let operator = world.operator();
    let run = start(&operator, json!({}));
    // Not by `advance`: a hanging attempt never comes to rest.
    let mut seen = look(&operator, &run);
    while replayed(&seen) < WAITING {
        world.move_clock(Duration::from_secs(1));
        seen = look(&operator, &run);
    }
    for _ in 0..50 {
        world.move_clock(Duration::from_secs(1));
        world.write(|_| Ok(())).expect("the writer answers");
        let waiting = count(&world, "SELECT count(*) FROM delivery WHERE state = 'pending'");
        assert!(waiting <= WAITING, "{waiting} wait");
    }
    let seen = look(&operator, &run);
    assert!(replayed(&seen) < 500, "those that hang keep the rest back: {seen}");
}

#[test]
fn of_many_webhooks_of_two_accounts_a_recovery_leaves_out_none() {
    let mut world = World::new();
    let receiver = Receiver::new();
    let other = world.client(&world.token_for(Holder::Account(OTHER_COOP.to_owned()), "webhooks,events"));
    world.coop().webhook(&receiver.url(), &["*"], "s");
    world.coop().publish("batch.exported", json!({}));
    world.settle();
    for place in 1..12 {
        let (client, account) = if place % 2 == 0 { (world.coop(), COOP) } else { (other.clone(), OTHER_COOP) };
        let url = format!("{}/{place}", receiver.url());
        client.post("/webhooks", json!({ "url": url, "events": ["*"], "cooperative_id": account })).expect(201);
    }
    fail(&mut world, 100);
    let run = start(&world.operator(), json!({}));
    let done = until(&world, &run, is_done);
    assert_eq!((done["matched"].as_u64(), replayed(&done), &done["skipped"]), (Some(1200), 1200, &json!(0)));
    assert_eq!(count(&world, "SELECT count(*) FROM delivery WHERE replay_of IS NOT NULL"), 1200);
    world.settle();
    assert_eq!(arrived(&receiver).0, 1200);
}

#[test]
fn a_receiver_that_still_fails_gets_no_more_than_may_wait_however_many_recoveries_there_are() {
    let mut world = World::new();
    let receiver = Receiver::new();
    with_failed(&mut world, &receiver, 500);
    receiver.always(Reply::status(500));
    let operator = world.operator();
    let runs = [(); 3].map(|()| start(&operator, json!({})));
    let made = || count(&world, "SELECT count(*) FROM delivery WHERE replay_of IS NOT NULL");
    let mut left = 20;
    while left > 0 {
        world.advance("100ms");
        left -= usize::from(made() >= WAITING);
    }
    assert_eq!(made(), WAITING, "each of these waits for its next try");
    assert_eq!(runs.iter().map(|run| replayed(&look(&operator, run))).sum::<u64>(), WAITING);
}

#[test]
fn nobody_has_more_than_ten_recoveries_going_on() {
    let mut world = World::new();
    let receiver = Receiver::new();
    with_failed(&mut world, &receiver, 200);
    receiver.always(Reply::Hang);
    let operator = world.operator();
    let runs: Vec<String> = (0..10).map(|_| start(&operator, json!({}))).collect();
    let refused = operator.post("/operator/recoveries", json!({}));
    assert!(refused.text.contains("10 of your recoveries are going on"), "{}", refused.text);
    assert_eq!(refused.code(409), "LIMIT_REACHED");
    operator.post(&format!("/operator/recoveries/{}/cancel", runs[0]), json!({})).expect(200);
    start(&operator, json!({}));
    assert_eq!(world.operator().post("/operator/recoveries", json!({})).status, 202, "of another token");
}

#[test]
fn a_recovery_that_fails_each_time_keeps_no_other_from_its_end() {
    let mut world = World::new();
    let receiver = Receiver::new();
    let well = with_failed(&mut world, &receiver, 1500);
    let ill = world.coop().webhook(&format!("{}/ill", receiver.url()), &["*"], "s");
    database(&world)
        .execute_batch(
            "INSERT INTO delivery (id, event, endpoint, state, attempts, tries, created_at)
               VALUES (randomblob(16), 1, 2, 'exhausted', 5, 5, 0);
             CREATE TRIGGER fault BEFORE INSERT ON delivery WHEN NEW.endpoint = 2 BEGIN SELECT RAISE(ABORT, 'a fault'); END;",
        )
        .expect("a fault");
    let operator = world.operator();
    let stuck = start(&operator, json!({ "webhook_id": ill }));
    let run = start(&operator, json!({ "webhook_id": well }));
    assert_eq!(replayed(&until(&world, &run, is_done)), 1500);
    assert_eq!(look(&operator, &stuck)["state"], "RUNNING", "until the fault is mended");
    database(&world).execute_batch("DROP TRIGGER fault").expect("mended");
    until(&world, &stuck, is_done);
}

#[test]
fn a_recovery_skips_suspended_and_deleted_webhooks() {
    let mut world = World::new();
    let (receiver, other) = (Receiver::new(), Receiver::new());
    let webhook = with_failed(&mut world, &receiver, 300);
    let (coop, operator) = (world.coop(), world.operator());
    let path = format!("/webhooks/{webhook}");
    coop.patch(&path, json!({ "status": "SUSPENDED" })).expect(200);
    let dry = operator.post("/operator/recoveries", json!({ "dry_run": true })).expect(200);
    assert_eq!(dry, json!({ "matched": 300, "skipped": 300, "complete": true }));
    let run = start(&operator, json!({}));
    let done = until(&world, &run, is_done);
    assert_eq!((replayed(&done), &done["skipped"]), (0, &json!(300)));
    // A webhook that a replay of the run suspends.
    coop.patch(&path, json!({ "status": "ACTIVE" })).expect(200);
    receiver.always(Reply::status(410));
    let run = start(&operator, json!({}));
    let done = until(&world, &run, is_done);
    assert_eq!(coop.status(&webhook), "SUSPENDED");
    assert_eq!((done["matched"].as_u64(), done["skipped"].as_u64()), (Some(300), Some(300 - replayed(&done))));
    assert!(replayed(&done) <= WAITING, "{done}");
    coop.webhook(&other.url(), &["*"], "s3cret");
    coop.delete(&path).expect(204);
    let run = start(&operator, json!({}));
    let done = until(&world, &run, is_done);
    assert_eq!(replayed(&done), 0, "{done}");
    world.settle();
    assert!(other.posts().is_empty(), "nobody else gets it");
}

#[test]
fn counting_is_bounded_in_time_and_a_recovery_finds_the_deliveries_that_were_not_counted() {
    let mut world = World::new();
    let receiver = Receiver::new();
    with_failed(&mut world, &receiver, 2500);
    let (everybody, failed) =
        (Visible::EVERYTHING, Selection { state: Some(State::Exhausted), ..Selection::default() });
    let field = world.block_on(world.db().read(move |view| Candidates::new(view, &everybody, failed)));
    let field = field.expect("a field");
    let count =
        |patience| world.block_on(candidates::count(world.db(), Actor::Engine, &field, patience)).expect("a count");
    let (some, all) = (count(Duration::ZERO), count(Duration::MAX));
    assert_eq!((some.matched, some.complete), (1000, false), "a look, and no more");
    assert_eq!((all.matched, all.complete), (2500, true));
    let run = world.write(move |tx| recoveries::start(tx, &field, some.matched)).expect("a run");
    let done = until(&world, &run.id.to_string(), is_done);
    assert_eq!((done["matched"].as_u64(), replayed(&done)), (Some(2500), 2500));
}

#[test]
fn a_recovery_reads_no_deliveries_of_another_time() {
    let mut world = World::new();
    let receiver = Receiver::new();
    with_failed(&mut world, &receiver, 2500);
    // Ids as they are: one of each second from the start of the day on.
    database(&world)
        .execute_batch(
            "UPDATE delivery SET created_at = 1776643200000 + 1000 * key,
               id = unhex(printf('%012X', 1776643200000 + 1000 * key) || hex(randomblob(10)));",
        )
        .expect("changed");
    let at = |second: u32| Timestamp::from_millis(1_776_643_200_000 + i64::from(second) * 1000);
    let selection =
        Selection { state: Some(State::Exhausted), from: Some(at(2000)), to: Some(at(2009)), ..Selection::default() };
    let everybody = Visible::EVERYTHING;
    let field = world.block_on(world.db().read(move |view| Candidates::new(view, &everybody, selection)));
    let field = field.expect("a field");
    // One look is enough: the 1,000 that it may pass are those of that time.
    let count = world.block_on(candidates::count(world.db(), Actor::Engine, &field, Duration::ZERO)).expect("a count");
    assert_eq!(count.matched, 10);
}

#[test]
fn only_matching_deliveries_are_replayed() {
    let mut world = World::new();
    let receiver = Receiver::new();
    let webhook = with_failed(&mut world, &receiver, 6);
    // Of six: one of another event, one that timed out, one made a day later, one cancelled, one a test.
    database(&world)
        .execute_batch(
            "UPDATE event SET kind = 'loan.repaid' WHERE key = 2;
             UPDATE attempt SET failure = 'timeout', status = NULL WHERE delivery = 3;
             UPDATE delivery SET created_at = created_at + 86400000,
               id = unhex(printf('%012X', created_at + 86400000) || hex(substr(id, 7))) WHERE key = 4;
             UPDATE delivery SET state = 'cancelled' WHERE key = 5;
             UPDATE event SET test = 1 WHERE key = 6;",
        )
        .expect("changed");
    let operator = world.operator();
    let count = |body: Value| {
        let mut body = body;
        body["dry_run"] = true.into();
        operator.post("/operator/recoveries", body).expect(200)["matched"].clone()
    };
    for (body, expected) in [
        (json!({}), 4),
        (json!({ "account_id": COOP }), 4),
        (json!({ "account_id": OTHER_COOP }), 0),
        (json!({ "webhook_id": webhook }), 4),
        (json!({ "event": "loan.repaid" }), 1),
        (json!({ "error": "timeout" }), 1),
        (json!({ "error": "dns" }), 0),
        (json!({ "since": "2026-04-20T12:00:00Z" }), 1),
        (json!({ "until": "2026-04-20T12:00:00Z" }), 3),
        (json!({ "status": "CANCELLED" }), 1),
        (json!({ "event": "loan.repaid", "error": "timeout" }), 0),
    ] {
        assert_eq!(count(body.clone()), expected, "{body}");
    }
    let run = start(&operator, json!({ "error": "timeout" }));
    let done = until(&world, &run, is_done);
    assert_eq!((replayed(&done), &done["error"]), (1, &json!("timeout")));
    assert_eq!(count(json!({})), 3);
    for body in [json!({ "account_id": "NOBODY" }), json!({ "webhook_id": "wh_01ARZ3NDEKTSV4RRFFQ69G5FAV" })] {
        assert_eq!(operator.post("/operator/recoveries", body).status, 404);
    }
    for body in [json!({ "status": "HELD" }), json!({ "since": "yesterday" }), json!({ "error": "bored" })] {
        assert_eq!(operator.post("/operator/recoveries", body).code(400), "INVALID_REQUEST");
    }
}
