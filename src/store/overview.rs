//! How everything stands, for a glance.

use rusqlite::{Row, types::Value};

use super::{
    Result, View,
    stats::{self, Of},
};
use crate::domain::{
    stats::{Span, Stats},
    timestamp::Timestamp,
    token::AccessScope,
};

/// How everything within somebody's scope stands.
#[derive(Debug, Clone)]
pub struct Overview {
    /// Deliveries that wait for their next attempt.
    pub pending: u64,
    /// Of these, those whose next attempt is due: the others have failed before, and wait for their time.
    pub due: u64,
    /// Deliveries that are claimed: an attempt is under way, or about to be.
    pub in_flight: u64,
    /// Deliveries that are held until their webhook is resumed.
    pub held: u64,
    /// Deliveries that were given up.
    pub failed: u64,
    /// Since when the delivery that is due longest waits; `None` if nothing is due.
    pub due_since: Option<Timestamp>,
    /// Webhooks that are delivered to.
    pub active: u64,
    /// Of these, those whose last attempt failed.
    pub failing: u64,
    /// Webhooks whose deliveries are held.
    pub suspended: u64,
    /// What was attempted in each minute of the last hour, oldest first.
    pub minutes: Vec<(Timestamp, Stats)>,
    /// What was attempted in each hour of the last day, oldest first.
    pub hours: Vec<(Timestamp, Stats)>,
}

/// Looks around. What was delivered or cancelled is not counted: that would take a look at every delivery there is.
pub fn look(view: &View<'_>, scope: &AccessScope, now: Timestamp) -> Result<Overview> {
    let (whose, key) = match (scope.account, &scope.profile) {
        (Some(account), _) => ("account = ?1", Value::Integer(account)),
        (None, Some(profile)) => ("profile = ?1", Value::Text(profile.to_string())),
        (None, None) => ("?1 IS NULL", Value::Null),
    };
    let one = |sql: &str| -> Result<u64> {
        Ok(view.conn.prepare_cached(sql)?.query_row([&key], |row: &Row<'_>| row.get(0))?)
    };
    let count = |state: &str, index: &str| match key {
        // By the index of the state alone, endpoint by endpoint only where not all are meant.
        Value::Null => {
            one(&format!("SELECT count(*) FROM delivery INDEXED BY {index} WHERE ?1 IS NULL AND state = '{state}'"))
        }
        _ => one(&format!(
            "SELECT ifnull(sum((SELECT count(*) FROM delivery WHERE endpoint = endpoint.key AND state = '{state}')), 0)
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
    // The head of each endpoint: what else is pending is not looked at.
    let mut rows = view.conn.prepare_cached(&format!(
        "SELECT min((SELECT due_at FROM delivery WHERE endpoint = endpoint.key AND state = 'pending' ORDER BY due_at LIMIT 1))
         FROM endpoint WHERE {whose} AND state = 'active'"
    ))?;
    let due_at: Option<i64> = rows.query_row([&key], |row| row.get(0))?;
    Ok(Overview {
        pending: count("pending", "delivery_due")?,
        due,
        in_flight,
        held: count("held", "delivery_held")?,
        failed: count("exhausted", "delivery_exhausted")?,
        due_since: due_at.map(Timestamp::from_millis).filter(|due| *due <= now),
        active: webhooks("state = 'active'")?,
        failing: webhooks(
            "state = 'active' AND last_failure_at IS NOT NULL AND last_failure_at >= ifnull(last_success_at, 0)",
        )?,
        suspended: webhooks("state = 'suspended'")?,
        minutes: stats::series(view, Of::Scope(scope), Span::Minute, 60, now)?,
        hours: stats::series(view, Of::Scope(scope), Span::Hour, 24, now)?,
    })
}
