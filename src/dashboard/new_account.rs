//! A new account with its first webhook and its first token, made by one form. For the operator.

use std::sync::Arc;

use askama::Template;
use poem::{
    Response, Result, handler,
    web::{Data, Query},
};
use serde::Deserialize;

use super::{
    accounts::{Choice, chosen_vendors},
    fields::Fields,
    form_once::{Outcome, Shown},
    frame::Frame,
    query_string::account_page,
    render,
    state::Shared,
    visit::Allowed,
    webhooks::{WebhookForm, settings, wanted},
};
use crate::{
    app::{Operator, accounts::NewAccount, tokens::NewToken, webhooks::NewWebhook},
    domain::token::{Scope, Scopes},
    error::Error,
};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct For {
    vendor: String,
}

#[derive(Template)]
#[template(path = "new_account.html", config = "src/dashboard/askama.toml")]
struct Page<'a> {
    frame: Frame<'a>,
    vendors: Vec<Choice>,
    id: String,
    mail: String,
    label: String,
    form: WebhookForm,
    problem: Option<String>,
}

#[handler]
pub(super) fn begin(shared: Data<&Shared>, visit: Allowed<Operator>, asked: Query<For>) -> Result<Response> {
    show(&shared, &visit, &asked.vendor, None, None)
}

/// The form, with its values and the reason if it was refused.
fn show(
    shared: &Shared,
    visit: &Allowed<Operator>,
    vendor: &str,
    filled: Option<&Fields>,
    problem: Option<Error>,
) -> Result<Response> {
    let text = |name| filled.and_then(|fields| fields.get(name)).unwrap_or_default().to_owned();
    let page = Page {
        vendors: chosen_vendors(shared, vendor),
        id: text("id"),
        mail: text("mail"),
        label: text("label"),
        form: filled.map_or_else(WebhookForm::of_every_event, WebhookForm::typed),
        problem: problem.as_ref().map(ToString::to_string),
        frame: Frame::new(shared, visit, "/ui/accounts"),
    };
    render::page_with(&page, problem)
}

/// Makes all three. Only the page after it shows the token and the signing secret.
#[handler]
pub(super) async fn make(shared: Data<&Shared>, visit: Allowed<Operator>, fields: Fields) -> Result<Response> {
    match shared.made.once(&visit, &fields, || make_all(&shared, &visit, &fields)).await {
        Ok(made) => Ok(made),
        Err(why @ (Error::Invalid { .. } | Error::Conflict { .. })) => {
            show(&shared, &visit, fields.get("vendor").unwrap_or_default(), Some(&fields), Some(why))
        }
        Err(why) => Err(why.into()),
    }
}

async fn make_all(shared: &Shared, visit: &Allowed<Operator>, fields: &Fields) -> Result<Outcome, Error> {
    let id = fields.need("id", "the account's id")?.to_owned();
    let (vendor, mail) = (fields.need("vendor", "the platform")?, fields.get("mail").map(str::to_owned));
    let profiles = shared.app.profiles();
    let account = NewAccount::new(profiles, id.clone(), vendor, mail)?;
    let webhook = NewWebhook {
        account: id.clone(),
        url: fields.need("url", "the URL")?.to_owned(),
        events: wanted(fields),
        secret: None,
        name: fields.get("name").map(str::to_owned),
        description: fields.get("description").map(str::to_owned),
        settings: settings(fields)?,
    };
    let scopes = Scopes::parse(&[Scope::Webhooks, Scope::Events].map(Scope::name).join(","))?;
    let token = NewToken::new(profiles, (Some(id.clone()), None), scopes, fields.get("label").map(str::to_owned))?;
    let (webhook, token) = shared.app.begin_account(&visit.access, account, webhook, token).await?;
    let secret =
        webhook.made_secret.map(|secret| ("Signing secret, for the receiver", secret.expose().to_owned().into()));
    let token = ("Token, for the dashboard and the API", token.expose().to_owned().into());
    Ok(Outcome::Shown(Arc::new(Shown {
        title: "The account, its webhook and its token are made",
        about: id.clone(),
        secrets: [token].into_iter().chain(secret).collect(),
        next: account_page(&id),
    })))
}
