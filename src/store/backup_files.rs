//! The backups in a folder: the list for the dashboard, and the files that it hands out.

use std::{
    ffi::OsStr,
    fs::{self, File},
    path::Path,
    time::UNIX_EPOCH,
};

use super::{
    Result,
    files::{at, beside},
    open::known,
    served_files::same_file,
};
use crate::domain::timestamp::Timestamp;

/// A backup in the folder.
#[derive(Debug, Clone)]
pub struct BackupFile {
    /// The name of its file.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// When it was made: by its name, or when the file was written.
    pub made_at: Timestamp,
    /// Whether its key is beside it.
    pub has_key: bool,
    /// Whether its name is one that the server gives to those that it makes by itself.
    pub by_itself: bool,
}

/// How the names of the backups begin that the server makes by itself.
const BY_ITSELF: &str = "auto-";

/// The name of a backup that somebody asked for at this moment.
pub fn backup_name(at: Timestamp) -> String {
    format!("{}.db", at.to_string().replace(':', "-"))
}

/// The name of a backup that the server makes by itself at this moment.
pub fn own_backup_name(at: Timestamp) -> String {
    format!("{BY_ITSELF}{}", backup_name(at))
}

/// Whether the server gave a backup this name.
pub(super) fn is_named_by_server(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let at = name.strip_suffix(".db").and_then(moment);
    at.is_some_and(|at| [backup_name(at), own_backup_name(at)].iter().any(|given| given == name))
}

/// One of the two files of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackupPart {
    /// The copy of the database.
    Database,
    /// The key that opens its secrets.
    Key,
}

/// The backups in a folder, the newest first. A folder that is missing has none.
///
/// # Errors
/// A folder that cannot be read.
pub fn backup_files(folder: &Path) -> Result<Vec<BackupFile>> {
    let there = match fs::read_dir(folder) {
        Ok(there) => there,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(at(folder, &format!("cannot be read: {error}"))),
    };
    let names = there.flatten().filter_map(|file| file.file_name().into_string().ok());
    let mut found: Vec<BackupFile> = names.filter_map(|name| look(folder, name)).collect();
    found.sort_by(|one, other| (other.made_at, &other.name).cmp(&(one.made_at, &one.name)));
    Ok(found)
}

/// The backup in the file of this name; `None` if it is none.
fn look(folder: &Path, name: String) -> Option<BackupFile> {
    let stem = name.strip_suffix(".db")?;
    let path = folder.join(&name);
    // A link may lead anywhere, to the served database too.
    let file = path.symlink_metadata().ok().filter(fs::Metadata::is_file)?;
    let written = file.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    let written = Timestamp::from_millis(i64::try_from(written.as_millis()).unwrap_or(i64::MAX));
    let has_key = beside(&path, ".key").symlink_metadata().is_ok_and(|key| key.is_file());
    let named = moment(stem);
    let by_itself = named.is_some_and(|at| own_backup_name(at) == name);
    Some(BackupFile { bytes: file.len(), made_at: named.unwrap_or(written), has_key, by_itself, name })
}

/// The moment in a name that the server gave: `2026-04-20T11-55-00Z`, `auto-2026-04-20T11-55-00Z`.
fn moment(stem: &str) -> Option<Timestamp> {
    let (day, time) = stem.strip_prefix(BY_ITSELF).unwrap_or(stem).split_once('T')?;
    Timestamp::parse(&format!("{day}T{}", time.replace('-', ":")))
}

/// Opens one file of a backup in a folder, to be read; `None` if there is no such backup. Never the database that is
/// served: only SQLite may close that.
///
/// # Errors
/// A folder or a file that cannot be read.
pub fn open_backup(folder: &Path, served: &Path, name: &str, part: BackupPart) -> Result<Option<(File, u64)>> {
    let Some(backup) = backup_files(folder)?.into_iter().find(|backup| backup.name == name) else { return Ok(None) };
    let database = folder.join(&backup.name);
    let path = match part {
        BackupPart::Database => database,
        BackupPart::Key if backup.has_key => beside(&database, ".key"),
        BackupPart::Key => return Ok(None),
    };
    let unread = |error: std::io::Error| at(&path, &format!("cannot be read: {error}"));
    let found = path.symlink_metadata().map_err(unread)?;
    if served.metadata().is_ok_and(|served| same_file(&served, &found)) {
        return Ok(None);
    }
    let file = File::open(&path).map_err(unread)?;
    Ok(Some((file, found.len())))
}

/// Removes the backups in this folder that the server made by itself, but not the newest `keep` of them. A file with
/// such a name that is no database of ours stays, and so does a backup of a future time: the clock was set. Returns the
/// names of the removed ones.
///
/// # Errors
/// A folder that cannot be read, or a file that cannot be removed.
pub fn forget_backups(folder: &Path, served: &Path, keep: usize, now: Timestamp) -> Result<Vec<String>> {
    let own = backup_files(folder)?.into_iter().filter(|backup| backup.by_itself && backup.made_at <= now);
    let mut removed = Vec::new();
    for BackupFile { name, has_key, bytes, .. } in own.skip(keep) {
        let path = folder.join(&name);
        let is_served = |file: &fs::Metadata| served.metadata().is_ok_and(|served| same_file(&served, file));
        // Only SQLite may open and close the database that is served.
        if path.symlink_metadata().map_or(true, |file| is_served(&file)) || bytes == 0 || known(&path).is_err() {
            continue;
        }
        // The copy first: there must be none without its key.
        let files = [Some(path.clone()), has_key.then(|| beside(&path, ".key"))];
        for file in files.into_iter().flatten() {
            fs::remove_file(&file).map_err(|error| at(&file, &format!("cannot be removed: {error}")))?;
        }
        removed.push(name);
    }
    Ok(removed)
}
