//! Publishing while a backup is taken, in turns with the same load without one.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

use crate::{
    ledger::Figures,
    load::{Load, Pace},
    process::Folder,
    receiver::{Answers, Receiver},
    table::{Table, ms, ratio, whole},
};

/// Events that are in the database before: some 500 MB.
const PAST: usize = 640_000;
/// How many turns the load with a backup and the load without take, and how long each is.
const TURNS: u32 = 3;
const TURN: Duration = Duration::from_secs(12);
/// Events a second, all publishers together.
const RATE: f64 = 2000.0;

pub fn run(_long: bool) {
    let receiver = Receiver::start(1, Answers::AtOnce);
    let folder = Folder::new();
    let store = folder.store();
    let account = store.account("COOP-1", receiver.urls());
    store.account("COOP-PAST", Vec::new());
    store.publish("COOP-PAST", PAST);
    store.close();
    let before = fs::metadata(folder.database()).expect("a file").len();
    let server = folder.serve();
    let load = Load { publishers: 16, pace: Pace::PerSecond(RATE), most: 1_000_000, time: TURN, fan: 1 };
    let (mut beside, mut alone, mut backups) = (Figures::default(), Figures::default(), Vec::new());
    for _ in 0..TURNS {
        alone.add(&load.run(server.address, &account, &receiver));
        backups.extend(meanwhile(folder.path(), || beside.add(&load.run(server.address, &account, &receiver))));
    }
    backups.sort_unstable();
    let median = backups[backups.len() / 2];
    println!(
        "{RATE} events/s from 16 publishers. The database has {} MB before, {} MB after. Backups follow one upon another: {} \
         of them, of which the median takes {:.1} s. Latencies in ms.\n",
        before / 1_000_000,
        fs::metadata(folder.database()).expect("a file").len() / 1_000_000,
        backups.len(),
        median.as_secs_f64(),
    );
    let table = Table::new(20, &["", "events/s", "publish p50", "p99", "longest", "arrival p50", "p99"]);
    for (who, figures) in [("while backed up", &beside), ("... without", &alone)] {
        assert_eq!(figures.missing, 0, "{who}: events never arrived");
        let Figures { publish, arrival, .. } = figures;
        let latencies = [publish.p50(), publish.p99(), publish.longest(), arrival.p50(), arrival.p99()].map(ms);
        table.row(&[who.to_owned(), whole(figures.rate())].into_iter().chain(latencies).collect::<Vec<_>>());
    }
    let times = |of: fn(&Figures) -> Duration| ratio(of(&beside).as_secs_f64(), of(&alone).as_secs_f64()) + " x";
    table.row(&[
        "... with / without".to_owned(),
        ratio(beside.rate(), alone.rate()) + " x",
        times(|figures| figures.publish.p50()),
        times(|figures| figures.publish.p99()),
        times(|figures| figures.publish.longest()),
        times(|figures| figures.arrival.p50()),
        times(|figures| figures.arrival.p99()),
    ]);
}

/// Does this while one backup after another is taken; gives how long each that was whole took.
fn meanwhile(folder: &Path, work: impl FnOnce()) -> Vec<Duration> {
    let (over, number) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let backups = scope.spawn(|| {
            let mut took = Vec::new();
            while !over.load(SeqCst) {
                let file = folder.join(format!("copy-{}.db", number.fetch_add(1, SeqCst)));
                let begun = Instant::now();
                let mut command = Command::new(env!("CARGO_BIN_EXE_ngoma"));
                let done = command.arg("backup").arg(&file).current_dir(folder).stdout(Stdio::null()).status();
                assert!(done.expect("it runs").success(), "a backup failed");
                took.push(begun.elapsed());
                for file in [file.clone(), file.with_extension("db.key")] {
                    fs::remove_file(file).expect("it is there");
                }
            }
            took
        });
        work();
        over.store(true, SeqCst);
        backups.join().expect("no panic")
    })
}
