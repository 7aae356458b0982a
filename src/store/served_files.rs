//! The place of a served database: the lock that makes a process its only server, and whether its files are still those
//! that their names lead to.
//!
//! An open file takes writes also when it has lost its name, or when somebody writes over it; whatever is committed then is
//! lost at the next start. The database file is never opened and closed here while SQLite has it open: that would drop
//! SQLite's locks.

use std::{
    fs::{self, File, Metadata, TryLockError},
    os::unix::fs::{FileExt, MetadataExt},
    path::{self, Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use rusqlite::Connection;

use super::{
    Result,
    files::{self, at},
    keyring::random,
};
use crate::error::Error;

/// Marks a SQLite file as ours: "Ngom" in ASCII.
pub(super) const APPLICATION_ID: i32 = 0x4E67_6F6D;
/// The first bytes of every SQLite file.
pub(super) const MAGIC: &[u8] = b"SQLite format 3\0";
/// The bytes of a SQLite file up to and with its application id.
pub(super) const HEADER: usize = 72;
/// The bytes of a log's header: among them two numbers that each new beginning of the log changes.
const LOG_HEADER: usize = 32;
/// The first bytes of every log, but for the last bit.
const LOG_MAGIC: u32 = 0x377F_0682;

/// The lock of the one server of a database file.
pub(super) struct ServerLock(File);

impl ServerLock {
    /// Locks the file itself, whatever name leads to it. The lock is flock's, which knows nothing of SQLite's.
    pub(super) fn take(database: &Path) -> Result<Self> {
        let file = File::options().read(true).write(true).open(database);
        let file = file.map_err(|error| at(database, &format!("cannot be opened: {error}")))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => {
                Err(at(database, "is in use: another ngoma is already serving this database"))
            }
            Err(TryLockError::Error(error)) => Err(at(database, &format!("cannot be locked: {error}"))),
        }
    }
}

impl Drop for ServerLock {
    fn drop(&mut self) {
        // Closing the file would do, but for a process that is being started at this moment and holds it open too.
        let _ = self.0.unlock();
    }
}

/// Tells a file from every other one: its device and its number there.
type FileId = (u64, u64);

fn id_of(file: &Metadata) -> FileId {
    (file.dev(), file.ino())
}

/// Whether two looks met the same file.
pub(super) fn same_file(one: &Metadata, other: &Metadata) -> bool {
    id_of(one) == id_of(other)
}

/// The files of a served database.
pub(super) struct ServedFiles {
    database: ServerLock,
    log: File,
    /// The names of the database, its log and the log's index, and the file that each led to at the start.
    names: [(PathBuf, FileId); 3],
    seen: Mutex<LastSeen>,
}

/// What the files held when somebody last looked.
struct LastSeen {
    /// What the header may say of the schema: what it said at the start, what SQLite said then, and from `mark` on.
    former: [u32; 2],
    /// A number of this start's own: SQLite keeps it in the header and adds one for each change of the schema. A file that
    /// was copied over this one does not have it.
    mark: u32,
    bytes: u64,
    log_bytes: u64,
    log_header: [u8; LOG_HEADER],
}

impl ServedFiles {
    /// Watches the locked database from now on; `conn` has it open.
    pub(super) fn new(lock: ServerLock, path: &Path, conn: &Connection) -> Result<Self> {
        let unseen = |error: std::io::Error| at(path, &format!("cannot be looked at: {error}"));
        let header = Header::read(&lock.0).ok_or_else(|| at(path, "was changed while it was opened: start again"))?;
        let schema_version = || conn.pragma_query_value(None, "schema_version", |row| row.get::<_, u32>(0));
        let former = [header.schema, schema_version()?];
        let mark = u32::from_ne_bytes(**random()?) >> 2;
        conn.pragma_update(None, "schema_version", mark)?;
        // Into the file itself: from then on nothing else is taken for it. What is in the way is not waited for.
        let _ = conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        // The working folder may be moved too.
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

    /// What has happened to the name of a file; `None` while each leads where it led at the start. Cheap: three looks at
    /// names.
    pub(super) fn moved(&self) -> Option<String> {
        let moved = |(name, id): &&(PathBuf, FileId)| fs::metadata(name).map(|there| id_of(&there)).ok() != Some(*id);
        let (name, _) = self.names.iter().find(moved)?;
        Some(format!(
            "{} was removed, moved or replaced while the server ran, which therefore stops: put it back, with the other files of \
             the database, or restore a backup; then start again",
            name.display()
        ))
    }

    /// Why what is written would be lost; `None` while every file is in its place and whole, or a commit is under way, after
    /// which the writer looks.
    pub(super) fn lost(&self, conn: &Connection) -> Option<String> {
        match self.seen.try_lock() {
            Ok(seen) => FilesGuard { files: self, seen }.lost(conn),
            Err(_) => self.moved(),
        }
    }

    /// For a commit: nobody else looks at the files while a checkpoint may be writing to them.
    pub(super) fn hold(&self) -> FilesGuard<'_> {
        FilesGuard { files: self, seen: self.seen.lock().unwrap_or_else(PoisonError::into_inner) }
    }
}

/// The files, at which nobody else looks meanwhile.
pub(super) struct FilesGuard<'a> {
    files: &'a ServedFiles,
    seen: MutexGuard<'a, LastSeen>,
}

impl FilesGuard<'_> {
    /// Why what is written would be lost; `None` while every file is in its place and whole.
    pub(super) fn lost(mut self, conn: &Connection) -> Option<String> {
        if let Some(moved) = self.files.moved() {
            return Some(moved);
        }
        // Another process may be writing at this moment; what is wrong stays wrong.
        let mut spoiled = || self.spoiled(conn);
        let spoiled = spoiled().and_then(|_| spoiled())?;
        Some(format!(
            "{} was cut short or overwritten while the server ran, which therefore stops: restore a backup, then start again",
            self.files.names[spoiled].0.display()
        ))
    }

    /// Which file does not hold what SQLite wrote: 0 for the database, 1 for its log.
    fn spoiled(&mut self, conn: &Connection) -> Option<usize> {
        let (ServedFiles { database, log, .. }, seen) = (self.files, &mut *self.seen);
        // The size first: a checkpoint that makes the file shorter writes the header before it cuts.
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
            // As a checkpoint may leave it, but then nothing is to be found there.
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
    /// Whether the schema was counted up to this number since the start, as another program does that adds tables of its own.
    fn is_ours(&self, schema: u32, conn: &Connection) -> bool {
        let now = || conn.pragma_query_value(None, "schema_version", |row| row.get::<_, u32>(0));
        schema == self.mark || now().is_ok_and(|now| (self.mark..=now).contains(&schema))
    }
}

/// What the header of a database file of ours says.
struct Header {
    /// The bytes of all its pages.
    bytes: u64,
    /// The number that counts changes of the schema.
    schema: u32,
}

impl Header {
    /// `None` if that is not how a file of ours begins.
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
