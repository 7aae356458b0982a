//! Alerts: what people were told, and what they could not be told yet. To an account its own; to the operator also why.

use askama::Template;
use poem::{
    Response, Result, handler,
    web::{Data, Query},
};
use serde::Deserialize;

use super::{
    Door,
    fields::Fields,
    frame::{self, Frame, Said, go},
    query::Asked,
    session::Visit,
    views::{meaning, short, shown_url},
    words::Moment,
};
use crate::{
    domain::{
        account,
        alert::{Alert, Failing, What},
        delivery::Failure,
        ids::AlertId,
        token::Scope,
    },
    error::Error,
    store::{
        Admission,
        alerts::{self, ChannelState, Progress},
        audit,
    },
};

/// Alerts on a page.
const PAGE: usize = 25;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Search {
    before: String,
}

/// By which way an alert was told, or is to be.
struct Way {
    name: &'static str,
    class: &'static str,
    word: &'static str,
    at: Moment,
    error: String,
}

impl Way {
    fn new(frame: &Frame<'_>, progress: Progress) -> Self {
        let (class, word, at) = match progress.state {
            ChannelState::Delivered(at) => ("good", "told", at),
            ChannelState::Due(at) if progress.tries == 0 => ("", "to be told", at.max(frame.now())),
            ChannelState::Due(at) => ("bad", "not told yet, tried again", at.max(frame.now())),
            ChannelState::Dropped(at) => ("", "dropped", at),
        };
        let told = matches!(progress.state, ChannelState::Delivered(_));
        // It tells of the operator's mail server.
        let error = progress.last_error.filter(|_| !told && frame.operator).unwrap_or_default();
        Self { name: progress.channel.name(), class, word, at: frame.when(at), error }
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
    fn new(door: &Door, frame: &Frame<'_>, alert: &Alert, ways: Vec<Progress>) -> Result<Self, Error> {
        let because = |failing: &Failing| {
            format!("{}: {}", short(Some(failing.failure), failing.status), meaning(failing.failure))
        };
        let (class, word, said) = match &alert.what {
            What::Suspended(failing) => ("bad", "suspended", because(failing)),
            What::Warning { failing, .. } if failing.failure == Failure::Damaged => {
                ("bad", "damaged", because(failing))
            }
            What::Warning { failing, tries, next_attempt_at } => {
                let then = if next_attempt_at.is_some() { "tried on" } else { "failed for good" };
                ("warn", "warning", format!("failed {tries} times, {then}; {}", because(failing)))
            }
            What::Expiring { held, .. } => ("warn", "expiring", format!("{held} held deliveries grow too old")),
        };
        Ok(Self {
            at: frame.when(alert.created_at),
            class,
            word,
            said,
            webhook: door.written(&alert.profile, alert.endpoint),
            url: if frame.operator { alert.masked_url() } else { shown_url(&alert.url) },
            account: alert.account.clone(),
            addressee: alert.addressee.clone().unwrap_or_default(),
            ways: ways.into_iter().map(|way| Way::new(frame, way)).collect(),
        })
    }
}

#[derive(Template)]
#[template(path = "alerts.html", config = "src/api/ui/askama.toml")]
struct Page<'a> {
    frame: Frame<'a>,
    rows: Vec<Row>,
    unsent: u64,
    more: Option<String>,
    mails: bool,
    problem: Option<String>,
    to: String,
}

/// The alerts, newest first.
#[handler]
pub(super) async fn list(
    door: Data<&Door>,
    visit: Visit,
    search: Query<Search>,
    said: Query<Said>,
) -> Result<Response> {
    show(&door, &visit, &search, &said, None).await
}

async fn show(
    door: &Door,
    visit: &Visit,
    search: &Search,
    said: &Said,
    refused: Option<(Error, String)>,
) -> Result<Response> {
    let (before, (grant, walls)) = (AlertId::parse(&search.before), visit.caller.horizon(Scope::Webhooks)?);
    let operator = visit.is_operator();
    let look = door.deps.db.read_as(grant, move |view| {
        let unsent = if operator { alerts::unsent_count(view)? } else { 0 };
        Ok((alerts::list(view, &walls, before, PAGE + 1)?, unsent))
    });
    let (mut found, unsent) = look.await?;
    let frame = Frame::new(door, visit, "/ui/alerts").saying(said);
    let more = (found.len() > PAGE).then(|| {
        found.truncate(PAGE);
        let last = found.last().map(|(alert, _)| alert.id.to_string()).unwrap_or_default();
        Asked::new().with("before", &last).query()
    });
    let rows = found.into_iter().map(|(alert, ways)| Row::new(door, &frame, &alert, ways));
    let (problem, to) = refused.unzip();
    let mut page = frame::page(&Page {
        rows: rows.collect::<Result<_, _>>()?,
        unsent,
        more,
        mails: door.mails,
        problem: problem.as_ref().map(ToString::to_string),
        to: to.unwrap_or_default(),
        frame,
    })?;
    if let Some(problem) = problem {
        page.set_status(poem::Error::from(problem).status());
    }
    Ok(page)
}

/// Sends a test mail at once.
#[handler]
pub(super) async fn test_mail(door: Data<&Door>, visit: Visit, fields: Fields) -> Result<Response> {
    let (grant, _) = visit.operator()?;
    let to = fields.need("to", "the address")?.to_owned();
    let sent = async {
        account::check_email(&to)?;
        // Before it is sent: this write is refused if the right to ask for it is gone.
        door.deps.db.write(grant, Admission::Try, audit::mail_tested).await?;
        (door.deps.send_test_mail)(to.clone()).await
    };
    match sent.await {
        Ok(()) => Ok(go("/ui/alerts?said=mailed")),
        Err(error) => show(&door, &visit, &Search::default(), &Said::default(), Some((error, to))).await,
    }
}
