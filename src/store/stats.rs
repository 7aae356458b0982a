//! Statistics of attempts, by minute and by hour, as the engine counts them.

use rusqlite::{OptionalExtension, types::Value};

use super::{Result, Tx, View};
use crate::domain::{
    delivery::Failure,
    endpoint::EndpointKey,
    stats::{Span, Stats},
    timestamp::Timestamp,
    token::Visible,
};

/// How long minutes are kept, in milliseconds: two hours.
const MINUTES_MS: i64 = 2 * 3_600_000;
/// How long hours are kept, in milliseconds: eight days.
const HOURS_MS: i64 = 8 * 86_400_000;
const AT_ONCE: usize = 1000;
/// The key under which all endpoints together are counted.
const ALL: EndpointKey = 0;

/// The statistics of one endpoint in one minute.
#[derive(Debug)]
pub struct MinuteStats {
    /// The endpoint.
    pub endpoint: EndpointKey,
    /// The start of the minute.
    pub minute: Timestamp,
    /// The counts.
    pub stats: Stats,
    /// When the last success was.
    pub last_success_at: Option<Timestamp>,
    /// When the last failure was, its class, and the status of the answer.
    pub last_failure: Option<(Timestamp, Failure, Option<u16>)>,
}

/// Adds statistics, and removes old ones.
pub fn add(tx: &Tx<'_>, counts: &[MinuteStats]) -> Result<()> {
    for count in counts {
        // The clock may have been set back since it was counted.
        let minute = count.minute.min(tx.now);
        // Nothing is kept of an endpoint that was erased meanwhile.
        for endpoint in [count.endpoint, ALL].into_iter().skip(usize::from(!has_fared(tx, count)?)) {
            for span in [Span::Minute, Span::Hour] {
                add_to(tx, span, span.start_of(minute), endpoint, &count.stats)?;
            }
        }
    }
    forget(tx)
}

/// Stores the last success and failure of an endpoint; returns whether the endpoint exists.
fn has_fared(tx: &Tx<'_>, count: &MinuteStats) -> Result<bool> {
    let (failed_at, failure) = count.last_failure.map(|(at, failure, status)| (at, (failure, status))).unzip();
    let (failure, status) = failure.unzip();
    let updated = tx
        .conn
        .prepare_cached(
            "UPDATE endpoint SET last_success_at = ifnull(?2, last_success_at),
                   last_failure_at = ifnull(?3, last_failure_at), last_failure = ifnull(?4, last_failure),
                   last_failure_status = iif(?3 IS NULL, last_failure_status, ?5)
                 WHERE key = ?1",
        )?
        .execute((
            count.endpoint,
            count.last_success_at.map(|at| at.min(tx.now).millis()),
            failed_at.map(|at| at.min(tx.now).millis()),
            failure.map(Failure::name),
            status.flatten(),
        ))?;
    Ok(updated == 1)
}

/// Removes the statistics of an endpoint: goes from one start to the next without reading those of others.
pub(super) fn remove(tx: &Tx<'_>, endpoint: EndpointKey) -> Result<()> {
    tx.conn
        .prepare_cached(
            "WITH RECURSIVE place (span, start) AS (
               SELECT column1, (SELECT min(start) FROM tally WHERE span = column1) FROM (VALUES (60), (3600))
               UNION ALL
               SELECT span, (SELECT min(start) FROM tally t WHERE t.span = place.span AND t.start > place.start)
               FROM place WHERE start IS NOT NULL)
             DELETE FROM tally WHERE (span, start, endpoint) IN (SELECT span, start, ?1 FROM place)",
        )?
        .execute([endpoint])?;
    Ok(())
}

fn add_to(tx: &Tx<'_>, span: Span, start: Timestamp, endpoint: EndpointKey, more: &Stats) -> Result<()> {
    let place = (span.seconds(), start.millis(), endpoint);
    let mut rows = tx.conn.prepare_cached(
        "SELECT delivered, failed, durations FROM tally WHERE span = ? AND start = ? AND endpoint = ?",
    )?;
    let mut stats = rows.query_row(place, read).optional()?.unwrap_or_default();
    stats.add(more);
    tx.conn
        .prepare_cached(
            "INSERT OR REPLACE INTO tally (span, start, endpoint, delivered, failed, durations) VALUES (?, ?, ?, ?, ?, ?)",
        )?
        .execute((place.0, place.1, place.2, stats.delivered, stats.failed, stats.durations()))?;
    Ok(())
}

/// Removes statistics of a time that has not come yet: the clock was set back.
pub(super) fn forget_after(tx: &Tx<'_>) -> rusqlite::Result<()> {
    for span in [Span::Minute, Span::Hour] {
        let sql = "DELETE FROM tally WHERE span = ? AND start > ?";
        tx.conn.prepare_cached(sql)?.execute((span.seconds(), tx.now.millis()))?;
    }
    Ok(())
}

fn forget(tx: &Tx<'_>) -> Result<()> {
    for (span, kept) in [(Span::Minute, MINUTES_MS), (Span::Hour, HOURS_MS)] {
        tx.conn
            .prepare_cached(
                "DELETE FROM tally WHERE (span, start, endpoint) IN
                   (SELECT span, start, endpoint FROM tally WHERE span = ? AND start < ? LIMIT ?)",
            )?
            .execute((span.seconds(), tx.now.millis() - kept, AT_ONCE))?;
    }
    Ok(())
}

/// The endpoints whose statistics are read.
#[derive(Debug, Clone, Copy)]
pub enum Of<'a> {
    /// Of all visible endpoints.
    Visible(&'a Visible),
    /// Of this endpoint.
    Endpoint(EndpointKey),
}

/// The statistics of the last `count` spans up to the present one, oldest first. A span without attempts is included.
pub fn series(view: &View<'_>, of: Of<'_>, span: Span, count: i64, now: Timestamp) -> Result<Vec<(Timestamp, Stats)>> {
    // Each span is found by its whole key, so statistics of other endpoints are not read.
    const ONE: &str = "SELECT delivered, failed, durations FROM tally WHERE span = ?1 AND start = ?2 AND endpoint = ?3";
    let (sql, whose) = match of {
        Of::Endpoint(key) => (ONE, Value::Integer(key)),
        Of::Visible(Visible { account: Some(key), .. }) => (
            "SELECT delivered, failed, durations FROM endpoint CROSS JOIN tally ON tally.endpoint = endpoint.key
             WHERE span = ?1 AND start = ?2 AND account = ?3",
            Value::Integer(*key),
        ),
        Of::Visible(Visible { profile: Some(profile), .. }) => (
            "SELECT delivered, failed, durations FROM endpoint CROSS JOIN tally ON tally.endpoint = endpoint.key
             WHERE span = ?1 AND start = ?2 AND profile = ?3",
            Value::Text(profile.to_string()),
        ),
        Of::Visible(_) => (ONE, Value::Integer(ALL)),
    };
    let mut rows = view.conn.prepare_cached(sql)?;
    let last = span.start_of(now).millis();
    let starts = (0..count).rev().map(|back| last - back * 1000 * span.seconds());
    let mut series = Vec::new();
    for start in starts {
        let mut sum = Stats::default();
        for stats in rows.query_map((span.seconds(), start, &whose), read)? {
            sum.add(&stats?);
        }
        series.push((Timestamp::from_millis(start), sum));
    }
    Ok(series)
}

/// The statistics of the last 24 hours, the present one included.
pub fn day(view: &View<'_>, of: Of<'_>, now: Timestamp) -> Result<Stats> {
    let mut day = Stats::default();
    series(view, of, Span::Hour, 24, now)?.iter().for_each(|(_, hour)| day.add(hour));
    Ok(day)
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Stats> {
    Ok(Stats::from_stored(row.get("delivered")?, row.get("failed")?, &row.get::<_, Vec<u8>>("durations")?))
}
