//! The operator's search: deliveries of all accounts by filter, shown, retried and cancelled.

use std::{thread, time::Duration};

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{
    client::Client,
    receiver::{Receiver, Reply},
    world::{COOP, CUSTOMER, OTHER_COOP, World},
};

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// Follows the cursors of a search to its end: the deliveries, and how many each page held.
fn search(operator: &Client, query: &str) -> (Vec<String>, Vec<usize>) {
    let (mut found, mut pages, mut cursor) = (Vec::new(), Vec::new(), String::new());
    loop {
        let page = operator.get(&format!("/operator/deliveries?{query}{cursor}")).expect(200);
        let deliveries = page["deliveries"].as_array().expect("a list");
        pages.push(deliveries.len());
        found.extend(deliveries.iter().map(|one| text(&one["delivery_id"])));
        match &page["next_cursor"] {
            Value::String(next) => cursor = format!("&cursor={next}"),
            _ => return (found, pages),
        }
    }
}

#[test]
fn deliveries_of_all_accounts_are_found_by_every_filter() {
    let world = World::new();
    let (well, ill) = (Receiver::new(), Receiver::new());
    ill.always(Reply::status(500));
    let (coop, customer, operator) = (world.coop(), world.customer(), world.operator());
    let good = coop.webhook(&well.url(), &["batch.exported"], "s");
    let bad = coop.webhook(&ill.url(), &["batch.exported"], "s");
    let dead = coop.webhook("http://127.0.0.1:1/", &["loan.repaid"], "s");
    customer.post("/v1/webhooks", json!({ "callback_url": well.url() })).expect(201);
    let task = json!({ "event": "task.settled", "task_id": "t", "consensus_label": "cat", "confidence": 1.0, "bsv_txid": "x",
                       "settled_at": "2026-04-08T21:05:00Z" });
    let made = |accepted: Value| -> Vec<String> {
        accepted["deliveries"].as_array().expect("a list").iter().map(|one| text(&one["delivery_id"])).collect()
    };
    let first = made(coop.publish("batch.exported", json!({})));
    world.settle();
    world.move_clock(Duration::from_secs(5));
    let second = made(coop.publish("loan.repaid", json!({})));
    let third = made(customer.post("/v1/events", task).expect(202));
    world.settle();
    let find = |query: &str| search(&operator, query).0;
    let all = [&third[0], &second[0], &first[1], &first[0]].map(String::clone);
    assert_eq!(find(""), all);
    assert_eq!(search(&operator, "limit=3").1, [3, 1]);
    for (query, expected) in [
        (format!("account_id={COOP}"), &all[1..]),
        (format!("account_id={CUSTOMER}"), &all[..1]),
        (format!("account_id={OTHER_COOP}"), &[]),
        (format!("webhook_id={good}"), &all[3..]),
        (format!("webhook_id={bad}&status=PENDING"), &all[2..3]),
        (format!("webhook_id={dead}&account_id={OTHER_COOP}"), &[]),
        ("event=loan.repaid".to_owned(), &all[1..2]),
        ("event=task.settled&status=DELIVERED".to_owned(), &all[..1]),
        ("status=PENDING".to_owned(), &all[1..3]),
        ("status=FAILED".to_owned(), &[]),
        ("error=connect".to_owned(), &all[1..2]),
        ("error=status".to_owned(), &all[2..3]),
        ("created_from=2026-04-20T11:55:05Z".to_owned(), &all[..2]),
        ("created_to=2026-04-20T11:55:04.999Z".to_owned(), &all[2..]),
        ("created_from=2026-04-20T13:55:05%2B02:00&created_to=2026-04-20T11:55:05Z".to_owned(), &all[..2]),
        ("created_from=2027-01-01T00:00:00Z".to_owned(), &[]),
        ("created_to=2025-01-01T00:00:00Z".to_owned(), &[]),
    ] {
        assert_eq!(find(&query), expected, "{query}");
    }
    ["30s", "5m", "30m", "2h"].iter().for_each(|wait| world.advance(wait));
    assert_eq!(find("status=FAILED"), all[1..3]);
    for query in ["created_from=now", "limit=0", "cursor=dlv_nothing", "status=LOST", "error=bored"] {
        assert_eq!(operator.get(&format!("/operator/deliveries?{query}")).code(400), "INVALID_REQUEST");
    }
    assert_eq!(operator.get("/operator/deliveries?account_id=NOBODY").code(404), "ACCOUNT_NOT_FOUND");
    assert_eq!(operator.get("/operator/deliveries?webhook_id=wh_x").code(404), "WEBHOOK_NOT_FOUND");
}

#[test]
fn a_search_merges_webhooks_in_order_and_scans_a_bounded_number_a_page() {
    let mut world = World::new();
    for place in 0..3 {
        world.coop().webhook(&format!("http://127.0.0.1:1/{place}"), &["*"], "s");
    }
    world.stop();
    // 25,000 of three webhooks by turns, the oldest three given up; and two of another account, before all others.
    let conn = Connection::open(world.database()).expect("the file");
    conn.execute_batch(
        "INSERT INTO event (key, id, account, kind, body, accepted_at) VALUES (1, randomblob(16), 1, 'dds.filed', '{}', 0),
           (2, randomblob(16), 2, 'dds.filed', '{}', 0);
         INSERT INTO endpoint (key, id, account, profile, url, events, state, created_at, secret)
           SELECT 9, randomblob(16), 2, profile, url, events, state, created_at, secret FROM endpoint WHERE key = 1;
         INSERT INTO delivery (id, event, endpoint, state, attempts, created_at)
           SELECT randomblob(16), iif(value < 2, 2, 1), iif(value < 2, 9, 1 + value % 3),
                  iif(value BETWEEN 2 AND 4, 'exhausted', 'delivered'), 1, value
           FROM (WITH RECURSIVE n (value) AS (SELECT 0 UNION ALL SELECT value + 1 FROM n LIMIT 25000) SELECT * FROM n)
           ORDER BY value;",
    )
    .expect("a history");
    drop(conn);
    world.start();
    let operator = world.operator();
    let pages = |query: &str| search(&operator, query).1;
    assert_eq!(pages("event=payout.failed"), [0, 0, 0], "a bounded look at everything");
    assert_eq!(pages(&format!("account_id={COOP}&event=payout.failed")), [0, 0, 0], "and at three histories together");
    assert_eq!(pages("status=FAILED"), [3], "what is rare and asked for is found at once");
    assert_eq!(pages(&format!("account_id={OTHER_COOP}")), [2], "and so is what somebody has, whatever others have");
    let page = operator.get(&format!("/operator/deliveries?account_id={COOP}&limit=100")).expect(200);
    let ours: Vec<String> =
        page["deliveries"].as_array().expect("a list").iter().map(|one| text(&one["delivery_id"])).collect();
    let page = operator.get("/operator/deliveries?limit=100").expect(200);
    let all: Vec<String> =
        page["deliveries"].as_array().expect("a list").iter().map(|one| text(&one["delivery_id"])).collect();
    assert_eq!(ours, all, "merged in the order they were made");
}

#[test]
fn a_few_of_a_thousand_webhooks_are_found_at_once_whatever_others_have() {
    let mut world = World::new();
    world.coop().webhook("http://127.0.0.1:1/", &["*"], "s");
    world.stop();
    // A thousand webhooks of another account, each with one that waits; then 25,000 of one webhook, all delivered.
    Connection::open(world.database())
        .expect("the file")
        .execute_batch(
            "CREATE TEMP TABLE n AS WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT 25000)
               SELECT * FROM n;
             INSERT INTO event (key, id, account, kind, body, accepted_at) VALUES (1, randomblob(16), 1, 'dds.filed', '{}', 0);
             INSERT INTO endpoint (key, id, account, profile, url, events, state, created_at, secret)
               SELECT 1 + value, randomblob(16), 2, profile, url, events, state, created_at, secret
               FROM n, endpoint WHERE endpoint.key = 1 AND value <= 1000;
             INSERT INTO delivery (id, event, endpoint, state, due_at, created_at)
               SELECT randomblob(16), 1, 1 + value, 'pending', 9000000000000, 0 FROM n WHERE value <= 1000;
             INSERT INTO delivery (id, event, endpoint, state, attempts, created_at)
               SELECT randomblob(16), 1, 1, 'delivered', 1, 0 FROM n;",
        )
        .expect("a history");
    world.start();
    let operator = world.operator();
    for query in [format!("account_id={OTHER_COOP}"), "status=PENDING".to_owned()] {
        assert_eq!(search(&operator, &format!("{query}&limit=100")).1, [100; 10], "{query}");
    }
}

#[test]
fn pages_continue_where_the_last_one_ended_while_events_are_published() {
    let world = World::new();
    let receiver = Receiver::new();
    let (coop, operator) = (world.coop(), world.operator());
    for place in 0..3 {
        coop.webhook(&format!("{}/{place}", receiver.url()), &["*"], "s");
    }
    let publish = || {
        coop.publish("dds.filed", json!({}));
    };
    (0..10).for_each(|_| publish());
    for query in [String::new(), format!("account_id={COOP}"), "event=dds.filed".to_owned()] {
        let (all, _) = search(&operator, &format!("limit=100&{query}"));
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = operator.get(&format!("/operator/deliveries?limit=4&{query}{cursor}")).expect(200);
            found.extend(page["deliveries"].as_array().expect("a list").iter().map(|one| text(&one["delivery_id"])));
            publish();
            let Value::String(next) = &page["next_cursor"] else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(found, all, "{query}");
    }
}

#[test]
fn a_search_by_time_finds_test_deliveries_and_those_made_beside_them() {
    let world = World::new();
    let receiver = Receiver::new();
    receiver.next([Reply::Gate(200)]);
    let (coop, operator) = (world.coop(), world.operator());
    let webhook = coop.webhook(&receiver.url(), &["*"], "s");
    let tester = coop.clone();
    let test = thread::spawn(move || tester.post(&format!("/webhooks/{webhook}/test"), json!({})).expect(200));
    receiver.wait_for(1);
    world.move_clock(Duration::from_secs(1));
    let beside = text(&coop.publish("dds.filed", json!({}))["deliveries"][0]["delivery_id"]);
    receiver.open_gate();
    let test = text(&test.join().expect("a test")["delivery_id"]);
    world.settle();
    // The test was made first, and written last.
    for (query, expected) in [
        ("created_from=2026-04-20T11:55:00Z", [&test, &beside].as_slice()),
        ("created_from=2026-04-20T11:55:00.500Z", &[&beside]),
        ("created_to=2026-04-20T11:55:01Z", &[&test, &beside]),
        ("created_to=2026-04-20T11:55:00.500Z", &[&test]),
    ] {
        assert_eq!(search(&operator, query).0.iter().collect::<Vec<_>>(), expected, "{query}");
    }
}

#[test]
fn a_webhook_that_cannot_be_read_is_our_fault_and_no_delivery_that_is_missing() {
    let world = World::new();
    let (coop, operator) = (world.coop(), world.operator());
    let webhook = coop.webhook("http://127.0.0.1:1/", &["*"], "s");
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": "SUSPENDED" })).expect(200);
    let held = text(&coop.publish("dds.filed", json!({}))["deliveries"][0]["delivery_id"]);
    let conn = Connection::open(world.database()).expect("the file");
    conn.execute_batch("UPDATE endpoint SET url = 'nonsense'").expect("spoiled");
    let cancel = || operator.post(&format!("/operator/deliveries/{held}/cancel"), json!({}));
    assert_eq!(cancel().code(500), "INTERNAL");
    conn.execute_batch("UPDATE endpoint SET url = 'http://127.0.0.1:1/'").expect("mended");
    cancel().expect(200);
}

#[test]
fn the_request_that_is_shown_is_the_one_that_was_sent_but_for_its_signatures() {
    let world = World::new();
    let receiver = Receiver::new();
    let (coop, customer, operator) = (world.coop(), world.customer(), world.operator());
    coop.webhook(&receiver.url(), &["*"], "a secret of ours");
    customer.post("/v1/webhooks", json!({ "callback_url": receiver.url() })).expect(201);
    coop.publish("batch.exported", json!({ "weight_kg": 67.5, "note": "é" }));
    world.settle();
    let task = json!({ "event": "task.settled", "task_id": "t", "consensus_label": "cat", "confidence": 1.0, "bsv_txid": "x",
                       "settled_at": "2026-04-08T21:05:00Z" });
    customer.post("/v1/events", task).expect(202);
    world.settle();
    // A second try, and a replay that two secrets sign.
    receiver.next([Reply::status(500)]);
    let again = text(&coop.publish("dds.filed", json!({}))["deliveries"][0]["delivery_id"]);
    world.settle();
    world.advance("30s");
    let webhook = text(&coop.get("/webhooks").expect(200)[0]["webhook_id"]);
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "secret": "another secret of ours" })).expect(200);
    let replay = coop.post(&format!("/webhooks/{webhook}/replay/{again}"), json!({})).expect(202);
    world.settle();
    let mut found = search(&operator, "").0;
    found.reverse();
    assert_eq!((found.len(), &found[3]), (4, &text(&replay["delivery_id"])));
    let mut posts = receiver.posts();
    // The last attempt is shown.
    let first_try = posts.remove(2);
    assert_eq!((first_try.header("ngoma-attempt"), first_try.header("ngoma-delivery")), ("1", again.as_str()));
    assert_eq!(posts[3].header("webhook-signature").matches("v1,").count(), 2);
    for (delivery, post) in found.iter().zip(posts) {
        let shown = operator.get(&format!("/operator/deliveries/{delivery}")).expect(200);
        assert_eq!(shown["attempts"].as_array().map(Vec::len), Some(if *delivery == again { 2 } else { 1 }));
        let request = &shown["request"];
        assert_eq!((&request["method"], &request["url"]), (&json!("POST"), &json!(receiver.url())));
        assert_eq!(text(&request["body"]), post.text(), "to the byte");
        let headers = request["headers"].as_array().expect("a list");
        for (name, value) in
            post.headers.iter().filter(|(name, _)| !["host", "content-length"].contains(&name.as_str()))
        {
            let header = headers.iter().find(|header| header["name"] == json!(name));
            let header = header.unwrap_or_else(|| panic!("{name} is not shown: {request}"));
            let masked = if name.to_lowercase().ends_with("signature") {
                &value[..value.find(['=', ',']).expect("a kind") + 1]
            } else {
                value
            };
            let expected = if masked == value { value.clone() } else { format!("{masked}***") };
            assert_eq!(text(&header["value"]), expected, "{name}");
        }
        assert_eq!(headers.len(), post.headers.len() - 2, "and nothing else: {request}");
    }
}

#[test]
fn one_delivery_is_retried_as_a_new_one() {
    let world = World::new();
    let receiver = Receiver::new();
    receiver.always(Reply::status(410));
    let (coop, operator) = (world.coop(), world.operator());
    let webhook = coop.webhook(&receiver.url(), &["*"], "s");
    coop.publish("dds.filed", json!({}));
    world.settle();
    let failed = search(&operator, "status=FAILED").0.remove(0);
    let path = format!("/operator/deliveries/{failed}/replay");
    assert_eq!(operator.post(&path, json!({})).code(409), "WEBHOOK_SUSPENDED");
    receiver.always(Reply::status(200));
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": "ACTIVE", "resend_failed": false })).expect(200);
    let made = operator.post(&path, json!({})).expect(202);
    assert_eq!((&made["replay_of"], &made["account_id"]), (&json!(failed), &json!(COOP)));
    world.settle();
    let posts = receiver.posts();
    assert_eq!(
        (posts.len(), &posts[0].body, posts[0].header("webhook-id")),
        (2, &posts[1].body, posts[1].header("webhook-id"))
    );
    coop.delete(&format!("/webhooks/{webhook}")).expect(204);
    assert_eq!(operator.post(&path, json!({})).code(409), "ALREADY_ENDED");
    let absent = "/operator/deliveries/dlv_01ARZ3NDEKTSV4RRFFQ69G5FAV";
    assert_eq!(operator.get(absent).code(404), "DELIVERY_NOT_FOUND");
    assert_eq!(operator.post(&format!("{absent}/replay"), json!({})).code(404), "DELIVERY_NOT_FOUND");
}

#[test]
fn a_delivery_is_cancelled_while_it_waits_or_is_held_and_at_no_other_time() {
    let world = World::new();
    let receiver = Receiver::new();
    receiver.next([Reply::status(500), Reply::Gate(200)]);
    let (coop, operator) = (world.coop(), world.operator());
    let webhook = coop.webhook(&receiver.url(), &["*"], "s");
    let cancel = |delivery: &str| operator.post(&format!("/operator/deliveries/{delivery}/cancel"), json!({}));
    coop.publish("dds.filed", json!({}));
    world.settle();
    let waiting = search(&operator, "status=PENDING").0.remove(0);
    let cancelled = cancel(&waiting).expect(200);
    assert_eq!((&cancelled["status"], &cancelled["next_attempt_at"]), (&json!("CANCELLED"), &Value::Null));
    assert_eq!(cancel(&waiting).expect(200), cancelled, "again: the same");
    world.advance("1d");
    assert_eq!(receiver.posts().len(), 1, "it is not tried again");
    let under_way = text(&coop.publish("dds.filed", json!({}))["deliveries"][0]["delivery_id"]);
    receiver.wait_for(2);
    assert_eq!(search(&operator, "status=IN_FLIGHT").0, [under_way.as_str()]);
    assert_eq!(cancel(&under_way).code(409), "DELIVERY_IN_FLIGHT");
    receiver.open_gate();
    world.settle();
    assert_eq!(cancel(&under_way).code(409), "ALREADY_ENDED");
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": "SUSPENDED" })).expect(200);
    let held = text(&coop.publish("dds.filed", json!({}))["deliveries"][0]["delivery_id"]);
    assert_eq!(search(&operator, "status=HELD").0, [held.as_str()]);
    assert_eq!(cancel(&held).expect(200)["status"], "CANCELLED");
    assert_eq!(search(&operator, "status=CANCELLED").0, [&held, &waiting].map(String::as_str));
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": "ACTIVE" })).expect(200);
    world.settle();
    assert_eq!(receiver.posts().len(), 2, "what was cancelled is not sent when the webhook is resumed");
}
