//! The database and the runtime of commands other than 'serve'.

use std::sync::Arc;

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
    if !config.storage.path.exists() {
        return Err(Error::request(format!(
            "there is no database at {} (by {}): 'ngoma serve' or 'ngoma account create' makes it. If it is elsewhere, name \
             its settings by --config FILE or NGOMA_CONFIG",
            config.storage.path.display(),
            config.source(),
        )));
    }
    open_or_make(config)
}

/// Opens the database, or makes it.
pub(super) fn open_or_make(config: &Config) -> Result<Db> {
    store::open(&config.storage, &config.limits, Arc::new(SystemClock), false)
}
