//! The files of the database: their names, their sizes, and whom they are for.

use std::{
    ffi::OsString,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use crate::error::Error;

/// Whom a file is for: its owner.
pub(super) const OWN: u32 = 0o600;
/// What anybody else may do with a file.
const OTHERS: u32 = 0o077;

/// What is wrong with the mode of a file, and the remedy; `None` if it is for its owner only, or not there.
pub(super) fn open_to_others(path: &Path) -> Option<String> {
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
    (mode & OTHERS != 0).then(|| format!("others may use it (mode {mode:o}): chmod {OWN:o} {}", path.display()))
}

/// The files that make up a database: SQLite keeps the log and its index beside the file itself, links on the way to it
/// resolved, and gives them its mode.
pub(super) fn of_database(path: &Path) -> [PathBuf; 3] {
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    [path.to_owned(), beside(&real, "-wal"), beside(&real, "-shm")]
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
