//! A webhook whose deliveries go out one at a time in the order of acceptance, in turns with a plain one on a file of its
//! own.

use std::time::Duration;

use ngoma::{
    domain::{
        endpoint_settings::{EndpointSettings, Sending},
        token::Visible,
    },
    store::{endpoint_settings, endpoints},
};

use crate::{
    load::{Load, Pace},
    prepare::Account,
    process::Folder,
    receiver::{Answers, Receiver},
    table::{self, Table, ms, whole},
};

/// How often each has its turn, and how long.
const TURNS: u32 = 4;
const EACH: Duration = Duration::from_secs(2);

pub fn run(_long: bool) {
    println!(
        "One webhook, ordered and plain in turns. Flat out, each publisher waits until its last event has arrived.\n\
         Latencies in ms.\n"
    );
    let table =
        Table::new(30, &["publishers", "ordered, events/s", "plain", "ratio", "arrival p50", "plain", "p99", "plain"]);
    for (name, publishers, pace) in [
        ("1, flat out", 1, Pace::AfterArrival),
        ("16, flat out", 16, Pace::AfterArrival),
        ("16 at 100 events/s", 16, Pace::PerSecond(100.0)),
    ] {
        let receiver = Receiver::start(1, Answers::AtOnce);
        let sides = [true, false].map(|ordered| webhook(&receiver, Sending { rate_limit: None, ordered }));
        let servers = [sides[0].0.serve(), sides[1].0.serve()];
        let load = Load { publishers, pace, most: 100_000, time: EACH, fan: 1 };
        let [ordered, plain] =
            load.in_turns(TURNS, [(&servers[0], &sides[0].1), (&servers[1], &sides[1].1)], &receiver);
        assert_eq!(ordered.missing + plain.missing, 0, "events never arrived");
        table.row(&[
            name.to_owned(),
            whole(ordered.rate()),
            whole(plain.rate()),
            table::percent(ordered.rate() / plain.rate()),
            ms(ordered.arrival.p50()),
            ms(plain.arrival.p50()),
            ms(ordered.arrival.p99()),
            ms(plain.arrival.p99()),
        ]);
    }
}

/// An account whose one webhook sends in this way.
fn webhook(receiver: &Receiver, sending: Sending) -> (Folder, Account) {
    let folder = Folder::new();
    let store = folder.store();
    let account = store.account("COOP-1", receiver.urls());
    store.write(move |tx| {
        let all = endpoints::list(tx, &Visible::EVERYTHING, tx.now, (0, None))?;
        all.iter().try_for_each(|one| {
            endpoint_settings::write(tx, one.key, &EndpointSettings { sending, ..EndpointSettings::default() })
        })
    });
    store.close();
    (folder, account)
}
