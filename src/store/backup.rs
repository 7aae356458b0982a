//! Backups: a copy of the database while it is served, and of the key file that opens its secrets.
//!
//! All pages are copied within one read: the copy has the data that was on disk when the read began, and nothing later.
//! No file gets its name before it is complete, checked and synced.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    thread,
};

use rusqlite::{
    Connection, OpenFlags,
    backup::{Backup, StepResult},
};
use zeroize::Zeroizing;

use super::{
    Db, KeyRing, Result,
    backup_files::is_named_by_server,
    checksum,
    files::{self, at, beside, clear, folder_of, same_file, write_new},
    keyring::select_sealed,
    lock_file::{self, Found},
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

/// Copies the database to this file, and the key file beside it as `FILE.key`.
///
/// # Errors
/// A file that exists or cannot be written; a database that is missing or damaged; a key file that does not open its
/// secrets. Then nothing is left behind. A copy with damaged event bodies is made, and the result says so.
pub fn backup(storage: &Storage, file: &Path, progress: impl FnMut(Progress) + Send) -> Result<Made> {
    on_a_thread(|| {
        // The priority of this thread alone, which it cannot raise again. If that fails, the copying has the normal one.
        let _ = rustix::process::nice(NICE);
        make(open::existing, storage, file, progress)
    })
}

impl Db {
    /// As [`backup`], in a process that has the database open. Only SQLite opens the file then: if anything else closed
    /// it, SQLite would lose its locks. It has the priority of the server: the systemd unit kills a process that changes
    /// its own.
    ///
    /// # Errors
    /// As [`backup`].
    pub fn back_up(&self, storage: &Storage, file: &Path, progress: impl FnMut(Progress) + Send) -> Result<Made> {
        on_a_thread(|| make(open::another, storage, file, progress))
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

fn make(
    open: fn(&Storage) -> Result<Connection>,
    storage: &Storage,
    file: &Path,
    progress: impl FnMut(Progress),
) -> Result<Made> {
    let folder = folder_of(file);
    if !folder.exists() {
        return Err(at(&folder, "does not exist: make this folder first, or name a file in another one"));
    }
    let key_file = beside(file, ".key");
    let all = [file.to_owned(), key_file.clone(), beside(file, ".part"), beside(&key_file, ".part")];
    all.iter().try_for_each(|file| files::expect_file(file))?;
    if !folder_of(file).is_dir() {
        return Err(at(&folder_of(file), "is no folder: make it first, or name a file in another folder"));
    }
    let held = take(&beside(file, ".part"))?;
    let parts = Parts([beside(file, ".part"), beside(&key_file, ".part")]);
    let [part, key_part] = &parts.0;
    for file in [file, &key_file] {
        if file.symlink_metadata().is_ok() {
            return Err(at(file, "is there already: name another file, a backup overwrites none"));
        }
    }
    clear(key_part)?;
    let copied = copy(&open(storage)?, storage, &held, part, key_part, progress);
    let in_place = held.metadata().and_then(|made| Ok(same_file(&made, &part.symlink_metadata()?)));
    if !in_place.is_ok_and(|in_place| in_place) {
        return Err(at(part, "was removed or replaced while the backup was made: make it again"));
    }
    let damaged = copied?;
    let synced = || {
        File::open(part)?.sync_all()?;
        // The key first: there must be no copy without its key.
        fs::rename(key_part, &key_file)?;
        fs::rename(part, file)?;
        File::open(folder_of(file))?.sync_all()?;
        held.metadata().map(|file| file.len())
    };
    let bytes = synced().map_err(|error: std::io::Error| at(file, &format!("cannot be written: {error}")))?;
    Ok(Made { bytes, open_to_others: files::open_to_others(&key_file), damaged })
}

/// Creates the file that becomes the copy, and locks it against other backups until it is closed.
fn take(part: &Path) -> Result<File> {
    lock_file::create(part)?
        .ok_or_else(|| at(part, "is being written: another backup to this file is under way; wait until it has ended"))
}

/// Creates a folder for backups, for its owner only, if it is missing; and removes what interrupted backups of
/// the server have left there.
///
/// # Errors
/// A folder that cannot be created or read.
pub fn make_folder(folder: &Path) -> Result<()> {
    files::make_folders(folder, 0o700).map_err(|error| at(folder, &format!("cannot be made: {error}")))?;
    let unread = |error: std::io::Error| at(folder, &format!("cannot be read: {error}"));
    for there in fs::read_dir(folder).map_err(unread)? {
        let part = there.map_err(unread)?.path();
        // The lock on the part of the database protects the part of its key file too. Other programs have such names too.
        let Some(of) = part.to_str().and_then(|part| part.strip_suffix(".part")) else { continue };
        let of = of.strip_suffix(".key").unwrap_or(of);
        if !is_named_by_server(Path::new(of)) {
            continue;
        }
        match lock_file::lock(&beside(Path::new(of), ".part")) {
            Ok(Found::InUse) => {}
            // If it is locked now, it stays so until it is removed.
            _left => clear(&part)?,
        }
    }
    Ok(())
}

fn copy(
    source: &Connection,
    storage: &Storage,
    held: &File,
    part: &Path,
    key_part: &Path,
    mut progress: impl FnMut(Progress),
) -> Result<usize> {
    let failed = |error: rusqlite::Error| at(part, &format!("cannot be made: {error}"));
    let keys = view(source, &storage.key_file)?;
    write_new(key_part, keys.as_bytes())?.sync_all().map_err(|error| at(key_part, &error.to_string()))?;
    let mut copy = Connection::open_with_flags(part, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(failed)?;
    open::in_memory(&copy).map_err(failed)?;
    {
        let backup = Backup::new(source, &mut copy).map_err(failed)?;
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
    source.execute_batch("ROLLBACK").map_err(failed)?;
    progress(Progress::Checking);
    // One file, without a log beside it.
    copy.pragma_update(None, "journal_mode", "DELETE").map_err(failed)?;
    let damaged = check(&copy, &KeyRing::parse(key_part, &keys)?).map_err(|problem| {
        at(&storage.path, &format!("was copied, but the copy is no good and was removed: {problem}"))
    })?;
    copy.close().map_err(|(_, error)| failed(error))?;
    Ok(damaged)
}

/// Begins a read, and returns the key file as it was at that moment.
fn view(source: &Connection, key_file: &Path) -> Result<Zeroizing<String>> {
    let unread =
        |error| at(key_file, &format!("cannot be read: {error}: put the key file of this database back first"));
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
        keys.open(copy, endpoint, &secret).map_err(|error| error.to_string())?;
    }
    checksum::damaged(copy, |_| {}).map(|damaged| damaged.len()).map_err(text)
}

/// Incomplete files: they are removed unless they got their final names.
struct Parts([PathBuf; 2]);

impl Drop for Parts {
    fn drop(&mut self) {
        for part in self
            .0
            .iter()
            .flat_map(|part| [part.clone(), beside(part, "-journal"), beside(part, "-wal"), beside(part, "-shm")])
        {
            let _ = fs::remove_file(part);
        }
    }
}
