//! Query plans of alerts.

use rusqlite::Connection;

use crate::{
    durability::query_plans::{plan, statement},
    support::world::World,
};

/// A statement of the store, by its file and how it begins, and how each of its tables is looked up.
const PLANS: &[(&str, &str, &[&str])] = &[
    // A failure that may be warned of reads the warnings of a short time, and the last alert of each kind; each channel
    // reads its due rows.
    (
        "alerts.rs",
        "SELECT count(*) FROM alert WHERE endpoint = ? AND kind = 'warning'",
        &["SEARCH alert USING INDEX alert_of_endpoint (endpoint=? AND kind=? AND created_at>? AND created_at<?)"],
    ),
    (
        "alerts.rs",
        "SELECT key, created_at FROM alert",
        &["SEARCH alert USING INDEX alert_of_endpoint (endpoint=? AND kind=? AND created_at<?)"],
    ),
    (
        "alerts.rs",
        "SELECT 1 FROM alert WHERE endpoint = ? AND kind = 'expiring'",
        &["SEARCH alert USING INDEX alert_of_endpoint (endpoint=? AND kind=?)"],
    ),
    (
        "alerts.rs",
        "UPDATE alert_delivery SET due_at = NULL, dropped_at",
        &[
            "SEARCH alert_delivery USING PRIMARY KEY (alert=?)",
            "LIST SUBQUERY 1",
            "SEARCH alert USING INDEX alert_of_endpoint (endpoint=? AND kind=?)",
        ],
    ),
    (
        "alerts.rs",
        "SELECT alert, due_at FROM alert_delivery",
        &["SEARCH alert_delivery USING COVERING INDEX alert_delivery_due (channel=? AND due_at>?)"],
    ),
    (
        "channels.rs",
        "SELECT count(*) FROM alert_delivery WHERE due_at",
        &[
            "SEARCH alert_delivery USING COVERING INDEX alert_delivery_due (channel=? AND due_at>?)",
            "LIST SUBQUERY 1",
            "SCAN json_each VIRTUAL TABLE INDEX 1:",
        ],
    ),
    // The page of a suspended webhook names the delivery that did it.
    (
        "alerts.rs",
        "SELECT delivery FROM alert",
        &["SEARCH alert USING INDEX alert_of_endpoint (endpoint=? AND kind=?)"],
    ),
    // Of what is unsent, only the recoveries are looked at further: a thousand suspensions cost one look each.
    (
        "gathered_alerts.rs",
        "SELECT good.key AS good",
        &[
            "SEARCH unsent USING COVERING INDEX alert_delivery_due (channel=? AND due_at>?)",
            "SEARCH good USING INTEGER PRIMARY KEY (rowid=?)",
            "SEARCH bad USING INDEX alert_of_endpoint (endpoint=? AND kind=?)",
            "SEARCH also USING PRIMARY KEY (alert=? AND channel=?)",
            "CORRELATED SCALAR SUBQUERY 1",
            "SEARCH alert USING INDEX alert_of_endpoint (endpoint=? AND kind=?)",
            "SEARCH told USING PRIMARY KEY (alert=? AND channel=?)",
            "USE TEMP B-TREE FOR ORDER BY",
        ],
    ),
    (
        "gathered_alerts.rs",
        "UPDATE alert_delivery SET due_at = ?5",
        &[
            "SEARCH alert_delivery USING INDEX alert_delivery_due (channel=? AND due_at>? AND due_at<?)",
            "CORRELATED SCALAR SUBQUERY 1",
            "SEARCH alert USING INTEGER PRIMARY KEY (rowid=?)",
            "SEARCH endpoint USING INTEGER PRIMARY KEY (rowid=?)",
        ],
    ),
];

#[test]
fn an_alert_is_decided_and_sent_without_a_look_at_each_pair_of_those_that_wait() {
    let mut world = World::new();
    world.stop();
    let conn = Connection::open(world.database()).expect("the file");
    for (file, beginning, expected) in PLANS {
        assert_eq!(plan(&conn, &statement(file, beginning)), *expected, "{beginning}");
    }
}
