//! Retention: removes old rows once an hour, in steps so small that publishing hardly notices.

use std::{mem, time::Duration};

use tokio::sync::watch;

use super::{
    room::{Keeper, Room},
    small_steps::{REST, SHORT_REST, write_and_rest},
};
use crate::{
    clock::{self, SharedClock},
    config,
    domain::{alert::NOTICE, timestamp::Timestamp},
    error::Result,
    store::{
        Db, Tx, View, answers, erase,
        retention::{self, EndStates, Keys},
    },
};

const HOUR: Duration = Duration::from_secs(3600);
/// The wait after a failed pass.
const AFTER_A_FAULT: Duration = Duration::from_secs(60);
/// How long an idempotency key holds, however little room there is.
const DAY: Duration = Duration::from_secs(86_400);
/// How often emptying the log is tried; each try may block publishers for 10 ms.
const EMPTYING: u32 = 3;
const BETWEEN_EMPTYINGS: Duration = Duration::from_millis(50);

/// Removes old rows.
pub struct Retention {
    db: Db,
    clock: SharedClock,
    settings: config::Retention,
    /// The total serving time when this start began.
    before: Option<Duration>,
    /// The keys up to which the last pass removed delivered deliveries: the others wait for the longer time.
    walked: Keys,
    /// Whether the log may still hold removed rows.
    log_to_empty: bool,
    passes: watch::Sender<Option<Timestamp>>,
    room: Keeper,
}

impl Retention {
    /// Retention with these settings.
    pub fn new(db: Db, clock: SharedClock, settings: config::Retention) -> Self {
        let room = Keeper::new(db.clone(), settings.max_database_bytes);
        Self {
            db,
            clock,
            settings,
            before: None,
            walked: Keys::default(),
            log_to_empty: false,
            passes: watch::Sender::new(None),
            room,
        }
    }

    /// The size of the database and its limit, whenever they were looked at.
    pub fn room(&self) -> watch::Receiver<Room> {
        self.room.seen()
    }

    /// When the last finished pass, or the last finished look for room, began.
    pub fn passes(&self) -> watch::Receiver<Option<Timestamp>> {
        self.passes.subscribe()
    }

    /// Works until `stop` turns true.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        tokio::select! {
            () = self.work() => {}
            // At every await it is between two transactions.
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }

    async fn work(mut self) {
        let (start, begun) = (self.clock.now(), self.clock.uptime());
        let mut next = begun;
        let mut next_look = self.room.has_limit().then_some(begun);
        loop {
            let (now, uptime) = (self.clock.now(), self.clock.uptime());
            let due = next_look.map_or(next, |look| look.min(next));
            if uptime < due {
                self.clock.sleep(now, due - uptime).await;
                continue;
            }
            if uptime >= next {
                let done = self.pass(start, uptime - begun).await;
                next = uptime + if done.is_ok() { HOUR } else { AFTER_A_FAULT };
                match done {
                    Ok(0) => {}
                    Ok(removed) => tracing::info!(removed, "rows that had grown old were removed"),
                    Err(error) => {
                        tracing::warn!(%error, "what has grown old could not all be removed: it is tried again")
                    }
                }
                self.room.begin_again();
            }
            if next_look.is_some_and(|look| uptime >= look) {
                let wait = self.make_room(now, uptime - begun).await.unwrap_or_else(|error| {
                    tracing::warn!(%error, "no room could be made in the database: it is tried again");
                    AFTER_A_FAULT
                });
                next_look = Some(uptime + wait);
            }
            self.passes.send_replace(Some(now));
        }
    }

    /// Makes room if the database has reached its limit; returns how long it is to the next look.
    async fn make_room(&mut self, now: Timestamp, since: Duration) -> Result<Duration> {
        // Without a first pass, no age is known.
        let Some(before) = self.before else { return Ok(AFTER_A_FAULT) };
        let young = self.db.read(move |view| retention::older(view, before + since, DAY)).await?.event;
        let (removed, wait) = self.room.look(young, now).await?;
        self.log_to_empty |= removed > 0;
        Ok(wait)
    }

    /// Removes the rows that are too old now; `since` is the time since the start. Returns the number of removed
    /// deliveries and events.
    async fn pass(&mut self, start: Timestamp, since: Duration) -> Result<usize> {
        let log_to_empty = mem::replace(&mut self.log_to_empty, true);
        let before = match self.before {
            Some(before) => before,
            None => *self.before.insert(self.db.read(move |view| retention::uptime_total(view, start)).await?),
        };
        let uptime_total = before + since;
        let config::Retention { delivered, undelivered, .. } = self.settings;
        self.write(move |tx| retention::note(tx, uptime_total, undelivered)).await?;
        let keys = move |view: &View<'_>| {
            let age = |age| retention::older(view, uptime_total, age);
            Ok((age(delivered)?, age(undelivered)?, age(undelivered.saturating_sub(NOTICE))?))
        };
        let (delivered, undelivered, expiring) = self.db.read(keys).await?;
        let mut removed = erase_all(&self.db, None, |_| {}).await?;
        for (states, from, to) in [
            (EndStates::Any, Keys::default(), undelivered),
            (EndStates::Delivered, later(self.walked, undelivered), delivered),
        ] {
            removed += self.remove(states, from, to).await?;
        }
        self.walked = delivered;
        // Cancelled deliveries stay visible until the next pass.
        self.expire(undelivered, expiring, uptime_total).await?;
        self.forget(uptime_total).await?;
        self.shrink().await?;
        // It fails while somebody reads an earlier state; then the next pass tries again.
        self.log_to_empty = (removed > 0 || log_to_empty) && !empty_log(&self.db, EMPTYING).await?;
        Ok(removed)
    }

    /// Removes the deliveries in these states and the events without deliveries, up to these keys.
    async fn remove(&self, states: EndStates, mut from: Keys, to: Keys) -> Result<usize> {
        let mut removed = 0;
        loop {
            let Keys { delivery, .. } = from;
            let keys = self.db.read(move |view| retention::deliveries(view, states, delivery, to.delivery)).await?;
            let Some(last) = keys.last() else { break };
            from.delivery = last + 1;
            removed += self.write(move |tx| retention::remove_deliveries(tx, &keys)).await?;
        }
        loop {
            let Keys { event, .. } = from;
            let keys = self.db.read(move |view| retention::events(view, event, to.event)).await?;
            let Some(last) = keys.last() else { break };
            from.event = last + 1;
            removed += self.write(move |tx| retention::remove_events(tx, &keys)).await?;
        }
        Ok(removed)
    }

    /// Cancels held deliveries that are too old, and writes alerts about those that soon will be.
    async fn expire(&self, undelivered: Keys, expiring: Keys, uptime_total: Duration) -> Result<()> {
        for endpoint in self.db.read(retention::suspended).await? {
            while self.write(move |tx| retention::expire(tx, endpoint, undelivered.delivery, uptime_total)).await? > 0 {
            }
        }
        let soon = self.db.read(move |view| retention::expiring(view, expiring.delivery)).await?;
        for one in soon {
            self.write(move |tx| retention::tell_expiring(tx, one, uptime_total)).await?;
        }
        Ok(())
    }

    /// Wipes secrets that no longer sign, and removes endpoints that were deleted long ago, old copies, and expired
    /// rows.
    async fn forget(&self, uptime_total: Duration) -> Result<()> {
        let (now, seen_by) = (self.clock.now(), uptime_total.checked_sub(self.settings.undelivered));
        let found = self.db.read(move |view| {
            let gone = seen_by.map(|seen_by| retention::long_deleted(view, seen_by)).transpose()?;
            Ok((retention::overlapped(view, now)?, retention::newly_deleted(view)?, gone.unwrap_or_default()))
        });
        let (overlapped, deleted, gone) = found.await?;
        for keys in retention::slices(overlapped) {
            self.write(move |tx| retention::wipe_former(tx, &keys)).await?;
        }
        for keys in retention::slices(deleted) {
            self.write(move |tx| retention::note_deleted(tx, &keys, uptime_total)).await?;
        }
        for keys in retention::slices(gone) {
            self.write(move |tx| retention::remove_endpoints(tx, &keys)).await?;
        }
        self.db.forget_copies(now, uptime_total).await?;
        let age = self.settings.undelivered;
        let over = self.db.read(move |view| {
            let past = retention::past(view, now, uptime_total, age)?;
            past.map(|past| Ok((past, retention::expired(view, past)?))).transpose()
        });
        self.forget_answers(now, uptime_total).await?;
        let Some((past, expired)) = over.await? else { return Ok(()) };
        for some in retention::slices(expired) {
            self.write(move |tx| retention::forget(tx, past, &some)).await?;
        }
        Ok(())
    }

    /// Removes the answers to requests with an idempotency key. They are kept as long as delivered events.
    async fn forget_answers(&self, now: Timestamp, uptime_total: Duration) -> Result<()> {
        let age = self.settings.delivered;
        let old = self.db.read(move |view| {
            let past = retention::past(view, now, uptime_total, age)?;
            past.map(|past| Ok((past, answers::expired(view, past)?))).transpose()
        });
        let Some((past, old)) = old.await? else { return Ok(()) };
        for some in retention::slices(old) {
            self.write(move |tx| answers::forget(tx, past, &some)).await?;
        }
        Ok(())
    }

    /// Returns free pages beyond the reserve to the file system.
    async fn shrink(&self) -> Result<()> {
        loop {
            let most = self.db.read(retention::superfluous).await?;
            if most == 0 {
                return Ok(());
            }
            self.write(move |tx| retention::shrink(tx, most)).await?;
        }
    }

    async fn write<T: Send + 'static>(&self, run: impl FnOnce(&Tx<'_>) -> Result<T> + Send + 'static) -> Result<T> {
        write_and_rest(&self.db, REST, run).await
    }
}

/// The later keys of both.
fn later(one: Keys, other: Keys) -> Keys {
    Keys { event: one.event.max(other.event), delivery: one.delivery.max(other.delivery) }
}

/// Removes the rest of the accounts that are being erased; only of the one with this id, if one is given. `progress`
/// gets the number of deliveries and events that each step removed; returns their sum.
///
/// # Errors
/// When the database fails: another call continues from there.
pub async fn erase_all(db: &Db, id: Option<&str>, mut progress: impl FnMut(usize)) -> Result<usize> {
    let mut removed = 0;
    loop {
        let id = id.map(str::to_owned);
        let next = move |view: &View<'_>| {
            let erasure = erase::unfinished(view, id.as_deref())?.into_iter().next();
            erasure.map(|erasure| Ok((erase::next(view, &erasure)?, erasure))).transpose()
        };
        let Some((what, erasure)) = db.read(next).await? else { return Ok(removed) };
        let went = write_and_rest(db, SHORT_REST, move |tx| erase::remove(tx, &erasure, &what)).await?;
        removed += went;
        progress(went);
    }
}

/// Empties the log, so that removed data is not there either, in at most this many tries. Returns whether it could.
///
/// # Errors
/// When the database fails.
pub async fn empty_log(db: &Db, tries: u32) -> Result<bool> {
    for _ in 0..tries {
        if db.empty_log().await? {
            return Ok(true);
        }
        clock::pause(BETWEEN_EMPTYINGS).await;
    }
    Ok(false)
}
