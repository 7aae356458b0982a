//! `/health/ready`: whether the server can do its work, part by part, and what somebody should look at.

use std::{
    pin::pin,
    thread,
    time::{Duration, Instant},
};

use ngoma::{domain::audit::Actor, store::Admission};
use serde_json::{Value, json};

use crate::{
    limits::{hold_writer, poll},
    mailbox,
    receiver::PATIENCE,
    world::{Wish, World},
};

fn ready(world: &World, status: u16) -> Value {
    world.stranger().get("/health/ready").expect(status)
}

fn part<'a>(readiness: &'a Value, name: &str) -> (&'a str, &'a str) {
    let text = |field: &str| readiness["parts"][name][field].as_str().expect("a text");
    (text("status"), text("message"))
}

#[test]
fn every_part_says_that_it_is_well() {
    let world = World::new();
    let readiness = ready(&world, 200);
    assert_eq!((&readiness["status"], &readiness["warnings"]), (&json!("ok"), &json!([])));
    assert_eq!(readiness["parts"].as_object().map(serde_json::Map::len), Some(4));
    for name in ["database", "engine", "disk", "clock"] {
        let (status, message) = part(&readiness, name);
        assert!(status == "ok" && message.len() > 10, "{name}: {readiness}");
    }
}

#[test]
fn little_room_on_the_disk_is_a_warning_and_it_stays_ready() {
    let world = World::with(|wish: &mut Wish| wish.config.watch.low_space_bytes = u64::MAX);
    let readiness = ready(&world, 200);
    assert_eq!(readiness["status"], "ok");
    let (status, message) = part(&readiness, "disk");
    assert_eq!(status, "warning");
    assert!(message.contains("MB are left") && message.contains("watch.low_space_bytes"), "{message}");
    assert_eq!(readiness["warnings"], json!([message]));
}

#[test]
fn a_clock_that_was_set_is_a_warning_for_an_hour() {
    for (hours, way) in [(5, "forward"), (-5, "back")] {
        let world = World::new();
        let other = world.now().millis() + hours * 3_600_000;
        world.clock.step(ngoma::domain::timestamp::Timestamp::from_millis(other));
        world.settle();
        world.advance("1s");
        let readiness = ready(&world, 200);
        let (status, message) = part(&readiness, "clock");
        assert_eq!((status, &readiness["warnings"]), ("warning", &json!([message])));
        assert!(message.contains(&format!("set {way} by 18000.0 s")), "{message}");
        world.advance("59m");
        assert_eq!(part(&ready(&world, 200), "clock").0, "warning");
        world.advance("1m");
        assert_eq!(part(&ready(&world, 200), "clock").0, "ok");
    }
}

#[test]
fn a_database_that_is_busy_is_a_warning_and_it_stays_ready() {
    let world = World::with(|wish: &mut Wish| wish.config.limits.waiting_writes = 2);
    world.settle();
    let (open, held) = hold_writer(world.db());
    let mut waits = pin!(world.db().write(Actor::Engine, Admission::Try, |_| Ok(())));
    assert!(poll(waits.as_mut()).is_pending(), "one of two places is taken");
    let stranger = world.stranger();
    let asking = thread::spawn(move || stranger.get("/health/ready").expect(200));
    let begun = Instant::now();
    while world.db().waiting() < 2 {
        assert!(begun.elapsed() < PATIENCE, "it looks");
    }
    drop(open);
    held.join().expect("no panic");
    world.block_on(waits).expect("written");
    let readiness = asking.join().expect("no panic");
    let (status, message) = part(&readiness, "database");
    assert!(status == "warning" && message.contains("limits.waiting_writes"), "{readiness}");
    assert_eq!((&readiness["status"], &readiness["warnings"]), (&json!("ok"), &json!([message])));
    for name in ["engine", "disk", "clock"] {
        assert_eq!(part(&readiness, name).0, "ok", "{name}");
    }
    world.advance("1s");
    assert_eq!(ready(&world, 200)["warnings"], json!([]));
}

#[test]
fn a_writer_and_an_engine_that_are_stuck_are_told_without_waiting_for_them() {
    let world = World::new();
    // What a start writes is written: only the look waits.
    mailbox::told(&world);
    world.settle();
    let (open, held) = hold_writer(world.db());
    let stranger = world.stranger();
    let asking = thread::spawn(move || stranger.get("/health/ready").expect(503));
    let begun = Instant::now();
    while world.db().waiting() == 0 {
        assert!(begun.elapsed() < PATIENCE, "it looks");
    }
    world.move_clock(Duration::from_secs(61));
    let readiness = asking.join().expect("no panic");
    for (name, words) in [("database", "took no write within 5 s"), ("engine", "in the last 61 s")] {
        let (status, message) = part(&readiness, name);
        assert!(status == "unavailable" && message.contains(words), "{name}: {readiness}");
    }
    drop(open);
    held.join().expect("no panic");
    world.advance("1s");
    assert_eq!(ready(&world, 200)["status"], "ok");
}
