//! `ngoma check` finds every fault that would stop a start, changes nothing, and accepts states that a start repairs.

use std::{collections::BTreeMap, fs, path::Path, process::Command, time::SystemTime};

use rusqlite::Connection;

use crate::support::{
    database::checkpoint,
    program::finish,
    site::{SECRET, Site, publish},
};

/// A site whose server was killed: the write-ahead log lies beside the file.
fn killed() -> Site {
    let site = Site::new();
    let server = site.start();
    server.coop().webhook("http://127.0.0.1:9/", &["dds.filed"], SECRET);
    publish(&server.coop(), "k").expect("the server answers").expect(202);
    server.kill();
    site
}

type Files = BTreeMap<String, (Vec<u8>, SystemTime)>;

fn files(folder: &Path) -> Files {
    let read = |file: fs::DirEntry| {
        let bytes = fs::read(file.path()).expect("bytes");
        let written = file.metadata().and_then(|file| file.modified()).expect("a time");
        (file.file_name().to_string_lossy().into_owned(), (bytes, written))
    };
    fs::read_dir(folder).expect("a folder").flatten().filter(|file| file.path().is_file()).map(read).collect()
}

#[track_caller]
fn check(site: &Site, words: &[&str]) -> (i32, String) {
    let (code, out, said) = finish(&mut site.command_of(&[&["check"], words].concat()));
    (code, out + &said)
}

#[test]
fn check_changes_nothing_in_any_state_of_the_files() {
    let site = killed();
    let unchanged = |what: &str| {
        let before = files(site.folder());
        for words in [&[][..], &["--quick"]] {
            let (code, said) = check(&site, words);
            assert_eq!(code, 0, "{what}: {said}");
        }
        let after = files(site.folder());
        assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>(), "{what}");
        assert!(before == after, "{what}: a file was changed");
    };
    unchanged("after a crash");
    // Copied without its index, which SQLite makes again.
    fs::remove_file(site.folder().join("ngoma.db-shm")).expect("removed");
    assert_eq!(check(&site, &[]).0, 0);
    unchanged("with a log that was copied");
    checkpoint(&site.database());
    unchanged("after a stop");
    let server = site.start();
    let before = files(site.folder()).into_keys().collect::<Vec<_>>();
    assert_eq!(check(&site, &[]).0, 0);
    assert_eq!(files(site.folder()).into_keys().collect::<Vec<_>>(), before);
    publish(&server.coop(), "while it serves").expect("the server answers").expect(202);
    server.stop();
}

#[test]
fn check_finds_rows_that_an_index_lacks_and_check_quick_does_not_look() {
    let site = killed();
    checkpoint(&site.database());
    let conn = Connection::open(site.database()).expect("the file");
    conn.execute_batch(
        "PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET sql = replace(sql, '= ''held''', '= ''pending''') WHERE name = 'delivery_held';
         INSERT INTO delivery (id, event, endpoint, state, due_at, created_at)
           SELECT randomblob(16), event.key, endpoint.key, 'pending', 5, 0 FROM event, endpoint;",
    )
    .expect("written");
    conn.close().expect("closed");
    checkpoint(&site.database());
    let (code, said) = check(&site, &["--quick"]);
    assert_eq!(code, 0, "{said}");
    let (code, said) = check(&site, &[]);
    assert!(code == 1 && said.contains("delivery_held"), "{said}");
}

#[test]
fn check_names_every_fault_that_would_stop_a_start() {
    let nobody = fs::metadata("/proc/self").map(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0).expect("Linux");
    let site = killed();
    let folder = site.folder();
    let (key, database) = (folder.join("ngoma.key"), site.database());
    let good = fs::read(&key).expect("the key");
    // Both end with 1, and check says this.
    let stopped = |what: &str, setting: (&str, &str), word: &str| {
        for command in ["check", "serve"] {
            let mut command: Command = site.command_of(&[command]);
            let (code, _, said) = finish(command.env(format!("NGOMA_{}", setting.0), setting.1));
            assert_eq!(code, 1, "{what}: {said}");
            assert!(command.get_args().any(|word| word == "serve") || said.contains(word), "{what}: {said}");
        }
    };
    for (setting, word) in [
        (("STORAGE__PATH", "nowhere/ngoma.db"), "the folder nowhere"),
        (("STORAGE__PATH", "ngoma.key/ngoma.db"), "ngoma.key is no folder"),
        (("STORAGE__KEY_FILE", "other.key"), "other.key is missing"),
        (("STORAGE__KEY_FILE", "ngoma.db"), r#"storage.key_file = "ngoma.db""#),
        (("SERVER__LISTEN", "127.0.0.1:http"), "server.listen"),
        (("SERVER__LISTEN", "203.0.113.7:8080"), "cannot listen on 203.0.113.7:8080"),
        (("SERVER__MAX_BODY_BYTES", "1000000000000"), "server.max_body_bytes"),
        (("SERVER__MAX_BATCH_BYTES", "1000000000000"), "server.max_batch_bytes"),
        (("EGRESS__EXTRA_CA", "nowhere.pem"), "nowhere.pem"),
        (("LOG__LEVEL", "a=b=c"), "log.level"),
    ] {
        stopped(setting.1, setting, word);
    }
    fs::write(&key, format!("0 {}\n", "7".repeat(64))).expect("written");
    stopped("another's key", ("", ""), "is not the key file of this database");
    fs::write(&key, "no key").expect("written");
    stopped("no key", ("", ""), "a line is not");
    fs::write(&key, good).expect("written");
    let webhook = [("ALERTS__WEBHOOK_URL", "http://127.0.0.1:9/"), ("ALERTS__WEBHOOK_SECRET", "whsec_no*base64")];
    let mut command = site.command_of(&["check"]);
    let (code, _, said) = finish(command.envs(webhook.map(|(name, value)| (format!("NGOMA_{name}"), value))));
    assert!(code == 1 && said.contains("alerts.webhook_secret: expected"), "{said}");
    if !nobody {
        return;
    }
    for (path, mode, word) in [
        (folder, 0o555, "cannot be written by this user"),
        (&database, 0o000, "ngoma.db cannot be used by this user"),
        (&key, 0o000, "ngoma.key cannot be used by this user"),
    ] {
        use std::os::unix::{fs::PermissionsExt, process::CommandExt};
        for file in
            [folder.to_owned()].into_iter().chain(fs::read_dir(folder).expect("files").flatten().map(|f| f.path()))
        {
            std::os::unix::fs::chown(file, Some(65534), None).expect("given");
        }
        let before = fs::metadata(path).expect("it is there").permissions();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
        let (code, _, said) = finish(site.command_of(&["check"]).uid(65534));
        assert!(code == 1 && said.contains(word), "{said}");
        fs::set_permissions(path, before).expect("set");
    }
    assert_eq!(check(&site, &[]).0, 0);
}

#[test]
fn check_warns_of_limits_that_are_beyond_the_memory_of_the_machine() {
    let site = killed();
    let mut command = site.command_of(&["check"]);
    command.env("NGOMA_LIMITS__REQUEST_BYTES", "1000000000000");
    let (code, out, said) = finish(&mut command);
    assert_eq!(code, 0, "{said}");
    assert!(out.contains("warning   requests, answers and deliveries may take 2000033 MB of memory"), "{out}");
}

#[test]
fn a_database_that_the_next_start_brings_up_to_date_is_fine() {
    let site = Site::new();
    fs::remove_file(site.database()).expect("removed");
    let conn = Connection::open(site.database()).expect("a file");
    for step in [
        include_str!("../../../src/store/migrations/0001.sql"),
        include_str!("../../../src/store/migrations/0002.sql"),
        include_str!("../../../src/store/migrations/0003.sql"),
        include_str!("../../../src/store/migrations/0004.sql"),
    ] {
        conn.execute_batch(step).expect("a step");
    }
    conn.execute_batch(
        "PRAGMA application_id = 1315401581; PRAGMA user_version = 4;
         INSERT INTO account (key, id, profile, created_at) VALUES (1, 'A', 'asilichain', 0);
         INSERT INTO event (id, account, kind, body, accepted_at) VALUES (zeroblob(16), 1, 'k', '{}', 0);",
    )
    .expect("marked");
    conn.close().expect("closed");
    fs::set_permissions(site.database(), std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("set");
    let (code, said) = check(&site, &[]);
    assert!(code == 0 && said.contains("ngoma.db ok; the next start brings it up to date"), "{said}");
    site.start().stop();
    let (code, said) = check(&site, &[]);
    assert!(code == 0 && said.contains("ngoma.db ok\n"), "{said}");
}
