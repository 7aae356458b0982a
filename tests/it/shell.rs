//! The command line as a shell meets it: help, completions, exit codes, progress, and the block that a start prints.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use clap::CommandFactory;
use ngoma::cli::Cli;

use crate::program::{Running, finish, ngoma, run};

/// Every command there is, as one writes it.
fn commands() -> Vec<Vec<String>> {
    fn below(command: &clap::Command, path: &[String], all: &mut Vec<Vec<String>>) {
        all.push(path.to_vec());
        for one in command.get_subcommands() {
            below(one, &[path, &[one.get_name().to_owned()]].concat(), all);
        }
    }
    let mut all = Vec::new();
    below(&Cli::command(), &[], &mut all);
    all
}

#[test]
fn every_help_teaches_by_an_example() {
    let folder = tempfile::tempdir().expect("a folder");
    let commands = commands();
    assert!(commands.len() >= 15, "{commands:?}");
    for command in commands {
        let words: Vec<&str> = command.iter().map(String::as_str).chain(["--help"]).collect();
        let (code, out, _) = run(folder.path(), &words);
        assert_eq!(code, 0);
        let example = format!("  ngoma {}", command.first().map_or("serve", String::as_str));
        assert!(out.contains(&example) || out.contains("ngoma --config"), "{command:?}: {out}");
    }
}

/// What bash says of a script that it has read, the completions first.
fn bash(script: &str, then: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("completions");
    fs::write(&file, script).expect("written");
    let (code, out, err) = finish(Command::new("bash").args(["-c", &format!("source {} && {then}", file.display())]));
    assert_eq!((code, err.as_str()), (0, ""));
    out
}

#[test]
fn a_shell_can_complete_every_command() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = |shell| {
        let (code, out, err) = run(folder.path(), &["completions", shell]);
        assert_eq!((code, err.as_str()), (0, ""));
        out
    };
    // Bash itself completes.
    let typed = "COMP_WORDS=(ngoma token cr) COMP_CWORD=2; _ngoma ngoma cr token; echo \"${COMPREPLY[@]}\"";
    assert_eq!(bash(&script("bash"), typed).trim(), "create");
    for shell in ["bash", "zsh", "fish"] {
        let script = script(shell);
        for name in commands().iter().filter_map(|command| command.last()) {
            assert!(script.contains(name.as_str()), "{shell} does not know '{name}'");
        }
    }
    assert_eq!(run(folder.path(), &["completions", "dos"]).0, 2);
}

#[test]
fn exit_codes_are_those_that_the_help_and_the_readme_tell() {
    let folder = tempfile::tempdir().expect("a folder");
    let help = run(folder.path(), &["--help"]).1;
    let codes = help.split_once("Exit codes:").expect("they are told").1;
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("the README");
    let told = readme.split_once("Exit codes:").expect("they are told").1;
    for code in ["0", "1", "2"] {
        assert!(codes.contains(&format!("\n  {code}  ")) && told.contains(&format!("{code} ")), "{code}");
    }
    assert_eq!(run(folder.path(), &["check"]).0, 0);
    for wrong in [&["serve", "--port", "80"][..], &["tokens"], &["token", "create"], &[]] {
        let (code, out, err) = run(folder.path(), wrong);
        assert_eq!((code, out.as_str()), (2, ""), "{wrong:?}");
        assert!(err.contains("Usage: ngoma"), "{err}");
    }
    assert!(fs::read_dir(folder.path()).expect("a folder").next().is_none(), "nothing was done");
    let failing = ["token", "create", "--account", "X", "--scope", "events"];
    let (code, out, err) = run(folder.path(), &failing);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.starts_with("ngoma: "), "{err}");
    fs::write(folder.path().join("ngoma.db"), "no database at all, ".repeat(100)).expect("damage");
    assert_eq!(run(folder.path(), &["check"]).0, 1);
    fs::remove_file(folder.path().join("ngoma.db")).expect("removed");
    let mut server = Running::start(&mut ngoma(folder.path(), &["serve", "--listen", "127.0.0.1:0"]));
    server.line_with("address");
    server.signal("INT");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn long_work_shows_how_far_it_is_on_a_terminal_only() {
    let folder = tempfile::tempdir().expect("a folder");
    run(folder.path(), &["account", "create", "--profile", "asg", "--id", "X"]);
    let (code, _, err) = run(folder.path(), &["check"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let program = env!("CARGO_BIN_EXE_ngoma");
    let on_a_terminal = |command: &str| {
        let mut terminal = Command::new("script");
        terminal.args(["--quiet", "--return", "--command", &format!("{program} {command}"), "/dev/null"]);
        let (code, shown, _) = finish(terminal.current_dir(folder.path()).stdin(Stdio::null()));
        assert_eq!(code, 0, "{shown}");
        shown
    };
    let shown = on_a_terminal("check");
    assert!(shown.contains("looking through ngoma.db") && shown.contains("ngoma.db ok"), "{shown}");
    let shown = on_a_terminal("key rotate");
    assert!(shown.contains("every secret is encrypted with a new key"), "{shown}");
}

#[test]
fn a_start_tells_in_one_block_what_it_will_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let started = |change: &[(&str, &str)], dev: bool| {
        let mut serve = ngoma(folder.path(), &["serve", "--listen", "127.0.0.1:0"]);
        serve.args(dev.then_some("--dev")).envs(change.iter().copied());
        let mut server = Running::start(&mut serve);
        server.line_with("alerts");
        let first = server.seen.iter().position(|line| line.starts_with("ngoma ")).expect("it begins");
        server.seen[first..].iter().map(|line| line.trim().to_owned()).collect::<Vec<_>>()
    };
    let block = started(&[("WEBHOOK_RETRY_MAX", "6")], false);
    let expected = [
        "ngoma ",
        "address    http://127.0.0.1:",
        "docs       http://127.0.0.1:",
        "database   ngoma.db (1 MB, full durability)",
        "asg        6 attempts, waits 1s, 4s, 16s again and again; then the delivery has failed",
        "asilichain 5 attempts, waits 30s, 5m, 30m, 2h; then the webhook is suspended and its account is told",
        "limits     an event 256 KiB, a batch 1000 events and 4096 KiB; 120 management requests a minute for a token; 1024",
        "egress     https:// only, to public addresses",
        "alerts     ",
    ];
    for (line, start) in block.iter().zip(expected) {
        assert!(line.starts_with(start), "{line}");
    }
    assert_eq!(block.len(), expected.len(), "{block:?}");
    let block = started(&[("NGOMA_LIMITS__REQUESTS_PER_MINUTE", "0")], true);
    assert_eq!(block[7], "egress     https:// and http://, to public addresses, 127.0.0.0/8, ::1/128");
    assert!(block[6].contains("any number of management requests"), "{block:?}");
}
