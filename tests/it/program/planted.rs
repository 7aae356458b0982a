//! What the service's user puts in the way of root's commands gives this user nothing of root's or of others.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink},
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use rusqlite::Connection;

use super::owners::{give, user};
use crate::support::{
    program::{finish, ngoma},
    site::{SECRET, Site},
    strace::require_strace,
};

/// Another user of the machine.
const OTHER: u32 = 65533;

/// Whether root runs the stories: nobody else can make files of several users.
fn is_root() -> bool {
    user() == 65534
}

/// A stopped site with a signing secret, whose folder and files belong to this user alone.
fn site_of(owner: u32) -> Site {
    let site = Site::new();
    let server = site.start();
    server.coop().webhook("http://127.0.0.1:9/", &["*"], SECRET);
    server.stop();
    give(site.folder());
    for file in fs::read_dir(site.folder()).expect("a folder").flatten().map(|file| file.path()) {
        chown(file, Some(owner), Some(owner)).expect("given");
    }
    chown(site.folder(), Some(owner), Some(owner)).expect("given");
    site
}

/// A link that this user makes, in the place of what is there.
fn link(owner: u32, to: &Path, at: &Path) {
    let _ = fs::remove_file(at);
    symlink(to, at).expect("linked");
    lchown(at, Some(owner), Some(owner)).expect("given");
}

/// The sentence with which a command of root fails; it leaves nothing in the site's folder.
#[track_caller]
fn refused(site: &Site, words: &[&str]) -> String {
    let is_of_log = |name: &String| name.starts_with("ngoma.db-");
    let there = || names(site.folder()).into_iter().filter(|name| !is_of_log(name)).collect::<Vec<_>>();
    let was = there();
    let (code, out, said) = finish(&mut site.command_of(words));
    assert_eq!((code, out.as_str()), (1, ""), "{words:?}: {said}");
    assert_eq!(there(), was, "{words:?}");
    said
}

fn names(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).expect("a folder").flatten();
    let mut names: Vec<String> = files.map(|file| file.file_name().into_string().expect("a name")).collect();
    names.sort();
    names
}

fn owner(path: &Path) -> (u32, u32) {
    path.symlink_metadata().map(|file| (file.uid(), file.mode() & 0o777)).expect("it is there")
}

#[test]
fn a_backup_of_root_copies_no_database_and_no_key_that_the_servers_user_cannot_read() {
    if !is_root() {
        return;
    }
    let (site, other) = (site_of(user()), site_of(OTHER));
    let there = names(other.folder());
    let at = |name: &str| site.folder().join(name);
    // First the key alone: while a large database is copied, it could be read from the part of the backup.
    let key = fs::read(at("ngoma.key")).expect("a key");
    link(user(), &other.folder().join("ngoma.key"), &at("ngoma.key"));
    let said = refused(&site, &["backup", "copy.db"]);
    assert!(said.contains("ngoma.key cannot be read: Permission denied"), "{said}");
    fs::remove_file(at("ngoma.key")).expect("removed");
    fs::write(at("ngoma.key"), key).expect("written");
    let elsewhere = tempfile::tempdir().expect("a folder of root's");
    let copy = elsewhere.path().join("copy.db");
    for files in [&["ngoma.db"][..], &["ngoma.db", "ngoma.key"]] {
        files.iter().for_each(|name| link(user(), &other.folder().join(name), &at(name)));
        for file in ["copy.db", copy.to_str().expect("a path")] {
            let said = refused(&site, &["backup", file]);
            for part in ["Permission denied", "act as user 65534, who has made the link", "/ngoma.db"] {
                assert!(said.contains(part), "{said}");
            }
        }
    }
    assert_eq!(names(elsewhere.path()), [""; 0]);
    assert_eq!(names(other.folder()), there, "the other's log too is as it was");
}

#[test]
fn a_backup_of_root_follows_no_link_of_another_user_behind_a_link_of_roots() {
    if !is_root() {
        return;
    }
    let (mut site, other) = (site_of(user()), site_of(OTHER));
    let of_root = tempfile::tempdir().expect("a folder of root's");
    fs::set_permissions(of_root.path(), fs::Permissions::from_mode(0o755)).expect("set");
    for name in ["ngoma.db", "ngoma.key"] {
        symlink(site.folder().join(name), of_root.path().join(name)).expect("root's link");
    }
    site.set("STORAGE__PATH", of_root.path().join("ngoma.db").to_str().expect("a path"));
    site.set("STORAGE__KEY_FILE", of_root.path().join("ngoma.key").to_str().expect("a path"));
    let (code, _, said) = finish(&mut site.command_of(&["backup", "good.db"]));
    assert_eq!((code, owner(&site.folder().join("good.db"))), (0, (user(), 0o600)), "{said}");
    for name in ["ngoma.db", "ngoma.key"] {
        link(user(), &other.folder().join(name), &site.folder().join(name));
    }
    assert!(refused(&site, &["backup", "copy.db"]).contains("who has made the link"));
}

#[test]
fn a_backup_of_root_goes_into_anybodys_folder_and_belongs_to_its_owner() {
    if !is_root() {
        return;
    }
    let site = site_of(user());
    for to in [OTHER, 0] {
        let folder = tempfile::tempdir().expect("a folder");
        chown(folder.path(), Some(to), Some(to)).expect("given");
        let copy = folder.path().join("copy.db");
        let (code, _, said) = finish(&mut site.command_of(&["backup", copy.to_str().expect("a path")]));
        assert_eq!(code, 0, "{said}");
        assert_eq!(names(folder.path()), ["copy.db", "copy.db.key"]);
        for file in [&copy, &folder.path().join("copy.db.key")] {
            assert_eq!(owner(file), (to, 0o600));
        }
    }
    assert!(names(site.folder()).iter().all(|name| owner(&site.folder().join(name)).0 == user()));
}

#[test]
fn a_backup_of_root_writes_into_no_file_that_somebody_puts_in_the_place_of_its_part() {
    if !is_root() {
        return;
    }
    require_strace();
    let site = site_of(user());
    let precious = tempfile::tempdir().expect("a folder of root's");
    let precious = precious.path().join("precious.db");
    Connection::open(&precious).expect("a file").execute_batch("CREATE TABLE precious (name TEXT)").expect("made");
    let was = fs::read(&precious).expect("bytes");
    // A folder of the server's user, and one of root's in which others may write too.
    for to in [user(), 0] {
        let folder = tempfile::tempdir().expect("a folder");
        chown(folder.path(), Some(to), Some(to)).expect("given");
        let [part, key, planted] = ["copy.db.part", "copy.db.key.part", "planted"].map(|name| folder.path().join(name));
        link(user(), &precious, &planted);
        let stop = Arc::<AtomicBool>::default();
        let stopped = Arc::clone(&stop);
        let planting = thread::spawn(move || {
            // Before, the part is not locked yet, and what was planted is removed.
            while !key.exists() && !stopped.load(Ordering::SeqCst) {}
            fs::rename(planted, part).is_ok()
        });
        let copy = folder.path().join("copy.db");
        let command = site.command_of(&["backup", copy.to_str().expect("a path")]);
        // The key is on disk before the copy is opened: that takes a while here, as on a slow disk.
        let slow = ["-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync", "-e", "inject=fsync:delay_enter=300000"];
        let (code, _, said) = finish(&mut site.under("strace", &slow, &command));
        stop.store(true, Ordering::SeqCst);
        assert!(planting.join().expect("no panic"));
        assert_eq!(fs::read(&precious).expect("bytes"), was, "root's database is as it was: {said}");
        assert!(code == 1 && said.contains("copy.db.part was removed or replaced"), "{to}: {code} {said}");
    }
}

#[test]
fn a_restore_of_root_reads_no_backup_and_no_key_that_the_owner_of_their_place_cannot_read() {
    if !is_root() {
        return;
    }
    let (site, other) = (site_of(user()), site_of(OTHER));
    let (at, of_other) = (|name: &str| site.folder().join(name), |name: &str| other.folder().join(name));
    link(user(), &of_other("ngoma.db"), &at("linked.db"));
    link(user(), &of_other("ngoma.key"), &at("linked.db.key"));
    let said = refused(&site, &["restore", "linked.db"]);
    for part in ["linked.db", "Permission denied", "act as user 65534, who has made the link"] {
        assert!(said.contains(part), "{said}");
    }
    let (code, _, said) = finish(&mut site.command_of(&["backup", "copy.db"]));
    assert_eq!(code, 0, "{said}");
    let good = fs::read(at("copy.db.key")).expect("a key");
    link(user(), &of_other("ngoma.key"), &at("copy.db.key"));
    assert!(refused(&site, &["restore", "copy.db"]).contains("copy.db.key cannot be read: Permission denied"));
    // A file of root's in the folder, as a careless copy by root: the refusal says what to do.
    fs::remove_file(at("copy.db.key")).expect("removed");
    fs::write(at("copy.db.key"), good).expect("written");
    fs::set_permissions(at("copy.db.key"), fs::Permissions::from_mode(0o600)).expect("set");
    let said = refused(&site, &["restore", "copy.db"]);
    assert!(said.contains("who owns the folder") && said.contains("give the file to this user"), "{said}");
    chown(at("copy.db.key"), Some(user()), None).expect("given");
    let (code, _, said) = finish(&mut site.command_of(&["restore", "copy.db"]));
    assert_eq!(code, 0, "{said}");
}

#[test]
fn a_restore_that_a_link_leads_into_a_folder_of_roots_names_the_link_and_who_has_made_it() {
    if !is_root() {
        return;
    }
    let site = site_of(user());
    let of_root = tempfile::tempdir().expect("a folder of root's");
    let (code, _, said) = finish(&mut site.command_of(&["backup", "copy.db"]));
    assert_eq!(code, 0, "{said}");
    fs::set_permissions(of_root.path(), fs::Permissions::from_mode(0o755)).expect("set");
    fs::write(of_root.path().join("victim"), "root's").expect("written");
    link(user(), &of_root.path().join("victim"), &site.database());
    let said = refused(&site, &["restore", "copy.db"]);
    for part in ["Permission denied", "act as user 65534, who has made the link", "ngoma.db"] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(names(of_root.path()), ["victim"]);
}

#[test]
fn where_there_is_no_database_yet_root_acts_as_the_owner_of_the_folder() {
    require_strace();
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    give(folder.path());
    let list = ngoma(folder.path(), &["account", "list"]);
    let mut traced = Command::new("strace");
    traced.args(["-f", "-qq", "-e", "trace=setresuid"]).current_dir(folder.path());
    let (code, _, said) = finish(traced.arg(list.get_program()).args(list.get_args()));
    assert!(code == 1 && said.contains("there is no database"), "{said}");
    assert!(said.contains("setresuid(65534, 65534, 65534)"), "{said}");
}
