//! Names of receivers: unknown, hanging, slow, or turned private between two attempts.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use serde_json::{Value, json};

use crate::support::{
    isolation::{Isolation, TIMEOUT, last_attempt},
    raw_receiver::{Peer, RawReceiver},
    receiver::{PATIENCE, Receiver, lock},
    world::World,
};

fn loopback(last: u8, port: u16) -> SocketAddr {
    ([127, 0, 0, last], port).into()
}

/// Answers every request with this status, and keeps the connection.
fn answers(status: u16) -> impl Fn(&mut Peer) + Clone + Send + 'static {
    move |peer| {
        while peer.read_request().ends_with('}')
            && peer.send(format!("HTTP/1.1 {status} So\r\ncontent-length: 0\r\n\r\n"))
        {}
    }
}

#[test]
fn a_name_nobody_knows_is_dns() {
    let isolation = Isolation::with(|wish| {
        wish.look_up = Arc::new(|name, _| match name {
            "empty.example" => Ok(Vec::new()),
            _ => Err(io::Error::new(io::ErrorKind::NotFound, "NXDOMAIN")),
        });
    });
    for name in ["nowhere.example", "empty.example"] {
        let record = isolation.attempt(name, &format!("http://{name}/"), json!({}));
        assert_eq!((record.error, record.status), (json!("dns"), Value::Null), "{name}");
    }
}

/// Addresses are remembered for a second.
fn forget(world: &World) {
    world.move_clock(Duration::from_secs(2));
}

#[test]
fn a_look_up_that_hangs_is_dns_at_the_time_out_and_harms_no_other_name() {
    // Open for as long as the story lasts.
    let (story, ends) = mpsc::channel::<()>();
    let (ends, told) = (Arc::new(Mutex::new(ends)), Arc::new(AtomicBool::new(false)));
    let hangs = Arc::clone(&told);
    let isolation = Isolation::with(|wish| {
        wish.look_up = Arc::new(move |name, port| {
            if name == "slow.example" && hangs.load(Ordering::SeqCst) {
                let _ = lock(&ends).recv_timeout(PATIENCE);
            }
            Ok(vec![loopback(1, port)])
        });
    });
    let receiver = Receiver::new();
    let slow = isolation.coop.webhook(&format!("http://slow.example:{}/", receiver.port()), &["dds.filed"], "s");
    told.store(true, Ordering::SeqCst);
    forget(&isolation.world);
    let record = isolation.another("hangs", &slow, json!({}));
    assert_eq!((record.error, record.status), (json!("dns"), Value::Null));
    let url = format!("http://quick.example:{}/", receiver.port());
    assert_eq!(isolation.attempt("quick", &url, json!({})).error, Value::Null);
    assert_eq!(receiver.posts().len(), 1, "nothing went to the slow one");
    drop(story);
}

#[test]
fn a_name_with_twenty_addresses_is_delivered_to() {
    let isolation = Isolation::with(|wish| {
        wish.look_up = Arc::new(|name, port| {
            let mut addresses: Vec<SocketAddr> = (1..=20).map(|last| loopback(last, port)).collect();
            match name {
                // The last is not dialled, but shows that the name is private.
                "bad.example" => addresses[19] = ([10, 0, 0, 1], port).into(),
                // No server listens at the first fifteen.
                "late.example" => addresses.rotate_left(5),
                _ => {}
            }
            Ok(addresses)
        });
    });
    let receiver = Receiver::new();
    for name in ["many.example", "late.example"] {
        let url = format!("http://{name}:{}/", receiver.port());
        assert_eq!(isolation.attempt(name, &url, json!({})).error, Value::Null, "{name}");
    }
    assert_eq!(receiver.posts().len(), 2);
    let body = json!({ "url": format!("http://bad.example:{}/", receiver.port()), "events": ["*"], "cooperative_id": "COOP-MBALE-001" });
    assert_eq!(isolation.coop.post("/webhooks", body).code(422), "URL_NOT_ALLOWED");
}

/// A name that is the receiver's at registration and at the first attempt, and then this.
fn turned(scheme: &str, then: fn(u16) -> Vec<SocketAddr>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let world = World::with(|wish| {
        wish.config.delivery.timeout = TIMEOUT;
        wish.config.egress.allow = vec!["127.0.0.2/32".parse().expect("a block")];
        wish.look_up = Arc::new(move |_, port| {
            let early = count.fetch_add(1, Ordering::SeqCst) < 2;
            Ok(if early { vec![loopback(2, port)] } else { then(port) })
        });
    });
    let coop = world.coop();
    // No connection may come to this one.
    let private = RawReceiver::new(answers(200));
    let public = RawReceiver::at(loopback(2, private.port()), answers(500));
    let webhook = coop.webhook(&format!("{scheme}://turns.example:{}/", private.port()), &["dds.filed"], "s");
    forget(&world);
    coop.publish("dds.filed", json!({}));
    world.settle();
    let first = last_attempt(&coop, "first", &webhook);
    world.advance("30s");
    let second = last_attempt(&coop, "second", &webhook);
    if scheme == "http" {
        assert_eq!((first.error, first.status), (json!("status"), json!(500)));
    } else {
        assert_eq!(first.error, json!("timeout"), "it speaks no TLS");
    }
    assert_eq!((second.error, second.status, second.body), (json!("blocked"), Value::Null, Value::Null));
    assert_eq!((public.connections(), private.connections()), (1, 0), "nobody on loopback saw a connection");
    assert_eq!(asked.load(Ordering::SeqCst), 3, "at registration and at each attempt");
}

#[test]
fn a_name_that_turns_private_between_two_attempts_is_blocked() {
    turned("http", |port| vec![loopback(1, port)]);
    turned("https", |port| vec![loopback(1, port)]);
    // A good address beside it does not help, nor does another spelling of the bad one.
    turned("http", |port| vec![loopback(2, port), loopback(1, port)]);
    turned("http", |port| vec![SocketAddr::new("::ffff:127.0.0.1".parse().expect("an address"), port)]);
    turned("http", |port| vec![loopback(2, port), SocketAddr::new("::1".parse().expect("an address"), port)]);
}

#[test]
fn look_ups_that_hang_end_together_and_an_abandoned_one_is_not_started() {
    let (story, ends) = mpsc::channel::<()>();
    let ends = Arc::new(Mutex::new(ends));
    let (hang, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (hangs, count) = (Arc::clone(&hang), Arc::clone(&made));
    let isolation = Isolation::with(|wish| {
        wish.config.delivery.max_in_flight = 24;
        wish.look_up = Arc::new(move |_, port| {
            count.fetch_add(1, Ordering::SeqCst);
            if hangs.load(Ordering::SeqCst) {
                let _ = lock(&ends).recv_timeout(PATIENCE);
            }
            Ok(vec![loopback(1, port)])
        });
    });
    let receiver = Receiver::new();
    let hook = |number: usize| {
        let url = format!("http://slow-{number}.example:{}/", receiver.port());
        isolation.coop.webhook(&url, &["dds.filed"], "s")
    };
    let webhooks: Vec<String> = (0..20).map(hook).collect();
    let before = made.load(Ordering::SeqCst);
    hang.store(true, Ordering::SeqCst);
    forget(&isolation.world);
    isolation.another("twenty at once", &webhooks[0], json!({}));
    let mut errors = Vec::new();
    for webhook in &webhooks {
        errors.push(last_attempt(&isolation.coop, "hangs", webhook).error);
        isolation.coop.delete(&format!("/webhooks/{webhook}")).expect(204);
    }
    let stuck = made.load(Ordering::SeqCst) - before;
    assert_eq!(stuck, 16, "few threads look names up");
    // Who got no thread lost no try.
    let count = |class: &str| errors.iter().filter(|error| **error == class).count();
    assert_eq!((count("dns"), count("interrupted")), (16, 4), "{errors:?}");
    hang.store(false, Ordering::SeqCst);
    drop(story);
    let url = format!("http://quick.example:{}/", receiver.port());
    assert_eq!(isolation.attempt("quick", &url, json!({})).error, Value::Null);
    // One more at the registration; the attempt that follows at once shares it.
    assert_eq!(made.load(Ordering::SeqCst) - before, stuck + 1);
    assert_eq!(receiver.posts().len(), 1);
}
