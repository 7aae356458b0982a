//! A healthy webhook beside slow ones of another account, each of which has 10,000 deliveries due.

use std::time::Duration;

use crate::{
    healthy,
    receiver::{Answers, Receiver},
};

/// Due for each slow webhook.
const DUE: usize = 10_000;

const SCENES: [(&str, usize, Answers); 4] = [
    ("1 that hangs", 1, Answers::Never),
    ("10 that hang", 10, Answers::Never),
    ("50 that hang", 50, Answers::Never),
    ("1 that answers in 1 s", 1, Answers::After(Duration::from_secs(1))),
];

pub fn run(_long: bool) {
    let table = healthy::table();
    for (name, count, answers) in SCENES {
        let slow = Receiver::start(count, answers);
        healthy::row(&table, name, |store| {
            store.account("COOP-SLOW", slow.urls());
            store.publish("COOP-SLOW", DUE);
        });
    }
}
