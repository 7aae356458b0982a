//! The database and the runtime of commands other than 'serve'.

use std::{io::ErrorKind, path, sync::Arc};

use super::owner;
use crate::{
    clock::SystemClock,
    config::Config,
    error::{Error, Result},
    store::{self, Db, serving},
};

pub(super) fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Error::Internal(error.to_string()))?.block_on(future)
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

/// Refuses to go on without a secret of the settings whose file could not be read: for commands that send by them.
pub(super) fn expect_secrets(config: &Config) -> Result<()> {
    config.expect_secrets().map_err(|error| Error::request(error.to_string()))
}

/// Refuses to go on without a database: only 'serve' makes one, so that a command in a wrong folder makes nothing.
pub(super) fn expect(config: &Config) -> Result<()> {
    let path = &config.storage.path;
    let Err(error) = path.metadata() else { return Ok(()) };
    let (shown, source) = (path::absolute(path).unwrap_or_else(|_| path.clone()), config.source_of_database());
    let shown = shown.display();
    Err(Error::request(match error.kind() {
        // A link that leads to nothing: the store says so.
        ErrorKind::NotFound if path.is_symlink() => return Ok(()),
        ErrorKind::NotFound => format!(
            "there is no database at {shown} (by {source}): 'ngoma serve' makes it, so start the server first; if it is \
             elsewhere, name the server's settings by --config FILE or NGOMA_CONFIG, or run this in the server's folder"
        ),
        ErrorKind::PermissionDenied => format!(
            "the database {shown} (by {source}) cannot be looked at: {error}: run this with sudo, or as the user of the server"
        ),
        _ => format!("the database {shown} (by {source}) cannot be looked at: {error}"),
    }))
}
