//! The copy of the database that a start makes before it changes the schema, for users who want to go back to the
//! former version.

use std::{
    fs::{self, File},
    os::unix::fs::{MetadataExt, fchown},
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use rusqlite::{Connection, OpenFlags, backup::Backup};

use super::{
    Db, Result, View,
    files::{self, at, beside, clear, folder_of, write_new},
    retention,
    schema::SCHEMA,
};
use crate::domain::timestamp::Timestamp;

/// How long the copy is kept while the server runs.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// The name of the copy of a database with this schema.
fn name_of(path: &Path, schema: usize) -> PathBuf {
    beside(path, &format!(".before-{schema}"))
}

/// Makes the copy of a database that nobody serves. If it cannot be made, the start continues and the log says why.
pub(super) fn copy(conn: &Connection, path: &Path, schema: usize, now: Timestamp) {
    let copy = name_of(path, schema);
    let part = beside(&copy, ".part");
    let made = try_copy(conn, path, &part, now).and_then(|()| {
        let named = || fs::rename(&part, &copy).and_then(|()| File::open(folder_of(&copy))?.sync_all());
        named().map_err(|error| at(&copy, &format!("cannot be made: {error}")))
    });
    match made {
        Ok(()) => tracing::info!(
            "{} is a copy of the database as it was; it is removed after a week of service",
            copy.display()
        ),
        Err(error) => {
            // Half a copy is useless.
            drop(clear(&part));
            tracing::warn!("no copy of the database is made before its schema changes: {error}");
        }
    }
}

/// Writes the copy to this file, synced, for the owner of the database.
fn try_copy(conn: &Connection, path: &Path, part: &Path, now: Timestamp) -> Result<()> {
    // The change of the schema may write as much again.
    files::expect_room(path, files::bytes_of(conn)?.saturating_mul(2))?;
    files::expect_file(part)?;
    clear(part)?;
    let file = write_new(part, b"")?;
    let failed = |error: rusqlite::Error| at(part, &format!("cannot be made: {error}"));
    let mut to = Connection::open_with_flags(part, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(failed)?;
    Backup::new(conn, &mut to).and_then(|backup| backup.step(-1)).map_err(failed)?;
    // One file, without a log beside it.
    to.pragma_update(None, "journal_mode", "DELETE").map_err(failed)?;
    to.close().map_err(|(_, error)| failed(error))?;
    let finish = || {
        let owner = fs::metadata(path)?;
        if rustix::process::geteuid().is_root() {
            fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
        }
        // The copy's age is counted from here.
        file.set_modified(UNIX_EPOCH + Duration::from_millis(u64::try_from(now.millis()).unwrap_or(0)))?;
        file.sync_all()
    };
    finish().map_err(|error| at(part, &format!("cannot be made: {error}")))
}

impl Db {
    /// Removes copies that are a week old, both in serving time (`uptime_total`) and by the wall clock.
    pub async fn forget_copies(&self, now: Timestamp, uptime_total: Duration) -> Result<()> {
        let path = self.0.path.clone();
        self.read(move |view| forget(view, &path, now, uptime_total)).await
    }
}

/// Removes copies that are a week old, both in serving time (`uptime_total`) and by the wall clock.
fn forget(view: &View<'_>, path: &Path, now: Timestamp, uptime_total: Duration) -> Result<()> {
    let Some(past) = retention::past(view, now, uptime_total, KEPT)? else { return Ok(()) };
    let past = UNIX_EPOCH + Duration::from_millis(u64::try_from(past.millis()).unwrap_or(0));
    for copy in (1..SCHEMA).map(|schema| name_of(path, schema)) {
        if !fs::metadata(&copy).and_then(|copy| copy.modified()).is_ok_and(|made| made <= past) {
            continue;
        }
        match fs::remove_file(&copy) {
            Ok(()) => tracing::info!("{} was removed: it was a week old", copy.display()),
            Err(error) => tracing::warn!("{} is a week old and cannot be removed: {error}", copy.display()),
        }
    }
    Ok(())
}
