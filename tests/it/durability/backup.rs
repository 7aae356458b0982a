//! A backup: taken while the server serves, whole, checked, for its owner only; and restored it serves on.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use ngoma::domain::signature::SigningSecret;
use serde_json::json;

use crate::{
    program::readme::{blocks, chapter},
    support::{
        client::Client,
        database::checkpoint,
        program::{finish, run},
        receiver::{Receiver, Reply, lock},
        site::{SECRET, Site, event_of, publish},
    },
};

const PAGE: usize = 4096;

/// Takes a backup with this name; it must be good.
#[track_caller]
fn back_up(site: &Site, name: &str) -> String {
    let (code, out, err) = finish(&mut site.command_of(&["backup", name]));
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    out
}

/// The refusal of a backup with this name.
#[track_caller]
fn refused(site: &Site, name: &str) -> String {
    let (code, out, err) = finish(&mut site.command_of(&["backup", name]));
    assert_eq!((code, out.as_str()), (1, ""), "{err}");
    assert!(err.starts_with("ngoma: ") && err.trim_end().lines().count() == 1, "one sentence: {err}");
    err
}

/// Puts a backup in the place of the database.
fn restore(site: &Site, name: &str) {
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{suffix}", site.database().display()));
    }
    fs::copy(site.folder().join(name), site.database()).expect("the copy");
    fs::copy(site.folder().join(format!("{name}.key")), site.folder().join("ngoma.key")).expect("its key");
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .expect("a folder")
        .map(|file| file.expect("one").file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with("ngoma."))
        .collect();
    names.sort();
    names
}

/// Publishes on and on, and keeps the ids of accepted events.
struct Load {
    accepted: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Load {
    fn start(client: &Client) -> Self {
        let (accepted, stop) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicBool>::default());
        let publisher = |name: usize| {
            let (client, accepted, stop) = (client.clone(), Arc::clone(&accepted), Arc::clone(&stop));
            thread::spawn(move || {
                let mut number = 0;
                while !stop.load(Ordering::SeqCst) {
                    let answer = publish(&client, &format!("{name}-{number}")).expect("the server answers");
                    lock(&accepted).push(event_of(&answer));
                    number += 1;
                }
            })
        };
        let threads = (0..4).map(publisher).collect();
        Self { accepted, stop, threads }
    }

    /// The ids accepted by now, as soon as there are this many.
    fn at_least(&self, count: usize) -> Vec<String> {
        loop {
            let accepted = lock(&self.accepted).clone();
            if accepted.len() >= count {
                return accepted;
            }
            thread::yield_now();
        }
    }

    fn end(self) {
        self.stop.store(true, Ordering::SeqCst);
        self.threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    }
}

#[test]
fn a_backup_taken_under_load_holds_every_event_accepted_before_and_serves_after_a_restore() {
    let (site, receiver, silent) = (Site::new(), Receiver::new(), Receiver::new());
    silent.always(Reply::status(503));
    let server = site.start();
    let coop = server.coop();
    coop.webhook(&receiver.url(), &["batch.*"], SECRET);
    let waiting = coop.webhook(&silent.url(), &["dds.filed"], "what(the)customer-signs");
    coop.publish("dds.filed", json!({ "n": 1 }));
    coop.patch(&format!("/webhooks/{waiting}"), json!({ "status": "SUSPENDED" })).expect(200);
    let load = Load::start(&coop);
    let before = load.at_least(200);
    let said = back_up(&site, "copy.db");
    assert!(said.contains("copy.db") && said.contains("copy.db.key"), "{said}");
    load.at_least(before.len() + 1);
    load.end();
    server.kill();

    restore(&site, "copy.db");
    assert_eq!(run(site.folder(), &["check"]).0, 0);
    let server = site.start();
    let coop = server.coop();
    for event in &before {
        coop.get(&format!("/events/{event}")).expect(200);
    }
    let posts = receiver.posts().len();
    let event =
        coop.publish("batch.exported", json!({ "after": true }))["event_id"].as_str().expect("an id").to_owned();
    let secret = SigningSecret::parse(SECRET.to_owned()).expect("a secret");
    loop {
        // Attempts under way when the copy was taken may come as well.
        let posts = receiver.wait_for(posts + 1);
        for post in &posts {
            assert!(secret.verifies_body(&post.body, post.header("x-asilichain-signature")));
        }
        if posts.iter().any(|post| post.header("webhook-id") == event) {
            break;
        }
    }
    silent.always(Reply::status(200));
    let held = silent.posts().len();
    coop.patch(&format!("/webhooks/{waiting}"), json!({ "status": "ACTIVE" })).expect(200);
    silent.wait_for(held + 1);
    server.stop();
    let states = "SELECT count(*) FROM delivery WHERE state != 'delivered'";
    assert_eq!(site.look::<i64>(states), 0, "whatever waited in the copy was delivered");
}

#[test]
fn a_backup_is_for_its_owner_only_and_leaves_nothing_else_behind() {
    let site = Site::new();
    let server = site.start();
    server.coop().webhook("http://127.0.0.1:9/", &["*"], SECRET);
    fs::write(site.folder().join("copy.db.part"), "what a backup left that was cut off").expect("written");
    back_up(&site, "copy.db");
    server.stop();
    back_up(&site, "stopped.db");
    assert_eq!(names(site.folder()), ["copy.db", "copy.db.key", "stopped.db", "stopped.db.key"]);
    for name in names(site.folder()) {
        let mode = fs::metadata(site.folder().join(&name)).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    // A file by itself, and as good as the database: it can be looked through where it lies.
    let mut check = site.command_of(&["check"]);
    check.env("NGOMA_STORAGE__PATH", "copy.db").env("NGOMA_STORAGE__KEY_FILE", "copy.db.key");
    assert_eq!(finish(&mut check).0, 0);
}

#[test]
fn a_backup_overwrites_nothing_and_one_that_fails_leaves_nothing() {
    let site = Site::new();
    let server = site.start();
    let client = server.coop();
    client.webhook("http://127.0.0.1:9/", &["*"], SECRET);
    for number in 0..200 {
        event_of(&publish(&client, &format!("{number}-{}", "k".repeat(200))).expect("the server answers"));
    }
    server.stop();
    checkpoint(&site.database());
    for there in ["copy.db", "copy.db.key"] {
        fs::write(site.folder().join(there), "somebody's").expect("written");
        assert!(refused(&site, "copy.db").contains(there));
        assert_eq!(fs::read(site.folder().join(there)).expect("it is there"), b"somebody's");
        fs::remove_file(site.folder().join(there)).expect("removed");
    }
    assert!(refused(&site, "ngoma.db").contains("is there already"));
    assert!(refused(&site, "nowhere/copy.db").contains("nowhere does not exist: make this folder first"));
    let key = fs::read(site.folder().join("ngoma.key")).expect("the key");
    fs::write(site.folder().join("ngoma.key"), format!("0 {}\n", "7".repeat(64))).expect("written");
    assert!(refused(&site, "copy.db").contains("does not open"));
    fs::write(site.folder().join("ngoma.key"), "no key").expect("written");
    assert!(refused(&site, "copy.db").contains("the key file ngoma.key cannot be used"));
    fs::write(site.folder().join("ngoma.key"), key).expect("written");
    let good = fs::read(site.database()).expect("bytes");
    let mut damaged = good.clone();
    let middle = damaged.len() / PAGE / 2 * PAGE;
    damaged[middle..middle + PAGE].fill(0xFF);
    fs::write(site.database(), damaged).expect("written");
    assert!(refused(&site, "copy.db").contains("ngoma.db"));
    fs::write(site.database(), good).expect("written");
    assert!(names(site.folder()).is_empty(), "{:?}", names(site.folder()));
    back_up(&site, "copy.db");
}

#[test]
fn a_backup_has_the_key_of_its_secrets_however_often_the_key_is_rotated_meanwhile() {
    const BACKUPS: usize = 12;
    let (site, receiver) = (Site::new(), Receiver::new());
    let server = site.start();
    for number in 0..30 {
        server.coop().webhook(&receiver.url(), &["*"], &format!("secret {number}"));
    }
    let (folder, stop) = (site.folder().to_owned(), Arc::<AtomicBool>::default());
    let stopped = Arc::clone(&stop);
    let rotating = thread::spawn(move || {
        let mut rotations = 0;
        while !stopped.load(Ordering::SeqCst) {
            assert_eq!(run(&folder, &["key", "rotate"]).0, 0);
            rotations += 1;
        }
        rotations
    });
    for number in 0..BACKUPS {
        back_up(&site, &format!("{number}.db"));
    }
    stop.store(true, Ordering::SeqCst);
    assert!(rotating.join().expect("no panic") > 3);
    server.stop();
    for number in [0, BACKUPS / 2, BACKUPS - 1] {
        restore(&site, &format!("{number}.db"));
        let posts = receiver.posts().len();
        let server = site.start();
        publish(&server.coop(), "after").expect("the server answers").expect(202);
        receiver.wait_for(posts + 30);
        server.stop();
    }
}

#[test]
fn two_backups_to_one_file_do_not_take_each_others_away() {
    let site = Site::new();
    let part = site.folder().join("copy.db.part");
    fs::write(&part, "of another that is at work").expect("written");
    let held = fs::File::open(&part).expect("it is there");
    held.lock().expect("held");
    assert!(refused(&site, "copy.db").contains("another backup"));
    assert_eq!(fs::read(&part).expect("it is there"), b"of another that is at work");
    drop(held);
    back_up(&site, "copy.db");
    assert_eq!(names(site.folder()), ["copy.db", "copy.db.key"]);
}

#[test]
fn a_medium_that_keeps_no_modes_takes_a_backup_with_a_warning() {
    let site = Site::new();
    // Enough that it takes a while.
    let conn = rusqlite::Connection::open(site.database()).expect("the file");
    conn.execute(
        "INSERT INTO event (id, account, kind, body, accepted_at) VALUES (randomblob(16), 1, 'k', hex(zeroblob(16000000)), 0)",
        [],
    )
    .expect("much");
    drop(conn);
    let (part, stop) = (site.folder().join("copy.db.key.part"), Arc::<AtomicBool>::default());
    let stopped = Arc::clone(&stop);
    // No such medium is at hand: somebody gives the key's copy the mode that it would have there, at once.
    let medium = thread::spawn(move || {
        while !stopped.load(Ordering::SeqCst) && fs::set_permissions(&part, fs::Permissions::from_mode(0o755)).is_err()
        {
        }
    });
    let (code, out, err) = finish(&mut site.command_of(&["backup", "copy.db"]));
    stop.store(true, Ordering::SeqCst);
    medium.join().expect("no panic");
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("are made and checked") && err.contains("copy.db.key: others may use it"), "{out}{err}");
}

#[test]
fn a_backup_whose_file_is_taken_away_while_it_is_made_says_so_and_takes_no_other_for_it() {
    let site = Site::new();
    let conn = rusqlite::Connection::open(site.database()).expect("the file");
    let much = "INSERT INTO event (id, account, kind, body, accepted_at) VALUES (randomblob(16), 1, 'k', hex(zeroblob(16000000)), 0)";
    conn.execute(much, []).expect("much");
    drop(conn);
    let (part, other) = (site.folder().join("copy.db.part"), site.folder().join("other"));
    for replaced in [false, true] {
        fs::write(&other, "somebody's").expect("written");
        let (part, other) = (part.clone(), other.clone());
        let taken = thread::spawn(move || {
            // As soon as something was copied.
            while fs::metadata(&part).map_or(0, |part| part.len()) < 8 * PAGE as u64 {}
            if replaced { fs::rename(other, part) } else { fs::remove_file(part) }
        });
        let refusal = refused(&site, "copy.db");
        assert!(refusal.contains("copy.db.part was removed or replaced"), "{refusal}");
        taken.join().expect("no panic").expect("taken away");
        fs::remove_file(site.folder().join("other")).unwrap_or_default();
        assert!(names(site.folder()).is_empty(), "{:?}", names(site.folder()));
    }
}

#[test]
fn a_restore_by_the_guide_is_one_command() {
    let site = Site::new();
    back_up(&site, "ngoma-2026-04-20.db");
    let blocks = blocks(&chapter("backup"), "sh");
    let block = blocks.iter().find(|block| block.contains("ngoma restore")).expect("it is told");
    let command = block.lines().find(|line| line.starts_with("ngoma restore")).expect("it is told");
    let words = command.split(" #").next().expect("a command").replace("/mnt/backups/", "");
    let words: Vec<&str> = words.split_whitespace().skip(1).collect();
    let (code, out, err) = finish(&mut site.command_of(&words));
    assert_eq!(code, 0, "{out}{err}");
    site.start().stop();
}
