//! Syncs to the disk, on which a 202 rests: counted and made to fail by strace.

use std::fs;

use crate::support::{
    flaky_receiver::FlakyReceiver,
    program::finish,
    site::{SECRET, Server, Site, event_of, publish},
    strace::require_strace,
};

const EVENTS: usize = 30;
const SYNCS: &str = "trace=fsync,fdatasync";
/// The answers of the receiver: all good.
const WELL: (u64, u64) = (100, 0);

/// Starts the program, the child of this process, with strace looking on from aside.
fn traced(site: &Site, more: &[&str]) -> Server {
    require_strace();
    let trace = site.folder().join("trace");
    let trace = trace.to_str().expect("a path");
    let options = [&["-D", "-f", "-qq", "-e", SYNCS, "-o", trace], more].concat();
    site.start_by(&mut site.under("strace", &options, &site.command()))
}

/// The syncs of the trace, once program and tracer have ended.
fn syncs(site: &Site) -> usize {
    let trace = fs::read_to_string(site.folder().join("trace")).expect("a trace");
    // A call that another thread's line cuts in two is counted where it ends.
    trace.lines().filter(|line| line.contains("sync") && line.contains(") ") && line.contains("= ")).count()
}

/// The syncs of a run without deliveries: a start, and then EVENTS events one after another.
fn syncs_of(durability: &str, events: usize) -> usize {
    let mut site = Site::new();
    site.set("STORAGE__DURABILITY", durability);
    let server = traced(&site, &[]);
    for number in 0..events {
        event_of(&publish(&server.coop(), &number.to_string()).expect("the server answers"));
    }
    server.kill();
    syncs(&site)
}

#[test]
fn with_full_durability_each_202_is_synced_and_with_normal_it_is_not() {
    let [full, normal] = ["full", "normal"].map(|durability| syncs_of(durability, EVENTS));
    let [full_start, normal_start] = ["full", "normal"].map(|durability| syncs_of(durability, 0));
    println!("syncs of {EVENTS} events: full {full} (start {full_start}), normal {normal} (start {normal_start})");
    assert!(full >= full_start + EVENTS, "{full} syncs for a start ({full_start}) and {EVENTS} events");
    assert!(normal <= normal_start + EVENTS / 10, "{normal} syncs for a start ({normal_start}) and {EVENTS} events");
}

#[test]
fn the_old_key_goes_only_when_every_row_that_no_longer_needs_it_is_synced() {
    require_strace();
    let mut site = Site::new();
    site.set("STORAGE__DURABILITY", "normal");
    // It has the file open all the while, as a server has: closing it syncs nothing.
    let server = site.start();
    server.coop().webhook("http://127.0.0.1:1/", &["*"], SECRET);
    let trace = site.folder().join("trace");
    let options = ["-f", "-qq", "-y", "-e", "trace=/write|sync|rename", "-o", trace.to_str().expect("a path")];
    let rotate = site.command_of(&["key", "rotate"]);
    let (code, _, said) = finish(&mut site.under("strace", &options, &rotate));
    assert_eq!(code, 0, "{said}");
    let trace = fs::read_to_string(trace).expect("a trace");
    let lines: Vec<&str> = trace.lines().collect();
    let old_key_goes = lines.iter().rposition(|line| line.contains("rename") && line.contains("ngoma.key.new"));
    let before = &lines[..old_key_goes.expect("the key file is replaced")];
    let last = |call| before.iter().rposition(|line| line.contains(call) && line.contains("ngoma.db-wal"));
    let (written, synced) = (last("write").expect("rows are written"), last("sync"));
    assert!(synced > Some(written), "{:#?}", &before[written..]);
    server.stop();
}

#[test]
fn after_a_failed_sync_nothing_is_accepted_and_the_next_start_delivers_every_accepted_event() {
    let mut site = Site::new();
    let flaky = FlakyReceiver::new(7, WELL);
    let server = site.start();
    server.coop().webhook(&flaky.url(), &["*"], SECRET);
    server.stop();
    site.set("LOG__LEVEL", "error");
    let mut server = traced(&site, &["-e", "inject=fsync,fdatasync:error=EIO:when=40+"]);
    let client = server.coop();
    let mut accepted = Vec::new();
    let refused = loop {
        let number = accepted.len();
        assert!(number < 200, "the sync never failed");
        match publish(&client, &number.to_string()) {
            Ok(answer) if answer.status == 202 => accepted.push(event_of(&answer)),
            Ok(answer) => break Some(answer),
            Err(_) => break None,
        }
    };
    assert!(accepted.len() > 3, "it worked for a while: {}", accepted.len());
    if let Some(refused) = &refused {
        assert_eq!(refused.code(503), "UNAVAILABLE");
        // Events of the failed sync may be there at the next start; later ones are not.
        assert!(!refused.text.contains("failed: nothing was stored"), "{}", refused.text);
    }
    let later = publish(&client, "later");
    assert!(later.is_err() || later.is_ok_and(|answer| answer.status == 503), "nothing is accepted any more");
    let status = server.running.wait();
    let log = server.running.log();
    assert_eq!(status.code(), Some(1), "it ends by itself: {log}");
    assert!(log.contains("the database cannot be written: stopping"), "and says why: {log}");
    flaky.next_round();
    let server = site.start();
    flaky.wait_until("all that was accepted", |entries| {
        accepted.iter().all(|event| entries.iter().any(|entry| entry.post.header("webhook-id") == event))
    });
    event_of(&publish(&server.coop(), "after").expect("the server answers"));
    server.stop();
    assert_eq!(site.look::<String>("PRAGMA integrity_check"), "ok");
    println!("EIO: {} accepted before it, all delivered after it", accepted.len());
}
