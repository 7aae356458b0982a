//! Replays: a person, or a recovery that a person has started, sends the event of a delivery again.

use rusqlite::{OptionalExtension, Row};

use super::{
    Result, Tx, audit,
    candidates::{self, Candidates, Look},
    cascade, convert, deliveries, new_delivery,
};
use crate::{
    domain::{
        audit::Action,
        delivery::{Delivery, DeliveryKey, State},
        endpoint::{Endpoint, EndpointState},
        event::EventKey,
        ids::DeliveryId,
        recovery::RecoveryKey,
    },
    error::{Conflict, Error, Missing},
};

/// Makes a new delivery of the same event to the same endpoint, due now, and returns it.
///
/// # Errors
/// [`Error::NotFound`] if the endpoint has no such delivery; [`Error::Conflict`] while the endpoint is suspended, if it is
/// deleted, or until the delivery has ended.
pub fn add(tx: &Tx<'_>, endpoint: &Endpoint, id: DeliveryId) -> Result<Delivery> {
    let mut rows = tx.conn.prepare_cached("SELECT key, event, state FROM delivery WHERE id = ? AND endpoint = ?")?;
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, convert::state(&row.get::<_, String>(2)?)?));
    let original = rows.query_row((id.to_bytes(), endpoint.key), read).optional()?;
    let (key, event, state): (DeliveryKey, EventKey, State) = original.ok_or(Error::NotFound(Missing::Delivery))?;
    expect_active(endpoint)?;
    expect_ended(state)?;
    let replay = new_delivery::enqueue(tx, event, endpoint.key, endpoint.state, Some(key))?;
    let (subject, note) = (id.to_string(), format!("as {replay}"));
    audit::of_account(tx, Action::DeliveryReplayed, &endpoint.account_id, &subject, Some(&note))?;
    deliveries::find(tx, endpoint, replay)
}

/// Checks that a delivery has ended.
///
/// # Errors
/// [`Error::Conflict`] if it goes out by itself.
fn expect_ended(state: State) -> Result<()> {
    match state {
        State::Delivered | State::Exhausted | State::Cancelled => Ok(()),
        State::Claimed => Err(Error::conflict(
            Conflict::UnderWay,
            "an attempt of this delivery is under way: look at its result before you replay it",
        )),
        State::Pending | State::Held => Err(Error::conflict(
            Conflict::Waits,
            "this delivery waits for its next attempt, and goes out by itself: a replay would send it twice",
        )),
    }
}

/// Checks that deliveries of an endpoint can be replayed.
///
/// # Errors
/// [`Error::Conflict`] while it is suspended, or if it is deleted.
pub fn expect_active(endpoint: &Endpoint) -> Result<()> {
    match endpoint.state {
        EndpointState::Active => Ok(()),
        EndpointState::Suspended => Err(Error::conflict(
            Conflict::Suspended,
            "this webhook is suspended: resume it first, which also sends again what failed since its last success",
        )),
        EndpointState::Deleted => Err(Error::conflict(Conflict::Ended, "the webhook of this delivery is deleted")),
    }
}

/// Replays these deliveries for a running recovery, and counts the skipped ones: those replayed meanwhile, and those
/// whose endpoint is no longer active.
pub fn add_found(
    tx: &Tx<'_>,
    recovery: RecoveryKey,
    candidates: &Candidates,
    looks: &[Look],
    ended: bool,
) -> Result<()> {
    let mut going = tx.conn.prepare_cached("SELECT 1 FROM recovery WHERE key = ? AND state = 'running'")?;
    if !going.exists([recovery])? {
        return Ok(());
    }
    let (mut replayed, mut skipped) = (0, 0);
    for look in looks {
        let active = cascade::state(tx, look.endpoint)? == EndpointState::Active;
        for &key in &look.keys {
            if !active || !candidates::is_due(tx.conn, &candidates.range, key)? {
                skipped += 1;
                continue;
            }
            let mut rows = tx.conn.prepare_cached("SELECT event FROM delivery WHERE key = ?")?;
            let event: EventKey = rows.query_row([key], |row| row.get(0))?;
            let replay = new_delivery::enqueue(tx, event, look.endpoint, EndpointState::Active, Some(key))?;
            new_delivery::belongs_to(tx, replay, recovery)?;
            replayed += 1;
        }
    }
    tx.conn
        .prepare_cached(
            "UPDATE recovery SET replayed = replayed + ?2, skipped = skipped + ?3,
               matched = max(matched, replayed + ?2 + skipped + ?3),
               state = iif(?4, 'done', 'running'), ended_at = iif(?4, ?5, NULL)
             WHERE key = ?1",
        )?
        .execute((recovery, replayed, skipped, ended, tx.now.millis()))?;
    Ok(())
}
