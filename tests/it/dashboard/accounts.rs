//! The page of an account, the one form that begins an account, and the erasure of an account.

use ngoma::config::Secret;
use serde_json::json;

use crate::support::{
    browser::{of, operator},
    leaks,
    mailbox::Mailbox,
    receiver::Receiver,
    world::{COOP, OTHER_COOP, World},
};

#[test]
fn the_page_of_an_account_shows_its_webhooks_tokens_and_alert_address_and_nothing_of_others() {
    let world = World::new();
    let (own, foreign) = (Receiver::new(), Receiver::new());
    world.coop().webhook(&own.url(), &["*"], "s3cret");
    let other =
        world.client(&world.token_for(crate::support::world::Holder::Account(OTHER_COOP.to_owned()), "webhooks"));
    let body = json!({ "url": foreign.url(), "events": ["*"], "cooperative_id": OTHER_COOP });
    other.post("/webhooks", body).expect(201);
    let browser = operator(&world);
    assert!(browser.get("/ui/accounts").text.contains(&format!("href=\"/ui/accounts/{COOP}\"")));
    let page = browser.get(&format!("/ui/accounts/{COOP}")).text;
    for part in [own.url().as_str(), "tok_", "value=\"ops@coop.example\"", "Register a webhook", "/delete"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains(&foreign.url()) && !page.contains(OTHER_COOP));
    assert_eq!(browser.get("/ui/accounts/NOBODY").status, 404);
    assert_eq!(of(&world, COOP, "webhooks,events").get(&format!("/ui/accounts/{COOP}")).status, 403);
}

#[test]
fn the_alert_address_of_an_account_is_changed_tested_and_taken_away_on_its_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut mailbox = Mailbox::within(folder.path());
    let url = mailbox.url();
    let world = World::with(|wish| wish.config.alerts.smtp_url = Secret::from(url));
    let browser = operator(&world);
    let page = format!("/ui/accounts/{COOP}");
    let set = |mail: &str| browser.post(&format!("{page}/mail"), &[("mail", mail)]);
    let address = || world.operator().get(&format!("/operator/accounts/{COOP}")).expect(200)["alert_email"].clone();
    assert!(browser.follow(&set("night@coop.example")).text.contains("its alerts go to this address"));
    assert_eq!(address(), "night@coop.example");
    let refused = set("no address");
    assert!(refused.status == 400 && refused.text.contains("value=\"no address\""), "{}", refused.text);
    let sent = browser.post(&format!("{page}/test-mail"), &[]);
    assert!(browser.follow(&sent).text.contains("A test mail is sent"));
    assert_eq!(mailbox.wait_for(1)[0].header("To"), "night@coop.example");
    assert!(browser.follow(&set("")).text.contains("mailed to nobody"));
    assert_eq!(address(), json!(null));
    assert_eq!(browser.post(&format!("{page}/test-mail"), &[]).status, 400, "there is nobody to send it to");
    drop(mailbox);
    set("night@coop.example");
    let failed = browser.post(&format!("{page}/test-mail"), &[]);
    assert!(failed.status == 503 && failed.text.contains("role=\"alert\""), "{} {}", failed.status, failed.text);
}

#[test]
fn one_form_makes_an_account_its_webhook_and_its_token() {
    let world = World::new();
    let (receiver, browser) = (Receiver::new(), operator(&world));
    let page = browser.get("/ui/new-account");
    assert!(page.text.contains("name=\"every\" value=\"yes\" checked"), "{}", page.text);
    let url = receiver.url();
    let fields = [
        ("id", "COOP-NEW"),
        ("vendor", "asilichain"),
        ("mail", "a@new.example"),
        ("url", &url),
        ("every", "yes"),
        ("label", "office"),
    ];
    let twice = [(); 2].map(|()| browser.submit(&page, "/ui/new-account", &fields));
    let shown = browser.follow(&twice[1]).text;
    let secret = |id: &str| {
        let text = shown.split_once(&format!("id=\"{id}\">")).and_then(|(_, rest)| rest.split('<').next());
        let text = text.unwrap_or_else(|| panic!("no {id}: {shown}")).to_owned();
        leaks::secret(&text);
        text
    };
    let (token, signing) = (secret("secret"), secret("secret-2"));
    assert!(token.starts_with("ngm_") && signing.starts_with("whsec_"));
    assert!(shown.contains("href=\"/ui/accounts/COOP-NEW\""));
    let coop = world.client(&token);
    let event = json!({ "event": "batch.exported", "cooperative_id": "COOP-NEW", "data": {} });
    coop.post("/events", event).expect(202);
    assert_eq!(receiver.wait_for(1)[0].json()["event"], "batch.exported");
    let page = browser.get("/ui/accounts/COOP-NEW").text;
    assert!(page.contains("office<br>") && page.contains(&url) && page.contains("a@new.example"), "{page}");
}

#[test]
fn a_refused_form_of_a_new_account_makes_nothing_and_keeps_its_fields() {
    let world = World::new();
    let browser = operator(&world);
    let fields =
        [("id", "COOP-NEW"), ("vendor", "asg"), ("url", "ftp://nowhere"), ("every", "yes"), ("label", "office")];
    let refused = browser.post("/ui/new-account", &fields);
    assert_eq!(refused.status, 422, "{}", refused.text);
    for part in ["value=\"COOP-NEW\"", "value=\"asg\" selected", "value=\"ftp://nowhere\"", "value=\"office\""] {
        assert!(refused.text.contains(part), "{part}: {}", refused.text);
    }
    assert_eq!(browser.get("/ui/accounts/COOP-NEW").status, 404, "no account without its webhook");
    let fields = [("id", COOP), ("vendor", "asilichain"), ("url", "http://127.0.0.1:9/"), ("every", "yes")];
    let refused = browser.post("/ui/new-account", &fields);
    assert!(refused.status == 409 && refused.text.contains("there is an account"), "{}", refused.text);
    assert_eq!(of(&world, COOP, "webhooks").get("/ui/new-account").status, 403);
}

#[test]
fn an_account_is_erased_after_its_parts_were_counted() {
    let world = World::new();
    let (receiver, browser) = (Receiver::new(), operator(&world));
    let coop = world.coop();
    coop.webhook(&receiver.url(), &["*"], "s3cret");
    (0..3).for_each(|number| drop(coop.publish("batch.exported", json!({ "number": number }))));
    world.settle();
    let at = format!("/ui/accounts/{COOP}/delete");
    let page = browser.get(&at);
    for part in [
        "<dt>Webhooks</dt><dd>1</dd>",
        "<dt>Tokens</dt><dd>1</dd>",
        "<dt>Events</dt><dd>3</dd>",
        "<dt>Deliveries</dt><dd>3</dd>",
    ] {
        assert!(page.text.contains(part), "{part}: {}", page.text);
    }
    assert_eq!(coop.get("/webhooks").status, 200, "to count erases nothing");
    let erased = browser.submit(&page, &at, &[]);
    let list = browser.follow(&erased).text;
    assert!(list.contains("The account is erased") && !list.contains(&format!("/ui/accounts/{COOP}\"")), "{list}");
    assert_eq!(coop.get("/webhooks").status, 401);
    assert_eq!(browser.get(&at).status, 404);
    let rows = || {
        let conn = rusqlite::Connection::open(world.database()).expect("the file");
        conn.query_row("SELECT count(*) FROM erasure", [], |row| row.get::<_, i64>(0)).expect("a number")
    };
    crate::support::held_request::until("its rows are removed by themselves", || rows() == 0);
    assert_eq!(of(&world, OTHER_COOP, "webhooks").post(&format!("/ui/accounts/{OTHER_COOP}/delete"), &[]).status, 403);
}

#[test]
fn a_token_that_was_copied_leads_back_to_the_tokens_of_its_account() {
    let world = World::new();
    let browser = operator(&world);
    let leads = |fields: &[(&str, &str)]| {
        let page = browser.follow(&browser.post("/ui/tokens", fields)).text;
        let before = page.split("\">I have it</a>").next().expect("a link");
        before.rsplit("href=\"").next().expect("an address").to_owned()
    };
    assert_eq!(leads(&[("holder", COOP), ("scope", "events")]), format!("/ui/accounts/{COOP}#tokens"));
    assert_eq!(leads(&[("scope", "operator")]), "/ui/accounts#tokens");
    for page in [format!("/ui/accounts/{COOP}"), "/ui/accounts".to_owned()] {
        assert!(browser.get(&page).text.contains("id=\"tokens\""), "{page}");
    }
}
