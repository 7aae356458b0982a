//! Settings that come from the environment, or from a file that cannot be read; and what else lies in an environment.

use std::{fs, os::unix::fs::symlink};

use serde_json::json;

use crate::{
    durability::syncs::strace_works,
    support::{
        program::{Running, finish, ngoma, run},
        site::{SECRET, Site},
        world::{Holder, World},
    },
};

/// What Kubernetes sets for a service named ngoma, and for one named ngoma--x.
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
fn a_config_file_that_cannot_be_read_is_not_said_to_be_missing() {
    strace_works();
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
fn listen_with_an_empty_secret_is_refused_with_what_to_do() {
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
    assert!(code == 1 && said.contains("account NOBODY not found"), "{said}");
}
