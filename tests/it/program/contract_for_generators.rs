//! The contract, as generators of clients and readers of descriptions need it: tags, names, enumerations, maps, headers,
//! typed events, and descriptions that say what an operation changes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::support::{operations::EXPECTED, receiver::Receiver, world::World};

fn document() -> Value {
    serde_json::from_str(&ngoma::api::contract().expect("it is made")).expect("it is JSON")
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// The operations of a section, each with its method.
fn operations<'a>(document: &'a Value, section: &str) -> Vec<(&'a str, &'a Value)> {
    let items = members(&document[section]).map(|(_, item)| item);
    items.flat_map(members).map(|(method, operation)| (method.as_str(), operation)).collect()
}

fn id(operation: &Value) -> &str {
    operation["operationId"].as_str().expect("an id")
}

fn schema<'a>(document: &'a Value, name: &str) -> &'a Value {
    let schema = &document["components"]["schemas"][name];
    assert!(schema.is_object(), "there is no schema {name}");
    schema
}

/// The name of the schema that a reference leads to.
fn referred(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str().and_then(|text| text.strip_prefix("#/components/schemas/"))
}

fn words(document: &Value, name: &str) -> BTreeSet<String> {
    let list = schema(document, name)["enum"].as_array().unwrap_or_else(|| panic!("{name} is no enumeration"));
    list.iter().map(|word| word.as_str().expect("a word").to_owned()).collect()
}

#[test]
fn what_the_server_sends_has_tags_of_its_own() {
    let document = document();
    let tags = |section| -> BTreeSet<&str> {
        let all = operations(&document, section).into_iter();
        all.map(|(_, operation)| operation["tags"][0].as_str().expect("a tag")).collect()
    };
    let (taken, sent) = (tags("paths"), tags("webhooks"));
    assert_eq!(sent, ["ASG Gateway deliveries", "Account notices", "AsiliChain deliveries", "Operator alerts"].into());
    assert!(taken.is_disjoint(&sent), "{taken:?} and {sent:?}");
    let described: BTreeSet<&str> =
        document["tags"].as_array().into_iter().flatten().filter_map(|tag| tag["name"].as_str()).collect();
    assert_eq!(described, taken.union(&sent).copied().collect(), "each is described");
}

/// In Go, `NewX` is also the name of the function that makes an `X`.
#[test]
fn bodies_of_requests_are_named_inputs_and_no_schema_collides_in_go() {
    let document = document();
    for (_, operation) in operations(&document, "paths") {
        let body = &operation["requestBody"]["content"]["application/json"]["schema"];
        if let Some(name) = referred(body).or_else(|| referred(&body["anyOf"][0])) {
            let named =
                ["Input", "WebhookUpdate", "AccountUpdate", "WebhookTest"].iter().any(|end| name.ends_with(end));
            assert!(named, "{} takes {name}", id(operation));
        }
    }
    for (name, _) in members(&document["components"]["schemas"]) {
        assert!(!name.starts_with("New"), "{name} is also a function of Go's client");
    }
}

#[test]
fn an_open_object_is_said_to_be_a_map() {
    fn look(value: &Value, found: &mut usize) {
        if let Some(open) = value.get("additionalProperties") {
            assert!(*open == true || open["type"] == "string", "{value}");
            *found += 1;
        }
        members(value).for_each(|(_, member)| look(member, found));
        value.as_array().into_iter().flatten().for_each(|item| look(item, found));
    }
    let mut found = 0;
    look(&document()["components"], &mut found);
    assert!(found >= 18, "the data of an event, three times as any object and fifteen times with its fields: {found}");
}

#[test]
fn codes_and_names_of_events_are_enumerations() {
    let document = document();
    let codes = words(&document, "ErrorCode");
    assert_eq!(referred(&schema(&document, "ApiErrorDetail")["properties"]["code"]), Some("ErrorCode"));
    for (_, operation) in operations(&document, "paths") {
        for (status, response) in members(&operation["responses"]) {
            let text = response["description"].as_str().expect("a description");
            let named = text.split('`').skip(1).step_by(2);
            for code in named.filter(|word| word.len() > 3 && word.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
            {
                assert!(codes.contains(code), "{} answers {status} with {code}", id(operation));
            }
        }
    }
    let catalogue: BTreeSet<String> = World::new()
        .coop()
        .get("/event-types")
        .expect(200)
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| entry["name"].as_str().expect("a name").to_owned())
        .collect();
    assert_eq!((words(&document, "EventName"), catalogue.len()), (catalogue.clone(), 15));
    assert_eq!(words(&document, "AsgEventName"), ["task.settled".to_owned()].into());
    let events = [
        ("EventInput", "EventName"),
        ("AcceptedEvent", "EventName"),
        ("PublishedEvent", "EventName"),
        ("Delivery", "EventName"),
        ("EventSummary", "EventName"),
        ("AsgEventInput", "AsgEventName"),
        ("AsgAcceptedEvent", "AsgEventName"),
        ("AsgTaskSettled", "AsgEventName"),
        ("AsgDeliveryEntry", "AsgEventName"),
    ];
    for (name, words) in events {
        assert_eq!(referred(&schema(&document, name)["properties"]["event"]), Some(words), "{name}");
    }
}

/// The statuses of the head of a request, and of a fault of the server.
const EVERYWHERE: [u16; 3] = [400, 414, 431];

#[test]
fn each_operation_lists_only_the_statuses_that_it_gives() {
    let document = document();
    let (token, faults): (&[u16], &[u16]) = (&[401, 403, 429], &[500, 503]);
    for (_, operation) in operations(&document, "paths") {
        let mut expected: BTreeSet<u16> = EVERYWHERE.into();
        let id = id(operation);
        let own = EXPECTED.iter().find(|(name, ..)| *name == id).expect("it is expected").2;
        expected.insert(own);
        match id {
            "live" => {}
            "ready" => _ = expected.insert(503),
            "metrics" => expected.extend(token.iter().chain(faults).filter(|status| **status != 429)),
            _ => expected.extend(token.iter().chain(faults)),
        }
        if operation["requestBody"].is_object() {
            expected.extend([413, 415]);
        }
        // A recovery that only counts.
        if matches!(id, "recoverWebhook" | "asgRecoverWebhook" | "startRecovery" | "startRetry") {
            expected.insert(200);
        }
        let listed: BTreeSet<u16> =
            members(&operation["responses"]).map(|(status, _)| status.parse().expect("a status")).collect();
        let more: Vec<u16> = listed.difference(&expected).copied().collect();
        assert!(expected.is_subset(&listed), "{id}: {:?}", expected.difference(&listed));
        let of_its_own: &[u16] = match id {
            "registerWebhook" | "asgRegisterWebhook" | "asgPublishEvent" | "asgPublishBatch" | "testWebhook"
            | "asgTestWebhook" | "replayDelivery" | "asgReplayDelivery" | "replayAnyDelivery" | "recoverWebhook"
            | "asgRecoverWebhook" | "startRecovery" | "startRetry" => &[404, 409, 422],
            "rotateSecret" | "asgRotateSecret" => &[404, 409, 412, 422],
            "updateWebhook" | "asgUpdateWebhook" => &[404, 412, 422],
            "deleteWebhook" | "asgDeleteWebhook" => &[404, 412],
            "publishEvent" | "publishBatch" | "listDeliveries" | "asgListDeliveries" | "listAllDeliveries" => {
                &[404, 422]
            }
            "listEvents" => &[422],
            "retryDelivery" | "cancelDelivery" => &[404, 409],
            "createAccount" => &[409],
            "changeAccount" => &[404, 422],
            "live" | "ready" | "metrics" | "asgListWebhooks" | "listWebhooks" | "listEventTypes" | "getOverview"
            | "listAccounts" | "listAlerts" | "listAudit" | "listRecoveries" | "asgListRecoveries"
            | "listAllRecoveries" | "listRetries" => &[],
            _ => &[404],
        };
        assert_eq!(more, of_its_own, "{id}");
    }
}

#[test]
fn every_answer_lists_its_headers() {
    let document = document();
    for (_, operation) in operations(&document, "paths") {
        let limited = operation["responses"]["429"]["headers"].get("X-RateLimit-Limit").is_some();
        for (status, response) in members(&operation["responses"]) {
            let headers: BTreeSet<&str> = members(&response["headers"]).map(|(name, _)| name.as_str()).collect();
            let has = |name| headers.contains(name);
            let place = format!("{} {status}", id(operation));
            assert!(has("X-Request-Id"), "{place}");
            let is_refusal = response["description"].as_str().is_some_and(|text| !text.contains("`parts` says"));
            assert_eq!(has("Retry-After"), is_refusal && ["429", "503"].contains(&status.as_str()), "{place}");
            assert_eq!(has("WWW-Authenticate"), status == "401", "{place}");
            let shows = limited && !["401", "414", "431"].contains(&status.as_str());
            assert_eq!(has("X-RateLimit-Remaining"), shows, "{place}");
        }
    }
    // As it is listed, so it is answered.
    let world = World::with(|wish| wish.config.limits.requests_per_minute = 2);
    let coop = world.coop();
    let listed = |id: &str, status: u16| -> BTreeSet<String> {
        let all = operations(&document, "paths");
        let (_, operation) = all.iter().find(|(_, operation)| operation["operationId"] == id).expect("an operation");
        let headers = members(&operation["responses"][status.to_string()]["headers"]);
        // The link of a list is not on its last page.
        headers.map(|(name, _)| name.to_lowercase()).filter(|name| name != "link").collect()
    };
    let asked = [
        (200, coop.get("/webhooks")),
        (200, coop.get("/webhooks")),
        (429, coop.get("/webhooks")),
        (401, world.stranger().get("/webhooks")),
    ];
    for (status, answer) in asked {
        assert_eq!(answer.status, status);
        let shown: BTreeSet<String> = answer.headers.iter().map(|(name, _)| name.to_lowercase()).collect();
        for name in listed("listWebhooks", status) {
            assert!(shown.contains(&name), "a {status} has no {name}: {shown:?}");
        }
        for name in shown.iter().filter(|name| name.starts_with("x-r") || *name == "retry-after") {
            assert!(listed("listWebhooks", status).contains(name), "a {status} has {name}");
        }
    }
}

/// Tools that read descriptions alone choose by these two sentences.
#[test]
fn a_description_says_what_an_operation_does_and_then_what_it_changes() {
    let document = document();
    for section in ["paths", "webhooks"] {
        for (method, operation) in operations(&document, section) {
            let text = operation["description"].as_str().expect("a description").replace('\n', " ");
            let mut sentences = text.split_inclusive(". ");
            let (does, changes) = (sentences.next().expect("a sentence"), sentences.next().expect("a second one"));
            let place = format!("{}: {does}{changes}", id(operation));
            let verb = does.split(' ').next().expect("a word");
            assert!(verb.ends_with('s') && verb.starts_with(char::is_uppercase), "{place}");
            assert_eq!(changes.starts_with("It changes nothing."), method == "get", "{place}");
            assert!(changes.starts_with("It "), "{place}");
        }
    }
}

#[test]
fn a_410_says_what_it_does_to_the_webhook_of_each_vendor() {
    let document = document();
    let gone = |webhook: &str| document["webhooks"][webhook]["post"]["responses"]["410"]["description"].to_string();
    assert!(gone("event").contains("the webhook is suspended at once"), "{}", gone("event"));
    assert!(gone("task.settled").contains("The webhook stays active"), "{}", gone("task.settled"));
    assert!(gone("alert").contains("given up at once"), "{}", gone("alert"));
}

/// Whether a value is of the kind that the schema of a field names.
fn is_of(schema: &Value, value: &Value) -> bool {
    match (schema["type"].as_str(), schema["format"].as_str()) {
        (Some("string"), Some("date-time")) => {
            value.as_str().is_some_and(|text| text.ends_with('Z') && text.len() >= 20)
        }
        (Some("string"), None) => value.is_string(),
        (Some("number"), _) => value.is_number(),
        (Some("integer"), _) => value.is_i64(),
        (Some("boolean"), _) => value.is_boolean(),
        _ => false,
    }
}

#[test]
fn each_event_of_the_catalogue_has_its_fields_as_a_schema_and_the_body_is_one_of_them() {
    let document = document();
    let payload = schema(&document, "EventPayload");
    assert_eq!(payload["discriminator"]["propertyName"], "event");
    let mapping: BTreeMap<&String, &Value> = members(&payload["discriminator"]["mapping"]).collect();
    assert_eq!((mapping.len(), payload["oneOf"].as_array().map(Vec::len)), (15, Some(15)));
    let types = World::new().coop().get("/event-types").expect(200);
    for entry in types.as_array().expect("a list") {
        let event = entry["name"].as_str().expect("a name").to_owned();
        let body = mapping[&event].as_str().expect("a reference").to_owned();
        assert!(payload["oneOf"].as_array().into_iter().flatten().any(|choice| choice["$ref"] == *body), "{event}");
        let body = document.pointer(&body[1..]).expect("a schema");
        assert_eq!(body["properties"]["event"]["const"], event.as_str());
        let data = schema(&document, referred(&body["properties"]["data"]).expect("a reference"));
        let fields: BTreeSet<&String> = members(&data["properties"]).map(|(name, _)| name).collect();
        let sample: BTreeSet<&String> = members(&entry["sample"]).map(|(name, _)| name).collect();
        assert_eq!(fields, sample, "{event}: the sample has every field, and no other");
        for (name, value) in members(&entry["sample"]) {
            assert!(is_of(&data["properties"][name], value), "{event}.{name}: {value}");
        }
        assert!(data.get("required").is_none() && data["additionalProperties"] == true, "{event}: nothing is checked");
    }
}

/// What the schemas describe is no rule: a producer may send other fields, and a field of another kind.
#[test]
fn publishing_takes_any_data_whatever_the_schemas_describe() {
    let (world, receiver) = (World::new(), Receiver::new());
    let coop = world.coop();
    coop.webhook(&receiver.url(), &["*"], "s3cret");
    let data = serde_json::json!({ "weight_kg": "sixty", "colour": { "of": ["the", "bag"] }, "token_id": null });
    coop.publish("batch.exported", data.clone());
    world.settle();
    assert_eq!(receiver.only().json()["data"], data);
}
