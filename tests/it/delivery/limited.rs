//! A webhook with a rate limit, and the settings of the sending at every door.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    asg::tasks::SECRET,
    support::{
        browser::of,
        client::Client,
        receiver::{Receiver, Reply},
        world::{COOP, World},
    },
};

fn limited(coop: &Client, url: &str, limit: f64) -> (String, String) {
    let body = json!({ "url": url, "events": ["*"], "cooperative_id": COOP, "secret": "s", "rate_limit": limit });
    let webhook = coop.post("/webhooks", body).expect(201)["webhook_id"].as_str().expect("an id").to_owned();
    let path = format!("/webhooks/{webhook}");
    (webhook, path)
}

#[test]
fn a_limited_webhook_gets_its_deliveries_at_its_pace_and_waiting_costs_no_try() {
    let mut world = World::new();
    let (coop, receiver) = (world.coop(), Receiver::new());
    let (webhook, path) = limited(&coop, &receiver.url(), 0.5);
    (1..=5).for_each(|number| drop(coop.publish("dds.filed", json!({ "number": number }))));
    world.settle();
    assert_eq!(receiver.posts().len(), 1);
    for expected in 2..=3 {
        world.advance("1999ms");
        assert_eq!(receiver.posts().len(), expected - 1, "not before");
        world.advance("1ms");
        assert_eq!(receiver.posts().len(), expected, "one every two seconds");
    }
    let tried = coop.deliveries(&webhook).iter().filter(|one| one["attempt_count"] != 0).count();
    assert_eq!(tried, 3);
    world.restart();
    let coop = world.coop();
    world.settle();
    assert_eq!(receiver.posts().len(), 4, "a start begins anew");
    world.advance("1s");
    assert_eq!(receiver.posts().len(), 4, "at the same pace");
    coop.patch(&path, json!({ "rate_limit": 0 })).expect(200);
    world.settle();
    assert_eq!(receiver.posts().len(), 5, "and without a limit at once");
}

#[test]
fn retries_and_replays_keep_to_the_limit_and_other_webhooks_do_not_wait_for_it() {
    let world = World::new();
    let (coop, receiver, other) = (world.coop(), Receiver::new(), Receiver::new());
    limited(&coop, &receiver.url(), 1.0);
    coop.webhook(&other.url(), &["*"], "s");
    receiver.always(Reply::status(500));
    for number in 1..=20 {
        coop.publish("dds.filed", json!({ "number": number }));
    }
    world.settle();
    assert_eq!((receiver.posts().len(), other.posts().len()), (1, 20));
    for expected in 2..=90 {
        world.move_clock(Duration::from_secs(1));
        world.settle();
        assert!(receiver.posts().len() <= expected, "{} after {} s", receiver.posts().len(), expected - 1);
    }
    assert!(receiver.posts().len() >= 40, "retries go on: {}", receiver.posts().len());
}

#[test]
fn both_settings_are_optional_at_both_apis_and_wrong_values_are_refused_with_what_to_do() {
    let world = World::new();
    let (coop, customer) = (world.coop(), world.customer());
    let plain = coop.webhook("http://127.0.0.1:1/plain", &["*"], "s");
    let plain = coop.get(&format!("/webhooks/{plain}")).expect(200);
    assert!(plain.get("rate_limit").is_none() && plain.get("ordered").is_none(), "as the page shows it: {plain}");
    let body = json!({ "url": "http://127.0.0.1:1/", "events": ["*"], "cooperative_id": COOP, "secret": "s",
                       "rate_limit": 2.5, "ordered": true });
    let made = coop.post("/webhooks", body).expect(201);
    let path = format!("/webhooks/{}", made["webhook_id"].as_str().expect("an id"));
    let both = |seen: &Value| (seen["rate_limit"].as_f64(), seen["ordered"].as_bool());
    let seen_by_operator = world.operator().get(&format!("/operator{path}")).expect(200);
    for seen in [&made, &coop.get(&path).expect(200), &coop.get("/webhooks").expect(200)[1], &seen_by_operator] {
        assert_eq!(both(seen), (Some(2.5), Some(true)), "{seen}");
    }
    coop.patch(&path, json!({ "name": "Portal" })).expect(200);
    assert_eq!(both(&coop.patch(&path, json!({ "rate_limit": 1000 })).expect(200)), (Some(1000.0), Some(true)));
    assert_eq!(both(&coop.patch(&path, json!({ "rate_limit": 0, "ordered": false })).expect(200)), (None, None));
    for wrong in [0.05, 1000.5, -1.0, 1e300, 0.1234] {
        let refused = coop.patch(&path, json!({ "rate_limit": wrong }));
        assert_eq!(refused.code(400), "INVALID_REQUEST");
        assert!(refused.text.contains("rate_limit"), "{}", refused.text);
    }
    let body = json!({ "callback_url": "http://127.0.0.1:1/", "secret": SECRET, "rate_limit": 0.1, "ordered": true });
    assert_eq!(both(&customer.post("/v1/webhooks", body).expect(201)), (Some(0.1), Some(true)));
    let body = json!({ "callback_url": "http://127.0.0.1:1/", "secret": SECRET, "rate_limit": 1001 });
    assert!(customer.post("/v1/webhooks", body).sentence(400).contains("from 0.1 to 1000"));
    let notes = world.operator().get("/operator/audit?limit=100").expect(200).to_string();
    for note in ["rate_limit 1000", "rate_limit none", "ordered false"] {
        assert!(notes.contains(note), "{note}: {notes}");
    }
}

#[test]
fn people_set_both_at_the_dashboard_and_see_them() {
    let world = World::new();
    let (receiver, coop) = (Receiver::new(), world.coop());
    let browser = of(&world, COOP, "webhooks");
    let url = receiver.url();
    let fields = [("url", url.as_str()), ("every", "yes"), ("secret", "s"), ("rate_limit", "0.5"), ("ordered", "yes")];
    let made = browser.submit(&browser.get("/ui/webhooks/new"), "/ui/webhooks/new", &fields);
    assert_eq!(made.status, 303, "{}", made.text);
    let seen = coop.get("/webhooks").expect(200)[0].clone();
    assert_eq!((seen["rate_limit"].as_f64(), &seen["ordered"]), (Some(0.5), &json!(true)));
    let path = format!("/ui/webhooks/{}", seen["webhook_id"].as_str().expect("an id"));
    let page = browser.get(&path).text;
    assert!(page.contains("one at a time, in the order of acceptance; at most 0.5 a second"), "{page}");
    assert!(
        page.contains("name=\"rate_limit\" value=\"0.5\"") && page.contains("name=\"ordered\" value=\"yes\" checked")
    );
    let change = format!("{path}/change");
    for wrong in ["many", "0.01"] {
        let refused = browser.post(&change, &[("url", &url), ("every", "yes"), ("rate_limit", wrong)]);
        assert!(refused.status == 400 && refused.text.contains(&format!("value=\"{wrong}\"")), "what was typed stays");
    }
    assert_eq!(browser.post(&change, &[("url", &url), ("every", "yes"), ("rate_limit", "")]).status, 303);
    assert!(browser.get(&path).text.contains("<dt>Sending</dt><dd>several at the same time</dd>"));
}
