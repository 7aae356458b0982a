//! Exchanging files: a prepared database and its key take the places of the present ones.
//!
//! A note says that it has begun. Files are renamed while it is there, and no server starts (see
//! `files::expect_exchanged`). The note goes when the database is the prepared one and the key opens it. So after a crash
//! the next run does the rest.

use std::{
    ffi::OsString,
    fs::{self, File},
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::MetadataExt,
    },
    path::{Path, PathBuf},
};

use super::{
    Result, check,
    files::{self, at, beside, clear, folder_of, write_new},
    lock_file::{self, Found},
    served_files::being_restored,
};
use crate::{config::Storage, domain::timestamp::Timestamp, error::Error};

/// Names that are tried when one is taken.
const NAMES: u32 = 1000;

/// The files of a restore, each beside the file whose place it takes.
pub(super) struct Places {
    pub(super) path: PathBuf,
    pub(super) key: PathBuf,
    pub(super) part: PathBuf,
    pub(super) key_part: PathBuf,
    pub(super) note: PathBuf,
}

impl Places {
    pub(super) fn of(storage: &Storage) -> Self {
        // A link leads elsewhere, and must stay.
        let (path, key) = (files::real(&storage.path), files::real(&storage.key_file));
        let (part, key_part) = (files::part_of_restore(&path), beside(&key, ".restored"));
        Self { note: files::note_of_restore(&path), path, key, part, key_part }
    }

    /// The prepared files, as a database of their own.
    pub(super) fn parts(&self, storage: &Storage) -> Storage {
        let key = if self.key_part.exists() { &self.key_part } else { &self.key };
        Storage { path: self.part.clone(), key_file: key.clone(), durability: storage.durability }
    }
}

/// What the note says.
pub(super) struct Note {
    /// The name of the folder for the former files.
    before: String,
    /// The inode of the prepared database: it keeps it under its new name.
    database: u64,
    /// The backup.
    backup: PathBuf,
}

impl Note {
    /// The note about the prepared files.
    pub(super) fn of(places: &Places, backup: &Path, now: Timestamp) -> Result<Self> {
        let made = fs::metadata(&places.part).map_err(|error| at(&places.part, &format!("cannot be read: {error}")))?;
        let backup = std::path::absolute(backup).unwrap_or_else(|_| backup.to_owned());
        Ok(Self { before: free_name(places, now), database: made.ino(), backup })
    }

    fn read(path: &Path) -> Result<Self> {
        let text = fs::read(path).map_err(|error| at(path, &format!("cannot be read: {error}")))?;
        Self::parse(&text).ok_or_else(|| at(path, "is not complete: remove it, and run this again"))
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let mut lines = text.splitn(3, |byte| *byte == b'\n');
        let mut word = || std::str::from_utf8(lines.next()?).ok();
        let (before, database) = (word()?.to_owned(), word()?.parse().ok()?);
        Some(Self { before, database, backup: OsString::from_vec(lines.next()?.to_vec()).into() })
    }

    fn text(&self) -> Vec<u8> {
        [format!("{}\n{}\n", self.before, self.database).as_bytes(), self.backup.as_os_str().as_bytes()].concat()
    }
}

/// Ends a restore that was cut off while it renamed files; returns the backup that it restored, if there was such a
/// restore.
///
/// # Errors
/// Files that cannot be renamed or are gone; another restore that is under way.
pub fn go_on(storage: &Storage) -> Result<Option<PathBuf>> {
    let places = Places::of(storage);
    let _held = match lock_file::lock(&places.note)? {
        Found::Locked(note) => note,
        Found::InUse => return Err(being_restored(&places.path, &places.note)),
        Found::Gone => return Ok(None),
    };
    let note = Note::read(&places.note)?;
    exchange(storage, &places, &note)?;
    Ok(Some(note.backup))
}

/// Writes the note. If it cannot be written, nothing of it is left.
pub(super) fn write_note(places: &Places, note: &Note) -> Result<File> {
    let draft = beside(&places.note, ".part");
    clear(&draft)?;
    let written = write_new(&draft, &note.text())?;
    // A medium without locks keeps nobody away.
    let _ = written.try_lock();
    let put = written.sync_all().and_then(|()| sync(places)).and_then(|()| fs::rename(&draft, &places.note));
    put.and_then(|()| sync(places)).map_err(|error| {
        [&draft, &places.note].iter().for_each(|left| drop(fs::remove_file(left)));
        at(&places.note, &format!("cannot be written: {error}"))
    })?;
    Ok(written)
}

/// Renames, and removes the note when the database is the prepared one and the key opens it. Returns the folders with the
/// former files.
pub(super) fn exchange(storage: &Storage, places: &Places, note: &Note) -> Result<Vec<PathBuf>> {
    switch(places, note)?;
    if let Some(problem) = check::fits(storage).first() {
        let anew = places.note.display();
        return Err(Error::Internal(format!(
            "the files are exchanged, but a server could not use them: {problem}. Mend this and run this again, or remove {anew} \
             and run this again: it begins anew"
        )));
    }
    let removed = fs::remove_file(&places.note).and_then(|()| sync(places));
    removed.map_err(|error| at(&places.note, &format!("cannot be removed: {error}")))?;
    let mut before: Vec<_> = [&places.path, &places.key].map(|file| folder_of(file).join(&note.before)).into();
    before.dedup();
    before.retain(|folder| folder.exists());
    Ok(before)
}

/// Renames: the present files go into folders of the note's name, and the prepared files take their places. Whatever is
/// done already is left.
fn switch(places: &Places, note: &Note) -> Result<()> {
    let is_prepared = |file: &Path| fs::metadata(file).is_ok_and(|there| there.ino() == note.database);
    if !is_prepared(&places.path) {
        if !is_prepared(&places.part) {
            return Err(is_gone(places, note));
        }
        put(&places.part, &files::of_database(&places.path), note)?;
    }
    if places.key_part.exists() {
        put(&places.key_part, std::slice::from_ref(&places.key), note)?;
    }
    Ok(())
}

/// The error when somebody has removed the prepared database.
fn is_gone(places: &Places, note: &Note) -> Error {
    let former = folder_of(&places.path).join(&note.before);
    let back = match former.join(places.path.file_name().unwrap_or_default()).exists() {
        true => format!("put the files of {} back to {}, ", former.display(), folder_of(&places.path).display()),
        false => String::new(),
    };
    let remove = places.note.display();
    at(
        &places.part,
        &format!("is not there any more, so this restore cannot be ended: {back}remove {remove}, then run this again"),
    )
}

/// Moves present files away, and gives a prepared file the name of the first.
fn put(part: &Path, present: &[PathBuf], note: &Note) -> Result<()> {
    let folder = folder_of(part).join(&note.before);
    let rename = || {
        for file in present.iter().filter(|file| file.symlink_metadata().is_ok()) {
            files::make_folders(&folder, 0o700)?;
            fs::rename(file, folder.join(file.file_name().unwrap_or_default()))?;
            File::open(&folder)?.sync_all()?;
        }
        fs::rename(part, &present[0])?;
        File::open(folder_of(part))?.sync_all()
    };
    rename().map_err(|error: std::io::Error| {
        let rest = "No server starts before this command has done the rest";
        at(&present[0], &format!("cannot be put in its place: {error}. {rest}"))
    })
}

/// The name of a folder that is there neither beside the database nor beside the key: the files of two restores never
/// come together, because SQLite would read the log of one with the database of the other.
fn free_name(places: &Places, now: Timestamp) -> String {
    let own = format!("before-restore-{}", now.to_string().replace(':', "-"));
    let others = (2..NAMES).map(|number| format!("{own}.{number}"));
    let free = |name: &String| {
        [&places.path, &places.key].iter().all(|file| folder_of(file).join(name).symlink_metadata().is_err())
    };
    std::iter::once(own.clone()).chain(others).find(free).unwrap_or(own)
}

/// Syncs the folder of the database and, while a key is prepared, that of the key.
fn sync(places: &Places) -> std::io::Result<()> {
    let key = Some(&places.key_part).filter(|key| key.exists());
    key.into_iter().chain([&places.path]).try_for_each(|file| File::open(folder_of(file))?.sync_all())
}
