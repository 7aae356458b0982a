//! Backups that the server makes by itself: when, where, how many stay, and what happens when one cannot be made.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Duration,
};

use ngoma::domain::timestamp::Timestamp;
use serde_json::{Value, json};

use crate::support::{
    browser::operator,
    database::query,
    held_request::until,
    metrics::metric,
    program::{finish, ngoma, run},
    receiver::{PATIENCE, Receiver},
    site::{SECRET, Site},
    small_disk::SmallDisk,
    world::{START, Wish, World},
};

pub(super) const DAY: Duration = Duration::from_secs(86_400);

/// A world that makes a backup each day and keeps this many. The first is made when this returns.
pub(super) fn world(keep: usize) -> World {
    let world = World::with(|wish: &mut Wish| {
        wish.config.backup.every = DAY;
        wish.config.backup.keep = keep;
    });
    tried(&world, START);
    world
}

/// Waits until the server has tried to make the backup of this moment.
#[track_caller]
pub(super) fn tried(world: &World, at: Timestamp) {
    let mut tries = world.backups();
    let tried = async { tokio::time::timeout(PATIENCE, tries.wait_for(|last| *last == Some(at))).await.map(|_| ()) };
    assert!(world.block_on(tried).is_ok(), "no backup is tried at {at}");
}

/// Lets time pass, and waits until the server has tried to make the backup of that moment.
#[track_caller]
pub(super) fn after(world: &World, by: &str) {
    world.advance(by);
    tried(world, world.now());
}

/// The names in a folder, in order.
pub(super) fn names(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).expect("a folder");
    let mut names: Vec<String> =
        files.map(|file| file.expect("one").file_name().into_string().expect("a name")).collect();
    names.sort();
    names
}

pub(super) fn backups(world: &World) -> PathBuf {
    world.folder().join("backups")
}

pub(super) fn health(world: &World) -> (String, String) {
    let readiness = world.stranger().get("/health/ready").expect(200);
    let text = |field: &str| readiness["parts"]["backup"][field].as_str().expect("a text").to_owned();
    assert_eq!(readiness["warnings"] == json!([]), text("status") == "ok", "{readiness}");
    (text("status"), text("message"))
}

#[test]
fn a_start_that_finds_no_recent_backup_makes_one_at_once_and_then_one_comes_each_day() {
    let mut world = world(7);
    let first = ["auto-2026-04-20T11-55-00Z.db", "auto-2026-04-20T11-55-00Z.db.key"];
    assert_eq!(names(&backups(&world)), first);
    world.advance("23h");
    world.restart();
    world.advance("59m");
    assert_eq!(names(&backups(&world)), first, "a start finds one that is new enough");
    after(&world, "1m");
    assert_eq!(names(&backups(&world))[2], "auto-2026-04-21T11-55-00Z.db", "the wait counts on over the start");
    after(&world, "24h");
    world.stop();
    world.clock.set(world.now() + 2 * DAY);
    world.start();
    tried(&world, world.now());
    let all = names(&backups(&world));
    assert_eq!((all.len(), all[6].as_str()), (8, "auto-2026-04-24T11-55-00Z.db"), "at once after a long stop");
    // Each is whole, and its key opens it.
    for name in all.iter().filter(|name| name.ends_with(".db")) {
        let mut check = ngoma(&backups(&world), &["check"]);
        check.env("NGOMA_STORAGE__PATH", name).env("NGOMA_STORAGE__KEY_FILE", format!("{name}.key"));
        let (code, out, err) = finish(&mut check);
        assert_eq!(code, 0, "{out}{err}");
    }
}

#[test]
fn only_the_newest_of_its_own_backups_stay_and_no_other_file_is_ever_removed() {
    let world = world(2);
    let folder = backups(&world);
    let copy = folder.join("auto-2026-04-20T11-55-00Z.db");
    let texts = [
        "auto-2026-01-01T00-00-00Z.db",
        "auto-notes.db",
        "2026-01-02T00-00-00Z.db",
        "ngoma.db.part",
        "auto-2026-01-06T00-00-00Z.db.key",
    ];
    texts.iter().for_each(|name| fs::write(folder.join(name), "somebody's").expect("written"));
    for name in ["2026-01-03T00-00-00Z.db", "kept-2026-04-20.db", "auto-2026-01-03T00-00-00.000Z.db"] {
        fs::copy(&copy, folder.join(name)).expect("a copy by a person");
    }
    symlink(&copy, folder.join("auto-2026-01-04T00-00-00Z.db")).expect("a link");
    fs::hard_link(world.database(), folder.join("auto-2026-01-05T00-00-00Z.db"))
        .expect("the database, by a second name");
    let others: Vec<String> = names(&folder).into_iter().filter(|name| !name.contains("04-20T")).collect();
    assert_eq!(others.len(), 10);
    for _ in 0..4 {
        after(&world, "24h");
    }
    let left = names(&folder);
    let own: Vec<&String> = left.iter().filter(|name| !others.contains(name)).collect();
    let newest = ["auto-2026-04-23T11-55-00Z.db", "auto-2026-04-24T11-55-00Z.db"];
    assert_eq!(own, [newest[0], &format!("{}.key", newest[0]), newest[1], &format!("{}.key", newest[1])]);
    assert!(others.iter().all(|name| left.contains(name)), "{left:?}");
}

#[test]
fn a_backup_that_finds_no_room_is_told_and_tried_again_and_deliveries_go_on() {
    let disk = SmallDisk::new();
    let ballast = disk.folder().join("more");
    let folder = disk.folder().join("of-ngoma");
    let world = World::with(|wish: &mut Wish| {
        wish.config.backup.every = DAY;
        wish.config.backup.folder = folder.clone();
    });
    tried(&world, START);
    let first = names(&folder);
    assert_eq!(first.len(), 2, "{first:?}");
    fs::write(&ballast, vec![7; 2 << 20]).expect_err("the disk is full then");
    assert_eq!(health(&world), ("ok".to_owned(), "the last backup is less than an hour old".to_owned()));
    after(&world, "24h");
    assert_eq!(names(&folder), first, "nothing is left of the one that failed, and the old one stays");
    let (status, said) = health(&world);
    assert_eq!(status, "warning");
    assert!(said.contains("the last backup is 24 h old") && said.contains("could not be made"), "{said}");
    let page = operator(&world).get("/ui/system").text;
    for words in ["No backup was made", "has no room for a copy and as much again", "backup.keep", "backup.folder"] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let receiver = Receiver::new();
    world.coop().webhook(&receiver.url(), &["*"], SECRET);
    world.coop().publish("batch.exported", json!({}));
    world.settle();
    assert_eq!(receiver.posts().len(), 1);
    // The wait is ten minutes, then twice as long.
    let failed_at = world.now();
    after(&world, "10m");
    world.advance("19m");
    assert_eq!(*world.backups().borrow(), Some(failed_at + Duration::from_secs(600)), "not yet");
    let told = "SELECT count(*) FROM alert WHERE about = 'server.backup_old'";
    until("the operator hears of it", || query::<usize>(&world, told) == 1);
    let said: String = query(&world, "SELECT said FROM alert WHERE about = 'server.backup_old'");
    assert!(said.contains("could be made") && said.contains("has no room for a copy"), "{said}");
    fs::remove_file(ballast).expect("room");
    fs::remove_file(disk.ballast()).expect("room");
    after(&world, "1m");
    assert_eq!(names(&folder).len(), 4);
    assert_eq!(health(&world).0, "ok");
    assert!(operator(&world).get("/ui/system").text.contains("The next is due in 1 d."));
}

#[test]
fn health_metrics_and_dashboard_know_the_age_and_the_size_of_the_last_backup() {
    let world = world(7);
    let length = fs::metadata(backups(&world).join("auto-2026-04-20T11-55-00Z.db")).expect("it is there").len();
    world.advance("5h");
    assert_eq!(metric(&world, "ngoma_backup_age_seconds"), Some(5.0 * 3600.0));
    assert_eq!(metric(&world, "ngoma_backup_bytes"), Some(length as f64));
    assert_eq!(health(&world), ("ok".to_owned(), "the last backup is 5 h old".to_owned()));
    let page = operator(&world).get("/ui/system").text;
    let facts = ["<dt>Last backup</dt><dd>5 h ago</dd>", "every 1 d, and keeps the newest 7", "due in 19 h"];
    assert!(facts.iter().all(|fact| page.contains(fact)), "{page}");
    assert!(page.contains("<code>auto-2026-04-20T11-55-00Z.db</code>"), "{page}");
    let off = World::new();
    assert_eq!(health(&off), ("ok".to_owned(), "the server makes no backups by itself (backup.every)".to_owned()));
    assert!(!backups(&off).exists());
}

#[test]
fn a_clock_that_was_set_forward_for_a_while_costs_no_backup() {
    let world = world(2);
    let year = Duration::from_secs(365 * 86_400);
    let right = world.now();
    world.clock.step(right + year);
    after(&world, "24h");
    world.clock.step(right + DAY);
    for _ in 0..3 {
        after(&world, "24h");
    }
    let copies: Vec<String> = names(&backups(&world)).into_iter().filter(|name| name.ends_with(".db")).collect();
    let expected = ["auto-2026-04-23T11-55-00Z.db", "auto-2026-04-24T11-55-00Z.db", "auto-2027-04-21T11-55-00Z.db"];
    assert_eq!(copies, expected, "the newest by the right clock, and the one of a time that has not come");
    assert_eq!(health(&world).1, "the last backup is less than an hour old");
    assert_eq!(metric(&world, "ngoma_backup_age_seconds"), Some(0.0));
}

#[test]
fn the_program_makes_its_first_backup_as_it_stands_and_with_dev_it_makes_none() {
    let site = Site::new();
    let mut serve = site.command();
    let server = site.start_by(serve.env_remove("NGOMA_BACKUP__EVERY").env("NGOMA_LOG__LEVEL", "info"));
    server.running.error_with("a backup was made and checked");
    assert_eq!(names(&site.folder().join("backups")).len(), 2);
    server.stop();
    let mut dev = site.command_of(&["serve", "--dev"]);
    let folder = tempfile::tempdir().expect("a folder");
    let server = site.start_by(dev.env_remove("NGOMA_BACKUP__EVERY").current_dir(folder.path()));
    let health: Value = server.coop().without_token().get("/health/ready").expect(200);
    assert!(health["parts"]["backup"]["message"].as_str().is_some_and(|said| said.contains("makes no backups")));
    server.stop();
    assert!(!folder.path().join("backups").exists());
}

#[test]
fn settings_of_backups_that_cannot_be_used_are_refused_with_a_sentence() {
    let folder = tempfile::tempdir().expect("a folder");
    for (key, value, said) in [
        ("EVERY", "9m", r#"backup.every = "9m""#),
        ("EVERY", "31d", "or 0s for no backups"),
        ("KEEP", "0", "backup.keep = 0"),
        ("FOLDER", "", "backup.folder"),
    ] {
        let (code, _, err) = finish(ngoma(folder.path(), &["check"]).env(format!("NGOMA_BACKUP__{key}"), value));
        assert!(code == 1 && err.contains(said), "{key} = {value}: {err}");
    }
    assert_eq!(run(folder.path(), &["check"]).0, 0);
}
