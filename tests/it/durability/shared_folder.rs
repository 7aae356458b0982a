//! Files in the folder for backups that are not this server's: another server's backups, and what is no backup at all.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use rusqlite::Connection;

use super::own_backups::{DAY, after, backups, health, names, tried};
use crate::support::{
    browser::operator,
    database::query,
    metrics::metric,
    receiver::Receiver,
    site::{SECRET, Site},
    world::{START, Wish, World},
};

/// A server whose backups go to this folder from this time after the start on; it keeps one.
fn server_from(later: Duration, folder: &Path) -> World {
    let mut world = World::new();
    world.stop();
    world.config.backup.every = DAY;
    world.config.backup.keep = 1;
    world.config.backup.folder = folder.to_owned();
    world.clock.set(START + later);
    world.start();
    tried(&world, world.now());
    world
}

#[test]
fn two_servers_with_one_folder_for_backups_count_and_remove_only_their_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let one = World::with(|wish: &mut Wish| {
        wish.config.backup.every = DAY;
        wish.config.backup.keep = 1;
        wish.config.backup.folder = folder.path().to_owned();
    });
    tried(&one, START);
    let other = server_from(Duration::from_secs(3600), folder.path());
    let (of_one, of_other) = ("auto-2026-04-20T11-55-00Z.db", "auto-2026-04-20T12-55-00Z.db");
    let both = [of_one.to_owned(), format!("{of_one}.key"), of_other.to_owned(), format!("{of_other}.key")];
    assert_eq!(names(folder.path()), both, "the backup of one server is none of the other");
    after(&other, "24h");
    let left = names(folder.path());
    assert_eq!(left[..2], both[..2], "the other removes its own alone");
    assert_eq!((left.len(), left[2].as_str()), (4, "auto-2026-04-21T12-55-00Z.db"));
    // Nobody sees the backups of the other, nor takes them with their keys.
    let (page, taken) = (operator(&one).get("/ui/system").text, format!("/ui/system/backups/{}", left[2]));
    assert!(page.contains(of_one) && !page.contains(&left[2]), "{page}");
    assert_eq!(operator(&one).get(&taken).status, 404);
    assert_eq!(operator(&one).get(&format!("{taken}/key")).status, 404);
    fs::remove_file(folder.path().join(of_one)).expect("removed");
    assert_eq!(metric(&one, "ngoma_backup_age_seconds"), None);
    assert_eq!(health(&one).1, "there is no backup yet");
    assert_eq!(metric(&other, "ngoma_backup_age_seconds"), Some(0.0));
}

#[test]
fn servers_that_make_a_backup_in_the_same_second_get_one_each() {
    let folder = tempfile::tempdir().expect("a folder");
    let servers = [(); 3].map(|()| server_from(Duration::ZERO, folder.path()));
    let copies = |day: u32, seconds: [u32; 3]| -> Vec<String> {
        let copy = |second| format!("auto-2026-04-{day}T11-55-0{second}Z.db");
        seconds.map(copy).into_iter().flat_map(|copy| [copy.clone(), format!("{copy}.key")]).collect()
    };
    assert_eq!(names(folder.path()), copies(20, [0, 1, 2]));
    for server in &servers {
        assert_eq!(health(server), ("ok".to_owned(), "the last backup is less than an hour old".to_owned()));
        assert_eq!(metric(server, "ngoma_backup_age_seconds"), Some(0.0));
    }
    servers.iter().for_each(|server| after(server, "24h"));
    assert_eq!(names(folder.path()), copies(21, [0, 1, 2]), "each has removed its own of yesterday");
    // A person's name for a backup is never changed: it says so.
    let taken = folder.path().join("auto-2026-04-21T11-55-00Z.db");
    let refusal = servers[0].db().back_up(&servers[0].config.storage, &taken, drop).expect_err("it is there");
    assert!(refusal.to_string().contains("is there already: name another file"), "{refusal}");
}

/// Lets a server of the user 65534 make a backup in this folder. Root runs this.
fn back_up_in(folder: &Path) {
    let mut site = Site::new();
    site.set("BACKUP__FOLDER", folder.to_str().expect("a path")).set("LOG__LEVEL", "info");
    let files = names(site.folder()).into_iter().map(|name| site.folder().join(name));
    files.chain([site.folder().to_owned()]).for_each(|path| chown(path, Some(65534), Some(65534)).expect("given"));
    let server = site.start_by(site.command().env("NGOMA_BACKUP__EVERY", "24h").uid(65534).gid(65534));
    server.running.error_with(" backup");
    if server.running.has_said("no backup could be made") {
        panic!("{}", server.kill());
    }
    server.stop();
}

#[test]
fn what_a_server_of_another_user_is_writing_or_has_left_stays_and_stops_no_backup() {
    if fs::metadata("/proc/self").expect("Linux says so").uid() != 0 {
        return;
    }
    // Anybody may remove the files of others in the first folder, in the second only their own.
    for mode in [0o777, 0o1777] {
        let folder = tempfile::tempdir().expect("a folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).expect("set");
        let [written, left] = ["auto-2026-11-28T15-00-01Z.db.part", "auto-2026-11-28T15-00-02Z.db.part"];
        let make = |name: &str| {
            let path = folder.path().join(name);
            let file = File::create(&path).expect("a file");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("set");
            chown(&path, Some(65533), Some(65533)).expect("another's");
            file
        };
        let held = make(written);
        held.lock().expect("locked");
        drop(make(left));
        back_up_in(folder.path());
        let there = names(folder.path());
        assert_eq!((there.len(), &there[..2]), (4, &[written.to_owned(), left.to_owned()][..]), "{mode:o}: {there:?}");
    }
}

#[test]
fn all_that_a_backup_of_the_server_leaves_when_it_is_cut_off_is_removed_and_no_other_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let put = |name: &str| fs::write(folder.path().join(name), "a part").expect("written");
    let [cut_off, of_old, written, whole] = [1, 2, 3, 4].map(|second| format!("auto-2026-04-20T11-55-0{second}Z.db"));
    let beside = ["", "-journal", "-wal", "-shm"];
    // Cut off between its two names, with what SQLite keeps beside a file; and what an earlier version has left of that.
    beside.iter().for_each(|end| put(&format!("{cut_off}.part{end}")));
    [".key", ".damaged", ".key.part"].iter().for_each(|end| put(&format!("{cut_off}{end}")));
    beside[1..].iter().for_each(|end| put(&format!("{of_old}.part{end}")));
    // One is being written. The key of a copy that is elsewhere, and other programs' files.
    let others = [format!("{written}.key.part"), format!("{written}.part"), format!("{written}.part-journal")];
    let others = others.into_iter().chain([format!("{whole}.key"), "b.db.part".into(), "b.db.part-journal".into()]);
    let others: Vec<String> = others.collect();
    others.iter().for_each(|name| put(name));
    let held = File::open(folder.path().join(&others[1])).expect("there");
    held.lock().expect("locked");
    ngoma::store::make_folder(folder.path()).expect("made");
    assert_eq!(names(folder.path()), others);
}

#[test]
fn a_file_that_is_no_backup_of_this_database_counts_for_nothing() {
    let world = World::new();
    let folder = backups(&world);
    fs::create_dir(&folder).expect("a folder");
    let whole = world.folder().join("whole.db");
    world.db().back_up(&world.config.storage, &whole, drop).expect("a backup");
    let bytes = fs::read(&whole).expect("bytes");
    fs::write(folder.join("thumbs.db"), "").expect("written");
    fs::write(folder.join("2026-04-20T11-54-00Z.db"), "a backup").expect("written");
    fs::write(folder.join("auto-2026-04-20T11-53-00Z.db"), &bytes[..8192]).expect("a copy that broke off");
    fs::write(folder.join("auto-2026-04-20T11-52-00Z.db"), &bytes[..100]).expect("a copy that broke off at once");
    let photos = Connection::open(folder.join("photos.db")).expect("a file");
    photos
        .execute_batch("CREATE TABLE photo (name TEXT); CREATE TABLE audit (key INTEGER)")
        .expect("another program's");
    drop(photos);
    assert_eq!(metric(&world, "ngoma_backup_age_seconds"), None);
    assert!(operator(&world).get("/ui/system").text.contains("<dt>Last backup</dt><dd>none yet</dd>"));
    // A copy counts under any name, and as soon as it is whole.
    let mut copy = File::create(folder.join("thumbs.db")).expect("a file");
    copy.write_all(&bytes).expect("written");
    copy.set_modified(UNIX_EPOCH + Duration::from_secs(1_776_600_000)).expect("before now");
    // The metrics are read again then.
    world.advance("1m");
    assert!(metric(&world, "ngoma_backup_age_seconds").is_some());
    assert!(operator(&world).get("/ui/system").text.contains("<code>thumbs.db</code>"));
}

#[test]
fn a_database_of_version_0_1_keeps_its_backups_and_gets_a_mark_for_the_next() {
    let mut world = World::new();
    world.coop().webhook(&Receiver::new().url(), &["*"], SECRET);
    let former = "auto-2026-04-20T11-55-00Z.db";
    fs::create_dir(backups(&world)).expect("a folder");
    world.db().back_up(&world.config.storage, &backups(&world).join(former), drop).expect("a backup");
    world.stop();
    // Version 0.1 did not note the key of a database.
    for file in [world.database(), backups(&world).join(former)] {
        let conn = Connection::open(file).expect("the file");
        assert_eq!(conn.execute("DELETE FROM audit WHERE action = 'key.made'", []).expect("removed"), 1);
        conn.close().expect("closed");
    }
    world.start();
    assert_eq!(metric(&world, "ngoma_backup_age_seconds"), Some(0.0), "the former one counts");
    assert_eq!(query::<usize>(&world, "SELECT count(*) FROM audit WHERE action = 'key.made'"), 1);
    world.stop();
    world.config.backup.every = DAY;
    world.config.backup.keep = 1;
    world.clock.set(START + Duration::from_secs(3600));
    world.start();
    tried(&world, world.now());
    after(&world, "24h");
    let left = names(&backups(&world));
    let copies: Vec<&String> = left.iter().filter(|name| name.ends_with(".db")).collect();
    let newest = "auto-2026-04-21T12-55-00Z.db";
    assert_eq!(copies, [former, newest], "nobody can say whose the former one is: it stays");
}
