//! The overview, and webhooks with statistics.

use poem_openapi::Object;
use serde::Serialize;

use crate::{
    api::openapi::{ErrorClass, SuspendedReason, wire_enum},
    app::{Page, overview::Snapshot, webhooks::Report},
    domain::{
        endpoint::EndpointState, endpoint_settings::RateLimit, profile::Profiles, stats::Stats, timestamp::Timestamp,
    },
};

/// Attempts in a span of time.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "AttemptSlot")]
pub(crate) struct Slot {
    /// The start of the span: RFC 3339, UTC.
    start: String,
    /// Attempts that delivered: each is one delivery.
    delivered: u64,
    /// Attempts that failed. One delivery may have several.
    failed: u64,
}

fn slots(series: &[(Timestamp, Stats)]) -> Vec<Slot> {
    let slot = |(start, tally): &(Timestamp, Stats)| Slot {
        start: start.to_string(),
        delivered: tally.delivered,
        failed: tally.failed,
    };
    series.iter().map(slot).collect()
}

/// The number of deliveries in each state.
#[derive(Debug, Serialize, Object)]
pub(crate) struct DeliveryCounts {
    /// Deliveries that wait for their next attempt.
    pending: u64,
    /// Deliveries with an attempt under way or about to begin.
    in_flight: u64,
    /// Deliveries that are held until their webhook is resumed.
    held: u64,
    /// Deliveries that were given up after their last attempt, without those whose event a replay has delivered since, and
    /// without tests. Of a delivery and its replay that failed too, one counts.
    failed: u64,
}

/// The number of webhooks with each status.
#[derive(Debug, Serialize, Object)]
pub(crate) struct WebhookCounts {
    /// Active webhooks.
    active: u64,
    /// Active webhooks whose last attempt failed.
    failing: u64,
    /// Suspended webhooks: their deliveries are held.
    suspended: u64,
}

/// The overview of all accounts.
#[derive(Debug, Serialize, Object)]
pub(crate) struct Overview {
    /// When the counts were read: RFC 3339, UTC.
    at: String,
    /// The deliveries that are neither delivered nor cancelled.
    deliveries: DeliveryCounts,
    /// The due time of the delivery that has been due longest; null if none is due.
    due_since: Option<String>,
    /// How long it has been due, in milliseconds; null if none is due.
    oldest_due_ms: Option<u64>,
    /// Webhooks.
    webhooks: WebhookCounts,
    /// Active webhooks whose last attempt failed; at most 20.
    failing_webhooks: Vec<WebhookReport>,
    /// The attempts of each of the last 60 minutes, oldest first. The last minute is not over.
    last_hour: Vec<Slot>,
    /// The attempts of each of the last 24 hours, oldest first. The last hour is not over.
    last_day: Vec<Slot>,
}

impl Overview {
    pub(crate) fn new(seen: &Snapshot, profiles: &Profiles) -> Self {
        let (now, all) = (seen.now, &seen.all);
        let waited = |due: Timestamp| u64::try_from(now.since(due).as_millis()).unwrap_or(u64::MAX);
        Self {
            at: now.precise(),
            deliveries: DeliveryCounts {
                pending: all.pending,
                in_flight: all.in_flight,
                held: all.held,
                failed: all.failed,
            },
            due_since: all.due_since.map(|due| due.precise()),
            oldest_due_ms: all.due_since.map(waited),
            webhooks: WebhookCounts { active: all.active, failing: all.failing, suspended: all.suspended },
            failing_webhooks: seen.failing.iter().map(|report| WebhookReport::new(report, profiles)).collect(),
            last_hour: slots(&all.minutes),
            last_day: slots(&all.hours),
        }
    }
}

wire_enum! {
    /// The status of any webhook.
    WebhookState ("SCREAMING_SNAKE_CASE") of EndpointState {
        /// Deliveries go out.
        Active => Active,
        /// Deliveries are held until the webhook is resumed.
        Suspended => Suspended,
        /// The webhook is deleted.
        Deleted => Deleted,
    }
}

/// A webhook with statistics of its attempts, which are at most ten seconds old.
#[derive(Debug, Serialize, Object)]
pub(crate) struct WebhookReport {
    /// Its id.
    webhook_id: String,
    /// The account that it belongs to.
    account_id: String,
    /// The profile of the account.
    profile: String,
    /// The URL that events are POSTed to.
    url: String,
    /// The events that it gets.
    events: Vec<String>,
    /// Its status.
    status: WebhookState,
    /// Whether it is active and its last attempt failed.
    failing: bool,
    /// When it was registered: RFC 3339, UTC.
    created_at: String,
    /// Its name; left out if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Its description; left out if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// Most deliveries to it per second; left out if there is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_limit: Option<f64>,
    /// `true`: its deliveries go out one at a time, in the order of acceptance. Otherwise left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    ordered: Option<bool>,
    /// When it was suspended; null if it is not suspended.
    suspended_at: Option<String>,
    /// Why it is suspended; null if it is not suspended.
    suspended_reason: Option<SuspendedReason>,
    /// Attempts of the last 24 hours that delivered.
    delivered_24h: u64,
    /// Attempts of the last 24 hours that failed.
    failed_24h: u64,
    /// The percentage of the attempts of the last 24 hours that delivered; null if there were none.
    success_percent_24h: Option<f64>,
    /// The p95 of the duration of attempts of the last 24 hours, in milliseconds, roughly; null if there were none.
    p95_ms_24h: Option<u64>,
    /// Deliveries that wait for their next attempt.
    waiting: u64,
    /// Deliveries that are held until the webhook is resumed.
    held: u64,
    /// Deliveries that failed since its last success and were not replayed. A resume sends them again.
    failed_deliveries: u64,
    /// When an attempt last succeeded, a test included; null for never.
    last_success_at: Option<String>,
    /// When an attempt last failed; null for never.
    last_error_at: Option<String>,
    /// Why the last failed attempt failed.
    last_error: Option<ErrorClass>,
    /// The HTTP status of the answer to that attempt; null if there was none.
    last_error_status: Option<u16>,
}

impl WebhookReport {
    pub(crate) fn new(report: &Report, profiles: &Profiles) -> Self {
        let (endpoint, last) = (&report.endpoint, report.last_failure);
        Self {
            webhook_id: profiles.on_wire(&report.profile, endpoint.id),
            account_id: endpoint.account_id.clone(),
            profile: report.profile.clone(),
            url: endpoint.url.given().to_owned(),
            events: endpoint.events.entries().to_vec(),
            status: endpoint.state.into(),
            failing: report.is_failing(),
            created_at: endpoint.created_at.to_string(),
            name: endpoint.about.name.clone(),
            description: endpoint.about.description.clone(),
            rate_limit: endpoint.settings.sending.rate_limit.map(RateLimit::as_per_second),
            ordered: endpoint.settings.sending.ordered.then_some(true),
            suspended_at: endpoint.suspended_at.map(|at| at.to_string()),
            suspended_reason: endpoint.suspended_reason.map(Into::into),
            delivered_24h: report.day.delivered,
            failed_24h: report.day.failed,
            success_percent_24h: report.day.success_percent(),
            p95_ms_24h: report.day.p95_ms(),
            waiting: report.waiting,
            held: report.held,
            failed_deliveries: report.failed,
            last_success_at: report.last_success_at.map(|at| at.precise()),
            last_error_at: last.map(|last| last.at.precise()),
            last_error: last.map(|last| last.failure.into()),
            last_error_status: last.and_then(|last| last.status),
        }
    }
}

/// One page of webhooks, newest first.
#[derive(Debug, Serialize, Object)]
pub(crate) struct WebhookReportPage {
    /// The webhooks.
    pub(crate) webhooks: Vec<WebhookReport>,
    /// The `cursor` of the next page; null on the last page. A page with few entries may not be the last.
    pub(crate) next_cursor: Option<String>,
}

impl WebhookReportPage {
    pub(crate) fn new(page: &Page<Report>, profiles: &Profiles) -> Self {
        let webhooks = page.items.iter().map(|report| WebhookReport::new(report, profiles)).collect();
        Self { webhooks, next_cursor: page.next.clone() }
    }
}

/// A webhook with statistics and its attempts of a week.
#[derive(Debug, Serialize, Object)]
pub(crate) struct WebhookHistory {
    /// The webhook.
    #[oai(flatten)]
    #[serde(flatten)]
    webhook: WebhookReport,
    /// The attempts of each hour of the last seven days, oldest first. The last hour is not over.
    last_week: Vec<Slot>,
}

impl WebhookHistory {
    pub(crate) fn new(report: &Report, hours: &[(Timestamp, Stats)], profiles: &Profiles) -> Self {
        Self { webhook: WebhookReport::new(report, profiles), last_week: slots(hours) }
    }
}
