//! `ngoma backup`: a copy of the database and its key.

use std::path::PathBuf;

use tracing::Level;

use super::{log, output::show};
use crate::{
    config::Config,
    error::{Error, Result},
    store::{self, Progress},
};

/// Copy the database, also while the server runs, and its key file beside it
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ngoma backup /mnt/backups/ngoma-2026-04-20.db\n  ngoma backup \"/mnt/backups/$(date +%F).db\" && scp ngoma.key elsewhere:\n\nThe copy holds all that was accepted before, is looked through, and is on the disk when this ends with 0. FILE.key opens its\nsigning secrets: keep the two apart. To restore: stop the server, put both files in the places of ngoma.db (its -wal and\n-shm away) and ngoma.key, for the server's user only, run 'ngoma check', start it."
)]
pub(super) struct Args {
    /// Where to; a file that is there is not overwritten.
    file: PathBuf,
}

pub(super) fn run(args: &Args, config: &Config) -> Result<()> {
    let made = store::backup(&config.storage, &args.file, |progress| match progress {
        Progress::Copied(percent) => show(&format!("copied {percent} %")),
        Progress::Checking => show("copied; looking through it"),
    });
    show("");
    let (made, file) = (made?, args.file.display());
    if let Some(problem) = &made.open_to_others {
        let open = format!("{file}.key: {problem}; if this medium keeps no modes, guard it as you guard the key");
        log::complain(Level::WARN, &open);
    }
    if let Some(flaw) = made.flaw(&args.file) {
        return Err(Error::Internal(flaw));
    }
    say!("{file} ({} MB) and {file}.key are made and checked; keep them apart", made.bytes.div_ceil(1_000_000));
    Ok(())
}
