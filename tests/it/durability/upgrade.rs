//! Versions: which one runs, and how a start brings an older database up to date.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Command,
};

use rusqlite::{Connection, OpenFlags};

use crate::support::{
    aging::age,
    program::{Running, finish, ngoma, run},
    small_disk::SmallDisk,
    world::World,
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// A user id that owns no file.
const NOBODY: u32 = 65534;

/// The migrations there are, in their order.
fn migrations() -> Vec<String> {
    let folder = Path::new(ROOT).join("src/store/migrations");
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).expect("a folder").map(|file| file.expect("one").path()).collect();
    files.sort();
    files.iter().map(|file| fs::read_to_string(file).expect("a text")).collect()
}

/// Makes a database of the version before the last change of the schema, with an account and this many bytes of events.
/// Returns the number of its schema.
fn old_database(path: &Path, bytes: usize) -> usize {
    let mut steps = migrations();
    steps.pop();
    let conn = Connection::open(path).expect("a file");
    let marks = "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA application_id = 0x4E676F6D; PRAGMA journal_mode = WAL;";
    conn.execute_batch(marks).expect("set");
    conn.execute_batch(&steps.concat()).expect("an old schema");
    // The journal of the many statements must not take the room that a story leaves.
    conn.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").expect("one file again");
    conn.pragma_update(None, "user_version", steps.len()).expect("set");
    let rows = "INSERT INTO account (key, id, profile, created_at) VALUES (1, 'COOP-OLD', 'asilichain', 0);
                INSERT INTO event (id, account, kind, body, accepted_at) VALUES (randomblob(16), 1, 'k', '{}', 0)";
    conn.execute_batch(rows).expect("written");
    conn.execute("UPDATE event SET body = hex(zeroblob(?))", [bytes / 2]).expect("written");
    steps.len()
}

fn look<T: rusqlite::types::FromSql>(file: &Path, sql: &str) -> T {
    let conn = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("the file");
    conn.query_row(sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

fn serve(folder: &Path) -> Running {
    let mut serve = ngoma(folder, &["serve", "--listen", "127.0.0.1:0"]);
    let mut server = Running::start(serve.env("NGOMA_LOG__LEVEL", "info"));
    server.line_with("alerts");
    server
}

#[test]
fn a_start_that_changes_the_schema_says_so_and_keeps_a_copy_of_the_old_database() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = folder.path().join("ngoma.db");
    let was = old_database(&database, 0);
    for file in [folder.path(), &database] {
        chown(file, Some(NOBODY), Some(NOBODY)).expect("run the suite as root");
    }
    let (code, _, said) = run(folder.path(), &["token", "list"]);
    assert!(code == 1 && said.contains("start the server once"), "no command changes it: {said}");
    let log = serve(folder.path()).log();
    let copy = folder.path().join(format!("ngoma.db.before-{was}"));
    assert!(log.contains(&format!("from schema {was} to schema {}", was + 1)), "{log}");
    assert!(log.contains(&format!("ngoma.db.before-{was}")), "{log}");
    assert_eq!(look::<usize>(&copy, "PRAGMA user_version"), was);
    assert_eq!(look::<String>(&copy, "PRAGMA integrity_check"), "ok");
    assert_eq!(look::<usize>(&database, "PRAGMA user_version"), was + 1);
    for file in [&copy, &database] {
        assert_eq!(look::<String>(file, "SELECT id FROM account"), "COOP-OLD");
        let file = fs::metadata(file).expect("a file");
        assert_eq!((file.uid(), file.gid(), file.permissions().mode() & 0o777), (NOBODY, NOBODY, 0o600));
    }
    let log = serve(folder.path()).log();
    assert!(!log.contains("schema"), "only once: {log}");
    let mut names: Vec<String> = fs::read_dir(folder.path())
        .expect("a folder")
        .map(|file| file.expect("one").file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains("before"))
        .collect();
    names.sort();
    assert_eq!(names, [format!("ngoma.db.before-{was}")], "and nothing beside it");
}

#[test]
fn without_room_for_it_no_copy_is_made_and_the_start_says_why() {
    let disk = SmallDisk::new();
    let database = disk.folder().join("ngoma.db");
    // Its 2 MB hold the database and the change itself, but not a copy of the database too.
    fs::remove_file(disk.ballast()).expect("removed");
    let was = old_database(&database, 520 << 10);
    let log = serve(disk.folder()).log();
    assert!(log.contains("no copy of the database is made") && log.contains("free"), "{log}");
    assert!(!disk.folder().join(format!("ngoma.db.before-{was}")).exists());
    assert_eq!(look::<usize>(&database, "PRAGMA user_version"), was + 1, "it starts all the same");
}

#[test]
fn the_copy_goes_after_a_week_of_service_and_no_sooner() {
    let mut was = 0;
    let world = World::with(|wish| was = old_database(&wish.config.storage.path, 0));
    let copy = world.folder().join(format!("ngoma.db.before-{was}"));
    assert!(copy.exists());
    age(&world, "1h");
    age(&world, "6d 22h");
    assert!(copy.exists(), "an hour is missing");
    age(&world, "1h");
    assert!(!copy.exists());
    assert!(world.database().exists());
}

/// Git's commit of the project's folder, if it is a checkout.
fn commit() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(["-C", ROOT]).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    git(&["rev-parse", "--show-prefix"]).filter(String::is_empty)?;
    Some(format!(" (commit {})", git(&["show", "-s", "--abbrev=7", "--format=%h, %cs", "HEAD"])?))
}

#[test]
fn the_program_a_start_and_its_log_name_version_and_commit() {
    let folder = tempfile::tempdir().expect("a folder");
    let version = format!("ngoma {VERSION}{}", commit().unwrap_or_default());
    assert_eq!(run(folder.path(), &["--version"]).1.trim(), version);
    let mut server = serve(folder.path());
    assert!(server.seen.contains(&format!("{version} is ready")), "{:?}", server.seen);
    let log = server.log();
    assert!(log.contains(&version), "{log}");
}

#[test]
fn a_build_outside_a_checkout_names_the_version_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("build");
    let mut rustc = Command::new("rustc");
    rustc.args(["--edition", "2024", "-o"]).arg(&program).arg(Path::new(ROOT).join("src/build.rs"));
    let (code, _, said) = finish(&mut rustc);
    assert_eq!(code, 0, "{said}");
    let build = |folder: &Path| {
        let mut build = Command::new(&program);
        build.current_dir(folder).env("CARGO_PKG_VERSION", "1.2.3").env("CARGO_MANIFEST_DIR", folder);
        let (code, said, _) = finish(&mut build);
        assert_eq!(code, 0, "{said}");
        said
    };
    let git = |folder: &Path, arguments: &[&str]| {
        let names = ["-c", "user.name=a", "-c", "user.email=a@b.example"];
        let (code, _, said) = finish(Command::new("git").arg("-C").arg(folder).args(names).args(arguments));
        assert_eq!(code, 0, "{said}");
    };
    let alone = "cargo::rustc-env=NGOMA_VERSION=1.2.3\n";
    let outside = folder.path().join("outside");
    fs::create_dir(&outside).expect("a folder");
    assert!(build(&outside).contains(alone));
    let inside = folder.path().join("inside");
    fs::create_dir_all(inside.join("vendor")).expect("a folder");
    git(&inside, &["init", "--quiet"]);
    assert!(build(&inside).contains(alone), "no commit yet");
    git(&inside, &["commit", "--quiet", "--allow-empty", "--message", "one"]);
    assert!(build(&inside.join("vendor")).contains(alone), "the commit of another project is not ours");
    let said = build(&inside);
    assert!(said.contains("NGOMA_VERSION=1.2.3 (commit "), "{said}");
    // A missing file would make every build begin anew.
    let watched: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("cargo::rerun-if-changed=")).collect();
    assert!(
        watched.len() > 1 && watched.iter().all(|file| inside.join(file).exists() || *file == "src/build.rs"),
        "{said}"
    );
}
