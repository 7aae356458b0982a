//! The schemas of deliveries' bodies: for each event one of its body and one of its data, made from the catalogue and
//! from the table of [`payload_fields`].

use serde_json::{Map, Value, json};

use super::{
    catalogue::{CATALOGUE, Entry},
    payload_fields::{self, Field, Kind},
};

/// The schema of every body.
pub(super) const PAYLOAD: &str = "EventPayload";

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
