//! The key file while the server runs: if it vanishes or is replaced, health and log say so before the next start
//! fails.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use ngoma::{domain::signature::SigningSecret, store::KeyRing};
use serde_json::{Value, json};

use crate::support::{
    client::Client,
    program::run,
    receiver::Receiver,
    site::{SECRET, Site},
    world::{COOP, World},
};

/// A world with a webhook, beside which the built program works with the default names of the files.
fn world(receiver: &Receiver) -> World {
    let world = World::new();
    fs::write(world.folder().join("config.toml"), "").expect("a config");
    world.coop().webhook(&receiver.url(), &["*"], SECRET);
    world
}

fn aside(key: &Path) -> PathBuf {
    key.with_file_name("aside")
}

/// The part of `/health/ready` about the key file, with this status.
#[track_caller]
fn key_part(world: &World, status: u16) -> String {
    let ready = world.stranger().get("/health/ready").expect(status);
    let part = &ready["parts"]["key_file"];
    assert_eq!(part["status"], if status == 200 { "ok" } else { "unavailable" }, "{ready}");
    part["message"].as_str().expect("a sentence").to_owned()
}

/// An event is delivered, signed with the webhook's secret.
#[track_caller]
fn delivers(world: &World, receiver: &Receiver) {
    world.coop().publish("dds.filed", json!({}));
    world.settle();
    let (post, secret) = (receiver.last(), SigningSecret::parse(SECRET.to_owned()).expect("a secret"));
    assert!(secret.verifies_standard(
        post.header("webhook-id"),
        world.now(),
        &post.body,
        post.header("webhook-signature")
    ));
}

fn register(coop: &Client) -> crate::support::client::Answer {
    coop.post("/webhooks", json!({ "url": "http://127.0.0.1:9/", "events": ["loan.repaid"], "cooperative_id": COOP }))
}

/// Deliveries go on, new secrets are refused, and health says why.
#[track_caller]
fn is_told(world: &World, receiver: &Receiver) {
    let said = key_part(world, 503);
    for words in ["storage.key_file", "deliveries go on", "a restart would fail"] {
        assert!(said.contains(words), "{said}");
    }
    delivers(world, receiver);
    let coop = world.coop();
    let answer = register(&coop);
    assert_eq!(answer.code(503), "UNAVAILABLE");
    assert!(answer.text.contains("key file"), "{}", answer.text);
    let all: Value = coop.get("/webhooks").expect(200);
    assert_eq!(all.as_array().map(Vec::len), Some(1), "nothing was stored");
    let webhook = all[0]["webhook_id"].as_str().expect("an id");
    assert_eq!(coop.patch(&format!("/webhooks/{webhook}"), json!({ "secret": "another one" })).status, 503);
    delivers(world, receiver);
}

/// All is well again, and stays so over a restart.
#[track_caller]
fn is_well(world: &mut World, receiver: &Receiver) {
    world.advance("5s");
    key_part(world, 200);
    register(&world.coop()).expect(201);
    world.restart();
    key_part(world, 200);
    delivers(world, receiver);
}

#[test]
fn without_its_key_file_the_server_is_not_ready_and_still_delivers_with_opened_secrets() {
    let receiver = Receiver::new();
    let mut world = world(&receiver);
    let key = world.config.storage.key_file.clone();
    key_part(&world, 200);
    fs::rename(&key, aside(&key)).expect("moved");
    is_told(&world, &receiver);
    fs::rename(aside(&key), &key).expect("moved back");
    is_well(&mut world, &receiver);
}

#[test]
fn a_key_file_of_another_database_is_not_taken_and_seals_nothing() {
    let receiver = Receiver::new();
    let mut world = world(&receiver);
    let key = world.config.storage.key_file.clone();
    let right = fs::read(&key).expect("the key");
    for foreign in [Some(format!("0 {}\n", "7".repeat(64))), Some("a diary\n".to_owned()), Some(String::new()), None] {
        match foreign {
            Some(text) => fs::write(&key, text).expect("written"),
            None => drop(KeyRing::create(&key).expect("another key")),
        }
        is_told(&world, &receiver);
    }
    // Copied back, as from a backup: another file with the same keys.
    fs::remove_file(&key).expect("removed");
    fs::write(&key, right).expect("written");
    fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("set");
    is_well(&mut world, &receiver);
}

#[test]
fn health_reports_a_key_file_that_others_may_use_until_its_mode_is_right() {
    let receiver = Receiver::new();
    let mut world = world(&receiver);
    let key = world.config.storage.key_file.clone();
    fs::set_permissions(&key, Permissions::from_mode(0o644)).expect("set");
    is_told(&world, &receiver);
    fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("set");
    is_well(&mut world, &receiver);
}

#[test]
fn a_rotation_of_the_key_is_no_alarm() {
    let receiver = Receiver::new();
    let mut world = world(&receiver);
    for _ in 0..3 {
        let (code, _, err) = run(world.folder(), &["key", "rotate"]);
        assert_eq!(code, 0, "{err}");
        key_part(&world, 200);
        delivers(&world, &receiver);
    }
    is_well(&mut world, &receiver);
}

#[test]
fn the_log_says_once_that_the_key_file_is_gone_and_once_that_it_is_back() {
    let site = Site::new();
    let server = site.start();
    server.coop().webhook("http://127.0.0.1:9/", &["dds.filed"], SECRET);
    let key = site.folder().join("ngoma.key");
    fs::rename(&key, aside(&key)).expect("moved");
    server.running.error_with("a restart would fail");
    server.running.error_with("ngoma.key is missing, and 1 signing secrets cannot be read without it");
    fs::rename(aside(&key), &key).expect("moved back");
    server.running.error_with("the key file is in its place again");
    let log = server.kill();
    assert_eq!(log.matches("a restart would fail").count(), 1, "{log}");
}

#[test]
fn a_key_file_that_begins_with_a_byte_order_mark_is_read() {
    let receiver = Receiver::new();
    let mut world = world(&receiver);
    world.stop();
    let key = world.folder().join("ngoma.key");
    let text = fs::read_to_string(&key).expect("the key file");
    fs::write(&key, format!("\u{feff}{text}")).expect("written");
    world.start();
    delivers(&world, &receiver);
}
