//! Recoveries in all accounts; and the same in the words of the deprecated routes.

use poem_openapi::Object;
use serde::{Deserialize, Serialize};

use crate::{
    api::openapi::{ErrorClass, Recoverable, Recovery},
    app::{Page, Wanted},
    domain::{profile::Profiles, recovery, selection::Selection, timestamp::Timestamp},
    error::Result,
};

/// The deliveries to replay: those that match every given field.
#[derive(Debug, Deserialize, Object)]
pub(crate) struct RecoveryInput {
    /// Only deliveries of this account.
    pub(crate) account_id: Option<String>,
    /// Only deliveries to this webhook.
    pub(crate) webhook_id: Option<String>,
    /// Only deliveries to webhooks whose URL or name contains this text, in any letter case.
    pub(crate) url: Option<String>,
    /// Only deliveries of this event.
    pub(crate) event: Option<String>,
    /// The status of the deliveries: `FAILED` (the default), `DELIVERED`, `CANCELLED` or `any` of these.
    pub(crate) status: Option<Recoverable>,
    /// Only deliveries whose last attempt failed with this error.
    pub(crate) error: Option<ErrorClass>,
    /// Only deliveries made at this time or later: RFC 3339. Its former name, `created_from`, is still read.
    #[serde(alias = "created_from")]
    pub(crate) since: Option<String>,
    /// Only deliveries made at this time or earlier: RFC 3339. Its former name, `created_to`, is still read.
    #[serde(alias = "created_to")]
    pub(crate) until: Option<String>,
    /// Whether to count the deliveries only.
    pub(crate) dry_run: Option<bool>,
}

impl RecoveryInput {
    pub(crate) fn read(self) -> Result<Wanted> {
        let selection = Selection {
            account: self.account_id,
            url: self.url,
            kind: self.event,
            state: Recoverable::state(self.status),
            failure: self.error.map(Into::into),
            from: Timestamp::read_if("since", self.since.as_deref())?,
            to: Timestamp::read_if("until", self.until.as_deref())?,
            ..Selection::default()
        };
        Ok(Wanted { webhook: self.webhook_id, selection })
    }
}

/// A recovery, with its account.
#[derive(Debug, Serialize, Object)]
pub(crate) struct RecoveryReport {
    /// The recovery.
    #[oai(flatten)]
    #[serde(flatten)]
    recovery: Recovery,
    /// Only deliveries of this account; null for all.
    account_id: Option<String>,
    /// Only deliveries to webhooks whose URL or name contains this text; null for all.
    url: Option<String>,
    /// Only this delivery; null for all.
    delivery_id: Option<String>,
}

impl RecoveryReport {
    pub(crate) fn new(found: &recovery::Recovery, profiles: &Profiles) -> Self {
        Self {
            recovery: Recovery::new(found, profiles),
            account_id: found.selection.account.clone(),
            url: found.selection.url.clone(),
            delivery_id: found.selection.delivery.map(|id| id.to_string()),
        }
    }
}

/// One page of recoveries, newest first.
#[derive(Debug, Serialize, Object)]
pub(crate) struct RecoveryReportPage {
    /// The recoveries.
    pub(crate) recoveries: Vec<RecoveryReport>,
    /// The `cursor` of the next page; null on the last page.
    pub(crate) next_cursor: Option<String>,
}

impl RecoveryReportPage {
    pub(crate) fn new(page: &Page<recovery::Recovery>, profiles: &Profiles) -> Self {
        let recoveries = page.items.iter().map(|found| RecoveryReport::new(found, profiles)).collect();
        Self { recoveries, next_cursor: page.next.clone() }
    }
}

/// A recovery under its former name, with the former names of its members too.
#[derive(Debug, Serialize, Object)]
pub(crate) struct Retry {
    /// The recovery.
    #[oai(flatten)]
    #[serde(flatten)]
    report: RecoveryReport,
    /// The same as `recovery_id`.
    retry_id: String,
    /// The same as `since`.
    created_from: Option<String>,
    /// The same as `until`.
    created_to: Option<String>,
}

impl Retry {
    pub(crate) fn new(found: &recovery::Recovery, profiles: &Profiles) -> Self {
        let report = RecoveryReport::new(found, profiles);
        let Recovery { recovery_id: retry_id, since: created_from, until: created_to, .. } =
            Recovery::new(found, profiles);
        Self { report, retry_id, created_from, created_to }
    }
}

/// One page of recoveries under their former name, newest first.
#[derive(Debug, Serialize, Object)]
pub(crate) struct RetryPage {
    /// The recoveries.
    pub(crate) retries: Vec<Retry>,
    /// The `cursor` of the next page; null on the last page.
    pub(crate) next_cursor: Option<String>,
}

impl RetryPage {
    pub(crate) fn new(page: &Page<recovery::Recovery>, profiles: &Profiles) -> Self {
        let retries = page.items.iter().map(|found| Retry::new(found, profiles)).collect();
        Self { retries, next_cursor: page.next.clone() }
    }
}
