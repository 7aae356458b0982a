//! Marks of keys: they show which key file belongs to a database that has no secret to test it on, and which database a
//! backup is of. The audit names each key by a mark that does not reveal the key.

use rusqlite::{Connection, OptionalExtension};

use super::KeyRing;
use crate::domain::{
    audit::{Action, Actor},
    timestamp::Timestamp,
};

/// The mark of the newest key; `None` if an older version wrote none, or had no audit.
pub(super) fn known(conn: &Connection) -> rusqlite::Result<Option<String>> {
    if !conn.table_exists(None, "audit")? {
        return Ok(None);
    }
    let sql = "SELECT subject FROM audit WHERE action IN (?, ?) ORDER BY key DESC LIMIT 1";
    let names = (Action::KeyMade.name(), Action::KeyRotated.name());
    conn.query_row(sql, names, |row| row.get(0)).optional().map(Option::flatten)
}

/// The first key of a database: when it was noted, and its mark. Only copies of one database have the same.
pub(super) type FirstKey = (i64, String);

/// The first key of this database; `None` if version 0.1 made it and no server has noted its key since.
pub(super) fn first(conn: &Connection) -> rusqlite::Result<Option<FirstKey>> {
    let sql = "SELECT at, subject FROM audit WHERE action IN (?, ?) AND subject IS NOT NULL ORDER BY key LIMIT 1";
    let names = (Action::KeyMade.name(), Action::KeyRotated.name());
    conn.query_row(sql, names, |row| Ok((row.get(0)?, row.get(1)?))).optional()
}

/// Writes the mark of this database's key.
pub(super) fn note(conn: &Connection, keys: &KeyRing, now: Timestamp, actor: Actor) -> rusqlite::Result<()> {
    let sql = "INSERT INTO audit (at, actor, action, subject) VALUES (?, ?, ?, ?)";
    conn.execute(sql, (now.millis(), actor.to_string(), Action::KeyMade.name(), keys.mark())).map(drop)
}
