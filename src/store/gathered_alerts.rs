//! Alerts of one kind about webhooks of one account, which go together by a channel that people read: one cause, one
//! message.

use std::time::Duration;

use rusqlite::{OptionalExtension, params};

use super::{Result, Tx, View, convert};
use crate::domain::{
    alert::{AlertKey, Channel},
    timestamp::Timestamp,
};

/// The longest wait of an alert for others, and the shortest time between two messages.
const GATHERED: Duration = Duration::from_secs(300);
/// Most webhooks in a message.
const TOGETHER: usize = 200;
/// An alert that waited longer than this for its message makes no other one wait.
const LATELY: Duration = Duration::from_secs(86_400);
/// Why an alert was not sent.
const OVER: &str = "it was over before it was sent";

/// What becomes of an alert that is due by such a channel.
#[derive(Debug)]
pub enum Together {
    /// These go now in one message, oldest first.
    Go(Vec<AlertKey>),
    /// All that would go with it wait until then.
    Wait(Group, Timestamp),
    /// Some of what is unsent by this channel is over: first these are dropped.
    Drop(Vec<AlertKey>),
}

/// The kind of alert, and the account, that make one message.
#[derive(Debug)]
pub struct Group {
    account: i64,
    kind: String,
    damaged: bool,
}

/// What becomes of this alert, which is due by this channel. It waits until no other has come for `gather`.
pub fn look(view: &View<'_>, alert: AlertKey, channel: &Channel, gather: Duration, now: Timestamp) -> Result<Together> {
    let over = over(view, channel)?;
    if !over.is_empty() {
        return Ok(Together::Drop(over));
    }
    let Some(group) = group(view, alert)? else { return Ok(Together::Go(Vec::new())) };
    if let Some(until) = group.waits_until(view, channel, gather, now)? {
        return Ok(Together::Wait(group, until));
    }
    let oldest = group.oldest(view, channel)?;
    // None of a full message may be due: it was tried lately, and this one would come after it.
    Ok(match oldest.iter().map(|(_, due)| *due).min() {
        Some(due) if due > now => Together::Wait(group, due),
        _ => Together::Go(oldest.into_iter().map(|(alert, _)| alert).collect()),
    })
}

fn group(view: &View<'_>, alert: AlertKey) -> Result<Option<Group>> {
    let mut rows = view.conn.prepare_cached(
        "SELECT account, kind, failure IS 'damaged' AS damaged FROM alert JOIN endpoint ON endpoint.key = alert.endpoint
         WHERE alert.key = ?",
    )?;
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Group { account: row.get("account")?, kind: row.get("kind")?, damaged: row.get("damaged")? })
    };
    Ok(rows.query_row([alert], read).optional()?)
}

impl Group {
    /// Until when its unsent alerts wait: until no other has come for `gather`, but not longer than [`GATHERED`], and as
    /// long after the last message.
    fn waits_until(
        &self,
        view: &View<'_>,
        channel: &Channel,
        gather: Duration,
        now: Timestamp,
    ) -> Result<Option<Timestamp>> {
        let mut rows = view.conn.prepare_cached(
            "SELECT max(told_at) AS told FROM endpoint JOIN alert ON alert.endpoint = endpoint.key AND kind = ?2 AND alert.created_at > ?5
               JOIN alert_delivery ON alert_delivery.alert = alert.key AND channel = ?4
             WHERE account = ?1 AND (failure IS 'damaged') = ?3 AND told_at <= ?6",
        )?;
        let lately = (now - LATELY).millis();
        let bounds = params![self.account, self.kind, self.damaged, channel.name(), lately, now.millis()];
        let told = rows.query_row(bounds, |row| convert::moment_if(row, "told"))?;
        let mut rows = view.conn.prepare_cached(
            "SELECT min(alert.created_at) AS oldest, max(alert.created_at) AS newest
             FROM alert_delivery JOIN alert ON alert.key = alert_delivery.alert JOIN endpoint ON endpoint.key = alert.endpoint
             WHERE channel = ?4 AND due_at IS NOT NULL AND account = ?1 AND kind = ?2 AND (failure IS 'damaged') = ?3",
        )?;
        let (oldest, newest) = rows
            .query_row(params![self.account, self.kind, self.damaged, channel.name()], |row| {
                Ok((convert::moment_if(row, "oldest")?, convert::moment_if(row, "newest")?))
            })?;
        let gathered = oldest.zip(newest).map(|(oldest, newest)| (newest + gather).min(oldest + GATHERED));
        let until = gathered.max(told.map(|told| told + GATHERED));
        // The clock may have been set back since.
        Ok(until.map(|until| until.min(now + GATHERED)).filter(|until| *until > now))
    }

    /// Its oldest unsent alerts, as many as a message has, and when each is due. They are the same ones until they are
    /// sent: a message that comes again keeps its id.
    fn oldest(&self, view: &View<'_>, channel: &Channel) -> Result<Vec<(AlertKey, Timestamp)>> {
        let mut rows = view.conn.prepare_cached(
            "SELECT alert.key, due_at
             FROM alert_delivery JOIN alert ON alert.key = alert_delivery.alert JOIN endpoint ON endpoint.key = alert.endpoint
             WHERE channel = ?4 AND due_at IS NOT NULL AND account = ?1 AND kind = ?2 AND (failure IS 'damaged') = ?3
             ORDER BY alert.key LIMIT ?5",
        )?;
        let bounds = params![self.account, self.kind, self.damaged, channel.name(), TOGETHER];
        let found = rows.query_map(bounds, |row| Ok((row.get("key")?, convert::moment(row, "due_at")?)))?;
        Ok(found.collect::<rusqlite::Result<_>>()?)
    }
}

/// The unsent alerts of a channel that are over. A webhook that works again: nobody needs to read that it failed, and that
/// it works again only who read before that it failed. One that failed again: nobody needs to read that it worked. The
/// tables are read in this order: from what is unsent to what is looked up for each.
fn over(view: &View<'_>, channel: &Channel) -> Result<Vec<AlertKey>> {
    let mut rows = view.conn.prepare_cached(
        "SELECT good.key AS good, bad.key AS bad,
           (SELECT kind FROM alert JOIN alert_delivery AS told ON told.alert = alert.key AND told.channel = ?1
            WHERE alert.endpoint = good.endpoint AND told_at IS NOT NULL AND kind IN ('suspended', 'warning', 'recovered')
              AND failure IS NOT 'damaged' ORDER BY alert.key DESC LIMIT 1) AS told
         FROM alert_delivery AS unsent
           CROSS JOIN alert AS good ON good.key = unsent.alert AND good.kind = 'recovered'
           CROSS JOIN alert AS bad
             ON bad.endpoint = good.endpoint AND bad.kind IN ('suspended', 'warning') AND bad.failure != 'damaged'
           CROSS JOIN alert_delivery AS also ON also.alert = bad.key AND also.channel = ?1 AND also.due_at IS NOT NULL
         WHERE unsent.channel = ?1 AND unsent.due_at IS NOT NULL",
    )?;
    let mut rows = rows.query([channel.name()])?;
    let mut over = Vec::new();
    while let Some(row) = rows.next()? {
        let (good, bad): (AlertKey, AlertKey) = (row.get("good")?, row.get("bad")?);
        let told: Option<String> = row.get("told")?;
        if bad > good || told.is_none_or(|told| told == "recovered") {
            over.push(good);
        }
        if bad < good {
            over.push(bad);
        }
    }
    Ok(over)
}

/// Lets the unsent alerts of a group wait until then. That is no try.
pub fn wait(tx: &Tx<'_>, group: &Group, channel: &Channel, until: Timestamp) -> Result<()> {
    tx.conn
        .prepare_cached(
            "UPDATE alert_delivery SET due_at = ?5
             WHERE channel = ?4 AND due_at IS NOT NULL AND due_at < ?5 AND EXISTS (
               SELECT 1 FROM alert JOIN endpoint ON endpoint.key = alert.endpoint
               WHERE alert.key = alert_delivery.alert AND account = ?1 AND kind = ?2 AND (failure IS 'damaged') = ?3)",
        )?
        .execute(params![group.account, group.kind, group.damaged, channel.name(), until.millis()])?;
    Ok(())
}

/// Drops alerts that are over.
pub fn drop_all(tx: &Tx<'_>, alerts: &[AlertKey], channel: &Channel) -> Result<()> {
    let mut drop = tx.conn.prepare_cached(
        "UPDATE alert_delivery SET due_at = NULL, dropped_at = ?1, last_error = ?2
         WHERE alert = ?3 AND channel = ?4 AND due_at IS NOT NULL",
    )?;
    for alert in alerts {
        drop.execute((tx.now.millis(), OVER, alert, channel.name()))?;
    }
    Ok(())
}
