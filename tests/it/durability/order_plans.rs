//! Query plans of the order of an ordered webhook.

use rusqlite::Connection;

use crate::{
    durability::query_plans::{plan, statement},
    support::world::World,
};

/// A statement, by its beginning, and how each of its tables is looked up.
const PLANS: &[(&str, &[&str])] = &[
    ("SELECT key, key AS place", &["SEARCH delivery USING INDEX delivery_of_endpoint (endpoint=? AND rowid>?)"]),
    ("SELECT key, place, state", &["SEARCH delivery USING INDEX delivery_resent (endpoint=? AND place>?)"]),
    (
        "SELECT ifnull(min(key), 0)",
        &[
            "CO-ROUTINE (subquery-3)",
            "COMPOUND QUERY",
            "LEFT-MOST SUBQUERY",
            "SEARCH delivery USING COVERING INDEX delivery_due (endpoint=?)",
            "UNION ALL",
            "SEARCH delivery USING COVERING INDEX delivery_held (endpoint=?)",
            "UNION ALL",
            "SEARCH delivery USING INDEX delivery_claimed",
            "SEARCH (subquery-3)",
        ],
    ),
];

#[test]
fn the_next_delivery_in_order_is_found_from_the_last_one_on_however_many_have_ended_before() {
    let mut world = World::new();
    world.stop();
    let conn = Connection::open(world.database()).expect("the file");
    for (beginning, expected) in PLANS {
        assert_eq!(plan(&conn, &statement("in_order.rs", beginning)), *expected, "{beginning}");
    }
}
