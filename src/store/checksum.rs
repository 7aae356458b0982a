//! The stored bodies of events, each with a checksum of its own: SQLite keeps none, and notices no byte that a disk changes
//! within a text.
//!
//! The checksum is the CRC-32 of the body's bytes. It finds every change of one or two bits and of up to 32 bits in a row,
//! whatever the body's length, and misses one of four billion others. It costs less than 0.1 microseconds for an event of
//! 600 bytes. It guards against faults of the disk, not against a person: who can write to the file can write a checksum.

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

/// Reads the columns `body` and `checksum` of an event's row. A row of an older version has no checksum: of its body only the
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

/// Bytes of a row that lie in one page, whatever the smaller columns hold. The rest of a longer row is a chain of pages.
const IN_A_PAGE: u32 = 3800;

/// What is sent of an event.
pub(super) struct ToSend {
    pub(super) id: EventId,
    pub(super) kind: String,
    /// Whether it is sample data.
    pub(super) test: bool,
    /// Bytes of the body.
    pub(super) size: usize,
    /// `None` if it is large: [`read_long`] reads it.
    pub(super) body: Option<StoredBody>,
}

/// Reads what is sent of an event, but for a large body.
///
/// Damage in a chain of pages is an error of SQLite's that ends the whole transaction. So a long body is read by the connection
/// that only reads; one that this transaction has made is not damaged yet.
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

/// Reads the body of an event that lies in a chain of pages.
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

/// What stands for a row that is damaged; any other error stays one.
fn unless_damage<T>(error: rusqlite::Error, damaged: impl FnOnce() -> T) -> rusqlite::Result<T> {
    if is_damage(&error) { Ok(damaged()) } else { Err(error) }
}

/// Whether this error says that a row is damaged, and nothing of the rest of the database.
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

/// Reads every stored body, and names the events whose bodies are damaged. `progress` gets the percentage that is done, after
/// every thousandth event.
///
/// # Errors
/// Faults of the database other than damaged rows.
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
        // The row after the last one that was read is broken within the file: it is passed over.
        drop(rows);
        done = next.query_row([done], |row| row.get(0))?;
        named.push(format!("of row {done}"));
    }
}
