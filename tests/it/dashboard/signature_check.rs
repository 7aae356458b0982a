//! "Check my signature": it says whether a signature is right, and how a wrong one was made. It shows no secret.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use ngoma::domain::signature::SigningSecret;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::support::{
    browser::{Browser, of},
    client::Answer,
    leaks,
    receiver::{Post, Receiver, Reply},
    world::{COOP, OTHER_COOP, World},
};

/// A secret of Standard Webhooks: its key is not its text.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

struct Sent {
    world: World,
    browser: Browser,
    /// Where the form goes.
    check: String,
    post: Post,
    webhook: String,
}

impl Sent {
    /// A delivery that arrived at its second attempt.
    fn new() -> Self {
        leaks::secret(SECRET);
        let world = World::new();
        let (receiver, coop) = (Receiver::new(), world.coop());
        receiver.next([Reply::status(500)]);
        let webhook = coop.webhook(&receiver.url(), &["*"], SECRET);
        coop.publish("batch.exported", json!({ "name": "Ä", "batch_id": "BATCH-1", "weight_kg": 67.5 }));
        world.settle();
        world.advance("30s");
        let delivery = coop.deliveries(&webhook)[0]["delivery_id"].as_str().expect("an id").to_owned();
        let browser = of(&world, COOP, "webhooks");
        Self { browser, check: format!("/ui/deliveries/{delivery}/check"), post: receiver.last(), webhook, world }
    }

    fn ask(&self, signature: &str, body: &str) -> Answer {
        let fields = [("signature", signature), ("body", body)];
        let answer = self.browser.post(&self.check, &fields);
        let rest = SECRET.trim_start_matches("whsec_");
        assert!(!answer.text.contains(rest), "the secret is shown: {}", answer.text);
        answer
    }

    #[track_caller]
    fn says(&self, signature: &str, parts: &[&str]) {
        let page = self.ask(signature, "");
        assert_eq!(page.status, 200, "{}", page.text);
        for part in parts {
            assert!(page.text.contains(part), "'{part}' is not in {}", page.text);
        }
    }

    fn body(&self) -> &str {
        self.post.text()
    }

    fn vendors(&self) -> String {
        self.post.header("x-asilichain-signature").to_owned()
    }
}

fn hex(key: &[u8], text: &str) -> String {
    data_encoding::HEXLOWER.encode(&mac(key, text))
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    Hmac::<Sha256>::new_from_slice(key).expect("any key").chain_update(text).finalize().into_bytes().to_vec()
}

#[test]
fn a_right_signature_is_recomputed_step_by_step() {
    let sent = Sent::new();
    let (begins, ends) = (&sent.body()[..24], &sent.body()[sent.body().len() - 10..]);
    let escaped = |text: &str| text.replace('"', "&#34;");
    let (begins, ends) = (escaped(begins), escaped(ends));
    let length = format!("{} bytes", sent.body().len());
    sent.says(
        &sent.vendors(),
        &[
            "The signature is right",
            "the body alone",
            &length,
            &begins,
            &ends,
            "they match",
            &sent.vendors(),
            "the present secret",
        ],
    );
    sent.says(
        &format!("X-AsiliChain-Signature: {}", sent.vendors().to_uppercase().replace("SHA256=", "sha256=")),
        &["they match"],
    );
    let standard = sent.post.header("webhook-signature").to_owned();
    let prefix = format!("{}.{}.", sent.post.header("webhook-id"), sent.post.header("webhook-timestamp"));
    let length = format!("{} bytes", prefix.len() + sent.body().len());
    sent.says(
        &standard,
        &[
            "The signature is right",
            "at attempt 2",
            &length,
            &prefix[..20],
            "they match",
            "base64, after <code>v1,</code>",
        ],
    );
    let page = sent.ask(&sent.vendors(), sent.body());
    assert!(page.text.contains("is the body that was sent, to the byte"), "{}", page.text);
}

#[test]
fn a_wrong_signature_names_the_mistake_that_made_it() {
    let sent = Sent::new();
    let key = BASE64_STANDARD.decode(SECRET.trim_start_matches("whsec_")).expect("base64");
    let (text, body) = (SECRET.as_bytes(), sent.body());
    let value: Value = serde_json::from_str(body).expect("JSON");
    let pretty = serde_json::to_string_pretty(&value).expect("JSON");
    let python = body.replace("\":", "\": ").replace(",\"", ", \"");
    let ascii = python.replace('Ä', "\\u00c4");
    let prefix = format!("{}.{}.", sent.post.header("webhook-id"), sent.post.header("webhook-timestamp"));
    for (signature, part) in [
        (hex(text, &format!("{body}\n")), "the body with a line end after it"),
        (hex(text, &format!("{body}\r\n")), "the body with CR LF after it"),
        (hex(text, &pretty), "an indent of 2"),
        (hex(text, &ascii), "printed again by Python&#39;s json.dumps"),
        (hex(text, &python), "by json.dumps, not in ASCII"),
        (hex(text, ""), "an empty body"),
        (hex(&key, body), "Decode nothing"),
        (hex(format!("{SECRET}\n").as_bytes(), body), "the secret with a line end after it"),
        (hex(SECRET.trim_start_matches("whsec_").as_bytes(), body), "Keep whsec_"),
        (hex(text, &format!("{prefix}{body}")), "signs the body alone"),
        (format!("v1,{}", BASE64_STANDARD.encode(mac(&key, body))), "signs id.timestamp.body"),
        (format!("v1,{}", BASE64_STANDARD.encode(mac(text, &format!("{prefix}{body}")))), "what the base64 stands for"),
        (hex(b"another secret", body), "None of the usual mistakes"),
    ] {
        sent.says(&signature, &["The signature is wrong", "they do not match", part, "Common causes"]);
    }
}

#[test]
fn a_body_that_something_changed_is_compared_and_no_signature_of_it_is_shown() {
    let sent = Sent::new();
    let forged = sent.body().replace("67.5", "99.5");
    let page = sent.ask(&sent.vendors(), &forged).text;
    let at = sent.body().find("67.5").expect("it is there");
    for part in
        ["is not the body that was sent", &format!("after {at} bytes"), "67.5", "99.5", "Something has changed it"]
    {
        assert!(page.contains(part), "'{part}': {page}");
    }
    let own = SigningSecret::from_stored(SECRET.to_owned()).sign_body(forged.as_bytes());
    assert!(!page.contains(&own), "anybody could forge it: {page}");
    let page = sent.ask(&own, &forged).text;
    assert!(page.contains("the body that you gave") && page.contains("find out what changed it"), "{page}");
    let value: Value = serde_json::from_str(sent.body()).expect("JSON");
    // As a browser sends the lines of a text field.
    let pretty = serde_json::to_string_pretty(&value).expect("JSON").replace('\n', "\r\n");
    let page = sent.ask(&sent.vendors(), &pretty).text;
    assert!(page.contains("Both say the same, in other characters"), "{page}");
    let page = sent.ask(&sent.vendors(), &format!("{}\n", sent.body())).text;
    assert!(page.contains(&format!("after {} bytes", sent.body().len())), "a line end is a difference: {page}");
}

#[test]
fn a_signature_by_the_former_secret_is_known_as_such() {
    let sent = Sent::new();
    sent.world.advance("1m");
    let coop = sent.world.coop();
    coop.patch(&format!("/webhooks/{}", sent.webhook), json!({ "secret": "present-secret" })).expect(200);
    sent.world.advance("1m");
    sent.says(&sent.vendors(), &["The signature is right", "the former secret", "The secret was changed at"]);
    let present = hex(b"present-secret", sent.body());
    sent.says(&present, &["The signature is right", "the present secret", "The secret was changed at"]);
}

#[test]
fn what_is_no_signature_and_what_belongs_to_others_is_refused() {
    let sent = Sent::new();
    for wrong in ["nonsense", "sha256=12", "v1,AAAA", SECRET] {
        let page = sent.browser.post(&sent.check, &[("signature", wrong)]);
        assert!(page.status == 400 && page.text.contains("no signature"), "{wrong}: {}", page.text);
        assert!(!page.text.contains(SECRET), "what is pasted by mistake is not repeated");
    }
    assert_eq!(sent.browser.post(&sent.check, &[]).status, 400);
    let fields = [("signature", "sha256=00")];
    assert_eq!(of(&sent.world, OTHER_COOP, "webhooks").post(&sent.check, &fields).status, 404);
    assert_eq!(of(&sent.world, COOP, "events").post(&sent.check, &fields).status, 403);
}
