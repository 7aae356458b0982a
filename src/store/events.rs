//! Events: publish, fan out, find.

use rusqlite::{Connection, OptionalExtension, Row};

use super::{
    Result, Tx, View, checksum, convert, new_delivery,
    news::Change,
    queue::{self, Fresh},
    shares,
};
use crate::{
    domain::{
        account::AccountKey,
        endpoint::{EndpointKey, EndpointState, EventFilter, TargetUrl},
        event::{Accepted, Audience, Event, EventKey, NewEvent, Published},
        ids::{DeliveryId, EndpointId, EventId},
        token::Visible,
    },
    error::{Error, Missing},
};

/// Stores an event and makes a delivery for each endpoint of its audience, in one transaction. A repeat by its
/// idempotency key stores nothing.
///
/// # Errors
/// [`Error::TooMany`] when the account's share of the database is used up.
pub fn publish(tx: &Tx<'_>, event: &NewEvent, audience: &Audience) -> Result<Published> {
    if let Some(earlier) = repeated(tx, event)? {
        return Ok(earlier);
    }
    let endpoints = match audience {
        Audience::Subscribers => subscribers(tx, event)?,
        Audience::Target(url) => match newest_at(tx, event.account, url)? {
            Some(endpoint) => vec![endpoint],
            None => return Ok(Published::NoSuchTarget),
        },
    };
    shares::admit(tx, event.account, event.body.len())?;
    let id = EventId::mint(tx.now);
    let key = event.idempotency_key.as_ref();
    tx.conn
        .prepare_cached(
            "INSERT INTO event (id, account, kind, body, accepted_at, target, idempotency_key, digest, checksum)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute((
            id.to_bytes(),
            event.account,
            &event.kind,
            &event.body,
            tx.now.millis(),
            match audience {
                Audience::Subscribers => None,
                Audience::Target(url) => Some(url.given()),
            },
            key.map(|key| &key.text),
            key.map(|key| key.digest),
            checksum::checksum(&event.body),
        ))?;
    let fresh = Fresh { key: tx.conn.last_insert_rowid(), id, kind: &event.kind, body: &event.body };
    let mut deliveries = Vec::with_capacity(endpoints.len());
    for Recipient { key, id, state, plain } in endpoints {
        let (delivery, claim) = match plain {
            true => queue::deliver_new(tx, &fresh, key, state)?,
            // Its order and its pace are kept where deliveries are claimed.
            false => (new_delivery::enqueue(tx, fresh.key, key, state, None)?, None),
        };
        claim.into_iter().for_each(|claim| tx.announce(Change::ClaimedAtBirth(claim)));
        deliveries.push((delivery, id));
    }
    shares::add(tx, event.account, event.body.len(), deliveries.len());
    Ok(Published::Accepted(Accepted { id, body: event.body.clone(), deliveries }))
}

/// The result of an earlier publish with the same key.
fn repeated(tx: &Tx<'_>, event: &NewEvent) -> Result<Option<Published>> {
    let Some(key) = &event.idempotency_key else { return Ok(None) };
    let mut rows = tx.conn.prepare_cached(
        "SELECT event.key, event.id, body, checksum, digest FROM event WHERE idempotency_key = ? AND account = ?",
    )?;
    let earlier = rows.query_row((&key.text, event.account), |row| {
        let id = EventId::from_bytes(row.get("id")?);
        Ok((row.get::<_, EventKey>("key")?, row.get::<_, [u8; 32]>("digest")?, id, checksum::read(row)?))
    });
    let Some((event_key, digest, id, body)) = earlier.optional()? else { return Ok(None) };
    if digest != key.digest {
        return Ok(Some(Published::Reused));
    }
    Ok(Some(Published::Accepted(Accepted { id, body: body?, deliveries: fanned_out(tx.conn, event_key)? })))
}

/// The deliveries of a publish, without replays.
fn fanned_out(conn: &Connection, event: EventKey) -> Result<Vec<(DeliveryId, EndpointId)>> {
    let mut rows = conn.prepare_cached(
        "SELECT delivery.id, endpoint.id FROM delivery JOIN endpoint ON endpoint.key = delivery.endpoint
         WHERE event = ? AND replay_of IS NULL ORDER BY delivery.key",
    )?;
    let rows =
        rows.query_map([event], |row| Ok((DeliveryId::from_bytes(row.get(0)?), EndpointId::from_bytes(row.get(1)?))))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// An endpoint that gets an event.
struct Recipient {
    key: EndpointKey,
    id: EndpointId,
    state: EndpointState,
    /// Whether it has neither a rate limit nor an order.
    plain: bool,
}

/// The endpoints that want an event, in the order in which they were registered.
fn subscribers(tx: &Tx<'_>, event: &NewEvent) -> Result<Vec<Recipient>> {
    let mut rows = tx.conn.prepare_cached(
        "SELECT key, id, events, state, rate_limit IS NULL AND NOT ordered AS plain
         FROM endpoint WHERE account = ? AND state != 'deleted' ORDER BY key",
    )?;
    let mut rows = rows.query([event.account])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        if EventFilter::from_stored(&row.get::<_, String>("events")?).wants(&event.kind) {
            let state = convert::endpoint_state(&row.get::<_, String>("state")?)?;
            let (id, plain) = (EndpointId::from_bytes(row.get("id")?), row.get("plain")?);
            found.push(Recipient { key: row.get("key")?, id, state, plain });
        }
    }
    Ok(found)
}

/// The newest endpoint of an account with exactly this target; a suspended one, which holds its deliveries, only if none is
/// active.
fn newest_at(tx: &Tx<'_>, account: AccountKey, url: &TargetUrl) -> Result<Option<Recipient>> {
    let mut rows = tx.conn.prepare_cached(
        "SELECT key, id, state = 'active' AS active, rate_limit IS NULL AND NOT ordered AS plain FROM endpoint
         WHERE account = ? AND state != 'deleted' AND url = ? ORDER BY active DESC, key DESC LIMIT 1",
    )?;
    let found = rows.query_row((account, url.as_str()), |row| {
        let state = if row.get("active")? { EndpointState::Active } else { EndpointState::Suspended };
        let id = EndpointId::from_bytes(row.get("id")?);
        Ok(Recipient { key: row.get("key")?, id, state, plain: row.get("plain")? })
    });
    Ok(found.optional()?)
}

/// All columns of an event except the body, which [`deliveries::body_of`](super::deliveries::body_of) reads: a page may
/// hold many events.
pub(super) const COLUMNS: &str = "
    SELECT event.key, event.id, event.account, event.accepted_at, event.test, event.kind, event.target,
           event.idempotency_key, account.id AS account_id, account.profile";

/// The event of this id.
///
/// # Errors
/// [`Error::NotFound`] if none is visible.
pub fn find(view: &View<'_>, visible: &Visible, id: EventId) -> Result<Event> {
    view.conn
        .prepare_cached(&format!(
            "{COLUMNS} FROM event JOIN account ON account.key = event.account AND account.profile != ''
             WHERE event.id = ?1 AND (?2 IS NULL OR account.profile = ?2) AND (?3 IS NULL OR account.key = ?3)",
        ))?
        .query_row((id.to_bytes(), &visible.profile, visible.account), read)
        .optional()?
        .ok_or(Error::NotFound(Missing::Event))
}

/// The event with this idempotency key; only of the named account, if one is named.
///
/// # Errors
/// [`Error::NotFound`] if none is visible; [`Error::Invalid`] if several accounts have one.
pub fn find_by_key(view: &View<'_>, visible: &Visible, key: &str, account: Option<&str>) -> Result<Event> {
    let mut rows = view.conn.prepare_cached(&format!(
        "{COLUMNS} FROM event JOIN account ON account.key = event.account AND account.profile != ''
         WHERE idempotency_key = ?1 AND (?2 IS NULL OR account.profile = ?2) AND (?3 IS NULL OR account.key = ?3)
           AND (?4 IS NULL OR account.id = ?4) LIMIT 2",
    ))?;
    let rows = rows.query_map((key, &visible.profile, visible.account, account), read)?;
    let mut found: Vec<Event> = rows.collect::<rusqlite::Result<_>>()?;
    if found.len() > 1 {
        return Err(Error::request("several accounts have one of this name: say which, by ?account=ID"));
    }
    found.pop().ok_or(Error::NotFound(Missing::Task))
}

pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Event> {
    Ok(Event {
        key: row.get("key")?,
        id: EventId::from_bytes(row.get("id")?),
        account: row.get("account")?,
        account_id: row.get("account_id")?,
        profile: row.get("profile")?,
        accepted_at: convert::moment(row, "accepted_at")?,
        test: row.get("test")?,
        kind: convert::text(row, "kind")?,
        target: row.get("target")?,
        idempotency_key: row.get("idempotency_key")?,
    })
}
