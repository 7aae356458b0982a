//! Mails about suspensions of one account: those that come soon after one that was sent wait, and go together.

use std::time::Duration;

use super::{Result, Tx, View, alerts::Which, convert};
use crate::domain::{alert::AlertKey, ids::AlertId, timestamp::Timestamp};

/// After a mail about a suspension, the next one of the same account waits for this long, for others to join it.
const GATHERED: Duration = Duration::from_secs(300);
/// Most webhooks in a mail.
const TOGETHER: usize = 50;

/// The deliveries by mail of suspensions, with their accounts.
const FROM: &str = "FROM endpoint AS own JOIN endpoint ON endpoint.account = own.account
    JOIN alert ON alert.endpoint = endpoint.key AND kind = 'suspended'
    JOIN alert_delivery ON alert_delivery.alert = alert.key AND channel = 'mail'
    WHERE own.key = (SELECT endpoint FROM alert WHERE key = ?1)";

/// Until when the mail of this suspension waits, if one of its account was sent just before.
pub fn waits_until(view: &View<'_>, alert: AlertKey, now: Timestamp) -> Result<Option<Timestamp>> {
    let mut rows = view.conn.prepare_cached(&format!("SELECT max(told_at) AS at {FROM} AND told_at <= ?2"))?;
    let last = rows.query_row((alert, now.millis()), |row| convert::moment_if(row, "at"))?;
    Ok(last.map(|last| last + GATHERED).filter(|until| *until > now))
}

/// Lets the mail of an alert wait until then. That is no try.
pub fn wait(tx: &Tx<'_>, (alert, _): Which, until: Timestamp) -> Result<()> {
    let sql = "UPDATE alert_delivery SET due_at = ? WHERE alert = ? AND channel = 'mail' AND due_at IS NOT NULL";
    tx.conn.prepare_cached(sql)?.execute((until.millis(), alert))?;
    Ok(())
}

/// The unsent suspensions of the account of this one, but itself, oldest first: they go in one mail with it.
pub fn others(view: &View<'_>, alert: AlertKey) -> Result<Vec<Which>> {
    let mut rows = view.conn.prepare_cached(&format!(
        "SELECT alert.key, alert.id {FROM} AND due_at IS NOT NULL AND alert.key != ?1 ORDER BY alert.key LIMIT ?2"
    ))?;
    let found = rows.query_map((alert, TOGETHER - 1), |row| Ok((row.get(0)?, AlertId::from_bytes(row.get(1)?))))?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}
