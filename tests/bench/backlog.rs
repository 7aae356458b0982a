//! A healthy webhook beside a backlog: deliveries that wait for their time, and deliveries due to a webhook that is
//! dead.

use std::{net::TcpListener, sync::Arc, time::Duration};

use ngoma::clock::{Clock, ManualClock, SystemClock};

use crate::{
    healthy,
    prepare::Store,
    receiver::{Answers, Receiver},
};

/// The number of webhooks to which the waiting deliveries go.
const WEBHOOKS: usize = 100;
/// How far off they are due.
const WAIT: Duration = Duration::from_secs(2 * 3600);
/// Due to the dead webhook.
const DUE: usize = 100_000;

pub fn run(long: bool) {
    let table = healthy::table();
    let hanging = Receiver::start(1, Answers::Never);
    let dead = [("refuses", refusing()), ("hangs", hanging.urls().remove(0))];
    healthy::row(&table, "100,000 pending", healthy::FROM_THE_START, |store| wait(store, 100_000));
    for (how, url) in &dead {
        healthy::row(&table, &format!("100,000 due to one that {how}"), healthy::FROM_THE_START, |store| {
            due(store, url)
        });
    }
    if !long {
        return;
    }
    healthy::row(&table, "1,000,000 pending", healthy::FROM_THE_START, |store| wait(store, 1_000_000));
    for (how, url) in &dead {
        healthy::row(&table, &format!("both, 100,000 due to one that {how}"), healthy::FROM_THE_START, |store| {
            wait(store, 1_000_000);
            due(store, url);
        });
    }
}

/// Publishes deliveries that are due in two hours, by a clock that is two hours ahead. Nothing is sent before.
pub fn wait(store: &Store, events: usize) {
    let ahead = ManualClock::new(SystemClock.now() + WAIT);
    let ahead = Store::open(store.folder(), Arc::new(ahead));
    for webhook in 0..WEBHOOKS {
        let account = format!("COOP-WAITS-{webhook}");
        ahead.account(&account, vec!["http://127.0.0.1:9/".to_owned()]);
        ahead.publish(&account, events / WEBHOOKS);
    }
}

fn due(store: &Store, url: &str) {
    store.account("COOP-DEAD", vec![url.to_owned()]);
    store.publish("COOP-DEAD", DUE);
}

/// A target at a port that was just free: connections there are refused.
fn refusing() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    format!("http://{}/", listener.local_addr().expect("a port"))
}
