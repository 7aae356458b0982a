//! The port for `http://` leads to this server by `https://`, and nowhere else.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use crate::support::{
    curl::free_port,
    pebble::Own,
    receiver::PATIENCE,
    world::{Wish, World},
};

/// What this port answers: the status, and where it leads.
fn led(port: u16, request: &str) -> (u16, Option<String>) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a bound");
    stream.write_all(request.as_bytes()).expect("it is open");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer, and its end");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let mut lines = answer.lines();
    let place = lines.find_map(|line| line.strip_prefix("location: ")).map(str::to_owned);
    (status.unwrap_or_else(|| panic!("an answer: {answer}")), place)
}

#[test]
fn what_comes_by_http_is_led_to_the_same_place_of_this_server_whatever_its_form() {
    let (folder, plain) = (tempfile::tempdir().expect("a folder"), free_port());
    let own = Own::new(folder.path());
    let (chain, key) = own.certificate_for("own", "hooks.example");
    let _world = World::with(|wish: &mut Wish| {
        let tls = &mut wish.config.tls;
        (tls.domains, tls.certificate, tls.key) = (vec!["hooks.example".to_owned()], chain, key);
        tls.http_listen = Some(([127, 0, 0, 1], plain).into());
        wish.config.limits.request_url_bytes = 1000;
    });
    let long = format!("/{}", "a".repeat(1000));
    for (target, hosts, status, place) in [
        ("GET /ui?a=b%20c", &["hooks.example"][..], 308, "https://hooks.example/ui?a=b%20c"),
        ("GET /", &["HOOKS.example:8080"], 308, "https://hooks.example/"),
        ("GET /", &["hooks.example."], 308, "https://hooks.example/"),
        ("OPTIONS *", &["hooks.example"], 308, "https://hooks.example"),
        ("GET http://hooks.example/x?y=z", &["evil.example"], 308, "https://hooks.example/x?y=z"),
        ("GET http://evil.example/x", &["hooks.example"], 421, ""),
        ("GET /", &["evil.example"], 421, ""),
        ("GET /", &["hooks.example", "hooks.example"], 400, ""),
        ("GET /", &[], 400, ""),
        (&format!("GET {long}"), &["hooks.example"], 414, ""),
    ] {
        let hosts: String = hosts.iter().map(|host| format!("host: {host}\r\n")).collect();
        let (answered, led) = led(plain, &format!("{target} HTTP/1.1\r\n{hosts}\r\n"));
        let place = Some(place.to_owned()).filter(|place| !place.is_empty());
        assert_eq!((answered, led), (status, place), "{target} {hosts:?}");
    }
}
