//! Alerts with the state of each channel. An account sees its own; only the operator sees why one was not sent.

use askama::Template;
use poem::{
    Response, Result, handler,
    web::{Data, Query},
};
use serde::Deserialize;

use super::{
    fields::Fields,
    format::Moment,
    frame::{Frame, Said},
    query_string::QueryString,
    render::{self, go},
    state::Shared,
    views::{meaning, short, shown_url},
    visit::Allowed,
};
use crate::{
    app::{
        Manages, Operator, PageRequest, Webhooks,
        alerts::{ChannelState, Progress},
    },
    domain::{
        alert::{Alert, Failing, What},
        alert_message::why_suspended,
        delivery::Failure,
        operator_alert::{About, OperatorAlert},
    },
    error::Error,
};

const PAGE: usize = 25;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Search {
    before: String,
}

/// An alert in one channel.
struct Way {
    name: String,
    class: &'static str,
    word: &'static str,
    at: Moment,
    error: String,
}

impl Way {
    fn new(frame: &Frame<'_>, progress: Progress) -> Self {
        let (class, word, at) = match progress.state {
            ChannelState::Delivered(at) => ("good", "sent", at),
            ChannelState::Due(at) if progress.tries == 0 => ("", "to be sent", at.max(frame.now())),
            ChannelState::Due(at) => ("bad", "not sent yet, tried again", at.max(frame.now())),
            ChannelState::Dropped(at) => ("", "dropped", at),
        };
        let told = matches!(progress.state, ChannelState::Delivered(_));
        // The error may describe the operator's mail server.
        let error = progress.last_error.filter(|_| !told && frame.operator).unwrap_or_default();
        Self { name: progress.channel.name().to_owned(), class, word, at: frame.when(at), error }
    }
}

struct Row {
    at: Moment,
    class: &'static str,
    word: &'static str,
    said: String,
    webhook: String,
    url: String,
    account: String,
    addressee: String,
    ways: Vec<Way>,
}

impl Row {
    fn new(shared: &Shared, frame: &Frame<'_>, alert: &Alert, ways: Vec<Progress>) -> Result<Self, Error> {
        let because = |failing: &Failing| {
            format!("{}: {}", short(Some(failing.failure), failing.status), meaning(failing.failure))
        };
        let (class, word, said) = match &alert.what {
            What::Suspended(failing, reason) => {
                let why = reason.map_or_else(String::new, |reason| format!("{}; ", why_suspended(reason)));
                ("bad", "suspended", format!("{why}{}", because(failing)))
            }
            What::Warning { failing, .. } if failing.failure == Failure::Damaged => {
                ("bad", "damaged", because(failing))
            }
            What::Warning { failing, tries, next_attempt_at } => {
                let then = if next_attempt_at.is_some() { "tried on" } else { "failed for good" };
                ("warn", "warning", format!("failed {tries} times, {then}; {}", because(failing)))
            }
            What::Recovered(_) => ("good", "works again", "it has taken a delivery".to_owned()),
            What::Expiring { held, .. } => ("warn", "expiring", format!("{held} held deliveries grow too old")),
        };
        Ok(Self {
            at: frame.when(alert.created_at),
            class,
            word,
            said,
            webhook: shared.written(&alert.profile, alert.endpoint),
            url: if frame.operator { alert.masked_url() } else { shown_url(&alert.url) },
            account: alert.account.clone(),
            addressee: alert.addressee.clone().unwrap_or_default(),
            ways: ways.into_iter().map(|way| Way::new(frame, way)).collect(),
        })
    }
}

/// An alert about the server.
struct ServerRow {
    at: Moment,
    class: &'static str,
    title: &'static str,
    said: String,
    /// Since when it is over.
    over: Option<Moment>,
    ways: Vec<Way>,
}

impl ServerRow {
    fn new(frame: &Frame<'_>, (alert, ways): (OperatorAlert, Vec<Progress>)) -> Self {
        Self {
            at: frame.when(alert.created_at),
            class: match (alert.about, alert.cleared_at) {
                (About::Over, _) => "good",
                (_, None) => "warn",
                (_, Some(_)) => "",
            },
            title: alert.about.title(),
            said: alert.said,
            over: alert.cleared_at.map(|at| frame.when(at)),
            ways: ways.into_iter().map(|way| Way::new(frame, way)).collect(),
        }
    }
}

#[derive(Template)]
#[template(path = "alerts.html", config = "src/dashboard/askama.toml")]
struct Page<'a> {
    frame: Frame<'a>,
    rows: Vec<Row>,
    /// About the server itself; only for the operator.
    server: Vec<ServerRow>,
    unsent: u64,
    more: Option<String>,
    mails: bool,
    problem: Option<String>,
    to: String,
}

#[handler]
pub(super) async fn list(
    shared: Data<&Shared>,
    visit: Allowed<Webhooks>,
    search: Query<Search>,
    said: Query<Said>,
) -> Result<Response> {
    show(&shared, &visit, &search, &said, None).await
}

async fn show<S: Manages>(
    shared: &Shared,
    visit: &Allowed<S>,
    search: &Search,
    said: &Said,
    refused: Option<(Error, String)>,
) -> Result<Response> {
    let found = shared.app.alerts(&visit.access, PageRequest::of(PAGE, &search.before)).await?;
    let frame = Frame::new(shared, visit, "/ui/alerts").saying(said);
    let more = found.page.next.map(|next| QueryString::new().with("before", &next).query());
    let rows = found.page.items.into_iter().map(|(alert, ways)| Row::new(shared, &frame, &alert, ways));
    let (problem, to) = refused.unzip();
    let server = shared.app.server_alerts(&visit.access).await?;
    let page = Page {
        rows: rows.collect::<Result<_, _>>()?,
        server: server.into_iter().map(|one| ServerRow::new(&frame, one)).collect(),
        unsent: found.unsent,
        more,
        mails: shared.app.mails(),
        problem: problem.as_ref().map(ToString::to_string),
        to: to.unwrap_or_default(),
        frame,
    };
    render::page_with(&page, problem)
}

#[handler]
pub(super) async fn test_mail(shared: Data<&Shared>, visit: Allowed<Operator>, fields: Fields) -> Result<Response> {
    let to = fields.need("to", "the address")?.to_owned();
    match shared.app.test_mail(&visit.access, &to).await {
        Ok(()) => Ok(go("/ui/alerts?said=mailed")),
        Err(error) => show(&shared, &visit, &Search::default(), &Said::default(), Some((error, to))).await,
    }
}
