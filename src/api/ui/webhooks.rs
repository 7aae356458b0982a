//! The list of webhooks, and the form that registers one.

use askama::Template;
use poem::{
    Response, Result, handler,
    web::{Data, Query},
};
use serde::Deserialize;

use super::{
    Door,
    fields::Fields,
    frame::{self, Frame, Said},
    query::{Asked, chosen},
    session::Visit,
    views::WebhookRow,
};
use crate::{
    api::{body::SecretText, dialect::Dialect},
    domain::{
        endpoint::{EndpointState, EventFilter},
        token::{Reach, Scope},
    },
    error::Error,
    store::{Tx, accounts, endpoints, webhooks},
};

/// Webhooks on a page.
const PAGE: usize = 25;
/// Accounts that are offered in a list.
const OFFERED: usize = 200;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Search {
    url: String,
    account: String,
    state: String,
    after: String,
}

#[derive(Template)]
#[template(path = "webhooks.html", config = "src/api/ui/askama.toml")]
struct Page<'a> {
    frame: Frame<'a>,
    search: Search,
    rows: Vec<WebhookRow>,
    more: Option<String>,
    searched: bool,
    of_one_account: bool,
}

/// Every webhook within the walls, newest first.
#[handler]
pub(super) async fn list(
    door: Data<&Door>,
    visit: Visit,
    search: Query<Search>,
    said: Query<Said>,
) -> Result<Response> {
    let walls = visit.caller.horizon(Scope::Webhooks)?;
    let frame = Frame::new(&door, &visit, "/ui/webhooks").saying(&said);
    let search = search.0;
    let state = match search.state.as_str() {
        "active" => Some(EndpointState::Active),
        "suspended" => Some(EndpointState::Suspended),
        "deleted" => Some(EndpointState::Deleted),
        _ => None,
    };
    let after = Asked::text(&search.after).map(|after| door.webhook(after).map(|(_, id)| id)).transpose()?;
    let filter = webhooks::Filter {
        account: Asked::text(&search.account).map(str::to_owned),
        state,
        failing: search.state == "failing",
        url: Asked::text(&search.url).map(str::to_owned),
        after,
    };
    let now = frame.now();
    let (found, more) = match door.deps.db.read(move |view| webhooks::list(view, &walls, &filter, PAGE, now)).await {
        Err(Error::NotFound(_)) => (Vec::new(), None),
        found => found?,
    };
    let more = match (more, found.last()) {
        (Some(id), Some(last)) => {
            let after = door.written(&last.profile, id)?;
            Some(
                Asked::new()
                    .with("url", &search.url)
                    .with("account", &search.account)
                    .with("state", &search.state)
                    .with("after", &after)
                    .query(),
            )
        }
        _ => None,
    };
    let rows = found.iter().map(|report| WebhookRow::new(&door, &frame, report)).collect::<Result<_, _>>()?;
    let searched = [&search.url, &search.account, &search.state].iter().any(|text| !text.is_empty());
    let of_one_account = matches!(visit.caller.reach, Reach::Account { .. });
    frame::page(&Page { frame, rows, more, searched, search, of_one_account })
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct For {
    account: String,
}

#[derive(Template)]
#[template(path = "register.html", config = "src/api/ui/askama.toml")]
struct Form<'a> {
    frame: Frame<'a>,
    /// The account it is for, once that is known.
    account: String,
    vendor: &'a str,
    kinds: Vec<(&'a str, bool)>,
    url: String,
    accounts: Vec<String>,
    problem: Option<String>,
}

/// The form that registers a webhook: first whose it is, then where and what.
#[handler]
pub(super) async fn form(door: Data<&Door>, visit: Visit, asked: Query<For>) -> Result<Response> {
    let account = match &visit.caller.reach {
        Reach::Account { id, .. } => id.clone(),
        _ => asked.0.account.trim().to_owned(),
    };
    show_form(&door, &visit, account, None, None).await
}

/// The form, with what was filled in and why that cannot be taken.
async fn show_form(
    door: &Door,
    visit: &Visit,
    account: String,
    filled: Option<&Fields>,
    problem: Option<Error>,
) -> Result<Response> {
    let walls = visit.caller.horizon(Scope::Webhooks)?;
    let frame = Frame::new(door, visit, "/ui/webhooks");
    let named = account.clone();
    let look = door.deps.db.read(move |view| {
        let chosen = if named.is_empty() { None } else { Some(accounts::see(view, &walls, &named)) };
        Ok((chosen.transpose(), accounts::page(view, &walls, None, OFFERED)?))
    });
    let (found, offered) = look.await?;
    let (found, problem) = match found {
        Ok(found) => (found, problem),
        Err(error) => (None, problem.or(Some(error))),
    };
    let dialect = found.as_ref().map(|found| door.dialect(&found.profile)).transpose()?;
    let picked = |kind: &str| filled.is_some_and(|fields| fields.all("event").any(|picked| picked == kind));
    let mut page = frame::page(&Form {
        account: found.map(|found| found.id).unwrap_or_default(),
        vendor: dialect.map_or("", |dialect| dialect.title),
        kinds: dialect.map_or(&[][..], |dialect| &dialect.kinds).iter().map(|kind| (*kind, picked(kind))).collect(),
        url: filled.and_then(|fields| fields.get("url")).unwrap_or_default().to_owned(),
        accounts: offered.into_iter().map(|account| account.id).collect(),
        problem: problem.as_ref().map(ToString::to_string),
        frame,
    })?;
    if let Some(problem) = problem {
        page.set_status(poem::Error::from(problem).status());
    }
    Ok(page)
}

/// The events that a form's boxes name: all of them, those that are ticked, and what is written beside.
pub(super) fn wanted(fields: &Fields, dialect: &Dialect, most: usize) -> Result<EventFilter, Error> {
    let mut entries: Vec<String> = fields.all("event").map(str::to_owned).collect();
    if fields.get("every").is_some() {
        entries = vec!["*".to_owned()];
    }
    entries.extend(
        fields
            .all("more")
            .flat_map(|text| text.split([' ', ',', '\n']))
            .map(|entry| entry.trim().to_owned())
            .filter(|entry| !entry.is_empty()),
    );
    EventFilter::parse(entries, dialect.kinds.iter().copied(), most)
}

/// Registers a webhook; if its secret was made here, this is the one page that shows it.
#[handler]
pub(super) async fn register(door: Data<&Door>, visit: Visit, fields: Fields) -> Result<Response> {
    let account = fields.need("account", "the account")?.to_owned();
    match try_register(&door, &visit, &account, &fields).await {
        Ok((id, url, secret)) => {
            let frame = Frame::new(&door, &visit, "/ui/webhooks");
            let next = format!("/ui/webhooks/{id}");
            let secret = secret.map(|secret| secret.0.to_string());
            frame::page(&frame::Once { frame, title: "The webhook is registered", about: url, secret, next })
        }
        Err(error @ (Error::Internal(_) | Error::Unavailable(_) | Error::Forbidden(_))) => Err(error.into()),
        Err(error) => show_form(&door, &visit, account, Some(&fields), Some(error)).await,
    }
}

async fn try_register(
    door: &Door,
    visit: &Visit,
    account: &str,
    fields: &Fields,
) -> Result<(String, String, Option<SecretText>), Error> {
    let (deps, walls) = (&door.deps, visit.caller.horizon(Scope::Webhooks)?);
    let named = account.to_owned();
    let account = deps.db.read(move |view| accounts::see(view, &walls, &named)).await?;
    let dialect = door.dialect(&account.profile)?;
    let events = wanted(fields, dialect, deps.limits.events_per_webhook)?;
    let url = deps.target(fields.need("url", "the URL")?)?;
    let secret = deps.secret(fields.get("secret").map(|own| SecretText(own.to_owned().into())))?;
    deps.vet(&url).await?;
    let shown = secret.shown();
    let most = deps.limits.webhooks_per_account;
    let create = move |tx: &Tx<'_>| endpoints::create(tx, &account, url, events, &secret.secret, most);
    let endpoint = deps.db.write_as(visit.caller.actor(), create).await?;
    Ok((chosen(dialect, endpoint.id), endpoint.url.as_str().to_owned(), shown))
}
