//! Kills and stops of the program, many times: each accepted event arrives, and nothing else does.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    sync::mpsc,
    thread,
};

use ngoma::domain::{ids::DeliveryId, signature::SigningSecret, timestamp::Timestamp};

use crate::support::{
    client::{Answer, Client},
    flaky_receiver::{Answered, Entry, FlakyReceiver, Random},
    receiver::PATIENCE,
    site::{SECRET, Server, Site, publish, publish_batch},
};

const PRODUCERS: usize = 4;
/// Events of a batch.
const BATCH: usize = 5;
/// The most that a kill may interrupt, under way or not written yet: `max_in_flight`, as these sites set it. The default
/// is more than one receiver gets, and so would show nothing.
const IN_FLIGHT: usize = 64;

/// A producer that publishes one event after another, and repeats an event without an answer by its key.
struct Producer {
    number: usize,
    sequence: usize,
    accepted: Vec<(String, String)>,
}

impl Producer {
    /// The keys of the next publish: every other producer publishes batches.
    fn keys(&self) -> Vec<String> {
        let events = if self.number.is_multiple_of(2) { 1 } else { BATCH };
        (0..events).map(|event| format!("{}-{}-{event}", self.number, self.sequence)).collect()
    }

    fn publish(&self, client: &Client) -> Result<Answer, ureq::Error> {
        match self.keys().as_slice() {
            [key] => publish(client, key),
            keys => publish_batch(client, keys),
        }
    }

    fn note(&mut self, answer: &Answer) {
        let body = answer.expect(202);
        let events = body["events"].as_array().cloned().unwrap_or_else(|| vec![body]);
        let events = events.iter().map(|event| event["event_id"].as_str().expect("an id").to_owned());
        self.accepted.extend(self.keys().into_iter().zip(events));
        self.sequence += 1;
    }

    /// Publishes until the server is gone, or refuses because it stops. Reports each event that was accepted.
    fn work(mut self, client: &Client, report: &mpsc::Sender<()>) -> Self {
        while let Ok(answer) = self.publish(client) {
            if answer.status == 503 {
                break;
            }
            self.note(&answer);
            self.keys().iter().for_each(|_| _ = report.send(()));
        }
        self
    }

    /// Publishes again each event that had no answer.
    fn finish(mut self, client: &Client) -> Self {
        let answer = self.publish(client).expect("the server answers");
        self.note(&answer);
        self
    }
}

/// A site, its producers and its receiver, over all rounds.
struct Ledger {
    site: Site,
    flaky: FlakyReceiver,
    producers: Vec<Producer>,
    random: Random,
}

impl Ledger {
    fn new(seed: u64) -> Self {
        let mut site = Site::new();
        site.set("DELIVERY__MAX_IN_FLIGHT", &IN_FLIGHT.to_string());
        let flaky = FlakyReceiver::new(seed, (60, 25));
        let server = site.start();
        server.coop().webhook(&flaky.url(), &["*"], SECRET);
        server.stop();
        let producers = (0..PRODUCERS).map(|number| Producer { number, sequence: 0, accepted: Vec::new() });
        Self { site, flaky, producers: producers.collect(), random: Random(seed) }
    }

    /// Starts the server, lets the producers publish until this many were accepted, then ends the server in this way.
    fn round(&mut self, accepted: u64, end: impl FnOnce(Server)) {
        let server = self.site.start();
        let (report, reports) = mpsc::channel();
        let workers: Vec<_> = self
            .producers
            .drain(..)
            .map(|producer| {
                let (client, report) = (server.coop(), report.clone());
                thread::spawn(move || producer.work(&client, &report))
            })
            .collect();
        for _ in 0..accepted {
            reports.recv_timeout(PATIENCE).expect("publishing goes on");
        }
        end(server);
        self.producers = workers.into_iter().map(|worker| worker.join().expect("no panic")).collect();
        self.flaky.next_round();
    }

    /// Lets the server run until nothing is left to do, and gives each event that was accepted, with its key.
    fn finish(&mut self) -> BTreeMap<String, String> {
        let server = self.site.start();
        let client = server.coop();
        let mut accepted = BTreeMap::new();
        for producer in self.producers.drain(..) {
            for (key, event) in producer.finish(&client).accepted {
                assert_eq!(accepted.insert(event, key), None, "two keys made one event");
            }
        }
        let keys: BTreeSet<&String> = accepted.values().collect();
        assert_eq!(keys.len(), accepted.len(), "a key made two events");
        self.flaky.wait_until("every event got a good answer", |entries| {
            let good = entries.iter().filter(|entry| entry.answered == Answered::Well);
            good.map(|entry| entry.post.header("webhook-id")).collect::<BTreeSet<_>>().len() >= accepted.len()
        });
        let open = "SELECT count(*) FROM delivery WHERE state IN ('pending', 'claimed')";
        for _ in 0..600 {
            if self.site.look::<usize>(open) == 0 {
                break;
            }
            self.flaky.wait_a_little();
        }
        server.stop();
        self.flaky.next_round();
        accepted
    }

    /// Compares accepted events, POSTs and the file. Gives how many came again after a good answer.
    fn settle_accounts(&self, accepted: &BTreeMap<String, String>) -> usize {
        let entries = self.flaky.entries();
        let mut deliveries: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
        for entry in &entries {
            let event = entry.post.header("webhook-id");
            let key = accepted.get(event).unwrap_or_else(|| panic!("{event} was never asked for"));
            assert_eq!(entry.post.json()["data"]["key"], **key, "{event} carries another event's data");
            check_signatures(entry);
            deliveries.entry(entry.post.header("ngoma-delivery")).or_default().push(entry);
        }
        let came: BTreeSet<&str> = entries.iter().map(|entry| entry.post.header("webhook-id")).collect();
        assert_eq!(came.len(), accepted.len(), "something accepted never came");
        assert_eq!(deliveries.len(), accepted.len(), "one delivery each: there is one webhook");
        let mut repeats: BTreeMap<usize, usize> = BTreeMap::new();
        for (delivery, entries) in &deliveries {
            for (round, attempt) in repeated(delivery, entries) {
                *repeats.entry(round).or_default() += 1;
                assert!(self.was_interrupted(delivery, attempt), "{delivery} came again after attempt {attempt}");
            }
        }
        for (round, count) in &repeats {
            assert!(
                *count <= IN_FLIGHT,
                "{count} came again after the kill of round {round}: more than were in flight"
            );
        }
        assert_eq!(self.site.look::<String>("PRAGMA integrity_check"), "ok");
        assert_eq!(self.site.count("delivered"), accepted.len(), "every delivery is known to have arrived");
        let wrong =
            "SELECT count(*) FROM delivery d WHERE attempts <> (SELECT count(*) FROM attempt WHERE delivery = d.key)
                     OR attempts <> (SELECT max(number) FROM attempt WHERE delivery = d.key)";
        assert_eq!(self.site.look::<usize>(wrong), 0, "each attempt is recorded once, from 1 on");
        repeats.values().sum()
    }

    /// Whether the result of this attempt could not be written: the one reason to repeat it after a good answer.
    fn was_interrupted(&self, delivery: &str, attempt: u32) -> bool {
        let id = DeliveryId::parse(delivery).expect("an id");
        let id: String = id.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let sql = format!(
            "SELECT count(*) FROM attempt JOIN delivery ON key = delivery
             WHERE id = x'{id}' AND number = {attempt} AND failure = 'interrupted'"
        );
        self.site.look::<usize>(&sql) == 1
    }
}

fn check_signatures(entry: &Entry) {
    let (post, secret) = (&entry.post, SigningSecret::parse(SECRET.to_owned()).expect("a secret"));
    let header = |name| post.header(name);
    assert!(secret.verifies_body(&post.body, header("x-asilichain-signature")), "{post:?}");
    let at = Timestamp::from_millis(header("webhook-timestamp").parse::<i64>().expect("seconds") * 1000);
    let signature = header("webhook-signature");
    assert!(secret.verifies_standard(header("webhook-id"), at, &post.body, signature), "{post:?}");
}

/// The rounds and attempts in which a delivery got a good answer and yet came again. Its attempts must count up all the
/// while.
fn repeated(delivery: &str, entries: &[&Entry]) -> Vec<(usize, u32)> {
    let number = |entry: &Entry| entry.post.header("ngoma-attempt").parse::<u32>().expect("a number");
    assert!(number(entries[0]) >= 1);
    let mut repeated = Vec::new();
    for pair in entries.windows(2) {
        let (before, after) = (pair[0], pair[1]);
        // A kept connection that breaks looks stale: the POST is made once more, as the same attempt.
        let stale = before.answered == Answered::ByClosing && before.round == after.round;
        let (first, second) = (number(before), number(after));
        assert!(second > first || (stale && second == first), "{delivery}: attempt {first}, then {second}");
        if before.answered == Answered::Well {
            assert!(after.round > before.round, "{delivery} came again although its server lived on");
            repeated.push((before.round, first));
        }
    }
    repeated
}

#[test]
fn every_accepted_event_arrives_however_often_the_program_is_killed() {
    let rounds = if env::var_os("TEST_LONG").is_some() { 500 } else { 50 };
    let mut ledger = Ledger::new(0x4E67_6F6D);
    for _ in 0..rounds {
        let work = ledger.random.below(40);
        ledger.round(work, |server| drop(server.kill()));
    }
    let accepted = ledger.finish();
    let again = ledger.settle_accounts(&accepted);
    let posts = ledger.flaky.entries().len();
    println!("kill -9: {rounds} rounds, {} accepted, {posts} POSTs, {again} came again after a 200", accepted.len());
}

#[test]
fn a_stop_in_the_middle_of_the_work_loses_nothing_and_ends_well() {
    let mut ledger = Ledger::new(0x5465_726D);
    for _ in 0..5 {
        let work = 1 + ledger.random.below(40);
        ledger.round(work, Server::stop);
    }
    let accepted = ledger.finish();
    assert_eq!(ledger.settle_accounts(&accepted), 0, "a stop waits for what is in flight");
    println!("SIGTERM: 5 rounds, {} accepted, {} POSTs", accepted.len(), ledger.flaky.entries().len());
}

#[test]
fn a_stop_right_after_the_start_ends_well_too() {
    let site = Site::new();
    for _ in 0..10 {
        site.start().stop();
    }
}
