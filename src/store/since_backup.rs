//! What happened between a backup and its restore: what is lost, and what comes back although somebody had removed it.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, Row};

use super::check;
use crate::domain::{
    audit::{Action, Actor},
    ids::{EndpointId, TokenId},
    timestamp::Timestamp,
};

/// What the database of now knows, and the copy that takes its place does not.
#[derive(Debug, Default)]
pub struct SinceBackup {
    /// Events that were accepted. They are lost.
    pub events: u64,
    /// Tokens that were revoked. They are revoked in the copy too.
    pub revoked: Vec<TokenId>,
    /// Accounts that were erased. They are back.
    pub erased: Vec<String>,
    /// Webhooks that were deleted, each with its profile. They are back.
    pub deleted: Vec<(String, EndpointId)>,
}

/// Compares the copy, which knows all until `as_of`, with the database of now, revokes in the copy the tokens that were
/// revoked, and notes the restore in its audit, if its version has one. `None` if the database of now cannot be read, or has
/// no account in common with the copy.
///
/// # Errors
/// A copy that cannot be written.
pub(super) fn settle(
    copy: &Path,
    now: &Path,
    (backup, as_of): (&Path, Option<Timestamp>),
    at: Timestamp,
) -> rusqlite::Result<Option<SinceBackup>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_URI;
    let copy = Connection::open_with_flags(copy, flags)?;
    let since = look(&copy, now).ok().flatten();
    let _ = copy.execute_batch("DETACH now");
    let tx = copy.unchecked_transaction()?;
    for token in since.iter().flat_map(|since| &since.revoked) {
        tx.execute("UPDATE token SET revoked_at = ? WHERE id = ?", (at.millis(), token.to_bytes()))?;
        note(&tx, at, Action::TokenRevoked, Some(&token.to_string()), "it was revoked after the backup")?;
    }
    let knows = as_of.map_or_else(|| ", which is empty".to_owned(), |as_of| format!(", which knows all until {as_of}"));
    note(&tx, at, Action::Restored, None, &format!("{}{knows}", backup.display()))?;
    tx.commit()?;
    copy.close().map_err(|(_, error)| error)?;
    Ok(since)
}

fn look(copy: &Connection, now: &Path) -> rusqlite::Result<Option<SinceBackup>> {
    copy.execute("ATTACH ? AS now", [check::uri(now)])?;
    let related = "SELECT EXISTS (SELECT 1 FROM main.account JOIN now.account USING (key, created_at))";
    if !copy.query_row(related, [], |row| row.get(0))? {
        return Ok(None);
    }
    // An erased account keeps its key, and an event without a kind keeps the keys of its events.
    let events =
        "SELECT count(*) FROM now.event WHERE kind != '' AND key > (SELECT ifnull(max(key), 0) FROM main.event)";
    Ok(Some(SinceBackup {
        events: copy.query_row(events, [], |row| row.get(0))?,
        revoked: all(
            copy,
            "SELECT id FROM main.token AS copied JOIN now.token AS present USING (id)
             WHERE copied.revoked_at IS NULL AND present.revoked_at IS NOT NULL",
            |row| row.get(0).map(TokenId::from_bytes),
        )?,
        erased: all(
            copy,
            "SELECT copied.id FROM main.account AS copied JOIN now.account AS present USING (key, created_at)
             WHERE copied.profile != '' AND present.profile = ''",
            |row| row.get(0),
        )?,
        deleted: all(
            copy,
            "SELECT copied.profile, id FROM main.endpoint AS copied JOIN now.endpoint AS present USING (id)
             WHERE copied.state != 'deleted' AND present.state = 'deleted' AND present.url != ''",
            |row| Ok((row.get(0)?, EndpointId::from_bytes(row.get(1)?))),
        )?,
    }))
}

fn all<T>(copy: &Connection, sql: &str, read: impl Fn(&Row<'_>) -> rusqlite::Result<T>) -> rusqlite::Result<Vec<T>> {
    copy.prepare(sql)?.query_map([], |row| read(row))?.collect()
}

fn note(copy: &Connection, at: Timestamp, action: Action, subject: Option<&str>, note: &str) -> rusqlite::Result<()> {
    if !copy.table_exists(None, "audit")? {
        return Ok(());
    }
    let sql = "INSERT INTO audit (at, actor, action, subject, note) VALUES (?, ?, ?, ?, ?)";
    copy.execute(sql, (at.millis(), Actor::CommandLine.to_string(), action.name(), subject, note)).map(drop)
}
