//! A healthy webhook beside slow ones of another account, each of which has 10,000 deliveries due. The baseline is the
//! healthy one alone.

use std::time::Duration;

use crate::{
    ledger::Figures,
    load::{Load, Pace},
    process::Folder,
    receiver::{Answers, Receiver},
    table::{Table, ms, ratio, whole},
};

/// Due for each slow webhook.
const DUE: usize = 10_000;
/// Longer than an attempt may take, so that the first time-outs are in it.
const TIME: Duration = Duration::from_secs(12);

const SCENES: [(&str, usize, Answers); 5] = [
    ("the healthy one alone", 0, Answers::Never),
    ("1 that hangs", 1, Answers::Never),
    ("10 that hang", 10, Answers::Never),
    ("50 that hang", 50, Answers::Never),
    ("1 that answers in 1 s", 1, Answers::After(Duration::from_secs(1))),
];

pub fn run(_long: bool) {
    println!(
        "The healthy webhook gets the events of 16 publishers, each of which waits until its last has arrived. The load\n\
         begins when the server is ready and goes on for {} s.\n",
        TIME.as_secs()
    );
    let table = Table::new(26, &["beside it", "events/s", "of alone", "arrival p50", "p99", "p99 to alone"]);
    let mut alone: Option<Figures> = None;
    for (name, slow, answers) in SCENES {
        let figures = beside(slow, answers);
        let alone = alone.get_or_insert(figures.clone());
        table.row(&[
            name.to_owned(),
            whole(figures.rate),
            ratio(figures.rate, alone.rate) + " x",
            ms(figures.arrival.p50),
            ms(figures.arrival.p99),
            ratio(figures.arrival.p99.as_secs_f64(), alone.arrival.p99.as_secs_f64()) + " x",
        ]);
    }
}

fn beside(slow: usize, answers: Answers) -> Figures {
    let (receiver, slow) = (Receiver::start(1, Answers::AtOnce), Receiver::start(slow, answers));
    let folder = Folder::new();
    let store = folder.store();
    let account = store.account("COOP-1", receiver.urls());
    store.account("COOP-SLOW", slow.urls());
    if !slow.addresses.is_empty() {
        store.publish("COOP-SLOW", DUE);
    }
    store.close();
    let server = folder.serve();
    let load = Load { publishers: 16, pace: Pace::AfterArrival, most: 300_000, time: TIME, fan: 1 };
    let figures = load.run(server.address, &account, &receiver);
    assert_eq!(figures.missing, 0, "events of the healthy webhook never arrived");
    figures
}
