//! The backup that the system page makes.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use crate::domain::timestamp::Timestamp;

/// The state of the last backup that was asked for here.
#[derive(Clone)]
pub(super) enum Backup {
    /// It is being made: its progress, in words.
    Running(String),
    /// It is made: its file, its length in bytes, and when.
    Made(PathBuf, u64, Timestamp),
    /// It could not be made, or is not whole: the reason, in a sentence.
    Failed(String),
}

/// The last backup that was asked for here, if one was.
#[derive(Default)]
pub(super) struct Backups(pub(super) Arc<Mutex<Option<Backup>>>);

impl Backups {
    pub(super) fn last(&self) -> Option<Backup> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.last(), Some(Backup::Running(_)))
    }

    /// Begins a backup; `false` if one is being made already.
    pub(super) fn begin(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let free = !matches!(*last, Some(Backup::Running(_)));
        if free {
            *last = Some(Backup::Running("begun".to_owned()));
        }
        free
    }
}

pub(super) fn tell(last: &Mutex<Option<Backup>>, news: Backup) {
    *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(news);
}
