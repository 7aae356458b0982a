//! The page of a webhook: the next step stands on top, and deliveries that are alike are one line.

use serde_json::json;

use crate::support::{
    browser::{of, operator},
    client::Client,
    receiver::{Receiver, Reply},
    world::{COOP, World},
};

/// The places of these texts on a page, which follow each other.
#[track_caller]
fn in_order(page: &str, texts: &[&str]) {
    let mut at = 0;
    for text in texts {
        let next = page[at..].find(text).unwrap_or_else(|| panic!("'{text}' does not follow in {page}"));
        at += next + text.len();
    }
}

/// A world without second attempts.
fn world() -> World {
    World::with(|wish| wish.config.asilichain.waits.clear())
}

fn first(coop: &Client, webhook: &str, status: &str) -> String {
    let deliveries = coop.deliveries(webhook);
    let found = deliveries.iter().rfind(|delivery| delivery["status"] == status).expect("one");
    found["delivery_id"].as_str().expect("an id").to_owned()
}

#[test]
fn a_suspended_webhook_says_on_top_why_since_when_what_came_and_what_to_do() {
    let world = world();
    let (receiver, coop) = (Receiver::new(), world.coop());
    receiver.always(Reply::Answer(503, "x-request-id: 42\r\n", b"database is down".to_vec()));
    let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
    coop.publish("batch.exported", json!({}));
    world.settle();
    (0..2).for_each(|_| drop(coop.publish("batch.exported", json!({}))));
    world.advance("1h");
    let culprit = first(&coop, &webhook, "FAILED");
    let page = of(&world, COOP, "webhooks").get(&format!("/ui/webhooks/{webhook}")).text;
    let link = format!("<a href=\"/ui/deliveries/{culprit}\">");
    in_order(
        &page,
        &[
            "1 delivery failed, 2 are held",
            "A delivery failed 1 time.",
            "suspended since <time ",
            "1 h ago</span> <small>11:55</small>",
            "The delivery that did it: ",
            &link,
            "The receiver’s last answer",
            "answered 503",
            "x-request-id: 42",
            "database is down",
            "Failed since its last success</dt><dd>1</dd>",
            "Held</dt><dd>2</dd>",
            "Test it now",
            "Resume and send all 3",
            "Leave the failed",
            "Drop the held",
            ">Actions</h2>",
            "success, 24 h",
            "Deliveries in 7 days",
            ">Recent deliveries</h2>",
        ],
    );
}

#[test]
fn a_paused_webhook_shows_the_last_answer_and_blames_no_delivery() {
    let world = World::new();
    let (receiver, coop) = (Receiver::new(), world.coop());
    receiver.always(Reply::status(500));
    let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
    coop.publish("batch.exported", json!({}));
    world.settle();
    let browser = of(&world, COOP, "webhooks");
    let path = format!("/ui/webhooks/{webhook}");
    assert_eq!(browser.post(&format!("{path}/pause"), &[]).status, 303);
    let page = browser.get(&path).text;
    in_order(&page, &["Somebody paused it.", "The last delivery: ", "answered 500", "Test it now"]);
    assert!(!page.contains("The delivery that did it"));
}

#[test]
fn what_suspended_a_webhook_may_have_been_removed_and_the_page_says_so() {
    let world = world();
    let (receiver, coop) = (Receiver::new(), world.coop());
    receiver.always(Reply::status(410));
    let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
    coop.publish("batch.exported", json!({}));
    world.settle();
    let path = format!("/ui/webhooks/{webhook}");
    let browser = of(&world, COOP, "webhooks");
    in_order(&browser.get(&path).text, &["410 Gone", "The delivery that did it: ", "answered 410"]);
    // As retention does it.
    world
        .write(|tx| {
            ngoma::store::retention::remove_deliveries(tx, &[1])?;
            Ok(())
        })
        .expect("removed");
    let page = browser.get(&path);
    assert_eq!(page.status, 200);
    assert!(page.text.contains("The delivery that did it has been removed because of its age."), "{}", page.text);
}

#[test]
fn deliveries_that_are_alike_are_one_line_that_opens() {
    let world = World::new();
    let (receiver, coop) = (Receiver::new(), world.coop());
    let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
    let publish = |many: usize| {
        (0..many).for_each(|number| drop(coop.publish("batch.exported", json!({ "number": number }))));
        world.settle();
    };
    publish(3);
    receiver.always(Reply::status(503));
    publish(2);
    receiver.always(Reply::status(500));
    publish(1);
    let page = operator(&world).get(&format!("/ui/webhooks/{webhook}")).text;
    let list = page.split_once(">Recent deliveries</h2>").expect("a list").1;
    in_order(list, &["retrying", "500", "2 alike", "retrying", "503", "3 alike", "delivered"]);
    assert_eq!(list.matches("<tr><th scope=\"row\">").count(), 3, "{list}");
    for delivery in coop.deliveries(&webhook) {
        let id = delivery["delivery_id"].as_str().expect("an id");
        assert_eq!(list.matches(&format!("href=\"/ui/deliveries/{id}\"")).count(), 1, "{id} is there, folded or not");
    }
}

#[test]
fn people_give_a_webhook_a_name_and_a_description_and_see_them() {
    let world = World::new();
    let (receiver, coop) = (Receiver::new(), world.coop());
    let browser = of(&world, COOP, "webhooks");
    let url = receiver.url();
    let fields = [("url", url.as_str()), ("every", "yes"), ("secret", "s3cret"), ("name", "Buyer portal")];
    let made = browser.submit(&browser.get("/ui/webhooks/new"), "/ui/webhooks/new", &fields);
    assert_eq!(made.status, 303, "{}", made.text);
    let webhook = coop.get("/webhooks").expect(200)[0]["webhook_id"].as_str().expect("an id").to_owned();
    let path = format!("/ui/webhooks/{webhook}");
    assert!(browser.get(&path).text.contains("<h1>Buyer portal</h1>"));
    let list = browser.get("/ui/webhooks").text;
    assert!(list.contains(">Buyer portal</a>") && list.contains(&url), "{list}");
    let change = format!("{path}/change");
    let fields = [("url", url.as_str()), ("every", "yes"), ("name", "Portal"), ("description", "ask <Rose>")];
    assert_eq!(browser.post(&change, &fields).status, 303);
    let page = browser.get(&path).text;
    in_order(&page, &["<h1>Portal</h1>", "ask &#60;Rose&#62;", "value=\"Portal\"", "value=\"ask &#60;Rose&#62;\""]);
    assert_eq!(
        browser.post(&change, &[("url", &url), ("every", "yes"), ("name", ""), ("description", "")]).status,
        303
    );
    assert!(browser.get(&path).text.contains(&format!("<h1>{url}</h1>")));
    let long = "n".repeat(81);
    let refused = browser.post(&change, &[("url", &url), ("every", "yes"), ("name", &long)]);
    assert!(refused.status == 400 && refused.text.contains(&format!("value=\"{long}\"")), "what was typed stays");
}

#[test]
fn a_bar_of_its_chart_leads_to_its_own_deliveries_alone() {
    let world = World::new();
    let (receiver, coop) = (Receiver::new(), world.coop());
    let webhook = coop.webhook(&format!("{}/till", receiver.url()), &["*"], "s3cret");
    coop.webhook(&format!("{}/other", receiver.url()), &["*"], "s3cret");
    coop.publish("batch.exported", json!({}));
    world.settle();
    world.advance("10s");
    let browser = of(&world, COOP, "webhooks");
    let page = browser.get(&format!("/ui/webhooks/{webhook}")).text;
    let bar =
        page.split("<a href=\"").find(|link| link.starts_with("/ui/deliveries?webhook=") && link.contains("<rect"));
    let address = bar.and_then(|bar| bar.split('"').next()).unwrap_or_else(|| panic!("no bar: {page}"));
    let list = browser.get(&address.replace("&#38;", "&")).text;
    assert!(list.contains("/till</a>") && !list.contains("/other</a>"), "{list}");
}
