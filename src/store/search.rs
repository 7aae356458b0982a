//! Deliveries of all webhooks that a caller may see: by a selection, newest first, page by page.
//!
//! A page reads a limited number of deliveries. For a few webhooks it merges their histories, each by its index, so
//! that deliveries of others are not read.

use std::{
    collections::{BinaryHeap, VecDeque},
    ops::RangeInclusive,
    time::Duration,
};

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::{
    Result, View, accounts, convert,
    deliveries::{self, COLUMNS, JOINS, LOOKED_AT},
    endpoints,
};
use crate::{
    domain::{
        delivery::{Delivery, DeliveryKey, Failure, State},
        endpoint::{EndpointKey, EndpointState},
        ids::DeliveryId,
        selection::Selection,
        timestamp::Timestamp,
        token::AccessScope,
    },
    error::Error,
};

/// Most webhooks whose histories are merged, which costs one seek each. For more, all deliveries are read in the order
/// in which they were made.
const MERGED: usize = 2000;

/// The resolution of times.
const MOMENT: Duration = Duration::from_millis(1);
/// A test delivery gets its id when its attempt begins, and its row when that has ended: up to a minute later, and a
/// little more while the writer is busy. Deliveries made in between have smaller keys.
const WRITTEN_WITHIN: Duration = Duration::from_secs(70);

/// The condition for a delivery of a range: `d` is the delivery, `e` its event, `p` its endpoint, `c` the account, `a`
/// its last attempt. [`Range::query`] binds its parameters.
pub(super) const FITS: &str = "
    (:profile IS NULL OR p.profile = :profile) AND (:account IS NULL OR c.id = :account)
    AND (:endpoint IS NULL OR p.id = :endpoint) AND (:kind IS NULL OR e.kind = :kind)
    AND (:state IS NULL OR d.state = :state) AND (:failure IS NULL OR a.failure = :failure)
    AND (:from IS NULL OR d.created_at >= :from) AND (:to IS NULL OR d.created_at <= :to)
    AND (:delivery IS NULL OR d.id = :delivery)";

/// A selection within an access scope: the account and the webhook that it names exist there.
#[derive(Debug, Clone)]
pub struct Range {
    /// The only profile that is seen; `None`: all.
    pub profile: Option<String>,
    /// Which deliveries; of the caller's own account, if the caller belongs to one.
    pub selection: Selection,
}

impl Range {
    /// # Errors
    /// [`Error::NotFound`] for an account or a webhook that is not within the scope.
    pub fn new(view: &View<'_>, scope: &AccessScope, mut selection: Selection) -> Result<Self> {
        if let Some(account) = &selection.account {
            accounts::see(view, scope, account)?;
        } else if let Some(key) = scope.account {
            let mut rows = view.conn.prepare_cached("SELECT id FROM account WHERE key = ?")?;
            selection.account = Some(rows.query_row([key], |row| row.get(0))?);
        }
        if let Some(endpoint) = selection.endpoint {
            endpoints::find(view, scope, endpoint)?;
        }
        Ok(Self { profile: scope.profile.as_deref().map(str::to_owned), selection })
    }

    /// The endpoints in question, deleted ones included; `None` if they are more than `most`, or all.
    pub(super) fn endpoints(&self, conn: &Connection, most: usize) -> Result<Option<Vec<EndpointKey>>> {
        let Selection { account, endpoint, delivery, state, .. } = &self.selection;
        let keys = |sql: &str, id: &dyn rusqlite::ToSql| -> Result<Vec<EndpointKey>> {
            let mut rows = conn.prepare_cached(sql)?;
            Ok(rows.query_map((id, most + 1), |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
        };
        let found = if let Some(delivery) = delivery {
            keys("SELECT endpoint FROM delivery WHERE id = ? LIMIT ?", &delivery.to_bytes())?
        } else if let Some(endpoint) = endpoint {
            keys("SELECT key FROM endpoint WHERE id = ? LIMIT ?", &endpoint.to_bytes())?
        } else if let Some(account) = account {
            let sql =
                "SELECT endpoint.key FROM account JOIN endpoint ON account = account.key WHERE account.id = ? LIMIT ?";
            keys(sql, account)?
        } else if let Some(index) = state.and_then(deliveries::index_by_endpoint) {
            with_any(conn, index, state.map_or("", State::name), most)?
        } else {
            return Ok(None);
        };
        Ok((found.len() <= most).then_some(found))
    }

    /// The keys of the deliveries made in the selection's time, and of a few others.
    pub(super) fn keys(&self, conn: &Connection) -> Result<RangeInclusive<DeliveryKey>> {
        let Selection { from, to, .. } = self.selection;
        let oldest = from.map_or(Ok(Some(DeliveryKey::MIN)), |from| oldest_since(conn, from))?;
        let newest = to.map_or(Ok(Some(DeliveryKey::MAX - 1)), |to| newest_until(conn, to))?;
        Ok(oldest.unwrap_or(DeliveryKey::MAX)..=newest.unwrap_or(DeliveryKey::MIN))
    }

    /// The delivery with this key, if it is in the range.
    fn listed(&self, conn: &Connection, key: DeliveryKey) -> Result<Option<Listed>> {
        let sql = format!(
            "{COLUMNS}, p.profile, ifnull(p.given_url, p.url) AS url, p.state AS endpoint_state, c.id AS account_id FROM delivery d {JOINS} JOIN account c ON c.key = p.account
             WHERE d.key = :key AND {FITS}"
        );
        self.query(conn, &sql, key, read)
    }

    /// Runs a query for the delivery of this key, whose condition is [`FITS`]; gives its row as `read` reads it.
    pub(super) fn query<T>(
        &self,
        conn: &Connection,
        sql: &str,
        key: DeliveryKey,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>> {
        let mut rows = conn.prepare_cached(sql)?;
        let Selection { account, kind, .. } = &self.selection;
        let found = rows.query_row(
            named_params! {
                ":key": key, ":profile": self.profile, ":account": account, ":kind": kind,
                ":endpoint": self.selection.endpoint.map(|id| id.to_bytes()),
                ":state": self.selection.state.map(State::name),
                ":failure": self.selection.failure.map(Failure::name),
                ":from": self.selection.from.map(Timestamp::millis),
                ":to": self.selection.to.map(Timestamp::millis),
                ":delivery": self.selection.delivery.map(|id| id.to_bytes()),
            },
            read,
        );
        Ok(found.optional()?)
    }
}

/// At most `most` and one endpoints that have a delivery in the state of this index: skips from one endpoint to the
/// next.
fn with_any(conn: &Connection, index: &str, state: &str, most: usize) -> Result<Vec<EndpointKey>> {
    let mut rows = conn.prepare_cached(&format!(
        "SELECT endpoint FROM delivery INDEXED BY {index} WHERE state = '{state}' AND endpoint > ? ORDER BY endpoint LIMIT 1"
    ))?;
    let mut found: Vec<EndpointKey> = Vec::new();
    while found.len() <= most {
        let after = found.last().copied().unwrap_or(EndpointKey::MIN);
        match rows.query_row([after], |row| row.get(0)).optional()? {
            Some(next) => found.push(next),
            None => break,
        }
    }
    Ok(found)
}

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
        endpoint: row.get("endpoint")?,
        endpoint_state: convert::endpoint_state(&row.get::<_, String>("endpoint_state")?)?,
    })
}

/// One page, newest first; and the `after` of the next page, `None` at the end. It reads at most [`LOOKED_AT`]
/// deliveries: a page may hold few or none and yet not be the last.
///
/// Times are found by the ids that were made then. If the clock was set back, deliveries of a time that came twice may
/// be missing in part.
///
/// # Errors
/// [`Error::Invalid`] if `after` is no delivery.
pub fn page(
    view: &View<'_>,
    range: &Range,
    after: Option<DeliveryId>,
    limit: usize,
) -> Result<(Vec<Listed>, Option<DeliveryId>)> {
    let conn = view.conn;
    let before = match after {
        None => DeliveryKey::MAX,
        Some(id) => key_of(conn, id)?.ok_or_else(Error::bad_cursor)?,
    };
    let mut looked = Merged::new(conn, range, before)?;
    let mut found = Vec::new();
    for _ in 0..LOOKED_AT {
        let Some(key) = looked.next(conn)? else { return Ok((found, None)) };
        let Some(listed) = range.listed(conn, key)? else { continue };
        if found.len() == limit {
            let next = found.last().map(|listed: &Listed| listed.delivery.id);
            return Ok((found, next));
        }
        found.push(listed);
    }
    Ok((found, looked.last(conn)?))
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
    keys.iter().filter_map(|key| range.listed(view.conn, *key).transpose()).collect()
}

/// One delivery.
///
/// # Errors
/// [`Error::NotFound`] if there is none within the scope.
pub fn find(view: &View<'_>, scope: &AccessScope, id: DeliveryId) -> Result<Listed> {
    let range = Range::new(view, scope, Selection { delivery: Some(id), ..Selection::default() })?;
    let listed = key_of(view.conn, id)?.map(|key| range.listed(view.conn, key)).transpose()?;
    listed.flatten().ok_or(Error::NotFound(crate::error::Missing::Delivery))
}

fn key_of(conn: &Connection, id: DeliveryId) -> Result<Option<DeliveryKey>> {
    let mut rows = conn.prepare_cached("SELECT key FROM delivery WHERE id = ?")?;
    Ok(rows.query_row([id.to_bytes()], |row| row.get(0)).optional()?)
}

/// The smallest key of a delivery made at this time or later.
fn oldest_since(conn: &Connection, from: Timestamp) -> Result<Option<DeliveryKey>> {
    let sql = "SELECT id FROM delivery WHERE id >= ? ORDER BY id LIMIT 1";
    let Some(first) = moment_of(conn, sql, DeliveryId::first_of(from))? else { return Ok(None) };
    key_among(conn, "min", first, first + WRITTEN_WITHIN)
}

/// The greatest key of a delivery made at this time or earlier.
fn newest_until(conn: &Connection, to: Timestamp) -> Result<Option<DeliveryKey>> {
    let sql = "SELECT id FROM delivery WHERE id < ? ORDER BY id DESC LIMIT 1";
    let Some(last) = moment_of(conn, sql, DeliveryId::first_of(to + MOMENT))? else { return Ok(None) };
    let within = i64::try_from(WRITTEN_WITHIN.as_millis()).unwrap_or(i64::MAX);
    key_among(conn, "max", Timestamp::from_millis(last.millis().saturating_sub(within)), last)
}

fn moment_of(conn: &Connection, sql: &str, id: DeliveryId) -> Result<Option<Timestamp>> {
    let found = conn.prepare_cached(sql)?.query_row([id.to_bytes()], |row| row.get(0)).optional()?;
    Ok(found.map(|id| DeliveryId::from_bytes(id).minted_at()))
}

/// The smallest or greatest key of a delivery made between two times.
fn key_among(conn: &Connection, which: &str, from: Timestamp, to: Timestamp) -> Result<Option<DeliveryKey>> {
    let mut rows = conn.prepare_cached(&format!("SELECT {which}(key) FROM delivery WHERE id >= ? AND id < ?"))?;
    let [first, last] = [from, to + MOMENT].map(|moment| DeliveryId::first_of(moment).to_bytes());
    Ok(rows.query_row((first, last), |row| row.get(0))?)
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
