//! Restoring a backup: a checked copy takes the place of the database and its key, and the former files are kept.
//!
//! Everything is prepared beside the database first: a copy of the backup and its key, checked and on disk. Then files are
//! exchanged. So a crash before that leaves the former database as it was.

use std::{
    fs::{self, File},
    io::ErrorKind,
    path::{Path, PathBuf},
};

use rusqlite::{
    Connection, OpenFlags, OptionalExtension,
    backup::{Backup, StepResult},
};
use zeroize::Zeroizing;

use super::{
    Progress, Result, check,
    exchange::{Note, Places, exchange, write_note},
    files::{self, at, beside, clear, folder_of, same_file, write_new},
    keyring::KeyRing,
    lock_file::{self, Found},
    open,
    served_files::{ServerLock, being_restored},
    since_backup::{self, SinceBackup},
};
use crate::{config::Storage, domain::timestamp::Timestamp, error::Error};

/// Pages copied before progress is reported: 16 MiB.
const PAGES: i32 = 4096;

/// The result of a restore.
#[derive(Debug)]
pub struct Restored {
    /// The newest moment that the copy knows; `None` if it knows none.
    pub as_of: Option<Timestamp>,
    /// Deliveries in it that were waiting or under way.
    pub pending: u64,
    /// Deliveries in it that are held.
    pub held: u64,
    /// A remark about the copy, ready to follow its path in a sentence; empty if there is none.
    pub note: String,
    /// The file that its key was read from, if it has one.
    pub key: Option<PathBuf>,
    /// What happened since the backup; `None` if the former database could not be read.
    pub since: Option<SinceBackup>,
    /// Folders with the former files.
    pub before: Vec<PathBuf>,
}

/// A backup that is open, and its key. Its reader need not be the one who restores it: root reads what the owner of the
/// database cannot, and then goes on as that owner.
pub struct Source {
    file: PathBuf,
    conn: Connection,
    key: Option<(PathBuf, Zeroizing<String>)>,
}

impl Source {
    /// Opens a backup. Without `key`, its key is that beside it, or else the present one.
    ///
    /// # Errors
    /// A backup that is missing, damaged or the database itself; no room for it; a key that cannot be read.
    pub fn open(storage: &Storage, file: &Path, key: Option<&Path>) -> Result<Self> {
        expect_backup(file, &Places::of(storage).path)?;
        let failed = |error: rusqlite::Error| at(file, &format!("cannot be read: {error}"));
        let conn = check::connect(file).map_err(failed)?;
        // SQLite opens the log of a database by the first question.
        conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).map_err(failed)?;
        Ok(Self { file: file.to_owned(), conn, key: read_key(storage, file, key)? })
    }
}

/// Puts this backup in the place of the database, and its key in the place of the key file.
///
/// # Errors
/// A running server; a backup that is damaged, of a newer version, or whose secrets the key does not open. Then
/// everything stays as it was.
pub fn restore(
    storage: &Storage,
    source: Source,
    now: Timestamp,
    progress: impl Fn(Progress) + Clone + Send + 'static,
) -> Result<Restored> {
    files::expect_whole(storage)?;
    let places = Places::of(storage);
    let parts = Parts::take(&places)?;
    let lock = free(&places.path)?;
    let Source { file, conn, key } = source;
    let file = file.as_path();
    copy(file, &conn, &places.part, &progress)?;
    drop(conn);
    let from = key.map(|(from, text)| write_key(&places, &from, &text).map(|()| from)).transpose()?;
    progress(Progress::Checking);
    let remark = look_through(&places.parts(storage), file, from.as_deref())?;
    let found = facts(&places.part).map_err(|error| open::unusable(file, &error))?;
    let settled = since_backup::settle(&places.part, &places.path, (file, found.as_of), now);
    let since = settled.map_err(|error| at(&places.part, &format!("cannot be written: {error}")))?;
    for (part, former) in [(&places.part, &places.path), (&places.key_part, &places.key)] {
        finish(part, former)?;
    }
    let note = Note::of(&places, file, now)?;
    let written = write_note(&places, &note)?;
    // From here on no server starts. One that began to start in between has the lock.
    let lock = match lock {
        Some(lock) => Some(lock),
        None => free(&places.path).inspect_err(|_| drop(fs::remove_file(&places.note)))?,
    };
    // The lock of the prepared file becomes that of the database.
    let held = parts.keep();
    let before = exchange(storage, &places, &note)?;
    let problems = check::opens(storage);
    drop((written, held, lock));
    match problems.first() {
        None => Ok(Restored { note: remark, key: from, since, before, ..found }),
        Some(problem) => Err(Error::Internal(format!("it is restored, but a start would fail: {problem}"))),
    }
}

/// Refuses what can be no backup.
fn expect_backup(file: &Path, path: &Path) -> Result<()> {
    files::expect_file(file)?;
    let there = fs::metadata(file).map_err(|error| match error.kind() {
        ErrorKind::NotFound => at(file, "is not there: name a backup, as 'ngoma backup' or the server makes them"),
        _ => at(file, &format!("cannot be read: {error}")),
    })?;
    if fs::metadata(path).is_ok_and(|database| same_file(&database, &there)) {
        return Err(at(file, "is the database itself: name a backup of it"));
    }
    if there.len() == 0 {
        return Err(at(file, "is empty: it is no backup"));
    }
    open::known(file).map_err(|_| {
        at(file, "is no backup of ngoma, or cannot be read: name a file that 'ngoma backup' or the server made")
    })?;
    files::expect_room(path, there.len().saturating_add(files::size(&beside(file, "-wal"))))
        .map_err(|none| at(&folder_of(path), &format!("has no room for it beside the present database: {none}")))
}

/// Keeps servers away from the database, if there is one.
fn free(path: &Path) -> Result<Option<ServerLock>> {
    if path.exists() { ServerLock::take(path).map(Some) } else { Ok(None) }
}

/// The prepared files: they are removed unless they are kept.
struct Parts {
    files: Vec<PathBuf>,
    /// The file that becomes the copy, locked against other restores. It is closed when the others are removed.
    held: Option<File>,
}

impl Parts {
    /// Creates the file that becomes the copy, and locks it. What was prepared before goes, unless a note says that it is
    /// still needed: whoever writes the note has this lock.
    fn take(places: &Places) -> Result<Self> {
        let (part, in_use) = (&places.part, || being_restored(&places.path, &places.part));
        if part.symlink_metadata().is_ok_and(|there| !there.is_file()) {
            clear(part)?;
        }
        match lock_file::lock(part)? {
            Found::Locked(_left) => files::expect_exchanged(&places.path).and_then(|()| clear(part))?,
            Found::InUse => return Err(in_use()),
            Found::Gone => {}
        }
        files::make(part).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => in_use(),
            _ => at(part, &format!("cannot be written: {error}")),
        })?;
        let Found::Locked(held) = lock_file::lock(part)? else { return Err(in_use()) };
        let mut parts = Self { files: vec![part.clone()], held: Some(held) };
        // Another one has begun since to exchange files: its key is not ours to remove.
        if lock_file::is_in_use(&places.note) {
            return Err(being_restored(&places.path, &places.note));
        }
        files::expect_exchanged(&places.path)?;
        parts.files.push(places.key_part.clone());
        for left in Self::all(part).skip(1).chain([places.key_part.clone()]) {
            clear(&left)?;
        }
        Ok(parts)
    }

    /// A part with the files that SQLite may make beside it.
    fn all(part: &Path) -> impl Iterator<Item = PathBuf> {
        let part = part.to_owned();
        ["", "-journal", "-wal", "-shm"].into_iter().map(move |end| beside(&part, end))
    }

    fn keep(mut self) -> Option<File> {
        self.files.clear();
        self.held.take()
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        for file in self.files.iter().flat_map(|part| Self::all(part)) {
            let _ = fs::remove_file(file);
        }
    }
}

/// Copies a backup, with its log if it has one, into one file.
fn copy(file: &Path, source: &Connection, part: &Path, progress: &impl Fn(Progress)) -> Result<()> {
    let failed = |error: rusqlite::Error| at(file, &format!("cannot be copied to {}: {error}", part.display()));
    let mut copy = Connection::open_with_flags(part, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(failed)?;
    open::in_memory(&copy).map_err(failed)?;
    {
        let backup = Backup::new(source, &mut copy).map_err(failed)?;
        while backup.step(PAGES).map_err(failed)? != StepResult::Done {
            let pages = backup.progress();
            let percent = (pages.pagecount - pages.remaining) * 100 / pages.pagecount.max(1);
            progress(Progress::Copied(u8::try_from(percent).unwrap_or(100)));
        }
    }
    // One file, without a log beside it.
    copy.pragma_update(None, "journal_mode", "DELETE").map_err(failed)?;
    copy.close().map_err(|(_, error)| failed(error))
}

/// The key, and where it is: the one that is named, that beside the backup, or the present one. A file that holds no key
/// is refused here already: what root reads must not get to others.
fn read_key(storage: &Storage, file: &Path, key: Option<&Path>) -> Result<Option<(PathBuf, Zeroizing<String>)>> {
    let same_name = storage.key_file.file_name().map(|name| folder_of(file).join(name));
    let usual = [Some(beside(file, ".key")), same_name, Some(storage.key_file.clone())];
    let found = usual.into_iter().flatten().find(|key| key.exists());
    let Some(from) = key.map(Path::to_owned).or(found) else { return Ok(None) };
    files::expect_file(&from)?;
    let text = fs::read_to_string(&from).map(Zeroizing::new);
    let text = text.map_err(|error| at(&from, &format!("cannot be read: {error}")))?;
    KeyRing::parse(&from, &text)?;
    Ok(Some((from, text)))
}

/// Writes the key beside the present key file, unless that holds the same.
fn write_key(places: &Places, from: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(&places.key).is_ok_and(|present| *Zeroizing::new(present) == *text) {
        return Ok(());
    }
    write_new(&places.key_part, text.as_bytes()).map(drop).map_err(|error| {
        let (from, key) = (from.display(), places.key.display());
        Error::Internal(format!("{error}. If only root may write there: copy {from} to {key} by hand, readable for the server's user, then run this again"))
    })
}

/// Checks the prepared files as `ngoma check` does; the error names the files that they were made of. Returns a remark.
fn look_through(parts: &Storage, file: &Path, key: Option<&Path>) -> Result<String> {
    let found = check::check(parts, false, |_| {});
    let named = |text: String| {
        let text =
            text.replace(&parts.key_file.display().to_string(), &key.unwrap_or(&parts.key_file).display().to_string());
        text.replace(&parts.path.display().to_string(), &file.display().to_string())
    };
    match found.problems.as_slice() {
        [] => Ok(found.note),
        [first, rest @ ..] => {
            let more = if rest.is_empty() { String::new() } else { format!(" (and {} more problems)", rest.len()) };
            let is_of_key = first.contains(&*parts.key_file.to_string_lossy());
            let remedy = if is_of_key { "; name the key of the backup by --key FILE" } else { "" };
            Err(Error::Internal(format!(
                "nothing was changed, because a server could not use the backup: {}{more}{remedy}",
                named(first.clone())
            )))
        }
    }
}

/// The moment of the copy, and its deliveries that are pending or held.
fn facts(part: &Path) -> rusqlite::Result<Restored> {
    let conn = check::connect(part)?;
    let moment =
        |sql: &str| conn.query_row(sql, [], |row| row.get::<_, Option<i64>>(0)).optional().map(Option::flatten);
    let told = match conn.table_exists(None, "moment")? {
        true => moment("SELECT at FROM moment")?,
        false => None,
    };
    let accepted = moment("SELECT accepted_at FROM event ORDER BY key DESC LIMIT 1")?;
    let count = |states: &str| {
        let sql = format!("SELECT count(*) FROM delivery WHERE state IN ({states})");
        conn.query_row(&sql, [], |row| row.get::<_, u64>(0))
    };
    Ok(Restored {
        as_of: told.max(accepted).map(Timestamp::from_millis),
        pending: count("'pending', 'claimed'")?,
        held: count("'held'")?,
        note: String::new(),
        key: None,
        since: None,
        before: Vec::new(),
    })
}

/// Gives a prepared file the mode that the one whose place it takes has for its owner and, by root, that owner; and syncs
/// it.
fn finish(part: &Path, former: &Path) -> Result<()> {
    let Ok(file) = File::open(part) else { return Ok(()) };
    let keep = |former: fs::Metadata| match files::is_root() {
        true => files::keep(&file, &former),
        false => file.set_permissions(files::own_mode(&former)),
    };
    let done = fs::metadata(former).map_or(Ok(()), keep).and_then(|()| file.sync_all());
    done.map_err(|error| at(part, &format!("cannot get its owner and mode, or be synced: {error}")))
}
