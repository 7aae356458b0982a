//! The routes under `/webhooks`: parse, one call, reply.

use poem::web::Data;
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Path, Query},
};

use super::{
    catalogue::EventNames,
    delivery_wire::{Delivery, DeliveryDetails, DeliveryPage},
    errors::{Errors, NoCooperative},
    examples::Tag,
    wire::{TestRequest, TestResult, WebhookChange, WebhookDetails, WebhookInput, WebhookView},
};
use crate::{
    api::openapi::{
        Body, DeliveryStatus, ErrorClass, Listed, NoBody, OnlyIf, Printed, Refused, Registered, Repeat, Rotated,
        RotatedSecret, SecretRotation, Versioned, WebhookStats, Word, next_page,
        refusals::{
            BadUrl, Changed, IsFull, IsSuspended, Json, KeyReused, KeyUnderWay, NoDelivery, NoWebhook, NotEnded,
            StillSigns, Token, UnknownEvent,
        },
        settings,
    },
    app::{
        Access, App, PageRequest, Webhooks,
        webhook_test::TestOutcome,
        webhooks::{self, Change},
    },
    domain::{
        delivery, endpoint_settings::SettingsChange, selection::Selection, timestamp::Timestamp, version::Version,
    },
    error::Result,
};

pub(crate) struct Routes;

#[derive(ApiResponse)]
enum Deleted {
    /// The webhook is deleted, and its pending and held deliveries are cancelled.
    #[oai(status = 204)]
    Gone,
}

#[derive(ApiResponse)]
enum Replayed {
    /// A new delivery of the same event, due now.
    #[oai(status = 202)]
    Accepted(Printed<Delivery>),
}

#[OpenApi(tag = "Tag::AsiliChain", prefix_path = "/webhooks")]
impl Routes {
    /// Register a webhook
    ///
    /// Registers a webhook. It adds the webhook to the account: from then on the webhook gets every event that it
    /// wants. Needs the scope `webhooks`.
    #[oai(path = "/", method = "post", operation_id = "registerWebhook")]
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
        Refused<Errors, (Token, Json, NoCooperative, IsFull, BadUrl, UnknownEvent, KeyReused)>,
    > {
        let WebhookInput {
            url,
            events,
            cooperative_id,
            secret,
            name,
            description,
            metadata,
            headers,
            rate_limit,
            ordered,
        } = body.0;
        let account = access.acts_for(Some(&cooperative_id), "cooperative_id")?;
        let secret = secret.map(|own| own.0);
        let settings = SettingsChange { rate_limit: rate_limit.into(), ordered, ..settings(metadata, headers) };
        let new = webhooks::NewWebhook { account, url, events, secret, name, description, settings };
        let once = idempotency_key.answering(|made: &webhooks::Registered| WebhookView::from(made));
        Ok(Registered::Created(app.register_once(&access, new, once).await?.into()))
    }

    /// List webhooks
    ///
    /// Lists every webhook of the account, in the order in which they were registered; with `limit` or `cursor`, a page
    /// of them. It changes nothing. Secrets are not returned. Needs the scope `webhooks`.
    #[oai(path = "/", method = "get", operation_id = "listWebhooks")]
    async fn list(
        &self,
        access: Access<Webhooks>,
        app: Data<&App>,
        /// Entries on a page: at least 1, at most the server's `limits.page_size`. Without `limit` and `cursor`, all are listed.
        limit: Query<Option<u32>>,
        /// The cursor of the next page, from the header `Link` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Listed<WebhookView>, Refused<Errors, Token>> {
        let others = [("limit", limit.0.map(|limit| limit.to_string()))];
        let found = app.webhooks(&access, webhooks::Deleted::None, PageRequest::asked_if(limit.0, cursor.0)).await?;
        let link = next_page("/webhooks", &others, found.next.as_deref());
        Ok(Listed::Page(Body(found.items.iter().map(WebhookView::from).collect()), link))
    }

    /// Get a webhook
    ///
    /// Shows a webhook with its last 20 deliveries. It changes nothing. If the webhook is suspended, the answer says
    /// why, since when, how many deliveries are held, and how many failed deliveries a resume sends again. Needs the
    /// scope `webhooks`.
    #[oai(path = "/:webhook_id", method = "get", operation_id = "getWebhook")]
    async fn get(
        &self,
        access: Access<Webhooks>,
        app: Data<&App>,
        /// The webhook's id, `wh_...`.
        webhook_id: Path<String>,
    ) -> Result<Versioned<WebhookDetails>, Refused<Errors, (Token, NoWebhook)>> {
        let found = app.webhook(&access, &webhook_id.0).await?;
        let version = Version::of(&found.endpoint).tag();
        Ok(Versioned::Current(Body(found.into()), version))
    }

    /// Get the statistics of a webhook
    ///
    /// Shows how the attempts of a webhook went in the last 24 hours, how long its answers took, what waits, is held or
    /// has failed, and the last error. It changes nothing. Needs the scope `webhooks`.
    #[oai(path = "/:webhook_id/stats", method = "get", operation_id = "getWebhookStats")]
    async fn stats(
        &self,
        access: Access<Webhooks>,
        app: Data<&App>,
        /// The webhook's id, `wh_...`.
        webhook_id: Path<String>,
    ) -> Result<Body<WebhookStats>, Refused<Errors, (Token, NoWebhook)>> {
        Ok(Body(WebhookStats::new(&app.webhook_stats(&access, &webhook_id.0).await?, app.profiles())))
    }

    /// Change, pause or resume a webhook
    ///
    /// Changes a webhook, pauses it or resumes it. It changes the given fields only: a field that is left out stays as
    /// it is. `"status": "SUSPENDED"` pauses the webhook: its deliveries are held. `"status": "ACTIVE"` resumes a
    /// suspended webhook. The deliveries that failed since its last success and were not replayed are sent again, as
    /// replays and in the order in which they were made; `"resend_failed": false` leaves them. Then the held deliveries
    /// go out. Each delivery has a fresh schedule. The answer says how many there are of both. Needs the scope
    /// `webhooks`.
    #[oai(path = "/:webhook_id", method = "patch", operation_id = "updateWebhook")]
    async fn update(
        &self,
        access: Access<Webhooks>,
        app: Data<&App>,
        /// The webhook's id, `wh_...`.
        webhook_id: Path<String>,
        body: Body<WebhookChange>,
        /// The versions of the webhook to which this may be applied, as `ETag` shows them. If it has another, the answer is
        /// 412, and nothing changes.
        #[oai(name = "If-Match")]
        if_match: OnlyIf,
    ) -> Result<Versioned<WebhookView>, Refused<Errors, (Token, Json, NoWebhook, Changed, BadUrl, UnknownEvent)>> {
        let change = Change { only_if: if_match.0, ..Change::try_from(body.0)? };
        let (endpoint, resumed) = app.update(&access, &webhook_id.0, change).await?;
        let view = WebhookView {
            resent_deliveries: resumed.map(|resumed| resumed.resent),
            released_deliveries: resumed.map(|resumed| resumed.released),
            ..WebhookView::from(&endpoint)
        };
        Ok(Versioned::Current(Body(view), Version::of(&endpoint).tag()))
    }

    /// Rotate the secret of a webhook
    ///
    /// Makes a new signing secret for a webhook, and shows it once. It replaces the present secret: for 24 hours (by
    /// default) `webhook-signature` has a signature of the former secret too. `X-AsiliChain-Signature` is made with the
    /// new secret at once, or, with `"switch": "after_overlap"`, when these hours are over: that leaves time to give
    /// the new secret to the receiver. While another former secret still signs, it is refused with 409: only
    /// an explicit `"switch": "now"` takes its right to sign. Needs the scope `webhooks`.
    #[oai(path = "/:webhook_id/secret/rotate", method = "post", operation_id = "rotateSecret")]
    async fn rotate(
        &self,
        access: Access<Webhooks>,
        app: Data<&App>,
        /// The webhook's id, `wh_...`.
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

    /// Delete a webhook
    ///
    /// Deletes a webhook for good. It removes the webhook and cancels its pending and held deliveries. An attempt under
    /// way may still arrive. Needs the scope `webhooks`.
    #[oai(path = "/:webhook_id", method = "delete", operation_id = "deleteWebhook")]
    async fn delete(
        &self,
        access: Access<Webhooks>,
        app: Data<&App>,
        /// The webhook's id, `wh_...`.
        webhook_id: Path<String>,
        /// The versions of the webhook to which this may be applied, as `ETag` shows them. If it has another, the answer is
        /// 412, and nothing changes.
        #[oai(name = "If-Match")]
        if_match: OnlyIf,
    ) -> Result<Deleted, Refused<Errors, (Token, NoWebhook, Changed)>> {
        app.delete(&access, &webhook_id.0, if_match.0).await?;
        Ok(Deleted::Gone)
    }

    /// Replay a delivery
    ///
    /// Sends the event of a delivery again. It makes a new delivery with the same body and the same `webhook-id`, due
    /// now. It is refused with 409 until the delivery has ended. Needs the scope `webhooks`.
    #[oai(path = "/:webhook_id/replay/:delivery_id", method = "post", operation_id = "replayDelivery")]
    async fn replay(
        &self,
        access: Access<Webhooks>,
        app: Data<&App>,
        /// The webhook's id, `wh_...`.
        webhook_id: Path<String>,
        /// The delivery's id, `dlv_...`.
        delivery_id: Path<String>,
        _nothing: NoBody,
        /// A text of 1 to 255 bytes, quoted or bare, that names this request within the account. The same request with the same
        /// key has its effect once, and each repeat gets the answer of the first. It holds as long as an event's key.
        #[oai(name = "Idempotency-Key")]
        idempotency_key: Repeat,
    ) -> Result<Replayed, Refused<Errors, (Token, NoWebhook, NoDelivery, IsSuspended, NotEnded, KeyReused)>> {
        let once = idempotency_key.answering(|made: &delivery::Delivery| Delivery::from(made));
        Ok(Replayed::Accepted(app.replay_of(&access, (&webhook_id.0, &delivery_id.0), once).await?.into()))
    }

    /// Test a webhook
    ///
    /// Sends one signed delivery with sample data at once, also while the webhook is suspended, and answers with the
    /// result. It adds the test to the list of deliveries; if it arrives, the webhook has succeeded again. A test is
    /// never retried and never suspends the webhook. The receiver sees `ngoma-test: true`. Needs the scope
    /// `webhooks`.
    #[oai(path = "/:webhook_id/test", method = "post", operation_id = "testWebhook")]
    async fn test(
        &self,
        access: Access<Webhooks>,
        app: Data<&App>,
        /// The webhook's id, `wh_...`.
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

    /// List deliveries
    ///
    /// Lists the deliveries of a webhook, newest first, page by page. It changes nothing. The server reads at most
    /// 10,000 deliveries for a page. So a page with a filter may have few entries or none, and still have a
    /// `next_cursor`. Needs the scope `webhooks`.
    #[oai(path = "/:webhook_id/deliveries", method = "get", operation_id = "listDeliveries")]
    #[expect(clippy::too_many_arguments, reason = "each is a documented parameter of the route")]
    async fn deliveries(
        &self,
        access: Access<Webhooks>,
        app: Data<&App>,
        /// The webhook's id, `wh_...`.
        webhook_id: Path<String>,
        /// Only deliveries with this status.
        status: Query<Option<DeliveryStatus>>,
        /// Only deliveries of this event.
        event: Query<Option<Word<EventNames>>>,
        /// Only deliveries whose last attempt failed with this error.
        error: Query<Option<ErrorClass>>,
        /// Only deliveries made at this time or later: RFC 3339.
        since: Query<Option<String>>,
        /// Only deliveries made at this time or earlier: RFC 3339.
        until: Query<Option<String>>,
        /// What to look for: the id of an event, a delivery or a webhook; an idempotency key; or words of the payload, all
        /// of which it must hold, in any letter case. Words between quotes must stand together. Ids and keys are found at
        /// once. A page looks through payloads for 2 s: it may have few entries or none, and still have a `next_cursor`,
        /// which goes on further back.
        q: Query<Option<String>>,
        /// Deliveries on a page: at least 1, at most the server's `limits.page_size`. Default: 20.
        limit: Query<Option<u32>>,
        /// The `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Body<DeliveryPage>, Refused<Errors, (Token, NoWebhook, UnknownEvent)>> {
        let selection = Selection {
            kind: event.0.map(Word::into_text),
            state: status.0.map(Into::into),
            failure: error.0.map(Into::into),
            from: Timestamp::read_if("since", since.0.as_deref())?,
            to: Timestamp::read_if("until", until.0.as_deref())?,
            ..Selection::default()
        };
        let (wanted, page) = ((selection, q.0), PageRequest::asked(limit.0, cursor.0));
        Ok(Body(app.deliveries_of(&access, &webhook_id.0, wanted, page).await?.into()))
    }

    /// Get a delivery
    ///
    /// Shows a delivery with every attempt that has ended. It changes nothing. Needs the scope `webhooks`.
    #[oai(path = "/:webhook_id/deliveries/:delivery_id", method = "get", operation_id = "getDelivery")]
    async fn delivery(
        &self,
        access: Access<Webhooks>,
        app: Data<&App>,
        /// The webhook's id, `wh_...`.
        webhook_id: Path<String>,
        /// The delivery's id, `dlv_...`.
        delivery_id: Path<String>,
    ) -> Result<Body<DeliveryDetails>, Refused<Errors, (Token, NoWebhook, NoDelivery)>> {
        let (delivery, attempts) = app.delivery_of(&access, &webhook_id.0, &delivery_id.0).await?;
        Ok(Body(DeliveryDetails::new(&delivery, &attempts)))
    }
}
