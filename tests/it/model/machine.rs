//! Store, lanes and model side by side: all take the same steps, and whatever differs is told at once.

use std::{fmt::Debug, sync::Arc};

use ngoma::{
    app,
    clock::{Clock, ManualClock, Stopwatch},
    config::{Durability, Storage},
    domain::{
        audit::Actor,
        delivery::State,
        endpoint::{EventFilter, Resend, SuspendedReason, TargetUrl},
        event::{Audience, NewEvent, Published},
        ids::{DeliveryId, EndpointId},
        profile::Profiles,
        signature::SigningSecret,
        timestamp::Timestamp,
        token::Walls,
    },
    engine::lanes::{Lanes, Limits},
    error::{Error, Result},
    store::{self, Admission, Db, News, Tx, accounts, deliveries, endpoints, events, queue::Claim},
};
use rusqlite::{Connection, OpenFlags, Row};
use tempfile::TempDir;
use tokio::{runtime::Runtime, sync::mpsc};

use crate::{
    model::{
        lane_rules::{Book, Page},
        states::{Beside, IN_FLIGHT, Life, Model, PER_ENDPOINT, Parcel, Place, Reaction, Standing, Step},
    },
    support::world::{START, defaults, wait_for_lock},
};

/// In the order in which the model numbers them.
const DIALECTS: [&str; 2] = ["asg", "asilichain"];
/// Enough for lanes to compete.
const MOST_ENDPOINTS: usize = 8;
/// Larger than what is claimed ahead of its place.
const LARGE_BODY: usize = 17 << 10;

/// What goes with the process.
pub struct Running {
    pub db: Db,
    pub news: mpsc::UnboundedReceiver<News>,
    pub lanes: Lanes,
    /// News that the engine has not come to yet.
    pub unheard: Vec<News>,
    pub flights: Vec<Arc<Claim>>,
    /// What is to be written in the next turn.
    pub ended: Vec<Ended>,
    pub lost: Vec<Arc<Claim>>,
}

/// A claim back from its way; no reaction: it never began.
#[derive(Clone)]
pub struct Ended {
    pub claim: Arc<Claim>,
    pub reaction: Option<Reaction>,
    pub probation: Option<bool>,
}

pub struct Machine {
    pub model: Model,
    pub book: Book,
    pub clock: Arc<ManualClock>,
    pub profiles: Profiles,
    pub ids: Vec<DeliveryId>,
    /// Claims that are their owner's no more: settled, or lost.
    pub over: Vec<Arc<Claim>>,
    pub since: Stopwatch,
    pub runtime: Runtime,
    running: Option<Running>,
    storage: Storage,
    /// A look at the file past the store.
    raw: Connection,
    endpoints: Vec<EndpointId>,
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
        let running = open(&storage, &clock);
        let raw = Connection::open_with_flags(&storage.path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("the file");
        let mut machine = Self {
            model: Model { now: START.millis(), ..Model::default() },
            book: Book::default(),
            clock,
            profiles: app::profiles(&config),
            ids: Vec::new(),
            over: Vec::new(),
            since: Stopwatch::start(),
            runtime: tokio::runtime::Builder::new_current_thread().build().expect("a runtime"),
            running: Some(running),
            storage,
            raw,
            endpoints: Vec::new(),
            _folder: folder,
        };
        for (dialect, profile) in DIALECTS.iter().enumerate() {
            machine.write(move |tx| accounts::create(tx, profile, profile, None)).expect("an account");
            machine.register(dialect);
        }
        machine
    }

    pub fn running(&mut self) -> &mut Running {
        self.running.as_mut().expect("it runs")
    }

    pub fn under_way(&mut self) -> usize {
        self.running().flights.len()
    }

    /// Takes a step with all of them. What the store and the lanes answer is compared at once.
    pub fn take(&mut self, step: &Step) {
        match *step {
            Step::Register(dialect) => self.register(dialect),
            Step::Publish { dialect, large } => self.publish(dialect, if large { LARGE_BODY } else { 0 }),
            Step::PublishUndone(dialect) => self.publish_undone(dialect),
            Step::Turn(beside) => self.turn(false, beside),
            Step::Poll => self.turn(true, Beside::Nothing),
            Step::End { which, reaction, took } => self.end(which, reaction, took),
            Step::EndLate(which, reaction) => self.end_late(which, reaction),
            Step::LoseAll => self.lose_all(),
            Step::Crash => {
                let claimed = self.model.claimed();
                self.reopen(&claimed);
            }
            Step::Stop => {
                self.stop();
                self.reopen(&[]);
            }
            Step::Suspend(which) => {
                let place = which % self.endpoints.len();
                self.write(move |tx| endpoints::suspend(tx, key(place), SuspendedReason::Paused)).expect("it suspends");
                self.model.suspend(place);
            }
            Step::Resume(which, resend) => {
                let place = which % self.endpoints.len();
                let failed = if resend { Resend::Failed } else { Resend::Nothing };
                self.write(move |tx| endpoints::resume(tx, key(place), failed)).expect("it resumes");
                self.model.resume(place, resend);
                let made =
                    self.rows("SELECT id FROM delivery ORDER BY key", |row| row.get(0).map(DeliveryId::from_bytes));
                self.ids.extend(&made[self.ids.len()..]);
            }
            Step::Delete(which) => {
                let place = which % self.endpoints.len();
                self.write(move |tx| endpoints::delete(tx, key(place))).expect("it deletes");
                self.model.delete(place);
            }
            Step::Move(which) => {
                let place = which % self.endpoints.len();
                self.model.places[place].address += 1;
                let url = url(self.model.places[place].address);
                self.write(move |tx| endpoints::set_url(tx, key(place), &url)).expect("it moves");
            }
            Step::Replay(which) => self.replay(which),
            Step::Advance(by) => self.advance(by),
            Step::AdvanceToDue => self.advance_to_due(0),
            Step::AdvanceToJustBefore => self.advance_to_due(1),
            Step::SetClock(by) => self.set_clock(by),
        }
    }

    fn register(&mut self, dialect: usize) {
        if self.endpoints.len() == MOST_ENDPOINTS {
            return;
        }
        let profile = DIALECTS[dialect];
        let made = self.write(move |tx| {
            let account = accounts::find(tx, profile, profile)?;
            let secret = SigningSecret::parse("s3cret".to_owned())?;
            endpoints::create(tx, &account, url(0), EventFilter::from_stored("*"), &secret, u64::MAX)
        });
        self.endpoints.push(made.expect("an endpoint").id);
        self.model.register(dialect);
        self.book.pages.push(Page::default());
    }

    pub fn publish(&mut self, dialect: usize, length: usize) {
        let published = self.write(publishing(dialect, length));
        self.model.publish(dialect, length >= LARGE_BODY);
        self.note(published);
    }

    /// Remembers the deliveries of a publish.
    pub fn note(&mut self, published: Result<Published>) {
        let Ok(Published::Accepted(accepted)) = published else { panic!("{published:?}") };
        self.ids.extend(accepted.deliveries.iter().map(|(id, _)| *id));
    }

    fn publish_undone(&mut self, dialect: usize) {
        let publish = publishing(dialect, 0);
        let undone = self.write(move |tx| {
            publish(tx)?;
            Err::<(), _>(Error::Internal("a fault".to_owned()))
        });
        assert!(undone.is_err());
        self.model.publish_undone(dialect);
    }

    /// The process is gone, and another opens the file. So many claims are found there.
    fn reopen(&mut self, claimed: &[usize]) {
        let gone = self.running.take().expect("it runs");
        let ended = gone.ended.into_iter().map(|ended| ended.claim);
        self.over.extend(gone.flights.into_iter().chain(ended).chain(gone.lost));
        drop(gone.db);
        self.running = Some(open(&self.storage, &self.clock));
        // A clock that stands before what was last noted was set back.
        let noted = self.rows("SELECT at FROM moment", |row| row.get::<_, i64>(0));
        self.model.unnoticed = noted.first().map_or(0, |noted| (self.model.now - noted).min(0));
        self.recover(claimed);
    }

    fn replay(&mut self, which: usize) {
        if self.ids.is_empty() {
            return;
        }
        let index = which % self.ids.len();
        let place = self.model.parcels[index].place;
        let walls = Walls { profile: Some(DIALECTS[self.model.places[place].dialect].into()), account: None };
        let (id, endpoint) = (self.ids[index], self.endpoints[place]);
        let replayed = self.write(move |tx| deliveries::replay(tx, &endpoints::find(tx, &walls, endpoint)?, id));
        if self.model.places[place].standing != Standing::Active {
            assert!(matches!(replayed, Err(Error::Conflict { .. })), "{replayed:?}");
            return;
        }
        let replay = replayed.expect("it replays");
        assert_eq!(replay.replay_of, Some(id));
        self.ids.push(replay.id);
        self.model.replay(index);
    }

    pub fn advance(&mut self, by: i64) {
        self.model.now += by;
        self.clock.set(Timestamp::from_millis(self.model.now));
    }

    fn advance_to_due(&mut self, before: i64) {
        let now = self.model.now;
        let next = self.model.parcels.iter().filter_map(Parcel::due).filter(|due| *due - before > now).min();
        self.advance(next.map_or(0, |due| due - before - now));
    }

    pub fn set_clock(&mut self, by: i64) {
        // Two steps at once could make one that is too small to be told from drift.
        self.write(|_| Ok(())).expect("it writes");
        self.model.now += by;
        self.model.unnoticed = by;
        self.clock.step(Timestamp::from_millis(self.model.now));
    }

    pub fn write<T: Send + 'static>(&mut self, run: impl FnOnce(&Tx<'_>) -> Result<T> + Send + 'static) -> Result<T> {
        self.model.notice();
        let db = self.running().db.clone();
        self.runtime.block_on(db.write(Actor::Engine, Admission::Try, run))
    }

    /// Compares every row with the model. `after` names the step, should they differ.
    pub fn agree(&mut self, after: &dyn Debug) {
        assert_eq!(self.parcels(), self.model.parcels, "after {after:?}");
        assert_eq!(self.places(), self.model.places, "after {after:?}");
        for place in 0..self.endpoints.len() {
            let active = self.model.places[place].standing == Standing::Active;
            assert!(active || self.model.head(place).is_none(), "only an active one has pending");
        }
        let ended: Vec<u32> = self.rows("SELECT (SELECT count(*) FROM attempt WHERE delivery = key AND number <= attempts) FROM delivery ORDER BY key", |row| row.get(0));
        let expected: Vec<u32> = self.model.parcels.iter().map(ended_attempts).collect();
        assert_eq!(ended, expected, "recorded attempts after {after:?}");
        self.agree_on_turns(after);
    }

    /// The store's own view at the end of a history: every delivery is there, with every attempt.
    pub fn shows_the_same(&mut self) {
        let db = self.running().db.clone();
        let (endpoints, profiles) = (self.endpoints.clone(), self.model.places.clone());
        let shown = self.runtime.block_on(db.read(move |view| {
            let mut shown = Vec::new();
            for (id, place) in endpoints.iter().zip(profiles) {
                let walls = Walls { profile: Some(DIALECTS[place.dialect].into()), account: None };
                let endpoint = endpoints::see(view, &walls, *id)?;
                let page = deliveries::list(view, &endpoint, &deliveries::Filter::default(), 10_000)?;
                assert_eq!(page.next, None);
                for delivery in page.deliveries {
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
        let sql = "SELECT * FROM delivery ORDER BY key";
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
            Ok(Parcel {
                place,
                event: index(row.get("event")?),
                made: row.get("created_at")?,
                life,
                attempts: row.get("attempts")?,
                tries: row.get("tries")?,
                outage: row.get::<_, Option<i64>>("outage")?.map(index),
                replay: row.get::<_, Option<i64>>("replay_of")?.is_some(),
                replayed: row.get("replayed")?,
            })
        })
    }

    fn places(&self) -> Vec<Place> {
        self.rows("SELECT * FROM endpoint ORDER BY key", |row| {
            let standing = match row.get::<_, String>("state")?.as_str() {
                "active" => Standing::Active,
                "suspended" => Standing::Suspended,
                _ => Standing::Deleted,
            };
            let profile: String = row.get("profile")?;
            let url: String = row.get("url")?;
            let address = url.rsplit('/').next().and_then(|number| number.parse().ok());
            Ok(Place {
                dialect: DIALECTS.iter().position(|dialect| *dialect == profile).expect("a dialect"),
                standing,
                address: address.expect("a number"),
                timed_out: row.get("timed_out")?,
                outage: row.get::<_, Option<i64>>("outage")?.map(index),
                resumed: row.get("resumed_at")?,
            })
        })
    }

    fn rows<T>(&self, sql: &str, read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>) -> Vec<T> {
        let mut rows = self.raw.prepare_cached(sql).expect("valid SQL");
        let rows = rows.query_map([], read).expect("rows");
        rows.collect::<rusqlite::Result<_>>().expect("readable rows")
    }
}

fn open(storage: &Storage, clock: &Arc<ManualClock>) -> Running {
    let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(clock);
    wait_for_lock(&storage.path);
    let db = store::open(storage, &defaults().limits, clock, true).expect("it opens");
    // No attempt is at work for long enough to matter.
    let limits = Limits { in_flight: IN_FLIGHT, per_endpoint: PER_ENDPOINT, at_work: usize::MAX };
    Running {
        news: db.news().expect("nobody listens yet"),
        db,
        lanes: Lanes::new(limits),
        unheard: Vec::new(),
        flights: Vec::new(),
        ended: Vec::new(),
        lost: Vec::new(),
    }
}

/// A publish of a body of about this length to whoever listens in this dialect.
pub fn publishing(dialect: usize, length: usize) -> impl FnOnce(&Tx<'_>) -> Result<Published> + Send + 'static {
    move |tx| {
        let account = accounts::find(tx, DIALECTS[dialect], DIALECTS[dialect])?.key;
        let body = format!("\"{}\"", "x".repeat(length));
        let event = NewEvent { account, kind: "batch.exported".to_owned(), body: body.into(), idempotency_key: None };
        events::publish(tx, &event, &Audience::Subscribers)
    }
}

pub fn url(address: usize) -> TargetUrl {
    TargetUrl::from_stored(&format!("https://receiver.example/{address}")).expect("a URL")
}

/// Rows are numbered from 1 in the order in which they are made.
pub fn key(index: usize) -> i64 {
    i64::try_from(index).expect("a small number") + 1
}

pub fn index(key: i64) -> usize {
    usize::try_from(key - 1).expect("a key")
}

pub fn state(parcel: &Parcel) -> State {
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
