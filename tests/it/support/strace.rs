//! strace: stories count system calls with it and make them fail.

use std::process::Command;

/// Fails unless strace is installed and may trace.
pub fn require_strace() {
    let tried = Command::new("strace").args(["-f", "-e", "trace=fsync", "-o", "/dev/null", "true"]).output();
    let tried = tried.expect("strace is missing: run the suite by tests/run, which installs it");
    let said = String::from_utf8_lossy(&tried.stderr);
    assert!(tried.status.success(), "strace may not trace here (ptrace is refused); run where it may: {said}");
}
