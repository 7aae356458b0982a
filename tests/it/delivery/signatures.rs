//! Signatures are verified by other people's code: the functions of the two vendors' pages in JavaScript and Python,
//! the
//! Standard Webhooks library, OpenSSL.
//!
//! The receivers are real ones, in tests/verify: they answer 200 if the signature verifies, and 401 if it does not.

use std::collections::BTreeMap;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ngoma::{
    clock::{Clock, SystemClock},
    domain::{ids::EventId, signature::SigningSecret},
};
use serde_json::json;

use crate::support::{
    client::{Answer, Client},
    other_programs::{Seen, Verifier, ask, node, openssl, python},
    payloads::{self, Samples},
    receiver::Receiver,
    world::{COOP, World, together},
};

/// Events of AsiliChain, and tasks of ASG, that are published.
const EVENTS: usize = 3_000;
const TASKS: usize = 300;

/// Published between two rests, so that each rest is short; and how many publish at once.
const BATCH: usize = 500;
const PUBLISHERS: usize = 4;

/// The secrets of a vendor's webhooks: two of the subscriber's own, and one that Ngoma makes.
const SECRETS: [(&str, Option<&str>); 3] = [("plain", Some(PLAIN)), ("almost", Some(ALMOST)), ("made", None)];
const PLAIN: &str = "your_webhook_signing_secret";
/// It looks like a secret of Standard Webhooks, but no base64 follows the prefix: its key is its bytes.
const ALMOST: &str = "whsec_ not base64!";

#[test]
fn signatures_are_verified_by_other_people_s_code() {
    let world = World::new();
    // The library refuses old timestamps.
    world.clock.set(SystemClock.now());
    let (coop, customer) = (world.coop(), world.customer());
    let (mut page, mut library) = (Verifier::start(node("receiver.mjs")), Verifier::start(python("verify.py")));
    for (name, secret) in SECRETS {
        let path = format!("/asilichain/{name}");
        for (verifier, events) in [(&mut page, "*"), (&mut library, "batch.*")] {
            let body =
                json!({ "url": verifier.url(&path), "events": [events], "cooperative_id": COOP, "secret": secret });
            serve(verifier, &path, secret, &coop.post("/webhooks", body));
        }
        let path = format!("/asg/{name}");
        let body = json!({ "callback_url": library.url(&path), "secret": secret });
        serve(&mut library, &path, secret, &customer.post("/v1/webhooks", body));
    }

    let mut samples = Samples::new();
    let events = events(&mut samples);
    publish(&world, &coop, "/events", &events);
    let tasks: Vec<String> = tasks(&mut samples).into_iter().map(|task| task.body).collect();
    publish(&world, &customer, "/v1/events", &tasks);

    let batches = events.iter().filter(|event| event.starts_with(r#"{"event":"batch."#)).count();
    assert_eq!(page.report(), every(&[("asilichain", EVENTS)]), "as AsiliChain's page verifies");
    let expected = every(&[("asilichain", batches), ("asg", TASKS)]);
    assert_eq!(library.report(), expected, "as ASG's page and the library of Standard Webhooks verify");
}

#[test]
fn a_task_s_confidence_keeps_its_literal_and_openssl_agrees_with_the_signature() {
    let world = World::new();
    let customer = world.customer();
    let receiver = Receiver::new();
    customer.post("/v1/webhooks", json!({ "callback_url": receiver.url(), "secret": PLAIN })).expect(201);
    let tasks = tasks(&mut Samples::new());
    publish(&world, &customer, "/v1/events", &tasks.iter().map(|task| task.body.clone()).collect::<Vec<_>>());
    let posts = receiver.wait_for(TASKS);
    for task in &tasks {
        let (id, literal) = (&task.id, &task.literal);
        let post = posts.iter().find(|post| post.text().contains(&format!(r#""task_id":"{id}""#))).expect("it arrived");
        assert!(post.text().contains(&format!(r#","confidence":{literal},"#)), "{literal}: {}", post.text());
    }
    for post in posts.iter().take(5) {
        let mut command = openssl();
        command.args(["dgst", "-sha256", "-hmac", PLAIN, "-r"]);
        let printed = String::from_utf8(ask(command, post.body.clone())).expect("a line");
        let hex = printed.split(' ').next().expect("a word");
        assert_eq!(post.header("X-ASG-Signature"), format!("sha256={hex}"));
    }
}

/// Without this story those above would prove nothing.
#[test]
fn the_verifying_receivers_refuse_wrong_signatures() {
    let secret = |text: &str| SigningSecret::parse(text.to_owned()).expect("a secret");
    let (ours, wrong) = (secret(PLAIN), secret("another"));
    let (body, now) = (br#"{"weight_kg":67.5}"#, SystemClock.now());
    let id = EventId::mint(now).to_string();
    // Only Python's receiver has the library.
    for (program, without_library) in [(node("receiver.mjs"), 200), (python("verify.py"), 401)] {
        let mut verifier = Verifier::start(program);
        let path = "/asg/hook";
        verifier.serve(&json!({ "path": path, "secret": PLAIN, "standard": BASE64_STANDARD.encode(PLAIN) }));
        let post = |vendor: &SigningSecret, library: &SigningSecret, body: &[u8], sent: &[u8]| {
            let headers = [
                ("content-type", "application/json".to_owned()),
                ("x-asg-signature", vendor.sign_body(body)),
                ("x-asilichain-signature", vendor.sign_body(body)),
                ("webhook-id", id.clone()),
                ("webhook-timestamp", now.unix_seconds().to_string()),
                ("webhook-signature", library.sign_standard(&id, now, body)),
            ];
            verifier.post(path, &headers, sent)
        };
        assert_eq!(post(&ours, &ours, body, body), 200);
        assert_eq!(post(&ours, &ours, body, br#"{"weight_kg":67.4}"#), 401, "another body");
        assert_eq!(post(&wrong, &ours, body, body), 401, "the vendor's header signed by another");
        assert_eq!(post(&ours, &wrong, body, body), without_library, "the library's header signed by another");
        let seen = verifier.report().remove(path).expect("it was served");
        assert_eq!((seen.verified + seen.refused, seen.events), (4, 1));
        assert!(seen.complaint.is_some());
    }
}

/// Gives a verifier its webhook's id and secret.
fn serve(verifier: &mut Verifier, path: &str, own: Option<&str>, registered: &Answer) {
    let made = registered.expect(201)["secret"].as_str().map(str::to_owned);
    // The library takes a secret of its own form as it is, any other one as the base64 of its bytes.
    let (secret, standard) = match (own, made) {
        (Some(own), None) => (own.to_owned(), BASE64_STANDARD.encode(own)),
        (None, Some(made)) => (made.clone(), made),
        both => panic!("a secret is shown if, and only if, it was made here: {both:?}"),
    };
    verifier.serve(&json!({ "path": path, "secret": secret, "standard": standard }));
}

/// The report of a verifier when every webhook of these vendors got this many events, each once, and all verified.
fn every(vendors: &[(&str, usize)]) -> BTreeMap<String, Seen> {
    let paths =
        vendors.iter().flat_map(|(vendor, events)| SECRETS.map(|(name, _)| (format!("/{vendor}/{name}"), *events)));
    paths.map(|(path, events)| (path, Seen { verified: events, refused: 0, events, complaint: None })).collect()
}

/// Publishes raw texts, several at a time, and waits until they are delivered.
fn publish(world: &World, client: &Client, path: &'static str, bodies: &[String]) {
    for batch in bodies.chunks(BATCH) {
        let publishers = batch.chunks(batch.len().div_ceil(PUBLISHERS)).map(|share| {
            let (client, share) = (client.clone(), share.to_vec());
            let publish = move || share.iter().for_each(|body| drop(client.post_text(path, body).expect(202)));
            Box::new(publish) as Box<dyn FnOnce() + Send>
        });
        together(publishers.collect());
        world.settle();
    }
}

/// AsiliChain events, as a producer writes them.
fn events(samples: &mut Samples) -> Vec<String> {
    let all = samples.draw(EVENTS, &payloads::data());
    let odd = all.iter().filter(|data| payloads::stringify(data).as_ref() != Ok(data)).count();
    assert!(odd > EVENTS / 2, "only {odd} payloads are anything that JavaScript prints otherwise");
    let kinds = ["batch.exported", "loan.repaid", "dds.filed"].into_iter().cycle();
    let events =
        kinds.zip(all).map(|(kind, data)| format!(r#"{{"event":"{kind}","cooperative_id":"{COOP}","data":{data}}}"#));
    events.collect()
}

/// A task to publish.
struct Task {
    id: String,
    /// Its confidence, as it is written.
    literal: String,
    body: String,
}

/// ASG tasks, as a producer writes them.
fn tasks(samples: &mut Samples) -> Vec<Task> {
    let drawn = samples.draw(TASKS, &(payloads::number(), payloads::string()));
    let tasks = drawn.into_iter().enumerate().map(|(count, (literal, label))| {
        let id = format!("tsk_{count}");
        let body = format!(
            r#"{{ "settled_at": "2026-04-08T21:05:00Z", "confidence": {literal}, "consensus_label":{label},
                "bsv_txid": "f00d", "task_id": "{id}", "event": "task.settled" }}"#
        );
        Task { id, literal, body }
    });
    tasks.collect()
}
