//! A file that may not grow, and groups of writes that share one commit: no failed write is confirmed.

use std::{
    fs::File,
    io::Write,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ngoma::{
    clock::{Clock, ManualClock},
    config::{Durability, Storage},
    domain::{
        audit::Actor,
        event::{Audience, NewEvent},
    },
    error::{Error, Result},
    store::{self, Admission, Db, Tx, accounts, events},
};
use rusqlite::{Connection, OpenFlags};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::support::{
    client::{Answer, Client},
    receiver::{Receiver, Reply},
    small_disk::SmallDisk,
    world::{COOP, START, World, defaults},
    writer::{hold_writer, poll},
};

const ACCOUNT: &str = "COOP-A";
/// An event without subscribers.
const UNHEARD: &str = "batch.exported";

/// From now on the file may have no page more than it has, or as many as it likes.
fn limit_pages(world: &World, pages: u32) {
    world.write(move |tx| store::limit_pages(tx, pages)).expect("it is set");
}

/// Publishes until there is no room for this many kilobytes; how many events were accepted.
fn fill(client: &Client, kilobytes: usize) -> usize {
    for accepted in 0..2000 {
        let answer = publish(client, kilobytes);
        if answer.status != 202 {
            refused(&answer);
            return accepted;
        }
    }
    panic!("the file is never full");
}

fn publish(client: &Client, kilobytes: usize) -> Answer {
    let data = json!({ "pages": vec!["x".repeat(1024); kilobytes] });
    client.post("/events", json!({ "event": UNHEARD, "cooperative_id": COOP, "data": data }))
}

#[track_caller]
fn refused(answer: &Answer) {
    assert_eq!(answer.code(503), "UNAVAILABLE");
    assert_eq!(answer.header("retry-after"), "1");
    assert!(answer.text.contains("the disk is full: nothing was stored"), "{}", answer.text);
}

fn look<T: rusqlite::types::FromSql>(file: &Path, sql: &str) -> T {
    let conn = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("the file");
    conn.query_row(sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

#[test]
fn while_the_file_may_not_grow_publishes_are_refused_nothing_is_lost_and_it_recovers() {
    let world = World::new();
    let (coop, customer) = (world.coop(), world.customer());
    let (waits, ends) = (Receiver::new(), Receiver::new());
    waits.next([Reply::status(500)]);
    let waiting = coop.webhook(&waits.url(), &["dds.filed"], "s");
    coop.publish("dds.filed", json!({}));
    world.settle();
    // Under way while the file becomes full; its answer needs a page of its own.
    ends.next([Reply::GatedBody(vec![b'a'; 4096])]);
    let ending = coop.webhook(&ends.url(), &["dds.generated"], "s");
    coop.publish("dds.generated", json!({}));
    ends.wait_for(1);
    limit_pages(&world, 1);
    let accepted = 2 + fill(&coop, 40) + fill(&coop, 0);
    let task = json!({ "event": "task.settled", "task_id": "t", "consensus_label": "l".repeat(60_000), "confidence": 1.0,
                       "bsv_txid": "x", "settled_at": "2026-04-08T21:05:00Z" });
    let answer = customer.post("/v1/events", task.clone());
    assert_eq!(answer.header("retry-after"), "1");
    assert!(answer.sentence(503).contains("the disk is full"), "{}", answer.text);
    // The attempt ends, and nothing can be written of it: all deliveries pause.
    world.until_heard(|| ends.open_gate());
    world.move_clock(Duration::from_secs(30));
    assert_eq!(world.in_flight(), 1, "the outcome is kept");
    assert_eq!(coop.deliveries(&ending)[0]["status"], "IN_FLIGHT");
    assert_eq!(waits.posts().len(), 1, "what is due now is not sent");
    refused(&publish(&coop, 40));
    assert_eq!(coop.get("/health/live").status, 200);
    limit_pages(&world, u32::MAX);
    // The engine looks again by itself.
    world.advance("1s");
    for (webhook, receiver, posts) in [(&ending, &ends, 1), (&waiting, &waits, 2)] {
        assert_eq!(coop.deliveries(webhook)[0]["status"], "DELIVERED");
        assert_eq!(receiver.posts().len(), posts, "sent as often as it was to be");
    }
    customer.post("/v1/events", task).expect(202);
    publish(&coop, 40).expect(202);
    let stored: usize = look(&world.database(), "SELECT count(*) FROM event");
    assert_eq!(stored, accepted + 2, "all that was accepted, nothing that was refused");
    assert_eq!(look::<String>(&world.database(), "PRAGMA integrity_check"), "ok");
    println!("a full file: {accepted} accepted, none lost");
}

/// A store by itself, with one account: only the story writes.
struct LoneStore {
    db: Db,
    clock: Arc<ManualClock>,
    storage: Storage,
    runtime: Runtime,
}

type Work = Box<dyn FnOnce(&Tx<'_>) -> Result<()> + Send>;

impl LoneStore {
    fn within(folder: &Path) -> Self {
        let storage =
            Storage { path: folder.join("ngoma.db"), key_file: folder.join("ngoma.key"), durability: Durability::Full };
        let clock = Arc::new(ManualClock::new(START));
        let handed: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let db = store::open(&storage, &defaults().limits, handed, true).expect("it opens");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let store_alone = Self { db, clock, storage, runtime };
        store_alone.write(|tx| accounts::create(tx, "asilichain", ACCOUNT, None).map(drop)).expect("an account");
        store_alone
    }

    fn write(&self, run: impl FnOnce(&Tx<'_>) -> Result<()> + Send + 'static) -> Result<()> {
        self.runtime.block_on(self.db.write(Actor::Engine, Admission::Try, run))
    }

    /// Makes these writes share a commit: they gather while the writer is held. Returns how many ran without an error
    /// of their own, and the result of each.
    fn group(&self, writes: Vec<Work>, meanwhile: impl FnOnce()) -> (usize, Vec<Result<()>>) {
        // After two seconds the commit also writes down the moment.
        self.clock.set(self.clock.now() + Duration::from_secs(2));
        let went_well = Arc::new(AtomicUsize::new(0));
        let (open, held) = hold_writer(&self.db);
        let mut told = Vec::new();
        for write in writes {
            let well = Arc::clone(&went_well);
            told.push(Box::pin(self.db.write(Actor::Engine, Admission::Try, move |tx| {
                write(tx)?;
                well.fetch_add(1, Ordering::SeqCst);
                Ok(())
            })));
        }
        for write in &mut told {
            assert!(poll(write.as_mut()).is_pending(), "it waits");
        }
        meanwhile();
        open.send(()).expect("the writer waits");
        held.join().expect("no panic");
        let told = told.into_iter().map(|write| self.runtime.block_on(write)).collect();
        (went_well.load(Ordering::SeqCst), told)
    }

    fn stored(&self) -> (usize, usize) {
        let count = |table| look(&self.storage.path, &format!("SELECT count(*) FROM {table}"));
        (count("account"), count("event"))
    }
}

/// Needs no page more.
fn small(number: usize) -> Work {
    Box::new(move |tx| accounts::create(tx, "asilichain", &format!("COOP-{number}"), None).map(drop))
}

/// Needs many.
fn large() -> Work {
    Box::new(|tx| {
        let account = accounts::find(tx, "asilichain", ACCOUNT)?.key;
        let event =
            NewEvent { account, kind: UNHEARD.to_owned(), body: "x".repeat(100_000).into(), idempotency_key: None };
        events::publish(tx, &event, &Audience::Subscribers).map(drop)
    })
}

#[test]
fn writes_in_the_commit_that_fills_the_file_are_undone_and_waiting_ones_are_stored() {
    const GROUP: usize = 6;
    let folder = tempfile::tempdir().expect("a folder");
    let store_alone = LoneStore::within(folder.path());
    let with_large_at = |place| {
        let write = move |number| if number == place { large() } else { small(GROUP * place + number) };
        (0..GROUP).map(write).collect::<Vec<Work>>()
    };
    let mut accounts = 1;
    // The last of them too: after it, only the commit is to come.
    for place in 0..GROUP {
        store_alone.write(|tx| store::limit_pages(tx, 1)).expect("it is set");
        let (went_well, told) = store_alone.group(with_large_at(place), || {});
        assert_eq!(went_well, GROUP - 1, "all but the large one found room");
        for (number, told) in told.iter().enumerate() {
            match told {
                Err(Error::Unavailable(why)) if number <= place => {
                    assert!(why.contains(if number == place { "the disk is full" } else { "" }), "{why}");
                }
                Ok(()) if number > place => accounts += 1,
                told => panic!("{number} of {place}: {told:?}"),
            }
        }
        assert_eq!(store_alone.stored(), (accounts, 0), "{place}");
    }
    store_alone.write(|tx| store::limit_pages(tx, u32::MAX)).expect("it is set");
    let (went_well, told) = store_alone.group(with_large_at(GROUP), || {});
    assert_eq!((went_well, told), (GROUP, vec![Ok(()); GROUP]));
    store_alone.write(|tx| large()(tx)).expect("there is room now");
    assert_eq!(store_alone.stored(), (accounts + GROUP, 1));
}

#[test]
fn when_the_commit_of_a_group_fails_none_of_its_writes_is_stored_or_confirmed() {
    const GROUP: usize = 6;
    let disk = SmallDisk::new();
    let store_alone = LoneStore::within(disk.folder());
    let fill = || {
        let mut rest = File::create(disk.folder().join("rest")).expect("a file");
        while rest.write_all(&[7; 512]).is_ok() {}
    };
    let all = || (0..GROUP).map(|_| large()).collect();
    let (went_well, told) = store_alone.group(all(), fill);
    assert_eq!(went_well, GROUP, "each found room in memory");
    for told in &told {
        assert!(matches!(told, Err(Error::Unavailable(why)) if why.contains("the disk is full")), "{told:?}");
    }
    assert_eq!(store_alone.stored(), (1, 0));
    for file in [disk.folder().join("rest"), disk.ballast()] {
        std::fs::remove_file(file).expect("thrown off");
    }
    assert_eq!(store_alone.group(all(), || {}), (GROUP, vec![Ok(()); GROUP]));
    assert_eq!(store_alone.stored(), (1, GROUP));
}
