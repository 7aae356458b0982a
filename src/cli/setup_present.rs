//! `ngoma setup` for an account that is there already: it shows the account, and changes nothing.

use serde_json::{Value, json};

use super::{
    output::print_json,
    selection,
    setup_questions::{Given, scopes},
    webhook_view,
};
use crate::{
    app::App,
    config::{command, quoted},
    domain::{
        account::Account,
        endpoint::{Endpoint, EndpointState},
        timestamp::Timestamp,
    },
    error::{Error, Missing, Result},
    store::{Db, View, accounts, endpoints, tokens},
};

/// An account with what belongs to it.
pub(super) struct Present {
    account: Account,
    webhooks: Vec<Endpoint>,
    /// The number of its tokens, and whether one of them has all scopes that a new one would have.
    tokens: (usize, bool),
}

/// The account of this id, if there is one.
pub(super) async fn find(db: &Db, id: &str) -> Result<Option<Present>> {
    let id = id.to_owned();
    let look = move |view: &View<'_>| {
        let account = match accounts::see(view, &selection::ALL, &id) {
            Err(Error::NotFound(Missing::Account(_))) => return Ok(None),
            found => found?,
        };
        let all = endpoints::list(view, &selection::ALL, Timestamp::from_millis(i64::MAX), (0, None))?.into_iter();
        let live = all.filter(|one| one.account_id == account.id && one.state != EndpointState::Deleted);
        let own: Vec<_> =
            tokens::list(view)?.into_iter().filter(|token| token.account.as_ref() == Some(&account.id)).collect();
        let wanted = scopes()?.names();
        let does_all = own.iter().any(|token| wanted.iter().all(|scope| token.scopes.names().contains(scope)));
        Ok(Some(Present { webhooks: live.collect(), tokens: (own.len(), does_all), account }))
    };
    db.read(look).await
}

impl Present {
    /// Shows the account. It is an error if something differs from the options.
    pub(super) fn tell(&self, app: &App, given: &Given, as_json: bool) -> Result<()> {
        let Self { account, webhooks, tokens } = self;
        let differs = self.differences(app, given);
        if as_json {
            let webhooks = webhooks.iter().map(|one| webhook_view::object(one, &account.profile, app.profiles()));
            print_json(&json!({
                "made": false,
                "account": account.id,
                "profile": account.profile,
                "alert_email": account.alert_email,
                "tokens": tokens.0,
                "webhooks": webhooks.collect::<Value>(),
                "differences": differs,
            }));
        } else {
            confirm!("The account {} is there already; nothing was changed:\n", account.id);
            confirm!("  profile  {}", account.profile);
            confirm!("  alerts   are mailed to {}", account.alert_email.as_deref().unwrap_or("nobody"));
            for one in webhooks {
                let id = webhook_view::id(one, &account.profile, app.profiles());
                confirm!("  webhook  {id} gets {} at {}", one.events.entries().join(","), one.url.given());
            }
            confirm!("  tokens   {}", tokens.0);
        }
        match differs.as_slice() {
            [] => Ok(()),
            differs => Err(Error::request(format!(
                "{} is there already, and nothing was changed. It is not as you asked:\n  {}",
                account.id,
                differs.join("\n  ")
            ))),
        }
    }

    /// What differs from the options, with the command that changes it: a sentence each.
    fn differences(&self, app: &App, given: &Given) -> Vec<String> {
        let (id, mut differs) = (&self.account.id, Vec::new());
        let Given { profile, url, events, alert_email, .. } = given;
        if profile.as_ref().is_some_and(|profile| *profile != self.account.profile) {
            differs.push(format!("its profile is {}, and stays so: take another id", self.account.profile));
        }
        if let Some(mail) = alert_email.as_ref().filter(|mail| Some(*mail) != self.account.alert_email.as_ref()) {
            differs.push(format!(
                "its alerts go elsewhere: {}",
                command(&format!("account set {id} --alert-email {}", quoted(mail)))
            ));
        }
        let names = events.as_deref().unwrap_or("*");
        let at = url.as_ref().map(|url| (url, self.webhooks.iter().find(|one| one.url.is_same_as(url))));
        match at {
            Some((url, None)) => {
                let create = format!("webhooks create --account {id} --url {} --events {}", quoted(url), quoted(names));
                differs.push(format!("it has no webhook at {url}: {}", command(&create)));
            }
            Some((_, Some(webhook))) if events.is_some() => {
                let wanted: Vec<&str> = names.split(',').map(str::trim).collect();
                if webhook.events.entries() != wanted {
                    let on_wire = webhook_view::id(webhook, &self.account.profile, app.profiles());
                    let set = command(&format!("webhooks set {on_wire} --events {}", quoted(names)));
                    differs.push(format!("its webhook gets other events: {set}"));
                }
            }
            _ => {}
        }
        if !self.tokens.1 {
            let create = command(&format!("token create --account {id} --scope webhooks,events"));
            differs.push(format!("it has no token with the scopes webhooks and events: {create}"));
        }
        differs
    }
}
