//! Whether the last backup is too old.

use std::time::Duration;

use super::{Result, View, accounts};
use crate::domain::{timestamp::Timestamp, token::Visible};

/// A last backup that is too old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldBackup {
    /// No backup was made, and the first account is as old as a backup may be.
    Never,
    /// The last one was made at this time.
    Made(Timestamp),
}

/// The last backup, made at `last`, if it is older than `oldest`.
pub fn old_backup(
    view: &View<'_>,
    last: Option<Timestamp>,
    oldest: Duration,
    now: Timestamp,
) -> Result<Option<OldBackup>> {
    if let Some(last) = last {
        return Ok((now.since(last) > oldest).then_some(OldBackup::Made(last)));
    }
    let first = accounts::page(view, &Visible::EVERYTHING, None, 1)?;
    Ok(first.iter().any(|account| now.since(account.created_at) > oldest).then_some(OldBackup::Never))
}
