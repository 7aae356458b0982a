//! The checks of `ngoma check`: files that would prevent a start, damage in the database, event bodies and secrets that
//! cannot be read. It changes nothing, not even the files beside the database.

use std::{
    fs,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::Path,
    time::SystemTime,
};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rusqlite::{Connection, OpenFlags};

use super::{
    KeyRing, checksum,
    files::{self, beside, folder_of},
    key_mark,
    keyring::{sealed, select_sealed},
    open::{self, BUSY_TIMEOUT_MS},
    schema::MIGRATIONS,
    schema_check,
};
use crate::{clock::Stopwatch, config::Storage, domain::ids::EndpointId};

/// Characters of a path that stay as they are in a URI.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.');
/// SQLite's steps between two reports of progress: some milliseconds.
const STEPS: i32 = 1_000_000;
/// Damaged rows that are named one by one.
const NAMED: usize = 100;

/// The result of a check.
#[derive(Debug, Default)]
pub struct Found {
    /// Problems that prevent a start, and damage: a sentence each.
    pub problems: Vec<String>,
    /// What a start mends by itself: a sentence each.
    pub warnings: Vec<String>,
    /// A remark about a healthy database, ready to follow its path in a sentence.
    pub note: String,
}

/// Checks the files, the whole database, each event body and each secret. With `quick`, indexes are not compared with
/// their tables. `progress` gets a line for a terminal now and then.
pub fn check(storage: &Storage, quick: bool, progress: impl Fn(&str) + Clone + Send + 'static) -> Found {
    let mut found = Found::default();
    found.problems.extend(files::expect_whole(storage).err().map(|error| error.to_string()));
    found.problems.append(&mut files_of(storage));
    let wide = files::of_database(&storage.path).into_iter();
    found
        .warnings
        .extend(wide.filter_map(|file| Some(format!("{}: {}", file.display(), files::open_to_others(&file)?))));
    if !storage.path.exists() {
        found.note = "is not there yet: 'ngoma serve' makes it".to_owned();
        return found;
    }
    if !files::may_read(&storage.path) {
        return found;
    }
    loop {
        let before = state(&storage.path);
        let mut seen = Found::default();
        if let Err(problem) = database(storage, quick, &progress, &mut seen) {
            seen.problems.push(problem);
        }
        // Without a log beside it, the file is read as if nobody changed it. If somebody did, it is read again.
        if before.0 || before == state(&storage.path) {
            found.problems.append(&mut seen.problems);
            found.note = seen.note;
            return found;
        }
    }
}

/// Problems that prevent a start, found without reading the whole database: files, and the key.
pub(super) fn opens(storage: &Storage) -> Vec<String> {
    [files_of(storage), fits(storage)].concat()
}

/// Why the database cannot be opened, or its secrets by the key.
pub(super) fn fits(storage: &Storage) -> Vec<String> {
    let mut found = Found::default();
    let unusable = |error| open::unusable(&storage.path, &error).to_string();
    let tried = connect(&storage.path).and_then(|conn| secrets(&conn, storage, &mut found)).map_err(unusable);
    found.problems.extend(tried.err());
    found.problems
}

/// Whether there is a log beside the file; the file's length, and when it was written.
fn state(path: &Path) -> (bool, Option<(u64, SystemTime)>) {
    let file = fs::metadata(path).ok().and_then(|file| Some((file.len(), file.modified().ok()?)));
    (beside(path, "-wal").exists(), file)
}

/// Problems with folders and files, found without reading them.
fn files_of(storage: &Storage) -> Vec<String> {
    let mut problems = Vec::new();
    let folder = folder_of(&storage.path);
    let shown = folder.display();
    match fs::metadata(&folder) {
        Err(error) => problems.push(format!(
            "the folder {shown} of the database cannot be used: {error}: make it for the server's user, or set storage.path; run \
             this as that user or with sudo"
        )),
        Ok(there) if !there.is_dir() => problems.push(format!("{shown} is no folder: the database cannot be in it")),
        Ok(_) if !files::may_write(&folder) => problems.push(format!(
            "the folder {shown} of the database cannot be written by this user: give it to the server's user, and run this as that user"
        )),
        Ok(_) => {}
    }
    for file in files::of_database(&storage.path) {
        problems.extend(unusable_by_server(&file, &folder, files::may_write(&file)));
    }
    let key = &storage.key_file;
    problems.extend(unusable_by_server(key, &folder, files::may_read(key)));
    let mut near = folder_of(key);
    while !near.exists() {
        near = folder_of(&near);
    }
    if !key.exists() && !files::may_write(&near) {
        problems.push(format!(
            "the key file {} cannot be made: this user cannot write {}",
            key.display(),
            near.display()
        ));
    }
    problems
}

/// Why the server's user cannot use this file. That user is the present one or, for root, the owner of the database's
/// folder.
fn unusable_by_server(file: &Path, folder: &Path, usable: bool) -> Option<String> {
    let (there, server) = (fs::metadata(file).ok()?, fs::metadata(folder).ok()?.uid());
    let name = file.display();
    if !usable {
        let mode = there.mode() & 0o777;
        return Some(format!("{name} cannot be used by this user: it belongs to user {}, mode {mode:o}", there.uid()));
    }
    (files::is_root() && there.uid() != server).then(|| {
        let folder = folder.display();
        format!("{name} does not belong to the owner of the folder {folder}, as whom the server runs: chown --reference={folder} {name}")
    })
}

/// Checks the database; the error is why it cannot be read at all.
fn database(
    storage: &Storage,
    quick: bool,
    progress: &(impl Fn(&str) + Clone + Send + 'static),
    found: &mut Found,
) -> Result<(), String> {
    let path = &storage.path;
    open::known(path).map_err(|error| error.to_string())?;
    let unusable = |error| open::unusable(path, &error).to_string();
    let conn = connect(path).map_err(unusable)?;
    let (tell, watch) = (progress.clone(), Stopwatch::start());
    let looking = format!("looking through {}, {} MB", path.display(), files::size(path) / 1_000_000);
    progress(&looking);
    let said = looking.clone();
    let handler = move || {
        tell(&format!("{said}: {} s", watch.elapsed().as_secs()));
        false
    };
    conn.progress_handler(STEPS, Some(handler)).map_err(unusable)?;
    let sql = if quick { "PRAGMA quick_check" } else { "PRAGMA integrity_check" };
    let mut rows = conn.prepare(sql).map_err(unusable)?;
    let lines = rows.query_map([], |row| row.get::<_, String>(0)).map_err(unusable)?;
    let lines = lines.map(|line| line.unwrap_or_else(|error| error.to_string())).filter(|line| line != "ok");
    let plain = |line: String| line.replace("*** in database main ***", "").replace('\n', " ");
    found.problems.extend(lines.map(|line| format!("{}: {}", path.display(), plain(line).trim())));
    conn.progress_handler(0, None::<fn() -> bool>).map_err(unusable)?;
    let pending = MIGRATIONS.pending_migrations(&conn).unwrap_or_default();
    match pending {
        0 => {}
        1.. => found.note = format!("ok; the next start brings it up to date ({pending} steps)"),
        _ => return Err(open::newer(path).to_string()),
    }
    if let Some(flaw) = schema_check::flaw(&conn).map_err(unusable)? {
        return Err(format!("{} {flaw}: restore a whole backup", path.display()));
    }
    if !conn.table_exists(None, "event").map_err(unusable)? {
        return Ok(());
    }
    let damaged = checksum::damaged(&conn, |percent| progress(&format!("{looking}: event bodies, {percent} %")));
    let damaged = damaged.map_err(unusable)?;
    let named = damaged.iter().take(NAMED);
    found.problems.extend(named.map(|event| format!("the body of event {event} is damaged: it is not sent")));
    if damaged.len() > NAMED {
        found.problems.push(format!("the bodies of {} more events are damaged", damaged.len() - NAMED));
    }
    secrets(&conn, storage, found).map_err(unusable)
}

/// Tries the key file on every secret.
fn secrets(conn: &Connection, storage: &Storage, found: &mut Found) -> rusqlite::Result<()> {
    let count = sealed(conn)?.count;
    let mark = key_mark::known(conn)?;
    if count == 0 && mark.is_none() && !storage.key_file.exists() {
        return Ok(());
    }
    let ring: KeyRing = match open::try_key_ring(conn, storage) {
        Ok((ring, _)) => ring,
        Err(error) => {
            found.problems.push(error.to_string());
            return Ok(());
        }
    };
    let mut rows = conn.prepare(&select_sealed(conn)?)?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let (endpoint, secret) = (EndpointId::from_bytes(row.get("id")?), row.get::<_, Vec<u8>>("secret")?);
        found.problems.extend(ring.open(conn, endpoint, &secret).err().map(|error| error.to_string()));
    }
    Ok(())
}

/// The address of a database that is only read. Without a log beside it, nobody has the file open and it is read as it is.
/// With a log, the log's index is only read; if the index is missing, SQLite makes it, for the owner of the database.
pub(super) fn uri(path: &Path) -> String {
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let how = match (beside(&real, "-wal").exists(), beside(&real, "-shm").exists()) {
        (false, _) => "immutable=1",
        (true, true) => "readonly_shm=1",
        (true, false) => "readonly_shm=0",
    };
    as_uri(&real, how)
}

fn as_uri(real: &Path, how: &str) -> String {
    format!("file://{}?mode=ro&{how}", percent_encode(real.as_os_str().as_bytes(), PATH))
}

/// A read-only connection.
pub(super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    opened(uri(path))
}

/// A read-only connection to a file that nobody changes, as it is: without locks, and without files beside it.
pub(super) fn connect_to_copy(path: &Path) -> rusqlite::Result<Connection> {
    opened(as_uri(&fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()), "immutable=1"))
}

fn opened(uri: String) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(uri, flags)?;
    conn.pragma_update(None, "busy_timeout", BUSY_TIMEOUT_MS)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    Ok(conn)
}
