//! Jumps of the wall clock. When the clock is set, due times move along, so that each delivery waits as long as was
//! decided. The ends of former secrets, tokens, sessions and sign-in links move too. Statistics of a time that has not come yet are
//! removed.
//!
//! A jump is a difference between the wall clock and the time that really passed. Every transaction looks for one
//! before it does anything else, so nothing is written between a jump and its correction.

use std::{cell::Cell, time::Duration};

use rusqlite::{Connection, OptionalExtension};

use super::{Tx, endpoints, notices, operator_alerts, queue, sessions, sign_in_links, stats, tokens};
use crate::{
    clock::SharedClock,
    domain::{operator_alert::About, timestamp::Timestamp},
};

/// A difference smaller than this is drift, in milliseconds.
const JUMP_MS: i64 = 1000;
/// A jump of at least this size needs a person: a signature is refused if its time is wrong by minutes. In milliseconds.
const ALARMING_MS: i64 = 60_000;
/// How often the time is stored while other things are written, in milliseconds.
const NOTE_MS: i64 = 1000;
/// How often the time is stored when nothing else is written, in milliseconds. If the clock is set back after a crash,
/// a wait may grow by this much.
const NOTE_IDLE_MS: i64 = 60_000;

/// Both clocks at the last commit.
pub(super) struct ClockJumps {
    wall: Cell<Timestamp>,
    uptime: Cell<Duration>,
    noted: Cell<Timestamp>,
}

impl ClockJumps {
    /// Starts to watch: from now, or from the last stored time if that lies in the future. Then the clock was set back
    /// while no server ran.
    pub(super) fn watch(conn: &Connection, clock: &SharedClock) -> rusqlite::Result<Self> {
        let noted: Option<i64> = conn.query_row("SELECT at FROM moment", [], |row| row.get(0)).optional()?;
        let noted = Timestamp::from_millis(noted.unwrap_or(0));
        Ok(Self { wall: Cell::new(noted.max(clock.now())), uptime: Cell::new(clock.uptime()), noted: Cell::new(noted) })
    }

    /// Moves all due times if the clock has jumped. Takes time in proportion to the pending deliveries; clocks are
    /// seldom set.
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
        sign_in_links::shift(tx, jump)?;
        tokens::shift(tx, jump)?;
        notices::shift(tx, jump)?;
        stats::forget_after(tx)?;
        queue::shift(tx, jump)?;
        if jump.abs() >= ALARMING_MS {
            tell(tx, jump);
        }
        Ok(())
    }

    /// Stores the time now and then, more seldom if nothing else is written.
    pub(super) fn note(&self, tx: &Tx<'_>, written: bool) -> rusqlite::Result<()> {
        let often = if written { NOTE_MS } else { NOTE_IDLE_MS };
        if (tx.now.millis() - self.noted.get().millis()).abs() >= often {
            note(tx)?;
            self.noted.set(tx.now);
        }
        Ok(())
    }

    /// Notes that the transaction of this moment is on disk.
    pub(super) fn committed(&self, now: Timestamp, uptime: Duration) {
        self.wall.set(now);
        self.uptime.set(uptime);
    }
}

/// Tells the operator. The jump must be followed even if this fails.
fn tell(tx: &Tx<'_>, jump: i64) {
    let way = if jump < 0 { "back" } else { "forward" };
    let seconds = jump.unsigned_abs() / 1000;
    let said = format!("The clock of the machine was set {way} by {seconds} s: it is {} now.", tx.now);
    if let Err(error) = operator_alerts::raise(tx, About::Clock, &said) {
        tracing::warn!(%error, "the operator gets no alert about the clock");
    }
}

pub(super) fn note(tx: &Tx<'_>) -> rusqlite::Result<()> {
    let sql = "INSERT INTO moment (one, at) VALUES (1, ?) ON CONFLICT DO UPDATE SET at = excluded.at";
    tx.conn.prepare_cached(sql)?.execute([tx.now.millis()]).map(drop)
}
