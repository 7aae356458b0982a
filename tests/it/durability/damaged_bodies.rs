//! Event bodies that the disk has damaged: none is sent, each is found, and an alert is raised.

use std::{fs, path::Path};

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{
    browser,
    database::checkpoint,
    mailbox::{outbox, told},
    program::run,
    receiver::{Receiver, Reply},
    world::World,
};

/// Events whose bodies are damaged, and as many that are not.
const DAMAGED: usize = 40;
const PAGE: usize = 4096;

/// The mark of an event's data in the file.
fn marker(event: usize) -> String {
    format!("event-{event:03}-{}", "k".repeat(event * 5))
}

/// Where these bytes stand in the file: at one place only.
#[track_caller]
fn place(file: &[u8], text: &str) -> usize {
    let mut found = file.windows(text.len()).enumerate().filter(|(_, bytes)| *bytes == text.as_bytes());
    let (at, _) = found.next().unwrap_or_else(|| panic!("no {text}"));
    assert!(found.next().is_none(), "{text} twice");
    at
}

/// Flips one bit in each of the first bodies, another in each, so that some are no UTF-8 any more.
fn flip(database: &Path) {
    checkpoint(database);
    let mut file = fs::read(database).expect("bytes");
    for event in 0..DAMAGED {
        let at = place(&file, &format!("\"{}\"", marker(event)));
        file[at + 1 + event % 10] ^= 1 << (event % 8);
    }
    fs::write(database, file).expect("written");
}

/// A world with a webhook that took none of its events at the first attempt, half of which are damaged since.
fn world(receiver: &Receiver, warn: bool) -> (World, String) {
    let mut world = World::with(|wish| wish.config.alerts.warn = warn);
    receiver.always(Reply::status(500));
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s");
    for event in 0..2 * DAMAGED {
        coop.publish("dds.filed", json!({ "key": marker(event) }));
    }
    world.settle();
    world.stop();
    flip(&world.database());
    receiver.always(Reply::status(200));
    (world, webhook)
}

fn keys(posts: &[Value]) -> Vec<String> {
    let mut keys: Vec<String> =
        posts.iter().map(|post| post["data"]["key"].as_str().expect("a key").to_owned()).collect();
    keys.sort();
    keys
}

fn with(deliveries: &[Value], field: &str, value: &str) -> usize {
    deliveries.iter().filter(|delivery| delivery[field] == value).count()
}

#[test]
fn a_damaged_body_is_never_sent_the_others_arrive_and_an_alert_is_raised() {
    let receiver = Receiver::new();
    let (mut world, webhook) = world(&receiver, false);
    let before = receiver.posts().len();
    world.start();
    world.advance("30s");
    told(&world);
    let sent: Vec<Value> = receiver.posts()[before..].iter().map(|post| post.json()).collect();
    assert_eq!(keys(&sent), (DAMAGED..2 * DAMAGED).map(marker).collect::<Vec<_>>());
    let coop = world.coop();
    let deliveries = coop.deliveries(&webhook);
    assert_eq!(with(&deliveries, "status", "DELIVERED"), DAMAGED);
    assert_eq!((with(&deliveries, "status", "FAILED"), with(&deliveries, "error", "damaged")), (DAMAGED, DAMAGED));
    assert_eq!(coop.status(&webhook), "ACTIVE", "it is not the receiver's fault");
    // One alert a day, though warnings are turned off.
    assert_eq!(
        outbox::<i64>(&world, "count(*)", "kind = 'warning' AND failure = 'damaged' AND told_at IS NOT NULL"),
        1
    );
    let seen = world.operator().get("/operator/alerts").expect(200);
    assert_eq!((&seen["alerts"][0]["error"], seen["alerts"].as_array().map(Vec::len)), (&json!("damaged"), Some(1)));
}

#[test]
fn a_damaged_body_raises_an_alert_even_after_a_warning_of_the_same_day_and_is_never_shown() {
    let receiver = Receiver::new();
    let (mut world, webhook) = world(&receiver, true);
    world.start();
    let coop = world.coop();
    receiver.always(Reply::status(500));
    for wait in ["30s", "5m"] {
        world.advance(wait);
    }
    told(&world);
    let warned = |class: &str| outbox::<i64>(&world, "count(*)", &format!("kind = 'warning' AND failure = '{class}'"));
    assert_eq!((warned("status"), warned("damaged")), (1, 1));
    let failed = coop.deliveries(&webhook).into_iter().find(|delivery| delivery["error"] == "damaged").expect("one");
    let (delivery, event) = (failed["delivery_id"].as_str().expect("id"), failed["event_id"].as_str().expect("id"));
    assert_eq!(coop.delivery(&webhook, delivery)["attempts"].as_array().map(Vec::len), Some(2));
    let operator = world.operator();
    let seen = operator.get(&format!("/operator/deliveries/{delivery}")).expect(200);
    assert_eq!((&seen["request"], &seen["error"]), (&Value::Null, &json!("damaged")));
    coop.get(&format!("/events/{event}")).expect(500);
    let browser = browser::operator(&world);
    for path in [format!("/ui/deliveries/{delivery}"), format!("/ui/events/{event}")] {
        let page = browser.get(&path);
        assert_eq!(page.status, 200, "{path}");
        assert!(
            page.text.contains("The body is damaged on this server's disk") && !page.text.contains("event-0"),
            "{path}"
        );
    }
    assert_eq!(browser.get("/ui/events").status, 200);
    // A replay ends the same way.
    receiver.always(Reply::status(200));
    let posts = receiver.posts().len();
    let replay = coop.send("POST", &format!("/webhooks/{webhook}/replay/{delivery}"), &[], None).expect(202);
    world.settle();
    let replayed = coop.delivery(&webhook, replay["delivery_id"].as_str().expect("an id"));
    assert_eq!((&replayed["status"], &replayed["error"]), (&json!("FAILED"), &json!("damaged")));
    assert_eq!(receiver.posts().len(), posts);
}

#[test]
fn check_and_backup_name_each_damaged_body() {
    let receiver = Receiver::new();
    let (world, _webhook) = world(&receiver, true);
    let (code, _, said) = run(world.folder(), &["check"]);
    assert_eq!((code, said.matches(" is damaged: it is not sent").count()), (1, DAMAGED), "{said}");
    assert!(said.contains("the body of event evt_"), "{said}");
    let (code, out, said) = run(world.folder(), &["backup", "copy.db"]);
    assert_eq!((code, out.as_str()), (1, ""), "{said}");
    assert!(said.contains("40 event bodies are damaged"), "{said}");
    // It is kept: all else in it is whole, and there may be no other.
    assert!(world.folder().join("copy.db").exists() && world.folder().join("copy.db.key").exists());
}

#[test]
fn a_body_with_broken_pages_ends_only_its_own_delivery() {
    let mut world = World::new();
    let receiver = Receiver::new();
    receiver.always(Reply::status(500));
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s");
    let long = format!("{}the middle{}", "a".repeat(20_000), "z".repeat(20_000));
    for data in [json!({ "n": 1 }), json!({ "long": long }), json!({ "n": 2 })] {
        coop.publish("dds.filed", data);
    }
    world.settle();
    world.stop();
    checkpoint(&world.database());
    let mut file = fs::read(world.database()).expect("bytes");
    // A long text lies in a chain of pages, each of which begins with the number of the next.
    let page = place(&file, "the middle") / PAGE * PAGE;
    file[page..page + 4].fill(0xFF);
    fs::write(world.database(), file).expect("written");
    assert_eq!(run(world.folder(), &["check"]).0, 1);
    receiver.always(Reply::status(200));
    let posts = receiver.posts().len();
    world.start();
    world.advance("30s");
    assert_eq!(receiver.posts().len(), posts + 2);
    let deliveries = coop_deliveries(&world, &webhook);
    assert_eq!((with(&deliveries, "status", "DELIVERED"), with(&deliveries, "error", "damaged")), (2, 1));
}

fn coop_deliveries(world: &World, webhook: &str) -> Vec<Value> {
    world.coop().deliveries(webhook)
}

#[test]
fn a_body_of_an_older_version_has_no_checksum_and_is_sent() {
    let mut world = World::new();
    let receiver = Receiver::new();
    receiver.always(Reply::status(500));
    world.coop().webhook(&receiver.url(), &["*"], "s");
    world.coop().publish("dds.filed", json!({ "n": 1 }));
    world.settle();
    world.stop();
    let file = Connection::open(world.database()).expect("the file");
    assert_eq!(file.execute("UPDATE event SET checksum = NULL", []).expect("set"), 1);
    drop(file);
    receiver.always(Reply::status(200));
    world.start();
    world.advance("30s");
    assert_eq!(receiver.posts().len(), 2);
}
