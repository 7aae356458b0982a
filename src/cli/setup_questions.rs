//! The questions of `ngoma setup`: what no option gives is asked, if there is a terminal. An answer is judged as the API
//! judges it; a wrong one is asked again.

use std::io::{self, IsTerminal, Write};

use super::{
    output::hint,
    wrong::{OfWords, wrong},
};
use crate::{
    app::{Access, App, Operator, webhooks::NewWebhook},
    domain::{
        account,
        endpoint_settings::SettingsChange,
        token::{Scope, Scopes},
    },
    error::{Error, Result},
};

/// The filter of every event.
const ALL_EVENTS: &str = "*";

/// The scopes of the token: everything that an account may do.
pub(super) fn scopes() -> Result<Scopes> {
    Scopes::parse(&[Scope::Webhooks, Scope::Events].map(Scope::name).join(","))
}

/// The answers that options gave.
#[derive(Clone)]
pub(super) struct Given {
    pub(super) profile: Option<String>,
    pub(super) account: Option<String>,
    pub(super) url: Option<String>,
    pub(super) events: Option<String>,
    pub(super) alert_email: Option<String>,
}

/// The answers that make a new account.
#[derive(Default)]
pub(super) struct Answers {
    pub(super) account: String,
    pub(super) profile: String,
    pub(super) url: String,
    pub(super) events: Vec<String>,
    pub(super) alert_email: Option<String>,
}

impl Answers {
    /// The webhook to register.
    pub(super) fn webhook(&self) -> NewWebhook {
        NewWebhook {
            account: self.account.clone(),
            url: self.url.clone(),
            events: self.events.clone(),
            secret: None,
            name: None,
            description: None,
            settings: SettingsChange::default(),
        }
    }
}

impl Given {
    /// Refuses options that leave out a needed answer, if nobody can be asked.
    pub(super) fn expect_enough(&self) -> Result<()> {
        let needed = [("--profile", &self.profile), ("--account", &self.account), ("--url", &self.url)];
        let missing: Vec<&str> = needed.iter().filter(|(_, given)| given.is_none()).map(|(name, _)| *name).collect();
        if missing.is_empty() || io::stdin().is_terminal() {
            return Ok(());
        }
        Err(wrong(format!("there is no terminal to ask on: give {} too", missing.join(", "))))
    }

    /// Asks for profile and account; returns the account's id, which may be one that `is_present`.
    pub(super) fn named(mut self, app: &App, is_present: impl Fn(&str) -> bool) -> Result<(Self, String)> {
        let names: Vec<&str> = app.profiles().iter().map(|profile| profile.name).collect();
        let question = format!("Which API does the account use ({})?", names.join(" or "));
        let profile =
            taken(self.profile.take(), &question, None, |name| app.profiles().named(name).map(|profile| profile.name))?;
        let question = "The id of the account, such as COOP-MBALE-001?";
        let account = taken(self.account.take(), question, None, |id| {
            // The rules for ids may have been others when an account was made.
            let judged = if is_present(id) { Ok(()) } else { account::check_id(id) };
            judged.map(|()| id.to_owned())
        })?;
        Ok((Self { profile: Some(profile.to_owned()), account: Some(account.clone()), ..self }, account))
    }

    /// Asks for the rest of a new account with this id.
    pub(super) async fn complete(self, app: &App, access: &Access<Operator>, account: String) -> Result<Answers> {
        let profile = self.profile.unwrap_or_default();
        let events = vec![ALL_EVENTS.to_owned()];
        let mut answers = Answers { account, profile, events, ..Answers::default() };
        let mut url = self.url;
        loop {
            let was_given = url.is_some();
            answers.url = taken(url.take(), "The URL that events are POSTed to?", None, |url| Ok(url.to_owned()))?;
            let judged = app.check_first_webhook(access, &answers.profile, answers.webhook()).await;
            if judged_well(judged, was_given)? {
                break;
            }
        }
        let mut events = self.events;
        loop {
            let was_given = events.is_some();
            let question = "Which events, with commas between them (* for all)?";
            let names = asked_or(events.take(), question, ALL_EVENTS)?;
            answers.events = names.split(',').map(|name| name.trim().to_owned()).collect();
            let judged = app.check_first_webhook(access, &answers.profile, answers.webhook()).await;
            if judged_well(judged, was_given)? {
                break;
            }
        }
        let mut mail = self.alert_email;
        loop {
            let was_given = mail.is_some();
            let to = asked_or(mail.take(), "The e-mail address for alerts (empty: none)?", "")?;
            answers.alert_email = (!to.is_empty()).then_some(to);
            let judged = answers.alert_email.as_deref().map_or(Ok(()), account::check_email);
            if judged_well(judged, was_given)? {
                return Ok(answers);
            }
        }
    }
}

/// The value of an option, or an answer, after this judgement.
fn taken<T>(
    given: Option<String>,
    question: &str,
    usual: Option<&str>,
    judge: impl Fn(&str) -> Result<T>,
) -> Result<T> {
    if let Some(given) = given {
        return judge(&given).of_words();
    }
    loop {
        let answer = ask(question, usual)?;
        if answer.is_empty() {
            continue;
        }
        match judge(&answer) {
            Err(Error::Invalid { message, .. }) => hint(&message),
            judged => return judged,
        }
    }
}

/// The value of an option that may be left out: without a terminal it is the usual one.
fn asked_or(given: Option<String>, question: &str, usual: &str) -> Result<String> {
    match given {
        Some(given) => Ok(given),
        None if io::stdin().is_terminal() => ask(question, Some(usual)),
        None => Ok(usual.to_owned()),
    }
}

/// Whether an answer is right. A wrong one is an error if an option gave it; otherwise it is asked again.
fn judged_well(judged: Result<()>, was_given: bool) -> Result<bool> {
    match judged {
        Err(Error::Invalid { message, .. }) if !was_given && io::stdin().is_terminal() => {
            hint(&message);
            Ok(false)
        }
        judged => judged.of_words().map(|()| true),
    }
}

/// Asks on the terminal. An empty answer is the usual one.
fn ask(question: &str, usual: Option<&str>) -> Result<String> {
    let usual = usual.unwrap_or_default();
    let shown = if usual.is_empty() { String::new() } else { format!(" [{usual}]") };
    let mut terminal = io::stderr();
    let _ = write!(terminal, "{question}{shown} ").and_then(|()| terminal.flush());
    let mut line = String::new();
    match io::stdin().read_line(&mut line) {
        Ok(0) => Err(Error::request("the answers ended too early: nothing was made")),
        Ok(_) if line.trim().is_empty() => Ok(usual.to_owned()),
        Ok(_) => Ok(line.trim().to_owned()),
        Err(error) => Err(Error::request(format!("the answer cannot be read: {error}: nothing was made"))),
    }
}
