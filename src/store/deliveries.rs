//! Deliveries and their attempts: list, show, cancel.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row};

use super::{Result, Tx, View, audit, cascade, checksum, convert, endpoints, queue};
use crate::{
    domain::{
        audit::Action,
        delivery::{Attempt, Delivery, DeliveryKey, Failure, Replay, State},
        endpoint::{Endpoint, EndpointKey, EndpointState},
        event::{EventKey, StoredBody},
        failure_details::FailureDetails,
        ids::{DeliveryId, EndpointId, EventId},
        own_key::OwnKey,
        token::Visible,
    },
    error::{Conflict, Error, Missing},
};

pub(super) const COLUMNS: &str = "
    SELECT d.*, p.id AS endpoint_id, e.id AS event_id, e.kind, e.test, e.idempotency_key AS event_key, o.id AS original,
           a.status AS last_status, a.failure AS last_failure, r.id AS replay_id, r.state AS replay_state,
           ifnull(ra.started_at + ifnull(ra.duration_ms, 0), r.created_at) AS replay_at";

/// The last recorded attempt: the one before the attempt under way, or the last. The endpoints of an erased account
/// have no profile. The newest replay may be a replay of a replay.
pub(super) const JOINS: &str = "
    JOIN event e ON e.key = d.event
    JOIN endpoint p ON p.key = d.endpoint AND p.profile != ''
    LEFT JOIN delivery o ON o.key = d.replay_of
    LEFT JOIN attempt a ON a.delivery = d.key AND a.number = d.attempts - (d.state = 'claimed')
    LEFT JOIN delivery r ON r.key = (
      SELECT newer.key FROM delivery newer INDEXED BY delivery_of_event
      WHERE d.replayed AND newer.event = d.event AND newer.key > d.key AND newer.endpoint = d.endpoint
        AND newer.replay_of IS NOT NULL
      ORDER BY newer.key DESC LIMIT 1)
    LEFT JOIN attempt ra ON ra.delivery = r.key AND ra.number = r.attempts - (r.state = 'claimed')";

/// Deliveries read for one page.
pub const LOOKED_AT: usize = 10_000;

/// The last deliveries of an endpoint, newest first.
pub fn latest(view: &View<'_>, endpoint: EndpointKey, most: usize) -> Result<Vec<Delivery>> {
    let mut rows = view.conn.prepare_cached(&format!(
        "{COLUMNS} FROM delivery d INDEXED BY delivery_of_endpoint {JOINS} WHERE d.endpoint = ? ORDER BY d.key DESC LIMIT ?"
    ))?;
    Ok(rows.query_map((endpoint, most), read)?.collect::<rusqlite::Result<_>>()?)
}

/// The index of a state's deliveries, if there is one that keeps their order.
pub(super) fn index_of(state: State) -> Option<&'static str> {
    match state {
        State::Exhausted => Some("delivery_exhausted"),
        State::Held => Some("delivery_held"),
        State::Claimed => Some("delivery_claimed"),
        State::Pending | State::Delivered | State::Cancelled => None,
    }
}

/// The index of a state's deliveries by endpoint, in any order.
pub(super) fn index_by_endpoint(state: State) -> Option<&'static str> {
    match state {
        State::Pending => Some("delivery_due"),
        State::Claimed => None,
        state => index_of(state),
    }
}

/// Every delivery of an event, in the order they were made.
pub fn of_event(view: &View<'_>, event: EventKey) -> Result<Vec<Delivery>> {
    let mut rows =
        view.conn.prepare_cached(&format!("{COLUMNS} FROM delivery d {JOINS} WHERE d.event = ? ORDER BY d.key"))?;
    Ok(rows.query_map([event], read)?.collect::<rusqlite::Result<_>>()?)
}

/// One delivery of an endpoint.
///
/// # Errors
/// [`Error::NotFound`] if the endpoint has none of this id.
pub fn find(view: &View<'_>, endpoint: &Endpoint, id: DeliveryId) -> Result<Delivery> {
    view.conn
        .prepare_cached(&format!("{COLUMNS} FROM delivery d {JOINS} WHERE d.id = ? AND d.endpoint = ?"))?
        .query_row((id.to_bytes(), endpoint.key), read)
        .optional()?
        .ok_or(Error::NotFound(Missing::Delivery))
}

/// The attempts of a delivery that have ended, in order.
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
            details: FailureDetails { reason: row.get("reason")?, headers: row.get("headers")? },
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The newest replays of a delivery.
pub fn replays(view: &View<'_>, original: DeliveryKey, most: usize) -> Result<Vec<Delivery>> {
    let mut rows = view.conn.prepare_cached(&format!(
        "{COLUMNS} FROM delivery d INDEXED BY delivery_replay {JOINS} WHERE d.replay_of = ? ORDER BY d.key DESC LIMIT ?"
    ))?;
    Ok(rows.query_map((original, most), read)?.collect::<rusqlite::Result<_>>()?)
}

/// The own key of an event's payload; `None` if it has none, or its body is damaged.
pub fn own_key(view: &View<'_>, event: EventId) -> Option<OwnKey> {
    OwnKey::of(&body_of(view, event).ok()?.ok()?)
}

/// Deliveries whose attempts [`answers`] counts.
pub const ANSWERS_OF: usize = 1000;

/// How often attempts ended with the same result.
#[derive(Debug)]
pub struct Answered {
    /// The class of the failure; `None` for a success.
    pub failure: Option<Failure>,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// How many attempts.
    pub attempts: u64,
}

/// The results of the attempts of an endpoint's last deliveries, the most frequent first. Tests do not count.
pub fn answers(view: &View<'_>, endpoint: EndpointKey) -> Result<Vec<Answered>> {
    let mut rows = view.conn.prepare_cached(
        "SELECT failure, status, count(*) AS attempts
         FROM (SELECT key, event FROM delivery INDEXED BY delivery_of_endpoint WHERE endpoint = ? ORDER BY key DESC LIMIT ?) AS d
         CROSS JOIN event ON event.key = d.event AND event.test = 0
         CROSS JOIN attempt ON attempt.delivery = d.key
         GROUP BY failure, status ORDER BY attempts DESC LIMIT 20",
    )?;
    let rows = rows.query_map((endpoint, ANSWERS_OF), |row| {
        Ok(Answered {
            failure: row.get::<_, Option<String>>("failure")?.map(|text| convert::failure(&text)).transpose()?,
            status: row.get("status")?,
            attempts: row.get("attempts")?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The endpoint of a visible delivery.
///
/// # Errors
/// [`Error::NotFound`] if no such delivery is visible.
pub fn endpoint_of(tx: &Tx<'_>, visible: &Visible, id: DeliveryId) -> Result<Endpoint> {
    let mut rows = tx.conn.prepare_cached(
        "SELECT endpoint.id FROM delivery JOIN endpoint ON endpoint.key = delivery.endpoint WHERE delivery.id = ?",
    )?;
    let endpoint = rows.query_row([id.to_bytes()], |row| row.get(0).map(EndpointId::from_bytes)).optional()?;
    let endpoint = endpoint.ok_or(Error::NotFound(Missing::Delivery))?;
    endpoints::find(tx, visible, endpoint).map_err(|error| match error {
        Error::NotFound(_) => Error::NotFound(Missing::Delivery),
        error => error,
    })
}

/// Cancels a pending or held delivery. A cancelled one stays cancelled.
///
/// # Errors
/// [`Error::NotFound`] if none is visible; [`Error::Conflict`] while an attempt is under way, and when
/// it has come to another end.
pub fn cancel(tx: &Tx<'_>, visible: &Visible, id: DeliveryId) -> Result<()> {
    let endpoint = endpoint_of(tx, visible, id)?;
    let delivery = find(tx, &endpoint, id)?;
    match delivery.state {
        State::Cancelled => Ok(()),
        State::Pending | State::Held => {
            queue::cancel(tx, delivery.key)?;
            audit::of_account(tx, Action::DeliveryCancelled, &endpoint.account_id, &id.to_string(), None)
        }
        State::Claimed => Err(Error::conflict(
            Conflict::UnderWay,
            "an attempt of this delivery is under way: ask again when it has ended",
        )),
        State::Delivered | State::Exhausted => {
            Err(Error::conflict(Conflict::Ended, "this delivery has come to its end: there is nothing to cancel"))
        }
    }
}

/// Cancels the next slice of the held deliveries of a suspended endpoint with keys below `before`; returns whether
/// there may be more.
pub fn drop_held(tx: &Tx<'_>, endpoint: EndpointKey, before: DeliveryKey) -> Result<bool> {
    let dropped = cascade::expire(tx, endpoint, before, cascade::SLICE)?;
    audit::held(tx, Action::HeldDropped, endpoint, dropped)?;
    // Pending deliveries will be held too when the suspension reaches them.
    let mut rows = tx.conn.prepare_cached("SELECT 1 FROM delivery WHERE endpoint = ? AND state = 'pending'")?;
    let behind = cascade::state(tx, endpoint)? == EndpointState::Suspended && rows.exists([endpoint])?;
    Ok(dropped == cascade::SLICE || behind)
}

/// The key that the next delivery would have.
pub fn next_key(tx: &Tx<'_>) -> Result<DeliveryKey> {
    let mut rows = tx.conn.prepare_cached("SELECT ifnull(max(key), 0) + 1 FROM delivery")?;
    Ok(rows.query_row([], |row| row.get(0))?)
}

/// The stored body of an event, for its envelope to complete.
///
/// # Errors
/// [`Error::NotFound`] if there is no such event.
pub fn body_of(view: &View<'_>, event: EventId) -> Result<StoredBody> {
    let mut rows = view.conn.prepare_cached("SELECT body, checksum FROM event WHERE id = ?")?;
    rows.query_row([event.to_bytes()], checksum::read).optional()?.ok_or(Error::NotFound(Missing::Event))
}

pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    Ok(Delivery {
        key: row.get("key")?,
        id: DeliveryId::from_bytes(row.get("id")?),
        endpoint: EndpointId::from_bytes(row.get("endpoint_id")?),
        event: EventId::from_bytes(row.get("event_id")?),
        kind: convert::text(row, "kind")?,
        event_key: row.get("event_key")?,
        test: row.get("test")?,
        state: convert::state(&row.get::<_, String>("state")?)?,
        attempts: row.get("attempts")?,
        created_at: convert::moment(row, "created_at")?,
        due_at: convert::moment_if(row, "due_at")?,
        last_status: row.get("last_status")?,
        last_failure: row.get::<_, Option<String>>("last_failure")?.map(|text| convert::failure(&text)).transpose()?,
        replay_of: row.get::<_, Option<[u8; 16]>>("original")?.map(DeliveryId::from_bytes),
        newest_replay: newest_replay(row)?,
        missed: row.get("missed")?,
    })
}

fn newest_replay(row: &Row<'_>) -> rusqlite::Result<Option<Replay>> {
    let Some(id) = row.get::<_, Option<[u8; 16]>>("replay_id")? else { return Ok(None) };
    let state = convert::state(&row.get::<_, String>("replay_state")?)?;
    Ok(Some(Replay { id: DeliveryId::from_bytes(id), state, at: convert::moment(row, "replay_at")? }))
}

pub(super) fn key_of(conn: &Connection, endpoint: EndpointKey, id: DeliveryId) -> Result<Option<DeliveryKey>> {
    let mut rows = conn.prepare_cached("SELECT key FROM delivery WHERE id = ? AND endpoint = ?")?;
    Ok(rows.query_row((id.to_bytes(), endpoint), |row| row.get(0)).optional()?)
}
