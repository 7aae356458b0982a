//! From the form of OpenAPI 3.0, in which the types are written, to that of 3.1.

use serde_json::{Map, Value, json};

/// The formats of unsigned integers, which OpenAPI does not have, and those that hold the same numbers.
const FORMATS: [(&str, &str); 3] = [("uint16", "int32"), ("uint32", "int64"), ("uint64", "int64")];

/// Rewrites the parts that 3.1 writes in another way: `nullable`, exclusive bounds that are booleans, and references
/// with a description. Marks each time as a `date-time`, each open object as a map, and gives integers the formats that
/// generators know.
pub(super) fn modernise(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(modernise),
        Value::Object(map) => {
            describe_reference(map);
            for (name, property) in map.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
                if is_time(name) && property["type"] == "string" {
                    property["format"] = "date-time".into();
                }
            }
            if map.get("additionalProperties").is_some_and(|any| any.as_object().is_some_and(Map::is_empty)) {
                map.insert("additionalProperties".to_owned(), true.into());
            }
            if let Some((_, format)) =
                FORMATS.iter().find(|(unsigned, _)| map.get("format") == Some(&(*unsigned).into()))
            {
                map.insert("format".to_owned(), (*format).into());
                map.insert("minimum".to_owned(), 0.into());
            }
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

/// Whether a property of this name is a time.
fn is_time(name: &str) -> bool {
    ["_at", "since", "until", "created_from", "created_to", "cancelled_from", "timestamp"]
        .iter()
        .any(|end| name.ends_with(end))
}

/// Puts the description of a reference beside it. In 3.0 an `allOf` holds the two, in which generators of clients see a
/// type of its own, or none.
fn describe_reference(schema: &mut Map<String, Value>) {
    if let Some([reference, Value::Object(said)]) = schema.get("allOf").and_then(Value::as_array).map(Vec::as_slice)
        && let Some(reference) = reference.get("$ref").cloned()
        && !said.contains_key("properties")
    {
        let said = said.clone();
        schema.remove("allOf");
        schema.extend(said);
        schema.insert("$ref".to_owned(), reference);
    }
}

/// Lets every property that is not required be null, if `may` says so of its name.
pub(super) fn admit_null(schema: &mut Value, may: fn(&str) -> bool) {
    for part in schema.get_mut("allOf").and_then(Value::as_array_mut).into_iter().flatten() {
        admit_null(part, may);
    }
    let required: Vec<Value> = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let Some(Value::Object(properties)) = schema.get_mut("properties") else { return };
    for (name, property) in properties {
        if may(name)
            && !required.iter().any(|required| required == name)
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
    }
}
