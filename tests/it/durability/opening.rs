//! Files that a start refuses and leaves untouched: another server's database, another program's file, another key.

use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::Arc,
};

use ngoma::{
    config::Durability,
    store::{self, Db, KeyRing},
};
use rusqlite::Connection;
use serde_json::json;

use crate::support::{
    program::{finish, ngoma, run},
    receiver::{Receiver, Reply},
    site::{Site, event_of, publish},
    world::World,
};

fn open(world: &World, serving: bool) -> ngoma::error::Result<Db> {
    let clock: Arc<dyn ngoma::clock::Clock> = Arc::<ngoma::clock::ManualClock>::clone(&world.clock);
    store::open(&world.config.storage, &world.config.limits, clock, serving)
}

/// A start that is refused with a sentence that says all of this.
#[track_caller]
fn refused(world: &mut World, says: &[&str]) {
    let refusal = world.try_start().expect_err("it must not start").to_string();
    for part in says {
        assert!(refusal.contains(part), "'{part}' is not in: {refusal}");
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", path.display()))
}

/// A world that has a webhook, and so a secret; stopped.
fn stopped_with_a_secret(receiver: &Receiver) -> World {
    let mut world = World::new();
    world.coop().webhook(&receiver.url(), &["*"], "s3cret");
    world.stop();
    world
}

/// Every row of webhooks, as it lies on the disk.
fn endpoints(world: &World) -> Vec<(Vec<u8>, Vec<u8>)> {
    let conn = Connection::open(world.database()).expect("the file");
    let mut rows = conn.prepare("SELECT id, secret FROM endpoint ORDER BY key").expect("a table");
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
    rows.collect::<rusqlite::Result<_>>().expect("readable rows")
}

#[test]
fn a_second_server_on_the_same_file_is_refused_and_the_first_goes_on() {
    let world = World::new();
    let refusal = open(&world, true).expect_err("there is a server already").to_string();
    let process = format!("ngoma.db is in use: the ngoma with process id {} serves it", std::process::id());
    for words in [&process, "systemctl stop ngoma", "run this again"] {
        assert!(refusal.contains(words), "{words}: {refusal}");
    }
    drop(open(&world, false).expect("a command needs no lock"));
    let receiver = Receiver::new();
    let coop = world.coop();
    coop.webhook(&receiver.url(), &["*"], "s3cret");
    coop.publish("batch.exported", json!({}));
    world.settle();
    receiver.only();
    assert!(open(&world, true).is_err(), "nor does a command let one in");
}

#[test]
fn a_start_beside_one_that_is_just_making_the_database_is_told_that_it_is_in_use() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = folder.path().join("ngoma.db");
    // Its first page is there, and the mark of our files is not.
    Connection::open(&database).and_then(|conn| conn.execute_batch("CREATE TABLE t (x)")).expect("a file");
    let lock = File::options().read(true).write(true).open(&database).expect("it is there");
    lock.lock().expect("locked, as the first server has it");
    let said = |words: &str| {
        let (code, _, said) = run(folder.path(), &["serve", "--listen", "127.0.0.1:0"]);
        assert!(code == 1 && said.contains(words), "{words}: {said}");
    };
    said(&format!("is in use: the ngoma with process id {} serves it", std::process::id()));
    lock.unlock().expect("unlocked");
    said("is a SQLite file of another program");
}

#[test]
fn by_another_name_of_the_file_no_second_server_gets_in() {
    let mut world = World::new();
    let aside = tempfile::tempdir().expect("a folder");
    let (folder, file, link) =
        (aside.path().join("alias"), aside.path().join("alias.db"), world.folder().join("link.db"));
    fs::hard_link(world.database(), &link).expect("a link");
    symlink(world.folder(), &folder).expect("a link to the folder");
    symlink(world.database(), &file).expect("a link to the file");
    for path in [folder.join("ngoma.db"), file, link] {
        world.config.storage.path = path;
        let refusal = open(&world, true).expect_err("there is a server already").to_string();
        assert!(refusal.contains(".db is in use: the ngoma with process id"), "{refusal}");
    }
}

#[test]
fn through_a_bind_mount_no_second_server_gets_in() {
    let site = Site::new();
    let first = site.start();
    let aside = tempfile::tempdir().expect("a folder");
    let mounted = "mount --bind \"$1\" \"$2\" && cd \"$2\" && shift 2 && exec \"$@\"";
    let [from, to] = [site.folder(), aside.path()].map(|folder| folder.to_str().expect("a path"));
    let mut second = site.under("unshare", &["-m", "sh", "-c", mounted, "sh", from, to], &site.command());
    let (code, _, said) = finish(&mut second);
    assert!(code == 1 && said.contains("ngoma.db is in use: "), "{said}");
    event_of(&publish(&first.coop(), "after").expect("the first one serves"));
    first.stop();
}

#[test]
fn names_that_sqlite_takes_for_something_else_are_refused_and_so_is_one_for_two_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = |key: &str, value: &str| {
        for arguments in [&["serve"][..], &["check"], &["--config", "config.toml", "account", "list"]] {
            let mut command = ngoma(folder.path(), arguments);
            let (code, _, said) = finish(command.env(format!("NGOMA_STORAGE__{}", key.to_uppercase()), value));
            let told =
                said.contains(&format!("storage.{key} = \"{value}\"")) && said.contains("expected the name of a file");
            assert!(code == 1 && told, "{arguments:?} {key} {value}: {said}");
        }
    };
    fs::write(folder.path().join("config.toml"), "").expect("a config");
    for path in
        [":memory:", ":", "file:ngoma.db", "FILE:ngoma.db?mode=memory", "", "ngoma.db-wal", "x-shm", "x-journal"]
    {
        refused("path", path);
    }
    for key_file in ["", "ngoma.db", "ngoma.db-wal", "ngoma.db-shm", "ngoma.db-journal"] {
        refused("key_file", key_file);
    }
    assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 1, "nothing was made");
}

#[test]
fn the_writer_syncs_as_the_config_says() {
    let mut world = World::new();
    world.stop();
    for durability in [Durability::Full, Durability::Normal] {
        world.config.storage.durability = durability;
        world.start();
        assert_eq!(world.write(store::durability), Ok(durability));
        world.stop();
    }
}

#[test]
fn without_its_key_file_the_server_refuses_to_start_and_names_it() {
    let receiver = Receiver::new();
    let mut world = stopped_with_a_secret(&receiver);
    let key = world.config.storage.key_file.clone();
    let aside = beside(&key, ".aside");
    let before = endpoints(&world);
    fs::rename(&key, &aside).expect("renamed");
    refused(&mut world, &["ngoma.key", "is missing", "restore"]);
    assert!(!key.exists(), "no new key is made over old secrets");
    assert_eq!(endpoints(&world), before);
    fs::rename(&aside, &key).expect("renamed");
    world.start();
    world.coop().publish("batch.exported", json!({}));
    world.settle();
    receiver.only();
}

#[test]
fn with_another_key_file_the_server_refuses_to_start_and_names_it() {
    let receiver = Receiver::new();
    let mut world = stopped_with_a_secret(&receiver);
    let key = world.config.storage.key_file.clone();
    let aside = beside(&key, ".aside");
    let before = endpoints(&world);
    fs::rename(&key, &aside).expect("renamed");
    KeyRing::create(&key).expect("another key");
    refused(&mut world, &["ngoma.key", "is not the key file of this database"]);
    for (text, problem) in
        [("", "it is empty"), ("a diary\n", "64 hexadecimal digits"), ("0 00\n", "64 hexadecimal digits")]
    {
        fs::write(&key, text).expect("written");
        refused(&mut world, &["ngoma.key", problem]);
    }
    assert_eq!(endpoints(&world), before);
    fs::rename(&aside, &key).expect("renamed");
    world.start();
}

#[test]
fn a_key_file_that_is_missing_or_foreign_is_refused_also_while_no_secret_is_stored() {
    let mut world = World::new();
    world.stop();
    let key = world.config.storage.key_file.clone();
    let aside = beside(&key, ".aside");
    let told = |world: &mut World, says: &str| {
        refused(world, &["ngoma.key", says, "no signing secret is stored yet"]);
        for command in [&["check"][..], &["token", "list"]] {
            let (code, _, said) = run(world.folder(), command);
            assert!(code == 1 && said.contains(says), "{command:?}: {said}");
        }
    };
    fs::rename(&key, &aside).expect("renamed");
    told(&mut world, "is missing");
    assert!(!key.exists(), "no command makes another");
    KeyRing::create(&key).expect("another key");
    told(&mut world, "is not the key file of this database");
    let foreign = fs::read(&key).expect("it is there");
    assert!(run(world.folder(), &["key", "rotate"]).0 == 1 && fs::read(&key).is_ok_and(|now| now == foreign));
    fs::rename(&aside, &key).expect("renamed");
    world.start();
    world.stop();
    // It is lost for good: the remedy that was named.
    fs::remove_file(&key).expect("removed");
    let (code, out, said) = run(world.folder(), &["key", "rotate"]);
    assert!(code == 0 && out.contains("ngoma.key"), "{said}");
    world.start();
    world.stop();
    // A version that kept no mark of its key left no key either.
    fs::remove_file(&key).expect("removed");
    let conn = Connection::open(world.database()).expect("the file");
    conn.execute("DELETE FROM audit WHERE action LIKE 'key.%'", []).expect("forgotten");
    drop(conn);
    world.start();
    world.stop();
    fs::remove_file(&key).expect("removed");
    told(&mut world, "is missing");
}

#[test]
fn a_file_of_another_program_is_refused_and_not_a_byte_of_it_changes() {
    let mut world = World::new();
    world.stop();
    let path = world.folder().join("other.db");
    world.config.storage.path.clone_from(&path);
    let other = Connection::open(&path).expect("a file");
    other.execute_batch("CREATE TABLE diary (page TEXT); INSERT INTO diary VALUES ('dear');").expect("a table");
    other.close().expect("closed");
    let sqlite = fs::read(&path).expect("bytes");
    let damaged = [&sqlite[..40], b"rubbish"].concat();
    let cases = [
        (sqlite, "is a SQLite file of another program"),
        (b"Dear diary,\n".to_vec(), "cannot be read as a database"),
        (
            b"Dear diary, this page is longer than the header of any database. ".repeat(99),
            "cannot be read as a database",
        ),
        (damaged, "cannot be read as a database"),
    ];
    for (bytes, problem) in cases {
        fs::write(&path, &bytes).expect("written");
        refused(&mut world, &["other.db", problem]);
        assert!(fs::read(&path).expect("bytes") == bytes, "it was changed: {problem}");
        for suffix in ["-wal", "-shm", "-journal"] {
            assert!(!beside(&path, suffix).exists(), "{suffix} was left behind: {problem}");
        }
    }
}

#[test]
fn an_empty_file_becomes_a_database() {
    let mut world = World::new();
    world.stop();
    world.config.storage.path = world.folder().join("empty.db");
    fs::write(world.database(), "").expect("written");
    world.start();
}

#[test]
fn a_database_of_a_newer_ngoma_is_refused() {
    let mut world = World::new();
    world.stop();
    let version = |world: &World| -> i64 {
        let conn = Connection::open(world.database()).expect("the file");
        conn.pragma_query_value(None, "user_version", |row| row.get(0)).expect("a version")
    };
    let known = version(&world);
    let conn = Connection::open(world.database()).expect("the file");
    conn.pragma_update(None, "user_version", known + 1).expect("raised");
    drop(conn);
    refused(&mut world, &["ngoma.db", "was made by a newer ngoma"]);
    assert_eq!(version(&world), known + 1, "it was left as it is");
}

#[test]
fn a_checkpoint_that_was_cut_off_loses_nothing() {
    let receiver = Receiver::new();
    receiver.always(Reply::status(500));
    let mut world = World::new();
    let webhook = world.coop().webhook(&receiver.url(), &["*"], "s3cret");
    // The file grows: its first page is in the log.
    world.coop().publish("dds.filed", json!({ "note": "x".repeat(60_000) }));
    world.settle();
    // The state after a power cut in a checkpoint: the log is whole, and the file's first page counts more pages than
    // came.
    let copy = world.folder().join("copy.db");
    let mut bytes = fs::read(world.database()).expect("bytes");
    bytes[28..32].copy_from_slice(&4000_u32.to_be_bytes());
    bytes.copy_within(24..28, 92);
    fs::write(&copy, bytes).expect("written");
    fs::copy(beside(&world.database(), "-wal"), beside(&copy, "-wal")).expect("copied");
    world.stop();
    world.config.storage.path = copy;
    world.start();
    assert_eq!(world.coop().status(&webhook), "ACTIVE");
}
