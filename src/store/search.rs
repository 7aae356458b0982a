//! Deliveries of all webhooks that a caller may see: by a selection, newest first, page by page.
//!
//! A page reads a limited number of deliveries. For a few webhooks it merges their histories, each by its index, so
//! that deliveries of others are not read.

use std::collections::{BinaryHeap, VecDeque};

use rusqlite::{Connection, OptionalExtension, Row};

pub(super) use super::range::FITS;
pub use super::range::Range;
use super::{
    Result, View, convert,
    deliveries::{self, COLUMNS, JOINS, LOOKED_AT},
    range::MERGED,
    scan::{self, Scan},
};
use crate::{
    domain::{
        delivery::{Delivery, DeliveryKey},
        endpoint::{EndpointKey, EndpointState},
        event::EventKey,
        ids::DeliveryId,
        search::{Asked, Place, Sought},
        selection::Selection,
        token::Visible,
    },
    error::Error,
};

/// A delivery, with its account and endpoint.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The delivery.
    pub delivery: Delivery,
    /// The public id of its account.
    pub account_id: String,
    /// The profile of its endpoint.
    pub profile: String,
    /// The present URL of the endpoint, as it was given.
    pub url: String,
    /// The name of the endpoint, for people.
    pub name: Option<String>,
    /// The key of its endpoint's row.
    pub endpoint: EndpointKey,
    /// The present state of the endpoint.
    pub endpoint_state: EndpointState,
}

fn read(row: &Row<'_>) -> rusqlite::Result<Listed> {
    Ok(Listed {
        delivery: deliveries::read(row)?,
        account_id: row.get("account_id")?,
        profile: row.get("profile")?,
        url: row.get("url")?,
        name: row.get("endpoint_name")?,
        endpoint: row.get("endpoint")?,
        endpoint_state: convert::endpoint_state(&row.get::<_, String>("endpoint_state")?)?,
    })
}

/// One page, newest first; and the `after` of the next page, `None` at the end. It reads at most [`LOOKED_AT`]
/// deliveries: a page may hold few or none and yet not be the last.
///
/// # Errors
/// [`Error::Invalid`] if `after` is no delivery.
pub fn page(
    view: &View<'_>,
    range: &Range,
    after: Option<DeliveryId>,
    limit: usize,
) -> Result<(Vec<Listed>, Option<DeliveryId>)> {
    look(view.conn, range, after, limit, None)
}

/// One page of what somebody looks for, newest first; and where the next page begins, `None` at the end. First come the
/// deliveries that have the text as an id or as their event's key, found by index. Then those whose payload holds its
/// words: a page looks through payloads for a limited time, and may hold few or none and yet not be the last.
///
/// # Errors
/// [`Error::Invalid`] for a place that no such list gave.
pub fn list(
    view: &View<'_>,
    range: &Range,
    asked: &Asked<DeliveryId>,
) -> Result<(Vec<Listed>, Option<Place<DeliveryId>>)> {
    let (conn, limit) = (view.conn, asked.limit);
    let after = |(found, next): (_, Option<DeliveryId>)| (found, next.map(Place::After));
    let words = match &asked.sought {
        None => return Ok(after(page(view, range, asked.after()?, limit)?)),
        Some(Sought::Delivery(id)) => {
            let found = key_of(conn, *id)?.map(|key| listed(conn, range, key)).transpose()?;
            return Ok((found.flatten().into_iter().collect(), None));
        }
        Some(Sought::Event(id)) => {
            let mut rows = conn.prepare_cached("SELECT key FROM event WHERE id = ?")?;
            let event: Option<EventKey> = rows.query_row([id.to_bytes()], |row| row.get(0)).optional()?;
            return Ok(after(of_events(conn, range, event.as_slice(), asked.after()?, limit)?));
        }
        Some(Sought::Webhook(profile, id)) => {
            let Some(range) = range.to_webhook(conn, profile, *id)? else { return Ok((Vec::new(), None)) };
            return Ok(after(page(view, &range, asked.after()?, limit)?));
        }
        Some(Sought::Words(words)) => words,
    };
    let known = scan::keyed(conn, words.key(), range.account(conn)?)?;
    let (keyed_after, scanned_after) = match asked.place {
        Place::Start => (Some(None), None),
        Place::Keyed(id) => (Some(Some(id)), None),
        Place::Payloads => (None, None),
        Place::After(id) => (None, Some(id)),
    };
    if let Some(after) = keyed_after {
        let (found, next) = of_events(conn, range, &known, after, limit)?;
        if !found.is_empty() {
            return Ok((found, Some(next.map_or(Place::Payloads, Place::Keyed))));
        }
    }
    let scan = Scan::new(view, scan::OF_DELIVERY, words, known, asked.until)?;
    Ok(after(look(conn, range, scanned_after, limit, Some(scan))?))
}

/// The deliveries of these events that are in the range, newest first.
fn of_events(
    conn: &Connection,
    range: &Range,
    events: &[EventKey],
    after: Option<DeliveryId>,
    limit: usize,
) -> Result<(Vec<Listed>, Option<DeliveryId>)> {
    let before = before(conn, after)?;
    let mut rows = conn.prepare_cached(
        "SELECT key FROM delivery INDEXED BY delivery_of_event WHERE event = ? AND key < ? ORDER BY key DESC LIMIT ?",
    )?;
    let (mut keys, most) = (Vec::new(), (LOOKED_AT / events.len().max(1)).max(limit + 1));
    for event in events {
        let own = rows.query_map((event, before, most), |row| row.get(0))?;
        keys.extend(own.collect::<rusqlite::Result<Vec<DeliveryKey>>>()?);
    }
    keys.sort_unstable_by(|one, other| other.cmp(one));
    let mut found: Vec<Listed> = Vec::new();
    for key in keys {
        let Some(listed) = listed(conn, range, key)? else { continue };
        if found.len() == limit {
            let next = found.last().map(|listed| listed.delivery.id);
            return Ok((found, next));
        }
        found.push(listed);
    }
    Ok((found, None))
}

/// Reads the deliveries of a range, newest first: a limited number, or as long as the scan of their payloads may take.
fn look(
    conn: &Connection,
    range: &Range,
    after: Option<DeliveryId>,
    limit: usize,
    mut scan: Option<Scan<'_>>,
) -> Result<(Vec<Listed>, Option<DeliveryId>)> {
    let mut looked = Merged::new(conn, range, before(conn, after)?)?;
    let (mut found, mut read) = (Vec::<Listed>::new(), 0);
    while !scan.as_mut().map_or(read == LOOKED_AT, Scan::is_over) {
        read += 1;
        let Some(key) = looked.next(conn)? else { return Ok((found, None)) };
        if let Some(scan) = &mut scan
            && !scan.holds(key)?
        {
            continue;
        }
        let Some(listed) = listed(conn, range, key)? else { continue };
        let (this, last) = (listed.delivery.id, found.last().map(|listed| listed.delivery.id));
        if found.len() == limit {
            return Ok((found, last));
        }
        found.push(listed);
        // A scan does not look for the next match only to know that there is one.
        if scan.is_some() && found.len() == limit {
            return Ok((found, Some(this)));
        }
    }
    Ok((found, looked.last(conn)?))
}

/// The delivery with this key, if it is in the range.
fn listed(conn: &Connection, range: &Range, key: DeliveryKey) -> Result<Option<Listed>> {
    let sql = format!(
        "{COLUMNS}, p.profile, ifnull(p.given_url, p.url) AS url, p.state AS endpoint_state, p.name AS endpoint_name,
         c.id AS account_id FROM delivery d {JOINS} JOIN account c ON c.key = p.account WHERE d.key = :key AND {FITS}"
    );
    let found = range.query(conn, &sql, key, |row| Ok((row.get("endpoint")?, read(row)?)))?;
    Ok(found.filter(|(endpoint, _)| range.is_named(*endpoint)).map(|(_, listed)| listed))
}

/// The key before which a page begins.
fn before(conn: &Connection, after: Option<DeliveryId>) -> Result<DeliveryKey> {
    after.map_or(Ok(DeliveryKey::MAX), |id| key_of(conn, id)?.ok_or_else(Error::bad_cursor))
}

/// The key of the newest delivery of all accounts.
pub fn newest(view: &View<'_>) -> Result<DeliveryKey> {
    let mut rows = view.conn.prepare_cached("SELECT ifnull(max(key), 0) FROM delivery")?;
    Ok(rows.query_row([], |row| row.get(0))?)
}

/// The matching ones among the next [`LOOKED_AT`] deliveries after `than`, oldest first; and the last key that was
/// read.
pub fn newer(view: &View<'_>, range: &Range, than: DeliveryKey) -> Result<(Vec<Listed>, DeliveryKey)> {
    let sql = "SELECT key FROM delivery NOT INDEXED WHERE key > ? ORDER BY key LIMIT ?";
    let mut rows = view.conn.prepare_cached(sql)?;
    let keys: Vec<DeliveryKey> =
        rows.query_map((than, LOOKED_AT), |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok((again(view, range, &keys)?, keys.last().copied().unwrap_or(than)))
}

/// Those of these deliveries that exist and match.
pub fn again(view: &View<'_>, range: &Range, keys: &[DeliveryKey]) -> Result<Vec<Listed>> {
    keys.iter().filter_map(|key| listed(view.conn, range, *key).transpose()).collect()
}

/// One delivery.
///
/// # Errors
/// [`Error::NotFound`] if none is visible.
pub fn find(view: &View<'_>, visible: &Visible, id: DeliveryId) -> Result<Listed> {
    let range = Range::new(view, visible, Selection { delivery: Some(id), ..Selection::default() })?;
    let listed = key_of(view.conn, id)?.map(|key| listed(view.conn, &range, key)).transpose()?;
    listed.flatten().ok_or(Error::NotFound(crate::error::Missing::Delivery))
}

fn key_of(conn: &Connection, id: DeliveryId) -> Result<Option<DeliveryKey>> {
    let mut rows = conn.prepare_cached("SELECT key FROM delivery WHERE id = ?")?;
    Ok(rows.query_row([id.to_bytes()], |row| row.get(0)).optional()?)
}

/// The keys of one or several histories, newest first.
struct Merged {
    sql: String,
    chunk: usize,
    oldest: DeliveryKey,
    histories: Vec<History>,
    heads: BinaryHeap<(DeliveryKey, usize)>,
    last: Option<DeliveryKey>,
}

struct History {
    endpoint: Option<EndpointKey>,
    read: VecDeque<DeliveryKey>,
    before: DeliveryKey,
}

impl Merged {
    fn new(conn: &Connection, range: &Range, before: DeliveryKey) -> Result<Self> {
        let Selection { state, .. } = range.selection;
        let endpoints = range.endpoints(conn, MERGED)?;
        let index =
            state.and_then(deliveries::index_of).filter(|index| endpoints.is_some() || *index == "delivery_claimed");
        let (index, own) = match (index, &endpoints) {
            (Some(index), _) => (format!("INDEXED BY {index}"), state),
            (None, Some(_)) => ("INDEXED BY delivery_of_endpoint".to_owned(), None),
            (None, None) => ("NOT INDEXED".to_owned(), None),
        };
        let endpoint = if endpoints.is_some() { "endpoint = ?1" } else { "?1 IS NULL" };
        let state = own.map(|state| format!("AND state = '{}'", state.name())).unwrap_or_default();
        let sql = format!(
            "SELECT key FROM delivery d {index} WHERE {endpoint} AND key < ?2 AND key >= ?3 {state}
             ORDER BY key DESC LIMIT ?4"
        );
        let keys = range.keys(conn)?;
        let (oldest, before) = (*keys.start(), before.min(keys.end() + 1));
        let histories = match endpoints {
            None => vec![History { endpoint: None, read: VecDeque::new(), before }],
            Some(keys) => {
                keys.into_iter().map(|key| History { endpoint: Some(key), read: VecDeque::new(), before }).collect()
            }
        };
        let chunk = (LOOKED_AT / histories.len().max(1)).clamp(16, 256);
        let mut merged = Self { sql, chunk, oldest, histories, heads: BinaryHeap::new(), last: None };
        (0..merged.histories.len()).try_for_each(|place| merged.read_on(conn, place))?;
        Ok(merged)
    }

    /// Reads the next key of this history into the heap.
    fn read_on(&mut self, conn: &Connection, place: usize) -> Result<()> {
        let history = &mut self.histories[place];
        if history.read.is_empty() {
            let mut rows = conn.prepare_cached(&self.sql)?;
            let keys = rows.query_map((history.endpoint, history.before, self.oldest, self.chunk), |row| row.get(0))?;
            history.read = keys.collect::<rusqlite::Result<_>>()?;
        }
        if let Some(key) = history.read.pop_front() {
            history.before = key;
            self.heads.push((key, place));
        }
        Ok(())
    }

    fn next(&mut self, conn: &Connection) -> Result<Option<DeliveryKey>> {
        let Some((key, place)) = self.heads.pop() else { return Ok(None) };
        self.read_on(conn, place)?;
        self.last = Some(key);
        Ok(Some(key))
    }

    /// The last delivery that was read, if there are more.
    fn last(&self, conn: &Connection) -> Result<Option<DeliveryId>> {
        let Some(last) = self.last.filter(|_| !self.heads.is_empty()) else { return Ok(None) };
        let mut rows = conn.prepare_cached("SELECT id FROM delivery WHERE key = ?")?;
        Ok(Some(DeliveryId::from_bytes(rows.query_row([last], |row| row.get(0))?)))
    }
}
