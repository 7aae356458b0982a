//! Sign-in links: each opens the dashboard of one account, once, for a short time.

use serde_json::{Value, json};

use crate::support::{
    browser::{Browser, operator, to_sign_in},
    client::Answer,
    leaks,
    receiver::Receiver,
    world::{COOP, OTHER_COOP, World},
};

/// The path of a link that the operator makes for this account.
fn link(world: &World, account: &str) -> String {
    let made = world.operator().post("/operator/sign-in-links", json!({ "account": account })).expect(201);
    path(made["url"].as_str().expect("a link"))
}

fn path(url: &str) -> String {
    let at = url.find("/ui/enter/").unwrap_or_else(|| panic!("{url} is no link"));
    leaks::secret(&url[at + "/ui/enter/".len()..]);
    url[at..].to_owned()
}

/// Presses the button of the page behind a link; the browser keeps the cookie.
fn press(browser: &mut Browser, page: &str) -> Answer {
    let key = page.rsplit('/').next().expect("a key");
    let opened = browser.post("/ui/enter", &[("link", key)]);
    if opened.status == 303 {
        browser.cookie = opened.header("set-cookie").split(';').next().unwrap_or_default().to_owned();
        leaks::secret(browser.cookie.trim_start_matches("ngoma_session="));
        let page = browser.get("/ui/events").text;
        let form = page.split_once("name=\"form\" value=\"").and_then(|(_, rest)| rest.split('"').next());
        browser.form = form.expect("a form").to_owned();
    }
    opened
}

#[test]
fn a_link_opens_the_dashboard_of_its_account_and_no_other() {
    let world = World::new();
    let receiver = Receiver::new();
    world.coop().webhook(&receiver.url(), &["*"], "s3cret");
    let mut person = Browser::new(&world);
    let link = link(&world, COOP);
    let page = person.get(&link);
    assert!(
        page.status == 200 && page.text.contains(COOP) && page.text.contains("action=\"/ui/enter\""),
        "{}",
        page.text
    );
    assert_eq!(page.header("cache-control"), "no-store");
    let opened = press(&mut person, &link);
    assert_eq!((opened.status, opened.header("location")), (303, "/ui"), "{}", opened.text);
    assert!(opened.header("set-cookie").contains("HttpOnly; SameSite=Strict"));
    assert!(person.get("/ui/webhooks").text.contains(&receiver.url()));
    assert_eq!(person.get("/ui/accounts").status, 403, "nothing of the operator's");
    let mut other = Browser::new(&world);
    press(&mut other, &self::link(&world, OTHER_COOP));
    assert!(!other.get("/ui/webhooks").text.contains(&receiver.url()));
}

#[test]
fn a_link_is_spent_by_its_button_and_not_by_a_look() {
    let world = World::new();
    let link = link(&world, COOP);
    let scanner = Browser::new(&world);
    (0..5).for_each(|_| assert_eq!(scanner.get(&link).status, 200, "a scanner of mails looks at it"));
    assert_eq!(press(&mut Browser::new(&world), &link).status, 303);
    let spent = press(&mut Browser::new(&world), &link);
    assert!(spent.status == 401 && spent.text.contains("was opened already"), "{} {}", spent.status, spent.text);
    let looked = scanner.get(&link);
    assert!(looked.status == 401 && !looked.text.contains("action=\"/ui/enter\""), "{}", looked.text);
    let foreign = [("origin", "https://evil.example")];
    let key = self::link(&world, COOP);
    let key = key.rsplit('/').next().expect("a key");
    assert_eq!(scanner.post_with("/ui/enter", &[("link", key)], &foreign).status, 403, "a form of another site");
    assert_eq!(scanner.get("/ui/enter/nonsense").status, 401);
}

#[test]
fn a_link_lasts_as_long_as_it_was_made_for_and_at_most_a_day() {
    let world = World::new();
    let operator = world.operator();
    let make = |lasts: Value| operator.post("/operator/sign-in-links", json!({ "account": COOP, "expires_in": lasts }));
    let made = make(json!(60)).expect(201);
    assert_eq!((&made["account"], &made["expires_at"]), (&json!(COOP), &json!("2026-04-20T11:56:00Z")));
    let [usual, short] = [link(&world, COOP), path(made["url"].as_str().expect("a link"))];
    world.advance("1m");
    assert_eq!(press(&mut Browser::new(&world), &short).status, 401);
    world.advance("13m");
    assert_eq!(press(&mut Browser::new(&world), &usual).status, 303, "fifteen minutes are usual");
    for wrong in [0, 59, 86_401] {
        assert_eq!(make(json!(wrong)).code(400), "INVALID_REQUEST", "{wrong}");
    }
    make(json!(86_400)).expect(201);
    let nobody = operator.post("/operator/sign-in-links", json!({ "account": "NOBODY" }));
    assert_eq!(nobody.code(404), "ACCOUNT_NOT_FOUND");
}

#[test]
fn a_link_is_stored_as_a_hash_and_audited_when_it_is_made_and_opened() {
    let world = World::new();
    let link = link(&world, COOP);
    let key = link.rsplit('/').next().expect("a key");
    let stored: Vec<u8> = {
        let conn = rusqlite::Connection::open(world.database()).expect("the file");
        conn.query_row("SELECT hash FROM sign_in_link", [], |row| row.get(0)).expect("a link")
    };
    assert_eq!(stored.len(), 32);
    assert!(!stored.windows(8).any(|part| key.as_bytes().windows(8).any(|given| given == part)));
    press(&mut Browser::new(&world), &link);
    let audit = world.operator().get(&format!("/operator/audit?account_id={COOP}&limit=100")).expect(200);
    let actions: Vec<&str> =
        audit["entries"].as_array().expect("a list").iter().filter_map(|one| one["action"].as_str()).collect();
    assert_eq!(actions[..2], ["sign_in_link.opened", "sign_in_link.created"]);
    assert!(!audit.to_string().contains(key));
}

#[test]
fn a_link_and_its_session_are_gone_with_the_account_and_with_the_token_of_its_links() {
    let world = World::new();
    let browser = operator(&world);
    let (opened, unopened) = (link(&world, COOP), link(&world, COOP));
    let mut person = Browser::new(&world);
    press(&mut person, &opened);
    let tokens = world.operator().get(&format!("/operator/tokens?account_id={COOP}")).expect(200);
    let tokens = tokens["tokens"].as_array().expect("a list").clone();
    let links: Vec<&Value> = tokens.iter().filter(|token| token["label"] == "sign-in links").collect();
    assert_eq!(links.len(), 1, "all links of an account share one");
    let id = links[0]["token_id"].as_str().expect("an id");
    world.operator().delete(&format!("/operator/tokens/{id}")).expect(204);
    assert!(to_sign_in(&person.get("/ui")), "revoked");
    assert_eq!(press(&mut Browser::new(&world), &unopened).status, 401);

    let (opened, unopened) = (link(&world, COOP), link(&world, COOP));
    assert_eq!(press(&mut person, &opened).status, 303, "the next link has a new one");
    assert_eq!(browser.post(&format!("/ui/accounts/{COOP}/delete"), &[]).status, 303);
    assert!(to_sign_in(&person.get("/ui")));
    assert_eq!(press(&mut Browser::new(&world), &unopened).status, 401);
    let conn = rusqlite::Connection::open(world.database()).expect("the file");
    let left: i64 = conn.query_row("SELECT count(*) FROM sign_in_link", [], |row| row.get(0)).expect("a number");
    assert_eq!(left, 0);
}

#[test]
fn the_button_of_an_account_s_page_makes_a_link_and_shows_it_once() {
    let world = World::new();
    let browser = operator(&world);
    let page = browser.get(&format!("/ui/accounts/{COOP}"));
    let made = browser.submit(&page, &format!("/ui/accounts/{COOP}/link"), &[("lasts", "3600")]);
    let shown = browser.follow(&made).text;
    let url = shown.split_once("id=\"secret\">").and_then(|(_, rest)| rest.split('<').next()).expect("a link");
    assert!(url.starts_with(&format!("http://{}/ui/enter/", world.address())), "{url}");
    let link = path(url);
    world.advance("59m");
    assert_eq!(press(&mut Browser::new(&world), &link).status, 303);
}

#[test]
fn an_open_session_of_an_account_is_listed_and_ended() {
    let world = World::new();
    let browser = operator(&world);
    let mut person = Browser::new(&world);
    press(&mut person, &link(&world, COOP));
    let page = browser.get(&format!("/ui/accounts/{COOP}"));
    assert!(page.text.contains("<th scope=\"row\">sign-in links</th>"), "{}", page.text);
    let other = browser.get(&format!("/ui/accounts/{OTHER_COOP}"));
    assert!(other.text.contains("Nobody of this account is signed in"));
    let action = format!("/ui/accounts/{COOP}/end");
    let mark = crate::support::browser::hidden(&page.text, &action);
    let foreign = format!("/ui/accounts/{OTHER_COOP}/end");
    let mark: Vec<(&str, &str)> = mark.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(browser.post(&foreign, &mark).status, 303);
    assert_eq!(person.get("/ui").status, 200, "another account's page ends nothing here");
    let ended = browser.post(&action, &mark);
    assert!(browser.follow(&ended).text.contains("The session has ended"));
    assert!(to_sign_in(&person.get("/ui")));
    assert!(browser.get("/ui/audit?action=session.ended").text.contains(COOP));
}

#[test]
fn a_clock_that_is_set_leaves_a_link_its_time() {
    let world = World::new();
    let link = link(&world, COOP);
    world.clock.step(world.now() + std::time::Duration::from_secs(86_400));
    drop(world.write(|_| Ok(())));
    assert_eq!(Browser::new(&world).get(&link).status, 200);
    world.advance("15m");
    assert_eq!(Browser::new(&world).get(&link).status, 401);
}
