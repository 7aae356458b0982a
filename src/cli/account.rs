//! `ngoma account`: the tenants.

use clap::Subcommand;
use serde_json::json;

use super::{
    database::{block_on, open, open_or_make},
    erase,
    output::print_json,
    selection::ALL,
};
use crate::{
    api::profiles,
    app::accounts::NewAccount,
    config::Config,
    domain::{account, audit::Actor, text::escaped},
    engine::alerts,
    error::{Error, Result},
    store::{Admission, accounts},
};

/// Make, list, change and erase accounts (tenants)
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ngoma account create --profile asilichain --id COOP-MBALE-001 --alert-email ops@coop.example\n  ngoma account test-mail COOP-MBALE-001\n  ngoma account list"
)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make an account; works while the server runs
    #[command(
        after_help = "Example:\n  ngoma account create --profile asilichain --id COOP-MBALE-001 --alert-email ops@coop.example"
    )]
    Create {
        /// The vendor whose routes it uses: asilichain (a cooperative) or asg (a customer).
        #[arg(long)]
        profile: String,
        /// Its id, such as COOP-MBALE-001: 1 to 100 letters, digits or any of - _ . :
        #[arg(long)]
        id: String,
        /// Where its alerts go, for instance when a webhook is suspended.
        #[arg(long, value_name = "MAIL")]
        alert_email: Option<String>,
        /// Print one JSON object instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Change where an account's alerts are mailed to; works while the server runs
    #[command(
        after_help = "Examples:\n  ngoma account set COOP-MBALE-001 --alert-email ops@coop.example\n  ngoma account set COOP-MBALE-001 --no-alert-email\n\nWhat could not be mailed until now goes to the new address when it is tried next, within the hour."
    )]
    Set {
        /// Its id.
        id: String,
        /// Where its alerts go.
        #[arg(long, value_name = "MAIL", required_unless_present = "no_alert_email")]
        alert_email: Option<String>,
        /// No mail any more.
        #[arg(long, conflicts_with = "alert_email")]
        no_alert_email: bool,
    },
    /// Mail a test to an account's alert address by alerts.smtp_url; works while the server runs
    #[command(
        name = "test-mail",
        after_help = "Example:\n  ngoma account test-mail COOP-MBALE-001\n\nThis command sends it itself, with the settings that it finds: as the server's own user, or with its environment."
    )]
    TestMail {
        /// Its id.
        id: String,
    },
    /// Erase an account with all it has: webhooks, tokens, events, deliveries; works while the server runs
    #[command(
        after_help = "Example:\n  ngoma account delete COOP-MBALE-001          # says what would go\n  ngoma account delete COOP-MBALE-001 --yes\n\nIt vanishes for everybody at once; then its rows are removed, and overwritten, step by step. If that is cut off,\nrun it again, or the server goes on with it within the hour. Backups made before still hold it."
    )]
    Delete {
        /// Its id.
        id: String,
        /// Do it: there is no way back but a backup.
        #[arg(long)]
        yes: bool,
    },
    /// List every account
    #[command(after_help = "Example:\n  ngoma account list --json")]
    List {
        /// Print a JSON array instead of text.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(args: Args, config: &Config) -> Result<()> {
    match args.command {
        Command::Create { profile, id, alert_email, json } => {
            let new = NewAccount::new(&profiles(config), id, &profile, alert_email)?;
            let db = open_or_make(config)?;
            let made = block_on(db.write(Actor::CommandLine, Admission::Try, move |tx| new.create(tx)))?.id;
            if json {
                print_json(&json!({ "id": made }));
            } else {
                say!(
                    "account {made} is made; a token for it: ngoma token create --account {made} --scope webhooks,events"
                );
            }
        }
        Command::Set { id, alert_email, .. } => {
            alert_email.as_deref().map(account::check_email).transpose()?;
            let (name, db) = (id.clone(), open(config)?);
            let set = alert_email.clone();
            block_on(db.write(Actor::CommandLine, Admission::Try, move |tx| {
                accounts::set_alert_email(tx, &name, set.as_deref())
            }))?;
            match alert_email {
                Some(to) => say!("alerts of {id} are mailed to {to}; to try it: ngoma account test-mail {id}"),
                None => say!("alerts of {id} are mailed to nobody"),
            }
        }
        Command::TestMail { id } => {
            let (name, db) = (id.clone(), open(config)?);
            let see = db.read(move |view| accounts::see(view, &ALL, &name));
            let none =
                || Error::request(format!("{id} has no alert e-mail: 'ngoma account set {id} --alert-email MAIL'"));
            block_on(async {
                let to = see.await?.alert_email.ok_or_else(none)?;
                alerts::send_test_mail(config, &to).await?;
                say!("a test was mailed to {to}: the mail server has taken it");
                Ok(())
            })?;
        }
        Command::Delete { id, yes } => erase::run(&open(config)?, &id, yes)?,
        Command::List { json } => {
            let accounts = block_on(open(config)?.read(accounts::list))?;
            if json {
                let rows = accounts.iter().map(|account| {
                    json!({
                        "id": account.id,
                        "profile": account.profile,
                        "alert_email": account.alert_email,
                        "created_at": account.created_at.to_string(),
                    })
                });
                print_json(&rows.collect());
            } else if accounts.is_empty() {
                say!("there is no account yet: ngoma account create --help");
            } else {
                for account in accounts {
                    let mail = account.alert_email.as_deref().unwrap_or("(no alert e-mail)");
                    let (id, mail) = (escaped(&account.id), escaped(mail));
                    say!("{id:<24} {:<12} {}  {mail}", account.profile, account.created_at);
                }
            }
        }
    }
    Ok(())
}
