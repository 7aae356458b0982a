//! The list of webhooks, and the form that registers a webhook.

use std::{collections::BTreeMap, sync::Arc};

use askama::Template;
use poem::{
    Response, Result, handler,
    web::{Data, Query},
};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{
    fields::Fields,
    form_once::{Outcome, Shown},
    frame::{Frame, Said},
    query_string::QueryString,
    render,
    state::Shared,
    views::{WebhookRow, shown_url},
    visit::Allowed,
};
use crate::{
    app::{
        Dialect, Page as Found, PageRequest, Webhooks,
        webhooks::{NewWebhook, WebhookFilter},
    },
    domain::{
        endpoint::{Endpoint, EndpointState},
        endpoint_settings::{Given, SettingsChange},
        own_headers::{GivenHeaders, HeadersChange},
        token::Reach,
    },
    error::Error,
};

const PAGE: usize = 25;
/// Most accounts in the list of the form.
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
    /// The account of the filter, if there is none of this id.
    unknown: Option<String>,
    of_one_account: bool,
}

#[handler]
pub(super) async fn list(
    shared: Data<&Shared>,
    visit: Allowed<Webhooks>,
    search: Query<Search>,
    said: Query<Said>,
) -> Result<Response> {
    let frame = Frame::new(&shared, &visit, "/ui/webhooks").saying(&said);
    let search = search.0;
    let state = match search.state.as_str() {
        "active" => Some(EndpointState::Active),
        "suspended" => Some(EndpointState::Suspended),
        "deleted" => Some(EndpointState::Deleted),
        _ => None,
    };
    let filter = WebhookFilter {
        account: QueryString::text(&search.account).map(str::to_owned),
        state,
        failing: search.state == "failing",
        url: QueryString::text(&search.url).map(str::to_owned),
        after: None,
    };
    let found = shared.app.webhook_reports(&visit.access, filter, PageRequest::of(PAGE, &search.after)).await;
    let (found, unknown) = match found {
        Err(Error::NotFound(missing)) => (Found::default(), Some(missing.to_string())),
        found => (found?, None),
    };
    let more = found.next.map(|next| {
        let asked =
            QueryString::new().with("url", &search.url).with("account", &search.account).with("state", &search.state);
        asked.with("after", &next).query()
    });
    let rows = found.items.iter().map(|report| WebhookRow::new(&shared, &frame, report)).collect::<Result<_, _>>()?;
    let searched = [&search.url, &search.account, &search.state].iter().any(|text| !text.is_empty());
    let of_one_account = visit.is_of_one_account();
    render::page(&Page { frame, rows, more, searched, unknown, search, of_one_account })
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
    /// The account; empty until it is chosen.
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
    pub(super) name: String,
    pub(super) description: String,
    /// Most deliveries per second; empty: no limit.
    pub(super) rate_limit: String,
    /// Whether its deliveries go out one at a time.
    pub(super) ordered: bool,
    /// Its metadata, a line for each entry.
    pub(super) metadata: String,
    /// The names of its own headers: their values are not shown.
    pub(super) headers: String,
    /// Whether all events are ticked.
    pub(super) every: bool,
    /// Every event of the catalogue, and whether it is ticked.
    pub(super) kinds: Vec<(&'static str, bool)>,
    /// Other entries: prefixes such as `batch.*`.
    pub(super) more: String,
}

impl WebhookForm {
    /// The form of a webhook of any vendor: all events are ticked.
    pub(super) fn of_every_event() -> Self {
        Self { every: true, ..Self::default() }
    }

    /// The form of a webhook of any vendor, with the values that were sent.
    pub(super) fn typed(fields: &Fields) -> Self {
        Self {
            url: fields.get("url").unwrap_or_default().to_owned(),
            name: fields.get("name").unwrap_or_default().to_owned(),
            description: fields.get("description").unwrap_or_default().to_owned(),
            rate_limit: fields.get("rate_limit").unwrap_or_default().to_owned(),
            ordered: fields.get("ordered").is_some(),
            metadata: fields.get("metadata").unwrap_or_default().to_owned(),
            headers: fields.get("has_headers").unwrap_or_default().to_owned(),
            every: fields.get("every").is_some(),
            kinds: Vec::new(),
            more: fields.get("more").unwrap_or_default().to_owned(),
        }
    }

    /// The form of a new webhook of this vendor: all events are chosen.
    fn new(dialect: &Dialect) -> Self {
        Self { kinds: dialect.kinds.iter().map(|kind| (*kind, false)).collect(), ..Self::of_every_event() }
    }

    /// The form of a webhook, with its present values.
    pub(super) fn of(dialect: &Dialect, url: String, endpoint: &Endpoint) -> Self {
        let (about, entries, sending) = (&endpoint.about, endpoint.events.entries(), endpoint.settings.sending);
        let is_entry = |kind: &str| entries.iter().any(|entry| entry == kind);
        let others = entries.iter().filter(|entry| *entry != "*" && !dialect.kinds.contains(&entry.as_str()));
        Self {
            url,
            name: about.name.clone().unwrap_or_default(),
            description: about.description.clone().unwrap_or_default(),
            rate_limit: sending.rate_limit.map_or_else(String::new, |limit| limit.to_string()),
            ordered: sending.ordered,
            metadata: endpoint
                .settings
                .metadata
                .entries()
                .iter()
                .map(|(name, text)| format!("{name}: {text}\n"))
                .collect(),
            headers: endpoint.header_names.join(", "),
            every: is_entry("*"),
            kinds: dialect.kinds.iter().map(|kind| (*kind, is_entry(kind))).collect(),
            more: others.cloned().collect::<Vec<_>>().join(" "),
        }
    }

    /// The form, with the values that were sent.
    pub(super) fn filled(dialect: &Dialect, fields: &Fields) -> Self {
        let is_ticked = |kind: &str| fields.all("event").any(|ticked| ticked == kind);
        Self { kinds: dialect.kinds.iter().map(|kind| (*kind, is_ticked(kind))).collect(), ..Self::typed(fields) }
    }
}

/// The form that registers a webhook: first its account, then its URL and its events.
#[handler]
pub(super) async fn begin(shared: Data<&Shared>, visit: Allowed<Webhooks>, asked: Query<For>) -> Result<Response> {
    let account = match &visit.caller.reach {
        Reach::Account { id, .. } => id.clone(),
        _ => asked.0.account.trim().to_owned(),
    };
    show_form(&shared, &visit, account, None, None).await
}

/// The form, with its values and the reason for the refusal.
async fn show_form(
    shared: &Shared,
    visit: &Allowed<Webhooks>,
    account: String,
    filled: Option<&Fields>,
    problem: Option<Error>,
) -> Result<Response> {
    let (app, frame) = (&shared.app, Frame::new(shared, visit, "/ui/webhooks"));
    let chosen = if account.is_empty() { None } else { Some(app.account(&visit.access, &account).await) };
    let (found, problem) = match chosen.transpose() {
        Ok(found) => (found, problem),
        Err(error @ Error::NotFound(_)) => (None, problem.or(Some(error))),
        Err(error) => return Err(error.into()),
    };
    let offered = app.accounts(&visit.access, PageRequest::of(OFFERED, "")).await?.items;
    let dialect = found.as_ref().map(|found| shared.dialect(&found.profile)).transpose()?;
    let form = match (dialect, filled) {
        (Some(dialect), Some(fields)) => WebhookForm::filled(dialect, fields),
        (Some(dialect), None) => WebhookForm::new(dialect),
        (None, _) => WebhookForm::default(),
    };
    let page = Form {
        account: found.map(|found| found.id).unwrap_or_default(),
        vendor: dialect.map_or("", |dialect| dialect.title),
        form,
        accounts: offered.into_iter().map(|account| account.id).collect(),
        problem: problem.as_ref().map(ToString::to_string),
        frame,
    };
    render::page_with(&page, problem)
}

/// The events of a form: all, the ticked ones, and the entries of the text field.
pub(super) fn wanted(fields: &Fields) -> Vec<String> {
    if fields.get("every").is_some() {
        return vec!["*".to_owned()];
    }
    let mut entries: Vec<String> = fields.all("event").map(str::to_owned).collect();
    entries.extend(
        fields
            .all("more")
            .flat_map(|text| text.split([' ', ',', '\n']))
            .map(|entry| entry.trim().to_owned())
            .filter(|entry| !entry.is_empty()),
    );
    entries
}

/// The settings of a form: an empty limit is none.
pub(super) fn settings(fields: &Fields) -> Result<SettingsChange, Error> {
    let rate_limit = match fields.get("rate_limit").map(str::parse) {
        None => Given::Null,
        Some(Ok(deliveries)) => Given::Value(deliveries),
        Some(Err(_)) => return Err(Error::request("deliveries per second: write a number, such as 5 or 0.5")),
    };
    let ordered = Some(fields.get("ordered").is_some());
    let plain = |(name, text): (String, Zeroizing<String>)| (name, text.to_string());
    let metadata = named_lines(fields, "metadata")?.into_iter().map(plain).collect();
    let metadata = fields.text("metadata").is_some().then_some(metadata);
    let given: BTreeMap<_, _> = named_lines(fields, "headers")?.into_iter().collect();
    // An empty field leaves the headers as they are: their values are not in the form.
    let headers =
        (!given.is_empty() || fields.get("no_headers").is_some()).then(|| HeadersChange::All(GivenHeaders(given)));
    Ok(SettingsChange { rate_limit, ordered, metadata, headers })
}

/// The lines `name: text` of a field.
fn named_lines(fields: &Fields, field: &str) -> Result<Vec<(String, Zeroizing<String>)>, Error> {
    let lines = fields.get(field).unwrap_or_default().lines().filter(|line| !line.trim().is_empty()).enumerate();
    let split = |(number, line): (usize, &str)| {
        let (name, text) = line.split_once(':').ok_or_else(|| {
            let number = number + 1;
            Error::request(format!("{field}, line {number}: write a name, a colon and a text, such as shop: 17"))
        })?;
        Ok((name.trim().to_owned(), text.trim().to_owned().into()))
    };
    lines.map(split).collect()
}

/// Registers a webhook. If its secret was made here, only this page shows it.
#[handler]
pub(super) async fn register(shared: Data<&Shared>, visit: Allowed<Webhooks>, fields: Fields) -> Result<Response> {
    let account = fields.need("account", "the account")?.to_owned();
    let make = || try_register(&shared, &visit, &account, &fields);
    match shared.made.once(&visit, &fields, make).await {
        Ok(made) => Ok(made),
        Err(error @ (Error::Internal(_) | Error::Unavailable(_) | Error::Forbidden(_))) => Err(error.into()),
        Err(error) => show_form(&shared, &visit, account, Some(&fields), Some(error)).await,
    }
}

async fn try_register(
    shared: &Shared,
    visit: &Allowed<Webhooks>,
    account: &str,
    fields: &Fields,
) -> Result<Outcome, Error> {
    let new = NewWebhook {
        account: account.to_owned(),
        url: fields.need("url", "the URL")?.to_owned(),
        events: wanted(fields),
        secret: fields.get("secret").map(|own| own.to_owned().into()),
        name: fields.get("name").map(str::to_owned),
        description: fields.get("description").map(str::to_owned),
        settings: settings(fields)?,
    };
    let made = shared.app.register(&visit.access, new).await?;
    let id = shared.written(&made.profile, made.endpoint.id);
    Ok(Outcome::Shown(Arc::new(Shown {
        title: "The webhook is registered",
        about: shown_url(made.endpoint.url.given()),
        secrets: made
            .made_secret
            .map(|secret| ("Signing secret", secret.expose().to_owned().into()))
            .into_iter()
            .collect(),
        next: format!("/ui/webhooks/{id}"),
    })))
}
