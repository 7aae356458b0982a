//! The server itself: its uptime, its size on the disk, its metrics, and a backup.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Access, App, Backup, Operator};
use crate::{
    domain::timestamp::Timestamp,
    error::{Error, Missing, Result},
    store::{self, Progress, audit},
};

pub use crate::store::{BackupFile, BackupPart};

/// The folder for backups, beside the database.
const FOLDER: &str = "backups";

impl App {
    /// How long the server has been running.
    pub fn uptime(&self) -> Duration {
        self.0.clock.uptime().saturating_sub(self.0.started)
    }

    /// The file of the database.
    pub fn database(&self) -> &Path {
        &self.0.config.storage.path
    }

    /// Bytes of the database and its log on the disk.
    pub fn database_bytes(&self) -> u64 {
        let size = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
        size(self.database()) + size(Path::new(&format!("{}-wal", self.database().display())))
    }

    /// Bytes that are free on the disk of the database; `None` if the system does not say.
    pub fn free_space(&self) -> Option<u64> {
        self.0.db.free_space()
    }

    /// Reads the metrics of the database.
    pub async fn survey(&self) {
        let found = self.0.db.gauges(self.now()).await;
        let found =
            found.as_ref().inspect_err(|error| tracing::warn!(%error, "the metrics of the database could not be read"));
        self.metrics().show(found.ok());
        let (folder, now) = (self.backup_folder(), self.now());
        let files = tokio::task::spawn_blocking(move || store::backup_files(&folder)).await;
        let newest = files.ok().and_then(Result::ok).and_then(|files| files.first().map(|file| file.made_at));
        self.metrics().set_backup_age(newest.map(|made| now.since(made)));
    }

    /// The folder for backups.
    pub fn backup_folder(&self) -> PathBuf {
        self.database().with_file_name(FOLDER)
    }

    /// The backups in that folder, the newest first.
    pub async fn backups(&self, access: &Access<Operator>) -> Result<Vec<BackupFile>> {
        let folder = self.backup_folder();
        self.read(access, move |_, _| store::backup_files(&folder)).await
    }

    /// A file of a backup, to be read, and its length. The audit names it.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none of this name.
    pub async fn take_backup(&self, access: &Access<Operator>, name: &str, part: BackupPart) -> Result<(File, u64)> {
        let (folder, served, wanted) = (self.backup_folder(), self.database().to_owned(), name.to_owned());
        let found = self.read(access, move |_, _| store::open_backup(&folder, &served, &wanted, part)).await?;
        let found = found.ok_or(Error::NotFound(Missing::Backup))?;
        let taken = if part == BackupPart::Key { format!("{name}.key") } else { name.to_owned() };
        match self.write(access, move |tx, _| audit::backup_taken(tx, &taken)).await {
            // Above all on a full disk a backup must be within reach.
            Ok(()) | Err(Error::Unavailable(_)) => Ok(found),
            Err(refused) => Err(refused),
        }
    }

    /// The state of the last requested backup.
    pub fn last_backup(&self) -> Option<Backup> {
        self.0.backups.last()
    }

    /// Begins a backup beside the database, unless one is being made. [`App::last_backup`] shows its progress.
    pub async fn back_up(&self, access: &Access<Operator>) -> Result<()> {
        if matches!(self.last_backup(), Some(Backup::Running(_))) {
            return Ok(());
        }
        let now = self.now();
        let file = self.backup_folder().join(format!("{}.db", now.to_string().replace(':', "-")));
        let name = file.display().to_string();
        // This write is refused if the right to ask for the backup is gone. So it comes before the backup.
        self.write(access, move |tx, _| audit::backed_up(tx, &name)).await?;
        if self.0.backups.begin() {
            let app = self.clone();
            tokio::spawn(async move {
                let backups = app.0.backups.clone();
                let copied = tokio::task::spawn_blocking(move || app.copy_to(&file, now));
                let made = copied.await.unwrap_or_else(|_| Err(Error::Internal("a backup panicked".to_owned())));
                backups.tell(made.unwrap_or_else(|flaw| {
                    tracing::error!(error = %flaw, "a backup that the dashboard requested could not be made");
                    Backup::Failed(format!("No backup was made: {flaw}"))
                }));
            });
        }
        Ok(())
    }

    /// Copies the database to this file. This may take minutes.
    fn copy_to(&self, file: &Path, now: Timestamp) -> Result<Backup> {
        store::make_folder(&self.backup_folder())?;
        let copy = self.0.db.back_up(&self.0.config.storage, file, |progress| {
            self.0.backups.tell(Backup::Running(match progress {
                Progress::Copied(percent) => format!("copied {percent} %"),
                Progress::Checking => "copied; looking through it".to_owned(),
            }));
        })?;
        Ok(match copy.flaw(file) {
            None => Backup::Made(file.to_owned(), copy.bytes, now),
            Some(flaw) => {
                tracing::error!(error = %flaw, "a backup that the dashboard requested is not whole");
                Backup::Failed(format!("The backup is not whole: {flaw}"))
            }
        })
    }
}
