//! Query plans: SQLite reads by the index made for each query, and no rows beyond the answer.

use std::{fs, path::Path};

use rusqlite::{Connection, StatementStatus};

use crate::support::world::World;

/// A statement of the store, by its file and how it begins, and how each of its tables is looked up.
const PLANS: &[(&str, &str, &[&str])] = &[
    // An account may have deleted any number of webhooks: a publish passes none of them, nor does a registration.
    (
        "events.rs",
        "SELECT key, id, events, state, rate_limit IS NULL",
        &["SEARCH endpoint USING INDEX endpoint_present (account=?)"],
    ),
    // At most as many as `limits.webhooks_per_account` are sorted.
    (
        "events.rs",
        "SELECT key, id, state = 'active'",
        &["SEARCH endpoint USING INDEX endpoint_present (account=?)", "USE TEMP B-TREE FOR ORDER BY"],
    ),
    ("answers.rs", "DELETE FROM answer WHERE made_at > ?", &["SEARCH answer USING INDEX answer_by_age (made_at>?)"]),
    // Failed deliveries that a resume sends again are counted and read in order, without reading other failures.
    (
        "outages.rs",
        "SELECT count(*) FROM delivery INDEXED BY delivery_failed",
        &[
            "SEARCH delivery USING COVERING INDEX delivery_failed (outage=?)",
            "SCALAR SUBQUERY 1",
            "SEARCH endpoint USING INTEGER PRIMARY KEY (rowid=?)",
        ],
    ),
    (
        "outages.rs",
        "SELECT d.key, d.event FROM endpoint e",
        &["SEARCH e USING INTEGER PRIMARY KEY (rowid=?)", "SEARCH d USING COVERING INDEX delivery_failed (outage=?)"],
    ),
    // A recovery reads the failed deliveries of one webhook, after those it has seen.
    (
        "candidates.rs",
        "SELECT key FROM delivery INDEXED BY delivery_exhausted",
        &["SEARCH delivery USING COVERING INDEX delivery_exhausted (endpoint=? AND rowid>? AND rowid<?)"],
    ),
    (
        "candidates.rs",
        "SELECT key FROM delivery INDEXED BY delivery_of_endpoint",
        &["SEARCH delivery USING COVERING INDEX delivery_of_endpoint (endpoint=? AND rowid>? AND rowid<?)"],
    ),
    // A recovery counts only its replays that have not ended.
    (
        "recoveries.rs",
        "SELECT recovery.*,",
        &[
            "SCAN recovery",
            "CORRELATED SCALAR SUBQUERY 1",
            "SEARCH delivery USING INDEX delivery_of_recovery (recovery=?)",
        ],
    ),
    // The end of a replay looks at the deliveries of its event, however many its webhook has missed.
    (
        "missed.rs",
        "UPDATE delivery INDEXED BY delivery_of_event",
        &[
            "SEARCH delivery USING INDEX delivery_of_event (event=?)",
            "SCALAR SUBQUERY 1",
            "SEARCH delivery USING INTEGER PRIMARY KEY (rowid=?)",
            "SCALAR SUBQUERY 2",
            "SEARCH delivery USING INTEGER PRIMARY KEY (rowid=?)",
        ],
    ),
    (
        "missed.rs",
        "UPDATE delivery SET missed = 1",
        &[
            "SEARCH delivery USING INTEGER PRIMARY KEY (rowid=?)",
            "CORRELATED SCALAR SUBQUERY 1",
            "SEARCH later USING INDEX delivery_of_event (event=? AND rowid>?)",
        ],
    ),
    // Attempts cut off by a crash are found among the claims, in a file of any size.
    (
        "queue.rs",
        "SELECT d.key, d.id, d.endpoint, d.attempts",
        &[
            "SCAN d USING INDEX delivery_claimed",
            "SEARCH p USING INTEGER PRIMARY KEY (rowid=?)",
            "SEARCH e USING INTEGER PRIMARY KEY (rowid=?)",
        ],
    ),
    // An account's changes are pruned with each of its changes.
    (
        "audit.rs",
        "UPDATE audit SET note",
        &["SEARCH audit USING INTEGER PRIMARY KEY (rowid=?)", "SCALAR SUBQUERY 1", "SEARCH audit"],
    ),
    (
        "stats.rs",
        "SELECT delivered, failed, durations FROM tally WHERE span = ?1",
        &["SEARCH tally USING PRIMARY KEY (span=? AND start=? AND endpoint=?)"],
    ),
    (
        "audit.rs",
        "SELECT * FROM audit INDEXED BY audit_of_account",
        &["SEARCH audit USING INDEX audit_of_account (account=? AND rowid<?)"],
    ),
    // Every page of the dashboard looks up its session.
    (
        "sessions.rs",
        "SELECT token.id AS token_id",
        &[
            "SEARCH session USING PRIMARY KEY (hash=?)",
            "SEARCH token USING INTEGER PRIMARY KEY (rowid=?)",
            "SEARCH account USING INTEGER PRIMARY KEY (rowid=?) LEFT-JOIN",
            // The newest: the last row.
            "SCALAR SUBQUERY 1",
            "SEARCH account",
        ],
    ),
    // A link is looked up by its hash, and the token of an account's links by its account.
    (
        "sign_in_links.rs",
        "SELECT token.id AS token_id",
        &[
            "SEARCH sign_in_link USING PRIMARY KEY (hash=?)",
            "SEARCH token USING INTEGER PRIMARY KEY (rowid=?)",
            "SEARCH account USING INTEGER PRIMARY KEY (rowid=?) LEFT-JOIN",
            "SCALAR SUBQUERY 1",
            "SEARCH account",
        ],
    ),
    ("sign_in_links.rs", "SELECT key FROM token", &["SEARCH token USING INDEX token_of_links (account=?)"]),
    // Every write of a request asks whether its token still stands, and every publish for its account.
    (
        "grants.rs",
        "SELECT scopes, valid_until FROM token",
        &["SEARCH token USING INDEX sqlite_autoindex_token_1 (id=?)"],
    ),
    ("accounts.rs", "SELECT * FROM account\n", &["SEARCH account USING INDEX sqlite_autoindex_account_1 (id=?)"]),
    (
        "retention.rs",
        "SELECT key, octet_length(body) FROM event WHERE key >= ?",
        &[
            "SEARCH event USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
            "CORRELATED SCALAR SUBQUERY 1",
            "SEARCH delivery USING COVERING INDEX delivery_of_event (event=?)",
        ],
    ),
    // An idempotency key is found at once, and payloads are read in order, by their keys.
    (
        "scan.rs",
        "SELECT key FROM event WHERE idempotency_key = ?1",
        &[
            "SEARCH event USING COVERING INDEX event_by_idempotency_key (idempotency_key=?)",
            "USE TEMP B-TREE FOR ORDER BY",
        ],
    ),
    (
        "scan.rs",
        "SELECT key FROM event WHERE idempotency_key > ?1",
        &[
            "SEARCH event USING COVERING INDEX event_by_idempotency_key (idempotency_key>? AND idempotency_key<?)",
            "USE TEMP B-TREE FOR ORDER BY",
        ],
    ),
    (
        "scan.rs",
        "SELECT delivery.event, event.body",
        &["SEARCH delivery USING INTEGER PRIMARY KEY (rowid=?)", "SEARCH event USING INTEGER PRIMARY KEY (rowid=?)"],
    ),
    ("scan.rs", "SELECT key, body FROM event", &["SEARCH event USING INTEGER PRIMARY KEY (rowid=?)"]),
    (
        "event_list.rs",
        "SELECT key FROM event WHERE key >= ?1",
        &["SEARCH event USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"],
    ),
    // The statistics of a webhook read its own attempts, and its own failures.
    (
        "webhook_stats.rs",
        "SELECT d.key, number",
        &[
            "CO-ROUTINE d",
            "SEARCH delivery USING COVERING INDEX delivery_of_endpoint (endpoint=?)",
            "SCAN d",
            "SEARCH attempt USING PRIMARY KEY (delivery=?)",
        ],
    ),
    (
        "webhook_stats.rs",
        "SELECT count(*) FROM (SELECT 1",
        &[
            "CO-ROUTINE (subquery-1)",
            "SEARCH d USING INDEX delivery_exhausted (endpoint=?)",
            "SEARCH e USING INTEGER PRIMARY KEY (rowid=?)",
            "SCAN (subquery-1)",
        ],
    ),
    ("endpoints.rs", "SELECT count(*) FROM endpoint", &["SEARCH endpoint USING INDEX endpoint_present (account=?)"]),
];

/// The literal in a file of the store that begins so.
pub fn statement(file: &str, beginning: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store").join(file);
    let text = fs::read_to_string(path).expect("a file of the store");
    let mut found = text.split('"').filter(|literal| literal.trim_start().starts_with(beginning));
    let statement = found.next().unwrap_or_else(|| panic!("{file} asks no '{beginning}'")).to_owned();
    assert!(found.next().is_none(), "{file} asks '{beginning}' twice: name more of it");
    statement
}

/// SQLite's plan: a line for each table, each index and each sort.
pub fn plan(conn: &Connection, sql: &str) -> Vec<String> {
    let mut rows = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap_or_else(|error| panic!("{sql}: {error}"));
    // Nothing is bound: plans do not depend on it.
    rows.raw_query().mapped(|row| row.get("detail")).collect::<rusqlite::Result<_>>().expect("lines")
}

/// The database of a server that was stopped; its files go with the world.
fn stopped() -> (World, Connection) {
    let mut world = World::new();
    world.stop();
    let conn = Connection::open(world.database()).expect("the file");
    (world, conn)
}

#[test]
fn growing_tables_are_read_by_their_own_index() {
    let (_world, conn) = stopped();
    for (file, beginning, expected) in PLANS {
        assert_eq!(plan(&conn, &statement(file, beginning)), *expected, "{file}: {beginning}");
    }
}

#[test]
fn a_page_of_a_history_is_read_in_order_and_by_index() {
    let (_world, conn) = stopped();
    let part = |beginning| statement("deliveries.rs", beginning);
    let latest = part("{COLUMNS} FROM delivery d INDEXED BY delivery_of_endpoint");
    let latest = latest.replace("{COLUMNS}", &part("SELECT d.*")).replace("{JOINS}", &part("JOIN event"));
    let plan = plan(&conn, &latest);
    // In the order of the index: no line says that anything is sorted.
    let looks = |line: &&String| line.starts_with("SEARCH d ") && line.contains("delivery_of_endpoint");
    assert_eq!(plan.iter().filter(looks).count(), 1, "{plan:#?}");
    // The newest replay is looked for among the deliveries of the event.
    let newest =
        |line: &&String| line.starts_with("SEARCH newer ") && line.contains("delivery_of_event (event=? AND rowid>?)");
    assert_eq!(plan.iter().filter(newest).count(), 1, "{plan:#?}");
    let reads = |line: &String| line.starts_with("SEARCH ") || line.starts_with("CORRELATED SCALAR SUBQUERY");
    assert!(plan.iter().all(reads), "{plan:#?}");
}

#[test]
fn a_search_reads_only_rows_it_may_show_and_in_order() {
    let (_world, conn) = stopped();
    let search = |beginning| statement("search.rs", beginning);
    for (index, state) in [("delivery_due", "pending"), ("delivery_held", "held"), ("delivery_exhausted", "exhausted")]
    {
        let sql = statement("range.rs", "SELECT endpoint FROM delivery INDEXED BY")
            .replace("{index}", index)
            .replace("{state}", state);
        assert_eq!(plan(&conn, &sql), [format!("SEARCH delivery USING COVERING INDEX {index} (endpoint>?)")]);
    }
    for (index, endpoint, state, expected) in [
        (
            "INDEXED BY delivery_of_endpoint",
            "endpoint = ?1",
            "",
            "COVERING INDEX delivery_of_endpoint (endpoint=? AND ",
        ),
        (
            "INDEXED BY delivery_held",
            "endpoint = ?1",
            "AND state = 'held'",
            "COVERING INDEX delivery_held (endpoint=? AND ",
        ),
        ("NOT INDEXED", "?1 IS NULL", "", "INTEGER PRIMARY KEY ("),
    ] {
        let sql =
            search("SELECT key FROM delivery d {index}").replace("{index}", index).replace("{endpoint}", endpoint);
        let expected = format!("SEARCH d USING {expected}rowid>? AND rowid<?)");
        assert_eq!(plan(&conn, &sql.replace("{state}", state)), [expected]);
    }
    let claimed = search("SELECT key FROM delivery d {index}").replace("{index}", "INDEXED BY delivery_claimed");
    let claimed = claimed.replace("{endpoint}", "?1 IS NULL").replace("{state}", "AND state = 'claimed'");
    assert_eq!(plan(&conn, &claimed), ["SEARCH d USING COVERING INDEX delivery_claimed (key>? AND key<?)"]);
    for (table, beginning, range) in ["delivery", "event"].into_iter().flat_map(|table| {
        [
            (table, "SELECT id FROM {table} WHERE id >=", ">?)"),
            (table, "SELECT id FROM {table} WHERE id <", "<?)"),
            (table, "SELECT {which}(key) FROM {table}", ">? AND id<?)"),
        ]
    }) {
        let sql = statement("moments.rs", beginning).replace("{which}", "min").replace("{table}", table);
        let expected = format!("SEARCH {table} USING COVERING INDEX sqlite_autoindex_{table}_1 (id{range}");
        assert_eq!(plan(&conn, &sql), [expected]);
    }
    let events = search("SELECT key FROM delivery INDEXED BY delivery_of_event");
    assert_eq!(plan(&conn, &events), ["SEARCH delivery USING COVERING INDEX delivery_of_event (event=? AND rowid<?)"]);
}

#[test]
fn the_overview_and_the_list_of_webhooks_read_only_rows_that_they_show() {
    let (_world, conn) = stopped();
    const BY_ENDPOINT: &str =
        "SELECT ifnull(sum((SELECT count(*) FROM delivery WHERE endpoint = endpoint.key AND {which}";
    let overview = |beginning| statement("overview.rs", beginning);
    for (index, which) in
        [("delivery_due", "state = 'pending'"), ("delivery_held", "state = 'held'"), ("delivery_missed", "missed = 1")]
    {
        let all = overview("SELECT count(*) FROM delivery INDEXED BY {index}");
        let all = plan(&conn, &all.replace("{index}", index).replace("{which}", which));
        assert_eq!(all, [format!("SCAN delivery USING COVERING INDEX {index}")]);
        let own = overview(BY_ENDPOINT).replace("{which}", which);
        let own = plan(&conn, &own.replace("{whose}", "account = ?1"));
        assert!(own[0].starts_with("SEARCH endpoint USING COVERING INDEX endpoint_"), "{own:#?}");
        assert_eq!(own.last(), Some(&format!("SEARCH delivery USING COVERING INDEX {index} (endpoint=?)")));
    }
    let flying = overview("SELECT count(*) FROM delivery INDEXED BY delivery_claimed");
    let flying = plan(&conn, &flying.replace("{whose}", "account = ?1"));
    assert_eq!(flying[0], "SCAN delivery USING INDEX delivery_claimed");
    let oldest = plan(&conn, &overview("SELECT min((SELECT due_at").replace("{whose}", "account = ?1"));
    assert!(oldest[0].starts_with("SEARCH endpoint USING INDEX endpoint_"), "{oldest:#?}");
    assert_eq!(
        oldest.last().map(String::as_str),
        Some("SEARCH delivery USING COVERING INDEX delivery_due (endpoint=?)")
    );
    let select = statement("endpoints.rs", "SELECT endpoint.*");
    for (beginning, expected) in [
        (
            "{SELECT} WHERE endpoint.account = ?1 AND",
            "SEARCH endpoint USING INDEX endpoint_of_account (account=? AND rowid<?)",
        ),
        ("{SELECT} WHERE ?1 IS NULL AND", "SEARCH endpoint USING INTEGER PRIMARY KEY (rowid<?)"),
    ] {
        let plan = plan(&conn, &statement("webhooks.rs", beginning).replace("{SELECT}", &select));
        assert!(plan.contains(&expected.to_owned()), "{plan:#?}");
        assert!(plan.iter().all(|line| line.starts_with("SEARCH ")), "in order, and nothing is sorted: {plan:#?}");
    }
}

#[test]
fn deliveries_of_a_cascade_are_found_by_their_state() {
    let (_world, conn) = stopped();
    let follow = statement("cascade.rs", "UPDATE delivery SET state = ?3, due_at = ?4, tries");
    for (state, index) in [("pending", "delivery_due"), ("held", "delivery_held")] {
        let plan = plan(&conn, &follow.replace("{}", state));
        let found = format!("SEARCH delivery USING COVERING INDEX {index} (endpoint=?)");
        assert!(plan.contains(&found), "{plan:#?}");
    }
}

#[test]
fn gauges_are_counted_by_state_without_reading_finished_rows() {
    let (_world, conn) = stopped();
    let count = statement("gauges.rs", "SELECT count(*) FROM delivery");
    for (which, index) in [
        ("state = 'pending'", "delivery_due"),
        ("state = 'claimed'", "delivery_claimed"),
        ("state = 'held'", "delivery_held"),
        ("missed = 1", "delivery_missed"),
    ] {
        let expected = format!("SCAN delivery USING COVERING INDEX {index}");
        assert_eq!(plan(&conn, &count.replace("{which}", which)), [expected]);
    }
    let oldest = plan(&conn, &statement("gauges.rs", "SELECT min("));
    assert!(
        oldest.contains(&"SEARCH delivery USING COVERING INDEX delivery_due (endpoint=?)".to_owned()),
        "{oldest:#?}"
    );
}

#[test]
fn expired_rows_are_found_by_key_and_references_to_them_by_index() {
    let (_world, conn) = stopped();
    let spent = statement("retention.rs", "SELECT key, {ANSWERS} FROM delivery WHERE key >= ?");
    let answers = statement("retention.rs", "(SELECT ifnull(sum(ifnull(octet_length(response)");
    let spent = plan(&conn, &spent.replace("{states}", "'delivered'").replace("{ANSWERS}", &answers));
    assert_eq!(spent[0], "SEARCH delivery USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)");
    for found in ["SEARCH attempt USING PRIMARY KEY (delivery=?)", "INDEX delivery_replay (replay_of=?)"] {
        assert_eq!(spent.iter().filter(|line| line.contains(found)).count(), 1, "{spent:#?}");
    }
    assert_eq!(spent.len(), 5, "nothing is sorted: {spent:#?}");
    let expire = plan(&conn, &statement("cascade.rs", "UPDATE delivery SET state = 'cancelled'"));
    let found = "SEARCH delivery USING COVERING INDEX delivery_held (endpoint=? AND rowid<?)";
    assert!(expire.contains(&found.to_owned()), "{expire:#?}");
    // A plan does not show how references are found: only the work shows it.
    conn.pragma_update(None, "foreign_keys", true).expect("set");
    conn.execute_batch(
        "INSERT INTO endpoint (key, id, account, profile, url, events, state, created_at, secret)
           SELECT value, randomblob(16), 1, 'p', 'https://r.example/', '*', 'active', 0, x'00' FROM (SELECT 1 AS value UNION ALL SELECT 2);
         WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT 1000)
           INSERT INTO event (key, id, account, kind, body, accepted_at) SELECT value, randomblob(16), 1, 'k', '{}', 0 FROM n;
         INSERT INTO delivery (key, id, event, endpoint, state, attempts, created_at)
           SELECT key, randomblob(16), key, 1, 'delivered', 1, 0 FROM event;
         INSERT INTO attempt (delivery, number, started_at) SELECT key, 1, 0 FROM delivery;",
    )
    .expect("rows");
    for (row, sql) in [
        ("an attempt", "DELETE FROM attempt WHERE delivery = 7"),
        ("a delivery", "DELETE FROM delivery WHERE key = 7"),
        ("an event", "DELETE FROM event WHERE key = 7"),
        ("an endpoint", "DELETE FROM endpoint WHERE key = 2"),
    ] {
        let mut statement = conn.prepare(sql).expect(row);
        assert_eq!(statement.execute([]), Ok(1), "{row}");
        assert_eq!(statement.get_status(StatementStatus::FullscanStep), 0, "{row}: tables are read through");
    }
}
