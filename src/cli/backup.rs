//! `ngoma backup`: a copy of the database and its key.

use std::path::PathBuf;

use serde_json::json;
use tracing::Level;

use super::{
    database, log,
    output::{print_json, show},
    owner,
};
use crate::{
    config::Config,
    error::{Error, Result},
    store::{self, Progress, Snapshot},
};

/// Copy the database, also while the server runs, and its key file beside it
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ngoma backup /mnt/backups/ngoma-2026-04-20.db\n  ngoma backup \"/mnt/backups/$(date +%F).db\" && scp ngoma.key elsewhere:\n\nThe copy has every event that was accepted before the command began. The command ends with 0 when the copy is checked\nand on disk. FILE.key opens the copy's signing secrets: keep the two apart. 'ngoma restore' puts a copy back."
)]
pub(super) struct Args {
    /// The file to make, in a folder that is there; an existing file is not overwritten.
    file: PathBuf,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, config: &Config) -> Result<()> {
    database::expect(config)?;
    let mut from = owner::as_owner_of_database(config, || Snapshot::take(&config.storage))?;
    let progress = |progress| match progress {
        Progress::Copied(percent) => show(&format!("copied {percent} %")),
        Progress::Checking => show("copied; checking it"),
    };
    let made = owner::as_master_of(&args.file, || store::backup(&mut from, &args.file, progress));
    // SQLite removes the log of a database that nobody else has open.
    owner::as_owner_of_database(config, move || {
        drop(from);
        Ok(())
    })?;
    show("");
    let (made, file) = (made.and_then(|made| database::expect_same().map(|()| made))?, args.file.display());
    if let Some(problem) = &made.open_to_others {
        let open = format!("{file}.key: {problem}; if this medium keeps no modes, protect it in another way");
        log::complain(Level::WARN, &open);
    }
    if let Some(flaw) = made.flaw(&args.file) {
        return Err(Error::Internal(flaw));
    }
    if args.json {
        let (file, key) = (file.to_string(), format!("{file}.key"));
        print_json(&json!({ "file": file, "key_file": key, "bytes": made.bytes }));
        return Ok(());
    }
    confirm!("{file} ({} MB) and {file}.key are made and checked; keep them apart", made.bytes.div_ceil(1_000_000));
    Ok(())
}
