//! Alerts: what a person has to be told, written in the transaction that decided it.

use super::{Tx, View, convert, queue};
use crate::{
    domain::{
        delivery::{Attempt, DeliveryKey, Failure},
        endpoint::EndpointKey,
        ids::EndpointId,
        timestamp::Timestamp,
    },
    error::Result,
};

/// An alert that nobody has been told yet.
#[derive(Debug)]
pub struct Alert {
    /// The key of its row.
    pub key: i64,
    /// Whom to tell; `None` if the account has no address.
    pub addressee: Option<String>,
    /// The account whose endpoint was suspended.
    pub account_id: String,
    /// The endpoint's profile.
    pub profile: String,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Where it is.
    pub url: String,
    /// When it was suspended.
    pub created_at: Timestamp,
    /// When the first attempt of the delivery that was given up failed.
    pub failing_since: Timestamp,
    /// The class of the last failure.
    pub failure: String,
    /// The status of the last answer, if there was one.
    pub status: Option<u16>,
    /// How many deliveries were held at that moment.
    pub held: u64,
}

/// Writes the alert of an endpoint that was just suspended because this delivery was given up.
pub(super) fn suspended(tx: &Tx<'_>, endpoint: EndpointKey, delivery: DeliveryKey, last: &Attempt) -> Result<()> {
    tx.conn
        .prepare_cached(
            "INSERT INTO alert (endpoint, kind, created_at, addressee, failing_since, failure, status, held)
             SELECT ?1, 'suspended', ?2, account.alert_email, (SELECT min(started_at) FROM attempt WHERE delivery = ?3), ?4, ?5, ?6
             FROM endpoint JOIN account ON account.key = endpoint.account WHERE endpoint.key = ?1",
        )?
        .execute((
            endpoint,
            tx.now.millis(),
            delivery,
            last.failure.map(Failure::name),
            last.status,
            queue::held(tx.conn, endpoint)?,
        ))?;
    Ok(())
}

/// Held deliveries of this suspended endpoint will be cancelled before long: `held` of them wait, the oldest was made at
/// `oldest`. Comes once a week for an endpoint. It is in the log, not among the alerts.
pub(super) fn expiring(tx: &Tx<'_>, endpoint: EndpointKey, held: u64, oldest: Timestamp) -> Result<()> {
    let mut rows = tx.conn.prepare_cached("SELECT id FROM endpoint WHERE key = ?")?;
    let id = EndpointId::from_bytes(rows.query_row([endpoint], |row| row.get(0))?);
    tracing::warn!(endpoint.id = %id, held, oldest = %oldest, "what is held is cancelled when it is too old: resume the webhook");
    Ok(())
}

/// The alerts that nobody has been told yet, oldest first.
///
/// # Errors
/// Faults of the database only.
pub fn untold(view: &View<'_>) -> Result<Vec<Alert>> {
    let mut rows = view.conn.prepare_cached(
        "SELECT alert.*, endpoint.id AS endpoint_id, endpoint.profile, url, account.id AS account_id
         FROM alert JOIN endpoint ON endpoint.key = alert.endpoint JOIN account ON account.key = endpoint.account
         WHERE told_at IS NULL ORDER BY alert.key",
    )?;
    let rows = rows.query_map([], |row| {
        Ok(Alert {
            key: row.get("key")?,
            addressee: row.get("addressee")?,
            account_id: row.get("account_id")?,
            profile: row.get("profile")?,
            endpoint: EndpointId::from_bytes(row.get("endpoint_id")?),
            url: row.get("url")?,
            created_at: convert::moment(row, "created_at")?,
            failing_since: convert::moment(row, "failing_since")?,
            failure: row.get("failure")?,
            status: row.get("status")?,
            held: row.get("held")?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Notes that an alert was told.
///
/// # Errors
/// Faults of the database only.
pub fn told(tx: &Tx<'_>, key: i64) -> Result<()> {
    tx.conn.prepare_cached("UPDATE alert SET told_at = ? WHERE key = ?")?.execute((tx.now.millis(), key))?;
    Ok(())
}
