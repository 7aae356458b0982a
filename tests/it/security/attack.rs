//! The API attacked by schemathesis, other people's code: from the contract it makes requests that keep to it and
//! requests that break it, and judges each answer by the contract.

use std::{
    env, io,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rusqlite::Connection;
use serde_json::json;

use crate::support::{
    other_programs::schemathesis,
    world::{COOP, CUSTOMER, Holder, Wish, World},
};

/// Requests made for each operation in each phase, at most.
const EXAMPLES: &str = "20";

/// Every check of schemathesis but this one: that what fits the schema is accepted. A schema cannot say which names the
/// catalogue holds, which URLs the guard lets through, which accounts there are, or which cursors a list gave; those
/// are documented refusals (400, 422), and stories of their own.
const NOT_APPLICABLE: &str = "positive_data_acceptance";

fn attack_as(holder: Holder, scopes: &str) {
    let inside = Arc::new(AtomicBool::new(false));
    let is_inside = Arc::clone(&inside);
    let world = World::with(|wish: &mut Wish| {
        // Nothing is sent, not even to this machine; and that is where every name leads.
        wish.config.egress.allow.clear();
        wish.look_up = Arc::new(move |_, port| match is_inside.load(Ordering::SeqCst) {
            true => Ok(vec![([127, 0, 0, 1], port).into()]),
            false => Err(io::ErrorKind::NotFound.into()),
        });
        // So that more than the first hundred registrations come to something.
        wish.config.limits.webhooks_per_account = 1000;
    });
    // A subscriber for each event that the attacker publishes.
    let url = "http://inside.example/";
    world.coop().webhook(url, &["*"], "s");
    world.customer().post("/v1/webhooks", json!({ "callback_url": url })).expect(201);
    inside.store(true, Ordering::SeqCst);
    // Its look-up is remembered for a second.
    world.move_clock(Duration::from_secs(2));
    let event = json!({ "event": "dds.filed", "cooperative_id": COOP, "data": {} });
    world.coop().post("/events", event).expect(202);
    let token = world.token_for(holder, scopes);
    let seed = env::var("TEST_SEED").unwrap_or_else(|_| "53".to_owned());
    let attack = schemathesis()
        .args(["run", &format!("http://{}/openapi.json", world.address())])
        .args(["--header", &format!("Authorization: Bearer {token}")])
        .args(["--checks", "all", "--exclude-checks", NOT_APPLICABLE])
        .args(["--max-examples", EXAMPLES, "--seed", &seed, "--continue-on-failure"])
        .args(["--request-timeout", "20", "--generation-database", "none", "--warnings", "off", "--no-color"])
        .current_dir(world.folder())
        .env("NO_PROXY", "127.0.0.1")
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    let report = String::from_utf8_lossy(&attack.stdout);
    let errors = String::from_utf8_lossy(&attack.stderr);
    assert!(attack.status.success(), "this comes back with TEST_SEED={seed}:\n{report}\n{errors}");
    let figures = report.lines().find(|line| line.contains(" generated, ")).expect("the figures");
    let count: usize = figures.split_whitespace().next().and_then(|count| count.parse().ok()).expect("a number");
    assert!(count >= 300, "hardly anything was tried: {figures}");
    println!("attack: seed {seed}, {}", figures.trim());
    let database = Connection::open(world.database()).expect("the file");
    let count = |sql: &str| -> u64 { database.query_row(sql, [], |row| row.get(0)).expect("a count") };
    let attempts = count("SELECT count(*) FROM attempt");
    println!("attack: {attempts} attempts");
    assert!(attempts > 0, "something was to be sent");
    let blocked = count("SELECT count(*) FROM attempt WHERE failure = 'blocked' AND status IS NULL");
    assert_eq!(blocked, attempts, "nothing left this process");
}

#[test]
fn an_attacker_with_an_operator_s_token_finds_nothing_that_the_contract_does_not_say() {
    attack_as(Holder::Operator, "operator");
}

#[test]
fn an_attacker_with_a_cooperative_s_token_finds_nothing_that_the_contract_does_not_say() {
    attack_as(Holder::Account(COOP.to_owned()), "webhooks,events");
}

#[test]
fn an_attacker_with_a_customer_s_token_finds_nothing_that_the_contract_does_not_say() {
    attack_as(Holder::Account(CUSTOMER.to_owned()), "webhooks,events");
}
