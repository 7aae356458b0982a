//! The log lines of alerts.

use crate::{
    domain::{
        alert::{Channel, Undelivered, What},
        alert_message::{AlertMessage, unbroken},
        alert_words::AlertWords,
        endpoint::SuspendedReason,
        ids::AlertId,
        timestamp::Timestamp,
    },
    store::channels::Stray,
};

/// The log target of alerts. They are logged at warn, also when `log.level` hides other lines.
pub const ALERT: &str = "ngoma::alert";

/// Writes an alert about an endpoint as a log line.
pub(super) fn webhook(message: &AlertMessage<'_>, to: Option<&str>) {
    let alert = message.alert;
    let by_hand = message.by_hand();
    let failing = alert.failing();
    tracing::warn!(
        target: ALERT,
        alert = %alert.id,
        kind = alert.kind().name(),
        to = to.unwrap_or("(no alert e-mail)"),
        account = alert.account,
        webhook = message.webhook(),
        url = alert.masked_url(),
        suspended_at = matches!(alert.what, What::Suspended(..)).then(|| alert.created_at.to_string()),
        suspended_reason = alert.suspended_reason().map(SuspendedReason::name),
        failing_since = failing.map(|failing| failing.since.to_string()),
        last_error = failing.map(|failing| failing.failure.name()),
        last_reason = failing.and_then(|failing| failing.reason.as_deref()),
        last_status = failing.and_then(|failing| failing.status),
        held = alert.held,
        failed = alert.failed,
        look_by = unbroken(&by_hand.look),
        resume_by = by_hand.resume.as_deref().map(unbroken),
        "{}",
        match alert.what {
            What::Suspended(..) => "webhook suspended: its deliveries are held until it is resumed",
            What::Warning { .. } if message.is_damaged() => "a delivery was not sent: its stored body is damaged",
            What::Warning { next_attempt_at: Some(_), .. } => "webhook failing: half of a delivery's tries are used",
            What::Warning { next_attempt_at: None, .. } => "webhook failing: a delivery was given up",
            What::Recovered(_) => "webhook works again: it has taken a delivery",
            What::Expiring { .. } => "held deliveries will be cancelled in seven days",
        }
    );
}

/// Writes an alert about the server as a log line.
pub(super) fn server(words: &AlertWords, to: Option<&str>) {
    tracing::warn!(
        target: ALERT,
        alert = %words.id,
        kind = words.kind,
        to = to.unwrap_or("(no alerts.operator_email)"),
        page = words.page,
        "{}",
        words.said.replace('\n', " ")
    );
}

/// Logs that alerts wait for a channel that is not set up.
pub(super) fn strays_wait(Stray { channel, alerts }: &Stray) {
    tracing::warn!(
        target: ALERT,
        channel,
        alerts,
        "alerts wait for a channel that is not set up: they go if it comes back, and are given up when they are 7 days old"
    );
}

/// Logs that such alerts are given up.
pub(super) fn strays_given_up(Stray { channel, alerts }: &Stray) {
    tracing::error!(channel, alerts, "alerts are given up: their channel is not set up, and they are 7 days old");
}

/// Logs that an alert was not delivered: nobody may have read its first line.
pub(super) fn undelivered(alert: AlertId, channel: &Channel, undelivered: &Undelivered, again: Option<Timestamp>) {
    let (channel, reason) = (channel.name(), undelivered.words());
    match (undelivered, again) {
        (_, None) => tracing::error!(%alert, channel, reason, "an alert is given up"),
        (Undelivered::Later(_) | Undelivered::Rest(..), Some(again)) => {
            tracing::warn!(%alert, channel, reason, again = %again, "an alert waits")
        }
        (_, Some(again)) => tracing::error!(%alert, channel, reason, again = %again, "an alert is refused"),
    }
}
