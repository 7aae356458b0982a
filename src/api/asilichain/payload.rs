//! The body of a delivery, for the contract: [`envelope`](super::envelope) makes it. The schemas of the 15 events are
//! made from the catalogue and from the table of [`payload_fields`].

use std::borrow::Cow;

use poem_openapi::{
    Webhook,
    payload::Json,
    registry::{MetaSchema, MetaSchemaRef, Registry},
    types::{ParseError, ParseFromJSON, ParseResult, Type},
};
use serde_json::{Map, Value, json};

use super::{
    catalogue::{CATALOGUE, Entry},
    examples::Tag,
    payload_fields::{self, Field, Kind},
};

/// The schema of every body.
const PAYLOAD: &str = "EventPayload";

/// The body of a delivery, as the receiver gets it. [`schemas`] describes it.
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

/// The schemas of the bodies: for each event one of its body and one of its data, and one that is any of the bodies.
pub(super) fn schemas() -> Vec<(String, Value)> {
    let reference = |name: String| format!("#/components/schemas/{name}");
    let bodies = CATALOGUE.iter().map(|entry| (entry, format!("{}Payload", type_name(entry.name))));
    let choices = bodies.clone().map(|(_, name)| json!({ "$ref": reference(name) })).collect::<Vec<_>>();
    let mapping: Map<String, Value> =
        bodies.clone().map(|(entry, name)| (entry.name.to_owned(), reference(name).into())).collect();
    let any = json!({
        "description": "The body of a delivery, as the receiver gets it: `event` says which of these it is.",
        "oneOf": choices,
        "discriminator": { "propertyName": "event", "mapping": mapping },
    });
    let each = bodies.flat_map(|(entry, name)| {
        let data = format!("{}Data", type_name(entry.name));
        let body = body(entry, &reference(data.clone()));
        [(name, body), (data, self::data(entry))]
    });
    [(PAYLOAD.to_owned(), any)].into_iter().chain(each).collect()
}

/// The body of this event.
fn body(entry: &Entry, data: &str) -> Value {
    let text = |meaning: &str, example: &str| json!({ "type": "string", "description": meaning, "example": example });
    let mut at =
        text("When it happened, as published; otherwise when this server accepted it.", "2026-04-20T11:55:00Z");
    at["format"] = "date-time".into();
    json!({
        "type": "object",
        "description": format!("The body of a delivery of `{}`: {}.", entry.name, entry.trigger),
        "required": ["webhook_id", "event", "api_version", "created_at", "data"],
        "properties": {
            "webhook_id": text("The id of the webhook.", "wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1"),
            "event": { "type": "string", "const": entry.name, "description": "The event's name." },
            "api_version": text("The version of this form of body.", "2026-04-01"),
            "created_at": at,
            "data": { "$ref": data },
        },
        "example": {
            "webhook_id": "wh_01HXYZ3KJ9Q8R7S6T5V4W3X2Y1", "event": entry.name, "api_version": "2026-04-01",
            "created_at": "2026-04-20T11:55:00Z", "data": sample(entry),
        },
    })
}

/// The data of this event. The server checks none of it, so no field is said to be always there.
fn data(entry: &Entry) -> Value {
    let fields = payload_fields::fields(entry.name).iter();
    let properties: Map<String, Value> = fields.map(|field| (field.name.to_owned(), schema(field))).collect();
    json!({
        "type": "object",
        "description": format!("The `data` of `{}`: {}. A producer may leave fields out and add others.", entry.name, entry.trigger),
        "properties": properties,
        "additionalProperties": true,
        "example": sample(entry),
    })
}

fn schema(field: &Field) -> Value {
    match field.kind {
        Kind::Text => json!({ "type": "string" }),
        Kind::Number => json!({ "type": "number", "format": "double" }),
        Kind::Integer => json!({ "type": "integer", "format": "int64" }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Time => json!({ "type": "string", "format": "date-time" }),
    }
}

fn sample(entry: &Entry) -> Value {
    serde_json::from_str(entry.sample).unwrap_or_default()
}

/// The name of an event as a type's: `batch.exported` is `BatchExported`.
fn type_name(event: &str) -> String {
    let word =
        |word: &str| word.split_at_checked(1).map(|(first, rest)| first.to_uppercase() + rest).unwrap_or_default();
    event.split('.').map(word).collect()
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
