//! Outages: what an endpoint has failed for the last time since its last success. Resuming it sends that again.
//!
//! An outage begins with the first delivery given up, and ends with the first success of an attempt that was claimed
//! after that. It is named by the key of that first delivery, so no clock decides what belongs to it.

use std::time::Duration;

use rusqlite::Connection;

use super::{
    Result, Tx,
    new_delivery::{self, NewDelivery},
};
use crate::domain::{
    delivery::{DeliveryKey, Settlement, State},
    endpoint::EndpointKey,
    event::EventKey,
    timestamp::Timestamp,
};

/// What is sent again is due so long before what was held: see [`new_delivery::place_in_line`].
const BEFORE_HELD: Duration = Duration::from_millis(1);

/// Notes what the end of an attempt says of its endpoint. `claimed_in` is the outage in which the attempt was claimed.
pub(super) fn note(
    tx: &Tx<'_>,
    endpoint: EndpointKey,
    delivery: DeliveryKey,
    claimed_in: Option<DeliveryKey>,
    settlement: Settlement,
) -> Result<()> {
    match (settlement, claimed_in) {
        (Settlement::Exhausted(_), _) => given_up(tx, endpoint, delivery),
        (Settlement::Delivered, Some(outage)) => end(tx, endpoint, outage),
        _ => Ok(()),
    }
}

/// The delivery belongs to its endpoint's outage, or begins one.
fn given_up(tx: &Tx<'_>, endpoint: EndpointKey, delivery: DeliveryKey) -> Result<()> {
    let began = tx
        .conn
        .prepare_cached("UPDATE endpoint SET outage = ?2 WHERE key = ?1 AND outage IS NULL")?
        .execute((endpoint, delivery))?;
    if began == 1 {
        // A success of what is claimed from now on ends it.
        tx.targets.borrow_mut().renew(endpoint);
    }
    tx.conn
        .prepare_cached("UPDATE delivery SET outage = (SELECT outage FROM endpoint WHERE key = ?1) WHERE key = ?2")?
        .execute((endpoint, delivery))?;
    Ok(())
}

/// Ends an outage, unless what failed in it is just being sent again.
fn end(tx: &Tx<'_>, endpoint: EndpointKey, outage: DeliveryKey) -> Result<()> {
    tx.conn
        .prepare_cached("UPDATE endpoint SET outage = NULL WHERE key = ? AND outage = ? AND resend IS NULL")?
        .execute((endpoint, outage))?;
    Ok(())
}

/// How many deliveries resuming an endpoint would send again.
pub(super) fn failed(conn: &Connection, endpoint: EndpointKey) -> Result<u64> {
    let mut rows = conn.prepare_cached(
        "SELECT count(*) FROM delivery INDEXED BY delivery_failed
         WHERE outage = (SELECT outage FROM endpoint WHERE key = ?) AND replayed = 0",
    )?;
    Ok(rows.query_row([endpoint], |row| row.get(0))?)
}

/// Makes the replays that the resuming of an endpoint at `resumed_at` asked for, `most` of them at most, in the order of their
/// events: due at once, and before what was held. Gives how many.
pub(super) fn resend(tx: &Tx<'_>, endpoint: EndpointKey, resumed_at: Timestamp, most: usize) -> Result<usize> {
    let mut rows = tx.conn.prepare_cached(
        "SELECT d.key, d.event FROM endpoint e CROSS JOIN delivery d INDEXED BY delivery_failed
         WHERE e.key = ?1 AND d.outage = e.outage AND d.replayed = 0 AND d.key <= e.resend
         ORDER BY d.event, d.key LIMIT ?2",
    )?;
    let failed = rows.query_map((endpoint, most), |row| Ok((row.get(0)?, row.get(1)?)))?;
    let failed: Vec<(DeliveryKey, EventKey)> = failed.collect::<rusqlite::Result<_>>()?;
    for &(key, event) in &failed {
        new_delivery::insert(
            tx,
            &NewDelivery {
                event,
                endpoint,
                state: State::Pending,
                due_at: Some(resumed_at - BEFORE_HELD),
                made_at: resumed_at,
                replay_of: Some(key),
            },
        )?;
    }
    if failed.len() < most {
        tx.conn.prepare_cached("UPDATE endpoint SET resend = NULL WHERE key = ?")?.execute([endpoint])?;
    }
    Ok(failed.len())
}
