//! File descriptors: neither API clients that take many nor a system that gives few cost a delivery a try.

use std::{fs, net::TcpStream, thread, time::Instant};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::support::{
    program::finish,
    receiver::{PATIENCE, Receiver},
    site::{SECRET, Server, Site, event_of, publish},
};

/// A site whose webhooks are given one try, so that a try that is lost shows.
fn site() -> Site {
    let mut site = Site::new();
    site.set("ASILICHAIN__WAITS", "[]").set("LOG__LEVEL", "info");
    site
}

/// Starts it where the shell has set this limit.
fn start_with(site: &Site, ulimit: &str) -> Server {
    site.start_by(&mut site.under("sh", &["-c", &format!("ulimit {ulimit}; exec \"$@\""), "sh"], &site.command()))
}

/// How many descriptors the server holds.
fn held(server: &Server) -> usize {
    fs::read_dir(format!("/proc/{}/fd", server.running.id())).expect("it runs").count()
}

/// This many clients that connect and send nothing, once the server holds this many descriptors.
fn idlers(server: &Server, number: usize, until: usize) -> Vec<TcpStream> {
    let idlers = (0..number).map(|_| TcpStream::connect(server.address()).expect("the kernel takes it")).collect();
    let since = Instant::now();
    while held(server) < until {
        assert!(since.elapsed() < PATIENCE, "it holds {} descriptors only", held(server));
        thread::yield_now();
    }
    idlers
}

/// Stops it and looks at the one delivery: its status and attempts.
fn delivered_at(price: &str, server: Server, site: &Site) {
    server.stop();
    let sql = format!("SELECT count(*) FROM delivery WHERE state = 'delivered' AND {price}");
    assert_eq!(site.look::<i64>(&sql), 1, "{price}");
}

#[test]
fn idle_connections_cost_no_delivery_a_try() {
    let mut site = site();
    site.set("LIMITS__CONNECTIONS", "300").set("LIMITS__CONNECTIONS_PER_CLIENT", "400");
    let server = start_with(&site, "-Sn 256");
    let (coop, receiver) = (server.coop(), Receiver::new());
    coop.webhook(&receiver.url(), &["*"], SECRET);
    let idlers = idlers(&server, 300, 256);
    // The connection of the first client has made way.
    event_of(&publish(&server.coop(), "k").expect("the server answers"));
    receiver.wait_for(1);
    drop(idlers);
    delivered_at("attempts = 1", server, &site);
}

#[test]
fn where_the_system_gives_few_descriptors_fewer_api_connections_are_taken() {
    let mut site = site();
    site.set("DELIVERY__MAX_IN_FLIGHT", "4").set("DELIVERY__MAX_IN_FLIGHT_PER_ENDPOINT", "4");
    let server = start_with(&site, "-n 316");
    server.running.error_with("connections=236");
    let (coop, receiver) = (server.coop(), Receiver::new());
    coop.webhook(&receiver.url(), &["*"], SECRET);
    let idlers = idlers(&server, 320, 236);
    event_of(&publish(&server.coop(), "k").expect("the server answers"));
    receiver.wait_for(1);
    assert!(held(&server) < 280, "so many are left for what is not the API: {}", 316 - held(&server));
    drop(idlers);
    delivered_at("attempts = 1", server, &site);
}

#[test]
fn with_few_descriptors_the_server_refuses_to_start_or_does_all_of_its_work() {
    for (limit, enough) in [(24, false), (40, false), (64, false), (100, true), (200, true), (300, true)] {
        let site = site();
        if !enough {
            let command = site.under("sh", &["-c", &format!("ulimit -n {limit}; exec \"$@\""), "sh"], &site.command());
            let (code, _, err) = finish(&mut { command });
            assert_eq!(code, 1, "{limit}: {err}");
            assert!(err.contains(&format!("{limit} file descriptors")) && err.contains("ulimit -n 1024"), "{err}");
            continue;
        }
        let server = start_with(&site, &format!("-n {limit}"));
        let coop = server.coop();
        let receivers: Vec<Receiver> = (0..20).map(|_| Receiver::new()).collect();
        for receiver in &receivers {
            coop.webhook(&receiver.url(), &["*"], SECRET);
        }
        let idlers: Vec<TcpStream> =
            (0..limit).map(|_| TcpStream::connect(server.address()).expect("the kernel keeps it")).collect();
        let keys: Vec<String> = (0..20).map(|number| format!("k{number}")).collect();
        for key in &keys {
            event_of(&publish(&server.coop(), key).expect("the server answers"));
        }
        let copy = site.folder().join(format!("copy-{limit}"));
        let backup = finish(&mut site.command_of(&["backup", copy.to_str().expect("a path")]));
        assert_eq!(backup.0, 0, "{limit}: {}", backup.2);
        receivers.iter().for_each(|receiver| _ = receiver.wait_for(keys.len()));
        drop(idlers);
        server.stop();
        assert_eq!(site.look::<i64>("SELECT count(*) FROM delivery WHERE state = 'delivered' AND tries = 1"), 400);
    }
}

#[test]
fn a_lack_of_descriptors_is_a_fault_of_ours_and_costs_no_try() {
    for host in ["127.0.0.1", "localhost"] {
        let mut site = site();
        site.set("EGRESS__ALLOW", "[\"127.0.0.0/8\", \"::1/128\"]");
        let mut server = site.start();
        let (coop, receiver) = (server.coop(), Receiver::new());
        coop.webhook(&receiver.url().replace("127.0.0.1", host), &["*"], SECRET);
        let process = Pid::from_raw(i32::try_from(server.running.id()).expect("an id"));
        let none_more = Rlimit { current: Some(3), ..getrlimit(Resource::Nofile) };
        let usual = prlimit(process, Resource::Nofile, none_more).expect("its limit is lowered");
        event_of(&publish(&coop, "k").expect("the server answers"));
        // By the second attempt the addresses of a name are forgotten.
        server.running.error_with("attempt=1 ");
        server.running.error_with("attempt=2 ");
        prlimit(process, Resource::Nofile, usual).expect("its limit is raised");
        receiver.wait_for(1);
        server.running.signal("TERM");
        assert!(server.running.wait().success());
        let log = server.running.log();
        assert!(log.contains("outcome=interrupted") && !log.contains("outcome=dns"), "{host}: {log}");
        delivered_at("tries = 1", site.start(), &site);
    }
}
