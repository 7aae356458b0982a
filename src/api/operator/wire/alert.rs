//! Alerts, and the state of each channel.

use poem_openapi::{Enum, Object};
use serde::Serialize;

use super::WebhookState;
use crate::{
    api::openapi::{ErrorClass, SuspendedReason, wire_enum},
    app::alerts::{self, ChannelState, Progress},
    domain::{
        alert::{self, Kind, What},
        profile::Profiles,
    },
};

wire_enum! {
    /// The kind of an alert.
    AlertKind ("SCREAMING_SNAKE_CASE") of Kind {
        /// A webhook was suspended.
        Suspended => Suspended,
        /// A delivery has used half of its tries, or was given up.
        Warning => Warning,
        /// Held deliveries will be cancelled.
        Expiring => Expiring,
        /// A webhook that was suspended or failed has taken a delivery again.
        Recovered => Recovered,
    }
}

/// The state of an alert in one channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Enum)]
#[oai(rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum AlertStanding {
    /// It is not sent yet.
    Due,
    /// It was sent.
    Told,
    /// It was given up, or the alert of a suspension replaced it.
    Dropped,
}

/// An alert in one channel.
#[derive(Debug, Serialize, Object)]
pub(crate) struct AlertWay {
    /// The channel: `log`, `mail`, or the name of a channel in the settings.
    channel: String,
    /// The state.
    standing: AlertStanding,
    /// When it was sent, was dropped, or is tried next: RFC 3339, UTC.
    at: String,
    /// Tries since the start of the server.
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
            channel: way.channel.name().to_owned(),
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
    /// Its id, the same in every channel.
    alert_id: String,
    /// Its kind.
    kind: AlertKind,
    /// When it was made: RFC 3339, UTC.
    created_at: String,
    /// The account of the webhook.
    account_id: String,
    /// The webhook that the alert is about.
    webhook_id: String,
    /// The present URL of the webhook, with at most 12 characters of its path and no query: they may hold secrets.
    url: String,
    /// The present status of the webhook.
    webhook_status: WebhookState,
    /// Why the webhook was suspended; null if the alert is not about a suspension, or of an older version.
    suspended_reason: Option<SuspendedReason>,
    /// Deliveries that are held for the webhook now.
    held: u64,
    /// Deliveries that failed since its last success and were not replayed. A resume sends them again.
    failed_deliveries: u64,
    /// The delivery that failed; null if the alert is about no single delivery.
    delivery_id: Option<String>,
    /// Why the delivery failed; null if the alert is about no single delivery.
    error: Option<ErrorClass>,
    /// Why it failed last, in words for people; null if it is about none, if the other members say it all, or if the attempt
    /// was removed.
    error_reason: Option<String>,
    /// The HTTP status of the last answer; null if there was none.
    response_status: Option<u16>,
    /// When the first attempt of the delivery began, or when the oldest of the deliveries was made that will be
    /// cancelled; of a webhook that works again, when the alert before was made.
    since: String,
    /// The channels.
    ways: Vec<AlertWay>,
}

impl Alert {
    fn new(alert: &alert::Alert, ways: &[Progress], profiles: &Profiles) -> Self {
        let (failing, since) = match &alert.what {
            What::Suspended(failing, _) | What::Warning { failing, .. } => (Some(failing), failing.since),
            What::Expiring { oldest, .. } => (None, *oldest),
            What::Recovered(since) => (None, *since),
        };
        Self {
            alert_id: alert.id.to_string(),
            kind: alert.kind().into(),
            created_at: alert.created_at.precise(),
            account_id: alert.account.clone(),
            webhook_id: profiles.on_wire(&alert.profile, alert.endpoint),
            url: alert.masked_url(),
            webhook_status: alert.state.into(),
            suspended_reason: alert.suspended_reason().map(Into::into),
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
    /// The number of alerts that are not sent yet, over all channels and accounts.
    pub(crate) unsent: u64,
    /// The alerts.
    pub(crate) alerts: Vec<Alert>,
    /// The `cursor` of the next page; null on the last page.
    pub(crate) next_cursor: Option<String>,
}

impl AlertPage {
    pub(crate) fn new(found: alerts::AlertPage, profiles: &Profiles) -> Self {
        let alerts = found.page.items.iter().map(|(alert, ways)| Alert::new(alert, ways, profiles));
        Self { unsent: found.unsent, alerts: alerts.collect(), next_cursor: found.page.next }
    }
}
