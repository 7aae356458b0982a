//! A copy of the database while it is served, and of the key file that opens its secrets.
//!
//! The pages are copied within one read: whatever is written meanwhile is not in the copy, and what was on disk before is.
//! Nothing has its name before it is whole, checked and synced.

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rusqlite::{
    Connection, OpenFlags,
    backup::{Backup, StepResult},
};
use zeroize::Zeroizing;

use super::{
    KeyRing,
    files::{OWN, at, beside, folder_of},
    open::{self, APPLICATION_ID},
};
use crate::{
    config::Storage,
    domain::ids::EndpointId,
    error::{Error, Result},
};

/// Pages that are copied before progress is told: 4 MiB.
const PAGES: i32 = 1024;
/// How often the start is tried anew when the key is rotated just then.
const STARTS: u32 = 100;

/// What a backup is doing.
#[derive(Debug, Clone, Copy)]
pub enum Progress {
    /// So many percent are copied.
    Copied(u8),
    /// All is copied, and looked through.
    Checking,
}

/// Copies the database to this file, and the key file beside it as `FILE.key`. Gives the copy's length, in bytes.
///
/// # Errors
/// A file that is there already, or cannot be written; a database that is not there or is damaged; a key file that does not
/// open its secrets. Nothing is left behind then.
pub fn backup(storage: &Storage, file: &Path, progress: impl FnMut(Progress)) -> Result<u64> {
    let key_file = beside(file, ".key");
    for file in [file, &key_file] {
        if file.symlink_metadata().is_ok() {
            return Err(at(file, "is there already: name another file, a backup overwrites none"));
        }
    }
    let parts = Parts([beside(file, ".part"), beside(&key_file, ".part")]);
    let [part, key_part] = &parts.0;
    for part in &parts.0 {
        // What a backup that was cut off left there.
        fs::remove_file(part)
            .or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
            .map_err(|error| at(part, &format!("is in the way: {error}")))?;
    }
    copy(storage, part, key_part, progress)?;
    let synced = || {
        File::open(part)?.sync_all()?;
        // The key first: there is no copy without it.
        fs::rename(key_part, &key_file)?;
        fs::rename(part, file)?;
        File::open(folder_of(file))?.sync_all()?;
        fs::metadata(file).map(|file| file.len())
    };
    synced().map_err(|error: std::io::Error| at(file, &format!("cannot be written: {error}")))
}

/// Makes a folder for backups, for its owner only, if it is not there.
///
/// # Errors
/// One that cannot be made.
pub fn make_folder(folder: &Path) -> Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| at(folder, &format!("cannot be made: {error}")))
}

fn copy(storage: &Storage, part: &Path, key_part: &Path, mut progress: impl FnMut(Progress)) -> Result<()> {
    let source = open::existing(storage)?;
    let failed = |error: rusqlite::Error| at(part, &format!("cannot be made: {error}"));
    let keys = view(&source, &storage.key_file)?;
    drop(write_new(part, b"")?);
    write_new(key_part, keys.as_bytes())?.sync_all().map_err(|error| at(key_part, &error.to_string()))?;
    let mut copy = Connection::open_with_flags(part, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(failed)?;
    {
        let backup = Backup::new(&source, &mut copy).map_err(failed)?;
        while backup.step(PAGES).map_err(failed)? != StepResult::Done {
            let pages = backup.progress();
            let percent = (pages.pagecount - pages.remaining) * 100 / pages.pagecount.max(1);
            progress(Progress::Copied(u8::try_from(percent).unwrap_or(100)));
        }
    }
    source.execute_batch("ROLLBACK").map_err(failed)?;
    progress(Progress::Checking);
    // One file, without a log beside it.
    copy.pragma_update(None, "journal_mode", "DELETE").map_err(failed)?;
    check(&copy, &KeyRing::read(key_part)?).map_err(|problem| {
        at(&storage.path, &format!("was copied, but the copy is no good and was removed: {problem}"))
    })?;
    copy.close().map_err(|(_, error)| failed(error))
}

/// Begins to read, and gives the key file as it was then.
fn view(source: &Connection, key_file: &Path) -> Result<Zeroizing<String>> {
    let read = || fs::read_to_string(key_file).map(Zeroizing::new).map_err(|error| at(key_file, &error.to_string()));
    let unreadable = |error: rusqlite::Error| Error::from(error);
    for _ in 0..STARTS {
        let keys = read()?;
        source.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema;").map_err(unreadable)?;
        // The file opens whatever is on disk at every moment: the one that stayed the same does so for this view.
        if *keys == *read()? {
            return Ok(keys);
        }
        source.execute_batch("ROLLBACK").map_err(unreadable)?;
    }
    Err(at(key_file, "is being changed all the time: try again when the key is not being rotated"))
}

/// What is wrong with a copy.
fn check(copy: &Connection, keys: &KeyRing) -> Result<(), String> {
    let text = |error: rusqlite::Error| error.to_string();
    let id: i32 = copy.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(text)?;
    if id != APPLICATION_ID {
        return Err("it is not marked as ngoma's".to_owned());
    }
    let found: String = copy.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(text)?;
    if found != "ok" {
        return Err("the database is damaged; 'ngoma check' says where".to_owned());
    }
    let mut rows = copy.prepare(open::SEALED).map_err(text)?;
    let mut rows = rows.query([]).map_err(text)?;
    while let Some(row) = rows.next().map_err(text)? {
        let endpoint = EndpointId::from_bytes(row.get("id").map_err(text)?);
        let secret: Vec<u8> = row.get("secret").map_err(text)?;
        keys.open(endpoint, &secret).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Files that are not whole: they go, unless they were given their names.
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

fn write_new(path: &Path, bytes: &[u8]) -> Result<File> {
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(OWN).open(path)?;
        file.write_all(bytes).map(|()| file)
    };
    write().map_err(|error| at(path, &format!("cannot be written: {error}")))
}
