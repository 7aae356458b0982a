//! Bearer tokens. Only their SHA-256 is here.

use std::time::Duration;

use rusqlite::{OptionalExtension, Row};

use super::{Result, Tx, View, accounts, audit, convert, random};
use crate::{
    domain::{
        account::{Account, AccountKey},
        audit::Action,
        grant::expired,
        ids::TokenId,
        timestamp::Timestamp,
        token::{BearerToken, Caller, Reach, Scopes, Visible},
    },
    error::{Error, Missing},
};

/// Bytes of the hash by which a token's row is found.
const LOOK_UP: usize = 8;

/// A token, as [`record`] reads it.
const LISTED: &str = "
    SELECT token.id AS token_id, account.id AS account_id, token.profile, scopes, label, token.created_at, last_used_at,
           valid_until
    FROM token LEFT JOIN account ON account.key = token.account";

/// `last_used_at` is at most this much behind.
pub const LAST_USED_GRAIN: Duration = Duration::from_secs(60);

/// The holder of a new token.
#[derive(Debug, Clone)]
pub enum Holder {
    /// The account of this id.
    Account(String),
    /// The platform of this profile.
    Platform(String),
    /// The operator.
    Operator,
}

/// A token in a list.
#[derive(Debug, Clone)]
pub struct TokenRecord {
    /// Its public id.
    pub id: TokenId,
    /// The account it belongs to.
    pub account: Option<String>,
    /// The profile it belongs to.
    pub profile: Option<String>,
    /// Its scopes.
    pub scopes: Scopes,
    /// Its label.
    pub label: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last used, within a minute.
    pub last_used_at: Option<Timestamp>,
    /// When it expires; `None`: never.
    pub expires_at: Option<Timestamp>,
}

/// Makes a token. It can be seen only now.
///
/// # Errors
/// [`Error::NotFound`] if the holder is an unknown account.
pub fn create(tx: &Tx<'_>, holder: &Holder, scopes: &Scopes, label: Option<&str>) -> Result<(TokenId, BearerToken)> {
    match holder {
        Holder::Operator => insert(tx, (None, None), scopes, label),
        Holder::Platform(profile) => insert(tx, (None, Some(profile)), scopes, label),
        Holder::Account(id) => create_in(tx, &accounts::named(tx, None, id)?, scopes, label),
    }
}

/// Makes a token of this account. It can be seen only now.
pub fn create_in(
    tx: &Tx<'_>,
    account: &Account,
    scopes: &Scopes,
    label: Option<&str>,
) -> Result<(TokenId, BearerToken)> {
    insert(tx, (Some(account.key), Some(&account.profile)), scopes, label)
}

fn insert(
    tx: &Tx<'_>,
    (account, profile): (Option<AccountKey>, Option<&str>),
    scopes: &Scopes,
    label: Option<&str>,
) -> Result<(TokenId, BearerToken)> {
    let id = TokenId::mint(tx.now);
    let token = BearerToken::from_random(&*random()?);
    tx.conn
        .prepare_cached(
            "INSERT INTO token (id, hash, account, profile, scopes, label, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute((id.to_bytes(), token.hash(), account, profile, scopes.to_string(), label, tx.now.millis()))?;
    note(tx, Action::TokenCreated, id, Some(&scopes.to_string()))?;
    Ok((id, token))
}

/// Lets a token expire after this time, counted from now. Returns when.
pub fn expire_after(tx: &Tx<'_>, id: TokenId, lasts: Duration) -> Result<Timestamp> {
    let until = tx.now + lasts;
    tx.conn
        .prepare_cached("UPDATE token SET valid_until = ? WHERE id = ?")?
        .execute((until.millis(), id.to_bytes()))?;
    Ok(until)
}

/// Moves the ends of tokens by this many milliseconds.
pub(super) fn shift(tx: &Tx<'_>, by: i64) -> rusqlite::Result<()> {
    let sql = "UPDATE token SET valid_until = valid_until + ? WHERE valid_until IS NOT NULL";
    tx.conn.prepare_cached(sql)?.execute([by]).map(drop)
}

pub(super) fn note(tx: &Tx<'_>, action: Action, id: TokenId, what: Option<&str>) -> Result<()> {
    let mut rows = tx.conn.prepare_cached(
        "SELECT account.profile, account.id FROM token JOIN account ON account.key = token.account WHERE token.id = ?",
    )?;
    let whose: Option<(String, String)> =
        rows.query_row([id.to_bytes()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let whose = whose.as_ref().map(|(profile, account)| (profile.as_str(), account.as_str()));
    audit::note(tx, action, whose, Some(&id.to_string()), what)
}

/// The holder of this token; `None` if it is unknown or revoked.
///
/// Its row is found by the first bytes of its hash; the whole hash is compared in constant time.
///
/// # Errors
/// [`Error::Unauthorized`] if it has expired.
pub fn caller(view: &View<'_>, token: &BearerToken, now: Timestamp) -> Result<Option<Caller>> {
    let mut rows = view.conn.prepare_cached(
        "SELECT token.id AS token_id, hash, token.account, account.id AS account_id, token.profile, scopes, last_used_at, valid_until,
           (SELECT max(key) FROM account) AS newest_account
         FROM token LEFT JOIN account ON account.key = token.account
         WHERE hash BETWEEN ? AND ? AND revoked_at IS NULL",
    )?;
    let [mut first, mut last] = [[0; 32], [0xff; 32]];
    for end in [&mut first, &mut last] {
        end[..LOOK_UP].copy_from_slice(&token.hash()[..LOOK_UP]);
    }
    let mut rows = rows.query((first, last))?;
    while let Some(row) = rows.next()? {
        if token.has_hash(&row.get::<_, [u8; 32]>("hash")?) {
            return match convert::moment_if(row, "valid_until")? {
                Some(until) if until <= now => Err(Error::Unauthorized(expired(until))),
                _ => Ok(Some(read_caller(row, None)?)),
            };
        }
    }
    Ok(None)
}

pub(super) fn read_caller(row: &Row<'_>, session: Option<[u8; 32]>) -> rusqlite::Result<Caller> {
    let account: Option<i64> = row.get("account")?;
    let profile: Option<String> = row.get("profile")?;
    let reach = match (account, profile) {
        (Some(key), Some(profile)) => Reach::Account { key, id: row.get("account_id")?, profile },
        (None, Some(profile)) => Reach::Platform(profile),
        (_, None) => Reach::Everything,
    };
    let whose = (TokenId::from_bytes(row.get("token_id")?), reach, scopes(row)?);
    let newest_account: Option<i64> = row.get("newest_account")?;
    Ok(Caller::new(whose, convert::moment_if(row, "last_used_at")?, session, newest_account.unwrap_or_default()))
}

/// Notes that a token was used.
pub fn used(tx: &Tx<'_>, id: TokenId) -> Result<()> {
    tx.conn
        .prepare_cached("UPDATE token SET last_used_at = ? WHERE id = ?")?
        .execute((tx.now.millis(), id.to_bytes()))?;
    Ok(())
}

/// Every token that is not revoked, in the order they were made.
pub fn list(view: &View<'_>) -> Result<Vec<TokenRecord>> {
    page(view, &Visible::EVERYTHING, None, None, usize::MAX)
}

/// One page of the tokens that are not revoked, in the order they were made: of the account of this id, if one is
/// named, and after this one.
///
/// # Errors
/// [`Error::Invalid`] if `after` is no token; [`Error::NotFound`] for an account that is not visible.
pub fn page(
    view: &View<'_>,
    visible: &Visible,
    account: Option<&str>,
    after: Option<TokenId>,
    limit: usize,
) -> Result<Vec<TokenRecord>> {
    if let Some(account) = account {
        accounts::see(view, visible, account)?;
    }
    let after = match after {
        None => 0,
        Some(id) => {
            let mut rows = view.conn.prepare_cached("SELECT key FROM token WHERE id = ?")?;
            let key: Option<i64> = rows.query_row([id.to_bytes()], |row| row.get(0)).optional()?;
            key.ok_or_else(Error::bad_cursor)?
        }
    };
    let mut rows = view.conn.prepare_cached(&format!(
        "{LISTED}
         WHERE revoked_at IS NULL AND token.key > ?1 AND (?2 IS NULL OR token.profile = ?2)
           AND (?3 IS NULL OR token.account = ?3) AND (?4 IS NULL OR account.id = ?4)
         ORDER BY token.key LIMIT ?5"
    ))?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = rows.query_map((after, &visible.profile, visible.account, account, limit), record)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The visible tokens, at most `limit`, that expire between these moments and are not revoked; the next one first.
pub fn expiring(
    view: &View<'_>,
    visible: &Visible,
    (from, to): (Timestamp, Timestamp),
    limit: usize,
) -> Result<Vec<TokenRecord>> {
    let mut rows = view.conn.prepare_cached(&format!(
        "{LISTED}
         WHERE revoked_at IS NULL AND valid_until BETWEEN ?1 AND ?2 AND (?3 IS NULL OR token.profile = ?3)
           AND (?4 IS NULL OR token.account = ?4)
         ORDER BY valid_until, token.key LIMIT ?5"
    ))?;
    let rows = rows.query_map((from.millis(), to.millis(), &visible.profile, visible.account, limit), record)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn record(row: &Row<'_>) -> rusqlite::Result<TokenRecord> {
    Ok(TokenRecord {
        id: TokenId::from_bytes(row.get("token_id")?),
        account: row.get("account_id")?,
        profile: row.get("profile")?,
        scopes: scopes(row)?,
        label: row.get("label")?,
        created_at: convert::moment(row, "created_at")?,
        last_used_at: convert::moment_if(row, "last_used_at")?,
        expires_at: convert::moment_if(row, "valid_until")?,
    })
}

/// Revokes a token: it is refused from the commit on.
///
/// # Errors
/// [`Error::NotFound`] if there is no such token, or it is revoked already.
pub fn revoke(tx: &Tx<'_>, id: TokenId) -> Result<()> {
    let revoked = tx
        .conn
        .prepare_cached("UPDATE token SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL")?
        .execute((tx.now.millis(), id.to_bytes()))?;
    if revoked == 0 {
        return Err(Error::NotFound(Missing::Token));
    }
    note(tx, Action::TokenRevoked, id, None)
}

/// Revokes every token with this label.
pub fn revoke_labelled(tx: &Tx<'_>, label: &str) -> Result<()> {
    let mut rows = tx.conn.prepare_cached("SELECT id FROM token WHERE label = ? AND revoked_at IS NULL")?;
    let ids = rows.query_map([label], |row| row.get(0).map(TokenId::from_bytes))?;
    ids.collect::<rusqlite::Result<Vec<_>>>()?.into_iter().try_for_each(|id| revoke(tx, id))
}

pub(super) fn scopes(row: &Row<'_>) -> rusqlite::Result<Scopes> {
    let text: String = row.get("scopes")?;
    Scopes::parse(&text).map_err(|_| convert::unreadable(&text))
}
