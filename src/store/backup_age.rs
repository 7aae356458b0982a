//! Whether the last backup is too old.

use std::{path::Path, time::Duration};

use super::{Result, View, accounts, backup_files::backup_files};
use crate::domain::{timestamp::Timestamp, token::Visible};

/// A last backup that is too old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldBackup {
    /// No backup was made, and the first account is as old as a backup may be.
    Never,
    /// The last one was made at this time.
    Made(Timestamp),
}

/// The last backup in this folder, if it is older than `oldest`. A folder that cannot be read has none.
pub fn old_backup(view: &View<'_>, folder: &Path, oldest: Duration, now: Timestamp) -> Result<Option<OldBackup>> {
    let mut files = backup_files(folder).unwrap_or_default().into_iter();
    if let Some(last) = files.find(|file| file.made_at <= now) {
        return Ok((now.since(last.made_at) > oldest).then_some(OldBackup::Made(last.made_at)));
    }
    let first = accounts::page(view, &Visible::EVERYTHING, None, 1)?;
    Ok(first.iter().any(|account| now.since(account.created_at) > oldest).then_some(OldBackup::Never))
}
