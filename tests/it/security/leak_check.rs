//! The leak check finds secrets in every form, and none in the output of the built program.

use std::{fs, path::Path, process::Command};

use base64::{Engine as _, prelude::*};
use serde_json::{Value, json};
use url::Url;

use crate::support::{
    client::Client,
    leaks::{self, forms},
    program::run,
    receiver::{Receiver, Reply},
    site::{Server, Site},
    world::COOP,
};

const TOKEN: &str = "ngm_5T7bLqY0eVxkWm2hGJ9sRZc4uPnAdF8oCiH3tNvKzE1QyBc4fG0z";
const STANDARD: &str = "whsec_x3Bnq0hUu2dW8mJk5rTzYvE7aLsNcQ1pGf4iXo9DRtM=";
const OWN: &str = "what \"the\" subscriber/signs+with, 100% his own";

/// Bytes on a line of a dump, such as ureq writes when it sends: this much of a secret is a leak.
const DUMPED: usize = 16;

/// The result of tests/leaks: whether nothing leaked, and its words.
fn check(secrets: &str, shown: &str) -> (bool, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("written");
        path
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/leaks");
    let checked =
        Command::new(script).args([file("secrets", secrets), file("shown", shown)]).output().expect("it runs");
    let said = [checked.stdout, checked.stderr].concat();
    (checked.status.success(), String::from_utf8(said).expect("UTF-8"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How a careless line would show a secret.
fn leaked(secret: &str) -> Vec<String> {
    let url = Url::parse_with_params("http://localhost/", [("secret", secret)]).expect("a URL");
    let bytes = secret.as_bytes();
    let mut leaked = vec![
        secret.to_owned(),
        format!("{secret:?}"),
        json!({ "secret": secret }).to_string(),
        url.to_string(),
        format!("{bytes:?}"),
        hex(bytes),
        BASE64_STANDARD.encode(bytes),
        BASE64_STANDARD.encode(format!("a:{secret}:")),
        BASE64_STANDARD.encode(format!("ab:{secret}")),
        BASE64_URL_SAFE_NO_PAD.encode(format!("abc:{secret}.")),
    ];
    if let Some(rest) = secret.strip_prefix("whsec_") {
        let key = BASE64_STANDARD.decode(rest).expect("base64");
        leaked.extend([rest.to_owned(), format!("{key:?}"), hex(&key), BASE64_URL_SAFE_NO_PAD.encode(&key)]);
    }
    leaked.extend(secret.strip_prefix("ngm_").map(str::to_owned));
    leaked
}

#[test]
fn a_leak_is_found_however_it_is_written() {
    let secrets = [TOKEN, STANDARD, OWN];
    let looked_for: String = secrets.iter().flat_map(|secret| forms(secret)).map(|form| form + "\n").collect();
    let harmless = "a line\nsha256=5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff536d0ce8e108d8bd\n";
    let (passed, said) = check(&looked_for, harmless);
    assert!(passed && said.contains("in 2 lines"), "{said}");
    for leak in secrets.iter().flat_map(|secret| leaked(secret)) {
        let (passed, said) = check(&looked_for, &format!("{harmless}DEBUG secret={leak} in a line\nanother\n"));
        assert!(!passed && said.contains("in line 3:"), "{leak}: {said}");
    }
    for (secrets, shown) in [("", harmless), (&*looked_for, "")] {
        assert!(!check(secrets, shown).0, "a check that cannot find anything does not pass");
    }
}

/// Registers, changes a secret, publishes, fails, rotates the key, tests, asks wrongly: every use of tokens and
/// secrets.
/// Gives those that were used.
fn work(site: &Site, server: &Server) -> Vec<String> {
    let command = |arguments: &[&str]| {
        let (code, out, err) = run(site.folder(), arguments);
        assert_eq!(code, 0, "{err}");
        out
    };
    let create = ["token", "create", "--account", COOP, "--scope", "webhooks,events", "--json"];
    let made: Value = serde_json::from_str(&command(&create)).expect("JSON");
    let [token, id] = ["token", "id"].map(|name| made[name].as_str().expect("a text").to_owned());
    let key = || fs::read_to_string(site.folder().join("ngoma.key")).expect("the key file")[2..].trim().to_owned();
    let mut used = vec![token.clone(), OWN.to_owned(), STANDARD.to_owned(), key()];

    let (receiver, failing) = (Receiver::new(), Receiver::new());
    failing.always(Reply::status(500));
    let coop = server.client(&token);
    let webhook = coop.webhook(&receiver.url(), &["*"], OWN);
    let body =
        |url: &str, secret: &Value| json!({ "url": url, "events": ["*"], "cooperative_id": COOP, "secret": secret });
    let shown = coop.post("/webhooks", body(&failing.url(), &Value::Null)).expect(201);
    used.push(shown["secret"].as_str().expect("it is shown once").to_owned());
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "secret": STANDARD })).expect(200);
    coop.publish("dds.filed", json!({ "dds_id": "DDS-1" }));
    receiver.wait_for(1);
    failing.wait_for(2);
    command(&["key", "rotate"]);
    used.push(key());
    coop.send("POST", &format!("/webhooks/{webhook}/test"), &[], None).expect(200);

    // A refused secret is as secret as an accepted one.
    for (url, secret) in [("http://10.0.0.1/", json!(OWN)), ("http://127.0.0.1/", json!(OWN.repeat(9)))] {
        let refused = coop.post("/webhooks", body(url, &secret));
        assert!(refused.status == 422 || refused.status == 400, "{refused:?}");
    }
    let text = body(&receiver.url(), &json!(OWN)).to_string();
    coop.post_text("/webhooks", &text[..text.len() - 1]).expect(400);
    let typo = if token.ends_with('7') { '8' } else { '7' };
    let strangers = [server.client(&format!("{}{typo}", &token[..token.len() - 1])), server.client(TOKEN)];
    command(&["token", "revoke", &id]);
    strangers.iter().chain([&coop]).for_each(|client: &Client| drop(client.get("/webhooks").expect(401)));
    used
}

#[test]
fn no_output_of_the_program_shows_a_token_or_a_secret() {
    for format in ["text", "json"] {
        let mut site = Site::new();
        site.set("LOG__FORMAT", format).set("ASILICHAIN__WAITS", "[\"1ms\"]");
        let mut server = site.start();
        let used = work(&site, &server);
        used.iter().for_each(|secret| leaks::secret(secret));
        server.running.signal("TERM");
        assert!(server.running.wait().success());
        let written = server.running.log() + &server.running.seen.join("\n");
        let everybody = ["Return to pool", "no migration to run"].map(|word| written.contains(word));
        assert!(written.matches("TRACE").count() > 100 && everybody == [true; 2], "all is logged: {written}");
        let shows = |piece: &[u8]| std::str::from_utf8(piece).is_ok_and(|piece| written.contains(piece));
        for form in used.iter().flat_map(|secret| forms(secret)) {
            assert!(!form.as_bytes().windows(DUMPED).any(shows), "{form}");
        }
    }
}
