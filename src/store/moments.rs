//! Rows by the time at which they were made: an id holds its moment, so the index of the ids finds them.
//!
//! If the clock was set back, rows of a time that came twice may be missing in part.

use std::{ops::RangeInclusive, time::Duration};

use rusqlite::{Connection, OptionalExtension};

use super::Result;
use crate::domain::{ids::EventId, timestamp::Timestamp};

/// The resolution of times.
const MOMENT: Duration = Duration::from_millis(1);
/// A test delivery and its event get their ids when the attempt begins, and their rows when it has ended: up to a
/// minute later, and a little more while the writer is busy. Rows made in between have smaller keys.
const WRITTEN_WITHIN: Duration = Duration::from_secs(70);

/// The keys of the rows of this table that were made within a time, and of a few others.
pub(super) fn keys(
    conn: &Connection,
    table: &str,
    (from, to): (Option<Timestamp>, Option<Timestamp>),
) -> Result<RangeInclusive<i64>> {
    let oldest = from.map_or(Ok(Some(i64::MIN)), |from| oldest_since(conn, table, from))?;
    let newest = to.map_or(Ok(Some(i64::MAX - 1)), |to| newest_until(conn, table, to))?;
    Ok(oldest.unwrap_or(i64::MAX)..=newest.unwrap_or(i64::MIN))
}

/// The smallest key of a row made at this time or later.
fn oldest_since(conn: &Connection, table: &str, from: Timestamp) -> Result<Option<i64>> {
    let sql = format!("SELECT id FROM {table} WHERE id >= ? ORDER BY id LIMIT 1");
    let Some(first) = moment_of(conn, &sql, from)? else { return Ok(None) };
    key_among(conn, table, "min", first, first + WRITTEN_WITHIN)
}

/// The greatest key of a row made at this time or earlier.
fn newest_until(conn: &Connection, table: &str, to: Timestamp) -> Result<Option<i64>> {
    let sql = format!("SELECT id FROM {table} WHERE id < ? ORDER BY id DESC LIMIT 1");
    let Some(last) = moment_of(conn, &sql, to + MOMENT)? else { return Ok(None) };
    let within = i64::try_from(WRITTEN_WITHIN.as_millis()).unwrap_or(i64::MAX);
    key_among(conn, table, "max", Timestamp::from_millis(last.millis().saturating_sub(within)), last)
}

// The ids of all tables have one form: the moment, then random bytes.
fn moment_of(conn: &Connection, sql: &str, at: Timestamp) -> Result<Option<Timestamp>> {
    let found = conn.prepare_cached(sql)?.query_row([EventId::first_of(at).to_bytes()], |row| row.get(0)).optional()?;
    Ok(found.map(|id| EventId::from_bytes(id).minted_at()))
}

/// The smallest or greatest key of a row made between two times.
fn key_among(conn: &Connection, table: &str, which: &str, from: Timestamp, to: Timestamp) -> Result<Option<i64>> {
    let mut rows = conn.prepare_cached(&format!("SELECT {which}(key) FROM {table} WHERE id >= ? AND id < ?"))?;
    let [first, last] = [from, to + MOMENT].map(|moment| EventId::first_of(moment).to_bytes());
    Ok(rows.query_row((first, last), |row| row.get(0))?)
}
