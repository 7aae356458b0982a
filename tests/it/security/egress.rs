//! The address guard through the door and on the way: spellings, both dialects, changed rules, proxies.

use std::{
    fs,
    net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    security::egress_blocks::world,
    support::{
        client::{Answer, Client},
        measured_server::MeasuredServer,
        raw_receiver::RawReceiver,
        receiver::{Receiver, lock},
        world::{COOP, World},
    },
};

/// Ways to write 127.0.0.1 that a parser reads as the address, and a word of the reason for which each is refused.
const LOOPBACK: [(&str, &str); 21] = [
    ("http://0x7f.1/", "write 127.0.0.1"),
    ("http://0x7f000001/", "write 127.0.0.1"),
    ("http://2130706433/", "write 127.0.0.1"),
    ("http://127.1/", "write 127.0.0.1"),
    ("http://127.0.1/", "write 127.0.0.1"),
    ("http://017700000001/", "write 127.0.0.1"),
    ("http://0177.0.0.1/", "write 127.0.0.1"),
    ("http://0x7F.0.0.01/", "write 127.0.0.1"),
    ("http://%31%32%37.0.0.1/", "write 127.0.0.1"),
    ("http://\u{ff11}\u{ff12}\u{ff17}.\u{ff10}.\u{ff10}.\u{ff11}/", "write 127.0.0.1"),
    ("http://\u{2460}\u{2461}\u{2466}.0.0.1/", "write 127.0.0.1"),
    ("http://127\u{3002}0\u{3002}0\u{3002}1/", "write 127.0.0.1"),
    ("http://127.0.0.1./", "write 127.0.0.1"),
    ("http://127.0\t.0.1/", "a tab"),
    ("ht\ntp://127.0.0.1/", "a line break"),
    ("  http://127.0.0.1/  ", "a space"),
    ("http:127.0.0.1/", "two slashes and a host must follow http:"),
    ("http:/127.0.0.1/", "two slashes and a host must follow http:"),
    ("http:\\\\127.0.0.1\\", "a backslash"),
    ("http://@127.0.0.1/", "user name or password"),
    ("http://127.0.0.1/#@evil.example/", "a fragment"),
];

/// Ways to write it that every parser reads in the same way.
const PLAIN: [&str; 4] =
    ["http://127.0.0.1/", "HTTP://127.0.0.1:80/", "http://127.0.0.1", "http://[::ffff:127.0.0.1]:80?a=%2f"];

pub fn register(coop: &Client, url: &str) -> Answer {
    coop.post("/webhooks", json!({ "url": url, "events": ["*"], "cooperative_id": COOP }))
}

#[track_caller]
pub fn refused(coop: &Client, url: &str) -> String {
    let answer = register(coop, url);
    assert_eq!(answer.status, 422, "{url}: {}", answer.text);
    assert_eq!(answer.code(422), "URL_NOT_ALLOWED", "{url}");
    answer.json()["error"]["message"].as_str().expect("a sentence").to_owned()
}

#[test]
fn no_spelling_of_loopback_gets_by() {
    let shut = world(true, &[]);
    let (coop, operator) = (shut.coop(), shut.operator());
    for (url, reason) in LOOPBACK {
        let message = refused(&operator, url);
        assert!(message.contains(reason), "{url}: {message}");
    }
    for url in PLAIN {
        let message = refused(&operator, url);
        assert!(message.contains("127.0.0.1") && message.contains("egress.allow"), "{url}: {message}");
    }
    let others = ["[::1]", "[::]", "[::127.0.0.1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"];
    for host in others.iter().chain(&["0.0.0.0", "[64:ff9b::7f00:1]", "[2002:7f00:1::]"]) {
        assert!(refused(&coop, &format!("http://{host}/")).contains("egress.allow"), "{host}");
    }
    // The rules do not make an unclear URL clear.
    let open = world(false, &["127.0.0.1/32"]);
    let coop = open.coop();
    for (url, reason) in LOOPBACK {
        assert!(refused(&coop, url).contains(reason), "{url}");
    }
    for url in PLAIN {
        assert_eq!(register(&coop, url).expect(201)["url"], url);
    }
}

#[test]
fn urls_that_cannot_or_must_not_be_dialled_are_refused_with_a_reason() {
    let world = world(true, &[]);
    let coop = world.coop();
    let cases = [
        ("http://8.8.8.8:65536/", "port"),
        ("http://8.8.8.8:0/", "port is 0"),
        ("http://8.8.8.8:-1/", "port"),
        ("http://user:word@8.8.8.8/", "user name or password"),
        ("http://user@8.8.8.8/", "user name or password"),
        ("http://:word@8.8.8.8/", "user name or password"),
        ("http://8.8.8.8@127.0.0.1/", "user name or password"),
        ("ftp://8.8.8.8/", "https://"),
        ("file:///etc/passwd", "https://"),
        ("gopher://8.8.8.8/", "https://"),
        ("javascript:alert(1)", "https://"),
        ("unix:/run/x.sock", "https://"),
        ("8.8.8.8", "URL"),
        ("", "URL"),
        ("http://", "host"),
        ("http://1.2.3/", "write 1.2.0.3"),
        ("http://1.2.3.4.5/", "IPv4"),
        ("http://256.1.1.1/", "IPv4"),
        ("http://0x100000000/", "IPv4"),
        ("http://[::1", "IPv6"),
        ("http://[fe80::1%25eth0]/", "IPv6"),
        ("http://exa mple/", "domain"),
        ("http://a%00b/", "domain"),
    ];
    for (url, word) in cases {
        let message = refused(&coop, url);
        assert!(message.contains(word), "{url}: {message}");
    }
}

#[test]
fn both_dialects_name_the_setting() {
    let world = world(true, &[]);
    let (coop, customer) = (world.coop(), world.customer());
    for url in ["https://10.1.2.3/", "https://[fd00::7]/"] {
        let theirs = refused(&coop, url);
        let sentence = customer.post("/v1/webhooks", json!({ "callback_url": url })).sentence(422);
        for message in [theirs, sentence] {
            assert!(message.contains("its address is not allowed") && message.contains("egress.allow"), "{message}");
        }
    }
}

#[test]
fn a_change_is_judged_as_a_registration_is() {
    let world = world(true, &[]);
    let coop = world.coop();
    let made = register(&coop, "https://8.8.8.8/").expect(201);
    let path = format!("/webhooks/{}", made["webhook_id"].as_str().expect("an id"));
    let urls = LOOPBACK.map(|(url, _)| url);
    let urls = urls.iter().chain(&PLAIN).chain(&["https://[::1]/", "http://169.254.169.254/", "https://8.8.8.8:0/"]);
    for url in urls.chain(&["https://user@8.8.8.8/", "ftp://8.8.8.8/"]) {
        let answer = coop.patch(&path, json!({ "url": url }));
        assert_eq!(answer.code(422), "URL_NOT_ALLOWED", "{url}");
        assert_eq!(answer.json()["error"]["message"], refused(&coop, url), "{url}");
    }
    assert_eq!(coop.get(&path).expect(200)["url"], "https://8.8.8.8/");
    coop.patch(&path, json!({ "url": "https://1.1.1.1/" })).expect(200);
}

#[test]
fn plain_http_needs_its_own_setting() {
    let world = World::with(|wish| {
        wish.config.egress.public = true;
        wish.config.egress.allow_http = false;
    });
    let (coop, customer) = (world.coop(), world.customer());
    assert!(refused(&coop, "http://8.8.8.8/").contains("egress.allow_http"));
    assert!(refused(&coop, "http://127.0.0.1/").contains("egress.allow_http"), "an open address does not help");
    assert!(refused(&coop, "http://unknown.example/").contains("egress.allow_http"));
    let sentence = customer.post("/v1/webhooks", json!({ "callback_url": "http://8.8.8.8/" })).sentence(422);
    assert!(sentence.contains("egress.allow_http"), "{sentence}");
    register(&coop, "https://8.8.8.8/").expect(201);
}

#[test]
fn a_name_is_judged_by_every_address_it_has_and_asked_for_in_ascii() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let names = Arc::clone(&asked);
    let world = World::with(|wish| {
        wish.config.egress.public = true;
        wish.config.egress.allow = vec!["127.0.0.1/32".parse().expect("a block")];
        wish.look_up = Arc::new(move |name, port| {
            lock(&names).push(name.to_owned());
            let address = |text: &str| SocketAddr::new(text.parse().expect("an address"), port);
            Ok(match name {
                "mixed.example" => vec![address("8.8.8.8"), address("10.0.0.5")],
                "six.example" => vec![address("8.8.8.8"), address("fe80::1")],
                _ => vec![address("127.0.0.1")],
            })
        });
    });
    let coop = world.coop();
    let operator = world.operator();
    assert!(refused(&operator, "https://mixed.example/").contains("10.0.0.5"));
    assert!(refused(&operator, "https://six.example/").contains("fe80::1"));
    let receiver = Receiver::new();
    register(&coop, &format!("http://b\u{fc}cher.example:{}/a", receiver.port())).expect(201);
    coop.publish("dds.filed", json!({}));
    world.settle();
    let host = format!("xn--bcher-kva.example:{}", receiver.port());
    assert_eq!(receiver.only().header("host"), host);
    assert_eq!(lock(&asked).last().map(String::as_str), Some("xn--bcher-kva.example"));
    // The server itself stays shut, under every name.
    for host in ["self.example", "[::ffff:127.0.0.1]", "127.0.0.1", "[64:ff9b::7f00:1]"] {
        let message = refused(&operator, &format!("http://{host}:{}/", world.address().port()));
        assert!(message.contains("this server itself"), "{host}: {message}");
    }
}

/// The error of the last attempt of a webhook's newest delivery.
fn error_of(coop: &Client, webhook: &str) -> Value {
    coop.deliveries(webhook)[0]["error"].clone()
}

#[test]
fn tightened_rules_hold_for_webhooks_registered_before() {
    let mut world = World::new();
    let coop = world.coop();
    let receiver = Receiver::new();
    let webhook = coop.webhook(&receiver.url(), &["*"], "s");
    let (rules, shut): (_, [fn(&mut World); 2]) = (
        world.config.egress.clone(),
        [|world| world.config.egress.allow_http = false, |world| world.config.egress.allow.clear()],
    );
    for tighten in shut {
        world.config.egress = rules.clone();
        tighten(&mut world);
        world.restart();
        let coop = world.coop();
        coop.publish("dds.filed", json!({}));
        world.settle();
        assert_eq!(error_of(&coop, &webhook), "blocked");
    }
    assert_eq!(receiver.connections(), 0);
}

#[test]
fn proxies_of_the_environment_are_not_used() {
    let proxy = RawReceiver::new(|peer| {
        peer.read_request();
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nproxy");
    });
    let there = format!("http://127.0.0.1:{}", proxy.port());
    let program = MeasuredServer::with(|serve| {
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
            serve.env(name, &there).env(name.to_lowercase(), &there);
        }
        serve.env_remove("NO_PROXY").env_remove("no_proxy");
    });
    let receiver = Receiver::new();
    assert_eq!(program.attempt(&receiver.url())["response_body"], "{\"received\":true}");
    assert_eq!(receiver.only().path, "/hook", "asked as an origin, not as a proxy");
    let plain = RawReceiver::new(|peer| {
        peer.send("no TLS here\r\n\r\n");
        peer.hold_open();
    });
    let seen = program.attempt(&format!("https://127.0.0.1:{}/", plain.port()));
    assert_eq!(seen["error"], "tls", "{seen}");
    assert_eq!(proxy.connections(), 0);
}

#[test]
fn the_unspecified_address_is_the_server_itself_too() {
    // Connecting to it reaches loopback.
    for listen in ["127.0.0.1:0", "0.0.0.0:0"] {
        let world = World::with(|wish| {
            wish.config.server.listen = listen.parse().expect("an address");
            wish.config.egress.allow = ["0.0.0.0/0", "::/0"].map(|block| block.parse().expect("a block")).into();
        });
        let port = world.address().port();
        for host in ["0.0.0.0", "[::]", "[::ffff:0.0.0.0]", "127.0.0.1"] {
            let message = refused(&world.operator(), &format!("http://{host}:{port}/"));
            assert!(message.contains("this server itself"), "{listen}, {host}: {message}");
        }
    }
}

/// The addresses of this machine's interfaces, but not those that need a scope; loopback is always among them.
fn interfaces() -> Vec<IpAddr> {
    let v4 = fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    let v6 = fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    let mut found: Vec<IpAddr> = vec!["127.0.0.1".parse().expect("an address")];
    let mut last = "";
    for line in v4.lines().map(str::trim) {
        if line == "/32 host LOCAL" {
            found.extend(last.parse::<IpAddr>());
        }
        last = line.trim_start_matches("|-- ");
    }
    for line in v6.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [number, _, _, "00" | "10", ..] = words[..] else { continue };
        found.push(Ipv6Addr::from_bits(u128::from_str_radix(number, 16).expect("hexadecimal")).into());
    }
    found.sort();
    found.dedup();
    found
}

/// A world that listens there and would deliver to every address that is not its own.
fn wide_open(listen: &str, elsewhere: Arc<AtomicBool>) -> World {
    let mut own = interfaces();
    own.sort_by_key(IpAddr::is_loopback);
    let itself = own[0];
    World::with(|wish| {
        wish.config.server.listen = listen.parse().expect("an address");
        wish.config.egress.allow = ["0.0.0.0/0", "::/0"].map(|block| block.parse().expect("a block")).into();
        wish.look_up = Arc::new(move |_, port| {
            let there = if elsewhere.load(Ordering::SeqCst) { "8.8.8.8".parse().expect("an address") } else { itself };
            Ok(vec![SocketAddr::new(there, port)])
        });
    })
}

/// Registers a webhook to which this story sends nothing.
#[track_caller]
fn taken(coop: &Client, url: &str) {
    coop.webhook(url, &["batch.exported"], "s");
}

#[test]
fn a_server_that_listens_everywhere_is_itself_at_every_address_of_its_machine() {
    let interfaces = interfaces();
    println!("the addresses of this machine: {interfaces:?}");
    let everywhere = ["0.0.0.0:0", "[::]:0"].into_iter().filter(|listen| TcpListener::bind(listen).is_ok());
    for listen in everywhere {
        let elsewhere = Arc::new(AtomicBool::new(true));
        let world = wide_open(listen, Arc::clone(&elsewhere));
        let (coop, operator, port) = (world.coop(), world.operator(), world.address().port());
        let own = interfaces
            .iter()
            .copied()
            .chain(["127.0.0.2", "127.255.255.254", "::"].map(|own| own.parse().expect("an address")));
        for own in own {
            let mapped = match own {
                IpAddr::V4(own) => own.to_ipv6_mapped().into(),
                IpAddr::V6(_) => own,
            };
            for spelling in [own, mapped] {
                let message = refused(&operator, &format!("http://{}/", SocketAddr::new(spelling, port)));
                assert!(message.contains("this server itself"), "{listen}, {spelling}: {message}");
            }
            // Another server of this machine is none of its business, and nor is its own port elsewhere.
            taken(&coop, &format!("http://{}/", SocketAddr::new(own, port ^ 1)));
        }
        for other in ["8.8.8.8", "198.51.100.7", "[2600::1]", "[fd00:ffff::1]"] {
            taken(&coop, &format!("http://{other}:{port}/"));
        }
        // A name with a foreign address at registration, and later one of these addresses.
        let webhook = coop.webhook(&format!("http://turns.example:{port}/"), &["dds.filed"], "s");
        elsewhere.store(false, Ordering::SeqCst);
        world.move_clock(Duration::from_secs(2));
        coop.publish("dds.filed", json!({}));
        world.settle();
        assert_eq!(error_of(&coop, &webhook), "blocked", "{listen}");
    }
}

#[test]
fn a_server_that_listens_at_one_address_is_itself_there_only() {
    for (listen, own, others) in [
        ("127.0.0.1:0", ["127.0.0.1", "0.0.0.0", "[::]"], ["127.0.0.2", "8.8.8.8", "[::1]"]),
        ("127.0.0.2:0", ["127.0.0.2", "[::ffff:127.0.0.2]", "0.0.0.0"], ["127.0.0.1", "127.0.0.3", "[::1]"]),
    ] {
        let world = wide_open(listen, Arc::default());
        let (coop, operator, port) = (world.coop(), world.operator(), world.address().port());
        for host in own {
            let message = refused(&operator, &format!("http://{host}:{port}/"));
            assert!(message.contains("this server itself"), "{listen}, {host}: {message}");
            taken(&coop, &format!("http://{host}:{}/", port ^ 1));
        }
        for host in others {
            taken(&coop, &format!("http://{host}:{port}/"));
        }
    }
}
