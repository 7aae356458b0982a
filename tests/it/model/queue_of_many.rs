//! Many webhooks, their store and the engine's own rounds, without doors, threads or sockets; and what their receivers
//! see. It knows nothing of how an order is kept.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use ngoma::{
    api,
    clock::{Clock, ManualClock},
    config::{self, Durability, Storage},
    domain::{
        audit::Actor,
        endpoint::{EventFilter, Resend, SuspendedReason},
        endpoint_settings::{EndpointSettings, Sending},
        event::{Audience, NewEvent},
        ids::DeliveryId,
        signature::SigningSecret,
        timestamp::Timestamp,
        token::Visible,
    },
    engine::{
        EngineStatus, Handlers, InFlight, Round, Rounds,
        lanes::{Lanes, Limits},
    },
    error::Result,
    store::{
        self, Admission, Db, Tx, accounts, deliveries, endpoint_settings, endpoints, events, queue::Claim, replays,
    },
};
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;
use tokio::{runtime::Runtime, sync::watch};

use crate::{
    model::{
        machine::{VENDORS, index, key, url},
        steps::Reaction,
        threads::attempted,
    },
    support::{
        receiver::lock,
        world::{START, defaults, wait_for_lock},
    },
};

/// Attempts that may be under way at the same time, and those of one webhook.
const LIMITS: Limits =
    Limits { in_flight: 64, per_endpoint: 4, at_work: usize::MAX, slow_after: Duration::from_secs(60) };
/// More rounds than anything takes.
const MOST_ROUNDS: usize = 1_000_000;

/// The part that ends with the process.
struct Running {
    db: Db,
    in_flight: Arc<InFlight>,
    rounds: Rounds,
    /// Claims whose attempt has begun and that nobody has looked at.
    begun: Arc<Mutex<Vec<Claim>>>,
    under_way: Vec<Claim>,
}

/// The deliveries that the receivers got.
#[derive(Default)]
pub struct Seen {
    /// Attempts that began while another one to the same webhook was under way.
    pub at_once: usize,
    /// Deliveries that were accepted after a later one of the same webhook.
    pub inversions: usize,
    /// Deliveries that were accepted.
    pub accepted: usize,
    /// The place of the last one that each webhook accepted.
    last: BTreeMap<usize, i64>,
}

pub struct QueueOfMany {
    pub seen: Seen,
    clock: Arc<ManualClock>,
    runtime: Runtime,
    running: Option<Running>,
    storage: Storage,
    raw: Connection,
    pub endpoints: usize,
    /// The deliveries that a person has made: replays in their own place.
    asked: BTreeSet<i64>,
    _folder: TempDir,
}

impl QueueOfMany {
    /// This many webhooks, by turns of each vendor, each of an account of its own, which send in this way.
    pub fn new(endpoints: usize, sending: Sending) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let storage = Storage {
            path: folder.path().join("ngoma.db"),
            key_file: folder.path().join("ngoma.key"),
            durability: Durability::Normal,
        };
        let clock = Arc::new(ManualClock::new(START));
        let running = open(&storage, &clock);
        let raw = Connection::open_with_flags(&storage.path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("the file");
        let mut many = Self {
            seen: Seen::default(),
            clock,
            runtime: tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime"),
            running: Some(running),
            storage,
            raw,
            endpoints,
            asked: BTreeSet::new(),
            _folder: folder,
        };
        many.write(move |tx| (0..endpoints).try_for_each(|number| register(tx, number, sending)));
        many.take_up();
        many
    }

    fn running(&mut self) -> &mut Running {
        self.running.as_mut().expect("it runs")
    }

    fn write<T: Send + 'static>(&mut self, run: impl FnOnce(&Tx<'_>) -> Result<T> + Send + 'static) -> T {
        let db = self.running().db.clone();
        self.runtime.block_on(db.write(Actor::Engine, Admission::Try, run)).expect("it is written")
    }

    fn take_up(&mut self) {
        let Self { running, runtime, .. } = self;
        runtime.block_on(running.as_mut().expect("it runs").rounds.take_up()).expect("it takes them up");
    }

    /// An event for each of these webhooks.
    pub fn publish(&mut self, to: Vec<usize>) {
        self.write(move |tx| {
            to.into_iter().try_for_each(|number| {
                let account = accounts::find(tx, VENDORS[number % 2], &number.to_string())?.key;
                let (kind, body) = ("batch.exported".to_owned(), "\"\"".to_owned().into());
                let event = NewEvent { account, kind, body, idempotency_key: None };
                events::publish(tx, &event, &Audience::Subscribers).map(drop)
            })
        });
    }

    /// One round of the engine.
    pub fn round(&mut self, stopping: bool) -> Round {
        let Self { running, runtime, .. } = self;
        let round = runtime.block_on(running.as_mut().expect("it runs").rounds.round(stopping));
        self.look();
        round
    }

    /// Looks at the attempts that have begun. A stale claim goes back, as a sending thread gives it back.
    fn look(&mut self) {
        loop {
            let begun = std::mem::take(&mut *lock(&self.running().begun));
            if begun.is_empty() {
                return;
            }
            for claim in begun {
                if claim.target.is_stale() {
                    self.finish(claim, None);
                    continue;
                }
                let endpoint = claim.target.key;
                let busy = self.running().under_way.iter().any(|other| other.target.key == endpoint);
                self.seen.at_once += usize::from(busy);
                self.running().under_way.push(claim);
            }
        }
    }

    fn finish(&mut self, claim: Claim, reaction: Option<Reaction>) {
        let running = self.running();
        let next = running.in_flight.finish(claim, reaction.map(|reaction| attempted(reaction, 1)));
        lock(&running.begun).extend(next);
    }

    pub fn under_way(&mut self) -> usize {
        self.running().under_way.len()
    }

    /// An attempt under way ends.
    pub fn end(&mut self, which: usize, reaction: Reaction) {
        let under_way = &mut self.running().under_way;
        if under_way.is_empty() {
            return;
        }
        let claim = under_way.swap_remove(which % under_way.len());
        if matches!(reaction, Reaction::Takes) {
            self.accepted(&claim);
        }
        self.finish(claim, Some(reaction));
        self.look();
    }

    /// A receiver accepts a delivery: once more, if the server did not live to write down that it had.
    fn accepted(&mut self, claim: &Claim) {
        let (endpoint, place) = (index(claim.target.key), self.place(claim.key));
        let last = self.seen.last.entry(endpoint).or_default();
        self.seen.accepted += 1;
        self.seen.inversions += usize::from(place < *last);
        *last = place.max(*last);
    }

    /// The place of a delivery in the order of acceptance: that of the delivery which a resume sends again by it, or its
    /// own.
    fn place(&self, delivery: i64) -> i64 {
        let mut row = self.raw.prepare_cached("SELECT replay_of FROM delivery WHERE key = ?").expect("valid SQL");
        let original: Option<i64> = row.query_row([delivery], |row| row.get(0)).expect("a row");
        match original {
            Some(original) if !self.asked.contains(&delivery) => self.place(original),
            _ => delivery,
        }
    }

    pub fn suspend(&mut self, which: usize) {
        self.write(move |tx| endpoints::suspend(tx, key(which), SuspendedReason::Paused));
    }

    pub fn resume(&mut self, which: usize, resend: Resend) {
        self.write(move |tx| endpoints::resume(tx, key(which), resend));
    }

    pub fn relocate(&mut self, which: usize, address: usize) {
        self.write(move |tx| endpoints::set_url(tx, key(which), &url(address)));
    }

    /// A person sends a delivery again, if it has ended and its webhook is active.
    pub fn replay(&mut self, which: i64) {
        let Some((id, number)) = self.found(which, "state IN ('delivered', 'exhausted', 'cancelled')") else { return };
        let made = self.write(move |tx| {
            let endpoint = of(tx, number)?;
            if replays::expect_active(&endpoint).is_err() {
                return Ok(None);
            }
            Ok(Some(replays::add(tx, &endpoint, id)?.key))
        });
        self.asked.extend(made);
    }

    /// A person cancels a delivery that waits.
    pub fn cancel(&mut self, which: i64) {
        if let Some((id, _)) = self.found(which, "state IN ('pending', 'held')") {
            self.write(move |tx| deliveries::cancel(tx, &Visible::EVERYTHING, id));
        }
    }

    /// The first delivery from this key on that meets a condition, and the number of its webhook.
    fn found(&self, from: i64, condition: &str) -> Option<(DeliveryId, usize)> {
        let sql = format!("SELECT id, endpoint FROM delivery WHERE key >= ? AND {condition} ORDER BY key LIMIT 1");
        let mut row = self.raw.prepare_cached(&sql).expect("valid SQL");
        row.query_row([from], |row| Ok((DeliveryId::from_bytes(row.get(0)?), index(row.get(1)?)))).ok()
    }

    /// The key of the newest delivery.
    pub fn newest(&self) -> i64 {
        self.number("SELECT ifnull(max(key), 0) FROM delivery")
    }

    pub fn number(&self, sql: &str) -> i64 {
        self.raw.prepare_cached(sql).expect("valid SQL").query_row([], |row| row.get(0)).expect("a number")
    }

    /// No attempt under way will ever end.
    pub fn lose_all(&mut self) {
        self.running().rounds.give_up_lost(Duration::ZERO);
        self.running().under_way.clear();
    }

    /// The process is gone, whatever was under way, and another takes over.
    pub fn crash(&mut self) {
        let Running { db, rounds, in_flight, .. } = self.running.take().expect("it runs");
        drop((db, rounds, in_flight));
        self.running = Some(open(&self.storage, &self.clock));
        self.take_up();
    }

    /// A stop and a start.
    pub fn restart(&mut self) {
        for round in 0.. {
            assert!(round < MOST_ROUNDS, "it never ends");
            while self.under_way() > 0 {
                self.end(0, Reaction::Takes);
            }
            if self.round(true) == Round::Drained {
                break;
            }
        }
        self.crash();
    }

    /// Lets time pass until the next turn comes; says whether there is one. The engine rests meanwhile.
    pub fn advance(&mut self) -> bool {
        let now = self.clock.now();
        let next = self.running().in_flight.lanes().next_turn(now);
        next.into_iter().for_each(|next| self.clock.set(next));
        self.rest();
        next.is_some()
    }

    /// This many milliseconds pass.
    pub fn pass(&mut self, millis: i64) {
        self.clock.set(Timestamp::from_millis(self.clock.now().millis() + millis));
        self.rest();
    }

    /// The engine's rest ends: its next round gives back what cannot begin.
    fn rest(&mut self) {
        let (_stop, mut stopped) = watch::channel(false);
        let now = self.clock.now();
        let Self { running, runtime, .. } = self;
        runtime.block_on(running.as_mut().expect("it runs").rounds.wait(Some(now), &mut stopped));
    }

    /// Sets the clock by this many milliseconds.
    pub fn set_clock(&mut self, by: i64) {
        self.write(|_| Ok(()));
        self.clock.step(Timestamp::from_millis(self.clock.now().millis() + by));
    }

    /// Whether anything is wanted or under way now.
    pub fn is_busy(&mut self) -> bool {
        let now = self.clock.now();
        let lanes = self.running().in_flight.lanes();
        lanes.busy() > 0 || !lanes.wanted(now).is_empty()
    }

    /// Every webhook is resumed, every receiver accepts, and time passes until nothing is left.
    pub fn comes_to_rest(&mut self) {
        (0..self.endpoints).for_each(|number| self.resume(number, Resend::Failed));
        for round in 0.. {
            assert!(round < MOST_ROUNDS, "it never comes to rest");
            self.round(false);
            while self.under_way() > 0 {
                self.end(0, Reaction::Takes);
            }
            let is_left = "SELECT count(*) FROM delivery WHERE state IN ('pending', 'claimed', 'held')";
            if self.is_busy() {
                self.rest();
            } else if !self.advance() && self.number(is_left) == 0 {
                break;
            }
        }
    }
}

fn register(tx: &Tx<'_>, number: usize, sending: Sending) -> Result<()> {
    let (vendor, name) = (VENDORS[number % 2], number.to_string());
    accounts::create(tx, vendor, &name, None)?;
    let account = accounts::find(tx, vendor, &name)?;
    let secret = SigningSecret::parse("s3cret".to_owned())?;
    let made = endpoints::create(tx, &account, url(0), EventFilter::from_stored("*"), &secret, u64::MAX)?;
    endpoint_settings::write(tx, made.key, &EndpointSettings { sending, ..EndpointSettings::default() })
}

fn of(tx: &Tx<'_>, number: usize) -> Result<ngoma::domain::endpoint::Endpoint> {
    let all = endpoints::list(tx, &Visible::EVERYTHING, tx.now, (0, None))?;
    Ok(all.into_iter().nth(number).expect("an endpoint"))
}

fn open(storage: &Storage, manual: &Arc<ManualClock>) -> Running {
    let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(manual);
    wait_for_lock(&storage.path);
    let db = store::open(storage, &defaults().limits, Arc::clone(&clock), true).expect("it opens");
    let (in_flight, ended) = InFlight::new(Arc::clone(&clock), api::profiles(&defaults()), Lanes::new(LIMITS));
    let (in_flight, news) = (Arc::new(in_flight), db.news().expect("nobody listens yet"));
    let begun = Arc::new(Mutex::new(Vec::new()));
    let beginning = Arc::clone(&begun);
    let handlers = Handlers { begin: Box::new(move |claim| lock(&beginning).push(claim)), heard: Box::new(|_| {}) };
    let settings = config::Delivery { poll_interval: Duration::from_secs(86_400), ..defaults().delivery };
    let status = EngineStatus { at: clock.now(), looked: clock.uptime(), heard: 0, busy: 0, wanted: 0 };
    let (status, _) = watch::channel(status);
    let rounds = Rounds::new(db.clone(), settings, Arc::clone(&in_flight), (news, ended), status, handlers);
    Running { db, in_flight, rounds, begun, under_way: Vec::new() }
}
