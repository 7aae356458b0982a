//! Files made by root's commands belong to the server's user, who runs the server afterwards.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::Path,
    process::Command,
};

use serde_json::json;

use crate::support::{
    program::{Running, finish, ngoma},
    receiver::Receiver,
    site::{SECRET, Server, Site},
};

/// The server's user. Where the stories are not run by root it is their own user: then nothing changes hands.
fn user() -> u32 {
    let root = fs::metadata("/proc/self").expect("Linux says so").uid() == 0;
    if root { 65534 } else { fs::metadata("/proc/self").expect("Linux says so").uid() }
}

/// Gives a folder and everything in it to the server's user.
fn give(folder: &Path) {
    let owner = |path: &Path| chown(path, Some(user()), None).expect("given");
    owner(folder);
    fs::read_dir(folder).expect("a folder").flatten().for_each(|file| owner(&file.path()));
}

/// The files of a folder that belong to another user than the server's.
fn foreign(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).expect("a folder").flatten();
    let foreign = files.filter(|file| file.metadata().expect("it is there").uid() != user());
    foreign.map(|file| file.file_name().to_string_lossy().into_owned()).collect()
}

/// As the server's user.
fn as_user(command: &mut Command) -> &mut Command {
    command.uid(user())
}

fn start(site: &Site) -> Server {
    site.start_by(as_user(&mut site.command()))
}

/// A command as the user who runs the stories; it must do well.
#[track_caller]
fn command(site: &Site, words: &[&str]) {
    let (code, _, said) = finish(&mut site.command_of(words));
    assert_eq!(code, 0, "{words:?}: {said}");
    assert_eq!(foreign(site.folder()), [""; 0], "{words:?}");
}

#[test]
fn after_any_command_of_root_the_servers_user_can_serve() {
    let site = Site::new();
    give(site.folder());
    let receiver = Receiver::new();
    let server = start(&site);
    server.coop().webhook(&receiver.url(), &["*"], SECRET);
    server.coop().publish("dds.filed", json!({ "n": 1 }));
    receiver.wait_for(1);
    server.kill();
    let key = site.folder().join("ngoma.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o400)).expect("set");
    for words in [
        &["key", "rotate"][..],
        &["account", "list"],
        &["token", "create", "--scope", "operator"],
        &["check"],
        &["backup", "copy.db"],
        &["deliveries"],
        &["recover", "--since", "1h", "--yes"],
    ] {
        command(&site, words);
    }
    assert_eq!(fs::metadata(&key).expect("it is there").permissions().mode() & 0o777, 0o400);
    let server = start(&site);
    server.coop().publish("dds.filed", json!({ "n": 2 }));
    receiver.wait_for(2);
    // While it serves, too.
    command(&site, &["key", "rotate"]);
    command(&site, &["account", "list"]);
    server.coop().publish("dds.filed", json!({ "n": 3 }));
    receiver.wait_for(3);
    server.stop();
}

#[test]
fn files_that_root_makes_first_belong_to_the_owner_of_the_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    give(folder.path());
    let keys = "NGOMA_STORAGE__KEY_FILE";
    let key = "keys/of/ngoma.key";
    let mut make = ngoma(folder.path(), &["account", "create", "--profile", "asg", "--id", "X"]);
    assert_eq!(finish(make.env(keys, key)).0, 0);
    assert_eq!(foreign(folder.path()), [""; 0]);
    for made in ["keys", "keys/of", key] {
        assert_eq!(fs::metadata(folder.path().join(made)).expect("it is there").uid(), user(), "{made}");
    }
    // A server that root runs, and that ends at once, leaves its log and its index.
    let serve = || {
        let mut serve = ngoma(folder.path(), &["serve", "--listen", "127.0.0.1:0"]);
        serve.env(keys, key);
        serve
    };
    let mut server = Running::start(&mut serve());
    server.line_with("address");
    server.log();
    assert!(folder.path().join("ngoma.db-wal").exists());
    assert_eq!(foreign(folder.path()), [""; 0]);
    let mut server = Running::start(as_user(&mut serve()));
    server.line_with("address");
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    let backups = folder.path().join("of/dashboard/backups");
    ngoma::store::make_folder(&backups).expect("made");
    assert!(backups.ancestors().take(3).all(|made| fs::metadata(made).expect("it is there").uid() == user()));
}

#[test]
fn check_warns_root_of_files_that_the_servers_user_does_not_own() {
    let site = Site::new();
    site.start().kill();
    give(site.folder());
    command(&site, &["check"]);
    if user() != 65534 {
        return;
    }
    for name in ["ngoma.db", "ngoma.db-wal", "ngoma.db-shm", "ngoma.key"] {
        let file = site.folder().join(name);
        chown(&file, Some(0), None).expect("taken");
        let (code, _, said) = finish(as_user(&mut site.command_of(&["check"])));
        assert!(code == 1 && said.contains(name), "{name}: {said}");
        let (code, _, said) = finish(&mut site.command_of(&["check"]));
        assert!(code == 1 && said.contains("chown --reference=") && said.contains(name), "{name}: {said}");
        chown(&file, Some(user()), None).expect("given back");
    }
    command(&site, &["check"]);
}
