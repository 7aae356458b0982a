//! Other people's programs, in other languages: a story starts them, talks to them by lines, and ends them.

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio},
    thread,
};

use serde::Deserialize;
use serde_json::Value;

const TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/verify");

/// Node, about to run a program of `tests/verify`.
pub fn node(program: &str) -> Command {
    node_at(&format!("verify/{program}"))
}

/// Node, about to run a program of a folder of `tests`.
pub fn node_at(program: &str) -> Command {
    let mut command = Command::new("node");
    assert!(ran_well(command.arg("--version")), "node is missing: run the suite by tests/run, which installs it");
    let mut command = Command::new("node");
    command.arg(format!("{TESTS}/{program}"));
    command
}

/// Where the packages of tests/package.json are.
pub fn modules() -> PathBuf {
    let own = || Path::new(TESTS).join(".tools/node_modules").into_os_string();
    let modules: PathBuf = env::var_os("TEST_NODE_MODULES").unwrap_or_else(own).into();
    assert!(modules.is_dir(), "{} is missing: run the suite by tests/run, which makes it", modules.display());
    modules
}

/// A Python that has the Standard Webhooks library, about to run a program of `tests/verify`.
pub fn python(program: &str) -> Command {
    let mut command = python_with("standardwebhooks");
    command.arg(format!("{FOLDER}/{program}"));
    command
}

/// A Python with nothing but its own library, about to run a program of `tests/verify`.
pub fn plain_python(program: &str) -> Command {
    let mut command = python_with("urllib.request");
    command.arg(format!("{FOLDER}/{program}"));
    command
}

/// A mail server, about to run.
pub fn mail_server() -> Command {
    let mut command = python_with("aiosmtpd");
    command.arg(format!("{FOLDER}/mailbox.py"));
    command
}

/// Prometheus's own reader of figures.
pub fn prometheus() -> Command {
    let mut command = python_with("prometheus_client");
    command.arg(format!("{FOLDER}/metrics.py"));
    command
}

/// Prometheus's own judge of metrics and rules.
pub fn promtool(arguments: &[&str]) -> Command {
    let command = || Command::new("promtool");
    assert!(ran_well(command().arg("--version")), "promtool is missing: run the suite by tests/run, which installs it");
    let mut command = command();
    command.args(arguments);
    command
}

/// Litestream, which keeps a warm copy of a database.
pub fn litestream() -> Command {
    let python = python_with("standardwebhooks").get_program().to_owned();
    let command = || Command::new(Path::new(&python).with_file_name("litestream"));
    assert!(ran_well(command().arg("version")), "litestream is missing: run the suite by tests/run, which installs it");
    command()
}

/// Schemathesis, which makes requests from a contract and judges the answers.
pub fn schemathesis() -> Command {
    let mut command = python_with("schemathesis");
    command.args(["-m", "schemathesis.cli"]);
    command.env("SCHEMATHESIS_HOOKS", format!("{FOLDER}/lenient.py"));
    command
}

/// A Python that has this package.
pub fn python_with(package: &str) -> Command {
    let python = env::var("TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    assert!(
        ran_well(Command::new(&python).args(["-c", &format!("import {package}")])),
        "{python} with the package {package} is missing: run the suite by tests/run, which installs it"
    );
    Command::new(python)
}

/// The OpenSSL command line.
pub fn openssl() -> Command {
    let command = || Command::new("openssl");
    assert!(ran_well(command().arg("version")), "openssl is missing: run the suite by tests/run, which installs it");
    command()
}

fn ran_well(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).output().is_ok_and(|output| output.status.success())
}

/// The output of a program for this input, once it has ended well.
pub fn ask(mut command: Command, input: Vec<u8>) -> Vec<u8> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    // From a thread of its own: a program may answer before it has read all.
    let writer = thread::spawn(move || stdin.write_all(&input));
    let Output { status, stdout, .. } = child.wait_with_output().expect("it ends");
    writer.join().expect("no panic").expect("it reads its input");
    assert!(status.success(), "{command:?}: {status}");
    stdout
}

/// A receiver in another language, which verifies deliveries by its own code. It ends with the story.
pub struct Verifier {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    port: u16,
}

/// A verifier's report of one webhook.
#[derive(Debug, Deserialize, PartialEq, Eq)]
pub struct Seen {
    /// Deliveries that verified, answered 200.
    pub verified: usize,
    /// Deliveries that did not, answered 401.
    pub refused: usize,
    /// Events among those that verified.
    pub events: usize,
    /// The first that did not, and why.
    pub complaint: Option<String>,
}

impl Verifier {
    /// Starts one, and waits until it listens.
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let orders = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut verifier = Self { child, orders, answers, port: 0 };
        verifier.port = verifier.answer().parse().expect("it prints its port");
        verifier
    }

    /// Where the webhook of this path is delivered to.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Makes it serve a webhook: from here on it knows this path's secret.
    pub fn serve(&mut self, webhook: &Value) {
        writeln!(self.orders.as_mut().expect("it serves"), "{webhook}").expect("it listens");
        assert_eq!(self.answer(), "ok");
    }

    /// Sends it a request that Ngoma might not send, and gives the status of its answer.
    pub fn post(&self, path: &str, headers: &[(&str, String)], body: &[u8]) -> u16 {
        let request =
            headers.iter().fold(ureq::post(self.url(path)), |request, (name, value)| request.header(*name, value));
        let answer = request.config().http_status_as_error(false).proxy(None).build().send(body);
        answer.expect("it answers").status().as_u16()
    }

    /// Ends it, and gives its report of each path.
    pub fn report(mut self) -> BTreeMap<String, Seen> {
        drop(self.orders.take());
        serde_json::from_str(&self.answer()).expect("a report")
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("its output is text");
        assert!(line.ends_with('\n'), "it ended early; why stands above");
        line.trim_end().to_owned()
    }
}

impl Drop for Verifier {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
