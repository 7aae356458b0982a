//! Webhooks: register, change, pause, resume, test, delete, list, get.

use std::time::Duration;

use zeroize::Zeroizing;

use super::{
    Access, App, CheckedWebhook, Manages, Operator, Page, PageRequest, Right, Webhooks,
    checked_webhook::{new_secret, own_secret},
};
use crate::{
    domain::{
        about::About,
        delivery::{Attempt, Delivery},
        endpoint::{Endpoint, EndpointState, EventFilter, Resend, Resumed, SuspendedReason, TargetUrl},
        ids::{DeliveryId, EndpointId},
        signature::Switch,
        stats::{Span, Stats},
        timestamp::Timestamp,
        token::AccessScope,
    },
    error::{Error, Missing, Result},
    store::{
        Admission, Tx, View, accounts, alerts, audit, deliveries, endpoints, secrets,
        stats::{self, Of},
        webhooks,
    },
};

pub use super::checked_webhook::Registered;
pub use crate::store::{
    deliveries::{ANSWERS_OF, Answered},
    webhooks::{Filter as WebhookFilter, LastFailure, Report},
};

/// Deliveries shown with a webhook.
const RECENT: usize = 20;
/// Deliveries on the page of a webhook, which puts together those that are alike.
const ON_PAGE: usize = 50;
/// How long a deleted webhook stays in the list.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Hours of attempts shown with a webhook: a week.
const WEEK: i64 = 7 * 24;

/// Attempts by the hour, oldest first.
pub type Hours = Vec<(Timestamp, Stats)>;

/// A webhook to register.
pub struct NewWebhook {
    /// The account that it belongs to.
    pub account: String,
    /// The URL.
    pub url: String,
    /// The events: names, prefixes such as `batch.*`, or `*`.
    pub events: Vec<String>,
    /// The subscriber's own secret. Without it, a secret is made.
    pub secret: Option<Zeroizing<String>>,
    /// Its name, for people.
    pub name: Option<String>,
    /// Its description.
    pub description: Option<String>,
}

/// The changes to a webhook; a field that is left out stays.
#[derive(Default)]
pub struct Change {
    /// The new URL.
    pub url: Option<String>,
    /// The new events.
    pub events: Option<EventList>,
    /// The subscriber's own new secret.
    pub secret: Option<Zeroizing<String>>,
    /// The new name; an empty one removes it.
    pub name: Option<String>,
    /// The new description; an empty one removes it.
    pub description: Option<String>,
    /// The new state.
    pub state: Option<NewState>,
}

/// Which deleted webhooks a list has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// None.
    None,
    /// Those that were deleted within a day, at most 1,000.
    OfLastDay,
    /// The newest 1,000.
    Newest,
}

/// Entries of an event filter.
pub enum EventList {
    /// The entries of a program: their order is kept.
    Ordered(Vec<String>),
    /// The ticked entries of a form: the same entries in another order are no change.
    Ticked(Vec<String>),
}

/// The state that a person wants for a webhook.
#[derive(Debug, Clone, Copy)]
pub enum NewState {
    /// Active: it is resumed if it is suspended.
    Active(Resend),
    /// Paused: new deliveries are held.
    Paused,
}

/// A webhook, and the numbers of failed and held deliveries: a person needs both before a resume.
pub struct WebhookSummary {
    /// The webhook.
    pub endpoint: Endpoint,
    /// Deliveries that are held until it is resumed.
    pub held: u64,
    /// Deliveries that failed since its last success and were not replayed.
    pub failed: u64,
    /// Its last deliveries, newest first.
    pub recent: Vec<Delivery>,
}

/// The content of a page about one webhook.
pub struct WebhookDetails {
    /// Its statistics.
    pub report: Report,
    /// Its attempts of the last seven days.
    pub week: Hours,
    /// Its last deliveries, newest first.
    pub recent: Vec<Delivery>,
    /// While it is suspended: the delivery that suspended it, or the last one if somebody paused it, with its last
    /// attempt. `None` if there is none any more.
    pub last: Option<(Delivery, Attempt)>,
    /// The results of the attempts of its last deliveries.
    pub answers: Vec<Answered>,
    /// A mark of its present secret.
    pub secret_mark: String,
}

/// The result of a test.
pub struct TestOutcome {
    /// The webhook.
    pub endpoint: Endpoint,
    /// The event that was sent.
    pub kind: String,
    /// The id of the test delivery.
    pub delivery: DeliveryId,
    /// Its one attempt.
    pub attempt: Attempt,
}

impl App {
    /// Registers a webhook, active at once.
    ///
    /// # Errors
    /// [`Error::Invalid`] for events, a URL or a secret that cannot be taken; [`Error::NotFound`] for an unknown
    /// account; [`Error::Conflict`] if the account has as many webhooks as it may have.
    pub async fn register(&self, access: &Access<Webhooks>, new: NewWebhook) -> Result<Registered> {
        let profile = match &access.scope().profile {
            Some(profile) => profile.to_string(),
            None => {
                let id = new.account.clone();
                self.read(access, move |view, scope| accounts::see(view, scope, &id)).await?.profile
            }
        };
        let webhook = self.checked_webhook(access, profile, new).await?;
        self.write(access, move |tx, _| webhook.create(tx)).await
    }

    /// A webhook to register in an account of this profile, checked.
    ///
    /// # Errors
    /// As [`App::register`], except that its account may be unknown.
    pub(super) async fn checked_webhook(
        &self,
        access: &Access<impl Right>,
        profile: String,
        new: NewWebhook,
    ) -> Result<CheckedWebhook> {
        let NewWebhook { account, url, events, secret, name, description } = new;
        let events = self.dialect(&profile)?.filter(events, self.limits().events_per_webhook)?;
        let url = self.target(&url)?;
        let about = About::default().with(name.as_deref(), description.as_deref())?;
        let (secret, is_made) = match secret {
            Some(own) => (own_secret(own, "Leave it out to have one made.")?, false),
            None => (new_secret()?, true),
        };
        self.vet(access, &url).await?;
        let most = self.limits().webhooks_per_account;
        Ok(CheckedWebhook { account, profile, url, events, about, secret, is_made, most })
    }

    /// Changes a webhook. If that resumes it, returns the numbers of deliveries that the resume sends.
    ///
    /// # Errors
    /// [`Error::Invalid`] for events, a URL or a secret that cannot be taken; [`Error::NotFound`] for an unknown or
    /// deleted webhook.
    pub async fn update(
        &self,
        access: &Access<Webhooks>,
        webhook: &str,
        change: Change,
    ) -> Result<(Endpoint, Option<Resumed>)> {
        let (id, access) = self.resolve(access, webhook)?;
        let Change { url, events, secret, name, description, state } = change;
        let url = url.map(|url| self.target(&url)).transpose()?;
        let events = events.map(|events| self.wanted_events(&access, events)).transpose()?;
        let secret = secret.map(|own| own_secret(own, "Leave it out to keep the present one.")).transpose()?;
        if let Some(url) = &url {
            self.vet(&access, url).await?;
        }
        let overlap = self.secret_overlap();
        let update = move |tx: &Tx<'_>, scope: &AccessScope| {
            let endpoint = find(tx, scope, id)?;
            let about = endpoint.about.clone().with(name.as_deref(), description.as_deref())?;
            endpoints::set_about(tx, &endpoint, &about)?;
            url.map(|url| endpoints::set_url(tx, endpoint.key, &url)).transpose()?;
            let changed =
                |(events, order_counts): &(EventFilter, bool)| *order_counts || !events.is_same_as(&endpoint.events);
            events.filter(changed).map(|(events, _)| endpoints::set_events(tx, endpoint.key, &events)).transpose()?;
            secret.map(|secret| secrets::set(tx, &endpoint, &secret, overlap, Switch::Now)).transpose()?;
            let resumed = match state {
                Some(NewState::Active(resend)) => endpoints::resume(tx, endpoint.key, resend)?,
                Some(NewState::Paused) => {
                    endpoints::suspend(tx, endpoint.key, SuspendedReason::Paused).map(|()| None)?
                }
                None => None,
            };
            Ok((find(tx, scope, id)?, resumed))
        };
        self.write(&access, update).await
    }

    /// Suspends a webhook: its deliveries are held until it is resumed.
    pub async fn pause(&self, access: &Access<Webhooks>, webhook: &str) -> Result<()> {
        self.update(access, webhook, Change { state: Some(NewState::Paused), ..Change::default() }).await.map(drop)
    }

    /// Resumes a suspended webhook, and returns the numbers of deliveries that the resume sends; `None` if the webhook
    /// was active.
    pub async fn resume(&self, access: &Access<Webhooks>, webhook: &str, resend: Resend) -> Result<Option<Resumed>> {
        let change = Change { state: Some(NewState::Active(resend)), ..Change::default() };
        self.update(access, webhook, change).await.map(|(_, resumed)| resumed)
    }

    /// Deletes a webhook and cancels its pending and held deliveries.
    pub async fn delete(&self, access: &Access<Webhooks>, webhook: &str) -> Result<()> {
        let (id, access) = self.resolve(access, webhook)?;
        self.write(&access, move |tx, scope| endpoints::delete(tx, find(tx, scope, id)?.key)).await
    }

    /// As [`App::delete`]. A deleted webhook stays deleted, as long as it has a row.
    pub async fn deactivate(&self, access: &Access<Webhooks>, webhook: &str) -> Result<Endpoint> {
        let (id, access) = self.resolve(access, webhook)?;
        let delete = move |tx: &Tx<'_>, scope: &AccessScope| {
            endpoints::delete(tx, endpoints::find(tx, scope, id)?.key)?;
            endpoints::find(tx, scope, id)
        };
        self.write(&access, delete).await
    }

    /// Cancels the held deliveries of a webhook, a slice at a time. The work goes on after the answer, and ends when
    /// the right of the request is gone.
    pub async fn drop_held(&self, access: &Access<Webhooks>, webhook: &str) -> Result<()> {
        let (id, access) = self.resolve(access, webhook)?;
        let first = move |tx: &Tx<'_>, scope: &AccessScope| {
            let (endpoint, before) = (find(tx, scope, id)?, deliveries::next_key(tx)?);
            Ok((endpoint.key, before, deliveries::drop_held(tx, endpoint.key, before)?))
        };
        let (key, before, mut more) = self.write(&access, first).await?;
        let (db, grant, webhook) = (self.0.db.clone(), access.grant(), webhook.to_owned());
        tokio::spawn(async move {
            while more {
                let drop = move |tx: &Tx<'_>| deliveries::drop_held(tx, key, before);
                let dropped = db.write(grant, Admission::Wait, drop).await;
                more = dropped.unwrap_or_else(|flaw| {
                    tracing::error!(endpoint.id = webhook, error = %flaw, "dropping the held deliveries ended early: drop the rest again");
                    false
                });
            }
        });
        Ok(())
    }

    /// Sends one signed delivery of sample data at once, also while the webhook is suspended: of the named event, or of
    /// the first event that the webhook wants.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an unknown or deleted webhook; [`Error::Invalid`] for an unknown event; as
    /// [`Engine::send_test`](crate::engine::Engine::send_test).
    pub async fn test(&self, access: &Access<Webhooks>, webhook: &str, event: Option<String>) -> Result<TestOutcome> {
        let (id, access) = self.resolve(access, webhook)?;
        let dialects = self.0.dialects.clone();
        let prepare = move |tx: &Tx<'_>, scope: &AccessScope| {
            let endpoint = find(tx, scope, id)?;
            let target = endpoints::target(tx, endpoint.key)?;
            let sample = dialects.of(&target.profile)?.sample_for(&endpoint, event.as_deref(), tx.now)?;
            audit::tested(tx, endpoint.key)?;
            Ok((endpoint, target, sample))
        };
        let (endpoint, target, (kind, body)) = self.write(&access, prepare).await?;
        let account = endpoint.account_id.clone();
        let sent = self.0.engine.send_test(access.grant(), account, target, kind.clone(), body).await?;
        let (delivery, attempt) = sent;
        Ok(TestOutcome { endpoint, kind, delivery, attempt })
    }

    /// Every webhook, with these of the deleted ones, in the order they were registered.
    pub async fn webhooks(&self, access: &Access<Webhooks>, deleted: Deleted) -> Result<Vec<Endpoint>> {
        let since = match deleted {
            Deleted::None => Timestamp::from_millis(i64::MAX),
            Deleted::OfLastDay => self.now() - DAY,
            Deleted::Newest => Timestamp::from_millis(i64::MIN),
        };
        self.read(access, move |view, scope| endpoints::list(view, scope, since)).await
    }

    /// One webhook, and the numbers of its failed and held deliveries.
    pub async fn webhook(&self, access: &Access<Webhooks>, webhook: &str) -> Result<WebhookSummary> {
        let (id, access) = self.resolve(access, webhook)?;
        let look = move |view: &View<'_>, scope: &AccessScope| {
            let endpoint = find(view, scope, id)?;
            let (held, failed) = (endpoints::held(view, endpoint.key)?, endpoints::failed(view, endpoint.key)?);
            let recent = deliveries::latest(view, endpoint.key, RECENT)?;
            Ok(WebhookSummary { endpoint, held, failed, recent })
        };
        self.read(&access, look).await
    }

    /// A page of webhooks with statistics, newest first. It reads at most 10,000 webhooks, so a page with a filter may
    /// be short or empty and not the last.
    pub async fn webhook_reports(
        &self,
        access: &Access<impl Manages>,
        filter: WebhookFilter,
        page: PageRequest,
    ) -> Result<Page<Report>> {
        let (size, now) = (self.page_size(&page)?, self.now());
        // The cursor may name a webhook of another vendor that the filter left out.
        let known = |cursor: &str| Some(self.0.profiles.webhook(&AccessScope::EVERYTHING, cursor).ok()?.0);
        let filter = WebhookFilter { after: page.after(known)?, ..filter };
        let list = move |view: &View<'_>, scope: &AccessScope| webhooks::list(view, scope, &filter, size, now);
        let (found, next) = self.read(access, list).await?;
        Ok(Page::new(found, next.map(|(profile, id)| self.0.profiles.on_wire(&profile, id))))
    }

    /// One webhook with statistics, and its attempts of the last seven days.
    pub async fn webhook_report(&self, access: &Access<Operator>, webhook: &str) -> Result<(Report, Hours)> {
        let ((id, access), now) = (self.resolve(access, webhook)?, self.now());
        self.read(&access, move |view, scope| report(view, scope, id, now)).await
    }

    /// The content of a page about one webhook.
    pub async fn webhook_in_full(&self, access: &Access<Webhooks>, webhook: &str) -> Result<WebhookDetails> {
        let ((id, access), now) = (self.resolve(access, webhook)?, self.now());
        let look = move |view: &View<'_>, scope: &AccessScope| {
            let (report, week) = report(view, scope, id, now)?;
            let (key, recent) = (report.endpoint.key, deliveries::latest(view, report.endpoint.key, ON_PAGE)?);
            let (answers, secret_mark) = (deliveries::answers(view, key)?, secrets::mark(view, key)?);
            let last = last_of_suspended(view, &report.endpoint, &recent)?;
            Ok(WebhookDetails { report, week, recent, last, answers, secret_mark })
        };
        self.read(&access, look).await
    }

    /// A subscriber's URL.
    fn target(&self, text: &str) -> Result<TargetUrl> {
        TargetUrl::parse(text, self.limits().url_bytes)
    }

    /// The filter of a webhook whose vendor the access is narrowed to, and whether its order counts.
    fn wanted_events(&self, access: &Access<Webhooks>, events: EventList) -> Result<(EventFilter, bool)> {
        let (entries, order_counts) = match events {
            EventList::Ordered(entries) => (entries, true),
            EventList::Ticked(entries) => (entries, false),
        };
        let dialect = self.dialect(access.scope().profile.as_deref().unwrap_or_default())?;
        Ok((dialect.filter(entries, self.limits().events_per_webhook)?, order_counts))
    }

    /// Asks the egress guard whether deliveries may go to this target. Only the operator sees the address behind a
    /// name.
    async fn vet<S: Right>(&self, access: &Access<S>, url: &TargetUrl) -> Result<()> {
        let (guard, url) = (self.0.guard.clone(), url.clone());
        let judged = tokio::task::spawn_blocking(move || guard.vet(&url)).await;
        let judged = judged.map_err(|_| Error::Internal("vetting a target panicked".to_owned()))?;
        judged.map_err(|blocked| if access.is_operator() { blocked.for_operator() } else { blocked.for_account() })
    }
}

/// A webhook that is not deleted.
pub(super) fn find(view: &View<'_>, scope: &AccessScope, id: EndpointId) -> Result<Endpoint> {
    let endpoint = endpoints::find(view, scope, id)?;
    match endpoint.state {
        EndpointState::Deleted => Err(Error::NotFound(Missing::Webhook)),
        EndpointState::Active | EndpointState::Suspended => Ok(endpoint),
    }
}

/// The delivery of [`WebhookDetails::last`].
fn last_of_suspended(view: &View<'_>, endpoint: &Endpoint, recent: &[Delivery]) -> Result<Option<(Delivery, Attempt)>> {
    let delivery = match endpoint.suspended_reason {
        None => None,
        Some(SuspendedReason::Paused) => recent.iter().find(|made| made.attempts > 0 && !made.test).cloned(),
        Some(_) => {
            alerts::last_suspending(view, endpoint.key)?.and_then(|id| deliveries::find(view, endpoint, id).ok())
        }
    };
    let Some(delivery) = delivery else { return Ok(None) };
    Ok(deliveries::attempts(view, delivery.key)?.pop().map(|last| (delivery, last)))
}

fn report(view: &View<'_>, scope: &AccessScope, id: EndpointId, now: Timestamp) -> Result<(Report, Hours)> {
    let report = webhooks::find(view, scope, id, now)?;
    let hours = stats::series(view, Of::Endpoint(report.endpoint.key), Span::Hour, WEEK, now)?;
    Ok((report, hours))
}
