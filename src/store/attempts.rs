//! Attempts: one row for each ended attempt.

use std::sync::Arc;

use rusqlite::OptionalExtension;

use super::{Result, Tx, checksum, shares};
use crate::{
    domain::{
        account::AccountKey,
        delivery::{Attempt, DeliveryKey, Failure, State},
        endpoint::EndpointKey,
        failure_details::FailureDetails,
        ids::{DeliveryId, EventId},
        timestamp::Timestamp,
    },
    error::{Error, Missing},
};

/// Writes an attempt of a delivery. The receiver's answer counts as stored by its account.
pub(super) fn record(tx: &Tx<'_>, delivery: DeliveryKey, attempt: &Attempt) -> Result<()> {
    let response = Some(&attempt.response).filter(|response| !response.is_empty());
    let FailureDetails { reason, headers } = &attempt.details;
    let kept = attempt.response.len() + headers.as_ref().map_or(0, String::len);
    if kept > 0 {
        let mut rows = tx.conn.prepare_cached(
            "SELECT account FROM delivery JOIN endpoint ON endpoint.key = endpoint WHERE delivery.key = ?",
        )?;
        if let Some(account) = rows.query_row([delivery], |row| row.get(0)).optional()? {
            shares::stores(tx, account, kept);
        }
    }
    tx.conn
        .prepare_cached(
            "INSERT INTO attempt (delivery, number, started_at, duration_ms, failure, status, response, truncated, next_attempt_at,
               reason, headers)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute((
            delivery,
            attempt.number,
            attempt.started_at.millis(),
            attempt.duration.map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
            attempt.failure.map(Failure::name),
            attempt.status,
            response,
            attempt.truncated,
            attempt.next_attempt_at.map(Timestamp::millis),
            reason,
            headers,
        ))?;
    Ok(())
}

/// A test delivery: one attempt outside the state machine, written when it has ended.
#[derive(Debug)]
pub struct TestRecord {
    /// Its delivery's id.
    pub delivery: DeliveryId,
    /// Its event's id.
    pub event: EventId,
    /// The event's name.
    pub kind: String,
    /// The stored body.
    pub body: Arc<str>,
    /// The attempt.
    pub attempt: Attempt,
}

/// Writes a test delivery with its event and its one attempt. A good test is a success of its endpoint, which then does
/// not count as failing any more.
///
/// # Errors
/// [`Error::NotFound`] if the endpoint's account was erased meanwhile.
pub fn record_test(tx: &Tx<'_>, endpoint: EndpointKey, test: &TestRecord) -> Result<()> {
    let at = test.attempt.started_at.millis();
    let account = tx
        .conn
        .prepare_cached(
            "INSERT INTO event (id, account, kind, body, accepted_at, test, checksum)
             SELECT ?1, account, ?2, ?3, ?4, 1, ?6 FROM endpoint WHERE key = ?5 AND profile != '' RETURNING account",
        )?
        .query_row(
            (test.event.to_bytes(), &test.kind, &test.body, at, endpoint, checksum::checksum(&test.body)),
            |row| row.get(0),
        )
        .optional()?;
    let account: AccountKey = account.ok_or(Error::NotFound(Missing::Webhook))?;
    if test.attempt.failure.is_none() {
        tx.conn
            .prepare_cached("UPDATE endpoint SET last_success_at = ? WHERE key = ?")?
            .execute((tx.now.millis(), endpoint))?;
    }
    shares::stores(tx, account, test.body.len());
    let event = tx.conn.last_insert_rowid();
    let state = if test.attempt.failure.is_none() { State::Delivered } else { State::Exhausted };
    tx.conn
        .prepare_cached(
            "INSERT INTO delivery (id, event, endpoint, state, attempts, tries, created_at) VALUES (?, ?, ?, ?, 1, 1, ?)",
        )?
        .execute((test.delivery.to_bytes(), event, endpoint, state.name(), at))?;
    record(tx, tx.conn.last_insert_rowid(), &test.attempt)
}
