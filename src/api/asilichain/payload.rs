//! The deliveries of this vendor, for the contract: [`envelope`](super::envelope) makes their bodies, and
//! [`payload_schemas`](super::payload_schemas) describes them.

use std::borrow::Cow;

use poem_openapi::{
    Webhook,
    payload::Json,
    registry::{MetaSchema, MetaSchemaRef, Registry},
    types::{ParseError, ParseFromJSON, ParseResult, Type},
};
use serde_json::Value;

use super::{examples::Tag, payload_schemas::PAYLOAD};

/// The body of a delivery, as the receiver gets it.
pub(crate) struct Payload;

impl Type for Payload {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        PAYLOAD.into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Reference(PAYLOAD.to_owned())
    }

    fn register(registry: &mut Registry) {
        registry.create_schema::<Self, _>(PAYLOAD.to_owned(), |_| MetaSchema::new("object"));
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl ParseFromJSON for Payload {
    fn parse_from_json(_: Option<Value>) -> ParseResult<Self> {
        Err(ParseError::custom("the server sends it, and reads none"))
    }
}

/// The deliveries of this vendor, for the contract.
#[Webhook(tag = "Tag::Deliveries")]
#[expect(dead_code, reason = "the trait is read by its derive only, to document what is sent")]
pub(crate) trait Payloads {
    /// An event of the catalogue
    ///
    /// Tells a receiver of an event, by a POST to each webhook that wants it. It changes nothing on this server but the
    /// state of the delivery and of the webhook: an answer 2xx within 10 seconds (by default) ends the delivery.
    /// Otherwise the event is sent again with the same `webhook-id`, by default after 30 s, 5 min, 30 min and 2 h (five
    /// attempts in all). Handle each `webhook-id` once. After the last attempt, or an answer 410, the webhook is
    /// suspended (by default): new deliveries are held until it is resumed, for at most 90 days (by default). Signed in
    /// two ways: by `X-AsiliChain-Signature: sha256=<hex>`, the HMAC-SHA256 of the raw body (the text that
    /// `JSON.stringify(req.body)` prints) with the webhook's secret, and by the headers `webhook-id`,
    /// `webhook-timestamp` and `webhook-signature` of Standard Webhooks.
    #[oai(name = "event", method = "post", operation_id = "asilichainEvent")]
    fn event(&self, payload: Json<Payload>);
}
