//! Shares: the bytes that each account may store, and the number of its deliveries that may wait. A publish beyond the
//! share is refused, so that no account fills the common disk or slows the others down.
//!
//! The bytes of an account (event bodies and answers of its receivers) are in its row. Its waiting deliveries are
//! counted only near the limit. Between two counts, the last count and the publishes since then stand for them; replays
//! are noticed at the next count.

use std::{collections::HashMap, time::Duration};

use super::{Result, Tx, usage::AccountUsage};
use crate::{domain::account::AccountKey, error::Error};

/// The operator is warned when an account has used this part of its share, in percent; once, until the account is below
/// it again.
const WARN_AT: u64 = 80;
/// How often the waiting deliveries of an account near its limit are counted: a count reads each of them.
const COUNT_EVERY: Duration = Duration::from_secs(10);
/// How often they are counted at the limit, where every publish would be refused.
const COUNT_EVERY_AT_LIMIT: Duration = Duration::from_secs(1);
/// When a refused publisher may try again: until then waiting deliveries go out.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// Checks that an account may store an event of this size and have its deliveries wait.
///
/// # Errors
/// [`Error::TooMany`] when its share is used up, with what to do.
pub(super) fn admit(tx: &Tx<'_>, account: AccountKey, size: usize) -> Result<()> {
    let mut usage = tx.usage.borrow_mut();
    let (most_pending, most_bytes) = (usage.most_pending, usage.most_bytes);
    let stored = if most_bytes == 0 { 0 } else { stored(tx, account)? + size as u64 };
    let used = usage.of.entry(account).or_default();
    let waiting = if most_pending == 0 { 0 } else { waiting(tx, account, used, most_pending)? };
    let near = |used: u64, most: u64| most > 0 && used.saturating_mul(100) >= most.saturating_mul(WARN_AT);
    let is_near = near(stored, most_bytes) || near(waiting, most_pending);
    if is_near && !used.warned {
        warn(tx, account, stored, waiting)?;
    }
    used.warned = is_near;
    if most_bytes > 0 && stored > most_bytes {
        return Err(refused(format!(
            "the events of this account, with the answers of its receivers, would take {stored} bytes, and it may store \
             {most_bytes} (limits.bytes_per_account): wait until old ones are removed, or ask the operator to raise the limit"
        )));
    }
    if most_pending > 0 && waiting >= most_pending {
        return Err(refused(format!(
            "{waiting} deliveries of this account wait, as many as may (limits.pending_per_account): repair or delete the \
             webhooks that do not take theirs, or ask the operator to raise the limit"
        )));
    }
    Ok(())
}

fn refused(message: String) -> Error {
    Error::TooMany { wait: RETRY_AFTER, message }
}

/// The number of waiting deliveries: never too low, and counted again where it may matter.
fn waiting(tx: &Tx<'_>, account: AccountKey, used: &mut AccountUsage, most: u64) -> Result<u64> {
    let every = if used.waiting >= most { COUNT_EVERY_AT_LIMIT } else { COUNT_EVERY };
    let is_due = match used.counted {
        None => true,
        Some(at) => used.waiting.saturating_mul(100) >= most.saturating_mul(WARN_AT) && tx.uptime >= at + every,
    };
    if is_due {
        let mut rows = tx.conn.prepare_cached(
            "SELECT ifnull(sum((SELECT count(*) FROM delivery WHERE endpoint = e.key AND state = 'pending')
                             + (SELECT count(*) FROM delivery WHERE endpoint = e.key AND state = 'held')), 0)
             FROM endpoint e WHERE account = ?",
        )?;
        used.waiting = rows.query_row([account], |row| row.get(0))?;
        used.counted = Some(tx.uptime);
    }
    Ok(used.waiting)
}

/// The stored bytes of an account, with those of this transaction.
fn stored(tx: &Tx<'_>, account: AccountKey) -> Result<u64> {
    let mut rows = tx.conn.prepare_cached("SELECT stored_bytes FROM account WHERE key = ?")?;
    let written: i64 = rows.query_row([account], |row| row.get(0))?;
    let stored = tx.stored.borrow();
    let unwritten = stored.iter().filter(|(of, _)| *of == account).map(|(_, bytes)| bytes);
    Ok(u64::try_from(written + unwritten.sum::<i64>()).unwrap_or(0))
}

fn warn(tx: &Tx<'_>, account: AccountKey, stored_bytes: u64, waiting: u64) -> Result<()> {
    let mut rows = tx.conn.prepare_cached("SELECT id FROM account WHERE key = ?")?;
    let account: String = rows.query_row([account], |row| row.get(0))?;
    tracing::warn!(
        account,
        waiting,
        stored_bytes,
        "this account has used {WARN_AT} % of its share (limits.pending_per_account, limits.bytes_per_account): beyond it, \
         its publishes are refused"
    );
    Ok(())
}

pub(super) fn add(tx: &Tx<'_>, account: AccountKey, size: usize, deliveries: usize) {
    if let Some(used) = tx.usage.borrow_mut().of.get_mut(&account) {
        used.waiting += deliveries as u64;
    }
    stores(tx, account, size);
}

/// Adds the bytes of an event or an answer to the usage.
pub(super) fn stores(tx: &Tx<'_>, account: AccountKey, size: usize) {
    tx.stored.borrow_mut().push((account, i64::try_from(size).unwrap_or(i64::MAX)));
}

/// Takes removed bytes off the usage.
pub(super) fn frees(tx: &Tx<'_>, account: AccountKey, size: i64) {
    tx.stored.borrow_mut().push((account, -size));
}

/// Writes the stored bytes of each account, once for each transaction.
pub(super) fn write(tx: &Tx<'_>) -> rusqlite::Result<()> {
    let mut sums = HashMap::<AccountKey, i64>::new();
    for (account, bytes) in tx.stored.borrow_mut().drain(..) {
        *sums.entry(account).or_default() += bytes;
    }
    for (account, bytes) in sums {
        let sql = "UPDATE account SET stored_bytes = max(0, stored_bytes + ?2) WHERE key = ?1";
        tx.conn.prepare_cached(sql)?.execute((account, bytes))?;
    }
    Ok(())
}
