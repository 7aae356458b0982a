//! Room: when the database has reached its limit, the oldest delivered deliveries and their events go sooner than
//! retention says. Publishing is never refused for it.

use std::{mem, time::Duration};

use tokio::sync::watch;

use super::small_steps::{REST, SHORT_REST, write_and_rest};
use crate::{
    domain::{audit::Actor, event::EventKey, operator_alert::About, timestamp::Timestamp},
    error::Result,
    store::{Admission, Db, Tx, operator_alerts, retention, room},
};

/// How often the size is looked at.
const LOOK: Duration = Duration::from_secs(10);
/// How long nothing is looked for after nothing more could go: a look reads every event.
const AFTER_NOTHING: Duration = Duration::from_secs(300);
/// One part in this many is made free, so that the limit is not reached again at once.
const SPARE: u64 = 20;
/// The limit no longer counts as reached when less than nine tenths are used.
const CALM: u64 = 10;

/// Parts looked at in one go, so that other work gets its turn.
const PARTS: usize = 2000;

/// How the making of room has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Enough is free.
    Enough,
    /// There is more to do.
    More,
    /// Nothing more may go.
    Nothing,
}

/// The size of the database and its limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Room {
    /// Bytes of the pages in use, when they were last looked at.
    pub used: u64,
    /// The limit; 0: none.
    pub limit: u64,
    /// Since when the limit has been reached now and again.
    pub reached: Option<Timestamp>,
    /// Whether more is used than may be, and nothing more may go.
    pub is_full: bool,
}

impl Room {
    /// For a process that watches no limit.
    pub fn unwatched() -> watch::Receiver<Self> {
        watch::channel(Self::default()).1
    }
}

/// Keeps the database within its limit.
pub(super) struct Keeper {
    db: Db,
    /// The events before this one were looked at since the last look at all.
    from: EventKey,
    seen: watch::Sender<Room>,
}

impl Keeper {
    /// The keeper of a limit in bytes; 0: none.
    pub(super) fn new(db: Db, limit: u64) -> Self {
        Self { db, from: 0, seen: watch::Sender::new(Room { limit, ..Room::default() }) }
    }

    /// The size, whenever it was looked at.
    pub(super) fn seen(&self) -> watch::Receiver<Room> {
        self.seen.subscribe()
    }

    /// Whether there is a limit.
    pub(super) fn has_limit(&self) -> bool {
        self.seen.borrow().limit > 0
    }

    /// Makes room if the limit is reached. Idempotency keys of events from `young` on are kept. Returns the number of
    /// removed deliveries and events, and how long it is to the next look.
    pub(super) async fn look(&mut self, young: EventKey, now: Timestamp) -> Result<(usize, Duration)> {
        let mut room = *self.seen.borrow();
        room.used = self.db.read(room::used).await?;
        if room.used < room.limit {
            if room.used < room.limit - room.limit / CALM {
                (room.reached, room.is_full) = (None, false);
                self.clear(About::Room).await?;
                self.clear(About::Full).await?;
            }
            self.seen.send_replace(room);
            return Ok((0, LOOK));
        }
        if room.reached.is_none() {
            room.reached = Some(now);
            tracing::warn!(
                used = room.used,
                limit = room.limit,
                "the database has reached retention.max_database_bytes: from now on the oldest delivered deliveries and their \
                 events go sooner than retention.delivered says"
            );
        }
        self.seen.send_replace(room);
        let (removed, end) = self.make_room(young, room.limit).await?;
        self.db.metrics().removed_early(removed);
        let was_full = room.is_full;
        room.used = self.db.read(room::used).await?;
        room.is_full = end == End::Nothing && room.used >= room.limit;
        self.seen.send_replace(room);
        if room.is_full && !was_full {
            tracing::error!(
                used = room.used,
                limit = room.limit,
                "the database is larger than retention.max_database_bytes, and nothing more may go: what is left waits, is held or \
                 was not delivered, or has an idempotency key of the last day; publishing goes on. Raise the limit, or repair or \
                 delete the webhooks that do not take theirs"
            );
        }
        self.tell(room, removed, now).await?;
        let next = match end {
            End::Enough => LOOK,
            End::More => Duration::ZERO,
            End::Nothing => AFTER_NOTHING,
        };
        Ok((removed, next))
    }

    /// Tells the operator what came of it: once that the oldest delivered ones go sooner, and each day that nothing more
    /// may go.
    async fn tell(&self, room: Room, removed: usize, now: Timestamp) -> Result<()> {
        if room.is_full {
            let megabytes = |bytes: u64| bytes / 1_000_000;
            let said = format!(
                "{} MB of the database are in use; the limit is {} MB (retention.max_database_bytes). Nothing more may go: \
                 what is left waits, is held or was not delivered, or has an idempotency key of the last day.",
                megabytes(room.used),
                megabytes(room.limit)
            );
            let news = said.clone();
            if self.db.read(move |view| operator_alerts::may_be_raised(view, About::Full, &news, now)).await? {
                self.raise(About::Full, said).await?;
            }
            return Ok(());
        }
        self.clear(About::Full).await?;
        if removed > 0 && !self.is_raised(About::Room).await? {
            let said = "The database has reached retention.max_database_bytes. The oldest delivered deliveries and their \
                        events go sooner than retention.delivered says.";
            self.raise(About::Room, said.to_owned()).await?;
        }
        Ok(())
    }

    async fn raise(&self, about: About, said: String) -> Result<()> {
        let raise = move |tx: &Tx<'_>| operator_alerts::raise(tx, about, &said).map(drop);
        self.db.write(Actor::Engine, Admission::Wait, raise).await
    }

    async fn is_raised(&self, about: About) -> Result<bool> {
        self.db.read(move |view| operator_alerts::is_raised(view, about)).await
    }

    /// Notes that all is well again, if it was not.
    async fn clear(&self, about: About) -> Result<()> {
        if !self.is_raised(about).await? {
            return Ok(());
        }
        self.db.write(Actor::Engine, Admission::Wait, move |tx| operator_alerts::clear(tx, about)).await
    }

    /// Begins with the oldest event at the next look: what waited may have been delivered since.
    pub(super) fn begin_again(&mut self) {
        self.from = 0;
    }

    /// Removes, oldest first, until enough is free. Returns the number of removed rows.
    async fn make_room(&mut self, young: EventKey, limit: u64) -> Result<(usize, End)> {
        let (mut removed, mut passed_over) = (0, self.from > 0);
        for _ in 0..PARTS {
            let Some(rest) = self.rest(limit).await? else { return Ok((removed, End::Enough)) };
            let from = self.from;
            let room::Part { deliveries, seen, is_last } =
                self.db.read(move |view| room::part(view, from, young)).await?;
            if !deliveries.is_empty() {
                let remove = write_and_rest(&self.db, rest, move |tx| retention::remove_deliveries(tx, &deliveries));
                removed += remove.await?;
            }
            loop {
                let Some(rest) = self.rest(limit).await? else { return Ok((removed, End::Enough)) };
                let from = self.from;
                let keys = self.db.read(move |view| room::events(view, from, seen, young)).await?;
                let Some(last) = keys.last() else { break };
                self.from = last + 1;
                removed += write_and_rest(&self.db, rest, move |tx| retention::remove_events(tx, &keys)).await?;
            }
            self.from = seen;
            if is_last {
                self.from = 0;
                if !mem::replace(&mut passed_over, false) {
                    return Ok((removed, End::Nothing));
                }
            }
        }
        Ok((removed, End::More))
    }

    /// How long the writer rests after a step: longer while little is too much. `None`: enough is free.
    async fn rest(&self, limit: u64) -> Result<Option<u32>> {
        let used = self.db.read(room::used).await?;
        let rest = if used > limit + limit / SPARE { SHORT_REST } else { REST };
        Ok((used > limit - limit / SPARE).then_some(rest))
    }
}
