//! Who hears of a backup that is missing, late or not whole: the operator, in time, and never without a reason.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use ngoma::store::restore;
use rusqlite::Connection;
use serde_json::json;

use super::own_backups::{DAY, after, backups, health, names, tried, world};
use crate::support::{aging::until, browser::operator, database::query, held_request, world::World};

const OLD: &str = "server.backup_old";
const DAMAGED: &str = "server.backup_damaged";
const EXPOSED: &str = "server.file_exposed";

/// How many alerts of this kind there are.
fn count(world: &World, kind: &str) -> usize {
    query(world, &format!("SELECT count(*) FROM alert WHERE about = '{kind}'"))
}

/// How many of them still hold.
fn open(world: &World, kind: &str) -> usize {
    query(world, &format!("SELECT count(*) FROM alert WHERE about = '{kind}' AND cleared_at IS NULL"))
}

/// Lets the server look after itself: it has, when it has found a key that everybody may read.
fn looked_after(world: &World) {
    let found = count(world, EXPOSED);
    let set_mode = |mode| fs::set_permissions(&world.config.storage.key_file, fs::Permissions::from_mode(mode));
    set_mode(0o644).expect("set");
    until(world, || count(world, EXPOSED) > found);
    set_mode(0o600).expect("set");
    until(world, || open(world, EXPOSED) == 0);
}

/// Changes stored bodies, as a bad disk does, while no server runs.
fn change_bodies(world: &mut World, from: &str, to: &str) {
    world.stop();
    let conn = Connection::open(world.database()).expect("the file");
    let changed = conn.execute("UPDATE event SET body = replace(body, ?, ?)", (from, to)).expect("changed");
    assert_eq!(changed, 1);
    conn.close().expect("closed");
    world.start();
}

#[test]
fn while_backups_are_not_whole_old_ones_go_but_the_newest_whole_one_stays_and_people_are_told() {
    let mut world = world(2);
    world.coop().publish("batch.exported", json!({ "text": "as it was" }));
    after(&world, "24h");
    change_bodies(&mut world, "as it was", "as it is");
    for _ in 0..4 {
        after(&world, "24h");
    }
    let copies = |world: &World| -> Vec<String> {
        names(&backups(world)).into_iter().filter(|name| name.ends_with(".db")).collect()
    };
    let left = ["auto-2026-04-21T11-55-00Z.db", "auto-2026-04-24T11-55-00Z.db", "auto-2026-04-25T11-55-00Z.db"];
    assert_eq!(copies(&world), left, "the newest two, and the newest whole one");
    let note = fs::read_to_string(backups(&world).join(format!("{}.damaged", left[2]))).expect("a note beside it");
    assert!(note.contains("event bodies are damaged") && note.contains("check'"), "{note}");
    assert_eq!(names(&backups(&world)).len(), 8, "the notes of the others went with them");
    let (status, said) = health(&world);
    assert!(status == "warning" && said.contains("bodies of some events are damaged"), "{status}: {said}");
    world.advance("1m");
    held_request::until("the operator hears of it", || count(&world, DAMAGED) == 1);
    let said: String = query(&world, "SELECT said FROM alert WHERE about = 'server.backup_damaged'");
    assert!(said.contains("auto-2026-04-2") && said.contains("check'"), "{said}");
    assert_eq!(count(&world, OLD), 0, "it is fresh");
    let page = operator(&world).get("/ui/system").text;
    assert_eq!(page.matches("bodies damaged</span>").count(), 2, "{page}");
    // The server knows it after a start, too; and it is over with the next whole one.
    change_bodies(&mut world, "as it is", "as it was");
    world.advance("1m");
    held_request::until("it has looked", || health(&world).0 == "warning");
    assert_eq!(open(&world, DAMAGED), 1);
    after(&world, "1438m");
    assert_eq!(health(&world).0, "ok");
    assert_eq!(copies(&world), [left[2], "auto-2026-04-26T11-55-00Z.db"]);
    world.advance("1m");
    held_request::until("it is cleared", || open(&world, DAMAGED) == 0);
}

#[test]
fn where_the_server_makes_no_backups_by_itself_nobody_is_asked_for_one() {
    let world = World::new();
    world.advance("192h");
    looked_after(&world);
    assert_eq!(count(&world, OLD), 0, "there may be a warm copy, or copies elsewhere");
}

#[test]
fn after_a_long_stop_nobody_is_alarmed_about_the_backup_that_is_just_being_made() {
    let mut world = world(7);
    world.stop();
    world.clock.set(world.now() + 16 * DAY);
    world.start();
    tried(&world, world.now());
    looked_after(&world);
    assert_eq!(count(&world, OLD), 0);
}

#[test]
fn after_a_restore_a_backup_is_made_at_once() {
    let mut world = world(7);
    let first = backups(&world).join("auto-2026-04-20T11-55-00Z.db");
    world.advance("2h");
    world.stop();
    let storage = &world.config.storage;
    let source = restore::Source::open(storage, &first, None).expect("a backup");
    restore::restore(storage, source, world.now(), drop).expect("restored");
    world.clock.set(world.now() + Duration::from_secs(3600));
    world.start();
    tried(&world, world.now());
    assert!(backups(&world).join("auto-2026-04-20T14-55-00Z.db").is_file(), "{:?}", names(&backups(&world)));
}

#[test]
fn a_backup_that_cannot_be_made_is_told_after_it_was_tried_and_each_day_while_that_lasts() {
    let mut world = World::new();
    world.stop();
    fs::write(backups(&world), "no folder").expect("written");
    world.config.backup.every = DAY;
    world.start();
    tried(&world, world.now());
    until(&world, || count(&world, OLD) == 1);
    let said: String = query(&world, "SELECT said FROM alert WHERE about = 'server.backup_old'");
    assert!(said.contains("No backup could be made") && said.contains("tried again"), "{said}");
    world.move_clock(Duration::from_secs(3600));
    looked_after(&world);
    assert_eq!(count(&world, OLD), 1, "it was said");
    world.move_clock(DAY);
    until(&world, || count(&world, OLD) == 2);
}
