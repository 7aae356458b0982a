//! The benchmarks: `cargo bench` runs all of them, `cargo bench -- end_to_end` those that are named. The README beside
//! this file says what each measures, and has the results.
//!
//! Each starts the built program on a fresh file below `target`, sends to 127.0.0.1 only, and ends by itself. Compared
//! figures were measured in one run, one after the other, on the same machine.

#![expect(clippy::expect_used, clippy::panic, reason = "a benchmark that goes wrong must stop")]
#![expect(unreachable_pub, reason = "one binary: its modules share freely")]

mod backlog;
mod backup;
mod bare;
mod distant;
mod end_to_end;
mod fairness;
mod fan_out;
mod far;
mod healthy;
mod isolation;
mod ledger;
mod load;
mod machine;
mod ordered;
mod prepare;
mod process;
mod receiver;
mod rest;
mod retention;
mod search;
mod store;
mod table;
mod wire;

use std::{env, process::exit};

/// A benchmark's name, its measure, and its run: in its usual length or, with `--long`, in full.
type Benchmark = (&'static str, &'static str, fn(long: bool));

const BENCHMARKS: &[Benchmark] = &[
    ("end_to_end", "from publishers to the receiver: events per second, latencies", end_to_end::run),
    ("fan_out", "one event to 1, 10, 100 webhooks", fan_out::run),
    ("isolation", "a healthy webhook beside those that hang, fail, are slow, or have two speeds", isolation::run),
    ("far", "receivers that answer after 0, 20, 200, 1,000 ms, by http and TLS", far::run),
    ("far_beside", "a healthy webhook beside 100 and 1,000 that are far away", far::beside),
    ("far_burst", "10,000 or (--long) 100,000 due to one webhook that answers after 200 ms", far::burst),
    ("backlog", "a healthy webhook beside 100,000 or (--long) 1,000,000 that wait, or a dead one", backlog::run),
    ("retention", "publishing while 200,000 or (--long) 1,000,000 old deliveries are removed", retention::run),
    ("fairness", "one account at a modest pace beside another that publishes flat out", fairness::run),
    ("ordered", "one delivery at a time in the order of acceptance, beside a plain webhook", ordered::run),
    ("backup", "publishing 2,000 events a second while a database of 500 MB is backed up", backup::run),
    ("search", "a text in 100,000 or (--long) 1,000,000 payloads", search::run),
    ("store", "the store alone: publish, claim, settle; bytes on the disk", store::run),
    ("rest", "what 10,000 webhooks cost that get nothing", rest::run),
];

const LONG: &str = "--long";

fn main() {
    // cargo itself adds --bench.
    let words: Vec<String> = env::args().skip(1).filter(|word| word != "--bench").collect();
    if words.first().is_some_and(|word| word == bare::WORD) {
        return bare::serve(&words[1..]);
    }
    if words.first().is_some_and(|word| word == bare::DRAIN) {
        return bare::send_for_ever(&words[1..]);
    }
    let (flags, names): (Vec<&str>, Vec<&str>) = words.iter().map(String::as_str).partition(|word| *word == LONG);
    if let Some(unknown) = names.iter().find(|name| BENCHMARKS.iter().all(|(known, ..)| known != *name)) {
        eprintln!("There is no benchmark '{unknown}'.\n\n{}", usage());
        exit(2);
    }
    println!("{}", machine::describe());
    for (name, _, run) in BENCHMARKS.iter().filter(|(name, ..)| names.is_empty() || names.contains(name)) {
        println!("\n## {name}\n");
        let watch = machine::Watch::start();
        run(!flags.is_empty());
        println!("\n{}", watch.end());
    }
}

fn usage() -> String {
    let mut text = format!("usage: cargo bench [-- [{LONG}] [NAME]...]\n\nWithout a name all are run:\n");
    for (name, about, _) in BENCHMARKS {
        text.push_str(&format!("  {name:<12}{about}\n"));
    }
    text + &format!("\n{LONG} adds what takes minutes.")
}
