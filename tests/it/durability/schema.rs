//! The schema refuses half-states: one row of the table for each CHECK, and one for each key and reference that
//! matters.

use rusqlite::{Connection, ErrorCode};

use crate::support::world::World;

/// One valid row of everything, in every state, to break in one place at a time.
const VALID: &str = "
    INSERT INTO account (key, id, profile, created_at) VALUES (9, 'A', 'p', 0);
    INSERT INTO token (key, id, hash, account, profile, scopes, created_at)
      VALUES (1, zeroblob(16), zeroblob(32), 9, 'p', 'events', 0);
    INSERT INTO session (hash, token, expires_at) VALUES (zeroblob(32), 1, 0);
    INSERT INTO sign_in_link (hash, token, expires_at) VALUES (zeroblob(32), 1, 0);
    INSERT INTO endpoint (key, id, account, profile, url, events, state, created_at, secret)
      VALUES (1, zeroblob(16), 9, 'p', 'https://r.example/', '*', 'active', 0, x'00');
    INSERT INTO endpoint (key, id, account, profile, url, events, state, suspended_at, suspended_reason, created_at, secret)
      VALUES (2, randomblob(16), 9, 'p', 'https://r.example/', '*', 'suspended', 1, 'paused', 0, x'00');
    INSERT INTO event (key, id, account, kind, body, accepted_at) VALUES (1, zeroblob(16), 9, 'k', '{}', 0);
    INSERT INTO event (key, id, account, kind, body, accepted_at, idempotency_key, digest)
      VALUES (2, randomblob(16), 9, 'k', '{}', 0, 'once', zeroblob(32));
    INSERT INTO delivery (key, id, event, endpoint, state, due_at, created_at) VALUES (1, zeroblob(16), 1, 1, 'pending', 5, 0);
    INSERT INTO delivery (key, id, event, endpoint, state, attempts, tries, started_at, created_at)
      VALUES (2, randomblob(16), 1, 1, 'claimed', 1, 1, 5, 0);
    INSERT INTO delivery (key, id, event, endpoint, state, attempts, tries, created_at)
      VALUES (3, randomblob(16), 1, 1, 'delivered', 1, 1, 0), (4, randomblob(16), 1, 1, 'exhausted', 3, 3, 0);
    INSERT INTO delivery (key, id, event, endpoint, state, created_at)
      VALUES (5, randomblob(16), 1, 1, 'held', 0), (6, randomblob(16), 1, 1, 'cancelled', 0);
    INSERT INTO attempt (delivery, number, started_at) VALUES (3, 1, 0);
    INSERT INTO alert (key, id, endpoint, kind, created_at, since, failure, delivery)
      VALUES (1, zeroblob(16), 1, 'suspended', 0, 0, 'dns', zeroblob(16));
    INSERT INTO alert (key, id, endpoint, kind, created_at, since, failure, tries) VALUES (2, randomblob(16), 1, 'warning', 0, 0, 'dns', 3);
    INSERT INTO alert (key, id, endpoint, kind, created_at, since, held) VALUES (3, randomblob(16), 1, 'expiring', 0, 0, 7);
    INSERT INTO alert (key, id, kind, created_at, since, about, said) VALUES (4, randomblob(16), 'operator', 0, 0, 'server.disk_low', 'x');
    INSERT INTO alert_delivery (alert, channel, due_at) VALUES (1, 'log', 5);
    INSERT INTO alert_delivery (alert, channel, told_at) VALUES (1, 'mail', 5);
    INSERT INTO alert_delivery (alert, channel, dropped_at) VALUES (1, 'webhook', 5);
    INSERT INTO notice (key, id, account, endpoint, kind, created_at, due_at) VALUES (1, zeroblob(16), 9, 1, 'delivery.failed', 0, 1);
    INSERT INTO tally (span, start, endpoint, delivered, failed, durations) VALUES (60, 0, 1, 1, 0, zeroblob(64));
    INSERT INTO recovery (key, id, created_at, actor, state, upto, matched) VALUES (1, randomblob(16), 0, 'engine', 'running', 7, 1);
    INSERT INTO recovery (key, id, created_at, actor, state, ended_at, upto, endpoint, delivery, matched)
      VALUES (2, randomblob(16), 0, 'engine', 'done', 1, 7, zeroblob(16), zeroblob(16), 1);";

/// The CHECKs, by their text in the schema, and writes that would break each.
const CHECKS: &[(&str, &[&str])] = &[
    (
        "length(id) = 16",
        &[
            "UPDATE token SET id = zeroblob(15) WHERE key = 1",
            "UPDATE endpoint SET id = zeroblob(17) WHERE key = 1",
            "UPDATE event SET id = zeroblob(0) WHERE key = 1",
            "UPDATE delivery SET id = zeroblob(15) WHERE key = 1",
            "UPDATE alert SET id = zeroblob(15) WHERE key = 1",
            "UPDATE recovery SET id = zeroblob(15) WHERE key = 1",
        ],
    ),
    (
        "length(hash) = 32",
        &[
            "UPDATE token SET hash = zeroblob(31) WHERE key = 1",
            "UPDATE session SET hash = zeroblob(31)",
            "UPDATE sign_in_link SET hash = zeroblob(31)",
        ],
    ),
    ("by_link IN (0, 1)", &["UPDATE token SET by_link = 2 WHERE key = 1"]),
    (
        "rate_limit BETWEEN 100 AND 1000000",
        &["UPDATE endpoint SET rate_limit = 99", "UPDATE endpoint SET rate_limit = 1000001"],
    ),
    ("ordered IN (0, 1)", &["UPDATE endpoint SET ordered = 2"]),
    ("account IS NULL OR profile IS NOT NULL", &["UPDATE token SET profile = NULL WHERE key = 1"]),
    (
        "state IN ('active', 'suspended', 'deleted')",
        &["UPDATE endpoint SET state = 'asleep' WHERE key = 1", "UPDATE endpoint SET state = 'ACTIVE' WHERE key = 1"],
    ),
    (
        "(state = 'suspended') = (suspended_at IS NOT NULL)",
        &[
            "UPDATE endpoint SET state = 'suspended' WHERE key = 1",
            "UPDATE endpoint SET state = 'active' WHERE key = 2",
            "UPDATE endpoint SET state = 'deleted' WHERE key = 2",
        ],
    ),
    (
        "(suspended_at IS NULL) = (suspended_reason IS NULL)",
        &[
            "UPDATE endpoint SET suspended_reason = NULL WHERE key = 2",
            "UPDATE endpoint SET suspended_reason = 'gone' WHERE key = 1",
        ],
    ),
    (
        "(alerts_id IS NULL) = (alerts_url IS NULL)",
        &["UPDATE account SET alerts_url = 'x', alerts_secret = x'00' WHERE key = 9"],
    ),
    (
        "(alerts_secret IS NULL) = (alerts_url IS NULL)",
        &["UPDATE account SET alerts_url = 'x', alerts_id = x'00' WHERE key = 9"],
    ),
    (
        "kind IN ('webhook.suspended', 'webhook.recovered', 'delivery.failed')",
        &["UPDATE notice SET kind = 'delivery.delivered' WHERE key = 1"],
    ),
    ("deleted_at IS NULL OR state = 'deleted'", &["UPDATE endpoint SET deleted_at = 1 WHERE key = 1"]),
    (
        "former_leads IN (0, former_secret IS NOT NULL)",
        &["UPDATE endpoint SET former_leads = 1 WHERE key = 1", "UPDATE endpoint SET former_leads = 2 WHERE key = 1"],
    ),
    ("resend IS NULL OR state != 'deleted'", &["UPDATE endpoint SET state = 'deleted', resend = 4 WHERE key = 1"]),
    ("outage IS NULL OR state = 'exhausted'", &["UPDATE delivery SET outage = 4 WHERE key = 5"]),
    (
        "(former_secret IS NULL) = (former_until IS NULL)",
        &[
            "UPDATE endpoint SET former_secret = x'00' WHERE key = 1",
            "UPDATE endpoint SET former_until = 7 WHERE key = 1",
        ],
    ),
    ("timed_out IN (0, 1)", &["UPDATE endpoint SET timed_out = 2"]),
    ("one = 1", &["INSERT INTO moment (one, at) VALUES (2, 7)"]),
    ("dev IN (0, serving)", &["UPDATE moment SET dev = 1, serving = 0", "UPDATE moment SET dev = 2, serving = 1"]),
    ("test IN (0, 1)", &["UPDATE event SET test = 2 WHERE key = 1"]),
    ("length(digest) = 32", &["UPDATE event SET digest = zeroblob(20) WHERE key = 2"]),
    (
        "(idempotency_key IS NULL) = (digest IS NULL)",
        &["UPDATE event SET digest = NULL WHERE key = 2", "UPDATE event SET digest = zeroblob(32) WHERE key = 1"],
    ),
    (
        "state IN ('pending', 'claimed', 'delivered', 'exhausted', 'held', 'cancelled')",
        &["UPDATE delivery SET state = 'lost' WHERE key = 5"],
    ),
    ("attempts >= 0", &["UPDATE delivery SET attempts = -1, tries = -1 WHERE key = 1"]),
    (
        "tries BETWEEN 0 AND attempts",
        &["UPDATE delivery SET tries = attempts + 1 WHERE key = 4", "UPDATE delivery SET tries = -1 WHERE key = 4"],
    ),
    (
        "(state = 'pending') = (due_at IS NOT NULL)",
        &[
            "UPDATE delivery SET due_at = NULL WHERE key = 1",
            "UPDATE delivery SET state = 'held' WHERE key = 1",
            "UPDATE delivery SET state = 'pending' WHERE key = 5",
            "UPDATE delivery SET due_at = 7 WHERE key = 2",
            "UPDATE delivery SET due_at = 7 WHERE key = 3",
            "UPDATE delivery SET due_at = 7 WHERE key = 6",
        ],
    ),
    (
        "(state = 'claimed') = (started_at IS NOT NULL)",
        &[
            "UPDATE delivery SET started_at = NULL WHERE key = 2",
            "UPDATE delivery SET state = 'claimed' WHERE key = 3",
            "UPDATE delivery SET started_at = 5 WHERE key = 1",
        ],
    ),
    (
        "state NOT IN ('claimed', 'delivered', 'exhausted') OR attempts > 0",
        &[
            "UPDATE delivery SET attempts = 0, tries = 0 WHERE key = 2",
            "UPDATE delivery SET attempts = 0, tries = 0 WHERE key = 3",
            "UPDATE delivery SET attempts = 0, tries = 0 WHERE key = 4",
        ],
    ),
    ("replayed IN (0, 1)", &["UPDATE delivery SET replayed = 2 WHERE key = 4"]),
    (
        "missed IN (0, state = 'exhausted')",
        &["UPDATE delivery SET missed = 2 WHERE key = 4", "UPDATE delivery SET missed = 1 WHERE key = 3"],
    ),
    ("number > 0", &["UPDATE attempt SET number = 0"]),
    ("truncated IN (0, 1)", &["UPDATE attempt SET truncated = 2"]),
    (
        "kind IN ('suspended', 'warning', 'expiring', 'recovered', 'operator')",
        &["UPDATE alert SET kind = 'bored' WHERE key = 1"],
    ),
    (
        "(kind IN ('suspended', 'warning')) = (failure IS NOT NULL)",
        &["UPDATE alert SET failure = NULL WHERE key = 1", "UPDATE alert SET failure = 'dns' WHERE key = 3"],
    ),
    (
        "(kind = 'warning') = (tries IS NOT NULL)",
        &["UPDATE alert SET tries = 1 WHERE key = 1", "UPDATE alert SET tries = NULL WHERE key = 2"],
    ),
    (
        "(kind = 'expiring') = (held IS NOT NULL)",
        &["UPDATE alert SET held = 1 WHERE key = 1", "UPDATE alert SET held = NULL WHERE key = 3"],
    ),
    ("channel != ''", &["UPDATE alert_delivery SET channel = '' WHERE channel = 'log'"]),
    ("cleared_at IS NULL OR kind = 'operator'", &["UPDATE alert SET cleared_at = 1 WHERE key = 1"]),
    (
        "(kind = 'operator') = (endpoint IS NULL)",
        &["UPDATE alert SET endpoint = NULL WHERE key = 1", "UPDATE alert SET endpoint = 1 WHERE key = 4"],
    ),
    (
        "(kind = 'operator') = (about IS NOT NULL)",
        &[
            "UPDATE alert SET about = 'x', said = 'x' WHERE key = 1",
            "UPDATE alert SET about = NULL, said = NULL WHERE key = 4",
        ],
    ),
    (
        "(about IS NULL) = (said IS NULL)",
        &["UPDATE alert SET said = 'x' WHERE key = 1", "UPDATE alert SET said = NULL WHERE key = 4"],
    ),
    ("serving IN (0, 1)", &["UPDATE moment SET serving = 2"]),
    ("tries >= 0", &["UPDATE alert_delivery SET tries = -1"]),
    (
        "(due_at IS NOT NULL) + (told_at IS NOT NULL) + (dropped_at IS NOT NULL) = 1",
        &[
            "UPDATE alert_delivery SET due_at = NULL WHERE channel = 'log'",
            "UPDATE alert_delivery SET due_at = 7 WHERE channel = 'mail'",
            "UPDATE alert_delivery SET told_at = 7 WHERE channel = 'webhook'",
        ],
    ),
    ("span IN (60, 3600)", &["UPDATE tally SET span = 61"]),
    ("length(durations) = 64", &["UPDATE tally SET durations = zeroblob(60)"]),
    (
        "(last_failure IS NULL) = (last_failure_at IS NULL)",
        &[
            "UPDATE endpoint SET last_failure = 'dns' WHERE key = 1",
            "UPDATE endpoint SET last_failure_at = 7 WHERE key = 1",
        ],
    ),
    (
        "state IN ('running', 'done', 'cancelled')",
        &["UPDATE recovery SET state = 'asleep', ended_at = 1 WHERE key = 1"],
    ),
    ("length(endpoint) = 16", &["UPDATE recovery SET endpoint = zeroblob(15) WHERE key = 2"]),
    ("wanted IN ('exhausted', 'delivered', 'cancelled')", &["UPDATE recovery SET wanted = 'held' WHERE key = 2"]),
    (
        "length(delivery) = 16",
        &[
            "UPDATE alert SET delivery = zeroblob(15) WHERE key = 1",
            "UPDATE recovery SET delivery = zeroblob(15) WHERE key = 2",
        ],
    ),
    (
        "(state = 'running') = (ended_at IS NULL)",
        &["UPDATE recovery SET ended_at = 1 WHERE key = 1", "UPDATE recovery SET ended_at = NULL WHERE key = 2"],
    ),
];

/// Rows that keys and references refuse.
const KEYS: &[(&str, &str)] = &[
    (
        "an account's id is its own in all profiles",
        "INSERT INTO account (id, profile, created_at) VALUES ('A', 'q', 0)",
    ),
    ("a session's hash is its own", "INSERT INTO session SELECT * FROM session"),
    ("a session has a token", "UPDATE session SET token = 77"),
    ("a link's hash is its own", "INSERT INTO sign_in_link SELECT * FROM sign_in_link"),
    ("a link has a token", "UPDATE sign_in_link SET token = 77"),
    (
        "an account has one token for its links",
        "INSERT INTO token (id, hash, account, profile, scopes, created_at, by_link)
         VALUES (randomblob(16), randomblob(32), 9, 'p', 'events', 0, 1), (randomblob(16), randomblob(32), 9, 'p', 'events', 0, 1)",
    ),
    (
        "a token's hash is its own",
        "INSERT INTO token SELECT 2, randomblob(16), hash, account, profile, scopes, label, 0, NULL, NULL, 0, NULL FROM token",
    ),
    ("a delivery's id is its own", "UPDATE delivery SET id = (SELECT id FROM delivery WHERE key = 2) WHERE key = 1"),
    ("an attempt is recorded once", "INSERT INTO attempt (delivery, number, started_at) VALUES (3, 1, 0)"),
    (
        "an idempotency key names one event of an account",
        "INSERT INTO event SELECT 3, randomblob(16), account, kind, body, 0, NULL, 0, idempotency_key, digest, NULL FROM event WHERE key = 2",
    ),
    ("a delivery has an event", "DELETE FROM event WHERE key = 1"),
    ("a delivery has an endpoint", "UPDATE delivery SET endpoint = 77 WHERE key = 1"),
    ("an alert has an endpoint", "UPDATE alert SET endpoint = 77 WHERE key = 1"),
    ("an alert's id is its own", "UPDATE alert SET id = (SELECT id FROM alert WHERE key = 2) WHERE key = 1"),
    ("an alert is told once by a way", "INSERT INTO alert_delivery (alert, channel, due_at) VALUES (1, 'log', 6)"),
    ("an endpoint has an account", "DELETE FROM account WHERE id = 'A'"),
    ("a moment is a number", "UPDATE delivery SET due_at = 'soon' WHERE key = 1"),
];

/// A database as a server makes it, with one valid row of everything.
fn database() -> (World, Connection) {
    let mut world = World::new();
    world.stop();
    let conn = Connection::open(world.database()).expect("the file");
    conn.pragma_update(None, "foreign_keys", true).expect("set");
    conn.execute_batch(VALID).expect("every state is valid when it is whole");
    (world, conn)
}

/// The sentence with which a write is refused.
fn refusal(conn: &Connection, sql: &str) -> String {
    let error = conn.execute(sql, []).err().unwrap_or_else(|| panic!("it was not refused: {sql}"));
    assert_eq!(error.sqlite_error_code(), Some(ErrorCode::ConstraintViolation), "{sql}: {error}");
    error.to_string()
}

#[test]
fn every_check_of_the_schema_refuses_the_half_state_that_it_names() {
    let (_world, conn) = database();
    for (check, writes) in CHECKS {
        for sql in *writes {
            assert_eq!(refusal(&conn, sql), format!("CHECK constraint failed: {check}"), "{sql}");
        }
    }
}

#[test]
fn every_check_of_the_schema_is_in_the_table() {
    let (_world, conn) = database();
    let mut rows = conn.prepare("SELECT sql FROM sqlite_schema WHERE type = 'table' AND sql IS NOT NULL").expect("SQL");
    let tables = rows.query_map([], |row| row.get::<_, String>(0)).expect("rows");
    let schema = tables.collect::<rusqlite::Result<Vec<_>>>().expect("texts").concat();
    let mut count = 0;
    for rest in schema.split("CHECK (").skip(1) {
        assert!(
            CHECKS.iter().any(|(check, _)| rest.starts_with(&format!("{check})"))),
            "no test of: CHECK ({rest:.60}"
        );
        count += 1;
    }
    assert!(count >= CHECKS.len(), "the table names a CHECK that is not in the schema");
}

#[test]
fn keys_and_references_hold() {
    let (_world, conn) = database();
    for (promise, sql) in KEYS {
        let error = conn.execute(sql, []).err().unwrap_or_else(|| panic!("not kept: {promise}"));
        assert_eq!(error.sqlite_error_code(), Some(ErrorCode::ConstraintViolation), "{promise}: {error}");
    }
}

/// A statement of the schema, to compare: for a table its columns in order, its constraints in any order, and its
/// options.
fn shape(sql: &str) -> (String, Vec<String>, Vec<String>, String) {
    let words =
        |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ").replace("( ", "(").replace(" )", ")");
    let bare: String =
        sql.lines().map(|line| line.split("--").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    let bare = words(&bare.replace('"', ""));
    let Some((head, rest)) = bare.strip_prefix("CREATE TABLE ").and_then(|table| table.split_once('(')) else {
        return (bare, Vec::new(), Vec::new(), String::new());
    };
    let (body, options) = rest.rsplit_once(')').expect("a closing bracket");
    let (mut items, mut depth) = (vec![String::new()], 0);
    for c in body.chars() {
        depth += i32::from(c == '(') - i32::from(c == ')');
        match c {
            ',' if depth == 0 => items.push(String::new()),
            c => items.last_mut().expect("an item").push(c),
        }
    }
    let items = items.iter().map(|item| words(item));
    let (mut constraints, columns): (Vec<_>, Vec<_>) =
        items.partition(|item| item.starts_with("CHECK") || item.starts_with("PRIMARY KEY"));
    constraints.sort();
    (words(head), columns, constraints, words(options))
}

#[test]
fn the_schema_that_is_there_to_read_is_the_one_that_the_migrations_make() {
    let (_world, conn) = database();
    let mut rows =
        conn.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'").expect("SQL");
    let rows = rows.query_map([], |row| row.get::<_, String>(0)).expect("rows");
    let mut made: Vec<_> = rows.map(|sql| shape(&sql.expect("a text"))).collect();
    let text = include_str!("../../../src/store/schema.sql");
    // No comment holds a semicolon at its line's end.
    let mut read: Vec<_> = text
        .split_inclusive(";\n")
        .filter(|sql| sql.contains("CREATE "))
        .map(|sql| shape(sql.trim_end().trim_end_matches(';')))
        .collect();
    made.sort();
    read.sort();
    assert_eq!(read, made, "src/store/schema.sql says what the migrations do not make, or the other way round");
}
