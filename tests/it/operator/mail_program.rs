//! Alerts by mail from the built program: after a kill, by TLS with a password, and no password in any output.

use std::{fs, path::Path};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::{Value, json};

use crate::support::{
    client::Client,
    leaks::{self, forms},
    mailbox::Mailbox,
    program::{finish, run},
    receiver::{Receiver, Reply},
    site::{Server, Site},
    world::defaults,
};

const OWNER: &str = "COOP-OWNER";
const PASSWORD: &str = "pa:ss w@rd/that-is+long enough%";
const SECRET: &str = "whsec_x3Bnq0hUu2dW8mJk5rTzYvE7aLsNcQ1pGf4iXo9DRtM=";

/// A site whose alerts are mailed by this URL, and the token of a cooperative that has an address.
fn site(smtp_url: &str) -> (Site, String) {
    let mut site = Site::new();
    site.set("ALERTS__SMTP_URL", smtp_url).set("ALERTS__FROM", "ngoma@coop.example");
    let create = ["account", "create", "--profile", "asilichain", "--id", OWNER, "--alert-email", "ops@coop.example"];
    assert_eq!(run(site.folder(), &create).0, 0);
    let create = ["token", "create", "--account", OWNER, "--scope", "webhooks,events", "--json"];
    let made: Value = serde_json::from_str(&run(site.folder(), &create).1).expect("JSON");
    (site, made["token"].as_str().expect("a token").to_owned())
}

/// Suspends a webhook of the owner.
fn suspend(coop: &Client) -> Receiver {
    let receiver = Receiver::new();
    receiver.always(Reply::status(410));
    coop.post("/webhooks", json!({ "url": receiver.url(), "events": ["*"], "cooperative_id": OWNER })).expect(201);
    coop.post("/events", json!({ "event": "dds.filed", "data": {} })).expect(202);
    receiver.wait_for(1);
    receiver
}

/// Suspends a webhook of each of these accounts, which have an address: suspensions of one account share a mail.
fn suspend_each(site: &Site, server: &Server, accounts: usize) -> Vec<Receiver> {
    let of = |number: usize| {
        let id = format!("COOP-{number}");
        let create = ["account", "create", "--profile", "asilichain", "--id", &id, "--alert-email", "ops@coop.example"];
        assert_eq!(run(site.folder(), &create).0, 0);
        let create = ["token", "create", "--account", &id, "--scope", "webhooks,events", "--json"];
        let made: Value = serde_json::from_str(&run(site.folder(), &create).1).expect("JSON");
        let coop = server.client(made["token"].as_str().expect("a token"));
        let receiver = Receiver::new();
        receiver.always(Reply::status(410));
        coop.post("/webhooks", json!({ "url": receiver.url(), "events": ["*"], "cooperative_id": id })).expect(201);
        coop.post("/events", json!({ "event": "dds.filed", "data": {} })).expect(202);
        receiver.wait_for(1);
        receiver
    };
    (0..accounts).map(of).collect()
}

/// Waits until the alert is logged: then it is on disk, and its mail comes next.
fn decided(server: &Server) {
    server.running.error_with("webhook suspended");
}

#[test]
fn killed_while_the_mail_server_is_down_it_mails_once_at_a_later_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let mailbox = Mailbox::within(folder.path());
    let (site, token) = site(&mailbox.url());
    let back = mailbox.go_down();
    let server = site.start();
    let _gone = suspend(&server.client(&token));
    decided(&server);
    server.running.error_with("an alert waits");
    server.kill();
    let server = site.start();
    server.running.error_with("an alert waits");
    server.kill();
    let mut mailbox = back();
    let server = site.start();
    mailbox.wait_for(1);
    // A stop lets mails under way end: from here on their result is noted.
    server.stop();
    assert_eq!(
        site.look::<i64>("SELECT count(*) FROM alert_delivery WHERE channel = 'mail' AND told_at IS NOT NULL"),
        1
    );
    site.start().stop();
    site.start().kill();
    assert_eq!(mailbox.mails().len(), 1);
}

#[test]
fn killed_before_the_mail_server_says_yes_it_mails_again_under_the_same_message_id() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut mailbox = Mailbox::within(folder.path());
    mailbox.order("swallow");
    let (site, token) = site(&mailbox.url());
    let server = site.start();
    let _gone = suspend(&server.client(&token));
    mailbox.wait_for(1);
    server.kill();
    let server = site.start();
    mailbox.wait_for(2);
    server.kill();
    mailbox.order("take");
    let server = site.start();
    let mails = mailbox.wait_for(3);
    server.stop();
    let ids: Vec<&str> = mails.iter().map(|mail| mail.header("Message-ID")).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    site.start().stop();
    assert_eq!(mailbox.mails().len(), 3, "told is told");
}

#[test]
fn a_stop_while_mails_are_sent_loses_none_and_sends_none_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut mailbox = Mailbox::within(folder.path());
    let (site, _) = site(&mailbox.url());
    let server = site.start();
    let _gone = suspend_each(&site, &server, 8);
    mailbox.wait_for(1);
    server.stop();
    let before = mailbox.mails().len();
    let server = site.start();
    let mails = mailbox.wait_for(8);
    server.stop();
    let ids: std::collections::BTreeSet<&str> = mails.iter().map(|mail| mail.header("Message-ID")).collect();
    assert_eq!((ids.len(), mailbox.mails().len()), (8, 8), "{before} before the stop");
}

/// An authority, and a certificate of it for 127.0.0.1, as PEM files.
fn certificates(folder: &Path) -> [String; 3] {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "Own CA");
    let own = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate");
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
    let certificate = params.signed_by(&key, &own).expect("a certificate");
    let files = [("own.pem", own.as_ref().pem()), ("server.pem", certificate.pem()), ("key.pem", key.serialize_pem())];
    files.map(|(name, text)| {
        let file = folder.join(name);
        fs::write(&file, text).expect("written");
        file.to_str().expect("a path").to_owned()
    })
}

/// The password as it stands in a URL.
fn encoded() -> String {
    PASSWORD.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[test]
fn mail_goes_by_starttls_or_tls_after_signing_in_and_no_line_shows_password_or_secret() {
    leaks::secret(PASSWORD);
    leaks::secret(SECRET);
    let folder = tempfile::tempdir().expect("a folder");
    let [authority, certificate, key] = certificates(folder.path());
    for (scheme, query, wrapped) in [("smtp", "?tls=required", false), ("smtps", "", true)] {
        let _ = fs::remove_file(folder.path().join("mails.jsonl"));
        let options = ["--tls", &certificate, &key, "--sign-in", "ngoma@coop.example", PASSWORD];
        let wrap: &[&str] = if wrapped { &["--wrapped"] } else { &[] };
        let mut mailbox = Mailbox::with(folder.path(), &[&options[..], wrap].concat());
        let url = |password: &str| {
            format!("{scheme}://ngoma%40coop.example:{password}@127.0.0.1:{}/coop.example{query}", mailbox.port)
        };
        let own = Receiver::new();
        let (right, wrong) = (url(&encoded()), url("WRONG-BUT-LONG-ENOUGH"));
        let mut log = String::new();
        // With a wrong password, without the authority, and right.
        for (count, (url, trusted, says)) in
            [(&wrong, true, "refused the user name"), (&right, false, "invalid peer certificate"), (&right, true, "")]
                .into_iter()
                .enumerate()
        {
            let (mut site, token) = site(url);
            site.set("ALERTS__WEBHOOK_URL", &own.url()).set("ALERTS__WEBHOOK_SECRET", SECRET);
            if trusted {
                site.set("EGRESS__EXTRA_CA", &authority);
            }
            let server = site.start();
            let _gone = suspend(&server.client(&token));
            decided(&server);
            if says.is_empty() {
                let mail = mailbox.wait_for(1).remove(0);
                assert_eq!((mail.get("tls"), mail.get("signed_in")), (&json!(true), &json!(true)));
            } else {
                server.running.error_with(says);
            }
            own.wait_for(count + 1);
            log += &server.kill();
        }
        assert_eq!(mailbox.mails().len(), 1, "without trust, or with a wrong password, nothing is sent");
        assert!(log.matches("TRACE").count() > 100, "all is logged");
        for form in [PASSWORD, "WRONG-BUT-LONG-ENOUGH", SECRET].iter().flat_map(|secret| forms(secret)) {
            assert!(!log.contains(&form), "{form}");
        }
        assert!(!log.contains(&encoded()) && !log.contains("%40coop"), "the URL is not told either");
    }
}

#[test]
fn a_mail_server_that_says_a_line_without_end_is_left_before_it_takes_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let [authority, certificate, key] = certificates(folder.path());
    let tls: &[&str] = &["--tls", &certificate, &key, "--wrapped"];
    for (scheme, options) in [("smtp", &[][..]), ("smtps", tls)] {
        let mut mailbox = Mailbox::with(folder.path(), options);
        mailbox.order("endless");
        let (mut site, _) = site(&format!("{scheme}://127.0.0.1:{}", mailbox.port));
        site.set("EGRESS__EXTRA_CA", &authority);
        let (code, _, said) = finish(&mut site.command_of(&["account", "test-mail", OWNER]));
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("it said more than 128 KiB"), "{scheme}: {said}");
        // More than that is only in the buffers of the connection. With TLS the server's count has what it threw away too.
        let taken = mailbox.said();
        assert!(scheme == "smtps" || taken < 32 << 20, "{taken} bytes were taken");
    }
}

/// The sentence of `ngoma check` and of a start about these settings, which is the same.
#[track_caller]
fn refusal(settings: &[(&str, &str)]) -> String {
    let mut site = Site::new();
    for (name, value) in settings {
        site.set(name, value);
    }
    let says = |arguments: &[&str]| {
        let (code, _, err) = finish(&mut site.command_of(arguments));
        assert_eq!(code, 1, "{settings:?}: {err}");
        err
    };
    let (checked, served) = (says(&["check"]), says(&["serve"]));
    let last = |text: &str| text.lines().last().unwrap_or_default().to_owned();
    assert_eq!(last(&checked), last(&served));
    last(&served)
}

#[test]
fn unusable_settings_of_alerts_are_named_without_their_secrets() {
    let url = ("ALERTS__WEBHOOK_URL", "http://127.0.0.1:9/?token=s3cretquery");
    for (settings, says) in [
        (&[("ALERTS__FROM", "nobody")][..], "alerts.from is 'nobody'"),
        (&[("ALERTS__SMTP_URL", "mail.example s3cret")], "alerts.smtp_url"),
        (&[("ALERTS__SMTP_URL", "http://u:s3cret@mail.example")], "alerts.smtp_url"),
        (&[("ALERTS__SMTP_URL", "smtp://u:s3cret@mail.example")], "alerts.smtp_url cannot be used: a password"),
        (&[("ALERTS__SMTP_URL", "smtps://s3cret@mail.example")], "alerts.smtp_url"),
        (&[("ALERTS__SMTP_URL", "smtps://u:s3cret@")], "alerts.smtp_url"),
        (&[("ALERTS__SMTP_URL", "smtp://mail.example?tls=opportunistic")], "alerts.smtp_url"),
        (&[("ALERTS__SMTP_URL", "smtp://mail.example/a%0D%0Ab")], "alerts.smtp_url"),
        (&[("ALERTS__SMTP_URL", "[\"smtp://u:s3cret@mail.example\"]")], "alerts.smtp_url"),
        (&[("ALERTS__WEBHOOK_SECRET", "123454321")], "alerts.webhook_secret"),
        (&[url], "alerts.webhook_secret: expected"),
        (&[("ALERTS__WEBHOOK_URL", "ftp://mail.example/?s3cret")], "alerts.webhook_url"),
        (
            &[("ALERTS__WEBHOOK_URL", "http://169.254.169.254/s3cret"), ("ALERTS__WEBHOOK_SECRET", "a-s3cret")],
            "alerts.webhook_url: ",
        ),
        (&[("EGRESS__EXTRA_CA", "nowhere.pem")], "egress.extra_ca: nowhere.pem"),
        (&[("LOG__LEVEL", "ngoma=loud")], "log.level is 'ngoma=loud'"),
        (&[("ALERTS__WARN", "perhaps")], "alerts.warn"),
        (&[("SERVER__PUBLIC_URL", "https://hooks.example/'; rm -r ~ #")], "server.public_url"),
        (&[("SERVER__PUBLIC_URL", "hooks.example")], "server.public_url"),
    ] {
        let refusal = refusal(settings);
        assert!(refusal.contains(says), "{settings:?}: {refusal}");
        assert!(!refusal.contains("s3cret") && !refusal.contains("123454321"), "{refusal}");
    }
}

#[test]
fn a_setting_that_is_secret_is_never_shown() {
    let config = defaults();
    let mut config = config;
    let alerts = &mut config.alerts;
    let secrets =
        [&mut alerts.smtp_url, &mut alerts.webhook_url, &mut alerts.webhook_secret, &mut alerts.heartbeat_url];
    for secret in secrets {
        *secret = ngoma::config::Secret::from("s3cret".to_owned());
    }
    let shown = format!("{config:?}");
    assert_eq!((shown.contains("s3cret"), shown.matches("***").count()), (false, 4), "{shown}");
}
