//! The API attacked by schemathesis, other people's code: from the contract it makes requests that keep to it and requests
//! that break it, and judges each answer by the contract.

use std::{env, process::Stdio};

use rusqlite::Connection;

use crate::{
    children::schemathesis,
    world::{COOP, CUSTOMER, Holder, Wish, World},
};

/// Requests made for each operation in each phase, at most.
const EXAMPLES: &str = "20";

/// Every check of schemathesis but this one: that what fits the schema is accepted. A schema cannot say which names the
/// catalogue holds, which URLs the guard lets through, which accounts there are, or which cursors a list gave; those are
/// documented refusals (400, 422), and stories of their own.
const NOT_APPLICABLE: &str = "positive_data_acceptance";

fn attack_as(holder: Holder, scopes: &str) {
    let world = World::with(|wish: &mut Wish| {
        // Nothing is sent, not even to this machine.
        wish.config.egress.allow.clear();
        // So that more than the first hundred registrations come to something.
        wish.config.limits.webhooks_per_account = 1000;
    });
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
    let answered: u64 = database
        .query_row("SELECT count(*) FROM attempt WHERE status IS NOT NULL", [], |row| row.get(0))
        .expect("a count");
    assert_eq!(answered, 0, "nothing left this process");
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
