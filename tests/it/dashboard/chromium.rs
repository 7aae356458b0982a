//! The dashboard and the docs page in a real browser, by an operator of the built program.

use serde_json::Value;

use crate::support::{
    chromium,
    program::run,
    site::{Server, Site},
};

/// Runs a program of tests/browser against a server, as its operator.
#[track_caller]
fn play(story: &str, server: &Server, site: &Site) {
    let (code, out, err) = run(site.folder(), &["token", "create", "--scope", "operator", "--json"]);
    assert_eq!(code, 0, "{err}");
    let made: Value = serde_json::from_str(&out).expect("JSON");
    chromium::play(story, server.address(), made["token"].as_str().expect("a token"), None);
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
