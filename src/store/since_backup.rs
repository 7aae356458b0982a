//! What happened between a backup and its restore: what is lost, and what comes back although somebody had removed it.

use std::{collections::BTreeSet, path::Path};

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
    /// Tokens that were revoked, and those of accounts that were erased. They are revoked in the copy too.
    pub revoked: Vec<TokenId>,
    /// Accounts that were erased. They are back.
    pub erased: Vec<String>,
    /// Webhooks that were deleted, each with its profile. They are back.
    pub deleted: Vec<(String, EndpointId)>,
}

/// Compares the copy, which knows all until `as_of`, with the database of now, revokes in the copy the tokens that were
/// revoked, and ends its sessions and sign-in links: whether somebody has ended or opened them since cannot be known. It
/// notes all this in the copy's audit, if its version has one. `None` if the database of now cannot be read, or has no
/// account in common with the copy.
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
    let (mut since, revoked) = look(&copy, now).ok().flatten().unzip();
    let _ = copy.execute_batch("DETACH now");
    let tx = copy.unchecked_transaction()?;
    for id in revoked.unwrap_or_default() {
        let token = TokenId::from_bytes(id);
        let sql = "UPDATE token SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL";
        if tx.execute(sql, (at.millis(), id))? > 0 {
            since.iter_mut().for_each(|since| since.revoked.push(token));
        }
        // Also of a token that the copy does not have: the next restore may bring it back.
        note(&tx, at, Action::TokenRevoked, Some(&token.to_string()), "it was revoked after the backup")?;
    }
    for table in ["session", "sign_in_link"] {
        if tx.table_exists(None, table)? {
            tx.execute(&format!("DELETE FROM {table}"), [])?;
        }
    }
    let knows = as_of.map_or_else(|| ", which is empty".to_owned(), |as_of| format!(", which knows all until {as_of}"));
    note(&tx, at, Action::Restored, None, &format!("{}{knows}", backup.display()))?;
    tx.commit()?;
    copy.close().map_err(|(_, error)| error)?;
    Ok(since)
}

/// What happened since, and the revoked tokens of which the copy's audit says nothing.
fn look(copy: &Connection, now: &Path) -> rusqlite::Result<Option<(SinceBackup, BTreeSet<[u8; 16]>)>> {
    copy.execute("ATTACH ? AS now", [check::uri(now)])?;
    let related = "SELECT EXISTS (SELECT 1 FROM main.account JOIN now.account USING (key, created_at))";
    if !copy.query_row(related, [], |row| row.get(0))? {
        return Ok(None);
    }
    // After an earlier restore, new events have taken the keys of lost ones. So only those after the newest event that
    // both have are compared, by their ids. An erased account keeps its key, and an event without a kind keeps the keys
    // of its events.
    let events = "SELECT count(*) FROM now.event AS present
         WHERE kind != '' AND NOT EXISTS (SELECT 1 FROM main.event AS copied WHERE copied.id = present.id)
           AND key > ifnull((SELECT present.key FROM now.event AS present JOIN main.event AS copied USING (key, id)
                             ORDER BY present.key DESC LIMIT 1), 0)";
    let since = SinceBackup {
        events: copy.query_row(events, [], |row| row.get(0))?,
        revoked: Vec::new(),
        erased: all(
            copy,
            "SELECT copied.id FROM main.account AS copied JOIN now.account AS present USING (key, created_at)
             WHERE copied.profile != '' AND present.profile = ''",
            |row| row.get(0),
        )?,
        deleted: deleted(copy)?,
    };
    Ok(Some((since, revoked(copy)?)))
}

/// The tokens that were revoked. Their rows go in the end; the audit remembers them. An erased account's are known by
/// their account.
fn revoked(copy: &Connection) -> rusqlite::Result<BTreeSet<[u8; 16]>> {
    let rows = "SELECT id FROM now.token WHERE revoked_at IS NOT NULL
         UNION SELECT token.id FROM main.token JOIN main.account AS copied ON copied.key = token.account
           JOIN now.account AS present ON present.key = copied.key AND present.created_at = copied.created_at
         WHERE present.profile = ''";
    let audited = |of| {
        let subjects = subjects(copy, of, Action::TokenRevoked)?.into_iter();
        Ok::<BTreeSet<[u8; 16]>, rusqlite::Error>(
            subjects.filter_map(|id| TokenId::parse(&id)).map(TokenId::to_bytes).collect(),
        )
    };
    let noted = audited("main")?;
    let known = all(copy, rows, |row| row.get(0))?.into_iter().chain(audited("now")?);
    Ok(known.filter(|id| !noted.contains(id)).collect())
}

/// The webhooks of the copy that were deleted. The row of a deleted one goes in the end; the audit may know it longer.
fn deleted(copy: &Connection) -> rusqlite::Result<Vec<(String, EndpointId)>> {
    let id = |row: &Row<'_>, column| row.get(column).map(EndpointId::from_bytes);
    let rows = "SELECT id FROM now.endpoint WHERE state = 'deleted' AND url != ''";
    let mut gone: BTreeSet<String> = all(copy, rows, |row| Ok(id(row, 0)?.to_string()))?.into_iter().collect();
    gone.extend(subjects(copy, "now", Action::WebhookDeleted)?);
    let there = "SELECT profile, id FROM main.endpoint WHERE state != 'deleted'";
    let there = all(copy, there, |row| Ok((row.get(0)?, id(row, 1)?)))?;
    Ok(there.into_iter().filter(|(_, id)| gone.contains(&id.to_string())).collect())
}

/// What this action changed, as the audit of one of the two databases tells. An old version has no audit.
fn subjects(copy: &Connection, of: &str, action: Action) -> rusqlite::Result<Vec<String>> {
    if !copy.table_exists(Some(of), "audit")? {
        return Ok(Vec::new());
    }
    let sql = format!("SELECT subject FROM {of}.audit WHERE action = '{}' AND subject IS NOT NULL", action.name());
    all(copy, &sql, |row| row.get(0))
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
