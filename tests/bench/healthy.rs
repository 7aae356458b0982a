//! A healthy webhook beside the other rows of its database, in turns with the same webhook alone on a fresh one.

use std::time::Duration;

use crate::{
    ledger::Figures,
    load::{Load, Pace},
    prepare::{Account, Store},
    process::Folder,
    receiver::{Answers, Receiver},
    table::{self, Table, ms, ratio, whole},
};

/// How the healthy webhook and the same alone take turns.
#[derive(Debug, Clone, Copy)]
pub struct Turns {
    count: u32,
    each: Duration,
    /// Not measured: what waited while the server was frozen is over.
    rest: Duration,
    pace: Pace,
}

/// From the start on, longer in all than the time-out of an attempt, so that time-outs are seen.
pub const FROM_THE_START: Turns =
    Turns { count: 14, each: Duration::from_millis(500), rest: Duration::ZERO, pace: Pace::AfterArrival };
/// Without the start and without the moments after a freeze, in which all answers of far receivers come at once.
pub const IN_SERVICE: Turns =
    Turns { count: 4, each: Duration::from_secs(2), rest: Duration::from_secs(1), pace: Pace::AfterArrival };
/// Likewise at a modest pace, which leaves some of the processors to both.
pub const MODEST: Turns = Turns { pace: Pace::PerSecond(500.0), ..IN_SERVICE };

const COLUMNS: [&str; 9] =
    ["beside it", "events/s", "alone", "share", "arrival p50", "p99", "p99 to alone", "ready ms", "MiB at most"];

/// Starts a table of such rows.
pub fn table() -> Table {
    println!(
        "The healthy webhook gets the events of 16 publishers, in turns with the same alone on a fresh file. Flat out, each\n\
         publisher waits until its last event has arrived. Latencies in ms.\n"
    );
    Table::new(38, &COLUMNS)
}

/// Measures the healthy webhook beside the prepared ones.
pub fn row(table: &Table, name: &str, turns: Turns, prepare: impl FnOnce(&Store)) {
    let receiver = Receiver::start(1, Answers::AtOnce);
    let (fresh, only) = healthy(&receiver, |_| {});
    let (folder, account) = healthy(&receiver, prepare);
    let (other, server) = (fresh.serve(), folder.serve());
    let load = Load { publishers: 16, pace: turns.pace, most: 100_000, time: turns.each, fan: 1 };
    let [beside, alone] =
        load.in_turns_after(turns.rest, turns.count, [(&server, &account), (&other, &only)], &receiver);
    assert_eq!(beside.missing + alone.missing, 0, "events of the healthy webhook never arrived");
    let p99 = |figures: &Figures| figures.arrival.p99().as_secs_f64();
    table.row(&[
        name.to_owned(),
        whole(beside.rate()),
        whole(alone.rate()),
        table::percent(beside.rate() / alone.rate()),
        ms(beside.arrival.p50()),
        ms(beside.arrival.p99()),
        ratio(p99(&beside), p99(&alone)) + " x",
        ms(server.ready_after),
        whole(server.memory().1),
    ]);
}

fn healthy(receiver: &Receiver, prepare: impl FnOnce(&Store)) -> (Folder, Account) {
    let folder = Folder::new();
    let store = folder.store();
    let account = store.account("COOP-1", receiver.urls());
    prepare(&store);
    store.close();
    (folder, account)
}
