//! The row of a delivery that waits, and its place in the order of sending.

use rusqlite::OptionalExtension;

use super::{Result, Tx};
use crate::domain::{
    delivery::{DeliveryKey, State},
    endpoint::{EndpointKey, EndpointState},
    event::EventKey,
    ids::DeliveryId,
    recovery::RecoveryKey,
    timestamp::Timestamp,
};

pub(super) struct NewDelivery {
    pub(super) event: EventKey,
    pub(super) endpoint: EndpointKey,
    pub(super) state: State,
    /// Its due time if it is pending: not later than now.
    pub(super) due_at: Option<Timestamp>,
    pub(super) made_at: Timestamp,
    pub(super) replay_of: Option<DeliveryKey>,
    /// Whether it takes the place of the delivery that it replays, in the order of an ordered endpoint.
    pub(super) keeps_place: bool,
}

/// Makes a delivery of an event to an endpoint: due now; held if the endpoint is suspended, cancelled if it is deleted.
pub(super) fn enqueue(
    tx: &Tx<'_>,
    event: EventKey,
    endpoint: EndpointKey,
    state: EndpointState,
    replay_of: Option<DeliveryKey>,
) -> Result<DeliveryId> {
    let (state, due_at) = match state {
        EndpointState::Active => (State::Pending, Some(tx.now)),
        EndpointState::Suspended => (State::Held, None),
        EndpointState::Deleted => (State::Cancelled, None),
    };
    insert(tx, &NewDelivery { event, endpoint, state, due_at, made_at: tx.now, replay_of, keeps_place: false })
}

/// Inserts a delivery. A replay marks its original as replayed.
pub(super) fn insert(tx: &Tx<'_>, new: &NewDelivery) -> Result<DeliveryId> {
    let id = DeliveryId::mint(tx.now);
    tx.conn
        .prepare_cached(
            "INSERT INTO delivery (id, event, endpoint, state, due_at, created_at, replay_of, place)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, iif(?8, (SELECT ifnull(place, key) FROM delivery WHERE key = ?7), NULL))",
        )?
        .execute((
            id.to_bytes(),
            new.event,
            new.endpoint,
            new.state.name(),
            new.due_at.map(Timestamp::millis),
            new.made_at.millis(),
            new.replay_of,
            new.keeps_place,
        ))?;
    if let Some(original) = new.replay_of {
        tx.conn.prepare_cached("UPDATE delivery SET replayed = 1 WHERE key = ?")?.execute([original])?;
    }
    if new.state == State::Pending {
        tx.due(new.endpoint, tx.now);
    }
    Ok(id)
}

/// Notes that this recovery made a replay.
pub(super) fn belongs_to(tx: &Tx<'_>, replay: DeliveryId, recovery: RecoveryKey) -> Result<()> {
    let sql = "UPDATE delivery SET recovery = ? WHERE id = ?";
    tx.conn.prepare_cached(sql)?.execute((recovery, replay.to_bytes()))?;
    Ok(())
}

/// The due time of a delivery that goes back to its place in the order: at once, before the deliveries behind it. Its
/// place is the time at which it was made, or at which its endpoint was resumed if that is later. A replay goes before
/// the deliveries that were held at that time.
pub(super) fn place_in_line(tx: &Tx<'_>, key: DeliveryKey) -> Result<Timestamp> {
    let mut rows = tx.conn.prepare_cached(
        "SELECT min(max(d.created_at, ifnull(p.resumed_at, d.created_at)), ?2) - (d.replay_of IS NOT NULL)
         FROM delivery d JOIN endpoint p ON p.key = d.endpoint WHERE d.key = ?1",
    )?;
    let place = rows.query_row((key, tx.now.millis()), |row| row.get(0)).optional()?;
    Ok(place.map_or(tx.now, Timestamp::from_millis))
}
