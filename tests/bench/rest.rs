//! The cost of webhooks that get nothing: memory, disk, the start, and the latency of a single event to another
//! webhook.

use std::{fs, time::Duration};

use crate::{
    load::{Load, Pace},
    prepare::Account,
    process::Folder,
    receiver::{Answers, Receiver},
    table::{Table, ms, ratio, whole},
};

const ACCOUNTS: usize = 1_000;
const WEBHOOKS_EACH: usize = 10;
/// The number of starts, of which the median counts.
const STARTS: usize = 9;
/// How many turns the two servers take, and how long each is.
const TURNS: u32 = 5;
const TURN: Duration = Duration::from_secs(1);

pub fn run(_long: bool) {
    let receiver = Receiver::start(1, Answers::AtOnce);
    let [(none, nobody), (many, account)] = [0, ACCOUNTS].map(|resting| beside(resting, &receiver));
    let bytes = [&none, &many].map(|folder| fs::metadata(folder.database()).expect("a file").len());
    let starts = [&none, &many].map(start);
    let servers = [none.serve(), many.serve()];
    let at_start = [&servers[0], &servers[1]].map(|server| server.memory().0);
    let alone = Load { publishers: 1, pace: Pace::AfterArrival, most: 20_000, time: TURN, fan: 1 };
    let figures = alone.in_turns(TURNS, [(&servers[0], &nobody), (&servers[1], &account)], &receiver);
    println!("Latencies of one event alone, to another webhook, in ms.\n");
    let columns = [
        "webhooks at rest",
        "KiB on disk",
        "ready ms",
        "MiB at start",
        "MiB after",
        "arrival p50",
        "p99",
        "p50 to none",
    ];
    let table = Table::new(18, &columns);
    for side in [0, 1] {
        let arrival = &figures[side].arrival;
        table.row(&[
            whole((side * ACCOUNTS * WEBHOOKS_EACH) as f64),
            whole(bytes[side] as f64 / 1024.0),
            ms(starts[side]),
            whole(at_start[side]),
            whole(servers[side].memory().0),
            ms(arrival.p50()),
            ms(arrival.p99()),
            ratio(arrival.p50().as_secs_f64(), figures[0].arrival.p50().as_secs_f64()) + " x",
        ]);
    }
}

fn beside(accounts: usize, receiver: &Receiver) -> (Folder, Account) {
    let folder = Folder::new();
    let store = folder.store();
    let account = store.account("COOP-1", receiver.urls());
    for resting in 0..accounts {
        let urls = (0..WEBHOOKS_EACH).map(|webhook| format!("https://coop-{resting}.example/webhooks/{webhook}"));
        store.account(&format!("COOP-RESTS-{resting}"), urls.collect());
    }
    store.close();
    (folder, account)
}

/// From starting a server until it is ready.
fn start(folder: &Folder) -> Duration {
    let mut starts = [(); STARTS].map(|()| folder.serve().ready_after);
    starts.sort_unstable();
    starts[STARTS / 2]
}
