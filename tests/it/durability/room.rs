//! A limit for the size of the database: what goes when it is reached, what stays, and that publishing goes on.

use std::{collections::BTreeSet, thread};

use serde_json::{Value, json};

use crate::support::{
    aging::{age, pass},
    browser::operator,
    client::Client,
    database::{largest_transaction, query},
    metrics::metric,
    program::{finish, ngoma},
    receiver::{Receiver, Reply},
    site::{SECRET, Site},
    world::{COOP, Wish, World},
};

const LIMIT: u64 = 4_000_000;
/// The most pages that one transaction may write: that of retention.
const PAGES: usize = 400;

fn world(limit: u64) -> World {
    let world = World::with(|wish: &mut Wish| wish.config.retention.max_database_bytes = limit);
    pass(&world);
    world
}

/// An event of some kilobytes.
fn event(kind: &str, number: usize) -> Value {
    json!({ "event": kind, "cooperative_id": COOP, "data": { "number": number, "pages": "x".repeat(4000) } })
}

/// Publishes this many large events of a kind, a hundred at once. Gives their ids.
#[track_caller]
fn publish(client: &Client, kind: &str, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for first in (0..count).step_by(100) {
        let events: Vec<Value> = (first..count.min(first + 100)).map(|number| event(kind, number)).collect();
        let answer = client.post("/events/batch", json!({ "events": events })).expect(202);
        let made = answer["events"].as_array().expect("a list").iter();
        ids.extend(made.map(|one| one["event_id"].as_str().expect("an id").to_owned()));
    }
    ids
}

fn used(world: &World) -> u64 {
    let pages = "SELECT (page_count - freelist_count) * 4096 FROM pragma_page_count, pragma_freelist_count";
    u64::try_from(query::<i64>(world, pages)).expect("bytes")
}

/// How many deliveries are in this state.
fn count(world: &World, state: &str) -> usize {
    query(world, &format!("SELECT count(*) FROM delivery WHERE state = '{state}'"))
}

/// How many alerts say that nothing more may go, and how many of them still hold.
fn told_of_full(world: &World) -> (usize, usize) {
    let full = "SELECT count(*) FROM alert WHERE about = 'server.room_full'";
    (query(world, full), query(world, &format!("{full} AND cleared_at IS NULL")))
}

/// Whether the account still sees this event.
fn is_there(world: &World, id: &str) -> bool {
    world.coop().get(&format!("/events/{id}")).status == 200
}

#[test]
fn when_the_limit_is_reached_the_oldest_delivered_go_and_what_is_owed_stays() {
    let world = world(LIMIT);
    let (good, bad, slow) = (Receiver::new(), Receiver::new(), Receiver::new());
    let coop = world.coop();
    bad.always(Reply::status(400));
    slow.always(Reply::status(503));
    coop.webhook(&good.url(), &["batch.exported"], SECRET);
    coop.webhook(&bad.url(), &["dds.filed"], SECRET);
    // The oldest of all: one that fails for good, and then some that are held.
    let failed = publish(&coop, "dds.filed", 1);
    world.settle();
    for wait in ["30s", "5m", "30m", "2h"] {
        world.advance(wait);
    }
    let held = publish(&coop, "dds.filed", 20);
    coop.webhook(&slow.url(), &["loan.repaid"], SECRET);
    let waiting = publish(&coop, "loan.repaid", 20);
    world.settle();
    assert_eq!((count(&world, "exhausted"), count(&world, "held"), count(&world, "pending")), (1, 20, 20));
    let old = publish(&coop, "batch.exported", 600);
    world.settle();
    let nobody = publish(&coop, "farmer.registered", 50);
    let new = publish(&coop, "batch.exported", 300);
    world.settle();
    assert!(used(&world) > LIMIT && count(&world, "delivered") == 900, "{}", used(&world));
    age(&world, "10s");

    assert!(used(&world) < LIMIT, "{}", used(&world));
    assert!(used(&world) > LIMIT * 8 / 10, "and no more than needed: {}", used(&world));
    assert_eq!((count(&world, "exhausted"), count(&world, "held"), count(&world, "pending")), (1, 20, 20));
    assert!([&failed, &held, &waiting].into_iter().flatten().all(|id| is_there(&world, id)), "what is owed stays");
    let gone: Vec<bool> = old.iter().chain(&nobody).chain(&new).map(|id| !is_there(&world, id)).collect();
    let first_kept = gone.iter().position(|gone| !gone).expect("some stay");
    assert!(first_kept > 100 && gone[first_kept..].iter().all(|gone| !gone), "the oldest first: {first_kept}");
    let largest = largest_transaction(&world.folder().join("ngoma.db-wal"));
    assert!(largest < PAGES, "the largest transaction wrote {largest} pages");
    let page = operator(&world).get("/ui/system").text;
    let told: usize = query(&world, "SELECT count(*) FROM alert WHERE about = 'server.room_reached'");
    assert_eq!((told, told_of_full(&world)), (1, (0, 0)), "the operator is told, once, and no more than is so");
    assert!(page.contains("of 4.0 MB are in use") && page.contains("the oldest delivered go sooner"), "{page}");
    let health = world.stranger().get("/health/ready").expect(200);
    assert_eq!(health["warnings"], json!([]));
    assert_eq!(metric(&world, "ngoma_database_limit_bytes"), Some(LIMIT as f64));
    let early = gone.iter().filter(|gone| **gone).count();
    let removed = metric(&world, "ngoma_removed_early_total").expect("a count");
    assert!(removed as usize > early, "{removed} deliveries and events, of them {early} events");
    // The freed space is used again: the file does not grow.
    let length = || std::fs::metadata(world.database()).expect("the file").len();
    let before = length();
    publish(&coop, "batch.exported", 30);
    world.settle();
    assert!(length() <= before, "{} of {before}", length());
}

#[test]
fn what_has_an_idempotency_key_stays_for_a_day_and_where_nothing_may_go_it_is_said_and_publishing_goes_on() {
    let world = world(1_000_000);
    let (coop, receiver) = (world.coop(), Receiver::new());
    coop.webhook(&receiver.url(), &["*"], SECRET);
    let keyed: Vec<Value> = (0..300)
        .map(|number| {
            let mut one = event("batch.exported", number);
            one["idempotency_key"] = json!(format!("key-{number}"));
            one
        })
        .collect();
    let rows = |of: &str| query::<usize>(&world, &format!("SELECT count(*) FROM {of}"));
    let answers: Vec<Value> = keyed
        .chunks(100)
        .map(|some| coop.post("/events/batch", json!({ "events": some })).expect(202).clone())
        .collect();
    world.settle();
    age(&world, "10s");
    assert_eq!((rows("event"), rows("delivery")), (300, 300), "they stay");
    let health = world.stranger().get("/health/ready").expect(200);
    let said = health["parts"]["disk"]["message"].as_str().expect("a text");
    assert_eq!(health["parts"]["disk"]["status"], "warning");
    assert!(said.contains("retention.max_database_bytes") && said.contains("nothing more may go"), "{said}");
    assert!(operator(&world).get("/ui/system").text.contains("nothing more may go"));
    let again = coop.post("/events/batch", json!({ "events": keyed[..100] })).expect(202);
    assert_eq!(again["events"][0]["event_id"], answers[0]["events"][0]["event_id"], "a repeat is noticed");
    publish(&coop, "batch.exported", 1);
    world.settle();
    // A day later they may go.
    age(&world, "1h");
    age(&world, "24h");
    assert!(rows("event") < 300 && used(&world) < 1_000_000, "{} events, {} bytes", rows("event"), used(&world));
    let health = world.stranger().get("/health/ready").expect(200);
    assert_eq!(health["parts"]["disk"]["status"], "ok", "{health}");
}

#[test]
fn where_all_that_is_left_is_held_the_operator_hears_that_nothing_may_go_each_day_until_there_is_room() {
    let mut world = world(1_000_000);
    let (coop, receiver) = (world.coop(), Receiver::new());
    let webhook = coop.webhook(&receiver.url(), &["*"], SECRET);
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": "SUSPENDED" })).expect(200);
    publish(&coop, "batch.exported", 300);
    world.settle();
    assert_eq!(count(&world, "held"), 300);
    age(&world, "10s");
    let said = "SELECT group_concat(about || ': ' || said) FROM alert WHERE kind = 'operator'";
    let said: String = query(&world, said);
    assert!(said.starts_with("server.room_full: ") && said.contains("othing more may go"), "{said}");
    assert_eq!((told_of_full(&world), count(&world, "held")), ((1, 1), 300), "{said}");
    // Not again at every look, and not by a start; but each day.
    age(&world, "1h");
    world.restart();
    pass(&world);
    assert_eq!(told_of_full(&world).0, 1);
    age(&world, "24h");
    assert_eq!(told_of_full(&world).0, 2);
    let coop = world.coop();
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": "ACTIVE" })).expect(200);
    world.settle();
    age(&world, "1h");
    age(&world, "10s");
    assert_eq!(told_of_full(&world), (2, 0), "they were delivered, and could go");
}

#[test]
fn while_room_is_made_publishing_goes_on() {
    let world = world(LIMIT);
    let coop = world.coop();
    publish(&coop, "batch.exported", 1500);
    assert!(used(&world) > LIMIT * 3 / 2);
    world.move_clock(std::time::Duration::from_secs(10));
    let mut ids = BTreeSet::new();
    let publishers: Vec<_> = (0..4)
        .map(|_| {
            let client = coop.clone();
            thread::spawn(move || (0..5).flat_map(|_| publish(&client, "dds.filed", 20)).collect::<Vec<_>>())
        })
        .collect();
    publishers.into_iter().for_each(|one| ids.extend(one.join().expect("no publish is refused")));
    assert_eq!(ids.len(), 400);
    pass(&world);
    age(&world, "10s");
    assert!(used(&world) < LIMIT, "{}", used(&world));
    assert_eq!(query::<usize>(&world, "SELECT count(*) FROM event WHERE kind = 'dds.filed'"), 400, "the newest stay");
}

#[test]
fn the_log_says_once_that_the_limit_is_reached_and_a_limit_that_is_too_small_is_refused() {
    let mut site = Site::new();
    let server = site.start();
    publish(&server.coop(), "batch.exported", 3000);
    server.stop();
    site.set("RETENTION__MAX_DATABASE_BYTES", "10000000");
    let mut serve = site.command();
    let server = site.start_by(serve.env("NGOMA_LOG__LEVEL", "info"));
    server.running.error_with("the database has reached retention.max_database_bytes");
    // It is done: the next publish finds the writer at rest.
    while site.look::<i64>("SELECT page_count - freelist_count FROM pragma_page_count, pragma_freelist_count") > 2400 {}
    publish(&server.coop(), "batch.exported", 1);
    let log = server.kill();
    assert_eq!(log.matches("has reached retention.max_database_bytes: from now on").count(), 1, "{log}");
    assert!(!log.contains("nothing more may go"), "{log}");
    let mut small = ngoma(site.folder(), &["check"]);
    let (code, _, said) = finish(small.env("NGOMA_RETENTION__MAX_DATABASE_BYTES", "9999999"));
    assert!(code == 1 && said.contains("retention.max_database_bytes = 9999999"), "{said}");
}
