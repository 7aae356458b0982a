//! An overview of deliveries and webhooks.

use rusqlite::{Row, types::Value};

use super::{
    Result, View,
    stats::{self, Of},
};
use crate::domain::{
    stats::{Span, Stats},
    timestamp::Timestamp,
    token::Visible,
};

/// The overview within the visible part.
#[derive(Debug, Clone)]
pub struct Overview {
    /// Deliveries that wait for their next attempt.
    pub pending: u64,
    /// Those of them whose next attempt is due. The others have failed before and wait for their time.
    pub due: u64,
    /// Claimed deliveries: an attempt is under way or about to begin.
    pub in_flight: u64,
    /// Deliveries held until their webhook is resumed.
    pub held: u64,
    /// Deliveries that failed, without those whose event a replay has delivered since, and without tests.
    pub failed: u64,
    /// The due time of the longest due delivery; `None` if none is due.
    pub due_since: Option<Timestamp>,
    /// Active webhooks.
    pub active: u64,
    /// Those of them whose last attempt failed.
    pub failing: u64,
    /// Suspended webhooks.
    pub suspended: u64,
    /// The attempts of each minute of the last hour, oldest first.
    pub minutes: Vec<(Timestamp, Stats)>,
    /// The attempts of each hour of the last day, oldest first.
    pub hours: Vec<(Timestamp, Stats)>,
}

/// Reads the overview. Delivered and cancelled deliveries are not counted: that would read every delivery.
pub fn look(view: &View<'_>, visible: &Visible, now: Timestamp) -> Result<Overview> {
    let (whose, key) = match (visible.account, &visible.profile) {
        (Some(account), _) => ("account = ?1", Value::Integer(account)),
        (None, Some(profile)) => ("profile = ?1", Value::Text(profile.to_string())),
        (None, None) => ("?1 IS NULL", Value::Null),
    };
    let one = |sql: &str| -> Result<u64> {
        Ok(view.conn.prepare_cached(sql)?.query_row([&key], |row: &Row<'_>| row.get(0))?)
    };
    let count = |which: &str, index: &str| match key {
        // For all webhooks by the index of its own; for some of them, endpoint by endpoint.
        Value::Null => one(&format!("SELECT count(*) FROM delivery INDEXED BY {index} WHERE ?1 IS NULL AND {which}")),
        _ => one(&format!(
            "SELECT ifnull(sum((SELECT count(*) FROM delivery WHERE endpoint = endpoint.key AND {which})), 0)
             FROM endpoint WHERE {whose}"
        )),
    };
    let in_flight = one(&format!(
        "SELECT count(*) FROM delivery INDEXED BY delivery_claimed
         WHERE state = 'claimed' AND endpoint IN (SELECT key FROM endpoint WHERE {whose})"
    ))?;
    let webhooks = |which: &str| one(&format!("SELECT count(*) FROM endpoint WHERE {whose} AND {which}"));
    let due = {
        let mut rows = view.conn.prepare_cached(&format!(
            "SELECT ifnull(sum((SELECT count(*) FROM delivery WHERE endpoint = endpoint.key AND state = 'pending' AND due_at <= ?2)), 0)
             FROM endpoint WHERE {whose}"
        ))?;
        rows.query_row((&key, now.millis()), |row| row.get(0))?
    };
    // Reads only the first pending delivery of each endpoint.
    let mut rows = view.conn.prepare_cached(&format!(
        "SELECT min((SELECT due_at FROM delivery WHERE endpoint = endpoint.key AND state = 'pending' ORDER BY due_at LIMIT 1))
         FROM endpoint WHERE {whose} AND state = 'active'"
    ))?;
    let due_at: Option<i64> = rows.query_row([&key], |row| row.get(0))?;
    Ok(Overview {
        pending: count("state = 'pending'", "delivery_due")?,
        due,
        in_flight,
        held: count("state = 'held'", "delivery_held")?,
        failed: count("missed = 1", "delivery_missed")?,
        due_since: due_at.map(Timestamp::from_millis).filter(|due| *due <= now),
        active: webhooks("state = 'active'")?,
        failing: webhooks(
            "state = 'active' AND last_failure_at IS NOT NULL AND last_failure_at >= ifnull(last_success_at, 0)",
        )?,
        suspended: webhooks("state = 'suspended'")?,
        minutes: stats::series(view, Of::Visible(visible), Span::Minute, 60, now)?,
        hours: stats::series(view, Of::Visible(visible), Span::Hour, 24, now)?,
    })
}
