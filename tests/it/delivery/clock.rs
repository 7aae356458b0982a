//! The clock is set, forward and back, by an hour and by a year: each delivery waits as long as was decided.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use ngoma::domain::timestamp::Timestamp;
use serde_json::{Value, json};

use crate::support::{
    flaky_receiver::Random,
    program::finish,
    receiver::{PATIENCE, Receiver, Reply},
    site::{SECRET, Site, event_of, publish},
    world::World,
};

const HOUR: i64 = 3_600_000;
const YEAR: i64 = 365 * 24 * HOUR;
const STEPS: [i64; 4] = [HOUR, -HOUR, YEAR, -YEAR];
const MILLISECOND: Duration = Duration::from_millis(1);
/// AsiliChain's waits, in seconds.
const WAITS: [u64; 4] = [30, 300, 1800, 7200];

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Sets the clock while no time passes.
fn set_clock(world: &World, by: i64) {
    world.clock.step(Timestamp::from_millis(world.now().millis() + by));
}

/// Sets it, and waits until the server has done all due work.
fn step(world: &World, by: i64) {
    set_clock(world, by);
    world.settle();
}

/// Lets time pass, and waits until nothing is due.
fn pass(world: &World, time: Duration) {
    world.move_clock(time);
    world.settle();
}

/// Nothing comes until this time has passed, and then one POST does.
#[track_caller]
fn comes_after(world: &World, receiver: &Receiver, time: Duration, what: &str) {
    let before = receiver.posts().len();
    pass(world, time.checked_sub(MILLISECOND).expect("some time"));
    assert_eq!(receiver.posts().len(), before, "{what}: too early");
    pass(world, MILLISECOND);
    assert_eq!(receiver.posts().len(), before + 1, "{what}: not on time");
}

fn statuses(world: &World, webhook: &str) -> Vec<String> {
    let status = |delivery: &Value| delivery["status"].as_str().expect("a status").to_owned();
    world.coop().deliveries(webhook).iter().map(status).collect()
}

/// A world with a webhook whose first POST has come and gets this reply.
fn failed_once(reply: Reply) -> (World, Receiver, String) {
    let (world, receiver) = (World::new(), Receiver::new());
    receiver.next([reply]);
    let webhook = world.coop().webhook(&receiver.url(), &["*"], "s3cret");
    world.coop().publish("batch.exported", json!({}));
    receiver.wait_for(1);
    (world, receiver, webhook)
}

#[test]
fn a_retry_that_waits_when_the_clock_is_set_comes_when_its_time_has_passed() {
    for by in STEPS {
        let (world, receiver, webhook) = failed_once(Reply::status(500));
        world.settle();
        pass(&world, secs(10));
        step(&world, by);
        comes_after(&world, &receiver, secs(20), &format!("{by} ms"));
        assert_eq!(statuses(&world, &webhook), ["DELIVERED"]);
        assert_eq!(world.coop().status(&webhook), "ACTIVE");
    }
}

#[test]
fn a_wait_set_by_retry_after_survives_a_set_clock() {
    for by in STEPS {
        let (world, receiver, webhook) = failed_once(Reply::Answer(429, "retry-after: 600\r\n", Vec::new()));
        world.settle();
        pass(&world, secs(300));
        step(&world, by);
        comes_after(&world, &receiver, secs(300), &format!("{by} ms"));
        assert_eq!(statuses(&world, &webhook), ["DELIVERED"]);
    }
}

#[test]
fn an_attempt_in_flight_when_the_clock_is_set_is_made_once_and_its_wait_begins_when_it_has_ended() {
    for by in STEPS {
        let (world, receiver, webhook) = failed_once(Reply::Gate(500));
        set_clock(&world, by);
        assert_eq!(world.in_flight(), 1, "{by} ms: it is not given up");
        world.move_clock(secs(3));
        assert_eq!(world.in_flight(), 1, "{by} ms");
        receiver.open_gate();
        world.settle();
        comes_after(&world, &receiver, secs(30), &format!("{by} ms"));
        let numbers: Vec<String> =
            receiver.posts().iter().map(|post| post.header("ngoma-attempt").to_owned()).collect();
        assert_eq!(numbers, ["1", "2"], "{by} ms");
        assert_eq!(statuses(&world, &webhook), ["DELIVERED"]);
    }
}

#[test]
fn a_set_clock_leaves_held_deliveries_held_and_suspended_webhooks_suspended() {
    for by in STEPS {
        let (world, receiver) = (World::new(), Receiver::new());
        let coop = world.coop();
        let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
        let path = format!("/webhooks/{webhook}");
        coop.patch(&path, json!({ "status": "SUSPENDED" })).expect(200);
        coop.publish("batch.exported", json!({}));
        step(&world, by);
        pass(&world, secs(100_000));
        assert_eq!(receiver.posts().len(), 0, "{by} ms");
        assert_eq!(
            (statuses(&world, &webhook), coop.status(&webhook)),
            (vec!["HELD".to_owned()], "SUSPENDED".to_owned())
        );
        coop.patch(&path, json!({ "status": "ACTIVE" })).expect(200);
        world.settle();
        step(&world, -by);
        assert_eq!(statuses(&world, &webhook), ["DELIVERED"]);
    }
}

#[test]
fn no_webhook_is_suspended_before_every_wait_has_passed_however_often_the_clock_is_set() {
    for by in STEPS {
        let (world, receiver) = (World::new(), Receiver::new());
        receiver.always(Reply::status(500));
        let coop = world.coop();
        let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
        coop.publish("batch.exported", json!({}));
        world.settle();
        for wait in WAITS {
            for _ in 0..3 {
                step(&world, by);
                assert_eq!(coop.status(&webhook), "ACTIVE", "{by} ms");
            }
            comes_after(&world, &receiver, secs(wait), &format!("{by} ms, wait {wait} s"));
        }
        assert_eq!(coop.status(&webhook), "SUSPENDED", "{by} ms: five attempts, as ever");
        assert_eq!(receiver.posts().len(), 5);
        step(&world, by);
        assert_eq!(coop.status(&webhook), "SUSPENDED");
        receiver.always(Reply::status(200));
        coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": "ACTIVE" })).expect(200);
        coop.publish("batch.exported", json!({}));
        world.settle();
        assert_eq!(statuses(&world, &webhook)[0], "DELIVERED");
    }
}

#[test]
fn whenever_the_clock_is_set_every_attempt_comes_when_its_wait_has_passed() {
    for seed in 0..6 {
        let mut random = Random(seed);
        let (world, receiver) = (World::new(), Receiver::new());
        receiver.always(Reply::status(500));
        let webhook = world.coop().webhook(&receiver.url(), &["*"], "s3cret");
        let (mut passed, mut due, mut posts) = (0, Some(0), 0);
        world.coop().publish("batch.exported", json!({}));
        let mut waits = WAITS.into_iter();
        while due.is_some() {
            world.settle();
            if due.is_some_and(|due| passed >= due) {
                posts += 1;
                due = waits.next().map(|wait| passed + wait);
            }
            assert_eq!(receiver.posts().len(), posts, "seed {seed}, {passed} s after the publish");
            let step_by = STEPS[usize::try_from(random.below(4)).expect("small")];
            match (random.below(3), due) {
                (0, _) => step(&world, step_by),
                (1, Some(due)) => {
                    world.move_clock(secs(due - passed));
                    passed = due;
                }
                _ => {
                    let time = 1 + random.below(900);
                    world.move_clock(secs(time));
                    passed += time;
                }
            }
        }
        world.settle();
        assert_eq!(world.coop().status(&webhook), "SUSPENDED", "after five attempts");
    }
}

#[test]
fn a_clock_set_back_while_no_server_runs_makes_nothing_wait_longer_than_its_wait() {
    for by in [-HOUR, -YEAR] {
        for crash in [false, true] {
            let (mut world, receiver, webhook) = failed_once(Reply::status(500));
            world.settle();
            if crash {
                world.crash();
            } else {
                world.stop();
            }
            set_clock(&world, by);
            world.start();
            world.settle();
            assert_eq!(receiver.posts().len(), 1, "{by} ms, crash {crash}: not at once either");
            comes_after(&world, &receiver, secs(30), &format!("{by} ms, crash {crash}"));
            assert_eq!(world.coop().status(&webhook), "ACTIVE");
        }
    }
}

#[test]
fn a_clock_set_back_while_no_server_runs_adds_nothing_to_a_wait_that_had_begun() {
    for by in [-1_000_000, -HOUR, -YEAR] {
        for crash in [false, true] {
            let (mut world, receiver, _) = failed_once(Reply::status(500));
            receiver.next([Reply::status(500), Reply::status(500)]);
            world.settle();
            pass(&world, secs(30));
            pass(&world, secs(300));
            // Half an hour begins, in which nothing else happens.
            pass(&world, secs(1700));
            if crash {
                world.crash();
            } else {
                world.stop();
            }
            set_clock(&world, by);
            world.start();
            world.settle();
            comes_after(&world, &receiver, secs(100), &format!("{by} ms, crash {crash}"));
        }
    }
}

#[test]
fn a_stop_leaves_the_moment_at_which_it_was_for_the_next_start() {
    let (mut world, receiver, _) = failed_once(Reply::status(500));
    // A client that keeps its connection open holds up nothing of this.
    let idle = world.coop();
    idle.get("/webhooks").expect(200);
    world.settle();
    pass(&world, secs(10));
    world.stop();
    drop(idle);
    set_clock(&world, -HOUR);
    world.start();
    world.settle();
    comes_after(&world, &receiver, secs(20), "ten seconds had passed");
}

#[test]
fn a_clock_set_forward_while_no_server_runs_suspends_nobody() {
    for by in [HOUR, YEAR] {
        let (mut world, receiver, webhook) = failed_once(Reply::status(500));
        world.settle();
        world.stop();
        set_clock(&world, by);
        world.start();
        world.settle();
        assert_eq!(receiver.posts().len(), 2, "{by} ms: for all that can be known its time has passed");
        assert_eq!(world.coop().status(&webhook), "ACTIVE");
    }
}

#[test]
fn a_clock_set_while_the_server_starts_makes_nothing_wait_longer() {
    for by in STEPS {
        let (mut world, receiver, _) = failed_once(Reply::status(500));
        world.stop();
        let clock = Arc::clone(&world.clock);
        let start = world.now().millis();
        world.try_start_after(|_| clock.step(Timestamp::from_millis(start + by))).expect("it starts");
        world.settle();
        comes_after(&world, &receiver, secs(WAITS[0]), "a retry");
    }
}

/// The library that gives a program another wall clock.
fn libfaketime() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").expect("a folder").flatten();
    let mut found = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    let found = found.find(|library| library.exists());
    found.expect("libfaketime is missing: run the suite by tests/run, which installs it")
}

/// Sets the program's clock off by this many seconds.
fn set_off(file: &Path, seconds: i64) {
    let fresh = file.with_extension("fresh");
    fs::write(&fresh, format!("{seconds:+}")).expect("written");
    fs::rename(fresh, file).expect("renamed");
}

#[test]
fn the_program_itself_notices_that_its_clock_was_set() {
    for step in [HOUR, -HOUR, YEAR, -YEAR].map(|step| step / 1000) {
        let mut site = Site::new();
        site.set("ASILICHAIN__WAITS", r#"["3s", "3s"]"#);
        let receiver = Receiver::new();
        receiver.next([Reply::status(500)]);
        let mut server = site.start_by(at_another_time(&mut site.command(), &site, 0));
        let webhook = server.coop().webhook(&receiver.url(), &["*"], SECRET);
        event_of(&publish(&server.coop(), "k").expect("the server answers"));
        let first = receiver.wait_for(1).remove(0);
        let since = Instant::now();
        set_off(&site.folder().join("offset"), step);
        let second = receiver.wait_for(2).remove(1);
        let waited = since.elapsed();
        assert!(waited > secs(2) && waited < PATIENCE / 3, "{step} s: it waited {waited:?} instead of 3 s");
        let at = |stamp: &str| stamp.parse::<i64>().expect("seconds");
        let apart = at(second.header("webhook-timestamp")) - at(first.header("webhook-timestamp"));
        assert!((apart - step).abs() < 60, "the clock was not set: {apart} s apart");
        assert_eq!(server.coop().status(&webhook), "ACTIVE");
        server.running.signal("TERM");
        assert_eq!(server.running.wait().code(), Some(0));
        assert!(server.running.log().contains("the clock was set"), "it says so");
        println!("libfaketime: {step:+} s, the retry of 3 s came after {waited:.1?}");
    }
}

/// The last moment before 1970, and the first after 9999.
const NO_DATES: [i64; 2] = [-1, 253_402_300_800_000];
/// Far before 1970 and far after 9999, at any date of this run, in seconds.
const FAR: [i64; 2] = [-100 * YEAR / 1000, 9000 * YEAR / 1000];
const OUT_OF_RANGE: &str = "the clock of this machine is before 1970 or after 9999: set it";

#[test]
fn with_a_clock_before_1970_or_after_9999_no_start_changes_anything() {
    for wrong in NO_DATES {
        let (mut world, receiver, _) = failed_once(Reply::status(500));
        world.settle();
        world.stop();
        let right = world.now();
        world.clock.step(Timestamp::from_millis(wrong));
        let refusal = world.try_start().expect_err("it must not start").to_string();
        assert!(refusal.contains(OUT_OF_RANGE), "{refusal}");
        world.clock.step(right);
        world.start();
        world.settle();
        comes_after(&world, &receiver, secs(WAITS[0]), "as if nothing had been");
    }
    let site = Site::new();
    for offset in FAR {
        for command in [&["serve"][..], &["token", "list"], &["check"], &["listen", "--port", "0"]] {
            let (code, _, said) = finish(at_another_time(&mut site.command_of(command), &site, offset));
            assert!(code == 1 && said.contains(OUT_OF_RANGE), "{command:?}: {said}");
        }
    }
}

#[test]
fn a_clock_set_before_1970_or_after_9999_stops_the_server_with_a_sentence_and_panics_nowhere() {
    for offset in FAR {
        let mut site = Site::new();
        site.set("ASILICHAIN__WAITS", r#"["1h"]"#);
        let (failing, receiver) = (Receiver::new(), Receiver::new());
        failing.always(Reply::status(500));
        let mut server = site.start_by(at_another_time(&mut site.command(), &site, 0));
        let coop = server.coop();
        coop.webhook(&failing.url(), &["dds.filed"], SECRET);
        coop.webhook(&receiver.url(), &["*"], SECRET);
        coop.publish("dds.filed", json!({}));
        failing.wait_for(1);
        receiver.wait_for(1);
        let since = Instant::now();
        while site.count("claimed") > 0 {
            assert!(since.elapsed() < PATIENCE, "what they answered is written");
        }
        set_off(&site.folder().join("offset"), offset);
        // Requests meanwhile, over old connections and new ones, are answered or cut off.
        for number in 0..40 {
            drop(publish(&coop, &format!("{number}")));
            drop(publish(&server.coop(), &format!("again {number}")));
        }
        assert_eq!(server.running.wait().code(), Some(1), "{offset} s");
        let log = server.running.log();
        assert!(log.contains(&format!("ngoma: {OUT_OF_RANGE}")), "{offset} s: {log}");
        assert!(!log.contains("panicked"), "{offset} s: {log}");
        // With the right clock it goes on: a delivery that waits an hour still waits.
        set_off(&site.folder().join("offset"), 0);
        let server = site.start_by(at_another_time(&mut site.command(), &site, 0));
        let posts = receiver.posts().len();
        event_of(&publish(&server.coop(), "after").expect("the server answers"));
        receiver.wait_for(posts + 1);
        assert_eq!(failing.posts().len(), 1, "{offset} s");
        let noted: i64 = site.look("SELECT at FROM moment");
        assert!((0..NO_DATES[1]).contains(&noted), "{noted}");
    }
}

/// A command that sees the wall clock off by this many seconds.
fn at_another_time<'a>(command: &'a mut Command, site: &Site, seconds: i64) -> &'a mut Command {
    let offset = site.folder().join("offset");
    set_off(&offset, seconds);
    command.env("LD_PRELOAD", libfaketime()).env("FAKETIME_TIMESTAMP_FILE", &offset).env("FAKETIME_NO_CACHE", "1");
    // The monotonic clock is not faked: only the wall clock can be set.
    command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
}

#[test]
fn attempts_that_a_pause_of_the_process_outlasted_are_logged_in_one_line() {
    let site = Site::new();
    let receivers: Vec<Receiver> = (0..5).map(|_| Receiver::new()).collect();
    let mut command = site.command();
    // A process that was stopped finds that time has passed, by every clock.
    let server = site.start_by(at_another_time(&mut command, &site, 0).env_remove("FAKETIME_DONT_FAKE_MONOTONIC"));
    let coop = server.coop();
    for receiver in &receivers {
        receiver.always(Reply::Hang);
        coop.webhook(&receiver.url(), &["*"], SECRET);
    }
    coop.publish("dds.filed", json!({}));
    receivers.iter().for_each(|receiver| drop(receiver.wait_for(1)));
    set_off(&site.folder().join("offset"), 100);
    receivers.iter().for_each(|receiver| drop(receiver.wait_for(2)));
    let log = server.kill();
    let told: Vec<&str> = log.lines().filter(|line| line.contains("never ended")).collect();
    // An attempt that was about to wait for its answer sees the pause as its own time-out.
    let several = |line: &str| (2..=5).any(|attempts| line.ends_with(&format!("attempts={attempts}")));
    assert!(told.len() == 1 && several(told[0]), "{told:#?}");
}
