//! Sessions of the dashboard. Only the SHA-256 of a browser's cookie is here.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};

use super::{
    Result, Tx, View,
    tokens::{self, read_caller},
};
use crate::{
    domain::{audit::Action, ids::TokenId, timestamp::Timestamp, token::Caller},
    error::{Error, Missing},
};

/// Sessions of one token at the same time; one more ends the one that would end first.
pub const PER_TOKEN: usize = 20;

/// Whoever signs in again within so many milliseconds is told of once: a token in a loop must not fill the audit.
const AGAIN_MS: i64 = 60_000;

/// Begins a session of whoever holds this token. Those whose time has come are forgotten.
///
/// # Errors
/// [`Error::NotFound`] if there is no such token, or it is revoked.
pub fn begin(tx: &Tx<'_>, token: TokenId, hash: [u8; 32], lasts: Duration) -> Result<()> {
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
    let mut rows = tx.conn.prepare_cached(
        "SELECT 1 FROM session WHERE token = (SELECT key FROM token WHERE id = ?) AND hash != ? AND expires_at > ?",
    )?;
    let again = rows.exists((token.to_bytes(), hash, (tx.now + lasts).millis() - AGAIN_MS))?;
    if again { Ok(()) } else { tokens::note(tx, Action::SessionBegun, token, None) }
}

/// Moves the ends of sessions by so many milliseconds.
pub(super) fn shift(tx: &Tx<'_>, by: i64) -> rusqlite::Result<()> {
    tx.conn.prepare_cached("UPDATE session SET expires_at = expires_at + ?")?.execute([by]).map(drop)
}

/// Whose session this is; `None` if it is unknown, its time has come, or its token is revoked.
pub fn caller(view: &View<'_>, hash: [u8; 32], now: Timestamp) -> Result<Option<Caller>> {
    let mut rows = view.conn.prepare_cached(
        "SELECT token.id AS token_id, token.account, account.id AS account_id, token.profile, scopes, last_used_at,
           (SELECT max(key) FROM account) AS newest_account
         FROM session JOIN token ON token.key = session.token LEFT JOIN account ON account.key = token.account
         WHERE session.hash = ? AND expires_at > ? AND revoked_at IS NULL",
    )?;
    Ok(rows.query_row((hash, now.millis()), |row| read_caller(row, Some(hash))).optional()?)
}

/// Whether a session has not ended.
pub(super) fn stands(conn: &Connection, hash: [u8; 32], now: Timestamp) -> Result<bool> {
    let mut rows = conn.prepare_cached("SELECT 1 FROM session WHERE hash = ? AND expires_at > ?")?;
    Ok(rows.exists((hash, now.millis()))?)
}

/// Ends a session.
pub fn end(tx: &Tx<'_>, hash: [u8; 32]) -> Result<()> {
    tx.conn.prepare_cached("DELETE FROM session WHERE hash = ?")?.execute([hash])?;
    Ok(())
}
