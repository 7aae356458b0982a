//! The contract: one OpenAPI document, generated from the types. `/openapi.json`, the docs page and the committed file
//! are made of it.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value, json};

/// The version that is published: the first in which `webhooks` is legal.
const OPENAPI: &str = "3.1.0";

/// The part of the document that a door's types cannot say.
pub(crate) struct Supplement {
    /// The name of its tag.
    pub(crate) tag: &'static str,
    /// An example of each schema. In it the text `@Name` stands for the example of another schema, and the key `@` for
    /// all members of one.
    pub(crate) schemas: &'static [(&'static str, &'static str)],
    /// An example of each parameter, by name.
    pub(crate) parameters: &'static [(&'static str, &'static str)],
    /// The header of its signature, if it delivers events.
    pub(crate) signature: Option<&'static str>,
}

/// The headers of every delivery beside its vendor's signature: name, meaning, example.
const DELIVERY_HEADERS: [(&str, &str, &str); 6] = [
    (
        "webhook-id",
        "The event's id, the same on every attempt and replay: handle it once.",
        "evt_01HXYZ6Z9Y8X7W6V5T4S3R2Q1P",
    ),
    ("webhook-timestamp", "When this attempt was made, in seconds since 1970.", "1776686100"),
    (
        "webhook-signature",
        "Standard Webhooks: `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`. There are two, with a space between, while a former secret signs too, and for a secret that is `whsec_` and base64 without padding.",
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    ),
    ("ngoma-delivery", "The delivery's id.", "dlv_01HXYZ7A1B2C3D4E5F6G7H8J9K"),
    ("ngoma-attempt", "1 for the first attempt.", "1"),
    ("ngoma-test", "`true` for sample data of a test: not a real event.", "true"),
];

/// How many of them Standard Webhooks defines: the first ones.
const STANDARD_HEADERS: usize = 3;

/// The answers of a receiver, and the result of each.
const RECEIVER_ANSWERS: [(&str, &str); 4] = [
    ("2XX", "Received: the delivery is done."),
    ("410", "Gone: no further attempt of this delivery."),
    ("429", "Tried again later. A `Retry-After` header lengthens the wait, up to an hour. The same holds for 503."),
    ("default", "Any other answer, also a redirect, or no answer within the time-out: tried again on the schedule."),
];

/// The answers to a notice, and the result of each.
const NOTICE_ANSWERS: [(&str, &str); 3] = [
    ("2XX", "Received."),
    ("410", "Gone: this notice is not sent again."),
    (
        "default",
        "Any other answer, or none: sent again after 5 s, 15 s, 1 min and 10 min, then every hour, for 7 days.",
    ),
];

/// Turns the document of poem-openapi, which has the form of 3.0, into a 3.1 document with examples and with the
/// deliveries.
///
/// In 3.1 the `type` of a property says whether it may be null. Here every property that is not required may be null,
/// as serde reads and writes all bodies. Generators of clients understand this form: see tests/it/program/generated.rs.
pub(crate) fn publish(generated: &str, supplements: &[Supplement]) -> serde_json::Result<Value> {
    let mut document: Value = serde_json::from_str(generated)?;
    document["openapi"] = OPENAPI.into();
    modernise(&mut document);
    let taken = taken(&document);
    let examples: Examples = supplements.iter().flat_map(|supplement| supplement.schemas).copied().collect();
    if let Some(Value::Object(schemas)) = document.pointer_mut("/components/schemas") {
        for (name, text) in &examples {
            if let Some(schema) = schemas.get_mut(*name) {
                let example = complete(serde_json::from_str(text)?, &examples)?;
                exemplify(schema, &example);
                admit_null(schema);
                if !taken.contains(*name) {
                    require(schema, &example);
                }
            }
        }
    }
    for (section, of_path) in [("paths", false), ("webhooks", true)] {
        for operation in operations(&mut document[section]) {
            // An operation without a token says so.
            operation.as_object_mut().map(|operation| operation.entry("security").or_insert_with(|| json!([])));
            let supplement = supplements.iter().find(|supplement| operation["tags"][0] == supplement.tag);
            let Some(supplement) = supplement else { continue };
            if of_path {
                describe_delivery(operation, supplement);
            }
            for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
                // An enumeration needs no example: it lists its values.
                let is_plain = parameter.pointer("/schema/$ref").is_none();
                let mut examples = supplement.parameters.iter().filter(|_| is_plain);
                let example = examples.find(|(name, _)| parameter["name"] == *name);
                if let Some((_, example)) = example {
                    let is_text = parameter["schema"]["type"] == "string";
                    parameter["example"] = if is_text { (*example).into() } else { serde_json::from_str(example)? };
                }
            }
        }
    }
    Ok(document)
}

/// The example of each schema, by its name.
type Examples = HashMap<&'static str, &'static str>;

/// Puts other examples in the places of their names.
fn complete(example: Value, examples: &Examples) -> serde_json::Result<Value> {
    match example {
        Value::String(text) => match text.strip_prefix('@').and_then(|name| examples.get(name)) {
            Some(other) => complete(serde_json::from_str(other)?, examples),
            None => Ok(Value::String(text)),
        },
        Value::Array(items) => items.into_iter().map(|item| complete(item, examples)).collect(),
        Value::Object(members) => {
            let mut whole = Map::new();
            for (name, value) in members {
                match complete(value, examples)? {
                    Value::Object(part) if name == "@" => whole.extend(part),
                    value => drop(whole.insert(name, value)),
                }
            }
            Ok(Value::Object(whole))
        }
        other => Ok(other),
    }
}

/// The schemas of request bodies, with all schemas inside of them.
fn taken(document: &Value) -> BTreeSet<String> {
    fn follow(document: &Value, value: &Value, taken: &mut BTreeSet<String>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| follow(document, item, taken)),
            Value::Object(map) => map.values().for_each(|value| follow(document, value, taken)),
            Value::String(text) => {
                if let Some(name) = text.strip_prefix("#/components/schemas/")
                    && taken.insert(name.to_owned())
                {
                    follow(document, &document["components"]["schemas"][name], taken);
                }
            }
            _ => {}
        }
    }
    let mut taken = BTreeSet::new();
    for item in document["paths"].as_object().into_iter().flat_map(Map::values) {
        for operation in item.as_object().into_iter().flat_map(Map::values) {
            follow(document, &operation["requestBody"], &mut taken);
        }
    }
    taken
}

/// Marks response properties as required if the example has them: they are always there, if only as null.
fn require(schema: &mut Value, example: &Value) {
    for part in schema.get_mut("allOf").and_then(Value::as_array_mut).into_iter().flatten() {
        require(part, example);
    }
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        schema["required"] = properties.keys().filter(|name| example.get(name).is_some()).cloned().collect();
    }
}

fn operations(section: &mut Value) -> impl Iterator<Item = &mut Value> {
    let items = section.as_object_mut().into_iter().flat_map(|items| items.values_mut());
    items.filter_map(Value::as_object_mut).flat_map(|item| item.values_mut())
}

/// Gives a schema its example, and each of its properties its part of it.
fn exemplify(schema: &mut Value, example: &Value) {
    for part in schema.get_mut("allOf").and_then(Value::as_array_mut).into_iter().flatten() {
        if part.get("properties").is_some() {
            exemplify(part, example);
        }
    }
    for (name, property) in schema.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
        if let Some(part) = example.get(name).filter(|_| property.get("$ref").is_none()) {
            property["example"] = part.clone();
        }
    }
    schema["example"] = example.clone();
}

/// Describes the headers of a delivery, and the answers of its receiver.
fn describe_delivery(operation: &mut Value, supplement: &Supplement) {
    let signature = supplement.signature.map(|header| {
        let meaning =
            "`sha256=` and the lower-case hex of HMAC-SHA256 over the raw body, keyed with the signing secret.";
        (header, meaning, "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17")
    });
    // A notice of the operator's has the headers of Standard Webhooks alone.
    let own = if signature.is_some() { &DELIVERY_HEADERS[..] } else { &DELIVERY_HEADERS[..STANDARD_HEADERS] };
    let headers = signature.into_iter().chain(own.iter().copied()).map(|(name, meaning, example)| {
        json!({
            "name": name, "in": "header", "description": meaning, "required": name != "ngoma-test",
            "schema": { "type": "string" }, "example": example,
        })
    });
    operation["parameters"] = headers.collect();
    let answers = if supplement.signature.is_some() { &RECEIVER_ANSWERS[..] } else { &NOTICE_ANSWERS[..] };
    let answers = answers.iter().map(|(status, meaning)| ((*status).to_owned(), json!({ "description": meaning })));
    operation["responses"] = Value::Object(answers.collect());
    if let Some(Value::Object(content)) = operation.pointer_mut("/requestBody/content") {
        *content = std::mem::take(content).into_iter().map(|(_, body)| ("application/json".to_owned(), body)).collect();
    }
}

/// Rewrites the parts that 3.1 writes in another way: `nullable`, exclusive bounds that are booleans, and references
/// with a description. Marks each time as a `date-time`.
fn modernise(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(modernise),
        Value::Object(map) => {
            describe_reference(map);
            for (name, property) in map.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
                if is_time(name) && property["type"] == "string" {
                    property["format"] = "date-time".into();
                }
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
    ["_at", "since", "until", "created_from", "created_to", "timestamp"].iter().any(|end| name.ends_with(end))
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
    }
}
