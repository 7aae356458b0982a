//! Settings from the file, the environment and the flags; unreadable files, and foreign variables.

use std::{fs, os::unix::fs::symlink, process::Command};

use serde_json::json;

use crate::support::{
    program::{Running, finish, ngoma, refusal, run},
    site::{SECRET, Site},
    strace::require_strace,
    world::{Holder, World},
};

/// The variables that Kubernetes sets for a service named ngoma, and for one named ngoma--x.
const OF_OTHERS: [&str; 7] = [
    "NGOMA_PORT",
    "NGOMA_SERVICE_HOST",
    "NGOMA_SERVICE_PORT",
    "NGOMA_SERVICE_PORT_HTTP",
    "NGOMA_PORT_8080_TCP",
    "NGOMA_PORT_8080_TCP_ADDR",
    "NGOMA__X_SERVICE_HOST",
];

#[test]
fn a_variable_that_is_no_setting_stops_nothing_and_a_start_and_a_check_name_it_once() {
    let site = Site::new();
    let under = |arguments: &[&str]| {
        let mut command = site.command_of(arguments);
        command.envs(OF_OTHERS.map(|name| (name, "tcp://10.0.0.1:8080")));
        command
    };
    let (code, out, err) = finish(under(&["token", "list"]).env("NGOMA_LOG__LEVEL", "info"));
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let (code, checked, err) = finish(&mut under(&["check"]));
    assert_eq!(code, 0, "{err}");
    let server = site.start_by(under(&["serve"]).env("NGOMA_LOG__LEVEL", "info"));
    let log = server.kill();
    for said in [checked, log] {
        for name in OF_OTHERS {
            let whole = said.split([' ', ',', ':']).filter(|word| *word == name).count();
            assert_eq!(whole, 1, "{name}: {said}");
        }
    }
    let (_, checked, _) = finish(&mut site.command_of(&["check"]));
    assert!(!checked.contains("warning"), "settings are not warned of: {checked}");
}

#[test]
fn a_wrong_setting_from_the_environment_names_its_variable_in_full() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, value) in [
        ("NGOMA_DELIVERY__TIMEOUT", "soon"),
        ("NGOMA_DELIVERY__TIMEOUT", "2h"),
        ("NGOMA_DELIVERY__TIMEOUT__X", "1"),
        ("NGOMA_SERVER__PORT", "80"),
        ("NGOMA_SERVR__LISTEN", "127.0.0.1:1"),
        ("NGOMA_EGRESS__ALLOW", "[\"127.0.0.0/8\", \"10.0.0.0/99\"]"),
        ("NGOMA_ALERTS__SMTP_URL", "5"),
        ("ngoma_storage__durability", "some"),
        ("WEBHOOK_RETRY_MAX", "0"),
    ] {
        let (code, _, said) = finish(ngoma(folder.path(), &["check"]).env(name, value));
        let words: Vec<&str> = said.split([' ', ',', ':']).collect();
        assert!(code == 1 && words.contains(&name), "{name}={value}: {said}");
        assert!(!said.contains("`NGOMA_"), "{said}");
    }
}

#[test]
fn the_first_settings_file_that_is_there_is_read_and_a_command_says_which() {
    let folder = tempfile::tempdir().expect("a folder");
    // A whole /etc of its own, which only this command sees.
    let script = "mount -t tmpfs none /etc && mkdir /etc/ngoma && \
                  echo '[storage]\npath = \"/nowhere/of-etc.db\"' > /etc/ngoma/config.toml && exec \"$@\"";
    let under = |arguments: &[&str]| {
        let inner = ngoma(folder.path(), arguments);
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", script, "sh"]).arg(inner.get_program()).args(inner.get_args());
        command.current_dir(folder.path()).env_remove("NGOMA_CONFIG");
        command
    };
    let write = |name: &str| {
        let path = format!("[storage]\npath = \"/nowhere/of-{name}.db\"\n");
        fs::write(folder.path().join(format!("{name}.toml")), path).expect("written");
    };
    let said = |command: &mut Command| {
        let (code, _, said) = finish(command);
        assert_eq!(code, 1, "{said}");
        said
    };
    let by_etc = said(&mut under(&["token", "list"]));
    assert!(by_etc.contains("/nowhere/of-etc.db (by the settings in /etc/ngoma/config.toml)"), "{by_etc}");
    for words in [&["serve", "--dev"][..], &["--config", "/etc/ngoma/config.toml", "serve", "--dev"]] {
        let refused = said(&mut under(words));
        assert!(refused.contains("/nowhere/of-etc.db would be tried on") && refused.contains("a folder"), "{refused}");
    }
    ["config", "variable", "named"].iter().for_each(|name| write(name));
    let by_folder = said(&mut under(&["token", "list"]));
    assert!(by_folder.contains("/nowhere/of-config.db (by the settings in config.toml)"), "{by_folder}");
    let by_variable = said(under(&["token", "list"]).env("NGOMA_CONFIG", "variable.toml"));
    assert!(by_variable.contains("of-variable.db (by the settings in variable.toml)"), "{by_variable}");
    let by_name = said(under(&["--config", "named.toml", "token", "list"]).env("NGOMA_CONFIG", "variable.toml"));
    assert!(by_name.contains("of-named.db (by the settings in named.toml)"), "{by_name}");
    let elsewhere = tempfile::tempdir().expect("a folder");
    let by_none = said(&mut ngoma(elsewhere.path(), &["token", "list"]));
    assert!(
        by_none.contains(&format!("there is no database at {}/ngoma.db", elsewhere.path().display()))
            && by_none.contains("(by the built-in settings, as there is no config.toml and no /etc/ngoma/config.toml)"),
        "{by_none}"
    );
    let by_path = said(ngoma(elsewhere.path(), &["token", "list"]).env("NGOMA_STORAGE__PATH", "/nowhere/of-path.db"));
    assert!(by_path.contains("/nowhere/of-path.db (by the variable NGOMA_STORAGE__PATH)"), "{by_path}");
    let missing = said(ngoma(elsewhere.path(), &["token", "list"]).env("NGOMA_CONFIG", "gone.toml"));
    assert!(missing.contains("gone.toml is not there"), "{missing}");
}

#[test]
fn a_config_file_that_cannot_be_read_is_not_said_to_be_missing() {
    require_strace();
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    fs::write(at("denied.toml"), "").expect("written");
    fs::write(at("latin.toml"), b"# caf\xe9\n").expect("written");
    fs::create_dir(at("folder.toml")).expect("a folder");
    symlink("loop.toml", at("loop.toml")).expect("a link to itself");
    let refusal = |name: &str| {
        let (code, _, said) = run(folder.path(), &["--config", name, "check"]);
        assert!(code == 1 && said.contains(name) && said.trim_end().lines().count() == 1, "{said}");
        said
    };
    assert!(refusal("nowhere.toml").contains("is not there"));
    assert!(refusal("folder.toml").contains("is a folder"));
    for unreadable in ["loop.toml", "latin.toml", "denied.toml/config.toml"] {
        let said = refusal(unreadable);
        assert!(said.contains("cannot be read") && !said.contains("not there"), "{said}");
    }
    let program = ngoma(folder.path(), &["--config", "denied.toml", "check"]);
    let mut denied = std::process::Command::new("strace");
    let denied = denied.current_dir(folder.path()).args(["-f", "-qq", "-o", "/dev/null", "-P", "denied.toml"]);
    let denied = denied.args(["-e", "inject=openat,open:error=EACCES"]).arg(program.get_program());
    let (code, _, said) = finish(denied.args(program.get_args()));
    assert!(code == 1 && said.contains("denied.toml cannot be read: Permission denied"), "{said}");
    // The file that is read when none is named is not passed over either.
    symlink("config.toml", at("config.toml")).expect("a link to itself");
    let (code, _, said) = run(folder.path(), &["check"]);
    assert!(code == 1 && said.contains("config.toml cannot be read"), "{said}");
}

#[test]
fn a_webhook_secret_that_no_library_can_use_is_refused_and_not_shown() {
    let mut site = Site::new();
    site.set("ALERTS__WEBHOOK_URL", "http://127.0.0.1:9/");
    let check = |secret: &str| finish(site.command_of(&["check"]).env("NGOMA_ALERTS__WEBHOOK_SECRET", secret));
    for wrong in ["whsec_abc", "whsec_", "whsec_c2hvcnQ=", "whsec_not base64 at all, yet long enough"] {
        let (code, _, said) = check(wrong);
        assert!(code == 1 && said.contains("alerts.webhook_secret: expected"), "{said}");
        assert!(said.contains("openssl rand") && (wrong == "whsec_" || !said.contains(wrong)), "{said}");
        let serve = &mut site.command();
        let (code, _, said) = finish(serve.env("NGOMA_ALERTS__WEBHOOK_SECRET", wrong).env("NGOMA_LOG__LEVEL", "info"));
        assert!(code == 1 && said.contains("alerts.webhook_secret: expected"), "{said}");
    }
    let short = site
        .command_of(&["check"])
        .env("NGOMA_ALERTS__WEBHOOK_URL", "")
        .env("NGOMA_ALERTS__WEBHOOK_SECRET", "whsec_abc")
        .status();
    assert_eq!(short.expect("it runs").code(), Some(1), "also while there is no URL yet");
    for right in [SECRET, "whsec_x3Bnq0hUu2dW8mJk5rTzYvE7aLsNcQ1pGf4iXo9DRtM", "any text will do"] {
        let (code, _, said) = check(right);
        assert_eq!(code, 0, "{said}");
    }
}

#[test]
fn listen_with_an_empty_secret_is_refused_with_a_remedy() {
    let folder = tempfile::tempdir().expect("a folder");
    let (code, _, said) = run(folder.path(), &["listen", "--port", "0", "--secret", ""]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("leave --secret out") && !said.contains("to have one made"), "{said}");
    let mut listen = Running::start(&mut ngoma(folder.path(), &["listen", "--port", "0", "--secret", "s"]));
    listen.line_with("listening on");
}

#[test]
fn an_account_that_is_not_there_is_named() {
    let world = World::new();
    let platform =
        |profile: &str| world.client(&world.token_for(Holder::Platform(profile.to_owned()), "webhooks,events"));
    let (coops, customers) = (platform("asilichain"), platform("asg"));
    let event = json!({ "event": "dds.filed", "cooperative_id": "COOP-NOBODY", "data": {} });
    let long = json!({ "event": "dds.filed", "cooperative_id": "N".repeat(5000), "data": {} });
    let webhook = json!({ "url": "http://127.0.0.1:1/", "events": ["*"], "cooperative_id": "COOP-NOBODY" });
    for (path, body) in [("/events", &event), ("/events/batch", &json!({ "events": [event] })), ("/webhooks", &webhook)]
    {
        let answer = coops.post(path, body.clone());
        assert_eq!(answer.code(404), "COOPERATIVE_NOT_FOUND");
        assert!(answer.text.contains("cooperative COOP-NOBODY not found"), "{}", answer.text);
    }
    let answer = coops.post("/events", long);
    assert!(answer.status == 404 && answer.text.len() < 1000, "a long name is cut: {}", answer.text);
    let webhook = json!({ "callback_url": "http://127.0.0.1:1/", "account": "NOBODY" });
    assert_eq!(customers.post("/v1/webhooks", webhook).sentence(404), "account NOBODY not found");
    let (code, _, said) = run(world.folder(), &["token", "create", "--account", "NOBODY", "--scope", "events"]);
    assert!(
        code == 1 && said.contains("there is no account NOBODY: 'ngoma account list' shows all accounts"),
        "{said}"
    );
}

#[test]
fn an_unknown_log_level_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let (code, _, sentence) = finish(ngoma(folder.path(), &["check"]).env("NGOMA_LOG__LEVEL", "wran"));
    assert!(code == 1 && sentence.contains("log.level = \"wran\"") && sentence.contains("debug"), "{sentence}");
}

#[test]
fn a_limit_that_is_broken_is_named_with_its_value_and_source() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, _, sentence) = finish(ngoma(folder.path(), &["check"]).env("WEBHOOK_RETRY_MAX", "0"));
    assert!(sentence.contains("asg.max_attempts = 0 in the WEBHOOK_RETRY_MAX"), "{sentence}");
    std::fs::write(folder.path().join("config.toml"), "[delivery]\ntimeout = \"70s\"").expect("a config");
    let (_, _, sentence) = finish(&mut ngoma(folder.path(), &["check"]));
    assert!(sentence.contains(r#"delivery.timeout = "70s" in config.toml"#), "{sentence}");
}

#[test]
fn a_client_waits_at_least_as_long_as_a_test_delivery_takes() {
    let folder = tempfile::tempdir().expect("a folder");
    let check = |client: &str, attempt: &str| {
        let mut command = ngoma(folder.path(), &["check"]);
        finish(command.env("NGOMA_LIMITS__CLIENT_TIMEOUT", client).env("NGOMA_DELIVERY__TIMEOUT", attempt)).2
    };
    for (client, attempt) in [("30s", "25100ms"), ("64s", "60s"), ("5s", "1s")] {
        let sentence = check(client, attempt);
        let named = ["limits.client_timeout", client, "delivery.timeout + 5s"];
        assert!(named.iter().all(|word| sentence.contains(word)), "{client} {attempt}: {sentence}");
    }
    for (client, attempt) in [("30s", "25s"), ("65s", "60s"), ("6s", "1s")] {
        assert!(!check(client, attempt).contains("client_timeout"), "{client} {attempt}");
    }
}

#[test]
fn settings_come_from_the_file_then_the_environment_then_the_flags() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(
        folder.path().join("config.toml"),
        "[asilichain]\nwaits = [\"7s\"]\n[server]\nlisten = \"127.0.0.1:1\"",
    )
    .expect("a config");
    let mut command = ngoma(folder.path(), &["serve", "--listen", "127.0.0.1:0"]);
    command
        .env("WEBHOOK_RETRY_MAX", "6")
        .env("NGOMA_ASG__WAITS", "[\"2s\", \"3s\"]")
        .env("NGOMA_SERVER__LISTEN", "127.0.0.1:2");
    let mut server = Running::start(&mut command);
    assert!(server.line_with("asg").contains("6 attempts, waits 2s, 3s"), "{:?}", server.seen);
    assert!(server.line_with("asilichain").contains("2 attempts, waits 7s"), "{:?}", server.seen);
    assert!(server.seen.iter().any(|line| line.contains("http://127.0.0.1:")), "{:?}", server.seen);
}

#[test]
fn paths_are_relative_to_the_config_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let there = folder.path().join("etc");
    std::fs::create_dir(&there).expect("a folder");
    std::fs::write(there.join("ngoma.toml"), "[storage]\npath = \"data.db\"").expect("a config");
    let serve = ["--config", "etc/ngoma.toml", "serve", "--listen", "127.0.0.1:0"];
    Running::start(&mut ngoma(folder.path(), &serve)).line_with("address");
    assert!(there.join("data.db").exists() && there.join("ngoma.key").exists());
}

#[test]
fn a_wrong_setting_names_key_source_and_what_was_expected() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("config.toml");
    let cases = [
        ("[server]\nport = 80", ["port", "config.toml", "listen"]),
        ("[delivery]\ntimeout = \"soon\"", ["delivery.timeout", "config.toml", "soon"]),
        ("[delivery]\ntimeout = \"2h\"", ["delivery.timeout = \"2h\"", "config.toml", "60s"]),
        ("[storage]\ndurability = \"some\"", ["storage.durability", "config.toml", "full"]),
        ("[egress]\nallow = [\"10.0.0.0/99\"]", ["egress.allow", "config.toml", "10.0.0.0/99"]),
        ("[nothing]\nx = 1", ["nothing", "config.toml", "server"]),
        ("[tls]\ndomains = [\"a.example\", \"a.example\"]", ["tls.domains", "config.toml", "each name once"]),
        ("[server", ["config.toml", "TOML", ""]),
    ];
    for (text, words) in cases {
        std::fs::write(&file, text).expect("a config");
        let sentence = run(folder.path(), &["check"]).2;
        assert!(words.iter().all(|word| sentence.contains(word)), "{text}: {sentence}");
    }
    std::fs::write(&file, "").expect("a config");
    for (name, value, word) in [
        ("NGOMA_DELIVERY__TIMEOUT", "soon", "delivery.timeout"),
        ("NGOMA_SERVER__PORT", "80", "port"),
        ("WEBHOOK_RETRY_MAX", "many", "WEBHOOK_RETRY_MAX"),
        ("WEBHOOK_RETRY_MAX", "0", "asg.max_attempts"),
    ] {
        let (code, _, sentence) = finish(ngoma(folder.path(), &["check"]).env(name, value));
        assert!(code == 1 && sentence.contains(word), "{name}={value}: {sentence}");
    }
    assert!(refusal(folder.path(), &["--config", "nowhere.toml", "check"]).contains("nowhere.toml"));
    // A line of a file of variables may be empty.
    let (code, _, said) = finish(ngoma(folder.path(), &["check"]).env("WEBHOOK_RETRY_MAX", ""));
    assert_eq!(code, 0, "{said}");
}
