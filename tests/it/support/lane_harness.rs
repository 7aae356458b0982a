//! The lanes by themselves, for stories of their order and limits: no database, no sockets.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use ngoma::{
    clock::{Clock, ManualClock},
    config::{Durability, Storage},
    domain::{
        account::Account,
        audit::Actor,
        endpoint::{EndpointKey, EventFilter, TargetUrl},
        ids::{DeliveryId, EventId},
        signature::SigningSecret,
        timestamp::Timestamp,
    },
    engine::lanes::{AttemptResult, Lanes, Limits},
    store::{
        self, Admission, Target, accounts, endpoints,
        queue::{Claim, Claimed},
    },
};

use crate::support::world::{START, defaults};

pub const IN_FLIGHT: usize = 16;
pub const PER_ENDPOINT: usize = 4;
/// The most that is claimed ahead, of one endpoint for each of its places, and of all.
pub const MOST_FOR_A_PLACE: usize = 32;
pub const MOST_AHEAD_IN_ALL: usize = 512;
pub const FAST: AttemptResult = AttemptResult::Succeeded(Duration::from_millis(1));
pub const SMALL: usize = 16 << 10;

/// Lanes, with as much pending for each endpoint as the story says, and no database.
pub struct LaneHarness {
    pub lanes: Lanes,
    pub targets: Vec<Arc<Target>>,
    pub pending: BTreeMap<EndpointKey, usize>,
    pub now: Timestamp,
    pub body: usize,
    pub made: i64,
}

/// Limits without one on processors, where no attempt in flight is slow.
pub fn limits(in_flight: usize, per_endpoint: usize) -> Limits {
    Limits { in_flight, per_endpoint, at_work: usize::MAX, slow_after: Duration::from_secs(60) }
}

/// The targets of endpoints, this many of each account: only a store makes these.
fn targets(folder: &Path, counts: Vec<usize>) -> Vec<Arc<Target>> {
    let storage =
        Storage { path: folder.join("ngoma.db"), key_file: folder.join("ngoma.key"), durability: Durability::Normal };
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(START));
    let db = store::open(&storage, &defaults().limits, clock, true).expect("it opens");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let made = runtime.block_on(db.write(Actor::Engine, Admission::Try, move |tx| {
        let url = TargetUrl::from_stored("https://receiver.example/")?;
        let secret = SigningSecret::parse("s3cret".to_owned())?;
        let mut targets = Vec::new();
        let make = |account: &Account| {
            let events = EventFilter::from_stored("*");
            let made = endpoints::create(tx, account, url.clone(), events, &secret, u64::MAX)?;
            endpoints::target(tx, made.key).map(Arc::new)
        };
        for (number, count) in counts.into_iter().enumerate() {
            let name = format!("account-{number}");
            accounts::create(tx, "asg", &name, None)?;
            let account = accounts::find(tx, "asg", &name)?;
            for _ in 0..count {
                targets.push(make(&account)?);
            }
        }
        Ok(targets)
    }));
    made.expect("targets")
}

impl LaneHarness {
    pub fn new(endpoints: usize) -> Self {
        Self::with(endpoints, limits(IN_FLIGHT, PER_ENDPOINT))
    }

    pub fn with(endpoints: usize, limits: Limits) -> Self {
        Self::of_accounts(&[endpoints], limits)
    }

    /// This many endpoints of each account.
    pub fn of_accounts(endpoints: &[usize], limits: Limits) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let targets = targets(folder.path(), endpoints.to_vec());
        Self { lanes: Lanes::new(limits), targets, pending: BTreeMap::new(), now: START, body: 2, made: 0 }
    }

    pub fn keys(&self) -> Vec<EndpointKey> {
        self.targets.iter().map(|target| target.key).collect()
    }

    pub fn claim(&mut self, endpoint: EndpointKey) -> Claim {
        self.made += 1;
        let target = self.targets.iter().find(|target| target.key == endpoint).expect("an endpoint");
        Claim {
            key: self.made,
            delivery: DeliveryId::mint(self.now),
            attempt: 1,
            tries: 1,
            event: EventId::mint(self.now),
            kind: "batch.exported".to_owned(),
            test: false,
            body: Ok("x".repeat(self.body).into()),
            target: Arc::clone(target),
        }
    }

    /// This many more deliveries are due for an endpoint.
    pub fn publish(&mut self, endpoint: EndpointKey, count: usize) {
        *self.pending.entry(endpoint).or_default() += count;
        self.lanes.due(endpoint, self.now);
    }

    /// A turn: claims as many as the lanes want. Returns the count by endpoint.
    pub fn turn(&mut self) -> BTreeMap<EndpointKey, usize> {
        let wanted = self.lanes.wanted(self.now);
        let mut served = BTreeMap::new();
        for (endpoint, quota) in wanted {
            let pending = self.pending.entry(endpoint).or_default();
            let count = quota.min(*pending);
            *pending -= count;
            let next = (*pending > 0).then_some(self.now);
            let claims = (0..count).map(|_| self.claim(endpoint)).collect();
            self.lanes.served(Claimed { claims, ..Claimed::nothing(endpoint, next) }, self.now);
            served.insert(endpoint, count);
        }
        served
    }

    /// The next body of this endpoint is too large for the memory there is.
    pub fn does_not_fit(&mut self, endpoint: EndpointKey, bytes: usize) {
        let claimed = Claimed { too_large: Some(bytes), ..Claimed::nothing(endpoint, Some(self.now)) };
        self.lanes.served(claimed, self.now);
    }

    /// Begins every claim that may begin.
    pub fn launch(&mut self) -> Vec<Claim> {
        std::iter::from_fn(|| self.lanes.begin(self.now)).collect()
    }

    pub fn end(&mut self, claim: &Claim, ended: AttemptResult) -> Option<bool> {
        self.lanes.ended(claim.owner(), ended).expect("it was under way")
    }

    /// This many attempts which all end in this way, each while the endpoint has as many under way as it may. The others
    /// come to nothing.
    pub fn attempts(&mut self, endpoint: EndpointKey, count: usize, ended: AttemptResult) {
        for _ in 0..count {
            for _ in 0..PER_ENDPOINT {
                let claim = self.claim(endpoint);
                self.lanes.prefetch(claim);
            }
            let begun = self.launch();
            for (number, claim) in begun.iter().enumerate() {
                self.end(claim, if number == 0 { ended } else { AttemptResult::Unknown });
            }
            self.lanes.written(begun.len());
            self.drain();
        }
    }

    /// This many attempts, one after the other, which all end in this way.
    pub fn attempts_alone(&mut self, endpoint: EndpointKey, count: usize, ended: AttemptResult) {
        for _ in 0..count {
            let claim = self.claim(endpoint);
            self.lanes.prefetch(claim);
            let claim = self.lanes.begin(self.now).expect("it may begin");
            self.end(&claim, ended);
            self.lanes.written(1);
        }
    }

    /// Has as many attempts at once as the endpoint may have, all of which end in this way. Gives how many there were.
    pub fn burst(&mut self, endpoint: EndpointKey, ended: AttemptResult) -> usize {
        self.publish(endpoint, 1000);
        self.turn();
        let begun = self.launch();
        begun.iter().for_each(|claim| _ = self.end(claim, ended));
        self.lanes.written(begun.len());
        self.drain();
        self.forget_due();
        begun.len()
    }

    /// How many attempts the endpoint may have at once. They come to nothing.
    pub fn places(&mut self, endpoint: EndpointKey) -> usize {
        self.burst(endpoint, AttemptResult::Unknown)
    }

    /// Has everything in hand begin and come to nothing.
    fn drain(&mut self) {
        while let Some(claim) = self.lanes.begin(self.now) {
            self.end(&claim, AttemptResult::Unknown);
            self.lanes.written(1);
        }
    }

    /// Nothing is due any more.
    pub fn forget_due(&mut self) {
        for endpoint in std::mem::take(&mut self.pending).into_keys() {
            self.lanes.served(Claimed::nothing(endpoint, None), self.now);
        }
    }

    /// How much room each of these has.
    pub fn room(&mut self) -> BTreeMap<EndpointKey, usize> {
        self.lanes.claim_budget(self.now).1.into_iter().collect()
    }
}
