//! The processes that are measured: the built program on a folder of its own, and the bare pipeline. Each is ended, by
//! its id, when it is dropped.

use std::{
    env,
    fs::{self, File},
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use ngoma::clock::SystemClock;
use tempfile::TempDir;

use crate::prepare::Store;

/// How long a server may take until it is ready.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with a database, on the disk that the project is built on: elsewhere a sync may cost nothing.
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder"))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The database's file.
    pub fn database(&self) -> PathBuf {
        self.path().join("ngoma.db")
    }

    /// Opens the database without a server.
    pub fn store(&self) -> Store {
        Store::open(self.path(), Arc::new(SystemClock))
    }

    /// Starts the built program on it, with its usual settings but for the address and that it may send to this
    /// machine.
    pub fn serve(&self) -> Process {
        self.serve_with(&[])
    }

    /// The same, with these settings changed.
    pub fn serve_with(&self, settings: &[(&str, &str)]) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ngoma"));
        for (name, _) in env::vars().filter(|(name, _)| name.starts_with("NGOMA_")) {
            command.env_remove(name);
        }
        command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .env("NGOMA_EGRESS__ALLOW", r#"["127.0.0.0/8"]"#)
            .env("NGOMA_EGRESS__ALLOW_HTTP", "true")
            // The one that is measured is asked for.
            .env("NGOMA_BACKUP__EVERY", "0s")
            .envs(settings.iter().copied())
            .current_dir(self.path())
            .stderr(File::create(self.path().join("log")).expect("a file"));
        let watch = Instant::now();
        let mut process = Process::start(&mut command);
        while ureq::get(format!("http://{}/health/ready", process.address)).call().is_err() {
            assert!(watch.elapsed() < PATIENCE, "it does not get ready");
            thread::sleep(Duration::from_millis(1));
        }
        process.ready_after = watch.elapsed();
        process
    }
}

/// A running process that has said where it listens.
pub struct Process {
    pub address: SocketAddr,
    /// How long it took until it was ready, where that is asked for.
    pub ready_after: Duration,
    child: Child,
    /// Kept open, as the process may go on writing.
    _stdout: BufReader<ChildStdout>,
}

impl Process {
    /// Starts it, and waits for the line with its address.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("a process");
        let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut said = String::new();
        let address = loop {
            let from = said.len();
            if stdout.read_line(&mut said).expect("text") == 0 {
                let _ = child.wait();
                panic!("it ended at its start: {said}");
            }
            if let Some((_, address)) = said[from..].split_once("http://") {
                break address.trim().parse().expect("an address");
            }
        };
        Self { address, ready_after: Duration::ZERO, child, _stdout: stdout }
    }

    /// Sends it a signal, by name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// The memory that it holds now, and the most that it held, in MiB.
    pub fn memory(&self) -> (f64, f64) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let mib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux says so");
            line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") / 1024.0
        };
        (mib("VmRSS:"), mib("VmHWM:"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
