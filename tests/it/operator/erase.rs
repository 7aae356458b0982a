//! Erasure: an account vanishes at once for every caller, and not a byte of its data is left.

use std::{fs, path::Path, process::Command};

use ngoma::{
    domain::{ids::DeliveryId, selection::Selection, token::Visible},
    store::{candidates::Candidates, erase, recoveries},
};
use rusqlite::Connection;
use serde_json::json;

use crate::support::{
    aging::{age, pass},
    client::Client,
    database::query,
    program::run,
    receiver::{Receiver, Reply},
    world::{COOP, Holder, OTHER_COOP, World},
};

/// A mark in all data of the account: its URLs, events, keys, labels, and its receiver's answers.
const MARK: &str = "erase-me";
const ALL: Visible = Visible::EVERYTHING;
const MAIL: &str = "ops@coop.example";

/// A world beside which the built program works, with an account that has some of everything.
fn world(receiver: &Receiver) -> (World, Client) {
    let world = World::new();
    fs::write(world.folder().join("config.toml"), "").expect("a config");
    receiver.always(Reply::Answer(200, "", MARK.into()));
    let token = |label: &str| {
        let create = ["token", "create", "--account", COOP, "--scope", "webhooks,events", "--label", label, "--json"];
        let (code, out, err) = run(world.folder(), &create);
        assert_eq!(code, 0, "{err}");
        let made: serde_json::Value = serde_json::from_str(&out).expect("JSON");
        made["token"].as_str().expect("a token").to_owned()
    };
    let coop = world.client(&token(MARK));
    let webhook = coop.webhook(&format!("{}/{MARK}", receiver.url()), &["batch.exported"], "first");
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "secret": "second" })).expect(200);
    // One that is suspended, with an alert, a replay and something held; and one that is deleted.
    let gone = coop.webhook(&format!("{}/{MARK}", receiver.url()), &["dds.filed"], "third");
    receiver.next([Reply::Answer(410, "", MARK.into())]);
    coop.publish("dds.filed", json!({ "of": MARK }));
    world.settle();
    assert_eq!(coop.status(&gone), "SUSPENDED");
    coop.publish("dds.filed", json!({ "of": MARK }));
    let deleted = coop.webhook(&format!("{}/{MARK}", receiver.url()), &["loan.repaid"], "fourth");
    coop.delete(&format!("/webhooks/{deleted}")).expect(204);
    for number in 0..300 {
        publish(&coop, COOP, number);
    }
    world.settle();
    let first = coop.deliveries(&webhook)[0]["delivery_id"].as_str().expect("an id").to_owned();
    coop.post(&format!("/webhooks/{webhook}/replay/{first}"), json!({})).expect(202);
    let key = [("content-type", "application/json"), ("idempotency-key", MARK)];
    coop.send("POST", &format!("/webhooks/{webhook}/test"), &key, Some(b"{}")).expect(200);
    world.settle();
    (world, coop)
}

fn publish(client: &Client, account: &str, number: usize) -> u16 {
    let body = json!({ "event": "batch.exported", "cooperative_id": account, "data": { "of": MARK, "n": number } });
    let key = format!("{MARK}-{number}-{account}");
    let headers = [("content-type", "application/json"), ("idempotency-key", key.as_str())];
    client.send("POST", "/events", &headers, Some(body.to_string().as_bytes())).status
}

fn delete(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    run(folder, &[&["account", "delete", COOP], arguments].concat())
}

/// How often this stands in any of the files. Another process reads them: if this one did, it would drop SQLite's
/// locks.
fn left(world: &World, text: &[u8]) -> usize {
    let files = fs::read_dir(world.folder()).expect("a folder").map(|file| file.expect("one").path());
    let files = files.filter(|file| file.extension().is_none_or(|end| end != "toml"));
    let bytes = Command::new("cat").args(files).output().expect("cat runs").stdout;
    bytes.windows(text.len()).filter(|part| *part == text).count()
}

/// Everything that is sealed or hashed for the account.
fn sealed(world: &World) -> Vec<Vec<u8>> {
    let conn = Connection::open(world.database()).expect("the file");
    let sql = "SELECT secret FROM endpoint WHERE secret != x'' UNION ALL
               SELECT former_secret FROM endpoint WHERE former_secret IS NOT NULL UNION ALL
               SELECT hash FROM token JOIN account ON account.key = token.account WHERE account.id = ?";
    let mut rows = conn.prepare(sql).expect("SQL");
    rows.query_map([COOP], |row| row.get(0)).expect("rows").collect::<rusqlite::Result<_>>().expect("bytes")
}

/// The file is whole, and only rows without content are left of the account.
fn check_rest(world: &World) {
    assert_eq!(query::<String>(world, "PRAGMA integrity_check"), "ok");
    let broken = "SELECT count(*) FROM pragma_foreign_key_check";
    assert_eq!(query::<i64>(world, broken), 0);
    let account = "(SELECT key FROM account WHERE profile = '')";
    for (sql, rows) in [
        (format!("SELECT count(*) FROM event WHERE account IN {account}"), 1),
        (format!("SELECT count(*) FROM endpoint WHERE account IN {account}"), 1),
        ("SELECT count(*) FROM delivery JOIN endpoint ON endpoint.key = endpoint WHERE url = ''".to_owned(), 1),
        (format!("SELECT count(*) FROM token WHERE account IN {account}"), 0),
        ("SELECT count(*) FROM tally WHERE endpoint NOT IN (SELECT key FROM endpoint UNION SELECT 0)".to_owned(), 0),
        ("SELECT count(*) FROM erasure".to_owned(), 0),
    ] {
        assert_eq!(query::<i64>(world, &sql), rows, "{sql}");
    }
}

/// The operator sees that an account was erased, and nothing of it.
fn see_as_the_operator(operator: &Client, webhook: &str) {
    for list in ["accounts", "webhooks", "deliveries", "tokens", "audit", "recoveries", "overview"] {
        let shown = operator.get(&format!("/operator/{list}")).expect(200);
        let text = shown.to_string();
        assert!(![COOP, MARK, MAIL].iter().any(|mark| text.contains(mark)), "{list}: {text}");
        assert_eq!(text.contains("erased"), list == "audit", "{list}: {text}");
    }
    assert_eq!(operator.get("/operator/recoveries").expect(200)["recoveries"], json!([]));
    assert_eq!(operator.get("/operator/deliveries").expect(200)["deliveries"], json!([]));
    let entry = &operator.get("/operator/audit").expect(200)["entries"][0];
    assert_eq!((&entry["action"], &entry["actor"]), (&json!("account.erased"), &json!("command line")));
    assert_eq!(operator.get("/operator/accounts/erased%201").status, 404);
    assert_eq!(operator.get(&format!("/operator/webhooks/{webhook}")).status, 404);
    let figures = operator.get("/metrics");
    assert!(figures.status == 200 && !figures.text.contains("profile=\"\""), "{}", figures.text);
}

#[test]
fn an_erased_account_vanishes_for_everybody_and_no_byte_of_it_is_left() {
    let [receiver, slow, failing] = [(); 3].map(|()| Receiver::new());
    let (world, coop) = world(&receiver);
    let sealed = sealed(&world);
    assert!(sealed.len() >= 4 && sealed.iter().all(|one| left(&world, one) > 0));
    let platform = world.client(&world.token_for(Holder::Platform("asilichain".to_owned()), "webhooks,events"));
    let event = coop.publish("dds.filed", json!({}))["event_id"].as_str().expect("an id").to_owned();
    // Two attempts are under way, and answered when all is over.
    slow.always(Reply::GatedBody(MARK.into()));
    failing.always(Reply::Gate(500));
    for late in [&slow, &failing] {
        coop.webhook(&format!("{}/{MARK}", late.url()), &["payout.failed"], "fifth");
    }
    coop.publish("payout.failed", json!({ "of": MARK }));
    for late in [&slow, &failing] {
        late.wait_for(1);
    }

    // One recovery over all it has, one over a webhook, and one over a delivery.
    let operator = world.operator();
    let failed = operator.get(&format!("/operator/deliveries?account_id={COOP}&status=FAILED")).expect(200);
    let failed = &failed["deliveries"][0];
    for of in [json!({ "account_id": COOP }), json!({ "webhook_id": failed["webhook_id"] })] {
        operator.post("/operator/recoveries", of).expect(202);
    }
    let delivery = DeliveryId::parse(failed["delivery_id"].as_str().expect("an id"));
    let selection = Selection { delivery, ..Selection::default() };
    let field = world.block_on(world.db().read(|view| Candidates::new(view, &ALL, selection))).expect("a field");
    world.write(move |tx| recoveries::start(tx, &field, 1)).expect("started");
    assert_eq!(query::<i64>(&world, "SELECT count(*) FROM recovery"), 3);
    world.settle();
    let webhook = coop.get("/webhooks").expect(200)[0]["webhook_id"].as_str().expect("an id").to_owned();
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "name": MARK, "description": MARK })).expect(200);

    let (code, out, err) = delete(world.folder(), &[]);
    assert_eq!(code, 1);
    assert!(out.contains("webhooks 4, tokens 1, events 305, deliveries 307"), "{out}");
    assert!(err.contains("--yes"), "{err}");
    coop.get(&format!("/events/{event}")).expect(200);

    let (code, out, err) = delete(world.folder(), &["--yes"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("nothing of COOP-MBALE-001 is left"), "{out}");
    assert_eq!(coop.get("/webhooks").code(401), "UNAUTHORIZED");
    assert_eq!(publish(&platform, COOP, 1), 404);
    assert_eq!(platform.get(&format!("/events/{event}")).code(404), "EVENT_NOT_FOUND");
    assert_eq!(platform.get("/webhooks").expect(200), json!([]));
    see_as_the_operator(&operator, &webhook);
    let (_, listed, _) = run(world.folder(), &["account", "list"]);
    assert!(!listed.contains(COOP) && !listed.contains("erased") && listed.contains(OTHER_COOP), "{listed}");

    slow.open_gate();
    failing.open_gate();
    world.settle();
    age(&world, "1h");
    for text in [MARK, COOP, MAIL] {
        assert_eq!(left(&world, text.as_bytes()), 0, "{text}");
    }
    for one in &sealed {
        assert_eq!(left(&world, &one[..16]), 0, "a secret or a token");
    }
    check_rest(&world);
    assert!(delete(world.folder(), &["--yes"]).2.contains(&format!("no account {COOP}")));
}

#[test]
fn the_others_keep_all_they_have_and_the_name_can_be_given_again() {
    let receiver = Receiver::new();
    let (mut world, _) = world(&receiver);
    let token = world.token_for(Holder::Account(OTHER_COOP.to_owned()), "webhooks,events");
    let other = world.client(&token);
    let own = Receiver::new();
    let body = json!({ "url": own.url(), "events": ["*"], "cooperative_id": OTHER_COOP, "secret": "theirs" });
    let webhook = other.post("/webhooks", body).expect(201)["webhook_id"].as_str().expect("an id").to_owned();
    for number in 0..20 {
        assert_eq!(publish(&other, OTHER_COOP, number), 202);
    }
    world.settle();
    let before = other.deliveries(&webhook);
    assert_eq!(delete(world.folder(), &["--yes"]).0, 0);
    assert_eq!(other.deliveries(&webhook), before);
    world.account("asilichain", COOP, None);
    let coop = world.coop();
    assert_eq!(coop.get("/webhooks").expect(200), json!([]));
    let posts = receiver.posts().len();
    let fresh = coop.webhook(&receiver.url(), &["*"], "fresh");
    assert_eq!(publish(&coop, COOP, 1), 202, "its keys are fresh too");
    assert_eq!(publish(&other, OTHER_COOP, 99), 202);
    world.settle();
    assert_eq!((receiver.posts().len(), own.posts().len()), (posts + 1, 21));
    assert_eq!(coop.deliveries(&fresh).len(), 1);
    check_rest(&world);
    world.restart();
    assert_eq!(run(world.folder(), &["check"]).0, 0);
    // The rows that kept the keys go when they are old, but for the newest.
    pass(&world);
    for time in ["1h", "90d", "1h", "90d", "1h"] {
        age(&world, time);
    }
    assert_eq!(query::<i64>(&world, "SELECT count(*) FROM endpoint WHERE url = ''"), 0);
    assert_eq!(query::<i64>(&world, "SELECT count(*) FROM event WHERE body = ''"), 0);
}

#[test]
fn an_erasure_that_was_cut_off_is_finished_by_another_or_by_the_server() {
    for by_the_server in [false, true] {
        let receiver = Receiver::new();
        let (mut world, _) = world(&receiver);
        pass(&world);
        world.write(|tx| erase::begin(tx, COOP)).expect("begun");
        for _ in 0..6 {
            let next = world.block_on(world.db().read(|view| {
                let erasure = erase::unfinished(view, None)?.remove(0);
                Ok((erase::next(view, &erasure)?, erasure))
            }));
            let (step, erasure) = next.expect("a step");
            world.write(move |tx| erase::remove(tx, &erasure, &step)).expect("done");
        }
        assert!(left(&world, MARK.as_bytes()) > 0 && left(&world, COOP.as_bytes()) > 0);
        if by_the_server {
            world.crash();
            world.start();
            pass(&world);
        } else {
            world.stop();
            let (code, out, err) = delete(world.folder(), &["--yes"]);
            assert_eq!(code, 0, "{err}");
            assert!(err.contains("goes on") && out.contains("nothing of"), "{out}{err}");
        }
        for text in [MARK, COOP, MAIL] {
            assert_eq!(left(&world, text.as_bytes()), 0, "{text}, by the server: {by_the_server}");
        }
        check_rest(&world);
    }
}
