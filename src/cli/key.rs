//! `ngoma key`: the key file that encrypts signing secrets.

use clap::Subcommand;
use serde_json::json;

use super::{
    database::{block_on, expect_same, open},
    output::{print_json, show},
};
use crate::{
    clock::{Clock, SystemClock},
    config::{Config, Durability},
    domain::audit::Actor,
    error::Result,
    store::{self, Admission, Tx, answers, endpoints, notices},
};

/// Secrets that are encrypted again in one transaction.
const AT_ONCE: usize = 100;

/// Rotate the key that encrypts signing secrets
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  ngoma key rotate && cp ngoma.key /safe/place/")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a new key and encrypt every signing secret again with it, also while the server runs
    #[command(
        after_help = "Example:\n  ngoma key rotate\n\nThe old key stays in the file until no secret needs it. Backups of the database made before need the old key file."
    )]
    Rotate {
        /// Print one JSON object instead of text.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(args: &Args, config: &Config) -> Result<()> {
    let Command::Rotate { json } = args.command;
    // Synced, also with `durability = "normal"`: the old key is removed from its file for good, so no row that needs it
    // may come back.
    let mut config = config.clone();
    config.storage.durability = Durability::Full;
    let file = config.storage.key_file.display();
    if config.storage.path.exists() && store::make_lost_key(&config.storage, SystemClock.now().checked()?)? {
        if json {
            print_json(&json!({ "key_file": file.to_string(), "former_key_needed": false }));
            return Ok(());
        }
        confirm!(
            "the key file was missing, and no secret needed it: a new key is in {file}; back it up now, apart from the database"
        );
        return Ok(());
    }
    let db = open(&config)?;
    let forgotten = block_on(async {
        // The key file may have been exchanged with the database: a key that the new one needs must stay in it.
        let add = |tx: &Tx<'_>| expect_same().and_then(|()| endpoints::add_key(tx));
        let forget = |tx: &Tx<'_>| expect_same().and_then(|()| endpoints::forget_old_keys(tx));
        db.write(Actor::CommandLine, Admission::Try, add).await?;
        let (mut from, mut done) = (0, 0);
        while let Some(last) =
            db.write(Actor::CommandLine, Admission::Try, move |tx| endpoints::reseal(tx, from, AT_ONCE)).await?
        {
            (from, done) = (last, done + AT_ONCE);
            show(&format!("the secrets of {done} webhooks are encrypted again"));
        }
        let mut from = 0;
        while let Some(last) =
            db.write(Actor::CommandLine, Admission::Try, move |tx| answers::reseal(tx, from, AT_ONCE)).await?
        {
            from = last;
        }
        db.write(Actor::CommandLine, Admission::Try, notices::reseal).await?;
        show("");
        db.write(Actor::CommandLine, Admission::Try, forget).await
    })?;
    if json {
        print_json(&json!({ "key_file": file.to_string(), "former_key_needed": !forgotten }));
    } else if forgotten {
        confirm!("every secret is encrypted with a new key; back up {file} now, apart from the database");
    } else {
        confirm!("a new key is in {file}; some secrets still need the old one: run this again");
    }
    Ok(())
}
