//! `ngoma account`: the accounts.

use clap::Subcommand;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    database::{as_served, block_on, expect_secrets, open},
    deliveries::named,
    erase,
    output::{hint, nothing, print_json},
    selection::ALL,
    table::{Cell, Column, print_table},
    wrong::{OfWords, wrong},
};
use crate::{
    api::profiles,
    app::accounts::NewAccount,
    config::{Config, command},
    domain::{
        account::{self, Account},
        audit::Actor,
        endpoint::{TargetUrl, masked},
        signature::SigningSecret,
    },
    engine::{alerts, try_channels},
    error::{Error, Result},
    store::{Admission, Tx, accounts, notices, random},
};

/// Make, list, change and erase accounts
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
        /// The API that the account uses: asilichain or asg.
        #[arg(long)]
        profile: String,
        /// The account's id, such as COOP-MBALE-001: 1 to 100 letters, digits or any of - _ . : after a letter or digit.
        #[arg(long)]
        id: String,
        /// The address for its alerts, for instance when a webhook is suspended. Default: none.
        #[arg(long, value_name = "MAIL")]
        alert_email: Option<String>,
        /// Print one JSON object instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Change where an account's alerts and notices go; works while the server runs
    #[command(
        after_help = "Examples:\n  ngoma account set COOP-MBALE-001 --alert-email ops@coop.example\n  ngoma account set COOP-MBALE-001 --no-alert-email\n  ngoma account set COOP-MBALE-001 --alerts-url https://coop.example/ngoma\n\nAlerts that could not be mailed go to the new address at their next try, within the hour."
    )]
    Set {
        /// The account's id.
        id: String,
        /// Mail its alerts to this address.
        #[arg(long, value_name = "MAIL")]
        alert_email: Option<String>,
        /// Mail its alerts to nobody.
        #[arg(long, conflicts_with = "alert_email")]
        no_alert_email: bool,
        /// POST notices about its webhooks here, signed with a new secret, which is shown once.
        #[arg(long, value_name = "URL")]
        alerts_url: Option<String>,
        /// POST no notices.
        #[arg(long, conflicts_with = "alerts_url")]
        no_alerts_url: bool,
        /// Print one JSON object instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Mail a test to an account's alert address by alerts.smtp_url; works while the server runs
    #[command(
        name = "test-mail",
        after_help = "Example:\n  ngoma account test-mail COOP-MBALE-001\n\nThe command itself sends the mail, with the settings that it reads: give it the server's --config and environment."
    )]
    TestMail {
        /// The account's id.
        id: String,
        /// Print one JSON object instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Erase an account with its webhooks, tokens, events and deliveries; works while the server runs
    #[command(
        after_help = "Example:\n  ngoma account delete COOP-MBALE-001          # only counts\n  ngoma account delete COOP-MBALE-001 --yes\n\nThe account disappears for everybody at once. Then its rows are removed and overwritten, step by step. If the command\nis cut off, run it again, or the server finishes the work within the hour. Older backups still hold the account."
    )]
    Delete {
        /// The account's id.
        id: String,
        /// Erase it. Only a backup brings it back.
        #[arg(long)]
        yes: bool,
        /// Print one JSON object instead of text.
        #[arg(long)]
        json: bool,
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
            let new = NewAccount::new(&profiles(config), id, &profile, alert_email).of_words()?;
            let db = open(config)?;
            let made = block_on(db.write(Actor::CommandLine, Admission::Try, move |tx| new.create(tx)))?.id;
            if json {
                print_json(&json!({ "id": made }));
            } else {
                confirm!(
                    "account {made} is made; a token for it: {}",
                    command(&format!("token create --account {made} --scope webhooks,events"))
                );
            }
        }
        Command::Set { id, alert_email, no_alert_email, alerts_url, no_alerts_url, json } => {
            if alert_email.is_none() && alerts_url.is_none() && !no_alert_email && !no_alerts_url {
                return Err(wrong(
                    "nothing is to be changed: give --alert-email, --no-alert-email, --alerts-url or --no-alerts-url",
                ));
            }
            let secret = match (&alerts_url, no_alerts_url) {
                (None, false) => None,
                (url, _) => set_alerts_url(config, &id, url.as_deref())?,
            };
            if alert_email.is_some() || no_alert_email {
                set_alert_email(config, &id, alert_email.clone())?;
            }
            if json {
                let (name, secret) = (id, secret.as_ref().map(|secret| secret.as_str()));
                let set = block_on(open(config)?.read(move |view| accounts::see(view, &ALL, &name)))?;
                let mut set = as_json(&set);
                secret.into_iter().for_each(|secret| set["alerts_secret"] = secret.into());
                print_json(&set);
            } else {
                tell(&id, alert_email.as_deref(), no_alert_email);
                tell_notices(&id, secret.as_ref().map(|secret| secret.as_str()), no_alerts_url);
            }
        }
        Command::TestMail { id, json } => {
            expect_secrets(config)?;
            let (name, db) = (id.clone(), open(config)?);
            let see = db.read(move |view| accounts::see(view, &ALL, &name));
            let none = || {
                Error::request(format!(
                    "{id} has no alert e-mail: '{}' sets it",
                    command(&format!("account set {id} --alert-email MAIL"))
                ))
            };
            let to = block_on(async {
                let to = see.await.map_err(named)?.alert_email.ok_or_else(none)?;
                try_channels::send_test_mail(config, &to).await?;
                Ok(to)
            })?;
            if json {
                print_json(&json!({ "id": id, "mailed_to": to }));
            } else {
                confirm!("a test was mailed to {to}: the mail server has accepted it");
            }
        }
        Command::Delete { id, yes, json } => erase::run(&open(config)?, &id, yes, json)?,
        Command::List { json } => list(&block_on(open(config)?.read(accounts::list))?, json),
    }
    Ok(())
}

const COLUMNS: [Column; 4] =
    [Column::Text("ACCOUNT", 0), Column::Text("PROFILE", 0), Column::Text("SINCE", 0), Column::Text("ALERTS GO TO", 0)];

fn list(accounts: &[Account], json: bool) {
    if accounts.is_empty() {
        nothing(
            json,
            &format!("there is no account yet: '{}' makes one, with its webhook and token", command("setup")),
        );
    } else if json {
        print_json(&accounts.iter().map(as_json).collect());
    } else {
        let row = |account: &Account| -> Vec<Cell> {
            let mail = account.alert_email.as_deref().unwrap_or("(no alert e-mail)");
            [&account.id, &account.profile, &account.created_at.to_string(), mail].map(Cell::from).into()
        };
        print_table(&COLUMNS, &accounts.iter().map(row).collect::<Vec<_>>());
    }
}

fn as_json(account: &Account) -> Value {
    json!({
        "id": account.id,
        "profile": account.profile,
        "alert_email": account.alert_email,
        "alerts_url": account.alerts_url.as_deref().map(masked),
        "created_at": account.created_at.to_string(),
    })
}

/// Changes the URL to which notices about an account's webhooks are POSTed, and returns the new secret.
fn set_alerts_url(config: &Config, id: &str, url: Option<&str>) -> Result<Option<Zeroizing<String>>> {
    let url = url.map(|url| TargetUrl::parse(url, config.limits.url_bytes)).transpose().of_words()?;
    let db = open(config)?;
    let served = as_served(&db, config)?;
    url.as_ref().map(|url| alerts::check_target(&served, url)).transpose().of_words()?;
    let secret = url.as_ref().map(|_| Ok::<_, Error>(SigningSecret::from_random(&*random()?))).transpose()?;
    let shown = secret.as_ref().map(|secret| Zeroizing::new(secret.expose().to_owned()));
    let name = id.to_owned();
    let set = move |tx: &Tx<'_>| notices::set_target(tx, &name, url.as_ref().zip(secret.as_ref()));
    block_on(db.write(Actor::CommandLine, Admission::Try, set)).map_err(named)?;
    Ok(shown)
}

/// Changes the address to which an account's alerts are mailed; `None`: nobody's.
fn set_alert_email(config: &Config, id: &str, alert_email: Option<String>) -> Result<()> {
    alert_email.as_deref().map(account::check_email).transpose().of_words()?;
    let (name, db) = (id.to_owned(), open(config)?);
    let set = move |tx: &Tx<'_>| accounts::set_alert_email(tx, &name, alert_email.as_deref());
    block_on(db.write(Actor::CommandLine, Admission::Try, set)).map_err(named)
}

fn tell(id: &str, mailed_to: Option<&str>, nobody: bool) {
    match mailed_to {
        Some(to) => {
            confirm!("alerts of {id} are mailed to {to}; to try it: {}", command(&format!("account test-mail {id}")));
        }
        None if nobody => confirm!("alerts of {id} are mailed to nobody"),
        None => {}
    }
}

fn tell_notices(id: &str, secret: Option<&str>, nowhere: bool) {
    match secret {
        Some(secret) => {
            say!("{secret}");
            hint(&format!("This secret signs the notices of {id}. It is shown only now."));
        }
        None if nowhere => confirm!("notices of {id} are POSTed nowhere"),
        None => {}
    }
}
