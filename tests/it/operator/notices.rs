//! Notices: an account's own programs are told, by signed POSTs, that a webhook was suspended, that it has recovered, and
//! that a delivery was given up.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use ngoma::domain::{
    delivery::Failure,
    endpoint::SuspendedReason,
    ids::{AlertId, DeliveryId, EndpointId, EventId},
    notice::{Failed, Kind, Notice},
    signature::SigningSecret,
};
use serde_json::{Value, json};

use crate::support::{
    browser::{Browser, of, operator},
    client::Client,
    database::make,
    held_request::open,
    leaks,
    program::{run, wrong},
    receiver::{Post, Receiver, Reply},
    world::{COOP, CUSTOMER, OTHER_COOP, START, World, defaults},
};

/// Sends an account's notices to this receiver, and gives the secret that signs them.
fn notices_to(world: &World, account: &str, url: &str) -> SigningSecret {
    let browser = operator(world);
    let (page, action) = (browser.get(&format!("/ui/accounts/{account}")), format!("/ui/accounts/{account}/notices"));
    let shown = browser.follow(&browser.submit(&page, &action, &[("notices", url)])).text;
    let secret = shown.split_once("id=\"secret\">").and_then(|(_, rest)| rest.split('<').next());
    let secret = secret.unwrap_or_else(|| panic!("no secret: {shown}")).to_owned();
    leaks::secret(&secret);
    SigningSecret::parse(secret).expect("a secret")
}

fn kinds(posts: &[Post]) -> Vec<String> {
    posts.iter().map(|post| post.json()["type"].as_str().expect("a type").to_owned()).collect()
}

/// A webhook of a cooperative that answers 500, and the place of its notices.
fn failing() -> (World, Client, Receiver, Receiver, SigningSecret, String) {
    let (world, receiver, place) = (World::new(), Receiver::new(), Receiver::new());
    let secret = notices_to(&world, COOP, &place.url());
    receiver.always(Reply::status(500));
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
    (world, coop, receiver, place, secret, webhook)
}

/// Lets the last attempt of what waits fail.
fn exhaust(world: &World) {
    ["30s", "5m", "30m", "2h"].iter().for_each(|wait| world.advance(wait));
}

#[test]
fn a_suspension_and_a_recovery_are_events_for_the_account_signed_with_its_own_secret() {
    let (mut world, coop, receiver, place, secret, webhook) = failing();
    let event = coop.publish("batch.exported", json!({}))["event_id"].clone();
    world.settle();
    exhaust(&world);
    let posts = place.wait_for(2);
    assert_eq!(kinds(&posts), ["delivery.failed", "webhook.suspended"]);
    for post in &posts {
        let (id, header) = (post.header("webhook-id"), post.header("webhook-signature"));
        assert!(secret.verifies_standard(id, world.now(), &post.body, header), "{header}");
        let data = &post.json()["data"];
        assert_eq!((&data["account"], &data["webhook_id"]), (&json!(COOP), &json!(webhook)));
        assert_eq!((&data["event_id"], &data["event"]), (&event, &json!("batch.exported")));
        assert_eq!(
            (&data["attempts"], &data["error"], &data["response_status"]),
            (&json!(5), &json!("status"), &json!(500))
        );
    }
    assert_eq!(posts[1].json()["data"]["suspended_reason"], "exhausted");
    assert_ne!(posts[0].header("webhook-id"), posts[1].header("webhook-id"));
    receiver.always(Reply::status(200));
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": "ACTIVE" })).expect(200);
    world.settle();
    let recovered = place.wait_for(3)[2].json();
    assert_eq!((&recovered["type"], &recovered["data"]["webhook_id"]), (&json!("webhook.recovered"), &json!(webhook)));
    assert_eq!(recovered["data"].get("delivery_id"), None);
    coop.publish("batch.exported", json!({}));
    world.settle();
    world.restart();
    assert_eq!(place.posts().len(), 3, "each once");
}

#[test]
fn a_webhook_of_asg_stays_active_and_each_task_that_is_given_up_is_told() {
    let (world, receiver, place) = (World::new(), Receiver::new(), Receiver::new());
    notices_to(&world, CUSTOMER, &place.url());
    receiver.always(Reply::status(500));
    let customer = world.customer();
    customer.post("/v1/webhooks", json!({ "callback_url": receiver.url() })).expect(201);
    let publish = |number: u32| {
        let task = json!({ "event": "task.settled", "task_id": format!("t{number}"), "consensus_label": "cat",
                           "confidence": 1.0, "bsv_txid": "x", "settled_at": "2026-04-08T21:05:00Z" });
        customer.post("/v1/events", task).expect(202);
        world.settle();
    };
    (0..2).for_each(publish);
    ["1s", "4s"].iter().for_each(|wait| world.advance(wait));
    assert_eq!(kinds(&place.wait_for(2)), ["delivery.failed", "delivery.failed"]);
    receiver.always(Reply::status(200));
    publish(2);
    assert_eq!(kinds(&place.wait_for(3))[2], "webhook.recovered");
}

#[test]
fn a_webhook_gets_sixty_notices_of_failed_deliveries_an_hour_at_most() {
    let (world, receiver, place) = (World::new(), Receiver::new(), Receiver::new());
    notices_to(&world, CUSTOMER, &place.url());
    receiver.always(Reply::status(410));
    let customer = world.customer();
    customer.post("/v1/webhooks", json!({ "callback_url": receiver.url() })).expect(201);
    let fail = |numbers: std::ops::Range<u32>| {
        let tasks: Vec<Value> = numbers
            .map(|number| {
                json!({ "event": "task.settled", "task_id": format!("t{number}"), "consensus_label": "cat",
                                  "confidence": 1.0, "bsv_txid": "x", "settled_at": "2026-04-08T21:05:00Z" })
            })
            .collect();
        customer.post("/v1/events/batch", json!({ "events": tasks })).expect(202);
        world.settle();
    };
    fail(0..70);
    assert_eq!(place.wait_for(60).len(), 60);
    world.advance("1h");
    fail(70..71);
    assert_eq!(place.wait_for(61).len(), 61, "the next hour has its own");
}

#[test]
fn a_notice_is_tried_again_as_alerts_are_and_nobody_else_waits_for_it() {
    let (world, coop, _receiver, place, _, _) = failing();
    let other = Receiver::new();
    notices_to(&world, OTHER_COOP, &other.url());
    place.next([Reply::status(500)]);
    coop.publish("batch.exported", json!({}));
    let theirs = world
        .client(&world.token_for(crate::support::world::Holder::Account(OTHER_COOP.to_owned()), "webhooks,events"));
    let (dead, body) =
        (Receiver::new(), |url: String| json!({ "url": url, "events": ["*"], "cooperative_id": OTHER_COOP }));
    dead.always(Reply::status(410));
    world.settle();
    exhaust(&world);
    assert_eq!(kinds(&place.wait_for(1)), ["delivery.failed"]);
    theirs.post("/webhooks", body(dead.url())).expect(201);
    theirs.post("/events", json!({ "event": "dds.filed", "cooperative_id": OTHER_COOP, "data": {} })).expect(202);
    world.settle();
    assert_eq!(kinds(&other.wait_for(2)), ["delivery.failed", "webhook.suspended"], "meanwhile");
    assert_eq!(place.posts().len(), 1, "the second one waits behind the first");
    world.advance("5s");
    let posts = place.wait_for(3);
    assert_eq!(kinds(&posts), ["delivery.failed", "delivery.failed", "webhook.suspended"]);
    assert_eq!(posts[0].header("webhook-id"), posts[1].header("webhook-id"), "the same notice");
}

#[test]
fn a_stop_drops_a_notice_that_hangs_and_it_comes_again_after_the_start_under_the_same_id() {
    let (mut world, coop, _receiver, place, _, _) = failing();
    place.always(Reply::Hang);
    coop.publish("batch.exported", json!({}));
    world.settle();
    exhaust(&world);
    place.wait_for(1);
    let asked = Instant::now();
    world.stop();
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}: as long as a stop waits for deliveries");
    place.always(Reply::status(200)).hang_up();
    world.start();
    world.advance("5s");
    let posts = place.wait_for(3);
    assert_eq!(kinds(&posts), ["delivery.failed", "delivery.failed", "webhook.suspended"]);
    assert_eq!(posts[0].header("webhook-id"), posts[1].header("webhook-id"), "the same notice");
}

#[test]
fn tests_pauses_and_accounts_without_a_place_have_no_notices() {
    let (mut world, coop, _receiver, place, _, webhook) = failing();
    coop.post(&format!("/webhooks/{webhook}/test"), json!({})).expect(200);
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": "SUSPENDED" })).expect(200);
    let browser = operator(&world);
    let page = browser.get(&format!("/ui/accounts/{COOP}"));
    assert!(page.text.contains(&format!("value=\"{}\"", place.url())), "{}", page.text);
    let none = browser.submit(&page, &format!("/ui/accounts/{COOP}/notices"), &[("notices", "")]);
    assert!(browser.follow(&none).text.contains("No notices are sent"));
    assert_eq!(world.operator().get(&format!("/operator/accounts/{COOP}")).expect(200)["alerts_url"], Value::Null);
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": "ACTIVE" })).expect(200);
    coop.publish("batch.exported", json!({}));
    world.settle();
    exhaust(&world);
    world.restart();
    assert!(place.posts().is_empty(), "{:?}", kinds(&place.posts()));
}

#[test]
fn a_place_that_nothing_may_be_sent_to_is_refused_and_only_the_operator_sets_one() {
    let world = World::new();
    let (action, browser) = (format!("/ui/accounts/{COOP}/notices"), operator(&world));
    for url in ["http://10.0.0.1/", "ftp://r.example/", "http://user@127.0.0.1/"] {
        let refused = browser.post(&action, &[("notices", url)]);
        assert!(
            refused.status == 422 && refused.text.contains("role=\"alert\""),
            "{url}: {} {}",
            refused.status,
            refused.text
        );
    }
    let own: Browser = of(&world, COOP, "webhooks,events");
    assert_eq!(own.post(&action, &[("notices", "http://127.0.0.1:1/")]).status, 403);
    assert_eq!(browser.post("/ui/accounts/NOBODY/notices", &[("notices", "http://127.0.0.1:1/")]).status, 404);
}

#[test]
fn the_api_sets_the_place_and_the_address_and_shows_the_secret_once() {
    let world = World::new();
    let (operator, place) = (world.operator(), Receiver::new());
    let path = format!("/operator/accounts/{COOP}");
    let set = operator.patch(&path, json!({ "alert_email": "desk@coop.example", "alerts_url": place.url() }));
    let set = set.expect(200);
    let secret = set["alerts_secret"].as_str().expect("a secret").to_owned();
    assert!(secret.starts_with("whsec_") && set["alert_email"] == "desk@coop.example");
    let seen = operator.get(&path).expect(200);
    assert_eq!((&seen["alerts_url"], &seen["alerts_secret"]), (&set["alerts_url"], &Value::Null));
    let coop = world.coop();
    let receiver = Receiver::new();
    receiver.always(Reply::status(410));
    coop.webhook(&receiver.url(), &["*"], "s");
    coop.publish("dds.filed", json!({}));
    world.settle();
    place.wait_for(1);
    // A member that is left out stays.
    let set = operator.patch(&path, json!({ "alert_email": "" })).expect(200);
    assert_eq!((&set["alert_email"], &set["alerts_url"]), (&Value::Null, &seen["alerts_url"]));
    assert!(set.get("alerts_secret").is_none());
    assert_eq!(operator.patch(&path, json!({ "alerts_url": "" })).expect(200)["alerts_url"], Value::Null);
    for (body, status, code) in [
        (json!({ "alerts_url": "http://10.0.0.1/" }), 422, "URL_NOT_ALLOWED"),
        (json!({ "alert_email": "nobody" }), 400, "INVALID_REQUEST"),
        (json!({ "mail": "a@b.example" }), 400, "INVALID_REQUEST"),
    ] {
        assert_eq!(operator.patch(&path, body).code(status), code);
    }
    assert_eq!(operator.patch("/operator/accounts/NOBODY", json!({})).code(404), "ACCOUNT_NOT_FOUND");
}

#[test]
fn the_command_line_sets_the_place_and_shows_its_secret_once_and_a_new_key_seals_it_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let ok = |arguments: &[&str]| {
        let (code, out, err) = run(folder.path(), arguments);
        assert_eq!(code, 0, "{arguments:?}: {err}");
        out
    };
    make(folder.path());
    ok(&["account", "create", "--profile", "asg", "--id", "CUST-1"]);
    let set = ["account", "set", "CUST-1", "--alerts-url", "https://cust.example/a/very/long/path"];
    let (_, secret, said) = run(folder.path(), &set);
    leaks::secret(secret.trim_end());
    assert!(secret.starts_with("whsec_") && secret.lines().count() == 1 && said.contains("only now"), "{said}");
    let listed = ok(&["account", "list", "--json"]);
    assert!(listed.contains("https://cust.example/a/very/long...") && !listed.contains("whsec_"), "{listed}");
    assert!(ok(&["key", "rotate"]).contains("every secret is encrypted with a new key"));
    ok(&["check"]);
    assert!(
        wrong(folder.path(), &["account", "set", "CUST-1", "--alerts-url", "https://127.0.0.1/"]).contains("127.0.0.1")
    );
    assert!(ok(&["account", "set", "CUST-1", "--no-alerts-url"]).contains("nowhere"));
    assert!(!ok(&["account", "list", "--json"]).contains("cust.example"));
}

#[test]
fn an_erased_account_has_neither_a_place_nor_notices() {
    let (world, coop, receiver, place, _, _) = failing();
    place.always(Reply::status(500));
    receiver.always(Reply::status(410));
    coop.publish("batch.exported", json!({}));
    world.settle();
    place.wait_for(1);
    operator(&world).post(&format!("/ui/accounts/{COOP}/delete"), &[]);
    let left =
        world.write(|_| Ok(())).and_then(|()| world.db().read_inline(ngoma::store::notices::next)).expect("it reads");
    assert!(left.is_none(), "{left:?}");
    let conn = open(&world);
    let count = "SELECT (SELECT count(*) FROM notice) + (SELECT count(*) FROM account WHERE alerts_url IS NOT NULL)";
    assert_eq!(conn.query_row(count, [], |row| row.get::<_, u32>(0)).expect("a number"), 0);
}

#[test]
fn a_notice_of_each_kind_is_as_the_contract_describes_it() {
    let contract: Value = serde_json::from_str(&ngoma::api::contract().expect("it is made")).expect("JSON");
    let schema = |name: &str| contract["components"]["schemas"][name].clone();
    let names = |value: &Value| -> BTreeSet<String> {
        value.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect()
    };
    let (described, profiles) = (schema("NoticeData"), ngoma::api::profiles(&defaults()));
    let mut said = BTreeSet::new();
    for kind in Kind::ALL {
        let content = &contract["webhooks"][kind.name()]["post"]["requestBody"]["content"];
        assert_eq!(content["application/json"]["schema"]["$ref"], "#/components/schemas/Notice", "{}", kind.name());
        let failed = Failed {
            delivery: DeliveryId::mint(START),
            event: Some(EventId::mint(START)),
            kind: Some("batch.exported".to_owned()),
            failure: Failure::Status,
            status: Some(503),
            attempts: 5,
        };
        let notice = Notice {
            id: AlertId::mint(START),
            kind,
            created_at: START,
            account: COOP.to_owned(),
            profile: "asilichain".to_owned(),
            endpoint: EndpointId::mint(START),
            url: "https://example.com/hook".to_owned(),
            failed: (kind != Kind::Recovered).then_some(failed),
            reason: (kind == Kind::Suspended).then_some(SuspendedReason::Exhausted),
        };
        let post = notice.json(profiles.get("asilichain").expect("a profile"));
        let post: Value = serde_json::from_str(&post).expect("JSON");
        assert!(schema("NoticeType")["enum"].as_array().expect("an enumeration").contains(&post["type"]), "{post}");
        assert_eq!(names(&post), names(&schema("Notice")["properties"]));
        let members = names(&post["data"]);
        for required in described["required"].as_array().expect("a list") {
            assert!(members.contains(required.as_str().expect("a name")), "{required}: {post}");
        }
        said.extend(members);
    }
    assert_eq!(said, names(&described["properties"]), "the three kinds together say all of it, and no more");
}
