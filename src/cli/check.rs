//! `ngoma check`: what is wrong with the config and the database.

use super::{serve, show};
use crate::{
    clock::{Clock, SystemClock},
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
    SystemClock.now().checked()?;
    engine::check(config)?;
    serve::filter(config)?;
    config.warnings().iter().for_each(|warning| say!("warning   {warning}"));
    let path = config.storage.path.display();
    if !config.storage.path.exists() {
        say!("config    ok\ndatabase  {path} is not there yet: 'ngoma serve' makes it");
        return Ok(());
    }
    let bytes = std::fs::metadata(&config.storage.path).map_or(0, |file| file.len());
    show(&format!("looking through {path}, {} MB", bytes / 1_000_000));
    let problems = store::check(&config.storage);
    show("");
    let problems = problems?;
    if problems.is_empty() {
        say!("config    ok\ndatabase  {path} ok");
        return Ok(());
    }
    Err(Error::Internal(format!("{path} has problems:\n  {}", problems.join("\n  "))))
}
