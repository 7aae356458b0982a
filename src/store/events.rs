//! Events: publish, fan out, find.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, Row};

use super::{
    Result, Tx, View, accounts, checksum, convert,
    news::Change,
    queue::{self, Fresh},
    shares,
};
use crate::{
    domain::{
        account::AccountKey,
        delivery::DeliveryKey,
        endpoint::{EndpointKey, EndpointState, EventFilter, TargetUrl},
        event::{Accepted, Audience, Event, EventKey, NewEvent, Published},
        ids::{DeliveryId, EndpointId, EventId},
        token::AccessScope,
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
    for (endpoint, endpoint_id, state) in endpoints {
        let (delivery, claim) = queue::deliver_new(tx, &fresh, endpoint, state)?;
        claim.into_iter().for_each(|claim| tx.announce(Change::ClaimedAtBirth(claim)));
        deliveries.push((delivery, endpoint_id));
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
type Recipient = (EndpointKey, EndpointId, EndpointState);

/// The endpoints that want an event, in the order in which they were registered.
fn subscribers(tx: &Tx<'_>, event: &NewEvent) -> Result<Vec<Recipient>> {
    let mut rows = tx.conn.prepare_cached(
        "SELECT key, id, events, state FROM endpoint WHERE account = ? AND state != 'deleted' ORDER BY key",
    )?;
    let mut rows = rows.query([event.account])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        if EventFilter::from_stored(&row.get::<_, String>("events")?).wants(&event.kind) {
            let state = convert::endpoint_state(&row.get::<_, String>("state")?)?;
            found.push((row.get("key")?, EndpointId::from_bytes(row.get("id")?), state));
        }
    }
    Ok(found)
}

/// The newest active endpoint of an account with exactly this target.
fn newest_at(tx: &Tx<'_>, account: AccountKey, url: &TargetUrl) -> Result<Option<Recipient>> {
    // The first condition on the state lets SQLite use the index of those that are not deleted.
    let mut rows = tx.conn.prepare_cached(
        "SELECT key, id FROM endpoint WHERE account = ? AND state != 'deleted' AND state = 'active' AND url = ?
         ORDER BY key DESC LIMIT 1",
    )?;
    let found = rows.query_row((account, url.as_str()), |row| {
        Ok((row.get("key")?, EndpointId::from_bytes(row.get("id")?), EndpointState::Active))
    });
    Ok(found.optional()?)
}

/// All columns of an event except the body, which [`deliveries::body_of`](super::deliveries::body_of) reads: a page may
/// hold many events.
const COLUMNS: &str =
    "SELECT event.key, event.id, event.account, event.accepted_at, event.test, event.kind, event.target,
                              account.id AS account_id, account.profile";

/// The event of this id.
///
/// # Errors
/// [`Error::NotFound`] if there is none within the scope.
pub fn find(view: &View<'_>, scope: &AccessScope, id: EventId) -> Result<Event> {
    view.conn
        .prepare_cached(&format!(
            "{COLUMNS} FROM event JOIN account ON account.key = event.account AND account.profile != ''
             WHERE event.id = ?1 AND (?2 IS NULL OR account.profile = ?2) AND (?3 IS NULL OR account.key = ?3)",
        ))?
        .query_row((id.to_bytes(), &scope.profile, scope.account), read)
        .optional()?
        .ok_or(Error::NotFound(Missing::Event))
}

/// The event with this idempotency key; only of the named account, if one is named.
///
/// # Errors
/// [`Error::NotFound`] if there is none within the scope; [`Error::Invalid`] if several accounts have one.
pub fn find_by_key(view: &View<'_>, scope: &AccessScope, key: &str, account: Option<&str>) -> Result<Event> {
    let mut rows = view.conn.prepare_cached(&format!(
        "{COLUMNS} FROM event JOIN account ON account.key = event.account AND account.profile != ''
         WHERE idempotency_key = ?1 AND (?2 IS NULL OR account.profile = ?2) AND (?3 IS NULL OR account.key = ?3)
           AND (?4 IS NULL OR account.id = ?4) LIMIT 2",
    ))?;
    let rows = rows.query_map((key, &scope.profile, scope.account, account), read)?;
    let mut found: Vec<Event> = rows.collect::<rusqlite::Result<_>>()?;
    if found.len() > 1 {
        return Err(Error::request("several accounts have one of this name: say which, by ?account=ID"));
    }
    found.pop().ok_or(Error::NotFound(Missing::Task))
}

const LOOKED_AT: usize = 10_000;

/// Which events to list, newest first.
#[derive(Debug, Default)]
pub struct Filter {
    /// Only of the account of this id.
    pub account: Option<String>,
    /// Only of this name.
    pub kind: Option<String>,
    /// Only those accepted before this one.
    pub after: Option<EventId>,
}

/// One page of events, newest first.
#[derive(Debug)]
pub struct Page {
    /// The events.
    pub events: Vec<Event>,
    /// The `after` of the next page; `None` at the end.
    pub next: Option<EventId>,
    /// Whether older events of the account may be missing: those that none of its endpoints got.
    pub partial: bool,
}

/// One page of events. It reads at most 10,000 of them: a page may hold few or none and yet not be the last. For one
/// account it also finds every event that its endpoints got, however much others have published since.
///
/// # Errors
/// [`Error::Invalid`] if `after` is no event; [`Error::NotFound`] for an account that is not within the scope.
pub fn list(view: &View<'_>, scope: &AccessScope, filter: &Filter, limit: usize) -> Result<Page> {
    let account = match &filter.account {
        Some(id) => Some(accounts::see(view, scope, id)?.key),
        None => scope.account,
    };
    let before = match filter.after {
        None => EventKey::MAX,
        Some(id) => {
            let mut rows = view.conn.prepare_cached("SELECT key FROM event WHERE id = ?")?;
            let key = rows.query_row([id.to_bytes()], |row| row.get(0)).optional()?;
            key.ok_or_else(Error::bad_cursor)?
        }
    };
    let mut edge =
        view.conn.prepare_cached("SELECT key, id FROM event WHERE key < ? ORDER BY key DESC LIMIT 1 OFFSET ?")?;
    let edge: Option<(EventKey, [u8; 16])> =
        edge.query_row((before, LOOKED_AT - 1), |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let oldest = edge.map_or(EventKey::MIN, |(key, _)| key);
    let mut rows = view.conn.prepare_cached(&format!(
        "{COLUMNS} FROM event JOIN account ON account.key = event.account
         WHERE event.key < ?1 AND event.key >= ?2 AND account.profile != '' AND (?3 IS NULL OR account.profile = ?3)
           AND (?4 IS NULL OR event.account = ?4) AND (?5 IS NULL OR kind = ?5)
         ORDER BY event.key DESC LIMIT ?6",
    ))?;
    let wanted = (before, oldest, &scope.profile, account, &filter.kind, limit + 1);
    let mut events: Vec<Event> = rows.query_map(wanted, read)?.collect::<rusqlite::Result<_>>()?;
    let mut next = edge.map(|(_, id)| EventId::from_bytes(id));
    let mut partial = false;
    if let Some(account) = account.filter(|_| edge.is_some() && events.len() <= limit) {
        let (older, rest) = delivered(view.conn, account, oldest, filter.kind.as_deref(), limit + 1 - events.len())?;
        events.extend(older);
        (next, partial) = (rest, true);
    }
    if events.len() > limit {
        events.truncate(limit);
        next = events.last().map(|event| event.id);
    }
    Ok(Page { events, next, partial })
}

/// At most this many events before `before` that an endpoint of the account got, newest first; and where to continue.
/// Deliveries are made in the order of their events, so the deliveries of each endpoint are read by their own index.
fn delivered(
    conn: &Connection,
    account: AccountKey,
    before: EventKey,
    kind: Option<&str>,
    most: usize,
) -> Result<(Vec<Event>, Option<EventId>)> {
    let mut rows = conn.prepare_cached("SELECT key FROM endpoint WHERE account = ?")?;
    let endpoints: Vec<EndpointKey> = rows.query_map([account], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let mut first = conn.prepare_cached(
        "SELECT key FROM delivery INDEXED BY delivery_of_event
         WHERE event >= ? AND replay_of IS NULL ORDER BY event, key LIMIT 1",
    )?;
    let upto: DeliveryKey = first.query_row([before], |row| row.get(0)).optional()?.unwrap_or(DeliveryKey::MAX);
    let looked_at = (LOOKED_AT / endpoints.len().max(1)).max(most);
    let mut of_endpoint = conn.prepare_cached(
        "SELECT event FROM delivery INDEXED BY delivery_of_endpoint
         WHERE endpoint = ? AND key < ? AND replay_of IS NULL ORDER BY key DESC LIMIT ?",
    )?;
    // All endpoints were read down to this event.
    let (mut keys, mut floor) = (BTreeSet::new(), EventKey::MIN);
    for endpoint in endpoints {
        let own = of_endpoint.query_map((endpoint, upto, looked_at), |row| row.get(0))?;
        let own: Vec<EventKey> = own.collect::<rusqlite::Result<_>>()?;
        if own.len() == looked_at {
            floor = floor.max(own.last().copied().unwrap_or(floor));
        }
        keys.extend(own);
    }
    let mut event = conn.prepare_cached(&format!(
        "{COLUMNS} FROM event JOIN account ON account.key = event.account
         WHERE event.key = ?1 AND (?2 IS NULL OR kind = ?2)",
    ))?;
    let mut found: Vec<Event> = Vec::new();
    for key in keys.into_iter().rev().take_while(|key| *key >= floor) {
        found.extend(event.query_row((key, kind), read).optional()?);
        if found.len() == most {
            let last = found.last().map(|event| event.id);
            return Ok((found, last));
        }
    }
    let mut rows = conn.prepare_cached("SELECT id FROM event WHERE key = ?")?;
    let rest = rows.query_row([floor], |row| row.get(0).map(EventId::from_bytes)).optional()?;
    Ok((found, rest))
}

fn read(row: &Row<'_>) -> rusqlite::Result<Event> {
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
    })
}
