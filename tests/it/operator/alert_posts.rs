//! Alerts by POST to the operator's own webhook: signed as Standard Webhooks, and tried as long as mails.

use std::{collections::BTreeSet, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ngoma::{
    clock::{Clock, SystemClock},
    config::Secret,
    domain::{
        alert::{Alert, Failing, What},
        alert_message::AlertMessage,
        delivery::Failure,
        endpoint::{EndpointState, SuspendedReason},
        ids::{AlertId, DeliveryId, EndpointId},
        zone::Zone,
    },
};
use serde_json::{Value, json};

use crate::support::{
    mailbox::{advance, outbox, told},
    other_programs::{Verifier, python},
    receiver::{Receiver, Reply},
    world::{COOP, START, Wish, World, defaults},
};

const SECRET: &str = "whsec_x3Bnq0hUu2dW8mJk5rTzYvE7aLsNcQ1pGf4iXo9DRtM=";

fn world_that_posts_to(url: &str, change: impl FnOnce(&mut Wish)) -> World {
    World::with(|wish| {
        wish.config.alerts.webhook_url = Secret::from(url.to_owned());
        wish.config.alerts.webhook_secret = Secret::from(SECRET.to_owned());
        change(wish);
    })
}

/// Suspends a webhook of the cooperative.
fn suspend(world: &World) -> (Receiver, String) {
    let receiver = Receiver::new();
    receiver.always(Reply::status(410));
    let coop = world.coop();
    let webhook = coop.webhook(&format!("{}?key=hidden", receiver.url()), &["dds.filed"], "s");
    coop.publish("dds.filed", json!({}));
    world.settle();
    (receiver, webhook)
}

#[test]
fn an_alert_is_posted_with_everything_needed_to_act() {
    let own = Receiver::new();
    let world = world_that_posts_to(&own.url(), |wish| {
        wish.config.server.public_url = "https://hooks.coop.example/".to_owned();
    });
    let (receiver, webhook) = suspend(&world);
    told(&world);
    let post = own.only();
    assert_eq!(post.header("content-type"), "application/json");
    assert_eq!(post.header("webhook-timestamp"), START.unix_seconds().to_string());
    let body = post.json();
    assert_eq!((&body["type"], &body["timestamp"]), (&json!("webhook.suspended"), &json!("2026-04-20T11:55:00Z")));
    let data = &body["data"];
    assert_eq!(data["alert_id"], post.header("webhook-id"));
    assert_eq!((&data["account"], &data["webhook_id"]), (&json!(COOP), &json!(webhook)));
    assert_eq!((&data["url"], &data["webhook_status"]), (&json!(receiver.url()), &json!("SUSPENDED")));
    assert_eq!((&data["error"], &data["response_status"]), (&json!("status"), &json!(410)));
    assert_eq!((&data["held_deliveries"], &data["failing_since"]), (&json!(0), &json!("2026-04-20T11:55:00Z")));
    let line = format!("'https://hooks.coop.example/webhooks/{webhook}'");
    for (name, word) in [("look", "GET"), ("resume", "PATCH"), ("resume", r#"'{"status":"ACTIVE"}'"#)] {
        let shown = data[name].as_str().expect("a line");
        assert!(shown.contains(&line) && shown.contains(word) && !shown.contains('\n'), "{shown}");
    }
    assert!(!post.text().contains("hidden"), "{}", post.text());
}

#[test]
fn a_post_is_verified_by_the_library_of_standard_webhooks() {
    for secret in [SECRET, "any text will do"] {
        let mut verifier = Verifier::start(python("verify.py"));
        let world = world_that_posts_to(&verifier.url("/alerts"), |wish| {
            wish.config.alerts.webhook_secret = Secret::from(secret.to_owned());
        });
        // The library refuses old timestamps.
        world.clock.set(SystemClock.now());
        let standard = if secret == SECRET { secret.to_owned() } else { BASE64_STANDARD.encode(secret) };
        verifier.serve(&json!({ "path": "/alerts", "secret": secret, "standard": standard }));
        let _suspended = [suspend(&world), suspend(&world)];
        told(&world);
        let seen = verifier.report().remove("/alerts").expect("it was served");
        // The clock goes on by months: there may be one more, about the backups.
        assert!(seen.verified >= 2 && seen.refused == 0 && seen.verified == seen.events, "{:?}", seen.complaint);
    }
}

#[test]
fn a_post_that_fails_is_tried_on_the_schedule_of_mails_under_the_same_id() {
    let own = Receiver::new();
    own.always(Reply::status(500));
    let world = world_that_posts_to(&own.url(), |_| {});
    let _suspended = suspend(&world);
    told(&world);
    for (count, wait) in ["5s", "15s", "1m", "10m", "1h", "1h"].into_iter().enumerate() {
        assert_eq!(own.posts().len(), count + 1);
        advance(&world, wait);
    }
    let error: String = outbox(&world, "last_error", "channel = 'webhook'");
    assert_eq!(error, "alerts.webhook_url: the receiver has an error of its own (500): {\"received\":true}");
    own.always(Reply::status(204));
    advance(&world, "1h");
    advance(&world, "1h");
    let posts = own.posts();
    assert_eq!(posts.len(), 8, "and no more once it was taken");
    assert!(posts.iter().all(|post| post.header("webhook-id") == posts[0].header("webhook-id")));
    assert_ne!(posts[7].header("webhook-timestamp"), posts[0].header("webhook-timestamp"));
}

#[test]
fn a_warning_that_could_not_be_posted_is_dropped_when_the_suspension_comes() {
    let own = Receiver::new();
    own.always(Reply::status(500));
    let world = world_that_posts_to(&own.url(), |_| {});
    let receiver = Receiver::new();
    receiver.always(Reply::status(500));
    let coop = world.coop();
    coop.webhook(&receiver.url(), &["*"], "s");
    coop.publish("dds.filed", json!({}));
    for wait in ["0s", "30s", "5m", "30m"] {
        advance(&world, wait);
    }
    assert_eq!(outbox::<i64>(&world, "due_at IS NOT NULL", "kind = 'warning' AND channel = 'webhook'"), 1);
    advance(&world, "2h");
    assert_eq!(outbox::<i64>(&world, "dropped_at", "kind = 'warning' AND channel = 'webhook'"), world.now().millis());
    own.always(Reply::status(200));
    advance(&world, "1h");
    assert_eq!(own.last().json()["type"], "webhook.suspended");
}

#[test]
fn an_alert_webhook_that_answers_410_gets_no_further_post() {
    let own = Receiver::new();
    own.always(Reply::status(410));
    let world = world_that_posts_to(&own.url(), |_| {});
    let _suspended = suspend(&world);
    told(&world);
    advance(&world, "2h");
    own.only();
    assert_eq!(outbox::<i64>(&world, "dropped_at", "channel = 'webhook'"), START.millis());
}

#[test]
fn a_webhook_for_alerts_that_hangs_keeps_nothing_else_waiting() {
    let own = Receiver::new();
    own.always(Reply::Hang);
    let world = world_that_posts_to(&own.url(), |_| {});
    let _suspended = suspend(&world);
    own.wait_for(1);
    let receiver = Receiver::new();
    let coop = world.coop();
    coop.webhook(&receiver.url(), &["loan.*"], "s");
    coop.publish("loan.repaid", json!({}));
    world.settle();
    receiver.only();
    assert_eq!(outbox::<i64>(&world, "count(*)", "channel = 'log' AND told_at IS NOT NULL"), 1);
}

#[test]
fn a_stop_drops_a_post_that_hangs_and_it_comes_again_after_the_start_under_the_same_id() {
    let own = Receiver::new();
    own.always(Reply::Hang);
    let mut world = world_that_posts_to(&own.url(), |wish| wish.config.delivery.timeout = Duration::from_secs(60));
    let _suspended = suspend(&world);
    own.wait_for(1);
    world.stop();
    let error: String = outbox(&world, "coalesce(last_error, 'nothing')", "channel = 'webhook'");
    assert_eq!(error, "the server was stopped before an answer came");
    own.always(Reply::status(200)).hang_up();
    world.start();
    told(&world);
    let posts = own.posts();
    assert_eq!(posts.len(), 2);
    assert_eq!(posts[0].header("webhook-id"), posts[1].header("webhook-id"));
}

#[test]
fn a_post_that_is_answered_soon_after_a_stop_was_asked_for_is_not_sent_again() {
    let own = Receiver::new();
    own.always(Reply::Gate(200));
    let mut world = world_that_posts_to(&own.url(), |_| {});
    let _suspended = suspend(&world);
    own.wait_for(1);
    world.ask_to_stop();
    own.open_gate();
    world.stop();
    world.start();
    told(&world);
    own.only();
}

#[test]
fn a_post_of_each_kind_is_as_the_contract_describes_it() {
    let contract: Value = serde_json::from_str(&ngoma::api::contract().expect("it is made")).expect("JSON");
    let schema = |name: &str| contract["components"]["schemas"][name].clone();
    let body = &contract["webhooks"]["alert"]["post"]["requestBody"]["content"]["application/json"]["schema"];
    assert_eq!(body["$ref"], "#/components/schemas/AlertPost");
    let described = schema("AlertPostData");
    let names = |value: &Value| -> BTreeSet<String> {
        value.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect()
    };
    let failing = || Failing {
        delivery: Some(DeliveryId::mint(START)),
        since: START,
        failure: Failure::Status,
        status: Some(503),
        reason: Some("its words".to_owned()),
    };
    let kinds = [
        What::Suspended(failing(), Some(SuspendedReason::Exhausted)),
        What::Warning { failing: failing(), tries: 3, next_attempt_at: Some(START) },
        What::Expiring { held: 7, oldest: START },
        What::Recovered(START),
    ];
    let (config, mut said) = (defaults(), BTreeSet::new());
    let profiles = ngoma::api::profiles(&config);
    let profile = profiles.get("asilichain").expect("a profile");
    for what in kinds {
        let alert = Alert {
            key: 1,
            id: AlertId::mint(START),
            what,
            created_at: START,
            account: COOP.to_owned(),
            addressee: None,
            endpoint: EndpointId::mint(START),
            profile: "asilichain".to_owned(),
            url: "https://example.com/hook".to_owned(),
            state: EndpointState::Suspended,
            held: 7,
            failed: 1,
        };
        let post =
            AlertMessage { alert: &alert, profile, base: "https://hooks.coop.example", zone: &Zone::default() }.json();
        let post: Value = serde_json::from_str(&post).expect("JSON");
        let is_word = schema("AlertPostType")["enum"].as_array().expect("an enumeration").contains(&post["type"]);
        assert!(is_word, "{}", post["type"]);
        assert_eq!(names(&post), names(&schema("AlertPost")["properties"]));
        let members = names(&post["data"]);
        for required in described["required"].as_array().expect("a list") {
            assert!(members.contains(required.as_str().expect("a name")), "{required}: {post}");
        }
        said.extend(members);
    }
    assert_eq!(said, names(&described["properties"]), "the kinds together say all of it, and no more");
}
