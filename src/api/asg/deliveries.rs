//! The deliveries of a webhook: list, look at, replay. Parse, one call, reply.

use poem::web::Data;
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Path, Query},
};

use super::{
    delivery_wire::{DeliveryDetails, DeliveryEntry, DeliveryPage, DeliveryStatus},
    errors::Errors,
    examples::Tag,
    profile::EventNames,
};
use crate::{
    api::openapi::{
        Body, ErrorClass, NoBody, Printed, Refused, Repeat, Word,
        refusals::{IsSuspended, KeyReused, NoDelivery, NoWebhook, NotEnded, Token, UnknownEvent},
    },
    app::{Access, App, PageRequest, Webhooks},
    domain::{delivery, selection::Selection, timestamp::Timestamp},
    error::Result,
};

pub(crate) struct Routes;

#[derive(ApiResponse)]
enum Replayed {
    /// A new delivery of the same task, due now.
    #[oai(status = 202)]
    Accepted(Printed<DeliveryEntry>),
}

#[OpenApi(tag = "Tag::Asg", prefix_path = "/v1/webhooks")]
impl Routes {
    /// Replay a delivery
    ///
    /// Sends the task of a delivery again. It makes a new delivery with the same body and the same `webhook-id`, due
    /// now. It is refused with 409 until the delivery has ended. Needs the scope `webhooks`.
    #[oai(path = "/:webhook_id/replay/:delivery_id", method = "post", operation_id = "asgReplayDelivery")]
    async fn replay(
        &self,
        access: Access<Webhooks>,
        app: Data<&App>,
        /// The webhook's id, `whk_...`.
        webhook_id: Path<String>,
        /// The delivery's id, `dlv_...`.
        delivery_id: Path<String>,
        _nothing: NoBody,
        /// A text of 1 to 255 bytes, quoted or bare, that names this request within the account. The same request with the same
        /// key has its effect once, and each repeat gets the answer of the first. It holds as long as an event's key.
        #[oai(name = "Idempotency-Key")]
        idempotency_key: Repeat,
    ) -> Result<Replayed, Refused<Errors, (Token, NoWebhook, NoDelivery, IsSuspended, NotEnded, KeyReused)>> {
        let once = idempotency_key.answering(|made: &delivery::Delivery| DeliveryEntry::from(made));
        Ok(Replayed::Accepted(app.replay_of(&access, (&webhook_id.0, &delivery_id.0), once).await?.into()))
    }

    /// List deliveries
    ///
    /// Lists the deliveries of a webhook, newest first, page by page. It changes nothing. The server reads at most
    /// 10,000 deliveries for a page. So a page with a filter may have few entries or none, and still have a
    /// `next_cursor`. Needs the scope `webhooks`.
    #[oai(path = "/:webhook_id/deliveries", method = "get", operation_id = "asgListDeliveries")]
    #[expect(clippy::too_many_arguments, reason = "each is a documented parameter of the route")]
    async fn list(
        &self,
        access: Access<Webhooks>,
        app: Data<&App>,
        /// The webhook's id, `whk_...`.
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
        /// What to look for: the id of a task, an event, a delivery or a webhook; or words of the payload, all of which it
        /// must hold, in any letter case. Words between quotes must stand together. Ids are found at once. A page looks
        /// through payloads for 2 s: it may have few entries or none, and still have a `next_cursor`, which goes on further
        /// back.
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
    #[oai(path = "/:webhook_id/deliveries/:delivery_id", method = "get", operation_id = "asgGetDelivery")]
    async fn get(
        &self,
        access: Access<Webhooks>,
        app: Data<&App>,
        /// The webhook's id, `whk_...`.
        webhook_id: Path<String>,
        /// The delivery's id, `dlv_...`.
        delivery_id: Path<String>,
    ) -> Result<Body<DeliveryDetails>, Refused<Errors, (Token, NoWebhook, NoDelivery)>> {
        let (delivery, attempts) = app.delivery_of(&access, &webhook_id.0, &delivery_id.0).await?;
        Ok(Body(DeliveryDetails::new(&delivery, &attempts)))
    }
}
