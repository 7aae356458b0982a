//! The answers to requests that came with an idempotency key: a repeat gets the same answer.
//!
//! An answer may hold a secret that is shown only once, and the digest of a request may betray one that was sent. So
//! both are sealed, as the signing secrets are. A row is one account's, and goes when the account is erased.

use std::time::Duration;

use rusqlite::{OptionalExtension, Row};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{Result, Tx, View, convert, keyring::Owner, retention::SLICE, shares};
use crate::domain::{account::AccountKey, endpoint::EndpointKey, event::IdempotencyKey, timestamp::Timestamp};

/// The key of an answer's row.
pub type AnswerKey = i64;

/// Bytes of the digest of a request, before its answer.
const DIGEST: usize = 32;
/// A request that has not ended after this time has gone down with its server: it may be made again.
const LONGEST: Duration = Duration::from_secs(600);

/// What became of an earlier request with the same key.
#[derive(Debug)]
pub enum Earlier {
    /// There was none.
    None,
    /// The same request got this answer.
    Answered(Zeroizing<String>),
    /// The same request has not ended.
    UnderWay,
    /// It was another request.
    Another,
}

/// The account of an endpoint.
pub fn account_of(view: &View<'_>, endpoint: EndpointKey) -> Result<AccountKey> {
    let mut rows = view.conn.prepare_cached("SELECT account FROM endpoint WHERE key = ?")?;
    Ok(rows.query_row([endpoint], |row| row.get(0))?)
}

/// Finds the earlier request of this account with this key.
///
/// # Errors
/// A row that does not open.
pub fn find(view: &View<'_>, account: AccountKey, key: &IdempotencyKey, now: Timestamp) -> Result<Earlier> {
    let mut rows =
        view.conn.prepare_cached("SELECT made_at, sealed FROM answer WHERE account = ? AND idempotency_key = ?")?;
    let read = |row: &Row<'_>| Ok((convert::moment(row, "made_at")?, row.get::<_, Vec<u8>>("sealed")?));
    let Some((made_at, sealed)) = rows.query_row((account, &key.text), read).optional()? else {
        return Ok(Earlier::None);
    };
    let opened = view.keys.open_bytes(view.conn, owner(account, &key.text), &sealed)?;
    let (digest, answer) = opened.split_at_checked(DIGEST).unwrap_or_default();
    if digest != key.digest {
        return Ok(Earlier::Another);
    }
    match std::str::from_utf8(answer) {
        Ok("") if now.since(made_at) >= LONGEST => Ok(Earlier::None),
        Ok("") => Ok(Earlier::UnderWay),
        Ok(answer) => Ok(Earlier::Answered(answer.to_owned().into())),
        Err(_) => Err(convert::unreadable("an answer").into()),
    }
}

/// Keeps the answer to a request, which the same transaction has carried out; an empty one notes that it has begun.
pub fn keep(tx: &Tx<'_>, account: AccountKey, key: &IdempotencyKey, answer: &str) -> Result<()> {
    let sealed = sealed(tx, account, key, answer)?;
    let former = remove(tx, account, key)?;
    tx.conn
        .prepare_cached("INSERT INTO answer (account, idempotency_key, made_at, sealed) VALUES (?, ?, ?, ?)")?
        .execute((account, &key.text, tx.now.millis(), &sealed))?;
    shares::frees(tx, account, former);
    shares::stores(tx, account, sealed.len());
    Ok(())
}

/// Keeps the answer to a request that began in an earlier transaction, unless its account was erased meanwhile; without
/// an answer it may be made again.
pub fn end(tx: &Tx<'_>, account: AccountKey, key: &IdempotencyKey, answer: Option<&str>) -> Result<()> {
    let mut rows = tx.conn.prepare_cached("SELECT 1 FROM answer WHERE account = ? AND idempotency_key = ?")?;
    if !rows.exists((account, &key.text))? {
        return Ok(());
    }
    match answer {
        Some(answer) => keep(tx, account, key, answer),
        None => {
            let size = remove(tx, account, key)?;
            shares::frees(tx, account, size);
            Ok(())
        }
    }
}

/// Removes the rows of requests that had begun when the server went down, so that they may be made again. Returns their
/// number.
pub fn forget_begun(tx: &Tx<'_>) -> Result<usize> {
    // An answer makes the sealed bytes longer.
    let shortest = tx.keys.seal_bytes(tx.conn, Owner::default(), &[0; DIGEST])?.len();
    let mut rows = tx.conn.prepare_cached(
        "DELETE FROM answer WHERE made_at > ? AND octet_length(sealed) <= ? RETURNING account, octet_length(sealed)",
    )?;
    let since = tx.now.millis() - i64::try_from(LONGEST.as_millis()).unwrap_or(i64::MAX);
    let rows = rows.query_map((since, shortest), |row| Ok((row.get(0)?, row.get(1)?)))?;
    let gone: Vec<(AccountKey, i64)> = rows.collect::<rusqlite::Result<_>>()?;
    for (account, size) in &gone {
        shares::frees(tx, *account, *size);
    }
    Ok(gone.len())
}

/// Removes the row of a key. Returns its bytes.
fn remove(tx: &Tx<'_>, account: AccountKey, key: &IdempotencyKey) -> Result<i64> {
    let mut rows = tx.conn.prepare_cached(
        "DELETE FROM answer WHERE account = ? AND idempotency_key = ? RETURNING octet_length(sealed)",
    )?;
    Ok(rows.query_row((account, &key.text), |row| row.get(0)).optional()?.unwrap_or(0))
}

fn sealed(tx: &Tx<'_>, account: AccountKey, key: &IdempotencyKey, answer: &str) -> Result<Vec<u8>> {
    let mut text = Zeroizing::new(Vec::with_capacity(DIGEST + answer.len()));
    text.extend_from_slice(&key.digest);
    text.extend_from_slice(answer.as_bytes());
    tx.keys.seal_bytes(tx.conn, owner(account, &key.text), &text)
}

/// The row that an answer belongs to: it does not open in another.
fn owner(account: AccountKey, key: &str) -> Owner {
    let mut digest = Sha256::new();
    digest.update(account.to_le_bytes());
    digest.update(key);
    let digest: [u8; 32] = digest.finalize().into();
    let mut owner = Owner::default();
    owner.copy_from_slice(&digest[..16]);
    owner
}

/// Encrypts the next answers after `from` with the current key. Returns the key of the last one, or `None` when there
/// are no more.
///
/// # Errors
/// An answer that does not open.
pub fn reseal(tx: &Tx<'_>, from: AnswerKey, at_once: usize) -> Result<Option<AnswerKey>> {
    let mut rows = tx.conn.prepare_cached(
        "SELECT key, account, idempotency_key, sealed FROM answer WHERE key > ? ORDER BY key LIMIT ?",
    )?;
    let mut rows = rows.query((from, at_once))?;
    let mut last = None;
    while let Some(row) = rows.next()? {
        let (key, account): (AnswerKey, AccountKey) = (row.get("key")?, row.get("account")?);
        let owner = owner(account, &row.get::<_, String>("idempotency_key")?);
        let opened = tx.keys.open_bytes(tx.conn, owner, &row.get::<_, Vec<u8>>("sealed")?)?;
        let again = tx.keys.seal_bytes(tx.conn, owner, &opened)?;
        tx.conn.prepare_cached("UPDATE answer SET sealed = ?2 WHERE key = ?1")?.execute((key, again))?;
        last = Some(key);
    }
    Ok(last)
}

/// The answers that were kept before this time.
pub fn expired(view: &View<'_>, past: Timestamp) -> Result<Vec<AnswerKey>> {
    let mut rows = view.conn.prepare_cached("SELECT key FROM answer WHERE made_at <= ?")?;
    Ok(rows.query_map([past.millis()], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
}

/// Removes these answers, if they were kept before this time: another may have the key by now.
pub fn forget(tx: &Tx<'_>, past: Timestamp, keys: &[AnswerKey]) -> Result<()> {
    let mut rows = tx
        .conn
        .prepare_cached("DELETE FROM answer WHERE key = ? AND made_at <= ? RETURNING account, octet_length(sealed)")?;
    for key in keys {
        let gone = rows.query_row((key, past.millis()), |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        if let Some((account, size)) = gone {
            shares::frees(tx, account, size);
        }
    }
    Ok(())
}

/// The next slice of an account's answers.
pub(super) fn of(view: &View<'_>, account: AccountKey) -> Result<Vec<AnswerKey>> {
    let mut rows = view.conn.prepare_cached("SELECT key FROM answer WHERE account = ? LIMIT ?")?;
    Ok(rows.query_map((account, SLICE), |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
}

/// Removes these answers of an account that is being erased.
pub(super) fn erase(tx: &Tx<'_>, account: AccountKey, keys: &[AnswerKey]) -> Result<()> {
    let mut rows = tx.conn.prepare_cached("DELETE FROM answer WHERE key = ? AND account = ?")?;
    for key in keys {
        rows.execute((key, account))?;
    }
    Ok(())
}
