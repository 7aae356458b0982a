//! How SQLite finds what the store asks for: by the index that was made for it, never past rows that nobody wants.

use std::{fs, path::Path};

use rusqlite::Connection;

use crate::world::World;

/// A statement of the store, by its file and how it begins, and how each of its tables is looked up.
const PLANS: &[(&str, &str, &[&str])] = &[
    // An account may have deleted any number of webhooks: a publish passes none of them, nor does a registration.
    (
        "events.rs",
        "SELECT key, id, url, events, state FROM endpoint",
        &["SEARCH endpoint USING INDEX endpoint_present (account=?)"],
    ),
    ("endpoints.rs", "SELECT count(*) FROM endpoint", &["SEARCH endpoint USING INDEX endpoint_present (account=?)"]),
];

/// The literal in a file of the store that begins so.
fn statement(file: &str, beginning: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store").join(file);
    let text = fs::read_to_string(path).expect("a file of the store");
    let mut found = text.split('"').filter(|literal| literal.trim_start().starts_with(beginning));
    let statement = found.next().unwrap_or_else(|| panic!("{file} asks no '{beginning}'")).to_owned();
    assert!(found.next().is_none(), "{file} asks '{beginning}' twice: name more of it");
    statement
}

/// What SQLite would do, a line for each table, each index and each sort.
fn plan(conn: &Connection, sql: &str) -> Vec<String> {
    let mut rows = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap_or_else(|error| panic!("{sql}: {error}"));
    // Nothing is bound: plans do not depend on it.
    rows.raw_query().mapped(|row| row.get("detail")).collect::<rusqlite::Result<_>>().expect("lines")
}

#[test]
fn what_grows_without_end_is_looked_up_by_its_own_index() {
    let mut world = World::new();
    world.stop();
    let conn = Connection::open(world.database()).expect("the file");
    for (file, beginning, expected) in PLANS {
        assert_eq!(plan(&conn, &statement(file, beginning)), *expected, "{file}: {beginning}");
    }
}

#[test]
fn a_page_of_a_history_is_read_in_order_and_by_index() {
    let mut world = World::new();
    world.stop();
    let conn = Connection::open(world.database()).expect("the file");
    let part = |beginning| statement("deliveries.rs", beginning);
    let (columns, joins) = (part("SELECT d.*"), part("JOIN event"));
    for (state, index) in [
        ("", "delivery_of_endpoint"),
        ("AND d.state = 'cancelled'", "delivery_of_endpoint"),
        ("AND d.state = 'exhausted'", "delivery_exhausted"),
        ("AND d.state = 'held'", "delivery_held"),
        ("AND d.state = 'claimed'", "delivery_claimed"),
    ] {
        for beginning in ["{COLUMNS} INDEXED BY {index}", "SELECT key, id FROM delivery d INDEXED BY {index}"] {
            let passed = if index == "delivery_of_endpoint" { "" } else { state };
            let filled = part(beginning).replace("{COLUMNS}", &columns).replace("{JOINS}", &joins);
            let filled = filled.replace("{index}", index).replace("{state}", state).replace("{passed}", passed);
            let plan = plan(&conn, &filled);
            // In the order of the index: no line says that anything is sorted.
            let looks = |line: &&String| line.starts_with("SEARCH d ") && line.contains(index);
            assert_eq!(plan.iter().filter(looks).count(), 1, "{plan:#?}");
            assert!(plan.iter().all(|line| line.starts_with("SEARCH ")), "{plan:#?}");
        }
    }
}

#[test]
fn what_follows_its_webhook_is_found_by_its_state() {
    let mut world = World::new();
    world.stop();
    let conn = Connection::open(world.database()).expect("the file");
    let follow = statement("queue.rs", "UPDATE delivery SET state = ?3, due_at = ?4, tries");
    for (state, index) in [("pending", "delivery_due"), ("held", "delivery_held")] {
        let plan = plan(&conn, &follow.replace("{}", state));
        let found = format!("SEARCH delivery USING COVERING INDEX {index} (endpoint=?)");
        assert!(plan.contains(&found), "{plan:#?}");
    }
}

#[test]
fn what_is_counted_for_figures_is_found_by_its_state_and_not_past_what_is_done() {
    let mut world = World::new();
    world.stop();
    let conn = Connection::open(world.database()).expect("the file");
    let count = statement("survey.rs", "SELECT count(*) FROM delivery");
    for (state, index) in [
        ("pending", "delivery_due"),
        ("claimed", "delivery_claimed"),
        ("held", "delivery_held"),
        ("exhausted", "delivery_exhausted"),
    ] {
        let expected = format!("SCAN delivery USING COVERING INDEX {index}");
        assert_eq!(plan(&conn, &count.replace("{}", state)), [expected]);
    }
    let oldest = plan(&conn, &statement("survey.rs", "SELECT min("));
    assert!(
        oldest.contains(&"SEARCH delivery USING COVERING INDEX delivery_due (endpoint=?)".to_owned()),
        "{oldest:#?}"
    );
    let unsent = plan(&conn, &statement("survey.rs", "SELECT count(*) FROM alert"));
    assert_eq!(unsent, ["SCAN alert USING INDEX alert_untold"]);
}
