//! The server's own certificate is watched: metrics, health, the System page, `ngoma check`, and the operator's alerts.

use std::{
    fs,
    io::Write,
    net::TcpListener,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use ngoma::{
    config::Secret,
    domain::{
        certificate::{Freshness, Life, Origin, ServedCertificate},
        operator_alert::About,
        timestamp::Timestamp,
    },
};
use serde_json::{Value, json};

use crate::{
    security::own_tls::{CLIENT, DAY, LOOKS, in_days, in_the_end, lead_on, shown},
    support::{
        client::Answer,
        curl::{Curl, free_port},
        database::query,
        leaks,
        mailbox::{Mail, Mailbox, advance, world_with},
        pebble::{LIFE, Own, Pebble},
        program::run,
        receiver::Receiver,
        site::SECRET,
        world::{Holder, Wish, World},
    },
};

const BOSS: &str = "boss@coop.example";
const EXPIRES: &str = "ngoma_certificate_expiration_timestamp_seconds";

/// How many alerts there are about this.
fn count(world: &World, about: About) -> i64 {
    query(world, &format!("SELECT count(*) FROM alert WHERE about = '{}'", about.name()))
}

/// Lets the server look after itself until there are this many alerts about this.
fn until_told(world: &World, about: About, times: i64) {
    in_the_end(|| {
        world.advance("1m");
        (count(world, about) == times).then_some(())
    });
}

/// Every mail, once one says that it is over; and their subjects about the certificate, each once.
fn mails_until_it_is_over(world: &World, mailbox: &mut Mailbox) -> (Vec<Mail>, Vec<String>) {
    // A mail that the steps of an hour have cut off is tried again after a while.
    let mails = in_the_end(|| {
        advance(world, "10s");
        let mails = mailbox.mails();
        mails.iter().any(|mail| mail.header("Subject").ends_with("is over")).then_some(mails)
    });
    let subjects = mails.iter().map(|mail| mail.header("Subject").to_owned());
    let of_both = |subject: &String| subject.contains("certificate") || subject.contains("is over");
    let mut subjects: Vec<String> = subjects.filter(of_both).collect();
    // Once a day, and days have gone by.
    subjects.sort();
    subjects.dedup();
    (mails, subjects)
}

/// What was said last about this.
fn said(world: &World, about: About) -> String {
    query(world, &format!("SELECT said FROM alert WHERE about = '{}' ORDER BY key DESC LIMIT 1", about.name()))
}

/// The answer to a request by TLS.
fn get(world: &World, roots: &Path, path: &str, headers: &[(&str, &str)]) -> Answer {
    let curl = Curl::new(&format!("https://localhost:{}", world.address().port()), roots, world.folder());
    curl.ask(CLIENT, path, headers, None)
}

/// The status of the health check, and of its part about the certificate, with what that says.
fn health(world: &World, roots: &Path) -> (u16, String, String) {
    let answer = get(world, roots, "/health/ready", &[]);
    let body: Value = serde_json::from_str(&answer.text).expect("JSON");
    let part = &body["parts"]["certificate"];
    let text = |field: &str| part[field].as_str().expect("a text").to_owned();
    (answer.status, text("status"), text("message"))
}

/// A page or a text of the operator's.
fn operators(world: &World, roots: &Path, path: &str, accept: &str) -> String {
    let token = format!("Bearer {}", world.token_for(Holder::Operator, "operator"));
    get(world, roots, path, &[("authorization", &token), ("accept", accept)]).text
}

/// The System page.
fn system_page(world: &World, roots: &Path) -> String {
    let form = format!("token={}", world.token_for(Holder::Operator, "operator"));
    let curl = Curl::new(&format!("https://localhost:{}", world.address().port()), roots, world.folder());
    let entered = curl.ask(CLIENT, "/ui/sign-in", &[("origin", &curl.base)], Some(form.as_bytes()));
    let cookie = entered.header("set-cookie").split(';').next().expect("a cookie").to_owned();
    leaks::secret(cookie.split('=').nth(1).expect("a value"));
    curl.ask(CLIENT, "/ui/system", &[("cookie", &cookie)], None).text
}

/// A world whose certificate is in files and holds from the first of these moments to the second. It is now.
fn world_of_files(own: &Own, (from, until): (Timestamp, Timestamp), change: impl FnOnce(&mut Wish)) -> World {
    let (chain, key) = own.certificate_of("own", from, until);
    let world = World::with(|wish: &mut Wish| {
        (wish.config.tls.certificate, wish.config.tls.key) = (chain, key);
        wish.now = in_days(0);
        change(wish);
    });
    world.settle();
    world
}

#[test]
fn a_certificate_that_ends_soon_is_a_warning_one_that_has_expired_is_not_ready_and_a_new_one_is_well() {
    let folder = tempfile::tempdir().expect("a folder");
    let (own, channel) = (Own::new(folder.path()), Receiver::new());
    let (roots, until) = (own.authority(), in_days(20));
    let world = world_of_files(&own, (in_days(0) - DAY * 80, until), |wish| {
        wish.config.alerts.webhook_url = Secret::from(channel.url());
        wish.config.alerts.webhook_secret = Secret::from(SECRET.to_owned());
    });
    let file = folder.path().join("own.pem").display().to_string();
    let (status, part, message) = health(&world, &roots);
    assert_eq!((status, part.as_str(), message), (200, "ok", format!("the certificate holds until {until}")));
    let page = system_page(&world, &roots);
    assert!(
        page.contains("<dt>Certificate</dt>") && page.contains(&file) && page.contains("ends in 19 d, at "),
        "{page}"
    );
    for format in ["text/plain", "application/openmetrics-text"] {
        let text = operators(&world, &roots, "/metrics", format);
        let line = text.lines().find(|line| line.starts_with(EXPIRES)).unwrap_or_else(|| panic!("{format}: {text}"));
        assert!(line.ends_with(&format!(" {}", until.unix_seconds())), "{format}: {line}");
    }

    world.clock.set(in_days(6) - DAY / 24);
    world.advance("1m");
    assert_eq!(health(&world, &roots).1, "ok", "14 days and an hour");
    assert_eq!(count(&world, About::Certificate), 0);
    world.clock.set(in_days(6) + DAY / 24);
    until_told(&world, About::Certificate, 1);
    assert_eq!(said(&world, About::Certificate), format!("{file}: the certificate ends soon, at {until}."));
    let (status, part, message) = health(&world, &roots);
    assert_eq!((status, part.as_str(), message), (200, "warning", format!("the certificate ends soon, at {until}")));
    for _ in 0..3 {
        world.advance("1h");
    }
    assert_eq!(count(&world, About::Certificate), 1, "it is said once, not each hour");

    world.clock.set(until);
    let (status, part, message) = health(&world, &roots);
    assert_eq!((status, part.as_str()), (503, "unavailable"));
    assert_eq!(message, format!("the certificate has expired, at {until}, and clients refuse it"));
    until_told(&world, About::Expired, 1);
    assert_eq!(count(&world, About::Certificate), 1);

    let next = in_days(400);
    own.certificate_of("own", in_days(0) - DAY, next);
    until_told(&world, About::Over, 2);
    let over = "SELECT group_concat(said, ' ') FROM alert WHERE about = 'server.recovered'";
    let over: String = query(&world, over);
    assert!(over.contains("This is over: there is no fresh certificate."), "{over}");
    assert!(over.contains("This is over: no client can connect: the certificate is not valid."), "{over}");
    assert_eq!(health(&world, &roots).1, "ok");
    advance(&world, "1s");
    let posts = channel.posts().into_iter().map(|post| post.json()["type"].as_str().expect("a type").to_owned());
    let posts: Vec<String> = posts.filter(|kind| kind != "server.backup_old").collect();
    assert_eq!(posts, ["server.certificate_old", "server.certificate_expired", "server.recovered", "server.recovered"]);
}

#[test]
fn new_files_that_cannot_be_used_are_told_and_they_are_read_again_whatever_of_them_changes() {
    let folder = tempfile::tempdir().expect("a folder");
    let own = Own::new(folder.path());
    let (roots, chain) = (own.authority(), folder.path().join("own.pem"));
    let world = world_of_files(&own, (in_days(0) - DAY, in_days(365)), |_| {});
    let first = shown(world.address().port(), &roots).expect("a certificate");
    let written = fs::metadata(&chain).and_then(|file| file.modified()).expect("its time");
    // A certificate is written, and its key only after it.
    let good = fs::read(folder.path().join("own.key")).expect("the key");
    own.certificate_of("own", in_days(0) - DAY, in_days(366));
    let next = fs::read(folder.path().join("own.key")).expect("the key");
    fs::write(folder.path().join("own.key"), &good).expect("written");
    until_told(&world, About::Certificate, 0);
    world.advance("1m");
    until_told(&world, About::Certificate, 1);
    let problem = said(&world, About::Certificate);
    assert!(problem.contains("the files of the next certificate cannot be used; the present one ends at"), "{problem}");
    assert!(problem.contains("certificate and key cannot be used together"), "{problem}");
    let pem = String::from_utf8(good).expect("a text");
    let line = pem.lines().nth(1).expect("a line of the key");
    assert!(!problem.contains(line), "{problem}");
    let (status, part, message) = health(&world, &roots);
    assert_eq!((status, part.as_str()), (200, "warning"), "{message}");
    assert!(!message.contains("own.pem") && message.ends_with(": the server's log says why"), "{message}");

    // The right key, with the date of the former one and its length.
    let key = fs::File::options().write(true).open(folder.path().join("own.key")).expect("the key");
    (&key).write_all(&next).expect("written");
    key.set_modified(written).expect("set");
    until_told(&world, About::Over, 1);
    assert_ne!(shown(world.address().port(), &roots), Some(first));
}

#[test]
fn a_renewal_that_fails_is_told_once_in_the_authority_s_words_and_then_that_the_certificate_is_fresh() {
    let (port, looked_at) = (free_port(), TcpListener::bind("127.0.0.1:0").expect("a port"));
    let mut pebble = Pebble::new(looked_at.local_addr().expect("bound").port());
    let (looks, leads_on) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(true)));
    let (counted, open) = (Arc::clone(&looks), Arc::clone(&leads_on));
    thread::spawn(move || {
        for stream in looked_at.incoming().flatten() {
            counted.fetch_add(1, Ordering::SeqCst);
            if open.load(Ordering::SeqCst) {
                lead_on(stream, port);
            }
        }
    });
    let folder = tempfile::tempdir().expect("a folder");
    let mut mailbox = Mailbox::within(folder.path());
    let world = world_with(&mailbox.url(), |wish| {
        wish.config.alerts.operator_email = BOSS.to_owned();
        wish.config.server.listen = ([127, 0, 0, 1], port).into();
        let tls = &mut wish.config.tls;
        tls.domains = vec!["localhost".to_owned()];
        (tls.directory, tls.extra_ca) = (pebble.directory(), pebble.trust.clone());
    });
    let roots = folder.path().join("first-root.pem");
    fs::copy(pebble.root(), &roots).expect("copied");
    let first = in_the_end(|| shown(port, &roots));

    // The authority remembers no name, and no longer finds the server. It gives longer certificates later.
    leads_on.store(false, Ordering::SeqCst);
    pebble.forget_and_give(4 * LIFE);
    let next = pebble.root();
    world.clock.set(in_days(LIFE * 2 / 3 + 1));
    let failed = |(_, part, message): (u16, String, String)| (part == "warning").then_some(message);
    let message = in_the_end(|| failed(health(&world, &roots)));
    assert!(message.contains("could not be renewed; it ends at") && message.contains("log says why"), "{message}");
    until_told(&world, About::Certificate, 1);
    let problem = said(&world, About::Certificate);
    for words in
        ["localhost: the certificate could not be renewed", "The authority said: ", "does localhost lead to this"]
    {
        assert!(problem.contains(words), "{words}: {problem}");
    }
    let page = system_page(&world, &roots);
    assert!(page.contains("The authority said: "), "{page}");
    let tries = looks.load(Ordering::SeqCst) + 2 * LOOKS;
    in_the_end(|| {
        world.advance("5m");
        assert_eq!(health(&world, &roots).1, "warning");
        (looks.load(Ordering::SeqCst) > tries).then_some(())
    });
    assert_eq!(count(&world, About::Certificate), 1, "it is said once, not at each try");

    leads_on.store(true, Ordering::SeqCst);
    in_the_end(|| {
        world.advance("1h");
        shown(port, &next).filter(|shown| *shown != first)
    });
    until_told(&world, About::Over, 1);
    let (mails, subjects) = mails_until_it_is_over(&world, &mut mailbox);
    assert_eq!(subjects, ["[Ngoma] a problem of the server is over", "[Ngoma] there is no fresh certificate"]);
    let problem = mails.iter().find(|mail| mail.header("Subject").ends_with(&subjects[1])).expect("a mail");
    assert_eq!(problem.get("to"), &json!([BOSS]));
    assert!(problem.text().contains("The authority said: "), "{}", problem.text());
}

#[test]
fn the_end_is_soon_fourteen_days_before_and_of_a_short_life_when_half_of_the_renewal_s_time_is_over() {
    let from = in_days(0);
    for (hours, left) in [(365 * 24, 14 * 24), (90 * 24, 14 * 24), (48 * 24, 8 * 24), (160, 27), (24, 4)] {
        let until = from + Duration::from_secs(hours * 3600);
        let served = ServedCertificate {
            name: "localhost".to_owned(),
            origin: Origin::Authority,
            life: Some(Life { from, until }),
            failed: None,
        };
        let before = |hours: u64| served.freshness(until - Duration::from_secs(hours * 3600));
        assert_eq!((before(left), before(left - 1)), (Freshness::Fresh, Freshness::Stale), "of {hours} hours");
        let renewed = served.renewed_from().expect("by itself");
        assert_eq!(served.freshness(renewed), Freshness::Fresh, "when it is renewed: {hours} hours");
    }
}

#[test]
fn a_check_says_until_when_the_certificate_holds_and_which_one_no_start_could_use() {
    let folder = tempfile::tempdir().expect("a folder");
    let own = Own::new(folder.path());
    let (_, until) = (own.certificate_of("good", in_days(0) - DAY, in_days(365)), in_days(365));
    own.certificate_of("old", in_days(0) - DAY * 99, in_days(0) - DAY);
    let check = |name: &str, more: &[&str]| {
        let text = format!("[tls]\ncertificate = \"{name}.pem\"\nkey = \"{name}.key\"\n");
        fs::write(folder.path().join("config.toml"), text).expect("written");
        run(folder.path(), &[&["check"], more].concat())
    };
    let (code, out, err) = check("good", &[]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("good.pem: the certificate holds until ") && !out.contains("warning"), "{out}");
    let (_, out, _) = check("good", &["--json"]);
    let found: Value = serde_json::from_str(&out).expect("JSON");
    let day = until.to_string()[..10].to_owned();
    assert!(found["certificate"]["valid_until"].as_str().is_some_and(|at| at.starts_with(&day)), "{found}");
    let (code, out, _) = check("old", &[]);
    assert_eq!(code, 0, "a start would use it: {out}");
    assert!(out.contains("warning   ") && out.contains("the certificate has expired, at"), "{out}");
    own.certificate_of("early", in_days(10), in_days(365));
    let (code, out, _) = check("early", &[]);
    assert!(code == 0 && out.contains("warning   ") && out.contains("until then clients refuse it"), "{out}");
    // As private authorities give to devices.
    let last = Timestamp::parse("9999-12-31T23:59:59Z").expect("a time");
    own.certificate_of("device", in_days(0) - DAY, last);
    let (code, out, _) = check("device", &[]);
    assert!(code == 0 && out.contains("the certificate holds until 9999-12-31"), "{out}");
    let domains =
        "[tls]\ndomains = [\"localhost\", \"hooks.coop.example\"]\ncertificate = \"good.pem\"\nkey = \"good.key\"\n";
    fs::write(folder.path().join("config.toml"), domains).expect("written");
    let (code, _, err) = run(folder.path(), &["check"]);
    assert!(code == 1 && err.contains("the certificate is not for hooks.coop.example (tls.domains)"), "{err}");
    let (code, _, err) = check("nowhere", &[]);
    assert!(code == 1 && err.contains("tls.certificate: ") && err.contains("cannot be read"), "{err}");
}
