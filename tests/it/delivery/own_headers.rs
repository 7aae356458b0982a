//! Metadata and own headers of a webhook: the owner's programs read the one, its receiver gets the other.

use std::fs;

use ngoma::store::endpoints;
use serde_json::{Value, json};

use crate::support::{
    browser::operator,
    leaks,
    operations::text,
    receiver::{Receiver, Reply},
    world::{COOP, World},
};

const VALUE: &str = "Bearer receiver-key-0123456789";
const PART: &str = "receiver-key-0123456789";

fn with_headers(receiver: &Receiver) -> Value {
    json!({ "url": receiver.url(), "events": ["*"], "cooperative_id": COOP, "secret": "s3cret",
            "headers": { "Authorization": VALUE, "X-Tenant": "mbale" }, "metadata": { "ticket": "OPS-12" } })
}

#[test]
fn own_headers_reach_the_receiver_at_every_attempt_test_and_replay_and_are_shown_masked() {
    let (world, receiver) = (World::new(), Receiver::new());
    let coop = world.coop();
    leaks::secret(PART);
    let made = coop.post("/webhooks", with_headers(&receiver)).expect(201);
    assert_eq!(made["headers"], json!({ "Authorization": "***", "X-Tenant": "***" }));
    assert_eq!(made["metadata"], json!({ "ticket": "OPS-12" }));
    let webhook = text(&made["webhook_id"]);
    let path = format!("/webhooks/{webhook}");
    let shown = coop.get(&path).expect(200);
    assert_eq!((&shown["headers"], &shown["metadata"]), (&made["headers"], &made["metadata"]));
    // A failed attempt and its retry, a replay, and a test.
    receiver.next([Reply::status(500)]);
    let accepted = coop.publish("dds.filed", json!({}));
    world.settle();
    world.advance("30s");
    let delivery = text(&accepted["deliveries"][0]["delivery_id"]);
    coop.post(&format!("{path}/replay/{delivery}"), json!({})).expect(202);
    world.settle();
    coop.post(&format!("{path}/test"), json!({})).expect(200);
    let posts = receiver.posts();
    assert_eq!(posts.len(), 4);
    for post in &posts {
        assert_eq!((post.header("authorization"), post.header("x-tenant")), (VALUE, "mbale"));
        assert!(post.headers.iter().any(|(name, _)| name == "X-Tenant"), "in the letter case that was given");
    }
    // The exact request shows them masked, in the API and on the page.
    let seen = world.operator().get(&format!("/operator/deliveries/{delivery}"));
    let headers = seen.expect(200)["request"]["headers"].to_string();
    assert!(headers.contains("Authorization") && headers.contains("***") && !seen.text.contains(PART), "{headers}");
    let page = operator(&world).get(&format!("/ui/deliveries/{delivery}")).text;
    assert!(page.contains("Authorization") && !page.contains(PART), "masked on the page");
    let page = operator(&world).get(&format!("/ui/webhooks/{webhook}")).text;
    assert!(page.contains("Authorization: ***") && page.contains("OPS-12") && !page.contains(PART), "{page}");
    assert!(!world.operator().get("/operator/audit").text.contains(PART), "nor in the audit");
    // They are encrypted in the file, also after a rotation of the key.
    world.write(endpoints::add_key).expect("a new key");
    assert!(!world.write(endpoints::forget_old_keys).expect("looked"));
    world.write(|tx| endpoints::reseal(tx, 0, 100)).expect("sealed again");
    assert!(world.write(endpoints::forget_old_keys).expect("forgotten"));
    coop.patch(&path, json!({ "metadata": {} })).expect(200);
    coop.publish("dds.filed", json!({}));
    world.settle();
    assert_eq!(receiver.last().header("authorization"), VALUE);
    let files = [world.database(), world.database().with_extension("db-wal")];
    let bytes: Vec<u8> = files.iter().flat_map(|file| fs::read(file).unwrap_or_default()).collect();
    let holds = |text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(holds("X-Tenant") && !holds(PART), "the names are in the clear, the values are not");
}

#[test]
fn headers_and_metadata_are_replaced_and_removed_and_change_the_version() {
    let (world, receiver) = (World::new(), Receiver::new());
    let (coop, customer) = (world.coop(), world.customer());
    let webhook = text(&coop.post("/webhooks", with_headers(&receiver)).expect(201)["webhook_id"]);
    let path = format!("/webhooks/{webhook}");
    let sent = || {
        coop.publish("dds.filed", json!({}));
        world.settle();
        receiver.last()
    };
    let first = coop.get(&path).header("etag").to_owned();
    coop.patch(&path, json!({ "headers": { "Authorization": "Bearer another-key-9876" } })).expect(200);
    let post = sent();
    assert_eq!((post.header("authorization"), post.header("x-tenant")), ("Bearer another-key-9876", ""));
    let second = coop.get(&path).header("etag").to_owned();
    assert_ne!(first, second);
    // A shown webhook may be sent back: a mask keeps its value.
    coop.patch(&path, json!({ "headers": { "authorization": "***", "X-Tenant": "gulu" } })).expect(200);
    let post = sent();
    assert_eq!((post.header("authorization"), post.header("x-tenant")), ("Bearer another-key-9876", "gulu"));
    let stranger = coop.patch(&path, json!({ "headers": { "authorization": "***", "X-Key": "***" } }));
    assert!(stranger.status == 400 && stranger.text.contains("headers.X-Key is ***"), "{}", stranger.text);
    coop.patch(&path, json!({ "name": "left alone" })).expect(200);
    assert_eq!(sent().header("authorization"), "Bearer another-key-9876");
    let bare = coop.patch(&path, json!({ "headers": {}, "metadata": { "a": "1", "b": "" } })).expect(200);
    assert_eq!((bare.get("headers"), &bare["metadata"]), (None, &json!({ "a": "1", "b": "" })));
    assert_eq!(sent().header("authorization"), "");
    let bare = coop.patch(&path, json!({ "metadata": {} })).expect(200);
    assert_eq!(bare.get("metadata"), None);
    // The other vendor's webhooks have them too.
    let body =
        json!({ "callback_url": receiver.url(), "headers": { "X-Key": "a key of ours" }, "metadata": { "k": "v" } });
    let made = customer.post("/v1/webhooks", body).expect(201);
    assert_eq!((&made["headers"], &made["metadata"]), (&json!({ "X-Key": "***" }), &json!({ "k": "v" })));
    customer.post(&format!("/v1/webhooks/{}/test", text(&made["webhook_id"])), json!({})).expect(200);
    assert_eq!(receiver.last().header("x-key"), "a key of ours");
}

#[test]
fn names_that_the_server_or_http_needs_and_values_that_http_cannot_carry_are_refused() {
    let (world, receiver) = (World::new(), Receiver::new());
    let coop = world.coop();
    let register = |key: &str, entries: Value| {
        let mut body = json!({ "url": receiver.url(), "events": ["*"], "cooperative_id": COOP });
        body[key] = entries;
        coop.post("/webhooks", body)
    };
    let reserved = [
        "Host",
        "content-type",
        "Content-Length",
        "user-agent",
        "Transfer-Encoding",
        "Connection",
        "webhook-id",
        "Webhook-Foo",
        "ngoma-attempt",
        "X-ASG-Signature",
        "X-AsiliChain-Signature",
        "X_ASG_Signature",
        "Webhook_Id",
        "Ngoma_Test",
        "Content_Length",
        "Upgrade",
        "TE",
        "Expect",
        "Accept",
        "a b",
        "",
        "a:b",
        "é",
        "x\r\ny",
    ];
    for name in reserved {
        let answer = register("headers", json!({ name: "value-that-is-secret" }));
        assert_eq!(answer.code(400), "INVALID_REQUEST", "{name}");
        assert!(
            answer.text.contains("headers has") && !answer.text.contains("value-that-is-secret"),
            "{}",
            answer.text
        );
    }
    for value in ["", " x", "x ", "a\r\nb: c", "a\u{0}b", "é", &"v".repeat(1025)] {
        let answer = register("headers", json!({ "X-Key": value }));
        assert!(answer.status == 400 && answer.text.contains("headers.X-Key"), "{value:?}: {}", answer.text);
    }
    assert_eq!(register("headers", json!({ "X-Key": "a", "x-key": "b" })).status, 400, "one name twice");
    let many: serde_json::Map<String, Value> = (0..11).map(|n| (format!("X-{n}"), json!("v"))).collect();
    assert_eq!(register("headers", Value::Object(many)).status, 400);
    let many: serde_json::Map<String, Value> = (0..21).map(|n| (format!("k{n}"), json!("v"))).collect();
    for wrong in [
        Value::Object(many),
        json!({ "": "v" }),
        json!({ "k".repeat(41): "v" }),
        json!({ "k": "v".repeat(501) }),
        json!({ "k": "a\nb" }),
        json!({ "k": "a\u{202e}b" }),
        json!({ "a\u{2066}b": "v" }),
        json!({ "k": 1 }),
    ] {
        assert_eq!(register("metadata", wrong.clone()).code(400), "INVALID_REQUEST", "{wrong}");
    }
    assert_eq!(coop.get("/webhooks").expect(200), json!([]), "nothing is half-stored");
}

#[test]
fn a_name_that_stands_twice_and_a_mask_of_nothing_are_refused() {
    let (world, receiver) = (World::new(), Receiver::new());
    let (coop, url) = (world.coop(), receiver.url());
    for (member, value, said) in [
        ("headers", r#"{"X-Key":"a","X-Key":"b"}"#, "is there twice"),
        ("metadata", r#"{"k":"a","k":"b"}"#, "is there twice"),
        ("headers", r#"{"X-Key":"***"}"#, "stands for a value"),
    ] {
        let body = format!(r#"{{"url":"{url}","events":["*"],"cooperative_id":"{COOP}","{member}":{value}}}"#);
        let answer = coop.post_text("/webhooks", &body);
        assert!(answer.status == 400 && answer.text.contains(said), "{member}: {}", answer.text);
    }
    assert_eq!(coop.get("/webhooks").expect(200), json!([]));
}

#[test]
fn what_a_receiver_sends_back_is_kept_with_the_values_masked() {
    let (world, receiver) = (World::new(), Receiver::new());
    let coop = world.coop();
    leaks::secret(PART);
    let webhook = text(&coop.post("/webhooks", with_headers(&receiver)).expect(201)["webhook_id"]);
    let body = format!("{{\"you\":\"{VALUE}\",\"part\":\"{PART}\"}}");
    let cut = format!("{}{PART}", "x".repeat(4096 - 10));
    receiver.next([
        Reply::Answer(400, "x-echo: Bearer receiver-key-0123456789\r\n", body.clone().into_bytes()),
        Reply::Answer(400, "", cut.into_bytes()),
    ]);
    let accepted = coop.publish("dds.filed", json!({}));
    world.settle();
    world.advance("30s");
    let delivery = coop.delivery(&webhook, &text(&accepted["deliveries"][0]["delivery_id"]));
    let attempts = delivery["attempts"].as_array().expect("attempts");
    assert_eq!(attempts[0]["response_body"], r#"{"you":"***","part":"***"}"#);
    assert!(text(&attempts[0]["response_headers"]).contains("x-echo: ***"), "{attempts:?}");
    let kept = text(&attempts[1]["response_body"]);
    assert!(kept.ends_with("xxx***") && !kept.contains("receiver-k"), "a beginning of it at the cut");
    receiver.next([Reply::Answer(200, "", body.into_bytes())]);
    let tested = coop.post(&format!("/webhooks/{webhook}/test"), json!({})).expect(200);
    assert_eq!(tested["response_body"], r#"{"you":"***","part":"***"}"#);
}
