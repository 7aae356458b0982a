//! Bad input gets a clear 4xx in the vendor's own error shape; nothing is half-stored, and never a 5xx.

use serde_json::json;

use crate::support::{
    client::Client,
    receiver::Receiver,
    world::{COOP, Holder, Wish, World},
};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

#[test]
fn broken_json_wrong_types_and_missing_fields_are_named() {
    let world = World::new();
    let coop = world.coop();
    let cases = [
        ("/webhooks", "{", "ends in the middle of an object"),
        ("/webhooks", "", "empty"),
        ("/webhooks", r#"{"url":"https://x.example/","events":["*"]}"#, "cooperative_id"),
        ("/webhooks", r#"{"url":7,"events":["*"],"cooperative_id":"COOP-MBALE-001"}"#, "url"),
        (
            "/webhooks",
            r#"{"url":"https://x.example/","events":["*",1],"cooperative_id":"COOP-MBALE-001"}"#,
            "events[1]",
        ),
        ("/webhooks", r#"{"url":"https://x.example/","events":[],"cooperative_id":"COOP-MBALE-001"}"#, "events"),
        (
            "/webhooks",
            r#"{"url":"https://x.example/","events":["*"],"cooperative_id":"COOP-MBALE-001","secret":""}"#,
            "secret",
        ),
        ("/events", r#"{"event":"dds.filed","cooperative_id":"COOP-MBALE-001"}"#, "data"),
        ("/events", r#"{"event":"dds.filed","data":{},"created_at":"monday"}"#, "created_at"),
        ("/events", "{} {}", "follows its end"),
        ("/events", "\u{0}", "body"),
    ];
    for (path, body, word) in cases {
        let answer = coop.post_text(path, body);
        assert_eq!(answer.code(400), "INVALID_REQUEST", "{body}");
        assert!(answer.text.contains(word), "{body}: {}", answer.text);
    }
    assert_eq!(coop.send("POST", "/events", &JSON, Some(b"{\"event\":\"\xff\"}")).code(400), "INVALID_REQUEST");
    assert_eq!(coop.get("/webhooks").expect(200), json!([]), "nothing is half-stored");
}

#[test]
fn unknown_events_and_filters_that_match_nothing_are_refused() {
    let world = World::new();
    let coop = world.coop();
    for entry in ["batch.eaten", "batch*", "batch.", "*.*", "", "moon.*", "BATCH.EXPORTED", "batch.exported "] {
        let body = json!({ "url": "http://127.0.0.1:1/", "events": [entry], "cooperative_id": COOP });
        assert_eq!(coop.post("/webhooks", body).code(422), "UNKNOWN_EVENT", "{entry}");
    }
    let body = json!({ "event": "batch.*", "cooperative_id": COOP, "data": {} });
    assert_eq!(coop.post("/events", body).code(422), "UNKNOWN_EVENT");
}

#[test]
fn targets_that_cannot_be_used_are_refused() {
    let world = World::new();
    let (coop, customer) = (world.coop(), world.customer());
    let long = format!("https://x.example/{}", "a".repeat(2048));
    let urls = [
        "",
        "nonsense",
        "ftp://x.example/",
        "https://user:pass@x.example/",
        "https://x.example:0/",
        "http://",
        "https://x.example:65536/",
        "http://10.0.0.1/",
        "http://169.254.169.254/latest",
        "http://[::1]/",
        &long,
    ];
    for url in urls {
        let body = json!({ "url": url, "events": ["*"], "cooperative_id": COOP });
        assert_eq!(coop.post("/webhooks", body).code(422), "URL_NOT_ALLOWED", "{url}");
        customer.post("/v1/webhooks", json!({ "callback_url": url })).sentence(422);
    }
    let refused = coop.post("/webhooks", json!({ "url": "http://10.0.0.1/", "events": ["*"], "cooperative_id": COOP }));
    assert!(refused.text.contains("its address is not allowed"), "{}", refused.text);
    let webhook = coop.webhook("http://127.0.0.1:1/", &["*"], "s");
    let patched = coop.patch(&format!("/webhooks/{webhook}"), json!({ "url": "http://10.0.0.1/" }));
    assert_eq!(patched.code(422), "URL_NOT_ALLOWED");
}

#[test]
fn plain_http_is_refused_unless_the_operator_allows_it() {
    let world = World::with(|wish: &mut Wish| wish.config.egress.allow_http = false);
    let refused = world
        .coop()
        .post("/webhooks", json!({ "url": "http://127.0.0.1:1/", "events": ["*"], "cooperative_id": COOP }));
    assert_eq!(refused.code(422), "URL_NOT_ALLOWED");
    assert!(refused.text.contains("allow_http"), "{}", refused.text);
}

#[test]
fn a_body_that_is_not_json_by_its_type_is_refused() {
    let world = World::new();
    let (coop, customer) = (world.coop(), world.customer());
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "json",
        "application/json; charset=utf-16",
        "application/json;version=1; CharSet=\"latin1\"",
    ] {
        let headers = [("content-type", kind)];
        assert_eq!(coop.send("POST", "/events", &headers, Some(b"{}")).code(415), "UNSUPPORTED_MEDIA_TYPE", "{kind}");
        customer.send("POST", "/v1/events", &headers, Some(b"{}")).sentence(415);
    }
    for kind in ["application/json; charset=utf-8", "Application/JSON", "application/json;charset=\"UTF-8\"; version=1"]
    {
        assert_eq!(coop.send("POST", "/events", &[("content-type", kind)], Some(b"{}")).status, 400, "{kind}");
    }
}

#[test]
fn a_body_that_is_compressed_is_refused() {
    let world = World::new();
    let body = json!({ "event": "dds.filed", "cooperative_id": COOP, "data": {} }).to_string();
    let send = |client: &Client, path: &str, coding: &str| {
        let headers = [("content-type", "application/json"), ("content-encoding", coding)];
        client.send("POST", path, &headers, Some(body.as_bytes()))
    };
    for coding in ["gzip", "br", "identity, gzip"] {
        let refused = send(&world.coop(), "/events", coding);
        assert_eq!(refused.code(415), "UNSUPPORTED_MEDIA_TYPE", "{coding}");
        assert!(refused.text.contains("Content-Encoding"), "{}", refused.text);
        send(&world.customer(), "/v1/events", coding).sentence(415);
    }
    for coding in ["identity", "Identity"] {
        send(&world.coop(), "/events", coding).expect(202);
    }
}

#[test]
fn a_refusal_repeats_only_the_start_of_a_long_value() {
    /// A sentence of ours, and about 100 characters of theirs.
    const MOST: usize = 1000;
    let world = World::new();
    let (coop, customer) = (world.coop(), world.customer());
    let webhook = coop.webhook("http://127.0.0.1:1/", &["*"], "s");
    let long = "\u{e9}".repeat(100_000);
    let refusals = [
        coop.post("/webhooks", json!({ "url": "http://127.0.0.1:1/", "events": [long], "cooperative_id": COOP })),
        coop.post("/webhooks", json!({ "url": "http://127.0.0.1:1/", "events": ["*"], "cooperative_id": long })),
        coop.post("/webhooks", json!({ "url": "http://127.0.0.1:1/", "events": long, "cooperative_id": COOP })),
        coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": long })),
        coop.post(&format!("/webhooks/{webhook}/test"), json!({ "event": long })),
        coop.post("/events", json!({ "event": long, "data": {} })),
        coop.post_text("/events", &format!(r#"{{"event":"dds.filed","data":{{"{}":1e400}}}}"#, &long[..60_000])),
        customer.post("/v1/events", json!({ "event": long, "task_id": "t", "consensus_label": "cat", "confidence": 1, "bsv_txid": "x", "settled_at": "x" })),
    ];
    for refused in refusals {
        assert!((400..500).contains(&refused.status), "{}", refused.status);
        assert!(refused.text.len() < MOST, "{} bytes: {:.300}", refused.text.len(), refused.text);
    }
    // Both ends of the message are shown: the value and the expectation.
    let status = coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": long })).text;
    assert!(status.contains("unknown variant") && status.contains("SUSPENDED"), "{status}");
}

#[test]
fn a_body_over_max_body_bytes_is_refused_however_it_is_sent() {
    let world = World::with(|wish: &mut Wish| wish.config.server.max_body_bytes = 20_000);
    let (coop, customer) = (world.coop(), world.customer());
    let publish = |size: usize| {
        let body = json!({ "event": "dds.filed", "cooperative_id": COOP, "data": { "x": "" } }).to_string();
        body.replace("\"x\":\"\"", &format!("\"x\":\"{}\"", "y".repeat(size - body.len())))
    };
    coop.post_text("/events", &publish(20_000)).expect(202);
    assert_eq!(coop.post_text("/events", &publish(20_001)).code(413), "PAYLOAD_TOO_LARGE");
    customer.post_text("/v1/events", &publish(20_001)).sentence(413);
    let chunked = [("content-type", "application/json"), ("transfer-encoding", "chunked")];
    assert_eq!(coop.send("POST", "/events", &chunked, Some(publish(20_001).as_bytes())).code(413), "PAYLOAD_TOO_LARGE");
    coop.send("POST", "/events", &chunked, Some(publish(20_000).as_bytes())).expect(202);
}

#[test]
fn unknown_routes_and_methods_answer_in_the_vendor_s_shape() {
    let world = World::new();
    let coop = world.coop();
    for path in ["/nothing", "/webhooks/x/y/z", "/event", "/webhooks/", "//"] {
        let answer = coop.get(path);
        assert!(answer.status == 404, "{path}: {}", answer.text);
        answer.code(404);
    }
    world.customer().get("/v1/nothing").sentence(404);
    for (method, path, allow) in [("PUT", "/webhooks", "GET"), ("DELETE", "/events", "POST"), ("POST", "/docs", "GET")]
    {
        let answer = coop.send(method, path, &[], None);
        assert_eq!(answer.code(405), "METHOD_NOT_ALLOWED");
        assert!(answer.header("allow").contains(allow), "{answer:?}");
        let heads = coop.send("HEAD", path, &[], None).status == 200;
        assert_eq!(answer.header("allow").contains("HEAD"), heads, "{path}: {}", answer.header("allow"));
    }
    let answer = world.customer().send("PUT", "/v1/webhooks/whk_x", &JSON, Some(b"{}"));
    answer.sentence(405);
    assert!(["DELETE", "GET", "PATCH"].iter().all(|method| answer.header("allow").contains(method)), "{answer:?}");
}

#[test]
fn without_a_valid_token_every_route_is_401() {
    let world = World::new();
    let wrong = format!("ngm_{}", "a".repeat(49));
    for client in [world.stranger(), world.client("nonsense"), world.client(&wrong)] {
        for (method, path) in routes() {
            let answer = client.send(method, path, &JSON, Some(b"{}"));
            if path.starts_with("/v1/") {
                answer.sentence(401);
            } else {
                assert_eq!(answer.code(401), "UNAUTHORIZED", "{method} {path}");
            }
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
    }
}

#[test]
fn a_token_of_another_vendor_or_without_the_scope_is_403() {
    let world = World::new();
    let only = |holder: &str, scope: &str| world.client(&world.token_for(Holder::Account(holder.to_owned()), scope));
    let check = |client: &Client, path: &str| {
        let answer = client.get(path);
        assert_eq!(answer.status, 403, "{path}: {}", answer.text);
    };
    check(&only(COOP, "events"), "/webhooks");
    check(&only(COOP, "webhooks"), "/events/evt_01HXYZ6Z9Y8X7W6V5T4S3R2Q1P");
    check(&only(COOP, "webhooks,events"), "/v1/webhooks");
    check(&only("CUST-7", "webhooks,events"), "/webhooks");
    check(&only("CUST-7", "events"), "/v1/webhooks");
    let body = json!({ "url": "http://127.0.0.1:1/", "events": ["*"], "cooperative_id": "COOP-KASESE-002" });
    assert_eq!(world.coop().post("/webhooks", body).code(403), "FORBIDDEN");
    let body = json!({ "event": "dds.filed", "cooperative_id": "COOP-KASESE-002", "data": {} });
    assert_eq!(world.coop().post("/events", body).code(403), "FORBIDDEN");
}

#[test]
fn an_operator_s_token_reaches_every_account() {
    let world = World::new();
    let operator = world.operator();
    let webhook = world.coop().webhook("http://127.0.0.1:1/", &["*"], "s");
    assert_eq!(operator.get("/webhooks").expect(200)[0]["webhook_id"], webhook.as_str());
    operator.get(&format!("/webhooks/{webhook}")).expect(200);
    operator.get("/v1/webhooks").expect(200);
    let nobody = json!({ "event": "dds.filed", "data": {} });
    assert_eq!(operator.post("/events", nobody).code(400), "INVALID_REQUEST", "it must name a cooperative");
    let body = json!({ "event": "dds.filed", "cooperative_id": "COOP-NOWHERE", "data": {} });
    assert_eq!(operator.post("/events", body).code(404), "COOPERATIVE_NOT_FOUND");
}

#[test]
fn a_foreign_account_s_things_are_404() {
    let world = World::new();
    let coop = world.coop();
    let webhook = coop.webhook("http://127.0.0.1:1/", &["*"], "s");
    let event = coop.publish("dds.filed", json!({}))["event_id"].as_str().expect("an id").to_owned();
    world.settle();
    let delivery = coop.deliveries(&webhook)[0]["delivery_id"].as_str().expect("an id").to_owned();
    let foreign = world.client(&world.token_for(Holder::Account("COOP-KASESE-002".to_owned()), "webhooks,events"));
    for (method, path, code) in [
        ("GET", format!("/webhooks/{webhook}"), "WEBHOOK_NOT_FOUND"),
        ("PATCH", format!("/webhooks/{webhook}"), "WEBHOOK_NOT_FOUND"),
        ("DELETE", format!("/webhooks/{webhook}"), "WEBHOOK_NOT_FOUND"),
        ("POST", format!("/webhooks/{webhook}/test"), "WEBHOOK_NOT_FOUND"),
        ("POST", format!("/webhooks/{webhook}/replay/{delivery}"), "WEBHOOK_NOT_FOUND"),
        ("GET", format!("/webhooks/{webhook}/deliveries"), "WEBHOOK_NOT_FOUND"),
        ("GET", format!("/webhooks/{webhook}/deliveries/{delivery}"), "WEBHOOK_NOT_FOUND"),
        ("GET", format!("/events/{event}"), "EVENT_NOT_FOUND"),
    ] {
        assert_eq!(foreign.send(method, &path, &JSON, Some(b"{}")).code(404), code, "{method} {path}");
    }
    assert_eq!(foreign.get("/webhooks").expect(200), json!([]));
    assert_eq!(coop.status(&webhook), "ACTIVE");
}

fn routes() -> [(&'static str, &'static str); 17] {
    [
        ("POST", "/v1/webhooks"),
        ("GET", "/v1/webhooks"),
        ("DELETE", "/v1/webhooks/whk_x"),
        ("POST", "/v1/events"),
        ("GET", "/v1/tasks/t"),
        ("POST", "/webhooks"),
        ("GET", "/webhooks"),
        ("GET", "/webhooks/wh_x"),
        ("PATCH", "/webhooks/wh_x"),
        ("DELETE", "/webhooks/wh_x"),
        ("POST", "/webhooks/wh_x/replay/dlv_x"),
        ("POST", "/webhooks/wh_x/test"),
        ("GET", "/webhooks/wh_x/deliveries"),
        ("GET", "/webhooks/wh_x/deliveries/dlv_x"),
        ("POST", "/events"),
        ("GET", "/events/evt_x"),
        ("GET", "/event-types"),
    ]
}

#[test]
fn an_array_is_no_object() {
    let world = World::new();
    let receiver = Receiver::new();
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s");
    let patch = coop.patch(&format!("/webhooks/{webhook}"), json!([null, null, null, "SUSPENDED"]));
    assert_eq!(patch.code(400), "INVALID_REQUEST");
    assert_eq!(coop.post("/events", json!(["batch.exported", null, {}, null])).code(400), "INVALID_REQUEST");
    assert_eq!(coop.status(&webhook), "ACTIVE");
}

#[test]
fn a_path_that_is_no_text_is_not_found_and_a_wrong_parameter_is_named() {
    let world = World::new();
    let coop = world.coop();
    assert_eq!(coop.get("/webhooks/%FF").code(404), "NOT_FOUND");
    let webhook = coop.webhook("http://127.0.0.1:1/", &["*"], "s");
    let answer = coop.get(&format!("/webhooks/{webhook}/deliveries?status=foo"));
    assert_eq!(answer.code(400), "INVALID_REQUEST");
    assert!(answer.text.contains("status is not one of the values"), "{}", answer.text);
}
