//! The note that a server serves: for the next start, and for the commands that run beside the server.

use std::time::Duration;

use rusqlite::OptionalExtension;

use super::{Result, Tx, View, audit, convert, operator_alerts};
use crate::domain::{operator_alert::About, timestamp::Timestamp};

/// How a server serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// By its settings.
    BySettings,
    /// As `ngoma serve --dev`.
    Dev,
}

/// A restore that is older is told no more.
const NEWS: Duration = Duration::from_secs(7 * 86_400);

/// Notes that a server begins to serve. The operator gets an alert if the database was restored from a backup, or else if
/// the server before did not end as it should.
pub fn begins(tx: &Tx<'_>, manner: Manner) -> Result<()> {
    let mut rows = tx.conn.prepare_cached("SELECT at FROM moment WHERE serving = 1")?;
    let last = rows.query_row([], |row| convert::moment(row, "at")).optional()?;
    // The backup of a running server says that one serves.
    if let Some((at, backup)) = untold_restore(tx)? {
        let said = format!(
            "At {at} the database was restored from {backup}. Events that were accepted after that backup are lost."
        );
        operator_alerts::write(tx, About::Restored, &said)?;
    } else if let Some(last) = last {
        let said = format!(
            "The server that ran before did not stop as it should: it crashed, was killed, the machine lost its power, or this \
             is a copy of a database that was in use. It last wrote at {last}. It serves again since {}.",
            tx.now
        );
        operator_alerts::raise(tx, About::Crash, &said)?;
    }
    note(tx, Some(manner))
}

/// The last restore, if no alert has told of it: when it was, and from which backup.
fn untold_restore(tx: &Tx<'_>) -> Result<Option<(Timestamp, String)>> {
    let Some((at, backup)) = audit::last_restore(tx)?.filter(|(at, _)| tx.now.since(*at) < NEWS) else {
        return Ok(None);
    };
    let mut told = tx.conn.prepare_cached("SELECT 1 FROM alert WHERE about = ? AND created_at >= ?")?;
    Ok((!told.exists((About::Restored.name(), at.millis()))?).then_some((at, backup)))
}

/// Notes that the server has ended as it should. For the next start this is also the last moment at which it wrote.
pub fn ends(tx: &Tx<'_>) -> Result<()> {
    note(tx, None)
}

/// Whether a server serves as `ngoma serve --dev`, or did so and has crashed.
pub fn is_dev(view: &View<'_>) -> Result<bool> {
    Ok(view.conn.prepare_cached("SELECT 1 FROM moment WHERE dev = 1")?.exists([])?)
}

fn note(tx: &Tx<'_>, serves: Option<Manner>) -> Result<()> {
    let sql = "INSERT INTO moment (one, at, serving, dev) VALUES (1, ?1, ?2, ?3)
               ON CONFLICT DO UPDATE SET at = excluded.at, serving = excluded.serving, dev = excluded.dev";
    tx.conn.prepare_cached(sql)?.execute((tx.now.millis(), serves.is_some(), serves == Some(Manner::Dev)))?;
    Ok(())
}
