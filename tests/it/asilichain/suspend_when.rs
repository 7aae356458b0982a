//! `asilichain.suspend_when`: whether one delivery that fails suspends its webhook, or only a receiver that is dead.

use std::time::Duration;

use ngoma::config::SuspendWhen;
use serde_json::{Value, json};

use crate::support::{
    browser::{of, operator},
    client::Client,
    program::run,
    receiver::{Receiver, Reply},
    world::{COOP, World},
};

const WAITS: [&str; 4] = ["30s", "5m", "30m", "2h"];

fn with(suspend_when: SuspendWhen) -> (World, Receiver, Client, String) {
    let world = World::with(|wish| wish.config.asilichain.suspend_when = suspend_when);
    let (receiver, coop) = (Receiver::new(), world.coop());
    let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
    (world, receiver, coop, webhook)
}

/// Publishes an event that the receiver takes.
fn deliver(world: &World, receiver: &Receiver, coop: &Client) {
    receiver.always(Reply::status(200));
    coop.publish("dds.filed", json!({}));
    world.settle();
}

/// Publishes an event that the receiver answers with this status each time, and others in between that it takes.
fn refuse_among_others(world: &World, receiver: &Receiver, coop: &Client, status: u16) -> String {
    receiver.next([Reply::status(status)]);
    let refused = coop.publish("batch.exported", json!({}))["deliveries"][0]["delivery_id"].clone();
    world.settle();
    for wait in WAITS {
        deliver(world, receiver, coop);
        receiver.next([Reply::status(status)]);
        world.advance(wait);
    }
    refused.as_str().expect("an id").to_owned()
}

/// The newest alert about a suspension in the operator's list.
fn alerted(world: &World) -> Value {
    let alerts = world.operator().get("/operator/alerts").expect(200)["alerts"].clone();
    let found = alerts.as_array().expect("a list").iter().find(|alert| alert["kind"] == "SUSPENDED").cloned();
    found.unwrap_or_default()
}

#[test]
fn with_dead_one_event_that_a_receiver_cannot_take_does_not_stop_the_others() {
    for status in [400, 413] {
        let (world, receiver, coop, webhook) = with(SuspendWhen::Dead);
        deliver(&world, &receiver, &coop);
        let refused = refuse_among_others(&world, &receiver, &coop, status);
        let shown = coop.delivery(&webhook, &refused);
        assert_eq!((&shown["status"], &shown["attempt_count"]), (&json!("FAILED"), &json!(5)), "{status}");
        assert_eq!(coop.status(&webhook), "ACTIVE", "{status}");
        assert_eq!(alerted(&world), Value::Null, "a warning at most");
        let before = receiver.posts().len();
        deliver(&world, &receiver, &coop);
        assert_eq!(receiver.posts().len(), before + 1, "the others go on");
    }
}

#[test]
fn with_dead_a_receiver_that_takes_nothing_since_the_first_failure_is_suspended_and_everything_says_why() {
    let (world, receiver, coop, webhook) = with(SuspendWhen::Dead);
    deliver(&world, &receiver, &coop);
    receiver.always(Reply::status(500));
    coop.publish("batch.exported", json!({}));
    world.settle();
    WAITS.iter().for_each(|wait| world.advance(wait));
    let details = coop.get(&format!("/webhooks/{webhook}")).expect(200);
    assert_eq!((&details["status"], &details["suspended_reason"]), (&json!("SUSPENDED"), &json!("dead")));
    assert_eq!(alerted(&world)["suspended_reason"], "dead");
    let why = "nothing else was delivered meanwhile";
    let page = of(&world, COOP, "webhooks").get(&format!("/ui/webhooks/{webhook}")).text;
    assert!(page.contains(why), "{page}");
    assert!(operator(&world).get("/ui/alerts").text.contains(why));
    let audit = world.operator().get("/operator/audit?action=webhook.suspended").expect(200);
    assert_eq!(audit["entries"][0]["note"], "dead");
}

#[test]
fn with_any_as_the_page_says_each_delivery_that_fails_for_good_suspends() {
    let (world, receiver, coop, webhook) = with(SuspendWhen::Any);
    refuse_among_others(&world, &receiver, &coop, 413);
    let details = coop.get(&format!("/webhooks/{webhook}")).expect(200);
    assert_eq!((&details["status"], &details["suspended_reason"]), (&json!("SUSPENDED"), &json!("exhausted")));
    assert_eq!(alerted(&world)["suspended_reason"], "exhausted");
    let page = of(&world, COOP, "webhooks").get(&format!("/ui/webhooks/{webhook}")).text;
    assert!(page.contains("A delivery failed 5 times.") && !page.contains("meanwhile"), "{page}");
}

#[test]
fn with_dead_a_410_suspends_whatever_was_delivered_meanwhile() {
    let (world, receiver, coop, webhook) = with(SuspendWhen::Dead);
    receiver.next([Reply::status(500)]);
    coop.publish("batch.exported", json!({}));
    world.settle();
    deliver(&world, &receiver, &coop);
    receiver.next([Reply::status(410)]);
    world.advance("30s");
    let details = coop.get(&format!("/webhooks/{webhook}")).expect(200);
    assert_eq!((&details["status"], &details["suspended_reason"]), (&json!("SUSPENDED"), &json!("gone")));
    assert_eq!(alerted(&world)["suspended_reason"], "gone");
}

#[test]
fn with_dead_a_success_meanwhile_is_known_after_a_restart_and_whatever_the_clock_says() {
    let (mut world, receiver, coop, webhook) = with(SuspendWhen::Dead);
    receiver.next([Reply::status(500)]);
    coop.publish("batch.exported", json!({}));
    world.settle();
    deliver(&world, &receiver, &coop);
    world.restart();
    // An hour back: by the clock the success comes before the failure.
    world.clock.step(world.now() - Duration::from_secs(3600));
    world.settle();
    receiver.always(Reply::status(500));
    WAITS.iter().for_each(|wait| world.advance(wait));
    let coop = world.coop();
    assert_eq!(coop.deliveries(&webhook)[1]["status"], "FAILED");
    assert_eq!(coop.status(&webhook), "ACTIVE");
}

#[test]
fn after_a_resume_only_the_fresh_schedule_counts() {
    let (world, receiver, coop, webhook) = with(SuspendWhen::Dead);
    receiver.next([Reply::status(500)]);
    coop.publish("batch.exported", json!({}));
    world.settle();
    deliver(&world, &receiver, &coop);
    let path = format!("/webhooks/{webhook}");
    coop.patch(&path, json!({ "status": "SUSPENDED" })).expect(200);
    receiver.always(Reply::status(500));
    coop.patch(&path, json!({ "status": "ACTIVE" })).expect(200);
    world.settle();
    WAITS.iter().for_each(|wait| world.advance(wait));
    assert_eq!(coop.get(&path).expect(200)["suspended_reason"], "dead", "nothing was delivered since the resume");
}

#[test]
fn another_word_stops_the_start_with_the_words_that_there_are() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("config.toml"), "[asilichain]\nsuspend_when = \"never\"\n").expect("a file");
    let (code, _, said) = run(folder.path(), &["check"]);
    assert!(
        code == 1 && said.contains("asilichain.suspend_when") && said.contains("any") && said.contains("dead"),
        "{said}"
    );
}
