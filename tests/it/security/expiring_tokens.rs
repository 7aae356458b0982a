//! Tokens that expire: refused from that moment on, with a sentence that says so; and people are warned before.

use ngoma::store::tokens;
use serde_json::{Value, json};

use crate::support::{
    browser::{Browser, of, operator, to_sign_in},
    client::Client,
    world::{COOP, CUSTOMER, Holder, OTHER_COOP, World},
};

const DAY: u64 = 86_400;

/// A new token of this account that expires after these seconds: its id, and a client with it.
fn token(world: &World, account: &str, seconds: u64) -> (String, Client, String) {
    let body = json!({ "account_id": account, "scopes": ["webhooks", "events"], "label": "export desk", "expires_in": seconds });
    let made = world.operator().post("/operator/tokens", body).expect(201);
    let text = |name: &str| made[name].as_str().expect("a text").to_owned();
    crate::support::leaks::secret(&text("token"));
    (text("token_id"), world.client(&text("token")), text("token"))
}

#[test]
fn a_token_is_refused_from_the_moment_on_at_which_it_expires() {
    let world = World::new();
    let (id, coop, _) = token(&world, COOP, 90 * DAY);
    let (_, customer, _) = token(&world, CUSTOMER, 90 * DAY);
    let listed = world.operator().get("/operator/tokens?limit=100").expect(200);
    let all = listed["tokens"].as_array().expect("a list");
    let own = all.iter().find(|token| token["token_id"] == id.as_str()).expect("it is listed");
    assert_eq!((&own["expires_at"], &own["label"]), (&json!("2026-07-19T11:55:00Z"), &json!("export desk")));
    assert!(all.iter().any(|token| token["expires_at"] == Value::Null), "others do not expire");
    world.advance("89d 23h 59m 59s");
    coop.get("/webhooks").expect(200);
    world.advance("1s");
    let refused = coop.get("/webhooks");
    assert_eq!(refused.code(401), "UNAUTHORIZED");
    assert!(refused.text.contains("this token expired at 2026-07-19T11:55:00Z: make a new one"), "{}", refused.text);
    assert!(refused.header("www-authenticate").starts_with("Bearer"), "{refused:?}");
    assert!(customer.get("/v1/webhooks").sentence(401).contains("expired at 2026-07-19T11:55:00Z"));
    assert_eq!(coop.post("/events", json!({ "event": "dds.filed", "cooperative_id": COOP, "data": {} })).status, 401);
    let listed = world.operator().get(&format!("/operator/tokens?account_id={COOP}")).expect(200);
    assert!(listed.to_string().contains(&id), "it stays in the list until it is revoked");
    world.operator().delete(&format!("/operator/tokens/{id}")).expect(204);
    assert!(coop.get("/webhooks").json()["error"]["message"].as_str().is_some_and(|said| said.contains("revoked")));
}

#[test]
fn a_token_lasts_a_minute_at_least_and_ten_years_at_most() {
    let world = World::new();
    let ask = |seconds: u64| {
        let body = json!({ "account_id": COOP, "scopes": ["events"], "expires_in": seconds });
        world.operator().post("/operator/tokens", body)
    };
    for seconds in [0, 59, 3651 * DAY, u64::MAX] {
        let refused = ask(seconds);
        assert_eq!(refused.code(400), "INVALID_REQUEST");
        assert!(refused.text.contains("at least 1 minute and at most 3650 days"), "{}", refused.text);
    }
    assert_eq!(ask(60).expect(201)["expires_at"], "2026-04-20T11:56:00Z");
    let forever = world.operator().post("/operator/tokens", json!({ "account_id": COOP, "scopes": ["events"] }));
    assert_eq!(forever.expect(201)["expires_at"], Value::Null);
}

#[test]
fn a_session_of_the_dashboard_ends_with_its_token() {
    let world = World::new();
    let (_, _, secret) = token(&world, COOP, 3600);
    let browser = Browser::with(&world, &secret);
    assert_eq!(browser.get("/ui").status, 200);
    world.advance("1h");
    assert!(to_sign_in(&browser.get("/ui")), "its session is over");
    let mut again = Browser::new(&world);
    let refused = again.enter(&secret);
    assert!(refused.status == 401 && refused.text.contains("this token expired at"), "{}", refused.text);
}

#[test]
fn a_clock_that_is_set_shortens_no_token() {
    let world = World::new();
    let (id, coop, _) = token(&world, COOP, 90 * DAY);
    // The server's clock was wrong by a year.
    world.clock.step(world.now() + std::time::Duration::from_secs(365 * DAY));
    world.write(|_| Ok(())).expect("written");
    coop.get("/webhooks").expect(200);
    let listed = world.operator().get("/operator/tokens?limit=100").expect(200);
    let own = listed["tokens"].as_array().expect("a list").iter().find(|token| token["token_id"] == id.as_str());
    assert_eq!(own.expect("it is listed")["expires_at"], "2027-07-19T11:55:00Z");
}

#[test]
fn the_overview_warns_a_week_before_a_token_expires_and_only_those_whose_it_is() {
    let world = World::new();
    let (id, ..) = token(&world, COOP, 20 * DAY);
    let seen = |browser: &Browser| {
        let page = browser.get("/ui").text;
        page.contains("The token export desk of COOP-MBALE-001 expires").then_some(page)
    };
    let both = [operator(&world), of(&world, COOP, "webhooks")];
    assert!(both.iter().all(|browser| seen(browser).is_none()), "not yet");
    world.advance("12d 23h");
    let both = [operator(&world), of(&world, COOP, "webhooks")];
    assert!(both.iter().all(|browser| seen(browser).is_none()), "not yet");
    world.advance("1h 1m");
    let page = seen(&operator(&world)).expect("a warning");
    assert!(page.contains(&format!("/ui/accounts/{COOP}#tokens")), "{page}");
    let page = seen(&of(&world, COOP, "webhooks")).expect("a warning");
    assert!(!page.contains("#tokens") && page.contains("The operator of this server makes a new one"), "{page}");
    assert!(seen(&of(&world, OTHER_COOP, "webhooks")).is_none(), "nobody else sees it");
    world.operator().delete(&format!("/operator/tokens/{id}")).expect(204);
    world.advance("11s");
    assert!(seen(&operator(&world)).is_none(), "it is revoked");
}

#[test]
fn the_form_of_a_token_takes_its_label_and_its_validity() {
    let world = World::new();
    let browser = operator(&world);
    let page = browser.get("/ui/accounts");
    let fields = [("holder", COOP), ("scope", "events"), ("label", "export desk"), ("expires", "90")];
    let shown = browser.follow(&browser.submit(&page, "/ui/tokens", &fields)).text;
    assert!(shown.contains("It expires at 2026-07-19T11:55:00Z"), "{shown}");
    let page = browser.get(&format!("/ui/accounts/{COOP}")).text;
    assert!(page.contains("export desk") && page.contains("expires <time"), "{page}");
    world.advance("90d");
    let page = operator(&world).get(&format!("/ui/accounts/{COOP}")).text;
    assert!(page.contains("expired <time"), "{page}");
}

#[test]
fn a_platform_s_and_an_operator_s_token_expire_too() {
    let world = World::new();
    for body in [
        json!({ "profile": "asg", "scopes": ["webhooks"], "expires_in": 60 }),
        json!({ "scopes": ["operator"], "expires_in": 60 }),
    ] {
        let made = world.operator().post("/operator/tokens", body).expect(201);
        let client = world.client(made["token"].as_str().expect("a token"));
        client.get("/v1/webhooks").expect(200);
        world.advance("1m");
        assert!(client.get("/v1/webhooks").sentence(401).contains("expired"));
    }
    let listed = world.db().read_inline(tokens::list).expect("it reads");
    assert_eq!(listed.iter().filter(|token| token.expires_at.is_some()).count(), 2);
    assert!(world.token_for(Holder::Operator, "operator").starts_with("ngm_"));
}
