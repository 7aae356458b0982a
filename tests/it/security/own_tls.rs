//! TLS by the server itself: certificates from an authority (Debian's Pebble, on loopback), or from files.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use ngoma::{config::Config, domain::timestamp::Timestamp};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto::ring, pki_types::ServerName};
use serde_json::{Value, json};

use crate::support::{
    curl::{Curl, free_port},
    leaks,
    pebble::{LIFE, Own, Pebble, certificates},
    program::run,
    receiver::PATIENCE,
    site::{Server, Site},
    world::{COOP, Wish, World},
};

/// Pebble looks this often for the answer to one challenge.
pub(super) const LOOKS: usize = 3;
pub(super) const CLIENT: &str = "127.0.0.1";
pub(super) const DAY: Duration = Duration::from_secs(86_400);

/// A connection by TLS to this port, whose server has a certificate for `localhost` of these authorities.
pub(super) fn shake(stream: TcpStream, roots: &Path) -> Result<StreamOwned<ClientConnection, TcpStream>, String> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(certificates(roots));
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().expect("versions").with_root_certificates(store);
    let name = ServerName::try_from("localhost").expect("a name");
    let client = ClientConnection::new(Arc::new(config.with_no_client_auth()), name).expect("a client");
    stream.set_read_timeout(Some(PATIENCE)).expect("a bound");
    let mut stream = StreamOwned::new(client, stream);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).map_err(|error| error.to_string())?;
    }
    Ok(stream)
}

/// The certificate that the server of this port shows; `None` if no connection comes about.
pub(super) fn shown(port: u16, roots: &Path) -> Option<Vec<u8>> {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    let stream = shake(stream, roots).ok()?;
    Some(stream.conn.peer_certificates()?.first()?.to_vec())
}

/// The answer that comes after repeated requests.
#[track_caller]
pub(super) fn in_the_end<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "it never comes");
        thread::yield_now();
    }
}

/// A server that gets its certificate from this authority.
fn site(pebble: &Pebble, tls: u16, plain: u16) -> Site {
    let mut site = Site::new();
    site.set("SERVER__LISTEN", &format!("127.0.0.1:{tls}")).set("LOG__FORMAT", "json");
    site.set("SERVER__PUBLIC_URL", &format!("https://localhost:{tls}"));
    site.set("TLS__DOMAINS", "[\"localhost\"]").set("TLS__CONTACT", "mailto:ops@coop.example");
    site.set("TLS__DIRECTORY", &pebble.directory()).set("TLS__EXTRA_CA", &pebble.trust.display().to_string());
    site.set("TLS__HTTP_LISTEN", &format!("127.0.0.1:{plain}"));
    site
}

/// The mode of a path.
fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

fn publishes(curl: &Curl, server: &Server) {
    let token = format!("Bearer {}", server.environment()[1].1);
    let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
    let event = json!({ "event": "batch.exported", "cooperative_id": COOP, "data": { "text": "x".repeat(4000) } });
    let body = json!({ "events": vec![event; 1000] }).to_string();
    let answer = curl.ask(CLIENT, "/events/batch", &headers, Some(body.as_bytes()));
    assert_eq!(answer.expect(202)["events"].as_array().map(Vec::len), Some(1000));
}

fn signs_in(curl: &Curl, server: &Server) {
    let form = format!("token={}", server.environment()[1].1);
    let entered = curl.ask(CLIENT, "/ui/sign-in", &[("origin", &curl.base)], Some(form.as_bytes()));
    assert_eq!(entered.status, 303, "{}", entered.text);
    let cookie = entered.header("set-cookie");
    leaks::secret(cookie.split([';', '=']).nth(1).expect("a value"));
    assert!(cookie.ends_with("; Secure"), "{cookie}");
    assert_eq!(entered.header("strict-transport-security"), "max-age=2592000");
    let foreign = curl.ask(CLIENT, "/ui/sign-in", &[("origin", "https://evil.example")], Some(form.as_bytes()));
    assert_eq!(foreign.status, 403);
}

#[test]
fn a_certificate_is_got_at_the_start_and_used_and_kept_over_a_restart() {
    let (tls, plain) = (free_port(), free_port());
    let mut pebble = Pebble::new(tls);
    let (site, root) = (site(&pebble, tls, plain), pebble.root());
    let server = site.start();
    assert_eq!(server.address(), format!("https://127.0.0.1:{tls}"), "the start says how it is reached");
    server.running.error_with("got a certificate for localhost");
    let curl = Curl::new(&format!("https://localhost:{tls}"), &root, site.folder());
    publishes(&curl, &server);
    signs_in(&curl, &server);

    let http = Curl::new(&format!("http://localhost:{plain}"), &root, site.folder());
    let redirected = http.ask(CLIENT, "/ui/events?cursor=a%20b", &[], None);
    let place = format!("https://localhost:{tls}/ui/events?cursor=a%20b");
    assert_eq!((redirected.status, redirected.header("location")), (308, place.as_str()));
    assert_eq!(http.ask(CLIENT, "/ui", &[("host", "evil.example")], None).status, 421, "only to its own name");

    let folder = site.folder().join("tls");
    let mut files: Vec<_> = fs::read_dir(&folder).expect("a folder").flatten().map(|entry| entry.path()).collect();
    files.sort();
    assert_eq!(files, ["account.json", "certificate.pem"].map(|name| folder.join(name)));
    assert_eq!((mode(&folder), mode(&files[0]), mode(&files[1])), (0o700, 0o600, 0o600));

    let first = shown(tls, &root).expect("a certificate");
    let mut server = server;
    server.running.signal("TERM");
    assert!(server.running.wait().success());
    let log = server.running.log();
    let line = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let line = line.into_iter().find(|line| line["path"] == "/events/batch").expect("a request");
    assert_eq!((&line["url.scheme"], &line["client.address"]), (&json!("https"), &json!(CLIENT)));

    // Without the authority too: nothing is ordered.
    pebble.stop();
    let server = site.start();
    assert_eq!(curl.ask(CLIENT, "/health/live", &[], None).status, 200);
    assert_eq!(shown(tls, &root), Some(first));
    server.stop();
}

/// A world that gets its certificate from this authority.
fn world(pebble: &Pebble, port: u16) -> World {
    World::with(|wish: &mut Wish| {
        wish.config.server.listen = ([127, 0, 0, 1], port).into();
        let tls = &mut wish.config.tls;
        tls.domains = vec!["localhost".to_owned()];
        (tls.directory, tls.extra_ca) = (pebble.directory(), pebble.trust.clone());
    })
}

/// This many days from now: the authority knows no other clock than the machine's.
pub(super) fn in_days(days: u32) -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    Timestamp::from_millis(i64::try_from((now + DAY * days).as_millis()).expect("a date"))
}

#[test]
fn a_certificate_is_renewed_after_two_thirds_of_its_life_while_the_server_runs() {
    let port = free_port();
    let mut pebble = Pebble::new(port);
    let (world, former) = (world(&pebble, port), pebble.root());
    let first = in_the_end(|| shown(port, &former));
    let mut open = shake(TcpStream::connect(("127.0.0.1", port)).expect("it listens"), &former).expect("a connection");
    world.clock.set(in_days(LIFE * 2 / 3 - 1));
    world.settle();
    assert_eq!(shown(port, &former), Some(first.clone()), "its time has not come");
    // An authority that has lost its accounts gives certificates too.
    pebble.forget();
    let root = pebble.root();
    world.clock.set(in_days(LIFE * 2 / 3 + 1));
    let second = in_the_end(|| shown(port, &root));
    assert_ne!(first, second);
    let live = "GET /health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    open.write_all(live.as_bytes()).expect("it is open still");
    let mut answer = String::new();
    open.read_to_string(&mut answer).expect("an answer, and an end");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn a_refused_order_is_said_with_what_to_do_and_the_server_serves_on() {
    // Nothing answers where the authority looks.
    let (tls, plain) = (free_port(), free_port());
    let pebble = Pebble::new(free_port());
    let site = site(&pebble, tls, plain);
    let mut server = site.start();
    server.running.error_with("The next try is in 2m");
    for said in [
        "there is no certificate for localhost yet",
        "does localhost lead to this machine, and its port 443 to this server (server.listen), through every firewall?",
        "Failed to connect to 127.0.0.1",
    ] {
        assert!(server.running.has_said(said), "{said}: {}", server.running.log());
    }
    assert_eq!(shown(tls, &pebble.root()), None);
    let http = Curl::new(&format!("http://localhost:{plain}"), &pebble.trust, site.folder());
    assert_eq!(http.ask(CLIENT, "/", &[], None).status, 308, "it serves on");
    server.running.signal("TERM");
    assert!(server.running.wait().success());
}

#[test]
fn after_a_refused_order_the_next_one_waits() {
    let (port, looked_at) = (free_port(), TcpListener::bind("127.0.0.1:0").expect("a port"));
    let pebble = Pebble::new(looked_at.local_addr().expect("bound").port());
    let (looks, leads_on) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (counted, open) = (Arc::clone(&looks), Arc::clone(&leads_on));
    thread::spawn(move || {
        for stream in looked_at.incoming().flatten() {
            counted.fetch_add(1, Ordering::SeqCst);
            if open.load(Ordering::SeqCst) {
                lead_on(stream, port);
            }
        }
    });
    let (world, root) = (world(&pebble, port), pebble.root());
    in_the_end(|| (looks.load(Ordering::SeqCst) > 0).then_some(()));
    leads_on.store(true, Ordering::SeqCst);
    // The clock stands still: nothing is ordered again.
    for _ in 0..200 {
        assert_eq!(shown(port, &root), None);
        assert!(looks.load(Ordering::SeqCst) <= LOOKS, "{looks:?}");
    }
    in_the_end(|| {
        world.advance("2m");
        shown(port, &root)
    });
}

/// Passes bytes on between a connection and this port.
pub(super) fn lead_on(from: TcpStream, port: u16) {
    let to = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
    let both = [(from.try_clone(), to.try_clone()), (to.try_clone(), from.try_clone())];
    for (from, to) in both {
        let (mut from, mut to) = (from.expect("a clone"), to.expect("a clone"));
        thread::spawn(move || std::io::copy(&mut from, &mut to));
    }
}

#[test]
fn certificates_of_files_are_read_again_when_they_change_and_a_broken_one_is_not_taken() {
    let (port, folder) = (free_port(), tempfile::tempdir().expect("a folder"));
    let own = Own::new(folder.path());
    let (chain, key) = own.certificate("own");
    let world = World::with(|wish: &mut Wish| {
        wish.config.server.listen = ([127, 0, 0, 1], port).into();
        (wish.config.tls.certificate, wish.config.tls.key) = (chain.clone(), key.clone());
    });
    let first = shown(port, &own.authority()).expect("a certificate");
    fs::write(&chain, "no certificate").expect("written");
    (0..3).for_each(|_| world.advance("1m"));
    assert_eq!(shown(port, &own.authority()).as_ref(), Some(&first), "the former one is shown on");
    own.certificate("own");
    let second = in_the_end(|| {
        world.advance("1m");
        shown(port, &own.authority()).filter(|shown| *shown != first)
    });
    assert_ne!(first, second);
}

#[test]
fn settings_of_tls_that_cannot_be_used_stop_the_start_and_say_which() {
    let folder = tempfile::tempdir().expect("a folder");
    let own = Own::new(folder.path());
    let ((chain, key), (other, _)) = (own.certificate("own"), own.certificate("other"));
    let [chain, key, other] = [chain, key, other].map(|path| path.display().to_string());
    let refused = |text: &str| {
        fs::write(folder.path().join("config.toml"), format!("[tls]\n{text}\n")).expect("written");
        let (code, _, said) = run(folder.path(), &["serve", "--listen", "127.0.0.1:0"]);
        assert_eq!(code, 1, "{text}: {said}");
        let (code, _, checked) = run(folder.path(), &["check"]);
        assert_eq!(code, 1, "{text}: a check finds what stops a start: {checked}");
        said.lines().last().expect("a sentence").to_owned()
    };
    for (text, said) in [
        ("domains = [\"https://hooks.coop.example\"]".to_owned(), "tls.domains"),
        ("domains = [\"*.coop.example\"]".to_owned(), "tls.domains"),
        ("domains = [\"10.0.0.1\"]".to_owned(), "tls.domains"),
        ("domains = [\"coop.example\"]\ncontact = \"ops@coop.example\"".to_owned(), "mailto:"),
        ("domains = [\"coop.example\"]\ndirectory = \"http://ca.example\"".to_owned(), "tls.directory"),
        ("domains = [\"coop.example\"]\nextra_ca = \"nowhere.pem\"".to_owned(), "tls.extra_ca: nowhere.pem"),
        ("domains = [\"coop.example\"]\nhttp_listen = \"80\"".to_owned(), "write 127.0.0.1:80 for this machine only"),
        ("http_listen = \"127.0.0.1:0\"".to_owned(), "tls.http_listen"),
        ("domains = [\"coop.example\"]\nhttp_listen = \"192.0.2.7:80\"".to_owned(), "tls.http_listen"),
        (format!("certificate = \"{chain}\""), "tls.key"),
        (format!("key = \"{key}\""), "tls.key"),
        (format!("certificate = \"{chain}\"\nkey = \"{chain}\""), "the key cannot be read"),
        (format!("certificate = \"{other}\"\nkey = \"{key}\""), "the key does not belong to the certificate"),
        (format!("certificate = \"nowhere.pem\"\nkey = \"{key}\""), "tls.certificate: nowhere.pem cannot be read"),
    ] {
        let sentence = refused(&text);
        assert!(sentence.contains(said), "{text}: {sentence}");
    }
}

#[test]
fn with_a_certificate_of_its_own_on_another_port_the_servers_links_name_the_port() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("config.toml");
    let public_url = |listen: &str, tls: &str| {
        let text = format!("[server]\nlisten = \"{listen}\"\n[tls]\ndomains = [\"hooks.coop.example\"]\n{tls}");
        fs::write(&file, text).expect("written");
        Config::load(Some(&file)).expect("settings").server.public_url
    };
    let own = "certificate = \"chain.pem\"\nkey = \"key.pem\"";
    assert_eq!(public_url("0.0.0.0:18443", own), "https://hooks.coop.example:18443");
    assert_eq!(public_url("0.0.0.0:443", own), "https://hooks.coop.example");
    assert_eq!(public_url("0.0.0.0:18443", ""), "https://hooks.coop.example", "an authority reaches it at 443");
}
