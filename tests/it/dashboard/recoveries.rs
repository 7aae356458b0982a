//! Recoveries at the dashboard: an account has its own, and cannot end those of the operator.

use serde_json::json;

use crate::support::{
    browser::{Browser, ended, of, operator},
    receiver::{Receiver, Reply},
    world::{COOP, OTHER_COOP, World},
};

/// A cooperative whose webhook is active again after a delivery of it had failed for good.
fn with_a_failure() -> (World, Receiver) {
    let world = World::new();
    let receiver = Receiver::new();
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
    receiver.always(Reply::status(410));
    coop.publish("batch.exported", json!({}));
    world.settle();
    receiver.always(Reply::status(200));
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": "ACTIVE", "resend_failed": false })).expect(200);
    world.settle();
    (world, receiver)
}

/// Starts a run over all failed deliveries. Gives its address.
fn start(browser: &Browser, query: &str) -> String {
    let page = browser.get(&format!("/ui/recover?{query}"));
    let started = browser.submit(&page, "/ui/recover", &[]);
    assert_eq!(started.status, 303, "{} {}", page.text, started.text);
    started.header("location").to_owned()
}

#[test]
fn an_account_replays_its_own_failed_deliveries_and_cancels_its_own_recovery() {
    let (world, receiver) = with_a_failure();
    let browser = of(&world, COOP, "webhooks");
    let run = start(&browser, "state=exhausted");
    assert_eq!(browser.post(&format!("{run}/cancel"), &[]).status, 303);
    let page = browser.get(&run).text;
    assert!(page.contains("cancelled") && page.contains("by you"), "{page}");
    let run = start(&browser, "state=exhausted");
    assert!(ended(&world, &browser, &run).contains("1 replayed, 0 skipped, of 1"));
    world.settle();
    assert_eq!(receiver.posts().len(), 2);
    let foreign = of(&world, OTHER_COOP, "webhooks");
    for path in [run.clone(), format!("/ui/recover?account={COOP}")] {
        assert_eq!(foreign.get(&path).status, 404, "{path}");
    }
    assert_eq!(foreign.post(&format!("{run}/cancel"), &[]).status, 404);
    assert!(foreign.get("/ui/recoveries").text.contains("No recovery yet"));
    let fields = [("account", COOP), ("to", "2026-04-21T00:00:00Z"), ("matched", "1")];
    assert_eq!(foreign.post("/ui/recover", &fields).status, 404);
}

#[test]
fn an_account_sees_the_operator_s_recovery_and_neither_ends_it_nor_learns_whose_token_it_was() {
    let (world, _receiver) = with_a_failure();
    let (own, operator) = (of(&world, COOP, "webhooks"), operator(&world));
    let webhook = world.coop().get("/webhooks").expect(200)[0]["webhook_id"].as_str().expect("an id").to_owned();
    let run = start(&operator, &format!("account={COOP}&webhook={webhook}"));
    let page = own.get(&run).text;
    assert!(page.contains("by somebody else") && !page.contains("tok_"), "{page}");
    assert!(!own.get("/ui/recoveries").text.contains("tok_"));
    assert!(!page.contains(&format!("{run}/cancel")), "it is not offered");
    let refused = own.post(&format!("{run}/cancel"), &[]);
    assert!(
        refused.status == 403 && refused.text.contains("somebody else has started this recovery"),
        "{}",
        refused.text
    );
    assert_eq!(operator.post(&format!("{run}/cancel"), &[]).status, 303);
    assert!(operator.get(&run).text.contains("cancelled"));
}

#[test]
fn an_account_drops_only_its_own_held_deliveries() {
    let (world, receiver) = with_a_failure();
    let coop = world.coop();
    let webhook = coop.get("/webhooks").expect(200)[0]["webhook_id"].as_str().expect("an id").to_owned();
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": "SUSPENDED" })).expect(200);
    coop.publish("batch.exported", json!({}));
    let drop = format!("/ui/webhooks/{webhook}/drop");
    assert_eq!(of(&world, OTHER_COOP, "webhooks").post(&drop, &[]).status, 404);
    assert_eq!(of(&world, COOP, "events").post(&drop, &[]).status, 403);
    assert_eq!(of(&world, COOP, "webhooks").post(&drop, &[]).status, 303);
    assert_eq!(coop.deliveries(&webhook)[0]["status"], "CANCELLED");
    assert_eq!(receiver.posts().len(), 1);
}

#[test]
fn dropped_deliveries_have_one_entry_in_the_audit() {
    let (world, _receiver) = with_a_failure();
    let (coop, operator) = (world.coop(), operator(&world));
    let webhook = coop.get("/webhooks").expect(200)[0]["webhook_id"].as_str().expect("an id").to_owned();
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": "SUSPENDED" })).expect(200);
    let event = json!({ "event": "batch.exported", "cooperative_id": COOP, "data": {} });
    for many in [1000, 500] {
        coop.post("/events/batch", json!({ "events": vec![event.clone(); many] })).expect(202);
    }
    assert_eq!(operator.post(&format!("/ui/webhooks/{webhook}/drop"), &[]).status, 303);
    while coop.get(&format!("/webhooks/{webhook}")).expect(200)["held_deliveries"] != 0 {}
    let audit = operator.get("/ui/audit?action=webhook.held_dropped").text;
    assert!(audit.contains("1500 deliveries") && !audit.contains("500 dropped"), "{audit}");
    let audit = operator.get("/ui/audit?action=webhook.held_cancelled").text;
    assert!(!audit.contains("1500 deliveries") && !audit.contains(&webhook), "it was not held for too long: {audit}");
}
