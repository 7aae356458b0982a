//! The log as its readers have it: one that cannot be written costs lines and nothing else, one in JSON is JSON alone,
//! each line has its priority in the journal, and no value is more than a value.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::support::{
    client::Client,
    program::{Running, finish, ngoma, run, word_after},
    receiver::{Receiver, Reply},
    site::{Server, Site},
};

const LOST: &str = "ngoma_log_lines_dropped_total";
/// The largest file allowed, in blocks of 1,024 bytes, and in bytes.
const BLOCKS: u64 = 65_536;
const LIMIT: u64 = BLOCKS << 10;

/// A named pipe, held open at both ends so that opening it does not wait.
fn pipe(site: &Site) -> (PathBuf, File) {
    let path = site.folder().join("pipe");
    assert_eq!(finish(Command::new("mkfifo").arg(&path)).0, 0);
    let held = OpenOptions::new().read(true).write(true).open(&path).expect("a pipe");
    (path, held)
}

/// A server whose standard error the shell redirects in this way, and an operator's client.
fn serve(site: &Site, shell: &str) -> (Server, Client) {
    let (code, out, err) = finish(&mut site.command_of(&["token", "create", "--scope", "operator", "--json"]));
    assert_eq!(code, 0, "{err}");
    let made: Value = serde_json::from_str(&out).expect("JSON");
    let script = format!("{shell}; exec \"$0\" \"$@\"");
    let server = site.start_by(&mut site.under("bash", &["-c", &script], &site.command()));
    let operator = server.client(made["token"].as_str().expect("a token"));
    (server, operator)
}

fn lost(operator: &Client) -> u64 {
    let shown = operator.get("/metrics");
    assert_eq!(shown.status, 200, "{}", shown.text);
    let line = shown.text.lines().find(|line| line.starts_with(LOST)).unwrap_or_else(|| panic!("no {LOST}"));
    word_after(line, LOST).parse().expect("a number")
}

/// Publishes until lines were lost; each request is answered, and each delivery arrives.
#[track_caller]
fn works_while_lines_are_lost(server: &Server, operator: &Client) -> u64 {
    let (receiver, coop) = (Receiver::new(), server.coop());
    coop.webhook(&receiver.url(), &["*"], "s");
    for count in 1..20_000 {
        coop.publish("dds.filed", json!({ "n": count }));
        receiver.wait_for(count);
        if count % 100 == 0 && lost(operator) > 0 {
            return lost(operator);
        }
    }
    panic!("nothing is lost");
}

/// The line that says how many were lost.
fn is_notice(line: &str) -> bool {
    line.contains("log lines were lost")
}

#[test]
fn a_log_that_cannot_be_written_costs_lines_and_no_request() {
    let site = Site::new();
    let (server, operator) = serve(&site, "exec 2>/dev/full");
    assert!(works_while_lines_are_lost(&server, &operator) > 0);
    server.stop();

    let site = Site::new();
    let (path, held) = pipe(&site);
    let (server, operator) = serve(&site, &format!("exec 2>{}", path.display()));
    // Its only reader goes away.
    drop(held);
    assert!(works_while_lines_are_lost(&server, &operator) > 0);
    server.stop();
}

#[test]
fn a_log_that_nobody_reads_costs_lines_and_a_line_says_how_many() {
    let site = Site::new();
    let (path, stalled) = pipe(&site);
    let (server, operator) = serve(&site, &format!("exec 2>{}", path.display()));
    assert!(works_while_lines_are_lost(&server, &operator) > 0);
    let mut lines = BufReader::new(stalled).lines().map_while(Result::ok);
    assert!(lines.any(|line| is_notice(&line)), "it says so when somebody reads again");
    // A stop waits for no reader.
    server.stop();
}

#[test]
fn a_log_without_room_costs_lines_and_a_line_says_how_many() {
    let site = Site::new();
    let path = site.folder().join("log");
    File::create(&path).expect("a file").set_len(LIMIT).expect("a file without room");
    let (server, operator) = serve(&site, &format!("ulimit -f {BLOCKS}; exec 2>>{}", path.display()));
    assert!(works_while_lines_are_lost(&server, &operator) > 0);
    OpenOptions::new().write(true).open(&path).expect("the file").set_len(0).expect("room again");
    works_while_lines_are_lost(&server, &operator);
    server.stop();
    let text = fs::read_to_string(&path).expect("the log");
    assert!(text.lines().any(is_notice), "{}", text.lines().take(20).collect::<Vec<_>>().join("\n"));
}

#[test]
fn a_start_that_nobody_reads_serves_and_stops_well() {
    let site = Site::new();
    let server = site.start();
    let free = server.address().to_owned();
    server.stop();
    let mut command = site.command();
    command.env("NGOMA_SERVER__LISTEN", &free);
    let script = "exec >/dev/full 2>&1; exec \"$0\" \"$@\"";
    let mut running = Running::start(&mut site.under("bash", &["-c", script], &command));
    let client = Client::at(&format!("http://{free}"), "");
    while client.try_send("GET", "/health/live", &[], None).is_err() {
        assert!(running.is_alive(), "it lives");
    }
    running.signal("TERM");
    assert_eq!(running.wait().code(), Some(0));
}

/// A server that is sure to warn: its settings hold a secret that all can read. In a folder of this name.
fn warning(folder: &Path, name: &str, format: &str) -> Running {
    let place = folder.join(name);
    fs::create_dir(&place).expect("a folder");
    let file = place.join("config.toml");
    let settings =
        format!("[alerts]\nsmtp_url = \"smtp://127.0.0.1:9\"\n[log]\nformat = \"{format}\"\nlevel = \"info\"\n");
    fs::write(&file, settings).expect("written");
    let file = file.to_str().expect("UTF-8");
    let mut serve = ngoma(folder, &["--config", file, "serve", "--listen", "127.0.0.1:0"]);
    let mut running = Running::start(serve.env_remove("NGOMA_LOG__LEVEL"));
    running.line_with("no token yet");
    running
}

#[test]
fn no_value_forges_a_line_of_the_log_or_moves_a_cursor() {
    let name = "a\n2026-04-20T11:55:00Z ERROR forged\r\u{1b}[2J\u{7f}\u{9b}2J\u{202e}\u{2066}b";
    for format in ["text", "json"] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut running = warning(folder.path(), name, format);
        running.signal("TERM");
        assert!(running.wait().success());
        let log = running.log();
        assert!(log.contains("holds a secret"), "{log}");
        assert!(!log.lines().any(|line| line.starts_with("2026-04-20T11:55:00Z ERROR")), "{log}");
        let raw = |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{2069}').contains(&c);
        assert!(!log.contains(raw), "{log:?}");
        if format == "json" {
            let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
            let mut told = lines.filter_map(|line| line["message"].as_str().map(str::to_owned));
            assert!(told.any(|message| message.contains(name)), "it means the same: {log}");
        }
    }
}

/// Every line that the program wrote is one object, with a level and a message.
#[track_caller]
fn objects(text: &str) -> Vec<Value> {
    let parse = |line| serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
    let all: Vec<Value> = text.lines().map(parse).collect();
    assert!(all.iter().all(|one| one["level"].is_string() && one["timestamp"].is_string()), "{text}");
    all
}

#[test]
fn a_log_in_json_has_no_line_that_is_not_json() {
    let site = Site::new();
    let json = |arguments: &[&str]| {
        let mut command = site.command_of(arguments);
        command.env("NGOMA_LOG__FORMAT", "json");
        command
    };
    let mut server = Running::start(&mut json(&["serve", "--dev", "--listen", "127.0.0.1:0"]));
    server.line_with("DEMO-ASG");
    // Faults that end a start: a file in use, a level, a key, a value, a missing file.
    let mut failing = vec![json(&["serve"]), json(&["serve"]), json(&["serve"]), json(&["serve"])];
    failing[1].env("NGOMA_LOG__LEVEL", "loud=");
    failing[2].env("NGOMA_SERVER__NONSENSE", "1");
    failing[3].env("NGOMA_SERVER__LISTEN", "nowhere");
    failing.push(json(&["--config", "none.toml", "serve"]));
    for command in &mut failing {
        let (code, out, err) = finish(command);
        assert_eq!((code, out.as_str()), (1, ""), "{err}");
        let told = objects(&err);
        let last = told.last().expect("a line");
        assert_eq!(last["level"], "ERROR", "{err}");
        assert!(last["message"].as_str().is_some_and(|message| message.len() > 10), "{err}");
    }
    server.signal("TERM");
    assert!(server.wait().success());
    let started = objects(&server.seen.join("\n"));
    assert!(started[0]["address"].as_str().is_some_and(|address| address.starts_with("http://127.0.0.1:")));
    let demo = started.iter().find(|line| line["account"] == "DEMO-ASG").expect("an account");
    assert!(demo["token"].as_str().is_some_and(|token| token.starts_with("ngm_")), "{demo}");
    assert!(!objects(&server.log()).is_empty());
}

#[test]
fn log_format_json_in_the_file_applies_to_messages_about_the_file_too() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("config.toml"), "[log]\nformat = \"json\"\n[server]\nnonsense = 1\n")
        .expect("written");
    let (code, _, err) = run(folder.path(), &["serve"]);
    assert_eq!(code, 1);
    assert!(objects(&err)[0]["message"].as_str().is_some_and(|message| message.contains("nonsense")), "{err}");
}

#[test]
fn in_the_journal_each_line_has_its_priority() {
    let site = Site::new();
    let mut command = site.command();
    command.env("NGOMA_LOG__LEVEL", "debug");
    let inside = |stream: &str| {
        let script = format!("export JOURNAL_STREAM={stream}; exec \"$0\" \"$@\"");
        let server = site.start_by(&mut site.under("bash", &["-c", &script], &command));
        server.coop().get("/webhooks").expect(200);
        server.coop().get("/health/live").expect(200);
        // A second server is refused, in a sentence.
        let mut second = site.under("bash", &["-c", &script], &command);
        let (code, _, refused) = finish(&mut second);
        assert_eq!(code, 1);
        let mut server = server;
        server.running.signal("TERM");
        assert!(server.running.wait().success());
        (server.running.log(), refused)
    };
    let (log, refused) = inside("$(stat --dereference --format %d:%i /proc/self/fd/2)");
    let of = |part: &str| {
        let line = log.lines().find(|line| line.contains(part)).unwrap_or_else(|| panic!("no {part}: {log}"));
        line.split_inclusive('>').next().unwrap_or_default().to_owned()
    };
    assert_eq!([of("path=\"/webhooks\""), of("path=\"/health/live\""), of("stopping")], ["<6>", "<7>", "<6>"]);
    assert!(log.lines().chain(refused.lines()).all(|line| line.starts_with('<')), "{log}{refused}");
    assert!(refused.lines().last().is_some_and(|line| line.starts_with("<3>ngoma: ")), "{refused}");
    // The parent process may log to the journal while this standard error goes elsewhere.
    let (log, refused) = inside("1:1");
    assert!(!log.contains("<6>") && !refused.contains('<'), "{log}{refused}");
}

#[test]
fn a_webhook_stands_in_the_log_under_the_id_that_its_owner_knows() {
    let mut site = Site::new();
    site.set("LOG__FORMAT", "json");
    let server = site.start();
    let receiver = Receiver::new();
    let asilichain = server.coop().webhook(&receiver.url(), &["*"], "s");
    let made = server.customer().post("/v1/webhooks", json!({ "callback_url": receiver.url() })).expect(201);
    let asg = made["webhook_id"].as_str().expect("an id").to_owned();
    server.coop().publish("dds.filed", json!({}));
    let task = |id: &str| {
        json!({ "event": "task.settled", "task_id": id, "consensus_label": "cat", "confidence": 1.0, "bsv_txid": "x",
                "settled_at": "2026-04-08T21:05:00Z" })
    };
    server.customer().post("/v1/events", task("t")).expect(202);
    receiver.wait_for(2);
    for webhook in [&asilichain, &asg] {
        server.running.error_with(&format!("\"endpoint.id\":\"{webhook}\""));
    }
    // Attempts that a crash cuts off.
    receiver.always(Reply::Hang);
    server.coop().publish("dds.filed", json!({}));
    server.customer().post("/v1/events", task("u")).expect(202);
    receiver.wait_for(4);
    server.kill();
    let server = site.start();
    receiver.wait_for(6);
    let log = server.kill();
    let ids = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok()?["endpoint.id"].as_str().map(str::to_owned));
    let ids: Vec<String> = ids.collect();
    assert!(ids.len() >= 2 && ids.iter().all(|id| *id == asilichain || *id == asg), "{ids:?}");
}
