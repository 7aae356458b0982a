//! The list of webhooks, and the form that registers one.

use std::sync::Arc;

use askama::Template;
use poem::{
    Response, Result, handler,
    web::{Data, Query},
};
use serde::Deserialize;

use super::{
    fields::Fields,
    form_once::{Outcome, Shown},
    frame::{Frame, Said},
    query_string::QueryString,
    render,
    state::Door,
    views::{WebhookRow, shown_url},
    visit::Visit,
};
use crate::{
    api::{dialect::Dialect, openapi::SecretText},
    domain::{
        endpoint::{EndpointState, EventFilter},
        token::{Reach, Scope, Walls},
    },
    error::Error,
    store::{Admission, Tx, accounts, endpoints, webhooks},
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
#[template(path = "webhooks.html", config = "src/dashboard/askama.toml")]
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
    let (grant, walls) = visit.caller.horizon(Scope::Webhooks)?;
    let frame = Frame::new(&door, &visit, "/ui/webhooks").saying(&said);
    let search = search.0;
    let state = match search.state.as_str() {
        "active" => Some(EndpointState::Active),
        "suspended" => Some(EndpointState::Suspended),
        "deleted" => Some(EndpointState::Deleted),
        _ => None,
    };
    let after =
        QueryString::text(&search.after).map(|after| door.webhook(&visit, after).map(|(.., id)| id)).transpose()?;
    let filter = webhooks::Filter {
        account: QueryString::text(&search.account).map(str::to_owned),
        state,
        failing: search.state == "failing",
        url: QueryString::text(&search.url).map(str::to_owned),
        after,
    };
    let now = frame.now();
    let look = door.deps.db.read_as(grant, move |view| {
        let (found, next) = webhooks::list(view, &walls, &filter, PAGE, now)?;
        let all = Walls { profile: None, account: None };
        Ok((found, next.map(|next| webhooks::find(view, &all, next, now)).transpose()?))
    });
    let (found, next) = match look.await {
        // An account that is not there has no webhooks.
        Err(Error::NotFound(_)) => (Vec::new(), None),
        found => found?,
    };
    let more = next.map(|next| {
        let asked =
            QueryString::new().with("url", &search.url).with("account", &search.account).with("state", &search.state);
        asked.with("after", &door.written(&next.profile, next.endpoint.id)).query()
    });
    let rows = found.iter().map(|report| WebhookRow::new(&door, &frame, report)).collect::<Result<_, _>>()?;
    let searched = [&search.url, &search.account, &search.state].iter().any(|text| !text.is_empty());
    let of_one_account = matches!(visit.caller.reach, Reach::Account { .. });
    render::page(&Page { frame, rows, more, searched, search, of_one_account })
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct For {
    account: String,
}

#[derive(Template)]
#[template(path = "register.html", config = "src/dashboard/askama.toml")]
struct Form<'a> {
    frame: Frame<'a>,
    /// The account it is for, once that is known.
    account: String,
    vendor: &'a str,
    form: WebhookForm,
    accounts: Vec<String>,
    problem: Option<String>,
}

/// The fields of a webhook, as a form shows them.
#[derive(Default)]
pub(super) struct WebhookForm {
    pub(super) url: String,
    /// Whether all events are ticked.
    pub(super) every: bool,
    /// Every event of the catalogue, and whether it is ticked.
    pub(super) kinds: Vec<(&'static str, bool)>,
    /// Other entries: prefixes such as `batch.*`.
    pub(super) more: String,
}

impl WebhookForm {
    /// The form of a webhook as it is.
    pub(super) fn of(dialect: &Dialect, url: String, entries: &[String]) -> Self {
        let is_entry = |kind: &str| entries.iter().any(|entry| entry == kind);
        let others = entries.iter().filter(|entry| *entry != "*" && !dialect.kinds.contains(&entry.as_str()));
        Self {
            url,
            every: is_entry("*"),
            kinds: dialect.kinds.iter().map(|kind| (*kind, is_entry(kind))).collect(),
            more: others.cloned().collect::<Vec<_>>().join(" "),
        }
    }

    /// The form as it was filled in.
    pub(super) fn filled(dialect: &Dialect, fields: &Fields) -> Self {
        let is_ticked = |kind: &str| fields.all("event").any(|ticked| ticked == kind);
        Self {
            url: fields.get("url").unwrap_or_default().to_owned(),
            every: fields.get("every").is_some(),
            kinds: dialect.kinds.iter().map(|kind| (*kind, is_ticked(kind))).collect(),
            more: fields.get("more").unwrap_or_default().to_owned(),
        }
    }
}

/// The form that registers a webhook: first whose it is, then where and what.
#[handler]
pub(super) async fn begin(door: Data<&Door>, visit: Visit, asked: Query<For>) -> Result<Response> {
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
    let (grant, walls) = visit.caller.horizon(Scope::Webhooks)?;
    let frame = Frame::new(door, visit, "/ui/webhooks");
    let named = account.clone();
    let look = door.deps.db.read_as(grant, move |view| {
        let chosen = if named.is_empty() { None } else { Some(accounts::see(view, &walls, &named)) };
        Ok((chosen.transpose(), accounts::page(view, &walls, None, OFFERED)?))
    });
    let (found, offered) = look.await?;
    let (found, problem) = match found {
        Ok(found) => (found, problem),
        Err(error) => (None, problem.or(Some(error))),
    };
    let dialect = found.as_ref().map(|found| door.dialect(&found.profile)).transpose()?;
    let form = match (dialect, filled) {
        (Some(dialect), Some(fields)) => WebhookForm::filled(dialect, fields),
        // Where there is but one event, it is the one.
        (Some(dialect), None) if dialect.kinds.len() == 1 => {
            WebhookForm { every: true, ..WebhookForm::of(dialect, String::new(), &[]) }
        }
        (Some(dialect), None) => WebhookForm::of(dialect, String::new(), &[]),
        (None, _) => WebhookForm::default(),
    };
    let mut page = render::page(&Form {
        account: found.map(|found| found.id).unwrap_or_default(),
        vendor: dialect.map_or("", |dialect| dialect.title),
        form,
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
    if fields.get("every").is_some() {
        return EventFilter::parse(vec!["*".to_owned()], dialect.kinds.iter().copied(), most);
    }
    let mut entries: Vec<String> = fields.all("event").map(str::to_owned).collect();
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
    let make = || try_register(&door, &visit, &account, &fields);
    match door.made.once(&visit, &fields, make).await {
        Ok(made) => Ok(made),
        Err(error @ (Error::Internal(_) | Error::Unavailable(_) | Error::Forbidden(_))) => Err(error.into()),
        Err(error) => show_form(&door, &visit, account, Some(&fields), Some(error)).await,
    }
}

async fn try_register(door: &Door, visit: &Visit, account: &str, fields: &Fields) -> Result<Outcome, Error> {
    let (deps, (grant, walls)) = (&door.deps, visit.caller.horizon(Scope::Webhooks)?);
    let named = account.to_owned();
    let account = deps.db.read_as(grant, move |view| accounts::see(view, &walls, &named)).await?;
    let dialect = door.dialect(&account.profile)?;
    let events = wanted(fields, dialect, deps.limits.events_per_webhook)?;
    let url = deps.target(fields.need("url", "the URL")?)?;
    let secret = deps.secret(fields.get("secret").map(|own| SecretText(own.to_owned().into())))?;
    deps.vet(&visit.caller, &url).await?;
    let shown = secret.shown();
    let most = deps.limits.webhooks_per_account;
    let create = move |tx: &Tx<'_>| {
        let account = accounts::find(tx, &account.profile, &account.id)?;
        endpoints::create(tx, &account, url, events, &secret.secret, most)
    };
    let endpoint = deps.db.write(grant, Admission::Try, create).await?;
    let id = door.written(dialect.profile.name, endpoint.id);
    Ok(Outcome::Shown(Arc::new(Shown {
        title: "The webhook is registered",
        about: shown_url(endpoint.url.as_str()),
        secret: shown,
        next: format!("/ui/webhooks/{id}"),
    })))
}
