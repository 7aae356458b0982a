//! The store alone, by the library: many writes at once through one writer with group commit, synced to the disk.

use std::{
    fs,
    time::{Duration, Instant},
};

use ngoma::{
    api,
    domain::{
        audit::Actor,
        delivery::{Answer, Outcome},
        endpoint::EndpointKey,
        event::{Audience, NewEvent},
        failure_details::FailureDetails,
        profile::Profiles,
    },
    store::{
        Admission, Db, accounts, events,
        queue::{self, Attempted, Claim, Wanted},
    },
};

use crate::{
    backlog,
    prepare::{self, KIND, PROFILE, Store, stored},
    process::Folder,
    table::{Table, whole},
};

const ACCOUNT: &str = "COOP-1";
/// How many write at once, and how many are claimed and settled at once.
const GROUPS: [usize; 4] = [1, 8, 64, 256];
/// How long each verb is measured.
const TIME: Duration = Duration::from_secs(2);
/// Wait in the last row.
const PENDING: usize = 100_000;
/// Delivered events, to measure their size on the disk.
const DELIVERED: usize = 20_000;

pub fn run(_long: bool) {
    println!("Synced to the disk. The first row is one commit each: its publishes are the commits per second.\n");
    let table = Table::new(28, &["at once", "publishes/s", "claims/s", "settlements/s"]);
    for group in GROUPS {
        row(&table, &group.to_string(), group, |_| {});
    }
    row(&table, "64, beside 100,000 that wait", 64, |store| backlog::wait(store, PENDING));
    println!("\nOn the disk: {} bytes for an event that was delivered to one webhook.", bytes_per_event());
}

fn row(table: &Table, name: &str, group: usize, prepare: impl FnOnce(&Store)) {
    let folder = Folder::new();
    let store = one_webhook(&folder);
    prepare(&store);
    let published = publish(&store, group);
    let queue = Queue::new(&folder, &store);
    let (mut moved, mut claiming, mut settling) = (0, Duration::ZERO, Duration::ZERO);
    while claiming + settling < TIME {
        let watch = Instant::now();
        let claims = queue.claim(group);
        claiming += watch.elapsed();
        if claims.is_empty() {
            break;
        }
        moved += claims.len();
        let watch = Instant::now();
        queue.settle(claims);
        settling += watch.elapsed();
    }
    let rate = |time: Duration| whole(moved as f64 / time.as_secs_f64());
    table.row(&[name.to_owned(), whole(published), rate(claiming), rate(settling)]);
}

/// Publishes by this many writers, each of which writes again when it was answered; gives the publishes a second.
fn publish(store: &Store, writers: usize) -> f64 {
    let watch = Instant::now();
    let published: usize = store.runtime.block_on(async {
        let writers: Vec<_> = (0..writers).map(|_| tokio::spawn(write(store.db.clone()))).collect();
        let mut published = 0;
        for writer in writers {
            published += writer.await.expect("a writer");
        }
        published
    });
    published as f64 / watch.elapsed().as_secs_f64()
}

async fn write(db: Db) -> usize {
    let watch = Instant::now();
    let mut published = 0;
    while watch.elapsed() < TIME {
        let body = stored(published as u64);
        let publish = db.write(Actor::Engine, Admission::Try, move |tx| {
            let account = accounts::find(tx, PROFILE, ACCOUNT)?.key;
            let event = NewEvent { account, kind: KIND.to_owned(), body: body.into(), idempotency_key: None };
            events::publish(tx, &event, &Audience::Subscribers)
        });
        publish.await.expect("it is written");
        published += 1;
    }
    published
}

/// The size of a file, divided by the delivered events in it.
fn bytes_per_event() -> u64 {
    let folder = Folder::new();
    let store = one_webhook(&folder);
    store.publish(ACCOUNT, DELIVERED);
    deliver(&folder, &store, DELIVERED);
    store.close();
    fs::metadata(folder.database()).expect("a file").len() / DELIVERED as u64
}

/// Delivers this many waiting deliveries, as if the receiver always answered 200.
pub fn deliver(folder: &Folder, store: &Store, count: usize) {
    let queue = Queue::new(folder, store);
    let mut delivered = 0;
    while delivered < count {
        let claims = queue.claim(256);
        assert!(!claims.is_empty(), "nothing is lost");
        delivered += claims.len();
        queue.settle(claims);
    }
}

fn one_webhook(folder: &Folder) -> Store {
    let store = folder.store();
    store.account(ACCOUNT, vec!["http://127.0.0.1:9/".to_owned()]);
    store
}

/// Claims and settles as the engine does, with a receiver that always answers 200.
struct Queue<'a> {
    store: &'a Store,
    profiles: Profiles,
    endpoint: EndpointKey,
}

impl<'a> Queue<'a> {
    fn new(folder: &Folder, store: &'a Store) -> Self {
        // The store has one.
        Self { store, profiles: api::profiles(&prepare::config(folder.path())), endpoint: 1 }
    }

    fn claim(&self, most: usize) -> Vec<Claim> {
        let endpoint = self.endpoint;
        let claimed = self
            .store
            .write(move |tx| queue::claim(tx, &[Wanted { endpoint, claims: most, large_bytes: usize::MAX, from: 0 }]));
        claimed.into_iter().flat_map(|claimed| claimed.claims).collect()
    }

    fn settle(&self, claims: Vec<Claim>) {
        let profile = self.profiles.get(PROFILE).expect("a profile").clone();
        let answer = Answer { status: 200, body: Vec::new(), truncated: false, retry_after: None };
        let outcome = Outcome::Answered(answer);
        self.store.write(move |tx| {
            let details = FailureDetails::default();
            let attempted = Attempted { started_at: tx.now, duration: Duration::from_millis(1), outcome, details };
            for claim in &claims {
                let settled = queue::settle(tx, claim, &attempted, &profile)?;
                assert!(settled.is_some(), "the claim is ours");
            }
            Ok(())
        });
    }
}
