//! `ngoma restore`: a backup takes the place of the database.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::{
    output::{print_json, show},
    owner,
};
use crate::{
    api::profiles,
    clock::{Clock, SystemClock},
    config::{Config, command, quoted},
    domain::timestamp::Timestamp,
    error::Result,
    store::{
        Progress, exchange,
        restore::{self, Restored, Source},
        since_backup::SinceBackup,
    },
};

/// Put a backup in the place of the database, and keep what was there
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ngoma restore backups/auto-2026-04-20T11-55-00Z.db\n  systemctl stop ngoma && ngoma restore /mnt/backups/ngoma-2026-04-20.db --key /safe/place/ngoma.key && systemctl start ngoma\n\nStop the server first: the command refuses to run while one uses the database. It checks the whole backup and its key before\nit changes anything. What was there goes into a folder before-restore-... beside the database. If the command is cut off,\nrun it again: it does the rest."
)]
pub(super) struct Args {
    /// The backup: a file that 'ngoma backup', the server or 'litestream restore' has made.
    file: PathBuf,
    /// The key file that opens the backup's signing secrets. Default: FILE.key, else the key file in the backup's
    /// folder, else the present one.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, config: &Config) -> Result<()> {
    let (storage, now) = (&config.storage, SystemClock.now().checked()?);
    // Root may read a backup that nobody else may. The rest happens in the folder of the database: as its owner.
    let source = Source::open(storage, &args.file, args.key.as_deref());
    owner::act_in_folder(config)?;
    let completed = exchange::go_on(storage)?;
    if let Some(file) = &completed {
        let is_all = std::path::absolute(&args.file).is_ok_and(|again| again == *file);
        if !args.json {
            say!("a restore of {} that was cut off is now complete", file.display());
        } else if is_all {
            print_json(&json!({ "completed": file }));
        }
        if is_all {
            return Ok(());
        }
    }
    let restored = restore::restore(storage, source?, now, |progress| match progress {
        Progress::Copied(percent) => show(&format!("copied {percent} %")),
        Progress::Checking => show("copied; checking it"),
    });
    show("");
    let restored = restored?;
    let since = restored.since.as_ref();
    if args.json {
        print_json(&json!({
            "completed": completed, "file": args.file, "database": storage.path, "key_file": restored.key,
            "as_of": restored.as_of.map(|as_of| as_of.to_string()),
            "pending_deliveries": restored.pending, "held_deliveries": restored.held, "former": restored.before,
            "lost_events": since.map(|since| since.events),
            "revoked_tokens": since.map(tokens),
            "erased_accounts": since.map(|since| &since.erased),
            "deleted_webhooks": since.map(|since| webhooks(since, config)),
        }));
    } else {
        print(&restored, &args.file, config, now);
    }
    Ok(())
}

/// Prints the new state, the loss, and the place of the former files.
fn print(restored: &Restored, file: &Path, config: &Config, now: Timestamp) {
    say!("{} now holds {}, which was checked", config.storage.path.display(), file.display());
    if !restored.note.is_empty() {
        say!("  {}", restored.note.trim_start_matches("ok; "));
    }
    if let Some(key) = &restored.key {
        say!("  its key was read from {}", key.display());
    }
    match restored.as_of {
        Some(as_of) => say!(
            "  it is as of {as_of}, {} ago: {}",
            humantime::format_duration(std::time::Duration::from_secs(now.since(as_of).as_secs())),
            match &restored.since {
                Some(since) => format!("{} events that were accepted later are lost", since.events),
                None => "events that were accepted later are lost".to_owned(),
            }
        ),
        None => say!("  it is empty"),
    }
    match &restored.since {
        Some(since) => print_since(since, config),
        None => say!(
            "  it could be compared with no former database: tokens that were revoked since, accounts that were erased and \
             webhooks that were deleted are back. Look through them: '{}', '{}', '{}'",
            command("token list"),
            command("account list"),
            command("webhooks list")
        ),
    }
    say!("  sessions have ended: everybody signs in again at the dashboard");
    say!(
        "  {} deliveries in it wait, and go out when the server starts, even if they have arrived meanwhile; {} are held",
        restored.pending,
        restored.held
    );
    for folder in &restored.before {
        say!("  the former files are in {}: remove this folder when all is well", folder.display());
    }
}

/// Prints the tokens, accounts and webhooks that were removed since the backup.
fn print_since(since: &SinceBackup, config: &Config) {
    if !since.revoked.is_empty() {
        say!("  tokens that were revoked since stay revoked: {}", tokens(since).join(" "));
    }
    if !since.erased.is_empty() {
        say!("  accounts that were erased since are back, with everything they had. Erase them again:");
        since.erased.iter().for_each(|id| say!("    {}", command(&format!("account delete {}", quoted(id)))));
    }
    if !since.deleted.is_empty() {
        say!("  webhooks that were deleted since are back, and get deliveries: {}", webhooks(since, config).join(" "));
    }
    say!("  webhooks, signing secrets and alert addresses are as they were at that moment");
}

fn tokens(since: &SinceBackup) -> Vec<String> {
    since.revoked.iter().map(ToString::to_string).collect()
}

fn webhooks(since: &SinceBackup, config: &Config) -> Vec<String> {
    let profiles = profiles(config);
    since.deleted.iter().map(|(profile, id)| profiles.on_wire(profile, *id)).collect()
}
