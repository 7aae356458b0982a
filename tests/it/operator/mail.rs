//! Alerts by mail, through a real mail server: their text, and that each arrives once when either side fails.

use std::{process::Command, sync::Arc, time::Duration};

use ngoma::{config::Secret, engine, store::erase};
use serde_json::json;
use tempfile::TempDir;

use crate::support::{
    client::Client,
    held_request::until,
    mailbox::{Mail, Mailbox, advance, outbox, told, unsent, world_with},
    raw_receiver::FullBacklog,
    receiver::{Receiver, Reply},
    world::{COOP, Holder, OTHER_COOP, START, World},
};

/// A webhook that answers 410, and so is suspended by the first event.
fn gone(coop: &Client) -> (Receiver, String) {
    let receiver = Receiver::new();
    receiver.always(Reply::status(410));
    let webhook = coop.webhook(&receiver.url(), &["*"], "s");
    (receiver, webhook)
}

/// A mail server that behaves in this way, and a world that mails to it.
fn mail_world(order: &str) -> (TempDir, Mailbox, World) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut mailbox = Mailbox::within(folder.path());
    mailbox.order(order);
    let world = world_with(&mailbox.url(), |_| {});
    (folder, mailbox, world)
}

/// Suspends a webhook of this account by a 410.
pub fn suspend_of(world: &World, account: &str) {
    let client = world.client(&world.token_for(Holder::Account(account.to_owned()), "webhooks,events"));
    let receiver = Receiver::new();
    receiver.always(Reply::status(410));
    let body = json!({ "url": receiver.url(), "events": ["*"], "cooperative_id": account });
    client.post("/webhooks", body).expect(201);
    client.post("/events", json!({ "event": "dds.filed", "data": {} })).expect(202);
    world.settle();
}

/// Suspends a webhook of the cooperative by a 410; gives its receiver and its id.
fn suspend(world: &World) -> (Receiver, String) {
    let coop = world.coop();
    let (receiver, webhook) = gone(&coop);
    coop.publish("dds.filed", json!({}));
    world.settle();
    (receiver, webhook)
}

#[test]
fn a_suspension_is_mailed_once_with_everything_needed_to_act() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut mailbox = Mailbox::within(folder.path());
    let world = world_with(&mailbox.url(), |wish| wish.config.alerts.warn = false);
    let receiver = Receiver::new();
    receiver.always(Reply::status(500));
    let coop = world.coop();
    let webhook = coop.webhook(&format!("{}?key=hidden", receiver.url()), &["*"], "s");
    let given_up = coop.publish("dds.filed", json!({}))["deliveries"][0]["delivery_id"].clone();
    world.settle();
    for wait in ["30s", "5m", "30m", "2h"] {
        advance(&world, wait);
    }
    // Held when the mail is written, not when the webhook was suspended: this one comes later than that.
    let mail = mailbox.wait_for(1).remove(0);
    assert_eq!(mail.get("to"), &json!(["ops@coop.example"]));
    assert_eq!((mail.header("From"), mail.header("To")), ("Ngoma <ngoma@coop.example>", "ops@coop.example"));
    assert_eq!(mail.header("Subject"), format!("[Ngoma] {COOP}: the webhook at 127.0.0.1 is SUSPENDED"));
    assert_eq!(mail.header("Auto-Submitted"), "auto-generated");
    assert_eq!(mail.header("Content-Type"), "text/plain; charset=\"utf-8\"");
    assert_eq!(mail.header("Date"), "Mon, 20 Apr 2026 14:30:30 +0000");
    let id = mail.header("Message-ID").to_owned();
    assert!(id.starts_with("<alr_") && id.ends_with("@coop.example>"), "{id}");
    let text = mail.text();
    for part in [
        format!("The webhook of {COOP} at 127.0.0.1\nis SUSPENDED: nothing is sent to it any more."),
        format!("webhook        {webhook}"),
        format!("URL            {}\n", receiver.url()),
        "suspended      2026-04-20T14:30:30Z".to_owned(),
        "failing since  2026-04-20T11:55:00Z".to_owned(),
        "last error     the receiver has an error of its own".to_owned(),
        "status         500".to_owned(),
        format!("delivery       {}", given_up.as_str().expect("an id")),
        "held now       0 deliveries".to_owned(),
        "failed         1 delivery since its last success".to_owned(),
        "Resume the webhook. Then\n1 failed delivery is sent again:\n".to_owned(),
        format!("  ngoma webhooks resume {webhook}\n"),
        "To leave the failed ones, add \"resend_failed\":false".to_owned(),
    ] {
        assert!(text.contains(&part), "'{part}' is not in: {text}");
    }
    assert!(!text.contains("hidden"), "a query may hold a secret: {text}");
    // Not a line that a mail program would break, but those that name an address.
    let long = |line: &&str| line.len() > 78;
    assert_eq!(text.lines().filter(long).collect::<Vec<_>>(), [""; 0], "{text}");
    for _ in 0..3 {
        advance(&world, "1h");
    }
    assert_eq!(mailbox.mails().len(), 1, "one suspension, one mail");
}

/// Pastes each command of a mail into a shell with a token. Gives their output.
fn paste(mail: &Mail, token: &str) -> Vec<String> {
    let text = mail.text().replace(" \\\n", " ");
    let commands = text.lines().filter(|line| line.starts_with("  curl "));
    let run = |command: &str| {
        let output = Command::new("sh").args(["-c", command]).env("TOKEN", token).output().expect("a shell");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    commands.map(run).collect()
}

#[test]
fn the_lines_of_a_mail_look_test_and_resume_as_they_stand() {
    let (_folder, mut mailbox, world) = mail_world("take");
    let (receiver, webhook) = suspend(&world);
    receiver.always(Reply::status(200));
    let token = world.token_for(Holder::Account(COOP.to_owned()), "webhooks");
    let said = paste(&mailbox.wait_for(1)[0], &token);
    let said: Vec<serde_json::Value> = said.iter().map(|text| serde_json::from_str(text).expect("JSON")).collect();
    assert_eq!((&said[0]["webhook_id"], &said[0]["status"]), (&json!(webhook), &json!("SUSPENDED")));
    assert_eq!((&said[1]["delivered"], &said[2]["status"]), (&json!(true), &json!("ACTIVE")));
    assert_eq!(world.coop().status(&webhook), "ACTIVE");
}

#[test]
fn a_mail_counts_held_deliveries_when_it_is_sent_and_says_if_the_webhook_is_active_again() {
    let (_folder, mailbox, world) = mail_world("take");
    let back = mailbox.go_down();
    let (_first, _) = suspend(&world);
    let (_second, resumed) = suspend(&world);
    let (_third, deleted) = suspend(&world);
    let coop = world.coop();
    told(&world);
    coop.patch(&format!("/webhooks/{resumed}"), json!({ "url": "http://127.0.0.1:1/", "status": "ACTIVE" }))
        .expect(200);
    coop.delete(&format!("/webhooks/{deleted}")).expect(204);
    for _ in 0..2 {
        coop.publish("dds.filed", json!({}));
    }
    let mut mailbox = back();
    world.settle();
    advance(&world, "5s");
    // None was sent before, so the three go together.
    let text = mailbox.wait_for(1)[0].text().to_owned();
    let parts: Vec<&str> = text.split("\n  webhook        ").collect();
    assert_eq!(parts.len(), 4, "{text}");
    let begins = format!("1 webhook of {COOP} is SUSPENDED: nothing is sent to it any more.");
    assert!(parts[0].contains(&begins), "only one still is: {text}");
    // The second and the third event of the story, and the two that came later.
    assert!(parts[1].contains("held now       4 deliveries"), "{text}");
    assert!(parts[2].starts_with(&resumed) && parts[2].contains("resumed since"), "{text}");
    assert!(parts[3].starts_with(&deleted) && parts[3].contains("deleted since"), "{text}");
    assert_eq!(text.matches("ngoma webhooks resume").count(), 1, "{text}");
}

#[test]
fn each_suspension_has_its_own_mail_and_pausing_by_hand_has_none() {
    let (_folder, mut mailbox, world) = mail_world("take");
    let (receiver, webhook) = suspend(&world);
    let coop = world.coop();
    let set = |status| coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": status })).expect(200);
    set("ACTIVE");
    coop.publish("dds.filed", json!({}));
    told(&world);
    advance(&world, "5m");
    // The receiver is repaired, so that the deliveries of the last resume do not suspend the webhook again.
    receiver.always(Reply::status(200));
    set("ACTIVE");
    set("SUSPENDED");
    advance(&world, "1h");
    let mails = mailbox.mails();
    let of_suspensions = mails.iter().filter(|mail| mail.header("Subject").ends_with("is SUSPENDED"));
    let ids: Vec<String> = of_suspensions.map(|mail| mail.header("Message-ID").to_owned()).collect();
    assert_eq!(ids.len(), 2);
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn while_the_mail_server_is_down_it_is_tried_on_the_schedule_and_then_sent_once() {
    let (_folder, mailbox, world) = mail_world("take");
    let back = mailbox.go_down();
    let _suspended = suspend(&world);
    told(&world);
    let mut due = START.millis();
    for (count, wait) in [5, 15, 60, 600, 3600, 3600].into_iter().enumerate() {
        due += wait * 1000;
        assert_eq!(outbox::<i64>(&world, "due_at", "channel = 'mail'"), due, "after {} tries", count + 1);
        assert_eq!(outbox::<i64>(&world, "alert_delivery.tries", "channel = 'mail'"), count as i64 + 1);
        advance(&world, &format!("{}ms", wait * 1000 - 1));
        assert_eq!(
            outbox::<i64>(&world, "alert_delivery.tries", "channel = 'mail'"),
            count as i64 + 1,
            "not before it is due"
        );
        advance(&world, "1ms");
    }
    let error: String = outbox(&world, "last_error", "channel = 'mail'");
    assert!(error.contains("connecting to 127.0.0.1:") && error.contains("refused"), "{error}");
    let unsent = || unsent(&world);
    assert_eq!(unsent(), 1);
    let mut mailbox = back();
    advance(&world, "1h");
    assert_eq!((mailbox.mails().len(), unsent()), (1, 0));
    assert_eq!(outbox::<i64>(&world, "told_at", "channel = 'mail'"), world.now().millis());
    advance(&world, "2h");
    assert_eq!(mailbox.mails().len(), 1);
}

#[test]
fn a_start_sends_at_once_the_alerts_that_were_not_sent() {
    let (_folder, mailbox, mut world) = mail_world("take");
    let back = mailbox.go_down();
    let _suspended = suspend(&world);
    told(&world);
    for wait in ["5s", "15s", "1m", "10m"] {
        advance(&world, wait);
    }
    assert_eq!(outbox::<i64>(&world, "alert_delivery.tries", "channel = 'mail'"), 5, "an hour to wait");
    world.stop();
    let mut mailbox = back();
    world.start();
    told(&world);
    assert_eq!(mailbox.mails().len(), 1);
    world.restart();
    told(&world);
    assert_eq!(mailbox.mails().len(), 1, "no start sends it again");
}

#[test]
fn a_refused_mail_is_tried_hourly_and_given_up_after_a_week() {
    let (_folder, mut mailbox, world) = mail_world("say 550 no such user");
    let _suspended = suspend(&world);
    told(&world);
    for wait in ["5s", "15s", "1m", "10m", "1h"] {
        advance(&world, wait);
    }
    let error: String = outbox(&world, "last_error", "channel = 'mail'");
    assert!(error.contains("refused it") && error.contains("550") && error.contains("no such user"), "{error}");
    assert_eq!(outbox::<i64>(&world, "due_at", "channel = 'mail'"), world.now().millis() + 3_600_000);
    assert_eq!(mailbox.tries(), 6);
    advance(&world, "168h");
    assert_eq!(outbox::<i64>(&world, "dropped_at", "channel = 'mail'"), world.now().millis());
    mailbox.order("take");
    advance(&world, "24h");
    assert_eq!((mailbox.tries(), mailbox.mails().len()), (7, 0));
}

#[test]
fn a_server_that_says_not_now_is_tried_for_as_long_as_it_takes() {
    let (_folder, mut mailbox, world) = mail_world("say 451 too busy");
    let _suspended = suspend(&world);
    told(&world);
    advance(&world, "240h");
    mailbox.order("close");
    advance(&world, "1h");
    mailbox.order("take");
    advance(&world, "1h");
    assert_eq!(mailbox.mails().len(), 1);
}

#[test]
fn a_mail_server_that_hangs_keeps_nothing_else_waiting() {
    let (_folder, mut mailbox, mut world) = mail_world("hang");
    let _suspended = suspend(&world);
    mailbox.wait_for_tries(1);
    let receiver = Receiver::new();
    let coop = world.coop();
    coop.webhook(&receiver.url(), &["loan.*"], "s");
    for count in 1..=3 {
        coop.publish("loan.repaid", json!({}));
        world.settle();
        assert_eq!(receiver.wait_for(count).len(), count);
    }
    world.stop();
    assert_eq!(outbox::<Option<i64>>(&world, "told_at", "channel = 'mail'"), None);
}

#[test]
fn a_mail_that_takes_too_long_is_tried_again() {
    let (_folder, mut mailbox, world) = mail_world("swallow");
    let _suspended = suspend(&world);
    mailbox.wait_for(1);
    advance(&world, "5m");
    let error: String = outbox(&world, "last_error", "channel = 'mail'");
    assert!(error.ends_with("did not take it within 5m"), "{error}");
    mailbox.order("take");
    advance(&world, "5s");
    let mails = mailbox.mails();
    assert_eq!(mails.len(), 2);
    assert_eq!(mails[0].header("Message-ID"), mails[1].header("Message-ID"));
}

#[test]
fn a_mail_server_may_take_its_time_over_a_mail_and_gets_it_once() {
    let (_folder, mut mailbox, world) = mail_world("slow");
    let _suspended = suspend(&world);
    mailbox.wait_for(1);
    world.move_clock(Duration::from_secs(240));
    mailbox.order("take");
    told(&world);
    assert_eq!(outbox::<Option<String>>(&world, "last_error", "channel = 'mail'"), None);
    advance(&world, "2h");
    assert_eq!((mailbox.tries(), mailbox.mails().len()), (1, 1));
}

#[test]
fn when_an_address_of_the_mail_server_answers_nobody_the_next_one_is_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut mailbox = Mailbox::within(folder.path());
    let (hole, own) = (FullBacklog::new(), ([127, 0, 0, 1], mailbox.port).into());
    let addresses = vec![hole.address(), own];
    let world = world_with("smtp://mail.coop.example", |wish| {
        wish.look_up = Arc::new(move |name, port| {
            assert_eq!((name, port), ("mail.coop.example", 25));
            Ok(addresses.clone())
        });
    });
    let _suspended = suspend(&world);
    told(&world);
    assert_eq!(mailbox.mails().len(), 1);
}

#[test]
fn unsent_mails_wait_while_mail_is_turned_off() {
    let (_folder, mailbox, mut world) = mail_world("take");
    let back = mailbox.go_down();
    let _suspended = suspend(&world);
    told(&world);
    world.stop();
    let url = std::mem::replace(&mut world.config.alerts.smtp_url, Secret::from(String::new()));
    world.start();
    advance(&world, "167h");
    world.stop();
    world.config.alerts.smtp_url = url;
    let mut mailbox = back();
    world.start();
    told(&world);
    assert_eq!(mailbox.mails().len(), 1);
}

#[test]
fn an_alert_with_the_key_of_an_erased_one_is_still_sent() {
    let (_folder, mut mailbox, world) = mail_world("slow");
    let _suspended = suspend(&world);
    mailbox.wait_for(1);
    world.write(|tx| erase::begin(tx, COOP)).expect("erased");
    world.account("asilichain", "COOP-3", Some("third@coop.example"));
    suspend_of(&world, "COOP-3");
    let key: i64 = outbox(&world, "min(alert.key)", "channel = 'log'");
    assert_eq!(key, 1, "the key of the one that was erased");
    until("its mail waits", || outbox::<i64>(&world, "count(*)", "channel = 'mail'") == 1);
    mailbox.order("take");
    let mails = mailbox.wait_for(2);
    assert_eq!(mails[1].get("to"), &json!(["third@coop.example"]));
}

#[test]
fn an_address_that_would_break_a_header_is_never_written_into_one() {
    let (_folder, mut mailbox, world) = mail_world("take");
    // The command line lets no such thing in; a file may hold anything.
    world.account("asilichain", "COOP-EVIL", Some("ops@coop.example\r\nBcc: all@coop.example"));
    suspend_of(&world, "COOP-EVIL");
    told(&world);
    let error: String = outbox(&world, "last_error", "channel = 'mail'");
    assert!(error.contains("is no address"), "{error}");
    assert_eq!(mailbox.tries(), 0);
    let test = engine::try_channels::send_test_mail(&world.config, "ops@coop.example\r\nBcc: all@coop.example");
    assert!(world.block_on(test).is_err());
    assert_eq!(mailbox.tries(), 0);
}

#[test]
fn an_account_without_an_address_gets_no_mail() {
    let (_folder, mut mailbox, world) = mail_world("take");
    suspend_of(&world, OTHER_COOP);
    told(&world);
    assert_eq!((outbox::<i64>(&world, "count(*)", "told_at IS NOT NULL AND channel = 'log'"), mailbox.tries()), (1, 0));
    assert_eq!(outbox::<i64>(&world, "count(*)", "true"), 1, "by no other way");
}
