//! Chromium, driven by the programs of tests/browser.

use std::process::Command;

use serde_json::Value;

use crate::support::other_programs::{modules, node_at};

/// Where pictures of every page go, for people who want to look at them: not committed.
const PICTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/pictures");

/// Runs a program of tests/browser against a server; it must end well. Returns its output.
#[track_caller]
pub fn play(story: &str, address: &str, token: &str, facts: Option<&Value>) -> String {
    let mut command: Command = node_at(&format!("browser/{story}"));
    command.env("TEST_NODE_MODULES", modules());
    command.args([&format!("http://{address}"), token, PICTURES]);
    command.args(facts.map(Value::to_string));
    let output = command.output().expect("it starts");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", said(&output.stdout), said(&output.stderr));
    said(&output.stdout)
}
