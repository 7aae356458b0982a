//! One event to many webhooks of one account, each at a host of its own. One webhook is the baseline.

use std::time::Duration;

use crate::{
    load::{Load, Pace},
    process::Folder,
    receiver::{Answers, Receiver},
    table::{Table, ms, ratio, whole},
};

/// The last is as many as an account may have.
const WEBHOOKS: [u32; 3] = [1, 10, 100];
/// The most deliveries that are made flat out, and the longest time for it.
const DELIVERIES: u32 = 60_000;
const TIME: Duration = Duration::from_secs(5);

pub fn run(_long: bool) {
    println!("Flat out: 16 publishers. Alone: the next event is published when the last has arrived everywhere.\n");
    let columns = ["webhooks", "deliveries/s", "of one", "publish p50", "publish alone", "last arrival alone", "p99"];
    let table = Table::new(8, &columns);
    let mut baseline = None;
    for fan in WEBHOOKS {
        let receiver = Receiver::start(fan as usize, Answers::AtOnce);
        let folder = Folder::new();
        let store = folder.store();
        let account = store.account("COOP-1", receiver.urls());
        store.close();
        let server = folder.serve();
        let most = (DELIVERIES / fan) as usize;
        let alone = Load { publishers: 1, pace: Pace::AfterArrival, most, time: TIME / 2, fan };
        let alone = alone.run(server.address, &account, &receiver);
        let flat_out = Load { publishers: 16, pace: Pace::FlatOut, most, time: TIME, fan };
        let flat_out = flat_out.run(server.address, &account, &receiver);
        assert_eq!(alone.missing + flat_out.missing, 0, "deliveries never arrived");
        let rate = flat_out.rate() * f64::from(fan);
        table.row(&[
            fan.to_string(),
            whole(rate),
            ratio(rate, *baseline.get_or_insert(rate)) + " x",
            ms(flat_out.publish.p50()),
            ms(alone.publish.p50()),
            ms(alone.arrival.p50()),
            ms(alone.arrival.p99()),
        ]);
    }
}
