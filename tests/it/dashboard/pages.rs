//! The dashboard without a browser: access, security headers, escaped text, and the weight of a page.

use serde_json::json;

use crate::support::{
    browser::{Browser, of, operator},
    client::Answer,
    receiver::{Receiver, Reply},
    world::{COOP, CUSTOMER, OTHER_COOP, World},
};

#[test]
fn every_answer_forbids_features_that_its_pages_do_not_use() {
    let world = World::new();
    let browser = operator(&world);
    for path in ["/ui", "/ui/sign-in", "/ui/nothing", "/ui/style.css", "/ui/webhooks/wh_none"] {
        let answer = browser.get(path);
        let policy = answer.header("content-security-policy");
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'self'",
        ] {
            assert!(policy.split("; ").any(|given| given == part), "{path}: {part}: {policy}");
        }
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("referrer-policy"), "same-origin");
    }
    assert_eq!(browser.get("/ui").header("cache-control"), "no-store");
    let style = browser.get("/ui/style.css?v=1");
    assert!(style.header("cache-control").contains("immutable") && !style.header("etag").is_empty());
    for path in ["/ui/style.css", "/ui/icon.svg"] {
        assert_eq!(browser.get(path).header("cache-control"), "no-cache", "{path}: the address says no content");
    }
    let page = browser.get("/ui").text;
    for file in ["style.css?v=", "app.js?v=", "icon.svg?v="] {
        assert!(page.contains(file), "{file}");
    }
}

#[test]
fn no_page_holds_a_script_a_style_or_an_address_elsewhere() {
    let world = World::new();
    let browser = operator(&world);
    for (path, page) in pages(&world, &browser) {
        assert_eq!(page.status, 200, "{path}: {}", page.text);
        for inside in ["style=\"", "<style", "onclick", "onload", "javascript:"] {
            assert!(!page.text.contains(inside), "{path}: {inside}");
        }
        assert_eq!(
            page.text.matches("<script").count(),
            usize::from(path != "/ui/sign-in"),
            "{path}: one, from a file"
        );
        for outside in ["src=\"http", "href=\"http", "src=\"//", "href=\"//"] {
            assert!(!page.text.contains(outside), "{path}: {outside}");
        }
    }
}

#[test]
fn a_page_and_the_files_it_loads_weigh_less_than_sixty_kilobytes() {
    let world = World::new();
    let browser = operator(&world);
    for number in 0..50 {
        let id = format!("COOP-OF-A-LONG-NAME-{number}");
        browser.post("/ui/accounts", &[("id", &id), ("vendor", "asilichain"), ("mail", "someone@example.org")]);
        browser
            .post("/ui/tokens", &[("holder", &id), ("scope", "webhooks"), ("scope", "events"), ("label", "the till")]);
        let url = format!("https://receiver-of-a-long-name.example.org/webhooks/of/number/{number}");
        world.coop().webhook(&url, &["batch.exported", "payout.completed"], "s3cret");
    }
    let loaded: usize =
        ["/ui/style.css", "/ui/app.js", "/ui/icon.svg"].iter().map(|path| browser.get(path).text.len()).sum();
    for (path, page) in pages(&world, &browser) {
        let weight = page.text.len() + loaded;
        assert!(weight < 60_000, "{path}: {weight} bytes, of them {loaded} once");
        println!("{path}: {} bytes", page.text.len());
    }
}

/// Every page, with something on it.
fn pages(world: &World, browser: &Browser) -> Vec<(String, Answer)> {
    let receiver = Receiver::new();
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
    let mut event = String::new();
    for number in 0..60 {
        event =
            coop.publish("batch.exported", json!({ "number": number }))["event_id"].as_str().expect("an id").to_owned();
    }
    world.settle();
    receiver.always(Reply::status(500));
    // As large as payloads are.
    coop.publish("batch.exported", json!({ "weights": vec![67.5; 20_000] }));
    for wait in ["30s", "5m", "30m", "2h"] {
        world.settle();
        world.advance(wait);
    }
    let delivery = coop.deliveries(&webhook)[0]["delivery_id"].as_str().expect("an id").to_owned();
    let started = browser.submit(&browser.get("/ui/recover?state=exhausted"), "/ui/recover", &[]);
    let started = started.header("location").to_owned();
    let made = browser.post("/ui/tokens", &[("scope", "events"), ("holder", COOP)]).header("location").to_owned();
    let mut paths = vec!["/ui/sign-in".to_owned(), "/ui".to_owned(), started, made];
    paths.extend(
        [
            "webhooks",
            "webhooks/new",
            "deliveries",
            "recover",
            "recoveries",
            "events",
            "search",
            "alerts",
            "accounts",
            "audit",
            "system",
        ]
        .map(|name| format!("/ui/{name}")),
    );
    let begun = browser.post("/ui/system/backup", &[]);
    while browser.follow(&begun).text.contains("It is being made") {}
    paths.extend([
        "/ui/new-account".to_owned(),
        format!("/ui/accounts/{COOP}"),
        format!("/ui/accounts/{COOP}/delete"),
        format!("/ui/webhooks/new?account={COOP}"),
        format!("/ui/webhooks/{webhook}"),
        format!("/ui/deliveries/{delivery}"),
        format!("/ui/events/{event}"),
    ]);
    paths.into_iter().map(|path| (path.clone(), browser.get(&path))).collect()
}

#[test]
fn html_in_the_data_of_others_is_shown_as_text() {
    let world = World::new();
    let evil = "<script>alert(1)</script>";
    let receiver = Receiver::new();
    receiver.always(Reply::Answer(500, "", format!("{evil}\"'&").into_bytes()));
    let coop = world.coop();
    let url = format!("{}/{evil}?a=\"'>", receiver.url());
    let webhook = coop.webhook(&url, &["*"], "s3cret");
    let event = coop.publish("batch.exported", json!({ (evil): evil, "quote": "\"'&<" }));
    world.settle();
    let browser = operator(&world);
    let made = browser.post("/ui/tokens", &[("scope", "events"), ("holder", COOP), ("label", evil)]);
    assert_eq!(made.status, 303);
    let delivery = coop.deliveries(&webhook)[0]["delivery_id"].as_str().expect("an id").to_owned();
    let event = event["event_id"].as_str().expect("an id");
    for path in [
        "/ui/accounts".to_owned(),
        "/ui/webhooks".to_owned(),
        format!("/ui/webhooks?url={evil}&account={evil}"),
        format!("/ui/deliveries?event={evil}&webhook={webhook}"),
        format!("/ui/webhooks/{webhook}"),
        format!("/ui/deliveries/{delivery}"),
        format!("/ui/events/{event}"),
        format!("/ui/audit?account={evil}"),
    ] {
        let page = browser.get(&path.replace('<', "%3C").replace('>', "%3E"));
        // No vendor has such an event.
        assert_eq!(page.status, if path.contains("event=") { 422 } else { 200 }, "{path}");
        assert!(!page.text.contains("<script>alert"), "{path}");
    }
    let page = browser.get(&format!("/ui/deliveries/{delivery}")).text;
    assert!(page.contains("&#60;script&#62;alert(1)"), "it is there, as text");
}

#[test]
fn an_account_sees_its_own_and_nothing_else() {
    let world = World::new();
    let receiver = Receiver::new();
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
    let event = coop.publish("batch.exported", json!({}))["event_id"].as_str().expect("an id").to_owned();
    world.settle();
    let delivery = coop.deliveries(&webhook)[0]["delivery_id"].as_str().expect("an id").to_owned();
    let own = of(&world, COOP, "webhooks,events");
    assert!(own.get("/ui/webhooks").text.contains(&receiver.url()));
    for foreign in [of(&world, OTHER_COOP, "webhooks,events"), of(&world, CUSTOMER, "webhooks,events")] {
        for path in [
            "/ui",
            "/ui/webhooks",
            "/ui/deliveries",
            "/ui/events",
            &format!("/ui/deliveries?account={COOP}"),
            &format!("/ui/deliveries?webhook={webhook}"),
            &format!("/ui/webhooks?account={COOP}"),
        ] {
            let page = foreign.get(path);
            assert!(
                page.status == 200 && !page.text.contains(&receiver.url()) && !page.text.contains(&delivery),
                "{path}"
            );
        }
        for path in
            [format!("/ui/webhooks/{webhook}"), format!("/ui/deliveries/{delivery}"), format!("/ui/events/{event}")]
        {
            assert_eq!(foreign.get(&path).status, 404, "{path}");
        }
        for (path, fields) in [
            (format!("/ui/webhooks/{webhook}/pause"), vec![]),
            (format!("/ui/webhooks/{webhook}/secret"), vec![]),
            (format!("/ui/webhooks/{webhook}/test"), vec![]),
            (format!("/ui/webhooks/{webhook}/drop"), vec![]),
            (format!("/ui/webhooks/{webhook}/delete"), vec![]),
            (format!("/ui/deliveries/{delivery}/replay"), vec![]),
            (format!("/ui/deliveries/{delivery}/cancel"), vec![]),
            ("/ui/webhooks/new".to_owned(), vec![("account", COOP), ("url", "https://r.example/"), ("every", "yes")]),
        ] {
            assert_eq!(foreign.post(&path, &fields).status, 404, "{path}");
        }
    }
    assert_eq!(coop.status(&webhook), "ACTIVE");
    assert_eq!(coop.deliveries(&webhook).len(), 1);
}

#[test]
fn actions_beyond_the_scope_are_neither_offered_nor_done() {
    let world = World::new();
    let receiver = Receiver::new();
    let webhook = world.coop().webhook(&receiver.url(), &["*"], "s3cret");
    let reader = of(&world, COOP, "events");
    assert_eq!(reader.get("/ui").header("location"), "/ui/events");
    let page = reader.get("/ui/events").text;
    assert!(!page.contains("href=\"/ui/webhooks\"") && !page.contains("href=\"/ui/accounts\""));
    assert_eq!(reader.get("/ui/webhooks").status, 403);
    assert_eq!(reader.post(&format!("/ui/webhooks/{webhook}/delete"), &[]).status, 403);
    let manager = of(&world, COOP, "webhooks,events");
    for path in ["/ui/accounts", "/ui/audit", "/ui/system"] {
        assert_eq!(manager.get(path).status, 403, "{path}");
    }
    assert_eq!(manager.post("/ui/accounts", &[("id", "X"), ("vendor", "asilichain")]).status, 403);
    assert_eq!(manager.post("/ui/tokens", &[("scope", "operator")]).status, 403);
    let page = manager.get("/ui/webhooks").text;
    assert!(!page.contains("/ui/system") && !page.contains("/ui/accounts"));
}

#[test]
fn dropping_the_held_cancels_them_and_nothing_else() {
    let world = World::new();
    let receiver = Receiver::new();
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
    let browser = of(&world, COOP, "webhooks,events");
    assert_eq!(browser.post(&format!("/ui/webhooks/{webhook}/pause"), &[]).status, 303);
    (0..3).for_each(|number| drop(coop.publish("batch.exported", json!({ "number": number }))));
    assert!(browser.get(&format!("/ui/webhooks/{webhook}")).text.contains("3 deliveries are held"));
    assert_eq!(browser.post(&format!("/ui/webhooks/{webhook}/drop"), &[]).status, 303);
    let states = || {
        coop.deliveries(&webhook)
            .iter()
            .map(|one| one["status"].as_str().expect("a status").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(states(), ["CANCELLED"; 3]);
    coop.publish("batch.exported", json!({ "number": 4 }));
    assert_eq!(browser.post(&format!("/ui/webhooks/{webhook}/resume"), &[]).status, 303);
    world.settle();
    assert_eq!(states(), ["DELIVERED", "CANCELLED", "CANCELLED", "CANCELLED"]);
    assert_eq!(
        browser.post(&format!("/ui/webhooks/{webhook}/drop"), &[]).status,
        303,
        "nothing is held: nothing happens"
    );
    assert_eq!(states(), ["DELIVERED", "CANCELLED", "CANCELLED", "CANCELLED"]);
}

#[test]
fn the_system_shows_every_setting_and_no_secret() {
    let world = World::with(|wish| {
        wish.config.alerts.smtp_url = "smtps://ngoma:hunter2@mail.example".to_owned().into();
        wish.config.alerts.webhook_secret = "hunter2-signs".to_owned().into();
    });
    let page = operator(&world).get("/ui/system").text;
    for key in ["max_body_bytes", "requests_per_minute", "durability", "smtp_url", "webhook_secret", "api_version"] {
        assert!(page.contains(key), "{key}");
    }
    assert!(!page.contains("hunter2"));
}

#[test]
fn the_dashboard_is_no_part_of_the_contract() {
    let contract = ngoma::api::contract().expect("a contract");
    assert!(!contract.contains("\"/ui"));
    let page = World::new().stranger().get("/").text;
    assert!(page.contains("href=\"/ui\""), "but the first page leads to it");
}
