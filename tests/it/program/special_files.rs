//! A pipe, a folder, a socket or a device where a file is expected: refused at once, never waited for.

use std::{
    fs,
    os::unix::{fs::symlink, net::UnixListener},
    path::Path,
    process::Command,
};

use serde_json::{Value, json};

use crate::support::{leaks, program::finish, site::Site, world::COOP};

/// Kinds of things at a file's place.
const KINDS: [(&str, &str); 4] =
    [("pipe", "a pipe"), ("folder", "a folder"), ("socket", "a socket"), ("device", "a device")];

fn put(kind: &str, at: &Path) {
    match kind {
        "pipe" => assert_eq!(finish(Command::new("mkfifo").arg(at)).0, 0),
        "folder" => fs::create_dir(at).expect("a folder"),
        "socket" => drop(UnixListener::bind(at).expect("a socket")),
        _ => symlink("/dev/zero", at).expect("a link to a device"),
    }
}

/// The error of a command that must end by itself, and not well.
#[track_caller]
fn refusal(site: &Site, arguments: &[&str]) -> String {
    // 124: it was still waiting.
    let mut command = site.under("timeout", &["20"], &site.command_of(arguments));
    let (code, _, said) = finish(command.env("NGOMA_LOG__LEVEL", "warn"));
    assert_eq!(code, 1, "{arguments:?}: {said}");
    said
}

#[test]
fn a_backup_refuses_paths_that_are_not_regular_files() {
    for (kind, name) in KINDS {
        for place in ["copy.db", "copy.db.key", "copy.db.part", "copy.db.key.part"] {
            let site = Site::new();
            let at = site.folder().join(place);
            put(kind, &at);
            let said = refusal(&site, &["backup", "copy.db"]);
            assert!(said.contains(&format!("{place} is {name}")), "{kind} at {place}: {said}");
            assert!(at.symlink_metadata().is_ok(), "it is left as it is");
        }
    }
}

#[test]
fn files_named_by_settings_must_be_regular_files() {
    for (kind, name) in KINDS {
        for (setting, place) in
            [("STORAGE__PATH", "other.db"), ("STORAGE__KEY_FILE", "other.key"), ("EGRESS__EXTRA_CA", "other.pem")]
        {
            let mut site = Site::new();
            site.set(setting, place);
            put(kind, &site.folder().join(place));
            let by_all = [&["serve"][..], &["backup", "copy.db"]];
            for words in &by_all[..if setting == "EGRESS__EXTRA_CA" { 1 } else { 2 }] {
                let said = refusal(&site, words);
                assert!(said.contains(&format!("{place} is {name}")), "{words:?}: {kind} at {place}: {said}");
            }
        }
    }
}

#[test]
fn a_file_with_headers_or_a_secret_is_read_up_to_a_limit_and_may_begin_with_a_byte_order_mark() {
    let site = Site::new();
    let create = ["webhooks", "create", "--account", COOP, "--url", "http://127.0.0.1:9/", "--events", "*"];
    fs::write(site.folder().join("long.txt"), "X-Key: a\n".repeat(10_000)).expect("written");
    for (option, file) in [
        ("--header", "@long.txt"),
        ("--header", "@/dev/zero"),
        ("--secret-file", "long.txt"),
        ("--secret-file", "/dev/zero"),
    ] {
        let said = refusal(&site, &[&create[..], &[option, file]].concat());
        assert!(said.contains("is too long: at most 64 KiB are read"), "{option} {file}: {said}");
    }
    fs::write(site.folder().join("key.txt"), "\u{feff}X-Key: a\r\n").expect("written");
    let (code, made, said) = finish(&mut site.command_of(&[&create[..], &["--header", "@key.txt", "--json"]].concat()));
    assert_eq!(code, 0, "{said}");
    let made: Value = serde_json::from_str(&made).expect("JSON");
    leaks::secret(made["secret"].as_str().expect("a secret"));
    assert_eq!(made["headers"], json!({ "X-Key": "***" }));
}
