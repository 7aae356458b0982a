//! Retention: old rows are removed. A reading connection finds them; the writer removes them, a slice at a time.
//!
//! Ages are not measured by the wall clock, which may be set, but by serving time: how long the database has been
//! served in all (`uptime_total`). A milestone stores, for a moment of that time, how far the tables had grown. Keys
//! grow with every row and none is used twice, so the newest row of a table is never removed.

use std::time::Duration;

use rusqlite::{OptionalExtension, Params, Statement, types::FromSql};

use super::{
    Result, Tx, View, alerts, audit, cascade,
    convert::{self, millis},
    shares,
};
use crate::domain::{
    alert::NOTICE,
    audit::Action,
    delivery::DeliveryKey,
    endpoint::{EndpointKey, EndpointState},
    event::EventKey,
    timestamp::Timestamp,
};

/// Rows removed by one transaction: this limits how long other writes wait.
pub(super) const SLICE: usize = 100;
/// Bytes of bodies and answers that one transaction overwrites. A single row may have more.
pub(super) const SLICE_BYTES: usize = 1 << 20;
/// At most 12 h of downtime counts as age: this limits how much a clock that was set meanwhile can add.
const LONGEST_STOP: Duration = Duration::from_secs(12 * 3600);
/// Pages that stay free for later use, however small the file is: 4 MiB.
const LEAST_RESERVE: u64 = 1024;
/// In larger files, one page in this many stays free.
const RESERVE: u64 = 10;
/// Pages returned to the file system in one transaction.
const PAGES: u64 = 64;

/// How far the tables had grown at some time: rows with smaller keys are older.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Keys {
    /// Events.
    pub event: EventKey,
    /// Deliveries.
    pub delivery: DeliveryKey,
}

/// The total serving time: up to the last milestone, plus the time since by the wall clock, at most 12 h.
pub fn uptime_total(view: &View<'_>, now: Timestamp) -> Result<Duration> {
    let mut rows = view.conn.prepare_cached("SELECT lived, at FROM milestone ORDER BY lived DESC LIMIT 1")?;
    let last = rows.query_row([], |row| Ok((row.get::<_, u64>("lived")?, convert::moment(row, "at")?))).optional()?;
    Ok(last.map_or(Duration::ZERO, |(lived, at)| Duration::from_millis(lived) + now.since(at).min(LONGEST_STOP)))
}

/// Stores a milestone, and removes those that no age up to `longest` needs.
pub fn note(tx: &Tx<'_>, uptime_total: Duration, longest: Duration) -> Result<()> {
    tx.conn
        .prepare_cached(
            "INSERT INTO milestone (lived, at, event, delivery)
             VALUES (?, ?, (SELECT ifnull(max(key), 0) FROM event), (SELECT ifnull(max(key), 0) FROM delivery))
             ON CONFLICT DO NOTHING",
        )?
        .execute((millis(uptime_total), tx.now.millis()))?;
    let Some(old) = uptime_total.checked_sub(longest) else { return Ok(()) };
    tx.conn
        .prepare_cached("DELETE FROM milestone WHERE lived < (SELECT max(lived) FROM milestone WHERE lived <= ?)")?
        .execute([millis(old)])?;
    Ok(())
}

/// Keys of rows older than `age`, measured in serving time (not wall clock); never the newest row of a table.
pub fn older(view: &View<'_>, uptime_total: Duration, age: Duration) -> Result<Keys> {
    let Some(then) = uptime_total.checked_sub(age) else { return Ok(Keys::default()) };
    let mut rows = view.conn.prepare_cached(
        "SELECT ifnull(min(event + 1, (SELECT max(key) FROM event)), 0) AS event,
                ifnull(min(delivery + 1, (SELECT max(key) FROM delivery)), 0) AS delivery
         FROM milestone WHERE lived <= ? ORDER BY lived DESC LIMIT 1",
    )?;
    let keys =
        rows.query_row([millis(then)], |row| Ok(Keys { event: row.get("event")?, delivery: row.get("delivery")? }));
    Ok(keys.optional()?.unwrap_or_default())
}

/// Which states of finished deliveries are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndStates {
    /// Only delivered.
    Delivered,
    /// Every final state.
    Any,
}

/// The next slice of removable deliveries with keys from `from` on and before `to`. A replayed delivery stays as long
/// as its replay.
pub fn deliveries(view: &View<'_>, states: EndStates, from: DeliveryKey, to: DeliveryKey) -> Result<Vec<DeliveryKey>> {
    let states = match states {
        EndStates::Delivered => "'delivered'",
        EndStates::Any => "'delivered', 'exhausted', 'cancelled'",
    };
    let mut rows = view.conn.prepare_cached(&format!(
        "SELECT key, {ANSWERS} FROM delivery WHERE key >= ? AND key < ? AND state IN ({states})
           AND NOT EXISTS (SELECT 1 FROM delivery replay WHERE replay.replay_of = delivery.key)
         ORDER BY key LIMIT ?"
    ))?;
    slice(&mut rows, (from, to, SLICE))
}

/// Bytes of the answers to a delivery.
pub(super) const ANSWERS: &str =
    "(SELECT ifnull(sum(ifnull(octet_length(response), 0) + ifnull(octet_length(headers), 0)), 0)
      FROM attempt WHERE attempt.delivery = delivery.key)";

/// Reads keys, each with the bytes of its row, up to the limit of one transaction.
pub(super) fn slice<K: FromSql>(rows: &mut Statement<'_>, parameters: impl Params) -> Result<Vec<K>> {
    let (mut keys, mut bytes, mut rows) = (Vec::new(), 0, rows.query(parameters)?);
    while let Some(row) = rows.next()? {
        bytes += row.get::<_, usize>(1)?;
        if bytes > SLICE_BYTES && !keys.is_empty() {
            break;
        }
        keys.push(row.get(0)?);
    }
    Ok(keys)
}

/// Removes deliveries with their attempts, except those that were replayed meanwhile. Returns how many.
pub fn remove_deliveries(tx: &Tx<'_>, keys: &[DeliveryKey]) -> Result<usize> {
    let mut removed = 0;
    for key in keys {
        let mut replayed = tx.conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM delivery WHERE replay_of = ?)")?;
        if !replayed.query_row([key], |row| row.get::<_, bool>(0))? {
            let mut answers = tx.conn.prepare_cached(
                "SELECT account, sum(ifnull(octet_length(response), 0) + ifnull(octet_length(headers), 0)) AS size FROM attempt
                 JOIN delivery ON delivery.key = delivery JOIN endpoint ON endpoint.key = endpoint
                 WHERE delivery = ? GROUP BY account HAVING size > 0",
            )?;
            let answers = answers.query_row([key], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
            if let Some((account, size)) = answers {
                shares::frees(tx, account, size);
            }
            tx.conn.prepare_cached("DELETE FROM attempt WHERE delivery = ?")?.execute([key])?;
            removed += tx.conn.prepare_cached("DELETE FROM delivery WHERE key = ?")?.execute([key])?;
        }
    }
    Ok(removed)
}

/// The next slice of events without deliveries, with keys from `from` on and before `to`.
pub fn events(view: &View<'_>, from: EventKey, to: EventKey) -> Result<Vec<EventKey>> {
    let mut rows = view.conn.prepare_cached(
        "SELECT key, octet_length(body) FROM event WHERE key >= ? AND key < ?
           AND NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.event = event.key)
         ORDER BY key LIMIT ?",
    )?;
    slice(&mut rows, (from, to, SLICE))
}

/// Removes events, except those with deliveries. Returns how many.
pub fn remove_events(tx: &Tx<'_>, keys: &[EventKey]) -> Result<usize> {
    let mut rows = tx.conn.prepare_cached(
        "DELETE FROM event WHERE key = ?1 AND NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.event = ?1)
         RETURNING account, octet_length(body)",
    )?;
    let mut removed = 0;
    for key in keys {
        let gone = rows.query_row([key], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        if let Some((account, size)) = gone {
            shares::frees(tx, account, size);
            removed += 1;
        }
    }
    Ok(removed)
}

/// The suspended endpoints.
pub fn suspended(view: &View<'_>) -> Result<Vec<EndpointKey>> {
    let mut rows = view.conn.prepare_cached("SELECT key FROM endpoint WHERE state = 'suspended'")?;
    Ok(rows.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
}

/// Cancels the next slice of held deliveries of a suspended endpoint with keys below `before`, but only those of which
/// its account was warned seven days of serving time ago: the settings may have been different then. Returns how many.
pub fn expire(tx: &Tx<'_>, endpoint: EndpointKey, before: DeliveryKey, uptime_total: Duration) -> Result<usize> {
    let mut rows = tx.conn.prepare_cached(
        "SELECT milestone.delivery + 1 FROM alert JOIN milestone USING (lived)
         WHERE endpoint = ? AND kind = 'expiring' AND lived <= ? ORDER BY lived DESC LIMIT 1",
    )?;
    let told = rows.query_row((endpoint, millis(uptime_total) - millis(NOTICE)), |row| row.get(0)).optional()?;
    let Some(told): Option<DeliveryKey> = told else { return Ok(0) };
    let cancelled = cascade::expire(tx, endpoint, before.min(told), SLICE)?;
    audit::held(tx, Action::HeldCancelled, endpoint, cancelled)?;
    Ok(cancelled)
}

/// An endpoint with held deliveries that will be cancelled.
#[derive(Debug, Clone, Copy)]
pub struct Expiring {
    /// The endpoint.
    pub endpoint: EndpointKey,
    /// The number of held deliveries.
    pub held: u64,
    /// When the oldest held delivery was made.
    pub oldest: Timestamp,
}

/// The suspended endpoints that hold deliveries with keys below `before`.
pub fn expiring(view: &View<'_>, before: DeliveryKey) -> Result<Vec<Expiring>> {
    let mut rows = view.conn.prepare_cached(
        "SELECT endpoint.key, created_at FROM
           (SELECT key, (SELECT min(key) FROM delivery WHERE endpoint = e.key AND state = 'held') AS oldest
            FROM endpoint e WHERE state = 'suspended') AS endpoint
         JOIN delivery ON delivery.key = oldest WHERE oldest < ?",
    )?;
    let rows = rows.query_map([before], |row| Ok((row.get(0)?, convert::moment(row, "created_at")?)))?;
    rows.map(|row| {
        let (endpoint, oldest) = row?;
        Ok(Expiring { endpoint, held: cascade::held(view.conn, endpoint)?, oldest })
    })
    .collect()
}

/// Writes the alert that held deliveries will be cancelled, unless there was one recently.
pub fn tell_expiring(tx: &Tx<'_>, expiring: Expiring, uptime_total: Duration) -> Result<()> {
    let Expiring { endpoint, held, oldest } = expiring;
    if cascade::state(tx, endpoint)? == EndpointState::Suspended {
        alerts::expiring(tx, endpoint, held, oldest, uptime_total)?;
    }
    Ok(())
}

/// The endpoints whose former secret no longer signs.
pub fn overlapped(view: &View<'_>, now: Timestamp) -> Result<Vec<EndpointKey>> {
    let mut rows = view.conn.prepare_cached("SELECT key FROM endpoint WHERE former_until <= ?")?;
    Ok(rows.query_map([now.millis()], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
}

/// Wipes the former secrets of these endpoints, if they no longer sign.
pub fn wipe_former(tx: &Tx<'_>, endpoints: &[EndpointKey]) -> Result<()> {
    for endpoint in endpoints {
        tx.conn
            .prepare_cached(
                // A former secret that led was replaced when its overlap ended.
                "UPDATE endpoint SET secret_at = iif(former_leads, former_until, secret_at), former_secret = NULL,
                   former_until = NULL, former_leads = 0
                 WHERE key = ? AND former_until <= ?",
            )?
            .execute((endpoint, tx.now.millis()))?;
    }
    Ok(())
}

/// The deleted endpoints that are not yet marked as seen.
pub fn newly_deleted(view: &View<'_>) -> Result<Vec<EndpointKey>> {
    let sql = "SELECT key FROM endpoint WHERE state = 'deleted' AND deleted_lived IS NULL";
    let mut rows = view.conn.prepare_cached(sql)?;
    Ok(rows.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
}

/// The endpoints that were marked as deleted by this serving time and have no deliveries left; never the newest
/// endpoint.
pub fn long_deleted(view: &View<'_>, seen_by: Duration) -> Result<Vec<EndpointKey>> {
    let mut rows = view.conn.prepare_cached(
        "SELECT key FROM endpoint WHERE state = 'deleted' AND deleted_lived <= ?
           AND key < (SELECT max(key) FROM endpoint)
           AND NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.endpoint = endpoint.key)",
    )?;
    Ok(rows.query_map([millis(seen_by)], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
}

/// Marks these endpoints as seen to be deleted.
pub fn note_deleted(tx: &Tx<'_>, endpoints: &[EndpointKey], uptime_total: Duration) -> Result<()> {
    for endpoint in endpoints {
        tx.conn
            .prepare_cached("UPDATE endpoint SET deleted_lived = ? WHERE key = ?")?
            .execute((millis(uptime_total), endpoint))?;
    }
    Ok(())
}

/// Removes these endpoints, which have no deliveries left, with their alerts.
pub fn remove_endpoints(tx: &Tx<'_>, endpoints: &[EndpointKey]) -> Result<()> {
    for endpoint in endpoints {
        tx.conn.prepare_cached("DELETE FROM alert WHERE endpoint = ?")?.execute([endpoint])?;
        tx.conn.prepare_cached("DELETE FROM endpoint WHERE key = ?")?.execute([endpoint])?;
    }
    Ok(())
}

/// Rows that only record something finished, by table and condition. No other row needs them.
const EXPIRED: [(&str, &str); 3] = [
    (
        "alert",
        "created_at <= ?1 AND NOT EXISTS (SELECT 1 FROM alert_delivery WHERE alert_delivery.alert = alert.key AND due_at IS NOT NULL)",
    ),
    ("recovery", "ended_at <= ?1"),
    ("token", "revoked_at <= ?1"),
];

/// An expired alert, recovery or token: the index of its table in `EXPIRED`, and its key.
pub type Expired = (usize, i64);

/// The time before which finished things are older than `age`, both in serving time and by the wall clock; `None` if
/// the database has not been served for that long.
pub fn past(view: &View<'_>, now: Timestamp, uptime_total: Duration, age: Duration) -> Result<Option<Timestamp>> {
    let Some(then) = uptime_total.checked_sub(age) else { return Ok(None) };
    let mut rows = view.conn.prepare_cached("SELECT at FROM milestone WHERE lived <= ? ORDER BY lived DESC LIMIT 1")?;
    let at = rows.query_row([millis(then)], |row| convert::moment(row, "at")).optional()?;
    Ok(at.map(|at| at.min(now - age)))
}

/// The alerts that were delivered or given up, the recoveries that ended and the tokens that were revoked before this
/// time.
pub fn expired(view: &View<'_>, past: Timestamp) -> Result<Vec<Expired>> {
    let mut found = Vec::new();
    for (place, (table, over)) in EXPIRED.iter().enumerate() {
        let mut rows = view.conn.prepare_cached(&format!("SELECT key FROM {table} WHERE {over}"))?;
        let mut rows = rows.query([past.millis()])?;
        while let Some(row) = rows.next()? {
            found.push((place, row.get(0)?));
        }
    }
    Ok(found)
}

/// Removes these rows, unless another row has the key by now.
pub fn forget(tx: &Tx<'_>, past: Timestamp, expired: &[Expired]) -> Result<()> {
    for (place, key) in expired {
        let (table, over) = EXPIRED[*place];
        let sql = format!("DELETE FROM {table} WHERE {over} AND key = ?2");
        tx.conn.prepare_cached(&sql)?.execute((past.millis(), key))?;
    }
    Ok(())
}

/// Free pages beyond the reserve: a tenth of the file, at least 4 MiB.
pub fn superfluous(view: &View<'_>) -> Result<u64> {
    let count = |name: &str| view.conn.pragma_query_value(None, name, |row| row.get::<_, u64>(0));
    let (free, all) = (count("freelist_count")?, count("page_count")?);
    Ok(free.saturating_sub((all / RESERVE).max(LEAST_RESERVE)))
}

/// Returns at most `most` free pages to the file system.
pub fn shrink(tx: &Tx<'_>, most: u64) -> Result<()> {
    // It yields a row for each page.
    let mut pages = tx.conn.prepare(&format!("PRAGMA incremental_vacuum({})", most.min(PAGES)))?;
    let mut pages = pages.query([])?;
    while pages.next()?.is_some() {}
    Ok(())
}

/// Splits keys into slices of one transaction each.
pub fn slices<K>(keys: Vec<K>) -> impl Iterator<Item = Vec<K>> {
    let mut keys = keys.into_iter();
    std::iter::from_fn(move || Some(keys.by_ref().take(SLICE).collect()).filter(|slice: &Vec<_>| !slice.is_empty()))
}
