//! Look-ups of names: hanging names of one account cost another nothing; and faults of our own.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use ngoma::{
    clock::ManualClock,
    engine::{LookUps, Unresolved},
};
use serde_json::{Value, json};

use crate::support::{
    client::Client,
    receiver::{PATIENCE, Receiver, lock},
    world::{COOP, Holder, OTHER_COOP, START, Wish, World, together},
};

/// Threads that names may hold which are new or do not answer.
const FOR_THEM: usize = 8;

/// Registers this many webhooks with names that hang, at once.
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
struct HangingLookUps {
    look_ups: Arc<LookUps>,
    clock: Arc<ManualClock>,
    begun: mpsc::Receiver<String>,
    hold: mpsc::Sender<()>,
    found: (mpsc::Sender<Found>, mpsc::Receiver<Found>),
}

impl HangingLookUps {
    /// Every thread that new or silent names may have is held by a name that hangs.
    fn on_every_thread() -> Self {
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
        let hanging = Self { look_ups: Arc::new(look_ups), clock, begun, hold, found: mpsc::channel() };
        hanging.ask("quick", PATIENCE);
        hanging.next(PATIENCE).expect("it has one");
        (0..FOR_THEM).for_each(|number| hanging.ask(&format!("hanging-{number}"), PATIENCE));
        (0..=FOR_THEM).for_each(|_| drop(hanging.begun.recv_timeout(PATIENCE).expect("it begins")));
        hanging
    }

    /// Asks for a name on a thread of its own, for this long at most.
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
fn look_ups_that_wait_are_limited_and_one_more_fails_at_once() {
    let hanging = HangingLookUps::on_every_thread();
    (0..256 + 10).for_each(|number| hanging.ask(&format!("waiting-{number}"), PATIENCE));
    for _ in 0..10 {
        assert_eq!(hanging.next(PATIENCE / 3), Err(Unresolved::ByUs));
    }
    hanging.clock.set(START + Duration::from_secs(2));
    hanging.ask("quick", PATIENCE);
    hanging.next(PATIENCE / 3).expect("a name that is quick finds a thread");
    drop(hanging.hold);
    for _ in 0..FOR_THEM + 256 {
        hanging.found.1.recv_timeout(PATIENCE).expect("an answer").expect("an address");
    }
}

#[test]
fn a_look_up_that_two_wait_for_outlives_the_one_with_less_patience() {
    let hanging = HangingLookUps::on_every_thread();
    hanging.ask("shared", Duration::from_secs(1));
    hanging.ask("shared", PATIENCE / 3);
    assert_eq!(hanging.next(PATIENCE), Err(Unresolved::ByUs), "the first gives up");
    drop(hanging.hold);
    for _ in 0..=FOR_THEM {
        hanging.found.1.recv_timeout(PATIENCE).expect("an answer").expect("an address");
    }
}

#[test]
fn names_that_hang_keep_no_healthy_name_waiting() {
    let (release, hold) = mpsc::channel::<()>();
    let hold = std::sync::Mutex::new(hold);
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let world = World::with(|wish: &mut Wish| {
        wish.config.delivery.timeout = Duration::from_secs(5);
        wish.look_up = Arc::new(move |name, port| {
            if name == "healthy.example" {
                return Ok(vec![([127, 0, 0, 1], port).into()]);
            }
            count.fetch_add(1, Ordering::SeqCst);
            // Until the story ends: the sender is dropped then.
            let _ = crate::support::receiver::lock(&hold).recv();
            Err(std::io::ErrorKind::NotFound.into())
        });
    });
    let coop = world.coop();
    let receiver = Receiver::new();
    coop.webhook(&format!("http://healthy.example:{}/", receiver.port()), &["dds.filed"], "s");
    let register = |number: usize| -> Box<dyn FnOnce() + Send> {
        let url = format!("http://hanging-{number}.example/");
        let body = json!({ "url": url, "events": ["loan.repaid"], "cooperative_id": COOP });
        let coop = coop.clone();
        Box::new(move || drop(coop.post("/webhooks", body).expect(201)))
    };
    // More than there are threads.
    together((0..40).map(register).collect());
    for _ in 0..3 {
        // Addresses are remembered for a second.
        world.move_clock(Duration::from_secs(2));
        coop.publish("loan.repaid", json!({}));
        coop.publish("dds.filed", json!({}));
    }
    receiver.wait_for(3);
    assert_eq!(asked.load(Ordering::SeqCst), 8, "they have half of the threads, one for each name");
    drop(release);
    world.settle();
}
