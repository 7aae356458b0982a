//! Alerts: written when a webhook is suspended or will be, in the same transaction, and sent once.

use std::time::Duration;

use ngoma::{
    domain::{
        alert::{Channel, Kind},
        audit::Actor,
        timestamp::Timestamp,
        token::Visible,
    },
    store::{
        Admission,
        alerts::{self, ChannelState},
    },
};
use serde_json::json;

use crate::support::{
    client::Client,
    database::{self, make_older},
    mailbox::{Mailbox, advance, outbox, told, unsent, world_with},
    program::{Running, ngoma},
    receiver::{Receiver, Reply},
    world::{COOP, START, World},
};

/// The operator's view.
const ALL: Visible = Visible::EVERYTHING;

#[test]
fn a_suspension_is_logged_at_warn_with_addressee_reason_and_the_line_that_resumes() {
    let folder = tempfile::tempdir().expect("a folder");
    database::make(folder.path());
    let mut make = ngoma(
        folder.path(),
        &["account", "create", "--profile", "asilichain", "--id", "COOP-1", "--alert-email", "ops@coop.example"],
    );
    assert!(make.status().expect("it runs").success());
    let token = ["token", "create", "--account", "COOP-1", "--scope", "webhooks,events", "--json"];
    let made = crate::support::program::run(folder.path(), &token).1;
    let made: serde_json::Value = serde_json::from_str(&made).expect("JSON");
    let receiver = Receiver::new();
    receiver.always(Reply::status(410));
    let mut serve = ngoma(folder.path(), &["serve", "--listen", "127.0.0.1:0"]);
    serve
        .env("NGOMA_EGRESS__ALLOW", "[\"127.0.0.0/8\"]")
        .env("NGOMA_EGRESS__ALLOW_HTTP", "true")
        .env("NGOMA_LOG__LEVEL", "info")
        .env("NGOMA_LOG__FORMAT", "json");
    let mut server = Running::start(&mut serve);
    let coop = Client::at(&server.address(), made["token"].as_str().expect("a token"));
    let url = format!("{}/services/T0/hidden?key=hidden", receiver.url());
    let body = json!({ "url": url, "events": ["*"], "cooperative_id": "COOP-1" });
    let webhook = coop.post("/webhooks", body).expect(201)["webhook_id"].as_str().expect("an id").to_owned();
    coop.post("/events", json!({ "event": "dds.filed", "data": {} })).expect(202);
    receiver.wait_for(1);
    // The stop waits for the outcome to be written, and so for the alert.
    server.signal("TERM");
    assert!(server.wait().success());
    let log = server.log();
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect();
    let alert = lines.iter().find(|line| line["level"] == "WARN").unwrap_or_else(|| panic!("an alert: {log}"));
    assert_eq!((&alert["to"], &alert["webhook"]), (&json!("ops@coop.example"), &json!(webhook)));
    assert_eq!(
        (&alert["last_error"], &alert["last_status"], &alert["held"], &alert["failed"]),
        (&json!("status"), &json!(410), &json!(0), &json!(1))
    );
    assert_eq!(alert["url"], format!("{}/servic...", receiver.url()), "a path and a query may hold secrets");
    assert!(!log.contains("hidden"), "{log}");
    let line = alert["resume_by"].as_str().expect("a line");
    assert!(line.contains("PATCH") && line.contains(&webhook) && line.contains("ACTIVE"), "{line}");
    assert!(alert["failing_since"].is_string() && alert["suspended_at"].is_string());
}

#[test]
fn an_alert_is_durable_and_sent_once() {
    let world = World::new();
    let receiver = Receiver::new();
    receiver.always(Reply::status(500));
    let coop = world.coop();
    coop.webhook(&receiver.url(), &["*"], "s");
    coop.publish("dds.filed", json!({}));
    world.settle();
    for wait in ["30s", "5m", "30m", "2h"] {
        advance(&world, wait);
    }
    assert_eq!(outbox::<i64>(&world, "count(*)", "kind = 'suspended'"), 1, "one suspension, one alert");
    assert_eq!(outbox::<i64>(&world, "told_at", "kind = 'suspended' AND channel = 'log'"), world.now().millis());
    assert_eq!(outbox::<i64>(&world, "count(*)", "channel != 'log'"), 0, "by no way that is not set up");
}

#[test]
fn pausing_by_hand_raises_no_alert() {
    let world = World::new();
    let coop = world.coop();
    let webhook = coop.webhook("http://127.0.0.1:1/", &["*"], "s");
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": "SUSPENDED" })).expect(200);
    world.settle();
    let file = rusqlite::Connection::open(world.database()).expect("the file");
    let count: i64 = file.query_row("SELECT count(*) FROM alert", [], |row| row.get(0)).expect("a count");
    assert_eq!(count, 0);
}

/// A webhook of the cooperative that fails every delivery.
fn failing(world: &World) -> (Receiver, Client, String) {
    let receiver = Receiver::new();
    receiver.always(Reply::status(500));
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s");
    (receiver, coop, webhook)
}

fn warnings(world: &World) -> i64 {
    outbox(world, "count(*)", "kind = 'warning' AND channel = 'log'")
}

#[test]
fn half_of_the_tries_used_is_a_warning_at_most_once_a_day_for_a_webhook() {
    let world = World::new();
    let (_receiver, coop, webhook) = failing(&world);
    for _ in 0..3 {
        coop.publish("dds.filed", json!({}));
    }
    advance(&world, "0s");
    advance(&world, "30s");
    assert_eq!(warnings(&world), 0, "two of five");
    advance(&world, "5m");
    assert_eq!(warnings(&world), 1, "three of five, of three deliveries");
    assert_eq!(outbox::<i64>(&world, "alert.tries", "true"), 3);
    assert_eq!(outbox::<i64>(&world, "next_attempt_at", "true"), world.now().millis() + 1_800_000);
    // Pending deliveries are held, and due again with a fresh schedule.
    let again = || {
        for status in ["SUSPENDED", "ACTIVE"] {
            coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": status })).expect(200);
        }
        for wait in ["0s", "30s", "5m"] {
            advance(&world, wait);
        }
    };
    again();
    assert_eq!(warnings(&world), 1, "within a day");
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": "SUSPENDED" })).expect(200);
    advance(&world, "24h");
    again();
    assert_eq!(warnings(&world), 2, "after a day");
}

#[test]
fn with_warnings_turned_off_none_is_sent() {
    let world = World::with(|wish| wish.config.alerts.warn = false);
    let (_receiver, coop, _) = failing(&world);
    coop.publish("dds.filed", json!({}));
    world.settle();
    for wait in ["30s", "5m", "30m"] {
        advance(&world, wait);
    }
    assert_eq!(warnings(&world), 0);
}

/// Publishes a task to the customer's webhooks, and waits for the second try.
fn settle_task(world: &World, customer: &Client, task: &str) {
    let body = json!({ "event": "task.settled", "task_id": task, "consensus_label": "cat", "confidence": 1.0,
                       "bsv_txid": "f00d", "settled_at": "2026-04-08T21:05:00Z" });
    customer.post("/v1/events", body).expect(202);
    world.settle();
    advance(world, "1s");
}

#[test]
fn where_nothing_is_suspended_the_warning_comes_when_a_delivery_is_given_up() {
    let world = World::new();
    let receiver = Receiver::new();
    receiver.always(Reply::status(500));
    let customer = world.customer();
    customer.post("/v1/webhooks", json!({ "callback_url": receiver.url() })).expect(201);
    settle_task(&world, &customer, "tsk_1");
    assert_eq!(warnings(&world), 0, "two of three");
    advance(&world, "4s");
    assert_eq!(warnings(&world), 1);
    assert_eq!(outbox::<Option<i64>>(&world, "next_attempt_at", "true"), None, "it is given up");
    settle_task(&world, &customer, "tsk_2");
    advance(&world, "4s");
    assert_eq!(warnings(&world), 1, "within a day");
}

#[test]
fn a_webhook_that_fails_and_works_in_turn_has_twelve_warnings_an_hour_at_most() {
    let world = World::new();
    let receiver = Receiver::new();
    let customer = world.customer();
    customer.post("/v1/webhooks", json!({ "callback_url": receiver.url() })).expect(201);
    let turn = |number: usize| {
        receiver.always(Reply::status(500));
        settle_task(&world, &customer, &format!("tsk_{number}_fails"));
        advance(&world, "4s");
        receiver.always(Reply::status(200));
        settle_task(&world, &customer, &format!("tsk_{number}_arrives"));
        warnings(&world)
    };
    let seen: Vec<i64> = (1..=15).map(turn).collect();
    assert_eq!(seen, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 12, 12, 12]);
    advance(&world, "1h");
    assert_eq!(turn(16), 13);
}

#[test]
fn a_test_that_fails_warns_nobody() {
    let world = World::new();
    let (_receiver, coop, webhook) = failing(&world);
    let test = coop.send("POST", &format!("/webhooks/{webhook}/test"), &[], None).expect(200);
    let delivery = test["delivery_id"].as_str().expect("an id");
    coop.post(&format!("/webhooks/{webhook}/replay/{delivery}"), json!({})).expect(202);
    world.settle();
    for wait in ["30s", "5m", "30m", "2h"] {
        advance(&world, wait);
    }
    assert_eq!(outbox::<i64>(&world, "count(*)", "true"), 0);
}

#[test]
fn an_unsent_warning_is_dropped_when_the_suspension_comes() {
    let folder = tempfile::tempdir().expect("a folder");
    let mailbox = Mailbox::within(folder.path());
    let world = world_with(&mailbox.url(), |_| {});
    let back = mailbox.go_down();
    let (_receiver, coop, _) = failing(&world);
    coop.publish("dds.filed", json!({}));
    world.settle();
    for wait in ["30s", "5m", "30m"] {
        advance(&world, wait);
    }
    assert_eq!(outbox::<i64>(&world, "count(*)", "kind = 'warning' AND channel = 'mail' AND due_at IS NOT NULL"), 1);
    advance(&world, "2h");
    assert_eq!(
        outbox::<i64>(&world, "dropped_at", "kind = 'warning' AND channel = 'mail'"),
        world.now().millis(),
        "overtaken by what it warned of"
    );
    let mut mailbox = back();
    advance(&world, "1h");
    advance(&world, "1h");
    let mails = mailbox.mails();
    assert_eq!(mails.len(), 1);
    assert!(mails[0].header("Subject").ends_with("is SUSPENDED"), "{mails:?}");
}

#[test]
fn a_warning_says_how_many_tries_are_used_and_what_follows() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut mailbox = Mailbox::within(folder.path());
    let world = world_with(&mailbox.url(), |_| {});
    let (_receiver, coop, webhook) = failing(&world);
    coop.publish("dds.filed", json!({}));
    world.settle();
    for wait in ["30s", "5m"] {
        advance(&world, wait);
    }
    let mail = mailbox.wait_for(1).remove(0);
    assert!(mail.header("Subject").ends_with("is failing"));
    for part in ["3 times of 5", "it is suspended", "next attempt   2026-04-20T12:30:30Z", &webhook, "/test'"] {
        assert!(mail.text().contains(part), "'{part}' is not in: {}", mail.text());
    }
    assert!(!mail.text().contains("PATCH"), "there is nothing to resume: {}", mail.text());
}

#[test]
fn held_deliveries_that_will_be_cancelled_raise_one_alert_in_seven_days() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut mailbox = Mailbox::within(folder.path());
    let world = world_with(&mailbox.url(), |_| {});
    let (_receiver, coop, webhook) = failing(&world);
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": "SUSPENDED" })).expect(200);
    coop.publish("dds.filed", json!({}));
    world.settle();
    let expiring = |day: u64| {
        let lived = Duration::from_secs(day * 86_400);
        world.write(move |tx| alerts::expiring(tx, 1, 1, START, lived)).expect("written")
    };
    assert!(expiring(0));
    assert!(!expiring(6), "it was told already");
    told(&world);
    let mail = mailbox.wait_for(1).remove(0);
    assert!(mail.header("Subject").ends_with("has deliveries that will be cancelled"));
    for part in ["1 delivery is held", "From 2026-04-27T11:55:00Z on", "oldest         2026-04-20T11:55:00Z", "PATCH"] {
        assert!(mail.text().contains(part), "'{part}' is not in: {}", mail.text());
    }
    assert!(expiring(7), "seven days later there are others");
    // Within five minutes of a message they wait for more.
    advance(&world, "5m");
    assert_eq!(mailbox.mails().len(), 2);
}

#[test]
fn alerts_are_listed_newest_first_with_where_each_way_stands() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut mailbox = Mailbox::within(folder.path());
    let world = world_with(&mailbox.url(), |_| {});
    let (_receiver, coop, _) = failing(&world);
    coop.publish("dds.filed", json!({}));
    world.settle();
    for wait in ["30s", "5m", "30m"] {
        advance(&world, wait);
    }
    mailbox.order("say 550 no");
    advance(&world, "2h");
    let list = |cursor, limit| world.block_on(world.db().read(move |view| alerts::list(view, &ALL, cursor, limit)));
    let page = list(None, 1).expect("a page");
    let (alert, ways) = &page[0];
    assert_eq!((page.len(), alert.kind(), alert.account.as_str()), (1, Kind::Suspended, COOP));
    let [log, mail] = [&ways[0], &ways[1]];
    assert_eq!((log.channel.clone(), log.state), (Channel::Log, ChannelState::Delivered(world.now())));
    assert_eq!((mail.channel.clone(), mail.tries), (Channel::Mail, 1));
    assert!(matches!(mail.state, ChannelState::Due(_)));
    assert!(mail.last_error.as_ref().is_some_and(|error| error.contains("550")), "{mail:?}");
    let rest = list(Some(alert.id), 10).expect("a page");
    assert_eq!((rest.len(), rest[0].0.kind()), (1, Kind::Warning));
    assert!(rest[0].1.iter().all(|way| matches!(way.state, ChannelState::Delivered(_))));
    assert_eq!(unsent(&world), 1);
}

#[test]
fn when_the_clock_is_set_back_an_alert_waits_no_longer_for_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let mailbox = Mailbox::within(folder.path());
    let world = world_with(&mailbox.url(), |wish| wish.config.alerts.warn = false);
    let back = mailbox.go_down();
    let (receiver, coop, _) = failing(&world);
    receiver.always(Reply::status(410));
    coop.publish("dds.filed", json!({}));
    told(&world);
    world.clock.step(START - Duration::from_secs(86_400));
    world.write(ngoma::store::probe).expect("it notices");
    told(&world);
    let mut mailbox = back();
    advance(&world, "5s");
    assert_eq!(mailbox.mails().len(), 1);
}

#[test]
fn setting_the_clock_makes_no_warning_older() {
    let world = World::new();
    let (_receiver, coop, webhook) = failing(&world);
    coop.publish("dds.filed", json!({}));
    for by in [0, 2, -2] {
        world.clock.step(Timestamp::from_millis(world.now().millis() + by * 86_400_000));
        world.write(ngoma::store::probe).expect("it notices");
        for status in ["SUSPENDED", "ACTIVE"] {
            coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": status })).expect(200);
        }
        for wait in ["0s", "30s", "5m"] {
            advance(&world, wait);
        }
        assert_eq!(warnings(&world), 1, "within a day, {by} days");
    }
}

#[test]
fn a_warning_that_was_dropped_before_it_was_logged_is_sent_by_no_other_channel() {
    let mut world = World::new();
    let (_receiver, coop, _) = failing(&world);
    coop.publish("dds.filed", json!({}));
    for wait in ["0s", "30s", "5m"] {
        advance(&world, wait);
    }
    let alert = world.block_on(world.db().read(|view| alerts::list(view, &ALL, None, 1))).expect("a list").remove(0).0;
    world.stop();
    let file = rusqlite::Connection::open(world.database()).expect("the file");
    file.execute("UPDATE alert_delivery SET told_at = NULL, dropped_at = 1", []).expect("dropped");
    world.start();
    let which = (alert.key, alert.id);
    let told = world
        .db()
        .write(Actor::Engine, Admission::Try, move |tx| alerts::delivered(tx, which, &Channel::Log, &[Channel::Mail]));
    world.block_on(told).expect("noted");
    assert_eq!(outbox::<i64>(&world, "count(*)", "channel = 'log' AND told_at IS NOT NULL"), 1);
    assert_eq!(outbox::<i64>(&world, "count(*)", "channel = 'mail'"), 0);
}

#[test]
fn the_alerts_of_an_older_database_are_kept_and_unsent_ones_are_sent() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut mailbox = Mailbox::within(folder.path());
    let mut world = world_with(&mailbox.url(), |wish| wish.config.alerts.warn = false);
    let (_receiver, coop, webhook) = failing(&world);
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": "SUSPENDED" })).expect(200);
    coop.publish("dds.filed", json!({}));
    world.stop();
    make_older(
        &world,
        1,
        "INSERT INTO alert (endpoint, kind, created_at, addressee, failing_since, failure, status, held, told_at) VALUES
           (1, 'suspended', 1776600000000, 'a@b', 1776590000000, 'status', 503, 7, 1776600000001),
           (1, 'suspended', 1776686000000, 'a@b', 1776680000000, 'timeout', NULL, 1, NULL)",
    );
    world.start();
    told(&world);
    let list = world.block_on(world.db().read(|view| alerts::list(view, &ALL, None, 10))).expect("a list");
    let moments: Vec<_> = list.iter().map(|(alert, _)| alert.created_at.millis()).collect();
    assert_eq!(moments, [1_776_686_000_000, 1_776_600_000_000]);
    let told_at = |place: usize| list[place].1.iter().map(|way| (way.channel.clone(), way.state)).collect::<Vec<_>>();
    let now = ChannelState::Delivered(world.now());
    assert_eq!(told_at(0), [(Channel::Log, now), (Channel::Mail, now)]);
    assert_eq!(told_at(1), [(Channel::Log, ChannelState::Delivered(Timestamp::from_millis(1_776_600_000_001)))]);
    // An id that sorts by time, as if it had been made then.
    assert!(list[1].0.id.to_string() < list[0].0.id.to_string());
    assert_eq!(&list[1].0.id.to_bytes()[..6], &1_776_600_000_000_u64.to_be_bytes()[2..]);
    let mail = mailbox.mails().remove(0);
    assert!(mail.text().contains("no answer came in time") && mail.text().contains(&webhook), "{}", mail.text());
    let check: String = rusqlite::Connection::open(world.database())
        .and_then(|file| file.query_row("PRAGMA integrity_check", [], |row| row.get(0)))
        .expect("a look");
    assert_eq!(check, "ok");
}
