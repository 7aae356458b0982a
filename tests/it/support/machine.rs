//! A Debian machine of the story's own: a fresh root, booted by systemd-nspawn. Its network is its own loopback.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

use crate::support::program::{Running, finish};

/// The packages of a fresh root beside Debian's smallest: systemd, and tools to look around.
const PACKAGES: &str = "systemd,systemd-sysv,dbus,curl";

pub struct Machine {
    root: PathBuf,
    nspawn: Running,
    _folder: TempDir,
}

impl Machine {
    /// Makes a root of this release of Debian, and boots it.
    pub fn boot(release: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("debian");
        let include = format!("--include={PACKAGES}");
        let root_name = root.to_str().expect("a path");
        ran(Command::new("debootstrap").args(["--variant=minbase", &include, release, root_name]));
        let mut nspawn = Command::new("systemd-nspawn");
        nspawn.args(["--boot", "--quiet", "--register=no", "--keep-unit", "--private-network"]);
        nspawn.args(["--directory", root_name, "--", "systemd.show_status=1"]);
        let mut nspawn = Running::start(nspawn.stdin(Stdio::null()));
        // On a busy host the console's login hides the lines of the later targets. The next command waits for these.
        nspawn.line_with("basic.target");
        let machine = Self { root, nspawn, _folder: folder };
        machine.run("systemctl is-system-running --wait || systemctl --failed");
        machine
    }

    /// Its root, as the host sees it.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Runs a line of shell as root there, which must do well, and gives its output.
    #[track_caller]
    pub fn run(&self, line: &str) -> String {
        let (code, out, err) = self.try_run(line);
        assert_eq!(code, 0, "{line}\n{out}\n{err}");
        out
    }

    /// The same; it may fail.
    pub fn try_run(&self, line: &str) -> (i32, String, String) {
        let nspawn = self.nspawn.id();
        let children = fs::read_to_string(format!("/proc/{nspawn}/task/{nspawn}/children")).expect("it runs");
        let first = children.split_whitespace().next().expect("the first process of the machine");
        let mut shell = Command::new("nsenter");
        shell.args(["--target", first, "--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd", "--"]);
        shell.args(["env", "--ignore-environment", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"]);
        shell.args(["HOME=/root", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", "sh", "-c", line]);
        finish(&mut shell)
    }

    /// The lines of the journal of a unit, until one holds this text.
    #[track_caller]
    pub fn journal_until(&self, unit: &str, text: &str) -> String {
        let line =
            format!("timeout 30 journalctl --lines=all --output=cat --follow --unit {unit} | grep -m 1 -F '{text}'");
        self.run(&line)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.nspawn.signal("TERM");
        let _ = self.nspawn.wait();
    }
}

/// Runs a program of the host, which must do well, and gives its output.
#[track_caller]
pub fn ran(command: &mut Command) -> String {
    let name = command.get_program().to_owned();
    let there = command.output();
    let output = there.unwrap_or_else(|_| panic!("{name:?} is missing: run the suite by tests/run --long"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}
