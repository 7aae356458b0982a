//! Accounts and their tokens: for the operator.

use std::sync::Arc;

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
    query_string::QueryString,
    render::{self, go},
    state::Door,
    visit::Visit,
};
use crate::{
    api::{openapi::SecretText, operator},
    domain::{
        account,
        ids::TokenId,
        token::{self, Scope, Scopes},
    },
    error::{Error, Missing},
    store::{
        Admission, Tx, accounts,
        tokens::{self, Holder, TokenRecord},
    },
};

/// Accounts, and tokens, on a page.
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

struct TokenRow {
    id: String,
    holder: String,
    scopes: Vec<&'static str>,
    label: String,
    made: Moment,
    used: Option<Moment>,
    own: bool,
}

impl TokenRow {
    fn new(door: &Door, frame: &Frame<'_>, visit: &Visit, token: &TokenRecord) -> Result<Self, Error> {
        let holder = match (&token.account, &token.profile) {
            (Some(account), _) => account.clone(),
            (None, Some(profile)) => format!("platform {}", door.dialect(profile)?.title),
            (None, None) => "operator".to_owned(),
        };
        Ok(Self {
            id: token.id.to_string(),
            holder,
            scopes: token.scopes.names(),
            label: token.label.clone().unwrap_or_default(),
            made: frame.when(token.created_at),
            used: token.last_used_at.map(|at| frame.when(at)),
            own: token.id == visit.caller.token,
        })
    }
}

/// A form that could not be taken: which one, what was filled in, and why.
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

/// Something to choose: its value, what it is called, and whether it is chosen.
type Choice = (&'static str, &'static str, bool);

/// The fields of an account to be made.
struct AccountForm {
    id: String,
    vendors: Vec<Choice>,
    mail: String,
}

/// The fields of a token to be made.
struct TokenForm {
    holder: String,
    platforms: Vec<Choice>,
    scopes: Vec<Choice>,
    label: String,
}

/// What a token may do, in the words of the form, and whether that is ticked to begin with.
const SCOPES: [(Scope, &str, bool); 3] = [
    (Scope::Webhooks, "manage webhooks, read and replay deliveries", true),
    (Scope::Events, "publish, read events", true),
    (Scope::Operator, "everything, in every account", false),
];

/// Both forms, with what was filled in.
fn forms(door: &Door, account: &str, fields: Option<&Fields>) -> (AccountForm, TokenForm) {
    let filled = |name| fields.and_then(|fields| fields.get(name)).unwrap_or_default().to_owned();
    let vendors = |field: &'static str| {
        let chosen = filled(field);
        let choice = move |name: &'static str, title| (name, title, name == chosen);
        door.dialects.iter().map(|dialect| choice(dialect.profile.name, dialect.title)).collect()
    };
    // A form that was sent says by what is not there what was not ticked.
    let sent = fields
        .filter(|fields| fields.get("holder").or(fields.get("platform")).is_some() || fields.get("scope").is_some());
    let ticked =
        |scope: Scope, usual| sent.map_or(usual, |fields| fields.all("scope").any(|ticked| ticked == scope.name()));
    let scopes = SCOPES.map(|(scope, meaning, usual)| (scope.name(), meaning, ticked(scope, usual)));
    let holder = if fields.is_some() { filled("holder") } else { account.to_owned() };
    (
        AccountForm { id: filled("id"), vendors: vendors("vendor"), mail: filled("mail") },
        TokenForm { holder, platforms: vendors("platform"), scopes: scopes.into(), label: filled("label") },
    )
}

/// Every account, and every token that is not revoked.
#[handler]
pub(super) async fn list(
    door: Data<&Door>,
    visit: Visit,
    search: Query<Search>,
    said: Query<Said>,
) -> Result<Response> {
    show(&door, &visit, search.0, Some(&said), None).await
}

async fn show(
    door: &Door,
    visit: &Visit,
    search: Search,
    said: Option<&Said>,
    refused: Option<Refused>,
) -> Result<Response> {
    let (grant, walls) = visit.operator()?;
    let of = search.clone();
    let look = door.deps.db.read_as(grant, move |view| {
        let of_account = QueryString::text(&of.account);
        let after = QueryString::text(&of.token).and_then(TokenId::parse);
        let accounts = match of_account {
            Some(id) => vec![accounts::see(view, &walls, id)?],
            None => accounts::page(view, &walls, QueryString::text(&of.after), PAGE + 1)?,
        };
        Ok((accounts, tokens::page(view, &walls, of_account, after, PAGE + 1)?))
    });
    let (mut found, mut tokens) = look.await?;
    let mut frame = Frame::new(door, visit, "/ui/accounts");
    if let Some(said) = said {
        frame = frame.saying(said);
    }
    let more_accounts = (found.len() > PAGE).then(|| {
        found.truncate(PAGE);
        QueryString::new().with("after", found.last().map_or("", |last| last.id.as_str())).query()
    });
    let more_tokens = (tokens.len() > PAGE).then(|| {
        tokens.truncate(PAGE);
        let last = tokens.last().map(|last| last.id.to_string()).unwrap_or_default();
        QueryString::new().with("account", &search.account).with("token", &last).query()
    });
    let rows = found.iter().map(|account| {
        Ok::<_, Error>(AccountRow {
            id: account.id.clone(),
            vendor: door.dialect(&account.profile)?.title,
            mail: account.alert_email.clone().unwrap_or_default(),
            made: frame.when(account.created_at),
        })
    });
    let (new_account, new_token) = forms(door, &search.account, refused.as_ref().map(|refused| &refused.fields));
    let mut page = render::page(&Page {
        accounts: rows.collect::<Result<_, _>>()?,
        more_accounts,
        tokens: tokens.iter().map(|token| TokenRow::new(door, &frame, visit, token)).collect::<Result<_, _>>()?,
        more_tokens,
        new_account,
        new_token,
        problem: refused.as_ref().map(|refused| refused.why.to_string()),
        frame,
    })?;
    if let Some(refused) = refused {
        page.set_status(poem::Error::from(refused.why).status());
    }
    Ok(page)
}

/// The page with a form that could not be taken; what is no fault of the form is an error of the page.
async fn again(door: &Door, visit: &Visit, fields: Fields, why: Error) -> Result<Response> {
    match why {
        Error::Invalid { .. } | Error::Conflict { .. } | Error::NotFound(_) => {
            show(door, visit, Search::default(), None, Some(Refused { fields, why })).await
        }
        why => Err(why.into()),
    }
}

/// Makes an account.
#[handler]
pub(super) async fn create_account(door: Data<&Door>, visit: Visit, fields: Fields) -> Result<Response> {
    match make_account(&door, &visit, &fields).await {
        Ok(id) => {
            Ok(go(&format!("/ui/accounts?{}", QueryString::new().with("account", &id).with("said", "account").query())))
        }
        Err(why) => again(&door, &visit, fields, why).await,
    }
}

async fn make_account(door: &Door, visit: &Visit, fields: &Fields) -> Result<String, Error> {
    let (grant, _) = visit.operator()?;
    let id = fields.need("id", "the account's id")?.to_owned();
    let mail = fields.get("mail").map(str::to_owned);
    account::check_id(&id)?;
    mail.as_deref().map(account::check_email).transpose()?;
    let profile = operator::known(&door.deps, fields.need("vendor", "the vendor")?)?;
    let named = id.clone();
    let create = move |tx: &Tx<'_>| accounts::create(tx, profile, &named, mail.as_deref());
    door.deps.db.write(grant, Admission::Try, create).await?;
    Ok(id)
}

/// Makes a token; this page is the only one that shows it.
#[handler]
pub(super) async fn create_token(door: Data<&Door>, visit: Visit, fields: Fields) -> Result<Response> {
    match door.made.once(&visit, &fields, || make_token(&door, &visit, &fields)).await {
        Ok(made) => Ok(made),
        Err(why) => again(&door, &visit, fields, why).await,
    }
}

async fn make_token(door: &Door, visit: &Visit, fields: &Fields) -> Result<Outcome, Error> {
    let (grant, _) = visit.operator()?;
    let scopes: Vec<&str> = fields.all("scope").collect();
    if scopes.is_empty() {
        return Err(Error::request("a token needs a scope: tick what it may do"));
    }
    let scopes = Scopes::parse(&scopes.join(","))?;
    let (account, platform) = (fields.get("holder"), fields.get("platform"));
    let holder = operator::holder(&door.deps, account.map(str::to_owned), platform, &scopes)?;
    let whose = match &holder {
        Holder::Account(account) => format!("A token of {account}"),
        Holder::Platform(profile) => format!("A token of the platform {}", door.dialect(profile)?.title),
        Holder::Operator => "An operator's token".to_owned(),
    };
    let about = format!("{whose}, with the scope {}", scopes.names().join(" and "));
    let label = fields.get("label").map(str::to_owned);
    label.as_deref().map(token::check_label).transpose()?;
    let create = move |tx: &Tx<'_>| tokens::create(tx, &holder, &scopes, label.as_deref());
    let (id, token) = door.deps.db.write(grant, Admission::Try, create).await?;
    Ok(Outcome::Shown(Arc::new(Shown {
        title: "The token is made",
        about: format!("{about}: {id}"),
        secret: Some(SecretText(token.expose().to_owned().into())),
        next: "/ui/accounts".to_owned(),
    })))
}

/// Revokes a token.
#[handler]
pub(super) async fn revoke(door: Data<&Door>, visit: Visit, id: Path<String>, _fields: Fields) -> Result<Response> {
    let (grant, _) = visit.operator()?;
    let id = TokenId::parse(&id).ok_or(Error::NotFound(Missing::Token))?;
    door.deps.db.write(grant, Admission::Try, move |tx| tokens::revoke(tx, id)).await?;
    Ok(go("/ui/accounts?said=revoked"))
}
