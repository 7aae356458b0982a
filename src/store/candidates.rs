//! The candidates of a recovery: the deliveries that it may replay, found and counted in small reads.

use std::time::Duration;

use rusqlite::Connection;

use super::{
    Db, Result, View, cascade,
    deliveries::{self, JOINS},
    search::{FITS, Range},
};
use crate::{
    clock::Stopwatch,
    domain::{
        audit::Actor,
        delivery::{DeliveryKey, State},
        endpoint::{EndpointKey, EndpointState},
        selection::Selection,
        token::Visible,
    },
    error::Error,
};

/// Deliveries read at once.
const LOOKED_AT: usize = 1000;
/// Most unfinished deliveries of one endpoint while a recovery adds replays.
const WAITING: usize = 100;

/// The deliveries that a recovery may replay: a range, up to the newest delivery at some moment.
#[derive(Debug, Clone)]
pub struct Candidates {
    pub(super) range: Range,
    pub(super) upto: DeliveryKey,
}

impl Candidates {
    /// The deliveries of a selection up to now, in the final state that it names, or in any. Of a delivery and its
    /// replay only the replay counts; test deliveries are never replayed.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an account or a webhook that is not visible; [`Error::Invalid`] for a state
    /// that is not final.
    pub fn new(view: &View<'_>, visible: &Visible, selection: Selection) -> Result<Self> {
        if !selection.state.is_none_or(State::is_final) {
            return Err(Error::request(
                "only deliveries that failed, were delivered or were cancelled can be replayed",
            ));
        }
        let range = Range::new(view, visible, selection)?;
        let upto = newest(view.conn)?.min(*range.keys(view.conn)?.end());
        Ok(Self { range, upto })
    }

    /// The endpoints in question, each with the key after which there may be candidates.
    pub fn endpoints(&self, view: &View<'_>) -> Result<Vec<(EndpointKey, DeliveryKey)>> {
        let endpoints = match self.range.endpoints(view.conn, i32::MAX as usize)? {
            Some(endpoints) => endpoints,
            None => {
                let mut rows = view.conn.prepare_cached("SELECT key FROM endpoint WHERE ?1 IS NULL OR profile = ?1")?;
                rows.query_map([&self.range.profile], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?
            }
        };
        let after = self.range.keys(view.conn)?.start().saturating_sub(1);
        Ok(endpoints.into_iter().map(|endpoint| (endpoint, after)).collect())
    }
}

fn newest(conn: &Connection) -> Result<DeliveryKey> {
    let mut rows = conn.prepare_cached("SELECT ifnull(max(key), 0) FROM delivery")?;
    Ok(rows.query_row([], |row| row.get(0))?)
}

/// The candidates among some of an endpoint's deliveries.
#[derive(Debug)]
pub struct Look {
    /// The endpoint.
    pub endpoint: EndpointKey,
    /// Whether its deliveries can be replayed: whether it is active.
    pub active: bool,
    /// The matching deliveries, oldest first.
    pub keys: Vec<DeliveryKey>,
    /// The last key that was read.
    pub after: DeliveryKey,
    /// Whether the endpoint has no more.
    pub ended: bool,
}

/// Finds at most `most` further candidates of this endpoint, after the key `after`.
pub fn look(
    view: &View<'_>,
    candidates: &Candidates,
    endpoint: EndpointKey,
    after: DeliveryKey,
    most: usize,
) -> Result<Look> {
    let state = cascade::state_in(view.conn, endpoint)?;
    let active = state == EndpointState::Active;
    if let Some(id) = candidates.range.selection.delivery {
        let keys = deliveries::key_of(view.conn, endpoint, id)?.into_iter().collect();
        return Ok(Look { endpoint, active, keys, after, ended: true });
    }
    let exhausted = candidates.range.selection.state == Some(State::Exhausted);
    let mut rows = view.conn.prepare_cached(match exhausted {
        true => {
            "SELECT key FROM delivery INDEXED BY delivery_exhausted
             WHERE endpoint = ? AND key > ? AND key <= ? AND state = 'exhausted' ORDER BY key LIMIT ?"
        }
        false => {
            "SELECT key FROM delivery INDEXED BY delivery_of_endpoint
             WHERE endpoint = ? AND key > ? AND key <= ? ORDER BY key LIMIT ?"
        }
    })?;
    let keys = rows.query_map((endpoint, after, candidates.upto, LOOKED_AT), |row| row.get(0))?;
    let keys: Vec<DeliveryKey> = keys.collect::<rusqlite::Result<_>>()?;
    let mut look = Look { endpoint, active, keys: Vec::new(), after, ended: keys.len() < LOOKED_AT };
    for key in keys {
        if look.keys.len() == most {
            look.ended = false;
            break;
        }
        look.after = key;
        if is_due(view.conn, &candidates.range, key)? {
            look.keys.push(key);
        }
    }
    Ok(look)
}

/// Whether this delivery is in the range, has ended and was not replayed. A delivery that is named alone may have been
/// replayed, and may be in any state.
pub(super) fn is_due(conn: &Connection, range: &Range, key: DeliveryKey) -> Result<bool> {
    let sql = format!(
        "SELECT 1 FROM delivery d {JOINS} JOIN account c ON c.key = p.account
         WHERE d.key = :key AND {FITS} 
           AND (:delivery IS NOT NULL
             OR e.test = 0 AND d.replayed = 0 AND d.state IN ('exhausted', 'delivered', 'cancelled'))"
    );
    Ok(range.query(conn, &sql, key, |_| Ok(()))?.is_some())
}

/// Free replay slots: 100 minus pending and in-flight deliveries. Deliveries under way may fail and wait again; those
/// that wait for their next try count too, so that a receiver that fails at once does not get everything once.
pub fn free_replays(view: &View<'_>, endpoint: EndpointKey) -> Result<usize> {
    let mut rows = view.conn.prepare_cached(
        "SELECT (SELECT count(*) FROM (SELECT 1 FROM delivery WHERE endpoint = ?1 AND state = 'pending' LIMIT ?2))
              + (SELECT count(*) FROM delivery INDEXED BY delivery_claimed WHERE endpoint = ?1 AND state = 'claimed')",
    )?;
    let waiting: usize = rows.query_row((endpoint, WAITING), |row| row.get(0))?;
    Ok(WAITING.saturating_sub(waiting))
}

/// The number of candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Matching deliveries.
    pub matched: u64,
    /// Those of them whose webhook is suspended or deleted: a recovery would skip them.
    pub skipped: u64,
    /// Whether everything was counted within the time.
    pub complete: bool,
}

/// Counts the deliveries that a recovery over these candidates would replay, in many small reads, for at most `patience`.
///
/// # Errors
/// As [`Db::read_as`].
pub async fn count(db: &Db, actor: Actor, candidates: &Candidates, patience: Duration) -> Result<Count> {
    let (of, watch) = (candidates.clone(), Stopwatch::start());
    let mut count = Count { matched: 0, skipped: 0, complete: true };
    for (endpoint, mut after) in db.read_as(actor, move |view| of.endpoints(view)).await? {
        let mut ended = false;
        while !ended {
            let of = candidates.clone();
            let look = db.read_as(actor, move |view| look(view, &of, endpoint, after, usize::MAX)).await?;
            (after, ended) = (look.after, look.ended);
            count.matched += look.keys.len() as u64;
            count.skipped += if look.active { 0 } else { look.keys.len() as u64 };
            if watch.elapsed() >= patience {
                return Ok(Count { complete: false, ..count });
            }
        }
    }
    Ok(count)
}
