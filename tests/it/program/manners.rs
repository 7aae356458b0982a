//! The manners of every command: --json, --quiet, heads of tables, colours, and the exit code of a wrong word.

use clap::CommandFactory;
use ngoma::cli::Cli;
use serde_json::Value;

use crate::{
    program::shell::commands,
    support::{
        database::make,
        program::{finish, ngoma, run, run_on_a_terminal, wrong},
    },
};

/// Commands without `--json`, each with the reason.
const NO_JSON: [(&str, &str); 4] = [
    ("serve", "it prints no result; log.format = \"json\" makes its lines objects"),
    ("openapi", "what it prints is JSON anyway"),
    ("completions", "it prints a script for a shell"),
    ("man", "it writes files"),
];

/// A folder with an account, a token and no webhook.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    make(folder.path());
    for create in [
        &["account", "create", "--profile", "asg", "--id", "CUST-1"][..],
        &["token", "create", "--account", "CUST-1", "--scope", "events", "--label", "till"],
    ] {
        assert_eq!(run(folder.path(), create).0, 0);
    }
    folder
}

#[test]
fn every_command_that_prints_something_prints_json_when_it_is_asked_to() {
    let cli = Cli::command();
    for words in commands() {
        let command = words.iter().fold(&cli, |at, word| at.find_subcommand(word).expect("a command"));
        let name = words.join(" ");
        let has_json = command.get_arguments().any(|one| one.get_long() == Some("json"));
        let excepted = NO_JSON.iter().any(|(one, _)| *one == name);
        assert!(command.has_subcommands() || has_json != excepted, "'ngoma {name}' prints without --json: add it");
    }
}

#[test]
fn what_a_command_prints_as_json_is_one_value_with_stable_names() {
    let folder = folder();
    let names = |arguments: &[&str]| {
        let (code, out, err) = run(folder.path(), &[arguments, &["--json"]].concat());
        assert_eq!((code, out.lines().count()), (0, 1), "{arguments:?}: {out}{err}");
        let value: Value = serde_json::from_str(&out).expect("JSON");
        let object = value.as_array().map_or(&value, |all| &all[0]).as_object().expect("an object").clone();
        object.keys().cloned().collect::<Vec<_>>().join(" ")
    };
    let (_, listed, _) = run(folder.path(), &["token", "list", "--json"]);
    let token = serde_json::from_str::<Value>(&listed).expect("JSON")[0]["id"].as_str().expect("an id").to_owned();
    for (command, expected) in [
        ("account list", "id profile alert_email alerts_url created_at"),
        ("account set CUST-1 --alert-email a@b.example", "id profile alert_email alerts_url created_at"),
        ("token list", "id account profile scopes label created_at last_used_at expires_at"),
        ("check", "database note certificate warnings problems"),
        ("key rotate", "key_file former_key_needed"),
        ("backup copy.db", "file key_file bytes"),
        ("recover --all", "matched skipped"),
        (&format!("token revoke {token}"), "id revoked"),
        ("account delete CUST-1 --yes", "id profile had deleted"),
    ] {
        assert_eq!(names(&command.split(' ').collect::<Vec<_>>()), expected, "{command}");
    }
}

#[test]
fn quiet_leaves_nothing_but_what_was_asked_for() {
    let folder = folder();
    let out = |arguments: &[&str]| {
        let (code, out, err) = run(folder.path(), arguments);
        assert_eq!((code, err.as_str()), (0, ""), "{arguments:?}");
        out
    };
    assert!(out(&["account", "list"]).starts_with("ACCOUNT  PROFILE"));
    assert!(out(&["-q", "account", "list"]).starts_with("CUST-1   asg"));
    let token = out(&["token", "create", "--scope", "operator", "--quiet"]);
    assert!(token.starts_with("ngm_") && token.lines().count() == 1, "the token alone");
    for silent in [
        &["account", "set", "CUST-1", "--no-alert-email", "-q"][..],
        &["check", "-q"],
        &["backup", "copy.db", "-q"],
        &["account", "delete", "CUST-1", "--yes", "-q"],
    ] {
        let said = out(silent);
        assert!(said.lines().all(|line| line.starts_with("CUST-1 (asg)")), "{silent:?}: {said}");
    }
}

#[test]
fn the_output_of_a_token_s_command_is_the_token_and_what_to_know_of_it_is_a_hint() {
    let (code, out, err) = run(folder().path(), &["token", "create", "--scope", "operator"]);
    assert_eq!((code, out.lines().count()), (0, 1), "as $(ngoma token create ...) takes it: {out}");
    assert!(out.starts_with("ngm_") && err.contains("It is shown only now"), "{err}");
}

#[test]
fn colours_are_on_a_terminal_only_and_only_if_the_user_wants_them() {
    let folder = folder();
    let has = |command: &str, variables: &[(&str, &str)]| {
        let (code, shown) = run_on_a_terminal(folder.path(), command, variables);
        assert_eq!(code, 0, "{shown}");
        assert!(shown.contains("CUST-1") || shown.contains("Usage"), "{shown}");
        shown.contains("\x1b[")
    };
    for command in ["account list", "--help"] {
        assert!(has(command, &[]) && has(command, &[("NO_COLOR", "")]), "{command}");
        for plain in
            [&[("NO_COLOR", "1")][..], &[("CLICOLOR", "0")], &[("TERM", "dumb")], &[("TERM", "dumb"), ("CI", "true")]]
        {
            assert!(!has(command, plain), "{command} with {plain:?}");
        }
        assert!(!has(&format!("--no-color {command}"), &[]), "{command}");
        let piped = run(folder.path(), &command.split(' ').collect::<Vec<_>>()).1;
        assert!(!piped.contains('\x1b'), "{command}: {piped}");
    }
}

#[test]
fn a_wrong_word_on_the_command_line_ends_with_two_and_what_failed_with_one() {
    let folder = folder();
    for (command, part) in [
        ("account create --profile acme --id X", "asg or asilichain"),
        ("account create --profile asg --id @", "'@'"),
        ("account create --profile asg --id X --alert-email nobody", "'nobody'"),
        ("account set CUST-1 --alert-email nobody", "'nobody'"),
        ("account set CUST-1 --alerts-url nowhere", "cannot be used"),
        ("token create --platform acme --scope events", "'acme'"),
        ("token create --account CUST-1 --scope all", "'all'"),
        ("token create --account CUST-1 --scope operator", "leave out --account and --platform"),
        ("account set CUST-1", "--no-alert-email, --alerts-url"),
        ("account set CUST-1 --alerts-url http://r.example/", "use https://"),
        ("deliveries --event lost", "'lost' is unknown: expected one of farmer.registered"),
        ("recover --event lost --yes", "'lost' is unknown"),
        ("token create --scope events", "--account"),
        ("token create --account CUST-1 --scope events --expires 1s", "at least 1 minute"),
        ("token revoke x", "'x' is no token's id, tok_..."),
        ("webhooks show x", "'x' is no webhook's id"),
        ("webhooks set x --ordered", "'x' is no webhook's id"),
        ("webhooks pause x", "'x' is no webhook's id"),
        ("webhooks test x", "'x' is no webhook's id"),
        ("webhooks recover x", "'x' is no webhook's id"),
        ("deliveries --webhook x", "'x' is no webhook's id"),
        ("deliveries --after x", "--after"),
        ("recover x", "'x' is no delivery's id, dlv_..."),
        ("recover", "--all"),
        ("serve --dev --listen 0.0.0.0:0", "127.0.0.1"),
    ] {
        let said = wrong(folder.path(), &command.split(' ').collect::<Vec<_>>());
        assert!(said.contains(part), "{command}: {said}");
    }
    for (command, part) in [
        ("deliveries --status lost", "[possible values: pending, in_flight,"),
        ("deliveries --error lost", "[possible values:"),
        ("deliveries --since yesterday", "such as 2h"),
        ("recover --all --until yesterday", "such as 2h"),
        ("token create --scope operator --expires 90", "'--expires <TIME>': expected a number with a unit, such as"),
        ("listen --delay soon", "'--delay <TIME>': expected a number with a unit, such as 500ms"),
        ("listen --port http", "expected a number from 0 to 65535"),
        ("listen --status 20", "expected a number from 200 to 599"),
        ("deliveries --limit 0", "expected a number from 1 to 10000"),
        ("webhooks set wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1 --rate-limit fast", "such as 5 or 0.5"),
        ("listen --secret whsec_", "--secret"),
        ("serve --listen 18081", "write 127.0.0.1:18081"),
        ("webhooks create --account CUST-1 --events *", "--url <URL>"),
        ("completions dos", "bash, zsh, fish"),
    ] {
        let (code, out, err) = finish(&mut ngoma(folder.path(), &command.split(' ').collect::<Vec<_>>()));
        assert!((code, out.as_str()) == (2, "") && err.contains(part), "{command}: {code} {err}");
    }
    for failed in [
        "account test-mail CUST-1",
        "account delete NOBODY",
        "token revoke tok_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1",
        "webhooks show wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1",
        "recover dlv_01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "backup ngoma.db",
    ] {
        let (code, out, err) = run(folder.path(), &failed.split(' ').collect::<Vec<_>>());
        assert!((code, out.as_str()) == (1, "") && err.starts_with("ngoma: "), "{failed}: {code} {err}");
    }
}
