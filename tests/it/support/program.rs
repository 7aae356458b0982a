//! The built program, as a user runs it: a process of its own, its output read line by line.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, mpsc},
    thread,
};

use serde_json::Value;

use crate::support::{
    leaks,
    receiver::{PATIENCE, lock},
};

/// Every line, also of the libraries whose lines the program leaves out by itself: the log is searched for secrets.
const TRACE: &str = "trace,poem=trace,rusqlite_migration=trace,ureq=trace,ureq_proto=trace,hyper=trace";

/// Variables by which users and services say whether they want colours.
const OF_COLOURS: [&str; 4] = ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "CI"];

/// A command line of the built program that works in this folder, with nothing of our environment. It logs at trace
/// level, and makes no backup that no story asks for.
pub fn ngoma(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ngoma"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    for (name, _) in std::env::vars() {
        if name.starts_with("NGOMA_") || name == "WEBHOOK_RETRY_MAX" || OF_COLOURS.contains(&name.as_str()) {
            command.env_remove(name);
        }
    }
    command.env("NGOMA_LOG__LEVEL", TRACE).env("NGOMA_BACKUP__EVERY", "0s");
    command
}

/// Runs a command to its end: exit code, standard output, standard error.
pub fn run(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    finish(&mut ngoma(folder, arguments))
}

pub fn finish(command: &mut Command) -> (i32, String, String) {
    let output = command.output().expect("the program runs");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    leaks::shown(&text(&output.stderr));
    text(&output.stdout).lines().for_each(|line| leaks::printed(&leaks::words(command), line));
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

/// Runs a command of the program on a terminal, with these variables: exit code, and what the terminal shows.
pub fn run_on_a_terminal(folder: &Path, command: &str, variables: &[(&str, &str)]) -> (i32, String) {
    let mut terminal = Command::new("script");
    let line = format!("{} {command}", env!("CARGO_BIN_EXE_ngoma"));
    terminal.args(["--quiet", "--return", "--command", &line, "/dev/null"]).current_dir(folder);
    OF_COLOURS.iter().for_each(|name| _ = terminal.env_remove(name));
    terminal.env("TERM", "xterm").envs(variables.iter().copied());
    let piped = terminal.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = piped.spawn().expect("script runs");
    // At the end of its input it may end before it has shown everything.
    let keyboard = running.stdin.take();
    let output = running.wait_with_output().expect("it ends");
    drop(keyboard);
    let shown = String::from_utf8(output.stdout).expect("UTF-8");
    shown.lines().for_each(leaks::shown);
    (output.status.code().unwrap_or(-1), shown)
}

/// The one sentence with which a command refuses to go on.
#[track_caller]
pub fn refusal(folder: &Path, arguments: &[&str]) -> String {
    refused(folder, arguments, 1)
}

/// The one sentence with which a command says that its command line is wrong.
#[track_caller]
pub fn wrong(folder: &Path, arguments: &[&str]) -> String {
    refused(folder, arguments, 2)
}

#[track_caller]
fn refused(folder: &Path, arguments: &[&str], as_code: i32) -> String {
    let (code, out, err) = run(folder, arguments);
    assert_eq!((code, out.as_str()), (as_code, ""), "{arguments:?}: {err}");
    assert!(err.starts_with("ngoma: ") && err.trim_end().lines().count() == 1, "one sentence: {err}");
    err
}

/// A program that goes on running; ended when it is dropped.
pub struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
    errors: Option<thread::JoinHandle<()>>,
    said: Arc<(Mutex<String>, Condvar)>,
    /// Every line read so far.
    pub seen: Vec<String>,
}

impl Running {
    pub fn start(command: &mut Command) -> Self {
        let words = leaks::words(command);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let stdout: ChildStdout = child.stdout.take().expect("piped");
        let stderr = child.stderr.take().expect("piped");
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| {
                leaks::printed(&words, &line);
                sender.send(line)
            })
        });
        let said = Arc::new((Mutex::new(String::new()), Condvar::new()));
        let saying = Arc::clone(&said);
        let errors = thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                leaks::shown(&line);
                lock(&saying.0).push_str(&(line + "\n"));
                saying.1.notify_all();
            }
        });
        Self { child, lines, errors: Some(errors), said, seen: Vec::new() }
    }

    /// Waits until it has written this to standard error.
    #[track_caller]
    pub fn error_with(&self, text: &str) {
        let waited = self.said.1.wait_timeout_while(lock(&self.said.0), PATIENCE, |said| !said.contains(text));
        let (said, timeout) = waited.expect("no panic");
        assert!(!timeout.timed_out(), "it does not say '{text}': {said}");
    }

    /// Whether it has written this to standard error so far.
    pub fn has_said(&self, text: &str) -> bool {
        lock(&self.said.0).contains(text)
    }

    /// Reads on until a line holds this text, and gives the line.
    #[track_caller]
    pub fn line_with(&mut self, text: &str) -> String {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(_) => {
                    let log = self.log();
                    panic!("no line with '{text}': {:#?}\n{log}", self.seen);
                }
            }
        }
    }

    /// Where it serves, once it says so, in text or in JSON.
    #[track_caller]
    pub fn address(&mut self) -> String {
        let line = self.line_with("address");
        match serde_json::from_str::<Value>(&line) {
            Ok(started) => started["address"].as_str().expect("an address").to_owned(),
            Err(_) => word_after(&line, "address").to_owned(),
        }
    }

    /// Whether it has not ended.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("its state").is_none()
    }

    /// The id of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The most memory that it ever held, in KiB.
    pub fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// Sends a signal, by name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Waits for its end, which must come.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.seen.push(line),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("it does not end: {}", self.log()),
            }
        }
        self.child.wait().expect("it ends")
    }

    /// Ends it, and returns its standard error.
    pub fn log(&mut self) -> String {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(errors) = self.errors.take() {
            errors.join().expect("read");
        }
        lock(&self.said.0).clone()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // So that its whole output is kept.
        let _ = self.errors.take().map(thread::JoinHandle::join);
    }
}

/// The word after another in a line.
pub fn word_after<'a>(line: &'a str, before: &str) -> &'a str {
    let mut words = line.split_whitespace().skip_while(|word| *word != before);
    words.nth(1).unwrap_or_else(|| panic!("nothing after '{before}' in '{line}'"))
}
