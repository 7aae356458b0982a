//! The order of an ordered endpoint: its deliveries go out one at a time, in the order of acceptance.
//!
//! The order is the order of keys. A delivery that a resume sends again keeps its place; a replay that
//! a person asks for is a new delivery, behind all that wait. No clock has a say.
//!
//! The first delivery that has not ended is next, also while it waits for its next attempt. It is looked for from the
//! place where the last one was found: every delivery before that has ended, for good.

use std::time::Duration;

use rusqlite::{OptionalExtension, Row};

use super::{Result, Tx, convert};
use crate::domain::{
    delivery::{DeliveryKey, State},
    endpoint::EndpointKey,
    timestamp::Timestamp,
};

/// What blocks the order announces its end; it is looked for again after this time in any case.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The first delivery of an endpoint that has not ended.
#[derive(Debug)]
pub(super) enum Next {
    /// All have ended.
    None,
    /// This one, which may be claimed.
    Due(DeliveryKey),
    /// None may be claimed before this moment.
    At(Timestamp),
}

/// Finds the next delivery of an ordered endpoint, and the key before which every delivery has ended. `from`: such a key
/// that was found before; 0 if none was.
pub(super) fn next(tx: &Tx<'_>, endpoint: EndpointKey, from: DeliveryKey) -> Result<(Next, DeliveryKey)> {
    let from = if from == 0 { first(tx, endpoint)? } else { from };
    let accepted = look(
        tx,
        "SELECT key, key AS place, state, due_at FROM delivery INDEXED BY delivery_of_endpoint
         WHERE endpoint = ?1 AND key >= ?2 AND state IN ('pending', 'claimed', 'held') AND place IS NULL
         ORDER BY key LIMIT 1",
        (endpoint, from),
    )?;
    let resent = look(
        tx,
        "SELECT key, place, state, due_at FROM delivery INDEXED BY delivery_resent
         WHERE endpoint = ?1 AND place >= ?2 AND state IN ('pending', 'claimed', 'held')
         ORDER BY place, key LIMIT 1",
        (endpoint, 0),
    )?;
    let from = accepted.as_ref().map_or(from, |accepted| accepted.key);
    if resent.is_none() && resends(tx, endpoint)? {
        // Those that are sent again come first, and are not made yet.
        return Ok((Next::At(tx.now + LOOK_AGAIN), from));
    }
    let Some(next) = accepted.into_iter().chain(resent).min_by_key(|one| (one.place, one.key)) else {
        return Ok((Next::None, from));
    };
    let next = match (next.state, next.due_at) {
        (State::Pending, Some(due_at)) if due_at > tx.now => Next::At(due_at),
        (State::Pending, _) => Next::Due(next.key),
        _ => Next::At(tx.now + LOOK_AGAIN),
    };
    Ok((next, from))
}

struct Found {
    key: DeliveryKey,
    place: DeliveryKey,
    state: State,
    due_at: Option<Timestamp>,
}

fn look(tx: &Tx<'_>, sql: &str, of: (EndpointKey, DeliveryKey)) -> Result<Option<Found>> {
    let read = |row: &Row<'_>| {
        let state = convert::state(&row.get::<_, String>("state")?)?;
        Ok(Found { key: row.get("key")?, place: row.get("place")?, state, due_at: convert::moment_if(row, "due_at")? })
    };
    Ok(tx.conn.prepare_cached(sql)?.query_row(of, read).optional()?)
}

/// The first delivery of an endpoint that has not ended; 0 if all have. It reads every pending one.
fn first(tx: &Tx<'_>, endpoint: EndpointKey) -> Result<DeliveryKey> {
    let mut rows = tx.conn.prepare_cached(
        "SELECT ifnull(min(key), 0) FROM (
           SELECT min(key) AS key FROM delivery INDEXED BY delivery_due WHERE endpoint = ?1 AND state = 'pending'
           UNION ALL SELECT min(key) FROM delivery INDEXED BY delivery_held WHERE endpoint = ?1 AND state = 'held'
           UNION ALL SELECT min(key) FROM delivery INDEXED BY delivery_claimed WHERE endpoint = ?1 AND state = 'claimed')",
    )?;
    Ok(rows.query_row([endpoint], |row| row.get(0))?)
}

/// Whether a resume has yet to make deliveries that are sent again.
fn resends(tx: &Tx<'_>, endpoint: EndpointKey) -> Result<bool> {
    let mut rows = tx.conn.prepare_cached("SELECT resend IS NOT NULL FROM endpoint WHERE key = ?")?;
    Ok(rows.query_row([endpoint], |row| row.get(0)).optional()?.unwrap_or(false))
}
