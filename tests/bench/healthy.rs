//! A healthy webhook beside whatever else its database holds, and the same webhook alone on a fresh one right before: what
//! else the machine does changes by the minute.

use std::time::Duration;

use crate::{
    ledger::Figures,
    load::{Load, Pace},
    prepare::{Account, Store},
    process::{Folder, Process},
    receiver::{Answers, Receiver},
    table::{self, Table, ms, ratio, whole},
};

/// Longer than an attempt may take, so that the first time-outs are in it.
const TIME: Duration = Duration::from_secs(11);

const COLUMNS: [&str; 9] =
    ["beside it", "events/s", "alone", "share", "arrival p50", "p99", "p99 to alone", "ready ms", "MiB at most"];

/// Starts a table of such rows.
pub fn table() -> Table {
    println!(
        "The healthy webhook gets the events of 16 publishers, each of which waits until its last one has arrived. The load\n\
         begins when the server is ready and goes on for {} s. Alone: the same right before, on a fresh file. Latencies in ms.\n",
        TIME.as_secs()
    );
    Table::new(36, &COLUMNS)
}

/// Measures it beside what is prepared.
pub fn row(table: &Table, name: &str, prepare: impl FnOnce(&Store)) {
    let receiver = Receiver::start(1, Answers::AtOnce);
    let (folder, account) = healthy(&receiver, prepare);
    let (fresh, only) = healthy(&receiver, |_| {});
    let alone = run(&fresh.serve(), &only, &receiver);
    let server = folder.serve();
    let beside = run(&server, &account, &receiver);
    let p99 = |figures: &Figures| figures.arrival.p99.as_secs_f64();
    table.row(&[
        name.to_owned(),
        whole(beside.rate),
        whole(alone.rate),
        table::percent(beside.rate / alone.rate),
        ms(beside.arrival.p50),
        ms(beside.arrival.p99),
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

fn run(server: &Process, account: &Account, receiver: &Receiver) -> Figures {
    let load = Load { publishers: 16, pace: Pace::AfterArrival, most: 300_000, time: TIME, fan: 1 };
    let figures = load.run(server.address, account, receiver);
    assert_eq!(figures.missing, 0, "events of the healthy webhook never arrived");
    figures
}
