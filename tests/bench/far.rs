//! Receivers that are far away: they answer after a set delay, by http or TLS. Due deliveries go out as fast as the
//! usual settings allow, beside bare threads that send the same to the same receivers.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use crate::{
    bare,
    distant::{Connection, Distant},
    healthy,
    prepare::Store,
    process::{Folder, Process},
    table::{Table, ratio, whole},
};

/// Each run is measured for this long.
const MEASURED: Duration = Duration::from_secs(3);
/// Attempts at the same time: the usual setting. The bare threads are as many.
const IN_FLIGHT: usize = 1024;
/// Most deliveries a second for which enough are due: at once, and after a delay.
const FASTEST: [usize; 2] = [26_000, 9_000];
/// Webhooks of an account.
const EACH: usize = 20;
/// Due to one webhook, in full.
const BURST: usize = 100_000;

const DELAYS: [u64; 4] = [0, 20, 200, 1000];
const CONNECTIONS: [Connection; 3] = [Connection::Http, Connection::KeptTls, Connection::FreshTls];

pub fn run(_long: bool) {
    println!(
        "Deliveries/s with the usual settings, measured for {} s once the windows had time to grow: ten delays, 2 s at least.\n",
        MEASURED.as_secs()
    );
    let table = Table::new(
        12,
        &[
            "connection",
            "answer after ms",
            "1 webhook",
            "100",
            "1,000 of 50 accounts",
            "bare threads",
            "100 to bare",
            "MiB at most",
        ],
    );
    for connection in CONNECTIONS {
        for delay in DELAYS.map(Duration::from_millis) {
            row(&table, connection, delay);
        }
    }
}

fn row(table: &Table, connection: Connection, delay: Duration) {
    let measured = [1, 100, 1000].map(|webhooks| {
        let receiver = Distant::start(webhooks, connection, delay);
        pace(&receiver, webhooks, delay)
    });
    let receiver = Distant::start(100, connection, delay);
    let senders = if delay.is_zero() { 8 } else { IN_FLIGHT };
    let _bare = bare::drain(senders, receiver.authority(), &receiver.urls());
    let bare = receiver.pace(warm(delay), MEASURED);
    let [one, hundred, thousand] = measured.map(|(pace, _)| pace);
    let memory = measured.map(|(_, memory)| memory).into_iter().fold(0.0, f64::max);
    table.row(&[
        connection.name().to_owned(),
        delay.as_millis().to_string(),
        whole(one),
        whole(hundred),
        whole(thousand),
        whole(bare),
        ratio(hundred, bare),
        whole(memory),
    ]);
}

/// Deliveries a second to this many webhooks, and the memory that the program held at most, in MiB.
fn pace(receiver: &Distant, webhooks: usize, delay: Duration) -> (f64, f64) {
    let folder = Folder::new();
    let store = folder.store();
    let seconds = usize::try_from((warm(delay) + MEASURED).as_secs()).expect("seconds");
    let due = seconds * FASTEST[usize::from(!delay.is_zero())];
    for (account, urls) in receiver.urls().chunks(if webhooks > 100 { EACH } else { webhooks }).enumerate() {
        let account = format!("COOP-{account}");
        store.account(&account, urls.to_vec());
        store.publish(&account, due / webhooks + 1);
    }
    store.close();
    let server = serve(&folder, receiver.authority());
    (receiver.pace(warm(delay), MEASURED), server.memory().1)
}

fn warm(delay: Duration) -> Duration {
    (delay * 10).max(Duration::from_secs(2))
}

fn serve(folder: &Folder, authority: Option<&Path>) -> Process {
    let authority = authority.map(|path| path.display().to_string());
    folder.serve_with(&authority.iter().map(|path| ("NGOMA_EGRESS__EXTRA_CA", path.as_str())).collect::<Vec<_>>())
}

/// A healthy webhook of another account beside those that are far away: flat out, and at a modest pace.
pub fn beside(_long: bool) {
    let table = healthy::table();
    let scenes: [(&str, usize, usize, u64); 4] = [
        ("100 that answer after 200 ms", 100, 100, 200),
        ("1,000 of 50 accounts, 200 ms", 1000, EACH, 200),
        ("100 that answer after 1 s", 100, 100, 1000),
        ("100 that answer after 1.2 s", 100, 100, 1200),
    ];
    for turns in [healthy::IN_SERVICE, healthy::MODEST] {
        for (name, webhooks, each, delay) in scenes {
            let receiver = Distant::start(webhooks, Connection::Http, Duration::from_millis(delay));
            healthy::row(&table, name, turns, |store: &Store| {
                for (account, urls) in receiver.urls().chunks(each).enumerate() {
                    let account = format!("COOP-FAR-{account}");
                    store.account(&account, urls.to_vec());
                    store.publish(&account, 100_000 / webhooks);
                }
            });
        }
    }
}

/// Everything that waited for one webhook at 200 ms.
pub fn burst(long: bool) {
    let due = if long { BURST } else { BURST / 10 };
    let receiver = Distant::start(1, Connection::Http, Duration::from_millis(200));
    let folder = Folder::new();
    let store = folder.store();
    store.account("COOP-1", receiver.urls());
    store.publish("COOP-1", due);
    store.close();
    let watch = Instant::now();
    let _server = serve(&folder, None);
    while receiver.arrived() < due {
        thread::sleep(Duration::from_millis(100));
    }
    println!(
        "{} due to one webhook that answers after 200 ms: {:.0} s.",
        whole(due as f64),
        watch.elapsed().as_secs_f64()
    );
}
