//! What `ngoma restore` and `ngoma check` refuse beside damage: a schema that is not ours, a link to nowhere, a disk
//! without room.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use rusqlite::Connection;

use crate::support::{
    program::{finish, ngoma, run},
    site::Site,
    strace::require_strace,
};

/// A stopped site, with a backup of it: `copy.db`.
fn site() -> Site {
    let site = Site::new();
    let (code, _, said) = finish(&mut site.command_of(&["backup", "copy.db"]));
    assert_eq!(code, 0, "{said}");
    site
}

fn names(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).expect("a folder").flatten();
    let mut names: Vec<String> = files.map(|file| file.file_name().into_string().expect("a name")).collect();
    names.sort();
    names
}

#[test]
fn a_database_whose_schema_is_not_that_of_its_version_is_named_and_not_restored() {
    let site = site();
    let at = |name: &str| site.folder().join(name);
    fs::copy(at("copy.db.key"), at("other.db.key")).expect("a key");
    let index = "SELECT name FROM sqlite_schema WHERE type = 'index' AND sql NOT NULL ORDER BY name LIMIT 1";
    let index: String = site.look(index);
    for (change, said) in [
        ("DROP TABLE audit".to_owned(), "lacks the table audit".to_owned()),
        (format!("DROP INDEX {index}"), format!("lacks the index {index} of the table ")),
        ("ALTER TABLE audit DROP COLUMN note".to_owned(), "lacks the column note of the table audit".to_owned()),
        ("PRAGMA user_version = 3".to_owned(), "says that it has schema 3, but has another".to_owned()),
        ("PRAGMA user_version = -5".to_owned(), "has the schema number -5, which no ngoma writes".to_owned()),
        (
            "CREATE TRIGGER evil AFTER INSERT ON event BEGIN DELETE FROM delivery; END".to_owned(),
            "has the trigger evil on the table event, which no ngoma made".to_owned(),
        ),
    ] {
        fs::copy(at("copy.db"), at("other.db")).expect("a copy");
        let other = Connection::open(at("other.db")).expect("a copy");
        other.execute_batch(&change).expect("changed");
        drop(other);
        let there = names(site.folder());
        let (code, _, refusal) = finish(&mut site.command_of(&["restore", "other.db"]));
        assert_eq!(code, 1, "{change}");
        assert!(refusal.contains("nothing was changed") && refusal.contains("other.db"), "{change}: {refusal}");
        assert!(refusal.contains(&said), "{change}: {refusal}");
        assert_eq!(names(site.folder()), there, "{change}");

        let checked = tempfile::tempdir().expect("a folder");
        fs::copy(at("other.db"), checked.path().join("ngoma.db")).expect("a database");
        fs::copy(at("copy.db.key"), checked.path().join("ngoma.key")).expect("a key");
        let (code, _, problem) = run(checked.path(), &["check"]);
        assert!(code == 1 && problem.contains(&said), "{change}: {problem}");
    }
    // What other programs keep beside ours is theirs.
    let copy = Connection::open(at("copy.db")).expect("a copy");
    copy.execute_batch("CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER)").expect("changed");
    drop(copy);
    let (code, _, said) = finish(&mut site.command_of(&["restore", "copy.db"]));
    assert_eq!(code, 0, "{said}");
}

#[test]
fn a_link_to_a_disk_that_is_not_mounted_is_named_and_stays() {
    let site = site();
    let away = site.folder().join("disk");
    for name in ["ngoma.db", "ngoma.key"] {
        let path = site.folder().join(name);
        fs::remove_file(&path).expect("removed");
        symlink(away.join(name), &path).expect("linked");
        for words in [&["restore", "copy.db"][..], &["check"], &["account", "list"], &["serve"]] {
            let there = names(site.folder());
            let (code, _, said) = finish(&mut site.command_of(words));
            assert_eq!(code, 1, "{words:?}: {said}");
            let told = format!("{name} is a link to {}, where nothing is: mount the disk", away.join(name).display());
            assert!(said.contains(&told), "{words:?}: {said}");
            assert_eq!(names(site.folder()), there, "{words:?}");
        }
        assert_eq!(fs::read_link(&path).expect("a link"), away.join(name));
        fs::remove_file(&path).expect("removed");
        let copy = if name == "ngoma.db" { "copy.db" } else { "copy.db.key" };
        fs::copy(site.folder().join(copy), &path).expect("copied");
    }
}

#[test]
fn a_disk_that_fails_at_the_last_moment_leaves_nothing_of_a_restore() {
    require_strace();
    let site = site();
    let draft = site.folder().join("ngoma.db.restoring.part");
    for (call, error) in [("write", "ENOSPC"), ("fsync", "EIO"), ("rename", "ENOSPC")] {
        let there = names(site.folder());
        let was = fs::read(site.database()).expect("the database");
        let restore = ngoma(site.folder(), &["restore", "copy.db"]);
        let mut failing = Command::new("strace");
        failing.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-P"]).arg(&draft);
        failing.args(["-e", &format!("inject={call}:error={error}:when=1")]).current_dir(site.folder());
        let (code, _, said) = finish(failing.arg(restore.get_program()).args(restore.get_args()));
        assert!(code == 1 && said.contains("ngoma.db.restoring"), "{call}: {code} {said}");
        assert_eq!(names(site.folder()), there, "{call}");
        assert_eq!(fs::read(site.database()).expect("the database"), was, "{call}");
    }
    let (code, _, said) = finish(&mut site.command_of(&["restore", "copy.db"]));
    assert_eq!(code, 0, "{said}");
}
