//! Look-ups of names: what one tenant's names do to another's, and what is a fault of ours.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use ngoma::{
    clock::ManualClock,
    engine::{LookUps, Unresolved},
};
use serde_json::{Value, json};

use crate::support::{
    receiver::{PATIENCE, Receiver, lock},
    world::{Client, Holder, OTHER_COOP, START, World, together},
};

/// Threads that names may hold which are new or do not answer.
const FOR_THEM: usize = 8;

/// Registers so many webhooks with names that hang, at once.
fn hanging_webhooks(other: &Client, number: usize) -> Vec<String> {
    let register = |number: usize| -> Box<dyn FnOnce() -> String + Send> {
        let url = format!("http://hanging-{number}.example/");
        let body = json!({ "url": url, "events": ["loan.repaid"], "cooperative_id": OTHER_COOP });
        let other = other.clone();
        Box::new(move || other.post("/webhooks", body).expect(201)["webhook_id"].as_str().expect("an id").to_owned())
    };
    together((0..number).map(register).collect())
}

#[test]
fn names_of_others_that_hang_cost_no_try_but_their_own() {
    let (story, ends) = mpsc::channel::<()>();
    let ends = Mutex::new(ends);
    let world = World::with(|wish| {
        wish.config.delivery.timeout = Duration::from_secs(1);
        wish.look_up = Arc::new(move |name, port| {
            if name != "healthy.example" {
                // Until the story ends.
                let _ = lock(&ends).recv();
            }
            Ok(vec![([127, 0, 0, 1], port).into()])
        });
    });
    let (coop, receiver) = (world.coop(), Receiver::new());
    let healthy = coop.webhook(&format!("http://healthy.example:{}/", receiver.port()), &["dds.filed"], "s");
    coop.publish("dds.filed", json!({}));
    world.settle();
    receiver.only();
    let other = world.client(&world.token_for(Holder::Account(OTHER_COOP.to_owned()), "webhooks,events"));
    let hanging = hanging_webhooks(&other, 40);
    // Its address is remembered for a second.
    world.move_clock(Duration::from_secs(2));
    let event = json!({ "event": "loan.repaid", "cooperative_id": OTHER_COOP, "data": {} });
    other.post("/events", event).expect(202);
    coop.publish("dds.filed", json!({}));
    world.settle();
    let newest = coop.deliveries(&healthy)[0].clone();
    assert_eq!((&newest["status"], &newest["attempt_count"]), (&json!("DELIVERED"), &json!(1)), "{newest}");
    let errors: Vec<Value> = hanging.iter().map(|webhook| other.deliveries(webhook)[0]["error"].clone()).collect();
    let count = |class: &str| errors.iter().filter(|error| **error == class).count();
    assert_eq!((count("dns"), count("interrupted")), (FOR_THEM, 40 - FOR_THEM), "{errors:?}");
    // They held their places as long as one that hangs: each has one place at a time until it answers.
    let database = rusqlite::Connection::open(world.database()).expect("the file");
    let suspects = database.query_row("SELECT count(*) FROM endpoint WHERE timed_out", [], |row| row.get(0));
    assert_eq!(suspects, Ok(40));
    drop(story);
}

type Found = Result<Vec<SocketAddr>, Unresolved>;

/// Look-ups alone, of which some hang until the story lets them go.
struct Desk {
    look_ups: Arc<LookUps>,
    clock: Arc<ManualClock>,
    begun: mpsc::Receiver<String>,
    hold: mpsc::Sender<()>,
    found: (mpsc::Sender<Found>, mpsc::Receiver<Found>),
}

impl Desk {
    /// One at which every thread that such names may have is held by one that hangs.
    fn crowded() -> Self {
        let (begins, begun) = mpsc::channel();
        let (hold, ends) = mpsc::channel::<()>();
        let ends = Mutex::new(ends);
        let look_up: ngoma::engine::LookUp = Arc::new(move |name, port| {
            let _ = begins.send(name.to_owned());
            if name.starts_with("hanging") {
                let _ = lock(&ends).recv();
            }
            Ok(vec![([127, 0, 0, 1], port).into()])
        });
        let clock = Arc::new(ManualClock::new(START));
        let look_ups = LookUps::start(&look_up, clock.clone()).expect("threads");
        let desk = Self { look_ups: Arc::new(look_ups), clock, begun, hold, found: mpsc::channel() };
        desk.ask("quick", PATIENCE);
        desk.next(PATIENCE).expect("it has one");
        (0..FOR_THEM).for_each(|number| desk.ask(&format!("hanging-{number}"), PATIENCE));
        (0..=FOR_THEM).for_each(|_| drop(desk.begun.recv_timeout(PATIENCE).expect("it begins")));
        desk
    }

    /// Has somebody ask for a name who waits so long.
    fn ask(&self, name: &str, within: Duration) {
        let (look_ups, name, found) = (Arc::clone(&self.look_ups), name.to_owned(), self.found.0.clone());
        thread::spawn(move || found.send(look_ups.resolve(&name, 80, within)));
    }

    /// The next answer that anybody gets.
    #[track_caller]
    fn next(&self, within: Duration) -> Found {
        self.found.1.recv_timeout(within).expect("an answer")
    }
}

#[test]
fn so_many_names_may_wait_for_a_look_up_and_one_more_is_told_so_at_once() {
    let desk = Desk::crowded();
    (0..256 + 10).for_each(|number| desk.ask(&format!("waiting-{number}"), PATIENCE));
    for _ in 0..10 {
        assert_eq!(desk.next(PATIENCE / 3), Err(Unresolved::ByUs));
    }
    desk.clock.set(START + Duration::from_secs(2));
    desk.ask("quick", PATIENCE);
    desk.next(PATIENCE / 3).expect("a name that is quick finds a thread");
    drop(desk.hold);
    for _ in 0..FOR_THEM + 256 {
        desk.found.1.recv_timeout(PATIENCE).expect("an answer").expect("an address");
    }
}

#[test]
fn a_look_up_that_two_wait_for_outlives_the_one_with_less_patience() {
    let desk = Desk::crowded();
    desk.ask("shared", Duration::from_secs(1));
    desk.ask("shared", PATIENCE / 3);
    assert_eq!(desk.next(PATIENCE), Err(Unresolved::ByUs), "the first gives up");
    drop(desk.hold);
    for _ in 0..=FOR_THEM {
        desk.found.1.recv_timeout(PATIENCE).expect("an answer").expect("an address");
    }
}
