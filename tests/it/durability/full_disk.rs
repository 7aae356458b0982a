//! A disk that is full, and a file that another process holds.

use std::{fs, sync::mpsc, thread, time::Duration};

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{
    client::{Answer, Client},
    flaky_receiver::FlakyReceiver,
    receiver::{PATIENCE, Receiver, Reply},
    site::{SECRET, Server, Site, event_of, publish},
    small_disk::SmallDisk,
    world::COOP,
};

const WELL: (u64, u64) = (100, 0);
/// Long enough to see that an answer does not come at once.
const A_WHILE: Duration = Duration::from_millis(300);

const PAUSED: &str = "deliveries pause until the database takes writes again";

/// Long enough for a crowd to have come as far as the writer.
const GATHERING: Duration = Duration::from_secs(1);

/// Publishes an event with this many kilobytes of data.
fn publish_large(client: &Client, kilobytes: usize) -> Answer {
    let data = json!({ "pages": vec!["x".repeat(1024); kilobytes] });
    client.post("/events", json!({ "event": "batch.exported", "cooperative_id": COOP, "data": data }))
}

/// Publishes until it is refused for want of space; the events that were accepted.
fn fill(client: &Client, kilobytes: usize) -> Vec<String> {
    let mut accepted = Vec::new();
    loop {
        assert!(accepted.len() < 2000, "the disk is never full");
        let answer = publish_large(client, kilobytes);
        if answer.status != 202 {
            refused(&answer);
            return accepted;
        }
        accepted.push(event_of(&answer));
    }
}

/// Publishes tasks until the disk is full; how many were accepted.
fn fill_with_tasks(client: &Client) -> usize {
    for number in 0..2000 {
        let answer = client.post("/v1/events", task(&format!("task-{number}")));
        if answer.status != 202 {
            assert_eq!(answer.header("retry-after"), "1");
            assert!(answer.sentence(503).contains("disk is full"), "{}", answer.text);
            return number;
        }
    }
    panic!("the disk is never full");
}

#[track_caller]
fn refused(answer: &Answer) {
    assert_eq!(answer.code(503), "UNAVAILABLE");
    assert_eq!(answer.header("retry-after"), "1");
}

fn task(id: &str) -> Value {
    json!({
        "event": "task.settled", "task_id": id, "consensus_label": "cat", "confidence": 1.0, "bsv_txid": "abc",
        "settled_at": "2026-04-08T21:05:00Z"
    })
}

#[track_caller]
fn lives(server: &Server) {
    assert_eq!(server.coop().get("/health/live").status, 200, "it stays up");
}

fn all_came(flaky: &FlakyReceiver, accepted: &[String]) {
    flaky.wait_until("all that was accepted", |entries| {
        accepted.iter().all(|event| entries.iter().any(|entry| entry.post.header("webhook-id") == event))
    });
}

/// Stops the server and looks at the file: nothing lost, nothing half written.
fn audit(site: &Site, flaky: &FlakyReceiver, mut server: Server, accepted: &[String], tasks: usize) {
    all_came(flaky, accepted);
    server.running.signal("TERM");
    let status = server.running.wait();
    assert_eq!(status.code(), Some(0), "{}", server.running.log());
    assert_eq!(site.look::<String>("PRAGMA integrity_check"), "ok");
    assert_eq!(
        site.look::<usize>("SELECT count(*) FROM event"),
        accepted.len() + tasks,
        "what was refused was not stored"
    );
}

#[test]
fn on_a_full_disk_publishes_are_refused_nothing_is_lost_and_it_recovers() {
    let disk = SmallDisk::new();
    let site = Site::within(disk.folder());
    let flaky = FlakyReceiver::new(1, WELL);
    let server = site.start();
    let client = server.coop();
    let gated = Receiver::new();
    gated.next([Reply::Gate(200)]);
    client.webhook(&gated.url(), &["*"], SECRET);
    client.webhook(&flaky.url(), &["*"], SECRET);
    // A reader stays open all the while: no checkpoint makes room.
    let reader = Connection::open(site.database()).expect("the file");
    reader.execute_batch("BEGIN; SELECT count(*) FROM event").expect("read");
    let mut accepted = fill(&client, 40);
    accepted.extend(fill(&client, 0));
    // Attempts end now, and nothing can be written of them.
    gated.wait_for(1);
    gated.open_gate();
    // If there was room left for that: a page more at a time, until it is enough for an event and not for its outcomes.
    while !server.running.has_said(PAUSED) {
        disk.give_a_page();
        accepted.extend(fill(&client, 0));
        flaky.wait_a_little();
    }
    let tasks = fill_with_tasks(&server.customer());
    for _ in 0..5 {
        refused(&publish_large(&client, 40));
        lives(&server);
    }
    assert_eq!(client.get("/webhooks").status, 200, "reading goes on");
    drop(reader);
    fs::remove_file(disk.ballast()).expect("thrown off");
    // Paused deliveries go on by themselves.
    all_came(&flaky, &accepted);
    gated.wait_for(accepted.len());
    accepted.push(event_of(&publish(&client, "after").expect("the server answers")));
    audit(&site, &flaky, server, &accepted, tasks);
    println!("full disk: {} accepted, none lost", accepted.len() + tasks);
}

#[test]
fn a_crowd_that_fills_the_disk_at_once_is_answered_each_for_itself() {
    let disk = SmallDisk::new();
    let site = Site::within(disk.folder());
    let flaky = FlakyReceiver::new(2, WELL);
    let server = site.start();
    server.coop().webhook(&flaky.url(), &["*"], SECRET);
    let mut accepted = fill(&server.coop(), 40);
    let foreign = Connection::open(site.database()).expect("the file");
    // Together they are larger than the writer's cache: the disk is full in the middle of a transaction, sometimes
    // within its last write, sometimes before.
    for size in 6..=14 {
        // While another process holds the file, they gather.
        foreign.execute_batch("BEGIN IMMEDIATE").expect("the lock");
        let (report, answers) = mpsc::channel();
        for _ in 0..size {
            let (client, report) = (server.coop(), report.clone());
            thread::spawn(move || report.send(publish_large(&client, 240)));
        }
        assert!(answers.recv_timeout(GATHERING).is_err(), "they wait for the lock");
        foreign.execute_batch("COMMIT").expect("released");
        for _ in 0..size {
            refused(&answers.recv_timeout(PATIENCE).expect("everybody is answered"));
        }
        lives(&server);
    }
    drop(foreign);
    accepted.extend(fill(&server.coop(), 0));
    fs::remove_file(disk.ballast()).expect("thrown off");
    all_came(&flaky, &accepted);
    accepted.push(event_of(&publish(&server.coop(), "after").expect("the server answers")));
    audit(&site, &flaky, server, &accepted, 0);
}

#[test]
fn a_publish_waits_for_another_process_that_holds_the_file_but_not_for_ever() {
    let mut site = Site::new();
    site.set("DELIVERY__POLL_INTERVAL", "60s");
    let flaky = FlakyReceiver::new(3, WELL);
    let server = site.start();
    server.coop().webhook(&flaky.url(), &["*"], SECRET);
    let mut accepted = vec![event_of(&publish(&server.coop(), "before").expect("the server answers"))];
    let settled = "SELECT count(*) FROM delivery WHERE state <> 'delivered'";
    while site.look::<usize>(settled) > 0 {
        flaky.wait_a_little();
    }
    let foreign = Connection::open(site.database()).expect("the file");
    foreign.busy_timeout(PATIENCE).expect("set");
    for (key, patient) in [("short", true), ("long", false)] {
        foreign.execute_batch("BEGIN IMMEDIATE").expect("the lock");
        let (client, (report, answer)) = (server.coop(), mpsc::channel());
        let publisher = thread::spawn(move || report.send(publish(&client, key).expect("the server answers")));
        assert!(answer.recv_timeout(A_WHILE).is_err(), "it waits for the lock");
        assert_eq!(server.coop().get("/webhooks").status, 200, "who only reads does not");
        if patient {
            foreign.execute_batch("COMMIT").expect("released");
            accepted.push(event_of(&answer.recv_timeout(PATIENCE).expect("an answer")));
            all_came(&flaky, &accepted);
        } else {
            refused(&answer.recv_timeout(PATIENCE).expect("an answer"));
            foreign.execute_batch("COMMIT").expect("released");
        }
        drop(publisher.join().expect("no panic"));
    }
    accepted.push(event_of(&publish(&server.coop(), "long").expect("the server answers")));
    all_came(&flaky, &accepted);
    server.stop();
    assert_eq!(site.look::<usize>("SELECT count(*) FROM event"), accepted.len());
}
