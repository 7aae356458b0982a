//! Deliveries and their attempts, for looking at; and replay.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row};

use super::{Tx, View, convert, queue};
use crate::{
    domain::{
        delivery::{Attempt, Delivery, DeliveryKey, State},
        endpoint::{Endpoint, EndpointState},
        event::EventKey,
        ids::{DeliveryId, EndpointId, EventId},
    },
    error::{Conflict, Error, Missing, Result},
};

/// The last recorded attempt is the one under way less one, or the last.
const SELECT: &str = "
    SELECT d.*, p.id AS endpoint_id, e.id AS event_id, e.kind, e.test, o.id AS original,
           a.status AS last_status, a.failure AS last_failure
    FROM delivery d
    JOIN event e ON e.key = d.event
    JOIN endpoint p ON p.key = d.endpoint
    LEFT JOIN delivery o ON o.key = d.replay_of
    LEFT JOIN attempt a ON a.delivery = d.key AND a.number = d.attempts - (d.state = 'claimed')";

/// Which of an endpoint's deliveries to list, newest first.
#[derive(Debug, Default)]
pub struct Filter {
    /// Only those in this state.
    pub state: Option<State>,
    /// Only those of events of this name.
    pub kind: Option<String>,
    /// Only those older than this one.
    pub after: Option<DeliveryId>,
}

/// One page of an endpoint's deliveries, newest first, and whether there are more.
///
/// # Errors
/// [`Error::Invalid`] if `after` is no delivery of this endpoint.
pub fn list(view: &View<'_>, endpoint: &Endpoint, filter: &Filter, limit: usize) -> Result<(Vec<Delivery>, bool)> {
    let before: DeliveryKey = match filter.after {
        None => DeliveryKey::MAX,
        Some(id) => queue::key_of(view.conn, endpoint.key, id)?
            .ok_or_else(|| Error::request("cursor is not one that this list gave: start again without it"))?,
    };
    // The state stands in the text, not in a parameter: so the index of what is rare and asked for is used.
    let state = filter.state.map(|state| format!("AND d.state = '{}'", state.name())).unwrap_or_default();
    let mut rows = view.conn.prepare_cached(&format!(
        "{SELECT} WHERE d.endpoint = ?1 AND d.key < ?2 {state} AND (?3 IS NULL OR e.kind = ?3) ORDER BY d.key DESC LIMIT ?4"
    ))?;
    let rows = rows.query_map((endpoint.key, before, &filter.kind, limit + 1), read)?;
    let mut page: Vec<Delivery> = rows.collect::<rusqlite::Result<_>>()?;
    let more = page.len() > limit;
    page.truncate(limit);
    Ok((page, more))
}

/// Every delivery of an event, in the order they were made.
///
/// # Errors
/// Faults of the database only.
pub fn of_event(view: &View<'_>, event: EventKey) -> Result<Vec<Delivery>> {
    let mut rows = view.conn.prepare_cached(&format!("{SELECT} WHERE d.event = ? ORDER BY d.key"))?;
    Ok(rows.query_map([event], read)?.collect::<rusqlite::Result<_>>()?)
}

/// One delivery of an endpoint.
///
/// # Errors
/// [`Error::NotFound`] if the endpoint has none of this id.
pub fn find(view: &View<'_>, endpoint: &Endpoint, id: DeliveryId) -> Result<Delivery> {
    find_in(view.conn, endpoint, id)
}

fn find_in(conn: &Connection, endpoint: &Endpoint, id: DeliveryId) -> Result<Delivery> {
    conn.prepare_cached(&format!("{SELECT} WHERE d.id = ? AND d.endpoint = ?"))?
        .query_row((id.to_bytes(), endpoint.key), read)
        .optional()?
        .ok_or(Error::NotFound(Missing::Delivery))
}

/// The attempts of a delivery that have ended, in order.
///
/// # Errors
/// Faults of the database only.
pub fn attempts(view: &View<'_>, delivery: DeliveryKey) -> Result<Vec<Attempt>> {
    let mut rows = view.conn.prepare_cached("SELECT * FROM attempt WHERE delivery = ? ORDER BY number")?;
    let rows = rows.query_map([delivery], |row| {
        Ok(Attempt {
            number: row.get("number")?,
            started_at: convert::moment(row, "started_at")?,
            duration: row.get::<_, Option<u64>>("duration_ms")?.map(Duration::from_millis),
            failure: row.get::<_, Option<String>>("failure")?.map(|text| convert::failure(&text)).transpose()?,
            status: row.get("status")?,
            response: row.get::<_, Option<Vec<u8>>>("response")?.unwrap_or_default(),
            truncated: row.get("truncated")?,
            next_attempt_at: convert::moment_if(row, "next_attempt_at")?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Makes a new delivery of the same event to the same endpoint, due now, and shows it.
///
/// # Errors
/// [`Error::NotFound`] if the endpoint has no such delivery; [`Error::Conflict`] while it is suspended.
pub fn replay(tx: &Tx<'_>, endpoint: &Endpoint, id: DeliveryId) -> Result<Delivery> {
    let mut rows = tx.conn.prepare_cached("SELECT key, event FROM delivery WHERE id = ? AND endpoint = ?")?;
    let original = rows.query_row((id.to_bytes(), endpoint.key), |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let (key, event): (DeliveryKey, EventKey) = original.ok_or(Error::NotFound(Missing::Delivery))?;
    if endpoint.state == EndpointState::Suspended {
        return Err(Error::conflict(
            Conflict::Suspended,
            "this webhook is suspended: resume it first, by PATCH with \"status\": \"ACTIVE\"",
        ));
    }
    let replay = queue::enqueue(tx, event, endpoint.key, endpoint.state, Some(key))?;
    find_in(tx.conn, endpoint, replay)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    Ok(Delivery {
        key: row.get("key")?,
        id: DeliveryId::from_bytes(row.get("id")?),
        endpoint: EndpointId::from_bytes(row.get("endpoint_id")?),
        event: EventId::from_bytes(row.get("event_id")?),
        kind: row.get("kind")?,
        test: row.get("test")?,
        state: convert::state(&row.get::<_, String>("state")?)?,
        attempts: row.get("attempts")?,
        created_at: convert::moment(row, "created_at")?,
        due_at: convert::moment_if(row, "due_at")?,
        last_status: row.get("last_status")?,
        last_failure: row.get::<_, Option<String>>("last_failure")?.map(|text| convert::failure(&text)).transpose()?,
        replay_of: row.get::<_, Option<[u8; 16]>>("original")?.map(DeliveryId::from_bytes),
    })
}
