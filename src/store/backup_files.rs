//! The folder for the backups of a served database: what counts as its last backup, what the dashboard lists and hands
//! out, and what goes when there are too many.
//!
//! Other servers may keep theirs in the same folder, and other programs their files: only copies of this database are
//! seen. A copy has the first key of its database in its audit.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, UNIX_EPOCH},
};

use super::{
    Db, Result, check,
    files::{self, Stamp, at, beside, clear, same_file, write_new},
    key_mark::{self, FirstKey},
    open::known,
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
    /// Whether the server made it by itself: by its name, and by its first key.
    pub by_itself: bool,
    /// Whether event bodies in it are damaged: the server has noted so beside it.
    pub is_damaged: bool,
}

impl BackupFile {
    /// Whether its time has come. One of a later time is from before the clock was set back.
    pub fn has_come(&self, now: Timestamp) -> bool {
        self.made_at <= now + NAMES * SECOND
    }
}

/// Whose a file in the folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// A copy of this database.
    Own,
    /// A copy made by version 0.1, which noted no key: nobody can say of which database.
    Unmarked,
    /// A copy of another database, no database of ours, or one that cannot be read.
    Foreign,
}

/// How the name of the note ends that is beside a backup with damaged bodies.
pub(super) const DAMAGED: &str = ".damaged";
/// How the names of the backups begin that the server makes by itself.
const BY_ITSELF: &str = "auto-";

/// How many names are tried for a backup that the server makes by itself.
const NAMES: u32 = 60;
const SECOND: Duration = Duration::from_secs(1);

/// The name of a backup that somebody asked for at this moment.
pub fn backup_name(at: Timestamp) -> String {
    format!("{}.db", at.to_string().replace(':', "-"))
}

/// The name of a backup that the server makes by itself at this moment.
fn own_backup_name(at: Timestamp) -> String {
    format!("{BY_ITSELF}{}", backup_name(at))
}

/// The names for a backup that the server makes by itself at this moment: the first that is free. Another server may have
/// that of the same second, in a folder that they share.
pub fn own_backup_names(at: Timestamp) -> Vec<String> {
    (0..NAMES).map(|later| own_backup_name(at + later * SECOND)).collect()
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

/// The moment in a name that the server gave: `2026-04-20T11-55-00Z`, `auto-2026-04-20T11-55-00Z`.
fn moment(stem: &str) -> Option<Timestamp> {
    let (day, time) = stem.strip_prefix(BY_ITSELF).unwrap_or(stem).split_once('T')?;
    Timestamp::parse(&format!("{day}T{}", time.replace('-', ":")))
}

/// The folder for the backups of a served database.
#[derive(Debug)]
pub struct BackupFolder {
    path: PathBuf,
    served: PathBuf,
    /// The first key of the served database.
    first_key: Option<FirstKey>,
    /// Whose each file is: a file is opened again only when it has changed.
    seen: Mutex<HashMap<String, (Stamp, Origin)>>,
}

impl BackupFolder {
    /// This folder, for the backups of this database, whose file is `served`.
    ///
    /// # Errors
    /// A database that cannot be read.
    pub fn new(db: &Db, served: &Path, path: PathBuf) -> Result<Self> {
        let first_key = db.read_inline(|view| Ok(key_mark::first(view.conn)?))?;
        Ok(Self { path, served: served.to_owned(), first_key, seen: Mutex::default() })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The backups in it, the newest first. A folder that is missing has none.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn files(&self) -> Result<Vec<BackupFile>> {
        let there = match fs::read_dir(&self.path) {
            Ok(there) => there,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(at(&self.path, &format!("cannot be read: {error}"))),
        };
        let names = there.flatten().filter_map(|file| file.file_name().into_string().ok());
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut former = std::mem::take(&mut *seen);
        let mut found: Vec<BackupFile> = names.filter_map(|name| self.look(name, &mut former, &mut seen)).collect();
        found.sort_by(|one, other| (other.made_at, &other.name).cmp(&(one.made_at, &one.name)));
        Ok(found)
    }

    /// The backup in the file of this name; `None` if it is none of this database.
    fn look(
        &self,
        name: String,
        former: &mut HashMap<String, (Stamp, Origin)>,
        seen: &mut HashMap<String, (Stamp, Origin)>,
    ) -> Option<BackupFile> {
        let stem = name.strip_suffix(".db")?;
        let path = self.path.join(&name);
        // A link may lead anywhere, to the served database too. Only SQLite may open and close that.
        let file = path.symlink_metadata().ok().filter(|file| file.is_file() && !self.is_served(file))?;
        let stamp = files::stamp(&file);
        let known = former.remove(&name).filter(|(known, _)| *known == stamp);
        let origin = known.map_or_else(|| self.origin(&path), |(_, origin)| origin);
        seen.insert(name.clone(), (stamp, origin));
        if origin == Origin::Foreign {
            return None;
        }
        let written = file.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        let written = Timestamp::from_millis(i64::try_from(written.as_millis()).unwrap_or(i64::MAX));
        let is_beside = |end: &str| beside(&path, end).symlink_metadata().is_ok_and(|file| file.is_file());
        let (has_key, is_damaged) = (is_beside(".key"), is_beside(DAMAGED));
        let named = moment(stem);
        let by_itself = origin == Origin::Own && named.is_some_and(|at| own_backup_name(at) == name);
        let made_at = named.unwrap_or(written);
        Some(BackupFile { bytes: file.len(), made_at, has_key, by_itself, is_damaged, name })
    }

    fn is_served(&self, file: &fs::Metadata) -> bool {
        self.served.metadata().is_ok_and(|served| same_file(&served, file))
    }

    /// Whose this file is. A copy that broke off is nobody's: SQLite sees that pages are missing.
    fn origin(&self, path: &Path) -> Origin {
        let first_key = || {
            known(path)?;
            let copy = check::connect_to_copy(path)?;
            // The oldest databases have no audit.
            Ok(if copy.table_exists(None, "audit")? { key_mark::first(&copy)? } else { None })
        };
        let is_empty = files::size(path) == 0;
        match first_key() {
            Ok::<_, crate::error::Error>(None) if !is_empty => Origin::Unmarked,
            Ok(Some(key)) if self.first_key.as_ref() == Some(&key) => Origin::Own,
            _ => Origin::Foreign,
        }
    }

    /// Opens one file of a backup, to be read; `None` if there is no such backup.
    ///
    /// # Errors
    /// A folder or a file that cannot be read.
    pub fn open(&self, name: &str, part: BackupPart) -> Result<Option<(File, u64)>> {
        let Some(backup) = self.files()?.into_iter().find(|backup| backup.name == name) else { return Ok(None) };
        let database = self.path.join(&backup.name);
        let path = match part {
            BackupPart::Database => database,
            BackupPart::Key if backup.has_key => beside(&database, ".key"),
            BackupPart::Key => return Ok(None),
        };
        let unread = |error: std::io::Error| at(&path, &format!("cannot be read: {error}"));
        let found = path.symlink_metadata().map_err(unread)?;
        if self.is_served(&found) {
            return Ok(None);
        }
        let file = File::open(&path).map_err(unread)?;
        Ok(Some((file, found.len())))
    }

    /// Notes beside a backup that event bodies in it are damaged, in a sentence for people.
    ///
    /// # Errors
    /// A note that cannot be written.
    pub fn note_damage(&self, file: &Path, said: &str) -> Result<()> {
        write_new(&beside(file, DAMAGED), format!("{said}.\n").as_bytes()).map(drop)
    }

    /// Removes the backups that the server made by itself, but not the newest `keep` of them, nor the newest one that has
    /// no damaged bodies. One of a time that has not come stays: the clock was set. Returns the names of the removed ones.
    ///
    /// # Errors
    /// A folder that cannot be read, or a file that cannot be removed.
    pub fn forget(&self, keep: usize, now: Timestamp) -> Result<Vec<String>> {
        let own = self.files()?.into_iter().filter(|backup| backup.by_itself && backup.has_come(now));
        let own: Vec<BackupFile> = own.collect();
        let whole = own.iter().position(|backup| !backup.is_damaged);
        let mut removed = Vec::new();
        for (_, backup) in own.into_iter().enumerate().skip(keep).filter(|(place, _)| Some(*place) != whole) {
            let path = self.path.join(&backup.name);
            // The copy first: there must be none without its key. As a part it is removed with its key, also if this is cut
            // off.
            let part = beside(&path, ".part");
            fs::rename(&path, &part).map_err(|error| at(&path, &format!("cannot be removed: {error}")))?;
            for file in [beside(&path, ".key"), beside(&path, DAMAGED), part] {
                clear(&file)?;
            }
            removed.push(backup.name);
        }
        Ok(removed)
    }
}
