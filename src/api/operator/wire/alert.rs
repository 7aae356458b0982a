//! Alerts, and where each way of telling them stands.

use poem_openapi::{Enum, Object};
use serde::Serialize;

use super::WebhookState;
use crate::{
    api::openapi::{ErrorClass, stands_for},
    app::alerts::{self, ChannelState, Progress},
    domain::{
        alert::{self, Channel, Kind, What},
        profile::Profiles,
    },
};

/// What an alert is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Enum)]
#[oai(rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum AlertKind {
    /// A webhook was suspended.
    Suspended,
    /// A delivery has used half of its tries, or was given up.
    Warning,
    /// Held deliveries will be cancelled.
    Expiring,
}

stands_for!(AlertKind => Kind { Suspended => Suspended, Warning => Warning, Expiring => Expiring });

/// A way by which alerts are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Enum)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub(crate) enum AlertChannel {
    /// A line of the log.
    Log,
    /// A mail to the account's alert address.
    Mail,
    /// A POST to the operator's own webhook.
    Webhook,
}

stands_for!(AlertChannel => Channel { Log => Log, Mail => Mail, Webhook => Webhook });

/// Whether an alert was told by a way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Enum)]
#[oai(rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum AlertStanding {
    /// It is to be told.
    Due,
    /// It was told.
    Told,
    /// It was given up, or overtaken by a suspension.
    Dropped,
}

/// Where one way of telling an alert stands.
#[derive(Debug, Serialize, Object)]
pub(crate) struct AlertWay {
    /// The way.
    channel: AlertChannel,
    /// Whether it was told.
    standing: AlertStanding,
    /// When it was told, was dropped, or is tried next; RFC 3339, UTC.
    at: String,
    /// Tries since the server was started.
    tries: u32,
    /// Why the last try failed; null if it did not.
    last_error: Option<String>,
}

impl From<&Progress> for AlertWay {
    fn from(way: &Progress) -> Self {
        let (standing, at) = match way.state {
            ChannelState::Due(at) => (AlertStanding::Due, at),
            ChannelState::Delivered(at) => (AlertStanding::Told, at),
            ChannelState::Dropped(at) => (AlertStanding::Dropped, at),
        };
        Self {
            channel: way.channel.into(),
            standing,
            at: at.precise(),
            tries: way.tries,
            last_error: way.last_error.clone(),
        }
    }
}

/// An alert.
#[derive(Debug, Serialize, Object)]
pub(crate) struct Alert {
    /// Its id, the same by every way.
    alert_id: String,
    /// What it is about.
    kind: AlertKind,
    /// When it was decided, RFC 3339, UTC.
    created_at: String,
    /// The account it belongs to.
    account_id: String,
    /// The webhook it is about.
    webhook_id: String,
    /// Where that is now: at most 12 characters of its path, and no query, as they may hold secrets.
    url: String,
    /// The status of the webhook now.
    webhook_status: WebhookState,
    /// Deliveries that are held for it now.
    held: u64,
    /// Deliveries that failed since its last success and were not replayed: resuming it sends them again.
    failed_deliveries: u64,
    /// The delivery that failed; null if it is about none.
    delivery_id: Option<String>,
    /// Why it failed; null if it is about none.
    error: Option<ErrorClass>,
    /// Why it failed last, in words for people; null if it is about none, if the other members say it all, or if the attempt
    /// was removed.
    error_reason: Option<String>,
    /// The HTTP status of the last answer; null if there was none.
    response_status: Option<u16>,
    /// Since when: the first attempt of the delivery; or when the oldest was made that will be cancelled.
    since: String,
    /// By which ways it is told.
    ways: Vec<AlertWay>,
}

impl Alert {
    fn new(alert: &alert::Alert, ways: &[Progress], profiles: &Profiles) -> Self {
        let (failing, since) = match &alert.what {
            What::Suspended(failing) | What::Warning { failing, .. } => (Some(failing), failing.since),
            What::Expiring { oldest, .. } => (None, *oldest),
        };
        Self {
            alert_id: alert.id.to_string(),
            kind: alert.kind().into(),
            created_at: alert.created_at.precise(),
            account_id: alert.account.clone(),
            webhook_id: profiles.on_wire(&alert.profile, alert.endpoint),
            url: alert.masked_url(),
            webhook_status: alert.state.into(),
            held: alert.held,
            failed_deliveries: alert.failed,
            delivery_id: failing.and_then(|failing| failing.delivery).map(|id| id.to_string()),
            error: failing.map(|failing| failing.failure.into()),
            error_reason: failing.and_then(|failing| failing.reason.clone()),
            response_status: failing.and_then(|failing| failing.status),
            since: since.precise(),
            ways: ways.iter().map(AlertWay::from).collect(),
        }
    }
}

/// One page of alerts, newest first.
#[derive(Debug, Serialize, Object)]
pub(crate) struct AlertPage {
    /// How many are still to be told, over all ways and accounts.
    pub(crate) unsent: u64,
    /// The alerts.
    pub(crate) alerts: Vec<Alert>,
    /// Send it as `cursor` to get the next page; null on the last.
    pub(crate) next_cursor: Option<String>,
}

impl AlertPage {
    pub(crate) fn new(found: alerts::AlertPage, profiles: &Profiles) -> Self {
        let alerts = found.page.items.iter().map(|(alert, ways)| Alert::new(alert, ways, profiles));
        Self { unsent: found.unsent, alerts: alerts.collect(), next_cursor: found.page.next }
    }
}
