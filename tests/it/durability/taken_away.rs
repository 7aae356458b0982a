//! The database is taken away from a running server: it accepts no event that would be lost, stops and says why.

use std::{
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
};

use crate::support::{
    program::run,
    site::{SECRET, Server, Site, event_of, publish},
    world::together,
};

/// An action in the folder of the database, which also holds a backup.
type Act = fn(&Path);

/// The file that the server's message names, and the action on it.
const ACTS: &[(&str, &str, Act)] = &[
    ("removed", "ngoma.db ", |folder| fs::remove_file(folder.join("ngoma.db")).expect("removed")),
    ("moved", "ngoma.db ", |folder| rename(folder, "ngoma.db", "aside")),
    ("replaced", "ngoma.db ", |folder| rename(folder, "copy.db", "ngoma.db")),
    ("overwritten", "ngoma.db ", |folder| {
        fs::copy(folder.join("copy.db"), folder.join("ngoma.db")).expect("copied");
    }),
    ("cut to nothing", "ngoma.db ", |folder| cut(folder, "ngoma.db", 0)),
    ("cut to a page", "ngoma.db ", |folder| cut(folder, "ngoma.db", 4096)),
    ("its log removed", "ngoma.db-wal ", |folder| fs::remove_file(folder.join("ngoma.db-wal")).expect("removed")),
    ("its log moved", "ngoma.db-wal ", |folder| rename(folder, "ngoma.db-wal", "aside")),
    ("its log cut", "ngoma.db-wal ", |folder| cut(folder, "ngoma.db-wal", 4096)),
    ("its index removed", "ngoma.db-shm ", |folder| fs::remove_file(folder.join("ngoma.db-shm")).expect("removed")),
    ("its folder moved", "ngoma.db ", |folder| {
        fs::rename(folder, folder.with_file_name("aside")).expect("moved");
    }),
];

fn rename(folder: &Path, from: &str, to: &str) {
    fs::rename(folder.join(from), folder.join(to)).expect("moved");
}

fn cut(folder: &Path, name: &str, bytes: u64) {
    let file = OpenOptions::new().write(true).open(folder.join(name)).expect("the file");
    file.set_len(bytes).expect("cut");
}

/// A server that has accepted events, with a backup in its folder; and those events.
fn serving(folder: &Path) -> (Site, Server, Vec<String>) {
    fs::create_dir(folder).expect("a folder");
    let site = Site::within(folder);
    assert_eq!(run(folder, &["backup", "copy.db"]).0, 0);
    let server = site.start();
    server.coop().webhook("http://127.0.0.1:9/", &["dds.filed"], SECRET);
    let accepted = (0..20).map(|number| event_of(&publish(&server.coop(), &number.to_string()).expect("an answer")));
    let accepted = accepted.collect();
    (site, server, accepted)
}

/// The server ends by itself, and names the file in a sentence.
#[track_caller]
fn stops(mut server: Server, act: &str, name: &str) {
    let status = server.running.wait();
    let log = server.running.log();
    assert_eq!(status.code(), Some(1), "{act}: {log}");
    let told = log.lines().find(|line| line.starts_with("ngoma: ")).unwrap_or_default();
    assert!(told.contains(name) && told.contains("while the server ran"), "{act}: {log}");
}

#[test]
fn nothing_is_accepted_once_the_database_was_taken_away_and_the_server_stops_and_says_so() {
    let outer = tempfile::tempdir().expect("a folder");
    let story = |(number, (what, name, act)): (usize, &'static (&'static str, &'static str, Act))| {
        let folder: PathBuf = outer.path().join(number.to_string()).join("data");
        let story = move || {
            fs::create_dir_all(folder.parent().expect("a folder")).expect("a folder");
            let (_site, server, _) = serving(&folder);
            let client = server.coop();
            act(&folder);
            for number in 0..50 {
                match publish(&client, &format!("after {number}")) {
                    Ok(answer) => assert!(answer.status >= 500, "{what}: {answer:?}"),
                    Err(_) => break,
                }
                // Once it has noticed, and until it has gone.
                if let Ok(ready) = client.try_send("GET", "/health/ready", &[], None) {
                    assert_eq!(ready.status, 503, "{what}: {}", ready.text);
                }
            }
            stops(server, what, name);
        };
        Box::new(story) as Box<dyn FnOnce() + Send>
    };
    together(ACTS.iter().enumerate().map(story).collect());
}

#[test]
fn a_restored_database_that_another_backup_overwrites_is_noticed() {
    let outer = tempfile::tempdir().expect("a folder");
    let folder = outer.path().join("data");
    fs::create_dir(&folder).expect("a folder");
    let site = Site::within(&folder);
    for copy in ["first.db", "second.db"] {
        assert_eq!(run(&folder, &["backup", copy]).0, 0);
    }
    rename(&folder, "first.db", "ngoma.db");
    let server = site.start();
    publish(&server.coop(), "1").expect("an answer");
    fs::copy(folder.join("second.db"), folder.join("ngoma.db")).expect("copied");
    stops(server, "overwritten by another backup", "ngoma.db ");
}

#[test]
fn a_server_that_nobody_asks_anything_notices_by_itself_that_its_database_was_taken_away() {
    let outer = tempfile::tempdir().expect("a folder");
    let story = |(number, (what, name, act)): (usize, &'static (&'static str, &'static str, Act))| {
        let folder: PathBuf = outer.path().join(number.to_string()).join("data");
        let story = move || {
            fs::create_dir_all(folder.parent().expect("a folder")).expect("a folder");
            let (_site, server, _) = serving(&folder);
            act(&folder);
            stops(server, what, name);
        };
        Box::new(story) as Box<dyn FnOnce() + Send>
    };
    together(ACTS.iter().enumerate().map(story).collect());
}

#[test]
fn a_log_that_is_emptied_behind_the_server_is_noticed_by_the_next_write() {
    let outer = tempfile::tempdir().expect("a folder");
    let folder = outer.path().join("data");
    let (_site, server, _) = serving(&folder);
    cut(&folder, "ngoma.db-wal", 0);
    let answer = publish(&server.coop(), "after");
    assert!(!matches!(&answer, Ok(answer) if answer.status < 500), "it would be lost: {answer:?}");
    stops(server, "emptied", "ngoma.db-wal ");
}

#[test]
fn health_says_at_once_that_the_database_was_taken_away() {
    let outer = tempfile::tempdir().expect("a folder");
    let folder = outer.path().join("data");
    let (_site, server, _) = serving(&folder);
    assert_eq!(server.coop().get("/health/ready").status, 200);
    rename(&folder, "ngoma.db", "aside");
    // It may have stopped by now, but seldom has.
    if let Ok(ready) = server.coop().try_send("GET", "/health/ready", &[], None) {
        let ready = ready.expect(503);
        let said = ready["parts"]["database"]["message"].as_str().expect("a sentence");
        assert!(said.contains("was removed, moved or replaced") && said.contains("stops"), "{said}");
    }
    stops(server, "moved", "ngoma.db ");
}

#[test]
fn a_database_that_is_put_back_holds_every_accepted_event() {
    let outer = tempfile::tempdir().expect("a folder");
    for (number, name) in ["ngoma.db", "ngoma.db-wal"].into_iter().enumerate() {
        let folder = outer.path().join(number.to_string());
        let (site, server, accepted) = serving(&folder);
        rename(&folder, name, "aside");
        stops(server, "moved", name);
        rename(&folder, "aside", name);
        let server = site.start();
        for event in accepted {
            server.coop().get(&format!("/events/{event}")).expect(200);
        }
        server.stop();
        assert_eq!(site.look::<String>("PRAGMA integrity_check"), "ok");
    }
}

#[test]
fn changes_by_other_programs_through_sqlite_raise_no_alarm() {
    let outer = tempfile::tempdir().expect("a folder");
    let folder = outer.path().join("data");
    let (site, server, _) = serving(&folder);
    let other = rusqlite::Connection::open(site.database()).expect("the file");
    other.busy_timeout(crate::support::receiver::PATIENCE).expect("set");
    for round in 0..20 {
        let much =
            format!("CREATE TABLE others_{round} (x); INSERT INTO others_{round} VALUES (zeroblob({round} * 100000))");
        other.execute_batch(&much).expect("written");
        event_of(&publish(&server.coop(), &format!("grown {round}")).expect("an answer"));
        // The file grows, and becomes shorter again.
        let less = format!("DROP TABLE others_{round}; PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE)");
        other.execute_batch(&less).expect("written");
        event_of(&publish(&server.coop(), &format!("shorter {round}")).expect("an answer"));
        assert_eq!(server.coop().get("/health/ready").status, 200);
    }
    server.stop();
}
