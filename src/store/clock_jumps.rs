//! ClockJumps of the wall clock: when it is set, due times are moved along, so that each delivery waits as long as was decided;
//! and so are the ends of former secrets and of sessions. What was counted in a time that has yet to come is forgotten.
//!
//! A step is where the wall clock moved by another amount than time passed. It is looked for in every transaction before
//! anything else happens there, so nothing is written between a step and its correction.

use std::{cell::Cell, time::Duration};

use rusqlite::{Connection, OptionalExtension};

use super::{Tx, endpoints, queue, sessions, stats};
use crate::{clock::SharedClock, domain::timestamp::Timestamp};

/// A difference smaller than this is drift, in milliseconds.
const JUMP_MS: i64 = 1000;
/// How often the moment is written down beside something else that is written, in milliseconds.
const NOTE_MS: i64 = 1000;
/// How often it is written down by itself, in milliseconds: by so much a wait may be lengthened when a clock is set back
/// after a crash.
const NOTE_IDLE_MS: i64 = 60_000;

/// The clocks as they were at the last commit.
pub(super) struct ClockJumps {
    wall: Cell<Timestamp>,
    uptime: Cell<Duration>,
    noted: Cell<Timestamp>,
}

impl ClockJumps {
    /// Watches from now on; or from the last moment written down, if that lies in the future: then the clock was set back
    /// while no server ran.
    pub(super) fn watch(conn: &Connection, clock: &SharedClock) -> rusqlite::Result<Self> {
        let noted: Option<i64> = conn.query_row("SELECT at FROM moment", [], |row| row.get(0)).optional()?;
        let noted = Timestamp::from_millis(noted.unwrap_or(0));
        Ok(Self { wall: Cell::new(noted.max(clock.now())), uptime: Cell::new(clock.uptime()), noted: Cell::new(noted) })
    }

    /// Moves every due time along if the clock has stepped. Takes time in proportion to what is pending; clocks are seldom
    /// set.
    pub(super) fn follow(&self, tx: &Tx<'_>, uptime: Duration) -> rusqlite::Result<()> {
        let passed = i64::try_from(uptime.saturating_sub(self.uptime.get()).as_millis()).unwrap_or(i64::MAX);
        let jump = tx.now.millis().saturating_sub(self.wall.get().millis()).saturating_sub(passed);
        if jump.abs() < JUMP_MS {
            return Ok(());
        }
        tracing::warn!(
            step_ms = jump,
            "the clock was set: due times are moved along, so that nothing waits longer or less"
        );
        endpoints::shift(tx, jump)?;
        sessions::shift(tx, jump)?;
        stats::forget_after(tx)?;
        queue::shift(tx, jump)
    }

    /// Writes the moment down, now and then; more seldom if nothing else is written.
    pub(super) fn note(&self, tx: &Tx<'_>, written: bool) -> rusqlite::Result<()> {
        let often = if written { NOTE_MS } else { NOTE_IDLE_MS };
        if (tx.now.millis() - self.noted.get().millis()).abs() >= often {
            note(tx)?;
            self.noted.set(tx.now);
        }
        Ok(())
    }

    /// The transaction of this moment is on disk.
    pub(super) fn committed(&self, now: Timestamp, uptime: Duration) {
        self.wall.set(now);
        self.uptime.set(uptime);
    }
}

/// Writes the moment down.
pub(super) fn note(tx: &Tx<'_>) -> rusqlite::Result<()> {
    let sql = "INSERT INTO moment (one, at) VALUES (1, ?) ON CONFLICT DO UPDATE SET at = excluded.at";
    tx.conn.prepare_cached(sql)?.execute([tx.now.millis()]).map(drop)
}
