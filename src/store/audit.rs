//! The audit: each verb that changes something writes an entry in the same transaction, so no caller can forget it.

use rusqlite::{OptionalExtension, Row};

use super::{Result, Tx, View, convert};
use crate::domain::{
    audit::{Action, Entry, EntryKey},
    endpoint::{EndpointKey, masked},
    ids::{EndpointId, TokenId},
    timestamp::Timestamp,
    token::Visible,
};

/// How many removable entries are kept of each account (some 600 kB). Somebody who pauses and resumes a webhook all day
/// must neither fill the disk nor push out the entries of others. Entries about accounts, tokens and keys are never
/// removed.
const KEPT: i64 = 5_000;
/// How many surplus entries are removed at once.
const AT_ONCE: i64 = 100;

/// Two slices of cancelled deliveries within this many milliseconds share an entry.
const ONE_PASS_MS: i64 = 60_000;

const LOOKED_AT: i64 = 10_000;

/// The profile and the id of the account in which something is changed.
pub(super) type Whose<'a> = Option<(&'a str, &'a str)>;

pub(super) fn note(
    tx: &Tx<'_>,
    action: Action,
    whose: Whose<'_>,
    subject: Option<&str>,
    note: Option<&str>,
) -> Result<()> {
    let (profile, account) = whose.unzip();
    tx.conn
        .prepare_cached(
            "INSERT INTO audit (at, actor, profile, account, action, subject, note) VALUES (?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute((tx.now.millis(), tx.actor().to_string(), profile, account, action.name(), subject, note))?;
    match account {
        Some(account) if action.passes() => prune(tx, account),
        _ => Ok(()),
    }
}

/// Writes an entry about an endpoint.
pub(super) fn of_endpoint(tx: &Tx<'_>, action: Action, key: EndpointKey, what: Option<&str>) -> Result<()> {
    let mut rows = tx.conn.prepare_cached(
        "SELECT endpoint.id, account.profile, account.id FROM endpoint JOIN account ON account.key = account
         WHERE endpoint.key = ?",
    )?;
    let (id, profile, account): (_, String, String) =
        rows.query_row([key], |row| Ok((EndpointId::from_bytes(row.get(0)?), row.get(1)?, row.get(2)?)))?;
    note(tx, action, Some((&profile, &account)), Some(&id.to_string()), what)
}

/// Writes an entry about something in an account.
pub(super) fn of_account(tx: &Tx<'_>, action: Action, account: &str, subject: &str, what: Option<&str>) -> Result<()> {
    let mut rows = tx.conn.prepare_cached("SELECT profile FROM account WHERE id = ?")?;
    let profile: String = rows.query_row([account], |row| row.get(0))?;
    note(tx, action, Some((&profile, account)), Some(subject), what)
}

/// Writes that a test delivery to this endpoint was requested.
pub fn tested(tx: &Tx<'_>, endpoint: EndpointKey) -> Result<()> {
    of_endpoint(tx, Action::WebhookTested, endpoint, None)
}

/// Writes that a test mail was requested.
pub fn mail_tested(tx: &Tx<'_>) -> Result<()> {
    note(tx, Action::MailTested, None, None, None)
}

/// Writes that a test of this channel of alerts was requested.
pub fn channel_tested(tx: &Tx<'_>, channel: &str) -> Result<()> {
    note(tx, Action::ChannelTested, None, Some(channel), None)
}

/// Writes that a backup to this file was requested.
pub fn backed_up(tx: &Tx<'_>, file: &str) -> Result<()> {
    note(tx, Action::BackedUp, None, None, Some(file))
}

/// When a backup last took the place of the database, and which one.
pub fn last_restore(view: &View<'_>) -> Result<Option<(Timestamp, String)>> {
    let sql = "SELECT at, note FROM audit WHERE action = ? ORDER BY key DESC LIMIT 1";
    let mut row = view.conn.prepare_cached(sql)?;
    let found = row.query_row([Action::Restored.name()], |row| Ok((convert::moment(row, "at")?, row.get("note")?)));
    Ok(found.optional()?)
}

/// Writes that this file of a backup is downloaded.
pub fn backup_taken(tx: &Tx<'_>, file: &str) -> Result<()> {
    note(tx, Action::BackupTaken, None, None, Some(file))
}

/// Writes that held deliveries of an endpoint were cancelled, if any were. Slices that follow each other share an
/// entry.
pub(super) fn held(tx: &Tx<'_>, action: Action, endpoint: EndpointKey, count: usize) -> Result<()> {
    if count == 0 {
        return Ok(());
    }
    let mut rows = tx.conn.prepare_cached("SELECT id FROM endpoint WHERE key = ?")?;
    let id = rows.query_row([endpoint], |row| Ok(EndpointId::from_bytes(row.get(0)?)))?;
    let added = tx
        .conn
        .prepare_cached(
            "UPDATE audit SET note = (CAST(note AS INTEGER) + ?1) || ' deliveries'
             WHERE key = (SELECT max(key) FROM audit) AND action = ?2 AND subject = ?3 AND actor = ?4 AND at > ?5",
        )?
        .execute((count, action.name(), id.to_string(), tx.actor().to_string(), tx.now.millis() - ONE_PASS_MS))?;
    if added == 0 {
        of_endpoint(tx, action, endpoint, Some(&format!("{count} deliveries")))?;
    }
    Ok(())
}

/// Removes the oldest removable entries of an account that has too many.
fn prune(tx: &Tx<'_>, account: &str) -> Result<()> {
    let passing = Action::ALL.iter().filter(|action| action.passes());
    let passing: Vec<String> = passing.map(|action| format!("'{}'", action.name())).collect();
    let sql = format!(
        "DELETE FROM audit WHERE key IN
           (SELECT key FROM audit INDEXED BY audit_of_account
            WHERE account = ?1 AND action IN ({}) AND key <= (
              SELECT key FROM audit INDEXED BY audit_of_account WHERE account = ?1 ORDER BY key DESC LIMIT 1 OFFSET ?2)
            ORDER BY key LIMIT ?3)",
        passing.join(", ")
    );
    tx.conn.prepare_cached(&sql)?.execute((account, KEPT, AT_ONCE))?;
    Ok(())
}

/// At most this many entries about the account with this id, up to the entry `last`: newer ones are about another
/// account with the same id.
pub(super) fn of(view: &View<'_>, account: &str, last: EntryKey, most: usize) -> Result<Vec<EntryKey>> {
    let mut rows = view.conn.prepare_cached("SELECT key FROM audit WHERE account = ? AND key <= ? LIMIT ?")?;
    Ok(rows.query_map((account, last, most), |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn remove(tx: &Tx<'_>, keys: &[EntryKey]) -> Result<()> {
    let mut row = tx.conn.prepare_cached("DELETE FROM audit WHERE key = ?")?;
    keys.iter().try_for_each(|key| Ok(row.execute([key]).map(drop)?))
}

/// Which entries to list, newest first.
#[derive(Debug, Default)]
pub struct Filter {
    /// Only of the account of this id.
    pub account: Option<String>,
    /// Only of this action.
    pub action: Option<Action>,
    /// Only those before this one.
    pub before: Option<EntryKey>,
}

/// One page of entries, newest first; and the `before` of the next page, `None` at the end. It reads a limited number
/// of entries: a page may hold few or none and yet not be the last.
pub fn list(
    view: &View<'_>,
    visible: &Visible,
    filter: &Filter,
    limit: usize,
) -> Result<(Vec<Entry>, Option<EntryKey>)> {
    let before = filter.before.unwrap_or(EntryKey::MAX);
    let own: Option<String> = match visible.account {
        Some(key) => {
            let mut rows = view.conn.prepare_cached("SELECT id FROM account WHERE key = ?")?;
            Some(rows.query_row([key], |row| row.get(0))?)
        }
        None => None,
    };
    // For one account: by its index.
    let account = own.as_ref().or(filter.account.as_ref());
    let looked = if account.is_some() {
        "SELECT * FROM audit INDEXED BY audit_of_account WHERE account = ?1 AND key < ?2 ORDER BY key DESC LIMIT ?3"
    } else {
        "SELECT * FROM audit WHERE ?1 IS NULL AND key < ?2 ORDER BY key DESC LIMIT ?3"
    };
    let mut rows = view.conn.prepare_cached(looked)?;
    let mut rows = rows.query((account, before, LOOKED_AT))?;
    let (mut found, mut looked, mut last) = (Vec::new(), 0, None);
    while let Some(row) = rows.next()? {
        let entry = read(row)?;
        looked += 1;
        if found.len() == limit {
            return Ok((found, last));
        }
        last = Some(entry.key);
        let fits = |wanted: Option<&str>, given: Option<&str>| wanted.is_none() || wanted == given;
        if fits(visible.profile.as_deref(), entry.profile.as_deref())
            && fits(filter.account.as_deref(), entry.account_id.as_deref())
            && fits(filter.action.map(Action::name), Some(&entry.action))
        {
            found.push(Entry { label: label(view, &entry.actor)?, ..entry });
        }
    }
    Ok((found, last.filter(|_| looked == LOOKED_AT)))
}

fn label(view: &View<'_>, actor: &str) -> Result<Option<String>> {
    let Some(id) = TokenId::parse(actor) else { return Ok(None) };
    let mut rows = view.conn.prepare_cached("SELECT label FROM token WHERE id = ?")?;
    Ok(rows.query_row([id.to_bytes()], |row| row.get(0)).optional()?.flatten())
}

fn read(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        key: row.get("key")?,
        at: convert::moment(row, "at")?,
        actor: row.get("actor")?,
        label: None,
        profile: row.get("profile")?,
        account_id: row.get("account")?,
        action: row.get("action")?,
        subject: row.get("subject")?,
        note: row.get::<_, Option<String>>("note")?.map(shown),
    })
}

/// A note for display: older versions wrote whole URLs, whose paths may hold secrets.
fn shown(note: String) -> String {
    match note.find("http://").or_else(|| note.find("https://")) {
        Some(start) if !note.ends_with("...") => format!("{}{}", &note[..start], masked(&note[start..])),
        _ => note,
    }
}
