//! Outages: the deliveries that an endpoint has failed for good since its last success. A resume sends them again.
//!
//! An outage begins with the first delivery that is given up. It ends with the first success of an attempt that was
//! claimed later. Its name is the key of that first delivery, so it does not depend on a clock.

use std::time::Duration;

use rusqlite::Connection;

use super::{
    Result, Tx,
    new_delivery::{self, NewDelivery},
    notices,
};
use crate::domain::{
    delivery::{DeliveryKey, Settlement, State},
    endpoint::EndpointKey,
    event::EventKey,
    notice::Kind,
    timestamp::Timestamp,
};

/// Resent deliveries are due this long before the held ones: see [`new_delivery::place_in_line`].
const BEFORE_HELD: Duration = Duration::from_millis(1);

/// Updates the outage of an endpoint after an attempt. `claimed_in` is the outage in which the attempt was claimed.
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

/// Adds the delivery to its endpoint's outage, or begins one with it.
fn given_up(tx: &Tx<'_>, endpoint: EndpointKey, delivery: DeliveryKey) -> Result<()> {
    let began = tx
        .conn
        .prepare_cached("UPDATE endpoint SET outage = ?2 WHERE key = ?1 AND outage IS NULL")?
        .execute((endpoint, delivery))?;
    if began == 1 {
        // The success of a later claim ends it.
        tx.targets.borrow_mut().renew(endpoint);
    }
    tx.conn
        .prepare_cached("UPDATE delivery SET outage = (SELECT outage FROM endpoint WHERE key = ?1) WHERE key = ?2")?
        .execute((endpoint, delivery))?;
    Ok(())
}

/// Ends an outage, unless its failed deliveries are just being resent.
fn end(tx: &Tx<'_>, endpoint: EndpointKey, outage: DeliveryKey) -> Result<()> {
    let ended = tx
        .conn
        .prepare_cached("UPDATE endpoint SET outage = NULL WHERE key = ? AND outage = ? AND resend IS NULL")?
        .execute((endpoint, outage))?;
    if ended == 1 { notices::add(tx, endpoint, Kind::Recovered, None, None) } else { Ok(()) }
}

/// How many deliveries a resume of this endpoint would resend.
pub(super) fn failed(conn: &Connection, endpoint: EndpointKey) -> Result<u64> {
    let mut rows = conn.prepare_cached(
        "SELECT count(*) FROM delivery INDEXED BY delivery_failed
         WHERE outage = (SELECT outage FROM endpoint WHERE key = ?) AND replayed = 0",
    )?;
    Ok(rows.query_row([endpoint], |row| row.get(0))?)
}

/// Makes at most `most` of the replays that the resume at `resumed_at` asked for, in the order of their events: due at
/// once, before the held deliveries. Of an ordered endpoint they are made in the order of their places. Returns how
/// many.
pub(super) fn resend(tx: &Tx<'_>, endpoint: EndpointKey, resumed_at: Timestamp, most: usize) -> Result<usize> {
    let mut ordered = tx.conn.prepare_cached("SELECT ordered FROM endpoint WHERE key = ?")?;
    let mut rows = tx.conn.prepare_cached(match ordered.query_row([endpoint], |row| row.get(0))? {
        false => {
            "SELECT d.key, d.event FROM endpoint e CROSS JOIN delivery d INDEXED BY delivery_failed
             WHERE e.key = ?1 AND d.outage = e.outage AND d.replayed = 0 AND d.key <= e.resend
             ORDER BY d.event, d.key LIMIT ?2"
        }
        true => {
            "SELECT d.key, d.event, ifnull(d.place, d.key) AS place
             FROM endpoint e CROSS JOIN delivery d INDEXED BY delivery_failed
             WHERE e.key = ?1 AND d.outage = e.outage AND d.replayed = 0 AND d.key <= e.resend
             ORDER BY place, d.key LIMIT ?2"
        }
    })?;
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
                keeps_place: true,
            },
        )?;
    }
    if failed.len() < most {
        tx.conn.prepare_cached("UPDATE endpoint SET resend = NULL WHERE key = ?")?.execute([endpoint])?;
    }
    Ok(failed.len())
}
