//! Counts for people who watch the server. None of them reads finished deliveries, whose number only grows.

use super::{
    Db, Result, View,
    channels::{self, ChannelNames},
    files, room,
};
use crate::{
    domain::{delivery::State, timestamp::Timestamp},
    metrics::GaugeValues,
};

/// The counted states, each with a condition that has an index of its own. Of the failed ones, those that are missed.
const COUNTED: [(State, &str); 4] = [
    (State::Pending, "state = 'pending'"),
    (State::Claimed, "state = 'claimed'"),
    (State::Held, "state = 'held'"),
    (State::Exhausted, "missed = 1"),
];

impl Db {
    /// Reads the gauges from the database and its files. Unsent alerts are those for channels that are set up.
    pub async fn gauges(&self, now: Timestamp, set_up: ChannelNames) -> Result<GaugeValues> {
        let found = self.read(move |view| {
            let (deliveries, webhooks) = (deliveries(view)?, webhooks(view)?);
            let oldest_due = oldest_due(view)?.map(|due| now.since(due)).unwrap_or_default();
            Ok(GaugeValues {
                deliveries,
                oldest_due,
                webhooks,
                alerts_unsent: channels::unsent_count(view, &set_up)?,
                used: room::used(view)?,
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
        .map(|(state, which)| {
            let sql = format!("SELECT count(*) FROM delivery WHERE {which}");
            Ok((state.name(), view.conn.prepare_cached(&sql)?.query_row([], |row| row.get(0))?))
        })
        .collect()
}

/// The earliest due time of a pending delivery to an active endpoint: reads one row for each endpoint.
fn oldest_due(view: &View<'_>) -> Result<Option<Timestamp>> {
    let mut rows = view.conn.prepare_cached(
        "SELECT min((SELECT due_at FROM delivery WHERE endpoint = endpoint.key AND state = 'pending' ORDER BY due_at LIMIT 1))
         FROM endpoint WHERE state = 'active'",
    )?;
    let due_at: Option<i64> = rows.query_row([], |row| row.get(0))?;
    Ok(due_at.map(Timestamp::from_millis))
}

fn webhooks(view: &View<'_>) -> Result<Vec<(String, [u64; 3])>> {
    let mut rows = view.conn.prepare_cached(
        "SELECT profile, sum(state = 'active'), sum(state = 'suspended' AND suspended_reason != 'paused'),
           sum(state = 'suspended' AND suspended_reason = 'paused')
         FROM endpoint WHERE profile != '' GROUP BY profile",
    )?;
    let rows = rows.query_map([], |row| Ok((row.get(0)?, [row.get(1)?, row.get(2)?, row.get(3)?])))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
