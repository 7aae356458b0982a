//! Masking: only its owner sees the path of a webhook's URL, and only the operator the address behind a name.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::support::{
    browser,
    client::Client,
    mailbox::told,
    receiver::{Receiver, Reply},
    site::Site,
    world::{COOP, Wish, World},
};

const PATH: &str = "/services/T000/B000/ourSecretPath";
const SHOWN: &str = "/services/T0...";

#[test]
fn the_path_of_a_url_is_masked_in_alerts_and_audit_and_whole_for_its_owner() {
    let own = Receiver::new();
    let world = World::with(|wish: &mut Wish| {
        wish.config.alerts.webhook_url = own.url().into();
        wish.config.alerts.webhook_secret = "a secret of the operator".to_owned().into();
    });
    let receiver = Receiver::new();
    receiver.always(Reply::status(410));
    let (coop, operator) = (world.coop(), world.operator());
    let base = format!("http://127.0.0.1:{}", receiver.port());
    let webhook = coop.webhook(&format!("{base}/short/path1"), &["dds.filed"], "s");
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "url": format!("{base}{PATH}?key=ourKey") })).expect(200);
    coop.publish("dds.filed", json!({}));
    world.settle();
    told(&world);
    let shown = format!("{base}{SHOWN}");
    assert_eq!(own.only().json()["data"]["url"], shown);
    assert_eq!(operator.get("/operator/alerts").expect(200)["alerts"][0]["url"], shown);
    let audit = operator.get("/operator/audit?limit=100").expect(200);
    let notes: Vec<&str> =
        audit["entries"].as_array().expect("a list").iter().filter_map(|one| one["note"].as_str()).collect();
    assert!(notes.contains(&format!("url {shown}").as_str()), "{notes:?}");
    assert!(notes.contains(&format!("{base}/short/path1").as_str()), "twelve characters are whole: {notes:?}");
    let (mine, theirs) = (browser::of(&world, COOP, "webhooks"), browser::operator(&world));
    for page in ["/ui/audit", "/ui/alerts"] {
        let text = theirs.get(page).text;
        assert!(text.contains(SHOWN) && !text.contains("ourSecret"), "{page}: {text}");
    }
    for page in ["/ui/alerts", "/ui/webhooks", &format!("/ui/webhooks/{webhook}")] {
        assert!(mine.get(page).text.contains(PATH), "{page}");
    }
    assert_eq!(coop.get(&format!("/webhooks/{webhook}")).expect(200)["url"], format!("{base}{PATH}?key=ourKey"));
}

fn refused(client: &Client, url: &str) -> String {
    let answer = client.post("/webhooks", json!({ "url": url, "events": ["*"], "cooperative_id": COOP }));
    assert_eq!(answer.code(422), "URL_NOT_ALLOWED", "{url}");
    answer.json()["error"]["message"].as_str().expect("a sentence").to_owned()
}

#[test]
fn an_account_learns_that_an_address_is_refused_and_only_the_operator_which_one() {
    let world = World::with(|wish: &mut Wish| {
        wish.config.egress.public = true;
        wish.look_up = std::sync::Arc::new(|name, port| {
            let inside = if name.starts_with("self") { "127.0.0.1" } else { "10.0.0.5" };
            Ok(vec![SocketAddr::new(inside.parse().expect("an address"), port)])
        });
    });
    let (coop, customer, operator) = (world.coop(), world.customer(), world.operator());
    let itself = format!("http://self.example:{}/", world.address().port());
    for (url, address, why) in [
        ("https://inside.example/", "10.0.0.5", "egress.allow"),
        ("https://10.0.0.5/", "10.0.0.5", "egress.allow"),
        (&itself, "127.0.0.1", "this server itself"),
    ] {
        let theirs = refused(&operator, url);
        assert!(theirs.contains(address) && theirs.contains(why), "{theirs}");
        let browser = browser::operator(&world);
        let fields = [("account", COOP), ("url", url), ("every", "yes")];
        let page = browser.submit(&browser.get("/ui/webhooks/new"), "/ui/webhooks/new", &fields);
        assert!(page.text.contains(address), "{}", page.text);
        let browser = browser::of(&world, COOP, "webhooks");
        let page = browser.submit(&browser.get("/ui/webhooks/new"), "/ui/webhooks/new", &fields[1..]);
        let sentence = customer.post("/v1/webhooks", json!({ "callback_url": url })).sentence(422);
        for told in [refused(&coop, url), sentence, page.text] {
            let told = told.replace(url, "");
            assert!(told.contains("not allowed") && !told.contains(address) && !told.contains("itself"), "{told}");
        }
    }
}

#[test]
fn the_log_says_which_address_was_refused_at_the_door_and_on_the_way() {
    let mut site = Site::new();
    site.set("LOG__FORMAT", "json").set("EGRESS__ALLOW", "[]");
    let mut server = site.start();
    let (coop, listener) = (server.coop(), Receiver::new());
    let url = format!("http://localhost:{}/", listener.port());
    let body = json!({ "url": url, "events": ["*"], "cooperative_id": COOP });
    coop.post("/webhooks", body.clone()).expect(422);
    site.set("EGRESS__ALLOW", "[\"127.0.0.0/8\", \"::1/128\"]");
    server.running.signal("TERM");
    assert!(server.running.wait().success());
    let mut logs = vec![server.running.log()];
    let server = site.start();
    let coop = server.coop();
    coop.post("/webhooks", body).expect(201);
    server.stop();
    site.set("EGRESS__ALLOW", "[]");
    let mut server = site.start();
    server.coop().publish("dds.filed", json!({}));
    server.running.error_with("\"outcome\":\"blocked\"");
    server.running.signal("TERM");
    assert!(server.running.wait().success());
    logs.push(server.running.log());
    for log in logs {
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut told = lines.filter(|line| line["host"] == "localhost");
        let line = told.next().unwrap_or_else(|| panic!("nothing is said: {log}"));
        let reason = line["reason"].as_str().expect("a reason");
        assert!(reason.contains("127.0.0.1") || reason.contains("::1"), "{line}");
    }
    assert_eq!(listener.connections(), 0);
}
