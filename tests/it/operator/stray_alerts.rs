//! Alerts that wait for a channel that is no longer set up: it was renamed, or removed.

use ngoma::config::{AlertChannel, ChannelKind};
use serde_json::json;

use super::channels::{channel, raise, world_of};
use crate::support::{
    browser::operator,
    held_request::until,
    mailbox::{outbox, told, unsent},
    receiver::{Receiver, Reply},
    site::Site,
};

const SAID: &str = "It has 2 GB.";

fn slack(name: &str, receiver: &Receiver) -> AlertChannel {
    AlertChannel { name: name.to_owned(), ..channel(ChannelKind::Slack, &receiver.url()) }
}

#[test]
fn an_alert_for_a_renamed_channel_is_not_counted_as_unsent_and_is_given_up_after_a_week() {
    let (receiver, other) = (Receiver::new(), Receiver::new());
    receiver.always(Reply::status(500));
    let mut world = world_of(vec![slack("old", &receiver)]);
    raise(&world, SAID);
    assert_eq!(unsent(&world), 1);
    world.stop();
    world.config.alerts.channel = vec![slack("new", &other)];
    world.start();
    told(&world);
    assert_eq!(unsent(&world), 0);
    let page = operator(&world).get("/ui/alerts").text;
    assert!(!page.contains("not sent yet. The list"), "{page}");
    let said = || outbox::<Option<String>>(&world, "last_error", "channel = 'old'");
    until("the list says why", || said().is_some_and(|why| why == "no channel of this name is set up"));
    world.move_clock(std::time::Duration::from_secs(7 * 86_400));
    until("it is given up", || outbox::<i64>(&world, "count(*)", "channel = 'old' AND dropped_at IS NOT NULL") == 1);
    assert!(other.posts().is_empty());
}

#[test]
fn an_alert_for_a_channel_that_comes_back_within_a_week_is_sent() {
    let receiver = Receiver::new();
    receiver.always(Reply::status(500));
    let mut world = world_of(vec![slack("old", &receiver)]);
    raise(&world, SAID);
    receiver.wait_for(1);
    world.stop();
    let channels = std::mem::take(&mut world.config.alerts.channel);
    world.start();
    world.advance("167h");
    world.stop();
    receiver.always(Reply::status(200));
    world.config.alerts.channel = channels;
    world.start();
    told(&world);
    assert_eq!(receiver.wait_for(2).len(), 2);
    assert_eq!(unsent(&world), 0);
}

#[test]
fn a_start_names_the_channel_that_alerts_wait_for_and_their_number() {
    let receiver = Receiver::new();
    receiver.always(Reply::status(500));
    let mut site = Site::new();
    site.set("ALERTS__CHANNEL", &format!(r#"[{{kind="slack", name="old", url="{}"}}]"#, receiver.url()));
    let server = site.start();
    let gone = Receiver::new();
    gone.always(Reply::status(410));
    let coop = server.coop();
    coop.post(
        "/webhooks",
        json!({ "url": gone.url(), "events": ["*"], "cooperative_id": crate::support::world::COOP }),
    )
    .expect(201);
    coop.post("/events", json!({ "event": "dds.filed", "data": {} })).expect(202);
    server.running.error_with("an alert waits");
    server.kill();
    site.set("ALERTS__CHANNEL", "[]");
    let server = site.start();
    server.running.error_with("alerts wait for a channel that is not set up");
    let log = server.kill();
    let line = log.lines().find(|line| line.contains("alerts wait for a channel")).expect("that line");
    assert!(line.contains("channel=\"old\"") && line.contains("alerts=1"), "{line}");
}
