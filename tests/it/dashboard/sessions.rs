//! Sessions of the dashboard: signing in, forms, and the end of a session.

use std::time::Duration;

use ngoma::domain::token::BearerToken;

use crate::support::{
    browser::{Browser, operator, to_sign_in},
    world::{COOP, Holder, World},
};

const DAY: Duration = Duration::from_secs(86_400);

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
    for elsewhere in
        ["/ui/\r\nx: y", "//evil.example", "https://evil.example/ui/", "/v1/webhooks", "/ui//evil.example", "/uix"]
    {
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
    let behind_tls = cookie(&[("x-forwarded-proto", "https")]);
    assert!(behind_tls.ends_with("; SameSite=Strict; Secure"), "{behind_tls}");
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

#[test]
fn a_wrong_token_opens_nothing_and_guessing_is_slow() {
    let world = World::with(|wish| wish.config.limits.requests_per_minute = 5);
    let good = world.token_for(Holder::Operator, "operator");
    let mut stranger = Browser::new(&world);
    let wrong = BearerToken::from_random(&[7; 32]).expose().to_owned();
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
    let json = browser.send(
        "POST",
        "/ui/accounts",
        &[("cookie", browser.cookie.as_str()), ("content-type", "application/json")],
        Some(b"{}"),
    );
    assert_eq!(json.status, 415, "what is no form");
    assert_eq!(browser.post("/ui/accounts", &fields).status, 303);
}

#[test]
fn with_an_https_base_url_the_cookie_is_for_tls_only_behind_any_proxy() {
    let world = World::with(|wish| wish.config.server.public_url = "https://hooks.example".to_owned());
    let token = world.token_for(Holder::Operator, "operator");
    let entered =
        Browser::new(&world).post_with("/ui/sign-in", &[("token", &token)], &[("sec-fetch-site", "same-origin")]);
    assert!(entered.header("set-cookie").ends_with("; Secure"), "{} {}", entered.status, entered.text);
}

#[test]
fn behind_a_proxy_forms_are_accepted_by_the_browser_s_own_headers() {
    let world = World::new();
    let browser = operator(&world);
    let origin = ("origin", "https://hooks.example");
    let sends = |id: &str, headers: &[(&str, &str)]| {
        browser.post_with("/ui/accounts", &[("id", id), ("vendor", "asg")], headers)
    };
    // The settings of most proxies: Host is the inner one, and no header has the outer one.
    assert_eq!(sends("A", &[origin, ("sec-fetch-site", "same-origin")]).status, 303);
    assert_eq!(sends("B", &[origin, ("x-forwarded-host", "hooks.example")]).status, 303);
    assert_eq!(sends("C", &[origin, ("x-forwarded-host", "hooks.example, inner.local:8080")]).status, 303);
    for foreign in [("sec-fetch-site", "same-site"), ("x-forwarded-host", "inner.local, hooks.example")] {
        assert_eq!(sends("D", &[origin, foreign]).status, 403, "{foreign:?}");
    }
    let refused = sends("D", &[origin]);
    for part in ["This form was not taken", "Origin", "Host", "X-Forwarded-Host", "https://hooks.example"] {
        assert!(refused.status == 403 && refused.text.contains(part), "{part}: {}", refused.text);
    }
    let token = world.token_for(Holder::Operator, "operator");
    let stranger = Browser::new(&world);
    let proxied = [origin, ("sec-fetch-site", "same-origin"), ("x-forwarded-proto", "https, http")];
    let entered = stranger.post_with("/ui/sign-in", &[("token", &token)], &proxied);
    assert!(entered.header("set-cookie").ends_with("; Secure"), "{} {}", entered.status, entered.text);
    let refused = stranger.post_with("/ui/sign-in", &[("token", &token)], &[origin]);
    assert!(refused.status == 403 && refused.text.contains("This form was not taken"), "{}", refused.text);
}

#[test]
fn an_open_page_takes_nothing_of_its_token_s_quota() {
    let world = World::with(|wish| wish.config.limits.requests_per_minute = 10);
    let browser = operator(&world);
    let refresh = || {
        let headers = [("cookie", browser.cookie.as_str()), ("ngoma-refresh", "1")];
        browser.send("GET", "/ui/events", &headers, None).status
    };
    let refreshed: Vec<u16> = (0..11).map(|_| refresh()).collect();
    assert_eq!(refreshed, [[200; 10].as_slice(), &[429]].concat(), "it has a quota of its own");
    assert_eq!(browser.get("/ui").status, 200, "whoever looks is not kept from it");
}

#[test]
fn signing_in_ends_the_session_that_the_browser_had() {
    let world = World::new();
    let token = world.token_for(Holder::Operator, "operator");
    let mut browser = Browser::with(&world, &token);
    let former = browser.cookie.clone();
    assert_eq!(browser.enter(&token).status, 303);
    assert_ne!(browser.cookie, former);
    assert_eq!(browser.get("/ui").status, 200);
    browser.cookie = former;
    assert!(to_sign_in(&browser.get("/ui")), "the key that it had opens nothing");
}

#[test]
fn a_session_that_has_ended_says_so_and_one_that_never_was_does_not() {
    let world = World::new();
    let browser = operator(&world);
    let said = "You were signed out";
    world.advance("12h");
    assert!(browser.get("/ui/sign-in").text.contains(said));
    assert!(!Browser::new(&world).get("/ui/sign-in").text.contains(said));
    assert!(Browser::new(&world).get("/ui/sign-in?next=%2Fui&ended=1").text.contains(said), "as an open page says");
}

#[test]
fn a_clock_that_is_set_neither_ends_a_session_nor_lengthens_it() {
    let world = World::new();
    let token = world.token_for(Holder::Operator, "operator");
    let browser = Browser::with(&world, &token);
    let noticed = || drop(world.write(|_| Ok(())));
    world.clock.step(world.now() + 2 * DAY);
    noticed();
    assert_eq!(browser.get("/ui").status, 200, "set forward by two days");
    world.clock.step(world.now() - 3 * DAY);
    noticed();
    assert_eq!(browser.get("/ui").status, 200);
    world.advance("12h");
    assert!(to_sign_in(&browser.get("/ui")), "twelve hours are twelve hours");
}

#[test]
fn signing_in_and_a_test_mail_leave_a_line_in_the_audit() {
    let world = World::new();
    let token = world.token_for(Holder::Account(COOP.to_owned()), "webhooks");
    drop(Browser::with(&world, &token));
    drop(Browser::with(&world, &token));
    let operator = world.operator();
    let begun = || operator.get("/operator/audit?action=session.begun").expect(200)["entries"].clone();
    assert_eq!(begun().as_array().map(Vec::len), Some(1), "a token in a loop fills no disk");
    world.advance("1m");
    drop(Browser::with(&world, &token));
    assert_eq!(begun().as_array().map(Vec::len), Some(2));
    let begun = &begun()[0];
    assert_eq!((&begun["account_id"], &begun["actor"]), (&COOP.into(), &begun["subject"]));
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
