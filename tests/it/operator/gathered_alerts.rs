//! One cause, one message: alerts of one kind about webhooks of one account go together, by mail and to chats.

use std::time::Duration;

use ngoma::config::{ChannelKind, Secret};
use serde_json::json;
use tempfile::TempDir;

use super::{channels::channel, mail::suspend_of};
use crate::support::{
    client::Client,
    mailbox::{Mailbox, advance, outbox, told, world_with},
    receiver::{Receiver, Reply},
    world::{OTHER_COOP, World},
};

const SECRET: &str = "whsec_x3Bnq0hUu2dW8mJk5rTzYvE7aLsNcQ1pGf4iXo9DRtM=";
const PUBLIC: &str = "https://hooks.coop.example";

/// A world that mails, and tells a chat and a program, as the settings are by themselves.
struct Office {
    world: World,
    mailbox: Mailbox,
    chat: Receiver,
    program: Receiver,
    /// The receiver of the webhooks.
    receiver: Receiver,
    coop: Client,
    _folder: TempDir,
}

impl Office {
    /// An office whose receiver answers with this status.
    fn answering(status: u16) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (mailbox, chat, program) = (Mailbox::within(folder.path()), Receiver::new(), Receiver::new());
        let world = world_with(&mailbox.url(), |wish| {
            wish.config.server.public_url = PUBLIC.to_owned();
            wish.config.alerts.gather = crate::support::world::defaults().alerts.gather;
            wish.config.limits.webhooks_per_account = 300;
            let mut standard = channel(ChannelKind::Standard, &program.url());
            standard.secret = Secret::from(SECRET.to_owned());
            wish.config.alerts.channel = vec![channel(ChannelKind::Text, &chat.url()), standard];
        });
        let (receiver, coop) = (Receiver::new(), world.coop());
        receiver.always(Reply::status(status));
        Self { world, mailbox, chat, program, receiver, coop, _folder: folder }
    }

    /// Makes this many webhooks, and publishes an event to all that there are.
    fn publish_to(&self, number: usize) -> Vec<String> {
        let made = (0..number).map(|_| self.coop.webhook(&self.receiver.url(), &["*"], "s3cret")).collect();
        self.coop.publish("dds.filed", json!({}));
        told(&self.world);
        made
    }

    /// The subjects of the mails so far. The chat has as many messages.
    fn mails(&mut self) -> Vec<String> {
        let subjects: Vec<String> = self.mailbox.mails().iter().map(|mail| mail.header("Subject").to_owned()).collect();
        assert_eq!(self.chat.posts().len(), subjects.len(), "{subjects:?}");
        subjects
    }

    /// A delivery fails until its webhook is warned of, and that is told.
    fn fail(&self) {
        self.receiver.always(Reply::status(500));
        self.publish_to(0);
        for wait in ["30s", "5m", "20s"] {
            advance(&self.world, wait);
        }
    }

    /// A delivery arrives, and that is told.
    fn work(&self) {
        self.receiver.always(Reply::status(200));
        self.publish_to(0);
        advance(&self.world, "20s");
    }

    fn resume(&self, webhook: &str) {
        self.receiver.always(Reply::status(200));
        self.coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": "ACTIVE" })).expect(200);
        told(&self.world);
    }
}

#[test]
fn webhooks_suspended_by_one_cause_are_one_mail_and_one_chat_message_but_a_post_each_for_a_program() {
    let mut office = Office::answering(410);
    let webhooks = office.publish_to(3);
    assert_eq!(office.program.wait_for(3).len(), 3, "a program gets each at once");
    advance(&office.world, "19s");
    assert_eq!(office.mails(), [""; 0], "others may come");
    advance(&office.world, "1s");
    let mail = office.mailbox.wait_for(1).remove(0);
    assert!(mail.header("Subject").ends_with(": 3 webhooks are SUSPENDED"), "{mail:?}");
    let chat = office.chat.only().text().to_owned();
    let page = format!("{PUBLIC}/ui/webhooks?state=suspended");
    assert!(mail.text().starts_with(&format!("{page}\n\n")) && chat.ends_with(&format!("\n\n{page}\n")), "{chat}");
    for webhook in &webhooks {
        assert!(mail.text().contains(&format!("  ngoma webhooks resume {webhook}\n")), "{}", mail.text());
        assert!(chat.contains(&format!("\n{webhook} at 127.0.0.1: it answered 410: gone for good")), "{chat}");
    }
    assert!(!chat.contains("the\nwebhook"), "no line ends within a sentence: {chat}");
    advance(&office.world, "1h");
    assert_eq!((office.mails().len(), office.program.posts().len()), (1, 3));
}

#[test]
fn warnings_of_one_cause_are_one_message_and_so_is_the_news_that_all_work_again() {
    let mut office = Office::answering(500);
    let webhooks = office.publish_to(23);
    for wait in ["30s", "5m", "20s"] {
        advance(&office.world, wait);
    }
    let mail = office.mailbox.wait_for(1).remove(0);
    assert!(mail.header("Subject").ends_with(": 23 webhooks are failing"), "{mail:?}");
    let text = mail.text();
    assert!(text.starts_with(&format!("{PUBLIC}/ui/webhooks?state=failing\n\n")), "{text}");
    assert!(webhooks.iter().all(|webhook| text.contains(&format!("{PUBLIC}/ui/webhooks/{webhook}\n"))), "{text}");
    assert_eq!((text.matches("  last error").count(), text.matches("And 3 more:").count()), (20, 1), "{text}");
    let long: Vec<&str> = text.lines().filter(|line| line.len() > 78).collect();
    assert_eq!(long, [""; 0], "{text}");
    assert!(office.chat.only().text().contains("\nand 3 more\n"), "{}", office.chat.only().text());
    office.receiver.always(Reply::status(200));
    for wait in ["30m", "20s"] {
        advance(&office.world, wait);
    }
    let mails = office.mails();
    assert!(mails.len() == 2 && mails[1].ends_with(": 23 webhooks work again"), "{mails:?}");
}

#[test]
fn a_message_waits_while_others_come_but_no_longer_than_five_minutes() {
    let mut office = Office::answering(410);
    for _ in 0..20 {
        office.publish_to(1);
        assert_eq!(office.mails(), [""; 0]);
        advance(&office.world, "15s");
    }
    assert!(office.mails()[0].ends_with(": 20 webhooks are SUSPENDED"));
    office.publish_to(1);
    advance(&office.world, "299s");
    assert_eq!(office.mails().len(), 1, "five minutes after a message comes the next");
    advance(&office.world, "1s");
    assert!(office.mails()[1].ends_with("is SUSPENDED"));
}

#[test]
fn a_webhook_that_works_again_before_its_alert_is_sent_troubles_nobody() {
    let mut office = Office::answering(410);
    let webhook = office.publish_to(1).remove(0);
    office.resume(&webhook);
    advance(&office.world, "10m");
    assert_eq!(office.mails(), [""; 0]);
    assert_eq!(outbox::<i64>(&office.world, "count(*)", "channel = 'mail' AND dropped_at IS NOT NULL"), 2);
    // Who was told that it is suspended is told that it works, also after another suspension that nobody heard of.
    for expected in [1, 2] {
        office.receiver.always(Reply::status(410));
        office.publish_to(0);
        if expected == 1 {
            advance(&office.world, "20s");
            assert_eq!(office.mails().len(), 1);
        }
        office.resume(&webhook);
    }
    office.world.move_clock(Duration::from_secs(600));
    told(&office.world);
    let mails = office.mails();
    assert!(mails.len() == 2 && mails[1].ends_with("works again"), "{mails:?}");
}

#[test]
fn a_webhook_that_fails_again_after_it_worked_again_is_told_of_again_on_the_same_day() {
    let mut office = Office::answering(500);
    office.publish_to(1);
    office.fail();
    office.work();
    office.fail();
    let mails = office.mails();
    assert_eq!(mails.len(), 3, "{mails:?}");
    for (mail, end) in mails.iter().zip(["is failing", "works again", "is failing"]) {
        assert!(mail.ends_with(end), "{mails:?}");
    }
    // It goes on failing: nothing new.
    office.fail();
    assert_eq!(office.mails().len(), 3);
}

#[test]
fn a_warning_that_nobody_read_because_it_was_over_keeps_no_later_one_back() {
    let mut office = Office::answering(500);
    office.publish_to(1);
    for wait in ["30s", "5m"] {
        advance(&office.world, wait);
    }
    assert_eq!(outbox::<i64>(&office.world, "count(*)", "kind = 'warning' AND channel = 'mail'"), 1);
    office.work();
    assert_eq!(office.mails(), [""; 0]);
    office.fail();
    let mails = office.mails();
    assert!(mails.len() == 1 && mails[0].ends_with("is failing"), "{mails:?}");
}

#[test]
fn each_account_has_a_message_of_its_own_also_in_one_chat() {
    let mut office = Office::answering(410);
    suspend_of(&office.world, OTHER_COOP);
    let own = office.publish_to(2);
    advance(&office.world, "20s");
    let chat: Vec<String> = office.chat.posts().iter().map(|post| post.text().to_owned()).collect();
    let of_both = |text: &&String| own.iter().all(|webhook| text.contains(webhook));
    assert_eq!((chat.len(), chat.iter().filter(of_both).count()), (2, 1), "{chat:?}");
    let mails = office.mailbox.mails();
    assert!(mails.len() == 1 && mails[0].header("Subject").ends_with(": 2 webhooks are SUSPENDED"), "{mails:?}");
}

#[test]
fn a_message_has_200_webhooks_at_most_and_the_others_come_five_minutes_later() {
    let mut office = Office::answering(410);
    office.publish_to(203);
    advance(&office.world, "20s");
    let mails = office.mails();
    assert!(mails.len() == 1 && mails[0].ends_with(": 200 webhooks are SUSPENDED"), "{mails:?}");
    advance(&office.world, "5m");
    let mails = office.mails();
    assert!(mails.len() == 2 && mails[1].ends_with(": 3 webhooks are SUSPENDED"), "{mails:?}");
}

/// Lets the mail server keep the mail of this number, which is due after this wait, and never answer. Gives its id.
fn unanswered(office: &mut Office, number: usize, wait: &str) -> String {
    office.mailbox.order("swallow");
    office.world.advance(wait);
    let mail = office.mailbox.wait_for(number).remove(number - 1);
    advance(&office.world, "5m");
    mail.header("Message-ID").to_owned()
}

#[test]
fn a_message_that_comes_again_has_the_same_id_and_one_with_more_webhooks_in_it_another() {
    for waiting in [2, 202] {
        let mut office = Office::answering(410);
        office.publish_to(waiting);
        let first = unanswered(&mut office, 1, "20s");
        assert_eq!(unanswered(&mut office, 2, "5s"), first, "of {waiting}");
        office.publish_to(1);
        let grown = unanswered(&mut office, 3, "15s");
        assert_eq!(grown != first, waiting == 2, "a full message does not grow");
        office.mailbox.order("take");
        advance(&office.world, "10m");
        let mails = office.mailbox.wait_for(4);
        assert_eq!(mails[3].header("Message-ID"), grown);
        let number = (waiting + 1).min(200);
        assert!(mails[3].header("Subject").ends_with(&format!(": {number} webhooks are SUSPENDED")), "{mails:?}");
    }
}

#[test]
fn a_message_that_could_not_be_noted_as_sent_comes_again_whole_under_the_same_id() {
    let mut office = Office::answering(410);
    office.publish_to(3);
    let file = rusqlite::Connection::open(office.world.database()).expect("the file");
    file.execute_batch(
        "CREATE TRIGGER fault BEFORE UPDATE ON alert_delivery
         WHEN NEW.channel = 'mail' AND NEW.told_at IS NOT NULL AND NEW.alert = (SELECT max(key) FROM alert)
         BEGIN SELECT RAISE(ABORT, 'a fault'); END",
    )
    .expect("a fault");
    office.world.advance("20s");
    office.mailbox.wait_for(1);
    office.world.stop();
    file.execute_batch("DROP TRIGGER fault").expect("mended");
    drop(file);
    office.world.start();
    advance(&office.world, "5m");
    let mails = office.mailbox.wait_for(2);
    let ids: Vec<&str> = mails.iter().map(|mail| mail.header("Message-ID")).collect();
    assert_eq!(ids, [ids[0]; 2]);
    assert!(mails.iter().all(|mail| mail.header("Subject").ends_with(": 3 webhooks are SUSPENDED")), "{mails:?}");
}
