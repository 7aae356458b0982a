//! Sending: classes of failure, kept connections, hanging neighbours.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use ngoma::{
    clock::Stopwatch,
    domain::event::{Audience, NewEvent},
    error::Error,
    store::{accounts, events},
};
use serde_json::{Value, json};

use crate::support::{
    client::Client,
    receiver::{PATIENCE, Receiver, Reply},
    world::{COOP, Wish, World},
};

/// The error of the last attempt of a webhook's newest delivery.
fn error_of(coop: &Client, webhook: &str) -> Value {
    coop.deliveries(webhook)[0]["error"].clone()
}

#[test]
fn each_failure_is_recorded_with_its_class() {
    let world = World::with(|wish: &mut Wish| wish.config.delivery.timeout = Duration::from_millis(300));
    let coop = world.coop();
    let cases = [
        (Reply::status(404), "status"),
        (Reply::status(101), "status"),
        (Reply::status(999), "status"),
        (Reply::Close, "reset"),
        (Reply::Hang, "timeout"),
        (Reply::Raw(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()), "protocol"),
        (Reply::Raw(b"HTTP/1.1 20".to_vec()), "reset"),
    ];
    for (reply, class) in cases {
        let receiver = Receiver::new();
        receiver.always(reply);
        let webhook = coop.webhook(&receiver.url(), &["*"], "s");
        coop.publish("dds.filed", json!({}));
        world.settle();
        assert_eq!(error_of(&coop, &webhook), class);
        coop.delete(&format!("/webhooks/{webhook}")).expect(204);
    }
}

#[test]
fn nobody_listening_is_connect_an_unknown_name_dns_and_a_name_that_turned_private_blocked() {
    let world = World::with(|wish: &mut Wish| {
        wish.look_up = std::sync::Arc::new(|name, port| match name {
            "turned.example" => Ok(vec![([10, 0, 0, 1], port).into()]),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        });
    });
    let coop = world.coop();
    let gone = Receiver::new();
    let closed = gone.url();
    drop(gone);
    let webhook = coop.webhook(&closed, &["dds.filed"], "s");
    let unknown = coop.webhook("http://unknown.example/", &["loan.repaid"], "s");
    coop.publish("dds.filed", json!({}));
    coop.publish("loan.repaid", json!({}));
    world.settle();
    assert_eq!(error_of(&coop, &webhook), "connect");
    assert_eq!(error_of(&coop, &unknown), "dns");
    let refused = coop.post(
        "/webhooks",
        json!({ "url": "http://turned.example/", "events": ["*"], "cooperative_id": "COOP-MBALE-001" }),
    );
    assert_eq!(refused.code(422), "URL_NOT_ALLOWED");
}

#[test]
fn a_2xx_is_a_success_even_if_its_body_breaks_off() {
    let world = World::new();
    let coop = world.coop();
    let receiver = Receiver::new();
    receiver.always(Reply::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\npart of it".to_vec()));
    let webhook = coop.webhook(&receiver.url(), &["*"], "s");
    coop.publish("dds.filed", json!({}));
    world.settle();
    let id = coop.deliveries(&webhook)[0]["delivery_id"].as_str().expect("an id").to_owned();
    let delivery = coop.delivery(&webhook, &id);
    assert_eq!(delivery["status"], "DELIVERED");
    let attempt = &delivery["attempts"][0];
    assert_eq!((&attempt["response_body"], &attempt["response_truncated"]), (&json!("part of it"), &json!(true)));
}

#[test]
fn connections_are_kept() {
    let world = World::new();
    let receiver = Receiver::new();
    let coop = world.coop();
    coop.webhook(&receiver.url(), &["*"], "s");
    for _ in 0..5 {
        coop.publish("dds.filed", json!({}));
        world.settle();
    }
    assert_eq!((receiver.posts().len(), receiver.connections()), (5, 1));
}

#[test]
fn connections_to_many_receivers_are_kept() {
    let world = World::new();
    let receivers: Vec<Receiver> = (0..100).map(|_| Receiver::new()).collect();
    let coop = world.coop();
    for receiver in &receivers {
        coop.webhook(&receiver.url(), &["*"], "s");
    }
    for _ in 0..2 {
        coop.publish("dds.filed", json!({}));
        world.settle();
    }
    assert!(receivers.iter().all(|receiver| receiver.posts().len() == 2));
    let connections: usize = receivers.iter().map(Receiver::connections).sum();
    assert!(connections < 110, "{connections} connections to 100 receivers");
}

#[test]
fn a_kept_connection_that_went_stale_costs_no_try() {
    let world = World::new();
    let receiver = Receiver::new();
    receiver.next([Reply::status(200), Reply::Close, Reply::status(200)]);
    let coop = world.coop();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s");
    coop.publish("dds.filed", json!({}));
    world.settle();
    coop.publish("dds.filed", json!({}));
    world.settle();
    let delivery = &coop.deliveries(&webhook)[0];
    assert_eq!((&delivery["status"], &delivery["attempt_count"]), (&json!("DELIVERED"), &json!(1)));
    let numbers: Vec<String> = receiver.posts().iter().map(|post| post.header("ngoma-attempt").to_owned()).collect();
    assert_eq!(numbers, ["1", "1", "1"], "repeated once, as the same attempt");
}

#[test]
fn hanging_receivers_do_not_keep_a_healthy_one_waiting() {
    let world = World::with(|wish: &mut Wish| {
        wish.config.delivery.max_in_flight = 12;
        wish.config.delivery.timeout = Duration::from_secs(3);
    });
    let coop = world.coop();
    let hanging: Vec<Receiver> = (0..10).map(|_| Receiver::new()).collect();
    for receiver in &hanging {
        receiver.always(Reply::Hang);
        coop.webhook(&receiver.url(), &["loan.repaid"], "s");
    }
    coop.publish("loan.repaid", json!({}));
    let healthy = Receiver::new();
    coop.webhook(&healthy.url(), &["dds.filed"], "s");
    coop.publish("dds.filed", json!({}));
    healthy.wait_for(1);
    world.settle();
    // Each has timed out by now: from here on all together hold six places at most.
    world.move_clock(Duration::from_secs(3600));
    for number in 0..20 {
        coop.publish("dds.filed", json!({ "number": number }));
    }
    healthy.wait_for(21);
    let started = hanging.iter().map(|receiver| receiver.posts().len()).sum::<usize>();
    assert!(started <= 10 + 6, "{started}");
}

#[test]
fn an_endpoint_holds_at_most_its_own_places() {
    let world = World::with(|wish: &mut Wish| wish.config.delivery.max_in_flight_per_endpoint = 3);
    let coop = world.coop();
    let receiver = Receiver::new();
    coop.webhook(&receiver.url(), &["*"], "s");
    for _ in 0..2 {
        coop.publish("dds.filed", json!({}));
        world.settle();
    }
    // It has answered twice: from now on it may hold three places.
    receiver.always(Reply::Hang);
    for _ in 0..10 {
        coop.publish("dds.filed", json!({}));
    }
    receiver.wait_for(5);
    let other = Receiver::new();
    coop.webhook(&other.url(), &["loan.repaid"], "s");
    coop.publish("loan.repaid", json!({}));
    other.wait_for(1);
    assert_eq!(receiver.posts().len(), 5, "two that were answered, three that hang");
}

#[test]
fn an_endpoint_that_keeps_failing_has_one_attempt_under_way_until_it_succeeds() {
    let world = World::new();
    let (coop, receiver) = (world.coop(), Receiver::new());
    coop.webhook(&receiver.url(), &["*"], "s");
    coop.publish("dds.filed", json!({}));
    world.settle();
    receiver.always(Reply::status(500));
    for _ in 0..4 {
        coop.publish("dds.filed", json!({}));
        world.settle();
    }
    receiver.next([Reply::Gate(500), Reply::Gate(200)]);
    world.move_clock(Duration::from_secs(30));
    receiver.wait_for(6);
    assert_eq!(world.in_flight(), 1, "four are due");
    receiver.open_gate();
    receiver.wait_for(7);
    assert_eq!(world.in_flight(), 1, "it failed again");
    receiver.always(Reply::status(200));
    receiver.open_gate();
    world.settle();
    assert_eq!(receiver.posts().len(), 9);
}

#[test]
fn large_bodies_that_wait_are_not_kept_in_memory() {
    let world = World::new();
    let (coop, receiver) = (world.coop(), Receiver::new());
    let webhook = coop.webhook(&receiver.url(), &["*"], "s");
    for _ in 0..10 {
        coop.publish("dds.filed", json!({}));
        world.settle();
    }
    let path = format!("/webhooks/{webhook}");
    coop.patch(&path, json!({ "status": "SUSPENDED" })).expect(200);
    for _ in 0..60 {
        coop.publish("dds.filed", json!({ "page": "x".repeat(60_000) }));
    }
    // It begins with one attempt, and has one more with each good answer that takes long, as all do on a slow machine.
    receiver.always(Reply::Gate(200)).next((0..20).map(|_| Reply::status(200)));
    coop.patch(&path, json!({ "status": "ACTIVE" })).expect(200);
    receiver.wait_for(10 + 20 + 1);
    assert!(world.in_flight() <= 24, "{} of 40 are claimed", world.in_flight());
    receiver.always(Reply::status(200));
    let watch = Stopwatch::start();
    while receiver.posts().len() < 70 {
        assert!(watch.elapsed() < PATIENCE, "they come when others have ended");
        receiver.open_gate();
        thread::yield_now();
    }
}

#[test]
fn the_server_never_delivers_to_itself() {
    let world = World::new();
    let own = format!("http://{}/webhooks", world.address());
    let refused =
        world.coop().post("/webhooks", json!({ "url": own, "events": ["*"], "cooperative_id": "COOP-MBALE-001" }));
    assert_eq!(refused.code(422), "URL_NOT_ALLOWED");
}

#[test]
fn claims_of_an_undone_publish_are_never_sent() {
    let world = World::new();
    let (coop, receiver) = (world.coop(), Receiver::new());
    coop.webhook(&receiver.url(), &["*"], "s");
    // From here on there is room: a delivery is claimed as it is made.
    coop.publish("dds.filed", json!({}));
    world.settle();
    let undone = world.write(|tx| {
        let account = accounts::find(tx, "asilichain", COOP)?.key;
        let event = NewEvent { account, kind: "dds.filed".to_owned(), body: "{}".into(), idempotency_key: None };
        events::publish(tx, &event, &Audience::Subscribers)?;
        Err::<(), _>(Error::Internal("undone".to_owned()))
    });
    assert!(undone.is_err());
    coop.publish("dds.filed", json!({ "number": 2 }));
    world.settle();
    assert_eq!(receiver.posts().len(), 2, "the one before and the one after");
}

#[test]
fn events_published_during_a_turn_of_the_engine_are_sent() {
    let (world, receiver) = (World::new(), Receiver::new());
    let coop = world.coop();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let _done = Done(&done);
        // Writes that share their commits with the turns and the publishes, and make no news.
        for _ in 0..4 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    coop.publish("loan.repaid", json!({}));
                }
            });
        }
        for round in 0..100 {
            let webhook = coop.webhook(&receiver.url(), &["dds.filed"], "s");
            scope.spawn(|| coop.publish("dds.filed", json!({})));
            coop.publish("dds.filed", json!({}));
            receiver.wait_for(2 * round + 2);
            coop.delete(&format!("/webhooks/{webhook}")).expect(204);
        }
    });
}

/// Stops other threads when the story is over, in any way.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
