//! A restore that is cut off: one of the two databases is there as a whole, and the same command again does the rest.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use serde_json::json;
use tempfile::TempDir;

use super::{
    at_once::Halted,
    restore::{before, done, events, names, two_states},
};
use crate::support::{
    program::{finish, ngoma},
    site::Site,
    strace::require_strace,
};

/// The system calls at each of which a crash may come.
const STEPS: [&str; 9] =
    ["rename", "renameat", "renameat2", "unlink", "unlinkat", "mkdir", "mkdirat", "fsync", "fdatasync"];

/// Restores in this folder, and kills the command at this call of its kind. Returns whether it made so many.
fn is_killed_at(folder: &Path, call: &str, count: usize) -> bool {
    let restore = ngoma(folder, &["restore", "copy.db"]);
    let mut killed = Command::new("strace");
    killed.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
    killed.args(["-e", &format!("inject={call}:signal=KILL:when={count}")]).current_dir(folder);
    killed.arg(restore.get_program()).args(restore.get_args()).env("NGOMA_LOG__LEVEL", "warn");
    !killed.output().expect("strace runs").status.success()
}

/// Puts the files of a site into an empty folder. Where `real` is not the folder itself, the database and its key are
/// there, and links lead to them.
fn put(made: &Site, folder: &Path, real: &str) {
    let copy = |name: &str, to: &Path| _ = fs::copy(made.folder().join(name), to.join(name)).expect("copied");
    ["copy.db", "copy.db.key"].iter().for_each(|name| copy(name, folder));
    fs::create_dir_all(folder.join(real)).expect("a folder");
    for name in ["ngoma.db", "ngoma.key"] {
        copy(name, &folder.join(real));
        if real != "." {
            symlink(Path::new(real).join(name), folder.join(name)).expect("linked");
        }
    }
}

/// Kills a restore at each of its steps, and ends it by the same command.
fn is_ended_by_a_second_run(real: &str) {
    require_strace();
    let (made, [first, second]) = two_states();
    assert_ne!(first, second);
    let (mut steps, mut cut_off) = (0, 0);
    for call in STEPS {
        for count in 1.. {
            let site = tempfile::tempdir().expect("a folder");
            let site = site.path();
            put(&made, site, real);
            if !is_killed_at(site, call, count) {
                assert_eq!(events(&site.join("ngoma.db")), 1, "it is restored");
                break;
            }
            let step = format!("{call} {count}");
            steps += 1;
            cut_off += usize::from(is_cut_off(site, &step));
            let (code, out, err) = finish(&mut ngoma(site, &["restore", "copy.db"]));
            assert_eq!(code, 0, "{step}: {out}{err}");
            let (code, _, err) = finish(&mut ngoma(site, &["check"]));
            assert_eq!((code, events(&site.join("ngoma.db"))), (0, 1), "{step}: {err}");
            let kept: Vec<usize> =
                before(&site.join(real)).iter().map(|folder| events(&folder.join("ngoma.db"))).collect();
            assert!(kept.contains(&2), "{step}: the former one is kept: {kept:?}");
            let left = [names(site), names(&site.join(real))].concat();
            assert!(!left.iter().any(|name| name.contains(".restor")), "{step}: {left:?}");
        }
    }
    println!("{steps} steps, {cut_off} of them between the renames");
    assert!(steps > 20 && cut_off > 4, "{steps} steps, {cut_off} of them between the renames");
}

#[test]
fn a_restore_that_is_killed_at_any_step_leaves_one_of_the_two_whole_and_a_second_run_ends_it() {
    is_ended_by_a_second_run(".");
}

#[test]
fn a_restore_behind_a_link_that_is_killed_at_any_step_is_ended_by_a_second_run_on_the_disk_of_the_link() {
    is_ended_by_a_second_run("disk");
}

/// Whether a restore was cut off between its renames: then a check and a start say so. Else one of the two is in its place.
fn is_cut_off(site: &Path, step: &str) -> bool {
    let (code, _, said) = finish(&mut ngoma(site, &["check"]));
    if code == 0 {
        assert!([1, 2].contains(&events(&site.join("ngoma.db"))), "{step}");
        return false;
    }
    assert!(said.contains("run 'ngoma restore' with the same file again"), "{step}: {said}");
    let start = ngoma(site, &["serve", "--listen", "127.0.0.1:0"]).output().expect("it runs");
    let said = String::from_utf8_lossy(&start.stderr).into_owned();
    assert!(!start.status.success() && said.contains("is being restored from a backup"), "{step}: {said}");
    true
}

/// A folder in which a restore was cut off while it exchanged files, as soon as `is_so` is true of it.
fn cut_off(made: &Site, is_so: impl Fn(&dyn Fn(&str) -> bool) -> bool) -> TempDir {
    require_strace();
    for count in 1.. {
        let folder = tempfile::tempdir().expect("a folder");
        put(made, folder.path(), ".");
        assert!(is_killed_at(folder.path(), "rename", count), "it comes to its end, and was never so");
        let there = |name: &str| folder.path().join(name).exists();
        if there("ngoma.db.restoring") && is_so(&there) {
            return folder;
        }
    }
    unreachable!()
}

/// The sentence with which a restore says that it cannot do the rest. It changes nothing.
#[track_caller]
fn cannot_end(folder: &Path) -> String {
    let there = names(folder);
    let (code, out, err) = finish(&mut ngoma(folder, &["restore", "copy.db"]));
    assert_eq!((code, out.as_str(), names(folder)), (1, "", there), "{err}");
    assert!(err.contains("remove ") && err.contains("ngoma.db.restoring"), "what to do: {err}");
    let (code, _, said) = finish(&mut ngoma(folder, &["serve", "--listen", "127.0.0.1:0"]));
    assert!(code == 1 && said.contains("is being restored"), "no server starts: {said}");
    err
}

#[test]
fn a_restore_whose_prepared_database_is_gone_is_not_called_complete_and_no_server_starts_an_empty_one() {
    let (made, _) = two_states();
    for is_moved in [true, false] {
        let folder = cut_off(&made, |there| there("ngoma.db.restored") && there("ngoma.db") != is_moved);
        let folder = folder.path();
        fs::remove_file(folder.join("ngoma.db.restored")).expect("removed, to have more room");
        let said = cannot_end(folder);
        assert!(said.contains("ngoma.db.restored is not there any more"), "{said}");
        // As it says.
        for former in before(folder) {
            let told = said.contains(&format!("put the files of {} back", former.display()));
            assert_eq!(told, !names(&former).is_empty(), "{said}");
            for name in names(&former) {
                fs::rename(former.join(&name), folder.join(name)).expect("put back");
            }
            fs::remove_dir(former).expect("removed");
        }
        fs::remove_file(folder.join("ngoma.db.restoring")).expect("removed");
        let (code, out, err) = finish(&mut ngoma(folder, &["restore", "copy.db"]));
        assert_eq!((code, events(&folder.join("ngoma.db"))), (0, 1), "{out}{err}");
        let [kept] = before(folder).try_into().expect("one folder");
        assert_eq!(events(&kept.join("ngoma.db")), 2);
    }
}

#[test]
fn a_restore_whose_key_is_gone_is_not_called_complete_before_the_right_key_is_there() {
    let (made, _) = two_states();
    done(&made, &["key", "rotate"]);
    let folder = cut_off(&made, |there| there("ngoma.key.restored") && !there("ngoma.db.restored"));
    let folder = folder.path();
    fs::remove_file(folder.join("ngoma.key.restored")).expect("removed, as by a power cut");
    let said = cannot_end(folder);
    assert!(said.contains("ngoma.key") && said.contains("is not the key file of this database"), "{said}");
    fs::copy(folder.join("copy.db.key"), folder.join("ngoma.key")).expect("the right key");
    let (code, out, err) = finish(&mut ngoma(folder, &["restore", "copy.db"]));
    assert!(code == 0 && out.contains("is now complete"), "{out}{err}");
    assert_eq!(finish(&mut ngoma(folder, &["check"])).0, 0);
}

#[test]
fn before_files_are_exchanged_the_key_is_on_disk_also_in_a_folder_of_its_own() {
    require_strace();
    let (mut site, _) = two_states();
    let keys = site.folder().join("keys");
    fs::create_dir(&keys).expect("a folder");
    fs::rename(site.folder().join("ngoma.key"), keys.join("ngoma.key")).expect("moved");
    site.set("STORAGE__KEY_FILE", "keys/ngoma.key");
    done(&site, &["key", "rotate"]);
    let trace = site.folder().join("trace");
    let options = ["-f", "-qq", "-y", "-e", "trace=/sync|rename|openat", "-o", trace.to_str().expect("a path")];
    let (code, _, said) = finish(&mut site.under("strace", &options, &site.command_of(&["restore", "copy.db"])));
    assert_eq!(code, 0, "{said}");
    let trace = fs::read_to_string(trace).expect("a trace");
    let lines: Vec<&str> = trace.lines().collect();
    let note = lines.iter().position(|line| line.contains("rename(") && line.contains("ngoma.db.restoring.part"));
    let before = &lines[..note.expect("the note gets its name")];
    let made = before.iter().rposition(|line| line.contains("ngoma.key.restored") && line.contains("O_CREAT"));
    let synced = before.iter().rposition(|line| line.contains("sync(") && line.contains("/keys>"));
    assert!(made.is_some() && synced > made, "{before:#?}");
}

/// Halts a restore when it has looked for this file by this call, meanwhile kills another one at this rename, and then
/// lets the first go on. Returns whether the other was killed.
fn come_between(made: &Site, (call, looked_for): (&str, &str), count: usize) -> bool {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    put(made, folder, ".");
    let words = ["restore", "copy.db"];
    let first = Halted::after(folder, &words, &[looked_for], (call, 1)).expect("it looks for it");
    let is_killed = is_killed_at(folder, "rename", count);
    let is_cut_off = folder.join("ngoma.db.restoring").exists();
    let (code, said) = first.go_on();
    let step = format!("{call} of {looked_for}, rename {count}");
    assert!(!is_cut_off || code == 1, "{step}: {said}");
    let (code, out, err) = finish(&mut ngoma(folder, &words));
    assert_eq!((code, events(&folder.join("ngoma.db"))), (0, 1), "{step}: {out}{err}");
    let kept: Vec<_> = before(folder).into_iter().map(|folder| folder.join("ngoma.db")).collect();
    assert!(kept.iter().any(|kept| kept.exists() && events(kept) == 2), "{step}: the former one is kept: {kept:?}");
    let (code, _, said) = finish(&mut ngoma(folder, &["check"]));
    assert_eq!(code, 0, "{step}: {said}");
    is_killed
}

#[test]
fn a_restore_that_comes_between_spoils_nothing_of_one_that_was_cut_off() {
    let (made, _) = two_states();
    done(&made, &["key", "rotate"]);
    let looks = [("openat", "ngoma.db.restoring"), ("statx", "ngoma.db.restored"), ("openat", "ngoma.db.restored")];
    for look in looks {
        let killed = (1..).take_while(|count| come_between(&made, look, *count)).count();
        assert!(killed > 4, "{look:?}: {killed}");
    }
}

#[test]
fn a_restore_that_first_ends_another_prints_one_json_object_which_says_so() {
    let (made, _) = two_states();
    let folder = cut_off(&made, |there| there("ngoma.db.restored") && !there("ngoma.db"));
    let folder = folder.path();
    for name in ["copy.db", "copy.db.key"] {
        fs::copy(folder.join(name), folder.join(name.replace("copy", "other"))).expect("copied");
    }
    let (code, out, err) = finish(&mut ngoma(folder, &["restore", "other.db", "--json"]));
    assert_eq!(code, 0, "{err}");
    let said: serde_json::Value = serde_json::from_str(&out).expect("one JSON object");
    assert_eq!((&said["completed"], &said["file"]), (&json!(folder.join("copy.db")), &json!("other.db")));
    let (_, out, _) = finish(&mut ngoma(folder, &["restore", "other.db", "--json"]));
    let said: serde_json::Value = serde_json::from_str(&out).expect("one JSON object");
    assert_eq!(said["completed"], json!(null));
}
