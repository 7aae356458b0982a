//! A webhook is looked at, changed, paused, resumed and tested; its deliveries are listed and replayed.

use serde_json::{Value, json};

use crate::{
    asg::tasks::{register, status_of, task},
    support::{
        client::Client,
        receiver::{Receiver, Reply},
        world::{CUSTOMER, Holder, World},
    },
};

/// A customer's webhook, and the path of its routes.
fn with_webhook() -> (World, Receiver, Client, String) {
    let (world, receiver) = (World::new(), Receiver::new());
    let customer = world.customer();
    let made = register(&customer, &receiver.url());
    let path = format!("/v1/webhooks/{}", made["webhook_id"].as_str().expect("an id"));
    (world, receiver, customer, path)
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

#[test]
fn a_webhook_is_shown_with_its_last_deliveries_and_no_secret() {
    let (world, _receiver, customer, path) = with_webhook();
    customer.post("/v1/events", task("tsk_1")).expect(202);
    world.settle();
    let shown = customer.get(&path).expect(200);
    assert_eq!(
        (&shown["active"], &shown["paused_at"], &shown["paused_reason"]),
        (&json!(true), &json!(null), &json!(null))
    );
    assert_eq!((&shown["held_deliveries"], &shown["failed_deliveries"]), (&json!(0), &json!(0)));
    assert_eq!(shown["created_at"], "2026-04-20T11:55:00Z");
    let last = &shown["recent_deliveries"][0];
    assert_eq!(
        (&last["task_id"], &last["status"], &last["test"]),
        (&json!("tsk_1"), &json!("delivered"), &json!(false))
    );
    assert!(shown.get("account").is_none() && !shown.to_string().contains("secret"), "{shown}");
    assert_eq!(customer.get("/v1/webhooks/whk_01KP8ZJX4M6Q2V9T0C3B5D7F8G").sentence(404), "webhook not found");
}

#[test]
fn url_events_secret_and_name_are_changed_and_what_is_left_out_stays() {
    let (world, _receiver, customer, path) = with_webhook();
    let other = Receiver::new();
    let changed = customer.patch(&path, json!({ "callback_url": other.url(), "secret": "another", "name": "Desk" }));
    let changed = changed.expect(200);
    assert_eq!((&changed["callback_url"], &changed["active"]), (&json!(other.url()), &json!(true)));
    assert_eq!((&changed["events"], &changed["name"]), (&json!(["task.settled"]), &json!("Desk")));
    assert!(changed.get("secret").is_none() && changed.get("released_deliveries").is_none(), "{changed}");
    customer.post("/v1/events", task("t")).expect(202);
    world.settle();
    let post = other.only();
    let secret = ngoma::domain::signature::SigningSecret::parse("another".to_owned()).expect("a secret");
    assert!(secret.verifies_body(&post.body, post.header("x-asg-signature")), "the header changes at once");
    assert!(customer.patch(&path, json!({ "events": ["task.lost"] })).sentence(422).contains("task.settled"));
    assert!(customer.patch(&path, json!({ "callback_url": "ftp://r.example/" })).sentence(422).contains("https://"));
    assert_eq!(customer.get("/v1/webhooks").expect(200)[0]["callback_url"], json!(other.url()));
}

#[test]
fn active_false_pauses_and_active_true_resumes() {
    let (world, receiver, customer, path) = with_webhook();
    assert_eq!(customer.patch(&path, json!({ "active": false })).expect(200)["active"], false);
    customer.post("/v1/events", task("t")).expect(202);
    world.advance("1h");
    assert!(receiver.posts().is_empty(), "a paused webhook gets nothing");
    let shown = customer.get(&path).expect(200);
    assert_eq!((&shown["active"], &shown["paused_reason"]), (&json!(false), &json!("paused")));
    assert_eq!((&shown["paused_at"], &shown["held_deliveries"]), (&json!("2026-04-20T11:55:00Z"), &json!(1)));
    assert_eq!(shown["recent_deliveries"][0]["status"], "held");
    let listed = customer.get("/v1/webhooks").expect(200);
    assert_eq!((&listed[0]["active"], listed[0].get("deleted_at")), (&json!(false), None), "paused, not deleted");
    assert_eq!(status_of(&customer, "t"), "pending");
    let held = customer.get(&format!("{path}/deliveries?status=held")).expect(200);
    let replay = format!("{path}/replay/{}", text(&held["deliveries"][0]["delivery_id"]));
    assert!(customer.post(&replay, json!({})).sentence(409).contains("resume"), "a paused webhook takes no replay");
    let resumed = customer.patch(&path, json!({ "active": true })).expect(200);
    assert_eq!((&resumed["active"], &resumed["released_deliveries"]), (&json!(true), &json!(1)));
    world.settle();
    assert_eq!(receiver.posts().len(), 1);
    assert_eq!(status_of(&customer, "t"), "delivered");
}

#[test]
fn resuming_sends_what_failed_again_unless_it_is_told_not_to() {
    for (resend, resent) in [(json!({ "active": true }), 1), (json!({ "active": true, "resend_failed": false }), 0)] {
        let (world, receiver, customer, path) = with_webhook();
        receiver.always(Reply::status(500));
        customer.post("/v1/events", task("t")).expect(202);
        world.settle();
        ["1s", "4s"].iter().for_each(|wait| world.advance(wait));
        assert_eq!(customer.patch(&path, json!({ "active": false })).expect(200)["active"], false);
        receiver.always(Reply::status(200));
        let resumed = customer.patch(&path, resend).expect(200);
        assert_eq!((&resumed["resent_deliveries"], &resumed["released_deliveries"]), (&json!(resent), &json!(0)));
        world.settle();
        assert_eq!(status_of(&customer, "t"), if resent == 1 { "delivered" } else { "webhook_fail" });
    }
}

#[test]
fn a_deleted_webhook_is_not_made_active_again() {
    let (_world, _receiver, customer, path) = with_webhook();
    customer.delete(&path).expect(200);
    assert_eq!(customer.patch(&path, json!({ "active": true })).sentence(404), "webhook not found");
    assert_eq!(customer.get(&path).sentence(404), "webhook not found");
    assert_eq!(customer.post(&format!("{path}/test"), json!({})).sentence(404), "webhook not found");
    assert_eq!(customer.get(&format!("{path}/deliveries")).sentence(404), "webhook not found");
}

#[test]
fn deleted_webhooks_leave_the_list_after_a_day() {
    let (world, _receiver, customer, path) = with_webhook();
    customer.delete(&path).expect(200);
    world.advance("23h 59m");
    let listed = customer.get("/v1/webhooks").expect(200);
    assert_eq!((&listed[0]["active"], &listed[0]["deleted_at"]), (&json!(false), &json!("2026-04-20T11:55:00Z")));
    world.advance("2m");
    assert_eq!(customer.get("/v1/webhooks").expect(200), json!([]));
    assert_eq!(customer.get("/v1/webhooks?all=false").expect(200), json!([]));
    assert_eq!(customer.get("/v1/webhooks?all=true").expect(200), listed);
}

#[test]
fn a_platform_s_answers_name_the_account_and_a_customer_s_do_not() {
    let world = World::new();
    world.account("asg", "CUST-8", None);
    let platform = world.client(&world.token_for(Holder::Platform("asg".to_owned()), "webhooks"));
    for account in [CUSTOMER, "CUST-8"] {
        let body = json!({ "callback_url": "http://127.0.0.1:1/", "account": account });
        assert_eq!(platform.post("/v1/webhooks", body).expect(201)["account"], account);
    }
    let listed = platform.get("/v1/webhooks").expect(200);
    assert_eq!((&listed[0]["account"], &listed[1]["account"]), (&json!(CUSTOMER), &json!("CUST-8")));
    let path = format!("/v1/webhooks/{}", text(&listed[0]["webhook_id"]));
    assert_eq!(platform.get(&path).expect(200)["account"], CUSTOMER);
    assert_eq!(platform.patch(&path, json!({ "name": "Desk" })).expect(200)["account"], CUSTOMER);
    assert_eq!(platform.delete(&path).expect(200)["account"], CUSTOMER);
    let own = world.customer().get("/v1/webhooks").expect(200);
    assert!(own[0].get("account").is_none(), "{own}");
}

#[test]
fn a_test_sends_sample_data_at_once_also_while_paused() {
    let (_world, receiver, customer, path) = with_webhook();
    customer.patch(&path, json!({ "active": false })).expect(200);
    let tested = customer.send("POST", &format!("{path}/test"), &[], None).expect(200);
    assert_eq!((&tested["delivered"], &tested["response_status"]), (&json!(true), &json!(200)), "{tested}");
    let post = receiver.only();
    assert_eq!((post.header("ngoma-test"), &post.json()["event"]), ("true", &json!("task.settled")));
    receiver.always(Reply::status(500));
    let tested = customer.post(&format!("{path}/test"), json!({ "event": "task.settled" })).expect(200);
    assert_eq!((&tested["delivered"], &tested["error"]), (&json!(false), &json!("status")), "{tested}");
    assert!(
        customer.post(&format!("{path}/test"), json!({ "event": "task.lost" })).sentence(422).contains("task.lost")
    );
    let listed = customer.get(&format!("{path}/deliveries")).expect(200);
    assert_eq!((&listed["deliveries"][0]["test"], &listed["deliveries"][0]["task_id"]), (&json!(true), &json!(null)));
}

#[test]
fn deliveries_are_listed_by_status_time_and_task_page_by_page() {
    let (world, receiver, customer, path) = with_webhook();
    receiver.next([Reply::status(500), Reply::status(500), Reply::status(500)]);
    customer.post("/v1/events", task("ill")).expect(202);
    world.settle();
    ["1s", "4s"].iter().for_each(|wait| world.advance(wait));
    world.advance("1m");
    for number in 0..3 {
        customer.post("/v1/events", task(&format!("well-{number}"))).expect(202);
        world.settle();
    }
    let list = |query: &str| {
        let page = customer.get(&format!("{path}/deliveries?{query}")).expect(200);
        let tasks = page["deliveries"].as_array().expect("a list").iter().map(|one| text(&one["task_id"]).to_owned());
        (tasks.collect::<Vec<_>>(), page["next_cursor"].clone())
    };
    assert_eq!(list("").0, ["well-2", "well-1", "well-0", "ill"]);
    assert_eq!(list("status=failed").0, ["ill"]);
    assert_eq!(list("error=status").0, ["ill"]);
    assert_eq!(list("since=2026-04-20T11:56:00Z&status=delivered").0.len(), 3);
    assert_eq!(list("until=2026-04-20T11:56:00Z").0, ["ill"]);
    assert_eq!(list("q=well-1").0, ["well-1"]);
    let (first, cursor) = list("limit=3");
    assert_eq!(first, ["well-2", "well-1", "well-0"]);
    assert_eq!(list(&format!("limit=3&cursor={}", text(&cursor))), (vec!["ill".to_owned()], Value::Null));
    assert!(customer.get(&format!("{path}/deliveries?status=lost")).sentence(400).contains("status"));
}

#[test]
fn a_delivery_is_shown_with_its_answers_and_replayed() {
    let (world, receiver, customer, path) = with_webhook();
    receiver.always(Reply::status(500));
    customer.post("/v1/events", task("t")).expect(202);
    world.settle();
    ["1s", "4s"].iter().for_each(|wait| world.advance(wait));
    let listed = customer.get(&format!("{path}/deliveries")).expect(200);
    let failed = text(&listed["deliveries"][0]["delivery_id"]).to_owned();
    let shown = customer.get(&format!("{path}/deliveries/{failed}")).expect(200);
    assert_eq!((&shown["status"], shown["attempts"].as_array().map(Vec::len)), (&json!("failed"), Some(3)), "{shown}");
    assert!(shown["attempts"][0]["response_body"].is_string(), "{shown}");
    receiver.always(Reply::status(200));
    let replay = customer.post(&format!("{path}/replay/{failed}"), json!({})).expect(202);
    assert_eq!((&replay["replay_of"], &replay["task_id"]), (&json!(failed), &json!("t")));
    world.settle();
    let posts = receiver.posts();
    let (first, last) = (&posts[0], &posts[3]);
    assert_eq!((&first.body, first.header("webhook-id")), (&last.body, last.header("webhook-id")), "the same again");
    let shown = customer.get(&format!("{path}/deliveries/{failed}")).expect(200);
    assert_eq!(
        (&shown["newest_replay"], &shown["newest_replay_status"]),
        (&replay["delivery_id"], &json!("delivered"))
    );
    let missing = format!("{path}/deliveries/dlv_01KP8ZK0A1B2C3D4E5F6G7H8J9");
    assert_eq!(customer.get(&missing).sentence(404), "delivery not found");
}
