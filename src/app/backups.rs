//! The last backup that was asked for while the server runs.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use crate::domain::timestamp::Timestamp;

/// What became of the last backup that was asked for here.
#[derive(Debug, Clone)]
pub enum Backup {
    /// It is being made: how far it has come, in words.
    Running(String),
    /// It is there: where, its length in bytes, and when it was begun.
    Made(PathBuf, u64, Timestamp),
    /// It could not be made, or is not whole: a sentence.
    Failed(String),
}

/// The last backup that was asked for here, if one was. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Backups(Arc<Mutex<Option<Backup>>>);

impl Backups {
    pub(super) fn last(&self) -> Option<Backup> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn tell(&self, news: Backup) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(news);
    }

    /// Takes the place of the one backup at a time; says whether it was free.
    pub(super) fn begin(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let free = !matches!(*last, Some(Backup::Running(_)));
        if free {
            *last = Some(Backup::Running("begun".to_owned()));
        }
        free
    }
}
