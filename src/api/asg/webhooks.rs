//! The routes under `/v1/webhooks`, except those of deliveries: parse, one call, reply.

use poem::web::Data;
use poem_openapi::{
    OpenApi,
    param::{Path, Query},
};

use super::{
    errors::Errors,
    examples::Tag,
    profile::TASK_SETTLED,
    webhook_wire::{TestRequest, TestResult, WebhookChange, WebhookDetails, WebhookInput, WebhookView},
};
use crate::{
    api::openapi::{
        Body, Listed, OnlyIf, Printed, Refused, Registered, Repeat, Rotated, RotatedSecret, SecretRotation, Versioned,
        WebhookStats, Word, next_page,
        refusals::{
            BadUrl, Changed, IsFull, Json, KeyReused, KeyUnderWay, NoAccount, NoWebhook, StillSigns, Token,
            UnknownEvent,
        },
        settings,
    },
    app::{
        Access, App, PageRequest, Webhooks,
        webhook_test::TestOutcome,
        webhooks::{self, Change, Deleted},
    },
    domain::{endpoint_settings::SettingsChange, version::Version},
    error::Result,
};

pub(crate) struct Routes;

#[OpenApi(tag = "Tag::Asg", prefix_path = "/v1")]
impl Routes {
    /// Register a webhook
    ///
    /// Registers a webhook. It adds the webhook to the account: from then on the webhook gets every settled task,
    /// except tasks that are published for the `callback_url` of another webhook. Needs the scope `webhooks`.
    #[oai(path = "/webhooks", method = "post", operation_id = "asgRegisterWebhook")]
    async fn register(
        &self,
        access: Access<Webhooks>,
        app: Data<&App>,
        body: Body<WebhookInput>,
        /// A text of 1 to 255 bytes, quoted or bare, that names this request within the account. The same request with the same
        /// key has its effect once, and each repeat gets the answer of the first. It holds as long as an event's key.
        #[oai(name = "Idempotency-Key")]
        idempotency_key: Repeat,
    ) -> Result<
        Registered<WebhookView>,
        Refused<Errors, (Token, Json, NoAccount, IsFull, BadUrl, UnknownEvent, KeyReused)>,
    > {
        let WebhookInput {
            callback_url: url,
            secret,
            events,
            account,
            name,
            description,
            metadata,
            headers,
            rate_limit,
            ordered,
        } = body.0;
        let account = access.acts_for(account.as_deref(), "account")?;
        let events = events.unwrap_or_else(|| vec![TASK_SETTLED.to_owned()]);
        let secret = secret.map(|own| own.0);
        let settings = SettingsChange { rate_limit: rate_limit.into(), ordered, ..settings(metadata, headers) };
        let new = webhooks::NewWebhook { account, url, events, secret, name, description, settings };
        let visible = access.visible().clone();
        let once = idempotency_key.answering(move |registered| WebhookView::registered(registered, &visible));
        Ok(Registered::Created(app.register_once(&access, new, once).await?.into()))
    }

    /// List webhooks
    ///
    /// Lists every webhook of the account, and those that were deleted within a day (the newest 1,000 of them). It
    /// changes nothing. Secrets are not returned. Needs the scope `webhooks`.
    #[oai(path = "/webhooks", method = "get", operation_id = "asgListWebhooks")]
    async fn list(
        &self,
        access: Access<Webhooks>,
        app: Data<&App>,
        /// Whether to list the newest 1,000 of the deleted webhooks, whenever they were deleted. Default: false.
        all: Query<Option<bool>>,
        /// Entries on a page: at least 1, at most the server's `limits.page_size`. Without `limit` and `cursor`, all are listed.
        limit: Query<Option<u32>>,
        /// The cursor of the next page, from the header `Link` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Listed<WebhookView>, Refused<Errors, Token>> {
        let others = [("all", all.0.map(|all| all.to_string())), ("limit", limit.0.map(|limit| limit.to_string()))];
        let deleted = if all.0 == Some(true) { Deleted::Newest } else { Deleted::OfLastDay };
        let found = app.webhooks(&access, deleted, PageRequest::asked_if(limit.0, cursor.0)).await?;
        let link = next_page("/v1/webhooks", &others, found.next.as_deref());
        let views = found.items.iter().map(|webhook| WebhookView::new(webhook, access.visible()));
        Ok(Listed::Page(Body(views.collect()), link))
    }

    /// Get a webhook
    ///
    /// Shows a webhook with its last 20 deliveries. It changes nothing. If the webhook is paused, the answer says since
    /// when, how many deliveries are held, and how many failed deliveries a resume sends again. Needs the scope
    /// `webhooks`.
    #[oai(path = "/webhooks/:webhook_id", method = "get", operation_id = "asgGetWebhook")]
    async fn get(
        &self,
        access: Access<Webhooks>,
        app: Data<&App>,
        /// The webhook's id, `whk_...`.
        webhook_id: Path<String>,
    ) -> Result<Versioned<WebhookDetails>, Refused<Errors, (Token, NoWebhook)>> {
        let found = app.webhook(&access, &webhook_id.0).await?;
        let version = Version::of(&found.endpoint).tag();
        Ok(Versioned::Current(Body(WebhookDetails::new(&found, access.visible())), version))
    }

    /// Change, pause or resume a webhook
    ///
    /// Changes a webhook, pauses it or resumes it. It changes the given fields only: a field that is left out stays as
    /// it is. `"active": false` pauses the webhook: its deliveries are held, none is lost. `"active": true` resumes it.
    /// The deliveries that failed since its last success and were not replayed are sent again, as replays;
    /// `"resend_failed": false` leaves them. Then the held deliveries go out, each with a fresh schedule. The answer
    /// says how many there are of both. A deleted webhook stays deleted: register it again. Needs the scope `webhooks`.
    #[oai(path = "/webhooks/:webhook_id", method = "patch", operation_id = "asgUpdateWebhook")]
    async fn update(
        &self,
        access: Access<Webhooks>,
        app: Data<&App>,
        /// The webhook's id, `whk_...`.
        webhook_id: Path<String>,
        body: Body<WebhookChange>,
        /// The versions of the webhook to which this may be applied, as `ETag` shows them. If it has another, the answer is
        /// 412, and nothing changes.
        #[oai(name = "If-Match")]
        if_match: OnlyIf,
    ) -> Result<Versioned<WebhookView>, Refused<Errors, (Token, Json, NoWebhook, Changed, BadUrl, UnknownEvent)>> {
        let change = Change { only_if: if_match.0, ..Change::try_from(body.0)? };
        let (webhook, resumed) = app.update(&access, &webhook_id.0, change).await?;
        let view = WebhookView {
            resent_deliveries: resumed.map(|resumed| resumed.resent),
            released_deliveries: resumed.map(|resumed| resumed.released),
            ..WebhookView::new(&webhook, access.visible())
        };
        Ok(Versioned::Current(Body(view), Version::of(&webhook).tag()))
    }

    /// Rotate the secret of a webhook
    ///
    /// Makes a new signing secret for a webhook, and shows it once. It replaces the present secret: for 24 hours (by
    /// default) `webhook-signature` has a signature of the former secret too. `X-ASG-Signature` is made with the new
    /// secret at once, or, with `"switch": "after_overlap"`, when these hours are over: that leaves time to give the
    /// new secret to the receiver. While another former secret still signs, it is refused with 409: only
    /// an explicit `"switch": "now"` takes its right to sign. Needs the scope `webhooks`.
    #[oai(path = "/webhooks/:webhook_id/secret/rotate", method = "post", operation_id = "asgRotateSecret")]
    async fn rotate(
        &self,
        access: Access<Webhooks>,
        app: Data<&App>,
        /// The webhook's id, `whk_...`.
        webhook_id: Path<String>,
        body: Body<Option<SecretRotation>>,
        /// The versions of the webhook to which this may be applied, as `ETag` shows them. If it has another, the answer is
        /// 412, and nothing changes.
        #[oai(name = "If-Match")]
        if_match: OnlyIf,
        /// A text of 1 to 255 bytes, quoted or bare, that names this request within the account. The same request with the same
        /// key has its effect once, and each repeat gets the answer of the first. It holds as long as an event's key.
        #[oai(name = "Idempotency-Key")]
        idempotency_key: Repeat,
    ) -> Result<Rotated, Refused<Errors, (Token, Json, NoWebhook, Changed, StillSigns, KeyReused)>> {
        let switch = body.0.unwrap_or_default().switch();
        let profiles = app.profiles().clone();
        let once = idempotency_key.answering(move |rotated| RotatedSecret::new(rotated, &profiles));
        Ok(Rotated::Made(app.rotate_secret_once(&access, &webhook_id.0, (switch, if_match.0), once).await?.into()))
    }

    /// Test a webhook
    ///
    /// Sends one signed delivery with sample data at once, also while the webhook is paused, and answers with the
    /// result. It adds the test to the list of deliveries; if it arrives, the webhook has succeeded again. A test is
    /// never retried. The receiver sees `ngoma-test: true`. Needs the scope
    /// `webhooks`.
    #[oai(path = "/webhooks/:webhook_id/test", method = "post", operation_id = "asgTestWebhook")]
    async fn test(
        &self,
        access: Access<Webhooks>,
        app: Data<&App>,
        /// The webhook's id, `whk_...`.
        webhook_id: Path<String>,
        body: Body<Option<TestRequest>>,
        /// A text of 1 to 255 bytes, quoted or bare, that names this request within the account. The same request with the same
        /// key has its effect once, and each repeat gets the answer of the first. It holds as long as an event's key.
        #[oai(name = "Idempotency-Key")]
        idempotency_key: Repeat,
    ) -> Result<Printed<TestResult>, Refused<Errors, (Token, Json, NoWebhook, UnknownEvent, KeyReused, KeyUnderWay)>>
    {
        let event = body.0.unwrap_or_default().event.map(Word::into_text);
        let once = idempotency_key.answering(|tested: &TestOutcome| TestResult::from(tested));
        Ok(app.test_once(&access, &webhook_id.0, event, once).await?.into())
    }

    /// Delete a webhook
    ///
    /// Deletes a webhook. It deactivates the webhook for good (a soft delete: the webhook stays in the list with
    /// `active: false` for a day, and with `?all=true` until its row is removed) and cancels its pending deliveries. An
    /// attempt under way may still arrive. Deleting it again gives the same answer, until its row is removed
    /// (`retention.undelivered` in the server's settings, 90 days by default). Every other request for it gets 404.
    /// Needs the scope `webhooks`.
    #[oai(path = "/webhooks/:webhook_id", method = "delete", operation_id = "asgDeleteWebhook")]
    async fn delete(
        &self,
        access: Access<Webhooks>,
        app: Data<&App>,
        /// The webhook's id, `whk_...`.
        webhook_id: Path<String>,
        /// The versions of the webhook to which this may be applied, as `ETag` shows them. If it has another, the answer is
        /// 412, and nothing changes.
        #[oai(name = "If-Match")]
        if_match: OnlyIf,
    ) -> Result<Body<WebhookView>, Refused<Errors, (Token, NoWebhook, Changed)>> {
        Ok(Body(WebhookView::new(&app.deactivate(&access, &webhook_id.0, if_match.0).await?, access.visible())))
    }

    /// Get the statistics of a webhook
    ///
    /// Shows how the attempts of a webhook went in the last 24 hours, how long its answers took, what waits or has
    /// failed, and the last error. It changes nothing. Needs the scope `webhooks`.
    #[oai(path = "/webhooks/:webhook_id/stats", method = "get", operation_id = "asgGetWebhookStats")]
    async fn stats(
        &self,
        access: Access<Webhooks>,
        app: Data<&App>,
        /// The webhook's id, `whk_...`.
        webhook_id: Path<String>,
    ) -> Result<Body<WebhookStats>, Refused<Errors, (Token, NoWebhook)>> {
        Ok(Body(WebhookStats::new(&app.webhook_stats(&access, &webhook_id.0).await?, app.profiles())))
    }
}
