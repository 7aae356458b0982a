//! Store, engine and model side by side: all take the same steps, and any difference fails the story at once.

use std::{sync::Arc, time::Duration};

use ngoma::{
    api,
    clock::{Clock, ManualClock, Stopwatch},
    config::{self, Durability, Storage, SuspendWhen},
    domain::{
        audit::Actor,
        endpoint::{EventFilter, Resend, SuspendedReason, TargetUrl},
        event::{Audience, NewEvent, Published},
        ids::{DeliveryId, EndpointId},
        profile::Profiles,
        signature::SigningSecret,
        timestamp::Timestamp,
        token::Visible,
    },
    engine::{
        EngineStatus, InFlight, Rounds,
        lanes::{Lanes, Limits},
    },
    error::{Error, Result},
    store::{self, Admission, Db, Tx, accounts, endpoints, events, queue::Claim, replays},
};
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;
use tokio::{runtime::Runtime, sync::watch};

use crate::{
    model::{
        lane_record::LaneRecord,
        lane_rules::LaneRules,
        states::{Delivery, DeliveryState, EndpointState, IN_FLIGHT, Model, PER_ENDPOINT, SLOW_AFTER},
        steps::{Beside, Step},
        threads::{ClaimSeen, Threads},
    },
    support::world::{START, defaults, wait_for_lock},
};

/// In the order in which the model numbers them.
pub const VENDORS: [&str; 2] = ["asg", "asilichain"];
/// Enough for lanes to compete.
const MOST_ENDPOINTS: usize = 8;
/// Larger than bodies that are claimed ahead of their place.
const LARGE_BODY: usize = 17 << 10;

/// The part that ends with the process.
pub struct Running {
    pub db: Db,
    pub in_flight: Arc<InFlight>,
    pub rounds: Rounds,
    pub threads: Threads,
    status: watch::Receiver<EngineStatus>,
    /// Whether the engine has made no round yet: its first one polls.
    pub is_first: bool,
    /// The claims that the lanes hold and have not begun.
    pub prefetched: Vec<ClaimSeen>,
    pub counts: Counts,
    pub stop: watch::Receiver<bool>,
    _stop: watch::Sender<bool>,
}

impl Running {
    /// Whether the engine had heard of every commit at the end of its last round.
    pub fn has_heard_all(&self) -> bool {
        self.status.borrow().heard == *self.db.news_count().borrow()
    }
}

/// When the engine wrote its counts, and whether its next round does.
#[derive(Default)]
pub struct Counts {
    pub written_at: Option<i64>,
    pub due: bool,
}

pub struct Machine {
    pub model: Model,
    pub rules: LaneRules,
    pub clock: Arc<ManualClock>,
    pub profiles: Profiles,
    pub ids: Vec<DeliveryId>,
    /// Claims that are settled or lost.
    pub over: Vec<Arc<Claim>>,
    /// Whether the engine was asked to stop.
    pub stopping: bool,
    pub since: Stopwatch,
    pub runtime: Runtime,
    pub running: Option<Running>,
    storage: Storage,
    /// A look at the file past the store.
    pub raw: Connection,
    pub endpoint_ids: Vec<EndpointId>,
    _folder: TempDir,
}

impl Machine {
    /// One endpoint of each vendor, nothing published.
    pub fn new() -> Self {
        Self::with(SuspendWhen::Any)
    }

    /// The same, with this setting of the vendor that suspends.
    pub fn with(suspend_when: SuspendWhen) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = defaults();
        config.asilichain.suspend_when = suspend_when;
        // Power cuts are no part of the histories; without waiting for the disk there is time for more of them.
        let storage = Storage {
            path: folder.path().join("ngoma.db"),
            key_file: folder.path().join("ngoma.key"),
            durability: Durability::Normal,
        };
        let clock = Arc::new(ManualClock::new(START));
        let profiles = api::profiles(&config);
        let running = open(&storage, &clock, &profiles);
        let raw = Connection::open_with_flags(&storage.path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("the file");
        let mut machine = Self {
            model: Model { now: START.millis(), only_dead: suspend_when == SuspendWhen::Dead, ..Model::default() },
            rules: LaneRules::default(),
            clock,
            profiles,
            ids: Vec::new(),
            over: Vec::new(),
            stopping: false,
            since: Stopwatch::start(),
            runtime: tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime"),
            running: Some(running),
            storage,
            raw,
            endpoint_ids: Vec::new(),
            _folder: folder,
        };
        for (vendor, profile) in VENDORS.iter().enumerate() {
            machine.write(move |tx| accounts::create(tx, profile, profile, None)).expect("an account");
            machine.register(vendor);
        }
        machine
    }

    pub fn running(&mut self) -> &mut Running {
        self.running.as_mut().expect("it runs")
    }

    pub fn under_way(&mut self) -> usize {
        self.running().threads.under_way()
    }

    /// Takes a step with all of them. Answers of the store and the engine are compared at once.
    pub fn take(&mut self, step: &Step) {
        match *step {
            Step::Register(vendor) => self.register(vendor),
            Step::Publish { vendor, large } => self.publish(vendor, if large { LARGE_BODY } else { 0 }),
            Step::PublishUndone(vendor) => self.publish_undone(vendor),
            Step::Turn(beside) => _ = self.turn(false, beside),
            Step::Poll => _ = self.turn(true, Beside::Nothing),
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
                let endpoint = which % self.endpoint_ids.len();
                self.write(move |tx| endpoints::suspend(tx, key(endpoint), SuspendedReason::Paused))
                    .expect("it suspends");
                self.model.suspend(endpoint);
            }
            Step::Resume(which, resend) => {
                let endpoint = which % self.endpoint_ids.len();
                let failed = if resend { Resend::Failed } else { Resend::Nothing };
                self.write(move |tx| endpoints::resume(tx, key(endpoint), failed)).expect("it resumes");
                self.model.resume(endpoint, resend);
                let made =
                    self.rows("SELECT id FROM delivery ORDER BY key", |row| row.get(0).map(DeliveryId::from_bytes));
                self.ids.extend(&made[self.ids.len()..]);
            }
            Step::Delete(which) => {
                let endpoint = which % self.endpoint_ids.len();
                self.write(move |tx| endpoints::delete(tx, key(endpoint))).expect("it deletes");
                self.model.delete(endpoint);
            }
            Step::Move(which) => {
                let endpoint = which % self.endpoint_ids.len();
                self.model.relocate(endpoint);
                let url = url(self.model.endpoints[endpoint].address);
                self.write(move |tx| endpoints::set_url(tx, key(endpoint), &url)).expect("it moves");
            }
            Step::Replay(which) => self.replay(which),
            Step::Advance(by) => self.advance(by),
            Step::AdvanceToDue => self.advance_to_due(0),
            Step::AdvanceToJustBefore => self.advance_to_due(1),
            Step::SetClock(by) => self.set_clock(by),
        }
    }

    fn register(&mut self, vendor: usize) {
        if self.endpoint_ids.len() == MOST_ENDPOINTS {
            return;
        }
        let profile = VENDORS[vendor];
        let made = self.write(move |tx| {
            let account = accounts::find(tx, profile, profile)?;
            let secret = SigningSecret::parse("s3cret".to_owned())?;
            endpoints::create(tx, &account, url(0), EventFilter::from_stored("*"), &secret, u64::MAX)
        });
        self.endpoint_ids.push(made.expect("an endpoint").id);
        self.model.register(vendor);
        self.rules.lanes.push(LaneRecord::new(vendor));
    }

    pub fn publish(&mut self, vendor: usize, length: usize) {
        let published = self.write(publishing(vendor, length));
        self.model.publish(vendor, length >= LARGE_BODY);
        self.note(published);
    }

    /// Remembers the deliveries of a publish.
    pub fn note(&mut self, published: Result<Published>) {
        let Ok(Published::Accepted(accepted)) = published else { panic!("{published:?}") };
        self.ids.extend(accepted.deliveries.iter().map(|(id, _)| *id));
    }

    fn publish_undone(&mut self, vendor: usize) {
        let publish = publishing(vendor, 0);
        let undone = self.write(move |tx| {
            publish(tx)?;
            Err::<(), _>(Error::Internal("a fault".to_owned()))
        });
        assert!(undone.is_err());
        self.model.publish_undone(vendor);
    }

    /// The process is gone, and another opens the file. It finds these claims.
    fn reopen(&mut self, claimed: &[usize]) {
        let mut gone = self.running.take().expect("it runs");
        self.over.extend(gone.threads.take_all().into_iter().chain(gone.threads.lost).map(Arc::new));
        let returned = gone.threads.returned.into_iter().chain(gone.threads.expected.into_iter().map(|(one, _)| one));
        self.over.extend(returned.map(|returned| returned.claim));
        drop((gone.db, gone.rounds, gone.in_flight));
        self.stopping = false;
        self.running = Some(open(&self.storage, &self.clock, &self.profiles));
        // A clock that stands before the last noted moment was set back.
        let noted = self.rows("SELECT at FROM moment", |row| row.get::<_, i64>(0));
        self.model.unnoticed = noted.first().map_or(0, |noted| (self.model.now - noted).min(0));
        self.recover(claimed);
    }

    fn replay(&mut self, which: usize) {
        if self.ids.is_empty() {
            return;
        }
        let index = which % self.ids.len();
        let endpoint = self.model.deliveries[index].endpoint;
        let visible = Visible { profile: Some(VENDORS[self.model.endpoints[endpoint].vendor].into()), account: None };
        let (id, endpoint_id) = (self.ids[index], self.endpoint_ids[endpoint]);
        let replayed = self.write(move |tx| replays::add(tx, &endpoints::find(tx, &visible, endpoint_id)?, id));
        let has_ended = matches!(
            self.model.deliveries[index].state,
            DeliveryState::Delivered | DeliveryState::Exhausted | DeliveryState::Cancelled
        );
        if self.model.endpoints[endpoint].state != EndpointState::Active || !has_ended {
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
        let next = self.model.deliveries.iter().filter_map(Delivery::due).filter(|due| *due - before > now).min();
        self.advance(next.map_or(0, |due| due - before - now));
    }

    pub fn set_clock(&mut self, by: i64) {
        // Two steps at once could make a step as small as drift.
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
}

fn open(storage: &Storage, manual: &Arc<ManualClock>, profiles: &Profiles) -> Running {
    let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(manual);
    wait_for_lock(&storage.path);
    let db = store::open(storage, &defaults().limits, Arc::clone(&clock), true).expect("it opens");
    // No attempt is at work for long enough to matter.
    let limits =
        Limits { in_flight: IN_FLIGHT, per_endpoint: PER_ENDPOINT, at_work: usize::MAX, slow_after: SLOW_AFTER };
    let (in_flight, reports) = InFlight::new(Arc::clone(&clock), profiles.clone(), Lanes::new(limits));
    let (in_flight, news) = (Arc::new(in_flight), db.news().expect("nobody listens yet"));
    let (threads, ended, handlers) = Threads::new(Arc::clone(&in_flight), reports, Arc::clone(manual));
    // The engine polls when the history says so.
    let settings = config::Delivery { poll_interval: Duration::from_secs(86_400), ..defaults().delivery };
    let (at, looked) = (clock.now(), clock.uptime());
    let (status, status_seen) = watch::channel(EngineStatus { at, looked, heard: 0, busy: 0, wanted: 0 });
    let rounds = Rounds::new(db.clone(), settings, Arc::clone(&in_flight), (news, ended), status, handlers);
    let (stop, stopped) = watch::channel(false);
    Running {
        db,
        in_flight,
        rounds,
        threads,
        status: status_seen,
        is_first: true,
        prefetched: Vec::new(),
        counts: Counts::default(),
        stop: stopped,
        _stop: stop,
    }
}

/// A publish of a body of about this length to the subscribers of this vendor.
pub fn publishing(vendor: usize, length: usize) -> impl FnOnce(&Tx<'_>) -> Result<Published> + Send + 'static {
    move |tx| {
        let account = accounts::find(tx, VENDORS[vendor], VENDORS[vendor])?.key;
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
