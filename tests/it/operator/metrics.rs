//! `/metrics`: the metrics have the right values, Prometheus reads them, and the guide lists their names.

use std::{collections::BTreeMap, fs, pin::Pin, sync::mpsc, time::Duration};

use ngoma::{
    domain::audit::Actor,
    store::{Admission, erase},
};
use serde::Deserialize;
use serde_json::json;

use crate::program::readme::{chapter, chapters, readme};
use crate::support::{
    client::Client,
    other_programs::{ask, prometheus},
    receiver::{PATIENCE, Receiver, Reply},
    world::{COOP, CUSTOMER, Holder, Wish, World},
    writer::{hold_writer, poll},
};

#[derive(Debug, Deserialize)]
struct Family {
    name: String,
    r#type: String,
    unit: String,
    help: String,
    samples: Vec<Sample>,
}

#[derive(Debug, Deserialize)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: String,
}

/// The metrics as Prometheus reads them.
struct Figures(Vec<Family>);

impl Figures {
    fn of(client: &Client) -> Self {
        let answer = client.get("/metrics");
        assert_eq!(answer.status, 200, "{}", answer.text);
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        assert_eq!(answer.header("content-type"), kind);
        let read = ask(prometheus(), answer.text.into_bytes());
        Self(serde_json::from_slice(&read).expect("what it read"))
    }

    /// The value of a sample, written as `name{label=value,..}` with its labels in the order of their names.
    #[track_caller]
    fn value(&self, wanted: &str) -> f64 {
        let written = |sample: &Sample| {
            let labels: Vec<String> = sample.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
            if labels.is_empty() { sample.name.clone() } else { format!("{}{{{}}}", sample.name, labels.join(",")) }
        };
        let all = || self.0.iter().flat_map(|family| &family.samples);
        let found = all().find(|sample| written(sample) == wanted);
        let found = found.unwrap_or_else(|| panic!("no {wanted}: {:#?}", all().map(written).collect::<Vec<_>>()));
        found.value.parse().expect("a number")
    }

    #[track_caller]
    fn are(&self, expected: &[(&str, f64)]) {
        for (wanted, value) in expected {
            assert_eq!(self.value(wanted), *value, "{wanted}");
        }
    }
}

fn operator(world: &World) -> Client {
    world.client(&world.token_for(Holder::Operator, "operator"))
}

fn task(id: &str) -> serde_json::Value {
    json!({ "event": "task.settled", "task_id": id, "consensus_label": "cat", "confidence": 1.0, "bsv_txid": "x",
            "settled_at": "2026-04-08T21:05:00Z" })
}

#[test]
fn the_figures_tell_what_happened_to_whoever_reads_as_prometheus_does() {
    let world = World::new();
    let (coop, customer, operator) = (world.coop(), world.customer(), operator(&world));
    let (well, badly) = (Receiver::new(), Receiver::new());
    badly.always(Reply::status(500));
    coop.webhook(&well.url(), &["dds.*"], "s");
    let failing = coop.webhook(&badly.url(), &["batch.exported"], "s");
    for number in 0..3 {
        coop.publish("dds.filed", json!({ "number": number }));
    }
    coop.post("/events/batch", json!({ "events": vec![json!({ "event": "dds.filed", "data": {} }); 40] })).expect(202);
    coop.publish("batch.exported", json!({}));
    customer.post("/v1/events", task("t")).expect(202);
    coop.post("/events", json!({ "event": "no.such", "data": {} })).expect(422);
    world.settle();
    coop.send("POST", &format!("/webhooks/{failing}/test"), &[], None).expect(200);
    // The delivery is tried again after 30 s. Then the webhook is paused, and new deliveries are held.
    world.advance("30s");
    coop.patch(&format!("/webhooks/{failing}"), json!({ "status": "SUSPENDED" })).expect(200);
    coop.publish("batch.exported", json!({}));
    world.settle();
    let figures = Figures::of(&operator);
    figures.are(&[
        ("ngoma_events_accepted_total{profile=asilichain}", 45.0),
        ("ngoma_events_accepted_total{profile=asg}", 1.0),
        ("ngoma_attempts_total{outcome=delivered,profile=asilichain}", 43.0),
        ("ngoma_attempts_total{outcome=status,profile=asilichain}", 2.0),
        ("ngoma_attempts_total{outcome=timeout,profile=asilichain}", 0.0),
        ("ngoma_attempts_total{outcome=delivered,profile=asg}", 0.0),
        ("ngoma_attempt_seconds_count{profile=asilichain}", 45.0),
        // The second attempt at a delivery waited for its turn, not in the queue.
        ("ngoma_queue_wait_seconds_count{profile=asilichain}", 44.0),
        ("ngoma_publish_seconds_count{form=publish}", 6.0),
        ("ngoma_publish_seconds_count{form=batch}", 1.0),
        ("ngoma_requests_total{class=2xx,what=publish}", 6.0),
        ("ngoma_requests_total{class=4xx,what=publish}", 1.0),
        ("ngoma_requests_total{class=2xx,what=batch}", 1.0),
        ("ngoma_requests_total{class=2xx,what=manage}", 4.0),
        ("ngoma_requests_total{class=5xx,what=publish}", 0.0),
        ("ngoma_survey_failed", 0.0),
        ("ngoma_deliveries{state=pending}", 0.0),
        ("ngoma_deliveries{state=claimed}", 0.0),
        ("ngoma_deliveries{state=held}", 2.0),
        // A test that failed counts nowhere.
        ("ngoma_deliveries{state=exhausted}", 0.0),
        ("ngoma_webhooks{profile=asilichain,state=active}", 1.0),
        ("ngoma_webhooks{profile=asilichain,state=suspended}", 0.0),
        ("ngoma_webhooks{profile=asilichain,state=paused}", 1.0),
        ("ngoma_oldest_due_seconds", 0.0),
        ("ngoma_attempts_in_flight", 0.0),
        ("ngoma_alerts_unsent", 0.0),
        ("ngoma_clock_steps_total", 0.0),
        (&format!("ngoma_build_info{{version={}}}", env!("CARGO_PKG_VERSION")), 1.0),
    ]);
    let commits = figures.value("ngoma_commit_seconds_count");
    assert!(commits > 10.0 && figures.value("ngoma_commit_writes_sum") >= commits);
    for name in ["ngoma_database_bytes", "ngoma_wal_bytes", "ngoma_disk_free_bytes", "process_resident_memory_bytes"] {
        assert!(figures.value(name) > 1000.0, "{name}");
    }
    assert!(figures.value("process_open_fds") > 3.0 && figures.value("process_cpu_seconds_total") > 0.0);
}

#[test]
fn what_waits_is_shown_with_how_long_it_has() {
    let world = World::new();
    let (coop, operator) = (world.coop(), operator(&world));
    let receiver = Receiver::new();
    receiver.next([Reply::Gate(200)]);
    coop.webhook(&receiver.url(), &["*"], "s");
    // A new webhook has one place: the second waits for it.
    coop.publish("dds.filed", json!({}));
    coop.publish("dds.filed", json!({}));
    receiver.wait_for(1);
    world.until_heard(|| world.move_clock(Duration::from_secs(90)));
    Figures::of(&operator).are(&[
        ("ngoma_attempts_in_flight", 1.0),
        ("ngoma_deliveries{state=claimed}", 1.0),
        ("ngoma_deliveries{state=pending}", 1.0),
        ("ngoma_oldest_due_seconds", 90.0),
    ]);
    receiver.open_gate();
    world.advance("10s");
    let figures = Figures::of(&operator);
    figures.are(&[("ngoma_deliveries{state=pending}", 0.0), ("ngoma_oldest_due_seconds", 0.0)]);
    let waited = figures.value("ngoma_queue_wait_seconds_sum{profile=asilichain}");
    assert!((90.0..101.0).contains(&waited), "{waited} s: the first at once, the second 90 s later or more");
    figures.are(&[
        ("ngoma_queue_wait_seconds_bucket{le=0.5,profile=asilichain}", 1.0),
        ("ngoma_queue_wait_seconds_bucket{le=120.0,profile=asilichain}", 2.0),
    ]);
}

#[test]
fn the_database_is_looked_through_for_figures_every_ten_seconds_at_most() {
    let world = World::new();
    let (coop, operator) = (world.coop(), operator(&world));
    let webhooks = || Figures::of(&operator).value("ngoma_webhooks{profile=asilichain,state=active}");
    assert_eq!(webhooks(), 0.0);
    let webhook = coop.webhook("http://127.0.0.1:1/", &["*"], "s");
    assert_eq!(webhooks(), 0.0, "as it was seen less than ten seconds ago");
    world.advance("10s");
    assert_eq!(webhooks(), 1.0);
    coop.delete(&format!("/webhooks/{webhook}")).expect(204);
    world.advance("10s");
    assert_eq!(webhooks(), 0.0, "and it goes when it is deleted");
}

#[test]
fn batches_that_wait_in_the_writer_s_own_hands_are_among_what_waits() {
    let world = World::new();
    let operator = operator(&world);
    world.settle();
    let (begun, begins) = mpsc::channel();
    let (open, gate) = mpsc::channel::<()>();
    let (open_writer, held) = hold_writer(world.db());
    let first = world.db().write(Actor::Engine, Admission::Batch, move |_| {
        begun.send(()).expect("the story waits");
        // Opened, or the story has gone.
        let _ = gate.recv_timeout(PATIENCE);
        Ok(())
    });
    let mut batches: Vec<Pin<Box<dyn Future<Output = _>>>> = vec![Box::pin(first)];
    for _ in 0..2 {
        batches.push(Box::pin(world.db().write(Actor::Engine, Admission::Batch, |_| Ok(()))));
    }
    assert!(batches.iter_mut().all(|batch| poll(Pin::new(batch)).is_pending()), "three wait");
    drop(open_writer);
    held.join().expect("no panic");
    begins.recv_timeout(PATIENCE).expect("the first is written");
    let waiting = Figures::of(&operator).value("ngoma_writer_waiting");
    drop(open);
    batches.into_iter().for_each(|batch| world.block_on(batch).expect("written"));
    // The use of the operator's token may be noted meanwhile.
    assert!((2.0..=3.0).contains(&waiting), "{waiting} wait");
    world.advance("10s");
    Figures::of(&operator).are(&[("ngoma_writer_waiting", 0.0)]);
}

#[test]
fn webhooks_of_a_profile_whose_last_account_was_erased_are_none() {
    let world = World::new();
    let operator = operator(&world);
    world.coop().webhook("http://127.0.0.1:1/", &["*"], "s");
    world.customer().post("/v1/webhooks", json!({ "callback_url": "http://127.0.0.1:1/" })).expect(201);
    let webhooks =
        |profile: &str| Figures::of(&operator).value(&format!("ngoma_webhooks{{profile={profile},state=active}}"));
    assert_eq!((webhooks("asg"), webhooks("asilichain")), (1.0, 1.0));
    world.write(|tx| erase::begin(tx, CUSTOMER)).expect("it is erased");
    world.advance("10s");
    assert_eq!((webhooks("asg"), webhooks("asilichain")), (0.0, 1.0));
}

#[test]
fn what_is_in_memory_is_shown_while_the_database_cannot_be_read() {
    let world = World::new();
    let (coop, operator) = (world.coop(), operator(&world));
    coop.publish("dds.filed", json!({}));
    let conn = rusqlite::Connection::open(world.database()).expect("the file");
    conn.execute_batch("ALTER TABLE alert_delivery RENAME TO gone").expect("a fault");
    let accepted = "ngoma_events_accepted_total{profile=asilichain}";
    Figures::of(&operator).are(&[("ngoma_survey_failed", 1.0), (accepted, 1.0)]);
    conn.execute_batch("ALTER TABLE gone RENAME TO alert_delivery").expect("mended");
    world.advance("10s");
    Figures::of(&operator).are(&[("ngoma_survey_failed", 0.0), (accepted, 1.0)]);
}

#[test]
fn an_attempt_that_a_crash_cuts_off_is_counted_at_the_next_start() {
    let mut world = World::new();
    let receiver = Receiver::new();
    receiver.next([Reply::Hang]);
    world.coop().webhook(&receiver.url(), &["*"], "s");
    world.coop().publish("dds.filed", json!({}));
    receiver.wait_for(1);
    world.crash_during(&receiver);
    world.start();
    world.settle();
    Figures::of(&operator(&world)).are(&[
        ("ngoma_attempts_total{outcome=interrupted,profile=asilichain}", 1.0),
        ("ngoma_attempts_total{outcome=delivered,profile=asilichain}", 1.0),
        ("ngoma_attempt_seconds_count{profile=asilichain}", 1.0),
    ]);
}

#[test]
fn figures_are_the_operator_s_unless_the_config_shows_them_to_all() {
    let world = World::new();
    assert_eq!(world.stranger().get("/metrics").code(401), "UNAUTHORIZED");
    assert_eq!(world.coop().get("/metrics").code(403), "FORBIDDEN");
    assert_eq!(operator(&world).get("/metrics").status, 200);
    let world = World::with(|wish: &mut Wish| wish.config.watch.metrics_public = true);
    for client in [world.stranger(), world.coop(), world.client("nonsense")] {
        assert_eq!(client.get("/metrics").status, 200);
    }
}

#[test]
fn no_figure_names_an_account_a_webhook_or_a_url() {
    let world = World::new();
    let (coop, customer, operator) = (world.coop(), world.customer(), operator(&world));
    let receiver = Receiver::new();
    let webhook = coop.webhook(&format!("{}/secret-path", receiver.url()), &["*"], "s");
    customer.post("/v1/webhooks", json!({ "callback_url": receiver.url() })).expect(201);
    coop.publish("dds.filed", json!({}));
    customer.post("/v1/events", task("t")).expect(202);
    coop.get("/webhooks/anything-at-all");
    world.settle();
    let text = operator.get("/metrics").text;
    for word in [COOP, CUSTOMER, &webhook, "secret-path", "127.0.0.1", "anything", "dds.filed"] {
        assert!(!text.contains(word), "{word}: {text}");
    }
    assert!(text.lines().count() < 400, "{} lines", text.lines().count());
}

#[test]
fn the_guide_lists_every_figure_and_no_other() {
    let world = World::new();
    let is_other = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    let (monitoring, others) = (chapter("monitoring"), [vec![readme()], chapters()].concat().join("\n"));
    let words: Vec<&str> = monitoring.split(is_other).collect();
    let backups = world.database().with_file_name("backups");
    fs::create_dir(&backups).expect("a folder");
    let backup = backups.join("2026-04-20T11-55-00Z.db");
    world.db().back_up(&world.config.storage, &backup, drop).expect("a backup");
    let figures = Figures::of(&operator(&world));
    let mut names = Vec::new();
    for family in &figures.0 {
        assert!(
            family.help.len() > 10 && (family.unit.is_empty() || family.name.ends_with(&family.unit)),
            "{family:?}"
        );
        let suffix = match family.r#type.as_str() {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        let name = format!("{}{suffix}", family.name);
        assert!(words.contains(&name.as_str()), "the guide does not list {name}");
        names.push(name);
    }
    let begins = |word: &str| {
        let rest = word.strip_prefix("ngoma_").or_else(|| word.strip_prefix("process_"));
        // Not the version in the name of a package.
        rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))
    };
    // A module of Python, and what only a server with TLS or a limit has: see `security::own_tls_watched`.
    let elsewhere = ["ngoma_client", "ngoma_certificate_", "ngoma_database_limit_"];
    let is_figure = |word: &&&str| begins(word) && !elsewhere.iter().any(|other| word.starts_with(other));
    for listed in others.split(is_other).collect::<Vec<_>>().iter().filter(|word| is_figure(word)) {
        assert!(names.iter().any(|name| name == listed), "the guide lists {listed}, which is no figure");
    }
}
