//! The surroundings of the engine's rounds in a history: no threads and no sockets. An attempt is under way until the
//! history ends it, and each thing that the rounds do is noted in its order.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use ngoma::{
    clock::{Clock, ManualClock},
    domain::{
        delivery::{Answer, Failure, Outcome},
        endpoint::TargetUrl,
        failure_details::FailureDetails,
        ids::DeliveryId,
        timestamp::Timestamp,
    },
    engine::{EndedClaim, Handlers, InFlight, lanes::AttemptResult},
    store::{
        Change, News,
        queue::{Attempted, Claim},
    },
};
use tokio::sync::mpsc;

use crate::{
    model::{machine::index, steps::Reaction},
    support::{receiver::lock, world::START},
};

/// Something that the engine did.
pub enum Seen {
    /// It heard the news of a commit.
    Heard { shifted: i64, at: i64, changes: Vec<ChangeSeen> },
    /// It began an attempt.
    Begun { claim: ClaimSeen, at: i64 },
    /// A claim came back.
    Landed { result: AttemptResult, returned: Returned },
}

/// A change in the news, with the model's numbers.
pub enum ChangeSeen {
    Due(usize, i64),
    Made(ClaimSeen),
    TimedOut(usize),
    Rests(usize, i64),
    Restarted(usize),
    Served { endpoint: usize, claims: Vec<ClaimSeen>, next: Option<i64> },
}

/// A claim, with the model's numbers.
#[derive(Clone)]
pub struct ClaimSeen {
    pub delivery: usize,
    pub id: DeliveryId,
    pub endpoint: usize,
    pub attempt: u32,
    pub tries: u32,
    pub bytes: usize,
    pub url: TargetUrl,
    pub stale: bool,
}

impl From<&Claim> for ClaimSeen {
    fn from(claim: &Claim) -> Self {
        Self {
            delivery: index(claim.key),
            id: claim.delivery,
            endpoint: index(claim.target.key),
            attempt: claim.attempt,
            tries: claim.tries,
            bytes: claim.size(),
            url: claim.target.url.clone(),
            stale: claim.target.is_stale(),
        }
    }
}

/// A claim that has come back, and the reaction to its attempt; none if it never began.
pub struct Returned {
    pub claim: Arc<Claim>,
    pub reaction: Option<Reaction>,
}

/// The state that the rounds change through their handlers.
struct Attempts {
    clock: Arc<ManualClock>,
    in_flight: Vec<Claim>,
    seen: Vec<Seen>,
    /// Done once, when the rounds hear of a commit.
    on_news: Option<Box<dyn FnOnce() + Send>>,
}

pub struct Threads {
    in_flight: Arc<InFlight>,
    attempts: Arc<Mutex<Attempts>>,
    reports: mpsc::UnboundedReceiver<EndedClaim>,
    /// Claims that have come back, and whether each puts its endpoint on probation, by the rules.
    pub expected: VecDeque<(Returned, Option<bool>)>,
    ended: mpsc::UnboundedSender<EndedClaim>,
    /// Claims that the rounds have back, and that are not on disk.
    pub returned: Vec<Returned>,
    /// Attempts that are lost, and not written yet.
    pub lost: Vec<Claim>,
}

impl Threads {
    /// Surroundings that take these reports; the end of the reports and the handlers that the rounds get.
    pub fn new(
        in_flight: Arc<InFlight>,
        reports: mpsc::UnboundedReceiver<EndedClaim>,
        clock: Arc<ManualClock>,
    ) -> (Self, mpsc::UnboundedReceiver<EndedClaim>, Handlers) {
        let (ended, ended_seen) = mpsc::unbounded_channel();
        let attempts = Attempts { clock, in_flight: Vec::new(), seen: Vec::new(), on_news: None };
        let attempts = Arc::new(Mutex::new(attempts));
        let (own, lanes, listening) = (Arc::clone(&attempts), Arc::clone(&in_flight), Arc::clone(&attempts));
        let handlers = Handlers {
            begin: Box::new(move |claim| begin(claim, &lanes, &own)),
            heard: Box::new(move |news| heard(news, &listening)),
        };
        let (expected, returned, lost) = (VecDeque::new(), Vec::new(), Vec::new());
        (Self { in_flight, attempts, reports, expected, ended, returned, lost }, ended_seen, handlers)
    }

    /// Does this when the rounds next hear of a commit.
    pub fn on_news(&mut self, act: impl FnOnce() + Send + 'static) {
        lock(&self.attempts).on_news = Some(Box::new(act));
    }

    /// Actions to take when the rounds hear of a commit.
    pub fn take_on_news(&mut self) -> Option<Box<dyn FnOnce() + Send>> {
        lock(&self.attempts).on_news.take()
    }

    /// How many attempts are under way.
    pub fn under_way(&self) -> usize {
        lock(&self.attempts).in_flight.len()
    }

    /// Takes an attempt out of those under way.
    pub fn take(&mut self, which: usize) -> Option<Claim> {
        let in_flight = &mut lock(&self.attempts).in_flight;
        (!in_flight.is_empty()).then(|| in_flight.swap_remove(which % in_flight.len()))
    }

    /// Takes all attempts under way.
    pub fn take_all(&mut self) -> Vec<Claim> {
        std::mem::take(&mut lock(&self.attempts).in_flight)
    }

    /// The engine's actions since the last time.
    pub fn take_seen(&mut self) -> Vec<Seen> {
        std::mem::take(&mut lock(&self.attempts).seen)
    }

    /// Puts actions back, before later ones.
    pub fn put_back(&mut self, mut seen: Vec<Seen>) {
        let later = &mut lock(&self.attempts).seen;
        seen.append(later);
        *later = seen;
    }

    /// Ends an attempt, and goes on with the next claim as a sending thread does.
    pub fn end(&mut self, claim: Claim, reaction: Reaction, took: u64) {
        let result = match reaction {
            Reaction::TimesOut => AttemptResult::TimedOut,
            Reaction::Breaks => AttemptResult::Unknown,
            Reaction::Takes => AttemptResult::Succeeded(Duration::from_millis(took)),
            Reaction::Refuses | Reaction::Gone => AttemptResult::Refused,
            Reaction::Asks(1..) | Reaction::Limits(1..) => AttemptResult::Busy,
            Reaction::Fails | Reaction::Asks(0) | Reaction::Limits(0) => AttemptResult::Failed,
        };
        // Only a success may be slow: a slow failure would be a time-out.
        let took = if matches!(reaction, Reaction::Takes) { took } else { 1 };
        if let Some(next) = land(claim, Some((reaction, took)), result, &self.in_flight, &self.attempts) {
            begin(next, &self.in_flight, &self.attempts);
        }
    }

    /// Hands all claims that have come back to the rounds, and compares what the lanes said of them with the rules.
    pub fn forward_reports(&mut self) {
        while let Ok(report) = self.reports.try_recv() {
            let (returned, probation) = self.expected.pop_front().expect("a report of a claim that came back");
            assert_eq!(report.claim.owner(), returned.claim.owner(), "reports come in order");
            assert_eq!(report.probation, probation, "whether it goes on probation, or off it");
            self.returned.push(returned);
            assert!(self.ended.send(report).is_ok(), "the rounds listen");
        }
        assert!(self.expected.is_empty(), "every claim that came back is reported");
    }

    /// Whether no attempt is under way, and none has come back that is not written.
    pub fn is_idle(&self) -> bool {
        self.under_way() == 0 && self.expected.is_empty() && self.returned.is_empty()
    }
}

fn heard(news: &News, attempts: &Mutex<Attempts>) {
    let act = lock(attempts).on_news.take();
    if let Some(act) = act {
        act();
    }
    let changes = news.changes.iter().filter_map(change_seen).collect();
    lock(attempts).seen.push(Seen::Heard { shifted: news.shifted, at: news.at.millis(), changes });
}

/// As a sending thread: goes from claim to claim until an attempt is under way. A stale claim is given back.
fn begin(claim: Claim, in_flight: &InFlight, attempts: &Mutex<Attempts>) {
    let mut next = Some(claim);
    while let Some(claim) = next {
        let mut noted = lock(attempts);
        let at = noted.clock.now().millis();
        noted.seen.push(Seen::Begun { claim: ClaimSeen::from(&claim), at });
        if !claim.target.is_stale() {
            noted.in_flight.push(claim);
            return;
        }
        drop(noted);
        next = land(claim, None, AttemptResult::Unknown, in_flight, attempts);
    }
}

fn land(
    claim: Claim,
    reaction: Option<(Reaction, u64)>,
    result: AttemptResult,
    in_flight: &InFlight,
    attempts: &Mutex<Attempts>,
) -> Option<Claim> {
    let returned = Returned { claim: Arc::new(without_body(&claim)), reaction: reaction.map(|(reaction, _)| reaction) };
    let next = in_flight.finish(claim, reaction.map(|(reaction, took)| attempted(reaction, took)));
    lock(attempts).seen.push(Seen::Landed { result, returned });
    next
}

/// The same claim, to ask with later.
fn without_body(claim: &Claim) -> Claim {
    let Claim { key, delivery, attempt, tries, event, test, .. } = *claim;
    let (kind, target) = (claim.kind.clone(), Arc::clone(&claim.target));
    Claim { key, delivery, attempt, tries, event, kind, test, body: Ok(String::new().into()), target }
}

fn change_seen(change: &Change) -> Option<ChangeSeen> {
    match change {
        Change::Due(endpoint, at) => Some(ChangeSeen::Due(index(*endpoint), at.millis())),
        Change::ClaimedAtBirth(claim) => Some(ChangeSeen::Made(claim.into())),
        Change::TimedOut(endpoint) => Some(ChangeSeen::TimedOut(index(*endpoint))),
        Change::Rests(endpoint, until) => Some(ChangeSeen::Rests(index(*endpoint), until.millis())),
        Change::Restarted(endpoint) => Some(ChangeSeen::Restarted(index(*endpoint))),
        Change::Served(claimed) => Some(ChangeSeen::Served {
            endpoint: index(claimed.endpoint),
            claims: claimed.claims.iter().map(ClaimSeen::from).collect(),
            next: claimed.next.map(Timestamp::millis),
        }),
        Change::Alert | Change::Sending(..) => None,
    }
}

/// The outcome of an attempt that took this many milliseconds.
pub fn attempted(reaction: Reaction, took: u64) -> Attempted {
    let answered = |status, retry_after| {
        Outcome::Answered(Answer { status, body: b"an answer".to_vec(), truncated: false, retry_after })
    };
    let outcome = match reaction {
        Reaction::Takes => answered(200, None),
        Reaction::Fails => answered(500, None),
        Reaction::Refuses => answered(400, None),
        Reaction::Limits(seconds) => answered(429, Some(Duration::from_secs(seconds))),
        Reaction::Asks(seconds) => answered(503, Some(Duration::from_secs(seconds))),
        Reaction::Gone => answered(410, None),
        Reaction::TimesOut => Outcome::Failed(Failure::Timeout),
        Reaction::Breaks => Outcome::Failed(Failure::Interrupted),
    };
    let (duration, details) = (Duration::from_millis(took), FailureDetails::default());
    Attempted { started_at: START, duration, outcome, details }
}
