//! How a webhook has fared, as every vendor's routes say it.

use poem_openapi::Object;
use serde::Serialize;

use super::ErrorClass;
use crate::{
    app::{webhook_stats, webhooks::LastFailure},
    domain::profile::Profiles,
};

/// How a webhook has fared. What is about 24 hours is measured from the attempts of its last 10,000 deliveries; an
/// attempt that a stop of this server cut off does not count.
#[derive(Debug, Serialize, Object)]
pub(crate) struct WebhookStats {
    /// Its id.
    webhook_id: String,
    /// Attempts of the last 24 hours that delivered.
    delivered_24h: u64,
    /// Attempts of the last 24 hours that failed. One delivery may have several.
    failed_24h: u64,
    /// The percentage of the attempts of the last 24 hours that delivered; null if there were none.
    success_percent_24h: Option<f64>,
    /// Half of the answers of the last 24 hours came within this time, in milliseconds; null if there were none.
    p50_ms_24h: Option<u64>,
    /// 95 of 100 answers of the last 24 hours came within this time, in milliseconds; null if there were none.
    p95_ms_24h: Option<u64>,
    /// Deliveries that wait for their next attempt.
    waiting: u64,
    /// Deliveries that are held until the webhook is resumed.
    held: u64,
    /// Deliveries that were given up and not replayed, tests left out. Counted up to 10,000.
    failed_not_replayed: u64,
    /// When an attempt last succeeded; null for never.
    last_success_at: Option<String>,
    /// When the last failed attempt began; null if none failed.
    last_error_at: Option<String>,
    /// Why that attempt failed.
    last_error: Option<ErrorClass>,
    /// The reason in words for people; null if there is none, or if the other members say everything.
    last_error_reason: Option<String>,
    /// The HTTP status of the answer to that attempt; null if there was none.
    last_error_status: Option<u16>,
}

impl WebhookStats {
    pub(crate) fn new(stats: &webhook_stats::WebhookStats, profiles: &Profiles) -> Self {
        let webhook_stats::WebhookStats { report, fared, unreplayed } = stats;
        let all = fared.delivered + fared.failed;
        let within =
            |percent| fared.percentile(percent).map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        // Older deliveries than those that were measured may hold the last failure: then its words are not known.
        let measured = fared
            .last_failure
            .as_ref()
            .and_then(|last| Some(LastFailure { at: last.started_at, failure: last.failure?, status: last.status }));
        let last = measured.or(report.last_failure);
        Self {
            webhook_id: profiles.on_wire(&report.profile, report.endpoint.id),
            delivered_24h: fared.delivered,
            failed_24h: fared.failed,
            success_percent_24h: (all > 0).then(|| fared.delivered as f64 * 100.0 / all as f64),
            p50_ms_24h: within(50),
            p95_ms_24h: within(95),
            waiting: report.waiting,
            held: report.held,
            failed_not_replayed: *unreplayed,
            last_success_at: report.last_success_at.max(fared.last_success_at).map(|at| at.precise()),
            last_error_at: last.map(|last| last.at.precise()),
            last_error: last.map(|last| last.failure.into()),
            last_error_reason: fared
                .last_failure
                .as_ref()
                .and_then(|last| last.reason_for_account().map(str::to_owned)),
            last_error_status: last.and_then(|last| last.status),
        }
    }
}
