//! The store's queue beside the model of it: takes the same steps, and tells where the two differ.

use std::{collections::BTreeMap, fmt::Debug, sync::Arc, time::Duration};

use ngoma::{
    app,
    clock::{Clock, ManualClock},
    config::{Durability, Storage},
    domain::{
        delivery::{Answer, Failure, Outcome, State},
        endpoint::{EventFilter, SuspendedReason, TargetUrl},
        event::{Audience, NewEvent, Published},
        ids::{DeliveryId, EndpointId},
        profile::{Profile, Profiles},
        signature::SigningSecret,
        timestamp::Timestamp,
        token::Walls,
    },
    error::{Error, Result},
    store::{
        self, Db, Tx, accounts, deliveries, endpoints, events,
        queue::{self, Claim, Lost, Places},
    },
};
use rusqlite::{Connection, OpenFlags, Row};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::{
    model::{LEASE, Life, Model, PER_ENDPOINT, Parcel, Promise, Reaction, Standing, Step, TOOK},
    world::{START, defaults, wait_for_lock},
};

/// In the order in which the model numbers them.
const DIALECTS: [&str; 2] = ["asg", "asilichain"];
/// Enough for lanes to compete.
const MOST_ENDPOINTS: usize = 6;

pub struct Machine {
    model: Model,
    clock: Arc<ManualClock>,
    storage: Storage,
    profiles: Profiles,
    runtime: Runtime,
    db: Option<Db>,
    /// A look at the file past the store.
    raw: Connection,
    endpoints: Vec<EndpointId>,
    ids: Vec<DeliveryId>,
    claims: Vec<Arc<Claim>>,
    /// Claims that are their owner's no more: settled, or lost.
    over: Vec<Arc<Claim>>,
    _folder: TempDir,
}

impl Machine {
    /// One endpoint of each dialect, nothing published.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = defaults();
        // What a power cut leaves is not asked here; without waiting for the disk there is time for more histories.
        let storage = Storage {
            path: folder.path().join("ngoma.db"),
            key_file: folder.path().join("ngoma.key"),
            durability: Durability::Normal,
        };
        let clock = Arc::new(ManualClock::new(START));
        let db = open(&storage, &clock);
        let raw = Connection::open_with_flags(&storage.path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("the file");
        let mut machine = Self {
            model: Model { now: START.millis(), ..Model::default() },
            clock,
            storage,
            profiles: app::profiles(&config),
            runtime: tokio::runtime::Builder::new_current_thread().build().expect("a runtime"),
            db: Some(db),
            raw,
            endpoints: Vec::new(),
            ids: Vec::new(),
            claims: Vec::new(),
            over: Vec::new(),
            _folder: folder,
        };
        for (dialect, profile) in DIALECTS.iter().enumerate() {
            machine.write(move |tx| accounts::create(tx, profile, profile, None)).expect("an account");
            machine.register(dialect);
        }
        machine
    }

    pub fn under_way(&self) -> usize {
        self.claims.len()
    }

    /// Takes a step with both. What the store answers is compared at once.
    pub fn take(&mut self, step: &Step) {
        match *step {
            Step::Register(dialect) => self.register(dialect),
            Step::Publish(dialect) => self.publish(dialect),
            Step::Claim { free, free_probation } => self.claim(free, free_probation),
            Step::Settle(which, reaction) => self.settle(which, reaction),
            Step::SettleLate(which, reaction) => self.settle_late(which, reaction),
            Step::Crash => self.crash(),
            Step::LeasesEnd => self.recover(Lost::Expired { vouched: Vec::new() }, self.model.now - LEASE),
            Step::Suspend(which) => {
                let place = which % self.endpoints.len();
                self.write(move |tx| endpoints::suspend(tx, key(place), SuspendedReason::Paused)).expect("it suspends");
                self.model.suspend(place);
            }
            Step::Resume(which) => {
                let place = which % self.endpoints.len();
                self.write(move |tx| endpoints::resume(tx, key(place))).expect("it resumes");
                self.model.resume(place);
            }
            Step::Delete(which) => {
                let place = which % self.endpoints.len();
                self.write(move |tx| endpoints::delete(tx, key(place))).expect("it deletes");
                self.model.delete(place);
            }
            Step::Replay(which) => self.replay(which),
            Step::Advance(by) => self.advance(by),
            Step::AdvanceToDue => self.advance_to_due(0),
            Step::AdvanceToJustBefore => self.advance_to_due(1),
        }
    }

    fn register(&mut self, dialect: usize) {
        if self.endpoints.len() == MOST_ENDPOINTS {
            return;
        }
        let profile = DIALECTS[dialect];
        let made = self.write(move |tx| {
            let account = accounts::find(tx, profile, profile)?;
            let url = TargetUrl::from_stored("https://receiver.example/hook")?;
            let secret = SigningSecret::parse("s3cret".to_owned())?;
            endpoints::create(tx, &account, url, EventFilter::from_stored("*"), &secret, u64::MAX)
        });
        self.endpoints.push(made.expect("an endpoint").id);
        self.model.register(dialect);
    }

    fn publish(&mut self, dialect: usize) {
        let profile = DIALECTS[dialect];
        let published = self.write(move |tx| {
            let account = accounts::find(tx, profile, profile)?.key;
            let (kind, body) = ("batch.exported".to_owned(), "{}".to_owned());
            let event = NewEvent { account, kind, body, idempotency_key: None };
            events::publish(tx, &event, &Audience::Subscribers)
        });
        let Ok(Published::Accepted(accepted)) = published else { panic!("{published:?}") };
        self.ids.extend(accepted.deliveries.iter().map(|(id, _)| *id));
        self.model.publish(dialect);
    }

    fn claim(&mut self, free: usize, free_probation: usize) {
        let ready: Vec<usize> = (0..self.endpoints.len()).filter(|place| self.model.is_ready(*place)).collect();
        let places = Places { free, free_probation, per_endpoint: PER_ENDPOINT };
        let lease = Duration::from_millis(LEASE.unsigned_abs());
        let (claims, next) = self.write(move |tx| queue::claim(tx, places, lease)).expect("it claims");
        let mut given: BTreeMap<usize, usize> = ready.iter().map(|place| (*place, 0)).collect();
        let mut last_due: BTreeMap<usize, i64> = BTreeMap::new();
        for claim in &claims {
            let index = index(claim.key);
            let Parcel { place, life, attempts, tries } = self.model.parcels[index];
            let Life::Pending { due } = life else { panic!("claimed while {life:?}") };
            assert!(due <= self.model.now, "claimed before it is due");
            assert_eq!((claim.attempt, claim.tries), (attempts + 1, tries + 1));
            assert!(claim.tries <= self.model.allowed(place), "tried more often than its page says");
            assert_eq!(claim.probation, self.model.on_probation(place));
            *given.get_mut(&place).expect("only what is ready is claimed") += 1;
            let last = last_due.entry(place).or_insert(due);
            *last = due.max(*last);
            self.model.claim(index);
        }
        let probation = claims.iter().filter(|claim| claim.probation).count();
        assert!(claims.len() <= free && probation <= free_probation, "more were claimed than there are places");
        let served = |place: &usize| !self.model.on_probation(*place) || free_probation > 0;
        assert!(!claims.is_empty() || !ready.iter().any(served), "somebody is ready, and nobody is served");
        for (place, count) in &given {
            assert!(self.model.in_flight(*place) <= self.model.limit(*place), "an endpoint holds too many places");
            let (head, last) = (self.model.head(*place), last_due.get(place));
            assert!(head.is_none_or(|head| last.is_none_or(|last| *last <= head)), "what waited longer goes first");
            let waits = self.model.is_ready(*place) && !self.model.on_probation(*place);
            let most = given.values().max().copied().unwrap_or(0);
            assert!(!waits || most <= count + 1, "nobody gets a second before each has had a first");
        }
        self.next_is_right(next, probation < free_probation);
        self.claims.extend(claims.into_iter().map(Arc::new));
    }

    /// The engine is told to look again when the next thing can be claimed, no later and not in vain.
    fn next_is_right(&self, next: Option<Timestamp>, with_probation: bool) {
        let model = &self.model;
        let may = |place: &usize| {
            model.in_flight(*place) < model.limit(*place) && (with_probation || !model.on_probation(*place))
        };
        let first = (0..self.endpoints.len()).filter(may).filter_map(|place| model.head(place)).min();
        let now = |moment: i64| moment.max(model.now);
        assert_eq!(next.map(Timestamp::millis).map(now), first.map(now), "when to look again");
    }

    fn settle(&mut self, which: usize, reaction: Reaction) {
        if self.claims.is_empty() {
            return;
        }
        let claim = self.claims.swap_remove(which % self.claims.len());
        let index = index(claim.key);
        let settled = self.report(&claim, reaction);
        self.model.settle(index, reaction);
        assert_eq!(settled, Some(state(&self.model.parcels[index])));
        self.over.push(claim);
    }

    fn settle_late(&mut self, which: usize, reaction: Reaction) {
        if let Some(claim) = self.over.get(which % self.over.len().max(1)).cloned() {
            assert_eq!(self.report(&claim, reaction), None, "a lost claim decides nothing");
        }
    }

    fn report(&self, claim: &Arc<Claim>, reaction: Reaction) -> Option<State> {
        let outcome = outcome(reaction);
        let profile: Profile = self.profiles.get(&claim.target.profile).expect("a profile").clone();
        let claim = Arc::clone(claim);
        let settled = self.write(move |tx| queue::settle(tx, &claim, &outcome, TOOK, &profile));
        settled.expect("it settles").map(|settlement| settlement.state())
    }

    /// The process is gone, and another opens the file.
    fn crash(&mut self) {
        self.db = None;
        self.db = Some(open(&self.storage, &self.clock));
        self.recover(Lost::All, self.model.now);
    }

    fn recover(&mut self, lost: Lost, until: i64) {
        let recovered = self.write(move |tx| queue::recover(tx, &lost)).expect("it recovers");
        assert_eq!(recovered, self.model.recover(until));
        let is_lost = |claim: &mut Arc<Claim>| claim.started_at.millis() <= until;
        self.over.extend(self.claims.extract_if(.., is_lost));
    }

    fn replay(&mut self, which: usize) {
        if self.ids.is_empty() {
            return;
        }
        let index = which % self.ids.len();
        let place = self.model.parcels[index].place;
        let walls = Walls { profile: DIALECTS[self.model.places[place].dialect], account: None };
        let (id, endpoint) = (self.ids[index], self.endpoints[place]);
        let replayed = self.write(move |tx| deliveries::replay(tx, &endpoints::find(tx, &walls, endpoint)?, id));
        if self.model.places[place].standing == Standing::Suspended {
            assert!(matches!(replayed, Err(Error::Conflict { .. })), "{replayed:?}");
            return;
        }
        let replay = replayed.expect("it replays");
        assert_eq!(replay.replay_of, Some(id));
        self.ids.push(replay.id);
        self.model.add(place);
    }

    fn advance(&mut self, by: i64) {
        self.model.now += by;
        self.clock.set(Timestamp::from_millis(self.model.now));
    }

    fn advance_to_due(&mut self, before: i64) {
        let now = self.model.now;
        let next = self.model.parcels.iter().filter_map(Parcel::due).filter(|due| *due - before > now).min();
        self.advance(next.map_or(0, |due| due - before - now));
    }

    fn write<T: Send + 'static>(&self, run: impl FnOnce(&Tx<'_>) -> Result<T> + Send + 'static) -> Result<T> {
        let db = self.db.as_ref().expect("it is open");
        self.runtime.block_on(db.write(run))
    }

    /// Compares every row with the model. `after` names the step, should they differ.
    pub fn agree(&self, after: &dyn Debug) {
        assert_eq!(self.parcels(), self.model.parcels, "after {after:?}");
        for (place, lane) in self.lanes().iter().enumerate() {
            let model = &self.model;
            let in_flight = model.in_flight(place);
            let standing = model.places[place].standing;
            assert_eq!(lane.standing, standing, "endpoint {place} after {after:?}");
            assert_eq!(lane.in_flight, in_flight, "places held by endpoint {place} after {after:?}");
            assert_eq!(lane.proven, model.places[place].promise == Promise::Proven, "proof of {place} after {after:?}");
            assert_eq!(lane.probation, model.on_probation(place), "probation of {place} after {after:?}");
            assert_eq!(lane.full, in_flight >= model.limit(place), "whether {place} is full after {after:?}");
            // A turn that has come stays as it was: it says who has waited longest.
            let come = |moment: i64| moment.max(model.now);
            assert_eq!(lane.turn_at.map(come), model.head(place).map(come), "turn of {place} after {after:?}");
            assert!(standing == Standing::Active || model.head(place).is_none(), "only an active one has pending");
        }
        let ended: Vec<u32> = self.rows("SELECT (SELECT count(*) FROM attempt WHERE delivery = key AND number <= attempts) FROM delivery ORDER BY key", |row| row.get(0));
        let expected: Vec<u32> = self.model.parcels.iter().map(ended_attempts).collect();
        assert_eq!(ended, expected, "recorded attempts after {after:?}");
    }

    /// The store's own view at the end of a history: every delivery is there, with every attempt.
    pub fn shows_the_same(&self) {
        let db = self.db.as_ref().expect("it is open");
        let (endpoints, profiles) = (self.endpoints.clone(), self.model.places.clone());
        let shown = self.runtime.block_on(db.read(move |view| {
            let mut shown = Vec::new();
            for (id, place) in endpoints.iter().zip(profiles) {
                let walls = Walls { profile: DIALECTS[place.dialect], account: None };
                let endpoint = endpoints::see(view, &walls, *id)?;
                let (page, more) = deliveries::list(view, &endpoint, &deliveries::Filter::default(), 10_000)?;
                assert!(!more);
                for delivery in page {
                    let numbers =
                        deliveries::attempts(view, delivery.key)?.iter().map(|attempt| attempt.number).collect();
                    shown.push((index(delivery.key), delivery.id, delivery.state, numbers));
                }
            }
            Ok(shown)
        }));
        let mut shown: Vec<(usize, DeliveryId, State, Vec<u32>)> = shown.expect("it reads");
        shown.sort_by_key(|(index, ..)| *index);
        assert_eq!(shown.len(), self.model.parcels.len(), "nothing vanishes, nothing appears");
        for ((index, id, shown, numbers), parcel) in shown.into_iter().zip(&self.model.parcels) {
            assert_eq!((id, shown), (self.ids[index], state(parcel)));
            assert_eq!(numbers, (1..=ended_attempts(parcel)).collect::<Vec<_>>(), "attempts are numbered in a row");
        }
    }

    fn parcels(&self) -> Vec<Parcel> {
        let sql = "SELECT endpoint, state, due_at, started_at, attempts, tries FROM delivery ORDER BY key";
        self.rows(sql, |row| {
            let life = match row.get::<_, String>("state")?.as_str() {
                "pending" => Life::Pending { due: row.get("due_at")? },
                "claimed" => Life::Claimed { since: row.get("started_at")? },
                "delivered" => Life::Delivered,
                "exhausted" => Life::Exhausted,
                "held" => Life::Held,
                _ => Life::Cancelled,
            };
            let place = index(row.get("endpoint")?);
            Ok(Parcel { place, life, attempts: row.get("attempts")?, tries: row.get("tries")? })
        })
    }

    fn lanes(&self) -> Vec<LaneRow> {
        let sql = "SELECT lane.*, state FROM lane JOIN endpoint ON key = lane.endpoint ORDER BY key";
        self.rows(sql, |row| {
            let standing = match row.get::<_, String>("state")?.as_str() {
                "active" => Standing::Active,
                "suspended" => Standing::Suspended,
                _ => Standing::Deleted,
            };
            Ok(LaneRow {
                standing,
                turn_at: row.get("turn_at")?,
                in_flight: row.get("in_flight")?,
                full: row.get("full")?,
                proven: row.get("proven")?,
                probation: row.get("probation")?,
            })
        })
    }

    fn rows<T>(&self, sql: &str, read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>) -> Vec<T> {
        let mut rows = self.raw.prepare_cached(sql).expect("valid SQL");
        let rows = rows.query_map([], read).expect("rows");
        rows.collect::<rusqlite::Result<_>>().expect("readable rows")
    }
}

struct LaneRow {
    standing: Standing,
    turn_at: Option<i64>,
    in_flight: usize,
    full: bool,
    proven: bool,
    probation: bool,
}

fn open(storage: &Storage, clock: &Arc<ManualClock>) -> Db {
    let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(clock);
    wait_for_lock(&storage.path);
    store::open(storage, 100, clock, true).expect("it opens")
}

/// Rows are numbered from 1 in the order in which they are made.
fn key(index: usize) -> i64 {
    i64::try_from(index).expect("a small number") + 1
}

fn index(key: i64) -> usize {
    usize::try_from(key - 1).expect("a key")
}

fn state(parcel: &Parcel) -> State {
    match parcel.life {
        Life::Pending { .. } => State::Pending,
        Life::Claimed { .. } => State::Claimed,
        Life::Delivered => State::Delivered,
        Life::Exhausted => State::Exhausted,
        Life::Held => State::Held,
        Life::Cancelled => State::Cancelled,
    }
}

/// The one under way is recorded when it has ended.
fn ended_attempts(parcel: &Parcel) -> u32 {
    parcel.attempts - u32::from(matches!(parcel.life, Life::Claimed { .. }))
}

fn outcome(reaction: Reaction) -> Outcome {
    let answered = |status, retry_after| {
        Outcome::Answered(Answer { status, body: b"an answer".to_vec(), truncated: false, retry_after })
    };
    match reaction {
        Reaction::Takes => answered(200, None),
        Reaction::Fails => answered(500, None),
        Reaction::Asks(seconds) => answered(503, Some(Duration::from_secs(seconds))),
        Reaction::Gone => answered(410, None),
        Reaction::TimesOut => Outcome::Failed(Failure::Timeout),
    }
}
