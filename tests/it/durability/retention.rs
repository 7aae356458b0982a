//! Retention: old rows go, and none sooner, even when the wall clock is set.

use std::time::Duration;

use ngoma::domain::timestamp::Timestamp;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{
    aging::{age, pass},
    database::{largest_transaction, query},
    program::{finish, ngoma, run},
    receiver::{Receiver, Reply},
    site::SECRET,
    world::{COOP, World},
};

const DAY: i64 = 24 * 3_600_000;
const YEAR: i64 = 365 * DAY;
const TABLES: [&str; 3] = ["event", "delivery", "attempt"];

/// A world whose first pass is over.
fn world() -> World {
    let world = World::new();
    pass(&world);
    world
}

fn count(world: &World, of: &str) -> usize {
    query(world, &format!("SELECT count(*) FROM {of}"))
}

/// How many events, deliveries and attempts there are.
fn rows(world: &World) -> [usize; 3] {
    TABLES.map(|table| count(world, table))
}

/// Makes one more delivery, as the newest row of a table never goes.
fn newest(world: &World) {
    let receiver = Receiver::new();
    let webhook = world.coop().webhook(&receiver.url(), &["loan.repaid"], "s");
    world.coop().publish("loan.repaid", json!({}));
    world.settle();
    assert_eq!(receiver.posts().len(), 1, "{webhook}");
}

#[test]
fn delivered_deliveries_go_after_retention_delivered_with_their_attempts_and_events() {
    let (world, receiver) = (world(), Receiver::new());
    receiver.next([Reply::status(500)]);
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["batch.*"], "s");
    let event = coop.publish("batch.exported", json!({}));
    world.settle();
    world.advance("30s");
    assert_eq!(coop.deliveries(&webhook)[0]["status"], "DELIVERED");
    newest(&world);
    age(&world, "1h");
    age(&world, "29d 23h");
    assert_eq!(rows(&world), [2, 2, 3], "it is not quite as old");
    let path = format!("/events/{}", event["event_id"].as_str().expect("an id"));
    coop.get(&path).expect(200);
    age(&world, "1h");
    assert_eq!(rows(&world), [1, 1, 1]);
    assert_eq!(coop.get(&path).code(404), "EVENT_NOT_FOUND");
    assert!(coop.deliveries(&webhook).is_empty());
}

#[test]
fn failed_and_cancelled_deliveries_stay_until_retention_undelivered() {
    let (world, receiver) = (world(), Receiver::new());
    receiver.next([Reply::status(410)]);
    let coop = world.coop();
    let failing = coop.webhook(&receiver.url(), &["batch.exported"], "s");
    let paused = coop.webhook(&receiver.url(), &["dds.filed"], "s");
    coop.patch(&format!("/webhooks/{paused}"), json!({ "status": "SUSPENDED" })).expect(200);
    coop.publish("batch.exported", json!({}));
    coop.publish("dds.filed", json!({}));
    world.settle();
    coop.delete(&format!("/webhooks/{paused}")).expect(204);
    newest(&world);
    age(&world, "1h");
    age(&world, "89d");
    assert_eq!(rows(&world), [3, 3, 2], "the newest stays by itself");
    assert_eq!(coop.deliveries(&failing)[0]["status"], "FAILED");
    age(&world, "1d");
    assert_eq!(rows(&world), [1, 1, 1]);
}

#[test]
fn an_event_that_nobody_wanted_goes_after_retention_delivered() {
    let world = world();
    world.coop().publish("batch.exported", json!({}));
    newest(&world);
    age(&world, "1h");
    age(&world, "29d");
    assert_eq!(count(&world, "event"), 2);
    age(&world, "1d");
    assert_eq!(count(&world, "event"), 1);
}

#[test]
fn pending_and_claimed_deliveries_are_never_removed() {
    let receiver = Receiver::new();
    receiver.always(Reply::status(500));
    let world = World::with(|wish| {
        let week = ngoma::config::Wait(Duration::from_secs(7 * 24 * 3600));
        wish.config.asilichain.waits = vec![week; 90];
    });
    pass(&world);
    let slow = Receiver::new();
    slow.always(Reply::Gate(200));
    let coop = world.coop();
    coop.webhook(&receiver.url(), &["batch.exported"], "s");
    coop.publish("batch.exported", json!({}));
    world.settle();
    coop.webhook(&slow.url(), &["dds.filed"], "s");
    coop.publish("dds.filed", json!({}));
    slow.wait_for(1);
    let week = Duration::from_secs(7 * 24 * 3600);
    for _ in 0..60 {
        world.move_clock(week);
        pass(&world);
    }
    assert_eq!(count(&world, "delivery"), 2);
    slow.open_gate();
    world.settle();
    let failed = receiver.posts().len();
    receiver.always(Reply::status(200));
    world.move_clock(week);
    world.settle();
    assert_eq!(receiver.posts().len(), failed + 1, "it goes on as if nothing had been");
    newest(&world);
    age(&world, "1h");
    age(&world, "1h");
    assert_eq!(count(&world, "delivery"), 1, "what has come to its end is old enough by then");
}

#[test]
fn deliveries_held_too_long_are_cancelled_a_week_after_a_notice_to_their_account() {
    let (world, receiver) = (world(), Receiver::new());
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["batch.exported"], "s");
    let path = format!("/webhooks/{webhook}");
    coop.patch(&path, json!({ "status": "SUSPENDED" })).expect(200);
    coop.publish("batch.exported", json!({ "n": 1 }));
    age(&world, "1h");
    age(&world, "10d");
    coop.publish("batch.exported", json!({ "n": 2 }));
    newest(&world);
    age(&world, "1h");
    age(&world, "71d 23h");
    let told = || count(&world, "alert WHERE kind = 'expiring' AND endpoint = 1");
    let statuses = || {
        coop.deliveries(&webhook).iter().map(|one| one["status"].as_str().expect("one").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(told(), 0);
    age(&world, "1d");
    assert_eq!(told(), 1, "a week before");
    age(&world, "1d");
    assert_eq!(told(), 1, "once a week");
    assert_eq!(statuses(), ["HELD", "HELD"]);
    age(&world, "6d");
    assert_eq!(statuses(), ["HELD", "CANCELLED"], "which can be seen until the next pass");
    age(&world, "1h");
    assert_eq!(statuses(), ["HELD"]);
    assert_eq!(told(), 1, "the other one has time left");
    coop.patch(&path, json!({ "status": "ACTIVE" })).expect(200);
    world.settle();
    assert_eq!(receiver.posts().len(), 1);
    assert_eq!(receiver.posts()[0].json()["data"]["n"], 2);
    assert_eq!(statuses(), ["DELIVERED"]);
    age(&world, "1h");
    assert_eq!(statuses(), ["DELIVERED"], "what was delivered late can be looked at for a while");
    age(&world, "10d");
    assert!(statuses().is_empty());
}

#[test]
fn a_replay_keeps_its_original_and_their_event() {
    let (world, receiver) = (world(), Receiver::new());
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["batch.exported"], "s");
    coop.publish("batch.exported", json!({}));
    world.settle();
    age(&world, "1h");
    age(&world, "20d");
    let original = coop.deliveries(&webhook)[0]["delivery_id"].as_str().expect("an id").to_owned();
    coop.post(&format!("/webhooks/{webhook}/replay/{original}"), json!({})).expect(202);
    newest(&world);
    age(&world, "1h");
    age(&world, "20d");
    let replay = &coop.deliveries(&webhook)[0];
    assert_eq!((replay["status"].as_str(), replay["replay_of"].as_str()), (Some("DELIVERED"), Some(original.as_str())));
    assert_eq!(coop.delivery(&webhook, &original)["status"], "DELIVERED");
    age(&world, "10d");
    assert_eq!(coop.deliveries(&webhook).len(), 1, "the replay goes first");
    age(&world, "60d");
    assert_eq!(rows(&world), [1, 1, 1]);
}

#[test]
fn an_idempotency_key_holds_as_long_as_its_event() {
    let world = world();
    let coop = world.coop();
    let publish = |data: Value| {
        let body = json!({ "event": "batch.exported", "cooperative_id": COOP, "data": data }).to_string();
        let headers = [("content-type", "application/json"), ("idempotency-key", "once")];
        coop.send("POST", "/events", &headers, Some(body.as_bytes()))
    };
    let first = publish(json!({ "n": 1 })).expect(202);
    newest(&world);
    age(&world, "1h");
    age(&world, "29d");
    assert_eq!(publish(json!({ "n": 1 })).expect(202), first);
    assert_eq!(publish(json!({ "n": 2 })).code(422), "IDEMPOTENCY_KEY_REUSED");
    age(&world, "1d");
    assert_ne!(publish(json!({ "n": 2 })).expect(202)["event_id"], first["event_id"]);
}

/// A world that has delivered something an hour ago.
fn delivered() -> (World, Receiver) {
    let (world, receiver) = (world(), Receiver::new());
    world.coop().webhook(&receiver.url(), &["batch.exported"], "s");
    world.coop().publish("batch.exported", json!({}));
    world.settle();
    newest(&world);
    age(&world, "1h");
    (world, receiver)
}

fn set_clock(world: &World, by: i64) {
    world.clock.step(Timestamp::from_millis(world.now().millis() + by));
    world.settle();
}

#[test]
fn setting_the_clock_ages_nothing_and_keeps_nothing_young() {
    for steps in [[YEAR, 0], [-YEAR, 0], [YEAR, -YEAR], [-YEAR, YEAR]] {
        let (world, _receiver) = delivered();
        for by in steps {
            set_clock(&world, by);
            age(&world, "1h");
        }
        age(&world, "29d 21h");
        assert_eq!(rows(&world), [2, 2, 2], "{steps:?}: a month less an hour has passed, and no more");
        age(&world, "1h");
        assert_eq!(rows(&world), [1, 1, 1], "{steps:?}: a month has passed");
    }
}

#[test]
fn a_stop_counts_for_half_a_day_at_most_however_the_clock_is_set_meanwhile() {
    for (by, counted) in [(6 * 3_600_000, 6), (YEAR, 12), (-YEAR, 0)] {
        for crash in [false, true] {
            let (mut world, _receiver) = delivered();
            if crash {
                world.crash()
            } else {
                world.stop()
            };
            world.clock.step(Timestamp::from_millis(world.now().millis() + by));
            world.start();
            pass(&world);
            assert_eq!(rows(&world), [2, 2, 2], "{by} ms");
            age(&world, &format!("29d {}h", 23 - counted));
            assert_eq!(rows(&world), [2, 2, 2], "{by} ms, crash {crash}");
            age(&world, "1h");
            assert_eq!(rows(&world), [1, 1, 1], "{by} ms, crash {crash}");
        }
    }
}

fn beside(world: &World, arguments: &[&str]) {
    std::fs::write(world.folder().join("config.toml"), "").expect("a config");
    let (code, _, err) = run(world.folder(), arguments);
    assert_eq!(code, 0, "{err}");
}

#[test]
fn a_former_secret_is_wiped_when_it_signs_no_more_however_the_clock_is_set() {
    for by in [YEAR, -YEAR] {
        let (world, receiver) = (world(), Receiver::new());
        let coop = world.coop();
        let webhook = coop.webhook(&receiver.url(), &["*"], "the former one");
        coop.patch(&format!("/webhooks/{webhook}"), json!({ "secret": SECRET })).expect(200);
        let signatures = || {
            let before = receiver.posts().len();
            coop.publish("batch.exported", json!({}));
            world.settle();
            let posts = receiver.wait_for(before + 1);
            posts[before].header("webhook-signature").split(' ').count()
        };
        age(&world, "12h");
        set_clock(&world, by);
        age(&world, "11h");
        assert_eq!(signatures(), 2, "{by} ms");
        age(&world, "1h");
        assert_eq!(signatures(), 1, "{by} ms");
        assert_eq!(count(&world, "endpoint WHERE former_secret IS NOT NULL"), 0);
    }
}

#[test]
fn the_secrets_of_a_deleted_webhook_are_wiped_at_once_and_its_row_goes_in_time() {
    let mut world = world();
    let coop = world.coop();
    let webhook = coop.webhook("http://127.0.0.1:1/", &["*"], "the former one");
    let path = format!("/webhooks/{webhook}");
    coop.patch(&path, json!({ "secret": SECRET })).expect(200);
    coop.delete(&path).expect(204);
    newest(&world);
    assert_eq!(count(&world, "endpoint WHERE length(secret) > 0"), 1);
    assert_eq!(count(&world, "endpoint WHERE former_secret IS NOT NULL"), 0);
    for command in [&["key", "rotate"][..], &["key", "rotate"], &["check"]] {
        beside(&world, command);
    }
    world.restart();
    pass(&world);
    age(&world, "1h");
    age(&world, "89d");
    assert_eq!(count(&world, "endpoint"), 2);
    age(&world, "1d");
    assert_eq!(count(&world, "endpoint"), 1);
}

#[test]
fn a_long_past_goes_in_small_steps_and_its_space_is_given_back() {
    const MANY: usize = 12_000;
    const PAGES: usize = 400;
    let (mut world, receiver) = delivered();
    world.stop();
    let conn = Connection::open(world.database()).expect("the file");
    conn.execute_batch(&format!(
        "WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT {MANY})
           INSERT INTO event (id, account, kind, body, accepted_at) SELECT randomblob(16), 1, 'k', hex(zeroblob(600)), 0 FROM n;
         INSERT INTO delivery (id, event, endpoint, state, attempts, tries, created_at)
           SELECT randomblob(16), key, 1, 'delivered', 1, 1, 0 FROM event WHERE kind = 'k';
         INSERT INTO attempt (delivery, number, started_at, duration_ms, status)
           SELECT key, 1, 0, 7, 200 FROM delivery WHERE created_at = 0;
         PRAGMA wal_checkpoint(TRUNCATE);"
    ))
    .expect("a long past");
    let length = |world: &World| std::fs::metadata(world.database()).expect("the file").len();
    let full = length(&world);
    world.start();
    pass(&world);
    world.coop().publish("batch.exported", json!({}));
    receiver.wait_for(2);
    age(&world, "1h");
    // As long as it reads, the log is not begun anew.
    let reader = Connection::open(world.database()).expect("the file");
    reader.execute_batch("BEGIN; SELECT count(*) FROM account;").expect("a view");
    age(&world, "30d");
    assert_eq!(rows(&world), [1, 1, 1]);
    let largest = largest_transaction(&world.folder().join("ngoma.db-wal"));
    assert!((10..PAGES).contains(&largest), "the largest transaction wrote {largest} pages");
    drop(reader);
    // A pass fails to shorten the file while the server itself reads; the next one tries again.
    for _ in 0..10 {
        age(&world, "1h");
        if length(&world) < full {
            break;
        }
    }
    let free: u64 = query(&world, "SELECT freelist_count FROM pragma_freelist_count");
    world.stop();
    let length = length(&world);
    assert!(length < full / 2, "{length} of {full} bytes");
    assert_eq!(free, 1024, "some are kept for what comes next");
    assert_eq!(conn.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0)).as_deref(), Ok("ok"));
}

#[test]
fn removed_data_that_a_reader_kept_in_the_log_is_gone_from_it_an_hour_after_the_reader() {
    let (world, _receiver) = delivered();
    let secret = "a name that must not stay";
    world.coop().publish("batch.exported", json!({ "grower": secret }));
    world.settle();
    let holds = |world: &World| {
        ["", "-wal"].iter().any(|end| {
            let bytes = std::fs::read(format!("{}{end}", world.database().display())).expect("a file");
            bytes.windows(secret.len()).any(|part| part == secret.as_bytes())
        })
    };
    newest(&world);
    age(&world, "1h");
    let reader = Connection::open(world.database()).expect("the file");
    reader.execute_batch("BEGIN; SELECT count(*) FROM account;").expect("a view");
    age(&world, "30d");
    assert!(holds(&world), "a reader of an earlier state needs it");
    drop(reader);
    for _ in 0..10 {
        age(&world, "1h");
        if !holds(&world) {
            return;
        }
    }
    panic!("the log still holds it");
}

#[test]
fn settings_that_would_keep_too_little_are_refused_with_a_sentence() {
    let folder = tempfile::tempdir().expect("a folder");
    for (settings, refused) in [
        (&[("DELIVERED", "23h")][..], Some(r#"retention.delivered = "23h""#)),
        (&[("DELIVERED", "0s")], Some(r#"retention.delivered = "0s""#)),
        (&[("UNDELIVERED", "29d")], Some(r#"retention.undelivered = "29d""#)),
        (&[("DELIVERED", "1d"), ("UNDELIVERED", "36501d")], Some(r#"retention.undelivered = "36501d""#)),
        (&[("DELIVERED", "1d"), ("UNDELIVERED", "7d")], Some(r#"retention.undelivered = "7d""#)),
        (&[("DELIVERED", "1d"), ("UNDELIVERED", "8d")], None),
        (&[("DELIVERED", "36500d"), ("UNDELIVERED", "36500d")], None),
    ] {
        let mut command = ngoma(folder.path(), &["check"]);
        command.envs(settings.iter().map(|(key, value)| (format!("NGOMA_RETENTION__{key}"), value)));
        let (code, _, err) = finish(&mut command);
        assert_eq!(code, i32::from(refused.is_some()), "{settings:?}: {err}");
        assert!(err.contains(refused.unwrap_or_default()), "{settings:?}: {err}");
    }
}
