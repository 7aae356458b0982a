//! What pages say: sentences that are true at the time, badges that go, and where a page leads.

use serde_json::json;

use crate::support::{
    browser::{Browser, of, operator, to_sign_in},
    receiver::{Receiver, Reply},
    world::{COOP, OTHER_COOP, World},
};

#[test]
fn an_event_lists_who_got_it_apart_from_who_will_and_who_did_not() {
    let world = World::new();
    let receivers = [(); 4].map(|()| Receiver::new());
    let (coop, browser) = (world.coop(), of(&world, COOP, "webhooks,events"));
    let webhooks = receivers.each_ref().map(|receiver| coop.webhook(&receiver.url(), &["*"], "s3cret"));
    let [_, retrying, held, gone] = &receivers;
    retrying.always(Reply::status(503));
    gone.always(Reply::status(410));
    assert_eq!(browser.post(&format!("/ui/webhooks/{}/pause", webhooks[2]), &[]).status, 303);
    let event = coop.publish("batch.exported", json!({}))["event_id"].as_str().expect("an id").to_owned();
    world.settle();
    let page = browser.get(&format!("/ui/events/{event}")).text;
    let group = |heading: &str| {
        let rest = page.split_once(&format!("<h2>{heading}</h2>")).unwrap_or_else(|| panic!("no {heading}: {page}")).1;
        rest.split("</table>").next().expect("a table").to_owned()
    };
    let [got, will, not] =
        ["Webhooks that got it", "Webhooks that will get it", "Webhooks that did not get it: failed or cancelled"]
            .map(group);
    let in_group = |group: &str| receivers.each_ref().map(|receiver| group.contains(&receiver.url()));
    assert_eq!(in_group(&got), [true, false, false, false], "{got}");
    assert_eq!(in_group(&will), [false, true, true, false], "{will}");
    assert_eq!(in_group(&not), [false, false, false, true], "{not}");
    assert!(will.contains("retrying") && will.contains("held") && held.posts().is_empty());
}

#[test]
fn a_webhook_that_got_an_event_by_a_replay_is_not_among_those_that_did_not_get_it() {
    let world = World::with(|wish| wish.config.asilichain.waits.clear());
    let (receiver, coop, browser) = (Receiver::new(), world.coop(), of(&world, COOP, "webhooks,events"));
    let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
    receiver.always(Reply::status(503));
    let event = coop.publish("batch.exported", json!({}))["event_id"].as_str().expect("an id").to_owned();
    world.settle();
    let page = || browser.get(&format!("/ui/events/{event}")).text;
    assert!(page().contains("Webhooks that did not get it"), "{}", page());
    receiver.always(Reply::status(200));
    assert_eq!(browser.post(&format!("/ui/webhooks/{webhook}/resume"), &[]).status, 303);
    world.settle();
    let page = page();
    assert!(!page.contains("did not get it"), "{page}");
    let (_, since) = page.split_once("<h2>Replayed since").unwrap_or_else(|| panic!("{page}"));
    assert!(page.contains("<h2>Webhooks that got it</h2>") && since.contains(">failed</span>"), "{page}");
}

#[test]
fn the_next_attempt_of_a_delivery_is_said_as_it_came_or_as_it_will_come() {
    let world = World::new();
    let (receiver, coop) = (Receiver::new(), world.coop());
    let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
    receiver.always(Reply::status(500));
    coop.publish("batch.exported", json!({}));
    world.settle();
    let delivery = coop.deliveries(&webhook)[0]["delivery_id"].as_str().expect("an id").to_owned();
    let browser = of(&world, COOP, "webhooks");
    let waits = || {
        let page = browser.get(&format!("/ui/deliveries/{delivery}")).text;
        let said = page.split("<p class=\"soft\">then a wait of ").skip(1);
        said.map(|rest| rest.split("</p>").next().expect("an end").to_owned()).collect::<Vec<_>>()
    };
    let ahead = |said: &String| said.contains(", the next <time data-due");
    let said = waits();
    assert!(said.len() == 1 && ahead(&said[0]), "{said:?}");
    world.advance("30s");
    let said = waits();
    assert!(said.len() == 2 && !ahead(&said[0]) && ahead(&said[1]), "the next one stands below: {said:?}");
    // It is held in the meantime, and goes out long after it was planned.
    assert_eq!(browser.post(&format!("/ui/webhooks/{webhook}/pause"), &[]).status, 303);
    world.advance("1h");
    let said = waits();
    assert!(said.len() == 1 && !ahead(&said[0]), "nothing is said of an attempt that is not planned: {said:?}");
    assert_eq!(browser.post(&format!("/ui/webhooks/{webhook}/resume"), &[]).status, 303);
    world.settle();
    let said = waits();
    assert!(["1 h", "59 min 59 s"].contains(&said[1].as_str()), "as long as it was: {said:?}");
}

#[test]
fn a_webhook_does_not_fail_any_more_after_a_good_test_and_a_resume() {
    let world = World::new();
    let (receiver, coop) = (Receiver::new(), world.coop());
    let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
    receiver.always(Reply::status(410));
    coop.publish("batch.exported", json!({}));
    world.settle();
    world.advance("10s");
    let browser = of(&world, COOP, "webhooks");
    receiver.always(Reply::status(200));
    assert_eq!(browser.post(&format!("/ui/webhooks/{webhook}/test"), &[]).status, 200);
    let leave = [("failed", "leave")];
    assert_eq!(browser.post(&format!("/ui/webhooks/{webhook}/resume"), &leave).status, 303);
    world.settle();
    let list = browser.get("/ui/webhooks").text;
    assert!(list.contains(">active</span>") && !list.contains(">failing</span>"), "{list}");
    assert!(!browser.get("/ui/webhooks?state=failing").text.contains(&receiver.url()));
}

#[test]
fn the_success_of_a_suspended_webhook_says_until_when_it_is_counted() {
    let world = World::new();
    let (receiver, coop) = (Receiver::new(), world.coop());
    let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
    coop.publish("batch.exported", json!({}));
    world.settle();
    world.advance("10s");
    let browser = of(&world, COOP, "webhooks");
    let until = "until it was paused";
    assert!(browser.get("/ui/webhooks").text.contains("100 %") && !browser.get("/ui/webhooks").text.contains(until));
    assert_eq!(browser.post(&format!("/ui/webhooks/{webhook}/pause"), &[]).status, 303);
    assert!(browser.get("/ui/webhooks").text.contains(until));
    assert!(browser.get(&format!("/ui/webhooks/{webhook}")).text.contains("success, 24 h, until it was paused"));
}

#[test]
fn a_filter_with_an_account_that_does_not_exist_says_so_and_does_not_say_whether_a_foreign_one_does() {
    let world = World::new();
    let browser = operator(&world);
    for list in ["webhooks", "events"] {
        let page = browser.get(&format!("/ui/{list}?account=coop-mbale-001")).text;
        assert!(page.contains("There is no account coop-mbale-001"), "{list}: {page}");
        assert!(!browser.get(&format!("/ui/{list}?account={COOP}")).text.contains("There is no account"), "{list}");
        let own = of(&world, COOP, "webhooks,events");
        let [foreign, nobody] = [OTHER_COOP, "NOBODY"].map(|account| {
            own.get(&format!("/ui/{list}?account={account}")).text.contains(&format!("There is no account {account}"))
        });
        assert!(foreign && nobody, "{list}");
    }
}

#[test]
fn all_events_are_ticked_when_a_webhook_is_registered() {
    let world = World::new();
    let page = of(&world, COOP, "webhooks").get("/ui/webhooks/new").text;
    assert!(page.contains("name=\"every\" value=\"yes\" checked"), "{page}");
    assert_eq!(page.matches(" checked").count(), 1);
}

#[test]
fn an_alert_names_its_webhook_beside_its_word_too_for_a_phone() {
    let world = World::new();
    let (receiver, coop) = (Receiver::new(), world.coop());
    let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
    receiver.always(Reply::status(410));
    coop.publish("batch.exported", json!({}));
    world.settle();
    let page = of(&world, COOP, "webhooks").get("/ui/alerts").text;
    let link = format!("<a class=\"url narrow\" href=\"/ui/webhooks/{webhook}\">{}</a>", receiver.url());
    assert!(page.contains(&link), "{page}");
}

#[test]
fn a_link_from_elsewhere_is_loaded_again_by_a_page_of_ours_before_anybody_is_asked_to_sign_in() {
    let world = World::new();
    let stranger = Browser::new(&world);
    let arrive = |site: &str| stranger.send("GET", "/ui/webhooks?state=failing", &[("sec-fetch-site", site)], None);
    let again = arrive("cross-site");
    assert_eq!(again.status, 200);
    assert!(again.text.contains("<meta http-equiv=\"refresh\" content=\"0\">") && !again.text.contains("<script"));
    assert!(to_sign_in(&arrive("same-origin")), "the second request asks for a token, and there is no loop");
    let signed_in = operator(&world);
    let headers = [("cookie", signed_in.cookie.as_str()), ("sec-fetch-site", "same-origin")];
    assert!(signed_in.send("GET", "/ui/webhooks?state=failing", &headers, None).text.contains("Webhooks"));
}

#[test]
fn browsers_that_look_for_an_icon_get_it() {
    let world = World::new();
    let icon = world.stranger().get("/favicon.ico");
    assert_eq!((icon.status, icon.header("content-type")), (200, "image/svg+xml"));
    assert_eq!(icon.text, Browser::new(&world).get("/ui/icon.svg").text);
}
