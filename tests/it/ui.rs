//! The dashboard without a browser: who gets in, what a form needs, what every answer forbids, and what a page weighs.

use serde_json::json;

use crate::{
    receiver::{Receiver, Reply},
    world::{Answer, COOP, CUSTOMER, Client, Holder, OTHER_COOP, World},
};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// A browser without a face: it keeps its cookie, and sends the token that stands in the forms.
struct Browser {
    client: Client,
    cookie: String,
    form: String,
    origin: String,
}

impl Browser {
    fn new(world: &World) -> Self {
        let origin = format!("http://{}", world.address());
        Self { client: world.stranger(), cookie: String::new(), form: String::new(), origin }
    }

    /// Signed in with this token.
    fn with(world: &World, token: &str) -> Self {
        let mut browser = Self::new(world);
        let entered = browser.enter(token);
        assert_eq!((entered.status, entered.header("location")), (303, "/ui"), "{}", entered.text);
        browser
    }

    fn enter(&mut self, token: &str) -> Answer {
        let entered = self.post("/ui/sign-in", &[("token", token)]);
        self.cookie = entered.header("set-cookie").split(';').next().unwrap_or_default().to_owned();
        let home = self.get("/ui/events");
        let form = home.text.split_once("name=\"form\" value=\"").and_then(|(_, rest)| rest.split('"').next());
        self.form = form.unwrap_or_default().to_owned();
        entered
    }

    fn get(&self, path: &str) -> Answer {
        self.client.send("GET", path, &[("cookie", &self.cookie), ("accept-encoding", "identity")], None)
    }

    fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.post_with(path, fields, &[("origin", &self.origin)])
    }

    fn post_with(&self, path: &str, fields: &[(&str, &str)], headers: &[(&str, &str)]) -> Answer {
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.append_pair("form", &self.form).extend_pairs(fields);
        let own = [("cookie", self.cookie.as_str()), FORM, ("accept-encoding", "identity")];
        let headers = [&own[..], headers].concat();
        self.client.send("POST", path, &headers, Some(body.finish().as_bytes()))
    }
}

fn operator(world: &World) -> Browser {
    Browser::with(world, &world.token_for(Holder::Operator, "operator"))
}

fn of(world: &World, account: &str, scopes: &str) -> Browser {
    Browser::with(world, &world.token_for(Holder::Account(account.to_owned()), scopes))
}

/// Where a stranger is sent.
fn to_sign_in(answer: &Answer) -> bool {
    answer.status == 303 && answer.header("location").starts_with("/ui/sign-in")
}

#[test]
fn a_stranger_is_asked_for_a_token() {
    let world = World::new();
    let stranger = Browser::new(&world);
    for path in ["/ui", "/ui/webhooks", "/ui/deliveries?state=held", "/ui/accounts", "/ui/nothing"] {
        assert!(to_sign_in(&stranger.get(path)), "{path}");
    }
    assert!(to_sign_in(&stranger.post("/ui/accounts", &[("id", "X")])), "and so is a form");
    assert_eq!(stranger.get("/ui/sign-in").status, 200);
    let next = stranger.get("/ui/deliveries?state=held").header("location").to_owned();
    assert_eq!(next, "/ui/sign-in?next=%2Fui%2Fdeliveries%3Fstate%3Dheld");
}

#[test]
fn signing_in_leads_on_only_within_the_dashboard() {
    let world = World::new();
    let token = world.token_for(Holder::Operator, "operator");
    let stranger = Browser::new(&world);
    let lands = |next| stranger.post("/ui/sign-in", &[("token", &token), ("next", next)]).header("location").to_owned();
    assert_eq!(lands("/ui/webhooks?state=failing"), "/ui/webhooks?state=failing");
    for elsewhere in ["//evil.example", "https://evil.example/ui/", "/v1/webhooks", "/ui//evil.example", "/uix"] {
        assert_eq!(lands(elsewhere), "/ui", "{elsewhere}");
    }
}

#[test]
fn the_cookie_is_kept_from_scripts_from_other_sites_and_from_plain_connections() {
    let world = World::new();
    let token = world.token_for(Holder::Operator, "operator");
    let stranger = Browser::new(&world);
    let cookie = |headers: &[(&str, &str)]| {
        stranger.post_with("/ui/sign-in", &[("token", &token)], headers).header("set-cookie").to_owned()
    };
    let plain = cookie(&[]);
    assert!(
        plain.starts_with("ngoma_session=") && plain.ends_with("; Path=/ui; Max-Age=43200; HttpOnly; SameSite=Strict")
    );
    assert_eq!(cookie(&[("x-forwarded-proto", "https")]), plain_with(&cookie(&[("x-forwarded-proto", "https")])));
    let key = plain.split(['=', ';']).nth(1).expect("a value");
    assert_eq!(key.len(), 43, "32 bytes in base64");
    let stored: Vec<u8> = {
        let conn = rusqlite::Connection::open(world.database()).expect("the file");
        conn.query_row("SELECT hash FROM session LIMIT 1", [], |row| row.get(0)).expect("a session")
    };
    assert!(
        !stored.windows(8).any(|part| key.as_bytes().windows(8).any(|given| given == part)),
        "only a hash is stored"
    );
}

/// What a cookie must end with behind TLS.
fn plain_with(cookie: &str) -> String {
    assert!(cookie.ends_with("; Secure"), "{cookie}");
    cookie.to_owned()
}

#[test]
fn a_wrong_token_opens_nothing_and_guessing_is_slow() {
    let world = World::with(|wish| wish.config.limits.requests_per_minute = 5);
    let good = world.token_for(Holder::Operator, "operator");
    let mut stranger = Browser::new(&world);
    let wrong = format!("{}x", &good[..good.len() - 1]);
    let answers: Vec<u16> = (0..7).map(|_| stranger.post("/ui/sign-in", &[("token", &wrong)]).status).collect();
    assert_eq!(answers, [401, 401, 401, 401, 401, 429, 429]);
    assert_eq!(stranger.enter(&good).status, 303, "who has a token does not wait for those who guess");
}

#[test]
fn a_form_is_taken_only_from_the_dashboard_s_own_pages() {
    let world = World::new();
    let mut browser = operator(&world);
    let fields = [("id", "COOP-NEW"), ("vendor", "asilichain")];
    let elsewhere = [("origin", "https://evil.example")];
    assert_eq!(browser.post_with("/ui/accounts", &fields, &elsewhere).status, 403);
    assert_eq!(browser.post_with("/ui/accounts", &fields, &[("sec-fetch-site", "cross-site")]).status, 403);
    assert_eq!(browser.post_with("/ui/accounts", &fields, &[("origin", "null")]).status, 403);
    let own = std::mem::replace(&mut browser.form, operator(&world).form);
    assert_eq!(browser.post("/ui/accounts", &fields).status, 403, "the token of another session");
    browser.form = String::new();
    assert_eq!(browser.post("/ui/accounts", &fields).status, 403, "no token");
    browser.form = own;
    let json = browser.client.send(
        "POST",
        "/ui/accounts",
        &[("cookie", &browser.cookie), ("content-type", "application/json")],
        Some(b"{}"),
    );
    assert_eq!(json.status, 415, "what is no form");
    assert_eq!(browser.post("/ui/accounts", &fields).status, 303);
    assert_eq!(
        browser
            .post_with(
                "/ui/accounts",
                &[("id", "COOP-B"), ("vendor", "asg")],
                &[("origin", "https://hooks.example"), ("x-forwarded-host", "hooks.example")]
            )
            .status,
        303,
        "behind a proxy"
    );
}

#[test]
fn every_answer_forbids_what_its_pages_do_not_need() {
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
    let style = browser.get("/ui/style.css");
    assert!(style.header("cache-control").contains("immutable") && !style.header("etag").is_empty());
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
fn a_page_weighs_less_than_sixty_kilobytes_with_all_that_it_loads() {
    let world = World::new();
    let browser = operator(&world);
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
    coop.publish("batch.exported", json!({}));
    for wait in ["30s", "5m", "30m", "2h"] {
        world.settle();
        world.advance(wait);
    }
    let delivery = coop.deliveries(&webhook)[0]["delivery_id"].as_str().expect("an id").to_owned();
    let started = browser.post("/ui/retry", &[("state", "exhausted")]).header("location").to_owned();
    let mut paths = vec!["/ui/sign-in".to_owned(), "/ui".to_owned(), started];
    paths.extend(
        [
            "webhooks",
            "webhooks/new",
            "deliveries",
            "retry",
            "retries",
            "events",
            "alerts",
            "accounts",
            "audit",
            "system",
        ]
        .map(|name| format!("/ui/{name}")),
    );
    paths.extend([
        format!("/ui/webhooks/new?account={COOP}"),
        format!("/ui/webhooks/{webhook}"),
        format!("/ui/deliveries/{delivery}"),
        format!("/ui/events/{event}"),
    ]);
    paths.into_iter().map(|path| (path.clone(), browser.get(&path))).collect()
}

#[test]
fn what_a_stranger_wrote_shows_as_text() {
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
    assert_eq!(made.status, 200);
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
        assert_eq!(page.status, 200, "{path}");
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
fn what_a_scope_does_not_allow_is_neither_offered_nor_done() {
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
    for path in ["/ui/accounts", "/ui/audit", "/ui/system", "/ui/alerts"] {
        assert_eq!(manager.get(path).status, 403, "{path}");
    }
    assert_eq!(manager.post("/ui/accounts", &[("id", "X"), ("vendor", "asilichain")]).status, 403);
    assert_eq!(manager.post("/ui/tokens", &[("scope", "operator")]).status, 403);
    let page = manager.get("/ui/webhooks").text;
    assert!(!page.contains("/ui/system") && !page.contains("/ui/accounts"));
}

#[test]
fn a_session_ends_with_its_token_with_its_time_and_when_it_signs_out() {
    let world = World::new();
    let token = world.token_for(Holder::Operator, "operator");
    let (first, second) = (Browser::with(&world, &token), Browser::with(&world, &token));
    assert_eq!(first.post("/ui/sign-out", &[]).header("location"), "/ui/sign-in");
    assert!(to_sign_in(&first.get("/ui")), "signed out");
    assert_eq!(second.get("/ui").status, 200, "the other is another session");
    world.advance("11h");
    assert_eq!(second.get("/ui").status, 200);
    world.advance("1h");
    assert!(to_sign_in(&second.get("/ui")), "after twelve hours");
    let third = Browser::with(&world, &token);
    let tokens = world.client(&token).get("/operator/tokens").expect(200);
    let id = tokens["tokens"].as_array().expect("a list").last().expect("one")["token_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    assert_eq!(world.client(&token).delete(&format!("/operator/tokens/{id}")).status, 204);
    assert!(to_sign_in(&third.get("/ui")), "revoked");
}

#[test]
fn a_token_keeps_a_bounded_number_of_sessions() {
    let world = World::new();
    let token = world.token_for(Holder::Operator, "operator");
    let first = Browser::with(&world, &token);
    world.move_clock(std::time::Duration::from_secs(1));
    let last = (0..20).map(|_| Browser::with(&world, &token)).last().expect("one");
    assert!(to_sign_in(&first.get("/ui")), "the oldest gave way");
    assert_eq!(last.get("/ui").status, 200);
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
        wish.config.alerts.webhook_secret = "whsec_hunter2".to_owned().into();
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
