//! The audit: who changed what, and when. For the operator.

use askama::Template;
use poem::{
    Response, Result, handler,
    web::{Data, Query},
};
use serde::Deserialize;

use super::{format::Moment, frame::Frame, query_string::QueryString, render, state::Shared, visit::Allowed};
use crate::{
    app::{Operator, PageRequest},
    domain::{
        audit::{Action, Entry},
        ids::EndpointId,
    },
};

const PAGE: usize = 50;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Search {
    account: String,
    action: String,
    before: String,
}

struct Row {
    at: Moment,
    actor: String,
    /// The label of the token that did it.
    label: String,
    action: String,
    account: String,
    subject: String,
    /// The address of the subject's page.
    href: String,
    note: String,
}

impl Row {
    fn new(shared: &Shared, frame: &Frame<'_>, entry: Entry) -> Self {
        let mut subject = entry.subject.unwrap_or_default();
        if let Some(id) = EndpointId::parse(&subject) {
            subject = shared.written(entry.profile.as_deref().unwrap_or_default(), id);
        }
        let href = match entry.action.split('.').next() {
            Some("webhook") => format!("/ui/webhooks/{subject}"),
            Some("delivery") => format!("/ui/deliveries/{subject}"),
            Some("recovery") => format!("/ui/recoveries/{subject}"),
            _ => String::new(),
        };
        Self {
            at: frame.when(entry.at),
            actor: entry.actor,
            label: entry.label.unwrap_or_default(),
            action: entry.action,
            account: entry.account_id.unwrap_or_default(),
            subject,
            href,
            note: entry.note.unwrap_or_default(),
        }
    }
}

#[derive(Template)]
#[template(path = "audit.html", config = "src/dashboard/askama.toml")]
struct Page<'a> {
    frame: Frame<'a>,
    rows: Vec<Row>,
    actions: Vec<(&'static str, bool)>,
    more: Option<String>,
    searched: bool,
    search: Search,
}

#[handler]
pub(super) async fn list(shared: Data<&Shared>, visit: Allowed<Operator>, search: Query<Search>) -> Result<Response> {
    let search = search.0;
    let account = QueryString::text(&search.account).map(str::to_owned);
    let action = Action::ALL.iter().copied().find(|action| action.name() == search.action);
    let page = PageRequest::of(PAGE, &search.before);
    let found = shared.app.audit(&visit.access, (account, action), page).await?;
    let frame = Frame::new(&shared, &visit, "/ui/audit");
    let next = |before: String| {
        let asked = QueryString::new().with("account", &search.account).with("action", &search.action);
        asked.with("before", &before).query()
    };
    render::page(&Page {
        rows: found.items.into_iter().map(|entry| Row::new(&shared, &frame, entry)).collect(),
        actions: Action::ALL.iter().map(|action| (action.name(), action.name() == search.action)).collect(),
        more: found.next.map(next),
        searched: !(search.account.is_empty() && search.action.is_empty()),
        search,
        frame,
    })
}
