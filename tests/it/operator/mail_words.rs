//! The words of an alert's mail: which rule suspended a webhook, what follows, where its page is, and how it is resumed.

use std::time::Duration;

use ngoma::{config::SuspendWhen, store::alerts};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    browser::operator,
    client::Client,
    mailbox::{Mail, Mailbox, advance, told, world_with},
    receiver::{Receiver, Reply},
    world::{Holder, START, World},
};

/// A customer of ASG Gateway who gets mails.
const SHOP: &str = "CUST-8";

struct Office {
    world: World,
    mailbox: Mailbox,
    _folder: TempDir,
    receiver: Receiver,
    coop: Client,
}

/// A world that mails, with a receiver that answers with this status.
fn office(suspend_when: SuspendWhen, status: u16) -> Office {
    let folder = tempfile::tempdir().expect("a folder");
    let mailbox = Mailbox::within(folder.path());
    let world = world_with(&mailbox.url(), |wish| wish.config.asilichain.suspend_when = suspend_when);
    world.account("asg", SHOP, Some("ops@shop.example"));
    let (receiver, coop) = (Receiver::new(), world.coop());
    receiver.always(Reply::status(status));
    Office { world, mailbox, _folder: folder, receiver, coop }
}

impl Office {
    /// Publishes an event of the cooperative to a webhook, and lets all its attempts go out; gives the webhook.
    fn publish(&self, waits: &[&str]) -> String {
        let webhook = self.coop.webhook(&self.receiver.url(), &["*"], "s3cret");
        self.coop.publish("dds.filed", json!({}));
        told(&self.world);
        waits.iter().for_each(|wait| advance(&self.world, wait));
        webhook
    }

    /// The customer publishes a task, and all its attempts go out; gives the webhook.
    fn settle_a_task(&self) -> String {
        let token = self.world.token_for(Holder::Account(SHOP.to_owned()), "webhooks,events");
        let shop = self.world.client(&token);
        let made = shop.post("/v1/webhooks", json!({ "callback_url": self.receiver.url() })).expect(201);
        let task = json!({ "event": "task.settled", "task_id": "tsk_1", "consensus_label": "cat", "confidence": 1.0,
                           "bsv_txid": "f00d", "settled_at": "2026-04-08T21:05:00Z" });
        shop.post("/v1/events", task).expect(202);
        told(&self.world);
        ["1s", "4s"].iter().for_each(|wait| advance(&self.world, wait));
        made["webhook_id"].as_str().expect("an id").to_owned()
    }

    /// The newest mail whose subject ends so.
    fn mail(&mut self, subject: &str) -> Mail {
        let found = self.mailbox.wait_for(1).into_iter().rfind(|mail| mail.header("Subject").ends_with(subject));
        found.unwrap_or_else(|| panic!("no mail {subject}: {:?}", self.mailbox.mails()))
    }
}

#[track_caller]
fn says(mail: &Mail, parts: &[&str]) {
    for part in parts {
        assert!(mail.text().contains(part), "'{part}' is not in: {}", mail.text());
    }
    let long = |line: &&str| line.len() > 78;
    assert_eq!(mail.text().lines().filter(long).collect::<Vec<_>>(), [""; 0], "{}", mail.text());
}

const ALL: [&str; 4] = ["30s", "5m", "30m", "2h"];

#[test]
fn a_mail_of_a_suspension_says_by_which_rule_it_was_suspended() {
    for (rule, status, because) in [
        (SuspendWhen::Any, 500, "because        every attempt of a delivery failed\n"),
        (SuspendWhen::Dead, 500, "because        every attempt failed; nothing else was delivered meanwhile\n"),
        (SuspendWhen::Dead, 410, "because        it answered 410: gone for good\n"),
    ] {
        let mut office = office(rule, status);
        office.publish(&ALL);
        let mail = office.mail("is SUSPENDED");
        says(&mail, &[because, "failed         1 delivery since its last success, not replayed\n"]);
    }
}

#[test]
fn a_warning_says_that_an_arrival_meanwhile_keeps_the_webhook_active_where_it_does() {
    for (rule, follows) in [
        (SuspendWhen::Any, "3 times of 5.\nWhen all have failed it is suspended.\n"),
        (
            SuspendWhen::Dead,
            "3 times of 5.\nWhen all have failed it is suspended,\nunless another delivery has arrived meanwhile.\n",
        ),
    ] {
        let mut office = office(rule, 500);
        office.publish(&ALL[..2]);
        says(&office.mail("is failing"), &[follows]);
    }
}

#[test]
fn a_mail_about_a_task_that_was_given_up_says_that_the_webhook_stays_active() {
    let mut office = office(SuspendWhen::Any, 500);
    office.settle_a_task();
    let mail = office.mail("missed a delivery");
    says(
        &mail,
        &[
            "did not take a delivery, which was given up after 3 attempts.\nThe webhook stays active.\n",
            "failed         1 delivery since its last success, not replayed\n",
        ],
    );
    assert!(!mail.text().contains("esume"), "there is nothing to resume: {}", mail.text());
}

/// The lines of a mail that lead to this webhook's page, and the command that resumes it.
fn ways_to(office: &Office, webhook: &str) -> [String; 2] {
    let page = format!("http://{}/ui/webhooks/{webhook}", office.world.address());
    [format!("{page}\n\nThe webhook of "), format!("  ngoma webhooks resume {webhook}\n")]
}

#[test]
fn a_mail_leads_to_the_webhook_s_page_and_resumes_by_the_api_or_on_the_server() {
    let mut office = office(SuspendWhen::Any, 410);
    let webhook = office.publish(&[]);
    let mail = office.mail("is SUSPENDED");
    let [page, command] = ways_to(&office, &webhook);
    says(&mail, &[&page, "\n1 failed delivery is sent again:\n", "\nOr, in a shell on the server:\n", &command]);
}

#[test]
fn a_mail_about_held_deliveries_says_how_many_and_resumes_by_the_route_of_its_vendor() {
    let mut office = office(SuspendWhen::Any, 500);
    let webhook = office.settle_a_task();
    let paused = operator(&office.world).post(&format!("/ui/webhooks/{webhook}/pause"), &[]);
    assert_eq!(paused.status, 303);
    office.world.write(|tx| alerts::expiring(tx, 1, 2, START, Duration::from_secs(8 * 86_400))).expect("written");
    told(&office.world);
    let mail = office.mail("has deliveries that will be cancelled");
    let [page, command] = ways_to(&office, &webhook);
    says(
        &mail,
        &[
            &page,
            "is suspended, and 2 deliveries are held for it for long.\n",
            "\n1 failed delivery is sent again:\n",
            "    -d '{\"active\":true}'\n",
            &command,
            "\nTo leave the failed ones, add \"resend_failed\":false to the first line's JSON,\nor --leave-failed",
        ],
    );
}

#[test]
fn the_post_of_an_alert_has_the_address_of_the_page_too() {
    let own = Receiver::new();
    let world = World::with(|wish| {
        wish.config.alerts.webhook_url = own.url().into();
        wish.config.alerts.webhook_secret = "any text will do".to_owned().into();
        wish.config.server.public_url = "https://hooks.coop.example/".to_owned();
    });
    let (receiver, coop) = (Receiver::new(), world.coop());
    receiver.always(Reply::status(410));
    let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
    coop.publish("dds.filed", json!({}));
    told(&world);
    let data: Value = own.only().json()["data"].clone();
    assert_eq!(data["page"], format!("https://hooks.coop.example/ui/webhooks/{webhook}"));
}

#[test]
fn a_mail_begins_with_the_page_then_says_what_to_do_then_the_facts_and_commands_last() {
    let mut office = office(SuspendWhen::Any, 410);
    office.publish(&[]);
    let mail = office.mail("is SUSPENDED");
    let text = mail.text();
    let places = ["http://", "is SUSPENDED: nothing", "Repair the receiver", "  failing since", "  curl "];
    let places = places.map(|part| text.find(part).unwrap_or_else(|| panic!("no {part}: {text}")));
    assert!(places[0] == 0 && places.is_sorted(), "{places:?}: {text}");
}

#[test]
fn a_mail_has_times_of_the_readers_zone_beside_utc_and_their_reply_address() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut mailbox = Mailbox::within(folder.path());
    let world = world_with(&mailbox.url(), |wish| {
        wish.config.alerts.time_zone = "Africa/Kampala".to_owned();
        wish.config.alerts.reply_to = "Help desk <help@coop.example>".to_owned();
    });
    let (receiver, coop) = (Receiver::new(), world.coop());
    receiver.always(Reply::status(410));
    coop.webhook(&receiver.url(), &["*"], "s3cret");
    coop.publish("dds.filed", json!({}));
    told(&world);
    let mail = mailbox.wait_for(1).remove(0);
    let (reply_to, suspended) =
        (mail.header("Reply-To"), "suspended      2026-04-20 14:55:00 +03:00 (2026-04-20T11:55:00Z)\n");
    assert!(reply_to.ends_with("<help@coop.example>"), "{reply_to}");
    says(&mail, &[suspended, "\nTimes are those of Africa/Kampala; in brackets UTC.\n"]);
}

#[test]
fn webhooks_that_are_suspended_within_five_minutes_of_a_mail_share_the_next_one() {
    let mut office = office(SuspendWhen::Any, 410);
    let first = office.publish(&[]);
    office.mailbox.wait_for(1);
    // The second event suspends two more webhooks; a minute later a third one.
    let others = [
        office.coop.webhook(&office.receiver.url(), &["*"], "s"),
        office.coop.webhook(&office.receiver.url(), &["*"], "s"),
    ];
    office.coop.publish("dds.filed", json!({}));
    told(&office.world);
    advance(&office.world, "1m");
    let last = office.publish(&[]);
    advance(&office.world, "239s");
    assert_eq!(office.mailbox.mails().len(), 1, "the others wait for five minutes after the first mail");
    advance(&office.world, "1s");
    let mails = office.mailbox.wait_for(2);
    let (subject, text) = (mails[1].header("Subject"), mails[1].text());
    assert!(subject.ends_with("3 webhooks are SUSPENDED"), "{subject}");
    let page = format!("http://{}/ui/webhooks?state=suspended\n\n", office.world.address());
    assert!(text.starts_with(&page) && !text.contains(&first), "{text}");
    for webhook in others.iter().chain([&last]) {
        says(&mails[1], &[&format!("  webhook        {webhook}\n"), &format!("  ngoma webhooks resume {webhook}\n")]);
    }
    advance(&office.world, "1h");
    assert_eq!(office.mailbox.mails().len(), 2, "each is mailed once");
    // Later ones go at once again.
    office.publish(&[]);
    assert_eq!(office.mailbox.mails().len(), 3);
}

#[test]
fn a_webhook_that_was_suspended_or_warned_of_says_once_that_it_works_again() {
    let mut office = office(SuspendWhen::Any, 500);
    let webhook = office.publish(&ALL[..2]);
    office.mail("is failing");
    office.receiver.always(Reply::status(200));
    advance(&office.world, "30m");
    let mail = office.mail("works again");
    says(
        &mail,
        &[
            &webhook,
            "\nworks again: it has taken a delivery.\nNothing is left to do.\n",
            "works since    2026-04-20T12:30:30Z",
        ],
    );
    assert!(!mail.text().contains("curl"), "{}", mail.text());
    let number = office.mailbox.mails().len();
    office.coop.publish("dds.filed", json!({}));
    advance(&office.world, "1m");
    assert_eq!(office.mailbox.mails().len(), number, "once");
    // A failure of which nobody was told is no news when it ends.
    office.receiver.next([Reply::status(500)]);
    office.coop.publish("dds.filed", json!({}));
    advance(&office.world, "1m");
    assert_eq!(office.mailbox.mails().len(), number);
}
