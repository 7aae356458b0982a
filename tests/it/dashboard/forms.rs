//! Forms of the dashboard: each is accepted once, keeps its fields when it is refused, and does what its label says.

use serde_json::json;

use crate::support::{
    browser::{Browser, ended, of, operator},
    client::{Answer, Client},
    leaks,
    receiver::{Receiver, Reply},
    world::{COOP, World},
};

/// The secret that a page shows once.
#[track_caller]
fn secret(page: &Answer) -> String {
    let shown = page.text.split_once("id=\"secret\">").and_then(|(_, rest)| rest.split('<').next());
    let shown = shown.unwrap_or_else(|| panic!("{} {}", page.status, page.text));
    leaks::secret(shown);
    shown.to_owned()
}

fn webhooks(client: &Client) -> usize {
    client.get("/webhooks").expect(200).as_array().expect("a list").len()
}

#[test]
fn a_form_that_makes_something_is_taken_once_and_shows_the_same_again() {
    let world = World::new();
    let (receiver, coop, browser) = (Receiver::new(), world.coop(), operator(&world));
    let page = browser.get(&format!("/ui/webhooks/new?account={COOP}"));
    let fields = [("url", receiver.url()), ("every", "yes".to_owned())];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let twice = [(); 2].map(|()| browser.submit(&page, "/ui/webhooks/new", &fields));
    let shown = twice.each_ref().map(|answer| secret(&browser.follow(answer)));
    assert_eq!(webhooks(&coop), 1, "a second click registers nothing");
    assert!(shown[0].starts_with("whsec_") && shown[0] == shown[1]);

    let page = browser.get("/ui/accounts");
    let fields = [("holder", COOP), ("scope", "events"), ("label", "once")];
    let twice = [(); 2].map(|()| secret(&browser.follow(&browser.submit(&page, "/ui/tokens", &fields))));
    assert_eq!(twice[0], twice[1]);
    let list = operator(&world).get("/ui/accounts").text;
    assert_eq!(list.matches("once<br>").count(), 1, "one token is made");

    let webhook = coop.get("/webhooks").expect(200)[0]["webhook_id"].as_str().expect("an id").to_owned();
    let page = browser.get(&format!("/ui/webhooks/{webhook}"));
    let rotate = format!("/ui/webhooks/{webhook}/secret");
    let twice = [(); 2].map(|()| secret(&browser.follow(&browser.submit(&page, &rotate, &[]))));
    assert!(twice[0] == twice[1] && twice[0] != shown[0]);
    coop.publish("batch.exported", json!({}));
    let signatures = receiver.wait_for(1)[0].header("webhook-signature").to_owned();
    assert_eq!(signatures.split(' ').count(), 2, "the first secret signs too: {signatures}");
}

#[test]
fn a_secret_shown_once_is_gone_after_a_minute_and_visible_to_its_session_only() {
    let world = World::new();
    let browser = operator(&world);
    let made = browser.submit(&browser.get("/ui/accounts"), "/ui/tokens", &[("holder", COOP), ("scope", "events")]);
    let address = made.header("location").to_owned();
    assert!(secret(&browser.get(&address)).starts_with("ngm_"));
    assert_eq!(operator(&world).get(&address).status, 404, "another session of an operator");
    world.advance("59s");
    assert_eq!(browser.get(&address).status, 200);
    world.advance("1s");
    let gone = browser.get(&address);
    assert!(gone.status == 404 && gone.text.contains("make a new one"), "{}", gone.text);
}

#[test]
fn a_secret_is_rotated_only_from_a_page_that_knows_the_present_one() {
    let world = World::new();
    let (receiver, browser) = (Receiver::new(), operator(&world));
    let webhook = world.coop().webhook(&receiver.url(), &["*"], "s3cret");
    let (address, rotate) = (format!("/ui/webhooks/{webhook}"), format!("/ui/webhooks/{webhook}/secret"));
    let (page, other) = (browser.get(&address), operator(&world));
    let stale = other.get(&address);
    assert_eq!(browser.submit(&page, &rotate, &[]).status, 303);
    let refused = other.submit(&stale, &rotate, &[]);
    assert!(refused.status == 409 && refused.text.contains("its secret was changed meanwhile"), "{}", refused.text);
    assert_eq!(other.post(&rotate, &[]).status, 409, "nor without the mark");
    assert_eq!(other.submit(&other.get(&address), &rotate, &[]).status, 303);
}

#[test]
fn changing_the_url_leaves_the_events_as_they_are() {
    let world = World::new();
    let (receiver, coop, browser) = (Receiver::new(), world.coop(), operator(&world));
    let webhook = coop.webhook(&receiver.url(), &["payout.completed", "batch.*"], "s3cret");
    let events = || coop.get(&format!("/webhooks/{webhook}")).expect(200)["events"].clone();
    let page = browser.get(&format!("/ui/webhooks/{webhook}"));
    assert!(page.text.contains("name=\"more\" value=\"batch.*\""), "{}", page.text);
    assert_eq!(page.text.matches(" checked").count(), 1, "only what is named is ticked");
    let change = format!("/ui/webhooks/{webhook}/change");
    let moved = format!("{}/new", receiver.url());
    let fields = [("url", moved.as_str()), ("event", "payout.completed"), ("more", "batch.*")];
    assert_eq!(browser.submit(&page, &change, &fields).status, 303);
    assert_eq!(events(), json!(["payout.completed", "batch.*"]));
    coop.publish("batch.exported", json!({}));
    assert_eq!(receiver.wait_for(1)[0].path, "/hook/new");
    let audit = browser.get("/ui/audit?action=webhook.changed").text;
    assert!(audit.contains("url http") && !audit.contains("events payout"), "nothing else was changed");
    let fields = [("url", moved.as_str()), ("event", "batch.exported"), ("more", "dds.*, payout.*")];
    assert_eq!(browser.post(&change, &fields).status, 303);
    assert_eq!(events(), json!(["batch.exported", "dds.*", "payout.*"]));
    assert_eq!(browser.post(&change, &[("url", &moved), ("every", "yes"), ("event", "batch.exported")]).status, 303);
    assert_eq!(events(), json!(["*"]));
}

#[test]
fn a_refused_form_keeps_every_field_that_was_filled_in() {
    let world = World::new();
    let (receiver, coop, browser) = (Receiver::new(), world.coop(), operator(&world));
    let account = browser.post("/ui/accounts", &[("id", "no spaces"), ("vendor", "asg"), ("mail", "ops@coop.example")]);
    assert_eq!(account.status, 400);
    for part in ["value=\"no spaces\"", "value=\"asg\" selected", "value=\"ops@coop.example\""] {
        assert!(account.text.contains(part), "{part}: {}", account.text);
    }
    let fields = [("platform", "asg"), ("holder", COOP), ("scope", "events"), ("label", "till")];
    let token = browser.post("/ui/tokens", &fields);
    assert_eq!(token.status, 400);
    for part in ["value=\"asg\" selected", &format!("value=\"{COOP}\">"), "value=\"events\" checked", "value=\"till\""]
    {
        assert!(token.text.contains(part), "{part}: {}", token.text);
    }
    assert!(!token.text.contains("value=\"webhooks\" checked"), "what was not ticked is not");
    let fields = [("account", COOP), ("url", "ftp://nowhere"), ("event", "batch.exported"), ("more", "payout.*")];
    let register = browser.post("/ui/webhooks/new", &fields);
    assert_eq!(register.status, 422);
    for part in ["value=\"ftp://nowhere\"", "value=\"batch.exported\" checked", "value=\"payout.*\""] {
        assert!(register.text.contains(part), "{part}: {}", register.text);
    }
    let every = browser.post("/ui/webhooks/new", &[("account", COOP), ("url", "ftp://nowhere"), ("every", "yes")]);
    assert!(every.text.contains("name=\"every\" value=\"yes\" checked"));
    let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
    let fields = [("url", "ftp://elsewhere"), ("event", "batch.exported")];
    let change = browser.post(&format!("/ui/webhooks/{webhook}/change"), &fields);
    assert_eq!(change.status, 422);
    assert!(
        change.text.contains("value=\"ftp://elsewhere\"") && change.text.contains("value=\"batch.exported\" checked")
    );
    assert!(!change.text.contains("data-at="), "a page that a form led to is not fetched again");
}

#[test]
fn nothing_is_replayed_to_a_deleted_webhook_and_a_suspended_one_is_named() {
    let world = World::new();
    let (receiver, coop, browser) = (Receiver::new(), world.coop(), operator(&world));
    let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
    coop.publish("batch.exported", json!({}));
    world.settle();
    let delivery = coop.deliveries(&webhook)[0]["delivery_id"].as_str().expect("an id").to_owned();
    let (address, replay) = (format!("/ui/deliveries/{delivery}"), format!("/ui/deliveries/{delivery}/replay"));
    let page = browser.get(&address);
    assert_eq!(browser.post(&format!("/ui/webhooks/{webhook}/pause"), &[]).status, 303);
    assert!(!browser.get(&address).text.contains(&replay), "it is not offered");
    let refused = browser.submit(&page, &replay, &[]);
    assert!(refused.status == 409 && refused.text.contains("resume it") && !refused.text.contains("PATCH"));
    assert_eq!(browser.post(&format!("/ui/webhooks/{webhook}/resume"), &[]).status, 303);
    let twice = [(); 2].map(|()| browser.submit(&page, &replay, &[]).header("location").to_owned());
    assert_eq!(twice[0], twice[1], "a second click is no second replay");
    world.settle();
    assert_eq!(receiver.posts().len(), 2);
    assert_eq!(browser.post(&format!("/ui/webhooks/{webhook}/delete"), &[]).status, 303);
    let refused = browser.post(&replay, &[]);
    assert!(refused.status == 409 && refused.text.contains("is deleted"), "{} {}", refused.status, refused.text);
    let page = browser.get(&address).text;
    assert!(!page.contains(&replay) && page.contains("Its webhook is deleted"));
}

#[test]
fn a_test_sends_the_first_subscribed_event_as_the_api_does() {
    let world = World::new();
    let (receiver, coop, browser) = (Receiver::new(), world.coop(), operator(&world));
    let webhook = coop.webhook(&receiver.url(), &["payout.*", "batch.exported"], "s3cret");
    assert_eq!(browser.post(&format!("/ui/webhooks/{webhook}/test"), &[]).status, 200);
    coop.post(&format!("/webhooks/{webhook}/test"), json!({})).expect(200);
    let events = receiver.wait_for(2).iter().map(|post| post.json()["event"].clone()).collect::<Vec<_>>();
    assert!(
        events[0] == events[1] && events[0].as_str().is_some_and(|event| event.starts_with("payout.")),
        "{events:?}"
    );
}

/// Tasks of these numbers, published.
fn settled(world: &World, customer: &Client, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let task = json!({ "event": "task.settled", "task_id": format!("tsk_{number}"), "consensus_label": "cat",
            "confidence": 1.0, "bsv_txid": "9f", "settled_at": "2026-04-08T21:05:00Z" });
        customer.post("/v1/events", task).expect(202);
    }
    world.settle();
}

#[test]
fn a_recovery_goes_over_what_was_counted_and_a_word_that_is_unknown_never_means_all() {
    let world = World::new();
    let (receiver, customer, browser) = (Receiver::new(), world.customer(), operator(&world));
    customer.post("/v1/webhooks", json!({ "callback_url": receiver.url(), "secret": "s3cret" })).expect(201);
    // Gone: each has failed at once.
    receiver.always(Reply::status(410));
    settled(&world, &customer, 0..3);
    for path in ["/ui/recover?state=bogus", "/ui/recover?error=bogus", "/ui/deliveries?state=failed"] {
        assert_eq!(browser.get(path).status, 400, "{path}");
    }
    assert_eq!(browser.post("/ui/recover", &[("state", "exhausted")]).status, 400, "nothing was counted");
    let page = browser.get("/ui/recover?state=exhausted");
    assert!(page.text.contains("3 failed deliveries match"), "{}", page.text);
    world.advance("1m");
    settled(&world, &customer, 3..8);
    receiver.always(Reply::status(200));
    let twice = [(); 2].map(|()| browser.submit(&page, "/ui/recover", &[]).header("location").to_owned());
    assert_eq!(twice[0], twice[1], "a second click is no second run");
    let run = ended(&world, &browser, &twice[0]);
    assert!(run.contains("3 replayed, 0 skipped, of 3"), "{run}");
}

#[test]
fn an_address_that_takes_forms_leads_to_the_page_above_it() {
    let world = World::new();
    let browser = operator(&world);
    let webhook = world.coop().webhook(&Receiver::new().url(), &["*"], "s3cret");
    for (at, leads) in [
        (format!("/ui/webhooks/{webhook}/test"), format!("/ui/webhooks/{webhook}")),
        ("/ui/deliveries/dlv_x/replay".to_owned(), "/ui/deliveries/dlv_x".to_owned()),
        ("/ui/tokens".to_owned(), "/ui/accounts".to_owned()),
        ("/ui/tokens/tok_x/revoke".to_owned(), "/ui/accounts".to_owned()),
        ("/ui/alerts/test-mail".to_owned(), "/ui/alerts".to_owned()),
    ] {
        let answer = browser.get(&at);
        assert_eq!((answer.status, answer.header("location")), (303, leads.as_str()), "{at}");
    }
    assert!(browser.get("/ui/webhooks?state=active").text.contains("data-at=\"/ui/webhooks?state=active\""));
}

#[test]
fn a_webhook_s_id_with_another_vendor_s_prefix_is_nobody_s() {
    let world = World::new();
    let browser = operator(&world);
    let webhook = world.coop().webhook(&Receiver::new().url(), &["*"], "s3cret");
    let foreign = webhook.replace("wh_", "whk_");
    assert_eq!(browser.get(&format!("/ui/webhooks/{foreign}")).status, 404);
    for verb in ["pause", "test", "delete", "drop", "change"] {
        let fields = [("url", "https://r.example/"), ("every", "yes")];
        assert_eq!(browser.post(&format!("/ui/webhooks/{foreign}/{verb}"), &fields).status, 404, "{verb}");
    }
    assert_eq!(browser.get(&format!("/ui/recover?webhook={foreign}")).status, 404);
    assert!(browser.get(&format!("/ui/deliveries?webhook={foreign}")).text.contains("There is no webhook"));
    assert_eq!(world.coop().status(&webhook), "ACTIVE");
}

#[test]
fn an_account_changes_rotates_cancels_and_deletes_its_own() {
    let world = World::new();
    let (receiver, coop, browser) = (Receiver::new(), world.coop(), of(&world, COOP, "webhooks"));
    let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
    let page = || browser.get(&format!("/ui/webhooks/{webhook}"));
    let to = |verb: &str| format!("/ui/webhooks/{webhook}/{verb}");
    let fields = [("url", receiver.url()), ("event", "batch.exported".to_owned())];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(browser.submit(&page(), &to("change"), &fields).status, 303);
    assert_eq!(coop.get(&format!("/webhooks/{webhook}")).expect(200)["events"], json!(["batch.exported"]));
    assert!(secret(&browser.follow(&browser.submit(&page(), &to("secret"), &[]))).starts_with("whsec_"));
    receiver.always(Reply::status(500));
    coop.publish("batch.exported", json!({}));
    world.settle();
    let delivery = coop.deliveries(&webhook)[0]["delivery_id"].as_str().expect("an id").to_owned();
    assert_eq!(browser.post(&format!("/ui/deliveries/{delivery}/cancel"), &[]).status, 303);
    assert_eq!(coop.deliveries(&webhook)[0]["status"], "CANCELLED");
    assert_eq!(browser.submit(&page(), &to("delete"), &[]).status, 303);
    assert_eq!(coop.get(&format!("/webhooks/{webhook}")).status, 404);
    assert!(page().text.contains("deleted") && !page().text.contains(&to("test")));
}

#[test]
fn a_form_without_its_length_is_read_as_far_as_it_may_be_long() {
    let world = World::new();
    let browser = operator(&world);
    let send = |label: &str| {
        chunked(&world, &browser, &format!("form={}&holder={COOP}&scope=events&label={label}", browser.form))
    };
    assert_eq!(send("chunked"), 303);
    assert_eq!(send(&"x".repeat(70_000)), 413);
}

/// Sends a form in chunks: the status of the answer.
fn chunked(world: &World, browser: &Browser, body: &str) -> u16 {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(world.address()).expect("it listens");
    let head = format!(
        "POST /ui/tokens HTTP/1.1\r\nhost: {}\r\ncookie: {}\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         transfer-encoding: chunked\r\nconnection: close\r\n\r\n{:x}\r\n",
        world.address(),
        browser.cookie,
        body.len()
    );
    // A refusal may come before all is sent.
    let _ = stream.write_all(format!("{head}{body}\r\n0\r\n\r\n").as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
}

#[test]
fn metadata_and_own_headers_are_set_kept_and_removed_by_forms_and_no_form_holds_a_value() {
    const VALUE: &str = "receiver-key-9876543210";
    let world = World::new();
    leaks::secret(VALUE);
    let (receiver, coop, browser) = (Receiver::new(), world.coop(), of(&world, COOP, "webhooks"));
    let (url, header) = (receiver.url(), format!("X-Api-Key: {VALUE}"));
    let fields =
        [("url", url.as_str()), ("every", "yes"), ("metadata", "shop: 17\r\nnote: a: b\r\n"), ("headers", &header)];
    let page = browser.get("/ui/webhooks/new");
    secret(&browser.follow(&browser.submit(&page, "/ui/webhooks/new", &fields)));
    let shown = || coop.get("/webhooks").expect(200)[0].clone();
    assert_eq!(shown()["metadata"], json!({ "shop": "17", "note": "a: b" }));
    assert_eq!(shown()["headers"], json!({ "X-Api-Key": "***" }));
    let webhook = shown()["webhook_id"].as_str().expect("an id").to_owned();
    coop.publish("dds.filed", json!({}));
    world.settle();
    assert_eq!(receiver.last().header("x-api-key"), VALUE);

    let page = || browser.get(&format!("/ui/webhooks/{webhook}"));
    let change = format!("/ui/webhooks/{webhook}/change");
    let text = page().text;
    assert!(text.contains("note: a: b") && text.contains("There are X-Api-Key.") && !text.contains(VALUE), "{text}");
    let kept = [("url", url.as_str()), ("every", "yes"), ("metadata", "shop: 18"), ("headers", "")];
    assert_eq!(browser.submit(&page(), &change, &kept).status, 303);
    assert_eq!((&shown()["metadata"], &shown()["headers"]["X-Api-Key"]), (&json!({ "shop": "18" }), &json!("***")));
    let wrong = browser.submit(&page(), &change, &[("url", url.as_str()), ("every", "yes"), ("metadata", "shop")]);
    assert!(wrong.text.contains("metadata, line 1: write a name, a colon and a text"), "{}", wrong.text);
    let removed = [("url", url.as_str()), ("every", "yes"), ("metadata", ""), ("no_headers", "yes")];
    assert_eq!(browser.submit(&page(), &change, &removed).status, 303);
    assert_eq!((shown().get("metadata"), shown().get("headers")), (None, None));
}
