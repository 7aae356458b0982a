//! Events of 600 bytes, from publishers over kept connections through the program, durably, to one webhook. Beside it
//! the bare pipeline without any storage: the limit.

use std::{net::SocketAddr, time::Duration};

use crate::{
    bare,
    ledger::Figures,
    load::{Load, Pace},
    prepare::Account,
    process::Folder,
    receiver::{Answers, Receiver},
    table::{Table, ms, ratio, whole},
};

const PUBLISHERS: [usize; 3] = [1, 16, 64];
/// Ngoma and the bare pipeline take turns.
const TURNS: u32 = 3;
/// The most events of a turn, and its longest time.
const MOST: usize = 20_000;
const TIME: Duration = Duration::from_secs(2);
/// Sending threads of the bare pipeline; the better counts.
const SENDERS: [usize; 2] = [4, 8];

pub fn run(_long: bool) {
    let receiver = Receiver::start(1, Answers::AtOnce);
    let target = receiver.addresses[0];
    let senders = better(target, &receiver);
    println!(
        "The bare pipeline sends from {senders} threads. Latencies in ms; x: ngoma's divided by the bare pipeline's.\n"
    );
    let table = Table::new(25, &["", "events/s", "publish p50", "p99", "arrival p50", "p99"]);
    let compare = |name: &str, load: Load| {
        let (folder, account) = fresh(&receiver);
        let (server, bare) = (folder.serve(), bare::start(senders, target));
        let idle = server.memory().0;
        let sides = [(&server, &account), (&bare, &account)];
        let [ours, bare] = load.in_turns(TURNS, sides, &receiver);
        rows(&table, name, &ours, &bare);
        (ours.rate(), idle, server.memory().1)
    };
    compare("one event alone", Load { pace: Pace::AfterArrival, ..flat_out(1) });
    let [_, _, (rate, idle, most)] =
        PUBLISHERS.map(|publishers| compare(&format!("publishers, flat out: {publishers}"), flat_out(publishers)));
    compare("64 at half that rate", Load { pace: Pace::PerSecond(rate / 2.0), ..flat_out(64) });
    println!("\nMemory: {idle:.0} MiB at the start, {most:.0} MiB at most under the load of 64 publishers.");
}

fn flat_out(publishers: usize) -> Load {
    Load { publishers, pace: Pace::FlatOut, most: MOST, time: TIME, fan: 1 }
}

/// A fresh file with one webhook.
fn fresh(receiver: &Receiver) -> (Folder, Account) {
    let folder = Folder::new();
    let store = folder.store();
    let account = store.account("COOP-1", receiver.urls());
    store.close();
    (folder, account)
}

/// The number of threads with which the bare pipeline is faster.
fn better(target: SocketAddr, receiver: &Receiver) -> usize {
    // It asks nobody who he is.
    let nobody = Account { id: "COOP-1".to_owned(), token: String::new() };
    let sides = SENDERS.map(|senders| bare::start(senders, target));
    let rates = flat_out(64).in_turns(TURNS, [(&sides[0], &nobody), (&sides[1], &nobody)], receiver);
    if rates[0].rate() > rates[1].rate() { SENDERS[0] } else { SENDERS[1] }
}

fn rows(table: &Table, name: &str, ours: &Figures, bare: &Figures) {
    for (who, figures) in [(name.to_owned(), ours), ("... the bare pipeline".to_owned(), bare)] {
        assert_eq!(figures.missing, 0, "{who}: events never arrived");
        let Figures { publish, arrival, .. } = figures;
        let latencies = [publish.p50(), publish.p99(), arrival.p50(), arrival.p99()].map(ms);
        let cells: Vec<String> = [who, whole(figures.rate())].into_iter().chain(latencies).collect();
        table.row(&cells);
    }
    let times = |of: fn(&Figures) -> Duration| ratio(of(ours).as_secs_f64(), of(bare).as_secs_f64()) + " x";
    table.row(&[
        "... ngoma / bare".to_owned(),
        ratio(ours.rate(), bare.rate()) + " x",
        times(|figures| figures.publish.p50()),
        times(|figures| figures.publish.p99()),
        times(|figures| figures.arrival.p50()),
        times(|figures| figures.arrival.p99()),
    ]);
}
