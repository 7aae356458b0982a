//! Restoring a backup: a checked copy takes the place of the database and its key, and the former files are kept.
//!
//! Everything is prepared beside the database first: a copy of the backup and its key, checked and on disk. Then a note
//! is written, files are renamed, and the note goes. While the note is there no server starts (see
//! `files::expect_whole`). So a crash before the note leaves the former database as it was; after one with the note,
//! the next run does the rest of the renaming.

use std::{
    fs::{self, File},
    io::ErrorKind,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use rusqlite::{
    Connection, OpenFlags, OptionalExtension,
    backup::{Backup, StepResult},
};
use zeroize::Zeroizing;

use super::{
    Progress, Result, check,
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
/// Names that are tried when one is taken.
const NAMES: u32 = 1000;

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
    key: Option<Key>,
}

/// A key that is read, and its file.
pub struct Key {
    from: PathBuf,
    text: Zeroizing<String>,
}

impl Source {
    /// Opens a backup. Without `key`, the present one stays.
    ///
    /// # Errors
    /// A backup that is missing, damaged or the database itself; no room for it.
    pub fn open(storage: &Storage, file: &Path, key: Option<Key>) -> Result<Self> {
        expect_backup(file, &Places::of(storage)?.path)?;
        let failed = |error: rusqlite::Error| at(file, &format!("cannot be read: {error}"));
        let conn = check::connect(file).map_err(failed)?;
        // SQLite opens the log of a database by the first question.
        conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).map_err(failed)?;
        Ok(Self { file: file.to_owned(), conn, key })
    }
}

/// The files of a restore, each beside the file whose place it takes.
struct Places {
    path: PathBuf,
    key: PathBuf,
    part: PathBuf,
    key_part: PathBuf,
    note: PathBuf,
}

impl Places {
    fn of(storage: &Storage) -> Result<Self> {
        // A link leads elsewhere, and must stay.
        let real = |path: &Path| {
            files::expect_linked(path)?;
            let real = fs::canonicalize(path).or_else(|_| std::path::absolute(path));
            Ok::<_, Error>(real.unwrap_or_else(|_| path.to_owned()))
        };
        let (path, key) = (real(&storage.path)?, real(&storage.key_file)?);
        let (part, key_part) = (files::part_of_restore(&path), beside(&key, ".restored"));
        Ok(Self { note: files::note_of_restore(&path), path, key, part, key_part })
    }

    /// The prepared files, as a database of their own.
    fn parts(&self, storage: &Storage) -> Storage {
        let key = if self.key_part.exists() { &self.key_part } else { &self.key };
        Storage { path: self.part.clone(), key_file: key.clone(), durability: storage.durability }
    }
}

/// Ends a restore that was cut off while it renamed files; returns the backup that it restored, if there was such a
/// restore.
///
/// # Errors
/// Files that cannot be renamed; another restore that is under way.
pub fn go_on(storage: &Storage) -> Result<Option<PathBuf>> {
    let places = Places::of(storage)?;
    let note = match lock_file::lock(&places.note)? {
        Found::Locked(note) => note,
        Found::InUse => return Err(being_restored(&places.path, &places.note)),
        Found::Gone => return Ok(None),
    };
    let text = fs::read(&places.note).map_err(|error| at(&places.note, &format!("cannot be read: {error}")))?;
    let lines: Vec<&[u8]> = text.splitn(2, |byte| *byte == b'\n').collect();
    let [name, file] = lines.as_slice() else {
        return Err(at(&places.note, "is not complete: remove it, and run this again"));
    };
    let name = std::str::from_utf8(name).map_err(|_| at(&places.note, "cannot be read: it is no text"))?;
    switch(&places, name)?;
    drop(note);
    Ok(Some(PathBuf::from(std::ffi::OsString::from_vec(file.to_vec()))))
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
    let places = Places::of(storage)?;
    let parts = Parts::take(&places)?;
    // Another one has begun since to exchange files.
    if lock_file::is_in_use(&places.note) {
        return Err(being_restored(&places.path, &places.note));
    }
    files::expect_whole(&places.path)?;
    let lock = free(&places.path)?;
    let Source { file, conn, key } = source;
    let file = file.as_path();
    copy(file, &conn, &places.part, &progress)?;
    drop(conn);
    let from = key.map(|Key { from, text }| write_key(&places, &from, &text).map(|()| from)).transpose()?;
    progress(Progress::Checking);
    let note = look_through(&places.parts(storage), file, from.as_deref())?;
    let found = facts(&places.part).map_err(|error| open::unusable(file, &error))?;
    let settled = since_backup::settle(&places.part, &places.path, (file, found.as_of), now);
    let since = settled.map_err(|error| at(&places.part, &format!("cannot be written: {error}")))?;
    for (part, former) in [(&places.part, &places.path), (&places.key_part, &places.key)] {
        finish(part, former)?;
    }
    let name = free_name(&places, now);
    let written = write_note(&places, &name, file)?;
    // From here on no server starts. One that began to start in between has the lock.
    let lock = match lock {
        Some(lock) => Some(lock),
        None => free(&places.path).inspect_err(|_| drop(fs::remove_file(&places.note)))?,
    };
    // The lock of the prepared file becomes that of the database.
    let held = parts.keep();
    let before = switch(&places, &name)?;
    let problems = check::opens(storage);
    drop((written, held, lock));
    match problems.first() {
        None => Ok(Restored { note, key: from, since, before, ..found }),
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
    File::open(file).map_err(|error| at(file, &format!("cannot be read: {error}")))?;
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
    files: [PathBuf; 2],
    /// The file that becomes the copy, locked against other restores. It is closed when the others are removed.
    held: Option<File>,
}

impl Parts {
    /// Creates the file that becomes the copy, and locks it.
    fn take(places: &Places) -> Result<Self> {
        let taken = lock_file::create(&places.part)?;
        let held = Some(taken.ok_or_else(|| being_restored(&places.path, &places.part))?);
        let parts = Self { files: [places.part.clone(), places.key_part.clone()], held };
        for left in Self::all(&places.part).skip(1).chain([places.key_part.clone()]) {
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
        self.files = Default::default();
        self.held.take()
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        for file in self.files.iter().filter(|part| !part.as_os_str().is_empty()).flat_map(|part| Self::all(part)) {
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

/// The file with the key of a backup: the one that is named, that beside the backup, or the present one.
pub fn key_of(storage: &Storage, file: &Path, named: Option<&Path>) -> Option<PathBuf> {
    let same_name = storage.key_file.file_name().map(|name| folder_of(file).join(name));
    let usual = [Some(beside(file, ".key")), same_name, Some(storage.key_file.clone())];
    named.map(Path::to_owned).or_else(|| usual.into_iter().flatten().find(|key| key.exists()))
}

impl Key {
    /// Reads a key. A file that holds none is refused here already: what root reads must not get to others.
    ///
    /// # Errors
    /// A file that cannot be read, or that holds anything else.
    pub fn read(from: &Path) -> Result<Self> {
        files::expect_file(from)?;
        let text = fs::read_to_string(from).map(Zeroizing::new);
        let text = text.map_err(|error| at(from, &format!("cannot be read: {error}")))?;
        KeyRing::parse(from, &text)?;
        Ok(Self { from: from.to_owned(), text })
    }
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

/// Gives a prepared file the mode of the one whose place it takes and, by root, its owner; and syncs it.
fn finish(part: &Path, former: &Path) -> Result<()> {
    let Ok(file) = File::open(part) else { return Ok(()) };
    let keep = |former: fs::Metadata| match files::is_root() {
        true => files::keep(&file, &former),
        false => file.set_permissions(former.permissions()),
    };
    let done = fs::metadata(former).map_or(Ok(()), keep).and_then(|()| file.sync_all());
    done.map_err(|error| at(part, &format!("cannot get its owner and mode, or be synced: {error}")))
}

/// Writes the note: the name of the folder for the former files, and the backup. If it cannot be written, nothing of it
/// is left.
fn write_note(places: &Places, name: &str, file: &Path) -> Result<File> {
    let backup = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let draft = beside(&places.note, ".part");
    clear(&draft)?;
    let text = [name.as_bytes(), b"\n", backup.as_os_str().as_bytes()].concat();
    let written = write_new(&draft, &text)?;
    // A medium without locks keeps nobody away.
    let _ = written.try_lock();
    let put = written.sync_all().and_then(|()| sync(places)).and_then(|()| fs::rename(&draft, &places.note));
    put.and_then(|()| sync(places)).map_err(|error| {
        [&draft, &places.note].iter().for_each(|left| drop(fs::remove_file(left)));
        at(&places.note, &format!("cannot be written: {error}"))
    })?;
    Ok(written)
}

/// Renames: the present files go into folders of this name, and the prepared files take their places. Whatever is done
/// already is left. Returns the folders.
fn switch(places: &Places, name: &str) -> Result<Vec<PathBuf>> {
    let [_, log, index] = files::of_database(&places.path);
    let mut before = Vec::new();
    for (part, taken) in
        [(&places.part, vec![places.path.clone(), log, index]), (&places.key_part, vec![places.key.clone()])]
    {
        if !part.exists() {
            continue;
        }
        let folder = folder_of(part).join(name);
        let put = || {
            for file in taken.iter().filter(|file| file.symlink_metadata().is_ok()) {
                files::make_folders(&folder, 0o700)?;
                fs::rename(file, folder.join(file.file_name().unwrap_or_default()))?;
                File::open(&folder)?.sync_all()?;
            }
            fs::rename(part, &taken[0])?;
            File::open(folder_of(part))?.sync_all()
        };
        put().map_err(|error: std::io::Error| {
            at(
                &taken[0],
                &format!("cannot be put in its place: {error}. No server starts before this command has done the rest"),
            )
        })?;
    }
    for folder in [&places.path, &places.key].map(|file| folder_of(file).join(name)) {
        if folder.exists() && !before.contains(&folder) {
            before.push(folder);
        }
    }
    let removed = fs::remove_file(&places.note).and_then(|()| sync(places));
    removed.map_err(|error| at(&places.note, &format!("cannot be removed: {error}")))?;
    Ok(before)
}

/// The name of a folder that is there neither beside the database nor beside the key: the files of two restores never
/// come together, because SQLite would read the log of one with the database of the other.
fn free_name(places: &Places, now: Timestamp) -> String {
    let own = format!("before-restore-{}", now.to_string().replace(':', "-"));
    let others = (2..NAMES).map(|number| format!("{own}.{number}"));
    let free = |name: &String| {
        [&places.path, &places.key].iter().all(|file| folder_of(file).join(name).symlink_metadata().is_err())
    };
    std::iter::once(own.clone()).chain(others).find(free).unwrap_or(own)
}

/// Syncs the folder of the database.
fn sync(places: &Places) -> std::io::Result<()> {
    File::open(folder_of(&places.path))?.sync_all()
}
