//! The command line as a shell meets it: help, completions, exit codes, progress, and the block that a start prints.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
};

use clap::CommandFactory;
use ngoma::{cli::Cli, config::Config};

use crate::{
    program::readme::readme,
    support::{
        database::make,
        program::{Running, finish, ngoma, run, run_on_a_terminal},
    },
};

/// Every command there is, as one writes it.
pub fn commands() -> Vec<Vec<String>> {
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

#[test]
fn a_help_lists_the_options_of_the_command_before_those_of_every_command() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, help, _) = run(folder.path(), &["recover", "--help"]);
    let (own, common) = help.split_once("\nOptions of every command:\n").expect("two lists");
    for option in ["--account", "--until", "--yes"] {
        assert!(own.contains(option) && !common.contains(&format!("      {option}")), "{option}: {help}");
    }
    for option in ["--config", "--quiet", "--no-color"] {
        assert!(common.contains(option) && !own.contains(option), "{option}: {help}");
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

/// A session of zsh, in which Tab completes and Ctrl-X prints the line.
const IN_ZSH: &str = r#"
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "fpath=($1 \$fpath); autoload -Uz compinit; compinit -u -D; bindkey '^I' complete-word"
zpty -w shell 'tell() { print -r -- "the line: $BUFFER." }; zle -N tell; bindkey "^X" tell; print -r "rea""dy"'
zpty -r shell seen '*ready*'
zpty -w -n shell $'ngoma webh\t'
zpty -w -n shell $'\x18'
zpty -r shell seen '*the line: ngoma webhooks*'
print -r -- "${seen##*the line: }"
zpty -d shell
"#;

#[test]
fn tab_completes_a_command_in_bash_zsh_and_fish() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = |shell: &str, file: &str| {
        let path = folder.path().join(file);
        fs::write(&path, run(folder.path(), &["completions", shell]).1).expect("written");
        path.display().to_string()
    };
    let said = |program: &str, arguments: &[&str]| {
        let mut shell = Command::new("timeout");
        let (code, out, err) = finish(shell.args(["60", program]).args(arguments).env("HOME", folder.path()));
        assert_eq!(code, 0, "{program}: {out}{err}");
        out
    };
    let typed = "COMP_WORDS=(ngoma webh) COMP_CWORD=1; _ngoma ngoma webh ngoma; echo \"${COMPREPLY[@]}\"";
    assert_eq!(bash(&fs::read_to_string(script("bash", "ngoma.bash")).expect("text"), typed).trim(), "webhooks");
    let fish = format!("source {}; complete -C 'ngoma webh'", script("fish", "ngoma.fish"));
    assert!(said("fish", &["--no-config", "-c", &fish]).starts_with("webhooks\t"), "{fish}");
    script("zsh", "_ngoma");
    let zsh = said("zsh", &["-f", "-c", IN_ZSH, "zsh", &folder.path().display().to_string()]);
    assert!(zsh.starts_with("ngoma webhooks"), "{zsh}");
}

#[test]
fn exit_codes_are_those_that_the_help_and_the_readme_tell() {
    let folder = tempfile::tempdir().expect("a folder");
    let help = run(folder.path(), &["--help"]).1;
    let codes = help.split_once("Exit codes:").expect("they are told").1;
    let readme = readme();
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
    make(folder.path());
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
    make(folder.path());
    run(folder.path(), &["account", "create", "--profile", "asg", "--id", "X"]);
    let (code, _, err) = run(folder.path(), &["check"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let on_a_terminal = |command: &str| {
        let (code, shown) = run_on_a_terminal(folder.path(), command, &[]);
        assert_eq!(code, 0, "{shown}");
        shown
    };
    let shown = on_a_terminal("check");
    assert!(shown.contains("looking through ngoma.db") && shown.contains("ngoma.db ok"), "{shown}");
    let large = "INSERT INTO event (id, account, kind, body, accepted_at)
                 VALUES (randomblob(16), 1, 'k', hex(zeroblob(4000000)), 0)";
    rusqlite::Connection::open(folder.path().join("ngoma.db")).expect("the file").execute(large, []).expect("written");
    let shown = on_a_terminal("backup copy.db");
    for part in ["copied 5", "copied; checking it", "copy.db.key are made"] {
        assert!(shown.contains(part), "{shown}");
    }
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
        "dashboard  http://127.0.0.1:",
        "docs       http://127.0.0.1:",
        "database   ngoma.db (1 MB, full durability)",
        "asg        6 attempts, waits 1s, 4s, 16s again and again; then the delivery has failed",
        "asilichain 5 attempts, waits 30s, 5m, 30m, 2h; then the webhook is suspended and its account is alerted",
        "limits     an event 256 KiB, a batch 1000 events and 4096 KiB; 120 management requests a minute for a token; 1024",
        "egress     https:// only, to public addresses",
        "retention  delivered 30d, undelivered 90d",
        "backups    none by itself",
        "alerts     in this log, at warn",
    ];
    for (line, start) in block.iter().zip(expected) {
        assert!(line.starts_with(start), "{line}");
    }
    assert_eq!(block.len(), expected.len(), "{block:?}");
    let block = started(
        &[
            ("NGOMA_LIMITS__REQUESTS_PER_MINUTE", "0"),
            ("NGOMA_ALERTS__SMTP_URL", "smtps://coop:pass-word@mail.coop.example"),
            ("NGOMA_ALERTS__WEBHOOK_URL", "https://127.0.0.1:9/path-word?key=query-word"),
            ("NGOMA_ALERTS__WEBHOOK_SECRET", "signing-word"),
        ],
        true,
    );
    assert_eq!(block[8], "egress     https:// and http://, to public addresses, 127.0.0.0/8, ::1/128");
    assert!(block[7].contains("any number of management requests"), "{block:?}");
    let places = "in this log, at warn; mail by mail.coop.example:465; POST to https://127.0.0.1:9";
    assert_eq!(block.last().map(String::as_str), Some(format!("alerts     {places}").as_str()));
    assert!(!block.concat().contains("word"), "{block:?}");
}

#[test]
fn what_cannot_be_printed_is_an_error_unless_nobody_reads_it() {
    let folder = tempfile::tempdir().expect("a folder");
    make(folder.path());
    run(folder.path(), &["account", "create", "--profile", "asg", "--id", "X"]);
    let token = ["token", "create", "--account", "X", "--scope", "events", "--json"];
    for command in [&token[..], &["openapi"], &["completions", "bash"], &["account", "list"]] {
        let full = fs::File::options().write(true).open("/dev/full").expect("a disk without room");
        let output = ngoma(folder.path(), command).stdout(full).output().expect("it runs");
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        assert!(err.contains("ngoma: standard output cannot be written"), "{command:?}: {err}");
        let mut unread = ngoma(folder.path(), command).stdout(Stdio::piped()).spawn().expect("it starts");
        drop(unread.stdout.take());
        assert_eq!(unread.wait().expect("it ends").code(), Some(0), "{command:?}");
    }
}

#[test]
fn a_start_and_a_check_warn_of_a_secret_that_all_can_read_and_of_mails_that_lead_nowhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("config.toml");
    let warnings = |public_url: &str, mode: u32| {
        let settings =
            format!("[server]\npublic_url = \"{public_url}\"\n[alerts]\nsmtp_url = \"smtp://127.0.0.1:9\"\n");
        fs::write(&file, settings).expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("set");
        let mut server = Running::start(&mut ngoma(folder.path(), &["serve", "--listen", "127.0.0.1:0"]));
        server.line_with("alerts");
        let log = server.log();
        let checked = run(folder.path(), &["check"]).1;
        let of = |part: &str| (log.matches(part).count(), checked.matches(part).count());
        [of("config.toml holds a secret and everybody may read it: run 'chmod o-r"), of("server.public_url is empty")]
    };
    assert_eq!(warnings("", 0o644), [(1, 1), (1, 1)]);
    assert_eq!(warnings("https://hooks.coop.example", 0o640), [(0, 0), (0, 0)]);
    // The server looks again and again: an editor may write a new file for all to read.
    let config = Config::load(Some(&file)).expect("settings");
    assert_eq!(config.exposed_files().len(), 0);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("set");
    assert_eq!(config.exposed_files().len(), 1);
}
