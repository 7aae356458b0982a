//! Deliveries listed, followed and replayed from the command line, with and without a server on the file.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

use ngoma::clock::Stopwatch;
use serde_json::{Value, json};

use crate::support::{
    program::{Running, finish, ngoma, run, wrong},
    receiver::{PATIENCE, Receiver, Reply},
    world::{COOP, World},
};

/// A world in whose folder the command line finds the file.
fn world() -> World {
    let world = World::new();
    std::fs::write(world.folder().join("config.toml"), "").expect("a config");
    world
}

fn out(world: &World, arguments: &[&str]) -> String {
    let (code, out, err) = run(world.folder(), arguments);
    assert_eq!(code, 0, "{err}");
    out
}

fn refusal(world: &World, arguments: &[&str]) -> String {
    let (code, out, err) = run(world.folder(), arguments);
    assert_eq!((code, out.as_str()), (1, ""), "{arguments:?}");
    err
}

#[test]
fn deliveries_are_listed_by_filter_while_a_server_runs_and_when_none_does() {
    let mut world = world();
    let receiver = Receiver::new();
    receiver.always(Reply::status(500));
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s");
    for event in ["dds.filed", "loan.repaid", "dds.filed"] {
        coop.publish(event, json!({}));
    }
    world.settle();
    receiver.always(Reply::status(410));
    world.advance("30s");
    for serving in [true, false] {
        if !serving {
            world.stop();
        }
        let text = out(&world, &["deliveries"]);
        assert_eq!(text.lines().count(), 4, "{text}");
        let (head, failed) = (text.lines().next().expect("a head"), text.lines().last().expect("a line"));
        assert!(head.starts_with("MADE ") && head.contains("  ATTEMPTS  EVENT"), "{text}");
        let end = head.find("ATTEMPTS").expect("a column") + "ATTEMPTS".len();
        assert!(failed[..end].ends_with(" 2"), "numbers stand to the right: {text}");
        assert!(text.lines().skip(1).all(|line| line.contains(&webhook) && line.contains(COOP)), "{text}");
        let found = |arguments: &[&str]| -> Vec<Value> {
            let text = out(&world, &[&["deliveries", "--json"], arguments].concat());
            serde_json::from_str(&text).expect("a JSON array")
        };
        assert_eq!(found(&[]).len(), 3);
        assert_eq!(found(&["--limit", "2"]).len(), 2);
        assert_eq!(found(&["--event", "loan.repaid", "--account", COOP, "--webhook", &webhook]).len(), 1);
        assert_eq!(found(&["--since", "2026-04-20T11:56:00Z"]).len(), 0);
        assert_eq!(found(&["--error", "dns"]).len(), 0);
        let failed = found(&["--status", "failed", "--error", "status"]);
        assert!(!failed.is_empty() && failed.iter().all(|one| one["status"] == "FAILED"), "{failed:?}");
        assert_eq!((&failed[0]["response_status"], &failed[0]["account_id"]), (&json!(410), &json!(COOP)));
        assert!(run(world.folder(), &["deliveries", "--status", "delivered"]).2.contains("no delivery matches"));
        assert!(refusal(&world, &["deliveries", "--account", "NOBODY"]).contains("account"));
        assert!(wrong(world.folder(), &["deliveries", "--webhook", "x"]).contains("'x'"));
    }
}

#[test]
fn deliveries_are_searched_by_id_by_key_and_by_the_words_of_their_payload() {
    let world = world();
    let coop = world.coop();
    let webhook = coop.webhook("http://127.0.0.1:1/", &["*"], "s");
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": "SUSPENDED" })).expect(200);
    for number in 0..5 {
        let body = json!({ "event": "dds.filed", "cooperative_id": COOP, "idempotency_key": format!("key {number}"),
                           "data": { "batch_id": format!("BATCH-{number}"), "note": "to Mombasa" } });
        coop.post("/events", body).expect(202);
    }
    let ids: Vec<String> =
        coop.deliveries(&webhook).iter().map(|one| one["delivery_id"].as_str().expect("an id").to_owned()).collect();
    let found = |arguments: &[&str]| {
        let (code, out, err) = run(world.folder(), &[&["deliveries", "--json", "--search"], arguments].concat());
        assert_eq!(code, 0, "{err}");
        let found: Vec<Value> = serde_json::from_str(&out).expect("a JSON array");
        (found.iter().map(|one| one["delivery_id"].as_str().expect("an id").to_owned()).collect::<Vec<_>>(), err)
    };
    assert_eq!(found(&["batch_id batch-3"]).0, ids[1..2]);
    assert_eq!(found(&["key 2"]).0, ids[2..3]);
    assert_eq!(found(&[&ids[4]]).0, ids[4..]);
    assert_eq!(found(&[&webhook]).0, ids);
    assert_eq!(found(&["Nairobi"]), (vec![], String::new()));
    let (first, said) = found(&["mombasa", "--limit", "2"]);
    assert_eq!(first, ids[..2]);
    assert!(said.starts_with("searched back to 2026-04-20T11:55:00Z; --after dlv_"), "{said}");
    let after = said.split_once("--after ").and_then(|(_, rest)| rest.split(' ').next()).expect("a place");
    assert_eq!(found(&["mombasa", "--after", after]), (ids[2..].to_vec(), String::new()));
    assert!(wrong(world.folder(), &["deliveries", "--after", "nonsense"]).contains("--after"));
    assert!(wrong(world.folder(), &["deliveries", "--search", " "]).contains("--search"));
}

#[test]
fn following_prints_changes_as_they_come() {
    let world = world();
    let receiver = Receiver::new();
    receiver.next([Reply::status(500)]);
    let coop = world.coop();
    coop.webhook(&receiver.url(), &["*"], "s");
    coop.publish("dds.filed", json!({}));
    world.settle();
    let mut all = Running::start(&mut ngoma(world.folder(), &["deliveries", "--follow"]));
    let mut done =
        Running::start(&mut ngoma(world.folder(), &["deliveries", "--follow", "--status", "delivered", "--json"]));
    all.line_with("PENDING");
    world.advance("30s");
    assert!(all.line_with("dds.filed").contains("DELIVERED"), "the one that is there already changes");
    coop.publish("loan.repaid", json!({}));
    world.settle();
    all.line_with("loan.repaid");
    let line: Value = serde_json::from_str(&done.line_with("loan.repaid")).expect("one object a line");
    assert_eq!(line["status"], "DELIVERED");
    assert!(done.seen.iter().all(|line| line.contains("DELIVERED")), "{:?}", done.seen);
}

#[test]
fn one_delivery_is_replayed_from_the_command_line() {
    let world = world();
    let receiver = Receiver::new();
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s");
    coop.publish("dds.filed", json!({}));
    world.settle();
    let delivery = coop.deliveries(&webhook)[0]["delivery_id"].as_str().expect("an id").to_owned();
    for count in 2..4 {
        // One that was replayed before may be replayed again when it is named.
        let said: Value = serde_json::from_str(&out(&world, &["recover", &delivery, "--json"])).expect("JSON");
        assert!(said["recovery_id"].as_str().is_some_and(|id| id.starts_with("rec_")), "{said}");
        world.move_clock(std::time::Duration::from_secs(1));
        receiver.wait_for(count);
        world.settle();
    }
    assert_eq!(receiver.posts().len(), 3);
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": "SUSPENDED" })).expect(200);
    assert!(refusal(&world, &["recover", &delivery]).contains("suspended"));
    assert!(refusal(&world, &["recover", "dlv_01ARZ3NDEKTSV4RRFFQ69G5FAV"]).contains("no such delivery"));
    assert!(wrong(world.folder(), &["recover", "x"]).contains("'x'"));
    assert!(wrong(world.folder(), &["recover"]).contains("--all"));
}

#[test]
fn matching_deliveries_are_counted_first_and_replayed_with_yes() {
    let mut world = world();
    let receiver = Receiver::new();
    receiver.always(Reply::status(410));
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s");
    let path = format!("/webhooks/{webhook}");
    for _ in 0..3 {
        coop.publish("dds.filed", json!({}));
        world.settle();
        coop.patch(&path, json!({ "status": "ACTIVE", "resend_failed": false })).expect(200);
    }
    world.settle();
    receiver.always(Reply::status(200));
    let said = out(&world, &["recover", "--event", "dds.filed"]);
    assert!(said.starts_with("3 deliveries match, 0 of them") && said.contains("--yes"), "{said}");
    let (_, said, _) = run(world.folder(), &["recover", "--account", COOP, "--error", "tls"]);
    assert!(said.contains("0 deliveries match") && said.ends_with("there is nothing to replay\n"), "{said}");
    world.advance("1m");
    assert_eq!(receiver.posts().len(), 3, "nothing is replayed yet");
    assert!(out(&world, &["recover", "--all", "--status", "cancelled", "--json"]).contains("\"matched\":0"));
    world.stop();
    // No server is there: it is done by the next one.
    let said = out(&world, &["recover", "--all", "--yes"]);
    assert!(said.contains("is not done, 0 of 3") && said.contains("rec_"), "{said}");
    world.start();
    receiver.wait_for(6);
    world.settle();
    assert_eq!(out(&world, &["deliveries", "--status", "delivered", "--quiet"]).lines().count(), 3);
}

#[test]
fn following_ends_when_its_reader_is_gone() {
    let world = world();
    let receiver = Receiver::new();
    let coop = world.coop();
    coop.webhook(&receiver.url(), &["*"], "s");
    coop.publish("dds.filed", json!({}));
    world.settle();
    let mut follow =
        ngoma(world.folder(), &["deliveries", "--follow"]).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut lines = BufReader::new(follow.stdout.take().expect("piped")).lines();
    assert!(lines.next().expect("a line").expect("text").starts_with("MADE "));
    assert!(lines.next().expect("a line").expect("text").contains("dds.filed"));
    drop(lines);
    let begun = Stopwatch::start();
    let ended = loop {
        coop.publish("loan.repaid", json!({}));
        if let Some(status) = follow.try_wait().expect("it is ours") {
            break Some(status);
        }
        if begun.elapsed() > PATIENCE {
            let _ = follow.kill();
            break None;
        }
    };
    assert!(ended.is_some_and(|status| status.success()), "it goes on for nobody");
}

#[test]
fn a_recovery_that_could_send_nothing_again_has_failed() {
    let world = world();
    let receiver = Receiver::new();
    receiver.always(Reply::status(410));
    let coop = world.coop();
    coop.webhook(&receiver.url(), &["*"], "s");
    coop.publish("dds.filed", json!({}));
    world.settle();
    // A webhook that is suspended by its own failure takes no replay.
    let counted = out(&world, &["recover", "--all"]);
    assert!(counted.contains("resume their webhooks first") && !counted.contains("with --yes to"), "{counted}");
    let mut recover = ngoma(world.folder(), &["recover", "--all", "--yes"]);
    let recovering = std::thread::spawn(move || finish(&mut recover));
    while !recovering.is_finished() {
        world.advance("1s");
    }
    let (code, out, err) = recovering.join().expect("no panic");
    assert_eq!((code, out.as_str()), (1, ""), "{err}");
    assert!(err.contains("nothing was replayed: 1 skipped"), "{err}");
}

#[test]
fn a_recovery_takes_a_time_a_url_and_a_status_and_so_does_a_list() {
    let world = world();
    let (shop, bank) = (Receiver::new(), Receiver::new());
    let coop = world.coop();
    for (receiver, name) in [(&shop, "Shop"), (&bank, "bank")] {
        coop.webhook(&format!("{}/{name}", receiver.url()), &["*"], "s");
    }
    coop.publish("dds.filed", json!({}));
    world.settle();
    // The command line has the machine's own clock.
    let (from, until) = (["--since", "2026-04-20T11:00:00Z"], ["--until", "2026-04-20T11:54:00Z"]);
    let listed = |more: &[&str]| {
        out(&world, &[&["deliveries"], more].concat()).lines().filter(|line| line.contains("dlv_")).count()
    };
    assert_eq!(listed(&["--url", "sHOP"]), 1);
    assert_eq!(listed(&[from, ["--until", "2026-04-20T11:56:00Z"]].concat()), 2);
    assert_eq!(listed(&until), 0);
    let matched = |more: &[&str]| {
        let said: Value = serde_json::from_str(&out(&world, &[&["recover", "--json"], more].concat())).expect("JSON");
        said["matched"].as_u64().expect("a count")
    };
    assert_eq!(matched(&["--url", "shop"]), 0, "delivered ones only when asked for");
    assert_eq!(matched(&["--url", "shop", "--status", "delivered"]), 1);
    assert_eq!(matched(&["--all", "--status", "any"]), 2);
    assert_eq!(matched(&[&["--status", "DELIVERED"], &until[..]].concat()), 0);
    assert_eq!(matched(&["--event", "dds.filed", "--status", "delivered"]), 2);
    let started = out(&world, &["retry", "--url", "shop", "--status", "delivered", "--yes", "--json"]);
    let started: Value = serde_json::from_str(&started).expect("JSON");
    assert_eq!(started["retry_id"], started["recovery_id"], "the command's former name, and the id's");
    while shop.posts().len() < 2 {
        world.advance("1s");
    }
    world.settle();
    assert_eq!((shop.posts().len(), bank.posts().len()), (2, 1));
    let path = format!("/operator/recoveries/{}", started["recovery_id"].as_str().expect("an id"));
    let seen = world.operator().get(&path).expect(200);
    assert_eq!((&seen["url"], &seen["status"], &seen["delivered"]), (&json!("shop"), &json!("DELIVERED"), &json!(1)));
    assert!(out(&world, &["deliveries"]).contains("  DELIVERED dlv_"));
}
