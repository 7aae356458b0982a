//! Webhooks: register, change, pause, resume, delete, list, get.

use std::time::Duration;

use zeroize::Zeroizing;

use super::{
    Access, Answer, App, CheckedWebhook, Manages, Once, Operator, Page, PageRequest, Right, Webhooks,
    checked_webhook::{new_secret, own_secret},
};
use crate::{
    domain::{
        about::About,
        delivery::{Attempt, Delivery},
        endpoint::{Endpoint, EndpointState, EventFilter, Resend, Resumed, SuspendedReason, TargetUrl},
        endpoint_settings::{EndpointSettings, SettingsChange},
        ids::EndpointId,
        own_headers::OwnHeaders,
        signature::Switch,
        stats::{Span, Stats},
        timestamp::Timestamp,
        token::Visible,
        version::IfMatch,
    },
    error::{Error, Missing, Result},
    store::{
        Admission, Tx, View, accounts, alerts, deliveries, endpoint_settings, endpoints, own_headers, secrets,
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
    /// Its settings.
    pub settings: SettingsChange,
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
    /// The new settings.
    pub settings: SettingsChange,
    /// The new state.
    pub state: Option<NewState>,
    /// The versions of the webhook to which the changes may be applied.
    pub only_if: IfMatch,
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

impl App {
    /// Registers a webhook, active at once.
    ///
    /// # Errors
    /// [`Error::Invalid`] for events, a URL or a secret that cannot be taken; [`Error::NotFound`] for an unknown
    /// account; [`Error::Conflict`] if the account has as many webhooks as it may have.
    pub async fn register(&self, access: &Access<Webhooks>, new: NewWebhook) -> Result<Registered> {
        let webhook = self.webhook_in_account(access, new).await?;
        self.write(access, move |tx, _| webhook.create(tx)).await
    }

    /// As [`App::register`], for a request that may be repeated.
    ///
    /// # Errors
    /// As [`App::register`]; [`Error::Invalid`] if the key came before with another request.
    pub async fn register_once(
        &self,
        access: &Access<Webhooks>,
        new: NewWebhook,
        once: Once<Registered>,
    ) -> Result<Answer> {
        let account = new.account.clone();
        let owner = move |view: &View<'_>, visible: &Visible| Ok(accounts::see(view, visible, &account)?.key);
        if let Some(answer) = self.answered(access, &once, owner.clone()).await? {
            return Ok(answer);
        }
        let webhook = self.webhook_in_account(access, new).await?;
        let register =
            move |tx: &Tx<'_>, visible: &Visible| once.run(tx, |tx| owner(tx, visible), |tx| webhook.create(tx));
        self.write(access, register).await
    }

    /// A webhook to register, checked, in the account that it names.
    async fn webhook_in_account(&self, access: &Access<Webhooks>, new: NewWebhook) -> Result<CheckedWebhook> {
        let profile = match &access.visible().profile {
            Some(profile) => profile.to_string(),
            None => {
                let id = new.account.clone();
                self.read(access, move |view, visible| accounts::see(view, visible, &id)).await?.profile
            }
        };
        self.checked_webhook(access, profile, new).await
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
        let NewWebhook { account, url, events, secret, name, description, settings } = new;
        let events = self.dialect(&profile)?.filter(events, self.limits().events_per_webhook)?;
        let url = self.target(&url)?;
        let about = About::default().with(name.as_deref(), description.as_deref())?;
        let headers = match settings.headers.clone() {
            Some(change) => change.of(OwnHeaders::default())?,
            None => OwnHeaders::default(),
        };
        let settings = EndpointSettings::default().with(&settings)?;
        let (secret, is_made) = match secret {
            Some(own) => (own_secret(own, "Leave it out to have one made.")?, false),
            None => (new_secret()?, true),
        };
        self.vet(access, &url).await?;
        let most = self.limits().webhooks_per_account;
        Ok(CheckedWebhook { account, profile, url, events, about, settings, headers, secret, is_made, most })
    }

    /// Changes a webhook. If that resumes it, returns the numbers of deliveries that the resume sends.
    ///
    /// # Errors
    /// [`Error::Invalid`] for events, a URL or a secret that cannot be taken; [`Error::NotFound`] for an unknown or
    /// deleted webhook; [`Error::Conflict`] if it has another version than is asked for.
    pub async fn update(
        &self,
        access: &Access<Webhooks>,
        webhook: &str,
        change: Change,
    ) -> Result<(Endpoint, Option<Resumed>)> {
        let (id, access) = self.resolve(access, webhook)?;
        let Change { url, events, secret, name, description, settings, state, only_if } = change;
        let url = url.map(|url| self.target(&url)).transpose()?;
        let events = events.map(|events| self.wanted_events(&access, events)).transpose()?;
        let secret = secret.map(|own| own_secret(own, "Leave it out to keep the present one.")).transpose()?;
        if let Some(url) = &url {
            self.vet(&access, url).await?;
        }
        let overlap = self.secret_overlap();
        let update = move |tx: &Tx<'_>, visible: &Visible| {
            let endpoint = find(tx, visible, id)?;
            only_if.check(&endpoint)?;
            let about = endpoint.about.clone().with(name.as_deref(), description.as_deref())?;
            endpoints::set_about(tx, &endpoint, &about)?;
            endpoint_settings::set(tx, &endpoint, &endpoint.settings.clone().with(&settings)?)?;
            if let Some(change) = settings.headers {
                own_headers::set(tx, &endpoint, &change.of(own_headers::get(tx, &endpoint)?)?)?;
            }
            url.map(|url| endpoints::set_url(tx, endpoint.key, &url)).transpose()?;
            let changed =
                |(events, order_counts): &(EventFilter, bool)| *order_counts || !events.is_same_as(&endpoint.events);
            events.filter(changed).map(|(events, _)| endpoints::set_events(tx, endpoint.key, &events)).transpose()?;
            secret.map(|secret| secrets::set(tx, &endpoint, &secret, overlap, Some(Switch::Now))).transpose()?;
            let resumed = match state {
                Some(NewState::Active(resend)) => endpoints::resume(tx, endpoint.key, resend)?,
                Some(NewState::Paused) => {
                    endpoints::suspend(tx, endpoint.key, SuspendedReason::Paused).map(|()| None)?
                }
                None => None,
            };
            Ok((find(tx, visible, id)?, resumed))
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
    ///
    /// # Errors
    /// [`Error::Conflict`] if it has another version than is asked for.
    pub async fn delete(&self, access: &Access<Webhooks>, webhook: &str, only_if: IfMatch) -> Result<()> {
        let (id, access) = self.resolve(access, webhook)?;
        let delete = move |tx: &Tx<'_>, visible: &Visible| {
            let endpoint = find(tx, visible, id)?;
            only_if.check(&endpoint)?;
            endpoints::delete(tx, endpoint.key)
        };
        self.write(&access, delete).await
    }

    /// As [`App::delete`]. A deleted webhook stays deleted, as long as it has a row.
    pub async fn deactivate(&self, access: &Access<Webhooks>, webhook: &str, only_if: IfMatch) -> Result<Endpoint> {
        let (id, access) = self.resolve(access, webhook)?;
        let delete = move |tx: &Tx<'_>, visible: &Visible| {
            let endpoint = endpoints::find(tx, visible, id)?;
            only_if.check(&endpoint)?;
            endpoints::delete(tx, endpoint.key)?;
            endpoints::find(tx, visible, id)
        };
        self.write(&access, delete).await
    }

    /// Cancels the held deliveries of a webhook, a slice at a time. The work goes on after the answer, and ends when
    /// the right of the request is gone.
    pub async fn drop_held(&self, access: &Access<Webhooks>, webhook: &str) -> Result<()> {
        let (id, access) = self.resolve(access, webhook)?;
        let first = move |tx: &Tx<'_>, visible: &Visible| {
            let (endpoint, before) = (find(tx, visible, id)?, deliveries::next_key(tx)?);
            Ok((endpoint.key, before, deliveries::drop_held(tx, endpoint.key, before)?))
        };
        let (key, before, mut more) = self.write(&access, first).await?;
        let (db, actor, webhook) = (self.0.db.clone(), access.actor(), webhook.to_owned());
        tokio::spawn(async move {
            while more {
                let drop = move |tx: &Tx<'_>| deliveries::drop_held(tx, key, before);
                let dropped = db.write(actor, Admission::Wait, drop).await;
                more = dropped.unwrap_or_else(|flaw| {
                    tracing::error!(endpoint.id = webhook, error = %flaw, "dropping the held deliveries ended early: drop the rest again");
                    false
                });
            }
        });
        Ok(())
    }

    /// The webhooks, with these of the deleted ones, in the order they were registered: a page of them, or all.
    pub async fn webhooks(
        &self,
        access: &Access<Webhooks>,
        deleted: Deleted,
        page: Option<PageRequest>,
    ) -> Result<Page<Endpoint>> {
        let since = match deleted {
            Deleted::None => Timestamp::from_millis(i64::MAX),
            Deleted::OfLastDay => self.now() - DAY,
            Deleted::Newest => Timestamp::from_millis(i64::MIN),
        };
        let known = |cursor: &str| Some(self.0.profiles.webhook(access.visible(), cursor).ok()?.0);
        let after = page.as_ref().map(|page| page.after(known)).transpose()?.flatten();
        let size = page.map(|page| self.page_size(&page)).transpose()?;
        let list = move |view: &View<'_>, visible: &Visible| {
            let after = after.map_or(Ok(0), |id| endpoints::find(view, visible, id).map(|last| last.key));
            endpoints::list(view, visible, since, (after.map_err(Error::of_cursor)?, size.map(|size| size + 1)))
        };
        let found = self.read(access, list).await?;
        let profile = access.visible().profile.as_deref().unwrap_or_default();
        Ok(Page::cut(found, size.unwrap_or(usize::MAX), |last| self.0.profiles.on_wire(profile, last.id)))
    }

    /// One webhook, and the numbers of its failed and held deliveries.
    pub async fn webhook(&self, access: &Access<Webhooks>, webhook: &str) -> Result<WebhookSummary> {
        let (id, access) = self.resolve(access, webhook)?;
        let look = move |view: &View<'_>, visible: &Visible| {
            let endpoint = find(view, visible, id)?;
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
        let known = |cursor: &str| Some(self.0.profiles.webhook(&Visible::EVERYTHING, cursor).ok()?.0);
        let filter = WebhookFilter { after: page.after(known)?, ..filter };
        let list = move |view: &View<'_>, visible: &Visible| webhooks::list(view, visible, &filter, size, now);
        let (found, next) = self.read(access, list).await?;
        Ok(Page::new(found, next.map(|(profile, id)| self.0.profiles.on_wire(&profile, id))))
    }

    /// One webhook with statistics, and its attempts of the last seven days.
    pub async fn webhook_report(&self, access: &Access<Operator>, webhook: &str) -> Result<(Report, Hours)> {
        let ((id, access), now) = (self.resolve(access, webhook)?, self.now());
        self.read(&access, move |view, visible| report(view, visible, id, now)).await
    }

    /// The content of a page about one webhook.
    pub async fn webhook_in_full(&self, access: &Access<Webhooks>, webhook: &str) -> Result<WebhookDetails> {
        let ((id, access), now) = (self.resolve(access, webhook)?, self.now());
        let look = move |view: &View<'_>, visible: &Visible| {
            let (report, week) = report(view, visible, id, now)?;
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
        let dialect = self.dialect(access.visible().profile.as_deref().unwrap_or_default())?;
        Ok((dialect.filter(entries, self.limits().events_per_webhook)?, order_counts))
    }

    /// Asks the egress guard whether deliveries may go to this target. Only the operator sees the address behind a
    /// name.
    pub(super) async fn vet<S: Right>(&self, access: &Access<S>, url: &TargetUrl) -> Result<()> {
        let (guard, url) = (self.0.guard.clone(), url.clone());
        let judged = tokio::task::spawn_blocking(move || guard.vet(&url)).await;
        let judged = judged.map_err(|_| Error::Internal("vetting a target panicked".to_owned()))?;
        judged.map_err(|blocked| if access.is_operator() { blocked.for_operator() } else { blocked.for_account() })
    }
}

/// A webhook that is not deleted.
pub(super) fn find(view: &View<'_>, visible: &Visible, id: EndpointId) -> Result<Endpoint> {
    let endpoint = endpoints::find(view, visible, id)?;
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

fn report(view: &View<'_>, visible: &Visible, id: EndpointId, now: Timestamp) -> Result<(Report, Hours)> {
    let report = webhooks::find(view, visible, id, now)?;
    let hours = stats::series(view, Of::Endpoint(report.endpoint.key), Span::Hour, WEEK, now)?;
    Ok((report, hours))
}
