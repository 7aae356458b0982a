//! The engine's surroundings in a history: no threads and no sockets. An attempt is under way until the history ends
//! it, and each thing that the engine does is noted in its order.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use ngoma::{
    domain::{
        delivery::{Answer, Failure, Outcome},
        endpoint::TargetUrl,
        ids::DeliveryId,
        profile::Profiles,
        timestamp::Timestamp,
    },
    engine::{
        lanes::{self, Lanes},
        round::{Around, Ended, land},
    },
    store::{
        Change, News,
        queue::{Attempted, Claim, CutOff},
    },
};
use tokio::sync::mpsc;

use crate::{
    model::{machine::index, steps::Reaction},
    support::world::START,
};

/// Something that the engine did.
pub enum Seen {
    /// It heard the news of a commit.
    Heard { shifted: i64, at: i64, changes: Vec<ChangeSeen> },
    /// It began an attempt.
    Begun(ClaimSeen),
    /// A claim came back.
    Landed { endpoint: usize, ended: lanes::Ended, probation: Option<bool> },
    /// It wrote this many outcomes.
    Written { outcomes: usize },
}

/// A change in the news, with the model's numbers.
pub enum ChangeSeen {
    Due(usize, i64),
    Made(ClaimSeen),
    Suspect(usize),
    Served { endpoint: usize, claims: Vec<ClaimSeen>, next: Option<i64> },
}

/// A claim, with the model's numbers.
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

pub struct Threads {
    news: mpsc::UnboundedReceiver<News>,
    /// News that the engine has not come to yet.
    unheard: VecDeque<News>,
    lanes: Arc<Mutex<Lanes>>,
    profiles: Profiles,
    pub in_flight: Vec<Claim>,
    /// Claims that have come back, and that no round has collected yet.
    pub ended: VecDeque<Ended>,
    /// Attempts that are lost, and not written yet.
    pub lost: Vec<Claim>,
    /// Of the ended claims of the next turn, how many the rules know.
    pub noted: usize,
    pub seen: Vec<Seen>,
    /// Done once, after the next turn's commit and before its news are heard.
    pub after_commit: Option<Box<dyn FnOnce()>>,
}

impl Around for Threads {
    fn next_news(&mut self) -> Option<News> {
        self.receive();
        let news = self.unheard.pop_front()?;
        let changes = news.changes.iter().filter_map(change_seen).collect();
        self.seen.push(Seen::Heard { shifted: news.shifted, at: news.at.millis(), changes });
        Some(news)
    }

    fn next_ended(&mut self) -> Option<Ended> {
        let ended = self.ended.pop_front()?;
        self.noted += 1;
        Some(ended)
    }

    /// As a sending thread: goes from claim to claim until an attempt is under way. A stale claim is given back.
    fn begin(&mut self, claim: Claim) {
        let mut next = Some(claim);
        while let Some(claim) = next {
            self.seen.push(Seen::Begun(ClaimSeen::from(&claim)));
            if !claim.target.is_stale() {
                self.in_flight.push(claim);
                return;
            }
            next = self.land(claim, None, lanes::Ended::Unknown);
        }
    }

    fn written(&mut self, ended: &[Arc<Ended>], cut_off: &[CutOff]) {
        assert_eq!(cut_off.len(), self.lost.len(), "each lost attempt is recovered");
        self.noted = 0;
        self.seen.push(Seen::Written { outcomes: ended.len() + cut_off.len() });
        if let Some(act) = self.after_commit.take() {
            act();
        }
    }

    fn alert(&mut self) {}
}

impl Threads {
    pub fn new(news: mpsc::UnboundedReceiver<News>, lanes: Arc<Mutex<Lanes>>, profiles: Profiles) -> Self {
        Self {
            news,
            unheard: VecDeque::new(),
            lanes,
            profiles,
            in_flight: Vec::new(),
            ended: VecDeque::new(),
            lost: Vec::new(),
            noted: 0,
            seen: Vec::new(),
            after_commit: None,
        }
    }

    /// Ends an attempt, and goes on with the next claim as a sending thread does.
    pub fn end(&mut self, claim: Claim, reaction: Reaction, took: u64) {
        let ended = match reaction {
            Reaction::TimesOut => lanes::Ended::TimedOut,
            Reaction::Breaks => lanes::Ended::Unknown,
            Reaction::Takes => lanes::Ended::Well(Duration::from_millis(took)),
            Reaction::Fails | Reaction::Asks(_) | Reaction::Gone => lanes::Ended::Failed,
        };
        if let Some(next) = self.land(claim, Some(attempted(reaction, took)), ended) {
            self.begin(next);
        }
    }

    fn land(&mut self, claim: Claim, attempted: Option<Attempted>, expected: lanes::Ended) -> Option<Claim> {
        let (endpoint, mut reported) = (index(claim.target.key), None);
        let next = land(&self.lanes, &self.profiles, claim, attempted, |ended| reported = Some(ended));
        let ended = reported.expect("an attempt under way is reported");
        self.seen.push(Seen::Landed { endpoint, ended: expected, probation: ended.probation });
        self.ended.push_back(ended);
        next
    }

    fn receive(&mut self) {
        while let Ok(news) = self.news.try_recv() {
            self.unheard.push_back(news);
        }
    }

    /// Claims made at birth of which the engine has not heard.
    pub fn unheard_claims(&mut self) -> usize {
        self.receive();
        let changes = self.unheard.iter().flat_map(|news| &news.changes);
        changes.filter(|change| matches!(change, Change::Made(_))).count()
    }

    pub fn has_heard_all(&mut self) -> bool {
        self.receive();
        self.unheard.is_empty()
    }

    /// Whether no attempt is under way, and none has come back.
    pub fn is_idle(&self) -> bool {
        self.in_flight.is_empty() && self.ended.is_empty()
    }
}

fn change_seen(change: &Change) -> Option<ChangeSeen> {
    match change {
        Change::Due(endpoint, at) => Some(ChangeSeen::Due(index(*endpoint), at.millis())),
        Change::Made(claim) => Some(ChangeSeen::Made(claim.into())),
        Change::Suspect(endpoint) => Some(ChangeSeen::Suspect(index(*endpoint))),
        Change::Served(claimed) => Some(ChangeSeen::Served {
            endpoint: index(claimed.endpoint),
            claims: claimed.claims.iter().map(ClaimSeen::from).collect(),
            next: claimed.next.map(Timestamp::millis),
        }),
        Change::Alert => None,
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
        Reaction::Asks(seconds) => answered(503, Some(Duration::from_secs(seconds))),
        Reaction::Gone => answered(410, None),
        Reaction::TimesOut => Outcome::Failed(Failure::Timeout),
        Reaction::Breaks => Outcome::Failed(Failure::Interrupted),
    };
    Attempted { started_at: START, duration: Duration::from_millis(took), outcome }
}

/// The reaction that had this outcome.
pub fn reaction(outcome: &Outcome) -> Reaction {
    match outcome {
        Outcome::Answered(Answer { retry_after: Some(asked), .. }) => Reaction::Asks(asked.as_secs()),
        Outcome::Answered(Answer { status: 200, .. }) => Reaction::Takes,
        Outcome::Answered(Answer { status: 410, .. }) => Reaction::Gone,
        Outcome::Answered(_) => Reaction::Fails,
        Outcome::Failed(Failure::Timeout) => Reaction::TimesOut,
        Outcome::Failed(_) => Reaction::Breaks,
    }
}
