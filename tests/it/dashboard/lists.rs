//! Lists of the dashboard: filters, pages, and values that no page shows.

use ngoma::{
    domain::{
        audit::Actor,
        event::{Audience, NewEvent},
    },
    store::Admission,
};
use serde_json::json;

use crate::support::{
    browser::{Browser, of, operator},
    client::Answer,
    receiver::{Receiver, Reply},
    world::{COOP, CUSTOMER, Holder, OTHER_COOP, World},
};

/// This many events of another account without subscribers: written into the store, as the API takes longer.
fn crowd(world: &World, count: usize) {
    for _ in 0..count / 1000 {
        let publish = world.db().write(Actor::Engine, Admission::Batch, |tx| {
            let account = ngoma::store::accounts::find(tx, "asilichain", OTHER_COOP)?.key;
            for _ in 0..1000 {
                let event =
                    NewEvent { account, kind: "batch.exported".to_owned(), body: "{}".into(), idempotency_key: None };
                ngoma::store::events::publish(tx, &event, &Audience::Subscribers)?;
            }
            Ok(())
        });
        world.block_on(publish).expect("published");
    }
}

/// How many rows its tables have.
fn rows(page: &Answer) -> usize {
    page.text.matches("<tr><th scope=\"row\">").count()
}

/// Where its link to older ones leads.
fn older(page: &Answer) -> Option<String> {
    let before = page.text.split("\">Older ones</a>").next().filter(|before| before.len() < page.text.len())?;
    Some(before.rsplit("href=\"").next()?.replace("&#38;", "&").replace("&amp;", "&"))
}

#[test]
fn an_account_s_events_are_listed_however_much_others_have_published_since() {
    let world = World::new();
    let receiver = Receiver::new();
    let coop = world.coop();
    coop.webhook(&receiver.url(), &["batch.exported"], "s3cret");
    for number in 0..50 {
        coop.publish("batch.exported", json!({ "number": number }));
    }
    coop.publish("payout.completed", json!({ "nobody": "wants it" }));
    world.settle();
    crowd(&world, 11_000);
    let browser = of(&world, COOP, "events");
    let first = browser.get("/ui/events");
    assert_eq!(rows(&first), 40, "{}", first.text);
    let rest = browser.get(&older(&first).expect("there are older ones"));
    assert_eq!(rows(&rest), 10);
    assert_eq!(older(&rest), None);
    assert!(first.text.contains("To open one, enter its id"), "what nobody wanted is not listed, and the page says so");
    let none = browser.get("/ui/events?event=payout.completed");
    assert!(!none.text.contains("No event yet") && none.text.contains("To open one, enter its id"), "{}", none.text);
    assert_eq!(rows(&operator(&world).get(&format!("/ui/events?account={COOP}"))), 40);
    assert!(of(&world, CUSTOMER, "events").get("/ui/events").text.contains("None among the last ones"));
}

#[test]
fn each_filter_of_the_deliveries_shows_only_matches() {
    let world = World::new();
    let (good, bad) = (Receiver::new(), Receiver::new());
    bad.always(Reply::status(503));
    let coop = world.coop();
    let webhook = coop.webhook(&good.url(), &["batch.exported"], "s3cret");
    coop.webhook(&bad.url(), &["payout.*"], "s3cret");
    coop.publish("batch.exported", json!({}));
    world.settle();
    world.advance("1h");
    coop.publish("payout.completed", json!({}));
    world.settle();
    let browser = operator(&world);
    let found = |query: &str| {
        let page = browser.get(&format!("/ui/deliveries?{query}"));
        assert_eq!(page.status, 200, "{query}");
        assert!(page.text.contains("selected") || !query.contains("state=") && !query.contains("error="), "{query}");
        (page.text.contains(&good.url()), page.text.contains(&bad.url()))
    };
    let (both, first, second, none) = ((true, true), (true, false), (false, true), (false, false));
    for (query, wanted) in [
        (String::new(), both),
        (format!("account={COOP}"), both),
        (format!("account={OTHER_COOP}"), none),
        ("account=NOBODY".to_owned(), none),
        (format!("webhook={webhook}"), first),
        ("event=payout.completed".to_owned(), second),
        ("error=status".to_owned(), second),
        ("error=timeout".to_owned(), none),
        ("state=delivered".to_owned(), first),
        ("state=pending".to_owned(), second),
        ("to=2026-04-20T12:00".to_owned(), first),
        ("from=2026-04-20T12:00".to_owned(), second),
        ("from=2026-04-20&to=2026-04-21".to_owned(), both),
        ("from=2026-04-21T00:00:00Z".to_owned(), none),
    ] {
        assert_eq!(found(&query), wanted, "{query}");
    }
    assert_eq!(browser.get("/ui/deliveries?from=yesterday").status, 400);
}

#[test]
fn older_ones_follow_without_a_gap() {
    let world = World::new();
    let receiver = Receiver::new();
    let coop = world.coop();
    coop.webhook(&receiver.url(), &["*"], "s3cret");
    (0..90).for_each(|number| drop(coop.publish("batch.exported", json!({ "number": number }))));
    world.settle();
    let browser = operator(&world);
    for (path, sizes) in [("/ui/deliveries", [40, 40, 10]), ("/ui/events", [40, 40, 10])] {
        let mut at = path.to_owned();
        for size in sizes {
            let page = browser.get(&at);
            assert_eq!(rows(&page), size, "{at}");
            at = older(&page).unwrap_or_default();
        }
        assert_eq!(at, "", "{path}: the last has no older ones");
    }
    (0..30).for_each(|number| drop(coop.webhook(&format!("{}/{number}", receiver.url()), &["dds.*"], "s3cret")));
    let first = browser.get("/ui/webhooks");
    assert_eq!((rows(&first), rows(&browser.get(&older(&first).expect("older ones")))), (25, 6));
    let audit = browser.get("/ui/audit");
    assert!(older(&audit).is_none(), "one page");
    for (list, cursor) in
        [("deliveries", "dlv_01HXYZ7A1B2C3D4E5F6G7H8J9K"), ("events", "evt_01HXYZ7A1B2C3D4E5F6G7H8J9K")]
    {
        assert_eq!(browser.get(&format!("/ui/{list}?after={cursor}")).status, 400, "a cursor that no list gave");
    }
}

#[test]
fn the_list_of_webhooks_that_need_attention_says_how_many_it_leaves_out() {
    let world = World::new();
    let receiver = Receiver::new();
    let coop = world.coop();
    for number in 0..13 {
        let webhook = coop.webhook(&format!("{}/{number}", receiver.url()), &["*"], "s3cret");
        coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": "SUSPENDED" })).expect(200);
    }
    let page = of(&world, COOP, "webhooks").get("/ui").text;
    assert!(page.contains("<a href=\"/ui/webhooks?state=suspended\">and 3 more that are suspended</a>"), "{page}");
}

#[test]
fn viewers_of_the_overview_share_one_query_for_five_seconds() {
    let world = World::new();
    let (receiver, coop) = (Receiver::new(), world.coop());
    let (browser, other) = (of(&world, COOP, "webhooks"), of(&world, OTHER_COOP, "webhooks"));
    let sees = |browser: &Browser| browser.get("/ui").text.contains("No webhook yet");
    assert!(sees(&browser) && sees(&other));
    coop.webhook(&receiver.url(), &["*"], "s3cret");
    assert!(sees(&browser), "as it was seen a moment ago");
    world.advance("5s");
    assert!(!sees(&browser) && sees(&other), "each within its own walls");
}

#[test]
fn the_query_of_a_url_stands_on_the_page_of_its_webhook_and_in_the_exact_request_alone() {
    let world = World::new();
    let (receiver, coop, browser) = (Receiver::new(), world.coop(), operator(&world));
    receiver.always(Reply::status(500));
    let webhook = coop.webhook(&format!("{}/in?key=hush", receiver.url()), &["*"], "s3cret");
    let event = coop.publish("batch.exported", json!({}))["event_id"].as_str().expect("an id").to_owned();
    world.settle();
    let delivery = coop.deliveries(&webhook)[0]["delivery_id"].as_str().expect("an id").to_owned();
    let tested = browser.post(&format!("/ui/webhooks/{webhook}/test"), &[]).text;
    assert!(!tested.contains("hush"));
    for path in ["", "/webhooks", "/deliveries", "/deliveries.csv", &format!("/events/{event}"), "/alerts"] {
        let page = browser.get(&format!("/ui{path}")).text;
        assert!(!page.contains("hush"), "{path}");
    }
    let page = browser.get(&format!("/ui/deliveries/{delivery}")).text;
    let (before, request) = page.split_once("The exact request").expect("it is there");
    assert!(!before.contains("hush") && request.matches("hush").count() == 1);
    let page = browser.get(&format!("/ui/webhooks/{webhook}")).text;
    let title = page.split("<title>").nth(1).and_then(|rest| rest.split("</title>").next()).expect("a title");
    assert!(page.contains("hush") && !title.contains("hush"), "{title}");
}

#[test]
fn the_audit_names_the_token_that_did_it() {
    let world = World::new();
    let browser = operator(&world);
    let made = browser.post("/ui/tokens", &[("holder", COOP), ("scope", "webhooks"), ("label", "till of Mbale")]);
    let page = browser.follow(&made).text;
    let token = page.split("id=\"secret\">").nth(1).and_then(|rest| rest.split('<').next()).expect("a token");
    crate::support::leaks::secret(token);
    world.client(token).webhook(&Receiver::new().url(), &["*"], "s3cret");
    let audit = browser.get("/ui/audit?action=webhook.created").text;
    assert!(audit.contains(">till of Mbale</span>"), "{audit}");
}

#[test]
fn a_large_body_is_shown_in_part_and_loaded_whole() {
    let world = World::new();
    let (receiver, coop, browser) = (Receiver::new(), world.coop(), operator(&world));
    let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
    let deep = (0..25).fold(json!(1), |inner, _| json!([inner]));
    for data in
        [json!({ "text": "<".repeat(60_000) }), json!({ "deep": vec![deep; 1000] }), json!({ "many": vec![0; 50_000] })]
    {
        let event = coop.publish("batch.exported", data)["event_id"].as_str().expect("an id").to_owned();
        world.settle();
        let delivery = coop.deliveries(&webhook)[0]["delivery_id"].as_str().expect("an id").to_owned();
        let page = browser.get(&format!("/ui/deliveries/{delivery}"));
        let sent = receiver.last().body;
        assert!(
            page.text.contains("The body is longer") && page.text.contains(&format!("--data-binary @{delivery}.json"))
        );
        let whole = browser.get(&format!("/ui/deliveries/{delivery}/body"));
        assert!(whole.text.as_bytes() == sent && whole.header("content-disposition").contains("attachment"));
        assert!(whole.header("content-security-policy").contains("default-src 'none'"));
        for page in [page, browser.get(&format!("/ui/events/{event}"))] {
            assert!(page.text.len() < 30_000, "{} bytes", page.text.len());
            assert!(!page.text.contains("data-every"), "what is final is not fetched again");
        }
        let foreign = of(&world, OTHER_COOP, "webhooks,events");
        assert_eq!(foreign.get(&format!("/ui/deliveries/{delivery}/body")).status, 404);
        assert_eq!(foreign.get(&format!("/ui/events/{event}/body")).status, 404);
    }
}

#[test]
fn a_platform_s_token_sees_its_vendor_s_accounts_and_no_other() {
    let world = World::new();
    let receiver = Receiver::new();
    world.coop().webhook(&receiver.url(), &["*"], "s3cret");
    let platform = |profile: &str| {
        Browser::with(&world, &world.token_for(Holder::Platform(profile.to_owned()), "webhooks,events"))
    };
    let (own, foreign) = (platform("asilichain"), platform("asg"));
    assert!(own.get("/ui/webhooks").text.contains(&receiver.url()));
    assert!(own.get(&format!("/ui/webhooks?account={COOP}")).text.contains(&receiver.url()));
    assert!(!foreign.get("/ui/webhooks").text.contains(&receiver.url()));
    for path in ["/ui/accounts", "/ui/audit", "/ui/system"] {
        assert_eq!(own.get(path).status, 403, "{path}");
    }
}
