//! A long history: a page costs no more than the rows it shows, or a bounded scan.

use ngoma::store::deliveries::LOOKED_AT;
use rusqlite::Connection;
use serde_json::Value;

use crate::support::{client::Client, world::World};

/// Two looks and a half.
const LONG: usize = LOOKED_AT * 5 / 2;

/// A webhook with a long history of one event, all delivered but the three oldest: one cancelled, one exhausted and one
/// of another event.
fn with_history(world: &mut World) -> String {
    let webhook = world.coop().webhook("http://127.0.0.1:1/", &["*"], "s");
    world.stop();
    let conn = Connection::open(world.database()).expect("the file");
    let fill = format!(
        "INSERT INTO event (key, id, account, kind, body, accepted_at)
           VALUES (1, randomblob(16), 1, 'dds.filed', '{{}}', 0), (2, randomblob(16), 1, 'loan.repaid', '{{}}', 0);
         INSERT INTO delivery (id, event, endpoint, state, attempts, created_at)
           SELECT randomblob(16), 1 + (value = 0), 1, iif(value = 1, 'cancelled', iif(value = 2, 'exhausted', 'delivered')), 1, 0
           FROM (WITH RECURSIVE n (value) AS (SELECT 0 UNION ALL SELECT value + 1 FROM n LIMIT {LONG}) SELECT * FROM n)
           ORDER BY value;"
    );
    conn.execute_batch(&fill).expect("a history");
    drop(conn);
    world.start();
    webhook
}

/// Follows the cursors of a list to its end; how many deliveries each page held.
fn pages(coop: &Client, webhook: &str, query: &str) -> Vec<usize> {
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = coop.get(&format!("/webhooks/{webhook}/deliveries?{query}{cursor}")).expect(200);
        found.push(page["deliveries"].as_array().map_or(0, Vec::len));
        match &page["next_cursor"] {
            Value::String(next) => cursor = format!("&cursor={next}"),
            _ => return found,
        }
    }
}

#[test]
fn a_page_scans_a_bounded_number_of_deliveries_and_its_cursor_continues_there() {
    let mut world = World::new();
    let webhook = with_history(&mut world);
    let coop = world.coop();
    for (query, expected) in [
        ("event=payout.failed", vec![0, 0, 0]),
        ("event=loan.repaid", vec![0, 0, 1]),
        ("status=PENDING", vec![0, 0, 0]),
        ("status=CANCELLED", vec![0, 0, 1]),
        ("status=DELIVERED&event=loan.repaid", vec![0, 0, 1]),
        // Rare states have an index of their own.
        ("status=FAILED", vec![1]),
        ("status=HELD", vec![0]),
        ("status=IN_FLIGHT&event=payout.failed", vec![0]),
    ] {
        assert_eq!(pages(&coop, &webhook, query), expected, "{query}");
    }
    let full = coop.get(&format!("/webhooks/{webhook}/deliveries?event=dds.filed&limit=100")).expect(200);
    assert_eq!(full["deliveries"].as_array().map(Vec::len), Some(100), "what is found is a full page");
    assert_eq!(full["next_cursor"], full["deliveries"][99]["delivery_id"], "and the next goes on after it");
}
