//! The headers of answers: each is described once, and every answer refers to those that it has.

use serde_json::{Map, Value, json};

use super::refusals::RATE_LIMIT;

/// The id of the request, in every answer.
const REQUEST_ID: &str = "X-Request-Id";

/// Statuses that are answered before a token is read, so they show no rate limit.
const BEFORE_TOKEN: [&str; 3] = ["401", "414", "431"];

/// The description of each header.
fn all() -> Value {
    let header = |meaning: &str, required: bool, schema: Value, example: Value| json!({ "description": meaning, "required": required, "schema": schema, "example": example });
    let number = || json!({ "type": "integer", "format": "int64", "minimum": 0 });
    json!({
        REQUEST_ID: header("The id of this request, which the server's log names too.", true, json!({ "type": "string" }), "req_01HXYZ8M9N8P7Q6R5S4T3V2W1X".into()),
        "WWW-Authenticate": header("Always `Bearer`: send a token.", true, json!({ "type": "string" }), "Bearer".into()),
        "Retry-After": header("How long to wait before the request is sent again, in seconds.", true, number(), 1.into()),
        "X-RateLimit-Limit": header("How many requests this token may make in a minute. Left out if there is no limit, and in a refusal that came before the token was read.", false, number(), 600.into()),
        "X-RateLimit-Remaining": header("How many requests this token may still make at once. Left out if there is no limit, and in a refusal that came before the token was read.", false, number(), 599.into()),
        "X-RateLimit-Reset": header("After how many seconds the whole limit is there again. Left out if there is no limit, and in a refusal that came before the token was read.", false, number(), 1.into()),
    })
}

/// Gives every answer a reference to each of its headers.
pub(super) fn describe(document: &mut Value) {
    let all = all();
    document["components"]["headers"] = all.clone();
    let items = document["paths"].as_object_mut().into_iter().flat_map(Map::values_mut);
    for operation in items.filter_map(Value::as_object_mut).flat_map(Map::values_mut) {
        let Some(responses) = operation["responses"].as_object_mut() else { continue };
        let limited = responses.get("429").is_some_and(|refusal| refusal["headers"].get(RATE_LIMIT[0]).is_some());
        for (status, response) in responses {
            let own = response["headers"].as_object().cloned().unwrap_or_default();
            let (known, others): (Map<_, _>, Map<_, _>) =
                own.into_iter().partition(|(name, _)| all.get(name).is_some());
            let mut names: Vec<String> =
                [REQUEST_ID.to_owned()].into_iter().chain(known.into_iter().map(|(name, _)| name)).collect();
            if limited && !BEFORE_TOKEN.contains(&status.as_str()) {
                let missing = RATE_LIMIT.iter().map(|name| (*name).to_owned()).filter(|name| !names.contains(name));
                names.extend(missing.collect::<Vec<_>>());
            }
            let reference = |name: String| {
                let reference = json!({ "$ref": format!("#/components/headers/{name}") });
                (name, reference)
            };
            let others = others.into_iter().map(|(name, header)| (usual(name), header));
            response["headers"] = Value::Object(names.into_iter().map(reference).chain(others).collect());
        }
    }
}

/// The usual spelling of a name that the library has put in capitals.
fn usual(name: String) -> String {
    ["Link", "ETag", "X-Ngoma-Warnings"]
        .into_iter()
        .find(|usual| usual.eq_ignore_ascii_case(&name))
        .map_or(name, Into::into)
}
