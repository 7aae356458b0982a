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
pub(super) fn user() -> u32 {
    let root = fs::metadata("/proc/self").expect("Linux says so").uid() == 0;
    if root { 65534 } else { fs::metadata("/proc/self").expect("Linux says so").uid() }
}

/// Gives a folder and everything in it to the server's user.
pub(super) fn give(folder: &Path) {
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
    for made in ["keys", "keys/of", key] {
        assert_eq!(fs::metadata(folder.path().join(made)).expect("it is there").uid(), user(), "{made}");
    }
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

#[test]
fn after_the_command_of_a_warning_about_a_secret_the_servers_user_can_still_read_its_settings() {
    if user() != 65534 {
        return;
    }
    let site = Site::new();
    let file = site.folder().join("my settings.toml");
    fs::write(&file, "[[alerts.channel]]\nkind = \"slack\"\nurl = \"https://hooks.example/secret\"\n")
        .expect("written");
    give(site.folder());
    start(&site).kill();
    chown(&file, Some(0), Some(0)).expect("root's, as the file of a package");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("set");
    let check = |site: &Site| {
        let mut check = site.command_of(&["check"]);
        finish(as_user(check.env("NGOMA_CONFIG", &file)))
    };
    let (code, out, _) = check(&site);
    assert_eq!(code, 0, "{out}");
    let command = out.split_once("may read it: run '").and_then(|(_, rest)| rest.split_once("', or put"));
    let command = command.expect("what to do").0;
    // In any folder.
    assert!(
        Command::new("sh").args(["-c", command]).current_dir("/").status().expect("sh runs").success(),
        "{command}"
    );
    let (code, out, _) = check(&site);
    assert_eq!((code, out.contains("everybody may read")), (0, false), "{out}");
    let other = fs::metadata(&file).expect("it is there").permissions().mode() & 0o007;
    assert_eq!(other, 0, "nobody else may read it");
}

/// The users, groups and supplementary groups of each thread of a process.
fn identities(process: u32) -> Vec<[String; 3]> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("it runs").flatten();
    let statuses = tasks.map(|task| fs::read_to_string(task.path().join("status")).expect("a thread"));
    let line = |status: &str, name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux says so");
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    statuses.map(|status| ["Uid:", "Gid:", "Groups:"].map(|name| line(&status, name))).collect()
}

#[test]
fn a_command_of_root_acts_as_the_owner_of_the_database_in_each_of_its_threads() {
    const GROUP: u32 = 65533;
    if user() != 65534 {
        return;
    }
    let site = Site::new();
    give(site.folder());
    let receiver = Receiver::new();
    let server = start(&site);
    server.coop().webhook(&receiver.url(), &["*"], SECRET);
    server.coop().publish("dds.filed", json!({ "n": 1 }));
    receiver.wait_for(1);
    server.kill();
    chown(site.database(), None, Some(GROUP)).expect("its group");
    let mut follow = Running::start(&mut site.command_of(&["deliveries", "--follow"]));
    follow.line_with("dlv_");
    let found = identities(follow.id());
    assert!(found.len() > 1, "it has threads");
    for [user, group, groups] in found {
        // The real, the effective, the saved one and that for files: it can never be root again.
        assert_eq!(user, ["65534"; 4].join(" "));
        assert_eq!(group, ["65533"; 4].join(" "));
        assert_eq!(groups, "");
    }
}

#[test]
fn sudo_ngoma_finds_the_service_and_acts_for_it() {
    let (site, home) = (Site::new(), tempfile::tempdir().expect("a folder"));
    give(site.folder());
    // The files of the service, as its package lays them out: only this command sees them.
    let script = "mount -t tmpfs none /etc && mkdir /etc/ngoma && umask 077 && \
                  printf '[storage]\npath = \"%s/ngoma.db\"\nkey_file = \"%s/ngoma.key\"\n' $DATA $DATA > /etc/ngoma/config.toml && \
                  exec \"$@\"";
    let root = |words: &[&str]| {
        let inner = ngoma(home.path(), words);
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", script, "sh"]).arg(inner.get_program()).args(words);
        let (code, out, err) = finish(command.current_dir(home.path()).env("DATA", site.folder()));
        assert_eq!(code, 0, "{words:?}: {err}");
        out
    };
    let shown = root(&["token", "create", "--scope", "operator"]);
    assert!(shown.starts_with("ngm_"), "{shown}");
    assert!(root(&["token", "list"]).contains("operator"));
    root(&["account", "create", "--profile", "asg", "--id", "CUST-9"]);
    assert_eq!(foreign(site.folder()), [""; 0]);
    let copy = home.path().join("copy.db");
    root(&["backup", copy.to_str().expect("a path")]);
    assert!(copy.exists(), "a backup goes where root may write");
    start(&site).stop();
}

#[test]
fn sudo_does_not_obey_the_settings_that_somebody_else_has_put_into_a_folder() {
    if user() != 65534 {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("config.toml");
    let log = "[log]\nlevel = \"nothing\"\n";
    fs::write(&file, log).expect("written");
    give(folder.path());
    let listed = |sudoer: Option<&str>, words: &[&str]| {
        let mut list = ngoma(folder.path(), words);
        list.env_remove("NGOMA_LOG__LEVEL").envs(sudoer.map(|user| ("SUDO_UID", user)));
        finish(&mut list).2
    };
    let refusal = listed(Some("65533"), &["account", "list"]);
    assert!(refusal.starts_with("ngoma: config.toml of this folder belongs to user 65534"), "{refusal}");
    for (sudoer, words) in [
        (Some("65534"), &["account", "list"][..]),
        (None, &["account", "list"]),
        (Some("65533"), &["account", "list", "--config", "config.toml"]),
    ] {
        assert!(listed(sudoer, words).contains("log.level"), "{words:?}: the file is used");
    }
}

#[test]
fn a_database_of_root_below_somebody_elses_folder_is_used_by_root() {
    if user() != 65534 {
        return;
    }
    let home = tempfile::tempdir().expect("a folder");
    chown(home.path(), Some(user()), None).expect("somebody's");
    let site = Site::within(home.path());
    site.start().kill();
    for words in [&["account", "list"][..], &["backup", "copy.db"], &["restore", "copy.db"], &["token", "list"]] {
        let (code, _, said) = finish(&mut site.command_of(words));
        assert_eq!(code, 0, "{words:?}: {said}");
    }
    site.start().kill();
}

#[test]
fn root_reads_no_secret_for_settings_of_a_user_who_cannot_read_it() {
    if user() != 65534 {
        return;
    }
    let (folder, of_root) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder of root's"));
    let secret = of_root.path().join("smtp_url");
    fs::write(&secret, "smtp://ngoma:hidden@mail.example").expect("written");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("set");
    let settings = folder.path().join("config.toml");
    fs::write(&settings, format!("[alerts]\nsmtp_url_file = \"{}\"\n", secret.display())).expect("written");
    let test = || finish(&mut ngoma(folder.path(), &["alerts", "test"]));
    give(folder.path());
    let (code, _, said) = test();
    assert!(code == 1 && said.contains("root does not read it for them"), "{said}");
    chown(&settings, Some(0), None).expect("root's settings");
    assert!(!test().2.contains("root does not read it"), "root's own settings");
}

#[test]
fn what_the_owner_cannot_use_is_named_with_the_user_as_whom_root_acts() {
    if user() != 65534 {
        return;
    }
    let site = Site::new();
    give(site.folder());
    let key = site.folder().join("ngoma.key");
    chown(&key, Some(0), None).expect("taken");
    let (code, _, said) = finish(&mut site.command_of(&["token", "list"]));
    assert_eq!(code, 1, "{said}");
    for part in ["ngoma.key", "ermission denied", "act as the owner of the database, user 65534"] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn a_user_who_may_not_look_at_the_database_is_told_so_and_to_use_sudo() {
    if user() != 65534 {
        return;
    }
    let site = Site::new();
    give(site.folder());
    // A folder that nobody else may enter, and a file that nobody else may read.
    for mode in [0o700, 0o755] {
        fs::set_permissions(site.folder(), fs::Permissions::from_mode(mode)).expect("set");
        let mut list = ngoma(Path::new("/"), &["token", "list"]);
        let (code, _, said) = finish(list.env("NGOMA_STORAGE__PATH", site.database()).uid(65533));
        assert_eq!(code, 1, "{said}");
        for part in ["ngoma.db", "ermission denied", "run this with sudo"] {
            assert!(said.contains(part), "{said}");
        }
        assert!(!said.contains("there is no database"), "{said}");
    }
}

#[test]
fn where_the_data_of_a_service_are_a_check_asks_for_sudo_and_a_start_says_how_to_try_ngoma_beside_it() {
    if user() != 65534 {
        return;
    }
    let site = Site::new();
    give(site.folder());
    fs::set_permissions(site.folder(), fs::Permissions::from_mode(0o700)).expect("set");
    for (words, part) in [
        (&["check"] as &[&str], "run this with sudo"),
        (&["serve", "--dev"], "in a folder with a config.toml of its own"),
    ] {
        let mut command = ngoma(Path::new("/"), words);
        let (code, _, said) = finish(command.env("NGOMA_STORAGE__PATH", site.database()).uid(65533));
        assert_eq!((code, said.lines().count()), (1, 1), "{said}");
        assert!(said.contains("ngoma.db") && said.contains(part), "{said}");
    }
}
