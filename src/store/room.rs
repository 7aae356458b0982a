//! Room: what may go, oldest first, when the database has reached its limit. Nothing goes that somebody still needs: not
//! what waits, is held or was not delivered, and no idempotency key of the last day.

use super::{
    Result, View,
    retention::{ANSWERS, SLICE, SLICE_BYTES, slice},
};
use crate::domain::{delivery::DeliveryKey, event::EventKey};

/// Events that one read passes: it limits how long the log cannot be emptied.
const LOOKED_AT: EventKey = 20_000;

/// Bytes of the pages in use, without free ones.
pub fn used(view: &View<'_>) -> Result<u64> {
    let count = |name: &str| view.conn.pragma_query_value(None, name, |row| row.get::<_, u64>(0));
    Ok(count("page_count")?.saturating_sub(count("freelist_count")?).saturating_mul(count("page_size")?))
}

/// A part of the oldest events, for one step.
#[derive(Debug)]
pub struct Part {
    /// Their deliveries that may go.
    pub deliveries: Vec<DeliveryKey>,
    /// The deliveries of events with smaller keys have been seen.
    pub seen: EventKey,
    /// Whether there are no events beyond.
    pub is_last: bool,
}

/// The next part, from this event on. An event with an idempotency key stays with its deliveries if its key is `young`
/// or larger; and so does the newest row of a table. A delivery stays as long as a replay that is not delivered.
pub fn part(view: &View<'_>, from: EventKey, young: EventKey) -> Result<Part> {
    let newest: EventKey = view.conn.query_row("SELECT ifnull(max(key), 0) FROM event", [], |row| row.get(0))?;
    let end = newest.min(from.saturating_add(LOOKED_AT));
    let mut rows = view.conn.prepare_cached(&format!(
        "SELECT delivery.key, {ANSWERS}, event.key FROM event CROSS JOIN delivery ON delivery.event = event.key
         WHERE event.key >= ? AND event.key < ? AND (event.idempotency_key IS NULL OR event.key < ?)
           AND delivery.state = 'delivered' AND delivery.key < (SELECT max(key) FROM delivery)
           AND NOT EXISTS (SELECT 1 FROM delivery replay WHERE replay.replay_of = delivery.key AND replay.state != 'delivered')
         ORDER BY event.key, delivery.key DESC"
    ))?;
    let (mut deliveries, mut bytes, mut rows) = (Vec::new(), 0, rows.query((from, end, young))?);
    while let Some(row) = rows.next()? {
        bytes += row.get::<_, usize>(1)?;
        if deliveries.len() == SLICE || bytes > SLICE_BYTES && !deliveries.is_empty() {
            return Ok(Part { deliveries, seen: row.get(2)?, is_last: false });
        }
        deliveries.push(row.get(0)?);
    }
    Ok(Part { deliveries, seen: end, is_last: end == newest })
}

/// The next slice of events without deliveries, with keys from `from` on and before `to`; of those with an idempotency
/// key only those below `young`.
pub fn events(view: &View<'_>, from: EventKey, to: EventKey, young: EventKey) -> Result<Vec<EventKey>> {
    let mut rows = view.conn.prepare_cached(
        "SELECT key, octet_length(body) FROM event WHERE key >= ? AND key < ? AND (idempotency_key IS NULL OR key < ?)
           AND NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.event = event.key)
         ORDER BY key LIMIT ?",
    )?;
    slice(&mut rows, (from, to, young, SLICE))
}
