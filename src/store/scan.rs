//! A look through stored payloads, which no index covers: newest first, for a limited time, on a reading connection.
//!
//! Bodies are compared as they lie on the disk, without their checksum: a damaged body may be found too, and its page
//! says that it is damaged.

use std::time::Duration;

use rusqlite::{CachedStatement, Connection, types::ValueRef};

use super::{Result, View, checksum::unless_damage};
use crate::{
    clock::SharedClock,
    domain::{account::AccountKey, event::EventKey, search::Words},
};

/// The event of a delivery, and its body.
pub(super) const OF_DELIVERY: &str = "SELECT delivery.event, event.body
    FROM delivery CROSS JOIN event ON event.key = delivery.event WHERE delivery.key = ?";
/// An event, and its body.
pub(super) const OF_EVENT: &str = "SELECT key, body FROM event WHERE key = ?";

/// Events looked at until the clock is looked at; each KiB of a body counts as one.
const UNWATCHED: usize = 64;
const KIB: usize = 1024;
/// Most events that have one key: one of each account, or those of a batch.
const KEYED: usize = 1000;

/// A look through payloads.
pub(super) struct Scan<'a> {
    words: &'a Words,
    payload: CachedStatement<'a>,
    /// Events that were listed already, by their key.
    known: Vec<EventKey>,
    /// The last event, and whether it holds the words: deliveries of an event often follow each other.
    last: Option<(EventKey, bool)>,
    lower: Vec<u8>,
    unwatched: usize,
    clock: &'a SharedClock,
    until: Duration,
}

impl<'a> Scan<'a> {
    /// A look for these words, which ends when the machine's uptime is `until`. `payload` reads the event and the body of
    /// a key.
    pub(super) fn new(
        view: &View<'a>,
        payload: &str,
        words: &'a Words,
        known: Vec<EventKey>,
        until: Duration,
    ) -> Result<Self> {
        let (payload, clock) = (view.conn.prepare_cached(payload)?, view.clock);
        Ok(Self { words, payload, known, last: None, lower: Vec::new(), unwatched: 0, clock, until })
    }

    /// Whether the payload of this key holds the words. What cannot be read holds none.
    pub(super) fn holds(&mut self, key: i64) -> Result<bool> {
        let Self { words, payload, known, last, lower, unwatched, .. } = self;
        *unwatched += 1;
        let holds = payload.query_row([key], |row| {
            let event: EventKey = row.get(0)?;
            if let Some((_, holds)) = last.filter(|(last, _)| *last == event) {
                return Ok(holds);
            }
            let ValueRef::Text(body) = row.get_ref(1)? else { return Ok(false) };
            *unwatched += body.len() / KIB;
            let holds = !known.contains(&event) && words.are_in(body, lower);
            *last = Some((event, holds));
            Ok(holds)
        });
        Ok(holds.or_else(|error| unless_damage(error, || false))?)
    }

    /// Whether its time is over.
    pub(super) fn is_over(&mut self) -> bool {
        if self.unwatched < UNWATCHED {
            return false;
        }
        self.unwatched = 0;
        self.clock.uptime() >= self.until
    }

    /// Looks at the clock next time, after rows that were passed over.
    pub(super) fn pass(&mut self) {
        self.unwatched = UNWATCHED;
    }
}

/// The events whose idempotency key is this text, or that were published in a batch with this key; of one account if it
/// is given. The newest first.
pub(super) fn keyed(conn: &Connection, key: &str, account: Option<AccountKey>) -> Result<Vec<EventKey>> {
    let mut own = conn.prepare_cached(
        "SELECT key FROM event WHERE idempotency_key = ?1 AND (?2 IS NULL OR account = ?2) ORDER BY key DESC LIMIT ?3",
    )?;
    let mut of_batch = conn.prepare_cached(
        "SELECT key FROM event WHERE idempotency_key > ?1 || char(10) AND idempotency_key < ?1 || char(11)
           AND (?2 IS NULL OR account = ?2) ORDER BY key DESC LIMIT ?3",
    )?;
    let mut found = Vec::new();
    for rows in [&mut own, &mut of_batch] {
        let keys = rows.query_map((key, account, KEYED), |row| row.get(0))?;
        found.extend(keys.collect::<rusqlite::Result<Vec<EventKey>>>()?);
    }
    found.sort_unstable_by(|one, other| other.cmp(one));
    Ok(found)
}
