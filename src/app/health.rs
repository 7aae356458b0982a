//! The health of each part of the server, in sentences for everybody.

use std::time::Duration;

use super::App;
use crate::{
    clock,
    config::command_for_all,
    domain::{audit::Actor, certificate::Freshness},
    error::Error,
    metrics::ClockJump,
    store::{self, Admission},
};

/// The age up to which the server's own writes decide the health of the database. A fault counts also if a later write
/// succeeded. A write is tried only if there was none.
const FRESH: Duration = Duration::from_secs(5);
/// A trial write that takes longer counts as failed.
const WRITE_PATIENCE: Duration = Duration::from_secs(5);
/// An engine that has finished no round for this long does not work: it finishes a round at every poll and after every
/// outcome.
const STUCK: Duration = Duration::from_secs(60);
/// For how long a jump of the clock is a warning.
const RECENT: Duration = Duration::from_secs(3600);

/// The health of a part of the server.
#[derive(Debug, Clone)]
pub enum Part {
    /// The part works.
    Ok(String),
    /// The part works, but a person should look at it.
    Warning(String),
    /// The part does not work.
    Unavailable(String),
}

/// The parts without which the server cannot work.
#[derive(Debug, Clone)]
pub struct Health {
    /// The database takes writes.
    pub database: Part,
    /// The engine finds due deliveries and sends them.
    pub engine: Part,
    /// The disk has room.
    pub disk: Part,
    /// The clock goes on evenly.
    pub clock: Part,
    /// The key file opens the stored signing secrets.
    pub key_file: Part,
    /// The last backup is young enough.
    pub backup: Part,
    /// The server's own certificate is fresh.
    pub certificate: Part,
}

impl Health {
    /// Whether every part works, though a person may have to look at one.
    pub fn works(&self) -> bool {
        let Self { database, engine, disk, clock, key_file, backup, certificate } = self;
        let broken = |part: &Part| matches!(part, Part::Unavailable(_));
        ![database, engine, disk, clock, key_file, backup, certificate].into_iter().any(broken)
    }
}

impl App {
    /// Whether the server can do its work, as `/health/ready` judges.
    pub async fn is_ready(&self) -> bool {
        let database = match self.database_health() {
            Some(part) => part,
            None => self.try_write().await,
        };
        self.health(database).await.works()
    }

    /// The health of every part. The caller gets `database` from [`App::database_health`] or [`App::try_write`].
    pub async fn health(&self, database: Part) -> Health {
        let now = self.0.clock.uptime();
        let step = self.metrics().last_clock_jump().filter(|step| now.saturating_sub(step.at) < RECENT);
        Health {
            database,
            engine: self.engine_health(now),
            disk: self.disk_health(),
            clock: clock_health(step),
            key_file: self.key_file_health().await,
            backup: self.backup_health(),
            certificate: self.certificate_health(),
        }
    }

    /// The age of the last backup. Where the server makes none by itself, nobody is warned: there may be some elsewhere.
    fn backup_health(&self) -> Part {
        let backups = &self.0.backups;
        if backups.settings().every.is_zero() {
            return Part::Ok("the server makes no backups by itself (backup.every)".to_owned());
        }
        let newest = backups.newest();
        let age = newest.as_ref().map(|newest| self.now().since(newest.made_at));
        let last =
            age.map_or_else(|| "there is no backup yet".to_owned(), |age| format!("the last backup is {}", old(age)));
        if backups.is_silent() {
            return Part::Warning(format!("{last}, and the folder for backups does not answer: is its disk there?"));
        }
        if backups.failing().is_some() {
            return Part::Warning(format!(
                "{last}, and the next could not be made: it is tried again; the server's log says why"
            ));
        }
        let oldest = backups.oldest_allowed();
        if age.unwrap_or_else(|| self.uptime()) > oldest {
            return Part::Warning(format!(
                "{last}, and a next one was due (backup.every): the server's log may say why it is late"
            ));
        }
        if newest.is_some_and(|newest| newest.is_damaged) {
            return Part::Warning(format!(
                "{last}, but in it, as in the database, the bodies of some events are damaged: '{}' names them",
                command_for_all("check")
            ));
        }
        Part::Ok(last)
    }

    /// The server's own certificate. Without a usable one, no client can connect. The sentence names no name of a file.
    fn certificate_health(&self) -> Part {
        let Some(served) = self.certificate() else {
            return Part::Ok("the server speaks no TLS by itself (tls)".to_owned());
        };
        let said = served.said(self.now());
        let why = served.failed.as_ref().map_or("", |_| ": the server's log says why");
        match served.freshness(self.now()) {
            Freshness::Fresh => Part::Ok(said),
            Freshness::Stale => Part::Warning(format!("{said}{why}")),
            Freshness::Unusable => Part::Unavailable(format!("{said}{why}")),
        }
    }

    fn disk_health(&self) -> Part {
        match (disk(self.free_space(), self.0.config.watch.low_space_bytes), self.room()) {
            (Part::Ok(_), Some(room)) if room.is_full => Part::Warning(
                "the database is larger than retention.max_database_bytes, and nothing more may go: what is left waits, is held or was \
                 not delivered, or has an idempotency key of the last day"
                    .to_owned(),
            ),
            (disk, _) => disk,
        }
    }

    /// A sentence about the disk, if it has little room.
    pub fn low_disk(&self) -> Option<String> {
        match self.disk_health() {
            Part::Warning(why) | Part::Unavailable(why) => Some(why),
            Part::Ok(_) => None,
        }
    }

    /// The health of the database, judged by the server's own writes; `None` if there was no recent write.
    pub fn database_health(&self) -> Option<Part> {
        let (db, now) = (&self.0.db, self.0.clock.uptime());
        if db.lost().is_some() {
            return Some(Part::Unavailable(
                "the disk failed, or a file of the database was removed, moved or replaced: nothing is accepted any more, and the \
                 server stops; its log says more"
                    .to_owned(),
            ));
        }
        let is_fresh = |at: Duration| now.saturating_sub(at) < FRESH;
        let written = db.metrics().written();
        match written.fault.filter(|fault| is_fresh(fault.at)) {
            Some(fault) => Some(Part::Unavailable(reason(&fault.why))),
            None if !written.last.is_some_and(is_fresh) => None,
            None if db.is_busy() => Some(Part::Warning(
                "the database is busy: half of the places for waiting writes are taken, or more (limits.waiting_writes)"
                    .to_owned(),
            )),
            None => Some(Part::Ok("the database takes writes".to_owned())),
        }
    }

    /// The health of the database, judged by a trial write.
    pub async fn try_write(&self) -> Part {
        let until = self.0.clock.uptime() + WRITE_PATIENCE;
        tokio::select! {
            written = self.0.db.write(Actor::Engine, Admission::Wait, store::probe) => match written {
                Ok(()) => Part::Ok("the database takes writes".to_owned()),
                Err(error) => Part::Unavailable(reason(&error)),
            },
            () = clock::until(&self.0.clock, until) => {
                Part::Unavailable(format!("the database took no write within {} s", WRITE_PATIENCE.as_secs()))
            }
        }
    }

    fn engine_health(&self, now: Duration) -> Part {
        let seconds = |since: Duration| now.saturating_sub(since).as_secs();
        if let Some(fault) = self.metrics().paused() {
            let (since, why) = (seconds(fault.at), reason(&fault.why));
            return Part::Unavailable(format!("deliveries have paused for {since} s and go on by themselves: {why}"));
        }
        let looked = self.0.engine.status().borrow().looked;
        if now.saturating_sub(looked) < STUCK {
            return Part::Ok("deliveries go out".to_owned());
        }
        Part::Unavailable(format!(
            "nothing was sent or looked for in the last {} s: the server's log may say why; restart it",
            seconds(looked)
        ))
    }

    async fn key_file_health(&self) -> Part {
        match self.0.db.key_fault().await {
            None => Part::Ok("the key file opens the signing secrets".to_owned()),
            Some(_) => Part::Unavailable(
                "the key file is missing, cannot be used or is not the one of this database: deliveries go on, but no signing \
                 secret can be stored, and a restart would fail; put the right file back (storage.key_file); the server's log \
                 says more"
                    .to_owned(),
            ),
        }
    }
}

/// The sentence about a fault, without details that only the operator may read.
fn reason(error: &Error) -> String {
    match error {
        Error::Unavailable(why) => why.clone(),
        _ => "a write to the database failed: the server's log says why".to_owned(),
    }
}

fn disk(free: Option<u64>, low: u64) -> Part {
    let megabytes = |bytes: u64| bytes / 1_000_000;
    match free {
        None => Part::Ok("the system does not say how much room is left".to_owned()),
        Some(free) if free < low => Part::Warning(format!(
            "{} MB are left on the disk of the database: free some space (the warning comes below {} MB, watch.low_space_bytes)",
            megabytes(free),
            megabytes(low)
        )),
        Some(free) => Part::Ok(format!("{} MB are left on the disk of the database", megabytes(free))),
    }
}

/// An age in words.
fn old(age: Duration) -> String {
    match age.as_secs() / 3600 {
        0 => "less than an hour old".to_owned(),
        hours @ 1..48 => format!("{hours} h old"),
        hours => format!("{} days old", hours / 24),
    }
}

fn clock_health(step: Option<ClockJump>) -> Part {
    let Some(ClockJump { by, .. }) = step else { return Part::Ok("the clock goes evenly".to_owned()) };
    let (seconds, way) = (by.unsigned_abs() as f64 / 1000.0, if by < 0 { "back" } else { "forward" });
    Part::Warning(format!(
        "the clock was set {way} by {seconds:.1} s within the last hour: due times were moved along; see that the time is right"
    ))
}
