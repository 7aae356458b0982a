//! The heartbeat: a GET while the server is ready, so that another machine notices when this one is off.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use ngoma::{config::Secret, domain::timestamp::Timestamp};

use crate::support::{
    receiver::{PATIENCE, Receiver, Reply},
    world::{START, Wish, World},
};

/// A service that takes heartbeats, and answers each with the next of these statuses; then with 200.
struct Watcher {
    url: String,
    heard: mpsc::Receiver<String>,
}

impl Watcher {
    fn new(statuses: &'static [u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/ping/hidden?status=up", listener.local_addr().expect("an address"));
        let (tell, heard) = mpsc::channel();
        thread::spawn(move || {
            let mut statuses = statuses.iter();
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                let mut lines = BufReader::new(&stream).lines();
                let first = lines.next().and_then(Result::ok).unwrap_or_default();
                while lines.next().and_then(Result::ok).is_some_and(|line| !line.is_empty()) {}
                let status = statuses.next().unwrap_or(&200);
                let answer = format!("HTTP/1.1 {status} said\r\nconnection: close\r\ncontent-length: 2\r\n\r\nOK");
                stream.write_all(answer.as_bytes()).expect("it listens");
                if tell.send(first).is_err() {
                    return;
                }
            }
        });
        Self { url, heard }
    }

    #[track_caller]
    fn beat(&self) -> String {
        self.heard.recv_timeout(PATIENCE).expect("a heartbeat")
    }

    fn is_silent(&self) -> bool {
        self.heard.try_recv().is_err()
    }

    /// After how many minutes the next one comes.
    #[track_caller]
    fn minutes(&self, world: &World) -> u32 {
        for minutes in 0..180 {
            if !self.is_silent() {
                return minutes;
            }
            world.advance("1m");
        }
        panic!("no heartbeat in three hours");
    }
}

fn world_of(watcher: &Watcher, change: impl FnOnce(&mut Wish)) -> World {
    World::with(|wish| {
        wish.config.alerts.heartbeat_url = Secret::from(watcher.url.clone());
        wish.config.alerts.heartbeat_every = Duration::from_secs(3600);
        change(wish);
    })
}

#[test]
fn while_the_server_is_ready_it_makes_a_get_at_the_start_and_then_now_and_then() {
    let watcher = Watcher::new(&[]);
    let world = world_of(&watcher, |_| {});
    assert_eq!(watcher.beat(), "GET /ping/hidden?status=up HTTP/1.1");
    let minutes = watcher.minutes(&world);
    assert!((60..120).contains(&minutes), "after {minutes} minutes");
}

#[test]
fn a_clock_that_is_set_back_makes_no_heartbeat_late() {
    let watcher = Watcher::new(&[]);
    let world = world_of(&watcher, |_| {});
    watcher.beat();
    world.clock.step(Timestamp::from_millis(START.millis() - 43_200_000));
    // The server may have begun to wait only now.
    let minutes = watcher.minutes(&world);
    assert!((59..120).contains(&minutes), "after {minutes} minutes");
}

#[test]
fn a_heartbeat_that_is_not_taken_is_tried_again_a_minute_later() {
    let watcher = Watcher::new(&[500]);
    let world = world_of(&watcher, |_| {});
    watcher.beat();
    // It is judged on another thread: so each step gives that thread some time too.
    let mut seconds = 0;
    while seconds < 180 && watcher.heard.recv_timeout(Duration::from_millis(250)).is_err() {
        world.advance("10s");
        seconds += 10;
    }
    assert!((60..=120).contains(&seconds), "after {seconds} seconds");
}

#[test]
fn a_heartbeat_that_hangs_keeps_no_stop_waiting() {
    let watcher = Receiver::new();
    watcher.always(Reply::Hang);
    let mut world = World::with(|wish| {
        wish.config.alerts.heartbeat_url = Secret::from(watcher.url());
        wish.config.delivery.timeout = Duration::from_secs(60);
    });
    watcher.wait_for(1);
    let asked = Instant::now();
    world.stop();
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}: as long as a stop waits for deliveries");
}

#[test]
fn a_server_that_is_not_ready_sends_no_heartbeat_and_one_that_is_again_sends_one() {
    let watcher = Watcher::new(&[]);
    let world = world_of(&watcher, |_| {});
    watcher.beat();
    let (key, away) = (world.config.storage.key_file.clone(), world.folder().join("away.key"));
    std::fs::rename(&key, &away).expect("moved");
    for _ in 0..130 {
        world.advance("1m");
    }
    assert!(watcher.is_silent(), "the key file is not there");
    std::fs::rename(&away, &key).expect("moved back");
    watcher.minutes(&world);
}
