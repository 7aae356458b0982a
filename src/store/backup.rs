//! Backups: a copy of the database while it is served, and of the key file that opens its secrets.
//!
//! All pages are copied within one read: the copy has the data that was on disk when the read began, and nothing later.
//! No file gets its name before it is complete, checked and synced.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
};

use rusqlite::{
    Connection,
    backup::{Backup, StepResult},
};
use zeroize::Zeroizing;

use super::{
    Db, KeyRing, Result,
    backup_place::Place,
    checksum,
    files::{self, at, write_new},
    keyring::select_sealed,
    open,
    served_files::APPLICATION_ID,
};
use crate::{
    clock::Stopwatch,
    config::{Storage, command},
    domain::ids::EndpointId,
    error::Error,
};

/// Pages copied before the copy is synced and progress is reported: 4 MiB. Publishers wait for the same disk; one sync
/// of the whole copy would keep it busy for a second or more.
const PAGES: i32 = 128;
/// The priority of the copying thread: the lowest there is.
const NICE: i32 = 19;
/// How often the start is repeated when the key is rotated at the same time.
const STARTS: u32 = 100;

/// The progress of a backup.
#[derive(Debug, Clone, Copy)]
pub enum Progress {
    /// This many percent are copied.
    Copied(u8),
    /// Everything is copied, and the copy is being checked.
    Checking,
}

/// A finished backup.
#[derive(Debug)]
pub struct Made {
    /// The file of the copy.
    pub file: PathBuf,
    /// The length of the copy, in bytes.
    pub bytes: u64,
    /// The problem with the mode of the key file's copy: some media keep no modes.
    pub open_to_others: Option<String>,
    /// Events whose bodies are damaged in the database, and so in the copy.
    pub damaged: usize,
}

impl Made {
    /// The problem with the copy in this file, if there is one.
    pub fn flaw(&self, file: &Path) -> Option<String> {
        (self.damaged > 0).then(|| {
            format!(
                "{} is made, but in it as in the database {} event bodies are damaged; all else is whole. '{}' names the \
                 events: an older backup may have them whole, so keep it",
                file.display(),
                self.damaged,
                command("check")
            )
        })
    }
}

/// A database as it is at a moment, open to be read, with its key. Its reader need not be the one who writes the copy:
/// root reads it as its owner.
pub struct Snapshot {
    path: PathBuf,
    conn: Connection,
    keys: KeyRing,
    key_text: Zeroizing<String>,
}

impl Snapshot {
    /// Begins to read this database.
    ///
    /// # Errors
    /// A database that is missing or no database; a key file that cannot be read, or holds anything else.
    pub fn take(storage: &Storage) -> Result<Self> {
        Self::of(storage, open::existing(storage)?)
    }

    fn of(storage: &Storage, conn: Connection) -> Result<Self> {
        let key_text = view(&conn, &storage.key_file)?;
        // What holds no key is not copied: what root reads must not get to others.
        let keys = KeyRing::parse(&storage.key_file, &key_text)?;
        Ok(Self { path: storage.path.clone(), conn, keys, key_text })
    }
}

/// Copies a database to this file, and its key beside it as `FILE.key`.
///
/// # Errors
/// A file that exists or cannot be written; a database that is damaged; a key that does not open its secrets. Then nothing
/// is left behind. A copy with damaged event bodies is made, and the result says so.
pub fn backup(from: &mut Snapshot, file: &Path, progress: impl FnMut(Progress) + Send) -> Result<Made> {
    on_a_thread(|| {
        // The priority of this thread alone, which it cannot raise again. If that fails, the copying has the normal one.
        let _ = rustix::process::nice(NICE);
        make(from, file, progress)
    })
}

impl Db {
    /// As [`Snapshot::take`] and [`backup`], in a process that has the database open. Only SQLite opens the file then: if
    /// anything else closed it, SQLite would lose its locks. It has the priority of the server: the systemd unit kills a
    /// process that changes its own.
    ///
    /// # Errors
    /// As theirs; [`Error::Unavailable`] if the name is taken.
    pub fn back_up(&self, storage: &Storage, file: &Path, progress: impl FnMut(Progress) + Send) -> Result<Made> {
        on_a_thread(|| make(&mut Snapshot::of(storage, open::another(storage)?)?, file, progress))
    }
}

impl Db {
    /// Checks that a copy finds room in this folder, and that as much stays free for deliveries.
    ///
    /// # Errors
    /// How many bytes are free, and how many are needed.
    pub fn expect_room_in(&self, folder: &Path) -> Result<()> {
        let needed = self.read_inline(|view| Ok(files::bytes_of(view.conn)?))?.saturating_mul(2);
        let remedy = "make room, keep fewer copies (backup.keep), or name a folder on another disk (backup.folder)";
        files::expect_room(&folder.join("copy"), needed)
            .map_err(|none| at(folder, &format!("has no room for a copy and as much again: {none}; {remedy}")))
    }
}

/// Makes a backup on a thread of its own.
fn on_a_thread(work: impl FnOnce() -> Result<Made> + Send) -> Result<Made> {
    let made = thread::scope(|scope| scope.spawn(work).join());
    made.unwrap_or_else(|_| Err(Error::Internal("a backup panicked".to_owned())))
}

fn make(from: &mut Snapshot, file: &Path, progress: impl FnMut(Progress)) -> Result<Made> {
    let place = Place::take(file)?;
    let copied = copy(from, &place, progress);
    place.expect_held()?;
    let damaged = copied?;
    let bytes = place.name().map_err(|error| at(file, &format!("cannot be written: {error}")))?;
    Ok(Made { file: file.to_owned(), bytes, open_to_others: files::open_to_others(&place.key_file), damaged })
}

fn copy(from: &Snapshot, place: &Place, mut progress: impl FnMut(Progress)) -> Result<usize> {
    let Place { part, key_part, held, .. } = place;
    let failed = |error: rusqlite::Error| at(part, &format!("cannot be made: {error}"));
    let key = write_new(key_part, from.key_text.as_bytes())?;
    key.sync_all().map_err(|error| at(key_part, &error.to_string()))?;
    let mut copy = place.connect()?;
    open::in_memory(&copy).map_err(failed)?;
    {
        let backup = Backup::new(&from.conn, &mut copy).map_err(failed)?;
        let mut watch = Stopwatch::start();
        while backup.step(PAGES).map_err(failed)? != StepResult::Done {
            held.sync_data().map_err(|error| at(part, &format!("cannot be written: {error}")))?;
            thread::sleep(watch.elapsed());
            watch = Stopwatch::start();
            let pages = backup.progress();
            let percent = (pages.pagecount - pages.remaining) * 100 / pages.pagecount.max(1);
            progress(Progress::Copied(u8::try_from(percent).unwrap_or(100)));
        }
    }
    from.conn.execute_batch("ROLLBACK").map_err(failed)?;
    progress(Progress::Checking);
    // One file, without a log beside it.
    copy.pragma_update(None, "journal_mode", "DELETE").map_err(failed)?;
    let damaged = check(&copy, &from.keys).map_err(|problem| {
        at(&from.path, &format!("was copied, but the copy is no good and was removed: {problem}"))
    })?;
    copy.close().map_err(|(_, error)| failed(error))?;
    Ok(damaged)
}

/// Begins a read, and returns the key file as it was at that moment.
fn view(source: &Connection, key_file: &Path) -> Result<Zeroizing<String>> {
    let unread =
        |error| at(key_file, &format!("cannot be read: {error}: put the key file of this database back first"));
    files::expect_file(key_file)?;
    let read = || fs::read_to_string(key_file).map(Zeroizing::new).map_err(unread);
    let unreadable = |error: rusqlite::Error| Error::from(error);
    for _ in 0..STARTS {
        let keys = read()?;
        source.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema;").map_err(unreadable)?;
        // At every moment the key file opens the secrets on disk. A key file that did not change while the read began
        // opens everything that the read sees.
        if *keys == *read()? {
            return Ok(keys);
        }
        source.execute_batch("ROLLBACK").map_err(unreadable)?;
    }
    Err(at(key_file, "is being changed all the time: try again when the key is not being rotated"))
}

/// Checks a copy; returns how many event bodies in it are damaged. The error is anything else that is wrong.
fn check(copy: &Connection, keys: &KeyRing) -> Result<usize, String> {
    let text = |error: rusqlite::Error| error.to_string();
    let id: i32 = copy.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(text)?;
    if id != APPLICATION_ID {
        return Err("it is not marked as ngoma's".to_owned());
    }
    let found: String = copy.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(text)?;
    if found != "ok" {
        return Err(format!("the database is damaged; '{}' says where", command("check")));
    }
    let mut rows = copy.prepare(&select_sealed(copy).map_err(text)?).map_err(text)?;
    let mut rows = rows.query([]).map_err(text)?;
    while let Some(row) = rows.next().map_err(text)? {
        let endpoint = EndpointId::from_bytes(row.get("id").map_err(text)?);
        let secret: Vec<u8> = row.get("secret").map_err(text)?;
        if keys.peek(endpoint, &secret).is_none() {
            return Err(format!("its key file does not open the signing secret of endpoint {endpoint}"));
        }
    }
    checksum::damaged(copy, |_| {}).map(|damaged| damaged.len()).map_err(text)
}
