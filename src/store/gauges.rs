//! What there is: counts for whoever watches the server. None of them looks at what has come to a good end, which grows
//! without end.

use super::{Db, Result, View, alerts, files};
use crate::{
    domain::{delivery::State, timestamp::Timestamp},
    metrics::GaugeValues,
};

/// The states that are counted, each with an index of its own.
const COUNTED: [State; 4] = [State::Pending, State::Claimed, State::Held, State::Exhausted];

impl Db {
    /// Looks through the database, and at its files.
    pub async fn gauges(&self, now: Timestamp) -> Result<GaugeValues> {
        let found = self.read(move |view| {
            let (deliveries, webhooks) = (deliveries(view)?, webhooks(view)?);
            let oldest_due = oldest_due(view)?.map(|due| now.since(due)).unwrap_or_default();
            Ok(GaugeValues {
                deliveries,
                oldest_due,
                webhooks,
                alerts_unsent: alerts::unsent_count(view)?,
                ..GaugeValues::default()
            })
        });
        let [database, log, _] = files::of_database(&self.0.path);
        Ok(GaugeValues {
            writer_waiting: self.waiting(),
            database: files::size(&database),
            log: files::size(&log),
            disk_free: self.free_space(),
            ..found.await?
        })
    }

    /// Bytes that are free on the disk of the database; `None` if the system does not say.
    pub fn free_space(&self) -> Option<u64> {
        files::free_space(&self.0.path)
    }
}

fn deliveries(view: &View<'_>) -> Result<Vec<(&'static str, u64)>> {
    COUNTED
        .into_iter()
        .map(|state| {
            let sql = format!("SELECT count(*) FROM delivery WHERE state = '{}'", state.name());
            Ok((state.name(), view.conn.prepare_cached(&sql)?.query_row([], |row| row.get(0))?))
        })
        .collect()
}

/// The first due time of all that is pending for an active endpoint: a look at the head of each.
fn oldest_due(view: &View<'_>) -> Result<Option<Timestamp>> {
    let mut rows = view.conn.prepare_cached(
        "SELECT min((SELECT due_at FROM delivery WHERE endpoint = endpoint.key AND state = 'pending' ORDER BY due_at LIMIT 1))
         FROM endpoint WHERE state = 'active'",
    )?;
    let due_at: Option<i64> = rows.query_row([], |row| row.get(0))?;
    Ok(due_at.map(Timestamp::from_millis))
}

fn webhooks(view: &View<'_>) -> Result<Vec<(String, u64, u64)>> {
    let mut rows = view.conn.prepare_cached(
        "SELECT profile, sum(state = 'active'), sum(state = 'suspended') FROM endpoint WHERE profile != '' GROUP BY profile",
    )?;
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
