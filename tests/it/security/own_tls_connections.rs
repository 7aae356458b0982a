//! Connections by TLS: a handshake is bounded in time, and takes a place as any connection.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::Duration,
};

use crate::{
    security::own_tls::shake,
    support::{
        pebble::Own,
        raw_client::{connect_from, sip},
        world::{Wish, World},
    },
};

const ONE: [u8; 4] = [127, 0, 0, 2];
const OTHER: [u8; 4] = [127, 0, 0, 3];

/// A server with a certificate of its own, and other settings than usual.
fn world(own: &Own, change: impl FnOnce(&mut Wish)) -> World {
    let (chain, key) = own.certificate("own");
    World::with(|wish: &mut Wish| {
        (wish.config.tls.certificate, wish.config.tls.key) = (chain, key);
        change(wish);
    })
}

/// Reads until the server has closed it, and returns the bytes.
fn rest(stream: &mut impl Read) -> Vec<u8> {
    let mut read = Vec::new();
    match stream.read_to_end(&mut read) {
        Ok(_) => {}
        Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof) => {}
        Err(error) => panic!("it is not closed: {error}"),
    }
    read
}

/// Whether the server answers a request from this address.
fn answers(world: &World, own: &Own, from: [u8; 4]) -> bool {
    let Ok(mut stream) = shake(connect_from(from, world.address(), None), &own.authority()) else { return false };
    let ask = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(ask).is_ok() && rest(&mut stream).starts_with(b"HTTP/1.1 200")
}

#[test]
fn a_handshake_that_does_not_go_on_ends_in_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let own = Own::new(folder.path());
    let world = world(&own, |wish| wish.config.limits.client_timeout = Duration::from_millis(300));
    let mut silent = TcpStream::connect(world.address()).expect("the kernel takes it");
    let mut begun = TcpStream::connect(world.address()).expect("the kernel takes it");
    // The head of a record whose rest never comes.
    begun.write_all(&[22, 3, 1, 1, 0]).expect("it is open");
    assert_eq!(rest(&mut silent), b"");
    rest(&mut begun);
    // One that has shaken hands and asks nothing.
    let mut idle = shake(connect_from(ONE, world.address(), None), &own.authority()).expect("a connection");
    assert_eq!(rest(&mut idle), b"");
}

#[test]
fn handshakes_of_one_client_take_its_own_places_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let own = Own::new(folder.path());
    let world = world(&own, |wish| wish.config.limits.connections_per_client = 2);
    let held = [(); 2].map(|()| connect_from(ONE, world.address(), None));
    assert!(answers(&world, &own, OTHER));
    assert!(!answers(&world, &own, ONE), "both of its places are taken");
    drop(held);
    let freed = (0..10_000).any(|_| answers(&world, &own, ONE));
    assert!(freed, "its places are free again");
}

#[test]
fn a_handshake_makes_way_when_all_places_are_taken() {
    let folder = tempfile::tempdir().expect("a folder");
    let own = Own::new(folder.path());
    let world = world(&own, |wish| wish.config.limits.connections = 3);
    let mut held = [(); 3].map(|()| connect_from(ONE, world.address(), None));
    assert!(answers(&world, &own, OTHER));
    assert_eq!(rest(&mut held[0]), b"", "the one that waited longest made way");
}

#[test]
fn a_stop_does_not_wait_for_handshakes() {
    let folder = tempfile::tempdir().expect("a folder");
    let own = Own::new(folder.path());
    let mut world = world(&own, |_| {});
    let mut held = connect_from(ONE, world.address(), None);
    assert!(answers(&world, &own, OTHER));
    let begun = std::time::Instant::now();
    world.stop();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(rest(&mut held), b"");
}

#[test]
fn without_tls_the_port_answers_nothing_and_a_large_answer_comes_whole_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let own = Own::new(folder.path());
    let world = world(&own, |_| {});
    let mut plain = connect_from(ONE, world.address(), None);
    plain.write_all(b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("the kernel takes it");
    let said = rest(&mut plain);
    assert!(!said.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&said));
    let mut stream = shake(connect_from(ONE, world.address(), Some(4096)), &own.authority()).expect("a connection");
    let ask = "GET /docs HTTP/1.1\r\nhost: localhost\r\naccept-encoding: identity\r\nconnection: close\r\n\r\n";
    stream.write_all(ask.as_bytes()).expect("it is open");
    let page = rest(&mut stream);
    let (head, body) = page.split_at(page.windows(4).position(|end| end == b"\r\n\r\n").expect("a head") + 4);
    let head = String::from_utf8_lossy(head).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    assert_eq!(body.len().to_string(), length, "{head}");
}

#[test]
fn a_client_that_reads_too_slowly_by_tls_is_closed() {
    const PAGES: usize = 4;
    let folder = tempfile::tempdir().expect("a folder");
    let own = Own::new(folder.path());
    let world = world(&own, |wish| wish.config.limits.client_timeout = Duration::from_millis(300));
    let reads = |buffer, read: &dyn Fn(&mut dyn Read) -> usize| {
        let mut stream =
            shake(connect_from(ONE, world.address(), Some(buffer)), &own.authority()).expect("a connection");
        let ask = |ends: &str| format!("GET /docs HTTP/1.1\r\nhost: localhost\r\n{ends}\r\n");
        let asks = ask("").repeat(PAGES - 1) + &ask("connection: close\r\n");
        stream.write_all(asks.as_bytes()).expect("it is open");
        read(&mut stream)
    };
    let whole = (0..10).map(|_| reads(65_536, &|mut stream| rest(&mut stream).len())).max().expect("a size");
    // Each record is taken within the time, but they are few.
    let came = reads(4096, &|mut stream| sip(&mut stream, 5000));
    assert!(came < whole / 4, "{came} of {whole} bytes");
    // A slow one that takes enough in its time is served to the end.
    let came = reads(65_536, &|mut stream| sip(&mut stream, 65_536));
    assert!(came > whole - PAGES * 100, "{came} of {whole} bytes");
}
