//! The requests that the server sends: their headers, and what follows from each answer.

use serde_json::{Value, json};

/// Requests of one kind that the server sends for a door.
pub(crate) struct Outgoing {
    /// The name of their tag: generators of clients make a class of each tag, so a door's requests have another.
    pub(crate) tag: &'static str,
    /// The headers: name, meaning, example.
    pub(crate) headers: &'static [&'static [Header]],
    /// The answers of a receiver, and the result of each.
    pub(crate) answers: &'static [(&'static str, &'static str)],
}

/// The name of a header, its meaning and an example.
pub(crate) type Header = (&'static str, &'static str, &'static str);

/// The meaning of a vendor's signature header.
pub(crate) const HEX_SIGNATURE: &str = "`sha256=` and the lower-case hex of HMAC-SHA256 over the raw body, keyed with the signing secret; after a rotation with `after_overlap`, with the former one until the overlap ends.";

/// An example of a vendor's signature.
pub(crate) const A_HEX_SIGNATURE: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

/// The headers of every delivery beside its vendor's signature.
pub(crate) const DELIVERY_HEADERS: &[Header] = &[
    (
        "webhook-id",
        "The event's id, the same on every attempt and replay: handle it once.",
        "evt_01HXYZ6Z9Y8X7W6V5T4S3R2Q1P",
    ),
    ("webhook-timestamp", "When this attempt was made, in seconds since 1970.", "1776686100"),
    (
        "webhook-signature",
        "Standard Webhooks: `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`. There are several, with a space between, while a former secret signs too, and two of each secret that is `whsec_` and base64 without padding.",
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    ),
    ("ngoma-delivery", "The delivery's id.", "dlv_01HXYZ7A1B2C3D4E5F6G7H8J9K"),
    ("ngoma-attempt", "1 for the first attempt.", "1"),
    (TEST, "`true` for sample data of a test: not a real event.", "true"),
];

/// The header that only a test has.
const TEST: &str = "ngoma-test";

/// The result of an answer 2xx.
pub(crate) const RECEIVED: (&str, &str) = ("2XX", "Received: the delivery is done.");
/// The result of an answer 429 or 503.
pub(crate) const LATER: (&str, &str) =
    ("429", "Tried again later. A `Retry-After` header lengthens the wait, up to an hour. The same holds for 503.");
/// The result of any other answer.
pub(crate) const ANY_OTHER: (&str, &str) =
    ("default", "Any other answer, also a redirect, or no answer within the time-out: tried again on the schedule.");

/// Describes the headers of a request that the server sends, and the answers of its receiver.
pub(super) fn describe(operation: &mut Value, outgoing: &Outgoing) {
    let headers = outgoing.headers.iter().copied().flatten().map(|(name, meaning, example)| {
        json!({
            "name": name, "in": "header", "description": meaning, "required": *name != TEST,
            "schema": { "type": "string" }, "example": example,
        })
    });
    operation["parameters"] = headers.collect();
    let own = "\n\nA webhook's own `headers` come with each of its deliveries.";
    if outgoing.headers.contains(&DELIVERY_HEADERS)
        && let Some(Value::String(description)) = operation.get_mut("description")
    {
        description.push_str(own);
    }
    let answers =
        outgoing.answers.iter().map(|(status, meaning)| ((*status).to_owned(), json!({ "description": meaning })));
    operation["responses"] = Value::Object(answers.collect());
    if let Some(Value::Object(content)) = operation.pointer_mut("/requestBody/content") {
        *content = std::mem::take(content).into_iter().map(|(_, body)| ("application/json".to_owned(), body)).collect();
    }
}
