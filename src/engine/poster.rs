//! Signed POSTs beside the deliveries: alerts to the operator, notices to accounts.

use std::{sync::Arc, time::Duration};

use tokio::sync::oneshot;

use super::{
    pool::Pool,
    sender::{Post, Sender},
};
use crate::domain::{
    alert::Undelivered,
    alert_message::in_words,
    delivery::{Failure, Outcome},
    endpoint::TargetUrl,
    ids::AlertId,
    signature::SigningSecret,
    timestamp::Timestamp,
};

/// Whether it was taken, or why not.
pub(super) type Delivered = std::result::Result<(), Undelivered>;

/// Sends signed POSTs.
pub(super) struct Poster {
    sender: Arc<Sender>,
    timeout: Duration,
    pool: Pool,
}

impl Poster {
    pub(super) fn new(sender: Arc<Sender>, timeout: Duration) -> Self {
        Self { sender, timeout, pool: Pool::default() }
    }

    /// POSTs this body, signed as Standard Webhooks.
    pub(super) async fn post(
        &self,
        (id, at): (AlertId, Timestamp),
        url: &TargetUrl,
        secret: &SigningSecret,
        body: String,
    ) -> Delivered {
        let (id, url) = (id.to_string(), url.clone());
        let headers = [
            ("content-type", "application/json".to_owned()),
            ("webhook-signature", secret.sign_standard(&id, at, body.as_bytes())),
            ("webhook-timestamp", at.unix_seconds().to_string()),
            ("webhook-id", id),
        ];
        let (sender, timeout, (reply, answer)) = (Arc::clone(&self.sender), self.timeout, oneshot::channel());
        let run = move || {
            let post = Post { url: url.as_str(), headers: &headers, body: [body.as_bytes(), &[]], timeout };
            drop(reply.send(sender.send(&post).outcome));
        };
        self.pool.run(run).map_err(|error| Undelivered::Later(format!("no thread for the POST: {error}")))?;
        let outcome = answer.await.map_err(|_| Undelivered::Later("sending panicked".to_owned()))?;
        let Some(failure) = outcome.failure() else { return Ok(()) };
        let status = outcome.answer().map(|answer| answer.status);
        let words = format!(
            "{}{}",
            in_words(failure, status),
            status.map_or_else(String::new, |status| format!(" ({status})"))
        );
        Err(match (failure, &outcome) {
            (_, Outcome::Answered(answer)) if answer.status == 410 => Undelivered::Never(words),
            (_, Outcome::Answered(answer)) if matches!(answer.status, 400..=499) && answer.status != 429 => {
                Undelivered::Refused(words)
            }
            (Failure::Blocked, _) => Undelivered::Refused(words),
            _ => Undelivered::Later(words),
        })
    }
}
