//! Service managers: signals to the server, and its messages to them.

use std::{
    fs, io,
    net::TcpListener,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    time::Duration,
};

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{
    client::Client,
    program::{Running, finish, ngoma, word_after},
    receiver::{PATIENCE, Receiver, Reply},
    site::{SECRET, Server, Site, event_of, publish},
    strace::require_strace,
};

/// How long nothing may be heard until that is silence: many times the pace of the watchdog messages below.
const SILENCE: Duration = Duration::from_secs(2);
/// Within this time, in microseconds, the manager wants to hear that the server works.
const WATCHDOG_USEC: &str = "200000";

/// A service manager, as far as it listens.
struct Manager(UnixDatagram);

impl Manager {
    /// A site whose server reports to a manager.
    fn of(site: &Site) -> (Self, Server) {
        let path = site.folder().join("notify");
        let manager = Self(UnixDatagram::bind(&path).expect("a socket"));
        let server = manager.start(site, path.to_str().expect("a path"));
        (manager, server)
    }

    /// Starts a server that reports to a socket of this name.
    fn start(&self, site: &Site, name: &str) -> Server {
        let mut serve = site.command();
        serve.env("NOTIFY_SOCKET", name).env("WATCHDOG_USEC", WATCHDOG_USEC);
        site.start_by(&mut serve)
    }

    /// The next message; `None` if it does not come within this time.
    fn hear(&self, patience: Duration) -> Option<String> {
        let mut message = [0; 1024];
        self.0.set_read_timeout(Some(patience)).expect("set");
        match self.0.recv(&mut message) {
            Ok(length) => Some(String::from_utf8_lossy(&message[..length]).trim().to_owned()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_signal_that_asks_for_no_stop_is_logged_and_ends_nothing() {
    let site = Site::new();
    let server = site.start();
    for name in ["HUP", "USR1", "USR2", "ALRM", "VTALRM", "PROF", "IO", "PWR", "XCPU"] {
        server.running.signal(name);
        server.running.error_with(&format!("SIG{name}"));
    }
    server.running.error_with("SIGHUP: settings are read at a start only; restart to change them");
    for name in ["PIPE", "XFSZ"] {
        server.running.signal(name);
    }
    event_of(&publish(&server.coop(), "after").expect("it serves on"));
    server.stop();
}

#[test]
fn a_quit_from_the_keyboard_stops_it_as_sigterm_does() {
    let site = Site::new();
    let mut server = site.start();
    server.running.signal("QUIT");
    assert_eq!(server.running.wait().code(), Some(0));
}

#[test]
fn a_service_manager_hears_that_it_is_ready_that_it_works_and_that_it_stops() {
    let site = Site::new();
    let (manager, mut server) = Manager::of(&site);
    assert_eq!(manager.hear(PATIENCE).as_deref(), Some("READY=1"));
    for _ in 0..3 {
        assert_eq!(manager.hear(PATIENCE).as_deref(), Some("WATCHDOG=1"));
    }
    server.running.signal("TERM");
    while manager.hear(PATIENCE).expect("it says that it stops") != "STOPPING=1" {}
    assert_eq!(server.running.wait().code(), Some(0));
}

#[test]
fn a_service_manager_that_reads_nothing_holds_neither_deliveries_nor_a_stop() {
    let (site, receiver) = (Site::new(), Receiver::new());
    let path = site.folder().join("notify");
    let manager = Manager(UnixDatagram::bind(&path).expect("a socket"));
    let filler = UnixDatagram::unbound().expect("a socket");
    filler.set_nonblocking(true).expect("set");
    while filler.send_to(b"x", &path).is_ok() {}
    let mut server = manager.start(&site, path.to_str().expect("a path"));
    server.coop().webhook(&receiver.url(), &["*"], SECRET);
    event_of(&publish(&server.coop(), "unheard").expect("it serves"));
    receiver.wait_for(1);
    server.running.signal("TERM");
    assert_eq!(server.running.wait().code(), Some(0));
    assert!(server.running.has_said("the service manager does not read its messages (NOTIFY_SOCKET)"));

    // One that reads later hears then that the server is ready.
    let server = manager.start(&site, path.to_str().expect("a path"));
    server.running.error_with("the service manager does not read its messages");
    while manager.hear(PATIENCE).expect("it says that it is ready") != "READY=1" {}
    server.stop();
}

#[test]
fn a_socket_without_a_file_is_a_service_managers_too() {
    let site = Site::new();
    let name = format!("ngoma-story-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("a name");
    let manager = Manager(UnixDatagram::bind_addr(&address).expect("a socket"));
    let server = manager.start(&site, &format!("@{name}"));
    assert_eq!(manager.hear(PATIENCE).as_deref(), Some("READY=1"));
    server.stop();
}

#[test]
fn the_watchdog_hears_nothing_while_the_engine_waits_for_the_writer() {
    let mut site = Site::new();
    site.set("DELIVERY__POLL_INTERVAL", "20ms");
    let (manager, _server) = Manager::of(&site);
    assert_eq!(manager.hear(PATIENCE).as_deref(), Some("READY=1"));
    let held = Connection::open(site.database()).expect("the file");
    held.busy_timeout(PATIENCE).expect("set");
    held.execute_batch("BEGIN IMMEDIATE").expect("the write lock");
    // Messages on their way may still come.
    assert!((0..10).any(|_| manager.hear(SILENCE).is_none()), "it claims to work while nothing can be written");
    held.execute_batch("ROLLBACK").expect("given back");
    assert_eq!(manager.hear(PATIENCE).as_deref(), Some("WATCHDOG=1"));
}

#[test]
fn a_port_that_is_taken_for_a_while_ends_one_start_with_1_and_the_next_one_serves() {
    let site = Site::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let listen = taken.local_addr().expect("an address").to_string();
    let serve = || {
        let mut serve = site.command();
        serve.env("NGOMA_SERVER__LISTEN", &listen);
        serve
    };
    let (code, _, said) = finish(&mut serve());
    assert_eq!(code, 1, "{said}");
    drop(taken);
    let mut server = Running::start(&mut serve());
    server.line_with("address");
}

#[test]
fn the_memory_of_a_command_is_written_to_no_core_file() {
    require_strace();
    let site = Site::new();
    let trace = site.folder().join("trace");
    let options = ["-f", "-qq", "-e", "trace=prctl,openat", "-o", trace.to_str().expect("a path")];
    let (code, _, said) = finish(&mut site.under("strace", &options, &ngoma(site.folder(), &["token", "list"])));
    assert_eq!(code, 0, "{said}");
    let trace = fs::read_to_string(trace).expect("a trace");
    let place = |what: &str| trace.lines().position(|line| line.contains(what)).unwrap_or(usize::MAX);
    let (undumped, key) = (place("PR_SET_DUMPABLE, SUID_DUMP_DISABLE) = 0"), place("ngoma.key"));
    assert!(undumped < key && key < usize::MAX, "before it reads the key: {undumped}, {key}");
}

#[test]
fn a_stop_answers_the_requests_that_are_under_way() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::new();
    receiver.always(Reply::Gate(200));
    let mut server = Running::start(&mut ngoma(folder.path(), &["serve", "--dev", "--listen", "127.0.0.1:0"]));
    let address = word_after(&server.line_with("address"), "address").to_owned();
    server.line_with("Demo accounts");
    let coop = Client::at(&address, word_after(&server.line_with("asilichain"), "token"));
    let body = json!({ "url": receiver.url(), "events": ["*"], "cooperative_id": "DEMO-ASILICHAIN" });
    let webhook = coop.post("/webhooks", body).expect(201)["webhook_id"].as_str().expect("an id").to_owned();
    let asking = coop.clone();
    let test = std::thread::spawn(move || asking.send("POST", &format!("/webhooks/{webhook}/test"), &[], None));
    receiver.wait_for(1);
    server.signal("TERM");
    let port = address.trim_start_matches("http://").to_owned();
    while std::net::TcpStream::connect(&port).is_ok() {}
    receiver.open_gate();
    let answer: Value = test.join().expect("no panic").expect(200);
    assert_eq!(answer["delivered"], true);
    assert!(server.wait().success());
}
