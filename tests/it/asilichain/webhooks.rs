//! AsiliChain's webhook management: list, look, change, delete, replay, test, deliveries and their attempts;
//! publishing.

use ngoma::domain::signature::SigningSecret;
use serde_json::{Value, json};

use crate::support::{
    receiver::{Receiver, Reply},
    world::{COOP, World},
};

#[test]
fn the_list_shows_the_cooperative_s_webhooks_in_order() {
    let world = World::new();
    let coop = world.coop();
    assert_eq!(coop.get("/webhooks").expect(200), json!([]));
    let first = coop.webhook("http://127.0.0.1:1/one", &["*"], "s");
    let second = coop.webhook("http://127.0.0.1:1/two", &["dds.*"], "s");
    let listed = coop.get("/webhooks").expect(200);
    let ids: Vec<&Value> = listed.as_array().expect("a list").iter().map(|webhook| &webhook["webhook_id"]).collect();
    assert_eq!(ids, [&json!(first), &json!(second)]);
    assert_eq!(listed[1]["events"], json!(["dds.*"]));
}

#[test]
fn a_webhook_may_have_a_name_and_a_description() {
    let world = World::new();
    let coop = world.coop();
    let plain = coop.webhook("http://127.0.0.1:1/plain", &["*"], "s");
    let plain = coop.get(&format!("/webhooks/{plain}")).expect(200);
    assert!(
        plain.get("name").is_none() && plain.get("description").is_none(),
        "the page's answer is as it was: {plain}"
    );
    let about = json!({ "url": "http://127.0.0.1:1/", "events": ["*"], "cooperative_id": COOP, "secret": "s",
                        "name": " Buyer portal ", "description": "Exports; ask Rose" });
    let made = coop.post("/webhooks", about).expect(201);
    let path = format!("/webhooks/{}", made["webhook_id"].as_str().expect("an id"));
    let both = |seen: &Value| (seen["name"].clone(), seen["description"].clone());
    let named = (json!("Buyer portal"), json!("Exports; ask Rose"));
    for seen in [&made, &coop.get(&path).expect(200), &coop.get("/webhooks").expect(200)[1]] {
        assert_eq!(both(seen), named, "{seen}");
    }
    let any = world.operator().get(&format!("/operator{path}")).expect(200);
    assert_eq!(both(&any), named);
    coop.patch(&path, json!({ "events": ["dds.*"] })).expect(200);
    assert_eq!(both(&coop.patch(&path, json!({ "name": "Portal" })).expect(200)), (json!("Portal"), named.1));
    let none = coop.patch(&path, json!({ "name": "", "description": "" })).expect(200);
    assert!(none.get("name").is_none() && none.get("description").is_none(), "an empty text removes it: {none}");
    for wrong in
        [json!({ "name": "n".repeat(81) }), json!({ "description": "d".repeat(501) }), json!({ "name": "a\nb" })]
    {
        assert_eq!(coop.patch(&path, wrong).code(400), "INVALID_REQUEST");
    }
}

#[test]
fn details_show_the_last_twenty_deliveries_newest_first() {
    let world = World::new();
    let receiver = Receiver::new();
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s");
    let mut events: Vec<Value> =
        (0..25).map(|number| coop.publish("dds.filed", json!({ "number": number }))["event_id"].clone()).collect();
    world.settle();
    let details = coop.get(&format!("/webhooks/{webhook}")).expect(200);
    let recent = details["recent_deliveries"].as_array().expect("a list");
    events.reverse();
    let shown: Vec<Value> = recent.iter().map(|delivery| delivery["event_id"].clone()).collect();
    assert_eq!(shown, events[..20]);
    assert_eq!(details["held_deliveries"], 0);
    assert_eq!((&details["suspended_at"], &details["suspended_reason"]), (&Value::Null, &Value::Null));
    assert_eq!(recent[0]["status"], "DELIVERED");
}

#[test]
fn patch_changes_url_and_events_and_leaves_the_rest() {
    let world = World::new();
    let (old, new) = (Receiver::new(), Receiver::new());
    let coop = world.coop();
    let webhook = coop.webhook(&old.url(), &["dds.filed"], "s3cret");
    let path = format!("/webhooks/{webhook}");
    let before = coop.get("/webhooks").expect(200)[0].clone();
    let changed = coop.patch(&path, json!({ "url": new.url(), "events": ["dds.filed", "loan.*"] })).expect(200);
    assert_eq!(changed["url"], new.url());
    assert_eq!(changed["events"], json!(["dds.filed", "loan.*"]));
    assert_eq!((&changed["status"], &changed["created_at"]), (&before["status"], &before["created_at"]));
    coop.publish("loan.repaid", json!({}));
    world.settle();
    let post = new.only();
    let secret = SigningSecret::parse("s3cret".to_owned()).expect("a secret");
    assert!(secret.verifies_body(&post.body, post.header("x-asilichain-signature")), "the secret is the same");
    assert!(old.posts().is_empty());
    assert_eq!(coop.patch(&path, json!({})).expect(200), changed, "nothing asked, nothing changed");
}

#[test]
fn a_new_url_is_used_for_deliveries_that_wait() {
    let world = World::new();
    let (old, new) = (Receiver::new(), Receiver::new());
    old.always(Reply::status(500));
    let coop = world.coop();
    let webhook = coop.webhook(&old.url(), &["*"], "s");
    coop.publish("dds.filed", json!({}));
    world.settle();
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "url": new.url() })).expect(200);
    world.advance("30s");
    assert_eq!((old.posts().len(), new.posts().len()), (1, 1));
}

#[test]
fn after_a_new_secret_standard_webhooks_carries_both_signatures_for_a_day() {
    let world = World::new();
    let receiver = Receiver::new();
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "old");
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "secret": "new" })).expect(200);
    let [old, new] = ["old", "new"].map(|secret| SigningSecret::parse(secret.to_owned()).expect("a secret"));
    let verified = |secret: &SigningSecret| {
        let post = receiver.last();
        let header = post.header("webhook-signature");
        secret.verifies_standard(post.header("webhook-id"), world.now(), &post.body, header)
    };
    coop.publish("dds.filed", json!({}));
    world.settle();
    assert!(verified(&new) && verified(&old));
    assert_eq!(receiver.last().header("webhook-signature").split(' ').count(), 2);
    assert!(new.verifies_body(&receiver.last().body, receiver.last().header("X-AsiliChain-Signature")), "at once");
    world.advance("24h");
    coop.publish("dds.filed", json!({}));
    world.settle();
    assert!(verified(&new) && !verified(&old), "a day later only the new one");
}

#[test]
fn a_webhook_can_be_paused_and_resumed() {
    let world = World::new();
    let receiver = Receiver::new();
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s");
    let path = format!("/webhooks/{webhook}");
    assert_eq!(coop.patch(&path, json!({ "status": "SUSPENDED" })).expect(200)["status"], "SUSPENDED");
    assert_eq!(coop.get(&path).expect(200)["suspended_reason"], "paused");
    coop.publish("dds.filed", json!({}));
    world.advance("1h");
    assert!(receiver.posts().is_empty());
    coop.patch(&path, json!({ "status": "ACTIVE" })).expect(200);
    world.settle();
    assert_eq!(receiver.posts().len(), 1);
}

#[test]
fn a_deleted_webhook_is_gone_and_its_waiting_deliveries_are_cancelled() {
    let world = World::new();
    let receiver = Receiver::new();
    receiver.always(Reply::status(500));
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s");
    let event = coop.publish("dds.filed", json!({}))["event_id"].as_str().expect("an id").to_owned();
    world.settle();
    let path = format!("/webhooks/{webhook}");
    assert_eq!(coop.delete(&path).expect(204), Value::Null);
    assert_eq!(coop.get(&path).code(404), "WEBHOOK_NOT_FOUND");
    assert_eq!(coop.delete(&path).code(404), "WEBHOOK_NOT_FOUND");
    assert_eq!(coop.patch(&path, json!({ "status": "ACTIVE" })).code(404), "WEBHOOK_NOT_FOUND");
    assert_eq!(coop.get(&format!("{path}/deliveries")).code(404), "WEBHOOK_NOT_FOUND");
    assert_eq!(coop.get("/webhooks").expect(200), json!([]));
    world.advance("3h");
    assert_eq!(receiver.posts().len(), 1);
    assert_eq!(coop.get(&format!("/events/{event}")).expect(200)["deliveries"][0]["status"], "CANCELLED");
}

#[test]
fn sending_a_new_secret_twice_keeps_the_former_one_signing() {
    let world = World::new();
    let receiver = Receiver::new();
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "old");
    for _ in 0..2 {
        coop.patch(&format!("/webhooks/{webhook}"), json!({ "secret": "new" })).expect(200);
    }
    coop.publish("dds.filed", json!({}));
    world.settle();
    let old = ngoma::domain::signature::SigningSecret::parse("old".to_owned()).expect("a secret");
    let post = receiver.only();
    let header = post.header("webhook-signature");
    assert!(old.verifies_standard(post.header("webhook-id"), world.now(), &post.body, header), "{header}");
}

#[test]
fn registering_answers_201_with_the_webhook() {
    let world = World::new();
    let events = json!(["batch.delivered", "batch.exported", "batch.settled", "dds.generated"]);
    let url = "http://127.0.0.1:1/asilichain-webhook";
    let body = json!({ "url": url, "events": events, "cooperative_id": COOP, "secret": "your_webhook_signing_secret" });
    let webhook = world.coop().post("/webhooks", body).expect(201);
    let keys: Vec<&String> = webhook.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["webhook_id", "url", "events", "cooperative_id", "status", "created_at"]);
    assert!(webhook["webhook_id"].as_str().is_some_and(|id| id.starts_with("wh_0")), "{webhook}");
    assert_eq!(webhook["url"], url);
    assert_eq!(webhook["events"], events);
    assert_eq!(webhook["status"], "ACTIVE");
    assert_eq!(webhook["created_at"], "2026-04-20T11:55:00Z");
}

#[test]
fn a_secret_left_out_is_made_and_shown_once() {
    let world = World::new();
    let receiver = Receiver::new();
    let coop = world.coop();
    let body = json!({ "url": receiver.url(), "events": ["*"], "cooperative_id": COOP });
    let webhook = coop.post("/webhooks", body).expect(201);
    let secret = SigningSecret::parse(webhook["secret"].as_str().expect("a secret").to_owned()).expect("usable");
    let path = format!("/webhooks/{}", webhook["webhook_id"].as_str().expect("an id"));
    for path in ["/webhooks", &path] {
        assert!(!coop.get(path).text.contains("secret"), "never shown again");
    }
    coop.publish("dds.filed", json!({}));
    world.settle();
    let post = receiver.only();
    assert!(secret.verifies_body(&post.body, post.header("X-AsiliChain-Signature")));
}
