//! The contract: one OpenAPI document, generated from the types, from which `/openapi.json`, the docs page and the
//! committed file all come.

use serde_json::{Map, Value, json};

/// The version that is published: the first in which `webhooks` is legal.
const OPENAPI: &str = "3.1.0";

/// Turns the document that poem-openapi writes (3.0 in form) into a 3.1 document with an example of every schema.
///
/// In 3.1 what may be null says so in its `type`; and every property that is not required may be null here, as the
/// readers and writers of all bodies are serde's.
pub(super) fn publish(generated: &str, examples: &[(&str, &str)]) -> serde_json::Result<Value> {
    let mut document: Value = serde_json::from_str(generated)?;
    document["openapi"] = OPENAPI.into();
    modernise(&mut document);
    if let Some(Value::Object(schemas)) = document.pointer_mut("/components/schemas") {
        for (name, example) in examples {
            if let Some(schema) = schemas.get_mut(*name) {
                schema["example"] = serde_json::from_str(example)?;
            }
        }
        schemas.values_mut().for_each(admit_null);
    }
    Ok(document)
}

/// Rewrites what 3.1 says in another way: `nullable`, and exclusive bounds that were booleans.
fn modernise(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(modernise),
        Value::Object(map) => {
            if map.remove("nullable") == Some(Value::Bool(true)) {
                nullable(map);
            }
            for (bound, exclusive) in [("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")] {
                match map.get(exclusive) {
                    Some(Value::Bool(true)) => {
                        let limit = map.remove(bound).unwrap_or_default();
                        map.insert(exclusive.to_owned(), limit);
                    }
                    Some(Value::Bool(false)) => drop(map.remove(exclusive)),
                    _ => {}
                }
            }
            map.values_mut().for_each(modernise);
        }
        _ => {}
    }
}

/// Lets every property that is not required be null.
fn admit_null(schema: &mut Value) {
    for part in schema.get_mut("allOf").and_then(Value::as_array_mut).into_iter().flatten() {
        admit_null(part);
    }
    let required: Vec<Value> = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let Some(Value::Object(properties)) = schema.get_mut("properties") else { return };
    for (name, property) in properties {
        if !required.iter().any(|required| required == name)
            && let Value::Object(property) = property
        {
            nullable(property);
        }
    }
}

fn nullable(schema: &mut Map<String, Value>) {
    if let Some(Value::String(kind)) = schema.get("type") {
        let kinds = json!([kind, "null"]);
        schema.insert("type".to_owned(), kinds);
    } else if let Some(reference) = schema.remove("$ref") {
        schema.insert("anyOf".to_owned(), json!([{ "$ref": reference }, { "type": "null" }]));
    } else if let Some(parts) = schema.remove("allOf") {
        schema.insert("anyOf".to_owned(), json!([{ "allOf": parts }, { "type": "null" }]));
    }
}
