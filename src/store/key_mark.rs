//! Marks of keys: they show which key file belongs to a database that has no secret to test it on. The audit names each
//! key by a mark that does not reveal the key.

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

/// Writes the mark of this database's key.
pub(super) fn note(conn: &Connection, keys: &KeyRing, now: Timestamp, actor: Actor) -> rusqlite::Result<()> {
    let sql = "INSERT INTO audit (at, actor, action, subject) VALUES (?, ?, ?, ?)";
    conn.execute(sql, (now.millis(), actor.to_string(), Action::KeyMade.name(), keys.mark())).map(drop)
}
