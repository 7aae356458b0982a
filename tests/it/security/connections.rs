//! Connections of API clients: too many, idle, or too slow.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    time::{Duration, Instant},
};

use ngoma::http::client::network as client;

use crate::support::{
    raw_client::{connect_from, sip},
    receiver::{PATIENCE, Receiver, Reply},
    world::{COOP, Holder, Wish, World},
};

/// Far below the least that the settings allow: a world is built without their check.
const TIMEOUT: Duration = Duration::from_millis(300);
/// How long a look at a connection may last on which nothing is expected.
const GLANCE: Duration = Duration::from_millis(100);

/// How long a stop waits for requests under way.
const GRACE: Duration = Duration::from_secs(10);

const LIVE: &[u8] = b"GET /health/live HTTP/1.1\r\nhost: ngoma\r\n\r\n";

fn connect(world: &World) -> TcpStream {
    let stream = TcpStream::connect(world.address()).expect("the kernel takes it");
    stream.set_read_timeout(Some(PATIENCE)).expect("a bound");
    stream.set_write_timeout(Some(PATIENCE)).expect("a bound");
    stream
}

/// Reads one answer of the health route.
fn answered(stream: &mut TcpStream) -> io::Result<()> {
    let mut text = Vec::new();
    let mut buffer = [0; 1024];
    while !text.ends_with(br#"{"status":"ok"}"#) {
        match stream.read(&mut buffer)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            read => text.extend_from_slice(&buffer[..read]),
        }
    }
    assert!(text.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&text));
    Ok(())
}

/// Whether nothing came within a glance.
fn is_silent(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(GLANCE)).expect("a bound");
    let silent = matches!(stream.read(&mut [0]), Err(error) if waits(&error));
    stream.set_read_timeout(Some(PATIENCE)).expect("a bound");
    silent
}

fn waits(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Reads until the server has closed it, and gives how much came before.
fn read_to_close(stream: &mut TcpStream) -> usize {
    let mut count = 0;
    let mut buffer = vec![0; 65_536];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return count,
            Ok(read) => count += read,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return count,
            Err(error) => panic!("it is not closed: {error}"),
        }
    }
}

#[test]
fn one_connection_more_than_there_may_be_takes_the_place_of_the_one_that_has_waited_longest() {
    let world = World::with(|wish: &mut Wish| wish.config.limits.connections = 4);
    let mut open: Vec<TcpStream> = (0..4).map(|_| connect(&world)).collect();
    let ask = |stream: &mut TcpStream| {
        stream.write_all(LIVE).expect("it is open");
        answered(stream).expect("there is a place for it");
    };
    open.iter_mut().for_each(ask);
    // Of the first and the second, the second has waited longer now.
    ask(&mut open[0]);
    let mut fifth = connect(&world);
    ask(&mut fifth);
    assert_eq!(read_to_close(&mut open.remove(1)), 0, "it made way");
    open.iter_mut().for_each(ask);
    ask(&mut fifth);
}

#[test]
fn a_connection_with_a_request_in_progress_makes_way_for_nobody() {
    let world = World::with(|wish: &mut Wish| wish.config.limits.connections = 2);
    let token = world.token_for(Holder::Account(COOP.to_owned()), "events");
    world_page(&world);
    // One that is sending its request, and one that has not read all of its answer.
    let body = r#"{"event":"dds.filed","data":{}}"#;
    let (mut sends, mut reads) = (connect(&world), connect_from([127, 0, 0, 1], world.address(), Some(4096)));
    let head = format!(
        "POST /events HTTP/1.1\r\nhost: n\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nexpect: 100-continue\r\n\r\n{{",
        body.len()
    );
    sends.write_all(head.as_bytes()).expect("it is open");
    // From then on its request is in progress.
    sends.read_exact(&mut [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()]).expect("the body is waited for");
    reads.write_all(b"GET /docs HTTP/1.1\r\nhost: n\r\n\r\n").expect("it is open");
    reads.read_exact(&mut [0; 12]).expect("it begins");
    let mut third = connect(&world);
    third.write_all(LIVE).expect("the kernel keeps it");
    assert!(is_silent(&mut third), "nobody serves it");
    sends.write_all(&body.as_bytes()[1..]).expect("it is open");
    sends.read_exact(&mut [0; 12]).expect("it is answered");
    answered(&mut third).expect("it has the place of the one that has its answer");
    read_to_close(&mut sends);
    let mut status = vec![0; 500_000];
    reads.read_exact(&mut status).expect("the other one reads on");
}

#[test]
fn idle_connections_of_many_addresses_keep_nobody_out() {
    let world = World::with(|wish: &mut Wish| {
        wish.config.limits.connections = 64;
        wish.config.limits.connections_per_client = 16;
        // Nothing but a lack of room closes them.
        wish.config.limits.client_timeout = Duration::from_secs(3600);
    });
    let idle: Vec<TcpStream> = (2..7)
        .flat_map(|host| (0..16).map(move |_| host))
        .map(|host| connect_from([127, 0, 0, host], world.address(), None))
        .collect();
    for _ in 0..20 {
        let mut sixth = connect(&world);
        sixth.write_all(LIVE).expect("the kernel takes it");
        answered(&mut sixth).expect("it is served");
    }
    drop(idle);
}

#[test]
fn the_addresses_of_one_network_of_ipv6_are_one_client() {
    let client = |text: &str| client(text.parse().expect("an address"));
    assert_eq!(client("2001:db8:1:2:3:4:5:6"), client("2001:db8:1:2::1"));
    assert_ne!(client("2001:db8:1:2::1"), client("2001:db8:1:3::1"));
    assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
    assert_eq!(client("::ffff:192.0.2.1"), client("192.0.2.1"));
}

#[test]
fn a_client_that_asks_for_nothing_is_closed() {
    let world = World::with(|wish: &mut Wish| wish.config.limits.client_timeout = TIMEOUT);
    let begun = Instant::now();
    assert_eq!(read_to_close(&mut connect(&world)), 0);
    assert!(begun.elapsed() >= TIMEOUT, "not before its time");
}

#[test]
fn a_client_that_rests_after_an_answer_is_closed() {
    let world = World::with(|wish: &mut Wish| wish.config.limits.client_timeout = TIMEOUT);
    let mut stream = connect(&world);
    stream.write_all(LIVE).expect("it is open");
    answered(&mut stream).expect("served");
    let begun = Instant::now();
    read_to_close(&mut stream);
    assert!(begun.elapsed() < PATIENCE);
}

#[test]
fn a_client_that_drips_its_header_is_closed() {
    let world = World::with(|wish: &mut Wish| wish.config.limits.client_timeout = TIMEOUT);
    let mut stream = connect(&world);
    stream.write_all(b"GET /health/live HTTP/1.1\r\nx-slow: ").expect("it is open");
    drips(&mut stream, b"x");
}

/// Sends this again and again, until the server has closed the connection.
fn drips(stream: &mut TcpStream, bytes: &[u8]) {
    let begun = Instant::now();
    stream.set_read_timeout(Some(Duration::from_millis(20))).expect("a bound");
    loop {
        // Every look waits a little; then comes the next.
        match stream.read(&mut [0; 512]) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if waits(&error) => {}
            Err(_) => break,
        }
        if stream.write_all(bytes).is_err() {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "it is served for ever");
    }
}

#[test]
fn a_client_that_pings_is_closed() {
    let world = World::with(|wish: &mut Wish| wish.config.limits.client_timeout = TIMEOUT);
    let mut stream = connect(&world);
    // HTTP/2 without asking first: its preface, its settings, and then a sign of life now and then.
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").expect("it is open");
    drips(&mut stream, b"\0\0\x08\x06\0\0\0\0\0ngomapin");
}

#[test]
fn a_stop_waits_for_no_client_that_asks_for_nothing() {
    let mut world = World::new();
    let (mut silent, mut rests) = (connect(&world), connect(&world));
    rests.write_all(LIVE).expect("it is open");
    answered(&mut rests).expect("served");
    let begun = Instant::now();
    world.stop();
    assert!(begun.elapsed() < GRACE, "{:?}", begun.elapsed());
    for stream in [&mut silent, &mut rests] {
        assert_eq!(read_to_close(stream), 0);
    }
}

#[test]
fn a_client_that_sends_half_a_body_is_closed() {
    let world = World::with(|wish: &mut Wish| wish.config.limits.client_timeout = TIMEOUT);
    let token = world.token_for(Holder::Operator, "operator");
    let mut stream = connect(&world);
    let head = format!(
        "POST /events HTTP/1.1\r\nhost: ngoma\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         content-length: 100\r\n\r\n{{\"event\":"
    );
    stream.write_all(head.as_bytes()).expect("it is open");
    read_to_close(&mut stream);
}

#[test]
fn a_client_that_never_reads_is_closed_and_its_place_is_free() {
    const PAGES: usize = 40;
    let world = World::with(|wish: &mut Wish| {
        wish.config.limits.client_timeout = TIMEOUT;
        wish.config.limits.connections = 1;
    });
    let mut stream = connect(&world);
    // More pages than all buffers on the way can hold.
    stream.write_all(&b"GET /docs HTTP/1.1\r\nhost: ngoma\r\n\r\n".repeat(PAGES)).expect("it is open");
    let mut next = connect(&world);
    next.write_all(LIVE).expect("the kernel keeps it");
    answered(&mut next).expect("the only place became free");
    drop(next);
    let came = read_to_close(&mut stream);
    let whole = world_page(&world) * PAGES;
    assert!(came < whole, "it was cut off, not served: {came} of {whole} bytes");
}

/// The size of the docs page.
fn world_page(world: &World) -> usize {
    let ask = |_| {
        let mut stream = connect(world);
        stream.write_all(b"GET /docs HTTP/1.1\r\nhost: ngoma\r\nconnection: close\r\n\r\n").expect("it is open");
        stream.shutdown(Shutdown::Write).expect("all is said");
        read_to_close(&mut stream)
    };
    // It is made when it is first asked for, which may take a debug build longer than a client's time.
    let size = (0..10).map(ask).find(|size| *size > 0).expect("a page");
    assert!(size > 1_000_000, "{size} bytes");
    size
}

#[test]
fn a_connection_served_in_time_is_never_closed() {
    let world = World::with(|wish: &mut Wish| wish.config.limits.client_timeout = TIMEOUT);
    let mut stream = connect(&world);
    let begun = Instant::now();
    // Each answer that is taken gives it its time anew.
    while begun.elapsed() < 2 * TIMEOUT {
        stream.write_all(LIVE).expect("it is open");
        answered(&mut stream).expect("served");
    }
}

#[test]
fn a_slow_answer_reaches_a_client_that_waits_for_it() {
    let world = World::with(|wish: &mut Wish| wish.config.limits.client_timeout = TIMEOUT);
    let receiver = Receiver::new();
    receiver.next([Reply::Gate(200)]);
    let token = world.token_for(Holder::Account(COOP.to_owned()), "webhooks");
    let webhook = world.client(&token).webhook(&receiver.url(), &["*"], "s");
    let mut stream = connect(&world);
    let head = format!(
        "POST /webhooks/{webhook}/test HTTP/1.1\r\nhost: ngoma\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("it is open");
    stream.write_all(b"{}").expect("it is open");
    receiver.wait_for(1);
    let begun = Instant::now();
    while begun.elapsed() < 2 * TIMEOUT {
        assert!(is_silent(&mut stream), "no answer yet, and no end");
    }
    receiver.open_gate();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer, and then the end");
    assert!(answer.starts_with("HTTP/1.1 200"), "'{answer}'");
}

#[test]
fn a_client_that_has_said_all_gets_its_answer() {
    let world = World::new();
    let token = world.token_for(Holder::Account(COOP.to_owned()), "events");
    let body = r#"{"event":"dds.filed","data":{}}"#;
    let request = format!(
        "POST /events HTTP/1.1\r\nhost: ngoma\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    for _ in 0..20 {
        let mut stream = connect(&world);
        stream.write_all(request.as_bytes()).expect("it is open");
        stream.shutdown(Shutdown::Write).expect("all is said");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer, and then the end");
        assert!(answer.starts_with("HTTP/1.1 202"), "'{answer}'");
    }
}

#[test]
fn an_address_may_have_as_many_connections_as_connections_per_client() {
    let world = World::with(|wish: &mut Wish| wish.config.limits.connections_per_client = 2);
    let (greedy, other) = ([127, 0, 0, 2], [127, 0, 0, 3]);
    let served = |from: [u8; 4]| {
        let mut stream = connect_from(from, world.address(), None);
        // One that was closed at once may refuse this already.
        stream.write_all(LIVE).and_then(|()| answered(&mut stream)).map(|()| stream)
    };
    let held = [served(greedy).expect("the first"), served(greedy).expect("the second")];
    for _ in 0..5 {
        served(greedy).expect_err("one more than it may have");
    }
    served(other).expect("another address has its own");
    drop(held);
    let begun = Instant::now();
    while served(greedy).is_err() {
        assert!(begun.elapsed() < PATIENCE, "its places are free again");
    }
}

#[test]
fn a_client_that_reads_too_slowly_is_closed() {
    const PAGES: usize = 4;
    let world = World::with(|wish: &mut Wish| wish.config.limits.client_timeout = TIMEOUT);
    // But for a few bytes of its heads.
    let whole = world_page(&world) * PAGES;
    let mut asks = b"GET /docs HTTP/1.1\r\nhost: n\r\n\r\n".repeat(PAGES - 1);
    asks.extend(b"GET /docs HTTP/1.1\r\nhost: n\r\nconnection: close\r\n\r\n");
    // Each sip is taken within the time, but they are few.
    let mut stream = connect_from([127, 0, 0, 1], world.address(), Some(4096));
    stream.write_all(&asks).expect("it is open");
    let came = sip(&mut stream, 5000);
    assert!(came < whole / 4, "{came} of {whole} bytes");
    // As slow as one may be, and a good deal more: served to the end, though each answer takes longer than the time.
    let mut stream = connect_from([127, 0, 0, 1], world.address(), Some(65_536));
    stream.write_all(&asks).expect("it is open");
    let begun = Instant::now();
    let came = sip(&mut stream, 65_536);
    assert!(came > whole - PAGES * 100 && begun.elapsed() > TIMEOUT, "{came} of {whole} bytes");
}
