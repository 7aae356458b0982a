//! Files that one process at a time writes: the parts of a copy.
//!
//! A lock is that of a file, not of its name. So who has locked a file looks whether the name still leads to it, and
//! whoever removes or renames the file has its lock.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::ErrorKind,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use rustix::fs::OFlags;

use super::{
    Result,
    files::{self, at, clear, same_file},
};

/// How often a name is tried that others make and remove at the same time.
const TRIES: u32 = 1000;

/// A name of a file that may be locked.
pub(super) enum Found {
    /// This process has its lock now, until the file is closed. A medium without locks keeps nobody away.
    Locked(File),
    /// Another process has it.
    InUse,
    /// There is no such file any more.
    Gone,
}

/// Locks the file of this name.
///
/// # Errors
/// A file that cannot be opened, and what is no file.
pub(super) fn lock(path: &Path) -> Result<Found> {
    // Neither a link is followed nor a pipe waited for.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let flags = i32::try_from(flags).unwrap_or_default();
    match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => Ok(lock_open(path, file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Found::Gone),
        Err(error) => Err(at(path, &format!("cannot be opened: {error}"))),
    }
}

fn lock_open(path: &Path, file: File) -> Found {
    if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
        return Found::InUse;
    }
    let is_there = file.metadata().and_then(|file| Ok(same_file(&file, &path.symlink_metadata()?)));
    if is_there.is_ok_and(|is_there| is_there) { Found::Locked(file) } else { Found::Gone }
}

/// Whether another process has the lock of this file.
pub(super) fn is_in_use(path: &Path) -> bool {
    matches!(lock(path), Ok(Found::InUse))
}

/// Creates an empty file and locks it until it is closed, in place of one that was left; `None` if another process has
/// it.
///
/// # Errors
/// A file that cannot be created, or one that is in the way and cannot be removed.
pub(super) fn create(path: &Path) -> Result<Option<File>> {
    for _ in 0..TRIES {
        match files::make(path) {
            Ok(made) => match lock_open(path, made) {
                Found::Locked(file) => return Ok(Some(file)),
                Found::InUse => return Ok(None),
                Found::Gone => {}
            },
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                if let Found::InUse = take_away(path)? {
                    return Ok(None);
                }
            }
            Err(error) => return Err(at(path, &format!("cannot be written: {error}"))),
        }
    }
    Err(at(path, "is made and removed by others all the time"))
}

/// Removes a file that was left, while its lock is held.
fn take_away(path: &Path) -> Result<Found> {
    if path.symlink_metadata().is_ok_and(|there| !there.is_file()) {
        return clear(path).map(|()| Found::Gone);
    }
    let found = lock(path)?;
    if let Found::Locked(_) = found {
        clear(path)?;
    }
    Ok(found)
}
