//! One round of the engine: hear what was committed, begin attempts, write one turn, grant claims to publishes.
//!
//! It knows no thread, no socket and no clock: the engine gives it all three, and so does the model that stories compare it
//! with.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

pub use super::flights::{Ended, land};
use super::lanes::Lanes;
use crate::{
    domain::{audit::Actor, delivery::DeliveryKey, endpoint::EndpointKey, profile::Profiles, timestamp::Timestamp},
    error::Result,
    store::{
        Admission, Change, Db, News, Tx, endpoints,
        queue::{self, Claim, CutOff, Lost, Wanted},
        tallies::{self as counted, Count},
    },
};

/// Those around a round: the engine with its threads, or a story.
pub trait Around {
    /// The news of the next commit, if there is one.
    fn next_news(&mut self) -> Option<News>;
    /// The next claim that has come back, if there is one.
    fn next_ended(&mut self) -> Option<Ended>;
    /// Makes the attempt that this claim allows; the claim comes back by [`Around::next_ended`].
    fn begin(&mut self, claim: Claim);
    /// A turn is on disk: these claims came back in it, and these attempts were lost or cut off.
    fn written(&mut self, ended: &[Arc<Ended>], cut_off: &[CutOff]);
    /// An alert was written to the outbox.
    fn alert(&mut self);
}

/// What one turn writes: kept until the database takes it.
#[derive(Debug, Default)]
pub struct Work {
    /// Claims that have come back: to be settled, or given back.
    pub ended: Vec<Arc<Ended>>,
    /// Attempts that will never end.
    pub lost: Vec<DeliveryKey>,
    /// What to claim.
    pub wanted: Vec<Wanted>,
    /// Attempts counted by endpoint and minute.
    pub counts: Option<Arc<Vec<Count>>>,
}

impl Work {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.ended.is_empty() && self.lost.is_empty() && self.wanted.is_empty() && self.counts.is_none()
    }
}

/// The state that one round leaves to the next.
pub struct Round {
    db: Db,
    profiles: Profiles,
    lanes: Arc<Mutex<Lanes>>,
    /// An attempt that is under way for longer will never end.
    lost_after: Duration,
    work: Work,
    heard: u64,
}

/// Takes up what an earlier run has left: claims that nobody settled, and what is pending. Says which attempts were cut off.
///
/// # Errors
/// Faults of the database only.
pub async fn recover(db: &Db) -> Result<Vec<CutOff>> {
    let recover = |tx: &Tx<'_>| {
        let cut_off = queue::recover(tx, &Lost::All)?;
        queue::take_up(tx)?;
        Ok(cut_off)
    };
    // What is pending is among the news, in its order with every step of the clock.
    db.write(Actor::Engine, Admission::Wait, recover).await
}

impl Round {
    /// A first round over these lanes.
    pub fn new(db: Db, profiles: Profiles, lanes: Arc<Mutex<Lanes>>, lost_after: Duration) -> Self {
        Self { db, profiles, lanes, lost_after, work: Work::default(), heard: 0 }
    }

    /// The lanes.
    pub fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the next turn writes, as far as it is known.
    pub fn work(&self) -> &Work {
        &self.work
    }

    /// How many commits' news it has heard.
    pub fn heard(&self) -> u64 {
        self.heard
    }

    /// Lets no claim be made any more, and none begin.
    pub fn close(&self) {
        self.db.room().close();
        self.lanes().close();
    }

    /// A claim has come back.
    pub fn returned(&mut self, ended: Ended) {
        self.work.ended.push(Arc::new(ended));
    }

    /// Takes the news of a commit.
    pub fn hear(&mut self, news: News, around: &mut impl Around) {
        self.heard = news.number;
        let mut lanes = self.lanes();
        if news.shifted != 0 {
            lanes.shift(news.shifted);
        }
        for change in news.changes {
            match change {
                Change::Due(endpoint, at) => lanes.due(endpoint, at),
                Change::Made(claim) => lanes.take_in_hand(claim),
                Change::Suspect(endpoint) => lanes.suspect(endpoint),
                Change::Served(claimed) => lanes.served(claimed, news.at),
                Change::Alert => around.alert(),
            }
        }
    }

    /// Hears all news, and begins as many attempts as may be under way.
    pub fn hear_and_begin(&mut self, around: &mut impl Around) {
        while let Some(news) = around.next_news() {
            self.hear(news, around);
        }
        loop {
            let next = self.lanes().begin();
            let Some(claim) = next else { return };
            around.begin(claim);
        }
    }

    /// The first half of a round: hears, begins, and collects what is to be written. If it was `polled`, it also looks for
    /// what has become old.
    pub fn collect(&mut self, around: &mut impl Around, at: Timestamp, polled: bool) {
        self.hear_and_begin(around);
        if polled {
            self.lose(self.lost_after);
        }
        let Self { db, lanes, work, .. } = self;
        let mut lanes = lanes.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(one) = around.next_ended() {
            work.ended.push(Arc::new(one));
        }
        if polled || !lanes.is_open() {
            let unsent = lanes.overdue().into_iter();
            work.ended
                .extend(unsent.map(|claim| Arc::new(Ended { claim, attempted: None, faulty: false, probation: None })));
        }
        lanes.make_room(db.room().bodies().bytes());
        let wanted = lanes.wanted(at);
        work.wanted = lanes.allowed(wanted);
    }

    /// Gives up attempts that are under way for longer than this.
    pub fn lose(&mut self, longest: Duration) {
        let lost = self.lanes().lost(longest);
        if !lost.is_empty() {
            tracing::error!(attempts = lost.len(), "attempts never ended (was the process paused?): made again");
        }
        self.work.lost.extend(lost);
    }

    /// Counts that go with the next turn.
    pub fn count(&mut self, counts: Option<Arc<Vec<Count>>>) {
        self.work.counts = counts;
    }

    /// The second half, one transaction: settles what has ended, gives back what did not begin or was lost, claims what is
    /// due, and adds what was counted. Then hears of it, and begins. If it fails, all but the wants stays to be written.
    ///
    /// # Errors
    /// Faults of the database only.
    pub async fn write(&mut self, around: &mut impl Around) -> Result<()> {
        let (ended, profiles) = (self.work.ended.clone(), self.profiles.clone());
        let (lost, wanted) = (self.work.lost.clone(), std::mem::take(&mut self.work.wanted));
        let counts = self.work.counts.clone();
        let written = self.db.write(Actor::Engine, Admission::Wait, move |tx| {
            for one in &ended {
                match (&one.attempted, profiles.get(&one.claim.target.profile)) {
                    (Some(attempted), Some(profile)) => queue::settle(tx, &one.claim, attempted, profile)?,
                    _ => queue::give_back(tx, &one.claim, one.faulty)?,
                };
                if let Some(timed_out) = one.probation {
                    endpoints::set_timed_out(tx, one.claim.target.key, timed_out)?;
                }
            }
            let mut cut_off = Vec::new();
            for key in &lost {
                cut_off.append(&mut queue::recover(tx, &Lost::One(*key))?);
            }
            tx.served(queue::claim(tx, &wanted)?);
            counts.map(|counts| counted::add(tx, &counts)).transpose()?;
            Ok(cut_off)
        });
        let cut_off = written.await?;
        let work = std::mem::take(&mut self.work);
        self.lanes().written(work.ended.len() + work.lost.len());
        around.written(&work.ended, &cut_off);
        // What it claimed is among the news.
        self.hear_and_begin(around);
        Ok(())
    }

    /// Grants claims at birth to publishes: how many in all, and to each endpoint whose lane has changed.
    pub fn grant(&self, at: Timestamp) -> (usize, Vec<(EndpointKey, usize)>) {
        let mut lanes = self.lanes();
        lanes.make_room(self.db.room().bodies().bytes());
        let (in_all, each) = lanes.room(at);
        self.db.room().grant(in_all, each.iter().copied());
        (in_all, each)
    }
}
