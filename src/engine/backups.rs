//! Backups: the server makes one by itself now and then, and one when a person asks for it. Never two at once.
//!
//! Copying rests as long as it works; the check of the copy takes one processor core (see the store). When one cannot be
//! made, it is tried again later, and nothing else stops. The age of the last one is known here, for everybody who shows
//! it.
//!
//! The folder may be on a disk of the network, which can be silent for hours. One thread waits for it then, and nobody
//! else.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::watch;

use crate::{
    clock::{self, SharedClock, Stopwatch},
    config::{self, Config, Storage},
    domain::timestamp::Timestamp,
    error::{Error, Result},
    store::{self, BackupFile, BackupFolder, BackupPart, Db, Made, Progress, audit},
};

/// The wait after one that could not be made. It doubles with each further one, up to the time between two.
const AFTER_A_FAULT: Duration = Duration::from_secs(600);
/// The wait while one is being made that a person asked for.
const BETWEEN_TWO: Duration = Duration::from_secs(60);
/// Where the server makes none by itself, an older one is too old.
const WEEK: Duration = Duration::from_secs(7 * 86_400);

/// How long a caller waits for the folder.
const PATIENCE: Duration = Duration::from_secs(3);
/// A folder that does not answer for so long is silent. Before, its disk may be waking up.
const SILENT: Duration = Duration::from_secs(15);

/// The state of the last backup.
#[derive(Debug, Clone)]
pub enum Backup {
    /// It is being made: its progress, in words.
    Running(String),
    /// It is made: its file, its length in bytes, and when it was begun.
    Made(PathBuf, u64, Timestamp),
    /// It failed, or is not whole: a sentence.
    Failed(String),
}

/// The backups of a server. Cheap to clone.
#[derive(Clone)]
pub struct Backups(Arc<Inner>);

struct Inner {
    db: Db,
    clock: SharedClock,
    storage: Storage,
    settings: config::Backup,
    folder: Arc<BackupFolder>,
    /// Held by the one thread that looks into the folder.
    looking: Arc<tokio::sync::Mutex<()>>,
    known: Mutex<Known>,
    tries: watch::Sender<Option<Timestamp>>,
}

#[derive(Default)]
struct Known {
    last: Option<Backup>,
    newest: Option<BackupFile>,
    /// The time since a look into the folder began that has not ended.
    unanswered: Option<Stopwatch>,
    /// When the next one is due, as the machine's uptime.
    next: Option<Duration>,
    /// Why the last one that the server tried to make by itself could not be made.
    failing: Option<String>,
}

impl Backups {
    /// The backups of this database, with these settings.
    ///
    /// # Errors
    /// A database that cannot be read.
    pub fn new(db: Db, clock: SharedClock, config: &Config) -> Result<Self> {
        let (storage, settings) = (config.storage.clone(), config.backup.clone());
        let folder = Arc::new(BackupFolder::new(&db, &storage.path, config.backup_folder())?);
        let (looking, known, tries) = (Arc::default(), Mutex::default(), watch::Sender::new(None));
        Ok(Self(Arc::new(Inner { db, clock, storage, settings, folder, looking, known, tries })))
    }

    /// Where the folder for backups is.
    pub fn folder(&self) -> &Path {
        self.0.folder.path()
    }

    /// The settings.
    pub fn settings(&self) -> &config::Backup {
        &self.0.settings
    }

    /// The state of the last one that this server began.
    pub fn last(&self) -> Option<Backup> {
        self.known().last.clone()
    }

    /// The newest one in the folder, when it was last looked at.
    pub fn newest(&self) -> Option<BackupFile> {
        self.known().newest.clone()
    }

    /// Why the last one that the server tried to make by itself could not be made; `None` if it could.
    pub fn failing(&self) -> Option<String> {
        self.known().failing.clone()
    }

    /// Whether one is being made or due: what is known of the last one is about to change.
    pub fn is_at_it(&self) -> bool {
        let (known, makes_them) = (self.known(), !self.0.settings.every.is_zero());
        let is_due = known.next.is_none_or(|next| next <= self.0.clock.uptime());
        matches!(known.last, Some(Backup::Running(_))) || makes_them && is_due
    }

    /// How long it is until the next one that the server makes by itself.
    pub fn next_in(&self) -> Option<Duration> {
        Some(self.known().next?.saturating_sub(self.0.clock.uptime()))
    }

    /// A last backup that is older is too old: one was missed.
    pub fn oldest_allowed(&self) -> Duration {
        match self.0.settings.every {
            Duration::ZERO => WEEK,
            every => 2 * every,
        }
    }

    /// When the last try ended that the server made by itself: the moment at which it began.
    pub fn tries(&self) -> watch::Receiver<Option<Timestamp>> {
        self.0.tries.subscribe()
    }

    /// Whether the folder has been silent for so long that its disk must be gone.
    pub fn is_silent(&self) -> bool {
        self.known().unanswered.is_some_and(|since| since.elapsed() > SILENT)
    }

    /// Looks into the folder for the newest backup, and returns it: the one of the last look, if the folder does not answer.
    pub async fn look(&self) -> Option<BackupFile> {
        // The caretaker tells of a folder that is silent.
        let _ = self.files().await;
        self.newest()
    }

    /// Those in the folder, the newest first.
    ///
    /// # Errors
    /// A folder that cannot be read or does not answer.
    pub async fn files(&self) -> Result<Vec<BackupFile>> {
        let files = self.in_folder(|folder| folder.files()).await?;
        // One of a time that has not come is left out: the clock was set.
        let now = self.0.clock.now();
        self.known().newest = files.iter().find(|file| file.has_come(now)).cloned();
        Ok(files)
    }

    /// Opens one file of a backup, to be read, and gives its length; `None` if there is no such backup.
    ///
    /// # Errors
    /// A folder or a file that cannot be read, or does not answer.
    pub async fn open(&self, name: String, part: BackupPart) -> Result<Option<(File, u64)>> {
        self.in_folder(move |folder| folder.open(&name, part)).await
    }

    /// Looks at something in the folder. Where it does not answer, this thread stays behind, and no other begins.
    async fn in_folder<T: Send + 'static>(
        &self,
        look: impl FnOnce(&BackupFolder) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let silent = || {
            let folder = self.folder().display();
            Error::Unavailable(format!("the folder for backups {folder} does not answer: is its disk there?"))
        };
        // Somebody has waited in vain already.
        if self.known().unanswered.is_some_and(|since| since.elapsed() > PATIENCE) {
            return Err(silent());
        }
        let backups = self.clone();
        let looked = async {
            let looking = Arc::clone(&backups.0.looking).lock_owned().await;
            let found = tokio::task::spawn_blocking({
                let backups = backups.clone();
                move || {
                    backups.known().unanswered = Some(Stopwatch::start());
                    let found = look(&backups.0.folder);
                    backups.known().unanswered = None;
                    drop(looking);
                    found
                }
            });
            found
                .await
                .unwrap_or_else(|_| Err(Error::Internal("a look into the folder for backups panicked".to_owned())))
        };
        tokio::time::timeout(PATIENCE, looked).await.unwrap_or_else(|_| Err(silent()))
    }

    /// Begins one, if none is being made; returns whether it did. [`Backups::make`] must follow.
    pub fn begin(&self) -> bool {
        let mut known = self.known();
        let free = !matches!(known.last, Some(Backup::Running(_)));
        if free {
            known.last = Some(Backup::Running("begun".to_owned()));
        }
        free
    }

    /// Makes one with this name in the folder. This may take minutes.
    ///
    /// # Errors
    /// The reason why none was made.
    pub async fn make(&self, name: &str, now: Timestamp) -> Result<Made> {
        self.make_first(vec![name.to_owned()], now).await
    }

    /// Makes one with the first of these names that is free.
    async fn make_first(&self, names: Vec<String>, now: Timestamp) -> Result<Made> {
        let backups = self.clone();
        let made = tokio::task::spawn_blocking(move || backups.copy_to_first(&names)).await;
        let made = made.unwrap_or_else(|_| Err(Error::Internal("a backup panicked".to_owned())));
        self.look().await;
        self.known().last = Some(match &made {
            Err(error) => Backup::Failed(format!("No backup was made: {error}")),
            Ok(made) => match made.flaw(&made.file) {
                None => Backup::Made(made.file.clone(), made.bytes, now),
                Some(flaw) => Backup::Failed(format!("The backup is not whole: {flaw}")),
            },
        });
        made
    }

    fn copy_to_first(&self, names: &[String]) -> Result<Made> {
        let folder = self.folder();
        store::make_folder(folder)?;
        self.0.db.expect_room_in(folder)?;
        let mut made = Err(Error::Internal("a backup has no name".to_owned()));
        for name in names {
            made = self.copy_to(&folder.join(name));
            // Another server has taken this name.
            if !matches!(made, Err(Error::Unavailable(_))) {
                break;
            }
        }
        made
    }

    fn copy_to(&self, file: &Path) -> Result<Made> {
        let made = self.0.db.back_up(&self.0.storage, file, |progress| {
            self.known().last = Some(Backup::Running(match progress {
                Progress::Copied(percent) => format!("copied {percent} %"),
                Progress::Checking => "copied; looking through it".to_owned(),
            }));
        })?;
        if let Some(flaw) = made.flaw(file) {
            self.0.folder.note_damage(file, &flaw)?;
        }
        Ok(made)
    }

    /// Makes them by itself, until `stop` turns true.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        tokio::select! {
            () = self.work() => {}
            // A copy that is under way is cut off when the program ends; the next start removes its parts.
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }

    async fn work(&self) {
        self.look().await;
        let every = self.0.settings.every;
        if every.is_zero() {
            return std::future::pending().await;
        }
        let (mut next, mut failures) = (self.0.clock.uptime() + self.first_wait().await, 0);
        loop {
            self.known().next = Some(next);
            clock::until(&self.0.clock, next).await;
            let (now, uptime) = (self.0.clock.now(), self.0.clock.uptime());
            if !self.begin() {
                next = uptime + BETWEEN_TWO;
                continue;
            }
            let failing = self.try_one(now).await.err().map(|error| error.to_string());
            failures = if failing.is_none() { 0 } else { failures + 1 };
            self.known().failing = failing;
            next = uptime + if failures == 0 { every } else { wait_after(failures, every) };
            self.0.tries.send_replace(Some(now));
        }
    }

    /// How long it is from the start to the first one: none if there is no recent one that the server made by itself. One
    /// from before a restore has what was thrown away.
    async fn first_wait(&self) -> Duration {
        let restored = self.0.db.read(audit::last_restore).await.ok().flatten().map(|(at, _)| at);
        let is_of_now = |file: &BackupFile| restored.is_none_or(|restored| file.made_at > restored);
        let (now, files) = (self.0.clock.now(), self.files().await.unwrap_or_default());
        let last = files.into_iter().find(|file| file.by_itself && file.has_come(now) && is_of_now(file));
        let age = last.map(|last| now.since(last.made_at));
        age.map_or(Duration::ZERO, |age| self.0.settings.every.saturating_sub(age))
    }

    /// Makes one, and removes those that are too many.
    ///
    /// # Errors
    /// The reason why none was made.
    async fn try_one(&self, now: Timestamp) -> Result<()> {
        let made = self.make_first(store::own_backup_names(now), now).await.inspect_err(
            |error| tracing::error!(%error, "no backup could be made: it is tried again, and all else goes on"),
        )?;
        match made.flaw(&made.file) {
            Some(flaw) => tracing::error!(error = %flaw, "a backup is not whole"),
            None => tracing::info!(file = %made.file.display(), bytes = made.bytes, "a backup was made and checked"),
        }
        self.forget(now).await;
        Ok(())
    }

    async fn forget(&self, now: Timestamp) {
        let (folder, keep) = (Arc::clone(&self.0.folder), self.0.settings.keep);
        let gone = tokio::task::spawn_blocking(move || folder.forget(keep, now)).await;
        match gone.unwrap_or_else(|_| Err(Error::Internal("removing old backups panicked".to_owned()))) {
            Ok(gone) => gone.iter().for_each(|name| tracing::info!(file = name, "an old backup was removed")),
            Err(error) => tracing::warn!(%error, "old backups could not be removed"),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The wait after this many that could not be made, one after another.
fn wait_after(failures: u32, every: Duration) -> Duration {
    AFTER_A_FAULT.saturating_mul(1 << (failures - 1).min(16)).min(every)
}
