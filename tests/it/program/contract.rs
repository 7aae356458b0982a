//! The contract: the committed document is the one that the types make, and it tells its reader everything.

use std::{fs, path::Path};

use serde_json::{Map, Value};

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

fn document() -> Value {
    serde_json::from_str(&ngoma::api::contract().expect("it is made")).expect("it is JSON")
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

#[test]
fn the_committed_document_is_the_one_that_is_served() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi/openapi.json");
    let committed = fs::read_to_string(path).expect("openapi/openapi.json");
    let made = ngoma::api::contract().expect("it is made");
    let differs = committed.lines().zip(made.lines()).position(|(committed, made)| committed != made);
    assert!(
        committed == made,
        "openapi/openapi.json differs from the types at line {}: run `cargo run -- openapi > openapi/openapi.json`, and \
         look at the diff: it is what subscribers will see",
        differs.map_or(committed.lines().count().min(made.lines().count()), |line| line) + 1
    );
}

#[test]
fn every_operation_says_what_it_is_for() {
    let document = document();
    let mut ids = Vec::new();
    for section in ["paths", "webhooks"] {
        for (path, item) in members(&document[section]) {
            for (method, operation) in members(item).filter(|(method, _)| METHODS.contains(&method.as_str())) {
                for field in ["summary", "description", "operationId"] {
                    let said = operation[field].as_str().is_some_and(|text| !text.trim().is_empty());
                    assert!(said, "{method} {path} has no {field}");
                }
                let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
                assert!(!ids.contains(&id), "two operations are called {id}");
                ids.push(id);
            }
        }
    }
    assert!(ids.len() >= 38, "operations are missing: {ids:?}");
}

#[test]
fn every_reference_leads_somewhere() {
    fn follow(document: &Value, value: &Value) {
        if let Some(reference) = value["$ref"].as_str() {
            let found = reference.strip_prefix('#').and_then(|pointer| document.pointer(pointer));
            assert!(found.is_some(), "{reference} leads nowhere");
        }
        members(value).for_each(|(_, member)| follow(document, member));
        value.as_array().into_iter().flatten().for_each(|item| follow(document, item));
    }
    let document = document();
    follow(&document, &document);
}

/// Properties and names of required ones, those of the parts and referenced schemas included.
fn shape(document: &Value, schema: &Value) -> (Map<String, Value>, Vec<String>) {
    let schema = match schema["$ref"].as_str() {
        Some(reference) => document.pointer(&reference[1..]).expect("it leads somewhere"),
        None => schema,
    };
    let mut properties = schema["properties"].as_object().cloned().unwrap_or_default();
    let required = schema["required"].as_array().into_iter().flatten();
    let mut required: Vec<String> = required.filter_map(Value::as_str).map(str::to_owned).collect();
    for part in schema["allOf"].as_array().into_iter().flatten() {
        let (more, needed) = shape(document, part);
        properties.extend(more);
        required.extend(needed);
    }
    (properties, required)
}

#[test]
fn every_schema_has_an_example_with_all_that_is_required_and_nothing_else() {
    let document = document();
    let mut count = 0;
    // An enumeration names all its values, and a choice the schemas of its kinds: they need no example.
    let plain = |schema: &Value| schema.get("enum").is_none() && schema.get("oneOf").is_none();
    for (name, schema) in members(&document["components"]["schemas"]).filter(|(_, schema)| plain(schema)) {
        let example = schema.get("example").unwrap_or_else(|| panic!("{name} has no example: add one beside its type"));
        let (properties, required) = shape(&document, schema);
        for field in &required {
            assert!(example.get(field).is_some(), "the example of {name} lacks {field}");
        }
        for (field, value) in members(example) {
            let of_a_map = || schema.get("additionalProperties").filter(|of| of.is_object());
            let property = properties.get(field).or_else(of_a_map);
            let property = property.unwrap_or_else(|| panic!("{name} has no {field}, its example has"));
            assert!(fits(&document, property, value), "the example of {name} has another type in {field}: {value}");
        }
        count += 1;
    }
    assert!(count >= 25, "schemas are missing");
}

/// Whether a value is of a type, and of an enumeration, that its schema admits.
fn fits(document: &Value, schema: &Value, value: &Value) -> bool {
    if let Some(reference) = schema["$ref"].as_str() {
        return document.pointer(&reference[1..]).is_some_and(|target| fits(document, target, value));
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        return choices.iter().any(|choice| fits(document, choice, value));
    }
    if schema["enum"].as_array().is_some_and(|allowed| !allowed.contains(value) && !value.is_null()) {
        return false;
    }
    let is = |kind: &str| match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => {
            value.as_array().is_some_and(|items| items.iter().all(|item| fits(document, &schema["items"], item)))
        }
        _ => value.is_object(),
    };
    match &schema["type"] {
        Value::String(kind) => is(kind),
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).any(is),
        _ => true,
    }
}
