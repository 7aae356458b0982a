//! URLs are taken as they are written, or refused with what to write instead.

use serde_json::{Value, json};

use crate::{
    security::{
        egress::{refused, register},
        egress_blocks::world,
    },
    support::receiver::Receiver,
};

#[test]
fn urls_that_only_look_like_another_host_are_refused() {
    let world = world(true, &[]);
    let (coop, customer) = (world.coop(), world.customer());
    for (url, reason) in [
        ("http://evil.example\\@127.0.0.1/", "a backslash"),
        ("http://evil.example/a\\b", "a backslash"),
        ("http://evil.example#@127.0.0.1/", "a fragment"),
        ("http://evil.example/#", "a fragment"),
        ("http://evil\t.example/", "a tab"),
        ("https:evil.example", "two slashes and a host must follow https:"),
        ("https:/evil.example/x", "two slashes and a host must follow https:"),
        ("https:///evil.example/x", "two slashes and a host must follow https:"),
        ("https:////evil.example/x", "two slashes and a host must follow https:"),
        ("http://8.8.8/", "write 8.8.0.8"),
        ("http://134744072/", "write 8.8.8.8"),
        ("http://e%76il.example/", "write evil.example"),
        ("http://evil\u{ad}.example/", "a character that is not seen: write evil.example"),
        (" http://evil.example/", "a space"),
        ("http://evil.example/\u{a0}", "a space"),
        ("http://evil.example/\r\nhost: x", "a line break"),
    ] {
        let message = refused(&coop, url);
        assert!(message.contains(reason), "{url}: {message}");
        let sentence = customer.post("/v1/webhooks", json!({ "callback_url": url })).sentence(422);
        assert!(sentence.contains(reason), "{url}: {sentence}");
    }
}

#[test]
fn a_url_is_shown_as_it_was_given_and_found_by_what_it_means() {
    let world = world(true, &["127.0.0.0/8"]);
    let (coop, customer, operator) = (world.coop(), world.customer(), world.operator());
    let cases = [
        ("http://evil.example/@127.0.0.1/", "http://evil.example/@127.0.0.1/"),
        ("http://evil.example?@127.0.0.1/", "http://evil.example/?@127.0.0.1/"),
        ("http://127.0.0.1.evil.example/", "http://127.0.0.1.evil.example/"),
        ("http://B\u{fc}cher.example/", "http://xn--bcher-kva.example/"),
        ("HTTP://EVIL.example:80", "http://evil.example/"),
        ("http://evil.example/a/../b c", "http://evil.example/b%20c"),
    ];
    for (given, canonical) in cases {
        let made = register(&coop, given).expect(201);
        assert_eq!(made["url"], given);
        let path = format!("/webhooks/{}", made["webhook_id"].as_str().expect("an id"));
        assert_eq!(coop.get(&path).expect(200)["url"], given);
        // The same target in another spelling is another text to show, and no other target.
        assert_eq!(coop.patch(&path, json!({ "url": canonical })).expect(200)["url"], canonical);
        assert_eq!(coop.patch(&path, json!({ "url": given })).expect(200)["url"], given);
    }
    let listed = coop.get("/webhooks").expect(200);
    let urls: Vec<&Value> = listed.as_array().expect("a list").iter().map(|webhook| &webhook["url"]).collect();
    assert_eq!(urls, cases.map(|(given, _)| given), "the list shows them so too");
    for word in ["xn--bcher", "B\u{fc}cher", "b\u{fc}CHER"] {
        let found = operator.get(&format!("/operator/webhooks?url={}", percent(word))).expect(200);
        assert_eq!(found["webhooks"].as_array().map(Vec::len), Some(1), "{word}: {found}");
        assert_eq!(found["webhooks"][0]["url"], cases[3].0);
    }
    // The vendor that names a webhook by its URL finds it in any spelling.
    let receiver = Receiver::new();
    let given = format!("HTTP://127.0.0.1:{}/hook/../hook", receiver.port());
    let registration = customer.post("/v1/webhooks", json!({ "callback_url": given })).expect(201);
    assert_eq!(registration["callback_url"], given);
    let task = json!({
        "event": "task.settled", "task_id": "t", "consensus_label": "cat", "confidence": 1.0, "bsv_txid": "x",
        "settled_at": "2026-04-08T21:05:00Z", "callback_url": receiver.url(),
    });
    customer.post("/v1/events", task).expect(202);
    world.settle();
    assert_eq!(receiver.only().path, "/hook", "what is dialled is the canonical form");
    assert_eq!(customer.get("/v1/tasks/t").expect(200)["callback_url"], receiver.url(), "as it was given");
}

fn percent(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
