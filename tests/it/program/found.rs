//! The files that a command looks for, and its message when one is missing.

use std::{
    fs,
    os::unix::{fs::chown, process::CommandExt},
    process::Command,
};

use crate::{
    program::shell::commands,
    support::{
        client::Client,
        program::{Running, finish, ngoma, refusal},
    },
};

/// The commands that need a database, as somebody writes them.
const NEED_ONE: [&str; 24] = [
    "setup --profile asg --account X --url https://x.example/",
    "account create --profile asg --id X",
    "account set X --alert-email a@b.example",
    "account test-mail X",
    "account delete X --yes",
    "account list",
    "token create --scope operator",
    "token list",
    "token revoke tok_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1",
    "key rotate",
    "webhooks list",
    "webhooks create --account X --url https://a.example/ --events *",
    "webhooks set wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1 --ordered",
    "webhooks show wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1",
    "webhooks test wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1",
    "webhooks pause wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1",
    "webhooks resume wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1",
    "webhooks recover wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1",
    "deliveries",
    "deliveries --follow",
    "recover --all",
    "recover --all --yes",
    "recover dlv_01HXYZ7A1B2C3D4E5F6G7H8J9K",
    "backup copy.db",
];
/// The commands that need none.
const NEED_NONE: [&str; 8] = ["serve", "restore", "check", "listen", "openapi", "completions", "man", "alerts test"];

#[test]
fn only_serve_makes_a_database_and_every_other_command_says_what_it_looked_for_and_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let sought = folder.path().canonicalize().expect("a folder").join("ngoma.db").display().to_string();
    for command in NEED_ONE {
        let words: Vec<&str> = command.split(' ').collect();
        let said = refusal(folder.path(), &words);
        for part in
            [&sought, "no config.toml and no /etc/ngoma/config.toml", "'ngoma serve' makes it", "--config", "folder"]
        {
            assert!(said.contains(part), "{command}: '{part}' is not in: {said}");
        }
        assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 0, "{command} has made something");
    }
    for command in commands().iter().filter(|command| !command.is_empty()).map(|command| command.join(" ")) {
        let is = |all: &[&str]| all.iter().any(|one| one.starts_with(&command));
        assert!(is(&NEED_ONE) || is(&NEED_NONE), "does 'ngoma {command}' need a database?");
    }
}

#[test]
fn an_empty_file_is_no_database_until_a_server_has_made_one_in_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ngoma.db");
    fs::write(&file, "").expect("written");
    assert!(refusal(folder.path(), &["token", "list"]).contains("'ngoma serve' makes the database in it"));
    assert_eq!(fs::metadata(&file).expect("it is there").len(), 0);
    assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 1);
    let (code, checked, _) = finish(ngoma(folder.path(), &["check"]).env("NGOMA_STORAGE__PATH", "elsewhere.db"));
    assert!(
        code == 0 && checked.contains("elsewhere.db (by the variable NGOMA_STORAGE__PATH) is not there yet"),
        "{checked}"
    );
}

/// The line of a server that begins with these words, once it has started.
fn first_step(serve: &mut Command, words: &str) -> (Running, String) {
    let mut server = Running::start(serve);
    let line = server.line_with(words).trim().to_owned();
    (server, line)
}

#[test]
fn a_hint_names_the_command_that_works_where_it_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("my data")).expect("a folder");
    for file in ["config.toml", "my data/ngoma.toml"] {
        fs::write(folder.path().join(file), "").expect("written");
    }
    let absolute = |file: &str| folder.path().canonicalize().expect("a folder").join(file).display().to_string();
    let serve = |words: &[&str]| ngoma(folder.path(), &[words, &["serve", "--listen", "127.0.0.1:0"]].concat());
    // Who reads the log of a server may stand in any folder.
    let (server, line) = first_step(&mut serve(&[]), "ngoma account create");
    assert!(line.starts_with("ngoma ") && line.ends_with(&format!(" --config {}", absolute("config.toml"))), "{line}");
    drop(server);
    let (_server, line) = first_step(&mut serve(&["--config", "my data/ngoma.toml"]), "ngoma account create");
    assert!(line.ends_with(&format!(" --config '{}'", absolute("my data/ngoma.toml"))), "{line}");
    // Who types a command stands where it found its settings.
    let hint = |words: &[&str], sudo: Option<&str>| {
        let create = ["account", "create", "--profile", "asg", "--id"];
        let id = format!("X{}", words.len() + usize::from(sudo.is_some()));
        let mut command = ngoma(folder.path(), &[words, &create, &[&id]].concat());
        let (code, out, err) = finish(command.envs(sudo.map(|user| ("SUDO_UID", user))));
        assert_eq!(code, 0, "{err}");
        out.trim().rsplit_once(": ").expect("a hint").1.to_owned()
    };
    assert_eq!(hint(&[], None), "ngoma token create --account X0 --scope webhooks,events");
    assert_eq!(hint(&[], Some("1000")), "sudo ngoma token create --account X1 --scope webhooks,events");
    let named = hint(&["--config", "my data/ngoma.toml"], None);
    assert_eq!(named, "ngoma token create --account X2 --scope webhooks,events --config 'my data/ngoma.toml'");
}

#[test]
fn a_server_that_runs_as_a_user_for_services_says_sudo_and_shows_strangers_no_path() {
    let folder = tempfile::tempdir().expect("a folder");
    if chown(folder.path(), Some(65534), Some(65534)).is_err() {
        return;
    }
    fs::write(folder.path().join("ngoma.toml"), "[server]\npublic_url = \"https://hooks.coop.example/\"\n")
        .expect("written");
    let mut serve = ngoma(folder.path(), &["--config", "ngoma.toml", "serve", "--listen", "127.0.0.1:0"]);
    let mut server = Running::start(serve.uid(65534).gid(65534));
    let address = server.address();
    // Where people reach it.
    assert!(server.line_with("dashboard").ends_with("https://hooks.coop.example/ui"));
    assert!(server.line_with("docs").ends_with("https://hooks.coop.example/docs"));
    let line = server.line_with("account create");
    let file = folder.path().canonicalize().expect("a folder").join("ngoma.toml");
    assert!(
        line.trim().starts_with("sudo ngoma account create ") && line.contains(&format!("--config {}", file.display())),
        "{line}"
    );
    let refused = Client::at(&address, "ngm_nobody").get("/webhooks");
    assert!(
        refused.text.contains("make one by 'sudo ngoma token create'") && !refused.text.contains("ngoma.toml"),
        "{}",
        refused.text
    );
}
