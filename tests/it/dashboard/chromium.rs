//! The dashboard and the docs page in a real browser: Chromium, driven by the programs of tests/browser.

use std::process::Command;

use serde_json::Value;

use crate::support::{
    other_programs::{modules, node_at},
    program::run,
    site::{Server, Site},
};

/// Where pictures of every page go, for people who want to look at them: not committed.
const PICTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/pictures");

/// Runs a program of tests/browser against a server; it must end well.
#[track_caller]
fn play(story: &str, server: &Server, site: &Site) {
    let (code, out, err) = run(site.folder(), &["token", "create", "--scope", "operator", "--json"]);
    assert_eq!(code, 0, "{err}");
    let made: Value = serde_json::from_str(&out).expect("JSON");
    let mut command: Command = node_at(&format!("browser/{story}"));
    command.env("TEST_NODE_MODULES", modules());
    command.args([&format!("http://{}", server.address()), made["token"].as_str().expect("a token"), PICTURES]);
    let output = command.output().expect("it starts");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", said(&output.stdout), said(&output.stderr));
}

#[test]
fn a_day_at_the_dashboard() {
    let mut site = Site::new();
    site.set("ASILICHAIN__WAITS", "[\"200ms\", \"200ms\"]");
    let server = site.start();
    play("dashboard.mjs", &server, &site);
    server.stop();
}

#[test]
fn an_operator_s_daily_work_at_the_dashboard() {
    let site = Site::new();
    let server = site.start();
    play("daily.mjs", &server, &site);
    server.stop();
}

#[test]
fn the_docs_page_is_tried_by_hand() {
    let site = Site::new();
    let server = site.start();
    play("docs.mjs", &server, &site);
    server.stop();
}
