//! The list of an account's events, and the filters of its lists.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    receiver::{Receiver, Reply},
    world::{COOP, Holder, OTHER_COOP, World},
};

fn ids(page: &Value, id: &str) -> Vec<String> {
    let entries = page["events"].as_array().or(page["deliveries"].as_array()).expect("a list");
    entries.iter().map(|one| one[id].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn an_account_lists_its_events_by_time_by_name_and_page_by_page() {
    let world = World::new();
    let (coop, operator) = (world.coop(), world.operator());
    let mut made = Vec::new();
    for (number, event) in ["dds.filed", "loan.repaid", "dds.filed", "dds.filed", "loan.repaid"].iter().enumerate() {
        let body = json!({ "event": event, "cooperative_id": COOP, "data": { "number": number },
                           "created_at": "2020-01-01T00:00:00Z", "idempotency_key": format!("key-{number}") });
        made.insert(0, coop.post("/events", body).expect(202)["event_id"].as_str().expect("an id").to_owned());
        world.move_clock(Duration::from_secs(60));
    }
    let page = coop.get("/events").expect(200);
    assert_eq!((ids(&page, "event_id"), &page["next_cursor"]), (made.clone(), &Value::Null));
    let newest = json!({ "event_id": made[0], "event": "loan.repaid", "cooperative_id": COOP,
                         "accepted_at": "2026-04-20T11:59:00.000Z", "idempotency_key": "key-4", "test": false });
    assert_eq!(page["events"][0], newest);
    let find = |query: &str| ids(&coop.get(&format!("/events?{query}")).expect(200), "event_id");
    for (query, expected) in [
        ("since=2026-04-20T11:57:00Z", &made[..3]),
        ("until=2026-04-20T11:56:00Z", &made[3..]),
        ("since=2026-04-20T11:56:00Z&until=2026-04-20T11:58:00Z", &made[1..4]),
        ("since=2026-04-20T14:57:00%2B03:00&limit=2", &made[..2]),
        ("since=2027-01-01T00:00:00Z", &[]),
        ("until=2020-01-01T00:00:00Z", &[]),
        ("event=loan.repaid&until=2026-04-20T11:58:00Z", &made[3..4]),
        ("q=key-2", &made[2..3]),
        ("q=number%203", &made[1..2]),
        ("q=number&since=2026-04-20T11:58:00Z", &made[..2]),
    ] {
        assert_eq!(find(query), expected, "{query}");
    }
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = coop.get(&format!("/events?limit=2{cursor}")).expect(200);
        paged.extend(ids(&page, "event_id"));
        let Value::String(next) = &page["next_cursor"] else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(paged, made);
    for query in ["since=yesterday", "until=now", "limit=0", "limit=101", "cursor=x", "cursor=payloads", "colour=blue"]
    {
        assert_eq!(coop.get(&format!("/events?{query}")).code(400), "INVALID_REQUEST", "{query}");
    }
    let other = world.client(&world.token_for(Holder::Account(OTHER_COOP.to_owned()), "events"));
    assert_eq!(ids(&other.get("/events").expect(200), "event_id"), [""; 0]);
    let platform = world.client(&world.token_for(Holder::Platform("asilichain".to_owned()), "events"));
    for whole in [platform, operator] {
        assert_eq!(ids(&whole.get("/events").expect(200), "event_id"), made);
    }
    let narrow = world.client(&world.token_for(Holder::Account(COOP.to_owned()), "webhooks"));
    assert_eq!(narrow.get("/events").code(403), "FORBIDDEN");
}

#[test]
fn the_deliveries_of_a_webhook_are_listed_by_time_by_error_and_by_text() {
    let world = World::new();
    let receiver = Receiver::new();
    let (coop, operator) = (world.coop(), world.operator());
    let webhook = coop.webhook(&receiver.url(), &["*"], "s");
    let mut made = Vec::new();
    for number in 0..4 {
        receiver.next([Reply::status(if number % 2 == 0 { 200 } else { 500 })]);
        let published = coop.publish("dds.filed", json!({ "lot": format!("LOT-{number}") }));
        made.insert(0, published["deliveries"][0]["delivery_id"].as_str().expect("an id").to_owned());
        world.settle();
        world.move_clock(Duration::from_secs(1));
    }
    let own = format!("/webhooks/{webhook}/deliveries");
    for (client, path) in [(&coop, own.as_str()), (&operator, "/operator/deliveries")] {
        let find = |query: &str| ids(&client.get(&format!("{path}?{query}")).expect(200), "delivery_id");
        assert_eq!(find("since=2026-04-20T11:55:02Z"), made[..2], "{path}");
        assert_eq!(find("until=2026-04-20T11:55:01Z"), made[2..]);
        assert_eq!(find("since=2026-04-20T11:55:01Z&until=2026-04-20T11:55:02Z"), made[1..3]);
        assert_eq!(find("error=status"), [made[0].clone(), made[2].clone()]);
        assert_eq!(find("error=timeout"), [""; 0]);
        assert_eq!(find("q=lot-2"), made[1..2]);
        assert_eq!(find("q=lot&error=status&until=2026-04-20T11:55:02Z"), made[2..3]);
        for query in ["since=now", "until=then", "error=bored"] {
            assert_eq!(client.get(&format!("{path}?{query}")).code(400), "INVALID_REQUEST", "{query}");
        }
    }
    let both = "created_from=2026-04-20T11:55:01Z&since=2026-04-20T11:55:02Z&created_to=2026-04-20T11:55:03Z&until=2026-04-20T11:55:02Z";
    assert_eq!(ids(&operator.get(&format!("/operator/deliveries?{both}")).expect(200), "delivery_id"), made[1..2]);
    // The cursor of another webhook is none of this list.
    let beside = coop.webhook(&receiver.url(), &["*"], "s");
    assert_eq!(coop.get(&format!("/webhooks/{beside}/deliveries?cursor={}", made[0])).code(400), "INVALID_REQUEST");
}
