//! One turn of the engine beside other writes: publishes in the same commit, a full disk, a clock that is set. The
//! model takes over what was written.

use std::{sync::Arc, thread};

use ngoma::{
    clock::Clock,
    domain::{audit::Actor, timestamp::Timestamp},
    engine::round::Ended,
    error::Result,
    store::{self, Admission, Db, Tx},
};

use crate::{
    model::{
        machine::{Machine, Running, index, publishing},
        steps::Beside,
        threads::{ChangeSeen, Seen, reaction},
    },
    support::writer::hold_writer,
};

/// More than a file holds that may not grow.
const HUGE_BODY: usize = 1 << 20;
/// Bodies of one endpoint that are claimed at once have this many bytes, or little more.
const MOST_BYTES: usize = 256 << 10;

impl Machine {
    /// Has the engine write its turn, and something else beside it.
    pub fn write_turn(&mut self, wanted: &[(usize, usize)], beside: Beside) {
        let (first, last) = match beside {
            Beside::PublishBefore(vendor) => (Some(vendor), None),
            Beside::PublishAfter(vendor) => (None, Some(vendor)),
            Beside::Nothing | Beside::ClockSet(_) => (None, None),
            Beside::DiskFull => return self.fail_turn(),
        };
        if let Beside::ClockSet(by) = beside {
            self.set_clock_after_commit(by);
        }
        self.model.notice();
        let ended = self.running().round.work().ended.clone();
        let publish = |vendor: Option<usize>| vendor.map(|vendor| publishing(vendor, 0));
        let (before, turned, after) = self.in_one_commit(publish(first), publish(last));
        turned.expect("the turn is written");
        first.into_iter().for_each(|vendor| self.model.publish(vendor, false));
        before.into_iter().for_each(|published| self.note(published));
        ended.into_iter().for_each(|ended| self.follow(ended));
        for claim in std::mem::take(&mut self.running().threads.lost) {
            self.model.recover(index(claim.key));
            self.over.push(Arc::new(Ended { claim, attempted: None, faulty: false, probation: None }));
        }
        self.check_served(wanted);
        last.into_iter().for_each(|vendor| self.model.publish(vendor, false));
        after.into_iter().for_each(|published| self.note(published));
        if let Beside::ClockSet(by) = beside {
            (self.model.now, self.model.unnoticed) = (self.model.now + by, by);
            self.model.notice();
        }
        self.replay_seen();
    }

    /// The disk is full, and the whole commit is undone: the engine keeps what it has to write, and wants the same
    /// again.
    fn fail_turn(&mut self) {
        self.write(|tx| store::limit_pages(tx, 1)).expect("it is set");
        let ended = self.running().round.work().ended.len();
        let (_, turned, filling) = self.in_one_commit(None, Some(publishing(0, HUGE_BODY)));
        assert!(turned.is_err() && filling.is_some_and(|published| published.is_err()), "nothing is stored");
        assert_eq!(self.running().round.work().ended.len(), ended, "nothing is forgotten");
        self.write(|tx| store::limit_pages(tx, u32::MAX)).expect("it is set");
    }

    /// The clock is set after the turn's commit; the next commit notices it, before the engine hears of either.
    fn set_clock_after_commit(&mut self, by: i64) {
        let (db, clock) = (self.running().db.clone(), Arc::clone(&self.clock));
        let set = move || {
            // Two steps at once could make one that is too small to be told from drift.
            write_nothing(&db);
            clock.step(Timestamp::from_millis(clock.now().millis() + by));
            write_nothing(&db);
        };
        // The round runs on this thread's runtime.
        self.running().threads.after_commit =
            Some(Box::new(move || thread::spawn(set).join().expect("the clock is set")));
    }

    /// Has the engine write with a publish ahead of its turn, or behind it, in the same commit.
    fn in_one_commit<P, R>(
        &mut self,
        before: Option<P>,
        after: Option<P>,
    ) -> (Option<Result<R>>, Result<()>, Option<Result<R>>)
    where
        P: FnOnce(&Tx<'_>) -> Result<R> + Send + 'static,
        R: Send + 'static,
    {
        let Self { running, runtime, .. } = self;
        let Running { db, round, threads } = running.as_mut().expect("it runs");
        let write = async |run: Option<P>| match run {
            Some(run) => Some(db.write(Actor::Engine, Admission::Try, run).await),
            None => None,
        };
        // While the writer is held, they queue up.
        let held = (before.is_some() || after.is_some()).then(|| hold_writer(db));
        let (before, turned, after, held) = runtime.block_on(async {
            let opening = async { held.map(|(open, held)| open.send(()).map(|()| held)) };
            tokio::join!(write(before), round.write(threads), write(after), opening)
        });
        if let Some(held) = held {
            held.expect("the writer waits").join().expect("no panic");
        }
        (before, turned, after)
    }

    /// The model settles an attempt that was written, or gives a claim back that never began.
    fn follow(&mut self, ended: Arc<Ended>) {
        let delivery = index(ended.claim.key);
        match &ended.attempted {
            Some(attempted) => {
                self.model.settle(delivery, reaction(&attempted.outcome));
                self.over.push(ended);
            }
            None => self.model.give_back(delivery),
        }
    }

    /// The turn has claimed what it wanted, if it was due, and of each endpoint the deliveries that have waited
    /// longest.
    fn check_served(&mut self, wanted: &[(usize, usize)]) {
        let seen = std::mem::take(&mut self.running().threads.seen);
        let changes =
            seen.iter().filter_map(|seen| if let Seen::Heard { changes, .. } = seen { Some(changes) } else { None });
        let served: Vec<_> = changes
            .flatten()
            .filter_map(|change| match change {
                ChangeSeen::Served { endpoint, claims, next } => Some((*endpoint, claims, *next)),
                _ => None,
            })
            .collect();
        let asked = wanted.iter().map(|(endpoint, _)| *endpoint);
        assert!(asked.eq(served.iter().map(|(endpoint, ..)| *endpoint)), "each that was asked for is served");
        for ((endpoint, claims, next), (_, quota)) in served.into_iter().zip(wanted) {
            let (count, due) = (claims.len(), self.model.due(endpoint).min(*quota));
            let bytes: usize = claims.iter().map(|claim| claim.bytes).sum();
            assert!(count == due || (count < due && bytes >= MOST_BYTES), "what is due is claimed: {count} of {due}");
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
        self.running().threads.seen = seen;
    }
}

fn write_nothing(db: &Db) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(db.write(Actor::Engine, Admission::Wait, |_| Ok(()))).expect("it writes");
}
