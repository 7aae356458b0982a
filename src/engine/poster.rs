//! POSTs beside the deliveries: alerts to the operator's channels, notices to accounts.

use std::{sync::Arc, time::Duration};

use tokio::sync::{oneshot, watch};

use super::{
    pool::Pool,
    sender::{Post, Sender, Sent},
};
use crate::{
    clock::pause,
    domain::{
        alert::Undelivered,
        alert_message::in_words,
        alert_service::{Request, asked_to_wait, first_bytes, standard_headers},
        delivery::{self, Failure, Outcome},
        endpoint::TargetUrl,
        hidden_parts::hidden_parts,
        ids::AlertId,
        signature::SigningSecret,
        timestamp::Timestamp,
    },
};

/// How long a stop waits for the answer to a POST under way.
const LAST_ANSWER: Duration = Duration::from_secs(2);

/// Whether it was taken, or why not.
pub(super) type Delivered = std::result::Result<(), Undelivered>;

/// Sends POSTs.
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
    pub(super) async fn post_signed(
        &self,
        (id, at): (AlertId, Timestamp),
        url: &TargetUrl,
        secret: &SigningSecret,
        body: String,
    ) -> Delivered {
        let headers = standard_headers(secret, (id, at), &body);
        self.post(at, url, (headers.into(), body), &[secret.expose()]).await
    }

    /// POSTs this. The words of the answer are repeated without these secrets and the parts of the URL.
    pub(super) async fn post(
        &self,
        at: Timestamp,
        url: &TargetUrl,
        (headers, body): Request,
        secrets: &[&str],
    ) -> Delivered {
        let (timeout, target) = (self.timeout, url.clone());
        let send = move |sender: &Sender| {
            sender.send(&Post { url: target.as_str(), headers: &headers, body: [body.as_bytes(), &[]], timeout })
        };
        self.send(at, url, send, secrets).await
    }

    /// Makes a GET, without a body.
    pub(super) async fn get(&self, at: Timestamp, url: &TargetUrl) -> Delivered {
        let (timeout, target) = (self.timeout, url.clone());
        self.send(at, url, move |sender: &Sender| sender.get(target.as_str(), timeout), &[]).await
    }

    /// Sends on a thread of its own, and judges the answer.
    async fn send(
        &self,
        at: Timestamp,
        url: &TargetUrl,
        send: impl FnOnce(&Sender) -> Sent + Send + 'static,
        secrets: &[&str],
    ) -> Delivered {
        let (sender, (reply, answer)) = (Arc::clone(&self.sender), oneshot::channel());
        let run = move || drop(reply.send(send(&sender)));
        self.pool.run(run).map_err(|error| Undelivered::Later(format!("no thread for the request: {error}")))?;
        let Sent { outcome, retry_after, .. } =
            answer.await.map_err(|_| Undelivered::Later("sending panicked".to_owned()))?;
        let Some(failure) = outcome.failure() else { return Ok(()) };
        let words = in_line(failure, &outcome, &hidden_parts(url.as_str(), secrets));
        Err(match (failure, &outcome) {
            (_, Outcome::Answered(answer)) if answer.status == 410 => Undelivered::Never(words),
            (_, Outcome::Answered(answer)) if matches!(answer.status, 429 | 503) => {
                let by_header = retry_after.and_then(|text| delivery::retry_after(&text, at));
                let asked = || asked_to_wait(&answer.body).map(|seconds| Duration::from_secs(seconds.ceil() as u64));
                match by_header.or_else(asked) {
                    Some(wait) => Undelivered::Rest(words, wait),
                    None => Undelivered::Later(words),
                }
            }
            (_, Outcome::Answered(answer)) if matches!(answer.status, 400..=499) => Undelivered::Refused(words),
            (Failure::Blocked, _) => Undelivered::Refused(words),
            _ => Undelivered::Later(words),
        })
    }
}

/// The result of this POST. After a stop, one that hangs is dropped: it is sent again, under the same id.
pub(super) async fn unless_stopped(post: impl Future<Output = Delivered>, stop: &watch::Receiver<bool>) -> Delivered {
    let mut stop = stop.clone();
    let over = async {
        // A dropped sender also means a stop.
        drop(stop.wait_for(|stop| *stop).await);
        pause(LAST_ANSWER).await;
    };
    tokio::select! {
        biased;
        done = post => done,
        () = over => Err(Undelivered::Later("the server was stopped before an answer came".to_owned())),
    }
}

/// Why a POST failed, with the status and the first bytes of the answer.
fn in_line(failure: Failure, outcome: &Outcome, secrets: &[String]) -> String {
    let words = in_words(failure, outcome.answer().map(|answer| answer.status));
    let Some(answer) = outcome.answer() else { return words.to_owned() };
    let said = first_bytes(&answer.body, secrets);
    let said = if said.is_empty() { said } else { format!(": {said}") };
    format!("{words} ({}){said}", answer.status)
}
