//! Looks after the server itself, and tells the operator what needs a person.

use std::{path::PathBuf, time::Duration};

use tokio::sync::watch;

use super::{
    App,
    overview::{OldBackup, old_backup},
};
use crate::{
    domain::{audit::Actor, operator_alert::About},
    error::Result,
    store::{Admission, Tx, operator_alerts},
};

/// The time between two looks.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

impl App {
    /// Looks after the server until `stop` turns true.
    pub async fn watch(&self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow_and_update() {
            let at = self.now();
            if let Err(error) = self.look_after().await {
                tracing::warn!(%error, "the server could not look after itself; it looks again in a minute");
            }
            tokio::select! {
                changed = stop.changed() => if changed.is_err() { return },
                () = self.0.clock.sleep(at, LOOK_AGAIN) => {}
            }
        }
    }

    async fn look_after(&self) -> Result<()> {
        self.judge(About::Disk, self.low_disk(), self.has_disk_again()).await?;
        let backup = self.old_backup().await?;
        self.judge(About::Backup, backup.clone(), backup.is_none()).await?;
        let exposed = self.exposed();
        self.judge(About::Exposed, exposed.clone(), exposed.is_none()).await
    }

    /// Raises an alert about a problem, or clears it. Writes only if that changes something.
    async fn judge(&self, about: About, problem: Option<String>, is_well: bool) -> Result<()> {
        let (db, now) = (&self.0.db, self.now());
        match problem {
            Some(said) if db.read(move |view| operator_alerts::may_be_raised(view, about, now)).await? => {
                let raise = move |tx: &Tx<'_>| operator_alerts::raise(tx, about, &said).map(drop);
                db.write(Actor::Engine, Admission::Wait, raise).await
            }
            None if is_well && db.read(move |view| operator_alerts::is_raised(view, about)).await? => {
                db.write(Actor::Engine, Admission::Wait, move |tx| operator_alerts::clear(tx, about)).await
            }
            _ => Ok(()),
        }
    }

    /// Whether the disk has clearly more room than the limit: a disk that is about to fill is told once.
    fn has_disk_again(&self) -> bool {
        let low = self.0.config.watch.low_space_bytes;
        self.free_space().is_none_or(|free| free >= low.saturating_add(low / 10))
    }

    /// A sentence about the backups, if there is no fresh one.
    async fn old_backup(&self) -> Result<Option<String>> {
        let (folder, now) = (self.backup_folder(), self.now());
        let place = folder.display().to_string();
        let found = self.0.db.read(move |view| old_backup(view, &folder, now)).await?;
        Ok(found.map(|old| match old {
            OldBackup::Never => format!("There is no backup in {place}."),
            OldBackup::Made(at) => format!("The last backup in {place} was made at {at}."),
        }))
    }

    /// A sentence about files that everybody on the machine may read and nobody should.
    fn exposed(&self) -> Option<String> {
        let files: Vec<PathBuf> = self.0.config.exposed_files();
        let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        (!names.is_empty()).then(|| {
            let names = names.join(" ");
            format!("Everybody on this machine may read {names}: run 'chmod o-r {names}'.")
        })
    }
}
