//! `/health/ready`: whether each part of the server works, and warnings for the operator.

use std::{
    pin::pin,
    thread,
    time::{Duration, Instant},
};

use ngoma::{
    domain::audit::Actor,
    error::Error,
    store::{self, Admission, Tx, accounts},
};
use serde_json::{Value, json};

use crate::support::{
    mailbox,
    receiver::{PATIENCE, Receiver, Reply},
    world::{COOP, Wish, World},
    writer::{hold_writer, poll},
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
    assert_eq!(readiness["parts"].as_object().map(serde_json::Map::len), Some(7));
    for name in ["database", "engine", "disk", "clock", "key_file", "backup", "certificate"] {
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
    let readiness = ready(&world, 200);
    drop(open);
    held.join().expect("no panic");
    world.block_on(waits).expect("written");
    let (status, message) = part(&readiness, "database");
    assert!(status == "warning" && message.contains("limits.waiting_writes"), "{readiness}");
    assert_eq!((&readiness["status"], &readiness["warnings"]), (&json!("ok"), &json!([message])));
    for name in ["engine", "disk", "clock"] {
        assert_eq!(part(&readiness, name).0, "ok", "{name}");
    }
    assert_eq!(ready(&world, 200)["warnings"], json!([]));
}

/// From now on the file may have no page more than it has, or as many as it likes.
fn limit_pages(world: &World, pages: u32) {
    world.write(move |tx| store::limit_pages(tx, pages)).expect("it is set");
}

/// Publishes this many kilobytes, and gives the status of the answer.
fn publish(world: &World, kilobytes: usize) -> u16 {
    let data = json!({ "pages": vec!["x".repeat(1024); kilobytes] });
    world.coop().post("/events", json!({ "event": "batch.exported", "cooperative_id": COOP, "data": data })).status
}

#[test]
fn while_writes_fail_it_is_not_ready_though_small_ones_succeed_and_it_recovers_by_itself() {
    let world = World::new();
    limit_pages(&world, 1);
    while publish(&world, 40) == 202 {}
    for _ in 0..15 {
        assert_eq!(publish(&world, 40), 503);
        world.write(store::probe).expect("a row finds room");
        let readiness = ready(&world, 503);
        let (status, message) = part(&readiness, "database");
        assert!(status == "unavailable" && message.contains("the disk is full"), "{readiness}");
    }
    limit_pages(&world, u32::MAX);
    world.advance("4s");
    assert_eq!(part(&ready(&world, 503), "database").0, "unavailable", "it is told for a while");
    world.advance("1s");
    assert_eq!(part(&ready(&world, 200), "database").0, "ok");
}

#[test]
fn health_reports_a_fault_in_one_write_of_many_and_no_refused_request() {
    let world = World::new();
    assert_eq!(world.coop().post("/events", json!({})).status, 400);
    let conflict = |tx: &Tx<'_>| accounts::create(tx, "asilichain", COOP, None);
    world.write(conflict).expect_err("it is there");
    assert_eq!(part(&ready(&world, 200), "database").0, "ok");
    let failed = |_: &Tx<'_>| Err::<(), _>(Error::Internal("database: unable to open database file".to_owned()));
    world.write(failed).expect_err("it fails");
    let readiness = ready(&world, 503);
    let (status, message) = part(&readiness, "database");
    assert!(status == "unavailable" && message.contains("the server's log says why"), "{readiness}");
    // No request writes: the server tries by itself.
    world.advance("5s");
    assert_eq!(part(&ready(&world, 200), "database").0, "ok");
}

#[test]
fn health_reports_paused_deliveries_and_the_reason_until_they_continue() {
    let world = World::new();
    let receiver = Receiver::new();
    // Its answer needs a page of its own.
    receiver.next([Reply::GatedBody(vec![b'a'; 4096])]);
    world.coop().webhook(&receiver.url(), &["dds.filed"], "s");
    world.coop().publish("dds.filed", json!({}));
    receiver.wait_for(1);
    limit_pages(&world, 1);
    for kilobytes in [40, 0] {
        while publish(&world, kilobytes) == 202 {}
    }
    world.until_heard(|| receiver.open_gate());
    world.move_clock(Duration::from_secs(7));
    assert_eq!(world.in_flight(), 1, "its outcome is kept");
    let readiness = ready(&world, 503);
    let (status, message) = part(&readiness, "engine");
    assert!(status == "unavailable" && message.contains("have paused for 7 s"), "{readiness}");
    assert!(message.contains("the disk is full"), "{message}");
    limit_pages(&world, u32::MAX);
    world.advance("1s");
    assert_eq!(part(&ready(&world, 503), "engine").0, "ok");
    world.advance("5s");
    assert_eq!(ready(&world, 200)["status"], "ok");
}

#[test]
fn health_reports_a_stuck_writer_and_a_stuck_engine_without_waiting_for_them() {
    let world = World::new();
    // The writes of the start are done: only the trial write waits.
    mailbox::told(&world);
    world.advance("5s");
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
