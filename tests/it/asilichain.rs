//! The promises of AsiliChain's page and of the contract's table for it.

use serde_json::json;

use crate::{
    receiver::{Receiver, Reply},
    world::{COOP, World},
};

#[test]
fn an_event_reaches_the_webhook_that_asked_for_it() {
    let world = World::new();
    let receiver = Receiver::new();
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["batch.exported"], "s3cret");
    let accepted = coop.publish("batch.exported", json!({"batch_id": "B1"}));
    assert_eq!(accepted["cooperative_id"], COOP);
    world.settle();
    let post = receiver.only();
    assert_eq!(
        post.text(),
        format!(
            r#"{{"webhook_id":"{webhook}","event":"batch.exported","api_version":"2026-04-01","created_at":"2026-04-20T11:55:00Z","data":{{"batch_id":"B1"}}}}"#
        )
    );
}

#[test]
fn a_failed_delivery_is_tried_five_times_on_the_published_schedule() {
    let world = World::new();
    let receiver = Receiver::new();
    receiver.always(Reply::status(500));
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
    coop.publish("batch.exported", json!({}));
    world.settle();
    for (wait, count) in [("30s", 2), ("5m", 3), ("30m", 4), ("2h", 5)] {
        let almost = humantime::parse_duration(wait).expect("a wait") - std::time::Duration::from_millis(1);
        world.move_clock(almost);
        world.settle();
        assert_eq!(receiver.posts().len(), count - 1, "not before {wait} have passed");
        world.advance("1ms");
        assert_eq!(receiver.posts().len(), count, "after {wait}");
    }
    assert_eq!(coop.status(&webhook), "SUSPENDED");
}
