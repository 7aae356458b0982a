//! Sessions of the dashboard. Only the SHA-256 of a browser's cookie is here.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};

use super::{
    Result, Tx, View, accounts, convert,
    tokens::{self, read_caller},
};
use crate::{
    domain::{
        audit::Action,
        ids::TokenId,
        timestamp::Timestamp,
        token::{Caller, Visible},
    },
    error::{Error, Missing},
};

/// Most sessions of one token at the same time; a further one ends the oldest.
pub const PER_TOKEN: usize = 20;

/// Sign-ins of one token within this many milliseconds get one audit entry: a token in a loop must not fill the audit.
const AGAIN_MS: i64 = 60_000;

/// Most open sessions of an account that are listed.
const LISTED: usize = 100;

/// Begins a session for this token, and notes it in the audit.
///
/// # Errors
/// [`Error::NotFound`] if there is no such token, or it is revoked.
pub fn begin(tx: &Tx<'_>, token: TokenId, hash: [u8; 32], lasts: Duration) -> Result<()> {
    insert(tx, token, hash, lasts)?;
    let mut rows = tx.conn.prepare_cached(
        "SELECT 1 FROM session WHERE token = (SELECT key FROM token WHERE id = ?) AND hash != ? AND expires_at > ?",
    )?;
    let again = rows.exists((token.to_bytes(), hash, (tx.now + lasts).millis() - AGAIN_MS))?;
    if again { Ok(()) } else { tokens::note(tx, Action::SessionBegun, token, None) }
}

/// Begins a session for this token. Removes sessions that have ended.
///
/// # Errors
/// As [`begin`].
pub(super) fn insert(tx: &Tx<'_>, token: TokenId, hash: [u8; 32], lasts: Duration) -> Result<()> {
    tx.conn.prepare_cached("DELETE FROM session WHERE expires_at <= ?")?.execute([tx.now.millis()])?;
    let made = tx
        .conn
        .prepare_cached(
            "INSERT INTO session (hash, token, expires_at) SELECT ?, key, ? FROM token WHERE id = ? AND revoked_at IS NULL",
        )?
        .execute((hash, (tx.now + lasts).millis(), token.to_bytes()))?;
    if made == 0 {
        return Err(Error::NotFound(Missing::Token));
    }
    tx.conn
        .prepare_cached(
            "DELETE FROM session WHERE hash IN (SELECT hash FROM session WHERE token = (SELECT key FROM token WHERE id = ?)
                                                  AND hash != ?
                                                ORDER BY expires_at DESC LIMIT -1 OFFSET ?)",
        )?
        .execute((token.to_bytes(), hash, PER_TOKEN - 1))?;
    Ok(())
}

/// Moves the ends of sessions by this many milliseconds.
pub(super) fn shift(tx: &Tx<'_>, by: i64) -> rusqlite::Result<()> {
    tx.conn.prepare_cached("UPDATE session SET expires_at = expires_at + ?")?.execute([by]).map(drop)
}

/// The caller of a session; `None` if it is unknown, has ended, or its token is revoked or has expired.
pub fn caller(view: &View<'_>, hash: [u8; 32], now: Timestamp) -> Result<Option<Caller>> {
    let mut rows = view.conn.prepare_cached(
        "SELECT token.id AS token_id, token.account, account.id AS account_id, token.profile, scopes, last_used_at,
           (SELECT max(key) FROM account) AS newest_account
         FROM session JOIN token ON token.key = session.token LEFT JOIN account ON account.key = token.account
         WHERE session.hash = ?1 AND expires_at > ?2 AND revoked_at IS NULL AND (valid_until IS NULL OR valid_until > ?2)",
    )?;
    Ok(rows.query_row((hash, now.millis()), |row| read_caller(row, Some(hash))).optional()?)
}

/// Whether a session has not ended.
pub(super) fn stands(conn: &Connection, hash: [u8; 32], now: Timestamp) -> Result<bool> {
    let mut rows = conn.prepare_cached("SELECT 1 FROM session WHERE hash = ? AND expires_at > ?")?;
    Ok(rows.exists((hash, now.millis()))?)
}

/// An open session of an account.
#[derive(Debug, Clone)]
pub struct OpenSession {
    /// Its mark: the first bytes of its hash.
    pub mark: SessionMark,
    /// The token by which it acts.
    pub token: TokenId,
    /// The label of the token.
    pub label: Option<String>,
    /// When it ends.
    pub ends_at: Timestamp,
}

/// The first bytes of a session's hash. They name a session and open nothing.
pub type SessionMark = [u8; 8];

/// The open sessions of an account, the newest first; at most 100.
///
/// # Errors
/// [`Error::NotFound`] for an account that is not visible.
pub fn of_account(view: &View<'_>, visible: &Visible, account: &str, now: Timestamp) -> Result<Vec<OpenSession>> {
    let account = accounts::see(view, visible, account)?;
    let mut rows = view.conn.prepare_cached(
        "SELECT session.hash, expires_at, id, label FROM session JOIN token ON token.key = session.token
         WHERE account = ? AND expires_at > ? AND revoked_at IS NULL ORDER BY expires_at DESC LIMIT ?",
    )?;
    let rows = rows.query_map((account.key, now.millis(), LISTED), |row| {
        let (hash, mut mark): ([u8; 32], _) = (row.get("hash")?, SessionMark::default());
        mark.copy_from_slice(&hash[..8]);
        Ok(OpenSession {
            mark,
            token: TokenId::from_bytes(row.get("id")?),
            label: row.get("label")?,
            ends_at: convert::moment(row, "expires_at")?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Ends the session of an account that has this mark. One that has ended already is no error.
///
/// # Errors
/// [`Error::NotFound`] if there is no such account.
pub fn end_of_account(tx: &Tx<'_>, account: &str, mark: SessionMark) -> Result<()> {
    let account = accounts::named(tx, None, account)?;
    let [mut first, mut last] = [[0; 32], [0xff; 32]];
    for end in [&mut first, &mut last] {
        end[..mark.len()].copy_from_slice(&mark);
    }
    let token = tx
        .conn
        .prepare_cached(
            "DELETE FROM session WHERE hash BETWEEN ? AND ? AND token IN (SELECT key FROM token WHERE account = ?)
             RETURNING (SELECT id FROM token WHERE key = session.token)",
        )?
        .query_row((first, last, account.key), |row| row.get(0).map(TokenId::from_bytes))
        .optional()?;
    token.map_or(Ok(()), |token| tokens::note(tx, Action::SessionEnded, token, None))
}

/// Ends a session.
pub fn end(tx: &Tx<'_>, hash: [u8; 32]) -> Result<()> {
    tx.conn.prepare_cached("DELETE FROM session WHERE hash = ?")?.execute([hash])?;
    Ok(())
}
