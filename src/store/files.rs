//! The files of the database: names, sizes, owners and modes.

use std::{
    ffi::OsString,
    fs::{self, File, Metadata, Permissions},
    io::{self, ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown, lchown},
    path::{Path, PathBuf},
};

use rusqlite::Connection;
use rustix::fs::{Access, access};

use super::Result;
use crate::{
    config::{self, Storage},
    error::Error,
};

/// The mode of a file: for its owner only.
pub(super) const OWN: u32 = 0o600;
/// The mode bits of all other users.
const OTHERS: u32 = 0o077;
/// Links that are followed to a file that is not there.
const LINKS: usize = 40;

/// Identifies a file: device and inode.
pub(super) type FileId = (u64, u64);

/// What identifies this file.
pub(super) fn id_of(file: &Metadata) -> FileId {
    (file.dev(), file.ino())
}

/// Whether two names led to one file.
pub(super) fn same_file(one: &Metadata, other: &Metadata) -> bool {
    id_of(one) == id_of(other)
}

/// The problem with a file's mode, and the remedy; `None` if it is for its owner only, or missing.
pub(super) fn open_to_others(path: &Path) -> Option<String> {
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
    (mode & OTHERS != 0).then(|| format!("others may use it (mode {mode:o}): chmod {OWN:o} {}", path.display()))
}

/// Identifies a version of a file: device, inode, length, and the time of its last change in seconds and nanoseconds.
pub(super) type Stamp = (u64, u64, u64, i64, i64);

/// The stamp of a file.
pub(super) fn stamp(file: &Metadata) -> Stamp {
    (file.dev(), file.ino(), file.len(), file.ctime(), file.ctime_nsec())
}

/// Refuses a path that exists and is no file: opening a pipe can block for ever.
pub(super) fn expect_file(path: &Path) -> Result<()> {
    match config::no_file(path) {
        Some(kind) => Err(at(path, &format!("is {kind}, not a file: name another file"))),
        None => Ok(()),
    }
}

/// The file behind a path, with links resolved, whether it is there or not.
pub(super) fn real(path: &Path) -> PathBuf {
    if let Ok(real) = fs::canonicalize(path) {
        return real;
    }
    let mut end = path.to_owned();
    for _ in 0..LINKS {
        let Ok(to) = fs::read_link(&end) else { break };
        end = folder_of(&end).join(to);
    }
    let folder = fs::canonicalize(folder_of(&end)).ok();
    let real = folder.and_then(|folder| Some(folder.join(end.file_name()?)));
    real.or_else(|| std::path::absolute(path).ok()).unwrap_or_else(|| path.to_owned())
}

/// The files of a database. SQLite keeps the log and its index beside the file itself, with links resolved, and gives
/// them its mode.
pub(super) fn of_database(path: &Path) -> [PathBuf; 3] {
    let real = real(path);
    [path.to_owned(), beside(&real, "-wal"), beside(&real, "-shm")]
}

/// The note that a restore has begun to exchange files, beside the database, with links resolved.
pub(super) fn note_of_restore(path: &Path) -> PathBuf {
    beside(&real(path), ".restoring")
}

/// The file that a restore prepares, and keeps locked.
pub(super) fn part_of_restore(path: &Path) -> PathBuf {
    beside(&real(path), ".restored")
}

/// Refuses a link that leads to nothing: what is written there would not get to the disk that it means.
pub(super) fn expect_linked(path: &Path) -> Result<()> {
    match fs::read_link(path) {
        Ok(to) if fs::metadata(path).is_err_and(|error| error.kind() == ErrorKind::NotFound) => {
            let to = to.display();
            Err(at(path, &format!("is a link to {to}, where nothing is: mount the disk of {to}, or remove the link")))
        }
        _ => Ok(()),
    }
}

/// Refuses a database whose files are being exchanged by a restore.
pub(super) fn expect_exchanged(path: &Path) -> Result<()> {
    if !note_of_restore(path).exists() {
        return Ok(());
    }
    let command = "'ngoma restore' with the same file again";
    Err(at(path, &format!("is being restored from a backup. If that was cut off, run {command}: it does the rest")))
}

/// Refuses a database whose files are being exchanged by a restore, or else a link of it or of its key that leads to
/// nothing: a restore that was cut off may have left such a link.
pub(super) fn expect_whole(storage: &Storage) -> Result<()> {
    expect_exchanged(&storage.path)?;
    [&storage.path, &storage.key_file].into_iter().try_for_each(|path| expect_linked(path))
}

/// The size of a file in bytes; 0 if it is missing.
pub(super) fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |there| there.len())
}

/// The bytes of all pages of an open database.
pub(super) fn bytes_of(conn: &Connection) -> rusqlite::Result<u64> {
    let count = |name: &str| conn.pragma_query_value(None, name, |row| row.get::<_, u64>(0));
    Ok(count("page_count")?.saturating_mul(count("page_size")?))
}

/// Free bytes for this user on the disk of this file; `None` if the system does not say.
pub(super) fn free_space(path: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder_of(path)).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Checks that this many bytes are free on the disk of this file. A system that does not say how many are free has enough.
///
/// # Errors
/// How many are free, and how many are needed.
pub(super) fn expect_room(path: &Path, needed: u64) -> Result<()> {
    let mega = |bytes: u64| bytes.div_ceil(1_000_000);
    match free_space(path).filter(|free| *free < needed) {
        Some(free) => Err(Error::Internal(format!("{} MB are free, and {} MB are needed", mega(free), mega(needed)))),
        None => Ok(()),
    }
}

/// Whether this process runs as root, which may give files away and open any file.
pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether this user may read a file.
pub(super) fn may_read(file: &Path) -> bool {
    access(file, Access::READ_OK).is_ok()
}

/// Whether this user may read and write a file, or create files in a folder.
pub(super) fn may_write(path: &Path) -> bool {
    let enter = if path.is_dir() { Access::EXEC_OK } else { Access::READ_OK };
    access(path, Access::WRITE_OK | enter).is_ok()
}

/// Creates a file for its owner only. If root creates it, it gets the owner of its folder: the server, which may run as
/// that user, must be able to use files that a command of root's created.
pub(super) fn make(path: &Path) -> io::Result<File> {
    let file = fs::OpenOptions::new().read(true).write(true).create_new(true).mode(OWN).open(path)?;
    if is_root() {
        // On a medium without owners, the file belongs to the same user as the folder anyway.
        drop(fs::metadata(folder_of(path)).and_then(|folder| give(&file, &folder)));
    }
    Ok(file)
}

/// Gives a file the owner of the file that it replaces, and its mode, without that of other users.
pub(super) fn keep(file: &File, replaced: &Metadata) -> io::Result<()> {
    give(file, replaced)?;
    file.set_permissions(own_mode(replaced))
}

/// The mode that its owner has, and nothing for other users.
pub(super) fn own_mode(file: &Metadata) -> Permissions {
    Permissions::from_mode(file.mode() & 0o700)
}

fn give(file: &File, like: &Metadata) -> io::Result<()> {
    let own = file.metadata()?;
    if (own.uid(), own.gid()) == (like.uid(), like.gid()) {
        return Ok(());
    }
    fchown(file, Some(like.uid()), Some(like.gid()))
}

/// Creates a folder with this mode, and the missing folders above it. If root creates them, each gets the owner of the
/// folder above.
pub(super) fn make_folders(folder: &Path, mode: u32) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = folder_of(folder);
    make_folders(&above, mode)?;
    match fs::DirBuilder::new().mode(mode).create(folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => return Ok(()),
        made => made?,
    }
    if is_root() {
        let owner = fs::metadata(above)?;
        drop(lchown(folder, Some(owner.uid()), Some(owner.gid())));
    }
    Ok(())
}

/// Limits each of these files to its owner, if it exists and is ours.
pub(super) fn narrow(files: &[PathBuf]) {
    for file in files.iter().filter(|file| open_to_others(file).is_some()) {
        // A file of another owner may be meant to be so, and `ngoma check` reports it.
        drop(fs::set_permissions(file, Permissions::from_mode(OWN)));
    }
}

/// Removes the file of an interrupted backup.
pub(super) fn clear(part: &Path) -> Result<()> {
    fs::remove_file(part)
        .or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
        .map_err(|error| at(part, &format!("is in the way: {error}")))
}

/// Creates a file with these bytes, for its owner only. If they find no room, nothing is left.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> Result<File> {
    let write = || {
        let mut file = make(path)?;
        file.write_all(bytes).inspect_err(|_| drop(fs::remove_file(path)))?;
        Ok::<_, io::Error>(file)
    };
    write().map_err(|error| at(path, &format!("cannot be written: {error}")))
}

/// The name of a file beside another: the same name with a suffix.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// The folder of a file.
pub(super) fn folder_of(path: &Path) -> PathBuf {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

pub(super) fn at(path: &Path, problem: &str) -> Error {
    Error::Internal(format!("{} {problem}", path.display()))
}
