//! What a turn writes, beside what else is written, and what of it the model takes.

use std::{sync::Arc, time::Duration};

use ngoma::{
    domain::{
        audit::Actor,
        delivery::{Answer, DeliveryKey, Failure, Outcome, State},
        endpoint::EndpointKey,
        profile::Profiles,
        timestamp::Timestamp,
    },
    error::Result,
    store::{
        self, Admission, Change, Tx, endpoints,
        queue::{self, Attempted, Claim, Claimed, Lost, Wanted},
    },
};

use crate::{
    model::{
        machine::{Ended, Machine, index, publishing, state},
        states::{Beside, Reaction},
    },
    security::limits::hold_writer,
    support::world::START,
};

/// How long an attempt takes, as it is recorded.
const TOOK: Duration = Duration::from_millis(12);
/// More than a file holds that may not grow.
const HUGE_BODY: usize = 1 << 20;

impl Machine {
    /// Writes the turn, and whatever is written beside it.
    pub fn write_turn(&mut self, wanted: Vec<(EndpointKey, usize)>, beside: Beside) {
        let work = Work {
            ended: std::mem::take(&mut self.running().ended),
            lost: std::mem::take(&mut self.running().lost),
            wanted,
        };
        let turn = work.turn(&self.profiles);
        let (first, last) = match beside {
            Beside::PublishBefore(dialect) => (Some(dialect), None),
            Beside::PublishAfter(dialect) => (None, Some(dialect)),
            Beside::Nothing | Beside::ClockSet(_) => (None, None),
            Beside::DiskFull => return self.fail_turn(work, turn),
        };
        self.model.notice();
        let publish = |dialect: Option<usize>| dialect.map(|dialect| publishing(dialect, 0));
        let (before, turned, after) = self.in_one_commit(publish(first), turn, publish(last));
        first.into_iter().for_each(|dialect| self.model.publish(dialect, false));
        before.into_iter().for_each(|published| self.note(published));
        for (ended, settled) in work.ended.iter().zip(turned.expect("the turn is written")) {
            self.follow(ended, settled);
        }
        work.lost.iter().for_each(|claim| self.model.recover(index(claim.key)));
        self.check_served(&work.wanted);
        last.into_iter().for_each(|dialect| self.model.publish(dialect, false));
        after.into_iter().for_each(|published| self.note(published));
        if let Beside::ClockSet(by) = beside {
            self.set_clock(by);
            self.write(|_| Ok(())).expect("it writes");
        }
        let outcomes = work.ended.len() + work.lost.len();
        self.over.extend(work.lost);
        self.book.unwritten -= outcomes;
        self.running().lanes.written(outcomes);
        self.hear();
    }

    /// The disk is full, and the whole commit is undone: what was to be written is kept, what was wanted is wanted again.
    fn fail_turn(&mut self, work: Work, turn: impl FnOnce(&Tx<'_>) -> Result<Vec<Option<State>>> + Send + 'static) {
        self.write(|tx| store::limit_pages(tx, 1)).expect("it is set");
        let (_, turned, filling) = self.in_one_commit(None, turn, Some(publishing(0, HUGE_BODY)));
        assert!(turned.is_err() && filling.is_some_and(|published| published.is_err()), "nothing is stored");
        self.write(|tx| store::limit_pages(tx, u32::MAX)).expect("it is set");
        (self.running().ended, self.running().lost) = (work.ended, work.lost);
        self.hear();
    }

    /// Runs a turn with a publish ahead of it, or behind it, in the same commit.
    fn in_one_commit<P, T, R, S>(
        &mut self,
        before: Option<P>,
        turn: T,
        after: Option<P>,
    ) -> (Option<Result<R>>, Result<S>, Option<Result<R>>)
    where
        P: FnOnce(&Tx<'_>) -> Result<R> + Send + 'static,
        T: FnOnce(&Tx<'_>) -> Result<S> + Send + 'static,
        R: Send + 'static,
        S: Send + 'static,
    {
        let db = self.running().db.clone();
        let write = async |run: Option<P>| match run {
            Some(run) => Some(db.write(Actor::Engine, Admission::Try, run).await),
            None => None,
        };
        // While the writer is held, they queue up.
        let held = (before.is_some() || after.is_some()).then(|| hold_writer(&db));
        let (before, turned, after, held) = self.runtime.block_on(async {
            let opening = async { held.map(|(open, held)| open.send(()).map(|()| held)) };
            tokio::join!(write(before), db.write(Actor::Engine, Admission::Try, turn), write(after), opening)
        });
        if let Some(held) = held {
            held.expect("the writer waits").join().expect("no panic");
        }
        (before, turned, after)
    }

    /// The model takes what was written of an attempt, or of one that never began.
    fn follow(&mut self, ended: &Ended, settled: Option<State>) {
        let parcel = index(ended.claim.key);
        match ended.reaction {
            Some(reaction) => {
                self.model.settle(parcel, reaction);
                self.over.push(Arc::clone(&ended.claim));
            }
            None => self.model.give_back(parcel),
        }
        assert_eq!(settled, Some(state(&self.model.parcels[parcel])));
    }

    /// What was claimed is what was asked for and due, and within an endpoint what has waited longest.
    fn check_served(&mut self, wanted: &[(EndpointKey, usize)]) {
        self.receive();
        let unheard = std::mem::take(&mut self.running().unheard);
        let served = unheard.iter().flat_map(|news| &news.changes);
        let served =
            served.filter_map(|change| if let Change::Served(claimed) = change { Some(claimed) } else { None });
        let served: Vec<&Claimed> = served.collect();
        let asked = wanted.iter().map(|(endpoint, _)| *endpoint);
        assert!(asked.eq(served.iter().map(|claimed| claimed.endpoint)), "each that was asked for is served");
        for (claimed, (_, quota)) in served.into_iter().zip(wanted) {
            let place = index(claimed.endpoint);
            let (count, due) = (claimed.claims.len(), self.model.due(place).min(*quota));
            let bytes: usize = claimed.claims.iter().map(|claim| claim.size()).sum();
            assert!(count == due || (count < due && bytes >= MOST_BYTES), "what is due is claimed: {count} of {due}");
            let mut last = i64::MIN;
            for claim in &claimed.claims {
                let due = self.model.parcels[index(claim.key)].due().expect("only what is pending is claimed");
                assert!(due <= self.model.now, "claimed before it is due");
                last = last.max(due);
                self.model.claim(index(claim.key));
                self.check_claim(claim);
            }
            let head = self.model.head(place);
            assert!(head.is_none_or(|head| last <= head), "what waited longer goes first");
            assert_eq!(claimed.next.map(Timestamp::millis), head);
        }
        self.running().unheard = unheard;
    }
}

/// What is to be written in one turn.
struct Work {
    ended: Vec<Ended>,
    lost: Vec<Arc<Claim>>,
    wanted: Vec<(EndpointKey, usize)>,
}

impl Work {
    /// The engine's one transaction. Says where what has ended went to.
    fn turn(&self, profiles: &Profiles) -> impl FnOnce(&Tx<'_>) -> Result<Vec<Option<State>>> + Send + 'static {
        let (ended, wanted, profiles) = (self.ended.clone(), self.wanted.clone(), profiles.clone());
        let lost: Vec<DeliveryKey> = self.lost.iter().map(|claim| claim.key).collect();
        move |tx| {
            let mut settled = Vec::new();
            for Ended { claim, reaction, probation } in &ended {
                let settlement = match (reaction, profiles.get(&claim.target.profile)) {
                    (Some(reaction), Some(profile)) => queue::settle(tx, claim, &attempted(*reaction), profile)?,
                    _ => queue::give_back(tx, claim, false)?,
                };
                settled.push(settlement.map(|settlement| settlement.state()));
                if let Some(timed_out) = probation {
                    endpoints::set_timed_out(tx, claim.target.key, *timed_out)?;
                }
            }
            for key in lost {
                assert_eq!(queue::recover(tx, &Lost::One(key))?.len(), 1);
            }
            let all = |&(endpoint, claims): &_| Wanted { endpoint, claims, large_bytes: usize::MAX };
            tx.served(queue::claim(tx, &wanted.iter().map(all).collect::<Vec<_>>())?);
            Ok(settled)
        }
    }
}

/// Bodies of one endpoint that are claimed at once have so many bytes, or little more.
const MOST_BYTES: usize = 256 << 10;

pub fn attempted(reaction: Reaction) -> Attempted {
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
    Attempted { started_at: START, duration: TOOK, outcome }
}
