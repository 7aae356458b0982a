//! Webhooks listed, tested, paused, resumed and recovered from the command line, with and without a server on the file.

use serde_json::{Value, json};

use crate::support::{
    program::finish,
    receiver::{Receiver, Reply},
    site::Site,
    world::{COOP, CUSTOMER},
};

/// The output and the message of a command that must end with this code.
#[track_caller]
fn out(site: &Site, arguments: &[&str], code: i32) -> String {
    let (ended, out, err) = finish(&mut site.command_of(arguments));
    assert_eq!(ended, code, "{arguments:?}: {out}{err}");
    out + &err
}

#[track_caller]
fn json_of(site: &Site, arguments: &[&str]) -> Value {
    let text = out(site, &[arguments, &["--json"]].concat(), 0);
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("one JSON value: {text}"))
}

#[test]
fn webhooks_are_listed_under_a_head_with_their_state_account_and_url() {
    let site = Site::new();
    assert!(out(&site, &["webhooks", "list"], 0).contains("there is no webhook"), "and where they come from");
    let server = site.start();
    let (coop, customer) = (server.coop(), server.customer());
    let webhook = coop.webhook("http://127.0.0.1:1/coop", &["batch.*"], "s");
    let gone = coop.webhook("http://127.0.0.1:1/gone", &["*"], "s");
    coop.delete(&format!("/webhooks/{gone}")).expect(204);
    let task = customer.post("/v1/webhooks", json!({ "callback_url": "http://127.0.0.1:1/customer" })).expect(201);
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": "SUSPENDED" })).expect(200);
    let mut serving = Some(server);
    for _ in ["while it is served", "after that"] {
        let text = out(&site, &["webhooks", "list"], 0);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        for column in ["WEBHOOK", "STATUS", "SINCE", "ACCOUNT", "URL"] {
            assert!(lines[0].contains(column), "{text}");
        }
        for word in [&*webhook, "SUSPENDED", COOP, "http://127.0.0.1:1/coop"] {
            let column = lines[0].find(if word == COOP { "ACCOUNT" } else { "WEBHOOK" }).expect("a column");
            assert!(lines[1][column..].contains(word), "{text}");
        }
        let listed = json_of(&site, &["webhooks", "list"]);
        assert_eq!(listed.as_array().map(Vec::len), Some(2));
        let one = &listed[0];
        assert_eq!((&one["webhook_id"], &one["status"]), (&json!(webhook), &json!("SUSPENDED")));
        assert_eq!((&one["suspended_reason"], &one["events"]), (&json!("paused"), &json!(["batch.*"])));
        assert_eq!((&listed[1]["webhook_id"], &listed[1]["account_id"]), (&task["webhook_id"], &json!(CUSTOMER)));
        let own = json_of(&site, &["webhooks", "list", "--account", CUSTOMER]);
        assert_eq!(own.as_array().map(Vec::len), Some(1));
        assert!(out(&site, &["webhooks", "list", "--account", "NOBODY"], 1).contains("no account NOBODY"));
        if let Some(server) = serving.take() {
            server.stop();
        }
    }
    let accounts = out(&site, &["account", "list"], 0);
    assert!(accounts.starts_with("ACCOUNT ") && accounts.contains(COOP), "{accounts}");
    let tokens = out(&site, &["token", "list"], 0);
    assert!(tokens.starts_with("TOKEN ") && tokens.contains("tok_"), "{tokens}");
}

#[test]
fn a_webhook_is_paused_and_resumed_and_its_failed_deliveries_are_recovered() {
    let mut site = Site::new();
    site.set("ASILICHAIN__WAITS", "[]");
    let receiver = Receiver::new();
    let server = site.start();
    let coop = server.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s");
    assert_eq!(json_of(&site, &["webhooks", "pause", &webhook]), json!({ "webhook_id": webhook, "paused": true }));
    assert_eq!(coop.status(&webhook), "SUSPENDED");
    assert!(out(&site, &["webhooks", "pause", &webhook], 0).contains("suspended already"));
    coop.publish("dds.filed", json!({}));
    assert_eq!(json_of(&site, &["webhooks", "resume", &webhook])["released_deliveries"], 1);
    receiver.wait_for(1);
    assert!(out(&site, &["webhooks", "resume", &webhook], 0).contains("active already"));
    let said = out(&site, &["webhooks", "pause", &webhook], 0);
    assert!(said.contains(&format!("ngoma webhooks resume {webhook}")), "{said}");
    out(&site, &["webhooks", "resume", &webhook, "--leave-failed"], 0);

    receiver.always(Reply::status(500));
    coop.publish("dds.filed", json!({}));
    receiver.wait_for(2);
    let page = format!("/webhooks/{webhook}");
    while coop.get(&page).expect(200)["status"] != "SUSPENDED" {}
    receiver.always(Reply::status(200));
    out(&site, &["webhooks", "resume", &webhook, "--leave-failed"], 0);
    let counted = json_of(&site, &["webhooks", "recover", &webhook]);
    assert_eq!((&counted["matched"], receiver.posts().len()), (&json!(1), 2), "only counted");
    assert!(out(&site, &["webhooks", "recover", &webhook, "--yes"], 0).contains("1 replayed"));
    receiver.wait_for(3);
    coop.delete(&page).expect(204);
    for verb in ["pause", "resume", "test"] {
        let refused = out(&site, &["webhooks", verb, &webhook], 1);
        assert!(refused.contains("is deleted"), "{verb}: {refused}");
        assert!(out(&site, &["webhooks", verb, "x"], 2).contains("'x' is no webhook's id"));
    }
}

#[test]
fn a_test_is_sent_from_the_command_line_and_its_exit_code_says_whether_it_arrived() {
    let site = Site::new();
    let receiver = Receiver::new();
    let server = site.start();
    let webhook = server.coop().webhook(&receiver.url(), &["batch.*"], "s");
    out(&site, &["webhooks", "pause", &webhook], 0);
    let said = out(&site, &["webhooks", "test", &webhook], 0);
    assert!(said.contains("a test of batch.delivered has arrived: status 200"), "{said}");
    assert_eq!(receiver.only().header("ngoma-test"), "true");
    server.stop();

    let told = json_of(&site, &["webhooks", "test", &webhook, "--event", "dds.filed"]);
    assert_eq!((&told["delivered"], &told["event"]), (&json!(true), &json!("dds.filed")));
    assert_eq!(receiver.wait_for(2)[1].json()["event"], "dds.filed");
    receiver.always(Reply::status(500));
    let failed = out(&site, &["webhooks", "test", &webhook], 1);
    assert!(failed.contains("did not arrive: status 500"), "{failed}");
    let listed = out(&site, &["deliveries"], 0);
    assert!(listed.contains("batch.delivered (test)") && listed.contains("dds.filed (test)"), "{listed}");
    let unknown = out(&site, &["webhooks", "test", &webhook, "--event", "nothing"], 2);
    assert!(unknown.contains("'nothing' is unknown"), "{unknown}");
    let mut elsewhere = site.command_of(&["webhooks", "test", &webhook]);
    let (code, _, blocked) = finish(elsewhere.env("NGOMA_EGRESS__ALLOW", "[]"));
    assert!(code == 1 && blocked.contains("blocked"), "{blocked}");
}
