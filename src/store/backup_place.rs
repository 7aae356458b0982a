//! The place of a backup: its two names, and the parts that get them when they are whole. Who has locked the part of the
//! copy has the place.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags};

use super::{
    Result,
    backup_files::{DAMAGED, is_named_by_server},
    files::{self, at, beside, clear, folder_of, same_file},
    lock_file,
};
use crate::error::Error;

/// How the names of a part end, and of the files that SQLite keeps beside it. The part is last: its lock protects all.
const ENDS: [&str; 4] = ["-journal", "-wal", "-shm", ""];

/// A place that is taken for a backup. What has not got its final name is removed when it is dropped.
pub(super) struct Place {
    pub(super) file: PathBuf,
    pub(super) key_file: PathBuf,
    pub(super) part: PathBuf,
    pub(super) key_part: PathBuf,
    /// The file that becomes the copy, locked until it is closed.
    pub(super) held: File,
}

impl Place {
    /// Takes the place of this file.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the name is taken; a folder that is missing; a file that cannot be written.
    pub(super) fn take(file: &Path) -> Result<Self> {
        let folder = folder_of(file);
        if !folder.is_dir() {
            let is = if folder.exists() { "is no folder" } else { "does not exist" };
            return Err(at(&folder, &format!("{is}: make this folder first, or name a file in another one")));
        }
        let (key_file, part) = (beside(file, ".key"), beside(file, ".part"));
        let key_part = beside(&key_file, ".part");
        for path in [file, &key_file, &part, &key_part] {
            files::expect_file(path)?;
        }
        let held = match lock_file::create(&part) {
            Ok(Some(held)) => held,
            Ok(None) => {
                let other = "is being written: another backup to this file is under way; wait until it has ended";
                return Err(taken(&part, other));
            }
            Err(_) if is_of_another(&part) => {
                let other =
                    "belongs to another user, whose backup to this file is under way or was cut off: name another file";
                return Err(taken(&part, other));
            }
            Err(error) => return Err(error),
        };
        let place = Self { file: file.to_owned(), key_file, part, key_part, held };
        for path in [&place.file, &place.key_file] {
            if path.symlink_metadata().is_ok() {
                return Err(taken(path, "is there already: name another file, a backup overwrites none"));
            }
        }
        clear(&place.key_part)?;
        Ok(place)
    }

    /// A connection to the part of the copy, and to nothing that was put in its place.
    pub(super) fn connect(&self) -> Result<Connection> {
        let failed = |error: String| at(&self.part, &format!("cannot be opened: {error}"));
        // SQLite follows no link then, also none that leads to the folder.
        let folder = fs::canonicalize(folder_of(&self.part)).map_err(|error| failed(error.to_string()))?;
        let part = folder.join(self.part.file_name().unwrap_or_default());
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let copy = Connection::open_with_flags(part, flags).map_err(|error| failed(error.to_string()))?;
        self.expect_held().map(|()| copy)
    }

    /// Refuses to go on if the name of the part no longer leads to the file that is held.
    pub(super) fn expect_held(&self) -> Result<()> {
        let in_place = self.held.metadata().and_then(|held| Ok(same_file(&held, &self.part.symlink_metadata()?)));
        if in_place.is_ok_and(|in_place| in_place) {
            return Ok(());
        }
        Err(at(&self.part, "was removed or replaced while the backup was made: make it again"))
    }

    /// Gives both files their names, on disk. Returns the length of the copy.
    pub(super) fn name(&self) -> io::Result<u64> {
        File::open(&self.part)?.sync_all()?;
        // The key first: there must be no copy without its key.
        fs::rename(&self.key_part, &self.key_file)?;
        fs::rename(&self.part, &self.file)?;
        File::open(folder_of(&self.file))?.sync_all()?;
        self.held.metadata().map(|file| file.len())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for file in [&self.key_part, &self.part].into_iter().flat_map(|part| all_of(part)) {
            let _ = fs::remove_file(file);
        }
    }
}

/// A part, and the files that SQLite keeps beside it.
fn all_of(part: &Path) -> [PathBuf; 4] {
    ENDS.map(|end| beside(part, end))
}

fn taken(path: &Path, problem: &str) -> Error {
    Error::Unavailable(at(path, problem).to_string())
}

fn is_of_another(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|file| file.uid() != rustix::process::geteuid().as_raw())
}

/// Creates a folder for backups, for its owner only, if it is missing; and removes what interrupted backups of
/// the server have left there. What is being written, and what another user has left, stays.
///
/// # Errors
/// A folder that cannot be created or read.
pub fn make_folder(folder: &Path) -> Result<()> {
    files::make_folders(folder, 0o700).map_err(|error| at(folder, &format!("cannot be made: {error}")))?;
    let unread = |error: io::Error| at(folder, &format!("cannot be read: {error}"));
    let there = fs::read_dir(folder).map_err(unread)?.collect::<io::Result<Vec<_>>>().map_err(unread)?;
    let cut_off: BTreeSet<PathBuf> = there.iter().filter_map(|file| backup_of(&file.path())).collect();
    for file in cut_off {
        if let Err(error) = clear_left(&file)
            && !is_of_another(&beside(&file, ".part"))
        {
            tracing::warn!(%error, "what an interrupted backup has left cannot be removed: remove it");
        }
    }
    Ok(())
}

/// The backup that this file is a part of, or lies beside a part of, if the server has named it.
fn backup_of(left: &Path) -> Option<PathBuf> {
    let left = left.to_str()?;
    let part = ENDS.iter().find_map(|end| left.strip_suffix(end)?.strip_suffix(".part"))?;
    let file = Path::new(part.strip_suffix(".key").unwrap_or(part));
    is_named_by_server(file).then(|| file.to_owned())
}

/// Removes what is left of an interrupted backup, unless it is being written.
fn clear_left(file: &Path) -> Result<()> {
    let (key, part) = (beside(file, ".key"), beside(file, ".part"));
    let was_there = part.symlink_metadata().is_ok();
    let Some(_held) = lock_file::create(&part)? else { return Ok(()) };
    // It was cut off between its two names, or while it was removed. A key alone stays: its copy may be elsewhere.
    if was_there && file.symlink_metadata().is_err() {
        [&key, &beside(file, DAMAGED)].into_iter().try_for_each(|left| clear(left))?;
    }
    [beside(&key, ".part"), part].iter().flat_map(|part| all_of(part)).try_for_each(|left| clear(&left))
}
