//! Retention's notices before it removes held deliveries, and the rows that it forgets without one.

use std::time::Duration;

use serde_json::json;

use crate::support::{
    aging::{age, pass},
    client::Client,
    database::query,
    mailbox::{Mailbox, told, world_with},
    program::run,
    receiver::{Receiver, Reply},
    world::{COOP, World},
};

const DAY: Duration = Duration::from_secs(86_400);

/// A webhook that was paused, for which something is held; and something newer, for the newest of a table never goes.
fn held(world: &World) -> String {
    let (coop, receiver) = (world.coop(), Receiver::new());
    let webhook = coop.webhook(&receiver.url(), &["batch.exported"], "s");
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": "SUSPENDED" })).expect(200);
    coop.publish("batch.exported", json!({}));
    newest(world);
    webhook
}

fn newest(world: &World) {
    let receiver = Receiver::new();
    world.coop().webhook(&receiver.url(), &["loan.repaid"], "s");
    world.coop().publish("loan.repaid", json!({}));
    world.settle();
    assert_eq!(receiver.posts().len(), 1);
}

fn statuses(coop: &Client, webhook: &str) -> Vec<String> {
    coop.deliveries(webhook).iter().map(|one| one["status"].as_str().expect("one").to_owned()).collect()
}

#[test]
fn held_deliveries_go_a_week_after_their_notice_even_if_the_settings_change() {
    let mut world = World::new();
    pass(&world);
    let webhook = held(&world);
    age(&world, "1h");
    age(&world, "20d");
    world.stop();
    (world.config.retention.delivered, world.config.retention.undelivered) = (DAY, 8 * DAY);
    world.start();
    pass(&world);
    let coop = world.coop();
    let told = || query::<i64>(&world, "SELECT count(*) FROM alert WHERE kind = 'expiring'");
    assert_eq!((statuses(&coop, &webhook), told()), (vec!["HELD".to_owned()], 1));
    age(&world, "1d");
    coop.publish("batch.exported", json!({}));
    newest(&world);
    age(&world, "1h");
    age(&world, "5d 22h");
    assert_eq!(statuses(&coop, &webhook), ["HELD", "HELD"]);
    age(&world, "1h");
    assert_eq!((statuses(&coop, &webhook), told()), (vec!["HELD".to_owned(), "CANCELLED".to_owned()], 2));
    age(&world, "6d 23h");
    assert_eq!(statuses(&coop, &webhook), ["HELD"], "old enough, and it was told of for less than a week");
    age(&world, "1h");
    assert_eq!(statuses(&coop, &webhook), ["CANCELLED"]);
}

#[test]
fn an_account_is_mailed_a_week_before_its_held_deliveries_are_cancelled() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut mailbox = Mailbox::within(folder.path());
    let world = world_with(&mailbox.url(), |wish| {
        wish.config.server.public_url = "https://hooks.coop.example/".to_owned();
    });
    pass(&world);
    let webhook = held(&world);
    age(&world, "1h");
    age(&world, "82d 23h");
    told(&world);
    assert_eq!(mailbox.tries(), 0);
    age(&world, "1h");
    told(&world);
    let mail = mailbox.mails().remove(0);
    assert_eq!(mail.get("to"), &json!(["ops@coop.example"]));
    assert!(mail.header("Subject").ends_with("has deliveries that will be cancelled"));
    for part in [
        "1 delivery is held",
        "From 2026-07-19T12:55:00Z on",
        &format!("'https://hooks.coop.example/webhooks/{webhook}'"),
    ] {
        assert!(mail.text().contains(part), "'{part}' is not in: {}", mail.text());
    }
    assert!(!mail.text().contains("example//") && !mail.text().contains("127.0.0.1/webhooks"), "{}", mail.text());
}

#[test]
fn alerts_tokens_and_recoveries_that_are_over_are_forgotten_in_time() {
    let world = World::new();
    std::fs::write(world.folder().join("config.toml"), "").expect("a config");
    pass(&world);
    let (coop, receiver, operator) = (world.coop(), Receiver::new(), world.operator());
    receiver.always(Reply::status(410));
    coop.webhook(&receiver.url(), &["dds.filed"], "s");
    coop.publish("dds.filed", json!({}));
    told(&world);
    operator.post("/operator/recoveries", json!({ "account_id": COOP })).expect(202);
    while query::<i64>(&world, "SELECT count(*) FROM recovery WHERE state = 'done'") == 0 {
        world.advance("1s");
    }
    let (_, made, _) = run(world.folder(), &["token", "create", "--account", COOP, "--scope", "events", "--json"]);
    let made: serde_json::Value = serde_json::from_str(&made).expect("JSON");
    assert_eq!(run(world.folder(), &["token", "revoke", made["id"].as_str().expect("an id")]).0, 0);
    // The command line has the machine's own clock.
    let conn = rusqlite::Connection::open(world.database()).expect("the file");
    conn.execute("UPDATE token SET revoked_at = ? WHERE revoked_at IS NOT NULL", [world.now().millis()]).expect("set");
    let over = || {
        let sql = "SELECT (SELECT count(*) FROM alert WHERE endpoint > 0) || ' ' || (SELECT count(*) FROM alert_delivery JOIN alert ON key = alert WHERE endpoint > 0) || ' '
                   || (SELECT count(*) FROM recovery WHERE state = 'done') || ' '
                   || (SELECT count(*) FROM token WHERE revoked_at IS NOT NULL)";
        query::<String>(&world, sql)
    };
    age(&world, "1h");
    let tokens = query::<i64>(&world, "SELECT count(*) FROM token WHERE revoked_at IS NULL");
    assert_eq!(over(), "1 1 1 1");
    // The clock alone makes nothing old.
    world.clock.step(world.now() + 365 * DAY);
    world.settle();
    age(&world, "89d");
    assert_eq!(over(), "1 1 1 1");
    world.clock.step(world.now() - 365 * DAY);
    world.settle();
    age(&world, "1d");
    age(&world, "1h");
    assert_eq!(over(), "0 0 0 0");
    assert_eq!(query::<i64>(&world, "SELECT count(*) FROM token WHERE revoked_at IS NULL"), tokens);
}
