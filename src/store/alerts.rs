//! Alerts, written in the transaction that decided them; and their deliveries by each channel.
//!
//! An alert begins with one delivery, by the log. When that is done, the deliveries by the other channels are added.

use std::{
    collections::{HashMap, hash_map::Entry},
    time::Duration,
};

use rusqlite::{OptionalExtension, Row};

use super::{Result, Tx, View, cascade, convert, news::Change, outages};
use crate::{
    domain::{
        alert::{Alert, AlertKey, Channel, Failing, Kind, NOTICE, What},
        delivery::{Attempt, DeliveryKey, Failure},
        endpoint::{EndpointKey, SuspendedReason},
        ids::{AlertId, DeliveryId, EndpointId},
        timestamp::Timestamp,
        token::Visible,
    },
    error::Error,
};

/// An endpoint that goes on failing gets at most one warning in this time.
const A_DAY: Duration = Duration::from_secs(86_400);
/// An endpoint that fails and works in turn gets at most [`WARNINGS`] in this time.
const AN_HOUR: Duration = Duration::from_secs(3600);
/// As many as messages of a channel that gathers: one in five minutes.
const WARNINGS: i64 = 12;

const SELECT: &str = "
    SELECT alert.*, endpoint.id AS endpoint_id, endpoint.profile, ifnull(endpoint.given_url, endpoint.url) AS url,
           endpoint.state, account.id AS account_id, account.alert_email,
           (SELECT reason FROM delivery JOIN attempt ON attempt.delivery = delivery.key AND attempt.failure = alert.failure
            WHERE delivery.id = alert.delivery ORDER BY number DESC LIMIT 1) AS reason
    FROM alert JOIN endpoint ON endpoint.key = alert.endpoint JOIN account ON account.key = endpoint.account";

/// One alert's delivery by one channel.
const OF: &str = "FROM alert_delivery JOIN alert ON alert.key = alert_delivery.alert WHERE alert.key = ?1 AND alert.id = ?2 AND channel = ?3";

/// An alert by key and id: another alert may have got the key meanwhile.
pub type Which = (AlertKey, AlertId);

/// A delivery that failed.
pub(super) struct Failed<'a> {
    pub(super) endpoint: EndpointKey,
    pub(super) key: DeliveryKey,
    pub(super) id: DeliveryId,
    pub(super) tries: u32,
    pub(super) last: &'a Attempt,
}

/// Writes the alert of an endpoint that was just suspended because this delivery was given up. Undelivered warnings of
/// the endpoint are dropped, except those about a damaged body.
pub(super) fn suspended(tx: &Tx<'_>, failed: &Failed<'_>, reason: SuspendedReason) -> Result<()> {
    tx.conn
        .prepare_cached(
            "UPDATE alert_delivery SET due_at = NULL, dropped_at = ?2
             WHERE due_at IS NOT NULL AND alert IN (SELECT key FROM alert WHERE endpoint = ?1 AND kind = 'warning' AND failure != ?3)",
        )?
        .execute((failed.endpoint, tx.now.millis(), Failure::Damaged.name()))?;
    insert(tx, Kind::Suspended, failed, (None, Some(reason)))
}

/// Writes a warning, unless the last alert about the endpoint's receiver is a warning of this day, or there were many
/// within the hour. One from the future does not count: the clock was set back since. A damaged body and a failing
/// receiver are different problems: one warning does not stop the other. Of a damaged body there is one a day.
pub(super) fn warning(tx: &Tx<'_>, failed: &Failed<'_>) -> Result<()> {
    let (damaged, a_day_ago) = (failed.last.failure == Some(Failure::Damaged), tx.now - A_DAY);
    let (since, most) = if damaged { (a_day_ago, 1) } else { (tx.now - AN_HOUR, WARNINGS) };
    let mut warnings = tx.conn.prepare_cached(
        "SELECT count(*) FROM alert WHERE endpoint = ? AND kind = 'warning' AND created_at > ? AND created_at <= ?
           AND (failure = ?) = ?",
    )?;
    let bounds = (failed.endpoint, since.millis(), tx.now.millis(), Failure::Damaged.name(), damaged);
    let enough = warnings.query_row(bounds, |row| row.get::<_, i64>(0))? >= most;
    let said = !damaged && last(tx, failed.endpoint)?.is_some_and(|(kind, at)| kind == Kind::Warning && at > a_day_ago);
    if enough || said {
        return Ok(());
    }
    insert(tx, Kind::Warning, failed, (Some(failed.tries), None))
}

/// The last alert about the receiver of an endpoint, which says that it fails or that it works, and when it was written.
fn last(tx: &Tx<'_>, endpoint: EndpointKey) -> Result<Option<(Kind, Timestamp)>> {
    let mut rows = tx.conn.prepare_cached(
        "SELECT key, created_at FROM alert WHERE endpoint = ? AND kind = ? AND created_at <= ? AND failure IS NOT ?
         ORDER BY created_at DESC, key DESC LIMIT 1",
    )?;
    let mut last: Option<(AlertKey, Kind, Timestamp)> = None;
    for kind in [Kind::Suspended, Kind::Warning, Kind::Recovered] {
        let read = |row: &Row<'_>| Ok((row.get("key")?, kind, convert::moment(row, "created_at")?));
        let found =
            rows.query_row((endpoint, kind.name(), tx.now.millis(), Failure::Damaged.name()), read).optional()?;
        last = last.into_iter().chain(found).max_by_key(|(key, ..)| *key);
    }
    Ok(last.map(|(_, kind, at)| (kind, at)))
}

fn insert(
    tx: &Tx<'_>,
    kind: Kind,
    failed: &Failed<'_>,
    (tries, reason): (Option<u32>, Option<SuspendedReason>),
) -> Result<()> {
    tx.conn
        .prepare_cached(
            "INSERT INTO alert (id, endpoint, kind, created_at, since, failure, status, delivery, tries, next_attempt_at,
               suspended_reason)
             VALUES (?1, ?2, ?3, ?4, (SELECT min(started_at) FROM attempt WHERE delivery = ?5), ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute((
            AlertId::mint(tx.now).to_bytes(),
            failed.endpoint,
            kind.name(),
            tx.now.millis(),
            failed.key,
            failed.last.failure.map(Failure::name),
            failed.last.status,
            failed.id.to_bytes(),
            tries,
            tries.and(failed.last.next_attempt_at).map(Timestamp::millis),
            reason.map(SuspendedReason::name),
        ))?;
    begin(tx)
}

/// Writes the alert that held deliveries of an endpoint will be cancelled in seven days; `oldest` is when the first of
/// them was made. Writes nothing if there was one within the last seven days of serving time. Returns whether it wrote
/// one.
pub fn expiring(
    tx: &Tx<'_>,
    endpoint: EndpointKey,
    held: u64,
    oldest: Timestamp,
    uptime_total: Duration,
) -> Result<bool> {
    let mut told =
        tx.conn.prepare_cached("SELECT 1 FROM alert WHERE endpoint = ? AND kind = 'expiring' AND lived > ?")?;
    if told.exists((endpoint, convert::millis(uptime_total) - convert::millis(NOTICE)))? {
        return Ok(false);
    }
    tx.conn
        .prepare_cached(
            "INSERT INTO alert (id, endpoint, kind, created_at, since, held, lived) VALUES (?, ?, 'expiring', ?, ?, ?, ?)",
        )?
        .execute((
            AlertId::mint(tx.now).to_bytes(),
            endpoint,
            tx.now.millis(),
            oldest.millis(),
            held,
            convert::millis(uptime_total),
        ))?;
    begin(tx)?;
    Ok(true)
}

/// Writes the alert that an endpoint works again, if the last one about its receiver said that it was suspended or failed.
pub(super) fn recovered(tx: &Tx<'_>, endpoint: EndpointKey) -> Result<()> {
    let Some((_, since)) = last(tx, endpoint)?.filter(|(kind, _)| *kind != Kind::Recovered) else { return Ok(()) };
    tx.conn
        .prepare_cached("INSERT INTO alert (id, endpoint, kind, created_at, since) VALUES (?, ?, 'recovered', ?, ?)")?
        .execute((AlertId::mint(tx.now).to_bytes(), endpoint, tx.now.millis(), since.millis()))?;
    begin(tx)
}

/// The delivery that suspended this endpoint the last time, if its failure did. Its row may be gone.
pub fn last_suspending(view: &View<'_>, endpoint: EndpointKey) -> Result<Option<DeliveryId>> {
    let mut rows = view.conn.prepare_cached(
        "SELECT delivery FROM alert WHERE endpoint = ? AND kind = 'suspended' ORDER BY created_at DESC LIMIT 1",
    )?;
    let found: Option<Option<[u8; 16]>> = rows.query_row([endpoint], |row| row.get(0)).optional()?;
    Ok(found.flatten().map(DeliveryId::from_bytes))
}

/// Starts the delivery of the alert that was just written: by the log first.
pub(super) fn begin(tx: &Tx<'_>) -> Result<()> {
    add(tx, tx.conn.last_insert_rowid(), &Channel::Log)?;
    tx.announce(Change::Alert);
    Ok(())
}

fn add(tx: &Tx<'_>, alert: AlertKey, channel: &Channel) -> Result<()> {
    tx.conn
        .prepare_cached("INSERT INTO alert_delivery (alert, channel, due_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING")?
        .execute((alert, channel.name(), tx.now.millis()))?;
    Ok(())
}

/// Makes every undelivered alert due at once, without earlier tries: a restart may have removed the obstacle.
pub fn all_due(tx: &Tx<'_>) -> Result<()> {
    tx.conn
        .prepare_cached("UPDATE alert_delivery SET due_at = ?, tries = 0 WHERE due_at IS NOT NULL")?
        .execute([tx.now.millis()])?;
    Ok(())
}

/// The next alert to deliver by a channel, and when.
pub fn next(view: &View<'_>, channel: &Channel) -> Result<Option<(AlertKey, Timestamp)>> {
    let mut rows = view.conn.prepare_cached(
        "SELECT alert, due_at FROM alert_delivery WHERE channel = ? AND due_at IS NOT NULL ORDER BY due_at LIMIT 1",
    )?;
    let row = rows.query_row([channel.name()], |row| Ok((row.get("alert")?, convert::moment(row, "due_at")?)));
    Ok(row.optional()?)
}

/// An alert with the present state of its endpoint; `None` if the webhook or the account is gone.
pub fn read(view: &View<'_>, key: AlertKey) -> Result<Option<Alert>> {
    let mut rows = view.conn.prepare_cached(&format!("{SELECT} WHERE alert.key = ?"))?;
    let found = rows.query_row([key], |row| Ok((row.get("endpoint")?, alert(row)?))).optional()?;
    let Some((endpoint, alert)) = found else { return Ok(None) };
    let (held, failed) = now(view, endpoint)?;
    Ok(Some(Alert { held, failed, ..alert }))
}

/// The number of deliveries held for an endpoint, and of those it has failed since its last success.
fn now(view: &View<'_>, endpoint: EndpointKey) -> Result<(u64, u64)> {
    Ok((cascade::held(view.conn, endpoint)?, outages::failed(view.conn, endpoint)?))
}

/// Marks `channel` as delivered; enqueues `then` unless the alert was dropped.
pub fn delivered(tx: &Tx<'_>, (alert, id): Which, channel: &Channel, then: &[Channel]) -> Result<()> {
    let mut due = tx.conn.prepare_cached(&format!("SELECT 1 {OF} AND due_at IS NOT NULL"))?;
    let due = due.exists((alert, id.to_bytes(), channel.name()))?;
    tx.conn
        .prepare_cached(&format!(
            "UPDATE alert_delivery SET tries = tries + 1, told_at = ?4, due_at = NULL, dropped_at = NULL
             WHERE (alert, channel) IN (SELECT alert_delivery.alert, channel {OF})"
        ))?
        .execute((alert, id.to_bytes(), channel.name(), tx.now.millis()))?;
    let then = if due { then } else { &[] };
    then.iter().try_for_each(|channel| add(tx, alert, channel))
}

/// Notes a failed try of a channel. `again` gets the number of tries and the time of the alert, and returns when to try
/// again; `None` gives up. A dropped alert stays dropped. Returns the decision.
pub fn not_delivered(
    tx: &Tx<'_>,
    (alert, id): Which,
    channel: &Channel,
    error: &str,
    again: impl Fn(u32, Timestamp) -> Option<Timestamp>,
) -> Result<Option<Timestamp>> {
    let sql = format!("SELECT alert_delivery.tries + 1 AS tries, created_at {OF} AND due_at IS NOT NULL");
    let mut rows = tx.conn.prepare_cached(&sql)?;
    let row = rows.query_row((alert, id.to_bytes(), channel.name()), |row| {
        Ok((row.get::<_, u32>("tries")?, convert::moment(row, "created_at")?))
    });
    let Some((tries, created_at)) = row.optional()? else { return Ok(None) };
    let again = again(tries, created_at);
    let dropped_at = again.is_none().then_some(tx.now.millis());
    tx.conn
        .prepare_cached(
            "UPDATE alert_delivery SET tries = ?3, due_at = ?4, dropped_at = ?5, last_error = ?6 WHERE alert = ?1 AND channel = ?2",
        )?
        .execute((alert, channel.name(), tries, again.map(Timestamp::millis), dropped_at, error))?;
    Ok(again)
}

/// Moves due times and alert times when the clock is set, so that waits and ages stay the same.
pub(super) fn shift(tx: &Tx<'_>, by: i64) -> rusqlite::Result<()> {
    tx.conn.prepare_cached("UPDATE alert SET created_at = created_at + ?")?.execute([by])?;
    tx.conn.prepare_cached("UPDATE alert_delivery SET due_at = due_at + ? WHERE due_at IS NOT NULL")?.execute([by])?;
    Ok(())
}

/// The state of one channel of an alert.
#[derive(Debug, Clone)]
pub struct Progress {
    /// The channel.
    pub channel: Channel,
    /// Tries since the last start.
    pub tries: u32,
    /// Due, delivered or dropped, and when.
    pub state: ChannelState,
    /// Why the last try failed.
    pub last_error: Option<String>,
}

/// The state of an alert's delivery by a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelState {
    /// It is tried at this time.
    Due(Timestamp),
    /// It was delivered at this time.
    Delivered(Timestamp),
    /// At this time it was given up, or replaced by the alert of a suspension.
    Dropped(Timestamp),
}

/// At most `limit` alerts, newest first, before the alert with this id (the last one of the previous page); each with
/// the state of its channels.
///
/// # Errors
/// [`Error::Invalid`] if `before` is no alert.
pub fn list(
    view: &View<'_>,
    visible: &Visible,
    before: Option<AlertId>,
    limit: usize,
) -> Result<Vec<(Alert, Vec<Progress>)>> {
    let before = match before {
        None => AlertKey::MAX,
        Some(id) => {
            let mut rows = view.conn.prepare_cached("SELECT key FROM alert WHERE id = ?")?;
            let key = rows.query_row([id.to_bytes()], |row| row.get(0)).optional()?;
            key.ok_or_else(Error::bad_cursor)?
        }
    };
    let mut rows = view.conn.prepare_cached(&format!(
        "{SELECT} WHERE alert.key < ?1 AND (?2 IS NULL OR endpoint.profile = ?2) AND (?3 IS NULL OR account.key = ?3)
         ORDER BY alert.key DESC LIMIT ?4"
    ))?;
    let mut rows = rows.query((before, &visible.profile, visible.account, limit))?;
    // Many alerts may be about one endpoint, and counting its held deliveries takes time.
    let (mut found, mut counts) = (Vec::new(), HashMap::new());
    while let Some(row) = rows.next()? {
        let (mut alert, endpoint) = (alert(row)?, row.get("endpoint")?);
        (alert.held, alert.failed) = match counts.entry(endpoint) {
            Entry::Occupied(counted) => *counted.get(),
            Entry::Vacant(place) => *place.insert(now(view, endpoint)?),
        };
        let ways = ways(view, alert.key)?;
        found.push((alert, ways));
    }
    Ok(found)
}

/// The state of an alert in each of its channels.
pub(super) fn ways(view: &View<'_>, alert: AlertKey) -> Result<Vec<Progress>> {
    let mut ways = view.conn.prepare_cached("SELECT * FROM alert_delivery WHERE alert = ?")?;
    Ok(ways.query_map([alert], progress)?.collect::<rusqlite::Result<_>>()?)
}

fn progress(row: &Row<'_>) -> rusqlite::Result<Progress> {
    let moment = |column| convert::moment_if(row, column);
    let state = match (moment("due_at")?, moment("told_at")?) {
        (Some(at), _) => ChannelState::Due(at),
        (None, Some(at)) => ChannelState::Delivered(at),
        (None, None) => ChannelState::Dropped(convert::moment(row, "dropped_at")?),
    };
    Ok(Progress {
        channel: Channel::named(&row.get::<_, String>("channel")?),
        tries: row.get("tries")?,
        state,
        last_error: row.get("last_error")?,
    })
}

/// An alert without the present counts of held and failed deliveries.
fn alert(row: &Row<'_>) -> rusqlite::Result<Alert> {
    let what = match convert::alert_kind(&row.get::<_, String>("kind")?)? {
        Kind::Suspended => What::Suspended(failing(row)?, convert::suspended_reason(row.get("suspended_reason")?)?),
        Kind::Warning => What::Warning {
            failing: failing(row)?,
            tries: row.get("tries")?,
            next_attempt_at: convert::moment_if(row, "next_attempt_at")?,
        },
        Kind::Recovered => What::Recovered(convert::moment(row, "since")?),
        Kind::Expiring => What::Expiring { held: row.get("held")?, oldest: convert::moment(row, "since")? },
    };
    Ok(Alert {
        key: row.get("key")?,
        id: AlertId::from_bytes(row.get("id")?),
        what,
        created_at: convert::moment(row, "created_at")?,
        account: row.get("account_id")?,
        addressee: row.get("alert_email")?,
        endpoint: EndpointId::from_bytes(row.get("endpoint_id")?),
        profile: row.get("profile")?,
        url: row.get("url")?,
        state: convert::endpoint_state(&row.get::<_, String>("state")?)?,
        held: 0,
        failed: 0,
    })
}

fn failing(row: &Row<'_>) -> rusqlite::Result<Failing> {
    Ok(Failing {
        delivery: row.get::<_, Option<[u8; 16]>>("delivery")?.map(DeliveryId::from_bytes),
        since: convert::moment(row, "since")?,
        failure: convert::failure(&row.get::<_, String>("failure")?)?,
        status: row.get("status")?,
        reason: row.get("reason")?,
    })
}
