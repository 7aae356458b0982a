//! What failed and was replayed: lists show the newest replay, and no counter of failed deliveries holds what a replay has
//! delivered.

use serde_json::{Value, json};

use crate::support::{
    aging::{age, pass},
    browser::{of, operator},
    client::Client,
    database::{make_older, query},
    receiver::{Receiver, Reply},
    world::{COOP, World},
};

/// A webhook of the cooperative that stays active, and its one delivery, which failed for good.
fn failed(world: &World, receiver: &Receiver) -> (Client, String, String) {
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
    receiver.always(Reply::status(410));
    let failed = id(&coop.publish("batch.exported", json!({}))["deliveries"][0]);
    world.settle();
    resume(&coop, &webhook);
    (coop, webhook, failed)
}

fn id(delivery: &Value) -> String {
    delivery["delivery_id"].as_str().expect("an id").to_owned()
}

fn resume(coop: &Client, webhook: &str) {
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": "ACTIVE", "resend_failed": false })).expect(200);
}

fn replay(coop: &Client, webhook: &str, delivery: &str) -> String {
    id(&coop.post(&format!("/webhooks/{webhook}/replay/{delivery}"), json!({})).expect(202))
}

/// The failed deliveries, as the overview and the metrics count them, for all and for the account.
fn counted(world: &World) -> u64 {
    // Overview and metrics are at most ten seconds old.
    world.advance("10s");
    let client = world.operator();
    let overview = client.get("/operator/overview").expect(200)["deliveries"]["failed"].as_u64().expect("a count");
    let metric = client.get("/metrics").text;
    let line = format!("ngoma_deliveries{{state=\"exhausted\"}} {overview}");
    assert!(metric.lines().any(|found| found == line), "{line}: {metric}");
    let tile = format!("state=exhausted\">failed</a></dt><dd>{overview}</dd>");
    for browser in [operator(world), of(world, COOP, "webhooks")] {
        let page = browser.get("/ui").text;
        assert!(page.contains(&tile), "{tile}: {page}");
    }
    overview
}

#[test]
fn a_failed_delivery_counts_until_a_replay_is_delivered_also_if_that_is_later() {
    let mut world = World::new();
    let receiver = Receiver::new();
    let (coop, webhook, failed) = failed(&world, &receiver);
    assert_eq!(counted(&world), 1);
    receiver.always(Reply::status(500));
    replay(&coop, &webhook, &failed);
    world.settle();
    assert_eq!(counted(&world), 1, "the replay waits");
    world.restart();
    assert_eq!(counted(&world), 1);
    receiver.always(Reply::status(200));
    world.advance("30s");
    assert_eq!(counted(&world), 0, "and arrives at its second attempt");
}

#[test]
fn of_a_delivery_and_replays_that_failed_too_one_counts_and_none_when_the_last_arrives() {
    let world = World::new();
    let receiver = Receiver::new();
    let (coop, webhook, failed) = failed(&world, &receiver);
    let again = replay(&coop, &webhook, &failed);
    world.settle();
    resume(&coop, &webhook);
    assert_eq!(counted(&world), 1);
    replay(&coop, &webhook, &failed);
    world.settle();
    resume(&coop, &webhook);
    assert_eq!(counted(&world), 1, "two replays of one");
    receiver.always(Reply::status(200));
    replay(&coop, &webhook, &again);
    world.settle();
    assert_eq!(counted(&world), 0, "the event has arrived");
    receiver.always(Reply::status(410));
    replay(&coop, &webhook, &failed);
    world.settle();
    assert_eq!(counted(&world), 1, "somebody asked for it again, and did not get it");
}

#[test]
fn a_replay_that_is_cancelled_leaves_the_failed_one_in_the_count() {
    let world = World::new();
    let receiver = Receiver::new();
    let (coop, webhook, failed) = failed(&world, &receiver);
    receiver.always(Reply::status(500));
    let again = replay(&coop, &webhook, &failed);
    world.settle();
    world.operator().post(&format!("/operator/deliveries/{again}/cancel"), json!({})).expect(200);
    assert_eq!(counted(&world), 1);
    replay(&coop, &webhook, &failed);
    world.settle();
    coop.delete(&format!("/webhooks/{webhook}")).expect(204);
    assert_eq!(counted(&world), 1, "its webhook was deleted");
}

#[test]
fn retention_takes_a_delivered_replay_before_the_failed_one_which_stays_out_of_the_count() {
    let world = World::new();
    pass(&world);
    let receiver = Receiver::new();
    let (coop, webhook, failed) = failed(&world, &receiver);
    receiver.always(Reply::status(200));
    replay(&coop, &webhook, &failed);
    // The newest row of a table stays.
    coop.publish("dds.filed", json!({}));
    world.settle();
    ["1h", "30d", "1h"].iter().for_each(|time| age(&world, time));
    assert_eq!(query::<i64>(&world, "SELECT count(*) FROM delivery WHERE replay_of IS NOT NULL"), 0);
    let shown = coop.delivery(&webhook, &failed);
    assert_eq!((&shown["status"], &shown["newest_replay"]), (&json!("FAILED"), &Value::Null));
    assert_eq!(counted(&world), 0);
}

#[test]
fn a_failed_test_counts_nowhere() {
    let world = World::new();
    let receiver = Receiver::new();
    receiver.always(Reply::status(500));
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
    let test = id(&coop.post(&format!("/webhooks/{webhook}/test"), json!({})).expect(200));
    // A replay of a test is a test too.
    replay(&coop, &webhook, &test);
    world.settle();
    ["30s", "5m", "30m", "2h", "10s"].iter().for_each(|wait| world.advance(wait));
    assert_eq!(receiver.posts().len(), 6);
    assert_eq!(counted(&world), 0);
    let operator = world.operator();
    let overview = operator.get("/operator/overview").expect(200);
    let slots = ["last_hour", "last_day"].map(|series| overview[series].as_array().expect("slots").clone()).concat();
    assert!(slots.iter().all(|slot| slot["failed"] == 0), "{overview}");
    assert_eq!(overview["webhooks"], json!({ "active": 1, "failing": 0, "suspended": 0 }));
    let report = operator.get(&format!("/operator/webhooks/{webhook}")).expect(200);
    assert_eq!((&report["failed_24h"], &report["failed_deliveries"]), (&json!(0), &json!(0)));
    let metrics = operator.get("/metrics").text;
    let line = "ngoma_attempts_total{profile=\"asilichain\",outcome=\"status\"} 0";
    assert!(metrics.lines().any(|found| found == line), "{metrics}");
    assert!(!of(&world, COOP, "webhooks").get(&format!("/ui/webhooks/{webhook}")).text.contains("<h3>Answers</h3>"));
}

#[test]
fn a_replayed_delivery_shows_its_newest_replay_and_the_state_of_that_one() {
    let world = World::new();
    let receiver = Receiver::new();
    let (coop, webhook, failed) = failed(&world, &receiver);
    let first = replay(&coop, &webhook, &failed);
    world.settle();
    resume(&coop, &webhook);
    receiver.always(Reply::status(500));
    let second = replay(&coop, &webhook, &first);
    world.settle();
    let shown = |status: &str| {
        let operators = world.operator().get("/operator/deliveries").expect(200)["deliveries"].clone();
        let lists = [Value::from(coop.deliveries(&webhook)), operators];
        for list in lists {
            let one = |wanted: &str| {
                let found = list.as_array().expect("a list").iter().find(|one| one["delivery_id"] == wanted);
                let found = found.expect("it is listed");
                (found["newest_replay"].clone(), found["newest_replay_status"].clone())
            };
            let newest = (json!(second), json!(status));
            assert_eq!((one(&failed), one(&first)), (newest.clone(), newest), "a replay of its replay is its own too");
            assert_eq!(one(&second), (Value::Null, Value::Null));
        }
    };
    shown("PENDING");
    let rows = || of(&world, COOP, "webhooks").get("/ui/deliveries").text;
    assert!(rows().contains(&format!("replayed: <a href=\"/ui/deliveries/{second}\">waiting</a>")), "{}", rows());
    receiver.always(Reply::status(200));
    world.advance("30s");
    world.advance("150s");
    shown("DELIVERED");
    let row = rows();
    assert!(row.contains(&format!("replayed: <a href=\"/ui/deliveries/{second}\">delivered</a>")), "{row}");
    assert!(row.contains("<span>2 min ago</span>"), "{row}");
    assert!(!row.contains("replay it"), "nothing is left to replay: {row}");
}

#[test]
fn an_older_database_counts_what_no_replay_has_delivered() {
    let mut world = World::new();
    let receiver = Receiver::new();
    let (coop, webhook, missed) = failed(&world, &receiver);
    let publish = || {
        receiver.always(Reply::status(410));
        let failed = id(&coop.publish("dds.filed", json!({}))["deliveries"][0]);
        world.settle();
        resume(&coop, &webhook);
        failed
    };
    let (delivered, twice, waits) = (publish(), publish(), publish());
    replay(&coop, &webhook, &twice);
    world.settle();
    resume(&coop, &webhook);
    receiver.always(Reply::status(200));
    replay(&coop, &webhook, &delivered);
    world.settle();
    receiver.always(Reply::status(500));
    coop.post(&format!("/webhooks/{webhook}/test"), json!({})).expect(200);
    replay(&coop, &webhook, &waits);
    world.settle();
    let marked = "SELECT group_concat(key) FROM delivery WHERE missed = 1";
    let before: String = query(&world, marked);
    assert_eq!(counted(&world), 3, "one was never replayed, one failed twice, and the replay of one waits");
    world.stop();
    make_older(
        &world,
        13,
        "INSERT INTO retry (id, created_at, actor, state, ended_at, upto, wanted, matched) VALUES (zeroblob(16), 0, 'engine', 'done', 1, 1, 'exhausted', 1);
         INSERT INTO audit (at, actor, action, subject) VALUES (0, 'engine', 'retry.started', 'ret_00000000000000000000000000');",
    );
    world.start();
    assert_eq!(query::<String>(&world, marked), before);
    assert_eq!(counted(&world), 3);
    let run = world.operator().get("/operator/recoveries/rec_00000000000000000000000000").expect(200);
    assert_eq!((&run["state"], &run["status"]), (&json!("DONE"), &json!("FAILED")));
    let noted = world.operator().get("/operator/audit?action=recovery.started").expect(200);
    assert_eq!(noted["entries"][0]["subject"], run["recovery_id"]);
    assert_eq!(world.coop().delivery(&webhook, &missed)["status"], "FAILED");
}

#[test]
fn former_paths_answer_in_their_former_words_for_this_version_and_the_contract_says_so() {
    let world = World::new();
    let receiver = Receiver::new();
    let (_, webhook, failed) = failed(&world, &receiver);
    receiver.always(Reply::status(200));
    let operator = world.operator();
    let body = json!({ "webhook_id": webhook, "created_from": "2026-04-20T00:00:00Z" });
    let started = operator.post("/operator/retries", body).expect(202);
    assert_eq!(started["retry_id"], started["recovery_id"]);
    assert_eq!(started["created_from"], "2026-04-20T00:00:00.000Z");
    let path = format!("/operator/retries/{}", started["retry_id"].as_str().expect("an id"));
    while operator.get(&path).expect(200)["delivered"] != 1 {
        world.advance("1s");
    }
    assert_eq!(operator.get("/operator/retries").expect(200)["retries"][0]["retry_id"], started["retry_id"]);
    assert_eq!(operator.post(&format!("{path}/cancel"), json!({})).expect(200)["state"], "DONE");
    operator.post(&format!("/operator/deliveries/{failed}/retry"), json!({})).expect(202);
    let contract: Value = serde_json::from_str(&ngoma::api::contract().expect("a contract")).expect("JSON");
    for (path, method, deprecated) in [
        ("/operator/retries", "post", true),
        ("/operator/retries", "get", true),
        ("/operator/retries/{retry_id}", "get", true),
        ("/operator/retries/{retry_id}/cancel", "post", true),
        ("/operator/deliveries/{delivery_id}/retry", "post", true),
        ("/operator/recoveries", "post", false),
        ("/operator/deliveries/{delivery_id}/replay", "post", false),
    ] {
        let marked = contract["paths"][path][method]["deprecated"].as_bool().unwrap_or(false);
        assert_eq!(marked, deprecated, "{method} {path}");
    }
}
