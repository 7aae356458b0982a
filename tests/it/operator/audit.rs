//! The audit: every change, with its actor, in the transaction that made it.

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{
    aging::age,
    client::Client,
    program::run,
    receiver::{Receiver, Reply},
    world::{COOP, CUSTOMER, Holder, World},
};

/// Actor, action, account, subject and note of each entry, oldest first.
fn entries(operator: &Client, query: &str) -> Vec<[String; 5]> {
    let page = operator.get(&format!("/operator/audit?limit=100&{query}")).expect(200);
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let entries = page["entries"].as_array().expect("a list").iter().rev();
    entries.map(|one| ["actor", "action", "account_id", "subject", "note"].map(|field| text(&one[field]))).collect()
}

fn id_of(world: &World, holder: Holder, scopes: &str) -> (String, Client) {
    let client = world.client(&world.token_for(holder, scopes));
    let listed = world.operator().get("/operator/tokens?limit=100").expect(200);
    let tokens = listed["tokens"].as_array().expect("a list");
    // The last but the one that asks.
    let id = tokens[tokens.len() - 2]["token_id"].as_str().expect("an id").to_owned();
    (id, client)
}

#[test]
fn every_change_is_audited_with_its_actor() {
    let world = World::new();
    let receiver = Receiver::new();
    let (own, coop) = id_of(&world, Holder::Account(COOP.to_owned()), "webhooks,events");
    let before = entries(&world.operator(), &format!("account_id={COOP}")).len();
    let webhook = coop.webhook(&format!("{}?key=hidden", receiver.url()), &["*"], "a first secret of ours");
    let path = format!("/webhooks/{webhook}");
    coop.patch(&path, json!({ "url": format!("{}/new?key=hidden", receiver.url()), "events": ["batch.*"] }))
        .expect(200);
    coop.patch(&path, json!({ "url": format!("{}/new?key=hidden", receiver.url()), "events": ["batch.*"] }))
        .expect(200);
    coop.patch(&path, json!({ "secret": "a second secret of ours" })).expect(200);
    coop.post(&format!("{path}/test"), json!({})).expect(200);
    coop.publish("batch.exported", json!({}));
    world.settle();
    let delivery = coop.deliveries(&webhook)[0]["delivery_id"].as_str().expect("an id").to_owned();
    let replay = coop.post(&format!("{path}/replay/{delivery}"), json!({})).expect(202)["delivery_id"].clone();
    world.settle();
    coop.patch(&path, json!({ "status": "SUSPENDED" })).expect(200);
    coop.patch(&path, json!({ "status": "ACTIVE" })).expect(200);
    receiver.always(Reply::status(410));
    coop.publish("batch.exported", json!({}));
    world.settle();
    coop.delete(&path).expect(204);
    let url = receiver.url();
    let expected = [
        (own.as_str(), "webhook.created", url.clone()),
        (&own, "webhook.changed", format!("url {url}/new")),
        (&own, "webhook.changed", "events batch.*".to_owned()),
        (&own, "webhook.secret_changed", "-".to_owned()),
        (&own, "webhook.tested", "-".to_owned()),
        (&own, "delivery.replayed", format!("as {}", replay.as_str().expect("an id"))),
        (&own, "webhook.suspended", "paused".to_owned()),
        (&own, "webhook.resumed", "-".to_owned()),
        ("engine", "webhook.suspended", "gone".to_owned()),
        (&own, "webhook.deleted", "-".to_owned()),
    ];
    let found = entries(&world.operator(), &format!("account_id={COOP}"));
    let found = &found[before..];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (entry, (actor, action, note)) in found.iter().zip(expected) {
        let subject = if action == "delivery.replayed" { &delivery } else { &webhook };
        assert_eq!(*entry, [actor, action, COOP, subject, &note].map(str::to_owned));
    }
    let all = world.operator().get("/operator/audit?limit=100").expect(200).to_string();
    for secret in ["a first secret", "a second secret", "hidden"] {
        assert!(!all.contains(secret), "{secret}: {all}");
    }
}

#[test]
fn actions_of_an_operator_are_audited() {
    let world = World::new();
    let receiver = Receiver::new();
    let (own, operator) = id_of(&world, Holder::Operator, "operator");
    let before = entries(&operator, "").len();
    operator.post("/operator/accounts", json!({ "account_id": "COOP-9", "profile": "asilichain" })).expect(201);
    let token = operator.post("/operator/tokens", json!({ "account_id": "COOP-9", "scopes": ["events"] })).expect(201);
    let token = token["token_id"].as_str().expect("an id").to_owned();
    operator.delete(&format!("/operator/tokens/{token}")).expect(204);
    let webhook = world.coop().webhook(&receiver.url(), &["*"], "s");
    operator.patch(&format!("/webhooks/{webhook}"), json!({ "status": "SUSPENDED" })).expect(200);
    let accepted = world.coop().publish("dds.filed", json!({}));
    let held = accepted["deliveries"][0]["delivery_id"].as_str().expect("an id").to_owned();
    operator.post(&format!("/operator/deliveries/{held}/cancel"), json!({})).expect(200);
    let run = operator.post("/operator/recoveries", json!({ "account_id": CUSTOMER })).expect(202);
    let run = run["recovery_id"].as_str().expect("an id").to_owned();
    operator.post(&format!("/operator/recoveries/{run}/cancel"), json!({})).expect(200);
    operator.post("/operator/recoveries", json!({ "dry_run": true })).expect(200);
    let found: Vec<[String; 5]> =
        entries(&operator, "").into_iter().skip(before).filter(|entry| entry[0] == own).collect();
    let expected = [
        ["account.created", "COOP-9", "COOP-9", "-"],
        ["token.created", "COOP-9", &token, "events"],
        ["token.revoked", "COOP-9", &token, "-"],
        ["webhook.suspended", COOP, &webhook, "paused"],
        ["delivery.cancelled", COOP, &held, "-"],
        ["recovery.started", CUSTOMER, &run, "0 matched"],
        ["recovery.cancelled", CUSTOMER, &run, "0 matched"],
    ];
    let found: Vec<&[String]> = found.iter().map(|entry| &entry[1..]).collect();
    // A run that ends before it is cancelled was not cancelled.
    let ended = found.len() == expected.len() - 1;
    assert_eq!(found, expected[..expected.len() - usize::from(ended)]);
}

#[test]
fn actions_of_the_command_line_are_audited() {
    let world = World::new();
    std::fs::write(world.folder().join("config.toml"), "").expect("a config");
    let operator = world.operator();
    let before = entries(&operator, "").len();
    let commands: [&[&str]; 3] = [
        &["account", "create", "--profile", "asg", "--id", "CUST-9"],
        &["token", "create", "--account", "CUST-9", "--scope", "events"],
        &["key", "rotate"],
    ];
    for command in commands {
        assert_eq!(run(world.folder(), command).0, 0);
    }
    let found: Vec<String> = entries(&operator, "")
        .into_iter()
        .skip(before)
        .map(|[actor, action, ..]| format!("{actor}: {action}"))
        .collect();
    assert_eq!(found, ["command line: account.created", "command line: token.created", "command line: key.rotated"]);
}

#[test]
fn the_audit_is_listed_page_by_page_and_by_account_and_action() {
    let world = World::new();
    let operator = world.operator();
    for number in 0..5 {
        operator
            .post("/operator/accounts", json!({ "account_id": format!("C-{number}"), "profile": "asg" }))
            .expect(201);
    }
    let page = operator.get("/operator/audit?action=account.created&limit=3").expect(200);
    let subjects = |page: &Value| -> Vec<Value> {
        page["entries"].as_array().expect("a list").iter().map(|entry| entry["subject"].clone()).collect()
    };
    assert_eq!(subjects(&page), ["C-4", "C-3", "C-2"]);
    let next = page["next_cursor"].as_str().expect("a cursor");
    let page = operator.get(&format!("/operator/audit?action=account.created&limit=2&cursor={next}")).expect(200);
    assert_eq!(subjects(&page), ["C-1", "C-0"]);
    assert_eq!(subjects(&operator.get("/operator/audit?account_id=C-3").expect(200)), ["C-3"]);
    assert_eq!(
        operator.get("/operator/audit?action=token.created&account_id=C-3").expect(200),
        json!({ "entries": [], "next_cursor": null })
    );
    for query in ["action=lunch", "cursor=x", "limit=0"] {
        assert_eq!(operator.get(&format!("/operator/audit?{query}")).code(400), "INVALID_REQUEST");
    }
}

#[test]
fn an_account_with_many_changes_pushes_only_its_own_old_entries_out_of_the_audit() {
    let world = World::new();
    let operator = world.operator();
    let coop = world.coop();
    let webhook = coop.webhook("http://127.0.0.1:1/", &["*"], "s");
    let conn = Connection::open(world.database()).expect("the file");
    conn.execute_batch(
        "WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT 210000)
         INSERT INTO audit (at, actor, profile, account, action, subject)
           SELECT 0, 'x', 'asilichain', 'COOP-MBALE-001', 'webhook.changed', 'flood' FROM n;",
    )
    .expect("a flood");
    let count = |of: &str| -> u64 {
        let sql = format!("SELECT count(*) FROM audit WHERE {of}");
        conn.query_row(&sql, [], |row| row.get(0)).expect("a count")
    };
    let others = "subject IS NOT 'flood' AND (account IS NOT 'COOP-MBALE-001' OR action LIKE 'token.%' OR action LIKE 'account.%')";
    let before = count(others);
    assert!(before >= 4, "accounts and tokens were made");
    let path = format!("/webhooks/{webhook}");
    for status in ["SUSPENDED", "ACTIVE"] {
        coop.patch(&path, json!({ "status": status })).expect(200);
    }
    world.advance("10s");
    // So that the counts are written.
    coop.publish("dds.filed", json!({}));
    world.settle();
    world.advance("10s");
    assert_eq!(count(others), before, "what others did, and what was done to accounts and tokens, stays");
    assert!(count("subject = 'flood'") <= 210_000 - 190, "it shrinks with every change");
    conn.execute("DELETE FROM audit WHERE subject = 'flood' AND key % 42 != 0", []).expect("5,000 are left");
    for _ in 0..3 {
        coop.patch(&path, json!({ "status": "SUSPENDED" })).expect(200);
        coop.patch(&path, json!({ "status": "ACTIVE" })).expect(200);
    }
    let kept = count("account = 'COOP-MBALE-001'");
    assert!((5_000..5_010).contains(&kept), "{kept} are kept");
    assert_eq!(
        entries(&operator, &format!("account_id={COOP}")).last().map(|entry| entry[1].clone()).as_deref(),
        Some("webhook.resumed")
    );
}

#[test]
fn a_recovery_is_audited_in_the_account_whose_webhook_or_delivery_it_names() {
    let world = World::new();
    let receiver = Receiver::new();
    receiver.always(Reply::status(410));
    let (coop, operator) = (world.coop(), world.operator());
    let webhook = coop.webhook(&receiver.url(), &["*"], "s");
    let delivery = coop.publish("dds.filed", json!({}))["deliveries"][0]["delivery_id"].clone();
    let delivery = delivery.as_str().expect("an id");
    world.settle();
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": "ACTIVE", "resend_failed": false })).expect(200);
    operator.post("/operator/recoveries", json!({ "webhook_id": webhook })).expect(202);
    std::fs::write(world.folder().join("config.toml"), "").expect("a config");
    let said = run(world.folder(), &["recover", delivery, "--json"]);
    assert_eq!(said.0, 0, "{}", said.2);
    let found = entries(&operator, &format!("account_id={COOP}&action=recovery.started"));
    let notes: Vec<&str> = found.iter().map(|entry| entry[4].as_str()).collect();
    assert_eq!(notes, ["1 matched", delivery]);
}

#[test]
fn deliveries_cancelled_because_they_were_held_too_long_are_audited() {
    let world = World::new();
    let (coop, operator) = (world.coop(), world.operator());
    let webhook = coop.webhook("http://127.0.0.1:1/", &["*"], "s");
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": "SUSPENDED" })).expect(200);
    let event = json!({ "event": "dds.filed", "cooperative_id": COOP, "data": {} });
    coop.post("/events/batch", json!({ "events": vec![event; 250] })).expect(202);
    ["1h", "83d 1h", "7d 1h", "1h", "1h"].iter().for_each(|time| age(&world, time));
    let found = entries(&operator, "action=webhook.held_cancelled");
    // The newest row of a table is never old.
    assert_eq!(found, [["engine", "webhook.held_cancelled", COOP, &webhook, "249 deliveries"].map(str::to_owned)]);
}
