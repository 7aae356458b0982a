//! Events of 600 bytes, from publishers over kept connections through the program, durably, to one webhook. Beside it the
//! bare pipeline without any storage: the limit.

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
/// At most so many events are published flat out, for at most so long.
const MOST: usize = 60_000;
const TIME: Duration = Duration::from_secs(6);
/// The other loads are for latencies.
const SHORT: Duration = Duration::from_secs(4);
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
        let (ours, memory) = ngoma(load, &receiver);
        let bare = load.run(bare::start(senders, target).address, &nobody(), &receiver);
        rows(&table, name, &ours, &bare);
        (ours.rate, memory)
    };
    compare("one event alone", Load { pace: Pace::AfterArrival, time: SHORT, ..flat_out(1) });
    let [_, _, (rate, (idle, most))] =
        PUBLISHERS.map(|publishers| compare(&format!("publishers, flat out: {publishers}"), flat_out(publishers)));
    compare("64 at half that rate", Load { pace: Pace::PerSecond(rate / 2.0), time: SHORT, ..flat_out(64) });
    println!("\nMemory: {idle:.0} MiB at the start, {most:.0} MiB at most under the load of 64 publishers.");
}

fn flat_out(publishers: usize) -> Load {
    Load { publishers, pace: Pace::FlatOut, most: MOST, time: TIME, fan: 1 }
}

/// What a server on a fresh file with one webhook came to, and its memory in MiB: at the start, and at most.
fn ngoma(load: Load, receiver: &Receiver) -> (Figures, (f64, f64)) {
    let folder = Folder::new();
    let store = folder.store();
    let account = store.account("COOP-1", receiver.urls());
    store.close();
    let server = folder.serve();
    let idle = server.memory().0;
    let figures = load.run(server.address, &account, receiver);
    (figures, (idle, server.memory().1))
}

/// The number of threads with which the bare pipeline is faster.
fn better(target: SocketAddr, receiver: &Receiver) -> usize {
    let rate = |senders| flat_out(64).run(bare::start(senders, target).address, &nobody(), receiver).rate;
    let rates = SENDERS.map(|senders| (rate(senders), senders));
    rates.into_iter().max_by(|one, other| one.0.total_cmp(&other.0)).expect("two of them").1
}

/// The bare pipeline asks nobody who he is.
fn nobody() -> Account {
    Account { id: "COOP-1".to_owned(), token: String::new() }
}

fn rows(table: &Table, name: &str, ours: &Figures, bare: &Figures) {
    for (who, figures) in [(name.to_owned(), ours), ("... the bare pipeline".to_owned(), bare)] {
        let Figures { rate, publish, arrival, missing } = figures;
        assert_eq!(*missing, 0, "{who}: events never arrived");
        table.row(&[who, whole(*rate), ms(publish.p50), ms(publish.p99), ms(arrival.p50), ms(arrival.p99)]);
    }
    let times = |of: fn(&Figures) -> Duration| ratio(of(ours).as_secs_f64(), of(bare).as_secs_f64()) + " x";
    table.row(&[
        "... ngoma / bare".to_owned(),
        ratio(ours.rate, bare.rate) + " x",
        times(|figures| figures.publish.p50),
        times(|figures| figures.publish.p99),
        times(|figures| figures.arrival.p50),
        times(|figures| figures.arrival.p99),
    ]);
}
