//! The operator's overview, webhooks, alerts, accounts and tokens, over all accounts.

use ngoma::{
    domain::{ids::DeliveryId, selection::Selection, timestamp::Timestamp, token::Visible},
    store::{self, search::Range},
};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{
    client::Client,
    receiver::{Receiver, Reply},
    world::{COOP, CUSTOMER, Holder, OTHER_COOP, World},
};

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn task(id: &str) -> Value {
    json!({ "event": "task.settled", "task_id": id, "consensus_label": "cat", "confidence": 1.0, "bsv_txid": "x",
            "settled_at": "2026-04-08T21:05:00Z" })
}

#[test]
fn the_overview_counts_waiting_deliveries_and_attempts() {
    let world = World::new();
    let (well, ill) = (Receiver::new(), Receiver::new());
    ill.always(Reply::status(503));
    let (coop, operator) = (world.coop(), world.operator());
    coop.webhook(&well.url(), &["batch.exported"], "s");
    let failing = coop.webhook(&ill.url(), &["batch.exported"], "s");
    let paused = coop.webhook(&well.url(), &["loan.repaid"], "s");
    coop.patch(&format!("/webhooks/{paused}"), json!({ "status": "SUSPENDED" })).expect(200);
    for event in ["batch.exported", "loan.repaid", "loan.repaid"] {
        coop.publish(event, json!({}));
    }
    world.settle();
    world.advance("10s");
    let seen = operator.get("/operator/overview").expect(200);
    assert_eq!(seen["deliveries"], json!({ "pending": 1, "in_flight": 0, "held": 2, "failed": 0 }));
    assert_eq!(seen["webhooks"], json!({ "active": 2, "failing": 1, "suspended": 1 }));
    assert_eq!((&seen["due_since"], &seen["oldest_due_ms"]), (&Value::Null, &Value::Null));
    assert_eq!(seen["failing_webhooks"][0]["webhook_id"], json!(failing));
    assert_eq!(seen["failing_webhooks"].as_array().map(Vec::len), Some(1));
    let (hour, day) = (seen["last_hour"].as_array().expect("slots"), seen["last_day"].as_array().expect("slots"));
    assert_eq!((hour.len(), day.len()), (60, 24));
    assert_eq!(hour[59], json!({ "start": "2026-04-20T11:55:00Z", "delivered": 1, "failed": 1 }));
    assert_eq!(day[23], json!({ "start": "2026-04-20T11:00:00Z", "delivered": 1, "failed": 1 }));
    assert_eq!(hour[58], json!({ "start": "2026-04-20T11:54:00Z", "delivered": 0, "failed": 0 }));
    ["30s", "5m", "30m", "2h", "10s"].iter().for_each(|wait| world.advance(wait));
    let seen = operator.get("/operator/overview").expect(200);
    assert_eq!(seen["deliveries"], json!({ "pending": 0, "in_flight": 0, "held": 2, "failed": 1 }));
    assert_eq!(seen["webhooks"], json!({ "active": 1, "failing": 0, "suspended": 2 }));
    let failed: u64 =
        seen["last_day"].as_array().expect("slots").iter().filter_map(|slot| slot["failed"].as_u64()).sum();
    assert_eq!(failed, 5, "every attempt is counted once");
}

#[test]
fn the_overview_shows_since_when_the_oldest_delivery_is_due() {
    let world = World::new();
    let receiver = Receiver::new();
    receiver.always(Reply::Hang);
    let (coop, operator) = (world.coop(), world.operator());
    coop.webhook(&receiver.url(), &["*"], "s");
    for _ in 0..3 {
        coop.publish("dds.filed", json!({}));
    }
    receiver.wait_for(1);
    world.move_clock(std::time::Duration::from_millis(2500));
    let seen = operator.get("/operator/overview").expect(200);
    assert_eq!(seen["deliveries"], json!({ "pending": 2, "in_flight": 1, "held": 0, "failed": 0 }));
    assert_eq!((&seen["due_since"], &seen["oldest_due_ms"]), (&json!("2026-04-20T11:55:00.000Z"), &json!(2500)));
}

#[test]
fn counts_survive_a_stop_and_expire() {
    let mut world = World::new();
    let receiver = Receiver::new();
    world.coop().webhook(&receiver.url(), &["*"], "s");
    for _ in 0..3 {
        world.coop().publish("dds.filed", json!({}));
    }
    world.settle();
    // One that ends while the server stops.
    receiver.next([Reply::Gate(410)]);
    world.coop().publish("dds.filed", json!({}));
    receiver.wait_for(4);
    world.ask_to_stop();
    receiver.open_gate();
    world.stop();
    world.start();
    let seen = world.operator().get("/operator/overview").expect(200);
    assert_eq!(seen["last_hour"][59], json!({ "start": "2026-04-20T11:55:00Z", "delivered": 3, "failed": 1 }));
    let rows = |world: &World| -> Vec<(i64, u64)> {
        let conn = Connection::open(world.database()).expect("the file");
        let mut rows = conn.prepare("SELECT span, count(*) FROM tally GROUP BY span ORDER BY span").expect("SQL");
        rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows").map(|row| row.expect("a row")).collect()
    };
    assert_eq!(rows(&world), [(60, 2), (3600, 2)], "one of the webhook, one of all");
    world.advance("2h");
    world.advance("1m");
    assert_eq!(rows(&world), [(3600, 2)], "minutes are kept for two hours");
    let seen = world.operator().get("/operator/overview").expect(200);
    assert_eq!(seen["last_day"][21]["failed"], 1, "{}", seen["last_day"]);
    world.advance("8d");
    assert_eq!(rows(&world), [], "and hours for eight days");
}

#[test]
fn a_clock_that_is_set_forward_and_back_leaves_no_figures_of_a_time_to_come() {
    let world = World::new();
    let receiver = Receiver::new();
    let (coop, operator) = (world.coop(), world.operator());
    coop.webhook(&receiver.url(), &["*"], "s");
    let set = |hours: i64| {
        world.clock.step(Timestamp::from_millis(world.now().millis() + hours * 3_600_000));
        world.settle();
    };
    let publish = |status: u16| {
        receiver.always(Reply::status(status));
        coop.publish("dds.filed", json!({}));
        world.settle();
    };
    set(2);
    publish(410);
    coop.patch(&format!("/webhooks/{}", webhook_of(&coop)), json!({ "status": "ACTIVE", "resend_failed": false }))
        .expect(200);
    world.advance("10s");
    // Counted in the future, and not written when the clock is set back.
    publish(200);
    set(-2);
    publish(200);
    world.advance("10s");
    world.advance("10s");
    let seen = operator.get("/operator/overview").expect(200);
    assert_eq!(seen["webhooks"], json!({ "active": 1, "failing": 0, "suspended": 0 }), "{seen}");
    let conn = Connection::open(world.database()).expect("the file");
    let ahead: u64 = conn
        .query_row("SELECT count(*) FROM tally WHERE start > ?", [world.now().millis()], |row| row.get(0))
        .expect("a count");
    assert_eq!(ahead, 0);
    let listed = operator.get("/operator/webhooks").expect(200);
    assert!(text(&listed["webhooks"][0]["last_error_at"]) < world.now().to_string(), "{listed}");
}

fn webhook_of(coop: &Client) -> String {
    text(&coop.get("/webhooks").expect(200)[0]["webhook_id"])
}

#[test]
fn webhooks_of_all_accounts_are_listed_with_how_they_fare() {
    let world = World::new();
    let (well, ill) = (Receiver::new(), Receiver::new());
    ill.next([Reply::status(200)]).always(Reply::status(200));
    let (coop, customer, operator) = (world.coop(), world.customer(), world.operator());
    let first = coop.webhook(&format!("{}?Key=1", well.url()), &["batch.*"], "s");
    let second = text(&customer.post("/v1/webhooks", json!({ "callback_url": ill.url() })).expect(201)["webhook_id"]);
    for number in 0..3 {
        coop.publish("batch.exported", json!({}));
        customer.post("/v1/events", task(&format!("t{number}"))).expect(202);
    }
    world.settle();
    ill.always(Reply::status(500));
    customer.post("/v1/events", task("last")).expect(202);
    world.settle();
    world.advance("10s");
    let listed = operator.get("/operator/webhooks").expect(200);
    let webhooks = listed["webhooks"].as_array().expect("a list");
    assert_eq!(
        webhooks.iter().map(|one| text(&one["webhook_id"])).collect::<Vec<_>>(),
        [second.clone(), first.clone()]
    );
    let (ours, theirs) = (&webhooks[1], &webhooks[0]);
    assert_eq!((&ours["account_id"], &ours["profile"]), (&json!(COOP), &json!("asilichain")));
    assert_eq!(
        (&ours["delivered_24h"], &ours["failed_24h"], &ours["success_percent_24h"]),
        (&json!(3), &json!(0), &json!(100.0))
    );
    assert_eq!(
        (&ours["failing"], &ours["last_error"], &ours["events"]),
        (&json!(false), &Value::Null, &json!(["batch.*"]))
    );
    assert!(ours["p95_ms_24h"].as_u64().is_some_and(|ms| ms <= 65_000), "{ours}");
    assert_eq!((&theirs["account_id"], &theirs["failing"]), (&json!(CUSTOMER), &json!(true)));
    assert_eq!((&theirs["last_error"], &theirs["last_error_status"]), (&json!("status"), &json!(500)));
    assert_eq!((&theirs["delivered_24h"], &theirs["waiting"]), (&json!(3), &json!(1)));
    assert!(theirs["failed_24h"].as_u64() >= Some(1) && theirs["last_error_at"].is_string(), "{theirs}");
    let ids = |query: &str| -> Vec<String> {
        let found = operator.get(&format!("/operator/webhooks?{query}")).expect(200);
        found["webhooks"].as_array().expect("a list").iter().map(|one| text(&one["webhook_id"])).collect()
    };
    assert_eq!(ids(&format!("account_id={COOP}")), [first.as_str()]);
    assert_eq!(ids("failing=true"), [second.as_str()]);
    assert_eq!(ids("url=KEY%3D1"), [first.as_str()]);
    assert_eq!(ids("url=elsewhere"), Vec::<String>::new());
    assert_eq!(ids("status=SUSPENDED"), Vec::<String>::new());
    customer.delete(&format!("/v1/webhooks/{second}")).expect(200);
    assert_eq!((ids(""), ids("status=DELETED")), (vec![first.clone()], vec![second]));
    let history = operator.get(&format!("/operator/webhooks/{first}")).expect(200);
    let week = history["last_week"].as_array().expect("slots");
    assert_eq!((week.len(), &week[167]["delivered"]), (168, &json!(3)));
    assert_eq!(operator.get("/operator/webhooks?account_id=NOBODY").code(404), "ACCOUNT_NOT_FOUND");
    let bare = first.strip_prefix("wh_").expect("a prefix");
    assert_eq!(operator.get(&format!("/operator/webhooks/whk_{bare}")).code(404), "WEBHOOK_NOT_FOUND");
}

#[test]
fn webhooks_are_listed_page_by_page() {
    let world = World::new();
    let (coop, operator) = (world.coop(), world.operator());
    let mut made: Vec<String> =
        (0..7).map(|place| coop.webhook(&format!("http://127.0.0.1:1/{place}"), &["*"], "s")).collect();
    made.reverse();
    assert_eq!(all(&operator, "/operator/webhooks?limit=3", "webhooks", "webhook_id"), made);
    assert_eq!(operator.get("/operator/webhooks?cursor=wh_nothing").code(400), "INVALID_REQUEST");
}

/// Follows the cursors of a list to its end.
fn all(client: &Client, path: &str, list: &str, id: &str) -> Vec<String> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("{path}{cursor}")).expect(200);
        found.extend(page[list].as_array().expect("a list").iter().map(|one| text(&one[id])));
        match &page["next_cursor"] {
            Value::String(next) => cursor = format!("&cursor={next}"),
            _ => return found,
        }
    }
}

#[test]
fn alerts_of_all_accounts_are_listed_with_where_each_way_stands() {
    let world = World::new();
    let receiver = Receiver::new();
    receiver.always(Reply::status(410));
    let (coop, operator) = (world.coop(), world.operator());
    let mut made = Vec::new();
    for place in 0..3 {
        made.push(coop.webhook(&format!("{}?key={place}", receiver.url()), &["*"], "s"));
    }
    let accepted = coop.publish("dds.filed", json!({}));
    world.settle();
    let page = operator.get("/operator/alerts?limit=2").expect(200);
    let alerts = page["alerts"].as_array().expect("a list");
    assert_eq!(alerts.len(), 2);
    let found = all(&operator, "/operator/alerts?limit=2", "alerts", "webhook_id");
    assert_eq!(found.len(), 3, "one for each");
    assert!(made.iter().all(|webhook| found.contains(webhook)), "{found:?}");
    let alert = &alerts[0];
    assert_eq!((&alert["kind"], &alert["webhook_status"]), (&json!("SUSPENDED"), &json!("SUSPENDED")));
    assert_eq!(
        (&alert["account_id"], &alert["error"], &alert["response_status"]),
        (&json!(COOP), &json!("status"), &json!(410))
    );
    assert_eq!(alert["url"], receiver.url(), "without the query, which may hold a secret");
    let deliveries = accepted["deliveries"].as_array().expect("a list");
    assert!(deliveries.iter().any(|one| one["delivery_id"] == alert["delivery_id"]), "{alert}");
    assert_eq!(alert["ways"][0]["channel"], "log");
    assert_eq!(operator.get("/operator/alerts?cursor=alr_x").code(400), "INVALID_REQUEST");
    // The part that an account's own token may see, as other pages use it.
    for (account, sees) in [(COOP, 3), (OTHER_COOP, 0)] {
        let key = if account == COOP { 1 } else { 2 };
        let visible = Visible { profile: Some("asilichain".into()), account: Some(key) };
        let seen = world.block_on(world.db().read(move |view| store::alerts::list(view, &visible, None, 10)));
        assert_eq!(seen.expect("a list").len(), sees, "{account}");
    }
}

#[test]
fn each_scope_of_access_sees_only_its_own_deliveries_and_webhooks() {
    let world = World::new();
    let receiver = Receiver::new();
    let (coop, customer) = (world.coop(), world.customer());
    coop.webhook(&receiver.url(), &["*"], "s");
    customer.post("/v1/webhooks", json!({ "callback_url": receiver.url() })).expect(201);
    coop.publish("dds.filed", json!({}));
    for number in 0..2 {
        customer.post("/v1/events", task(&format!("t{number}"))).expect(202);
    }
    world.settle();
    world.advance("10s");
    let ours = world.operator().get("/operator/deliveries?account_id=COOP-MBALE-001").expect(200);
    let foreign = world.operator().get("/operator/deliveries?account_id=CUST-7").expect(200);
    let id = |page: &Value| DeliveryId::parse(&text(&page["deliveries"][0]["delivery_id"])).expect("an id");
    let (ours, foreign, now) = (id(&ours), id(&foreign), world.now());
    // Of the cooperative, of its whole profile, of everything.
    let wide = |profile: Option<&'static str>, account| Visible { profile: profile.map(Into::into), account };
    for (visible, delivered, webhooks, sees_foreign) in [
        (wide(Some("asilichain"), Some(1)), 1, 1, false),
        (wide(Some("asilichain"), Some(2)), 0, 0, false),
        (wide(Some("asilichain"), None), 1, 1, false),
        (wide(None, None), 3, 2, true),
    ] {
        let seen = world.block_on(world.db().read(move |view| {
            let overview = store::overview::look(view, &visible, now)?;
            let reports = store::webhooks::list(view, &visible, &store::webhooks::Filter::default(), 10, now)?.0;
            let range = Range::new(view, &visible, Selection::default())?;
            let found = store::search::page(view, &range, None, 10)?.0;
            let named =
                Range::new(view, &visible, Selection { account: Some(CUSTOMER.to_owned()), ..Selection::default() });
            let one = store::search::find(view, &visible, foreign);
            let own = store::search::find(view, &visible, ours);
            let audit = store::audit::list(view, &visible, &store::audit::Filter::default(), 100)?.0;
            let strange = audit.iter().any(|entry| entry.account_id.as_deref() == Some(CUSTOMER));
            let hour = overview.minutes.iter().map(|(_, tally)| tally.delivered).sum::<u64>();
            let counts = (hour, overview.active, reports.len() as u64, found.len() as u64);
            Ok((counts, named.is_ok(), one.is_ok(), own.is_ok(), strange))
        }));
        let (counts, named, one, own, strange) = seen.expect("a look");
        assert_eq!(counts, (delivered, webhooks, webhooks, delivered));
        assert_eq!((named, one, strange), (sees_foreign, sees_foreign, sees_foreign));
        assert_eq!(own, delivered > 0);
    }
}

#[test]
fn accounts_and_tokens_are_made_listed_and_revoked_over_the_api() {
    let world = World::new();
    let operator = world.operator();
    let new = json!({ "account_id": "COOP-9", "profile": "asilichain", "alert_email": "a@b.example" });
    let made = operator.post("/operator/accounts", new.clone()).expect(201);
    assert_eq!(operator.post("/operator/accounts", new).code(409), "ALREADY_EXISTS");
    assert_eq!(operator.get("/operator/accounts/COOP-9").expect(200), made);
    assert_eq!(operator.get("/operator/accounts/NOBODY").code(404), "ACCOUNT_NOT_FOUND");
    let ids = all(&operator, "/operator/accounts?limit=2", "accounts", "account_id");
    assert_eq!(ids, [COOP, OTHER_COOP, CUSTOMER, "COOP-9"]);
    for wrong in [
        json!({ "account_id": "a b", "profile": "asg" }),
        json!({ "account_id": "X", "profile": "acme" }),
        json!({ "account_id": "X", "profile": "asg", "alert_email": "nobody" }),
    ] {
        assert_eq!(operator.post("/operator/accounts", wrong).code(400), "INVALID_REQUEST");
    }
    let wanted = json!({ "account_id": "COOP-9", "scopes": ["webhooks", "events"], "label": "shop" });
    let token = operator.post("/operator/tokens", wanted).expect(201);
    let client = world.client(&text(&token["token"]));
    client.get("/webhooks").expect(200);
    let listed = operator.get("/operator/tokens?account_id=COOP-9").expect(200);
    let own = &listed["tokens"][0];
    assert_eq!((&own["token_id"], &own["label"]), (&token["token_id"], &json!("shop")));
    assert!(!listed.to_string().contains(&text(&token["token"])), "never the token itself");
    assert_eq!(operator.get("/operator/tokens?account_id=NOBODY").code(404), "ACCOUNT_NOT_FOUND");
    let every = all(&operator, "/operator/tokens?limit=100", "tokens", "token_id");
    assert_eq!(all(&operator, "/operator/tokens?limit=1", "tokens", "token_id"), every, "page by page");
    operator.delete(&format!("/operator/tokens/{}", text(&token["token_id"]))).expect(204);
    assert_eq!(client.get("/webhooks").code(401), "UNAUTHORIZED");
    assert_eq!(operator.delete(&format!("/operator/tokens/{}", text(&token["token_id"]))).code(404), "TOKEN_NOT_FOUND");
    for wrong in [
        json!({ "scopes": ["events"] }),
        json!({ "scopes": [], "account_id": COOP }),
        json!({ "scopes": ["operator"], "account_id": COOP }),
        json!({ "scopes": ["events"], "account_id": COOP, "profile": "asg" }),
        json!({ "scopes": ["events"], "profile": "acme" }),
        json!({ "scopes": ["everything"], "account_id": COOP }),
    ] {
        assert_eq!(operator.post("/operator/tokens", wrong).code(400), "INVALID_REQUEST");
    }
    let platform = operator.post("/operator/tokens", json!({ "scopes": ["webhooks"], "profile": "asg" })).expect(201);
    world.client(&text(&platform["token"])).get("/v1/webhooks").expect(200);
    let second = operator.post("/operator/tokens", json!({ "scopes": ["operator"] })).expect(201);
    world.client(&text(&second["token"])).get("/operator/overview").expect(200);
    let coop = world.client(&world.token_for(Holder::Account(COOP.to_owned()), "webhooks,events"));
    assert_eq!(coop.get("/operator/overview").code(403), "FORBIDDEN");
}
