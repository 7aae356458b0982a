//! How an endpoint has fared, measured from the rows of its attempts.

use std::time::Duration;

use super::{Result, View, deliveries};
use crate::domain::{
    delivery::{Attempt, DeliveryKey, Failure},
    endpoint::EndpointKey,
    timestamp::Timestamp,
};

/// The last deliveries whose attempts are read.
pub const MEASURED: usize = 10_000;
/// Most failed deliveries that are counted.
pub const COUNTED: usize = 10_000;

/// How an endpoint has fared since some time, by the attempts of its last [`MEASURED`] deliveries.
#[derive(Debug, Default)]
pub struct Fared {
    /// Attempts that delivered.
    pub delivered: u64,
    /// Attempts that failed. Those that a stop of this server cut off are not counted.
    pub failed: u64,
    /// How long it took until an answer came, shortest first.
    pub answered_after: Vec<Duration>,
    /// When an attempt last succeeded.
    pub last_success_at: Option<Timestamp>,
    /// The last attempt that failed, whenever that was.
    pub last_failure: Option<Attempt>,
}

impl Fared {
    /// The time within which this percentage of the answers came; `None` without answers.
    pub fn percentile(&self, percent: usize) -> Option<Duration> {
        let rank = (self.answered_after.len() * percent).div_ceil(100);
        self.answered_after.get(rank.checked_sub(1)?).copied()
    }
}

/// How this endpoint has fared since then.
pub fn measure(view: &View<'_>, endpoint: EndpointKey, since: Timestamp) -> Result<Fared> {
    let mut rows = view.conn.prepare_cached(
        "SELECT d.key, number, started_at, duration_ms, failure, status
         FROM (SELECT key FROM delivery INDEXED BY delivery_of_endpoint WHERE endpoint = ? ORDER BY key DESC LIMIT ?) AS d
         CROSS JOIN attempt ON attempt.delivery = d.key",
    )?;
    let mut rows = rows.query((endpoint, MEASURED))?;
    let (mut fared, mut failed) = (Fared::default(), None::<(Timestamp, DeliveryKey, u32)>);
    while let Some(row) = rows.next()? {
        let (key, number) = (row.get("key")?, row.get("number")?);
        let started_at = Timestamp::from_millis(row.get("started_at")?);
        let took = row.get::<_, Option<u64>>("duration_ms")?.map(Duration::from_millis);
        let failure: Option<String> = row.get("failure")?;
        let is_recent = started_at >= since;
        match failure.as_deref() {
            None => {
                fared.delivered += u64::from(is_recent);
                fared.last_success_at = fared.last_success_at.max(Some(started_at + took.unwrap_or_default()));
            }
            Some(class) if class == Failure::Interrupted.name() => continue,
            Some(_) => {
                fared.failed += u64::from(is_recent);
                failed = failed.max(Some((started_at, key, number)));
            }
        }
        let answered: Option<u16> = row.get("status")?;
        fared.answered_after.extend(took.filter(|_| is_recent && answered.is_some()));
    }
    fared.answered_after.sort_unstable();
    if let Some((_, key, number)) = failed {
        let attempts = deliveries::attempts(view, key)?;
        fared.last_failure = attempts.into_iter().find(|attempt| attempt.number == number);
    }
    Ok(fared)
}

/// How many deliveries to this endpoint were given up and not replayed, tests left out: [`COUNTED`] at most.
pub fn unreplayed(view: &View<'_>, endpoint: EndpointKey) -> Result<u64> {
    let mut rows = view.conn.prepare_cached(
        "SELECT count(*) FROM (SELECT 1 FROM delivery d INDEXED BY delivery_exhausted JOIN event e ON e.key = d.event
         WHERE d.endpoint = ? AND d.state = 'exhausted' AND d.replayed = 0 AND e.test = 0 LIMIT ?)",
    )?;
    Ok(rows.query_row((endpoint, COUNTED), |row| row.get(0))?)
}
