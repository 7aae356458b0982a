//! The messages of commands that fail: which thing, where, and what to do.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
};

use crate::support::{
    database::make,
    program::{finish, ngoma, run},
    receiver::Receiver,
};

/// The message of a command that must fail with this code.
#[track_caller]
fn said(folder: &Path, arguments: &[&str], variables: &[(&str, &str)], code: i32) -> String {
    let mut command = ngoma(folder, arguments);
    let (ended, _, said) = finish(command.envs(variables.iter().copied()).env("NGOMA_LOG__LEVEL", "info"));
    assert_eq!(ended, code, "{arguments:?}: {said}");
    said
}

#[track_caller]
fn holds(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "'{part}' is not in: {said}");
    }
}

#[test]
fn an_address_that_cannot_be_listened_on_is_named_with_the_setting_to_change() {
    let folder = tempfile::tempdir().expect("a folder");
    let taken = Receiver::new();
    let (address, port) = (format!("127.0.0.1:{}", taken.port()), taken.port().to_string());
    let serve = said(folder.path(), &["serve", "--listen", &address], &[], 1);
    holds(&serve, &[&address, "another program listens there", "--listen or server.listen"]);
    let listen = said(folder.path(), &["listen", "--port", &port], &[], 1);
    holds(&listen, &[&address, "another program listens there", "--port"]);
    for arguments in [&["serve", "--listen", "203.0.113.7:8080"][..], &["check"]] {
        let elsewhere = said(folder.path(), arguments, &[("NGOMA_SERVER__LISTEN", "203.0.113.7:8080")], 1);
        holds(&elsewhere, &["203.0.113.7:8080", "no such address", "0.0.0.0", "server.listen"]);
    }
}

#[test]
fn a_section_that_stands_twice_in_the_settings_is_named_with_its_line_and_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let twice = "[server]\nlisten = \"127.0.0.1:8080\"\n[egress]\nallow_http = true\n[server]\npublic_url = \"\"\n";
    fs::write(folder.path().join("config.toml"), twice).expect("written");
    holds(&said(folder.path(), &["check"], &[], 1), &["config.toml", "line 5", "server", "twice, so join the two"]);
}

#[test]
fn an_address_without_its_port_and_a_block_without_its_length_are_told_how_to_be_written() {
    let folder = tempfile::tempdir().expect("a folder");
    for (given, remedy) in [
        ("18081", "write 127.0.0.1:18081"),
        (":18081", "write 127.0.0.1:18081"),
        ("127.0.0.1", "write 127.0.0.1:8080"),
        ("::1", "write [::1]:8080"),
        ("localhost:8080", "a name is not taken"),
    ] {
        let wrong = said(folder.path(), &["serve", "--listen", given], &[], 2);
        holds(&wrong, &[given, "--listen", remedy]);
        let wrong = said(folder.path(), &["check"], &[("NGOMA_SERVER__LISTEN", given)], 1);
        holds(&wrong, &["server.listen", given, "NGOMA_SERVER__LISTEN", remedy]);
    }
    fs::write(folder.path().join("config.toml"), "[egress]\nallow = [\"10.20.0.0/16\", \"10.20.0.1\"]\n")
        .expect("written");
    let wrong = said(folder.path(), &["check"], &[], 1);
    holds(&wrong, &["egress.allow", "config.toml", "write 10.20.0.1/32 for this one address"]);
    let proxies = [("NGOMA_EGRESS__ALLOW", "[]"), ("NGOMA_SERVER__TRUSTED_PROXIES", "[\"fd00::1\"]")];
    let wrong = said(folder.path(), &["check"], &proxies, 1);
    holds(&wrong, &["server.trusted_proxies", "write fd00::1/128 for this one address"]);
}

#[test]
fn a_settings_file_that_cannot_be_read_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let missing = said(folder.path(), &["--config", "nowhere.toml", "check"], &[], 1);
    holds(&missing, &["nowhere.toml is not there", "--config"]);
    let file = folder.path().join("closed.toml");
    fs::write(&file, "").expect("written");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("set");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).expect("set");
    let mut check = ngoma(folder.path(), &["--config", "closed.toml", "check"]);
    // Root may read everything; any other user runs this story as itself.
    if run(folder.path(), &["--config", "closed.toml", "check"]).0 == 0 {
        check.uid(65534);
    }
    let (code, _, closed) = finish(&mut check);
    assert_eq!(code, 1, "{closed}");
    holds(&closed, &["closed.toml cannot be read: Permission denied", "sudo", "--config"]);
}

#[test]
fn a_setting_that_cannot_be_used_is_named_with_its_value_and_the_expected_one() {
    let folder = tempfile::tempdir().expect("a folder");
    for (settings, parts) in [
        ("[server]\nlisten = 8080", &["server.listen = 8080", "write 127.0.0.1:8080"][..]),
        ("[limits]\nconnections = \"many\"", &["limits.connections = \"many\"", "a whole number"]),
        ("[delivery]\ntimeout = \"10\"", &["delivery.timeout = \"10\"", "a time with its unit"]),
        ("[delivery]\ntimeout = \"10m\"", &["delivery.timeout = \"10m\" in config.toml: expected 100ms to 60s"]),
        ("[egress]\nallow = \"10.20.0.1/32\"", &["egress.allow = \"10.20.0.1/32\"", "a list in square brackets"]),
        ("[egress]\npublic = \"maybe\"", &["egress.public = \"maybe\"", "true or false"]),
        ("[log]\nformat = \"xml\"", &["log.format = \"xml\"", "expected text or json"]),
        ("[log]\nlevel = \"loud\"", &["log.level = \"loud\" in config.toml: expected error, warn"]),
        ("[retention]\ndelivered = \"100d\"", &["retention.undelivered = \"90d\", its default: expected"]),
        ("[[alerts.channel]]\nkind = \"slak\"", &["alerts.channel 1.kind = \"slak\"", "standard or slack"]),
        ("[alerts]\nsmtp_url = \"mail.example\"", &["alerts.smtp_url", "expected smtps://USER:PASSWORD@"]),
    ] {
        fs::write(folder.path().join("config.toml"), settings).expect("written");
        let wrong = said(folder.path(), &["check"], &[], 1);
        holds(&wrong, parts);
        for word in ["usize", "invalid type", "variant", "TOML source", "`", "sequence"] {
            assert!(!wrong.contains(word), "'{word}' is in: {wrong}");
        }
    }
}

#[test]
fn a_backup_that_cannot_be_made_or_restored_says_what_is_missing() {
    let folder = tempfile::tempdir().expect("a folder");
    make(folder.path());
    holds(&said(folder.path(), &["backup", "nowhere/copy.db"], &[], 1), &["nowhere is no folder: make it first"]);
    holds(&said(folder.path(), &["restore", "copy.db"], &[], 1), &["copy.db is not there: name a backup"]);
    holds(&said(folder.path(), &["restore", "."], &[], 1), &["is a folder, not a file: name another file"]);
    let key = folder.path().join("ngoma.key");
    fs::rename(&key, folder.path().join("away.key")).expect("moved");
    let missing = said(folder.path(), &["backup", "copy.db"], &[], 1);
    holds(&missing, &["ngoma.key cannot be read: No such file", "put the key file of this database back first"]);
}

#[test]
fn an_account_that_is_not_there_and_an_empty_list_say_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    make(folder.path());
    let made = run(folder.path(), &["account", "create", "--profile", "asg", "--id", "X"]);
    assert_eq!(made.0, 0, "{}", made.2);
    for arguments in [
        &["deliveries", "--account", "COOP-9"][..],
        &["recover", "--account", "COOP-9"],
        &["webhooks", "list", "--account", "COOP-9"],
        &["webhooks", "create", "--account", "COOP-9", "--url", "https://r.example/", "--events", "*"],
        &["token", "create", "--account", "COOP-9", "--scope", "events"],
        &["account", "set", "COOP-9", "--no-alert-email"],
        &["account", "test-mail", "COOP-9"],
        &["account", "delete", "COOP-9"],
    ] {
        holds(&said(folder.path(), arguments, &[], 1), &["no account COOP-9", "ngoma account list"]);
    }
    // Who reads the list in a program gets an empty one, and the sentence goes to a person.
    let nothing = |arguments: &[&str], parts: &[&str]| {
        let (code, out, err) = run(folder.path(), arguments);
        assert_eq!((code, out.as_str()), (0, ""), "{arguments:?}");
        holds(&err, parts);
        assert_eq!(run(folder.path(), &[arguments, &["--json"]].concat()), (0, "[]\n".to_owned(), String::new()));
        assert_eq!(run(folder.path(), &[arguments, &["--quiet"]].concat()), (0, String::new(), String::new()));
    };
    nothing(&["deliveries"], &["no delivery yet", "published"]);
    nothing(&["deliveries", "--account", "X", "--since", "2h"], &["no delivery matches", "--since"]);
    nothing(&["webhooks", "list"], &["no webhook", "ngoma webhooks create --help"]);
    nothing(&["token", "list"], &["no token", "ngoma token create --help"]);
    run(folder.path(), &["account", "delete", "X", "--yes"]);
    nothing(&["account", "list"], &["no account", "ngoma setup"]);
}
