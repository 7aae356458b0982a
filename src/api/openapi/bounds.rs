//! The bounds of members and parameters: they are checked where each is read, and written into the document here, so that
//! a client can check them before it sends.

use serde_json::{Map, Value, json};

/// The bounds of the members of inputs, by name. Changes have none: another version is refused before they are read.
fn of_members() -> Value {
    json!({
        "name": { "maxLength": 80 },
        "description": { "maxLength": 500 },
        "secret": { "minLength": 1, "maxLength": 256 },
        "events": { "minItems": 1 },
        "rate_limit": { "minimum": 0, "maximum": 1000 },
        "expires_in": { "minimum": 60 },
    })
}

/// The bounds of parameters, by name.
fn of_parameters() -> Value {
    json!({
        "Idempotency-Key": { "minLength": 1, "maxLength": 255 },
        "limit": { "minimum": 1 },
        "since": { "format": "date-time" },
        "until": { "format": "date-time" },
        "created_from": { "format": "date-time" },
        "created_to": { "format": "date-time" },
    })
}

/// Writes the bounds into a document.
pub(super) fn bound(document: &mut Value) {
    let (members, parameters) = (of_members(), of_parameters());
    let known = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut).into_iter().flatten();
    for (name, schema) in known {
        if name.ends_with("Input") {
            for (name, member) in schema.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
                add(member, &members[name]);
            }
        }
    }
    let items = document["paths"].as_object_mut().into_iter().flat_map(Map::values_mut);
    for operation in items.filter_map(Value::as_object_mut).flat_map(Map::values_mut) {
        for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
            let bounds = &parameters[parameter["name"].as_str().unwrap_or_default()];
            add(&mut parameter["schema"], bounds);
        }
    }
}

fn add(schema: &mut Value, bounds: &Value) {
    if let (Some(schema), Some(bounds)) = (schema.as_object_mut(), bounds.as_object()) {
        schema.extend(bounds.clone());
    }
}
