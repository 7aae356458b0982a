//! Alerts to the operator about the server itself: what raises one, how often, and where it goes.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use ngoma::{
    config::Secret,
    domain::operator_alert::About,
    store::{self, operator_alerts},
};
use serde_json::{Value, json};

use crate::support::{
    aging::until,
    browser::operator,
    database::query,
    mailbox::{Mailbox, advance, told, world_with},
    receiver::{Receiver, Reply},
    world::{COOP, Holder, OTHER_COOP, Wish, World},
};

const BOSS: &str = "boss@coop.example";
const SECRET: &str = "whsec_x3Bnq0hUu2dW8mJk5rTzYvE7aLsNcQ1pGf4iXo9DRtM=";

/// Raises an alert; returns whether one was written.
fn raise(world: &World, about: About, said: &'static str) -> bool {
    world.write(move |tx| operator_alerts::raise(tx, about, said)).expect("written")
}

/// How many alerts there are about this.
fn count(world: &World, about: About) -> i64 {
    query(world, &format!("SELECT count(*) FROM alert WHERE about = '{}'", about.name()))
}

/// A world that mails to the operator.
fn office(mailbox: &Mailbox, change: impl FnOnce(&mut Wish)) -> World {
    world_with(&mailbox.url(), |wish| {
        wish.config.alerts.operator_email = BOSS.to_owned();
        change(wish);
    })
}

#[test]
fn an_alert_about_the_server_goes_to_the_operator_s_address_and_to_the_channels() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut mailbox, own) = (Mailbox::within(folder.path()), Receiver::new());
    let world = office(&mailbox, |wish| {
        wish.config.server.public_url = "https://hooks.coop.example/".to_owned();
        wish.config.alerts.webhook_url = Secret::from(own.url());
        wish.config.alerts.webhook_secret = Secret::from(SECRET.to_owned());
    });
    assert!(raise(&world, About::Room, "The database has 2 GB, which is all that it may take."));
    told(&world);
    let mail = mailbox.wait_for(1).remove(0);
    assert_eq!(mail.get("to"), &json!([BOSS]));
    assert_eq!(mail.header("Subject"), "[Ngoma] the database has reached its largest size");
    let page = "https://hooks.coop.example/ui/system";
    assert!(mail.text().starts_with(&format!("{page}\n\nThe database has 2 GB, which is all that it may take.\n")));
    let post = own.only();
    let body = post.json();
    assert_eq!((&body["type"], &body["data"]["page"]), (&json!("server.room_reached"), &json!(page)));
    assert_eq!(body["data"]["alert_id"], post.header("webhook-id"));
    assert!(!post.header("webhook-signature").is_empty());
}

#[test]
fn a_post_about_the_server_is_as_the_contract_describes_it() {
    let own = Receiver::new();
    let world = World::with(|wish| {
        wish.config.alerts.webhook_url = Secret::from(own.url());
        wish.config.alerts.webhook_secret = Secret::from(SECRET.to_owned());
    });
    for about in About::ALL {
        assert!(raise(&world, about, "It happened."));
    }
    told(&world);
    let contract: Value = serde_json::from_str(&ngoma::api::contract().expect("it is made")).expect("JSON");
    let schema = |name: &str| contract["components"]["schemas"][name].clone();
    let body = &contract["webhooks"]["serverAlert"]["post"]["requestBody"]["content"]["application/json"]["schema"];
    assert_eq!(body["$ref"], "#/components/schemas/ServerAlertPost");
    let names = |value: &Value| {
        let mut names: Vec<String> = value.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
        names.sort();
        names
    };
    let posts = own.wait_for(About::ALL.len());
    for post in posts.iter().map(|post| post.json()) {
        let kinds = schema("ServerAlertType")["enum"].clone();
        assert!(kinds.as_array().expect("an enumeration").contains(&post["type"]), "{}", post["type"]);
        assert_eq!(names(&post), names(&schema("ServerAlertPost")["properties"]));
        assert_eq!(names(&post["data"]), names(&schema("ServerAlertData")["properties"]));
    }
}

#[test]
fn the_same_is_said_again_after_a_day_or_when_all_was_well_in_between() {
    let world = World::new();
    assert!(raise(&world, About::Room, "one"));
    assert!(!raise(&world, About::Room, "two"), "it was just said");
    assert!(raise(&world, About::Disk, "one"), "something else was not");
    world.write(|tx| operator_alerts::clear(tx, About::Room)).expect("cleared");
    assert!(raise(&world, About::Room, "three"), "all was well in between");
    world.advance("86399s");
    assert!(!raise(&world, About::Room, "four"), "not yet a day");
    world.advance("1s");
    assert!(raise(&world, About::Room, "five"), "a day");
}

#[test]
fn the_operator_hears_once_when_it_is_over_and_the_page_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut mailbox = Mailbox::within(folder.path());
    let world = office(&mailbox, |_| {});
    let clear = || world.write(|tx| operator_alerts::clear(tx, About::Room)).expect("cleared");
    clear();
    raise(&world, About::Room, "It has 2 GB.");
    advance(&world, "24h");
    raise(&world, About::Room, "It has 2 GB.");
    clear();
    clear();
    told(&world);
    let mails = mailbox.wait_for(3);
    assert_eq!(mails.len(), 3, "{mails:?}");
    assert_eq!(mails[2].header("Subject"), "[Ngoma] a problem of the server is over");
    let said = "This is over: the database has reached its largest size. The alert about it is of 2026-04-21T11:55:00Z.\n\nNothing is left to do.";
    assert!(mails[2].text().contains(said), "{}", mails[2].text());
    let page = operator(&world).get("/ui/alerts").text;
    assert!(page.contains("badge good\">a problem of the server is over") && page.contains("Over since"), "{page}");
    assert!(!page.contains("badge warn\">the database has reached its largest size"), "{page}");
}

#[test]
fn an_alert_of_an_account_without_an_address_is_mailed_to_the_operator() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut mailbox = Mailbox::within(folder.path());
    let world = office(&mailbox, |_| {});
    let gone = Receiver::new();
    gone.always(Reply::status(410));
    for account in [OTHER_COOP, COOP] {
        let client = world.client(&world.token_for(Holder::Account(account.to_owned()), "webhooks,events"));
        let body = json!({ "url": gone.url(), "events": ["*"], "cooperative_id": account });
        client.post("/webhooks", body).expect(201);
        client.post("/events", json!({ "event": "dds.filed", "data": {} })).expect(202);
        told(&world);
    }
    let to: Vec<Value> = mailbox.wait_for(2).iter().map(|mail| mail.get("to").clone()).collect();
    assert_eq!(to, [json!([BOSS]), json!(["ops@coop.example"])]);
}

#[test]
fn a_server_that_comes_back_after_a_crash_says_so_and_after_a_stop_it_does_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut mailbox = Mailbox::within(folder.path());
    let mut world = office(&mailbox, |_| {});
    world.restart();
    told(&world);
    assert_eq!(count(&world, About::Crash), 0);
    world.crash();
    world.start();
    told(&world);
    let mail = mailbox.wait_for(1).remove(0);
    assert_eq!(mail.header("Subject"), "[Ngoma] the server came back after a crash");
    assert!(mail.text().contains("It last wrote at 2026-04-20T11:55:00Z."), "{}", mail.text());
    advance(&world, "25h");
    world.restart();
    told(&world);
    assert_eq!(count(&world, About::Crash), 1);
}

#[test]
fn the_operator_hears_of_a_clock_that_was_set_by_a_minute_or_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut mailbox = Mailbox::within(folder.path());
    let world = office(&mailbox, |_| {});
    let set = |seconds: u64| {
        world.clock.step(world.now() + Duration::from_secs(seconds));
        world.write(store::probe).expect("it notices");
    };
    set(59);
    assert_eq!(count(&world, About::Clock), 0);
    set(7200);
    told(&world);
    let mail = mailbox.wait_for(1).remove(0);
    assert_eq!(mail.header("Subject"), "[Ngoma] the clock was set");
    assert!(mail.text().contains("was set forward by 7200 s"), "{}", mail.text());
}

#[test]
fn the_operator_hears_of_a_full_disk_a_missing_backup_and_a_key_that_everybody_may_read() {
    let set_mode = |file: &Path, mode| fs::set_permissions(file, fs::Permissions::from_mode(mode)).expect("set");
    let mut in_the_way = None;
    let world = World::with(|wish| {
        wish.config.watch.low_space_bytes = u64::MAX;
        wish.config.backup.every = Duration::from_secs(86_400);
        let file = wish.config.storage.path.with_file_name("backups");
        fs::write(&file, "no folder").expect("written");
        in_the_way = Some(file);
        // Also of a key that is not in use.
        wish.config.tls.key = wish.config.storage.path.with_file_name("tls.key");
        fs::write(&wish.config.tls.key, "a key").expect("written");
        set_mode(&wish.config.tls.key, 0o600);
    });
    let key = world.config.storage.key_file.clone();
    until(&world, || count(&world, About::Disk) == 1);
    assert_eq!(count(&world, About::Exposed), 0);
    set_mode(&key, 0o644);
    until(&world, || count(&world, About::Exposed) == 1);
    let said: String = query(&world, "SELECT said FROM alert WHERE about = 'server.file_exposed'");
    assert!(said.contains(&format!("chmod o-r {}", key.display())), "{said}");
    set_mode(&world.config.tls.key, 0o644);
    until(&world, || count(&world, About::Exposed) == 2);
    let said: String = query(&world, "SELECT said FROM alert WHERE about = 'server.file_exposed' ORDER BY key DESC");
    assert!(said.contains("tls.key"), "another file is news within the day, too: {said}");
    set_mode(&world.config.tls.key, 0o600);
    until(&world, || count(&world, About::Backup) == 1);
    // Each is mended, so the next time it is said at once.
    set_mode(&key, 0o600);
    fs::remove_file(in_the_way.expect("a file")).expect("removed");
    let open =
        "SELECT count(*) FROM alert WHERE about IN ('server.file_exposed', 'server.backup_old') AND cleared_at IS NULL";
    until(&world, || query::<i64>(&world, open) == 0);
    set_mode(&key, 0o644);
    until(&world, || count(&world, About::Exposed) >= 3);
}
