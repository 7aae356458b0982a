//! Addresses of receivers: a name that moves takes its deliveries with it, and a dead address costs no attempt.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};

use crate::support::{
    isolation::last_attempt,
    raw_receiver::{FullBacklog, Peer, RawReceiver},
    receiver::lock,
    world::World,
};

fn loopback(last: u8, port: u16) -> SocketAddr {
    ([127, 0, 0, last], port).into()
}

/// Answers every request, and keeps the connection.
fn answering(address: SocketAddr) -> RawReceiver {
    RawReceiver::at(address, |peer: &mut Peer| {
        while peer.read_request().ends_with('}') && peer.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n") {}
    })
}

/// A world in which every name has these addresses, until the story says otherwise.
fn moving(addresses: Vec<SocketAddr>) -> (World, Arc<Mutex<Vec<SocketAddr>>>) {
    let now = Arc::new(Mutex::new(addresses));
    let seen = Arc::clone(&now);
    let world = World::with(|wish| wish.look_up = Arc::new(move |_, _| Ok(lock(&seen).clone())));
    (world, now)
}

/// Publishes once, and waits until it is delivered.
#[track_caller]
fn deliver(world: &World, webhook: &str) {
    world.coop().publish("dds.filed", json!({}));
    world.settle();
    let record = last_attempt(&world.coop(), "moves", webhook);
    assert_eq!((record.error, record.status), (Value::Null, json!(200)));
}

#[test]
fn a_kept_connection_is_used_only_while_its_address_is_one_of_the_names() {
    let old = answering(loopback(2, 0));
    let port = old.port();
    let new = answering(loopback(3, port));
    let (world, addresses) = moving(vec![loopback(2, port)]);
    let webhook = world.coop().webhook(&format!("http://moves.example:{port}/"), &["*"], "s");
    deliver(&world, &webhook);
    deliver(&world, &webhook);
    assert_eq!((old.connections(), new.connections()), (1, 0));
    // Another address beside it changes nothing.
    *lock(&addresses) = vec![loopback(3, port), loopback(2, port)];
    // Addresses are remembered for a second.
    world.move_clock(Duration::from_secs(2));
    deliver(&world, &webhook);
    assert_eq!((old.connections(), new.connections()), (1, 0));
    *lock(&addresses) = vec![loopback(3, port)];
    world.move_clock(Duration::from_secs(2));
    deliver(&world, &webhook);
    deliver(&world, &webhook);
    assert_eq!((old.connections(), new.connections()), (1, 1), "the name has moved");
}

#[test]
fn a_kept_connection_to_an_address_that_is_refused_now_is_not_used() {
    let old = answering(loopback(2, 0));
    let port = old.port();
    let (world, addresses) = moving(vec![loopback(2, port)]);
    let webhook = world.coop().webhook(&format!("http://turns.example:{port}/"), &["*"], "s");
    deliver(&world, &webhook);
    for refused in [vec![([10, 0, 0, 1], port).into()], vec![loopback(2, port), ([10, 0, 0, 1], port).into()]] {
        *lock(&addresses) = refused;
        world.move_clock(Duration::from_secs(2));
        world.coop().publish("dds.filed", json!({}));
        world.settle();
        assert_eq!(last_attempt(&world.coop(), "turns", &webhook).error, json!("blocked"));
    }
}

#[test]
fn a_connection_is_used_for_five_minutes_at_most() {
    let receiver = answering(loopback(2, 0));
    let port = receiver.port();
    let (world, _) = moving(vec![loopback(2, port)]);
    let webhook = world.coop().webhook(&format!("http://stays.example:{port}/"), &["dds.filed"], "s");
    deliver(&world, &webhook);
    for _ in 0..4 {
        world.advance("74s");
        deliver(&world, &webhook);
    }
    assert_eq!(receiver.connections(), 1, "4 minutes and 56 seconds");
    world.advance("4s");
    deliver(&world, &webhook);
    assert_eq!(receiver.connections(), 2, "5 minutes");
    // An address in a URL ages too.
    let literal = world.coop().webhook(&receiver.url(), &["loan.repaid"], "s");
    for (wait, connections) in [("0s", 3), ("299s", 3), ("1s", 4)] {
        world.advance(wait);
        world.coop().publish("loan.repaid", json!({}));
        world.settle();
        assert_eq!(world.coop().deliveries(&literal)[0]["status"], "DELIVERED");
        assert_eq!(receiver.connections(), connections, "{wait}");
    }
}

/// How long the last attempt of this webhook took.
fn took(world: &World, webhook: &str) -> Duration {
    let coop = world.coop();
    let newest = coop.deliveries(webhook)[0]["delivery_id"].as_str().expect("an id").to_owned();
    let attempt = coop.delivery(webhook, &newest)["attempts"][0].clone();
    assert_eq!(attempt["error"], Value::Null, "{attempt}");
    Duration::from_millis(attempt["duration_ms"].as_u64().expect("a duration"))
}

#[test]
fn a_dead_address_costs_a_quarter_of_a_second_and_only_once() {
    let dead = FullBacklog::new();
    let receiver = answering(loopback(2, dead.address().port()));
    let (world, _) = moving(vec![dead.address(), loopback(2, receiver.port())]);
    let webhook = world.coop().webhook(&format!("http://half-dead.example:{}/", receiver.port()), &["*"], "s");
    deliver(&world, &webhook);
    let first = took(&world, &webhook);
    assert!(first >= Duration::from_millis(240) && first < Duration::from_secs(2), "{first:?}");
    // The kept connection is too old: another one is made, to the address that answered.
    world.advance("6m");
    deliver(&world, &webhook);
    assert!(took(&world, &webhook) < Duration::from_millis(240), "the address that connected last comes first");
    assert_eq!(receiver.connections(), 2);
}

#[test]
fn many_dead_addresses_are_passed_over_one_by_one() {
    let dead = FullBacklog::new();
    let port = dead.address().port();
    let receiver = answering(loopback(2, port));
    // Eight times the same dead address, then the good one.
    let addresses = [vec![dead.address(); 8], vec![loopback(2, port)]].concat();
    let (world, _) = moving(addresses);
    let webhook = world.coop().webhook(&format!("http://mostly-dead.example:{port}/"), &["*"], "s");
    deliver(&world, &webhook);
    let first = took(&world, &webhook);
    assert!(first >= Duration::from_millis(1900) && first < Duration::from_secs(5), "{first:?}");
    assert_eq!(receiver.connections(), 1);
}

#[test]
fn an_address_that_refuses_costs_nothing_and_families_take_turns() {
    let dead = FullBacklog::new();
    let port = dead.address().port();
    let receiver = answering(loopback(2, port));
    // Nobody listens on IPv6: it refuses at once, or there is none.
    let v6 = |last: u16| SocketAddr::new(std::net::Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, last).into(), port);
    let seen = vec![v6(1), v6(1), v6(1), loopback(2, port), dead.address()];
    let world = World::with(|wish| {
        wish.config.egress.allow.push("::1/128".parse().expect("a block"));
        wish.look_up = Arc::new(move |_, _| Ok(seen.clone()));
    });
    let webhook = world.coop().webhook(&format!("http://both.example:{port}/"), &["*"], "s");
    deliver(&world, &webhook);
    assert!(took(&world, &webhook) < Duration::from_millis(240), "IPv4 comes second, not fourth");
    assert_eq!(receiver.connections(), 1);
}

#[test]
fn addresses_that_are_all_dead_run_into_the_time_out_and_all_refused_is_connect() {
    let dead = FullBacklog::new();
    let gone = RawReceiver::at(loopback(4, 0), |_: &mut Peer| {});
    let (closed, port) = (gone.port(), dead.address().port());
    drop(gone);
    for (addresses, class) in [
        (vec![dead.address(); 3], "timeout"),
        (vec![loopback(5, closed), loopback(6, closed)], "connect"),
        (vec![loopback(5, closed), dead.address()], "timeout"),
    ] {
        let world = World::with(|wish| {
            wish.config.delivery.timeout = Duration::from_secs(1);
            wish.look_up = Arc::new(move |_, _| Ok(addresses.clone()));
        });
        let webhook = world.coop().webhook(&format!("http://dead.example:{port}/"), &["*"], "s");
        world.coop().publish("dds.filed", json!({}));
        world.settle();
        assert_eq!(last_attempt(&world.coop(), class, &webhook).error, json!(class));
    }
}
