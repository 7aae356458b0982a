//! The rounds of the engine. A round takes the news of commits, begins the attempts that may begin, and writes one
//! transaction: it settles ended attempts and claims due deliveries.
//!
//! A round uses neither threads nor sockets: the caller passes in how an attempt begins.

use std::{sync::Arc, time::Duration};

use tokio::sync::{mpsc, watch};

use super::{
    attempt::{FailureLog, count, log_attempt, log_cut_off},
    in_flight::{EndedClaim, InFlight},
    lanes,
    stats::StatsBuffer,
};
use crate::{
    clock::{self, Stopwatch},
    config,
    domain::{audit::Actor, delivery::DeliveryKey, endpoint::EndpointKey, timestamp::Timestamp},
    error::Result,
    metrics::Fault,
    store::{
        Admission, Change, Db, News, Tx, endpoints,
        queue::{self, Claim, Lost, Wanted},
        stats::{self, MinuteStats},
    },
};

/// An attempt is given up as lost this long after it must have timed out.
const LOST_AFTER: Duration = Duration::from_secs(60);

/// The result of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Round {
    /// More can be done at once.
    Again,
    /// Nothing is due before this moment, unless something happens.
    Idle(Timestamp),
    /// The database did not take the transaction. Its work is kept for the next round.
    Failed,
    /// A stop was requested, nothing is in flight, and every outcome is written.
    Drained,
}

/// The state of the engine at the end of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineStatus {
    /// The moment at which it looked for due work.
    pub at: Timestamp,
    /// The same moment as the machine's uptime, which never jumps.
    pub looked: Duration,
    /// The number of the last commit whose news was taken by then.
    pub heard: u64,
    /// Claimed deliveries that are not settled.
    pub busy: usize,
    /// Endpoints with deliveries to claim at once.
    pub wanted: usize,
}

/// The callbacks of the rounds.
pub struct Handlers {
    /// Begins the attempt of a claim. Its end must be reported by [`InFlight::finish`].
    pub begin: Box<dyn FnMut(Claim) + Send>,
    /// Looks at the news of a commit before the lanes take them.
    pub heard: Box<dyn FnMut(&News) + Send>,
}

/// The work of one transaction: kept until the database takes it.
#[derive(Default)]
struct Work {
    ended: Vec<Arc<EndedClaim>>,
    lost: Vec<DeliveryKey>,
    wanted: Vec<Wanted>,
    counts: Option<Arc<Vec<MinuteStats>>>,
    stats: StatsBuffer,
    failure_log: FailureLog,
}

impl Work {
    fn is_empty(&self) -> bool {
        self.ended.is_empty() && self.lost.is_empty() && self.wanted.is_empty() && self.counts.is_none()
    }
}

/// The state of the engine from round to round.
pub struct Rounds {
    db: Db,
    settings: config::Delivery,
    in_flight: Arc<InFlight>,
    handlers: Handlers,
    news: mpsc::UnboundedReceiver<News>,
    ended: mpsc::UnboundedReceiver<EndedClaim>,
    status: watch::Sender<EngineStatus>,
    work: Work,
    /// The moment at which the present round began.
    at: Timestamp,
    heard: u64,
    /// Whether this round looks for things that no news announces.
    polls: bool,
    since_poll: Stopwatch,
    /// Whether a transaction was written since a stop was asked for.
    written_since_stop: bool,
}

impl Rounds {
    /// Rounds with this news and these reports of ended attempts.
    pub fn new(
        db: Db,
        settings: config::Delivery,
        in_flight: Arc<InFlight>,
        (news, ended): (mpsc::UnboundedReceiver<News>, mpsc::UnboundedReceiver<EndedClaim>),
        status: watch::Sender<EngineStatus>,
        handlers: Handlers,
    ) -> Self {
        let at = in_flight.clock().now();
        Self {
            db,
            settings,
            in_flight,
            handlers,
            news,
            ended,
            status,
            work: Work::default(),
            at,
            heard: 0,
            polls: true,
            since_poll: Stopwatch::start(),
            written_since_stop: false,
        }
    }

    /// Ends the claims that an earlier run left unsettled, and announces the pending deliveries.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn take_up(&mut self) -> Result<()> {
        let take_up = |tx: &Tx<'_>| {
            let cut_off = queue::interrupt(tx, &Lost::All)?;
            queue::take_up(tx)?;
            Ok(cut_off)
        };
        // Pending deliveries are announced by news, in their order with every jump of the clock.
        let cut_off = self.db.write(Actor::Engine, Admission::Wait, take_up).await?;
        if !cut_off.is_empty() {
            tracing::info!(attempts = cut_off.len(), "attempts cut off by the last stop are made again");
            log_cut_off(self.db.metrics(), self.in_flight.profiles(), &cut_off);
        }
        Ok(())
    }

    /// One round. With `stopping`, nothing is claimed any more.
    pub async fn round(&mut self, stopping: bool) -> Round {
        self.at = self.in_flight.clock().now();
        // Even when much happens, it looks now and then for things that no news announces.
        if self.polls || self.since_poll.elapsed() >= self.settings.poll_interval {
            (self.polls, self.since_poll) = (true, Stopwatch::start());
        }
        if stopping {
            self.db.claim_budget().close();
            self.in_flight.lanes().close();
        }
        self.hear_all();
        self.begin_all();
        self.gather(stopping);
        let mut failed = false;
        if self.polls || stopping || !self.work.is_empty() {
            failed = !self.write_or_log(stopping).await;
        }
        self.polls = false;
        let (busy, next) = self.end_round();
        // The claims that publishes made before the last transaction are in the news by now.
        let is_drained = self.written_since_stop && busy == 0 && self.news.is_empty();
        match next {
            _ if is_drained && (failed || self.work.stats.is_empty()) => Round::Drained,
            _ if is_drained => Round::Again,
            _ if failed => Round::Failed,
            None => Round::Again,
            Some(next) => Round::Idle(next),
        }
    }

    /// Waits until this moment (`None`: for the poll interval) or until something happens.
    pub async fn wait(&mut self, until: Option<Timestamp>, stop: &mut watch::Receiver<bool>) {
        let poll = self.settings.poll_interval;
        let rest = until.map_or(poll, |until| until.since(self.at).min(poll));
        let is_pressed = self.in_flight.lanes().is_pressed();
        tokio::select! {
            Some(one) = self.ended.recv() => self.work.ended.push(Arc::new(one)),
            Some(one) = self.news.recv() => self.hear(one),
            _ = stop.changed() => {}
            () = clock::pause(lanes::SENDS), if is_pressed => {}
            () = self.in_flight.clock().sleep(self.at, rest) => self.polls = true,
        }
    }

    /// Takes the news of every commit so far.
    pub fn hear_all(&mut self) {
        while let Ok(one) = self.news.try_recv() {
            self.hear(one);
        }
    }

    /// Takes the news of a commit.
    fn hear(&mut self, news: News) {
        self.heard = news.number;
        (self.handlers.heard)(&news);
        let mut lanes = self.in_flight.lanes();
        if news.shifted != 0 {
            lanes.shift(news.shifted);
        }
        for change in news.changes {
            match change {
                Change::Due(endpoint, at) => lanes.due(endpoint, at),
                Change::ClaimedAtBirth(claim) => lanes.prefetch(claim),
                Change::TimedOut(endpoint) => lanes.put_on_probation(endpoint),
                Change::Rests(endpoint, until) => lanes.rest(endpoint, until),
                Change::Sending(endpoint, sending) => lanes.send_like(endpoint, sending),
                Change::Restarted(endpoint) => lanes.restart(endpoint),
                Change::Served(claimed) => lanes.served(claimed, news.at),
                Change::Alert => {}
            }
        }
    }

    /// Begins as many attempts as may be in flight.
    pub fn begin_all(&mut self) {
        loop {
            let now = self.in_flight.clock().now();
            let Some(claim) = self.in_flight.lanes().begin(now) else { return };
            (self.handlers.begin)(claim);
        }
    }

    /// What would be claimed now: how many deliveries of which endpoints.
    pub fn wanted(&self) -> Vec<(EndpointKey, usize)> {
        self.in_flight.lanes().wanted(self.in_flight.clock().now())
    }

    /// Collects the work of the transaction. Old claims are looked for only when the round polls.
    fn gather(&mut self, stopping: bool) {
        if self.polls {
            self.give_up_lost(self.settings.timeout + LOST_AFTER);
        }
        let (work, mut lanes) = (&mut self.work, self.in_flight.lanes());
        while let Ok(one) = self.ended.try_recv() {
            work.ended.push(Arc::new(one));
        }
        if self.polls || !lanes.is_open() {
            let unsent = lanes.overdue(self.at).into_iter();
            work.ended.extend(unsent.map(|claim| Arc::new(EndedClaim::unsent(claim))));
        }
        lanes.admit_large_bodies(self.db.claim_budget().bodies().bytes());
        let wanted = lanes.wanted(self.at);
        work.wanted = lanes.allowed(wanted);
        work.counts = work.stats.due(self.at, stopping);
    }

    /// Gives up the attempts in flight for longer than this: they will never end.
    pub fn give_up_lost(&mut self, longest: Duration) {
        let lost = self.in_flight.lanes().lost(longest);
        if !lost.is_empty() {
            tracing::error!(attempts = lost.len(), "attempts never ended (was the process paused?): made again");
        }
        self.work.lost.extend(lost);
    }

    /// Writes the transaction and takes the claims that it made; returns whether the database took it.
    async fn write_or_log(&mut self, stopping: bool) -> bool {
        if let Err(error) = self.write().await {
            tracing::error!(%error, "deliveries pause until the database takes writes again");
            self.db.metrics().turned(Some(Fault { at: self.in_flight.clock().uptime(), why: error }));
            return false;
        }
        // Its claims are in the news.
        self.hear_all();
        self.begin_all();
        self.db.metrics().turned(None);
        self.written_since_stop = stopping;
        true
    }

    /// One transaction: settles ended attempts, gives back claims that did not begin or were lost, claims due
    /// deliveries, and adds statistics.
    async fn write(&mut self) -> Result<()> {
        let (work, in_flight) = (&mut self.work, Arc::clone(&self.in_flight));
        let (ended, lost, counts) = (work.ended.clone(), work.lost.clone(), work.counts.clone());
        let wanted = std::mem::take(&mut work.wanted);
        let written = self.db.write(Actor::Engine, Admission::Wait, move |tx| {
            for one in &ended {
                match (&one.attempted, in_flight.profiles().get(&one.claim.target.profile)) {
                    (Some(attempted), Some(profile)) => queue::settle(tx, &one.claim, attempted, profile)?,
                    _ => queue::give_back(tx, &one.claim, one.faulty)?,
                };
                if let Some(timed_out) = one.probation {
                    endpoints::set_timed_out(tx, one.claim.target.key, timed_out)?;
                }
                if let Some(wait) = one.rests_for {
                    endpoints::set_rest(tx, &one.claim.target, wait)?;
                }
            }
            let mut cut_off = Vec::new();
            for key in &lost {
                cut_off.append(&mut queue::interrupt(tx, &Lost::One(*key))?);
            }
            tx.hand_over(queue::claim(tx, &wanted)?);
            counts.map(|counts| stats::add(tx, &counts)).transpose()?;
            Ok(cut_off)
        });
        log_cut_off(self.db.metrics(), self.in_flight.profiles(), &written.await?);
        self.in_flight.lanes().written(work.ended.len() + work.lost.len());
        work.stats.written(self.at);
        for ended in work.ended.drain(..) {
            work.stats.count(&ended, self.at);
            let EndedClaim { claim, attempted: Some(attempted), .. } = &*ended else { continue };
            if let Some(profile) = self.in_flight.profiles().get(&claim.target.profile) {
                count(self.db.metrics(), profile, claim, attempted);
                let loud = !attempted.outcome.is_success() && work.failure_log.is_loud(claim.target.key, self.at);
                log_attempt(profile, claim, attempted, loud);
            }
        }
        work.lost.clear();
        Ok(())
    }

    /// Publishes the claim budget and the status. Returns the number of busy claims, and when more can be done; `None`:
    /// at once.
    fn end_round(&mut self) -> (usize, Option<Timestamp>) {
        let at = self.at;
        let mut lanes = self.in_flight.lanes();
        lanes.admit_large_bodies(self.db.claim_budget().bodies().bytes());
        // The clock may have been set since the round began.
        let (in_all, each) = lanes.claim_budget(self.in_flight.clock().now());
        self.db.claim_budget().grant(in_all, each);
        self.db.metrics().set_in_flight(lanes.in_flight());
        let (busy, wanted) = (lanes.busy(), lanes.wanted(at).len());
        // Claims made just before a stop are given back by the next round.
        let gives_back = !lanes.is_open() && lanes.has_prefetched();
        let next = lanes.next_turn(at).unwrap_or(at + self.settings.poll_interval);
        let (looked, heard) = (self.in_flight.clock().uptime(), self.heard);
        drop(lanes);
        self.status.send_replace(EngineStatus { at, looked, heard, busy, wanted });
        (busy, (wanted == 0 && !gives_back).then_some(next))
    }
}
