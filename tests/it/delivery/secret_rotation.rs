//! A new signing secret: made by the server, shown once, and when each header changes to it.

use ngoma::domain::signature::SigningSecret;
use serde_json::{Value, json};

use crate::support::{
    browser::of,
    client::Client,
    receiver::{Post, Receiver},
    world::{COOP, World},
};

const FORMER: &str = "former-secret";

struct Signed {
    world: World,
    receiver: Receiver,
    coop: Client,
    webhook: String,
}

impl Signed {
    fn new() -> Self {
        let (world, receiver) = (World::new(), Receiver::new());
        let coop = world.coop();
        let webhook = coop.webhook(&receiver.url(), &["*"], FORMER);
        Self { webhook: format!("/webhooks/{webhook}"), world, receiver, coop }
    }

    fn rotate(&self, body: Value) -> Value {
        self.coop.post(&format!("{}/secret/rotate", self.webhook), body).expect(201)
    }

    /// The next delivery.
    fn next(&self) -> Post {
        self.coop.publish("dds.filed", json!({}));
        self.world.settle();
        self.receiver.last()
    }

    /// Whether the vendor's header, and whether `webhook-signature`, is signed by this secret.
    fn by(&self, secret: &str, post: &Post) -> (bool, bool) {
        let secret = SigningSecret::parse(secret.to_owned()).expect("a secret");
        let vendors = secret.verifies_body(&post.body, post.header("x-asilichain-signature"));
        let (id, header) = (post.header("webhook-id"), post.header("webhook-signature"));
        (vendors, secret.verifies_standard(id, self.world.now(), &post.body, header))
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

#[test]
fn a_rotation_shows_the_new_secret_once_and_signs_with_it_at_once() {
    let signed = Signed::new();
    let rotated = signed.coop.send("POST", &format!("{}/secret/rotate", signed.webhook), &[], None).expect(201);
    let secret = text(&rotated["secret"]);
    assert!(secret.starts_with("whsec_") && secret.len() == 50, "{secret}");
    assert_eq!((&rotated["switch"], &rotated["former_valid_until"]), (&json!("now"), &json!("2026-04-21T11:55:00Z")));
    assert!(!signed.coop.get(&signed.webhook).text.contains("secret"), "never shown again");
    let post = signed.next();
    assert_eq!(signed.by(&secret, &post), (true, true));
    assert_eq!(signed.by(FORMER, &post), (false, true), "during the overlap");
    signed.world.advance("24h");
    assert_eq!(signed.by(FORMER, &signed.next()), (false, false), "after it");
}

#[test]
fn after_overlap_leaves_the_vendor_s_header_with_the_former_secret_until_the_overlap_ends() {
    let signed = Signed::new();
    let secret = text(&signed.rotate(json!({ "switch": "after_overlap" }))["secret"]);
    let post = signed.next();
    assert_eq!((signed.by(FORMER, &post), signed.by(&secret, &post)), ((true, true), (false, true)));
    signed.world.advance("23h 59m");
    let post = signed.next();
    assert_eq!((signed.by(FORMER, &post), signed.by(&secret, &post)), ((true, true), (false, true)));
    signed.world.advance("1m 1s");
    let post = signed.next();
    assert_eq!((signed.by(FORMER, &post), signed.by(&secret, &post)), ((false, false), (true, true)));
}

#[test]
fn no_second_rotation_waits_for_an_overlap_and_a_leak_is_answered_at_once() {
    let signed = Signed::new();
    let first = text(&signed.rotate(json!({ "switch": "after_overlap" }))["secret"]);
    let again = signed.coop.post(&format!("{}/secret/rotate", signed.webhook), json!({ "switch": "after_overlap" }));
    assert_eq!(again.code(409), "SECRET_OVERLAP");
    assert!(again.text.contains("2026-04-21T11:55:00Z"), "{}", again.text);
    let unsaid = signed.coop.post(&format!("{}/secret/rotate", signed.webhook), json!({}));
    assert_eq!(unsaid.code(409), "SECRET_OVERLAP", "its receiver would be cut off, and nobody said so");
    let second = text(&signed.rotate(json!({ "switch": "now" }))["secret"]);
    let post = signed.next();
    assert_eq!((signed.by(&second, &post), signed.by(&first, &post)), ((true, true), (false, true)));
    assert_eq!(signed.by(FORMER, &post), (false, false), "the leaked one is gone");
    let wrong = signed.coop.post(&format!("{}/secret/rotate", signed.webhook), json!({ "switch": "later" }));
    assert_eq!(wrong.code(400), "INVALID_REQUEST");
}

#[test]
fn a_customer_of_asg_rotates_in_the_manner_of_its_page() {
    let (world, receiver) = (World::new(), Receiver::new());
    let customer = world.customer();
    let made = customer.post("/v1/webhooks", json!({ "callback_url": receiver.url(), "secret": FORMER })).expect(201);
    let path = format!("/v1/webhooks/{}/secret/rotate", text(&made["webhook_id"]));
    let rotated = customer.post(&path, json!({ "switch": "after_overlap" })).expect(201);
    assert_eq!(rotated["webhook_id"], made["webhook_id"]);
    assert!(customer.post(&path, json!({ "switch": "after_overlap" })).sentence(409).contains("a former secret"));
    let tested = customer.post(&path.replace("secret/rotate", "test"), json!({})).expect(200);
    assert_eq!(tested["delivered"], true);
    let (post, former) = (receiver.only(), SigningSecret::parse(FORMER.to_owned()).expect("a secret"));
    assert!(former.verifies_body(&post.body, post.header("x-asg-signature")), "a test too is signed as deliveries are");
}

#[test]
fn the_dashboard_can_leave_the_vendor_s_header_with_the_former_secret() {
    let signed = Signed::new();
    let browser = of(&signed.world, COOP, "webhooks");
    let (page, action) = (browser.get(&format!("/ui{}", signed.webhook)), format!("/ui{}/secret", signed.webhook));
    let shown = browser.follow(&browser.submit(&page, &action, &[("switch", "after_overlap")])).text;
    assert!(shown.contains("is signed with the former secret for"), "{shown}");
    assert!(signed.by(FORMER, &signed.next()).0);
}

/// The signatures on the page of the newest delivery.
fn page(signed: &Signed) -> String {
    let webhook = signed.webhook.trim_start_matches("/webhooks/");
    let delivery = text(&signed.coop.deliveries(webhook)[0]["delivery_id"]);
    of(&signed.world, COOP, "webhooks").get(&format!("/ui/deliveries/{delivery}")).text
}

#[test]
fn the_page_of_a_delivery_shows_the_signatures_that_were_sent_whichever_secret_led() {
    let signed = Signed::new();
    signed.rotate(json!({ "switch": "after_overlap" }));
    let post = signed.next();
    signed.world.advance("1m");
    let shown = page(&signed);
    assert!(shown.contains("As the last attempt sent it, with its signatures."), "{shown}");
    for header in ["x-asilichain-signature", "webhook-signature"] {
        let sent = post.header(header).replace('+', "&#43;");
        assert!(shown.contains(post.header(header)) || shown.contains(&sent), "{header}: {sent} {shown}");
    }
}

#[test]
fn two_changes_within_one_overlap_are_told_apart() {
    let signed = Signed::new();
    let first = signed.next();
    signed.world.advance("1m");
    signed.rotate(json!({}));
    signed.world.advance("1m");
    let shown = page(&signed);
    assert!(
        shown.contains("of the former secret") && shown.contains(first.header("x-asilichain-signature")),
        "{shown}"
    );
    signed.rotate(json!({ "switch": "now" }));
    let shown = page(&signed);
    assert!(shown.contains("The signatures cannot be shown"), "its secret was replaced twice: {shown}");
    signed.world.advance("1m");
    let second = signed.next();
    signed.world.advance("1m");
    signed.rotate(json!({ "switch": "now" }));
    let shown = page(&signed);
    assert!(
        shown.contains("of the former secret") && shown.contains(second.header("x-asilichain-signature")),
        "{shown}"
    );
}

#[test]
fn a_secret_that_never_led_is_not_shown_as_the_one_that_signed() {
    let signed = Signed::new();
    signed.rotate(json!({ "switch": "after_overlap" }));
    signed.world.advance("1m");
    signed.next();
    signed.world.advance("1m");
    signed.rotate(json!({ "switch": "now" }));
    let shown = page(&signed);
    assert!(shown.contains("The signatures cannot be shown"), "the former secret led then, and is gone: {shown}");
}
