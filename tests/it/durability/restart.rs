//! Stops, crashes and starts: promises from before hold after.

use std::{collections::BTreeMap, net::TcpStream, sync::mpsc, thread, time::Duration};

use ngoma::{
    domain::{
        audit::Actor,
        event::{Audience, NewEvent},
    },
    store::{Admission, accounts, events},
};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{
    receiver::{PATIENCE, Receiver, Reply},
    world::{COOP, World},
    writer::{hold_writer, poll},
};

const MILLISECOND: Duration = Duration::from_millis(1);
/// Longer than any wait of any schedule.
const DAYS: &str = "3d";

/// How a server ends.
#[derive(Debug, Clone, Copy)]
enum End {
    Stop,
    Crash,
}

const ENDS: [End; 2] = [End::Stop, End::Crash];

fn end(world: &mut World, how: End) {
    match how {
        End::Stop => world.stop(),
        End::Crash => world.crash(),
    }
}

/// The statuses of an event's deliveries.
fn statuses(world: &World, event: &Value) -> Vec<String> {
    let event = world.coop().get(&format!("/events/{}", text(&event["event_id"]))).expect(200);
    let deliveries = event["deliveries"].as_array().expect("a list");
    deliveries.iter().map(|delivery| text(&delivery["status"])).collect()
}

/// The attempts of an event's one delivery.
fn attempts(world: &World, accepted: &Value) -> Vec<Value> {
    let delivery = &accepted["deliveries"][0];
    let shown = world.coop().delivery(&text(&delivery["webhook_id"]), &text(&delivery["delivery_id"]));
    shown["attempts"].as_array().expect("a list").clone()
}

fn errors(attempts: &[Value]) -> Vec<Option<&str>> {
    attempts.iter().map(|attempt| attempt["error"].as_str()).collect()
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

#[test]
fn waiting_deliveries_keep_their_time_to_the_millisecond() {
    for how in ENDS {
        let mut world = World::new();
        let receiver = Receiver::new();
        receiver.next([Reply::status(500)]);
        let coop = world.coop();
        coop.webhook(&receiver.url(), &["*"], "s3cret");
        let accepted = coop.publish("batch.exported", json!({}));
        world.settle();
        end(&mut world, how);
        world.move_clock(Duration::from_secs(10));
        world.start();
        world.settle();
        world.move_clock(Duration::from_secs(20) - MILLISECOND);
        world.settle();
        assert_eq!(receiver.posts().len(), 1, "{how:?}: not before its 30 seconds have passed");
        world.advance("1ms");
        let posts = receiver.posts();
        assert_eq!(posts.len(), 2, "{how:?}: and then at once");
        assert_eq!(posts[0].body, posts[1].body, "with the same bytes");
        assert_eq!(posts[0].header("webhook-id"), posts[1].header("webhook-id"));
        assert_eq!(posts[1].header("ngoma-attempt"), "2");
        assert_eq!(statuses(&world, &accepted), ["DELIVERED"]);
    }
}

#[test]
fn deliveries_that_became_due_while_the_server_was_down_are_sent_at_the_start() {
    for how in ENDS {
        let mut world = World::new();
        let receiver = Receiver::new();
        receiver.next([Reply::status(500)]);
        let coop = world.coop();
        coop.webhook(&receiver.url(), &["*"], "s3cret");
        coop.publish("batch.exported", json!({}));
        world.settle();
        end(&mut world, how);
        world.move_clock(Duration::from_secs(86_400));
        world.start();
        world.settle();
        assert_eq!(receiver.posts().len(), 2, "{how:?}");
        world.advance(DAYS);
        assert_eq!(receiver.posts().len(), 2, "{how:?}: once");
    }
}

#[test]
fn an_attempt_that_a_crash_interrupts_is_recorded_and_costs_no_try() {
    let mut world = World::new();
    let receiver = Receiver::new();
    receiver.always(Reply::status(500)).next([Reply::Hang]);
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
    let accepted = coop.publish("batch.exported", json!({}));
    receiver.wait_for(1);
    world.crash_during(&receiver);
    world.start();
    world.settle();
    assert_eq!(receiver.posts().len(), 2, "the interrupted attempt is made again at once");
    for (wait, count) in [("30s", 3), ("5m", 4), ("30m", 5), ("2h", 6)] {
        assert_eq!(world.coop().status(&webhook), "ACTIVE", "tries are left");
        world.advance(wait);
        assert_eq!(receiver.posts().len(), count, "after {wait}");
    }
    assert_eq!(world.coop().status(&webhook), "SUSPENDED");
    let attempts = attempts(&world, &accepted);
    let status = Some("status");
    assert_eq!(errors(&attempts), [Some("interrupted"), status, status, status, status, status]);
    let numbers: Vec<_> = attempts.iter().map(|attempt| attempt["attempt"].as_u64()).collect();
    assert_eq!(numbers, (1..=6).map(Some).collect::<Vec<_>>(), "numbers go on");
    assert_eq!(attempts[0]["duration_ms"], Value::Null);
    assert_eq!(receiver.last().header("ngoma-attempt"), "6");
}

#[test]
fn only_attempts_in_flight_are_repeated_after_a_crash() {
    let mut world = World::new();
    let receiver = Receiver::new();
    // A connection that was used before would be tried afresh when it breaks: this process does not really die.
    let well = Reply::Answer(200, "connection: close\r\n", Vec::new());
    receiver.always(Reply::Hang).next([well.clone(), well]);
    let coop = world.coop();
    coop.webhook(&receiver.url(), &["*"], "s3cret");
    for _ in 0..2 {
        coop.publish("batch.exported", json!({"n": 0}));
        world.settle();
    }
    let accepted: Vec<Value> = (1..=12).map(|n| coop.publish("batch.exported", json!({ "n": n }))).collect();
    let in_flight = receiver.wait_for(2 + 3).split_off(2);
    receiver.always(Reply::status(200));
    world.crash_during(&receiver);
    world.start();
    world.settle();
    let mut came: BTreeMap<String, usize> = BTreeMap::new();
    for post in receiver.posts() {
        *came.entry(post.header("webhook-id").to_owned()).or_default() += 1;
    }
    assert_eq!(came.len(), 14, "nothing is lost");
    for (event, times) in came {
        let was_in_flight = in_flight.iter().any(|post| post.header("webhook-id") == event);
        assert_eq!(times, if was_in_flight { 2 } else { 1 }, "{event}");
    }
    for accepted in &accepted {
        assert_eq!(statuses(&world, accepted), ["DELIVERED"]);
    }
}

#[test]
fn a_webhook_that_has_not_answered_yet_holds_one_place_over_a_restart_too() {
    let mut world = World::new();
    let receiver = Receiver::new();
    receiver.always(Reply::Hang);
    let coop = world.coop();
    coop.webhook(&receiver.url(), &["*"], "s3cret");
    let accepted = [1, 2].map(|n| coop.publish("batch.exported", json!({ "n": n })));
    receiver.wait_for(1);
    world.crash_during(&receiver);
    receiver.always(Reply::Gate(200));
    world.start();
    receiver.wait_for(2);
    assert_eq!(world.in_flight(), 1, "both are due, one is under way");
    receiver.always(Reply::status(200)).open_gate();
    world.settle();
    for accepted in &accepted {
        assert_eq!(statuses(&world, accepted), ["DELIVERED"]);
    }
    assert_eq!(receiver.posts().len(), 3, "only the one in flight came twice");
}

#[test]
fn a_webhook_suspended_or_deleted_during_an_attempt_stays_so_when_a_crash_interrupts_it() {
    for (change, status) in [("suspend", "HELD"), ("delete", "CANCELLED")] {
        let mut world = World::new();
        let receiver = Receiver::new();
        receiver.next([Reply::Hang]);
        let coop = world.coop();
        let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
        let path = format!("/webhooks/{webhook}");
        let accepted = coop.publish("batch.exported", json!({}));
        receiver.wait_for(1);
        match change {
            "suspend" => drop(coop.patch(&path, json!({"status": "SUSPENDED"})).expect(200)),
            _ => drop(coop.delete(&path).expect(204)),
        }
        assert_eq!(statuses(&world, &accepted), ["IN_FLIGHT"]);
        world.crash_during(&receiver);
        world.start();
        world.advance(DAYS);
        assert_eq!(statuses(&world, &accepted), [status]);
        assert_eq!(receiver.posts().len(), 1);
        if change == "suspend" {
            assert_eq!(errors(&attempts(&world, &accepted)), [Some("interrupted")]);
            world.coop().patch(&path, json!({"status": "ACTIVE"})).expect(200);
            world.settle();
            assert_eq!(statuses(&world, &accepted), ["DELIVERED"]);
        }
    }
}

#[test]
fn held_deliveries_stay_held_over_a_restart_and_go_out_when_the_webhook_is_resumed() {
    for how in ENDS {
        let mut world = World::new();
        let receiver = Receiver::new();
        let coop = world.coop();
        let path = format!("/webhooks/{}", coop.webhook(&receiver.url(), &["*"], "s3cret"));
        coop.patch(&path, json!({"status": "SUSPENDED"})).expect(200);
        let accepted = coop.publish("batch.exported", json!({}));
        end(&mut world, how);
        world.start();
        world.advance(DAYS);
        assert_eq!(receiver.posts().len(), 0, "{how:?}");
        assert_eq!(statuses(&world, &accepted), ["HELD"]);
        let shown = world.coop().get(&path).expect(200);
        assert_eq!((&shown["status"], &shown["held_deliveries"]), (&json!("SUSPENDED"), &json!(1)));
        world.coop().patch(&path, json!({"status": "ACTIVE"})).expect(200);
        world.settle();
        assert_eq!(statuses(&world, &accepted), ["DELIVERED"]);
        assert_eq!(receiver.posts().len(), 1);
    }
}

#[test]
fn finished_deliveries_are_never_sent_again() {
    for how in ENDS {
        let mut world = World::new();
        let (well, dead, deleted) = (Receiver::new(), Receiver::new(), Receiver::new());
        dead.always(Reply::status(500));
        deleted.always(Reply::status(500));
        let coop = world.coop();
        coop.webhook(&well.url(), &["*"], "s3cret");
        coop.webhook(&dead.url(), &["*"], "s3cret");
        let gone = coop.webhook(&deleted.url(), &["*"], "s3cret");
        let accepted = coop.publish("batch.exported", json!({}));
        world.settle();
        coop.delete(&format!("/webhooks/{gone}")).expect(204);
        ["30s", "5m", "30m", "2h"].iter().for_each(|wait| world.advance(wait));
        let ends = ["DELIVERED", "FAILED", "CANCELLED"];
        assert_eq!(statuses(&world, &accepted), ends);
        end(&mut world, how);
        world.start();
        world.advance(DAYS);
        assert_eq!(statuses(&world, &accepted), ends, "{how:?}");
        let posts = [&well, &dead, &deleted].map(|receiver| receiver.posts().len());
        assert_eq!(posts, [1, 5, 1], "{how:?}");
    }
}

#[test]
fn a_stop_waits_for_the_answer_of_an_attempt_in_flight_and_writes_it() {
    for (status, then) in [(200, "DELIVERED"), (500, "PENDING")] {
        let mut world = World::new();
        let receiver = Receiver::new();
        receiver.next([Reply::Gate(status)]);
        let coop = world.coop();
        coop.webhook(&receiver.url(), &["*"], "s3cret");
        let accepted = coop.publish("batch.exported", json!({}));
        receiver.wait_for(1);
        world.ask_to_stop();
        receiver.open_gate();
        world.stop();
        world.start();
        world.settle();
        assert_eq!(receiver.posts().len(), 1, "it is not made again");
        assert_eq!(statuses(&world, &accepted), [then]);
        let attempts = attempts(&world, &accepted);
        assert_eq!(attempts.len(), 1);
        assert_eq!(attempts[0]["response_status"], status);
        assert_eq!(attempts[0]["response_body"], "late");
        world.advance("30s");
        assert_eq!(statuses(&world, &accepted), ["DELIVERED"]);
    }
}

#[test]
fn a_stop_gives_back_deliveries_claimed_as_it_began() {
    let mut world = World::with(|wish| wish.config.delivery.poll_interval = Duration::from_secs(60));
    let (coop, receiver) = (world.coop(), Receiver::new());
    let webhook = coop.webhook(&receiver.url(), &["*"], "s");
    coop.publish("dds.filed", json!({}));
    world.settle();
    let db = world.db().clone();
    let publish = db.write(Actor::Engine, Admission::Try, |tx| {
        let account = accounts::find(tx, "asilichain", COOP)?.key;
        let body = r#"{"event":"dds.filed"}"#.to_owned().into();
        let event = NewEvent { account, kind: "dds.filed".to_owned(), body, idempotency_key: None };
        events::publish(tx, &event, &Audience::Subscribers)
    });
    let (begun, begins) = mpsc::channel();
    let (open, gate) = mpsc::channel();
    let hold = db.write(Actor::Engine, Admission::Try, move |_| {
        begun.send(()).expect("the story waits");
        gate.recv().expect("the story opens it");
        Ok(())
    });
    // The publish and what holds the writer after it are one commit, on which a stop has to wait.
    let (open_first, held) = hold_writer(&db);
    let (mut publish, mut hold) = (Box::pin(publish), Box::pin(hold));
    assert!(poll(publish.as_mut()).is_pending() && poll(hold.as_mut()).is_pending());
    open_first.send(()).expect("the writer waits");
    held.join().expect("no panic");
    begins.recv_timeout(PATIENCE).expect("the writer comes to it");
    let address = world.address();
    let running = thread::spawn(move || {
        world.stop();
        world
    });
    while TcpStream::connect(address).is_ok() {
        thread::yield_now();
    }
    open.send(()).expect("the writer waits");
    drop((publish, hold));
    drop(db);
    let mut world = running.join().expect("it stops");
    let claimed = "SELECT count(*) FROM delivery WHERE state = 'claimed'";
    let conn = Connection::open(world.database()).expect("the file");
    assert_eq!(conn.query_row(claimed, [], |row| row.get::<_, u32>(0)).expect("a count"), 0);
    drop(conn);
    world.start();
    receiver.wait_for(2);
    assert_eq!(world.coop().deliveries(&webhook)[0]["attempt_count"], 1, "nothing was interrupted");
}

#[test]
fn a_stop_begins_no_new_attempt() {
    let mut world = World::new();
    let receiver = Receiver::new();
    receiver.next([Reply::Gate(200)]);
    let coop = world.coop();
    coop.webhook(&receiver.url(), &["*"], "s3cret");
    coop.publish("batch.exported", json!({"n": 1}));
    let second = coop.publish("batch.exported", json!({"n": 2}));
    receiver.wait_for(1);
    world.ask_to_stop();
    receiver.open_gate();
    world.stop();
    assert_eq!(receiver.posts().len(), 1, "what is due waits for the next start");
    world.start();
    world.settle();
    assert_eq!(receiver.posts().len(), 2);
    assert_eq!(statuses(&world, &second), ["DELIVERED"]);
}
