//! ASG's webhooks: registered, listed and deleted.

use serde_json::json;

use crate::{
    asg::tasks::{SECRET, register, task},
    support::{
        receiver::{Receiver, Reply},
        world::{Holder, World},
    },
};

#[test]
fn registering_answers_201_with_the_webhook() {
    let world = World::new();
    let body = json!({ "callback_url": "http://127.0.0.1:1/hooks/asg", "secret": SECRET, "events": ["task.settled"] });
    let webhook = world.customer().post("/v1/webhooks", body).expect(201);
    let keys: Vec<&String> = webhook.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["webhook_id", "callback_url", "events", "active"]);
    assert!(webhook["webhook_id"].as_str().is_some_and(|id| id.starts_with("whk_")), "{webhook}");
    assert_eq!(webhook["callback_url"], "http://127.0.0.1:1/hooks/asg");
    assert_eq!(webhook["events"], json!(["task.settled"]));
    assert_eq!(webhook["active"], true);
}

#[test]
fn a_webhook_may_have_a_name_and_a_description() {
    let world = World::new();
    let customer = world.customer();
    let body =
        json!({ "callback_url": "http://127.0.0.1:1/", "secret": SECRET, "name": "Desk", "description": "Labels" });
    let made = customer.post("/v1/webhooks", body).expect(201);
    assert_eq!((&made["name"], &made["description"]), (&json!("Desk"), &json!("Labels")));
    assert_eq!(customer.get("/v1/webhooks").expect(200), json!([made]));
    let body = json!({ "callback_url": "http://127.0.0.1:1/", "secret": SECRET, "name": "n".repeat(81) });
    assert!(customer.post("/v1/webhooks", body).sentence(400).contains("at most 80"));
}

#[test]
fn events_default_to_task_settled() {
    let world = World::new();
    assert_eq!(register(&world.customer(), "http://127.0.0.1:1/")["events"], json!(["task.settled"]));
}

#[test]
fn a_secret_left_out_is_made_and_shown_once() {
    let world = World::new();
    let customer = world.customer();
    let receiver = Receiver::new();
    let webhook = customer.post("/v1/webhooks", json!({ "callback_url": receiver.url() })).expect(201);
    let secret = webhook["secret"].as_str().expect("a secret").to_owned();
    assert!(secret.starts_with("whsec_") && secret.len() == 50, "{secret}");
    let listed = customer.get("/v1/webhooks").expect(200);
    assert!(!listed.to_string().contains("whsec_"), "secrets are not returned: {listed}");
    customer.post("/v1/events", task("t")).expect(202);
    world.settle();
    let secret = ngoma::domain::signature::SigningSecret::parse(secret).expect("a secret");
    let post = receiver.only();
    assert!(secret.verifies_body(&post.body, post.header("x-asg-signature")));
}

#[test]
fn the_list_shows_inactive_webhooks_too_and_no_secret() {
    let world = World::new();
    let customer = world.customer();
    let first = register(&customer, "http://127.0.0.1:1/one");
    let second = register(&customer, "http://127.0.0.1:1/two");
    customer.delete(&format!("/v1/webhooks/{}", first["webhook_id"].as_str().expect("an id"))).expect(200);
    let listed = customer.get("/v1/webhooks").expect(200);
    let mut gone = first;
    gone["active"] = json!(false);
    gone["deleted_at"] = json!("2026-04-20T11:55:00Z");
    assert_eq!(listed, json!([gone, second]));
}

#[test]
fn deleting_is_soft_and_can_be_repeated() {
    let world = World::new();
    let customer = world.customer();
    let receiver = Receiver::new();
    let webhook = register(&customer, &receiver.url());
    let path = format!("/v1/webhooks/{}", webhook["webhook_id"].as_str().expect("an id"));
    for _ in 0..2 {
        let answer = customer.delete(&path).expect(200);
        assert_eq!(answer["webhook_id"], webhook["webhook_id"]);
        assert_eq!(answer["active"], false);
    }
    customer.post("/v1/events", task("t")).expect(202);
    world.settle();
    assert!(receiver.posts().is_empty(), "nothing is delivered to a deleted webhook");
}

#[test]
fn deleting_an_unknown_or_foreign_webhook_is_the_page_s_404() {
    let world = World::new();
    world.account("asg", "CUST-8", None);
    let foreign = world.client(&world.token_for(Holder::Account("CUST-8".to_owned()), "webhooks,events"));
    let theirs = register(&foreign, "http://127.0.0.1:1/");
    let customer = world.customer();
    for id in [theirs["webhook_id"].as_str().expect("an id"), "whk_xxx", "whk_01KP8ZJX4M6Q2V9T0C3B5D7F8G"] {
        assert_eq!(customer.delete(&format!("/v1/webhooks/{id}")).sentence(404), "webhook not found");
    }
}

#[test]
fn deleting_cancels_pending_deliveries() {
    let world = World::new();
    let receiver = Receiver::new();
    receiver.always(Reply::status(500));
    let customer = world.customer();
    let webhook = register(&customer, &receiver.url());
    customer.post("/v1/events", task("t")).expect(202);
    world.settle();
    customer.delete(&format!("/v1/webhooks/{}", webhook["webhook_id"].as_str().expect("an id"))).expect(200);
    world.advance("1h");
    assert_eq!(receiver.posts().len(), 1, "no further attempt");
    let record = customer.get("/v1/tasks/t").expect(200);
    assert_eq!(record["deliveries"][0]["status"], "cancelled");
    assert_eq!(record["webhook_status"], "none");
}
