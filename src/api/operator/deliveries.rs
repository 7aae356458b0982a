//! `/operator/deliveries`.

use poem::web::Data;
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Path, Query},
};

use super::{
    errors::Errors,
    examples::Tag,
    wire::{DeliveryReport, DeliveryReportDetails, DeliveryReportPage},
};
use crate::{
    api::openapi::{
        Body, DeliveryStatus, ErrorClass, NoBody, Printed, Refused, Repeat,
        refusals::{
            HasEnded, InFlight, IsSuspended, KeyReused, NoAccount, NoDelivery, NoWebhook, NotEnded, Token,
            UnknownEvent, WebhookDeleted,
        },
    },
    app::{Access, App, Looked, Operator, PageRequest, Wanted, deliveries::Listed},
    domain::{selection::Selection, timestamp::Timestamp},
    error::Result,
};

pub(crate) struct Routes;

#[derive(ApiResponse)]
pub(super) enum Replayed {
    /// A new delivery of the same event, due now.
    #[oai(status = 202)]
    Accepted(Printed<DeliveryReport>),
}

#[OpenApi(tag = "Tag::Operator", prefix_path = "/operator/deliveries")]
impl Routes {
    /// List all deliveries
    ///
    /// Lists the deliveries of every account, newest first, page by page. It changes nothing. The server reads at most
    /// 10,000 deliveries for a page. So a page with a filter may have few entries or none, and still have a
    /// `next_cursor`. Needs the scope `operator`.
    #[oai(path = "/", method = "get", operation_id = "listAllDeliveries")]
    #[expect(clippy::too_many_arguments, reason = "one for each parameter of the query")]
    async fn list(
        &self,
        access: Access<Operator>,
        app: Data<&App>,
        /// Only deliveries of this account.
        account_id: Query<Option<String>>,
        /// Only deliveries to this webhook.
        webhook_id: Query<Option<String>>,
        /// Only deliveries of this event.
        event: Query<Option<String>>,
        /// Only deliveries with this status.
        status: Query<Option<DeliveryStatus>>,
        /// Only deliveries whose last attempt failed with this error.
        error: Query<Option<ErrorClass>>,
        /// Only deliveries made at this time or later: RFC 3339.
        created_from: Query<Option<String>>,
        /// Only deliveries made at this time or earlier: RFC 3339.
        created_to: Query<Option<String>>,
        /// The same as `created_from`, by the name that accounts use.
        since: Query<Option<String>>,
        /// The same as `created_to`, by the name that accounts use.
        until: Query<Option<String>>,
        /// What to look for: the id of an event, a delivery or a webhook; an idempotency key; or words of the payload, all
        /// of which it must hold, in any letter case. Words between quotes must stand together. Ids and keys are found at
        /// once. A page looks through payloads for 2 s: it may have few entries or none, and still have a `next_cursor`,
        /// which goes on further back.
        q: Query<Option<String>>,
        /// Entries on a page: at least 1, at most the server's `limits.page_size`. Default: 20.
        limit: Query<Option<u32>>,
        /// The `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Body<DeliveryReportPage>, Refused<Errors, (Token, NoAccount, NoWebhook, UnknownEvent)>> {
        let selection = Selection {
            account: account_id.0,
            kind: event.0,
            state: status.0.map(Into::into),
            failure: error.0.map(Into::into),
            from: Timestamp::read_if("created_from", created_from.0.as_deref())?
                .max(Timestamp::read_if("since", since.0.as_deref())?),
            to: [("created_to", created_to.0), ("until", until.0)]
                .into_iter()
                .filter_map(|(name, text)| Timestamp::read_if(name, text.as_deref()).transpose())
                .reduce(|one, other| Ok(one?.min(other?)))
                .transpose()?,
            ..Selection::default()
        };
        let looked = Looked { wanted: Wanted { webhook: webhook_id.0, selection }, text: q.0 };
        let found = app.deliveries(&access, looked, PageRequest::asked(limit.0, cursor.0)).await?;
        Ok(Body(DeliveryReportPage::new(found, app.profiles())))
    }

    /// Get any delivery
    ///
    /// Shows a delivery with every attempt that has ended, and with its request: the exact body, the headers without
    /// the signatures, and the present URL of the webhook. It changes nothing. Needs the scope `operator`.
    #[oai(path = "/:delivery_id", method = "get", operation_id = "getAnyDelivery")]
    async fn get(
        &self,
        access: Access<Operator>,
        app: Data<&App>,
        /// The delivery's id, `dlv_...`.
        delivery_id: Path<String>,
    ) -> Result<Body<DeliveryReportDetails>, Refused<Errors, (Token, NoDelivery)>> {
        Ok(Body(DeliveryReportDetails::new(app.delivery(&access, &delivery_id.0).await?, app.profiles())))
    }

    /// Replay any delivery
    ///
    /// Sends the event of a delivery again. It makes a new delivery with the same body and the same `webhook-id`, due
    /// now. It is refused with 409 until the delivery has ended. Needs the scope `operator`.
    #[oai(path = "/:delivery_id/replay", method = "post", operation_id = "replayAnyDelivery")]
    async fn replay(
        &self,
        access: Access<Operator>,
        app: Data<&App>,
        /// The delivery's id, `dlv_...`.
        delivery_id: Path<String>,
        _nothing: NoBody,
        /// A text of 1 to 255 bytes, quoted or bare, that names this request within the account. The same request with the same
        /// key has its effect once, and each repeat gets the answer of the first. It holds as long as an event's key.
        #[oai(name = "Idempotency-Key")]
        idempotency_key: Repeat,
    ) -> Result<Replayed, Refused<Errors, (Token, NoDelivery, IsSuspended, WebhookDeleted, NotEnded, KeyReused)>> {
        let profiles = app.profiles().clone();
        let once = idempotency_key.answering(move |made: &Listed| DeliveryReport::new(made, &profiles));
        Ok(Replayed::Accepted(app.replay_once(&access, &delivery_id.0, once).await?.into()))
    }

    /// Cancel a delivery
    ///
    /// Cancels a delivery that is pending or held. It ends the delivery, which is not sent any more. A cancelled
    /// delivery stays cancelled. Needs the scope `operator`.
    #[oai(path = "/:delivery_id/cancel", method = "post", operation_id = "cancelDelivery")]
    async fn cancel(
        &self,
        access: Access<Operator>,
        app: Data<&App>,
        /// The delivery's id, `dlv_...`.
        delivery_id: Path<String>,
        _nothing: NoBody,
    ) -> Result<Body<DeliveryReport>, Refused<Errors, (Token, NoDelivery, InFlight, HasEnded)>> {
        Ok(Body(DeliveryReport::new(&app.cancel(&access, &delivery_id.0).await?, app.profiles())))
    }
}
