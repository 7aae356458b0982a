//! Searches: any id and any key at once, other text in the payloads, newest first.

use std::{sync::mpsc, thread, time::Duration};

use ngoma::{
    domain::{
        audit::Actor,
        event::{Audience, NewEvent},
        ids::DeliveryId,
        search::{Asked, Place, Sought},
        selection::Selection,
        token::Visible,
    },
    store::{Admission, accounts, event_list, events, search},
};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{
    client::Client,
    receiver::{PATIENCE, Receiver},
    world::{COOP, Holder, OTHER_COOP, World},
};

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// A text in the query of a URL.
fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Publishes under a key; gives the event's id and that of its first delivery.
fn publish(client: &Client, key: &str, data: Value) -> (String, String) {
    let body = json!({ "event": "batch.exported", "cooperative_id": COOP, "data": data }).to_string();
    let headers = [("content-type", "application/json"), ("idempotency-key", key)];
    let made = client.send("POST", "/events", &headers, Some(body.as_bytes())).expect(202);
    (text(&made["event_id"]), made["deliveries"][0]["delivery_id"].as_str().unwrap_or_default().to_owned())
}

/// All ids of a list, and how many each page held.
fn all(client: &Client, path: &str, query: &str) -> (Vec<String>, Vec<usize>) {
    let (mut found, mut pages, mut cursor) = (Vec::new(), Vec::new(), String::new());
    loop {
        let page = client.get(&format!("{path}?{query}{cursor}")).expect(200);
        let (entries, id) = match page["deliveries"].as_array() {
            Some(deliveries) => (deliveries, "delivery_id"),
            None => (page["events"].as_array().expect("a list"), "event_id"),
        };
        pages.push(entries.len());
        found.extend(entries.iter().map(|one| text(&one[id])));
        match &page["next_cursor"] {
            Value::String(next) => cursor = format!("&cursor={next}"),
            _ => return (found, pages),
        }
    }
}

#[test]
fn deliveries_and_events_are_found_by_every_id_and_by_their_key_at_once() {
    let world = World::new();
    let receiver = Receiver::new();
    let (coop, customer, operator) = (world.coop(), world.customer(), world.operator());
    let webhook = coop.webhook(&receiver.url(), &["*"], "s");
    let task_hook =
        text(&customer.post("/v1/webhooks", json!({ "callback_url": receiver.url() })).expect(201)["webhook_id"]);
    let (event, delivery) = publish(&coop, "export-1", json!({ "batch_id": "BATCH-1" }));
    publish(&coop, "export-2", json!({ "batch_id": "BATCH-2" }));
    let task = json!({ "event": "task.settled", "task_id": "tsk_7", "consensus_label": "cat", "confidence": 1.0,
                       "bsv_txid": "x", "settled_at": "2026-04-08T21:05:00Z" });
    let task_delivery = text(&customer.post("/v1/events", task).expect(202)["deliveries"][0]["delivery_id"]);
    world.settle();
    let own = format!("/webhooks/{webhook}/deliveries");
    for sought in [event.as_str(), &delivery, "export-1"] {
        let query = format!("q={sought}");
        let first = |client: &Client, path: &str| client.get(&format!("{path}?{query}")).expect(200);
        assert_eq!(first(&coop, &own)["deliveries"][0]["delivery_id"], json!(delivery), "{sought}");
        assert_eq!(first(&operator, "/operator/deliveries")["deliveries"][0]["delivery_id"], json!(delivery));
        assert_eq!(first(&coop, "/events")["events"][0]["event_id"], json!(event), "{sought}");
        assert_eq!(all(&coop, &own, &query).0, [delivery.as_str()], "and nothing else");
        assert_eq!(all(&coop, "/events", &query).0, [event.as_str()]);
    }
    assert_eq!(all(&coop, &own, &format!("q={webhook}")).0.len(), 2);
    assert_eq!(all(&coop, "/events", &format!("q={webhook}")).0.len(), 2);
    assert_eq!(all(&operator, "/operator/deliveries", &format!("q={task_hook}")).0, [task_delivery.as_str()]);
    assert_eq!(all(&operator, "/operator/deliveries", "q=tsk_7").0, [task_delivery]);
    // Nobody finds what belongs to others.
    let foreign = world.client(&world.token_for(Holder::Account(OTHER_COOP.to_owned()), "webhooks,events"));
    let theirs = text(
        &foreign
            .post("/webhooks", json!({ "url": receiver.url(), "events": ["*"], "cooperative_id": OTHER_COOP }))
            .expect(201)["webhook_id"],
    );
    for sought in [event.as_str(), &delivery, &webhook, "export-1", "BATCH-1", &task_hook] {
        assert_eq!(all(&foreign, "/events", &format!("q={sought}")), (vec![], vec![0]), "{sought}");
        assert_eq!(all(&foreign, &format!("/webhooks/{theirs}/deliveries"), &format!("q={sought}")), (vec![], vec![0]));
        assert_eq!(all(&operator, "/operator/deliveries", &format!("account_id={OTHER_COOP}&q={sought}")).0.len(), 0);
    }
}

#[test]
fn the_words_of_a_payload_are_found_in_any_letter_case_newest_first() {
    let world = World::new();
    let receiver = Receiver::new();
    let (coop, operator) = (world.coop(), world.operator());
    let webhook = coop.webhook(&receiver.url(), &["*"], "s");
    let made: Vec<_> = (0..9)
        .map(|number| {
            let buyer = ["Kampala Coffee Ltd", "Coffee of Kampala", "Mbale Tea"][number % 3];
            let (event, delivery) = publish(&coop, &format!("k{number}"), json!({ "buyer": buyer, "tonnes": number }));
            world.settle();
            (event, delivery)
        })
        .collect();
    let own = format!("/webhooks/{webhook}/deliveries");
    for (sought, kinds) in [
        ("coffee", vec![0, 1]),
        ("kampala COFFEE", vec![0, 1]),
        ("\"kampala coffee\"", vec![0]),
        ("\"buyer\":\"Mbale Tea\"", vec![2]),
        ("buyer ltd", vec![0]),
        ("batch.exported", vec![0, 1, 2]),
        ("nothing of this kind", vec![]),
    ] {
        let of = |pick: fn(&(String, String)) -> String| -> Vec<String> {
            let matching = made.iter().enumerate().rev().filter(|(number, _)| kinds.contains(&(number % 3)));
            matching.map(|(_, one)| pick(one)).collect()
        };
        let query = format!("limit=2&q={}", encoded(sought));
        assert_eq!(all(&coop, &own, &query).0, of(|one| one.1.clone()), "{sought}");
        assert_eq!(all(&operator, "/operator/deliveries", &query).0, of(|one| one.1.clone()), "{sought}");
        assert_eq!(all(&coop, "/events", &query).0, of(|one| one.0.clone()), "{sought}");
    }
    // The other filters hold too.
    assert_eq!(all(&coop, &own, "q=coffee&status=FAILED").0.len(), 0);
    assert_eq!(all(&coop, "/events", "q=coffee&event=dds.filed").0.len(), 0);
    let replay = coop.post(&format!("/webhooks/{webhook}/replay/{}", made[0].1), json!({})).expect(202);
    assert_eq!(all(&coop, &own, "q=ltd").0[0], text(&replay["delivery_id"]), "a replay is a new delivery");
    for path in [own.as_str(), "/events", "/operator/deliveries"] {
        let client = if path.starts_with("/op") { &operator } else { &coop };
        assert_eq!(client.get(&format!("{path}?q={}", "x".repeat(256))).code(400), "INVALID_REQUEST");
        assert_eq!(all(client, path, "q=%20").0.len(), all(client, path, "limit=20").0.len(), "nothing to look for");
    }
}

#[test]
fn what_has_the_text_as_its_key_comes_first_and_then_what_has_it_in_its_payload() {
    let world = World::new();
    let coop = world.coop();
    let webhook = coop.webhook(&Receiver::new().url(), &["*"], "s");
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": "SUSPENDED" })).expect(200);
    let keyed = publish(&coop, "LOT-5", json!({ "lot": "LOT-5" }));
    let later: Vec<_> = (0..3).map(|number| publish(&coop, &format!("k{number}"), json!({ "lot": "lot-5" }))).collect();
    let expected = |pick: fn(&(String, String)) -> String| -> Vec<String> {
        [&keyed].into_iter().chain(later.iter().rev()).map(pick).collect()
    };
    let path = format!("/webhooks/{webhook}/deliveries");
    assert_eq!(all(&coop, &path, "limit=2&q=LOT-5"), (expected(|one| one.1.clone()), vec![1, 2, 1]));
    assert_eq!(all(&coop, "/events", "limit=2&q=LOT-5"), (expected(|one| one.0.clone()), vec![1, 2, 1]));
    // The key of a batch finds each of its events.
    let events: Vec<_> = (0..5).map(|_| json!({ "event": "dds.filed", "cooperative_id": COOP, "data": {} })).collect();
    let body = json!({ "events": events }).to_string();
    let headers = [("content-type", "application/json"), ("idempotency-key", "day-110")];
    let made = coop.send("POST", "/events/batch", &headers, Some(body.as_bytes())).expect(202);
    let mut ids: Vec<_> = made["events"].as_array().expect("a list").iter().map(|one| text(&one["event_id"])).collect();
    ids.reverse();
    let (found, pages) = all(&coop, "/events", "limit=2&q=day-110");
    assert_eq!((found, &pages[..3]), (ids, &[2, 2, 1][..]));
    for cursor in ["key.dlv_01HXYZ7A1B2C3D4E5F6G7H8J9K", "payloads", "nonsense"] {
        assert_eq!(coop.get(&format!("{path}?cursor={cursor}")).code(400), "INVALID_REQUEST", "{cursor}");
    }
}

/// Publishes this many events of a suspended webhook's account into the store; every hundredth says "needle".
fn crowd(world: &World, count: usize) {
    let publish = world.db().write(Actor::Engine, Admission::Batch, move |tx| {
        let account = accounts::find(tx, "asilichain", COOP)?.key;
        for number in 0..count {
            let body = format!(r#"{{"data":{{"note":"{}"}}}}"#, if number % 100 == 50 { "a Needle" } else { "hay" });
            let event = NewEvent { account, kind: "dds.filed".to_owned(), body: body.into(), idempotency_key: None };
            events::publish(tx, &event, &Audience::Subscribers)?;
        }
        Ok(())
    });
    world.block_on(publish).expect("published");
}

#[test]
fn a_page_ends_with_its_time_and_the_next_goes_on_further_back_while_events_are_published() {
    let world = World::new();
    let coop = world.coop();
    let webhook = coop.webhook("http://127.0.0.1:1/", &["*"], "s");
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": "SUSPENDED" })).expect(200);
    crowd(&world, 1000);
    let sought = Sought::parse("needle", &ngoma::api::profiles(&world.config)).expect("short");
    let (mut place, mut pages, mut found) = (Place::Start, Vec::new(), Vec::new());
    loop {
        // No time at all: a page ends when it first looks at its watch.
        let asked = Asked { sought: sought.clone(), place, limit: 20, until: Duration::ZERO };
        let publisher = coop.clone();
        let page = world.db().read(move |view| {
            let range = search::Range::new(view, &Visible::EVERYTHING, Selection::default())?;
            let page = search::list(view, &range, &asked)?;
            // The writer goes on while the read is open.
            publisher.publish("dds.filed", json!({ "note": "needle of later" }));
            Ok(page)
        });
        let (page, next) = world.block_on(page).expect("a page");
        pages.push(page.len());
        found.extend(page.into_iter().map(|listed| listed.delivery.key));
        match next {
            Some(next) => place = next,
            None => break,
        }
    }
    assert_eq!(found.len(), 10, "{pages:?}");
    assert!(found.is_sorted_by(|one, next| one > next), "newest first");
    assert!(pages.len() > 10 && pages.contains(&0), "{pages:?}");
    let asked = Asked { sought, place: Place::Start, limit: 20, until: Duration::ZERO };
    let page = world
        .db()
        .read(move |view| event_list::list(view, &Visible::EVERYTHING, &event_list::Filter::default(), &asked));
    let page = world.block_on(page).expect("a page");
    assert!(page.next.is_some() && page.events.len() < 20, "so does the list of events");
}

#[test]
fn a_damaged_payload_is_no_obstacle() {
    let world = World::new();
    let coop = world.coop();
    let webhook = coop.webhook("http://127.0.0.1:1/", &["*"], "s");
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": "SUSPENDED" })).expect(200);
    crowd(&world, 200);
    Connection::open(world.database())
        .expect("the file")
        .execute_batch("UPDATE event SET body = CAST(x'fffe00' AS TEXT) WHERE key IN (60, 120); UPDATE event SET body = body || 'x' WHERE key = 100")
        .expect("spoiled");
    let found = all(&coop, &format!("/webhooks/{webhook}/deliveries"), "q=needle").0;
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|id| DeliveryId::parse(id).is_some()));
    assert_eq!(all(&coop, "/events", "q=needle").0.len(), 2);
}

/// Holds every thread that may read for a request, until the result is dropped.
fn hold_threads(world: &World) -> impl Drop {
    struct Held(Vec<mpsc::Sender<()>>);
    impl Drop for Held {
        fn drop(&mut self) {
            self.0.clear();
        }
    }
    // As many as tokio has.
    let hold = |_| {
        let (open, gate) = mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || _ = gate.recv());
        open
    };
    Held(world.block_on(async { (0..512).map(hold).collect() }))
}

#[test]
fn searches_take_turns_and_a_page_ends_two_seconds_after_its_turn_has_come() {
    let world = World::new();
    let (coop, operator) = (world.coop(), world.operator());
    let webhook = coop.webhook("http://127.0.0.1:1/", &["*"], "s");
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": "SUSPENDED" })).expect(200);
    crowd(&world, 1000);
    let searches = [(coop, format!("/webhooks/{webhook}/deliveries")), (operator, "/operator/deliveries".to_owned())];
    let held = hold_threads(&world);
    let (tell, told) = mpsc::channel();
    for (client, path) in searches.clone() {
        let tell = tell.clone();
        thread::spawn(move || tell.send(client.get(&format!("{path}?q=needle"))));
    }
    // One of the two has its turn, and cannot read yet; the other waits for its turn.
    let refused = loop {
        world.move_clock(Duration::from_secs(20));
        if let Ok(answer) = told.recv_timeout(Duration::from_millis(20)) {
            break answer;
        }
    };
    assert_eq!(refused.code(429), "RATE_LIMITED");
    assert_eq!(refused.header("retry-after"), "2");
    assert!(refused.text.contains("other searches"), "{}", refused.text);
    // The time of the first one is over before it has begun: it ends when it first looks at the clock.
    drop(held);
    let page = told.recv_timeout(PATIENCE).expect("an answer").expect(200);
    assert!(page["deliveries"].as_array().expect("a list").len() < 10, "{page}");
    assert!(page["next_cursor"].is_string(), "{page}");
    for (client, path) in searches {
        assert_eq!(all(&client, &path, "q=needle").1, [10], "with time enough one page has them all");
    }
}
