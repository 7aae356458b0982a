//! The files beside the database: whom they are for, and the lock that makes a process the only server.

use std::{
    ffi::OsString,
    fs::{self, File, Permissions, TryLockError},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use crate::{
    config,
    error::{Error, Result},
};

/// Whom a file is for: its owner.
pub(super) const OWN: u32 = 0o600;
/// What anybody else may do with a file.
const OTHERS: u32 = 0o077;

/// What is wrong with the mode of a file, and the remedy; `None` if it is for its owner only, or not there.
pub(super) fn open_to_others(path: &Path) -> Option<String> {
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
    (mode & OTHERS != 0).then(|| format!("others may use it (mode {mode:o}): chmod {OWN:o} {}", path.display()))
}

/// Refuses what is there and is no file: opening a pipe can take for ever.
pub(super) fn expect_file(path: &Path) -> Result<()> {
    match config::no_file(path) {
        Some(kind) => Err(at(path, &format!("is {kind}, not a file: move it away, or name another file"))),
        None => Ok(()),
    }
}

/// The files that make up a database: SQLite gives the log and its index the mode of the first.
pub(super) fn of_database(path: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|suffix| beside(path, suffix))
}

/// Bytes of a file; 0 if it is not there.
pub(super) fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |there| there.len())
}

/// Bytes that the server may still write on the disk of this file; `None` if the system does not say.
pub(super) fn free_space(path: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder_of(path)).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Makes each of these files, as far as they are there and ours, a file for its owner only.
pub(super) fn narrow(files: &[PathBuf]) {
    for file in files.iter().filter(|file| open_to_others(file).is_some()) {
        // Of another owner: it may well be meant so, and `ngoma check` tells.
        drop(fs::set_permissions(file, Permissions::from_mode(OWN)));
    }
}

/// The lock of the one server of a file.
pub(super) struct ServingLock {
    file: File,
    name: PathBuf,
}

impl ServingLock {
    /// Takes the lock of this database, by whatever name it is called. A left-over lock file is no lock.
    pub(super) fn take(database: &Path) -> Result<Self> {
        let name = name_of_lock(database);
        expect_file(&name)?;
        let file = fs::OpenOptions::new().write(true).create(true).truncate(false).mode(OWN).open(&name);
        let file = file.map_err(|error| at(&name, &format!("cannot be opened: {error}")))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(at(database, "is in use: another ngoma is already serving this database"));
            }
            Err(TryLockError::Error(error)) => return Err(at(&name, &format!("cannot be locked: {error}"))),
        }
        narrow(std::slice::from_ref(&name));
        let lock = Self { file, name };
        match lock.lost() {
            None => Ok(lock),
            Some(lost) => Err(Error::Internal(lost)),
        }
    }

    /// Why it keeps nobody away any more: another file is, or can be, locked under its name.
    pub(super) fn lost(&self) -> Option<String> {
        let same = |there: fs::Metadata| {
            self.file.metadata().is_ok_and(|held| (held.dev(), held.ino()) == (there.dev(), there.ino()))
        };
        let kept = fs::metadata(&self.name).is_ok_and(same);
        (!kept).then(|| {
            format!("{} was removed or replaced: another server may have the database by now", self.name.display())
        })
    }
}

impl Drop for ServingLock {
    fn drop(&mut self) {
        // Closing the file would do, but for a process that is being started at this moment and holds it open too.
        let _ = self.file.unlock();
    }
}

/// The lock file of a database: beside the file itself, links on the way to it resolved.
pub(super) fn name_of_lock(database: &Path) -> PathBuf {
    let folder = || Some(fs::canonicalize(folder_of(database)).ok()?.join(database.file_name()?));
    let real = fs::canonicalize(database).ok().or_else(folder);
    beside(real.as_deref().unwrap_or(database), ".lock")
}

/// A file beside another, whose name goes on so.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// The folder that a file is in.
pub(super) fn folder_of(path: &Path) -> PathBuf {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

pub(super) fn at(path: &Path, problem: &str) -> Error {
    Error::Internal(format!("{} {problem}", path.display()))
}
