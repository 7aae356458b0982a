//! What a restore brings back and what it must not: tokens, sessions, webhooks, and the count of what is lost.

use std::fs;

use rusqlite::Connection;
use serde_json::{Value, json};

use super::restore::{accept, done};
use crate::support::{
    browser::Browser,
    leaks,
    site::{SECRET, Server, Site},
    world::COOP,
};

/// A new token of the operator: its id, and the token.
fn token(site: &Site) -> [String; 2] {
    let made = done(site, &["token", "create", "--scope", "operator", "--json"]);
    let made: Value = serde_json::from_str(&made).expect("JSON");
    [&made["id"], &made["token"]].map(|text| text.as_str().expect("a text").to_owned())
}

/// Restores a backup, and gives what the command says by `--json`.
fn restored(site: &Site, file: &str) -> Value {
    serde_json::from_str(&done(site, &["restore", file, "--json"])).expect("one JSON object")
}

/// The answer to a request with this token.
fn answer_to(server: &Server, token: &str) -> u16 {
    server.client(token).get("/webhooks").status
}

#[test]
fn what_was_revoked_erased_or_deleted_since_the_backup_is_named_and_a_revoked_token_stays_revoked() {
    let site = Site::new();
    let server = site.start();
    let webhook = server.coop().webhook("http://127.0.0.1:9/", &["batch.*"], SECRET);
    let [leaked, secret] = token(&site);
    done(&site, &["account", "create", "--profile", "asg", "--id", "CUST-GONE"]);
    done(&site, &["backup", "copy.db"]);
    done(&site, &["token", "revoke", &leaked]);
    done(&site, &["account", "delete", "CUST-GONE", "--yes"]);
    server.coop().delete(&format!("/webhooks/{webhook}")).expect(204);
    accept(&server, "after");
    server.stop();
    let said = done(&site, &["restore", "copy.db"]);
    for words in [
        "1 events that were accepted later are lost",
        &format!("stay revoked: {leaked}"),
        "are back, with everything they had. Erase them again:\n    ngoma account delete CUST-GONE\n",
        &format!("deleted since are back, and get deliveries: {webhook}\n"),
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let server = site.start();
    let answer = server.client(&secret).get("/webhooks");
    assert_eq!(answer.status, 401, "a revoked token does not work again: {}", answer.text);
    server.coop().get(&format!("/webhooks/{webhook}")).expect(200);
    server.stop();
    let noted =
        "SELECT count(*) FROM audit WHERE action IN ('database.restored', 'token.revoked') AND actor = 'command line'";
    assert_eq!(site.look::<usize>(noted), 2);

    // Without a database to compare with, the command says so.
    fs::remove_file(site.database()).expect("removed");
    let said = done(&site, &["restore", "copy.db"]);
    assert!(said.contains("compared with no former database: tokens that were revoked since"), "{said}");
    fs::write(site.database(), "damaged").expect("written");
    let said = restored(&site, "copy.db");
    assert!(said["lost_events"].is_null() && said["revoked_tokens"].is_null(), "{said}");
}

#[test]
fn a_revoked_token_stays_revoked_and_a_deleted_webhook_is_named_when_retention_has_removed_their_rows() {
    let site = Site::new();
    let server = site.start();
    let webhook = server.coop().webhook("http://127.0.0.1:9/", &["batch.*"], SECRET);
    let [leaked, secret] = token(&site);
    let [_, good] = token(&site);
    done(&site, &["backup", "copy.db"]);
    done(&site, &["token", "revoke", &leaked]);
    server.coop().delete(&format!("/webhooks/{webhook}")).expect(204);
    server.stop();
    let conn = Connection::open(site.database()).expect("a database");
    let rows = "DELETE FROM token WHERE revoked_at IS NOT NULL; DELETE FROM endpoint WHERE state = 'deleted'";
    conn.execute_batch(rows).expect("removed, as by retention months later");
    drop(conn);

    let said = restored(&site, "copy.db");
    assert_eq!(said["revoked_tokens"], json!([leaked]), "{said}");
    assert_eq!(said["deleted_webhooks"], json!([webhook]), "{said}");
    let server = site.start();
    assert_eq!([&secret, &good].map(|token| answer_to(&server, token)), [401, 200]);
    server.stop();
}

#[test]
fn after_the_wrong_backup_the_right_one_keeps_its_tokens_but_those_that_were_revoked() {
    let site = Site::new();
    let server = site.start();
    done(&site, &["backup", "monday.db"]);
    let ([leaked, secret], [_, good]) = (token(&site), token(&site));
    done(&site, &["backup", "tuesday.db"]);
    done(&site, &["token", "revoke", &leaked]);
    server.stop();
    restored(&site, "monday.db");
    // What monday.db never knew is not forgotten.
    assert_eq!(restored(&site, "tuesday.db")["revoked_tokens"], json!([leaked]));
    let server = site.start();
    assert_eq!([&secret, &good].map(|token| answer_to(&server, token)), [401, 200]);
    server.stop();
}

#[test]
fn a_token_of_an_account_that_was_erased_stays_revoked_when_a_restore_brings_the_account_back() {
    let site = Site::new();
    let words = ["account", "create", "--profile", "asilichain", "--id", "COOP-GONE"];
    done(&site, &words);
    let made = done(&site, &["token", "create", "--account", "COOP-GONE", "--scope", "webhooks", "--json"]);
    let made: Value = serde_json::from_str(&made).expect("JSON");
    done(&site, &["backup", "copy.db"]);
    done(&site, &["account", "delete", "COOP-GONE", "--yes"]);
    let said = restored(&site, "copy.db");
    assert_eq!(said["erased_accounts"], json!(["COOP-GONE"]));
    assert_eq!(said["revoked_tokens"], json!([made["id"]]));
    let server = site.start();
    assert_eq!(answer_to(&server, made["token"].as_str().expect("a token")), 401);
    server.stop();
}

#[test]
fn the_lost_events_are_counted_also_when_an_earlier_restore_has_used_their_numbers_again() {
    let site = Site::new();
    let accepted = |server: Server, day: &str, count: usize| {
        (0..count).for_each(|number| _ = accept(&server, &format!("{day} {number}")));
        server
    };
    let server = accepted(site.start(), "monday", 2);
    done(&site, &["backup", "monday.db"]);
    let server = accepted(server, "tuesday", 20);
    done(&site, &["backup", "tuesday.db"]);
    server.stop();
    assert_eq!(restored(&site, "monday.db")["lost_events"], 20);
    accepted(site.start(), "wednesday", 10).stop();
    assert_eq!(restored(&site, "tuesday.db")["lost_events"], 10);
    assert_eq!(restored(&site, "tuesday.db")["lost_events"], 0);
}

#[test]
fn a_restore_opens_no_session_that_was_ended_and_no_sign_in_link_again() {
    let site = Site::new();
    let [_, operator] = token(&site);
    let server = site.start();
    let made = server.client(&operator).post("/operator/sign-in-links", json!({ "account": COOP })).expect(201);
    let link = made["url"].as_str().and_then(|url| url.rsplit('/').next()).expect("a link").to_owned();
    leaks::secret(&link);
    let mut browser = Browser::at(server.address());
    assert_eq!(browser.enter(&operator).status, 303);
    assert_eq!(browser.get("/ui/webhooks").status, 200);
    done(&site, &["backup", "copy.db"]);
    browser.post("/ui/sign-out", &[]);
    assert_eq!(browser.get("/ui/webhooks").status, 303);
    assert_eq!(browser.post("/ui/enter", &[("link", &link)]).status, 303, "it is opened, once");
    server.stop();

    let said = done(&site, &["restore", "copy.db"]);
    assert!(said.contains("everybody signs in again at the dashboard"), "{said}");
    let server = site.start();
    let mut again = Browser::at(server.address());
    again.cookie = browser.cookie;
    assert_eq!(again.get("/ui/webhooks").status, 303, "the session stays ended");
    assert_eq!(again.post("/ui/enter", &[("link", &link)]).status, 401, "the link stays opened");
    server.stop();
}
