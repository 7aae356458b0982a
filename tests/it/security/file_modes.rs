//! Modes of files: for their owner only, no matter which command made them.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    thread,
};

use crate::support::{
    program::{finish, run},
    site::{SECRET, Site},
    strace::require_strace,
    world::World,
};

fn set_mode(file: &Path, mode: u32) {
    fs::set_permissions(file, Permissions::from_mode(mode)).expect("set");
}

fn mode(file: &Path) -> u32 {
    fs::symlink_metadata(file).expect("a file").permissions().mode() & 0o777
}

/// The names of the files that are there, each of which must be for its owner only.
#[track_caller]
fn own_files(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for file in fs::read_dir(folder).expect("a folder").flatten() {
        assert_eq!(mode(&file.path()), 0o600, "{:?}", file.file_name());
        names.push(file.file_name().into_string().expect("a name"));
    }
    names.sort();
    names
}

const FILES: [&str; 4] = ["ngoma.db", "ngoma.db-shm", "ngoma.db-wal", "ngoma.key"];

#[test]
fn every_file_is_for_its_owner_only() {
    assert_eq!(own_files(World::new().folder()), FILES);
}

#[test]
fn a_file_that_others_could_read_is_narrowed_when_it_is_opened() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = folder.path().join("ngoma.db");
    fs::write(&database, "").expect("an empty file");
    set_mode(&database, 0o644);
    let site = Site::within(folder.path());
    assert_eq!(mode(&database), 0o600, "a command narrows it too");
    for _ in 0..2 {
        let server = site.start();
        assert_eq!(own_files(folder.path()), FILES);
        server.kill();
        for name in &FILES[..3] {
            set_mode(&folder.path().join(name), 0o664);
        }
    }
}

#[test]
fn a_key_file_that_others_may_use_is_refused_with_a_remedy() {
    let mut world = World::new();
    world.coop().webhook("http://127.0.0.1:1/", &["*"], SECRET);
    world.stop();
    let key = world.config.storage.key_file.clone();
    for wide in [0o644, 0o640, 0o604, 0o620, 0o602] {
        set_mode(&key, wide);
        let refusal = world.try_start().expect_err("it must not start").to_string();
        let remedy = format!("chmod 600 {}", key.display());
        assert!(refusal.contains(&format!("(mode {wide:o})")) && refusal.contains(&remedy), "{refusal}");
        assert_eq!(mode(&key), wide, "it is left as it is");
    }
    set_mode(&key, 0o400);
    world.start();
}

#[test]
fn check_names_each_file_that_others_may_use_and_leaves_it_a_database_is_a_warning_because_a_start_narrows_it() {
    let site = Site::new();
    site.start().kill();
    let check = || run(site.folder(), &["check"]);
    assert_eq!(check().0, 0);
    // The last one to close the file takes the log away.
    for (name, wide, ends_with, leads) in [("ngoma.db", 0o644, 0, "warning   "), ("ngoma.key", 0o640, 1, "ngoma: ")] {
        let file = site.folder().join(name);
        set_mode(&file, wide);
        let (code, out, err) = check();
        assert_eq!(code, ends_with, "{name}: {err}");
        let said = if code == 0 { out } else { err };
        let told = |line: &str| {
            line.starts_with(leads) && line.contains(name) && line.contains(&format!("(mode {wide:o}): chmod 600 "))
        };
        assert!(said.lines().any(told), "{said}");
        assert_eq!(mode(&file), wide, "looking changes nothing");
        set_mode(&file, 0o600);
    }
    assert_eq!(check().0, 0);
}

#[test]
fn a_new_key_file_is_never_written_into_what_lies_in_its_place() {
    let site = Site::new();
    let (key, beside) = (site.folder().join("ngoma.key"), site.folder().join("ngoma.key.new"));
    let victim = site.folder().join("victim");
    fs::write(&victim, "mine").expect("a file");
    fs::write(&beside, "left by a crash").expect("a file");
    set_mode(&beside, 0o666);
    for _ in 0..2 {
        let (code, _, said) = run(site.folder(), &["key", "rotate"]);
        assert_eq!(code, 0, "{said}");
        assert_eq!(mode(&key), 0o600);
        assert!(key.is_file() && !key.is_symlink() && !beside.exists());
        assert_eq!(fs::read_to_string(&victim).expect("a text"), "mine");
        symlink(&victim, &beside).expect("a link");
    }
}

#[test]
fn commands_that_find_no_key_file_at_the_same_time_make_only_one() {
    require_strace();
    let site = Site::new();
    let key = site.folder().join("ngoma.key");
    fs::remove_file(&key).expect("no secret needs it yet");
    // As a version left it that kept no mark of its key.
    let conn = rusqlite::Connection::open(site.database()).expect("the file");
    conn.execute("DELETE FROM audit WHERE action LIKE 'key.%'", []).expect("forgotten");
    drop(conn);
    // Each has its new file, and waits, before it puts it in its place.
    let slow = ["-f", "-qq", "-e", "trace=/^rename", "-e", "inject=/^rename:delay_enter=500000", "-o", "/dev/null"];
    let list = || site.under("strace", &slow, &site.command_of(&["token", "list"]));
    let all: Vec<_> = (0..3).map(|_| list()).map(|mut list| thread::spawn(move || finish(&mut list))).collect();
    for one in all {
        let (code, _, said) = one.join().expect("no panic");
        assert_eq!(code, 0, "{said}");
    }
    assert_eq!(fs::read_to_string(&key).expect("the key file").lines().count(), 1);
}
