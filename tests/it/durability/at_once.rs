//! Two commands at once on the same files: the first is halted after each of its steps, while the second runs from its
//! beginning to its end.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

use rusqlite::Connection;

use crate::support::{
    program::{finish, ngoma, run},
    site::Site,
    strace::require_strace,
};

/// The steps after each of which another command may come.
const CALLS: [&str; 4] = ["openat", "flock", "unlink", "rename"];

/// A command that its tracer has halted.
pub(super) struct Halted {
    tracer: Child,
    trace: PathBuf,
}

impl Halted {
    /// Begins a command in this folder, and halts it after it has made this call for the n-th time on one of these files;
    /// `None` if it ends before.
    pub(super) fn after(folder: &Path, words: &[&str], files: &[&str], (call, nth): (&str, usize)) -> Option<Self> {
        let trace = folder.join("trace");
        let command = ngoma(folder, words);
        let mut tracer = Command::new("strace");
        tracer.args(["-f", "-qq", "-e", &format!("trace={call}"), "-o"]).arg(&trace);
        tracer.args(["-e", &format!("inject={call}:signal=STOP:when={nth}")]);
        // A name as the program gives it to the system, and the file of a descriptor.
        files.iter().for_each(|file| _ = tracer.args(["-P", file, "-P"]).arg(folder.join(file)));
        tracer.arg(command.get_program()).args(command.get_args()).current_dir(folder);
        let mut tracer = tracer.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("strace runs");
        loop {
            let seen = fs::read_to_string(&trace).unwrap_or_default();
            if seen.contains("stopped by SIGSTOP") {
                return Some(Self { tracer, trace });
            }
            if tracer.try_wait().expect("its state").is_some() {
                return None;
            }
            thread::yield_now();
        }
    }

    /// Lets it go on to its end: its exit code, and what it said.
    pub(super) fn go_on(mut self) -> (i32, String) {
        let trace = fs::read_to_string(&self.trace).expect("a trace");
        let id = trace.split_whitespace().next().expect("its number").to_owned();
        // Its other threads may stop a little later.
        while self.tracer.try_wait().expect("its state").is_none() {
            let _ = Command::new("kill").args(["-CONT", &id]).stderr(Stdio::null()).status().expect("kill runs");
        }
        let ended = self.tracer.wait_with_output().expect("it ends");
        fs::remove_file(&self.trace).expect("removed");
        (ended.status.code().unwrap_or(-1), String::from_utf8_lossy(&ended.stderr).into_owned())
    }
}

/// For each step of a command on these files: halts it there in a folder that `prepare` fills, runs the same command
/// again, lets the first go on, and looks at the folder and at both ends.
fn at_each_step(
    words: &[&str],
    files: &[&str],
    prepare: impl Fn(&Path),
    judge: impl Fn(&Path, &str, [(i32, String); 2]),
) {
    require_strace();
    let mut steps = 0;
    for call in CALLS {
        for nth in 1.. {
            let folder = tempfile::tempdir().expect("a folder");
            prepare(folder.path());
            let Some(first) = Halted::after(folder.path(), words, files, (call, nth)) else { break };
            let (code, _, said) = finish(&mut ngoma(folder.path(), words));
            let first = first.go_on();
            judge(folder.path(), &format!("after {call} {nth}"), [first, (code, said)]);
            steps += 1;
        }
    }
    assert!(steps > 8, "{steps} steps");
}

fn names(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).expect("a folder").flatten();
    files.map(|file| file.file_name().into_string().expect("a name")).collect()
}

#[test]
fn two_restores_at_once_where_no_database_is_end_with_one_whole_database() {
    let site = Site::new();
    let (code, _, said) = finish(&mut site.command_of(&["backup", "copy.db"]));
    assert_eq!(code, 0, "{said}");
    let prepare = |folder: &Path| {
        for name in ["copy.db", "copy.db.key"] {
            fs::copy(site.folder().join(name), folder.join(name)).expect("copied");
        }
    };
    let files = [
        "ngoma.db",
        "ngoma.key",
        "ngoma.db.restored",
        "ngoma.key.restored",
        "ngoma.db.restoring",
        "ngoma.db.restoring.part",
    ];
    at_each_step(&["restore", "copy.db"], &files, prepare, |folder, step, ends| {
        for (code, said) in &ends {
            assert!(*code == 0 || said.contains("ngoma.db is in use: "), "{step}: {ends:?}");
        }
        assert!(ends.iter().any(|(code, _)| *code == 0), "{step}: one of them does it: {ends:?}");
        let (code, _, said) = run(folder, &["check"]);
        assert_eq!(code, 0, "{step}: {said}");
        let left: Vec<_> = names(folder).into_iter().filter(|name| name.contains(".restor")).collect();
        assert!(left.is_empty(), "{step}: {left:?}");
    });
}

#[test]
fn two_backups_at_once_to_one_file_make_one_whole_copy_with_its_key() {
    let site = Site::new();
    let prepare = |folder: &Path| {
        for name in ["ngoma.db", "ngoma.key"] {
            fs::copy(site.folder().join(name), folder.join(name)).expect("copied");
        }
    };
    let files = ["copy.db", "copy.db.part", "copy.db.key", "copy.db.key.part"];
    at_each_step(&["backup", "copy.db"], &files, prepare, |folder, step, ends| {
        let made = ends.iter().filter(|(code, _)| *code == 0).count();
        assert_eq!(made, 1, "{step}: {ends:?}");
        let refusal = ends.iter().find(|(code, _)| *code != 0).map(|(_, said)| said.as_str()).unwrap_or_default();
        let why = ["another backup to this file is under way", "is there already"];
        assert!(why.iter().any(|why| refusal.contains(why)), "{step}: {refusal}");
        let copy = Connection::open(folder.join("copy.db")).expect("a copy");
        let whole: String = copy.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("a database");
        assert_eq!(whole, "ok", "{step}");
        assert!(folder.join("copy.db.key").exists(), "{step}");
        assert!(!names(folder).iter().any(|name| name.ends_with(".part")), "{step}: {:?}", names(folder));
    });
}
