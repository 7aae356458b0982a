//! A receiver that asks for a rest (429 or 503 with `Retry-After`) gets nothing until it is over.

use std::time::Duration;

use ngoma::domain::timestamp::Timestamp;
use serde_json::json;

use crate::support::{
    client::Client,
    receiver::{Receiver, Reply},
    world::World,
};

const BUSY: Reply = Reply::Answer(429, "Retry-After: 30\r\n", Vec::new());
/// In milliseconds.
const HOUR: i64 = 3_600_000;
/// Events that become due during the rest.
const MORE: usize = 10;

/// A webhook whose receiver has answered one event with this, and then takes everything; and ten more events.
fn at_rest(answer: Reply) -> (World, Receiver, String) {
    let (world, receiver) = (World::new(), Receiver::new());
    receiver.next([answer]);
    let webhook = world.coop().webhook(&receiver.url(), &["batch.exported"], "s");
    world.coop().publish("batch.exported", json!({}));
    world.settle();
    publish_more(&world);
    (world, receiver, webhook)
}

fn publish_more(world: &World) {
    (0..MORE).for_each(|_| _ = world.coop().publish("batch.exported", json!({})));
    world.settle();
}

/// Only the first event was sent; the others wait and have cost no try.
#[track_caller]
fn rests(coop: &Client, webhook: &str, receiver: &Receiver) {
    assert_eq!(receiver.posts().len(), 1, "nothing more is sent");
    let deliveries = coop.deliveries(webhook);
    let waiting = deliveries.iter().filter(|one| one["status"] == "PENDING" && one["attempt_count"] == 0);
    assert_eq!(waiting.count(), MORE, "{deliveries:?}");
}

/// All have arrived, the ten in their first attempts.
#[track_caller]
fn all_arrived(coop: &Client, webhook: &str) {
    let deliveries = coop.deliveries(webhook);
    assert!(deliveries.iter().all(|one| one["status"] == "DELIVERED"), "{deliveries:?}");
    let tried_once = deliveries.iter().filter(|one| one["attempt_count"] == 1);
    assert_eq!((deliveries.len(), tried_once.count()), (MORE + 1, MORE));
}

#[test]
fn a_receiver_that_asks_for_a_rest_gets_nothing_meanwhile_then_one_delivery_and_then_more_at_once() {
    let (world, receiver, webhook) = at_rest(BUSY);
    let (coop, other) = (world.coop(), Receiver::new());
    rests(&coop, &webhook, &receiver);
    world.advance("29s");
    rests(&coop, &webhook, &receiver);
    coop.webhook(&other.url(), &["dds.filed"], "s");
    coop.publish("dds.filed", json!({}));
    world.settle();
    assert_eq!(other.posts().len(), 1, "other webhooks do not wait");
    receiver.always(Reply::Gate(200));
    world.move_clock(Duration::from_secs(1));
    receiver.wait_for(2);
    assert_eq!(world.in_flight(), 1, "one shows that it takes deliveries again");
    receiver.open_gate();
    receiver.wait_for(4);
    assert_eq!(world.in_flight(), 2);
    receiver.always(Reply::status(200)).open_gate();
    world.settle();
    all_arrived(&coop, &webhook);
}

#[test]
fn a_rest_goes_on_after_a_restart_of_the_server() {
    let (mut world, receiver, webhook) = at_rest(BUSY);
    world.advance("10s");
    world.restart();
    world.settle();
    rests(&world.coop(), &webhook, &receiver);
    world.advance("19s");
    rests(&world.coop(), &webhook, &receiver);
    world.advance("1s");
    all_arrived(&world.coop(), &webhook);
}

#[test]
fn a_rest_lasts_an_hour_at_most() {
    let (world, receiver, webhook) = at_rest(Reply::Answer(503, "Retry-After: 86400\r\n", Vec::new()));
    world.advance("59m59s");
    rests(&world.coop(), &webhook, &receiver);
    world.advance("1s");
    all_arrived(&world.coop(), &webhook);
}

#[test]
fn a_rest_moves_with_the_clock() {
    for by in [3 * HOUR, -3 * HOUR] {
        let (world, receiver, webhook) = at_rest(BUSY);
        world.clock.step(Timestamp::from_millis(world.now().millis() + by));
        // The engine may claim some before it notices that the clock was set. It gives them back when it polls.
        world.in_flight();
        world.advance("1s");
        world.advance("28s");
        rests(&world.coop(), &webhook, &receiver);
        world.advance("1s");
        all_arrived(&world.coop(), &webhook);
    }
}

#[test]
fn resuming_a_webhook_ends_its_rest() {
    let (world, _receiver, webhook) = at_rest(BUSY);
    let (coop, path) = (world.coop(), format!("/webhooks/{webhook}"));
    coop.patch(&path, json!({ "status": "SUSPENDED" })).expect(200);
    coop.patch(&path, json!({ "status": "ACTIVE" })).expect(200);
    world.settle();
    all_arrived(&coop, &webhook);
}

#[test]
fn another_url_ends_the_rest() {
    let (mut world, receiver, webhook) = at_rest(BUSY);
    let new = Receiver::new();
    world.coop().patch(&format!("/webhooks/{webhook}"), json!({ "url": new.url() })).expect(200);
    world.settle();
    assert_eq!(new.posts().len(), MORE, "the first event waits for its next attempt");
    world.restart();
    publish_more(&world);
    assert_eq!((new.posts().len(), receiver.posts().len()), (2 * MORE, 1), "nor does it begin again with a restart");
}

#[test]
fn an_answer_of_the_former_url_gives_the_new_one_no_rest() {
    let (world, former, new) = (World::new(), Receiver::new(), Receiver::new());
    former.always(Reply::GatedHead(429, "Retry-After: 30\r\n"));
    let coop = world.coop();
    let webhook = coop.webhook(&former.url(), &["batch.exported"], "s");
    coop.publish("batch.exported", json!({}));
    former.wait_for(1);
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "url": new.url() })).expect(200);
    coop.publish("batch.exported", json!({}));
    former.open_gate();
    world.settle();
    assert_eq!(new.posts().len(), 1, "the event that was published since");
}
