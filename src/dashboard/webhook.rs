//! One webhook: its settings, its statistics, and, while it is suspended, how to resume it.

use std::sync::Arc;

use askama::Template;
use poem::{
    Response, Result, handler,
    web::{Data, Path, Query},
};

use super::{
    alike::Alike,
    attempts::{Answer, reason},
    chart::Chart,
    fields::Fields,
    form_once::{Outcome, Shown},
    format::{self, Moment, count, long_span, thousands, took},
    frame::{Frame, Said},
    render::{self, go},
    state::Shared,
    views::{DeliveryRow, WebhookRow, alike, meaning, short, shown_url},
    visit::Allowed,
    webhooks::{WebhookForm, settings, wanted},
};
use crate::{
    app::{
        Webhooks,
        webhooks::{ANSWERS_OF, Change, EventList, Report, WebhookDetails},
    },
    domain::{
        delivery::{Attempt, Delivery},
        endpoint::{EndpointState, Resend, Resumed, SuspendedReason},
        endpoint_settings::Sending,
        ids::DeliveryId,
        profile::RetryPolicy,
        signature::Switch,
        stats::Stats,
        timestamp::Timestamp,
        version::IfMatch,
    },
    error::Error,
};

/// Hours of the week that one bar of the chart stands for.
const HOURS_PER_BAR: usize = 6;

#[derive(Template)]
#[template(path = "webhook.html", config = "src/dashboard/askama.toml")]
struct Page<'a> {
    frame: Frame<'a>,
    row: WebhookRow,
    present: bool,
    suspended: Option<Suspended>,
    sending: Sending,
    schedule: String,
    waits: String,
    after: &'static str,
    timeout: String,
    made: Moment,
    /// The whole URL.
    url: String,
    /// The names of its own headers.
    headers: Vec<String>,
    metadata: Vec<(String, String)>,
    form: WebhookForm,
    secret_mark: String,
    signature: &'static str,
    overlap: String,
    week: Chart,
    recent: Vec<Alike<DeliveryRow>>,
    answers: Vec<(String, String, &'static str)>,
    looked_at: usize,
    problem: Option<String>,
}

/// The panel of a suspended webhook.
struct Suspended {
    what: String,
    held: u64,
    /// The number of failed deliveries that a resume sends again.
    failed: u64,
    /// The deliveries that a resume sends, in words; empty if there are none.
    resuming: String,
    /// The delivery that suspended it, or the last one if somebody paused it, with its caption.
    delivery: Option<(DeliveryRow, &'static str)>,
    /// Whether somebody paused it: then no delivery did it.
    paused: bool,
    /// The receiver's last answer to it.
    answer: Option<Answer>,
}

impl Suspended {
    fn of(
        frame: &Frame<'_>,
        report: &Report,
        policy: &RetryPolicy,
        last: Option<&(Delivery, Attempt)>,
    ) -> Option<Self> {
        let reason = report.endpoint.suspended_reason?;
        let tries = count(policy.max_attempts.into(), "time", "times");
        let what = match reason {
            SuspendedReason::Paused => "Somebody paused it.".to_owned(),
            SuspendedReason::Gone => "The receiver answered 410 Gone: it does not exist any more.".to_owned(),
            SuspendedReason::Exhausted => format!("A delivery failed {tries}."),
            SuspendedReason::Dead => {
                format!("A delivery failed {tries}, and nothing else was delivered meanwhile.")
            }
        };
        let paused = reason == SuspendedReason::Paused;
        let is = if paused { "The last delivery" } else { "The delivery that did it" };
        let resuming = Resumed { resent: report.failed, released: report.held };
        let words = if resuming.is_nothing() { String::new() } else { resuming.to_string() };
        Some(Self {
            what,
            held: report.held,
            failed: report.failed,
            resuming: words,
            paused,
            delivery: last.map(|(delivery, _)| (DeliveryRow::new(frame, delivery), is)),
            answer: last.map(|(_, attempt)| Answer::new(frame, attempt)),
        })
    }

    /// The heading: how many deliveries wait for the webhook to be resumed.
    fn heading(&self) -> String {
        let failed = || count(self.failed, "delivery failed", "deliveries failed");
        match (self.failed, self.held) {
            (0, 0) => "Nothing is sent to it".to_owned(),
            (_, 0) => failed(),
            (0, held) => count(held, "delivery is held", "deliveries are held"),
            (_, held) => format!("{}, {}", failed(), count(held, "is held", "are held")),
        }
    }

    /// The text of the button that resumes it.
    fn button(&self) -> String {
        resume_button(self.failed + self.held)
    }
}

/// The text of the button that resumes a webhook with this many waiting deliveries.
pub(super) fn resume_button(waiting: u64) -> String {
    match waiting {
        0 => "Resume".to_owned(),
        1 => "Resume and send 1".to_owned(),
        _ => format!("Resume and send all {}", thousands(waiting)),
    }
}

#[handler]
pub(super) async fn show(
    shared: Data<&Shared>,
    visit: Allowed<Webhooks>,
    id: Path<String>,
    said: Query<Said>,
) -> Result<Response> {
    show_with(&shared, &visit, &id, &said, None).await
}

/// A refused change: the form's values, and the reason.
struct Refused<'a> {
    fields: &'a Fields,
    why: Error,
}

async fn show_with(
    shared: &Shared,
    visit: &Allowed<Webhooks>,
    written: &str,
    said: &Said,
    refused: Option<Refused<'_>>,
) -> Result<Response> {
    let frame = Frame::new(shared, visit, "/ui/webhooks").saying(said);
    let now = frame.now();
    let WebhookDetails { report, week, recent, last, answers, secret_mark } =
        shared.app.webhook_in_full(&visit.access, written).await?;
    let answers = answers.into_iter().map(|answer| {
        let often = count(answer.attempts, "attempt", "attempts");
        (short(answer.failure, answer.status), often, answer.failure.map_or("", meaning))
    });
    let (week, dialect) = (in_bars(&week), shared.dialect(&report.profile)?);
    let (endpoint, policy) = (&report.endpoint, &dialect.profile.retry);
    let url = endpoint.url.given().to_owned();
    let form = match &refused {
        Some(refused) if refused.fields.get("url").is_some() => WebhookForm::filled(dialect, refused.fields),
        _ => WebhookForm::of(dialect, url.clone(), endpoint),
    };
    let page = Page {
        row: WebhookRow::new(shared, &frame, &report)?,
        present: endpoint.state != EndpointState::Deleted,
        suspended: Suspended::of(&frame, &report, policy, last.as_ref()),
        sending: endpoint.settings.sending,
        schedule: format::schedule(policy),
        waits: format::waits(policy),
        after: dialect.when_exhausted(),
        timeout: long_span(dialect.profile.timeout),
        signature: dialect.profile.signature_header,
        overlap: long_span(shared.app.secret_overlap()),
        made: frame.when(endpoint.created_at),
        url,
        headers: endpoint.header_names.clone(),
        metadata: endpoint.settings.metadata.entries().clone().into_iter().collect(),
        form,
        secret_mark,
        week: Chart::new(("week", "Deliveries in 7 days", "7 d ago"), &week, Some(written), now),
        recent: alike(&frame, &recent),
        answers: answers.collect(),
        looked_at: ANSWERS_OF,
        problem: refused.as_ref().map(|refused| refused.why.to_string()),
        frame,
    };
    render::page_with(&page, refused.map(|refused| refused.why))
}

/// The hours of a week, put together to bars.
fn in_bars(hours: &[(Timestamp, Stats)]) -> Vec<(Timestamp, Stats)> {
    let bars = hours.chunks(HOURS_PER_BAR).filter_map(|hours| {
        let mut sum = hours.first().copied()?;
        hours[1..].iter().for_each(|(_, more)| sum.1.add(more));
        Some(sum)
    });
    bars.collect()
}

/// Does the work of a button. The next page shows the result, by [`Said`].
#[handler]
pub(super) async fn act(
    shared: Data<&Shared>,
    visit: Allowed<Webhooks>,
    path: Path<(String, String)>,
    fields: Fields,
) -> Result<Response> {
    let Path((written, verb)) = path;
    let done = match verb.as_str() {
        "pause" => shared.app.pause(&visit.access, &written).await.map(|()| "paused".to_owned()),
        "delete" => shared.app.delete(&visit.access, &written, IfMatch::default()).await.map(|()| "deleted".to_owned()),
        "resume" => resume(&shared, &visit, &written, &fields).await,
        "change" => change(&shared, &visit, &written, &fields).await,
        "drop" => shared.app.drop_held(&visit.access, &written).await.map(|()| "dropping".to_owned()),
        "test" => return test(&shared, &visit, &written, &fields).await,
        "secret" => return rotate(&shared, &visit, &written, &fields).await,
        _ => return Err(poem::error::NotFoundError.into()),
    };
    match done {
        Ok(said) => Ok(go(&format!("/ui/webhooks/{written}?said={said}"))),
        Err(why @ (Error::Invalid { .. } | Error::Conflict { .. })) => {
            show_with(&shared, &visit, &written, &Said::default(), Some(Refused { fields: &fields, why })).await
        }
        Err(error) => Err(error.into()),
    }
}

async fn resume(shared: &Shared, visit: &Allowed<Webhooks>, written: &str, fields: &Fields) -> Result<String, Error> {
    let resend = if fields.get("failed") == Some("leave") { Resend::Nothing } else { Resend::Failed };
    Ok(match shared.app.resume(&visit.access, written, resend).await? {
        None => "active".to_owned(),
        Some(Resumed { resent, released }) => format!("resumed&resent={resent}&released={released}"),
    })
}

async fn change(shared: &Shared, visit: &Allowed<Webhooks>, written: &str, fields: &Fields) -> Result<String, Error> {
    let change = Change {
        url: Some(fields.need("url", "the URL")?.to_owned()),
        events: Some(EventList::Ticked(wanted(fields))),
        name: fields.text("name").map(str::to_owned),
        description: fields.text("description").map(str::to_owned),
        settings: settings(fields)?,
        ..Change::default()
    };
    shared.app.update(&visit.access, written, change).await?;
    Ok("changed".to_owned())
}

#[derive(Template)]
#[template(path = "tested.html", config = "src/dashboard/askama.toml")]
struct Tested<'a> {
    frame: Frame<'a>,
    webhook: String,
    url: String,
    kind: String,
    delivery: DeliveryId,
    delivered: bool,
    /// The text of the button that resumes it; `None` while it is active.
    resume: Option<String>,
    status: Option<u16>,
    meaning: &'static str,
    reason: String,
    took: String,
    headers: String,
    answer: String,
}

/// Sends sample data at once and shows the result.
async fn test(shared: &Shared, visit: &Allowed<Webhooks>, written: &str, fields: &Fields) -> Result<Response> {
    let tested = shared.app.test(&visit.access, written, fields.get("event").map(str::to_owned)).await?;
    let attempt = &tested.attempt;
    let resume = match tested.endpoint.state {
        EndpointState::Suspended if attempt.failure.is_none() => {
            let waiting = shared.app.webhook(&visit.access, written).await?;
            Some(resume_button(waiting.failed + waiting.held))
        }
        _ => None,
    };
    let frame = Frame::new(shared, visit, "/ui/webhooks");
    render::page(&Tested {
        reason: reason(&frame, attempt),
        headers: attempt.details.headers.clone().unwrap_or_default(),
        frame,
        webhook: written.to_owned(),
        url: shown_url(tested.endpoint.url.given()),
        delivery: tested.delivery,
        delivered: attempt.failure.is_none(),
        resume,
        status: attempt.status,
        meaning: attempt.failure.map_or("", meaning),
        took: took(attempt.duration.unwrap_or_default()),
        answer: String::from_utf8_lossy(&attempt.response).into_owned(),
        kind: tested.kind,
    })
}

/// Gives a webhook a new secret in place of the one that the page was made with, and shows it once.
async fn rotate(shared: &Shared, visit: &Allowed<Webhooks>, written: &str, fields: &Fields) -> Result<Response> {
    let former = fields.get("former").unwrap_or_default();
    let switch = if fields.get("switch") == Some("after_overlap") { Switch::AfterOverlap } else { Switch::Now };
    let rotate = || async {
        let changed = shared.app.rotate_secret(&visit.access, written, Some(former.to_owned()), switch).await?;
        let signature = shared.dialect(&changed.profile)?.profile.signature_header;
        let (url, overlap) = (shown_url(changed.endpoint.url.given()), long_span(shared.app.secret_overlap()));
        Ok(Outcome::Shown(Arc::new(Shown {
            title: "The new signing secret",
            about: match switch {
                Switch::Now => format!(
                    "{url}. {signature} is signed with it from now on; in webhook-signature the former secret signs too for {overlap}."
                ),
                Switch::AfterOverlap => format!(
                    "{url}. {signature} is signed with the former secret for {overlap}, then with this one; webhook-signature has both signatures until then."
                ),
            },
            secrets: vec![("Signing secret", changed.secret.expose().to_owned().into())],
            next: format!("/ui/webhooks/{written}"),
        })))
    };
    match shared.made.once(visit, fields, rotate).await {
        Err(why @ Error::Conflict { .. }) => {
            show_with(shared, visit, written, &Said::default(), Some(Refused { fields, why })).await
        }
        made => Ok(made?),
    }
}
