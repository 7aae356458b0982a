//! The overview: one sentence, what needs a person, and charts that lead on.

use serde_json::json;

use crate::support::{
    browser::{Browser, of, operator},
    client::Client,
    receiver::{Receiver, Reply},
    world::{COOP, CUSTOMER, World},
};

/// The sentence with which the overview begins.
fn verdict(browser: &Browser) -> String {
    let page = browser.get("/ui").text;
    let said = page.split_once("id=\"verdict\"><strong>").and_then(|(_, rest)| rest.split('<').next());
    said.unwrap_or_else(|| panic!("no sentence: {page}")).to_owned()
}

fn exhaust(world: &World) {
    for wait in ["30s", "5m", "30m", "2h", "10s"] {
        world.settle();
        world.advance(wait);
    }
}

/// A customer's webhook whose deliveries have failed, and which stays active.
fn failed(world: &World, receiver: &Receiver) -> Client {
    let customer = world.customer();
    customer.post("/v1/webhooks", json!({ "callback_url": receiver.url(), "secret": "s3cret" })).expect(201);
    receiver.always(Reply::status(410));
    let task = json!({ "event": "task.settled", "task_id": "tsk_1", "consensus_label": "cat", "confidence": 1.0,
                       "bsv_txid": "9f", "settled_at": "2026-04-08T21:05:00Z" });
    customer.post("/v1/events", task).expect(202);
    world.settle();
    world.advance("10s");
    customer
}

#[test]
fn it_begins_with_a_sentence_that_all_is_well() {
    let world = World::new();
    let (receiver, coop, browser) = (Receiver::new(), world.coop(), operator(&world));
    coop.webhook(&receiver.url(), &["*"], "s3cret");
    (0..1234).for_each(|number| drop(coop.publish("batch.exported", json!({ "number": number }))));
    world.settle();
    world.advance("10s");
    assert_eq!(verdict(&browser), "All is well: 1,234 delivered in the last 24 h, nothing waits");
    let page = browser.get("/ui").text;
    assert!(!page.contains("What needs you"));
    receiver.always(Reply::status(503));
    coop.publish("batch.exported", json!({}));
    world.settle();
    world.advance("10s");
    assert_eq!(verdict(&browser), "Nothing needs you yet: 1 webhook fails, and the server tries again");
}

#[test]
fn it_names_what_needs_a_person_the_worst_first_each_with_what_mends_it() {
    let world = World::new();
    let (broken, paused, lost) = (Receiver::new(), Receiver::new(), Receiver::new());
    let (coop, browser) = (world.coop(), operator(&world));
    let paused_id = coop.webhook(&paused.url(), &["loan.repaid"], "s3cret");
    coop.patch(&format!("/webhooks/{paused_id}"), json!({ "status": "SUSPENDED" })).expect(200);
    coop.publish("loan.repaid", json!({}));
    broken.always(Reply::status(500));
    let broken_id = coop.webhook(&broken.url(), &["batch.exported"], "s3cret");
    coop.publish("batch.exported", json!({}));
    exhaust(&world);
    coop.publish("batch.exported", json!({}));
    failed(&world, &lost);
    assert_eq!(verdict(&browser), "2 webhooks and 1 other thing need you");
    let page = browser.get("/ui").text;
    let at = |part: &str| page.find(part).unwrap_or_else(|| panic!("no {part}: {page}"));
    let order = [
        "id=\"verdict\"",
        &format!("/ui/webhooks/{broken_id}/test\""),
        "failed and were not replayed",
        &format!("/ui/webhooks/{paused_id}/resume\""),
        "Deliveries per minute",
    ];
    assert!(order.windows(2).all(|pair| at(pair[0]) < at(pair[1])), "{page}");
    assert!(page.contains("1 failed") && page.contains("1 held"), "how many wait for it");
    assert!(page.contains("href=\"/ui/recover?state=exhausted\""), "and where the failed are replayed");

    broken.always(Reply::status(200));
    let resumed = browser.submit(&browser.get("/ui"), &format!("/ui/webhooks/{broken_id}/resume"), &[]);
    assert!(browser.follow(&resumed).text.contains("Resumed: "));
    world.settle();
    assert_eq!(broken.posts().len(), 5 + 2, "the failed one and the held one");
    world.advance("10s");
    let sees = verdict(&browser);
    assert_eq!(sees, "1 webhook and 1 other thing need you", "what was resent is not missed any more");
}

#[test]
fn a_customer_sees_what_it_missed_and_nothing_of_others() {
    let world = World::new();
    let receiver = Receiver::new();
    failed(&world, &receiver);
    assert_eq!(verdict(&of(&world, CUSTOMER, "webhooks,events")), "1 thing needs you");
    let own = of(&world, COOP, "webhooks,events").get("/ui").text;
    assert!(own.contains("No webhook yet") && !own.contains("need"), "{own}");
}

#[test]
fn the_operator_alone_reads_of_unsent_alerts_the_disk_and_an_old_backup() {
    let world = World::with(|wish| {
        wish.config.alerts.smtp_url = "smtp://127.0.0.1:1".to_owned().into();
        wish.config.watch.low_space_bytes = u64::MAX;
    });
    let (receiver, coop, browser) = (Receiver::new(), world.coop(), operator(&world));
    let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
    receiver.always(Reply::status(410));
    coop.publish("batch.exported", json!({}));
    world.settle();
    crate::support::held_request::until("the mail could not be sent", || {
        let alerts = world.operator().get("/operator/alerts").expect(200);
        let ways = alerts["alerts"][0]["ways"].as_array().cloned().unwrap_or_default();
        ways.iter().any(|way| way["channel"] == "mail" && !way["last_error"].is_null())
    });
    world.advance("5s");
    let page = browser.get("/ui").text;
    assert!(page.contains("1 alert is not sent yet") && page.contains("are left on the disk"), "{page}");
    assert!(!page.contains("There is no backup"), "the first week");
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": "ACTIVE", "resend_failed": false })).expect(200);
    world.move_clock(std::time::Duration::from_secs(8 * 86_400));
    let browser = operator(&world);
    let page = browser.get("/ui").text;
    assert!(page.contains("There is no backup in") && page.contains("action=\"/ui/system/backup\""), "{page}");
    let own = of(&world, COOP, "webhooks").get("/ui").text;
    assert!(!own.contains("alert is not sent") && !own.contains("backup") && !own.contains("on the disk"), "{own}");
    let begun = browser.post("/ui/system/backup", &[]);
    while browser.follow(&begun).text.contains("It is being made") {}
    world.move_clock(std::time::Duration::from_secs(6));
    assert!(!browser.get("/ui").text.contains("backup</span>"), "it was made");
    world.move_clock(std::time::Duration::from_secs(7 * 86_400));
    assert!(operator(&world).get("/ui").text.contains("The last backup was made 7 d ago"));
}

#[test]
fn a_chart_has_ticks_hours_words_for_each_bar_and_leads_to_the_deliveries_of_its_time() {
    let world = World::new();
    let (receiver, coop, browser) = (Receiver::new(), world.coop(), operator(&world));
    coop.webhook(&receiver.url(), &["*"], "s3cret");
    (0..12).for_each(|number| drop(coop.publish("batch.exported", json!({ "number": number }))));
    world.settle();
    world.advance("10s");
    let page = browser.get("/ui").text;
    for part in [
        "<title>11:00 to 12:00: 12 delivered, 0 attempts failed</title>",
        "href=\"/ui/deliveries?from=2026-04-20T11%3A00&#38;to=2026-04-20T12%3A00\"",
        "text-anchor=\"end\">20</text>",
        "text-anchor=\"end\">10</text>",
        "text-anchor=\"middle\" data-at=\"2026-04-20T06:00:00Z\">06:00</text>",
        "text-anchor=\"middle\" data-at=\"2026-04-20T11:15:00Z\">11:15</text>",
        "times in <span class=\"zone\">UTC</span>",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(browser.get("/ui/deliveries?from=2026-04-20T11:00&to=2026-04-20T12:00").text.contains(&receiver.url()));
}

#[test]
fn where_all_else_is_well_an_old_backup_is_the_one_thing_that_needs_the_operator() {
    let world = World::new();
    let (receiver, coop) = (Receiver::new(), world.coop());
    coop.webhook(&receiver.url(), &["*"], "s3cret");
    world.move_clock(std::time::Duration::from_secs(8 * 86_400));
    coop.publish("batch.exported", json!({}));
    world.settle();
    world.advance("10s");
    let (browser, own) = (operator(&world), of(&world, COOP, "webhooks"));
    assert_eq!(verdict(&browser), "1 thing needs you");
    assert_eq!(verdict(&own), "All is well: 1 delivered in the last 24 h, nothing waits", "nobody else hears of it");
    let begun = browser.submit(&browser.get("/ui"), "/ui/system/backup", &[]);
    while browser.follow(&begun).text.contains("It is being made") {}
    world.advance("6s");
    assert_eq!(verdict(&browser), "All is well: 1 delivered in the last 24 h, nothing waits");
}
