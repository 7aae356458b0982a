//! Where alerts are mailed to: given, corrected, tried and taken away from the command line, beside a server.

use std::{fs, sync::mpsc, thread, time::Duration};

use serde_json::json;

use super::{channels::raise, mail::suspend_of};
use crate::support::{
    browser::operator,
    mailbox::{Mailbox, advance, outbox, told, world_with},
    program::run,
    receiver::{PATIENCE, Receiver, Reply},
    world::{COOP, OTHER_COOP, World},
};

const OPERATOR: &str = "operator@coop.example";

/// A world that mails to this server, as do the commands beside it.
fn world_beside(mailbox: &Mailbox) -> World {
    let world = world_with(&mailbox.url(), |_| {});
    let settings = format!("[alerts]\nsmtp_url = \"{}\"\nfrom = \"ngoma@coop.example\"", mailbox.url());
    fs::write(world.folder().join("config.toml"), settings).expect("a config");
    world
}

#[track_caller]
fn account(world: &World, arguments: &[&str]) -> String {
    let (code, out, err) = run(world.folder(), &[&["account"], arguments].concat());
    assert_eq!(code, 0, "{err}");
    out
}

#[track_caller]
fn refusal(world: &World, arguments: &[&str]) -> String {
    let (code, out, err) = run(world.folder(), &[&["account"], arguments].concat());
    assert_eq!((code, out.as_str()), (1, ""), "{arguments:?}");
    assert!(err.lines().last().is_some_and(|line| line.starts_with("ngoma: ")), "{err}");
    err
}

#[test]
fn a_corrected_address_gets_the_mails_that_could_not_be_delivered() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut mailbox = Mailbox::within(folder.path());
    mailbox.order("say 550 no such user");
    let world = world_beside(&mailbox);
    let receiver = Receiver::new();
    receiver.always(Reply::status(410));
    let coop = world.coop();
    coop.webhook(&receiver.url(), &["*"], "s");
    coop.publish("dds.filed", json!({}));
    told(&world);
    let said = account(&world, &["set", COOP, "--alert-email", "right@coop.example"]);
    assert!(said.contains("right@coop.example") && said.contains("account test-mail"), "{said}");
    mailbox.order("take");
    advance(&world, "5s");
    assert_eq!(mailbox.mails()[0].get("to"), &json!(["right@coop.example"]));
    account(&world, &["set", COOP, "--no-alert-email"]);
    let listed = account(&world, &["list", "--json"]);
    assert!(!listed.contains("@coop.example"), "{listed}");
    let entries = world.operator().get("/operator/audit?action=account.changed").expect(200)["entries"].clone();
    let told = |place: usize| ["actor", "subject", "note"].map(|field| entries[place][field].clone());
    assert_eq!(told(1), ["command line", COOP, "alert e-mail"]);
    assert_eq!(told(0), ["command line", COOP, "no alert e-mail"]);
    assert!(!entries.to_string().contains("right"), "an address is nobody else's business");
    let nobody = refusal(&world, &["set", "NOBODY", "--no-alert-email"]);
    assert!(nobody.contains("NOBODY"), "{nobody}");
    let (code, _, wrong) = run(world.folder(), &["account", "set", COOP, "--alert-email", "ops@coop..example"]);
    assert!(code == 2 && wrong.contains("'ops@coop..example'"), "{code}: {wrong}");
    for wrong in [&["account", "set", COOP][..], &["account", "set", COOP, "--alert-email", "a@b", "--no-alert-email"]]
    {
        assert_eq!(run(world.folder(), wrong).0, 2, "{wrong:?}");
    }
}

#[test]
fn a_test_mail_says_that_mail_works_or_why_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut mailbox = Mailbox::within(folder.path());
    let world = world_beside(&mailbox);
    let said = account(&world, &["test-mail", COOP]);
    assert!(said.contains("ops@coop.example"), "{said}");
    let mail = mailbox.mails().remove(0);
    assert_eq!(
        (mail.get("to"), mail.header("Subject")),
        (&json!(["ops@coop.example"]), "[Ngoma] a test: alerts arrive here")
    );
    mailbox.order("say 550 no such user");
    let said = refusal(&world, &["test-mail", COOP]);
    assert!(said.contains("550") && said.contains("no such user"), "{said}");
    let said = refusal(&world, &["test-mail", OTHER_COOP]);
    assert!(said.contains("has no alert e-mail") && said.contains("account set"), "{said}");
    let nobody = refusal(&world, &["test-mail", "NOBODY"]);
    assert!(nobody.contains("no account NOBODY"), "{nobody}");
    fs::write(world.folder().join("config.toml"), "").expect("a config");
    assert!(refusal(&world, &["test-mail", COOP]).contains("set alerts.smtp_url"));
}

#[test]
fn a_test_of_mail_answers_within_20_seconds_also_if_the_mail_server_does_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut mailbox = Mailbox::within(folder.path());
    mailbox.order("hang");
    let world = world_with(&mailbox.url(), |wish| wish.config.alerts.operator_email = OPERATOR.to_owned());
    let browser = operator(&world);
    let (tell, told) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| tell.send(browser.post("/ui/system/test-channel", &[("channel", "mail")])));
        mailbox.wait_for_tries(1);
        world.move_clock(Duration::from_secs(19));
        assert!(told.try_recv().is_err(), "it waits");
        world.move_clock(Duration::from_secs(1));
        let answer = told.recv_timeout(PATIENCE);
        // One that waits as long as for an alert ends here.
        world.move_clock(Duration::from_secs(300));
        let answer = answer.expect("an answer");
        assert!(answer.status == 503 && answer.text.contains("did not take it within 20s"), "{}", answer.text);
    });
}

#[test]
fn alerts_wait_while_the_operator_s_address_is_taken_out_of_the_settings() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut mailbox = Mailbox::within(folder.path());
    mailbox.order("say 451 not now");
    let mut world = world_with(&mailbox.url(), |wish| wish.config.alerts.operator_email = OPERATOR.to_owned());
    raise(&world, "It has 2 GB.");
    suspend_of(&world, OTHER_COOP);
    told(&world);
    world.stop();
    let address = std::mem::take(&mut world.config.alerts.operator_email);
    world.start();
    told(&world);
    for (kind, reason) in [
        ("operator", "alerts.operator_email is empty now"),
        ("suspended", "neither the account nor alerts.operator_email has an address now"),
    ] {
        let waits = format!("channel = 'mail' AND kind = '{kind}' AND due_at IS NOT NULL");
        assert_eq!(outbox::<i64>(&world, "count(*)", &waits), 1, "{kind}");
        assert_eq!(outbox::<String>(&world, "last_error", &waits), reason);
    }
    world.stop();
    world.config.alerts.operator_email = address;
    mailbox.order("take");
    world.start();
    told(&world);
    let mails = mailbox.mails();
    assert!(mails.len() == 2 && mails.iter().all(|mail| mail.get("to") == &json!([OPERATOR])), "{mails:?}");
}
