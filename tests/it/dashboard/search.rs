//! The search in the head of every page, and the text filter of the lists.

use serde_json::json;

use crate::support::{
    browser::{of, operator},
    client::Answer,
    receiver::{Receiver, Reply},
    world::{COOP, OTHER_COOP, World},
};

fn rows(page: &Answer) -> usize {
    page.text.matches("<tr><th scope=\"row\">").count()
}

/// Where the link with these words leads.
fn link(page: &Answer, words: &str) -> Option<String> {
    let before = page.text.split(&format!("\">{words}</a>")).next().filter(|before| before.len() < page.text.len())?;
    Some(before.rsplit("href=\"").next()?.replace("&#38;", "&").replace("&amp;", "&"))
}

#[test]
fn the_search_of_the_head_leads_straight_to_what_has_this_id_or_key() {
    let world = World::new();
    let (receiver, coop, browser) = (Receiver::new(), world.coop(), operator(&world));
    receiver.always(Reply::status(410));
    let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
    let body = json!({ "event": "batch.exported", "cooperative_id": COOP, "data": {}, "idempotency_key": "export 7" });
    let made = coop.post("/events", body).expect(202);
    let (event, delivery) = (made["event_id"].as_str().expect("an id"), &made["deliveries"][0]["delivery_id"]);
    let delivery = delivery.as_str().expect("an id");
    world.settle();
    let started =
        browser.submit(&browser.get("/ui/recover?state=exhausted"), "/ui/recover", &[]).header("location").to_owned();
    let run = started.rsplit('/').next().expect("an id");
    for (sought, address) in [
        (event, format!("/ui/events/{event}")),
        (delivery, format!("/ui/deliveries/{delivery}")),
        (webhook.as_str(), format!("/ui/webhooks/{webhook}")),
        (run, format!("/ui/recoveries/{run}")),
        ("export+7", format!("/ui/events/{event}")),
        ("%20export+7%20", format!("/ui/events/{event}")),
    ] {
        let led = browser.get(&format!("/ui/search?q={sought}"));
        assert_eq!((led.status, led.header("location")), (303, address.as_str()), "{sought}");
        assert_eq!(browser.follow(&led).status, 200, "{sought}");
    }
    let narrow = of(&world, OTHER_COOP, "webhooks,events");
    for sought in [event, delivery, &webhook, "evt_01HXYZ7A1B2C3D4E5F6G7H8J9K"] {
        let page = narrow.get(&format!("/ui/search?q={sought}"));
        assert!(page.status == 200 && page.text.contains(&format!("Nothing has the id {sought}")), "{}", page.text);
    }
    assert!(browser.get("/ui/search?q=req_01HXYZ7A1B2C3D4E5F6G7H8J9K").text.contains("This is the id of a request"));
    assert!(browser.get("/ui/search").text.contains("The box above finds"));
}

#[test]
fn any_other_text_shows_what_has_it_in_its_payload_newest_first_and_goes_on_further_back() {
    let world = World::new();
    let (receiver, coop, browser) = (Receiver::new(), world.coop(), operator(&world));
    coop.webhook(&receiver.url(), &["*"], "s3cret");
    for number in 0..50 {
        coop.publish("batch.exported", json!({ "batch_id": format!("BATCH-2026-{number:06}"), "lot": "Elgon" }));
    }
    coop.publish("dds.filed", json!({ "lot": "Kasese" }));
    world.settle();
    for (list, scopes) in [("deliveries", "webhooks,events"), ("events", "events")] {
        let browser = of(&world, COOP, scopes);
        let found = browser.follow(&browser.get("/ui/search?q=batch_id+batch-2026-000021"));
        assert_eq!(rows(&found), 1, "{}", found.text);
        let first = browser.follow(&browser.get("/ui/search?q=elgon"));
        assert_eq!(rows(&first), 40, "{list}");
        assert!(first.text.contains("Searched back to <time"), "{}", first.text);
        assert!(!first.text.contains("data-every"), "a search is not repeated by itself");
        let more = link(&first, "Go on further back").expect("a link");
        assert!(more.starts_with(&format!("/ui/{list}?q=elgon&")), "{more}");
        let rest = browser.get(&more);
        assert_eq!((rows(&rest), link(&rest, "Go on further back")), (10, None));
        assert!(!rest.text.contains("Searched back to"), "everything was searched");
    }
    let page = browser.get("/ui/deliveries?q=elgon&state=exhausted");
    assert!(page.text.contains("No delivery matches"), "the other filters hold too");
    let events = link(&page, "Look among events").expect("a link");
    assert_eq!(rows(&browser.get(&events)), 40);
    assert_eq!(rows(&of(&world, OTHER_COOP, "webhooks,events").get("/ui/deliveries?q=elgon")), 0);
    assert_eq!(browser.get(&format!("/ui/search?q={}", "x".repeat(300))).status, 303);
    assert_eq!(browser.get(&format!("/ui/deliveries?q={}", "x".repeat(300))).status, 400);
}

#[test]
fn every_page_has_the_search_in_its_head() {
    let world = World::new();
    let browser = operator(&world);
    for page in
        ["", "/webhooks", "/deliveries", "/events", "/alerts", "/accounts", "/audit", "/system", "/search", "/no"]
    {
        let page = browser.get(&format!("/ui{page}")).text;
        assert_eq!(page.matches("action=\"/ui/search\" role=\"search\"").count(), 1, "{page}");
    }
    assert!(!browser.get("/ui/sign-in").text.contains("/ui/search"));
}

#[test]
fn webhooks_and_their_deliveries_are_found_and_shown_by_name() {
    let world = World::new();
    let (receiver, coop, browser) = (Receiver::new(), world.coop(), operator(&world));
    receiver.always(Reply::status(410));
    let named = coop.webhook(&format!("{}/a", receiver.url()), &["*"], "s3cret");
    coop.patch(&format!("/webhooks/{named}"), json!({ "name": "Buyer portal" })).expect(200);
    coop.webhook(&format!("{}/b", receiver.url()), &["*"], "s3cret");
    coop.publish("batch.exported", json!({}));
    world.settle();
    let shows = |path: &str| {
        let page = browser.get(path).text;
        [">Buyer portal</a>", "/hook/a", "/hook/b"].map(|part| page.contains(part))
    };
    assert_eq!(shows("/ui/deliveries?webhook=buyer+PORTAL"), [true, true, false]);
    assert_eq!(shows("/ui/webhooks?url=portal"), [true, true, false]);
    assert_eq!(shows("/ui/deliveries"), [true, true, true], "the others are shown by their URL");
    assert_eq!(shows("/ui"), [true, true, true], "so are those that need somebody");
    assert!(shows(&format!("/ui/accounts/{COOP}"))[0]);
    let counted = browser.get("/ui/recover?webhook=portal&state=exhausted").text;
    assert!(counted.contains("1 failed delivery matches."), "{counted}");
}

#[test]
fn deliveries_are_filtered_by_a_part_of_their_webhook_s_url() {
    let world = World::new();
    let (receiver, coop, browser) = (Receiver::new(), world.coop(), operator(&world));
    receiver.always(Reply::status(410));
    let till = coop.webhook(&format!("{}/till", receiver.url()), &["*"], "s3cret");
    coop.webhook(&format!("{}/Exports", receiver.url()), &["*"], "s3cret");
    coop.publish("batch.exported", json!({}));
    world.settle();
    let found = |query: &str| {
        let page = browser.get(&format!("/ui/deliveries?{query}"));
        let shown = ["/till</a>", "/Exports</a>"].map(|url| page.text.contains(url));
        (shown, page.text.contains("Replay all that match"))
    };
    assert_eq!(found("webhook=exports"), ([false, true], true));
    assert_eq!(found("webhook=hook.example"), ([false, false], false));
    assert_eq!(found("webhook=127.0.0.1&state=exhausted"), ([true, true], true));
    assert_eq!(found(&format!("webhook={till}")), ([true, false], true));
    assert_eq!(found("webhook=till&q=batch.exported"), ([true, false], false));
    assert_eq!(found(""), ([true, true], true));
    assert_eq!(browser.get("/ui/recover?q=batch").status, 400, "a recovery looks through no payloads");
    let counted = browser.get("/ui/recover?webhook=TILL");
    assert!(counted.text.contains("1 failed delivery matches."), "{}", counted.text);
}
