//! Erasing an account: at once for everybody who asks, then row by row in slices. At most one empty row stays in each
//! table, so that no key is used twice, and a number in place of the account.

use rusqlite::OptionalExtension;

use super::{
    Result, Tx, View, accounts, audit, recoveries,
    retention::{self, ANSWERS, SLICE, slice},
    stats,
};
use crate::domain::{
    account::{Account, AccountKey},
    audit::{Action, EntryKey},
    delivery::DeliveryKey,
    endpoint::EndpointKey,
    event::EventKey,
    ids::{DeliveryId, EndpointId, EventId},
};

/// Events of all accounts that one read passes: it limits how long the log cannot be emptied.
const LOOKED_AT: i64 = 20_000;

/// The size of an account.
#[derive(Debug)]
pub struct Extent {
    /// Its profile.
    pub profile: String,
    /// Webhooks that are not deleted.
    pub webhooks: u64,
    /// Tokens that are not revoked.
    pub tokens: u64,
    /// Events.
    pub events: u64,
    /// Deliveries.
    pub deliveries: u64,
}

/// Counts the rows of an account. Reads every event.
///
/// # Errors
/// [`crate::error::Error::NotFound`] if there is no such account.
pub fn extent(view: &View<'_>, id: &str) -> Result<Extent> {
    view.conn
        .prepare_cached(
            "SELECT profile,
               (SELECT count(*) FROM endpoint WHERE account = a.key AND state != 'deleted') AS webhooks,
               (SELECT count(*) FROM token WHERE account = a.key AND revoked_at IS NULL) AS tokens,
               (SELECT count(*) FROM event WHERE account = a.key) AS events,
               (SELECT count(*) FROM delivery JOIN endpoint ON endpoint.key = endpoint WHERE account = a.key) AS deliveries
             FROM account a WHERE id = ? AND profile != ''",
        )?
        .query_row([id], |row| {
            Ok(Extent {
                profile: row.get("profile")?,
                webhooks: row.get("webhooks")?,
                tokens: row.get("tokens")?,
                events: row.get("events")?,
                deliveries: row.get("deliveries")?,
            })
        })
        .optional()?
        .ok_or_else(|| accounts::missing(id))
}

/// Removes an account for everybody who asks: its name, tokens, sessions, sign-in links, alerts and recoveries, and the URLs and secrets of its
/// endpoints. [`next`] and [`remove`] do the rest. The audit keeps that an account with this number was erased.
///
/// # Errors
/// [`crate::error::Error::NotFound`] if there is no such account.
pub fn begin(tx: &Tx<'_>, id: &str) -> Result<()> {
    let Account { key: account, profile, .. } = accounts::named(tx, None, id)?;
    recoveries::forget(tx, account, id)?;
    let mut endpoints = tx.conn.prepare_cached("SELECT key FROM endpoint WHERE account = ?")?;
    for endpoint in endpoints.query_map([account], |row| row.get(0))? {
        tx.changed(endpoint?);
    }
    for sql in [
        "UPDATE endpoint SET profile = '', url = '', given_url = NULL, name = NULL, description = NULL, events = '', state = 'deleted', suspended_at = NULL,
           suspended_reason = NULL, secret = x'', former_secret = NULL, former_until = NULL, former_leads = 0, resend = NULL
         WHERE account = ?",
        "DELETE FROM alert WHERE endpoint IN (SELECT key FROM endpoint WHERE account = ?)",
        "DELETE FROM token WHERE account = ?",
    ] {
        tx.conn.prepare_cached(sql)?.execute([account])?;
    }
    // These rows keep the keys from being used again.
    let now = tx.now.millis();
    tx.conn
        .prepare_cached(
            "INSERT INTO endpoint (id, account, profile, url, events, state, created_at, secret)
             VALUES (?, ?, '', '', '', 'deleted', ?, x'')",
        )?
        .execute((EndpointId::mint(tx.now).to_bytes(), account, now))?;
    let endpoint = tx.conn.last_insert_rowid();
    tx.conn
        .prepare_cached("INSERT INTO event (id, account, kind, body, accepted_at) VALUES (?, ?, '', '', ?)")?
        .execute((EventId::mint(tx.now).to_bytes(), account, now))?;
    let event = tx.conn.last_insert_rowid();
    tx.conn
        .prepare_cached(
            "INSERT INTO delivery (id, event, endpoint, state, created_at) VALUES (?, ?, ?, 'cancelled', ?)",
        )?
        .execute((DeliveryId::mint(tx.now).to_bytes(), event, endpoint, now))?;
    tx.conn
        .prepare_cached(
            "INSERT INTO erasure (account, id, endpoint, event, entry, scanned)
             VALUES (?, ?, ?, ?, (SELECT ifnull(max(key), 0) FROM audit), 0)",
        )?
        .execute((account, id, endpoint, event))?;
    // No account can have this name: it holds a space.
    let number = format!("erased {account}");
    tx.conn
        .prepare_cached("UPDATE account SET id = ?, profile = '', alert_email = NULL WHERE key = ?")?
        .execute((&number, account))?;
    audit::note(tx, Action::AccountErased, Some((&profile, &number)), Some(&number), None)
}

/// An account that is being erased.
#[derive(Debug, Clone)]
pub struct Erasure {
    /// Its former id.
    pub id: String,
    account: AccountKey,
    endpoint: EndpointKey,
    event: EventKey,
    entry: EntryKey,
    scanned: EventKey,
}

/// The accounts that are being erased; only the one of this name, if one is given.
pub fn unfinished(view: &View<'_>, id: Option<&str>) -> Result<Vec<Erasure>> {
    let mut rows = view.conn.prepare_cached("SELECT * FROM erasure WHERE id = ifnull(?, id) ORDER BY account")?;
    let rows = rows.query_map([id], |row| {
        Ok(Erasure {
            id: row.get("id")?,
            account: row.get("account")?,
            endpoint: row.get("endpoint")?,
            event: row.get("event")?,
            entry: row.get("entry")?,
            scanned: row.get("scanned")?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The next part of an account to remove.
#[derive(Debug)]
pub enum ErasureStep {
    /// Deliveries of one endpoint, the newest first, so that a replay goes before its original.
    Deliveries(Vec<DeliveryKey>),
    /// An endpoint without deliveries.
    Endpoint(EndpointKey),
    /// Events, and the key up to which they were searched.
    Events(Vec<EventKey>, EventKey),
    /// Entries of the audit.
    Entries(Vec<EntryKey>),
    /// Its former name: nothing else is left.
    Name,
}

/// Finds the next part to remove.
pub fn next(view: &View<'_>, erasure: &Erasure) -> Result<ErasureStep> {
    let Erasure { account, endpoint, event, scanned, .. } = erasure;
    let mut rows = view.conn.prepare_cached("SELECT min(key) FROM endpoint WHERE account = ? AND key < ?")?;
    if let Some(endpoint) = rows.query_row((account, endpoint), |row| row.get::<_, Option<EndpointKey>>(0))? {
        let sql = format!("SELECT key, {ANSWERS} FROM delivery WHERE endpoint = ? ORDER BY key DESC LIMIT ?");
        let mut rows = view.conn.prepare_cached(&sql)?;
        let keys = slice(&mut rows, (endpoint, SLICE))?;
        return Ok(if keys.is_empty() { ErasureStep::Endpoint(endpoint) } else { ErasureStep::Deliveries(keys) });
    }
    if scanned + 1 >= *event {
        let entries = audit::of(view, &erasure.id, erasure.entry, SLICE)?;
        return Ok(if entries.is_empty() { ErasureStep::Name } else { ErasureStep::Entries(entries) });
    }
    let until = (scanned + LOOKED_AT).min(event - 1);
    let mut rows = view.conn.prepare_cached(
        "SELECT key, octet_length(body) FROM event WHERE key > ? AND key <= ? AND account = ? ORDER BY key LIMIT ?",
    )?;
    let keys: Vec<EventKey> = slice(&mut rows, (scanned, until, account, SLICE))?;
    let scanned = keys.last().copied().unwrap_or(until);
    Ok(ErasureStep::Events(keys, scanned))
}

/// Removes a part. Returns the number of removed deliveries and events.
pub fn remove(tx: &Tx<'_>, erasure: &Erasure, step: &ErasureStep) -> Result<usize> {
    match step {
        ErasureStep::Deliveries(keys) => retention::remove_deliveries(tx, keys),
        ErasureStep::Endpoint(key) => {
            stats::remove(tx, *key)?;
            retention::remove_endpoints(tx, &[*key]).map(|()| 0)
        }
        ErasureStep::Entries(keys) => audit::remove(tx, keys).map(|()| 0),
        ErasureStep::Events(keys, scanned) => {
            tx.conn
                .prepare_cached("UPDATE erasure SET scanned = ? WHERE account = ?")?
                .execute((scanned, erasure.account))?;
            retention::remove_events(tx, keys)
        }
        ErasureStep::Name => {
            tx.conn.prepare_cached("DELETE FROM erasure WHERE account = ?")?.execute([erasure.account])?;
            Ok(0)
        }
    }
}
