//! One turn of the engine beside other writes: publishes in the same commit, a full disk, a clock that is set. The
//! model takes over what the turn wrote.

use std::{sync::Arc, thread};

use ngoma::{
    clock::Clock,
    domain::{audit::Actor, timestamp::Timestamp},
    engine::Round,
    error::Result,
    store::{self, Admission, Db, Tx},
};

use crate::{
    model::{
        machine::{Machine, Running, index, publishing},
        steps::Beside,
        threads::{ChangeSeen, Seen},
    },
    support::writer::hold_writer,
};

/// More than a file holds that may not grow.
const HUGE_BODY: usize = 1 << 20;
/// Bodies of one endpoint that are claimed at once have this many bytes, or little more.
const MOST_BYTES: usize = 256 << 10;

impl Machine {
    /// Has the engine make the rest of its round, which `writes` a turn or not, and something else beside it.
    pub fn write_turn(&mut self, wanted: &[(usize, usize)], writes: bool, gives_back: bool, beside: Beside) -> Round {
        let (first, last) = match beside {
            _ if !writes => (None, None),
            Beside::PublishBefore(vendor) => (Some(vendor), None),
            Beside::PublishAfter(vendor) => (None, Some(vendor)),
            // A write that notices how the clock was set may leave the turn nothing to write.
            Beside::DiskFull if self.model.unnoticed == 0 => return self.fail_turn(),
            Beside::Nothing | Beside::ClockSet(_) | Beside::DiskFull => (None, None),
        };
        let set = if let Beside::ClockSet(by) = beside { Some(by).filter(|_| writes) } else { None };
        if let Some(by) = set {
            self.set_clock_after_commit(by);
        }
        if writes {
            self.model.notice();
        }
        let publish = |vendor: Option<usize>| vendor.map(|vendor| publishing(vendor, 0));
        let (before, round, after) = self.in_one_commit(publish(first), publish(last));
        assert_ne!(round, Round::Failed, "the turn is written");
        if let Some(act) = self.running().threads.take_on_news() {
            act();
            self.running().rounds.hear_all();
        }
        first.into_iter().for_each(|vendor| self.model.publish(vendor, false));
        before.into_iter().for_each(|published| self.note(published));
        if writes {
            self.take_over(wanted, gives_back);
        }
        last.into_iter().for_each(|vendor| self.model.publish(vendor, false));
        after.into_iter().for_each(|published| self.note(published));
        if let Some(by) = set {
            (self.model.now, self.model.unnoticed) = (self.model.now + by, by);
            self.model.notice();
        }
        self.replay_seen();
        round
    }

    /// The model takes over a round: the results that came back, the lost claims, and the new claims.
    fn take_over(&mut self, wanted: &[(usize, usize)], gives_back: bool) {
        let at = self.model.now;
        let counts = &mut self.running().counts;
        if std::mem::take(&mut counts.due) {
            counts.written_at = Some(at);
        }
        let returned = std::mem::take(&mut self.running().threads.returned);
        let lost = std::mem::take(&mut self.running().threads.lost);
        let mut outcomes = returned.len() + lost.len();
        returned.into_iter().for_each(|returned| self.follow(returned));
        let seen = self.running().threads.take_seen();
        let served = served(&seen);
        let claimed: Vec<usize> =
            served.iter().flat_map(|(_, claims, _)| claims.iter()).map(|one| one.delivery).collect();
        let given_back = if gives_back { self.given_back(&claimed) } else { Vec::new() };
        outcomes += given_back.len();
        given_back.iter().for_each(|claim| self.model.give_back(claim.delivery));
        for claim in lost {
            self.model.recover(index(claim.key));
            self.over.push(Arc::new(claim));
        }
        self.rules.unwritten -= outcomes;
        if given_back.is_empty() {
            let asked = wanted.iter().map(|(endpoint, _)| *endpoint);
            assert!(
                asked.eq(served.iter().map(|(endpoint, ..)| *endpoint)),
                "each that was asked for is served: {wanted:?} {:?}",
                served.iter().map(|(e, c, n)| (*e, c.len(), *n)).collect::<Vec<_>>()
            );
        }
        for (endpoint, claims, next) in served {
            let quota = wanted.iter().find(|(asked, _)| *asked == endpoint).map(|(_, quota)| *quota);
            // Claims that are given back make room for more.
            let quota = quota.filter(|_| given_back.is_empty()).unwrap_or(usize::MAX);
            let (count, due) = (claims.len(), self.model.due(endpoint));
            let bytes: usize = claims.iter().map(|claim| claim.bytes).sum();
            let is_all = count == due.min(quota) || (quota == usize::MAX && count <= due);
            assert!(is_all || (count < due && bytes >= MOST_BYTES), "what is due is claimed: {count} of {due}");
            let mut last = i64::MIN;
            for claim in claims {
                let due = self.model.deliveries[claim.delivery].due().expect("only pending deliveries are claimed");
                assert!(due <= self.model.now, "claimed before it is due");
                last = last.max(due);
                self.model.claim(claim.delivery);
                self.check_claim(claim);
            }
            let head = self.model.head(endpoint);
            assert!(head.is_none_or(|head| last <= head), "deliveries that have waited longer go first");
            assert_eq!(next, head);
        }
        self.running().threads.put_back(seen);
    }

    /// The disk is full, and the whole commit is undone: the engine keeps its results, and writes them in
    /// the next turn.
    fn fail_turn(&mut self) -> Round {
        self.write(|tx| store::limit_pages(tx, 1)).expect("it is set");
        let (_, round, filling) = self.in_one_commit(None, Some(publishing(0, HUGE_BODY)));
        assert_eq!(round, Round::Failed, "the turn is not written");
        assert!(filling.is_some_and(|published| published.is_err()), "nothing is stored");
        self.write(|tx| store::limit_pages(tx, u32::MAX)).expect("it is set");
        // The engine has heard of the writes before.
        self.replay_seen();
        round
    }

    /// The clock is set after the turn's commit; the next commit notices it, before the engine hears of either.
    fn set_clock_after_commit(&mut self, by: i64) {
        let (db, clock) = (self.running().db.clone(), Arc::clone(&self.clock));
        let set = move || {
            // Two steps at once could make a step as small as drift.
            write_nothing(&db);
            clock.step(Timestamp::from_millis(clock.now().millis() + by));
            write_nothing(&db);
        };
        // The round runs on this thread's runtime.
        self.running().threads.on_news(move || thread::spawn(set).join().expect("the clock is set"));
    }

    /// Has the engine make its round, with a publish ahead of its turn, or behind it, in the same commit.
    fn in_one_commit<P, R>(
        &mut self,
        before: Option<P>,
        after: Option<P>,
    ) -> (Option<Result<R>>, Round, Option<Result<R>>)
    where
        P: FnOnce(&Tx<'_>) -> Result<R> + Send + 'static,
        R: Send + 'static,
    {
        let stopping = self.stopping;
        let Self { running, runtime, .. } = self;
        let Running { db, rounds, .. } = running.as_mut().expect("it runs");
        let write = async |run: Option<P>| match run {
            Some(run) => Some(db.write(Actor::Engine, Admission::Try, run).await),
            None => None,
        };
        // While the writer is held, they queue up.
        let held = (before.is_some() || after.is_some()).then(|| hold_writer(db));
        let (before, round, after, held) = runtime.block_on(async {
            let opening = async { held.map(|(open, held)| open.send(()).map(|()| held)) };
            tokio::join!(write(before), rounds.round(stopping), write(after), opening)
        });
        if let Some(held) = held {
            held.expect("the writer waits").join().expect("no panic");
        }
        (before, round, after)
    }
}

/// What the turn has claimed: of which endpoint which claims, and when its next delivery is due.
fn served(seen: &[Seen]) -> Vec<(usize, &Vec<crate::model::threads::ClaimSeen>, Option<i64>)> {
    let changes =
        seen.iter().filter_map(|seen| if let Seen::Heard { changes, .. } = seen { Some(changes) } else { None });
    let served = changes.flatten().filter_map(|change| match change {
        ChangeSeen::Served { endpoint, claims, next } => Some((*endpoint, claims, *next)),
        _ => None,
    });
    served.collect()
}

fn write_nothing(db: &Db) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(db.write(Actor::Engine, Admission::Wait, |_| Ok(()))).expect("it writes");
}
