//! The list of deliveries: what each row says, replaying those that are ticked, and the export.

use ngoma::{
    domain::{
        event::{Audience, NewEvent},
        own_key::OwnKey,
    },
    store::{accounts, events},
};
use serde_json::json;

use crate::support::{
    browser::{Browser, of, operator},
    client::Client,
    receiver::{Receiver, Reply},
    world::{COOP, OTHER_COOP, World},
};

fn ids(coop: &Client, webhook: &str) -> Vec<String> {
    let deliveries = coop.deliveries(webhook);
    deliveries.iter().map(|delivery| delivery["delivery_id"].as_str().expect("an id").to_owned()).collect()
}

/// The row of a delivery in the list.
fn row(browser: &Browser, delivery: &str) -> String {
    let page = browser.get("/ui/deliveries").text;
    let rows = page.split("<tr>").find(|row| row.contains(&format!("href=\"/ui/deliveries/{delivery}\"")));
    rows.unwrap_or_else(|| panic!("{delivery} is not in {page}")).to_owned()
}

#[test]
fn a_row_has_the_time_of_day_a_short_id_the_payload_s_key_and_the_state_of_the_replay() {
    let world = World::new();
    let (receiver, coop, browser) = (Receiver::new(), world.coop(), operator(&world));
    let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
    coop.publish("batch.exported", json!({ "weight_kg": 5, "batch_id": "BATCH-4821", "farmer_id": "UG-1" }));
    world.settle();
    world.advance("1h");
    let delivery = ids(&coop, &webhook).remove(0);
    let seen = row(&browser, &delivery);
    for part in [
        "<span>1 h ago</span> <small>11:55</small>",
        &format!("…{}", &delivery[delivery.len() - 6..]),
        "title=\"batch_id\">BATCH-4821<",
    ] {
        assert!(seen.contains(part), "'{part}': {seen}");
    }
    assert!(!seen.contains("UG-1") && !seen.contains("replayed: "), "{seen}");
    for (reply, state) in [(500, "waiting"), (200, "delivered")] {
        receiver.always(Reply::status(reply));
        coop.post(&format!("/webhooks/{webhook}/replay/{delivery}"), json!({})).expect(202);
        world.settle();
        let seen = row(&browser, &delivery);
        assert!(
            seen.contains("replayed: <a ") && seen.contains(&format!(">{state}</a>")),
            "the newest one counts: {seen}"
        );
    }
}

#[test]
fn the_key_of_a_payload_is_its_first_member_whose_name_ends_in_id() {
    let of = |body: &str| OwnKey::of(body).map(|key| format!("{}={}", key.name, key.value));
    for (body, found) in [
        (r#"{"event":"e","data":{"a":[1,{"b_id":2}],"batch_id":"B","farmer_id":"F"}}"#, Some("batch_id=B")),
        (r#"{"event":"task.settled","task_id":"t","data_id":"d"}"#, Some("task_id=t")),
        (r#"{"data":{"token_id":4821}}"#, Some("token_id=4821")),
        (r#"{"data":{"first_id":null,"second_id":"s"}}"#, Some("second_id=s")),
        (r#"{"data":{"id":"x","identity":"y"}}"#, None),
        (r#"{"data":{}}"#, None),
        ("[]", None),
        ("no JSON", None),
    ] {
        assert_eq!(of(body).as_deref(), found, "{body}");
    }
}

#[test]
fn the_deliveries_that_are_ticked_are_replayed_once() {
    let world = World::new();
    let (receiver, other, coop) = (Receiver::new(), Receiver::new(), world.coop());
    let webhook = coop.webhook(&receiver.url(), &["batch.*"], "s3cret");
    let paused = coop.webhook(&other.url(), &["payout.*"], "s3cret");
    (0..3).for_each(|number| drop(coop.publish("batch.exported", json!({ "number": number }))));
    coop.publish("payout.completed", json!({}));
    world.settle();
    coop.patch(&format!("/webhooks/{paused}"), json!({ "status": "SUSPENDED" })).expect(200);
    let (all, held) = (ids(&coop, &webhook), ids(&coop, &paused).remove(0));
    let browser = of(&world, COOP, "webhooks");
    let list = browser.get("/ui/deliveries?state=delivered");
    for delivery in &all {
        let tick = format!("form=\"chosen\" name=\"delivery\" value=\"{delivery}\"");
        assert!(list.text.contains(&tick), "{tick}: {}", list.text);
    }
    let chosen = [("delivery", all[0].as_str()), ("delivery", all[2].as_str()), ("delivery", held.as_str())];
    let twice = [(); 2].map(|()| browser.submit(&list, "/ui/deliveries/replay", &chosen));
    assert_eq!(twice[0].header("location"), twice[1].header("location"));
    let back = browser.follow(&twice[0]).text;
    assert!(back.contains("Replayed: 2 deliveries are sent again. 1 not:"), "{back}");
    assert!(back.contains("value=\"delivered\" selected"), "the filters stay: {back}");
    world.settle();
    let mut sent: Vec<_> =
        receiver.posts().iter().skip(3).filter_map(|post| post.json()["data"]["number"].as_u64()).collect();
    sent.sort_unstable();
    assert_eq!(sent, [0, 2], "each once");
    assert_eq!(other.posts().len(), 1);
}

#[test]
fn nothing_is_replayed_of_others_nor_without_a_choice() {
    let world = World::new();
    let (receiver, coop) = (Receiver::new(), world.coop());
    let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
    coop.publish("batch.exported", json!({}));
    world.settle();
    let delivery = ids(&coop, &webhook).remove(0);
    let replay = |browser: &Browser, fields: &[(&str, &str)]| browser.post("/ui/deliveries/replay", fields).status;
    assert_eq!(replay(&of(&world, OTHER_COOP, "webhooks"), &[("delivery", &delivery)]), 404);
    assert_eq!(replay(&of(&world, COOP, "events"), &[("delivery", &delivery)]), 403);
    let own = of(&world, COOP, "webhooks");
    assert_eq!(replay(&own, &[]), 400);
    let many: Vec<(&str, &str)> = vec![("delivery", delivery.as_str()); 101];
    assert_eq!(replay(&own, &many), 400);
    assert_eq!(own.get("/ui/deliveries/replay").header("location"), "/ui/deliveries");
    world.settle();
    assert_eq!(receiver.posts().len(), 1);
}

/// The lines of an export.
fn export(browser: &Browser, query: &str) -> Vec<String> {
    let csv = browser.get(&format!("/ui/deliveries.csv?{query}"));
    assert_eq!(csv.status, 200, "{}", csv.text);
    assert!(csv.header("content-type").starts_with("text/csv"));
    assert!(csv.header("content-disposition").contains("attachment; filename=\"deliveries"));
    csv.text.split_terminator("\r\n").map(str::to_owned).collect()
}

#[test]
fn the_export_has_what_matches_the_filters_of_the_list() {
    let world = World::new();
    let (good, bad, coop) = (Receiver::new(), Receiver::new(), world.coop());
    bad.always(Reply::status(503));
    let webhook = coop.webhook(&good.url(), &["batch.*"], "s3cret");
    coop.webhook(&format!("{}?key=hush", bad.url()), &["payout.*"], "s3cret");
    coop.publish("batch.exported", json!({ "batch_id": "B-1" }));
    coop.publish("payout.completed", json!({ "payout_id": "P, \"1\"" }));
    world.settle();
    let browser = operator(&world);
    let head = "delivery_id,event_id,event,key,account,webhook_id,url,state,attempts,last_status,last_error,made_at,\
                next_attempt_at,replay_of,replay_state,test";
    let all = export(&browser, "");
    assert_eq!((all.len(), all[0].as_str()), (3, head));
    let delivered = export(&browser, "state=delivered");
    let delivery = ids(&coop, &webhook).remove(0);
    let event = coop.deliveries(&webhook)[0]["event_id"].as_str().expect("an id").to_owned();
    let url = good.url();
    let line = format!(
        "{delivery},{event},batch.exported,B-1,{COOP},{webhook},{url},delivered,1,200,,2026-04-20T11:55:00.000Z,,,,false"
    );
    assert_eq!(delivered, [head, &line]);
    let failing = export(&browser, "error=status&event=payout.completed");
    assert_eq!(failing.len(), 2);
    assert!(
        failing[1].contains(",\"P, \"\"1\"\"\",") && failing[1].contains(",pending,1,503,status,"),
        "{}",
        failing[1]
    );
    assert!(!failing[1].contains("hush"), "the query of a URL may hold a secret");
    assert_eq!(export(&of(&world, OTHER_COOP, "webhooks"), "").len(), 1);
    assert_eq!(of(&world, COOP, "events").get("/ui/deliveries.csv").status, 403);
    assert_eq!(browser.get("/ui/deliveries.csv?state=bogus").status, 400);
    assert_eq!(browser.get("/ui/deliveries.csv?q=B-1").status, 400, "an export looks through no payloads");
    assert!(!browser.get("/ui/deliveries?q=B-1").text.contains("deliveries.csv"));
    let page = browser.get("/ui/deliveries?state=delivered").text;
    assert!(page.contains("href=\"/ui/deliveries.csv?state=delivered\""), "the list leads to its export: {page}");
}

#[test]
fn a_cell_that_a_spreadsheet_would_run_is_text_in_the_export() {
    let world = World::new();
    let (receiver, coop, browser) = (Receiver::new(), world.coop(), operator(&world));
    coop.webhook(&receiver.url(), &["*"], "s3cret");
    for (value, cell) in [
        ("=HYPERLINK(1)", "\"'=HYPERLINK(1)\""),
        ("+1", "\"'+1\""),
        ("-1+1", "\"'-1+1\""),
        ("@SUM(A1)", "\"'@SUM(A1)\""),
        ("\t=1", r"\t=1"),
        ("\r=1", r"\r=1"),
        ("＝1", "\"'＝1\""),
        ("a=1", "a=1"),
    ] {
        coop.publish("batch.exported", json!({ "batch_id": value }));
        world.settle();
        let newest = export(&browser, "").remove(1);
        assert!(newest.contains(&format!(",batch.exported,{cell},{COOP},")), "{value:?}: {newest}");
    }
}

#[test]
fn an_export_of_more_than_ten_thousand_has_the_newest_and_says_so() {
    let world = World::new();
    let coop = world.coop();
    let webhook = coop.webhook(&Receiver::new().url(), &["*"], "s3cret");
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": "SUSPENDED" })).expect(200);
    for slice in 0..11 {
        let publish = move |tx: &ngoma::store::Tx<'_>| {
            let account = accounts::find(tx, "asilichain", COOP)?.key;
            for number in 0..if slice == 10 { 1 } else { 1000 } {
                let body = format!(r#"{{"data":{{"batch_id":"{slice}-{number}"}}}}"#).into();
                let event = NewEvent { account, kind: "batch.exported".to_owned(), body, idempotency_key: None };
                events::publish(tx, &event, &Audience::Subscribers)?;
            }
            Ok(())
        };
        world.write(publish).expect("published");
    }
    let browser = operator(&world);
    let answer = browser.get("/ui/deliveries.csv");
    assert!(answer.header("content-disposition").contains("deliveries-newest-10000.csv"));
    let lines: Vec<&str> = answer.text.split_terminator("\r\n").collect();
    assert_eq!(lines.len(), 1 + 10_000);
    assert!(lines[1].contains(",10-0,") && lines[10_000].contains(",0-1,"), "{} {}", lines[1], lines[10_000]);
    assert!(browser.get("/ui/deliveries").text.contains("the newest 10,000 at most"));
}

#[test]
fn a_filter_that_names_an_account_or_a_webhook_that_is_not_there_says_so() {
    let world = World::new();
    let (receiver, coop, browser) = (Receiver::new(), world.coop(), operator(&world));
    let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
    coop.publish("batch.exported", json!({}));
    world.settle();
    let nobody = "wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1";
    for (query, said) in [
        ("account=coop-mbale-001".to_owned(), "There is no account coop-mbale-001"),
        ("account=%3Cb%3E".to_owned(), "There is no account &#60;b&#62;"),
        (format!("webhook={nobody}"), "There is no webhook wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1"),
        (format!("account={OTHER_COOP}&webhook={webhook}"), "No delivery matches"),
        ("webhook=nowhere.example".to_owned(), "No delivery matches"),
    ] {
        let page = browser.get(&format!("/ui/deliveries?{query}"));
        assert!(page.status == 200 && page.text.contains(said), "{query}: {}", page.text);
        assert!(!page.text.contains("name=\"delivery\""), "{query}");
    }
    let foreign = of(&world, OTHER_COOP, "webhooks").get(&format!("/ui/deliveries?webhook={webhook}")).text;
    assert!(foreign.contains(&format!("There is no webhook {webhook}")), "it does not say whose it is: {foreign}");
}
