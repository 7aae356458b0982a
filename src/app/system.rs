//! The server itself: its uptime, its size on the disk, its metrics, and a backup.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Access, App, Operator};
use crate::{
    config,
    domain::certificate::ServedCertificate,
    error::{Error, Missing, Result},
    store::{self, audit},
};

pub use crate::{
    engine::{backups::Backup, room::Room},
    store::{BackupFile, BackupPart},
};

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

    /// The bytes in use of the database and their limit, when they were last looked at; `None` if there is no limit.
    pub fn room(&self) -> Option<Room> {
        Some(*self.0.watched.room.borrow()).filter(|room| room.limit > 0)
    }

    /// The server's own certificate; `None` if it speaks no TLS by itself.
    pub fn certificate(&self) -> Option<ServedCertificate> {
        self.0.watched.certificate.borrow().clone()
    }

    /// Bytes that are free on the disk of the database; `None` if the system does not say.
    pub fn free_space(&self) -> Option<u64> {
        self.0.db.free_space()
    }

    /// Reads the metrics of the database.
    pub async fn survey(&self) {
        let found = self.0.db.gauges(self.now(), self.0.engine.alerts().set_up()).await;
        let found =
            found.as_ref().inspect_err(|error| tracing::warn!(%error, "the metrics of the database could not be read"));
        self.metrics().show(found.ok());
        let (newest, now) = (self.0.backups.look().await, self.now());
        self.metrics().set_backup(newest.map(|newest| (now.since(newest.made_at), newest.bytes)));
        self.metrics().set_room(self.room().map(|room| room.limit));
        self.metrics().set_certificate(self.certificate().and_then(|served| served.life));
    }

    /// The folder for backups.
    pub fn backup_folder(&self) -> PathBuf {
        self.0.backups.folder().to_owned()
    }

    /// The newest backup in that folder, when it was last looked at.
    pub fn newest_backup(&self) -> Option<BackupFile> {
        self.0.backups.newest()
    }

    /// The settings of the backups that the server makes by itself.
    pub fn backup_settings(&self) -> &config::Backup {
        self.0.backups.settings()
    }

    /// How long it is until the next backup that the server makes by itself; `None` if it makes none.
    pub fn next_backup_in(&self) -> Option<Duration> {
        self.0.backups.next_in()
    }

    /// The backups in that folder, the newest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the folder does not answer.
    pub async fn backups(&self, access: &Access<Operator>) -> Result<Vec<BackupFile>> {
        let files = self.0.backups.files().await;
        // The right is checked after the wait.
        self.read(access, |_, _| Ok(())).await?;
        files
    }

    /// A file of a backup, to be read, and its length. The audit names it.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none of this name.
    pub async fn take_backup(&self, access: &Access<Operator>, name: &str, part: BackupPart) -> Result<(File, u64)> {
        let found = self.0.backups.open(name.to_owned(), part).await;
        self.read(access, |_, _| Ok(())).await?;
        let found = found?.ok_or(Error::NotFound(Missing::Backup))?;
        let taken = if part == BackupPart::Key { format!("{name}.key") } else { name.to_owned() };
        match self.write(access, move |tx, _| audit::backup_taken(tx, &taken)).await {
            // Above all on a full disk a backup must be within reach.
            Ok(()) | Err(Error::Unavailable(_)) => Ok(found),
            Err(refused) => Err(refused),
        }
    }

    /// The state of the last backup that this server began.
    pub fn last_backup(&self) -> Option<Backup> {
        self.0.backups.last()
    }

    /// Begins a backup in the folder for backups, unless one is being made. [`App::last_backup`] shows its progress.
    pub async fn back_up(&self, access: &Access<Operator>) -> Result<()> {
        if matches!(self.last_backup(), Some(Backup::Running(_))) {
            return Ok(());
        }
        let (backups, now) = (self.0.backups.clone(), self.now());
        let name = store::backup_name(now);
        let file = backups.folder().join(&name).display().to_string();
        // This write is refused if the right to ask for the backup is gone. So it comes before the backup.
        self.write(access, move |tx, _| audit::backed_up(tx, &file)).await?;
        if backups.begin() {
            tokio::spawn(async move {
                let made = backups.make(&name, now).await;
                let flaw = made.and_then(|made| match made.flaw(&backups.folder().join(&name)) {
                    None => Ok(()),
                    Some(flaw) => Err(Error::Internal(flaw)),
                });
                if let Err(error) = flaw {
                    tracing::error!(%error, "a backup that the dashboard requested could not be made, or is not whole");
                }
            });
        }
        Ok(())
    }
}
