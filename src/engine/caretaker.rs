//! Looks after the server itself, and tells the operator what needs a person: the disk, the backups, files that everybody
//! may read.

use std::time::Duration;

use tokio::sync::watch;

use super::backups::Backups;
use crate::{
    clock::SharedClock,
    config::{Config, command},
    domain::{
        audit::Actor,
        certificate::{Freshness, ServedCertificate},
        operator_alert::About,
    },
    error::Result,
    store::{self, Admission, BackupFile, Db, OldBackup, Tx, operator_alerts},
};

/// The time between two looks.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// Looks after the server.
pub struct Caretaker {
    /// The database.
    pub db: Db,
    /// The clock.
    pub clock: SharedClock,
    /// The settings.
    pub config: Config,
    /// The backups.
    pub backups: Backups,
    /// The server's own certificate; `None` if it speaks no TLS by itself.
    pub certificate: watch::Receiver<Option<ServedCertificate>>,
}

impl Caretaker {
    /// Looks until `stop` turns true.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow_and_update() {
            let at = self.clock.now();
            tokio::select! {
                looked = self.look() => if let Err(error) = looked {
                    tracing::warn!(%error, "the server could not look after itself; it looks again in a minute");
                },
                _ = stop.changed() => return,
            }
            tokio::select! {
                changed = stop.changed() => if changed.is_err() { return },
                () = self.clock.sleep(at, LOOK_AGAIN) => {}
            }
        }
    }

    async fn look(&self) -> Result<()> {
        let (problem, is_well) = self.disk();
        self.judge(About::Disk, problem, is_well).await?;
        // Nobody is alarmed about the backup that is just being made.
        if !self.backups.is_at_it() {
            self.look_at_backups().await?;
        }
        let exposed = self.exposed();
        self.judge(About::Exposed, exposed.clone(), exposed.is_none()).await?;
        self.look_at_certificate().await
    }

    /// That it has expired is news, though it was told that it ends soon.
    async fn look_at_certificate(&self) -> Result<()> {
        let now = self.clock.now();
        let Some(served) = self.certificate.borrow().clone() else { return Ok(()) };
        let (problem, is_unusable) = (served.problem(now), served.freshness(now) == Freshness::Unusable);
        let (late, expired) = if is_unusable { (None, problem) } else { (problem, None) };
        self.judge(About::Certificate, late, served.is_well(now)).await?;
        self.judge(About::Expired, expired, !is_unusable).await
    }

    /// Raises an alert about a problem, or clears it. Writes only if that changes something.
    async fn judge(&self, about: About, problem: Option<String>, is_well: bool) -> Result<()> {
        let (db, now) = (&self.db, self.clock.now());
        match problem {
            Some(said) => {
                let news = said.clone();
                if db.read(move |view| operator_alerts::may_be_raised(view, about, &news, now)).await? {
                    let raise = move |tx: &Tx<'_>| operator_alerts::raise(tx, about, &said).map(drop);
                    db.write(Actor::Engine, Admission::Wait, raise).await?;
                }
                Ok(())
            }
            None if is_well && db.read(move |view| operator_alerts::is_raised(view, about)).await? => {
                db.write(Actor::Engine, Admission::Wait, move |tx| operator_alerts::clear(tx, about)).await
            }
            _ => Ok(()),
        }
    }

    /// A sentence about the disk, if it has little room; and whether it clearly has more than that, so that a disk at the
    /// limit is told once.
    fn disk(&self) -> (Option<String>, bool) {
        let low = self.config.watch.low_space_bytes;
        let Some(free) = self.db.free_space() else { return (None, true) };
        let said = || {
            let megabytes = |bytes: u64| bytes / 1_000_000;
            format!(
                "{} MB are left on the disk of the database; the limit is {} MB (watch.low_space_bytes).",
                megabytes(free),
                megabytes(low)
            )
        };
        ((free < low).then(said), free >= low.saturating_add(low / 10))
    }

    async fn look_at_backups(&self) -> Result<()> {
        let newest = self.backups.look().await;
        let late = self.late_backup(newest.as_ref()).await?;
        self.judge(About::Backup, late.clone(), late.is_none()).await?;
        let damaged = newest.filter(|newest| newest.is_damaged).map(|BackupFile { name, .. }| {
            format!(
                "In the backup {name}, as in the database, the bodies of some events are damaged; all else is whole. '{}' \
                 names the events.",
                command("check")
            )
        });
        self.judge(About::Damaged, damaged.clone(), damaged.is_none()).await
    }

    /// A sentence about the backups, if there is no fresh one. Where the server makes none by itself, it asks for none:
    /// there may be some elsewhere.
    async fn late_backup(&self, newest: Option<&BackupFile>) -> Result<Option<String>> {
        if self.backups.settings().every.is_zero() {
            return Ok(None);
        }
        let place = self.backups.folder().display();
        if self.backups.is_silent() {
            return Ok(Some(format!("The folder for backups {place} does not answer: is its disk there?")));
        }
        if let Some(why) = self.backups.failing() {
            return Ok(Some(format!("No backup could be made: {why}. It is tried again, and all else goes on.")));
        }
        let (last, oldest) = (newest.map(|newest| newest.made_at), self.backups.oldest_allowed());
        let now = self.clock.now();
        let found = self.db.read(move |view| store::old_backup(view, last, oldest, now)).await?;
        Ok(found.map(|old| match old {
            OldBackup::Never => format!("There is no backup in {place}."),
            OldBackup::Made(at) => format!("The last backup in {place} was made at {at}."),
        }))
    }

    /// A sentence about files that everybody on the machine may read and nobody should.
    fn exposed(&self) -> Option<String> {
        let files = self.config.exposed_files();
        let told = files
            .iter()
            .map(|file| format!("Everybody on this machine may read {}: run '{}'.", file.path.display(), file.remedy));
        (!files.is_empty()).then(|| told.collect::<Vec<_>>().join(" "))
    }
}
