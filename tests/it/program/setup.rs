//! `ngoma setup`: an account with everything that it needs, in one go.

use std::{
    io::Write,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

use crate::support::{
    leaks,
    program::finish,
    receiver::Receiver,
    site::{Server, Site},
};

const NEW: &str = "COOP-NEW-009";

/// The command in this site: its exit code, standard output and standard error.
fn setup(site: &Site, words: &[&str]) -> (i32, String, String) {
    let output = site.command_of(&[&["setup"], words].concat()).output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().expect("an end"), text(output.stdout), text(output.stderr))
}

/// As programs call it.
fn object(site: &Site, words: &[&str]) -> Value {
    let (code, out, err) = setup(site, &[words, &["--json"]].concat());
    assert_eq!(code, 0, "{err}");
    let made: Value = serde_json::from_str(&out).expect("JSON");
    [&made["token"], &made["webhook"]["secret"]].into_iter().filter_map(Value::as_str).for_each(leaks::secret);
    made
}

/// Every row that a setup may make.
fn rows(site: &Site) -> [u64; 3] {
    ["account", "endpoint", "token"].map(|table| site.look(&format!("SELECT count(*) FROM {table}")))
}

fn run_shell(server: &Server, token: &str, command: &str) -> Value {
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", command]).env("TOKEN", token).env("NO_PROXY", "127.0.0.1");
    let (code, out, err) = finish(&mut bash);
    assert_eq!(code, 0, "{err}");
    assert!(command.contains(server.address()), "{command}");
    serde_json::from_str(&out).unwrap_or_else(|_| panic!("an answer: {out}"))
}

#[test]
fn one_command_makes_all_that_a_first_delivery_needs_while_the_server_runs() {
    for (profile, events) in [("asilichain", "batch.*"), ("asg", "task.settled")] {
        let (mut site, receiver) = (Site::new(), Receiver::new());
        let server = site.start();
        let public = format!("http://{}", server.address());
        site.set("SERVER__PUBLIC_URL", &public);
        let url = receiver.url();
        let words = ["--profile", profile, "--account", NEW, "--url", &url, "--events", events];
        let made = object(&site, &[&words[..], &["--alert-email", "ops@coop.example"]].concat());
        assert_eq!((&made["made"], &made["account"], &made["profile"]), (&json!(true), &json!(NEW), &json!(profile)));
        assert_eq!((&made["alert_email"], &made["webhook"]["events"]), (&json!("ops@coop.example"), &json!([events])));
        let token = made["token"].as_str().expect("a token");
        let command = made["first_event"].as_str().expect("a command line");
        let answer = run_shell(&server, token, command);
        assert!(answer["event_id"].is_string(), "{answer}");
        let post = receiver.wait_for(1).remove(0);
        let header = if profile == "asg" { "X-ASG-Signature" } else { "X-AsiliChain-Signature" };
        let secret = made["webhook"]["secret"].as_str().expect("a secret");
        let secret = ngoma::domain::signature::SigningSecret::parse(secret.to_owned()).expect("a secret");
        assert!(secret.verifies_body(&post.body, post.header(header)), "{post:?}");
    }
}

#[test]
fn the_text_shows_token_and_secret_once_and_what_comes_next_with_the_public_address() {
    let mut site = Site::new();
    site.set("SERVER__PUBLIC_URL", "https://hooks.coop.example/");
    let words = ["--profile", "asilichain", "--account", NEW, "--url", "https://erp.coop.example/hook"];
    let (code, out, err) = setup(&site, &words);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert_eq!((out.matches("ngm_").count(), out.matches("whsec_").count()), (1, 1), "{out}");
    for part in [
        NEW,
        "gets * at https://erp.coop.example/hook",
        "ngoma webhooks test wh_",
        "'https://hooks.coop.example/events'",
        "Authorization: Bearer $TOKEN",
        "shown only now",
    ] {
        assert!(out.contains(part), "'{part}' is not in: {out}");
    }
    // For a script that wants nothing else.
    let other = ["--profile", "asg", "--account", "CUST-9", "--url", "https://erp.coop.example/hook", "--quiet"];
    let (code, out, _) = setup(&site, &other);
    let lines: Vec<&str> = out.lines().collect();
    assert!(
        code == 0 && lines.len() == 2 && lines[0].starts_with("whsec_") && lines[1].starts_with("ngm_"),
        "two lines"
    );
}

#[test]
fn a_second_run_changes_nothing_and_says_what_is_there_and_what_differs() {
    let site = Site::new();
    let url = "https://erp.coop.example/hook";
    let words = ["--profile", "asilichain", "--account", NEW, "--url", url, "--alert-email", "ops@coop.example"];
    object(&site, &words);
    let before = rows(&site);
    let (code, out, err) = setup(&site, &words);
    assert_eq!(code, 0, "{err}");
    for part in ["is there already", "nothing was changed", "ops@coop.example", url, "tokens   1"] {
        assert!(out.contains(part), "'{part}' is not in: {out}");
    }
    assert!(!out.contains("ngm_") && !out.contains("whsec_"));
    let again = object(&site, &words);
    assert_eq!((&again["made"], &again["differences"]), (&json!(false), &json!([])));
    for (change, told) in [
        (["--profile", "asg"], "its profile is asilichain"),
        (["--url", "https://erp.coop.example/other"], "ngoma webhooks create --account COOP-NEW-009 --url"),
        (["--events", "batch.*"], "ngoma webhooks set wh_"),
        (["--alert-email", "desk@coop.example"], "ngoma account set COOP-NEW-009 --alert-email desk@coop.example"),
    ] {
        let kept = words.chunks(2).filter(|option| option[0] != change[0]).flatten().copied();
        let words: Vec<&str> = kept.chain(change).collect();
        let (code, _, err) = setup(&site, &words);
        assert!(code == 1 && err.contains("nothing was changed") && err.contains(told), "{err}");
    }
    assert_eq!(rows(&site), before);
}

#[test]
fn an_option_that_the_api_would_refuse_makes_nothing() {
    let site = Site::new();
    let before = rows(&site);
    let right = [
        ("--profile", "asilichain"),
        ("--account", NEW),
        ("--url", "https://erp.coop.example/hook"),
        ("--events", "batch.*"),
        ("--alert-email", "ops@coop.example"),
    ];
    for (option, wrong, told) in [
        ("--profile", "acme", "asg or asilichain"),
        ("--account", "a b", "account id 'a b'"),
        ("--url", "ftp://erp.coop.example", "http"),
        ("--url", "http://10.1.2.3/", "10.1.2.3"),
        ("--events", "batch.nothing", "batch.nothing"),
        ("--alert-email", "nobody", "'nobody'"),
    ] {
        let words = right.iter().flat_map(|(name, value)| [*name, if *name == option { wrong } else { value }]);
        let (code, out, err) = setup(&site, &words.collect::<Vec<_>>());
        assert_eq!((code, out.as_str()), (2, ""), "{option} {wrong}: {err}");
        assert!(err.contains(told), "'{told}' is not in: {err}");
    }
    assert_eq!(rows(&site), before);
}

#[test]
fn it_says_who_gets_the_alerts_of_an_account_without_an_address() {
    let mut site = Site::new();
    let words = ["--profile", "asilichain", "--url", "https://erp.coop.example/hook", "--account"];
    let said = |site: &Site, account: &str| setup(site, &[&words[..], &[account]].concat()).1;
    assert!(said(&site, "COOP-A").contains("alerts   are mailed to nobody; "));
    site.set("ALERTS__OPERATOR_EMAIL", "desk@coop.example").set("ALERTS__SMTP_URL", "smtp://127.0.0.1:9");
    assert!(said(&site, "COOP-B").contains("alerts   are mailed to the operator, desk@coop.example; to change it: "));
    assert!(said(&site, "COOP-B").contains("alerts   are mailed to the operator, desk@coop.example\n"));
}

#[test]
fn without_a_terminal_the_missing_options_are_named() {
    let site = Site::new();
    let (code, out, err) = setup(&site, &["--account", NEW]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("no terminal") && err.contains("--profile, --url") && !err.contains("--account"), "{err}");
}

#[test]
fn on_a_terminal_it_asks_and_asks_again_after_a_wrong_answer() {
    let site = Site::new();
    let inner = site.command_of(&["setup"]);
    let typed_command = format!("{} setup", inner.get_program().to_str().expect("a path"));
    let mut terminal = Command::new("script");
    terminal.args(["--quiet", "--return", "--command", &typed_command, "/dev/null"]).current_dir(site.folder());
    terminal.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut asked = terminal.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    let answers = [
        "acme",
        "asilichain",
        "a b",
        NEW,
        "http://10.1.2.3/",
        "https://erp.coop.example/hook",
        "batch.*",
        "nobody",
        "",
    ];
    let typed = answers.map(|answer| format!("{answer}\n")).concat();
    let mut keys = asked.stdin.take().expect("piped");
    keys.write_all(typed.as_bytes()).expect("typed");
    let output = asked.wait_with_output().expect("it ends");
    drop(keys);
    let shown = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(output.status.code(), Some(0), "{}", shown.replace("ngm_", "***"));
    for part in ["Which API", "expected asg or asilichain", "account id 'a b'", "10.1.2.3", "'nobody'", "is made"] {
        assert!(shown.contains(part), "'{part}' is not in what was shown");
    }
    let webhook: String = site.look("SELECT url || ' ' || events FROM endpoint");
    assert_eq!(webhook, "https://erp.coop.example/hook batch.*");
}

#[test]
fn of_many_runs_at_once_one_makes_it_and_the_others_say_what_is_there() {
    let site = Site::new();
    let url = "https://erp.coop.example/hook";
    let words = ["setup", "--profile", "asilichain", "--account", NEW, "--url", url, "--json"];
    let begin = |_| {
        let mut setup = site.command_of(&words);
        setup.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
    };
    let runs: Vec<Child> = (0..8).map(begin).collect();
    let mut made = 0;
    for run in runs {
        let ended = run.wait_with_output().expect("it ends");
        let said: Value = serde_json::from_slice(&ended.stdout).unwrap_or_default();
        [&said["token"], &said["webhook"]["secret"]].into_iter().filter_map(Value::as_str).for_each(leaks::secret);
        assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
        assert_eq!(said["account"], NEW);
        made += usize::from(said["made"] == true);
    }
    assert_eq!(made, 1);
    assert_eq!(site.look::<u64>("SELECT count(*) FROM endpoint"), 1);
}
