//! `ngoma setup`: an account with its alert address, its first webhook and its first token, in one go.

use serde_json::json;

use super::{
    app::app_over,
    database::{block_on, expect_same, open},
    output::print_json,
    selection::ALL,
    setup_present,
    setup_questions::{Answers, Given, scopes},
    webhook_view,
};
use crate::{
    app::{Access, App, Operator, accounts::NewAccount, tokens::NewToken, webhooks::Registered},
    config::{Config, command},
    domain::token::BearerToken,
    error::{Error, Result},
    store::accounts,
};

/// The label of the token, for lists.
const LABEL: &str = "setup";

/// Make an account with its first webhook and token in one go; asks for what no option gives
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ngoma setup                                            asks, on a terminal\n  ngoma setup --profile asilichain --account COOP-MBALE-001 --url https://erp.coop.example/hook --events 'batch.*' \\\n    --alert-email ops@coop.example\n\nAll of it is made, or nothing. It works while the server runs, and the rules are those of the API. The token and the\nwebhook's signing secret are shown once. If the account is there already, nothing is changed: the command shows what\nthere is and ends with 0, or says what differs from your options and how to change it, and ends with 1."
)]
pub(super) struct Args {
    /// The API that the account uses: asilichain or asg.
    #[arg(long, alias = "vendor")]
    profile: Option<String>,
    /// The account's id, such as COOP-MBALE-001: 1 to 100 letters, digits or any of - _ . : after a letter or digit.
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// The URL that events are POSTed to.
    #[arg(long)]
    url: Option<String>,
    /// The events: names, prefixes such as 'batch.*', or '*' for all; several with commas between them. Default: all.
    #[arg(long, value_name = "NAMES")]
    events: Option<String>,
    /// The address for the account's alerts, for instance when the webhook is suspended. Default: none.
    #[arg(long, value_name = "MAIL")]
    alert_email: Option<String>,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args, config: &Config) -> Result<()> {
    let Args { profile, account, url, events, alert_email, json } = args;
    let given = Given { profile, account, url, events, alert_email };
    given.expect_enough()?;
    let db = open(config)?;
    let (app, access) = (app_over(db.clone(), config)?, Access::<Operator>::of_command_line());
    block_on(async {
        let is_present = |id: &str| db.read_inline(|view| accounts::see(view, &ALL, id)).is_ok();
        let (given, id) = given.named(&app, is_present)?;
        if let Some(present) = setup_present::find(&db, &id).await? {
            expect_same()?;
            return present.tell(&app, config, &given, json);
        }
        let begin = async {
            let answers = given.clone().complete(&app, &access, id.clone()).await?;
            let made = make(&app, &access, &answers).await?;
            Ok::<_, Error>((answers, made))
        };
        let begun = begin.await;
        expect_same()?;
        match begun {
            Ok((answers, made)) if json => print_made(&app, &answers, &made),
            Ok((answers, made)) => tell(&app, config, &answers, &made),
            // Somebody else may have made it since.
            Err(error) => match setup_present::find(&db, &id).await? {
                Some(present) => present.tell(&app, config, &given, json),
                None => Err(error),
            },
        }
    })
}

async fn make(app: &App, access: &Access<Operator>, answers: &Answers) -> Result<(Registered, BearerToken)> {
    let profiles = app.profiles();
    let account = NewAccount::new(profiles, answers.account.clone(), &answers.profile, answers.alert_email.clone())?;
    let token = NewToken::new(profiles, (Some(answers.account.clone()), None), scopes()?, Some(LABEL.to_owned()))?;
    app.begin_account(access, account, answers.webhook(), token).await
}

fn print_made(app: &App, answers: &Answers, (registered, token): &(Registered, BearerToken)) -> Result<()> {
    let mut webhook = webhook_view::object(&registered.endpoint, &registered.profile, app.profiles());
    if let Some(secret) = &registered.made_secret {
        webhook["secret"] = secret.expose().into();
    }
    print_json(&json!({
        "made": true,
        "account": answers.account,
        "profile": registered.profile,
        "alert_email": answers.alert_email,
        "token": token.expose(),
        "webhook": webhook,
        "first_event": app.first_event(registered)?,
    }));
    Ok(())
}

fn tell(app: &App, config: &Config, answers: &Answers, (registered, token): &(Registered, BearerToken)) -> Result<()> {
    let Answers { account, profile, url, events, alert_email } = answers;
    let id = webhook_view::id(&registered.endpoint, profile, app.profiles());
    confirm!("The account {account} ({profile}) is made, with all of this:\n");
    match alert_email {
        Some(to) if app.mails() => confirm!("  alerts   are mailed to {to}"),
        Some(to) => confirm!("  alerts   will be mailed to {to}, once alerts.smtp_url names a mail server"),
        None => {
            let set = command(&format!("account set {account} --alert-email MAIL"));
            let now = setup_present::without_address(config);
            confirm!("  alerts   are mailed to {now}; to change it: {set}");
        }
    }
    confirm!("  webhook  {id} gets {} at {url}", events.join(","));
    if let Some(secret) = &registered.made_secret {
        confirm!("\nThe signing secret of the webhook, for its receiver:\n");
        say!("{}", secret.expose());
    }
    confirm!("\nThe token of the account, for the API and the dashboard:\n");
    say!("{}", token.expose());
    confirm!("\nBoth are shown only now: keep them where you keep passwords.");
    confirm!("\nTo send the webhook a test:\n\n  {}", command(&format!("webhooks test {id}")));
    let publish = app.first_event(registered)?.replace('\n', "\n  ");
    confirm!("\nTo publish a first event, in a shell where TOKEN is that token:\n\n  {publish}");
    Ok(())
}
