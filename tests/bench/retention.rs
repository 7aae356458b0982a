//! Publishing while many old rows are removed, in turns with the same load on a file without old rows.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use ngoma::store::retention;

use crate::{
    ledger::Figures,
    load::{Load, Pace},
    prepare::Account,
    process::Folder,
    receiver::{Answers, Receiver},
    store,
    table::{Table, ms, ratio, whole},
};

const OLD: usize = 200_000;
const OLD_LONG: usize = 1_000_000;
/// How many turns the two take under each load, and how long each is.
const TURNS: u32 = 4;
const TURN: Duration = Duration::from_secs(2);
/// How long the past took to come about.
const MONTH: Duration = Duration::from_secs(31 * 24 * 3600);
/// How long removing it may take.
const PATIENCE: Duration = Duration::from_secs(1800);
/// The log line of the server when it has removed the rows.
const REMOVED: &str = "rows that had grown old were removed";

pub fn run(long: bool) {
    let old = if long { OLD_LONG } else { OLD };
    let receiver = Receiver::start(1, Answers::AtOnce);
    let (fresh, only) = served(&receiver, 0);
    let (folder, account) = served(&receiver, old);
    let full = length(&folder);
    println!("{old} old deliveries, with an event and an attempt each, are removed meanwhile. Latencies in ms.\n");
    let (other, server) = (fresh.serve(), folder.serve());
    let begun = Instant::now();
    let sides = [(&server, &account), (&other, &only)];
    let table = Table::new(25, &["", "events/s", "publish p50", "p99", "arrival p50", "p99"]);
    let compare = |name: &str, load: Load| {
        let [beside, alone] = load.in_turns(TURNS, sides, &receiver);
        assert!(!is_removed(&folder), "it was removed before the load had ended: what was measured is too good");
        rows(&table, name, &beside, &alone);
        alone.rate()
    };
    let flat_out = Load { publishers: 64, pace: Pace::FlatOut, most: 100_000, time: TURN, fan: 1 };
    let rate = compare("64, flat out", flat_out);
    compare("64 at half that rate", Load { pace: Pace::PerSecond(rate / 2.0), ..flat_out });
    while !is_removed(&folder) {
        assert!(begun.elapsed() < PATIENCE, "it is not removed in time");
        thread::sleep(Duration::from_millis(100));
    }
    println!(
        "\nIt took {:.0} s, of which it was frozen {:.0} s. The file had {:.0} MB and has {:.0} MB; memory {:.0} MiB at most.",
        begun.elapsed().as_secs_f64(),
        (2 * TURNS * TURN).as_secs_f64(),
        full,
        length(&folder),
        server.memory().1,
    );
}

/// A file with a webhook, and this many deliveries that arrived there a month ago.
fn served(receiver: &Receiver, old: usize) -> (Folder, Account) {
    let folder = Folder::new();
    let store = folder.store();
    let account = store.account("COOP-1", receiver.urls());
    if old > 0 {
        store.publish(&account.id, old);
        store::deliver(&folder, &store, old);
        for lived in [Duration::ZERO, MONTH] {
            store.write(move |tx| retention::note(tx, lived, 2 * MONTH));
        }
    }
    store.close();
    (folder, account)
}

fn is_removed(folder: &Folder) -> bool {
    fs::read_to_string(folder.path().join("log")).is_ok_and(|log| log.contains(REMOVED))
}

/// The length of the file, in MB.
fn length(folder: &Folder) -> f64 {
    fs::metadata(folder.database()).expect("a file").len() as f64 / 1e6
}

fn rows(table: &Table, name: &str, beside: &Figures, alone: &Figures) {
    for (who, figures) in [(name, beside), ("... without a past", alone)] {
        assert_eq!(figures.missing, 0, "{who}: events never arrived");
        let Figures { publish, arrival, .. } = figures;
        let latencies = [publish.p50(), publish.p99(), arrival.p50(), arrival.p99()].map(ms);
        table.row(&[who.to_owned(), whole(figures.rate())].into_iter().chain(latencies).collect::<Vec<_>>());
    }
    let times = |of: fn(&Figures) -> Duration| ratio(of(beside).as_secs_f64(), of(alone).as_secs_f64()) + " x";
    table.row(&[
        "... with / without".to_owned(),
        ratio(beside.rate(), alone.rate()) + " x",
        times(|figures| figures.publish.p50()),
        times(|figures| figures.publish.p99()),
        times(|figures| figures.arrival.p50()),
        times(|figures| figures.arrival.p99()),
    ]);
}
