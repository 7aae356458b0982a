//! Tests of webhooks: each sends one signed delivery of sample data, because a person or a program asked for it.

use super::{
    Access, Answer, App, Once, Webhooks,
    once::{Printer, earlier},
    webhooks::find,
};
use crate::{
    domain::{delivery::Attempt, endpoint::Endpoint, event::IdempotencyKey, ids::DeliveryId, token::Visible},
    error::{Error, Result},
    store::{Admission, Tx, View, answers, audit, endpoints},
};

/// The result of a test.
pub struct TestOutcome {
    /// The webhook.
    pub endpoint: Endpoint,
    /// The event that was sent.
    pub kind: String,
    /// The id of the test delivery.
    pub delivery: DeliveryId,
    /// Its one attempt.
    pub attempt: Attempt,
}

impl App {
    /// Sends one signed delivery of sample data at once, also while the webhook is suspended: of the named event, or of
    /// the first event that the webhook wants.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an unknown or deleted webhook; [`Error::Invalid`] for an unknown event; as
    /// [`Engine::send_test`](crate::engine::Engine::send_test).
    pub async fn test(&self, access: &Access<Webhooks>, webhook: &str, event: Option<String>) -> Result<TestOutcome> {
        let (id, access) = self.resolve(access, webhook)?;
        let dialects = self.0.dialects.clone();
        let prepare = move |tx: &Tx<'_>, visible: &Visible| {
            let endpoint = find(tx, visible, id)?;
            let target = endpoints::target(tx, endpoint.key)?;
            let sample = dialects.of(&target.profile)?.sample_for(&endpoint, event.as_deref(), tx.now)?;
            audit::tested(tx, endpoint.key)?;
            Ok((endpoint, target, sample))
        };
        let (endpoint, target, (kind, body)) = self.write(&access, prepare).await?;
        let account = endpoint.account_id.clone();
        let sent = self.0.engine.send_test(access.actor(), account, target, kind.clone(), body).await?;
        let (delivery, attempt) = sent;
        Ok(TestOutcome { endpoint, kind, delivery, attempt })
    }

    /// As [`App::test`], for a request that may be repeated. With a key the attempt is made once, also if the client goes
    /// away meanwhile.
    ///
    /// # Errors
    /// As [`App::test`]; [`Error::Conflict`] while the attempt of an earlier request with this key is under way;
    /// [`Error::Invalid`] if the key came before with another request.
    pub async fn test_once(
        &self,
        access: &Access<Webhooks>,
        webhook: &str,
        event: Option<String>,
        once: Once<TestOutcome>,
    ) -> Result<Answer> {
        let (id, _) = self.resolve(access, webhook)?;
        let owner = move |view: &View<'_>, visible: &Visible| {
            answers::account_of(view, endpoints::find(view, visible, id)?.key)
        };
        if let Some(answer) = self.answered(access, &once, owner).await? {
            return Ok(answer);
        }
        let Once { key, print } = once;
        let Some(key) = key else { return print(&self.test(access, webhook, event).await?) };
        let (app, access, webhook) = (self.clone(), access.clone(), webhook.to_owned());
        let work = async move { app.test_and_keep(&access, &webhook, event, (key, print)).await };
        let done = tokio::spawn(work).await;
        done.map_err(|_| Error::Internal("a test panicked".to_owned()))?
    }

    /// Notes that the test has begun, makes it, and keeps its answer. A test that could not be made leaves nothing.
    async fn test_and_keep(
        &self,
        access: &Access<Webhooks>,
        webhook: &str,
        event: Option<String>,
        (key, print): (IdempotencyKey, Printer<TestOutcome>),
    ) -> Result<Answer> {
        let ((id, narrowed), begun) = (self.resolve(access, webhook)?, key.clone());
        let begin = move |tx: &Tx<'_>, visible: &Visible| {
            let account = answers::account_of(tx, find(tx, visible, id)?.key)?;
            let answer = earlier(tx, account, &begun, tx.now)?;
            if answer.is_none() {
                answers::keep(tx, account, &begun, "")?;
            }
            Ok((account, answer))
        };
        let (account, answer) = self.write(&narrowed, begin).await?;
        if let Some(answer) = answer {
            return Ok(answer);
        }
        let answer = self.test(access, webhook, event).await.and_then(|tested| print(&tested));
        let kept = answer.as_ref().ok().cloned();
        let end = move |tx: &Tx<'_>| answers::end(tx, account, &key, kept.as_ref().map(|kept| kept.as_str()));
        self.0.db.write(access.actor(), Admission::Wait, end).await?;
        answer
    }
}
