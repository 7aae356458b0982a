//! The overview, and webhooks with how they fare.

use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};

use crate::{
    api::openapi::{ErrorClass, SuspendedReason, stands_for},
    app::{Page, overview::Snapshot, webhooks::Report},
    domain::{endpoint::EndpointState, profile::Profiles, stats::Stats, timestamp::Timestamp},
};

/// Attempts in a span of time.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "AttemptSlot")]
pub(crate) struct Slot {
    /// Its start, RFC 3339, UTC.
    start: String,
    /// Attempts that ended well: each is a delivery that arrived.
    delivered: u64,
    /// Attempts that failed; one delivery may have several.
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

/// Deliveries, by what they wait for.
#[derive(Debug, Serialize, Object)]
pub(crate) struct DeliveryCounts {
    /// Wait for their next attempt.
    pending: u64,
    /// Are under way, or about to be.
    in_flight: u64,
    /// Are held until their webhook is resumed.
    held: u64,
    /// Were given up after their last attempt.
    failed: u64,
}

/// Webhooks, by status.
#[derive(Debug, Serialize, Object)]
pub(crate) struct WebhookCounts {
    /// Are delivered to.
    active: u64,
    /// Of these: whose last attempt failed.
    failing: u64,
    /// Are suspended: their deliveries are held.
    suspended: u64,
}

/// How everything stands.
#[derive(Debug, Serialize, Object)]
pub(crate) struct Overview {
    /// When this was seen, RFC 3339, UTC.
    at: String,
    /// Deliveries that are not delivered or cancelled; the slots tell what was delivered.
    deliveries: DeliveryCounts,
    /// Since when the delivery that is due longest waits; null if nothing is due.
    due_since: Option<String>,
    /// How long that is, in milliseconds; null if nothing is due.
    oldest_due_ms: Option<u64>,
    /// Webhooks.
    webhooks: WebhookCounts,
    /// Those whose last attempt failed, 20 of them at most.
    failing_webhooks: Vec<WebhookReport>,
    /// The last 60 minutes, oldest first; the last is under way.
    last_hour: Vec<Slot>,
    /// The last 24 hours, oldest first; the last is under way.
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

/// The status of any webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[oai(rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum WebhookState {
    /// Deliveries go out.
    Active,
    /// Deliveries are held until it is resumed.
    Suspended,
    /// Gone for its account.
    Deleted,
}

stands_for!(WebhookState => EndpointState { Active => Active, Suspended => Suspended, Deleted => Deleted });

/// A webhook and how it fares. What is told of attempts is ten seconds old at most.
#[derive(Debug, Serialize, Object)]
pub(crate) struct WebhookReport {
    /// Its id, with its vendor's prefix.
    webhook_id: String,
    /// The account it belongs to.
    account_id: String,
    /// The vendor it belongs to.
    profile: String,
    /// Where it is delivered to.
    url: String,
    /// Which events it gets.
    events: Vec<String>,
    /// Whether it is delivered to.
    status: WebhookState,
    /// Whether it is active and its last attempt failed.
    failing: bool,
    /// When it was registered, RFC 3339, UTC.
    created_at: String,
    /// Since when it is suspended; null if it is not.
    suspended_at: Option<String>,
    /// Why: `exhausted`, `gone` or `paused`; null if it is not.
    suspended_reason: Option<SuspendedReason>,
    /// Attempts of the last 24 hours that ended well.
    delivered_24h: u64,
    /// Attempts of the last 24 hours that failed.
    failed_24h: u64,
    /// Of a hundred attempts of the last 24 hours, how many ended well; null without any.
    success_percent_24h: Option<f64>,
    /// 95 of a hundred attempts of the last 24 hours took at most so many milliseconds, roughly; null without any.
    p95_ms_24h: Option<u64>,
    /// Deliveries that wait for their next attempt.
    waiting: u64,
    /// Deliveries that are held until it is resumed.
    held: u64,
    /// Deliveries that failed since its last success and were not replayed: resuming it sends them again.
    failed_deliveries: u64,
    /// When an attempt last ended well; null for never.
    last_success_at: Option<String>,
    /// When an attempt last failed; null for never.
    last_error_at: Option<String>,
    /// Why it did.
    last_error: Option<ErrorClass>,
    /// The HTTP status of its answer; null if there was none.
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
    /// Send it as `cursor` to get the next page; null on the last. A page that is not full need not be the last.
    pub(crate) next_cursor: Option<String>,
}

impl WebhookReportPage {
    pub(crate) fn new(page: &Page<Report>, profiles: &Profiles) -> Self {
        let webhooks = page.items.iter().map(|report| WebhookReport::new(report, profiles)).collect();
        Self { webhooks, next_cursor: page.next.clone() }
    }
}

/// A webhook, how it fares, and how it fared.
#[derive(Debug, Serialize, Object)]
pub(crate) struct WebhookHistory {
    /// The webhook.
    #[oai(flatten)]
    #[serde(flatten)]
    webhook: WebhookReport,
    /// The last seven days by the hour, oldest first; the last is under way.
    last_week: Vec<Slot>,
}

impl WebhookHistory {
    pub(crate) fn new(report: &Report, hours: &[(Timestamp, Stats)], profiles: &Profiles) -> Self {
        Self { webhook: WebhookReport::new(report, profiles), last_week: slots(hours) }
    }
}
