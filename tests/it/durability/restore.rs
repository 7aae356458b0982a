//! `ngoma restore`: a backup of any origin takes the place of the database, and no crash leaves half of it.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink},
    path::{Path, PathBuf},
};

use rusqlite::Connection;
use serde_json::json;

use crate::support::{
    database::checkpoint,
    program::{finish, ngoma},
    receiver::{Receiver, Reply},
    site::{SECRET, Server, Site, event_of, publish},
    world::{START, World},
};

/// Runs a command of a site, which must do well; gives its output.
#[track_caller]
pub(super) fn done(site: &Site, words: &[&str]) -> String {
    let (code, out, err) = finish(&mut site.command_of(words));
    assert_eq!(code, 0, "{words:?}: {out}{err}");
    out
}

/// The one sentence with which a restore is refused; it changes nothing.
#[track_caller]
fn refused(site: &Site, words: &[&str]) -> String {
    let was = state(site);
    let (code, out, err) = finish(&mut site.command_of(words));
    assert_eq!((code, out.as_str()), (1, ""), "{words:?}: {err}");
    assert!(err.starts_with("ngoma: ") && err.trim_end().lines().count() == 1, "one sentence: {err}");
    assert_eq!(state(site), was, "{words:?} changes nothing");
    err
}

/// The names in the site's folder, and the bytes of the database and its key.
fn state(site: &Site) -> (Vec<String>, Vec<u8>, Vec<u8>) {
    let read = |name: &str| fs::read(site.folder().join(name)).unwrap_or_default();
    (names(site.folder()), read("ngoma.db"), read("ngoma.key"))
}

pub(super) fn names(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).expect("a folder").flatten();
    let mut names: Vec<String> = files.map(|file| file.file_name().into_string().expect("a name")).collect();
    names.sort();
    names
}

/// The folders with the former files.
pub(super) fn before(folder: &Path) -> Vec<PathBuf> {
    let names = names(folder).into_iter().filter(|name| name.starts_with("before-restore-"));
    names.map(|name| folder.join(name)).collect()
}

pub(super) fn accept(server: &Server, key: &str) -> String {
    event_of(&publish(&server.coop(), key).expect("the server answers"))
}

/// How many events a database file has that nobody serves.
pub(super) fn events(file: &Path) -> usize {
    let conn = Connection::open(file).expect("a database");
    conn.query_row("SELECT count(*) FROM event", [], |row| row.get(0)).expect("a count")
}

/// A site with a backup of one event, `copy.db`, and a database that has one more.
pub(super) fn two_states() -> (Site, [String; 2]) {
    let site = Site::new();
    let server = site.start();
    server.coop().webhook("http://127.0.0.1:9/", &["batch.*"], SECRET);
    let first = accept(&server, "before");
    done(&site, &["backup", "copy.db"]);
    let second = accept(&server, "after");
    server.stop();
    checkpoint(&site.database());
    (site, [first, second])
}

#[test]
fn a_backup_is_restored_by_one_command_which_says_what_is_lost_and_keeps_what_was_there() {
    let (site, receiver, silent) = (Site::new(), Receiver::new(), Receiver::new());
    silent.always(Reply::status(503));
    let server = site.start();
    server.coop().webhook(&receiver.url(), &["batch.*"], SECRET);
    let held = server.coop().webhook(&silent.url(), &["dds.filed"], SECRET);
    server.coop().publish("dds.filed", json!({ "n": 1 }));
    server.coop().patch(&format!("/webhooks/{held}"), json!({ "status": "SUSPENDED" })).expect(200);
    let kept = accept(&server, "before");
    receiver.wait_for(1);
    done(&site, &["backup", "copy.db"]);
    let lost = accept(&server, "after");
    // The key of the copy is not the present one.
    done(&site, &["key", "rotate"]);
    drop(server.kill());

    let said = done(&site, &["restore", "copy.db"]);
    for words in [
        "ngoma.db now holds copy.db",
        "key was read from copy.db.key",
        "ago: 1 events that were accepted later are lost",
        "deliveries in it wait",
        "1 are held",
        "before-restore-",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let [before] = before(site.folder()).try_into().expect("one folder");
    assert_eq!(events(&before.join("ngoma.db")), 3, "with the log beside it");
    assert!(!site.folder().join("ngoma.db-wal").exists());
    let server = site.start();
    server.coop().get(&format!("/events/{kept}")).expect(200);
    server.coop().get(&format!("/events/{lost}")).expect(404);
    silent.always(Reply::status(200));
    let posts = silent.posts().len();
    server.coop().patch(&format!("/webhooks/{held}"), json!({ "status": "ACTIVE" })).expect(200);
    silent.wait_for(posts + 1);
    server.stop();

    // And back again: the former database, with the key that is beside it.
    let former = before.join("ngoma.db");
    let said = done(&site, &["restore", former.to_str().expect("a path"), "--json"]);
    let said: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    assert!(said["as_of"].is_string() && said["former"][0].is_string(), "{said}");
    let server = site.start();
    server.coop().get(&format!("/events/{lost}")).expect(200);
    server.stop();
}

#[test]
fn while_a_server_runs_a_restore_is_refused_and_says_which_one_and_how_to_stop_it() {
    let (site, _) = two_states();
    let server = site.start();
    let process = format!("process id {}", server.running.id());
    let (code, _, said) = finish(&mut site.command_of(&["restore", "copy.db"]));
    assert_eq!(code, 1);
    for words in ["ngoma.db is in use", &process, "systemctl stop ngoma", "run this again"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    server.coop().get("/webhooks").expect(200);
    server.stop();
    assert!(before(site.folder()).is_empty() && !names(site.folder()).iter().any(|name| name.contains("restor")));
    done(&site, &["restore", "copy.db"]);
}

#[test]
fn a_backup_that_is_no_good_changes_nothing() {
    let (site, _) = two_states();
    let folder = site.folder();
    let copy = fs::read(folder.join("copy.db")).expect("the copy");
    let write = |name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes).expect("written");
    write("text.db", b"no database at all, but long enough to be one of the files that begin like one, or not");
    write("empty.db", b"");
    let mut damaged = copy.clone();
    let middle = damaged.len() / 4096 / 2 * 4096;
    damaged[middle..middle + 4096].fill(0xFF);
    write("damaged.db", &damaged);
    fs::copy(folder.join("copy.db.key"), folder.join("damaged.db.key")).expect("a key");
    write("newer.db", &copy);
    let newer = Connection::open(folder.join("newer.db")).expect("a copy");
    newer.pragma_update(None, "user_version", 9999).expect("set");
    drop(newer);
    write("wrong.key", format!("0 {}\n", "7".repeat(64)).as_bytes());
    fs::create_dir(folder.join("folder.db")).expect("a folder");
    for (words, said) in [
        (&["restore", "nowhere.db"][..], "nowhere.db is not there"),
        (&["restore", "text.db"], "text.db is no backup"),
        (&["restore", "empty.db"], "empty.db is empty"),
        (&["restore", "folder.db"], "folder.db is a folder"),
        (&["restore", "ngoma.db"], "is the database itself"),
        (&["restore", "damaged.db"], "nothing was changed"),
        (&["restore", "newer.db"], "newer.db was made by a newer ngoma"),
        (&["restore", "copy.db", "--key", "wrong.key"], "wrong.key"),
        (&["restore", "copy.db", "--key", "nowhere.key"], "nowhere.key"),
    ] {
        let refusal = refused(&site, words);
        assert!(refusal.contains(said) && !refusal.contains(".restored"), "{words:?}: {refusal}");
    }
    done(&site, &["restore", "copy.db"]);
}

#[test]
fn a_restore_of_root_belongs_to_the_former_owner_or_to_the_owner_of_the_folder() {
    let owner =
        |path: &Path| fs::metadata(path).map(|file| (file.uid(), file.gid(), file.mode() & 0o777)).expect("there");
    for was_there in [true, false] {
        let (site, _) = two_states();
        let safe = tempfile::tempdir().expect("a folder");
        for name in ["copy.db", "copy.db.key"] {
            fs::rename(site.folder().join(name), safe.path().join(name)).unwrap_or_else(|_| {
                fs::copy(site.folder().join(name), safe.path().join(name)).expect("copied");
            });
        }
        // Root only: an installation's folder belongs to another user.
        let _ = chown(site.folder(), Some(65534), Some(65534));
        for name in ["ngoma.db", "ngoma.key"] {
            let path = site.folder().join(name);
            let _ = chown(&path, Some(65534), Some(65534));
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("set");
            if !was_there {
                fs::remove_file(&path).expect("removed");
            }
        }
        let copy = safe.path().join("copy.db");
        let said = done(&site, &["restore", copy.to_str().expect("a path")]);
        assert_eq!(said.contains("before-restore-"), was_there, "{said}");
        let (user, group, _) = owner(site.folder());
        for name in ["ngoma.db", "ngoma.key"] {
            assert_eq!(owner(&site.folder().join(name)), (user, group, 0o600), "{name}");
        }
        for folder in before(site.folder()) {
            assert_eq!(owner(&folder), (user, group, 0o700));
        }
        done(&site, &["check"]);
    }
}

#[test]
fn restored_files_are_for_their_owner_only_also_where_the_former_ones_were_not() {
    let (site, _) = two_states();
    // Another key than the backup's, so that both files are exchanged.
    done(&site, &["key", "rotate"]);
    let mode = |name: &str| fs::metadata(site.folder().join(name)).expect("there").mode() & 0o777;
    for (name, wide) in [("ngoma.db", 0o644), ("ngoma.key", 0o640)] {
        fs::set_permissions(site.folder().join(name), fs::Permissions::from_mode(wide)).expect("set");
    }
    done(&site, &["restore", "copy.db"]);
    assert_eq!(["ngoma.db", "ngoma.key"].map(mode), [0o600; 2]);
    site.start().stop();
}

#[test]
fn a_restore_of_root_follows_no_link_that_the_servers_user_has_made() {
    let root = fs::metadata("/proc/self").expect("Linux says so").uid() == 0;
    if !root {
        return;
    }
    let (site, _) = two_states();
    let others = tempfile::tempdir().expect("a folder of root's");
    for (name, text) in [("passwd", "root's users"), ("shadow", "root's secrets")] {
        fs::write(others.path().join(name), text).expect("written");
        fs::set_permissions(others.path().join(name), fs::Permissions::from_mode(0o600)).expect("set");
    }
    chown(site.folder(), Some(65534), Some(65534)).expect("the server's folder");
    let plant = |name: &str, to: &str| {
        let link = site.folder().join(name);
        let _ = fs::remove_file(&link);
        symlink(others.path().join(to), &link).expect("linked");
        lchown(&link, Some(65534), Some(65534)).expect("the server's link");
    };
    let restored = |words: &[&str]| finish(&mut site.command_of(words));
    let untouched = || {
        let text = |name: &str| fs::read_to_string(others.path().join(name)).expect("it is there");
        assert_eq!((text("passwd"), text("shadow")), ("root's users".to_owned(), "root's secrets".to_owned()));
        assert_eq!(names(others.path()), ["passwd", "shadow"]);
    };
    plant("copy.db.key", "shadow");
    let (code, _, said) = restored(&["restore", "copy.db"]);
    assert!(code == 1 && !said.contains("root's secrets"), "{said}");
    plant("ngoma.db", "passwd");
    plant("ngoma.key", "shadow");
    for words in [&["restore", "copy.db"][..], &["account", "list"], &["token", "list"]] {
        assert_eq!(restored(words).0, 1, "{words:?}");
        untouched();
    }
    let leaked = names(site.folder()).into_iter().any(|name| {
        let path = site.folder().join(name);
        path.symlink_metadata().is_ok_and(|file| file.is_file())
            && fs::read(&path).is_ok_and(|bytes| bytes.windows(14).any(|part| part == b"root's secrets"))
    });
    assert!(!leaked, "what only root may read is not copied");
}

#[test]
fn restores_in_the_same_second_keep_what_was_there_in_a_folder_each() {
    let (site, _) = two_states();
    let there = [2, 1, 1, 1];
    for _ in there {
        done(&site, &["restore", "copy.db"]);
    }
    let before = before(site.folder());
    let kept: Vec<usize> = before.iter().map(|folder| events(&folder.join("ngoma.db"))).collect();
    assert_eq!(kept, there, "{before:?}");
    done(&site, &["restore", before[0].join("ngoma.db").to_str().expect("a path")]);
    assert_eq!(events(&site.database()), 2, "and it leads back");
}

#[test]
fn a_key_that_only_root_may_write_is_left_as_it_is_if_it_is_that_of_the_backup_else_what_to_do_is_said() {
    if fs::metadata("/proc/self").expect("Linux says so").uid() != 0 {
        return;
    }
    let (mut site, _) = two_states();
    let keys = tempfile::tempdir().expect("a folder of root's");
    fs::set_permissions(keys.path(), fs::Permissions::from_mode(0o755)).expect("set");
    let key = keys.path().join("ngoma.key");
    fs::copy(site.folder().join("ngoma.key"), &key).expect("copied");
    for path in [site.folder().to_owned(), site.database(), key.clone()] {
        chown(&path, Some(65534), Some(65534)).expect("the server's");
    }
    site.set("STORAGE__KEY_FILE", key.to_str().expect("a path"));
    done(&site, &["restore", "copy.db"]);
    fs::write(site.folder().join("copy.db.key"), format!("0 {}\n", "7".repeat(64))).expect("another key");
    let refusal = refused(&site, &["restore", "copy.db"]);
    assert!(refusal.contains("copy.db.key to") && refusal.contains("by hand"), "{refusal}");
}

#[test]
fn a_backup_of_each_earlier_version_is_restored() {
    let newest = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/store/migrations")).expect("a folder").count();
    for version in 1..newest {
        let site = Site::new();
        let old = Connection::open(site.folder().join("old.db")).expect("a file");
        old.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA application_id = 0x4E676F6D").expect("set");
        for number in 1..=version {
            let step = format!("{}/src/store/migrations/{number:04}.sql", env!("CARGO_MANIFEST_DIR"));
            old.execute_batch(&fs::read_to_string(step).expect("a text")).expect("an old schema");
        }
        old.pragma_update(None, "user_version", version).expect("set");
        drop(old);
        let said = done(&site, &["restore", "old.db"]);
        assert!(said.contains("brings it up to date"), "{version}: {said}");
    }
}

#[test]
fn a_backup_that_the_server_made_by_itself_is_restored_on_another_machine() {
    let world = World::with(|wish| wish.config.backup.every = std::time::Duration::from_secs(86_400));
    let mut tries = world.backups();
    world.block_on(tries.wait_for(|at| *at == Some(START))).expect("a backup");
    let elsewhere = tempfile::tempdir().expect("a folder");
    world.advance("24h");
    let next = world.now();
    world.block_on(tries.wait_for(|at| *at == Some(next))).expect("a backup");
    let copy = world.folder().join("backups/auto-2026-04-21T11-55-00Z.db");
    let (code, out, err) = finish(&mut ngoma(elsewhere.path(), &["restore", copy.to_str().expect("a path")]));
    assert_eq!(code, 0, "{out}{err}");
    let (code, out, _) = finish(&mut ngoma(elsewhere.path(), &["account", "list"]));
    assert!(code == 0 && out.contains("CUST-7"), "{out}");
}
