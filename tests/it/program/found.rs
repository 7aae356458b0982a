//! What a command looks for, and what it says when that is not there.

use std::fs;

use crate::{
    program::shell::commands,
    support::program::{finish, ngoma, refusal},
};

/// The commands that need a database, as somebody writes them.
const NEED_ONE: [&str; 20] = [
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
const NEED_NONE: [&str; 6] = ["serve", "restore", "check", "listen", "openapi", "completions"];

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
