//! Lanes: each endpoint's place in the order of serving, and how many places in flight it holds.
//!
//! A lane's turn is the due time of its first pending delivery, or the moment it was last served if that is later: so the
//! lane that has waited longest comes first, and what one endpoint has waiting costs the others nothing.

use rusqlite::OptionalExtension;

use super::Tx;
use crate::{
    domain::{endpoint::EndpointKey, timestamp::Timestamp},
    error::Result,
};

/// A lane whose turn has come.
pub(super) struct Lane {
    pub(super) endpoint: EndpointKey,
    pub(super) turn_at: Timestamp,
    pub(super) in_flight: usize,
    pub(super) proven: bool,
    pub(super) probation: bool,
}

impl Lane {
    /// How many places it may hold: one, until it has ended an attempt in time.
    pub(super) fn limit(&self, per_endpoint: usize) -> usize {
        if self.proven { per_endpoint } else { 1 }
    }
}

/// How a claim ended, as far as its lane cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// In time, well or not.
    InTime,
    /// By the time-out: the endpoint is on probation until an attempt ends in time.
    TimedOut,
    /// Nobody knows.
    Lost,
}

/// Makes the lane of a new endpoint. Until it has ended an attempt in time it holds one place.
pub(super) fn create(tx: &Tx<'_>, endpoint: EndpointKey) -> Result<()> {
    tx.conn.prepare_cached("INSERT INTO lane (endpoint) VALUES (?)")?.execute([endpoint])?;
    Ok(())
}

/// Something of this endpoint is due at this moment: its turn comes no later.
pub(super) fn due(tx: &Tx<'_>, endpoint: EndpointKey, at: Timestamp) -> Result<()> {
    tx.conn
        .prepare_cached("UPDATE lane SET turn_at = ?2 WHERE endpoint = ?1 AND (turn_at IS NULL OR turn_at > ?2)")?
        .execute((endpoint, at.millis()))?;
    tx.wakes.set(true);
    Ok(())
}

/// Nothing of this endpoint is pending any more.
pub(super) fn rest(tx: &Tx<'_>, endpoint: EndpointKey) -> Result<()> {
    tx.conn.prepare_cached("UPDATE lane SET turn_at = NULL WHERE endpoint = ?")?.execute([endpoint])?;
    Ok(())
}

/// The turn of this endpoint comes no sooner than at this moment.
pub(super) fn postpone(tx: &Tx<'_>, endpoint: EndpointKey, until: Timestamp) -> Result<()> {
    tx.conn.prepare_cached("UPDATE lane SET turn_at = ?2 WHERE endpoint = ?1")?.execute((endpoint, until.millis()))?;
    Ok(())
}

/// The lanes whose turn has come, those that have waited longest first.
pub(super) fn ready(tx: &Tx<'_>, probation: bool, limit: usize) -> Result<Vec<Lane>> {
    let mut rows = tx.conn.prepare_cached(
        "SELECT endpoint, turn_at, in_flight, proven FROM lane
         WHERE full = 0 AND probation = ?1 AND turn_at <= ?2 ORDER BY turn_at LIMIT ?3",
    )?;
    let rows = rows.query_map((probation, tx.now.millis(), limit), |row| {
        Ok(Lane {
            endpoint: row.get(0)?,
            turn_at: Timestamp::from_millis(row.get(1)?),
            in_flight: row.get(2)?,
            proven: row.get(3)?,
            probation,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// A lane was served: it holds so many places now, and goes to the back of the order.
pub(super) fn served(tx: &Tx<'_>, lane: &Lane, claimed: usize, full: bool) -> Result<()> {
    tx.conn
        .prepare_cached(
            "UPDATE lane SET in_flight = in_flight + ?2, full = ?3, turn_at =
               (SELECT max(due_at, ?4) FROM delivery WHERE endpoint = ?1 AND state = 'pending' ORDER BY due_at LIMIT 1)
             WHERE endpoint = ?1",
        )?
        .execute((lane.endpoint, claimed, full, tx.now.millis()))?;
    Ok(())
}

/// A claim has ended: its place is free again.
pub(super) fn freed(tx: &Tx<'_>, endpoint: EndpointKey, ended: Ended) -> Result<()> {
    let sql = match ended {
        Ended::InTime => {
            "UPDATE lane SET in_flight = in_flight - 1, full = 0, proven = 1, probation = 0 WHERE endpoint = ?"
        }
        // It may hold one place now: it is full while others are still under way.
        Ended::TimedOut => {
            "UPDATE lane SET in_flight = in_flight - 1, full = in_flight > 1, proven = 0, probation = 1 WHERE endpoint = ?"
        }
        Ended::Lost => {
            "UPDATE lane SET in_flight = in_flight - 1, full = proven = 0 AND in_flight > 1 WHERE endpoint = ?"
        }
    };
    tx.conn.prepare_cached(sql)?.execute([endpoint])?;
    Ok(())
}

/// When the next lane's turn comes; those on probation are left out while they may hold no more places.
pub(super) fn next_turn(tx: &Tx<'_>, with_probation: bool) -> Result<Option<Timestamp>> {
    let mut next = Vec::new();
    for probation in if with_probation { &[false, true][..] } else { &[false] } {
        let turn = tx
            .conn
            .prepare_cached(
                "SELECT turn_at FROM lane WHERE full = 0 AND probation = ? AND turn_at IS NOT NULL ORDER BY turn_at LIMIT 1",
            )?
            .query_row([probation], |row| row.get(0))
            .optional()?;
        next.extend(turn.map(Timestamp::from_millis));
    }
    Ok(next.into_iter().min())
}
