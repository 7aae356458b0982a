//! The use cases, for the command line, with the right of a user who has a shell on the machine.

use std::sync::Arc;

use super::database::{as_served, open};
use crate::{
    api::{dialects, profiles},
    app::{Access, App, Watched, Webhooks},
    clock::{SharedClock, SystemClock},
    config::Config,
    engine::{Engine, Guard, backups::Backups, system_look_up},
    error::Result,
    store::Db,
};

/// An app over the existing database. A server may run on the database too.
pub(super) fn app(config: &Config) -> Result<App> {
    app_over(open(config)?, config)
}

/// An app over this database.
pub(super) fn app_over(db: Db, config: &Config) -> Result<App> {
    let (config, clock): (_, SharedClock) = (as_served(&db, config)?, Arc::new(SystemClock));
    let guard = Guard::new(&config.egress, config.server.listen, &system_look_up(), Arc::clone(&clock))?;
    let engine = Engine::new(db.clone(), Arc::clone(&clock), profiles(&config), &config, &guard)?;
    let backups = Backups::new(db.clone(), Arc::clone(&clock), &config)?;
    Ok(App::new(
        (db, engine, guard),
        (backups, Watched::nothing()),
        clock,
        (profiles(&config), dialects(&config)),
        config,
    ))
}

/// The right to manage the webhooks of every account.
pub(super) fn access() -> Access<Webhooks> {
    Access::of_command_line()
}
