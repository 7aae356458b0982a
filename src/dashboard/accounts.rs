//! Accounts and their tokens: for the operator.

use std::{sync::Arc, time::Duration};

use askama::Template;
use poem::{
    Response, Result, handler,
    web::{Data, Path, Query},
};
use serde::Deserialize;

use super::{
    fields::Fields,
    form_once::{Outcome, Shown},
    format::Moment,
    frame::{Frame, Said},
    query_string::{QueryString, account_page},
    render::{self, go},
    state::Shared,
    visit::{Allowed, Visit},
};
use crate::{
    app::{
        Operator, Page as Found, PageRequest,
        accounts::NewAccount,
        tokens::{CreatedToken, Holder, NewToken, TokenRecord},
    },
    domain::token::{Scope, Scopes},
    error::Error,
};

const PAGE: usize = 20;

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub(super) struct Search {
    account: String,
    after: String,
    token: String,
}

struct AccountRow {
    id: String,
    vendor: &'static str,
    mail: String,
    made: Moment,
}

pub(super) struct TokenRow {
    pub(super) id: String,
    pub(super) holder: String,
    pub(super) scopes: Vec<&'static str>,
    pub(super) label: String,
    pub(super) made: Moment,
    pub(super) used: Option<Moment>,
    /// When it expires, and whether it has.
    pub(super) expires: Option<(Moment, bool)>,
    pub(super) own: bool,
}

impl TokenRow {
    pub(super) fn new(shared: &Shared, frame: &Frame<'_>, visit: &Visit, token: &TokenRecord) -> Result<Self, Error> {
        let holder = match (&token.account, &token.profile) {
            (Some(account), _) => account.clone(),
            (None, Some(profile)) => format!("platform {}", shared.dialect(profile)?.title),
            (None, None) => "operator".to_owned(),
        };
        Ok(Self {
            id: token.id.to_string(),
            holder,
            scopes: token.scopes.names(),
            label: token.label.clone().unwrap_or_default(),
            made: frame.when(token.created_at),
            used: token.last_used_at.map(|at| frame.when(at)),
            expires: token.expires_at.map(|at| (frame.when(at), at <= frame.now())),
            own: token.id == visit.caller.token,
        })
    }
}

/// A refused form: its values, and the reason.
struct Refused {
    fields: Fields,
    why: Error,
}

#[derive(Template)]
#[template(path = "accounts.html", config = "src/dashboard/askama.toml")]
struct Page<'a> {
    frame: Frame<'a>,
    accounts: Vec<AccountRow>,
    more_accounts: Option<String>,
    tokens: Vec<TokenRow>,
    more_tokens: Option<String>,
    new_account: AccountForm,
    new_token: TokenForm,
    problem: Option<String>,
}

/// An option of a list: its value, its title, and whether it is chosen.
pub(super) type Choice = (&'static str, &'static str, bool);

struct AccountForm {
    id: String,
    vendors: Vec<Choice>,
    mail: String,
}

struct TokenForm {
    holder: String,
    platforms: Vec<Choice>,
    scopes: Vec<Choice>,
    label: String,
    /// Days, the same in words, and whether it is chosen.
    expires: Vec<(u64, String, bool)>,
}

/// The times of a token that the form offers, in days. 0: it does not expire.
const DAYS: [u64; 4] = [0, 30, 90, 365];

/// How long a token may be valid, with the one that was chosen in this form.
pub(super) fn validities(sent: Option<&Fields>) -> Vec<(u64, String, bool)> {
    let chosen = sent.and_then(|fields| fields.get("expires")?.parse().ok()).unwrap_or(0);
    let words = |days| if days == 0 { "never".to_owned() } else { format!("after {days} days") };
    DAYS.map(|days| (days, words(days), days == chosen)).into()
}

/// The scopes in the words of the form, and whether each is ticked at first.
const SCOPES: [(Scope, &str, bool); 3] = [
    (Scope::Webhooks, "manage webhooks, read and replay deliveries", true),
    (Scope::Events, "publish, read events", true),
    (Scope::Operator, "everything, in every account", false),
];

/// Both forms, with their values.
fn forms(shared: &Shared, account: &str, fields: Option<&Fields>) -> (AccountForm, TokenForm) {
    let filled = |name| fields.and_then(|fields| fields.get(name)).unwrap_or_default().to_owned();
    let vendors = |field: &'static str| chosen_vendors(shared, &filled(field));
    // In a form that was sent, a missing field is a box that was not ticked.
    let sent = fields
        .filter(|fields| fields.get("holder").or(fields.get("platform")).is_some() || fields.get("scope").is_some());
    let holder = if fields.is_some() { filled("holder") } else { account.to_owned() };
    (
        AccountForm { id: filled("id"), vendors: vendors("vendor"), mail: filled("mail") },
        TokenForm {
            holder,
            platforms: vendors("platform"),
            scopes: scopes(sent),
            label: filled("label"),
            expires: validities(sent),
        },
    )
}

/// The vendors, with the chosen one.
pub(super) fn chosen_vendors(shared: &Shared, chosen: &str) -> Vec<Choice> {
    let dialects = shared.app.dialects().iter();
    dialects.map(|dialect| (dialect.profile.name, dialect.title, dialect.profile.name == chosen)).collect()
}

/// The scopes, with those that were ticked in this form.
pub(super) fn scopes(sent: Option<&Fields>) -> Vec<Choice> {
    let ticked =
        |scope: Scope, usual| sent.map_or(usual, |fields| fields.all("scope").any(|ticked| ticked == scope.name()));
    SCOPES.map(|(scope, meaning, usual)| (scope.name(), meaning, ticked(scope, usual))).into()
}

/// Every account, and every token that is not revoked.
#[handler]
pub(super) async fn list(
    shared: Data<&Shared>,
    visit: Allowed<Operator>,
    search: Query<Search>,
    said: Query<Said>,
) -> Result<Response> {
    show(&shared, &visit, search.0, &said, None).await
}

async fn show(
    shared: &Shared,
    visit: &Allowed<Operator>,
    search: Search,
    said: &Said,
    refused: Option<Refused>,
) -> Result<Response> {
    let (app, of_account) = (&shared.app, QueryString::text(&search.account));
    let accounts = match of_account {
        Some(id) => Found { items: vec![app.account(&visit.access, id).await?], next: None },
        None => app.accounts(&visit.access, PageRequest::of(PAGE, &search.after)).await?,
    };
    let page = PageRequest::of(PAGE, &search.token);
    let tokens = app.tokens(&visit.access, of_account.map(str::to_owned), page).await?;
    let frame = Frame::new(shared, visit, "/ui/accounts").saying(said);
    let more_accounts = accounts.next.map(|next| QueryString::new().with("after", &next).query());
    let more_tokens =
        tokens.next.map(|next| QueryString::new().with("account", &search.account).with("token", &next).query());
    let rows = accounts.items.iter().map(|account| {
        Ok::<_, Error>(AccountRow {
            id: account.id.clone(),
            vendor: shared.dialect(&account.profile)?.title,
            mail: account.alert_email.clone().unwrap_or_default(),
            made: frame.when(account.created_at),
        })
    });
    let (new_account, new_token) = forms(shared, &search.account, refused.as_ref().map(|refused| &refused.fields));
    let page = Page {
        accounts: rows.collect::<Result<_, _>>()?,
        more_accounts,
        tokens: tokens
            .items
            .iter()
            .map(|token| TokenRow::new(shared, &frame, visit, token))
            .collect::<Result<_, _>>()?,
        more_tokens,
        new_account,
        new_token,
        problem: refused.as_ref().map(|refused| refused.why.to_string()),
        frame,
    };
    render::page_with(&page, refused.map(|refused| refused.why))
}

/// The page with a refused form. Any other error stays an error.
async fn again(shared: &Shared, visit: &Allowed<Operator>, fields: Fields, why: Error) -> Result<Response> {
    match why {
        Error::Invalid { .. } | Error::Conflict { .. } | Error::NotFound(_) => {
            show(shared, visit, Search::default(), &Said::default(), Some(Refused { fields, why })).await
        }
        why => Err(why.into()),
    }
}

#[handler]
pub(super) async fn create_account(
    shared: Data<&Shared>,
    visit: Allowed<Operator>,
    fields: Fields,
) -> Result<Response> {
    match make_account(&shared, &visit, &fields).await {
        Ok(id) => Ok(go(&format!("{}?said=account", account_page(&id)))),
        Err(why) => again(&shared, &visit, fields, why).await,
    }
}

async fn make_account(shared: &Shared, visit: &Allowed<Operator>, fields: &Fields) -> Result<String, Error> {
    let id = fields.need("id", "the account's id")?.to_owned();
    let (vendor, mail) = (fields.need("vendor", "the platform")?, fields.get("mail").map(str::to_owned));
    let new = NewAccount::new(shared.app.profiles(), id, vendor, mail)?;
    Ok(shared.app.create_account(&visit.access, new).await?.id)
}

/// Makes a token. Only this page shows it.
#[handler]
pub(super) async fn create_token(shared: Data<&Shared>, visit: Allowed<Operator>, fields: Fields) -> Result<Response> {
    match shared.made.once(&visit, &fields, || make_token(&shared, &visit, &fields)).await {
        Ok(made) => Ok(made),
        Err(why) => again(&shared, &visit, fields, why).await,
    }
}

async fn make_token(shared: &Shared, visit: &Allowed<Operator>, fields: &Fields) -> Result<Outcome, Error> {
    let scopes: Vec<&str> = fields.all("scope").collect();
    if scopes.is_empty() {
        return Err(Error::request("a token needs a scope: tick one"));
    }
    let scopes = Scopes::parse(&scopes.join(","))?;
    let holder = (fields.get("holder").map(str::to_owned), fields.get("platform"));
    let new = NewToken::new(shared.app.profiles(), holder, scopes, fields.get("label").map(str::to_owned))?;
    let days = fields.get("expires").map_or(Ok(0), str::parse::<u64>);
    let days = days.map_err(|_| Error::request("after how many days the token expires is no number"))?;
    let new = new.lasting((days > 0).then(|| Duration::from_secs(days.saturating_mul(86_400))))?;
    let (whose, next) = match new.holder() {
        Holder::Account(account) => (format!("A token of {account}"), account_page(account)),
        Holder::Platform(profile) => {
            (format!("A token of the platform {}", shared.dialect(profile)?.title), "/ui/accounts".to_owned())
        }
        Holder::Operator => ("An operator's token".to_owned(), "/ui/accounts".to_owned()),
    };
    let about = format!("{whose}, with the scope {}", new.scopes().names().join(" and "));
    let CreatedToken { id, token, expires_at } = shared.app.create_token(&visit.access, new).await?;
    let until = expires_at.map(|at| format!(". It expires at {at}")).unwrap_or_default();
    Ok(Outcome::Shown(Arc::new(Shown {
        title: "The token is made",
        about: format!("{about}: {id}{until}"),
        secrets: vec![("Token", token.expose().to_owned().into())],
        next: format!("{next}#tokens"),
    })))
}

#[handler]
pub(super) async fn revoke(
    shared: Data<&Shared>,
    visit: Allowed<Operator>,
    id: Path<String>,
    fields: Fields,
) -> Result<Response> {
    shared.app.revoke_token(&visit.access, &id).await?;
    let page = fields.get("account").map_or_else(|| "/ui/accounts".to_owned(), account_page);
    Ok(go(&format!("{page}?said=revoked")))
}
