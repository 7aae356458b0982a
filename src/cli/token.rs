//! `ngoma token`: bearer tokens.

use std::time::Duration;

use clap::Subcommand;
use serde_json::json;

use super::{
    database::{block_on, open},
    deliveries::named,
    output::{hint, nothing, print_json},
    table::{Cell, Column, print_table},
    wrong::{OfWords, span, wrong},
};
use crate::{
    api::profiles,
    app::tokens::{CreatedToken, NewToken, TokenRecord},
    config::{Config, command},
    domain::{audit::Actor, excerpt::excerpt, ids::TokenId, timestamp::Timestamp, token::Scopes},
    error::{Error, Missing, Result},
    store::{Admission, Tx, tokens},
};

/// Make, list and revoke bearer tokens
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ngoma token create --account COOP-MBALE-001 --scope webhooks,events\n  ngoma token list\n  ngoma token revoke tok_01HXYZ..."
)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a token; it is shown once
    #[command(
        after_help = "Examples:\n  ngoma token create --account COOP-MBALE-001 --scope webhooks --label dashboard --expires 90d\n  ngoma token create --platform asilichain --scope events    (publishes for every account)\n  ngoma token create --scope operator"
    )]
    Create {
        /// The account that the token belongs to.
        #[arg(long, conflicts_with = "platform", value_name = "ID")]
        account: Option<String>,
        /// The platform that the token belongs to, asilichain or asg; it reaches every account of this profile.
        #[arg(long, value_name = "PROFILE")]
        platform: Option<String>,
        /// Its scopes, with commas between them: webhooks (manage webhooks, read and replay deliveries), events
        /// (publish, read events and tasks), operator (everything, in every account).
        #[arg(long, value_name = "SCOPES")]
        scope: String,
        /// A text by which you find it in lists, one line.
        #[arg(long)]
        label: Option<String>,
        /// How long it is valid, such as 90d or 12h. Without this option it does not expire.
        #[arg(long, value_name = "TIME", value_parser = span)]
        expires: Option<Duration>,
        /// Print one JSON object instead of text.
        #[arg(long)]
        json: bool,
    },
    /// List every token that is not revoked; the tokens themselves are not shown
    #[command(after_help = "Example:\n  ngoma token list --json")]
    List {
        /// Print a JSON array instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Revoke a token at once, also while the server runs
    #[command(after_help = "Example:\n  ngoma token revoke tok_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1")]
    Revoke {
        /// The token's id, tok_..., from 'ngoma token list'.
        id: String,
        /// Print one JSON object instead of text.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(args: Args, config: &Config) -> Result<()> {
    match args.command {
        Command::Create { account, platform, scope, label, expires, json } => {
            let (scopes, holder) = (Scopes::parse(&scope).of_words()?, (account, platform.as_deref()));
            if holder == (None, None) && !scopes.is_operator() {
                // The rule is the app's; here it names the options.
                let message =
                    "whose token? Give --account ID or --platform PROFILE; only --scope operator needs neither";
                return Err(wrong(message));
            }
            if holder != (None, None) && scopes.is_operator() {
                let message = "--scope operator reaches every account: leave out --account and --platform";
                return Err(wrong(message));
            }
            let new = NewToken::new(&profiles(config), holder, scopes, label);
            let new = new.and_then(|new| new.lasting(expires)).of_words()?;
            let db = open(config)?;
            let create = db.write(Actor::CommandLine, Admission::Try, move |tx| new.create(tx));
            let CreatedToken { id, token, expires_at } = block_on(create).map_err(named)?;
            let until = expires_at.map(|at| format!(" It expires at {at}.")).unwrap_or_default();
            if json {
                let mut made = json!({ "id": id.to_string(), "token": token.expose() });
                expires_at.into_iter().for_each(|at| made["expires_at"] = at.to_string().into());
                print_json(&made);
            } else {
                say!("{}", token.expose());
                hint(&format!("This is token {id}. It is shown only now; keep it where you keep passwords.{until}"));
            }
        }
        Command::List { json } => {
            let tokens = block_on(open(config)?.read(tokens::list))?;
            if tokens.is_empty() {
                nothing(
                    json,
                    &format!("there is no token yet: '{}' says how to make one", command("token create --help")),
                );
            } else if json {
                print_json(&tokens.iter().map(as_json).collect());
            } else {
                print_table(&COLUMNS, &tokens.iter().map(row).collect::<Vec<_>>());
            }
        }
        Command::Revoke { id, json } => {
            let unknown = || {
                wrong(format!(
                    "'{}' is no token's id, tok_...: '{}' shows the ids",
                    excerpt(&id),
                    command("token list")
                ))
            };
            let token = TokenId::parse(&id).ok_or_else(unknown)?;
            let revoke = move |tx: &Tx<'_>| tokens::revoke(tx, token);
            let revoked = block_on(open(config)?.write(Actor::CommandLine, Admission::Try, revoke));
            revoked.map_err(|error| match error {
                Error::NotFound(Missing::Token) => Error::request(format!(
                    "there is no token '{id}' to revoke: '{}' shows all tokens",
                    command("token list")
                )),
                error => error,
            })?;
            if json {
                print_json(&json!({ "id": id, "revoked": true }));
            } else {
                confirm!("token {id} is revoked");
            }
        }
    }
    Ok(())
}

fn as_json(token: &TokenRecord) -> serde_json::Value {
    json!({
        "id": token.id.to_string(),
        "account": token.account,
        "profile": token.profile,
        "scopes": token.scopes.names(),
        "label": token.label,
        "created_at": token.created_at.to_string(),
        "last_used_at": token.last_used_at.map(|at| at.to_string()),
        "expires_at": token.expires_at.map(|at| at.to_string()),
    })
}

const COLUMNS: [Column; 6] = [
    Column::Text("TOKEN", 0),
    Column::Text("BELONGS TO", 0),
    Column::Text("SCOPES", 0),
    Column::Text("LAST USED", 0),
    Column::Text("EXPIRES", 0),
    Column::Text("LABEL", 0),
];

fn row(token: &TokenRecord) -> Vec<Cell> {
    let holder = match (&token.account, &token.profile) {
        (Some(account), _) => account.clone(),
        (None, Some(profile)) => format!("platform of {profile}"),
        (None, None) => "operator".to_owned(),
    };
    let used = token.last_used_at.map_or_else(|| "never".to_owned(), |at: Timestamp| at.to_string());
    let label = token.label.as_deref().unwrap_or("");
    let until = token.expires_at.map_or_else(|| "never".to_owned(), |at| format!("until {at}"));
    let (id, scopes) = (token.id.to_string(), token.scopes.to_string());
    [&id, &holder, &scopes, &used, &until, label].map(Cell::from).into()
}
