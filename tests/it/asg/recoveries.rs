//! Recoveries in the manner of ASG's page: its paths, its lower-case words, its errors of one sentence.

use serde_json::{Value, json};

use crate::{
    asg::tasks::{register, status_of, task},
    support::{
        receiver::{Receiver, Reply},
        world::{Holder, World},
    },
};

const SINCE: &str = "2026-04-20T00:00:00Z";

#[test]
fn a_customer_lets_its_webhook_have_again_what_failed() {
    let (world, receiver) = (World::new(), Receiver::new());
    let customer = world.customer();
    let webhook = register(&customer, &receiver.url())["webhook_id"].as_str().expect("an id").to_owned();
    receiver.always(Reply::status(410));
    customer.post("/v1/events", task("t1")).expect(202);
    world.settle();
    assert_eq!(status_of(&customer, "t1"), "webhook_fail");
    receiver.always(Reply::status(200));
    customer.post("/v1/events", task("t2")).expect(202);
    world.settle();
    let path = format!("/v1/webhooks/{webhook}/recover");
    let matched = |status: &str| {
        let body = json!({ "since": SINCE, "status": status, "dry_run": true });
        customer.post(&path, body).expect(200)["matched"].clone()
    };
    assert_eq!(["failed", "delivered", "cancelled", "any"].map(matched), [1, 1, 0, 2].map(Value::from));
    let started =
        customer.post(&path, json!({ "since": SINCE, "event": "task.settled", "error": "status" })).expect(202);
    assert_eq!((&started["state"], &started["status"]), (&json!("running"), &json!("failed")));
    let one = format!("/v1/recoveries/{}", started["recovery_id"].as_str().expect("an id"));
    let mut seen = started;
    while seen["state"] != "done" || seen["waiting"] != 0 {
        world.advance("1s");
        seen = customer.get(&one).expect(200);
    }
    assert_eq!((&seen["replayed"], &seen["delivered"], &seen["failed"]), (&json!(1), &json!(1), &json!(0)));
    assert_eq!(customer.get("/v1/recoveries").expect(200)["recoveries"], json!([seen]));
    assert_eq!(customer.post(&format!("{one}/cancel"), json!({})).expect(200), seen, "an ended one stays as it is");
    let record = customer.get("/v1/tasks/t1").expect(200);
    assert_eq!((&record["webhook_status"], &record["webhook_fail"]), (&json!("delivered"), &json!(false)));
    let [failed, replay] = &record["deliveries"].as_array().expect("a list")[..] else { panic!("{record}") };
    assert_eq!((&failed["status"], &failed["newest_replay_status"]), (&json!("failed"), &json!("delivered")));
    assert_eq!((&failed["newest_replay"], &replay["replay_of"]), (&replay["delivery_id"], &failed["delivery_id"]));
}

#[test]
fn refusals_are_a_sentence() {
    let (world, receiver) = (World::new(), Receiver::new());
    let customer = world.customer();
    let webhook = register(&customer, &receiver.url())["webhook_id"].as_str().expect("an id").to_owned();
    let path = format!("/v1/webhooks/{webhook}/recover");
    for body in [json!({}), json!({ "since": "noon" }), json!({ "since": SINCE, "status": "FAILED" })] {
        customer.post(&path, body).sentence(400);
    }
    world.account("asg", "CUST-8", None);
    let foreign = world.client(&world.token_for(Holder::Account("CUST-8".to_owned()), "webhooks"));
    assert_eq!(foreign.post(&path, json!({ "since": SINCE })).sentence(404), "webhook not found");
    let started = customer.post(&path, json!({ "since": SINCE })).expect(202);
    let one = format!("/v1/recoveries/{}", started["recovery_id"].as_str().expect("an id"));
    assert_eq!(foreign.get(&one).sentence(404), "recovery not found");
    customer.delete(&format!("/v1/webhooks/{webhook}")).expect(200);
    assert_eq!(customer.post(&path, json!({ "since": SINCE })).sentence(404), "webhook not found");
}
