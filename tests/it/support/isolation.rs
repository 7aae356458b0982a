//! A server with few places and a healthy receiver, beside which a story has another receiver misbehave.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    client::Client,
    receiver::Receiver,
    world::{Wish, World},
};

/// The time-out of an attempt here.
pub const TIMEOUT: Duration = Duration::from_secs(1);

/// How soon after it an attempt has ended.
const GRACE: Duration = Duration::from_secs(2);

/// A server with few places, and a healthy receiver beside those that misbehave.
pub struct Isolation {
    pub world: World,
    pub coop: Client,
    healthy: Receiver,
}

/// The record of one attempt: its class (none if it was delivered), the status, and the kept part of the body.
#[derive(Debug)]
pub struct Record {
    pub error: Value,
    pub status: Value,
    pub body: Value,
    pub truncated: Value,
}

impl Isolation {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut Wish)) -> Self {
        let world = World::with(|wish: &mut Wish| {
            wish.config.delivery.timeout = TIMEOUT;
            wish.config.delivery.max_in_flight = 2;
            wish.config.delivery.max_in_flight_per_endpoint = 1;
            change(wish);
        });
        let (coop, healthy) = (world.coop(), Receiver::new());
        coop.webhook(&healthy.url(), &["loan.repaid"], "s");
        Self { world, coop, healthy }
    }

    /// One attempt at this URL. It ends in time, is recorded, and its place is free again.
    #[track_caller]
    pub fn attempt(&self, name: &str, url: &str, data: Value) -> Record {
        let webhook = self.coop.webhook(url, &["dds.filed"], "s");
        let record = self.another(name, &webhook, data);
        self.coop.delete(&format!("/webhooks/{webhook}")).expect(204);
        record
    }

    /// One attempt at a webhook that exists already.
    #[track_caller]
    pub fn another(&self, name: &str, webhook: &str, data: Value) -> Record {
        self.coop.publish("dds.filed", data);
        self.world.settle();
        let record = last_attempt(&self.coop, name, webhook);
        let before = self.healthy.posts().len();
        self.coop.publish("loan.repaid", json!({}));
        self.world.settle();
        assert_eq!(self.healthy.posts().len(), before + 1, "{name}: a healthy neighbour gets its delivery");
        record
    }
}

/// The last attempt of a webhook's newest delivery, ended in time.
#[track_caller]
pub fn last_attempt(coop: &Client, name: &str, webhook: &str) -> Record {
    let newest = coop.deliveries(webhook)[0]["delivery_id"].as_str().expect("an id").to_owned();
    let delivery = coop.delivery(webhook, &newest);
    let attempt = delivery["attempts"].as_array().and_then(|attempts| attempts.last()).expect("an attempt").clone();
    let took = Duration::from_millis(attempt["duration_ms"].as_u64().expect("a duration"));
    assert!(took < TIMEOUT + GRACE, "{name}: took {took:?}");
    assert_eq!(delivery["status"] == "DELIVERED", attempt["error"].is_null(), "{name}: {delivery}");
    Record {
        error: attempt["error"].clone(),
        status: attempt["response_status"].clone(),
        body: attempt["response_body"].clone(),
        truncated: attempt["response_truncated"].clone(),
    }
}
