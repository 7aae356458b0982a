//! Secrets that the settings take from files.

use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::Path,
    process::Command,
};

use ngoma::domain::{signature::SigningSecret, timestamp::Timestamp};
use serde_json::json;

use crate::support::{
    leaks,
    program::{Running, finish, ngoma},
    receiver::{Receiver, Reply},
    site::{SECRET, Site},
};

fn write(file: &Path, text: &str) {
    fs::write(file, text).expect("written");
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("set");
}

/// What `ngoma check` says in this folder, with these variables: its code, and both outputs.
fn check(folder: &Path, variables: &[(&str, &str)]) -> (i32, String) {
    let mut check = ngoma(folder, &["check"]);
    let (code, out, err) = finish(check.envs(variables.iter().copied()));
    (code, out + &err)
}

#[test]
fn a_secret_in_a_file_beside_the_settings_is_used_without_the_end_of_its_line_and_never_shown() {
    let mut site = Site::new();
    let place = Receiver::new();
    leaks::secret(SECRET);
    write(&site.folder().join("signs"), &format!("{SECRET}\r\n"));
    write(&site.folder().join("where"), &format!("{}/a/hidden/place\n", place.url()));
    let settings = "[alerts]\nwebhook_url_file = \"where\"\nwebhook_secret_file = \"signs\"\n";
    fs::write(site.folder().join("config.toml"), settings).expect("written");
    let server = site.set("LOG__LEVEL", "info").start();
    let receiver = Receiver::new();
    receiver.always(Reply::status(410));
    server.coop().webhook(&receiver.url(), &["*"], SECRET);
    server.coop().publish("dds.filed", json!({}));
    let post = place.wait_for(1).remove(0);
    assert!(post.path.ends_with("/a/hidden/place"), "{}", post.path);
    let (id, header) = (post.header("webhook-id"), post.header("webhook-signature"));
    let at = Timestamp::from_millis(post.header("webhook-timestamp").parse::<i64>().expect("seconds") * 1000);
    let secret = SigningSecret::parse(SECRET.to_owned()).expect("a secret");
    assert!(secret.verifies_standard(id, at, &post.body, header), "{header}");
    let shown = server.kill();
    assert!(!shown.contains("hidden"), "{shown}");
}

#[test]
fn a_credential_of_systemd_comes_before_a_file_beside_the_settings_which_roots_commands_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let credentials = folder.path().join("credentials");
    fs::create_dir(&credentials).expect("a folder");
    write(&folder.path().join("smtp_url"), "smtp://beside.example\n");
    fs::write(folder.path().join("config.toml"), "[alerts]\nsmtp_url_file = \"smtp_url\"\n").expect("written");
    let alerts = |variables: &[(&str, &str)]| {
        let mut serve = ngoma(folder.path(), &["serve", "--listen", "127.0.0.1:0"]);
        Running::start(serve.envs(variables.iter().copied())).line_with("alerts ")
    };
    let given = [("CREDENTIALS_DIRECTORY", credentials.to_str().expect("a path"))];
    assert!(alerts(&given).contains("mail by beside.example"), "there is no such credential");
    write(&credentials.join("smtp_url"), "smtp://credential.example");
    assert!(alerts(&given).contains("mail by credential.example"));
    assert!(alerts(&[]).contains("mail by beside.example"));
}

#[test]
fn a_secret_that_is_given_twice_is_refused_by_the_names_of_both_settings() {
    let folder = tempfile::tempdir().expect("a folder");
    write(&folder.path().join("signs"), SECRET);
    let both = [("NGOMA_ALERTS__WEBHOOK_SECRET", SECRET), ("NGOMA_ALERTS__WEBHOOK_SECRET_FILE", "signs")];
    let (code, said) = check(folder.path(), &both);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("alerts.webhook_secret and alerts.webhook_secret_file are both set"), "{said}");
    assert_eq!(check(folder.path(), &both[1..]).0, 0);
}

#[test]
fn a_secrets_file_that_cannot_be_used_is_named_with_why_and_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    write(&path("empty"), "\n");
    write(&path("long"), &"s".repeat(70_000));
    write(&path("utf16"), "");
    fs::write(path("utf16"), b"\xff\xfes\0m\0t\0p\0").expect("written");
    write(&path("lines"), "smtp://one.example\nsmtp://other.example\n");
    write(&path("quotes"), "\"smtp://one.example\"\n");
    write(&path("nul"), "smtp://one\0.example\n");
    assert!(Command::new("mkfifo").arg(path("pipe")).status().expect("mkfifo runs").success());
    fs::create_dir(path("folder")).expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("set");
    for (name, why) in [
        ("missing", "is not there: write the secret into it, or hand it to the service as a credential"),
        ("utf16", "is no text in UTF-8: save it as UTF-8"),
        ("lines", "has several lines: a secret is one line"),
        ("quotes", "has quotes around the secret: leave them out"),
        ("nul", "has the invisible character U+0000 in it: write it again"),
        ("pipe", "is a pipe, not a file: write the secret into a file"),
        ("empty", "is empty: write the secret into it"),
        ("long", "is too long for a secret"),
        ("folder", "is a folder, not a file"),
    ] {
        let (code, said) = check(folder.path(), &[("NGOMA_ALERTS__SMTP_URL_FILE", name)]);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains(&format!("alerts.smtp_url_file: {name} {why}")), "{said}");
        assert!(!said.contains("sudo") && !said.contains("chmod") && !said.contains("one.example"), "{name}: {said}");
    }
    let serve = &mut ngoma(folder.path(), &["serve", "--listen", "127.0.0.1:0"]);
    let (code, _, said) = finish(serve.env("NGOMA_ALERTS__SMTP_URL_FILE", "missing"));
    assert!(code == 1 && said.contains("LoadCredential"), "{said}");
    assert!(!path("ngoma.db").exists(), "nothing was done");
}

#[test]
fn a_user_who_may_not_read_a_secret_can_run_the_commands_that_need_none() {
    let site = Site::new();
    let root = chown(site.folder(), Some(65534), None).is_ok();
    if !root {
        return;
    }
    for file in fs::read_dir(site.folder()).expect("a folder").flatten() {
        chown(file.path(), Some(65534), None).expect("given");
    }
    write(&site.folder().join("smtp_url"), "smtp://mail.example");
    fs::write(site.folder().join("config.toml"), "[alerts]\nsmtp_url_file = \"smtp_url\"\n").expect("written");
    let run = |words: &[&str]| finish(site.command_of(words).uid(65534));
    assert_eq!(run(&["account", "list"]).0, 0);
    let (code, _, said) = run(&["account", "test-mail", "COOP-MBALE-001"]);
    assert!(
        code == 1 && said.contains("smtp_url cannot be read: Permission denied") && said.contains("sudo"),
        "{said}"
    );
    // Root reads it, and then acts as the owner of the database.
    let (code, _, said) = finish(&mut site.command_of(&["account", "test-mail", "COOP-MBALE-001"]));
    assert!(code == 1 && said.contains("has no alert e-mail"), "{said}");
}

#[test]
fn a_start_and_a_check_warn_of_a_secrets_file_that_all_can_read() {
    let folder = tempfile::tempdir().expect("a folder");
    write(&folder.path().join("smtp_url"), "smtp://mail.example");
    let named = [("NGOMA_ALERTS__SMTP_URL_FILE", "smtp_url")];
    assert!(!check(folder.path(), &named).1.contains("everybody may read it"));
    fs::set_permissions(folder.path().join("smtp_url"), fs::Permissions::from_mode(0o644)).expect("set");
    let (code, said) = check(folder.path(), &named);
    assert!(code == 0 && said.contains("smtp_url holds a secret and everybody may read it"), "{said}");
}

#[test]
fn the_mark_with_which_an_editor_begins_a_file_is_no_part_of_the_secret() {
    let site = Site::new();
    let place = Receiver::new();
    leaks::secret(SECRET);
    write(&site.folder().join("signs"), &format!("\u{feff}{SECRET}\r\n"));
    write(&site.folder().join("where"), &format!("\u{feff}{}\r\n", place.url()));
    let settings = "[[alerts.channel]]\nkind = \"standard\"\nurl_file = \"where\"\nsecret_file = \"signs\"\n";
    fs::write(site.folder().join("config.toml"), settings).expect("written");
    let (code, out, said) = finish(&mut site.command_of(&["alerts", "test"]));
    assert_eq!(code, 0, "{out}{said}");
    let post = place.only();
    let (id, header) = (post.header("webhook-id"), post.header("webhook-signature"));
    let at = Timestamp::from_millis(post.header("webhook-timestamp").parse::<i64>().expect("seconds") * 1000);
    let secret = SigningSecret::parse(SECRET.to_owned()).expect("a secret");
    assert!(secret.verifies_standard(id, at, &post.body, header), "{header}");
}

#[test]
fn a_token_or_a_key_that_no_service_could_take_is_refused_before_it_is_sent() {
    let folder = tempfile::tempdir().expect("a folder");
    let bot = "is no token of a bot: expected what BotFather gave";
    for (kind, key, secret, why) in [
        ("ntfy", "token", "tk_a b", "is no token: expected visible ASCII"),
        ("ntfy", "token", "tk_\u{f6}", "is no token: expected visible ASCII"),
        ("text", "token", "tk_a\u{feff}b", "has the invisible character U+FEFF"),
        ("telegram", "token", "../../x?y#z", bot),
        ("telegram", "token", "bot123:abc", bot),
        ("telegram", "token", "123:", bot),
        ("standard", "secret", "WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "begins with whsec_ in large letters"),
        ("slack", "url", "http://127.0.0.1:9/a\u{7}b", "has the invisible character U+0007"),
    ] {
        write(&folder.path().join("secret"), secret);
        let more = if key == "url" { "" } else { "url = \"http://127.0.0.1:9/\"\n" };
        let channel = format!("[[alerts.channel]]\nkind = \"{kind}\"\ntopic = \"t\"\nchat_id = \"7\"\n{more}");
        let escaped = secret.replace('\u{7}', "\\u0007");
        for (line, named) in [
            (format!("{key}_file = \"secret\"\n"), format!("alerts.channel 1.{key}_file: secret {why}")),
            (format!("{key} = \"{escaped}\"\n"), format!("alerts.channel 1.{key} {why}")),
        ] {
            fs::write(folder.path().join("config.toml"), format!("{channel}{line}")).expect("written");
            for words in [&["check"][..], &["alerts", "test"], &["serve"]] {
                let (code, out, said) = finish(&mut ngoma(folder.path(), words));
                assert!(code == 1 && said.contains(&named), "{words:?} {kind} {line}: {said}");
                assert!(!format!("{out}{said}").contains(secret), "it is never shown: {said}");
            }
        }
    }
}

#[test]
fn no_command_is_named_that_would_change_the_mode_of_a_device() {
    let folder = tempfile::tempdir().expect("a folder");
    let (code, said) = check(folder.path(), &[("NGOMA_ALERTS__SMTP_URL_FILE", "/dev/zero")]);
    assert!(code == 1 && said.contains("/dev/zero is a device, not a file") && !said.contains("chmod"), "{said}");
}
