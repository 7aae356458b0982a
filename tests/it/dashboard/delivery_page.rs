//! The page of a delivery: its attempts, the exact request, its replays.

use std::collections::BTreeMap;

use serde_json::json;

use crate::support::{
    aging::age,
    browser::{Browser, of, operator},
    client::Client,
    receiver::{Receiver, Reply},
    world::{COOP, CUSTOMER, OTHER_COOP, World},
};

fn newest(coop: &Client, webhook: &str) -> String {
    coop.deliveries(webhook)[0]["delivery_id"].as_str().expect("an id").to_owned()
}

/// The headers of the exact request, by their names in small letters.
fn headers(page: &str) -> BTreeMap<String, String> {
    let request = page.split_once(">The exact request</h2>").expect("the request").1;
    let list =
        request.split_once("<dl class=\"facts\">").expect("its headers").1.split_once("</dl>").expect("its end").0;
    let pairs = list.split("<dt><code>").skip(1).map(|pair| {
        let (name, rest) = pair.split_once("</code></dt><dd><code>").expect("a value");
        (name.to_lowercase(), rest.split("</code>").next().expect("an end").replace("&#43;", "+"))
    });
    pairs.collect()
}

#[test]
fn attempts_that_are_alike_are_one_line_and_the_last_answer_is_open() {
    let world = World::new();
    let (receiver, coop) = (Receiver::new(), world.coop());
    receiver.always(Reply::Answer(503, "x-request-id: 42\r\n", b"database is down".to_vec()));
    let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
    coop.publish("batch.exported", json!({}));
    world.settle();
    ["30s", "5m"].iter().for_each(|wait| world.advance(wait));
    receiver.always(Reply::Answer(307, "location: /login\r\nx-request-id: 43\r\n", b"moved".to_vec()));
    world.advance("30m");
    let page = operator(&world).get(&format!("/ui/deliveries/{}", newest(&coop, &webhook))).text;
    let (line, open) = page.split_once("<h3>The last answer</h3>").expect("the last answer");
    assert!(line.contains("1 to 3: 3 times answered 503") && line.contains("4. answered 307"), "{line}");
    assert_eq!(line.matches("<li class=\"bad\">").count(), 2, "{line}");
    assert_eq!(line.matches("database is down").count(), 3, "each answer can be opened");
    let open = open.split_once("</section>").expect("its end").0;
    for part in ["answered 307", "it redirects to /login", "x-request-id: 43", "moved"] {
        assert!(open.contains(part) && !open.contains("<details"), "{part}: {open}");
    }
}

#[test]
fn the_exact_request_is_what_the_receiver_saw() {
    let world = World::new();
    let (receiver, coop, customer) = (Receiver::new(), world.coop(), world.customer());
    let webhook = coop.webhook(&format!("{}?a=1", receiver.url()), &["*"], "s3cret");
    coop.publish("batch.exported", json!({ "weight": 67.5, "text": "Ä <&> +" }));
    world.settle();
    customer.post("/v1/webhooks", json!({ "callback_url": receiver.url() })).expect(201);
    customer.post("/v1/events", crate::support::operations::task("t")).expect(202);
    world.settle();
    let task =
        customer.get("/v1/tasks/t").expect(200)["deliveries"][0]["delivery_id"].as_str().expect("an id").to_owned();
    coop.post(&format!("/webhooks/{webhook}/test"), json!({})).expect(200);
    let tested = newest(&coop, &webhook);
    let exported = coop.deliveries(&webhook)[1]["delivery_id"].as_str().expect("an id").to_owned();
    let posts = receiver.posts();
    for (account, delivery) in [(COOP, exported), (CUSTOMER, task), (COOP, tested)] {
        let post = posts.iter().find(|post| post.header("ngoma-delivery") == delivery).expect("it arrived");
        let page = of(&world, account, "webhooks").get(&format!("/ui/deliveries/{delivery}"));
        let seen = post.headers.iter().map(|(name, value)| (name.to_lowercase(), value.clone())).collect();
        assert_eq!(headers(&page.text), seen, "{}", page.text);
        let path = post.path.replace('&', "&#38;");
        assert!(page.text.contains(&format!("POST http://127.0.0.1:{}{path}</code>", receiver.port())), "{path}");
        let whole = of(&world, account, "webhooks").get(&format!("/ui/deliveries/{delivery}/body"));
        assert_eq!(whole.text.as_bytes(), post.body);
    }
}

#[test]
fn the_exact_request_is_shown_to_whoever_may_see_the_webhook_and_to_nobody_else() {
    let world = World::new();
    let (receiver, coop) = (Receiver::new(), world.coop());
    let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
    coop.publish("batch.exported", json!({}));
    world.settle();
    let path = format!("/ui/deliveries/{}", newest(&coop, &webhook));
    let signature = receiver.only().header("x-asilichain-signature").to_owned();
    for browser in [of(&world, COOP, "webhooks"), operator(&world)] {
        assert!(browser.get(&path).text.contains(&signature));
    }
    assert_eq!(of(&world, OTHER_COOP, "webhooks").get(&path).status, 404);
    assert_eq!(of(&world, COOP, "events").get(&path).status, 403);
    let seen = world.operator().get(&path.replace("/ui", "/operator")).expect(200);
    assert!(!seen.to_string().contains(&signature), "the API masks it: {seen}");
}

/// The signatures and the headers on the page.
fn said(browser: &Browser, path: &str) -> (String, BTreeMap<String, String>) {
    let page = browser.get(path).text;
    let hint = page.split_once(">The exact request</h2>").expect("the request").1;
    let hint = hint.split_once("<p class=\"hint\">").expect("a hint").1.split('<').next().expect("its end");
    (hint.to_owned(), headers(&page))
}

#[test]
fn after_a_new_secret_the_page_says_so_and_shows_no_signature_that_was_not_sent() {
    let world = World::new();
    let (receiver, coop) = (Receiver::new(), world.coop());
    let webhook = coop.webhook(&receiver.url(), &["*"], "former-secret");
    coop.publish("batch.exported", json!({}));
    world.settle();
    let before = format!("/ui/deliveries/{}", newest(&coop, &webhook));
    world.advance("1h");
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "secret": "present-secret" })).expect(200);
    world.advance("1h");
    coop.publish("batch.exported", json!({}));
    world.settle();
    let after = format!("/ui/deliveries/{}", newest(&coop, &webhook));
    let browser = of(&world, COOP, "webhooks");
    let sent = |number: usize, name: &str| receiver.posts()[number].header(name).to_owned();
    let (hint, shown) = said(&browser, &before);
    assert!(hint.contains("former secret") && hint.contains("2026-04-20T12:55:00Z"), "{hint}");
    assert_eq!(shown["x-asilichain-signature"], sent(0, "x-asilichain-signature"));
    let (hint, shown) = said(&browser, &after);
    assert!(hint.starts_with("As the last attempt sent it, with its signatures."), "{hint}");
    assert_eq!(shown["webhook-signature"], sent(1, "webhook-signature"));
    assert_eq!(shown["webhook-signature"].split(' ').count(), 2, "the former secret signs too");
    // The former secret is removed when its overlap is over.
    age(&world, "25h");
    // Its session has ended meanwhile.
    let browser = of(&world, COOP, "webhooks");
    let (hint, shown) = said(&browser, &before);
    assert!(hint.contains("the secret was changed at 2026-04-20T12:55:00Z") && hint.contains("is gone"), "{hint}");
    assert_eq!(
        (shown["x-asilichain-signature"].as_str(), shown["webhook-signature"].as_str()),
        ("sha256=***", "v1,***")
    );
    coop.delete(&format!("/webhooks/{webhook}")).expect(204);
    let (hint, shown) = said(&browser, &after);
    assert!(hint.contains("the secret is gone") && shown["webhook-signature"] == "v1,***", "{hint}");
}

#[test]
fn a_delivery_that_was_not_sent_yet_has_no_signature() {
    let world = World::new();
    let (receiver, coop) = (Receiver::new(), world.coop());
    let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": "SUSPENDED" })).expect(200);
    coop.publish("batch.exported", json!({}));
    let path = format!("/ui/deliveries/{}", newest(&coop, &webhook));
    let (hint, shown) = said(&operator(&world), &path);
    assert!(hint.starts_with("As the first attempt will send it.") && shown["webhook-signature"] == "v1,***", "{hint}");
    assert!(!operator(&world).get(&path).text.contains("Check my signature"));
}

#[test]
fn the_replays_of_a_delivery_are_listed_with_their_states() {
    let world = World::new();
    let (receiver, coop, browser) = (Receiver::new(), world.coop(), operator(&world));
    let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
    coop.publish("batch.exported", json!({}));
    world.settle();
    let original = newest(&coop, &webhook);
    let path = format!("/ui/deliveries/{original}");
    let replay = || {
        browser.submit(&browser.get(&path), &format!("{path}/replay"), &[]);
        world.settle();
        newest(&coop, &webhook)
    };
    let good = replay();
    receiver.always(Reply::status(500));
    let bad = replay();
    let page = browser.get(&path).text;
    let list = page.split_once("<dt>Its replays</dt>").expect("a list").1.split_once("</dd>").expect("its end").0;
    let (first, second) = list.split_once("</li>").expect("two");
    assert!(first.contains(&bad) && first.contains("retrying") && first.contains("500"), "{first}");
    assert!(second.contains(&good) && second.contains("delivered"), "{second}");
    let page = browser.get(&format!("/ui/deliveries/{good}")).text;
    assert!(page.contains(&format!("<dt>Replay of</dt><dd><a href=\"{path}\">")) && !page.contains("Its replays"));
}
