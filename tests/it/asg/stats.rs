//! The statistics of a webhook, in the manner of this page.

use serde_json::{Value, json};

use crate::support::{
    receiver::{Receiver, Reply},
    world::World,
};

#[test]
fn a_customer_sees_how_its_webhook_has_fared() {
    let world = World::new();
    let receiver = Receiver::new();
    let customer = world.customer();
    let made = customer.post("/v1/webhooks", json!({ "callback_url": receiver.url() })).expect(201);
    let path = format!("/v1/webhooks/{}/stats", made["webhook_id"].as_str().expect("an id"));
    receiver.next([Reply::status(200), Reply::status(500), Reply::status(500), Reply::status(500)]);
    for number in 0..2 {
        let task = json!({ "event": "task.settled", "task_id": format!("t{number}"), "consensus_label": "cat",
                           "confidence": 1.0, "bsv_txid": "x", "settled_at": "2026-04-08T21:05:00Z" });
        customer.post("/v1/events", task).expect(202);
        world.settle();
    }
    ["1s", "4s"].iter().for_each(|wait| world.advance(wait));
    let stats = customer.get(&path).expect(200);
    assert_eq!(stats["webhook_id"], made["webhook_id"]);
    assert_eq!((&stats["delivered_24h"], &stats["failed_24h"]), (&json!(1), &json!(3)), "{stats}");
    assert_eq!((&stats["success_percent_24h"], &stats["failed_not_replayed"]), (&json!(25.0), &json!(1)));
    assert!(stats["p50_ms_24h"].is_u64() && stats["p95_ms_24h"].is_u64(), "{stats}");
    assert_eq!((&stats["last_error"], &stats["last_error_status"]), (&json!("status"), &json!(500)));
    let missing = customer.get("/v1/webhooks/whk_01HXYZ7A1B2C3D4E5F6G7H8J9K/stats");
    assert_eq!((missing.status, missing.json()), (404, json!({ "error": "webhook not found" })));
    assert_eq!(world.coop().get(&path).json()["error"].as_str().map(str::is_empty), Some(false), "a sentence");
    assert_ne!(stats["last_success_at"], Value::Null);
}
