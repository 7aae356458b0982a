//! The database and the runtime of commands other than 'serve'.

use std::{io::ErrorKind, path, sync::Arc};

use super::owner;
use crate::{
    clock::SystemClock,
    config::Config,
    error::{Error, Result},
    store::{self, Db},
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

/// Refuses to go on without a secret of the settings whose file could not be read: for commands that send by them.
pub(super) fn expect_secrets(config: &Config) -> Result<()> {
    config.expect_secrets().map_err(|error| Error::request(error.to_string()))
}

/// Refuses to go on without a database: only 'serve' makes one, so that a command in a wrong folder makes nothing.
pub(super) fn expect(config: &Config) -> Result<()> {
    expect_seen(config, "run this with sudo, or as the user of the server")?;
    let Err(error) = config.storage.path.metadata() else { return Ok(()) };
    let named = named(config);
    Err(Error::request(match error.kind() {
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
