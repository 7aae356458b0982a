//! Alerts to the operator about the server itself: raised in the transaction that finds the reason, and delivered as the
//! alerts about endpoints are.

use std::time::Duration;

use rusqlite::{OptionalExtension, Row};

use super::{
    Result, Tx, View,
    alerts::{self, Progress},
    convert,
};
use crate::domain::{
    alert::AlertKey,
    ids::AlertId,
    operator_alert::{About, OperatorAlert},
    timestamp::Timestamp,
};

/// The same is said again after this time, unless all was well in between.
const AGAIN: Duration = Duration::from_secs(86_400);

/// Writes an alert to the operator, unless one about the same was written within a day and was not cleared since. `said`
/// is what happened, in a sentence or two without secrets. Returns whether it wrote one.
pub fn raise(tx: &Tx<'_>, about: About, said: &str) -> Result<bool> {
    if !may_be_raised(tx, about, said, tx.now)? {
        return Ok(false);
    }
    write(tx, about, said)?;
    Ok(true)
}

/// Writes an alert to the operator, also soon after one about the same.
pub(super) fn write(tx: &Tx<'_>, about: About, said: &str) -> Result<()> {
    tx.conn
        .prepare_cached(
            "INSERT INTO alert (id, kind, created_at, since, about, said) VALUES (?1, 'operator', ?2, ?2, ?3, ?4)",
        )?
        .execute((AlertId::mint(tx.now).to_bytes(), tx.now.millis(), about.name(), said))?;
    alerts::begin(tx)
}

/// Notes that all is well again, and tells the operator if an alert said otherwise: from now on the same may be raised at
/// once.
pub fn clear(tx: &Tx<'_>, about: About) -> Result<()> {
    let mut rows =
        tx.conn.prepare_cached("SELECT max(created_at) AS last FROM alert WHERE about = ? AND cleared_at IS NULL")?;
    let Some(last) = rows.query_row([about.name()], |row| convert::moment_if(row, "last"))? else { return Ok(()) };
    let sql = "UPDATE alert SET cleared_at = ?2 WHERE about = ?1 AND cleared_at IS NULL";
    tx.conn.prepare_cached(sql)?.execute((about.name(), tx.now.millis()))?;
    write(tx, About::Over, &format!("This is over: {}. The alert about it is of {last}.", about.title()))
}

/// Whether an alert about this was raised and is not cleared.
pub fn is_raised(view: &View<'_>, about: About) -> Result<bool> {
    let mut rows = view.conn.prepare_cached("SELECT 1 FROM alert WHERE about = ? AND cleared_at IS NULL LIMIT 1")?;
    Ok(rows.exists([about.name()])?)
}

/// Whether [`raise`] would write one now. Of files that everybody may read, another one is news within the day too.
pub fn may_be_raised(view: &View<'_>, about: About, said: &str, now: Timestamp) -> Result<bool> {
    let mut rows = view.conn.prepare_cached(
        "SELECT 1 FROM alert WHERE about = ? AND created_at > ? AND created_at <= ? AND cleared_at IS NULL AND (said = ? OR ?)",
    )?;
    let whatever_said = about != About::Exposed;
    Ok(!rows.exists((about.name(), (now - AGAIN).millis(), now.millis(), said, whatever_said))?)
}

/// An alert to the operator; `None` if it is gone, or is about an endpoint.
pub fn read(view: &View<'_>, key: AlertKey) -> Result<Option<OperatorAlert>> {
    let mut rows = view.conn.prepare_cached("SELECT * FROM alert WHERE key = ? AND about IS NOT NULL")?;
    Ok(rows.query_row([key], alert).optional()?)
}

/// The last alerts to the operator, newest first, each with the state of its channels.
pub fn list(view: &View<'_>, limit: usize) -> Result<Vec<(OperatorAlert, Vec<Progress>)>> {
    let mut rows = view
        .conn
        .prepare_cached("SELECT * FROM alert WHERE about IS NOT NULL ORDER BY created_at DESC, key DESC LIMIT ?")?;
    let found = rows.query_map([limit], alert)?.collect::<rusqlite::Result<Vec<_>>>()?;
    found.into_iter().map(|alert| Ok((alert.clone(), alerts::ways(view, alert.key)?))).collect()
}

fn alert(row: &Row<'_>) -> rusqlite::Result<OperatorAlert> {
    Ok(OperatorAlert {
        key: row.get("key")?,
        id: AlertId::from_bytes(row.get("id")?),
        about: convert::about(&row.get::<_, String>("about")?)?,
        said: row.get("said")?,
        created_at: convert::moment(row, "created_at")?,
        cleared_at: convert::moment_if(row, "cleared_at")?,
    })
}
