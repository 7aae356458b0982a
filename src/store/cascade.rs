//! The cascade of an endpoint's state to its deliveries: they are held while it is suspended and cancelled when that
//! takes too long, due again when it is resumed (after the failed ones that are resent), and cancelled when it is
//! deleted.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension};

use super::{Result, Tx, convert, outages};
use crate::domain::{
    delivery::{DeliveryKey, State},
    endpoint::{EndpointKey, EndpointState},
    timestamp::Timestamp,
};

/// How many deliveries one transaction updates: this limits how long other writes wait.
pub(super) const SLICE: usize = 1000;

/// Updates the deliveries of an endpoint to its state. Suspended: pending ones are held. Active: failed ones are resent
/// if the resume asked for it, then held ones are due at once, each with a fresh schedule. Deleted: pending and held
/// ones are cancelled.
///
/// At most a thousand are updated at once; the writer continues in transactions of its own. Until it is done, the
/// endpoint's state alone decides whether its deliveries are claimed. A command leaves the work to the server, which
/// notices that the endpoint has changed: only the server can announce due deliveries to the engine.
pub(super) fn follow(tx: &Tx<'_>, endpoint: EndpointKey) -> Result<()> {
    if !tx.serving {
        return Ok(());
    }
    let resumed_at = resumed_at(tx, endpoint)?;
    let (to, due_at, from) = match state(tx, endpoint)? {
        EndpointState::Suspended => (State::Held, None, &[State::Pending][..]),
        EndpointState::Active => (State::Pending, Some(resumed_at.millis()), &[State::Held][..]),
        EndpointState::Deleted => (State::Cancelled, None, &[State::Pending, State::Held][..]),
    };
    let mut left = SLICE;
    if to == State::Pending {
        left -= outages::resend(tx, endpoint, resumed_at, left)?;
    }
    for from in from {
        let mut rows = tx.conn.prepare_cached(&format!(
            "UPDATE delivery SET state = ?3, due_at = ?4, tries = iif(?4 IS NULL, tries, 0)
             WHERE key IN (SELECT key FROM delivery WHERE endpoint = ?1 AND state = '{}' LIMIT ?2)",
            from.name()
        ))?;
        left -= rows.execute((endpoint, left, to.name(), due_at))?;
    }
    if to == State::Pending && left < SLICE {
        tx.due(endpoint, tx.now);
    }
    if left == 0 {
        tx.behind.borrow_mut().insert(endpoint);
    }
    Ok(())
}

/// Cancels at most this many held deliveries of a suspended endpoint, with keys below `before`; returns how many.
pub(super) fn expire(tx: &Tx<'_>, endpoint: EndpointKey, before: DeliveryKey, most: usize) -> Result<usize> {
    if state(tx, endpoint)? != EndpointState::Suspended {
        return Ok(0);
    }
    let mut rows = tx.conn.prepare_cached(
        "UPDATE delivery SET state = 'cancelled'
         WHERE key IN (SELECT key FROM delivery WHERE endpoint = ? AND state = 'held' AND key < ? LIMIT ?)",
    )?;
    Ok(rows.execute((endpoint, before, most))?)
}

/// The endpoints whose deliveries are not all updated: the server stopped in between, or a command has changed them.
pub(super) fn behind(conn: &Connection) -> rusqlite::Result<BTreeSet<EndpointKey>> {
    let has = |state| format!("EXISTS (SELECT 1 FROM delivery WHERE endpoint = endpoint.key AND state = '{state}')");
    let (pending, held) = (has("pending"), has("held"));
    let mut rows = conn.prepare(&format!(
        "SELECT key FROM endpoint WHERE (state != 'active' AND {pending}) OR (state != 'suspended' AND {held})
           OR (state = 'active' AND resend IS NOT NULL)"
    ))?;
    rows.query_map([], |row| row.get(0))?.collect()
}

/// How many deliveries of an endpoint are held, with those that its suspension has yet to update.
pub(super) fn held(conn: &Connection, endpoint: EndpointKey) -> Result<u64> {
    let mut rows = conn.prepare_cached(
        "SELECT (SELECT count(*) FROM delivery WHERE endpoint = ?1 AND state = 'held')
              + iif(state = 'suspended', (SELECT count(*) FROM delivery WHERE endpoint = ?1 AND state = 'pending'), 0)
         FROM endpoint WHERE key = ?1",
    )?;
    Ok(rows.query_row([endpoint], |row| row.get(0))?)
}

/// The state of an endpoint; deleted if its row is gone.
pub(super) fn state(tx: &Tx<'_>, key: EndpointKey) -> Result<EndpointState> {
    state_in(tx.conn, key)
}

pub(super) fn state_in(conn: &rusqlite::Connection, key: EndpointKey) -> Result<EndpointState> {
    let mut rows = conn.prepare_cached("SELECT state FROM endpoint WHERE key = ?")?;
    let state = rows.query_row([key], |row| convert::endpoint_state(&row.get::<_, String>(0)?)).optional()?;
    Ok(state.unwrap_or(EndpointState::Deleted))
}

/// When an endpoint was last resumed; now, if it never was.
fn resumed_at(tx: &Tx<'_>, key: EndpointKey) -> Result<Timestamp> {
    let mut rows = tx.conn.prepare_cached("SELECT resumed_at FROM endpoint WHERE key = ?")?;
    let at = rows.query_row([key], |row| convert::moment_if(row, "resumed_at")).optional()?.flatten();
    Ok(at.map_or(tx.now, |at| at.min(tx.now)))
}
