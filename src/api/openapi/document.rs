//! The contract: one OpenAPI document, generated from the types. `/openapi.json`, the docs page and the committed file
//! are made of it.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value, json};

use super::{
    bounds,
    modern::{admit_null, modernise},
    outgoing::{Outgoing, describe},
    response_headers,
};

/// The members of a change that null removes. Each other one must have a value, or be left out.
const REMOVED_BY_NULL: [&str; 5] = ["name", "description", "metadata", "headers", "rate_limit"];

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
    /// The schemas that are made from a table, each whole and with its example.
    pub(crate) made: fn() -> Vec<(String, Value)>,
    /// The requests that the server sends for it, each kind with a tag of its own.
    pub(crate) outgoing: &'static [Outgoing],
}

/// Turns the document of poem-openapi, which has the form of 3.0, into a 3.1 document with examples and with the
/// deliveries.
///
/// In 3.1 the `type` of a property says whether it may be null. Here every property that is not required may be null,
/// as serde reads and writes all bodies. Generators of clients understand this form: see tests/it/program/generated.rs.
pub(crate) fn publish(generated: &str, supplements: &[Supplement]) -> serde_json::Result<Value> {
    let mut document: Value = serde_json::from_str(generated)?;
    document["openapi"] = OPENAPI.into();
    modernise(&mut document);
    response_headers::describe(&mut document);
    let taken = taken(&document);
    let examples: Examples = supplements.iter().flat_map(|supplement| supplement.schemas).copied().collect();
    if let Some(Value::Object(schemas)) = document.pointer_mut("/components/schemas") {
        for (name, text) in &examples {
            if let Some(schema) = schemas.get_mut(*name) {
                let example = complete(serde_json::from_str(text)?, &examples)?;
                exemplify(schema, &example);
                let changes = name.ends_with("WebhookUpdate");
                admit_null(schema, if changes { |name| REMOVED_BY_NULL.contains(&name) } else { |_| true });
                if !taken.contains(*name) {
                    require(schema, &example);
                }
            }
        }
    }
    for (name, schema) in supplements.iter().flat_map(|supplement| (supplement.made)()) {
        document["components"]["schemas"][name] = schema;
    }
    for operation in operations(&mut document["webhooks"]) {
        let outgoing = supplements.iter().flat_map(|supplement| supplement.outgoing);
        if let Some(outgoing) = outgoing.into_iter().find(|outgoing| operation["tags"][0] == outgoing.tag) {
            describe(operation, outgoing);
        }
    }
    for section in ["paths", "webhooks"] {
        for operation in operations(&mut document[section]) {
            // An operation without a token says so.
            operation.as_object_mut().map(|operation| operation.entry("security").or_insert_with(|| json!([])));
            let supplement = supplements.iter().find(|supplement| operation["tags"][0] == supplement.tag);
            let Some(supplement) = supplement else { continue };
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
    bounds::bound(&mut document);
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
