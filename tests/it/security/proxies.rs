//! Behind a proxy: each client has its own share, and cannot pass for another client.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use serde_json::Value;

use crate::support::{
    client::Client,
    receiver::PATIENCE,
    site::{Server, Site},
};

/// A server that trusts these proxies, as a list of TOML, and lets a client have two connections.
fn behind(proxies: Option<&str>) -> (Site, Server) {
    let mut site = Site::new();
    site.set("LOG__FORMAT", "json").set("LIMITS__CONNECTIONS_PER_CLIENT", "2");
    proxies.map(|proxies| site.set("SERVER__TRUSTED_PROXIES", proxies));
    let server = site.start();
    (site, server)
}

fn forwarded(client: &Client, lines: &[&str]) {
    let headers: Vec<(&str, &str)> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
    client.send("GET", "/webhooks", &headers, None).expect(200);
}

/// The clients of the logged requests, in their order.
fn clients(server: Server) -> Vec<String> {
    let mut server = server;
    server.running.signal("TERM");
    assert!(server.running.wait().success());
    let log = server.running.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let requests = lines.filter(|line| line["path"] == "/webhooks");
    requests.map(|line| line["client.address"].as_str().unwrap_or("-").to_owned()).collect()
}

#[test]
fn a_request_line_names_its_client_as_a_trusted_proxy_and_nobody_else_says_it() {
    let (_site, stranger) = behind(None);
    forwarded(&stranger.coop(), &["203.0.113.9"]);
    assert_eq!(clients(stranger), ["127.0.0.1"], "anybody can write a header");

    let (_site, other) = behind(Some("[\"127.0.0.2/32\"]"));
    forwarded(&other.coop(), &["203.0.113.9"]);
    assert_eq!(clients(other), ["127.0.0.1"], "another proxy is trusted");

    let (_site, server) = behind(Some("[\"127.0.0.1/32\", \"10.0.0.0/8\"]"));
    let cases: [(&[&str], &str); 11] = [
        (&[], "127.0.0.1"),
        (&["203.0.113.9"], "203.0.113.9"),
        // The client's own entries stand before those of the proxies.
        (&["6.6.6.6, 203.0.113.9, 10.0.0.3"], "203.0.113.9"),
        (&["6.6.6.6,203.0.113.9", " 10.0.0.3 "], "203.0.113.9"),
        (&["10.0.0.4, 10.0.0.3"], "10.0.0.4"),
        (&["203.0.113.9:4711"], "203.0.113.9"),
        (&["[2001:db8::7]:4711"], "2001:db8::7"),
        (&["2001:db8::7"], "2001:db8::7"),
        (&["::ffff:203.0.113.9"], "203.0.113.9"),
        // A part that is no address ends the walk back.
        (&["6.6.6.6, unknown, 10.0.0.3"], "10.0.0.3"),
        (&["nonsense"], "127.0.0.1"),
    ];
    for (lines, _) in cases {
        forwarded(&server.coop(), lines);
    }
    assert_eq!(clients(server), cases.map(|(_, client)| client.to_owned()));
}

/// A request of this client that waits for its body.
fn begin(server: &Server, client: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).expect("the kernel takes it");
    stream.set_read_timeout(Some(PATIENCE)).expect("a bound");
    let token = server.environment()[1].1;
    let head = format!(
        "POST /events HTTP/1.1\r\nhost: n\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         expect: 100-continue\r\ncontent-length: 2\r\nx-forwarded-for: {client}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("it is open");
    stream
}

/// The next status line that comes: 100 once the body is waited for.
fn status(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        assert_eq!(stream.read(&mut byte).expect("an answer"), 1, "{}", String::from_utf8_lossy(&head));
        head.extend(byte);
    }
    String::from_utf8_lossy(&head[9..12]).into_owned()
}

#[test]
fn behind_a_trusted_proxy_each_client_has_its_own_share() {
    let (_site, server) = behind(Some("[\"127.0.0.1/32\"]"));
    // The proxy itself may hold as many connections as it likes.
    let mut held: Vec<TcpStream> = (0..10).map(|client| begin(&server, &format!("198.51.100.{client}"))).collect();
    held.iter_mut().for_each(|stream| assert_eq!(status(stream), "100"));
    let mut greedy = [begin(&server, "203.0.113.9"), begin(&server, "203.0.113.9")];
    greedy.iter_mut().for_each(|stream| assert_eq!(status(stream), "100"));
    assert_eq!(status(&mut begin(&server, "203.0.113.9")), "429", "one more than it may have");
    assert_eq!(status(&mut begin(&server, "\u{e9}, 203.0.113.9")), "429", "whatever it writes before its address");
    assert_eq!(status(&mut begin(&server, "203.0.113.10")), "100", "another has its own");
    // A network of IPv6 is one client.
    let mut network = [begin(&server, "2001:db8::1"), begin(&server, "2001:db8::2")];
    network.iter_mut().for_each(|stream| assert_eq!(status(stream), "100"));
    assert_eq!(status(&mut begin(&server, "2001:db8::3")), "429");
    for stream in &mut greedy {
        stream.write_all(b"{}").expect("it is open");
        assert_eq!(status(stream), "400", "no event, and an end");
    }
    assert_eq!(status(&mut begin(&server, "203.0.113.9")), "100", "its places are free again");
}
