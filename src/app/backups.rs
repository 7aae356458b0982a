//! The last backup that was requested while the server runs.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use crate::domain::timestamp::Timestamp;

/// The state of the last requested backup.
#[derive(Debug, Clone)]
pub enum Backup {
    /// It is being made: its progress, in words.
    Running(String),
    /// It is made: its file, its length in bytes, and when it was begun.
    Made(PathBuf, u64, Timestamp),
    /// It failed, or is not whole: a sentence.
    Failed(String),
}

/// The last requested backup, if there was one. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Backups(Arc<Mutex<Option<Backup>>>);

impl Backups {
    pub(super) fn last(&self) -> Option<Backup> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn tell(&self, news: Backup) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(news);
    }

    /// Begins a backup, if none is being made; returns whether it did.
    pub(super) fn begin(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let free = !matches!(*last, Some(Backup::Running(_)));
        if free {
            *last = Some(Backup::Running("begun".to_owned()));
        }
        free
    }
}
