//! The database and the runtime of commands other than 'serve'.

use std::{
    fs::Metadata,
    io::ErrorKind,
    os::unix::fs::MetadataExt,
    path::{self, PathBuf},
    sync::{Arc, OnceLock},
};

use super::owner;
use crate::{
    clock::SystemClock,
    config::Config,
    error::{Error, Result},
    store::{self, Db, serving},
};

/// The database of this command: its name, and the file that this led to when the command began (device and inode).
static OPENED: OnceLock<(PathBuf, (u64, u64))> = OnceLock::new();

/// Runs the work of a command. It fails if the database that the command has open was exchanged meanwhile: then the
/// command has read and written the former one.
pub(super) fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.map_err(|error| Error::Internal(error.to_string()))?.block_on(future);
    expect_same().and(done)
}

/// Opens an existing database, also while a server runs on it.
pub(super) fn open(config: &Config) -> Result<Db> {
    expect(config)?;
    let opened = store::open(&config.storage, &config.limits, Arc::new(SystemClock), false);
    opened.map_err(owner::explain)
}

/// The settings of the server that serves this database, as far as they decide where may be delivered: those of `ngoma
/// serve --dev`, if that serves it.
pub(super) fn as_served(db: &Db, config: &Config) -> Result<Config> {
    let mut config = config.clone();
    if block_on(db.read(serving::is_dev))? {
        config.become_dev();
    }
    Ok(config)
}

/// Refuses to go on if the name of the open database no longer leads to the open file, as after a restore. To be asked
/// before a command says what it has done, where that is before the end of [`block_on`].
pub(super) fn expect_same() -> Result<()> {
    let Some((path, opened)) = OPENED.get() else { return Ok(()) };
    if path.metadata().is_ok_and(|file| id_of(&file) == *opened) {
        return Ok(());
    }
    let shown = path::absolute(path).unwrap_or_else(|_| path.clone());
    Err(Error::Unavailable(format!(
        "{} was replaced while this command ran, as 'ngoma restore' does: what the command read and wrote is in the former \
         database, which a restore keeps in before-restore-... beside it. Run the command again",
        shown.display()
    )))
}

fn id_of(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

/// Refuses to go on without a secret of the settings whose file could not be read: for commands that send by them.
pub(super) fn expect_secrets(config: &Config) -> Result<()> {
    config.expect_secrets().map_err(|error| Error::request(error.to_string()))
}

/// Refuses to go on without a database: only 'serve' makes one, so that a command in a wrong folder makes nothing.
pub(super) fn expect(config: &Config) -> Result<()> {
    expect_seen(config, "run this with sudo, or as the user of the server")?;
    let path = &config.storage.path;
    let error = match path.metadata() {
        Ok(file) => {
            OPENED.get_or_init(|| (path.clone(), id_of(&file)));
            return Ok(());
        }
        Err(error) => error,
    };
    let named = named(config);
    Err(Error::request(match error.kind() {
        // A link that leads to nothing: the store says so.
        ErrorKind::NotFound if path.is_symlink() => return Ok(()),
        ErrorKind::NotFound => format!(
            "there is no database at {named}: 'ngoma serve' makes it, so start the server first; if it is elsewhere, name the server's \
             settings by --config FILE or NGOMA_CONFIG, or run this in the server's folder"
        ),
        _ => format!("the database {named} cannot be looked at: {error}"),
    }))
}

/// Refuses to go on where this user may not even see whether there is a database, and says what to do instead.
pub(super) fn expect_seen(config: &Config, instead: &str) -> Result<()> {
    match config.storage.path.metadata() {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            Err(Error::request(format!("the database {} cannot be looked at: {error}: {instead}", named(config))))
        }
        _ => Ok(()),
    }
}

/// Where the database is, and which settings say so.
fn named(config: &Config) -> String {
    let path = &config.storage.path;
    let shown = path::absolute(path).unwrap_or_else(|_| path.clone());
    format!("{} (by {})", shown.display(), config.source_of_database())
}
