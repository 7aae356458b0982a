//! The systemd unit of the guide, judged by systemd, and run as far as a test can.

use std::{collections::BTreeSet, fs, process::Command};

use serde_json::json;

use crate::{
    program::readme::{blocks, chapter},
    support::{
        program::{finish, ngoma},
        receiver::Receiver,
        site::Site,
        world::COOP,
    },
};

/// What systemd's own judgement may come to, times ten: 0 is locked away, 100 is without any protection.
const EXPOSURE: &str = "20";

fn unit() -> String {
    let mut found = blocks(&chapter("deploy"), "ini");
    assert_eq!(found.len(), 1, "the guide shows one unit");
    found.remove(0)
}

/// The values of a key, in their order.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

/// What `systemd-analyze` says.
fn analyze(arguments: &[&str]) -> (i32, String) {
    let there = Command::new("systemd-analyze").arg("--version").output().is_ok();
    assert!(there, "systemd-analyze is missing: run the suite by tests/run, which installs it");
    let (code, out, err) = finish(Command::new("systemd-analyze").args(arguments));
    (code, out + &err)
}

#[test]
fn systemd_takes_the_unit_and_finds_it_well_locked_away() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ngoma.service");
    let program = values(&unit(), "ExecStart")[0].split(' ').next().expect("a program").to_owned();
    fs::write(&file, unit().replace(&program, env!("CARGO_BIN_EXE_ngoma"))).expect("written");
    let file = file.display().to_string();
    let (code, said) = analyze(&["verify", &file]);
    assert_eq!((code, said.trim()), (0, ""));
    let (code, said) = analyze(&["security", "--offline=true", "--threshold", EXPOSURE, &file]);
    assert_eq!(code, 0, "{said}");
    println!("unit: {}", said.lines().last().unwrap_or_default());
}

#[test]
fn the_unit_starts_the_server_again_after_any_end_and_for_as_long_as_it_takes() {
    let unit = unit();
    for (key, value) in [
        ("Type", "notify"),
        ("NotifyAccess", "main"),
        ("Restart", "always"),
        ("RestartSec", "5"),
        ("StartLimitIntervalSec", "0"),
        // A start that changes the schema of a large database takes its time.
        ("TimeoutStartSec", "infinity"),
        ("LimitCORE", "0"),
    ] {
        assert_eq!(values(&unit, key), [value], "{key}");
    }
    let before_service = unit.split("[Service]").next().expect("a section");
    assert!(before_service.contains("StartLimitIntervalSec"), "it belongs to [Unit]");
    let watchdog: u64 = values(&unit, "WatchdogSec")[0].parse().expect("seconds");
    assert!(watchdog >= 3 * 60, "the longest delivery.poll_interval, and the rest between two messages");
}

#[test]
fn the_unit_s_command_serves_with_the_guide_s_config_and_stops_in_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("lib");
    fs::create_dir(&state).expect("a folder");
    let config = folder.path().join("config.toml");
    let text = blocks(&chapter("deploy"), "toml")
        .into_iter()
        .find(|block| block.contains("/var/lib/ngoma"))
        .expect("a config");
    let text = text.replace("/var/lib/ngoma", &state.display().to_string());
    fs::write(&config, text).expect("a config");
    let unit = unit();
    let command = values(&unit, "ExecStart")[0].replace("/etc/ngoma/config.toml", &config.display().to_string());
    let arguments: Vec<&str> = command.split(' ').skip(1).collect();
    let mut serve = ngoma(folder.path(), &arguments);
    let mut server = crate::support::program::Running::start(serve.env("NGOMA_SERVER__LISTEN", "127.0.0.1:0"));
    server.line_with("alerts");
    let made: BTreeSet<String> = fs::read_dir(&state)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    assert!(made.contains("ngoma.db") && made.contains("ngoma.key"), "{made:?}");
    let beside: Vec<_> = fs::read_dir(folder.path()).expect("a folder").collect();
    assert_eq!(beside.len(), 2, "all it writes is in the folder of its state: {beside:?}");
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    let seconds: u64 = values(&unit, "TimeoutStopSec")[0].parse().expect("a number");
    assert!(seconds > 10, "a stop may take ten seconds, and then some");
}

/// The system calls of a set of systemd's, sets within it included.
fn calls(set: &str) -> BTreeSet<String> {
    let (code, said) = analyze(&["syscall-filter", set]);
    assert_eq!(code, 0, "{said}");
    let mut all = BTreeSet::new();
    for line in said.lines().map(str::trim).filter(|line| !line.starts_with('#') && *line != set) {
        all.extend(if line.starts_with('@') { calls(line) } else { BTreeSet::from([line.to_owned()]) });
    }
    all
}

#[test]
fn no_system_call_that_the_program_makes_is_one_that_the_unit_forbids() {
    let unit = unit();
    let (mut allowed, mut denied) = (BTreeSet::new(), BTreeSet::new());
    for value in values(&unit, "SystemCallFilter") {
        let (sets, into) = match value.strip_prefix('~') {
            Some(sets) => (sets, &mut denied),
            None => (value, &mut allowed),
        };
        sets.split(' ').for_each(|set| into.extend(calls(set)));
    }
    let site = Site::new();
    let trace = site.folder().join("trace");
    let file = trace.display().to_string();
    let mut traced = site.under("strace", &["--follow-forks", "--quiet=all", "--output", &file], &site.command());
    // The first backup comes right after the start.
    let server = site.start_by(traced.env_remove("NGOMA_BACKUP__EVERY"));
    server.running.error_with("a backup was made and checked");
    let (receiver, coop) = (Receiver::new(), server.coop());
    coop.webhook(&receiver.url(), &["*"], "s");
    // A name is looked up too, as those of receivers are.
    coop.post("/webhooks", json!({ "url": "http://localhost:1/", "events": ["*"], "cooperative_id": COOP }));
    coop.publish("dds.filed", json!({}));
    receiver.wait_for(1);
    coop.get("/health/ready").expect(200);
    // strace ends as its program does.
    let child = fs::read_to_string(format!("/proc/{0}/task/{0}/children", server.running.id())).expect("it runs");
    assert_eq!(finish(Command::new("kill").args(["-TERM", child.trim()])).0, 0);
    let mut server = server;
    assert_eq!(server.running.wait().code(), Some(0));
    let text = fs::read_to_string(trace).expect("the trace");
    let made: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.split_once(' ')?.1.trim_start().split_once('('))
        .map(|(call, _)| call)
        .filter(|call| call.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'))
        .collect();
    // A number that belongs to no call: strace may read one while a thread ends.
    let made: BTreeSet<&str> = made.into_iter().filter(|call| !call.starts_with("syscall_0x")).collect();
    assert!(made.len() > 30 && made.contains("fdatasync") | made.contains("fsync"), "{made:?}");
    // Run by root, SQLite and the program give files and folders to the owner of the data; under the unit they do not.
    let made = made.into_iter().filter(|call| !["fchown", "lchown"].contains(call)).collect::<BTreeSet<_>>();
    let forbidden: Vec<_> = made.iter().filter(|call| !allowed.contains(**call) || denied.contains(**call)).collect();
    assert!(forbidden.is_empty(), "{forbidden:?}");
    println!("unit: {} system calls, all of them allowed", made.len());
}
