//! One webhook: how it is set, how it fares, and while it is suspended what to do about it.

use std::sync::Arc;

use askama::Template;
use poem::{
    Response, Result, handler,
    web::{Data, Path, Query},
};

use super::{
    Door,
    chart::Chart,
    fields::Fields,
    frame::{self, Frame, Said, go},
    made::{Outcome, Shown},
    session::Visit,
    views::{DeliveryRow, WebhookRow, meaning, short, shown_url},
    webhooks::{WebhookForm, wanted},
    words::{self, Moment, count, long_span, thousands, took},
};
use crate::{
    domain::{
        delivery::{Attempt, Delivery},
        endpoint::{Endpoint, EndpointState, Resend, Resumed, SuspendedReason},
        ids::{DeliveryId, EndpointId},
        profile::RetryPolicy,
        stats::{Span, Stats},
        timestamp::Timestamp,
        token::Walls,
    },
    error::{Error, Missing},
    store::{
        Admission, Tx, audit, deliveries, endpoints,
        stats::{self, Of},
        webhooks::{self, Report},
    },
};

/// Deliveries shown with a webhook.
const RECENT: usize = 20;
/// Hours in the chart of a week: one bar for six of them.
const WEEK: i64 = 7 * 24;
const HOURS_PER_BAR: usize = 6;

#[derive(Template)]
#[template(path = "webhook.html", config = "src/api/ui/askama.toml")]
struct Page<'a> {
    frame: Frame<'a>,
    row: WebhookRow,
    present: bool,
    suspended: Option<Suspended>,
    schedule: String,
    waits: String,
    after: &'static str,
    timeout: String,
    made: Moment,
    /// The whole URL.
    url: String,
    form: WebhookForm,
    secret_mark: String,
    signature: &'static str,
    overlap: String,
    week: Chart,
    recent: Vec<DeliveryRow>,
    answers: Vec<(String, String, &'static str)>,
    looked_at: usize,
    problem: Option<String>,
}

/// What the panel says of a suspended webhook.
struct Suspended {
    what: String,
    held: u64,
    /// How many failed deliveries resuming sends again.
    failed: u64,
    /// What resuming sets going, in words; nothing if nothing waits.
    resuming: String,
    last_error: Option<(String, &'static str)>,
}

impl Suspended {
    fn of(report: &Report, policy: &RetryPolicy, recent: &[Delivery]) -> Option<Self> {
        let what = match report.endpoint.suspended_reason? {
            SuspendedReason::Paused => "Somebody paused it.".to_owned(),
            SuspendedReason::Gone => "It answered 410 Gone: the receiver says that it is there no more.".to_owned(),
            SuspendedReason::Exhausted => format!("A delivery failed {} times.", policy.max_attempts),
        };
        let last_error = recent.iter().find_map(|delivery| {
            let failure = delivery.last_failure?;
            Some((short(Some(failure), delivery.last_status), meaning(failure)))
        });
        let resuming = Resumed { resent: report.failed, released: report.held };
        let words = if resuming.is_nothing() { String::new() } else { resuming.to_string() };
        Some(Self { what, held: report.held, failed: report.failed, resuming: words, last_error })
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

    /// What the button says that resumes.
    fn button(&self) -> String {
        resume_button(self.failed + self.held)
    }
}

/// What a button says that resumes a webhook for which so many deliveries wait.
fn resume_button(waiting: u64) -> String {
    if waiting == 0 { "Resume".to_owned() } else { format!("Resume and send {}", thousands(waiting)) }
}

/// One webhook.
#[handler]
pub(super) async fn show(door: Data<&Door>, visit: Visit, id: Path<String>, said: Query<Said>) -> Result<Response> {
    show_with(&door, &visit, &id, Some(&said), None).await
}

/// A change that could not be made: what was filled in, and why.
struct Refused<'a> {
    fields: &'a Fields,
    why: Error,
}

async fn show_with(
    door: &Door,
    visit: &Visit,
    written: &str,
    said: Option<&Said>,
    refused: Option<Refused<'_>>,
) -> Result<Response> {
    let (grant, walls, id) = door.webhook(visit, written)?;
    let mut frame = Frame::new(door, visit, "/ui/webhooks");
    if let Some(said) = said {
        frame = frame.saying(said);
    }
    let now = frame.now();
    let look = door.deps.db.read_as(grant, move |view| {
        let report = webhooks::find(view, &walls, id, now)?;
        let recent = deliveries::list(view, &report.endpoint, &deliveries::Filter::default(), RECENT)?.deliveries;
        let week = stats::series(view, Of::Endpoint(report.endpoint.key), Span::Hour, WEEK, now)?;
        let answers = deliveries::answers(view, report.endpoint.key)?;
        let mark = endpoints::secret_mark(view, report.endpoint.key)?;
        Ok((report, recent, week, answers, mark))
    });
    let (report, recent, week, answers, secret_mark) = look.await?;
    let answers = answers.into_iter().map(|answer| {
        let often = count(answer.attempts, "attempt", "attempts");
        (short(answer.failure, answer.status), often, answer.failure.map_or("", meaning))
    });
    let (week, dialect) = (in_bars(&week), door.dialect(&report.profile)?);
    let (endpoint, policy) = (&report.endpoint, &dialect.profile.retry);
    let status = refused.as_ref().map(|refused| poem::Error::from(refused.why.clone()).status());
    let url = endpoint.url.as_str().to_owned();
    let form = match &refused {
        Some(refused) if refused.fields.get("url").is_some() => WebhookForm::filled(dialect, refused.fields),
        _ => WebhookForm::of(dialect, url.clone(), endpoint.events.entries()),
    };
    let mut page = frame::page(&Page {
        row: WebhookRow::new(door, &frame, &report)?,
        present: endpoint.state != EndpointState::Deleted,
        suspended: Suspended::of(&report, policy, &recent),
        schedule: words::schedule(policy),
        waits: words::waits(policy),
        after: dialect.when_exhausted(),
        timeout: long_span(dialect.profile.timeout),
        signature: dialect.profile.signature_header,
        overlap: long_span(door.deps.secret_overlap),
        made: frame.when(endpoint.created_at),
        url,
        form,
        secret_mark,
        week: Chart::new("week", "Deliveries in 7 days", "7 d ago", &week, now),
        recent: recent.iter().map(|delivery| DeliveryRow::new(&frame, delivery)).collect(),
        answers: answers.collect(),
        looked_at: deliveries::ANSWERS_OF,
        problem: refused.as_ref().map(|refused| refused.why.to_string()),
        frame,
    })?;
    if let Some(status) = status {
        page.set_status(status);
    }
    Ok(page)
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

/// Does what a button of the page says. What was done is said by the page that follows, as [`Said`] has it.
#[handler]
pub(super) async fn act(
    door: Data<&Door>,
    visit: Visit,
    path: Path<(String, String)>,
    fields: Fields,
) -> Result<Response> {
    let Path((written, verb)) = path;
    let done = match verb.as_str() {
        "pause" | "delete" => change_state(&door, &visit, &written, &verb).await,
        "resume" => resume(&door, &visit, &written, &fields).await,
        "change" => change(&door, &visit, &written, &fields).await,
        "drop" => drop_held(&door, &visit, &written).await,
        "test" => return test(&door, &visit, &written, &fields).await,
        "secret" => return rotate(&door, &visit, &written, &fields).await,
        _ => return Err(poem::error::NotFoundError.into()),
    };
    match done {
        Ok(said) => Ok(go(&format!("/ui/webhooks/{written}?said={said}"))),
        Err(why @ (Error::Invalid { .. } | Error::Conflict { .. })) => {
            show_with(&door, &visit, &written, None, Some(Refused { fields: &fields, why })).await
        }
        Err(error) => Err(error.into()),
    }
}

/// A webhook that is there, within the caller's walls.
fn find(tx: &Tx<'_>, walls: &Walls, id: EndpointId) -> Result<Endpoint, Error> {
    let endpoint = endpoints::find(tx, walls, id)?;
    match endpoint.state {
        EndpointState::Deleted => Err(Error::NotFound(Missing::Webhook)),
        EndpointState::Active | EndpointState::Suspended => Ok(endpoint),
    }
}

async fn change_state(door: &Door, visit: &Visit, written: &str, verb: &str) -> Result<String, Error> {
    let (grant, walls, id) = door.webhook(visit, written)?;
    let verb = verb.to_owned();
    let change = move |tx: &Tx<'_>| {
        let key = find(tx, &walls, id)?.key;
        match verb.as_str() {
            "pause" => endpoints::suspend(tx, key, SuspendedReason::Paused).map(|()| "paused"),
            _ => endpoints::delete(tx, key).map(|()| "deleted"),
        }
    };
    door.deps.db.write(grant, Admission::Try, change).await.map(str::to_owned)
}

async fn resume(door: &Door, visit: &Visit, written: &str, fields: &Fields) -> Result<String, Error> {
    let (grant, walls, id) = door.webhook(visit, written)?;
    let resend = if fields.get("failed") == Some("leave") { Resend::Nothing } else { Resend::Failed };
    let resume = move |tx: &Tx<'_>| endpoints::resume(tx, find(tx, &walls, id)?.key, resend);
    Ok(match door.deps.db.write(grant, Admission::Try, resume).await? {
        None => "active".to_owned(),
        Some(Resumed { resent, released }) => format!("resumed&resent={resent}&released={released}"),
    })
}

async fn change(door: &Door, visit: &Visit, written: &str, fields: &Fields) -> Result<String, Error> {
    let (deps, (grant, walls, id)) = (&door.deps, door.webhook(visit, written)?);
    let profile = walls.profile.clone().unwrap_or_default();
    let events = wanted(fields, door.dialect(&profile)?, deps.limits.events_per_webhook)?;
    let url = deps.target(fields.need("url", "the URL")?)?;
    deps.vet(&visit.caller, &url).await?;
    let change = move |tx: &Tx<'_>| {
        let endpoint = find(tx, &walls, id)?;
        endpoints::set_url(tx, endpoint.key, &url)?;
        if !events.is_same_as(&endpoint.events) {
            endpoints::set_events(tx, endpoint.key, &events)?;
        }
        Ok("changed".to_owned())
    };
    deps.db.write(grant, Admission::Try, change).await
}

/// Drops what is held, a part at a time, whether or not the browser waits for it; no more of it once the right to ask is gone.
async fn drop_held(door: &Door, visit: &Visit, written: &str) -> Result<String, Error> {
    let (grant, walls, id) = door.webhook(visit, written)?;
    let (db, written) = (door.deps.db.clone(), written.to_owned());
    let first = db.write(grant, Admission::Try, move |tx| {
        let (endpoint, before) = (find(tx, &walls, id)?, deliveries::next_key(tx)?);
        Ok((endpoint.key, before, deliveries::drop_held(tx, endpoint.key, before)?))
    });
    let (key, before, mut more) = first.await?;
    tokio::spawn(async move {
        while more {
            let drop = move |tx: &Tx<'_>| deliveries::drop_held(tx, key, before);
            let dropped = db.write(grant, Admission::Wait, drop).await;
            more = dropped.unwrap_or_else(|flaw| {
                tracing::error!(endpoint.id = written, error = %flaw, "dropping what is held ended early: drop the rest again");
                false
            });
        }
    });
    Ok("dropping".to_owned())
}

#[derive(Template)]
#[template(path = "tested.html", config = "src/api/ui/askama.toml")]
struct Tested<'a> {
    frame: Frame<'a>,
    webhook: String,
    url: String,
    kind: String,
    delivery: DeliveryId,
    delivered: bool,
    /// What the button says that resumes it; nothing while it is active.
    resume: Option<String>,
    status: Option<u16>,
    meaning: &'static str,
    took: String,
    answer: String,
}

/// Sends sample data at once and shows what came of it.
async fn test(door: &Door, visit: &Visit, written: &str, fields: &Fields) -> Result<Response> {
    let (grant, walls, id) = door.webhook(visit, written)?;
    let named = fields.get("event").map(str::to_owned);
    let (now, deps) = (door.deps.clock.now(), &door.deps);
    let within = walls.clone();
    let look = deps.db.read_as(grant, move |view| endpoints::see(view, &within, id)).await?;
    let dialect = door.dialect(walls.profile.as_deref().unwrap_or_default())?;
    let (kind, body) = dialect.sample_for(&look, named.as_deref(), now)?;
    let prepare = move |tx: &Tx<'_>| {
        let endpoint = find(tx, &walls, id)?;
        audit::tested(tx, endpoint.key)?;
        let target = endpoints::target(tx, endpoint.key)?;
        Ok((endpoint, target))
    };
    let (endpoint, target) = deps.db.write(grant, Admission::Try, prepare).await?;
    let sent = (deps.send_test)(grant, endpoint.account_id, target, kind.clone(), body).await?;
    let (delivery, attempt): (DeliveryId, Attempt) = sent;
    let resume = match endpoint.state {
        EndpointState::Suspended => {
            let key = endpoint.key;
            let waiting =
                deps.db.read_as(grant, move |view| Ok(endpoints::failed(view, key)? + endpoints::held(view, key)?));
            Some(resume_button(waiting.await?))
        }
        EndpointState::Active | EndpointState::Deleted => None,
    };
    frame::page(&Tested {
        frame: Frame::new(door, visit, "/ui/webhooks"),
        webhook: written.to_owned(),
        url: shown_url(endpoint.url.as_str()),
        kind,
        delivery,
        delivered: attempt.failure.is_none(),
        resume: resume.filter(|_| attempt.failure.is_none()),
        status: attempt.status,
        meaning: attempt.failure.map_or("", meaning),
        took: took(attempt.duration.unwrap_or_default()),
        answer: String::from_utf8_lossy(&attempt.response).into_owned(),
    })
}

/// Gives a webhook a new secret in place of the one that the page was made with, and shows it once.
async fn rotate(door: &Door, visit: &Visit, written: &str, fields: &Fields) -> Result<Response> {
    let (deps, (grant, walls, id)) = (&door.deps, door.webhook(visit, written)?);
    let former = fields.get("former").unwrap_or_default().to_owned();
    let rotate = || async {
        let secret = deps.secret(None)?;
        let (shown, overlap) = (secret.shown(), deps.secret_overlap);
        let signature = door.dialect(walls.profile.as_deref().unwrap_or_default())?.profile.signature_header;
        let rotate = move |tx: &Tx<'_>| {
            let endpoint = find(tx, &walls, id)?;
            endpoints::expect_secret(tx, endpoint.key, &former)?;
            endpoints::set_secret(tx, &endpoint, &secret.secret, overlap)?;
            Ok(endpoint)
        };
        let endpoint = deps.db.write(grant, Admission::Try, rotate).await?;
        let url = shown_url(endpoint.url.as_str());
        Ok(Outcome::Shown(Arc::new(Shown {
            title: "The new signing secret",
            about: format!(
                "{url}. {signature} is signed with it from now on; in webhook-signature the former secret signs too for {}.",
                long_span(overlap)
            ),
            secret: shown,
            next: format!("/ui/webhooks/{written}"),
        })))
    };
    match door.made.once(door, visit, fields, rotate).await {
        Err(why @ Error::Conflict { .. }) => show_with(door, visit, written, None, Some(Refused { fields, why })).await,
        made => Ok(made?),
    }
}
