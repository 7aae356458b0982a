//! A healthy webhook beside slow ones of another account, each of which has 10,000 deliveries due; and beside 100 of
//! each kind of bad receiver, each kind of an account of its own.

use std::time::Duration;

use crate::{
    healthy,
    receiver::{Answers, Receiver},
};

/// Due for each slow webhook.
const DUE: usize = 10_000;

/// Due for each of many.
const DUE_OF_MANY: usize = 500;

const SCENES: [(&str, usize, Answers); 5] = [
    ("1 that hangs", 1, Answers::Never),
    ("10 that hang", 10, Answers::Never),
    ("50 that hang", 50, Answers::Never),
    ("200 that hang", 200, Answers::Never),
    ("1 that answers in 1 s", 1, Answers::After(Duration::from_secs(1))),
];

const TWO_SPEEDS: Answers = Answers::EveryThirdAfter(Duration::from_millis(9_300));
const KINDS: [Answers; 4] = [Answers::Never, Answers::Failing, TWO_SPEEDS, Answers::After(Duration::from_secs(1))];

pub fn run(_long: bool) {
    let table = healthy::table();
    for (name, count, answers) in SCENES {
        let slow = Receiver::start(count, answers);
        healthy::row(&table, name, healthy::FROM_THE_START, |store| {
            store.account("COOP-SLOW", slow.urls());
            store.publish("COOP-SLOW", if count < 100 { DUE } else { DUE_OF_MANY });
        });
    }
    let speeds = Receiver::start(8, TWO_SPEEDS);
    healthy::row(&table, "8 whose every third takes 9.3 s", healthy::FROM_THE_START, |store| {
        store.account("COOP-SPEEDS", speeds.urls());
        store.publish("COOP-SPEEDS", DUE);
    });
    let kinds = KINDS.map(|answers| Receiver::start(100, answers));
    healthy::row(&table, "100 each: hang, fail, two speeds, 1 s", healthy::FROM_THE_START, |store| {
        for (kind, bad) in kinds.iter().enumerate() {
            let account = format!("COOP-BAD-{kind}");
            store.account(&account, bad.urls());
            store.publish(&account, DUE_OF_MANY);
        }
    });
}
