//! The body of a delivery, for the contract: [`envelope`](super::envelope) makes it.

use poem_openapi::{Object, Webhook, payload::Json};

use super::examples::Tag;
use crate::api::openapi::RawObject;

/// The body of a delivery, as the receiver gets it.
#[derive(Debug, Object)]
#[oai(rename = "EventPayload")]
pub(crate) struct Payload {
    /// The id of the webhook.
    webhook_id: String,
    /// A name of the catalogue.
    event: String,
    /// The version of this form of body.
    api_version: String,
    /// When it happened, as published; otherwise when this server accepted it.
    created_at: String,
    /// The data.
    data: RawObject,
}

/// The deliveries of this vendor, for the contract.
#[Webhook(tag = "Tag::AsiliChain")]
#[expect(dead_code, reason = "the trait is read by its derive only, to document what is sent")]
pub(crate) trait Payloads {
    /// An event of the catalogue
    ///
    /// POSTed to each webhook that wants it. Signed in two ways: by `X-AsiliChain-Signature: sha256=<hex>`, the
    /// HMAC-SHA256 of the raw body (the text that `JSON.stringify(req.body)` prints) with the webhook's secret, and by
    /// the headers `webhook-id`, `webhook-timestamp` and `webhook-signature` of Standard Webhooks. Answer 2xx within 10
    /// seconds (by default). Otherwise the event is sent again with the same `webhook-id`, by default after 30 s, 5
    /// min, 30 min and 2 h (five attempts in all). Handle each `webhook-id` once. After the last attempt the webhook is
    /// suspended (by default): new deliveries are held until it is resumed, for at most 90 days (by default).
    #[oai(name = "event", method = "post", operation_id = "asilichainEvent")]
    fn event(&self, payload: Json<Payload>);
}
