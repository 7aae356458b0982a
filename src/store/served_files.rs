//! The files of a served database: the lock that makes a process the only server, and checks that the files are still
//! the ones that their names lead to.
//!
//! An open file accepts writes even if it has lost its name or somebody overwrites it; such commits are lost at the
//! next start. The database file is never opened and closed here while SQLite has it open: that would drop SQLite's
//! locks.

use std::{
    fs::{self, File, TryLockError},
    os::unix::fs::{FileExt, MetadataExt},
    path::{self, Path, PathBuf},
    process,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rusqlite::Connection;

use super::{
    Result,
    files::{self, FileId, at, id_of},
    keyring::random,
    lock_file::is_in_use,
};
use crate::error::Error;

/// The application id of our SQLite files: "Ngom" in ASCII.
pub(super) const APPLICATION_ID: i32 = 0x4E67_6F6D;
/// The first bytes of every SQLite file.
pub(super) const MAGIC: &[u8] = b"SQLite format 3\0";
/// The bytes of a SQLite file up to its application id, included.
pub(super) const HEADER: usize = 72;
/// The bytes of a log's header. Two of its numbers change whenever the log starts again.
const LOG_HEADER: usize = 32;
/// The first bytes of every log, except the last bit.
const LOG_MAGIC: u32 = 0x377F_0682;

/// The lock of the only server of a database file.
pub(super) struct ServerLock(File);

impl ServerLock {
    /// Locks the file itself, under any name that leads to it. It is a flock lock, which is independent of SQLite's
    /// locks.
    pub(super) fn take(database: &Path) -> Result<Self> {
        let file = File::options().read(true).write(true).open(database);
        let file = file.map_err(|error| at(database, &format!("cannot be opened: {error}")))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(in_use(database)),
            Err(TryLockError::Error(error)) => Err(at(database, &format!("cannot be locked: {error}"))),
        }
    }
}

/// Who has the lock of this database, and what to do.
fn in_use(database: &Path) -> Error {
    let part = files::part_of_restore(database);
    if is_in_use(&part) && holder(&part) != Some(process::id()) {
        return being_restored(database, &part);
    }
    let holder =
        holder(database).map_or_else(|| "another ngoma".to_owned(), |id| format!("the ngoma with process id {id}"));
    at(
        database,
        &format!(
            "is in use: {holder} serves it. There can be only one: stop it first ('systemctl stop ngoma', or Ctrl-C where it runs), \
             then run this again"
        ),
    )
}

/// The sentence about a database into which another process restores a backup; `part` is the file that it has locked.
pub(super) fn being_restored(database: &Path, part: &Path) -> Error {
    let id = holder(part).map_or_else(String::new, |id| format!(" with process id {id}"));
    at(
        database,
        &format!(
            "is in use: another restore is under way, the ngoma{id}: wait until it has ended, then run this again"
        ),
    )
}

/// The id of the process that holds the lock of this file, as far as the system says.
fn holder(path: &Path) -> Option<u32> {
    let file = format!(":{}", fs::metadata(path).ok()?.ino());
    let locks = fs::read_to_string("/proc/locks").ok()?;
    // Such as: 1: FLOCK  ADVISORY  WRITE 4711 08:01:131 0 EOF
    let mut locks = locks.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let lock = locks.find(|lock| lock.get(1) == Some(&"FLOCK") && lock.get(5).is_some_and(|of| of.ends_with(&file)))?;
    // A process outside this container has the number 0.
    lock.get(4)?.parse().ok().filter(|id| *id > 0)
}

impl Drop for ServerLock {
    fn drop(&mut self) {
        // Closing the file would be enough, except for a process that is just being started and still holds it open.
        let _ = self.0.unlock();
    }
}

pub(super) struct ServedFiles {
    database: ServerLock,
    log: File,
    /// The names of the database, its log and the log's index, each with the file it led to at the start.
    names: [(PathBuf, FileId); 3],
    seen: Mutex<LastSeen>,
}

/// The contents at the last check.
struct LastSeen {
    /// The schema numbers that the header may show: the one at the start, SQLite's number then, and from `mark` on.
    former: [u32; 2],
    /// A random number of this start. SQLite keeps it in the header and adds one for each change of the schema. A file
    /// that was copied over this one does not have it.
    mark: u32,
    bytes: u64,
    log_bytes: u64,
    log_header: [u8; LOG_HEADER],
}

impl ServedFiles {
    /// Starts to watch the locked database, which `conn` has open.
    pub(super) fn new(lock: ServerLock, path: &Path, conn: &Connection) -> Result<Self> {
        let unseen = |error: std::io::Error| at(path, &format!("cannot be looked at: {error}"));
        let header = Header::read(&lock.0).ok_or_else(|| at(path, "was changed while it was opened: start again"))?;
        let schema_version = || conn.pragma_query_value(None, "schema_version", |row| row.get::<_, u32>(0));
        let former = [header.schema, schema_version()?];
        let mark = u32::from_ne_bytes(**random()?) >> 2;
        conn.pragma_update(None, "schema_version", mark)?;
        // Writes the mark into the file itself: from then on no other file is taken for it. The checkpoint waits for
        // nobody.
        let _ = conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        // Absolute names, because the working folder may be moved.
        let [database, log, index] = files::of_database(&path::absolute(path).map_err(unseen)?);
        let named = |name: PathBuf| fs::metadata(&name).map(|file| (name, id_of(&file))).map_err(unseen);
        let open_log = File::open(&log).map_err(unseen)?;
        let names = [named(database)?, named(log)?, named(index)?];
        if id_of(&lock.0.metadata().map_err(unseen)?) != names[0].1 {
            return Err(at(path, "was replaced while it was opened: start again"));
        }
        let seen = LastSeen { former, mark, bytes: 0, log_bytes: 0, log_header: [0; LOG_HEADER] };
        let files = Self { database: lock, log: open_log, names, seen: Mutex::new(seen) };
        files.lost(conn).map_or(Ok(files), |lost| Err(Error::Internal(lost)))
    }

    /// The problem with a file's name; `None` while each name leads to the same file as at the start. Cheap: three
    /// checks.
    pub(super) fn moved(&self) -> Option<String> {
        let moved = |(name, id): &&(PathBuf, FileId)| fs::metadata(name).map(|there| id_of(&there)).ok() != Some(*id);
        let (name, _) = self.names.iter().find(moved)?;
        Some(format!(
            "{} was removed, moved or replaced while the server ran, which therefore stops: put it back, with the other files of \
             the database, or restore a backup; then start again",
            name.display()
        ))
    }

    /// Why written data would be lost; `None` while every file is in its place and complete, or while a commit is under
    /// way (the writer checks after it).
    pub(super) fn lost(&self, conn: &Connection) -> Option<String> {
        match self.seen.try_lock() {
            Ok(seen) => FilesGuard { files: self, seen }.lost(conn),
            Err(_) => self.moved(),
        }
    }

    /// For a commit: locks out other checks while a checkpoint may be writing to the files.
    pub(super) fn hold(&self) -> FilesGuard<'_> {
        FilesGuard { files: self, seen: self.seen.lock().unwrap_or_else(PoisonError::into_inner) }
    }
}

/// The files, locked against other checks.
pub(super) struct FilesGuard<'a> {
    files: &'a ServedFiles,
    seen: MutexGuard<'a, LastSeen>,
}

impl FilesGuard<'_> {
    /// Why written data would be lost; `None` while every file is in its place and complete.
    pub(super) fn lost(mut self, conn: &Connection) -> Option<String> {
        if let Some(moved) = self.files.moved() {
            return Some(moved);
        }
        // Another process may be writing right now. A real fault is still there a moment later.
        let mut spoiled = || self.spoiled(conn);
        let spoiled = spoiled().and_then(|_| spoiled())?;
        Some(format!(
            "{} was cut short or overwritten while the server ran, which therefore stops: restore a backup, then start again",
            self.files.names[spoiled].0.display()
        ))
    }

    /// Which file does not hold what SQLite wrote: 0 the database, 1 its log.
    fn spoiled(&mut self, conn: &Connection) -> Option<usize> {
        let (ServedFiles { database, log, .. }, seen) = (self.files, &mut *self.seen);
        // The size is read first: a checkpoint that shortens the file writes the header before it cuts.
        let bytes = database.0.metadata().map_or(0, |file| file.len());
        let whole = Header::read(&database.0).filter(|header| {
            let cut = bytes < seen.bytes && bytes < header.bytes;
            !cut && (seen.former.contains(&header.schema) || seen.is_ours(header.schema, conn))
        });
        let Some(header) = whole else { return Some(0) };
        if header.schema == seen.mark {
            seen.former = [seen.mark; 2];
        }
        let log_bytes = log.metadata().map_or(0, |file| file.len());
        let mut log_header = [0; LOG_HEADER];
        let read = log.read_exact_at(&mut log_header, 0).is_ok();
        let frames = || conn.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| row.get::<_, i64>(1));
        let cut = match log_bytes {
            // A checkpoint may leave the log empty; then SQLite must know of no frames in it.
            0 => frames().is_ok_and(|frames| frames > 0),
            _ if !read || number(&log_header, 0) & !1 != LOG_MAGIC => true,
            _ => log_bytes < seen.log_bytes && log_header == seen.log_header,
        };
        if cut {
            return Some(1);
        }
        (seen.bytes, seen.log_bytes, seen.log_header) = (bytes, log_bytes, log_header);
        None
    }
}

impl LastSeen {
    /// Whether the schema number has only been counted up since the start, as happens when another program adds tables
    /// of its own.
    fn is_ours(&self, schema: u32, conn: &Connection) -> bool {
        let now = || conn.pragma_query_value(None, "schema_version", |row| row.get::<_, u32>(0));
        schema == self.mark || now().is_ok_and(|now| (self.mark..=now).contains(&schema))
    }
}

/// The header of one of our database files.
struct Header {
    /// The bytes of all its pages.
    bytes: u64,
    /// The number that counts changes of the schema.
    schema: u32,
}

impl Header {
    /// `None` if the file does not begin like one of ours.
    fn read(file: &File) -> Option<Self> {
        let mut header = [0; HEADER];
        file.read_exact_at(&mut header, 0).ok()?;
        let is_ours = header.starts_with(MAGIC) && header.ends_with(&APPLICATION_ID.to_be_bytes());
        // The largest size, 65536, is written as 1.
        let page = match u64::from(number(&header, 16) >> 16) {
            1 => 1 << 16,
            page => page,
        };
        is_ours.then(|| Self { bytes: page * u64::from(number(&header, 28)), schema: number(&header, 40) })
    }
}

/// The number that begins at this byte.
fn number(bytes: &[u8], from: usize) -> u32 {
    bytes.get(from..).and_then(|bytes| bytes.first_chunk()).map_or(0, |bytes| u32::from_be_bytes(*bytes))
}
