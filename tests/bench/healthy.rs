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

/// How many turns the two take, and how long each is: more in all than the time-out of an attempt, so that time-outs
/// are seen.
const TURNS: u32 = 14;
const TURN: Duration = Duration::from_millis(500);

const COLUMNS: [&str; 9] =
    ["beside it", "events/s", "alone", "share", "arrival p50", "p99", "p99 to alone", "ready ms", "MiB at most"];

/// Starts a table of such rows.
pub fn table() -> Table {
    println!(
        "The healthy webhook gets the events of 16 publishers, each of which waits until its last one has arrived, from\n\
         when the server is ready on: {TURNS} turns of {} ms, in turns with the same alone on a fresh file. Latencies in ms.\n",
        TURN.as_millis()
    );
    Table::new(38, &COLUMNS)
}

/// Measures the healthy webhook beside the prepared ones.
pub fn row(table: &Table, name: &str, prepare: impl FnOnce(&Store)) {
    row_at(table, name, Pace::AfterArrival, prepare);
}

/// Likewise, its events published at this pace.
pub fn row_at(table: &Table, name: &str, pace: Pace, prepare: impl FnOnce(&Store)) {
    let receiver = Receiver::start(1, Answers::AtOnce);
    let (fresh, only) = healthy(&receiver, |_| {});
    let (folder, account) = healthy(&receiver, prepare);
    let (other, server) = (fresh.serve(), folder.serve());
    let load = Load { publishers: 16, pace, most: 100_000, time: TURN, fan: 1 };
    let [beside, alone] = load.in_turns(TURNS, [(&server, &account), (&other, &only)], &receiver);
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
