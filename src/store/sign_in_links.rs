//! Links that open an account's dashboard once. Only the SHA-256 of a link's key is here.
//!
//! The sessions that they begin act by a token that the account has for them. Nobody holds this token; when it is
//! revoked, its links and its sessions are gone.

use std::time::Duration;

use rusqlite::OptionalExtension;

use super::{
    Result, Tx, View, accounts, audit, random, sessions,
    tokens::{self, read_caller},
};
use crate::{
    domain::{
        account::Account,
        audit::Action,
        ids::TokenId,
        timestamp::Timestamp,
        token::{Caller, Scopes},
    },
    error::{Error, Missing},
};

/// The scopes of a session that a link begins.
const SCOPES: &str = "webhooks,events";
/// The label of the token, as lists show it.
const LABEL: &str = "sign-in links";

/// Makes a link to the dashboard of this account, and returns when its time is over. Removes links whose time is over.
///
/// # Errors
/// [`Error::NotFound`] if there is no such account.
pub fn create(tx: &Tx<'_>, account: &str, hash: [u8; 32], lasts: Duration) -> Result<Timestamp> {
    let account = accounts::named(tx, None, account)?;
    let (token, until) = (token_of(tx, &account)?, tx.now + lasts);
    tx.conn.prepare_cached("DELETE FROM sign_in_link WHERE expires_at <= ?")?.execute([tx.now.millis()])?;
    tx.conn.prepare_cached("INSERT INTO sign_in_link (hash, token, expires_at) VALUES (?, ?, ?)")?.execute((
        hash,
        token,
        until.millis(),
    ))?;
    let whose = Some((account.profile.as_str(), account.id.as_str()));
    audit::note(tx, Action::LinkMade, whose, None, Some(&format!("until {until}")))?;
    Ok(until)
}

/// The row of the token by which the sessions of an account's links act. It is made if there is none.
fn token_of(tx: &Tx<'_>, account: &Account) -> Result<i64> {
    let mut rows =
        tx.conn.prepare_cached("SELECT key FROM token WHERE account = ? AND by_link = 1 AND revoked_at IS NULL")?;
    if let Some(key) = rows.query_row([account.key], |row| row.get(0)).optional()? {
        return Ok(key);
    }
    let (id, scopes) = (TokenId::mint(tx.now), Scopes::parse(SCOPES)?);
    tx.conn
        .prepare_cached(
            "INSERT INTO token (id, hash, account, profile, scopes, label, created_at, by_link) VALUES (?, ?, ?, ?, ?, ?, ?, 1)",
        )?
        // No token has this hash: nobody knows a text that leads to it.
        .execute((id.to_bytes(), **random::<32>()?, account.key, &account.profile, scopes.to_string(), LABEL, tx.now.millis()))?;
    let key = tx.conn.last_insert_rowid();
    tokens::note(tx, Action::TokenCreated, id, Some(SCOPES))?;
    Ok(key)
}

/// The caller that the sessions of a link have; `None` if the link is unknown, was opened, or its time is over.
pub fn caller(view: &View<'_>, hash: [u8; 32], now: Timestamp) -> Result<Option<Caller>> {
    let mut rows = view.conn.prepare_cached(
        "SELECT token.id AS token_id, token.account, account.id AS account_id, token.profile, scopes, last_used_at,
           (SELECT max(key) FROM account) AS newest_account
         FROM sign_in_link JOIN token ON token.key = sign_in_link.token LEFT JOIN account ON account.key = token.account
         WHERE sign_in_link.hash = ? AND expires_at > ? AND revoked_at IS NULL",
    )?;
    Ok(rows.query_row((hash, now.millis()), |row| read_caller(row, None)).optional()?)
}

/// Opens a link: removes it, and begins a session of its token.
///
/// # Errors
/// [`Error::NotFound`] if another opened it first, its time is over, or its token is revoked.
pub fn open(tx: &Tx<'_>, hash: [u8; 32], token: TokenId, session: [u8; 32], lasts: Duration) -> Result<()> {
    let opened = tx
        .conn
        .prepare_cached("DELETE FROM sign_in_link WHERE hash = ? AND expires_at > ?")?
        .execute((hash, tx.now.millis()))?;
    if opened == 0 {
        return Err(Error::NotFound(Missing::Token));
    }
    sessions::insert(tx, token, session, lasts)?;
    tokens::note(tx, Action::LinkOpened, token, None)
}

/// Moves the ends of links by this many milliseconds.
pub(super) fn shift(tx: &Tx<'_>, by: i64) -> rusqlite::Result<()> {
    tx.conn.prepare_cached("UPDATE sign_in_link SET expires_at = expires_at + ?")?.execute([by]).map(drop)
}
