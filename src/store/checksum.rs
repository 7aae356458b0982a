//! Checksums of stored event bodies. SQLite keeps none: it does not notice a byte that the disk changes within a text.
//!
//! The checksum is the CRC-32 of the body's bytes. It finds every change of one or two bits and every change within 32
//! bits in a row, for bodies of any length; it misses one of four billion other changes. It costs less than 0.1
//! microseconds for an event of 600 bytes. It protects against faults of the disk, not against people: who can write
//! the file can write a checksum.

use std::sync::PoisonError;

use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, types::ValueRef};

use super::{Result, SMALL_BODY, Tx, convert};
use crate::domain::{
    event::{Damaged, EventKey, StoredBody},
    ids::EventId,
};

/// The checksum that is stored with a body.
pub(super) fn checksum(body: &str) -> u32 {
    crc32fast::hash(body.as_bytes())
}

/// Reads the columns `body` and `checksum` of an event's row. A row of an older version has no checksum: then only the
/// encoding is checked.
pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<StoredBody> {
    let ValueRef::Text(bytes) = row.get_ref("body")? else { return Ok(Err(Damaged)) };
    let intact = match row.get_ref("checksum")? {
        ValueRef::Null => true,
        ValueRef::Integer(stored) => stored == i64::from(crc32fast::hash(bytes)),
        _ => false,
    };
    Ok(std::str::from_utf8(bytes).ok().filter(|_| intact).map(Into::into).ok_or(Damaged))
}

/// Bytes of a row that fit in one page, with any content of the smaller columns. The rest of a longer row is in a chain
/// of further pages.
const IN_A_PAGE: u32 = 3800;

/// The parts of an event that are sent.
pub(super) struct ToSend {
    pub(super) id: EventId,
    pub(super) kind: String,
    /// Whether it is sample data.
    pub(super) test: bool,
    /// Bytes of the body.
    pub(super) size: usize,
    /// `None` for a large body: [`read_long`] reads it.
    pub(super) body: Option<StoredBody>,
}

/// Reads the parts of an event that are sent, except a large body.
///
/// For damage in a chain of pages SQLite ends the whole transaction. So a long body is read by the read-only
/// connection. A body that this transaction has written cannot be damaged yet.
pub(super) fn to_send(tx: &Tx<'_>, event: EventKey) -> Result<ToSend> {
    let mut rows = tx.conn.prepare_cached(
        "SELECT id, kind, test, size, is_long, iif(is_long, '', body) AS body, iif(is_long, NULL, checksum) AS checksum
         FROM (SELECT *, octet_length(body) AS size,
                 octet_length(body) + ifnull(octet_length(target), 0) + ifnull(octet_length(idempotency_key), 0) > ?2 AS is_long
               FROM event WHERE key = ?1)",
    )?;
    let row = rows.query_row((event, IN_A_PAGE), |row| {
        let id = EventId::from_bytes(row.get("id")?);
        let body = Some(read(row)?).filter(|_| !row.get("is_long").unwrap_or(false));
        Ok(ToSend { id, kind: convert::text(row, "kind")?, test: row.get("test")?, size: row.get("size")?, body })
    });
    let damaged = || ToSend {
        id: EventId::from_bytes([0; 16]),
        kind: String::new(),
        test: false,
        size: 0,
        body: Some(Err(Damaged)),
    };
    let mut found = row.or_else(|error| unless_damage(error, damaged))?;
    if found.body.is_none() && found.size <= SMALL_BODY {
        found.body = Some(read_long(tx, event)?);
    }
    Ok(found)
}

/// Reads the body of an event that fills more than one page.
pub(super) fn read_long(tx: &Tx<'_>, event: EventKey) -> Result<StoredBody> {
    let long = |conn: &Connection| {
        conn.prepare_cached("SELECT body, checksum FROM event WHERE key = ?")?.query_row([event], read).optional()
    };
    let committed = long(&tx.inline_reader.lock().unwrap_or_else(PoisonError::into_inner));
    match committed.or_else(|error| unless_damage(error, || Some(Err(Damaged))))? {
        Some(body) => Ok(body),
        None => Ok(long(tx.conn)?.unwrap_or(Err(Damaged))),
    }
}

/// Replaces the error of a damaged row by a value; any other error stays.
pub(super) fn unless_damage<T>(error: rusqlite::Error, damaged: impl FnOnce() -> T) -> rusqlite::Result<T> {
    if is_damage(&error) { Ok(damaged()) } else { Err(error) }
}

/// Whether this error means one damaged row, and not a fault of the whole database.
fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{
        FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, QueryReturnedNoRows, Utf8Error,
    };
    error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt)
        || matches!(
            error,
            FromSqlConversionFailure(..)
                | IntegralValueOutOfRange(..)
                | InvalidColumnType(..)
                | QueryReturnedNoRows
                | Utf8Error(..)
        )
}

/// Reads every stored body and returns the names of the events whose bodies are damaged. `progress` gets the percentage
/// done, after every thousandth event.
///
/// # Errors
/// Any fault of the database other than a damaged row.
pub(super) fn damaged(conn: &Connection, mut progress: impl FnMut(u8)) -> rusqlite::Result<Vec<String>> {
    let checksum = if conn.column_exists(None, "event", "checksum")? { "checksum" } else { "NULL" };
    let mut rows =
        conn.prepare(&format!("SELECT key, id, body, {checksum} AS checksum FROM event WHERE key > ? ORDER BY key"))?;
    let mut next = conn.prepare("SELECT key FROM event WHERE key > ? ORDER BY key LIMIT 1")?;
    let last: EventKey = conn.query_row("SELECT ifnull(max(key), 0) FROM event", [], |row| row.get(0))?;
    let (mut named, mut done): (_, EventKey) = (Vec::new(), EventKey::MIN);
    loop {
        let mut rows = rows.query([done])?;
        let broken = loop {
            let row = match rows.next() {
                Ok(Some(row)) => row,
                Ok(None) => return Ok(named),
                Err(error) => break error,
            };
            done = row.get("key")?;
            if read(row)?.is_err() {
                let id = row.get("id").map(EventId::from_bytes).map(|id| id.to_string());
                named.push(id.unwrap_or_else(|_| format!("of row {done}")));
            }
            if done % 1000 == 0 {
                progress(u8::try_from(done.saturating_mul(100) / last.max(1)).unwrap_or(100));
            }
        };
        if !is_damage(&broken) {
            return Err(broken);
        }
        // The row after the last readable one is broken: it is skipped.
        drop(rows);
        done = next.query_row([done], |row| row.get(0))?;
        named.push(format!("of row {done}"));
    }
}
