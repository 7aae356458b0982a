//! What the settings name may be in the operator's own network, which stays closed to accounts: channels of alerts, and
//! the heartbeat.

use std::sync::Arc;

use ngoma::{
    config::{AlertChannel, ChannelKind, Config, Secret},
    domain::operator_alert::About,
    engine,
    store::operator_alerts,
};
use serde_json::json;

use super::channels::channel;
use crate::support::{
    aging::until,
    mailbox::{outbox, told},
    receiver::{Receiver, Reply},
    world::{COOP, Wish, World, defaults},
};

/// The rules as they are without a setting: `https://` to public addresses only.
fn closed(config: &mut Config) {
    config.egress = defaults().egress;
}

/// A world with one channel, whose place is in the operator's network.
fn world_of(url: &str, change: impl FnOnce(&mut Wish)) -> World {
    World::with(|wish| {
        closed(&mut wish.config);
        wish.config.alerts.channel = vec![channel(ChannelKind::Text, url)];
        change(wish);
    })
}

fn raise(world: &World) {
    world.write(|tx| operator_alerts::raise(tx, About::Room, "It is full.")).expect("written");
    told(world);
}

#[test]
fn channels_and_the_heartbeat_reach_the_operators_own_network_while_no_account_does() {
    let (chat, watcher) = (Receiver::new(), Receiver::new());
    let world = world_of(&chat.url(), |wish| wish.config.alerts.heartbeat_url = Secret::from(watcher.url()));
    watcher.wait_for(1);
    raise(&world);
    chat.only();
    let webhook = json!({ "url": chat.url(), "events": ["*"], "cooperative_id": COOP });
    world.coop().post("/webhooks", webhook).expect(422);
    let notices = json!({ "alerts_url": chat.url() });
    world.operator().patch(&format!("/operator/accounts/{COOP}"), notices).expect(422);
}

#[test]
fn notices_to_an_account_are_judged_at_each_post_also_where_a_channel_may_go() {
    let (place, failing) = (Receiver::new(), Receiver::new());
    failing.always(Reply::status(410));
    let mut world = World::new();
    let coop = world.coop();
    let notices = json!({ "alerts_url": format!("{}/notices", place.url()) });
    world.operator().patch(&format!("/operator/accounts/{COOP}"), notices).expect(200);
    coop.webhook(&failing.url(), &["*"], "s");
    coop.publish("dds.filed", json!({}));
    world.settle();
    place.wait_for(2);
    coop.webhook(&failing.url(), &["*"], "s");
    world.stop();
    closed(&mut world.config);
    world.config.alerts.channel = vec![channel(ChannelKind::Text, &format!("{}/channel", place.url()))];
    world.start();
    // The receiver's address is refused now, so this delivery fails too, and is told.
    world.coop().publish("dds.filed", json!({}));
    ["0s", "30s", "5m", "30m", "2h"].iter().for_each(|wait| world.advance(wait));
    told(&world);
    let paths: Vec<String> = place.posts().into_iter().skip(2).map(|post| post.path).collect();
    assert!(!paths.is_empty() && paths.iter().all(|path| path.ends_with("/channel")), "{paths:?}");
    let file = rusqlite::Connection::open(world.database()).expect("the file");
    let tried: i64 =
        file.query_row("SELECT max(tries) FROM notice WHERE due_at IS NOT NULL", [], |row| row.get(0)).expect("one");
    assert!(tried >= 1, "the notice waits");
}

#[test]
fn a_name_in_the_settings_may_lead_into_the_operators_network_but_to_no_link_local_address() {
    let chat = Receiver::new();
    let url = format!("http://chat.lan:{}/", chat.port());
    let lead_to = |address: [u8; 4]| {
        world_of(&url, |wish| wish.look_up = Arc::new(move |_, port| Ok(vec![(address, port).into()])))
    };
    raise(&lead_to([127, 0, 0, 1]));
    chat.only();
    let world = lead_to([169, 254, 7, 7]);
    raise(&world);
    let error: String = outbox(&world, "last_error", "channel = 'text'");
    assert!(error.contains("not allowed"), "{error}");
    chat.only();
}

/// What is wrong with these settings.
fn flaw(change: impl FnOnce(&mut Config)) -> String {
    let mut config = defaults();
    change(&mut config);
    engine::check(&config).map_or_else(|flaw| flaw.to_string(), |()| String::new())
}

#[test]
fn link_local_and_metadata_addresses_and_the_server_itself_are_refused_in_the_settings() {
    for host in [
        "169.254.169.254",
        "169.254.7.7",
        "100.100.100.200",
        "168.63.129.16",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::169.254.169.254]",
        "[2002:a9fe:a9fe::1]",
        "127.0.0.1:8080",
    ] {
        let url = format!("http://{host}/t0ps3cret");
        let heartbeat = flaw(|config| config.alerts.heartbeat_url = Secret::from(url.clone()));
        assert!(heartbeat.starts_with("alerts.heartbeat_url: ") && !heartbeat.contains("t0ps3cret"), "{heartbeat}");
        let listed = flaw(|config| config.alerts.channel = vec![channel(ChannelKind::Text, &url)]);
        assert!(listed.starts_with("alerts.channel 1") && !listed.contains("t0ps3cret"), "{listed}");
        let older = flaw(|config| {
            config.alerts.webhook_url = Secret::from(url.clone());
            config.alerts.webhook_secret = Secret::from("any text".to_owned());
        });
        assert!(older.starts_with("alerts.webhook_url: "), "{older}");
    }
    let opened = flaw(|config| {
        config.egress.allow = vec!["169.254.169.254/32".parse().expect("a block")];
        config.alerts.heartbeat_url = Secret::from("http://169.254.169.254/".to_owned());
    });
    assert_eq!(opened, "", "the operator may open one by one");
    for host in ["10.1.2.3", "192.168.10.5:3001", "127.0.0.1:8081", "[fd12::7]", "[64:ff9b::10.1.2.3]"] {
        let free = flaw(|config| config.alerts.heartbeat_url = Secret::from(format!("http://{host}/api/push/x")));
        assert_eq!(free, "", "{host}");
    }
}

#[test]
fn neither_a_channel_nor_the_heartbeat_follows_a_redirect() {
    let (chat, watcher, elsewhere) = (Receiver::new(), Receiver::new(), Receiver::new());
    let head: &'static str = format!("location: {}\r\n", elsewhere.url()).leak();
    chat.always(Reply::Answer(307, head, Vec::new()));
    watcher.always(Reply::Answer(302, head, Vec::new()));
    let world = world_of(&chat.url(), |wish| wish.config.alerts.heartbeat_url = Secret::from(watcher.url()));
    raise(&world);
    let error: String = outbox(&world, "last_error", "channel = 'text'");
    assert!(error.contains("it answered with a redirect, which is not followed (307)"), "{error}");
    // The second beat shows that the first is over.
    watcher.wait_for(1);
    until(&world, || watcher.posts().len() >= 2);
    assert_eq!(elsewhere.connections(), 0);
}

#[test]
fn an_ntfy_url_with_a_path_is_refused_with_what_to_write() {
    let ntfy = |url: &str, topic: &str| {
        flaw(|config| {
            let topic = topic.to_owned();
            config.alerts.channel = vec![AlertChannel { topic, ..channel(ChannelKind::Ntfy, url) }];
        })
    };
    for (url, topic) in [
        ("https://ntfy.sh/t0ps3cret", "alerts"),
        ("https://ntfy.sh/t0ps3cret", ""),
        ("https://ntfy.sh/t0ps3cret/json?auth=t0ps3cret", "alerts"),
    ] {
        let refusal = ntfy(url, topic);
        assert!(refusal.starts_with("alerts.channel 1"), "{refusal}");
        let write = r#"write url = "https://ntfy.sh", and the name of the topic as topic"#;
        assert!(refusal.contains(write) && !refusal.contains("t0ps3cret"), "{refusal}");
    }
    for url in ["https://ntfy.sh", "https://ntfy.sh/", "http://192.168.10.5:8090/?auth=abc"] {
        assert_eq!(ntfy(url, "alerts"), "", "{url}");
    }
}
