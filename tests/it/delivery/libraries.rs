//! A subscriber's own secret: which texts are accepted, and how to give them to the libraries of Standard Webhooks.

use ngoma::{
    clock::{Clock, SystemClock},
    domain::{
        endpoint::{EventFilter, TargetUrl},
        signature::SigningSecret,
    },
    store::{Tx, accounts, endpoints},
};
use serde_json::{Value, json};

use crate::{
    program::readme::{blocks, chapter},
    support::{
        client::Client,
        other_programs::{ask, modules, node, python},
        program::{Running, finish, ngoma, word_after},
        receiver::{Post, Receiver},
        world::{COOP, World},
    },
};

/// Secrets that a library reads as text by itself.
const PYTHON: &str = "Webhook(secret).verify(body, headers)";
const JAVASCRIPT: &str = "new Webhook(secret).verify(body, headers)";

/// The guide's line for a secret that is given as bytes.
fn line(language: &str, begins: &str) -> String {
    let block = blocks(&chapter("verify"), language).into_iter().find(|block| block.trim_start().starts_with(begins));
    block.expect("the guide has it").trim().to_owned()
}

/// The verdict of each library on deliveries, with the secret as the subscriber has it.
fn say(lines: [&str; 2], posts: &[(&str, &Post)]) -> [Vec<String>; 2] {
    let orders = |line: &str| -> Vec<u8> {
        let order = |(secret, post): &(&str, &Post)| {
            let headers: serde_json::Map<String, Value> =
                post.headers.iter().map(|(name, value)| (name.to_lowercase(), json!(value))).collect();
            format!("{}\n", json!({ "line": line, "secret": secret, "headers": headers, "body": post.text() }))
        };
        posts.iter().map(order).collect::<String>().into_bytes()
    };
    let mut javascript = node("library.mjs");
    javascript.arg(modules());
    let said = [ask(python("library.py"), orders(lines[0])), ask(javascript, orders(lines[1]))];
    said.map(|said| String::from_utf8(said).expect("text").lines().map(str::to_owned).collect())
}

fn register(client: &Client, url: &str, secret: &str) -> String {
    let body = json!({ "url": url, "events": ["*"], "cooperative_id": COOP, "secret": secret });
    client.post("/webhooks", body).expect(201)["webhook_id"].as_str().expect("an id").to_owned()
}

/// Publishes an event to a webhook with each secret, and returns the verdict on each.
fn delivered(world: &World, secrets: &[&str]) -> Vec<Post> {
    // The libraries refuse old timestamps.
    world.clock.set(SystemClock.now());
    let (coop, customer) = (world.coop(), world.customer());
    let receivers: Vec<(Receiver, Receiver)> = secrets.iter().map(|_| (Receiver::new(), Receiver::new())).collect();
    for (secret, (events, tasks)) in secrets.iter().zip(&receivers) {
        register(&coop, &events.url(), secret);
        customer.post("/v1/webhooks", json!({ "callback_url": tasks.url(), "secret": secret })).expect(201);
    }
    coop.publish("dds.filed", json!({ "a": "é" }));
    let task = json!({ "event": "task.settled", "task_id": "t", "consensus_label": "é", "confidence": 1.0,
                       "bsv_txid": "x", "settled_at": "2026-04-08T21:05:00Z" });
    customer.post("/v1/events", task).expect(202);
    world.settle();
    receivers.iter().flat_map(|(events, tasks)| [events.only(), tasks.only()]).collect()
}

#[test]
fn a_library_is_given_a_secret_as_the_guide_says() {
    let world = World::new();
    let readable = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_YWJjZA==", "whsec_YWJjZB==", "whsec_YWJjZA="];
    let unpadded = ["whsec_YWJjZA", "whsec_YWJjZGU", "whsec_YWJjZB"];
    let texts = ["s3cret", "whsec_...", "whsec_ not base64!", "whsec_a-_b", "clé de l'usine", "YWJj", "whsec_abcde"];
    let all = [&readable[..], &unpadded, &texts].concat();
    let posts = delivered(&world, &all);
    let of = |wanted: &[&'static str]| -> Vec<(&str, &Post)> {
        let twice = all.iter().flat_map(|secret| [*secret; 2]);
        twice.zip(&posts).filter(|(secret, _)| wanted.contains(secret)).collect()
    };
    let verified = |secrets: &[&str]| vec!["verified".to_owned(); 2 * secrets.len()];
    let as_bytes = [&*line("py", "Webhook("), &*line("js", "new Webhook(")];

    let [python, javascript] = say([PYTHON, JAVASCRIPT], &of(&readable[..3]));
    assert_eq!(
        [python, javascript],
        [verified(&readable[..3]), verified(&readable[..3])],
        "whsec_ and base64, as text"
    );
    // Python's library takes base64 without its padding; JavaScript's does not, and is given the bytes.
    assert_eq!(say([PYTHON, JAVASCRIPT], &of(&readable[3..]))[0], verified(&readable[3..]), "one = too few");
    assert_eq!(say([PYTHON, JAVASCRIPT], &of(&unpadded))[0], verified(&unpadded), "without padding, as text");
    assert_eq!(say(as_bytes, &of(&unpadded)), [verified(&unpadded), verified(&unpadded)], "without padding, as bytes");
    assert_eq!(say(as_bytes, &of(&texts)), [verified(&texts), verified(&texts)], "any other, as bytes");
    // Without this the lines above would show nothing.
    let [wrong, also] = say(as_bytes, &[("another", &posts[0])]);
    assert!(
        wrong[0].contains("No matching signature") && also[0].contains("No matching signature"),
        "{wrong:?} {also:?}"
    );

    let contract = ngoma::api::contract().expect("the contract");
    let contract: Value = serde_json::from_str(&contract).expect("JSON");
    let as_bytes = "any other secret as bytes";
    let schemas = [
        ("WebhookInput", as_bytes),
        ("AsgWebhookInput", as_bytes),
        ("WebhookUpdate", "in the form of a registration's"),
    ];
    for (schema, says) in schemas {
        let about = contract.pointer(&format!("/components/schemas/{schema}/properties/secret/description"));
        assert!(about.and_then(Value::as_str).expect("a description").contains(says), "{about:?}");
    }
}

#[test]
fn white_space_around_a_secret_is_no_part_of_it() {
    let world = World::new();
    let padded = [" whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n", "\t\u{a0}whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw \r\n"];
    let posts = delivered(&world, &padded);
    let bare: Vec<(&str, &Post)> = posts.iter().map(|post| (padded[0].trim(), post)).collect();
    assert_eq!(say([PYTHON, JAVASCRIPT], &bare), [vec!["verified"; 4], vec!["verified"; 4]]);
    let secret = SigningSecret::parse(padded[0].trim().to_owned()).expect("a secret");
    assert!(secret.verifies_body(&posts[0].body, posts[0].header("x-asilichain-signature")));
    assert!(secret.verifies_body(&posts[1].body, posts[1].header("x-asg-signature")));
}

#[test]
fn a_secret_that_anybody_could_sign_with_or_that_cannot_be_passed_on_is_refused_with_what_is_true_there() {
    let world = World::new();
    let (coop, customer) = (world.coop(), world.customer());
    let webhook = coop.webhook("http://127.0.0.1:1/", &["*"], "s3cret");
    let long = "x".repeat(257);
    for (secret, words) in [
        ("", "empty"),
        (" \t\r\n\u{3000}", "empty"),
        ("whsec_", "no key"),
        (" whsec_\n", "no key"),
        ("whsec_=", "no key"),
        ("whsec_==", "no key"),
        ("whsec_====", "no key"),
        ("a\nb", "line end"),
        ("whsec_YWJj\r\nYWJj", "line end"),
        ("a\0b", "control character"),
        ("a\u{7f}b", "control character"),
        ("a\u{85}b", "control character"),
        ("a\u{2028}b", "line end"),
        (&long, "257 bytes"),
    ] {
        let body = json!({ "url": "http://127.0.0.1:1/", "events": ["*"], "cooperative_id": COOP, "secret": secret });
        let made = coop.post("/webhooks", body);
        assert_eq!(made.code(400), "INVALID_REQUEST", "{secret:?}");
        let task = customer.post("/v1/webhooks", json!({ "callback_url": "http://127.0.0.1:1/", "secret": secret }));
        for said in [&made.text, &task.sentence(400)] {
            assert!(said.contains(words) && said.contains("Leave it out to have one made"), "{secret:?}: {said}");
        }
        let changed = coop.patch(&format!("/webhooks/{webhook}"), json!({ "secret": secret }));
        assert_eq!(changed.code(400), "INVALID_REQUEST", "{secret:?}");
        let said = &changed.text;
        assert!(said.contains(words) && said.contains("Leave it out to keep the present one"), "{secret:?}: {said}");
        assert!(!said.contains("made"), "none is made at a change: {said}");
    }
    assert_eq!(coop.get("/webhooks").expect(200).as_array().map(Vec::len), Some(1), "nothing is registered");
    assert_eq!(customer.get("/v1/webhooks").expect(200), json!([]));
    let edge = format!(" {} ", "x".repeat(256));
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "secret": edge })).expect(200);
}

#[test]
fn a_secret_that_was_stored_before_signs_as_it_did_whatever_is_taken_now() {
    let mut world = World::new();
    world.clock.set(SystemClock.now());
    let stored = [" s3cret\n", "a\nb", "whsec_YWJjZA", "whsec_YWJjZB==", " whsec_YWJjZA=="];
    let receivers: Vec<Receiver> = stored.iter().map(|_| Receiver::new()).collect();
    let urls: Vec<String> = receivers.iter().map(Receiver::url).collect();
    let make = move |tx: &Tx<'_>| {
        let account = accounts::find(tx, "asilichain", COOP)?;
        for (secret, url) in stored.iter().zip(&urls) {
            let (url, events) = (TargetUrl::from_stored(url)?, EventFilter::from_stored("*"));
            endpoints::create(tx, &account, url, events, &SigningSecret::from_stored((*secret).to_owned()), u64::MAX)?;
        }
        Ok(())
    };
    world.write(make).expect("stored");
    world.restart();
    world.coop().publish("dds.filed", json!({}));
    let posts: Vec<Post> = receivers.iter().map(|receiver| receiver.wait_for(1).remove(0)).collect();
    let as_bytes = [&*line("py", "Webhook("), &*line("js", "new Webhook(")];
    let given: Vec<(&str, &Post)> = stored.into_iter().zip(&posts).collect();
    assert_eq!(say(as_bytes, &given), [vec!["verified"; 5], vec!["verified"; 5]]);
    // Other forms that a library reads as a key are verified too.
    assert_eq!(say([PYTHON, JAVASCRIPT], &given[2..4])[0], ["verified"; 2]);
}

#[test]
fn listen_takes_the_secret_that_the_api_takes() {
    let world = World::new();
    let coop = world.coop();
    for secret in ["whsec_YWJjZA", " s3cret\n", "whsec_..."] {
        let arguments = ["listen", "--port", "0", "--secret", secret];
        let mut listen = Running::start(&mut ngoma(world.folder(), &arguments));
        let url = word_after(&listen.line_with("listening on"), "on").to_owned();
        let webhook = register(&coop, &url, secret);
        coop.publish("dds.filed", json!({}));
        assert!(listen.line_with("X-AsiliChain-Signature").contains("verified "), "{secret:?}: {:?}", listen.seen);
        assert!(listen.line_with("webhook-signature").contains("verified "), "{secret:?}: {:?}", listen.seen);
        coop.delete(&format!("/webhooks/{webhook}")).expect(204);
    }
    for secret in ["", "whsec_", "a\nb"] {
        let (code, _, err) = finish(&mut ngoma(world.folder(), &["listen", "--port", "0", "--secret", secret]));
        assert!(code == 2 && err.contains("secret ") && !err.contains("made"), "{secret:?}: {err}");
    }
}
