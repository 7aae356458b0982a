//! `ngoma check`: what is wrong with the config and the database.

use crate::{
    config::Config,
    engine,
    error::{Error, Result},
    store,
};

/// Read the config and look through the whole database; say what is wrong
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ngoma check\n  ngoma --config /etc/ngoma/config.toml check && systemctl restart ngoma"
)]
pub(super) struct Args {}

pub(super) fn run(_: &Args, config: &Config) -> Result<()> {
    engine::alerts::check(config)?;
    let path = config.storage.path.display();
    if !config.storage.path.exists() {
        say!("config    ok\ndatabase  {path} is not there yet: 'ngoma serve' makes it");
        return Ok(());
    }
    let problems = store::check(&config.storage)?;
    if problems.is_empty() {
        say!("config    ok\ndatabase  {path} ok");
        return Ok(());
    }
    Err(Error::Internal(format!("{path} has problems:\n  {}", problems.join("\n  "))))
}
