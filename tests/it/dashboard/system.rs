//! The dashboard's system page: a backup and a test mail; and an account that reads its alerts.

use std::{fs, os::unix::fs::MetadataExt};

use ngoma::config::Secret;
use serde_json::json;

use crate::support::{
    browser::{of, operator},
    mailbox::Mailbox,
    receiver::{Receiver, Reply},
    world::{COOP, OTHER_COOP, World},
};

#[test]
fn a_backup_is_made_beside_the_database_and_the_page_shows_its_result() {
    let world = World::new();
    let browser = operator(&world);
    let folder = world.folder().join("backups");
    fs::create_dir(&folder).expect("a folder");
    // A stop has left these; the last are another's, which is at work.
    let [left, left_key, taken, taken_key] =
        ["2026-04-18T11-55-00Z.db.part", "2026-04-18T11-55-00Z.db.key.part", "b.db.part", "b.db.key.part"]
            .map(|name| folder.join(name));
    [&left, &left_key, &taken, &taken_key].iter().for_each(|part| fs::write(part, "part").expect("it is written"));
    let at_work = fs::File::open(&taken).expect("it is there");
    at_work.lock().expect("a lock");
    let begun = browser.post("/ui/system/backup", &[]);
    let page = || browser.follow(&begun).text;
    while page().contains("It is being made") {}
    let said = page();
    assert!(said.contains("and its key are made and checked"), "{said}");
    let mut names: Vec<String> = fs::read_dir(&folder)
        .expect("a folder")
        .flatten()
        .map(|file| file.file_name().into_string().expect("a name"))
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["2026-04-20T11-55-00Z.db", "2026-04-20T11-55-00Z.db.key", "b.db.key.part", "b.db.part"],
        "and what another was cut off from is gone"
    );
    assert!(browser.get("/ui/audit?action=database.backed_up").text.contains("2026-04-20T11-55-00Z.db"));

    browser.post("/ui/system/backup", &[]);
    while page().contains("It is being made") {}
    let said = page();
    assert!(said.contains("No backup was made") && said.contains("is there already"), "{said}");
    assert_eq!(of(&world, COOP, "webhooks").post("/ui/system/backup", &[]).status, 403);
}

#[test]
fn a_backup_at_the_dashboard_leaves_sqlite_its_lock_on_the_database() {
    let world = World::new();
    let browser = operator(&world);
    let file = fs::metadata(world.database()).expect("the database").ino();
    let locked = || {
        let locks = fs::read_to_string("/proc/locks").expect("every lock");
        locks.lines().any(|lock| lock.contains("POSIX") && lock.contains(&format!(":{file} ")))
    };
    assert!(locked(), "as long as a connection is open");
    let begun = browser.post("/ui/system/backup", &[]);
    while browser.follow(&begun).text.contains("It is being made") {}
    // It goes when the process closes the file by any other way than SQLite.
    assert!(locked(), "and still");
}

#[test]
fn a_test_mail_is_sent_from_the_page_and_why_it_was_not_is_said_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut mailbox = Mailbox::within(folder.path());
    let url = mailbox.url();
    let world = World::with(|wish| wish.config.alerts.smtp_url = Secret::from(url));
    let browser = operator(&world);
    let send = |to: &str| browser.post("/ui/alerts/test-mail", &[("to", to)]);
    let sent = send("ops@coop.example");
    assert!(browser.follow(&sent).text.contains("A test mail is sent"), "{}", sent.text);
    let mails = mailbox.wait_for(1);
    assert_eq!(mails[0].header("To"), "ops@coop.example");
    assert!(browser.get("/ui/audit").text.contains("mail.tested"));
    let refused = send("no address");
    assert!(
        refused.status == 400 && refused.text.contains("value=\"no address\""),
        "{} {}",
        refused.status,
        refused.text
    );
    drop(mailbox);
    let failed = send("ops@coop.example");
    assert!(failed.status >= 400 && failed.text.contains("role=\"alert\""), "{} {}", failed.status, failed.text);
    assert_eq!(of(&world, COOP, "webhooks").post("/ui/alerts/test-mail", &[("to", "x@y.example")]).status, 403);
}

#[test]
fn an_account_reads_its_own_alerts_and_nothing_of_the_operator_s_mail() {
    let world = World::with(|wish| {
        wish.config.alerts.smtp_url = Secret::from("smtp://127.0.0.1:1".to_owned());
    });
    let receiver = Receiver::new();
    receiver.always(Reply::status(410));
    let coop = world.coop();
    coop.webhook(&receiver.url(), &["*"], "s3cret");
    coop.publish("batch.exported", json!({}));
    world.settle();
    let own = of(&world, COOP, "webhooks").get("/ui/alerts").text;
    assert!(own.contains(&receiver.url()) && !own.contains("Send a test mail") && !own.contains("bad-text"), "{own}");
    assert!(!of(&world, OTHER_COOP, "webhooks").get("/ui/alerts").text.contains(&receiver.url()));
    assert!(operator(&world).get("/ui/alerts").text.contains("Send a test mail"));
}
