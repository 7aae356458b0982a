//! The channels of alerts that are set up, as the outbox sees them: what is unsent there, and what waits for a channel that
//! is not set up.

use super::{Result, Tx, View};
use crate::domain::{alert::Channel, alert::STALE, json::quote};

/// Why such an alert is not sent.
const NO_CHANNEL: &str = "no channel of this name is set up";

/// The names of the channels that are set up, as the statements take them: a JSON array.
#[derive(Debug, Clone)]
pub struct ChannelNames(String);

impl ChannelNames {
    /// The names of these channels.
    pub fn of<'a>(channels: impl Iterator<Item = &'a Channel>) -> Self {
        let names: Vec<String> = channels.map(|channel| quote(channel.name())).collect();
        Self(format!("[{}]", names.join(",")))
    }
}

/// The alerts that wait for a channel that is not set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stray {
    /// The name of the channel.
    pub channel: String,
    /// Their number.
    pub alerts: u64,
}

/// The number of undelivered entries, over all channels that are set up.
pub fn unsent_count(view: &View<'_>, set_up: &ChannelNames) -> Result<u64> {
    count(view, "count(*)", set_up)
}

/// The number of those of them that were tried without success since the start.
pub fn failing_count(view: &View<'_>, set_up: &ChannelNames) -> Result<u64> {
    count(view, "count(nullif(tries, 0))", set_up)
}

fn count(view: &View<'_>, what: &str, set_up: &ChannelNames) -> Result<u64> {
    let mut rows = view.conn.prepare_cached(&format!(
        "SELECT {what} FROM alert_delivery WHERE due_at IS NOT NULL AND channel IN (SELECT value FROM json_each(?))"
    ))?;
    Ok(rows.query_row([&set_up.0], |row| row.get(0))?)
}

/// What waits for a channel that is not set up.
pub fn strays(view: &View<'_>, set_up: &ChannelNames) -> Result<Vec<Stray>> {
    let mut rows = view.conn.prepare_cached(
        "SELECT channel, count(*) AS alerts FROM alert_delivery
         WHERE due_at IS NOT NULL AND channel NOT IN (SELECT value FROM json_each(?)) GROUP BY channel",
    )?;
    let read = |row: &rusqlite::Row<'_>| Ok(Stray { channel: row.get("channel")?, alerts: row.get("alerts")? });
    Ok(rows.query_map([&set_up.0], read)?.collect::<rusqlite::Result<_>>()?)
}

/// Gives up those of them that are stale; the others say why they wait. Returns what was given up.
pub fn give_up_strays(tx: &Tx<'_>, set_up: &ChannelNames) -> Result<Vec<Stray>> {
    tx.conn
        .prepare_cached(
            "UPDATE alert_delivery SET last_error = ?2
             WHERE due_at IS NOT NULL AND channel NOT IN (SELECT value FROM json_each(?1)) AND last_error IS NOT ?2",
        )?
        .execute((&set_up.0, NO_CHANNEL))?;
    let before = strays(tx, set_up)?;
    tx.conn
        .prepare_cached(
            "UPDATE alert_delivery SET due_at = NULL, dropped_at = ?2
             WHERE due_at IS NOT NULL AND channel NOT IN (SELECT value FROM json_each(?1))
               AND (SELECT created_at FROM alert WHERE key = alert_delivery.alert) <= ?3",
        )?
        .execute((&set_up.0, tx.now.millis(), (tx.now - STALE).millis()))?;
    let left = strays(tx, set_up)?;
    let left_of = |channel: &str| left.iter().find(|left| left.channel == channel).map_or(0, |left| left.alerts);
    let gone = before.into_iter().map(|Stray { channel, alerts }| {
        let alerts = alerts - left_of(&channel);
        Stray { channel, alerts }
    });
    Ok(gone.filter(|gone| gone.alerts > 0).collect())
}
