//! What webhooks cost that get nothing: memory, disk, the start, and the latency of one event alone to another webhook.

use std::{fs, time::Duration};

use crate::{
    load::{Load, Pace},
    process::Folder,
    receiver::{Answers, Receiver},
    table::{Table, ms, ratio, whole},
};

const ACCOUNTS: usize = 1_000;
const WEBHOOKS_EACH: usize = 10;
/// The median of so many starts counts.
const STARTS: usize = 9;
const TIME: Duration = Duration::from_secs(5);

pub fn run(_long: bool) {
    let columns = [
        "webhooks at rest",
        "KiB on disk",
        "ready ms",
        "MiB at start",
        "MiB after",
        "arrival p50 ms",
        "p99",
        "p50 to none",
    ];
    let table = Table::new(18, &columns);
    let mut none: Option<Duration> = None;
    for accounts in [0, ACCOUNTS] {
        let receiver = Receiver::start(1, Answers::AtOnce);
        let folder = Folder::new();
        let store = folder.store();
        let account = store.account("COOP-1", receiver.urls());
        for resting in 0..accounts {
            let urls = (0..WEBHOOKS_EACH).map(|webhook| format!("https://coop-{resting}.example/webhooks/{webhook}"));
            store.account(&format!("COOP-RESTS-{resting}"), urls.collect());
        }
        store.close();
        let bytes = fs::metadata(folder.database()).expect("a file").len();
        let mut starts = [(); STARTS].map(|()| folder.serve().ready_after);
        starts.sort_unstable();
        let server = folder.serve();
        let at_start = server.memory().0;
        let alone = Load { publishers: 1, pace: Pace::AfterArrival, most: 100_000, time: TIME, fan: 1 };
        let arrival = alone.run(server.address, &account, &receiver).arrival;
        let to_none = arrival.p50.as_secs_f64() / none.get_or_insert(arrival.p50).as_secs_f64();
        table.row(&[
            whole((accounts * WEBHOOKS_EACH) as f64),
            whole(bytes as f64 / 1024.0),
            ms(starts[STARTS / 2]),
            whole(at_start),
            whole(server.memory().0),
            ms(arrival.p50),
            ms(arrival.p99),
            ratio(to_none, 1.0) + " x",
        ]);
    }
}
