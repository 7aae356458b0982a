//! Accounts: make, change, find, list.

use rusqlite::{OptionalExtension, Row};

use super::{Result, Tx, View, audit, convert};
use crate::{
    domain::{
        account::{Account, AccountKey},
        audit::{Action, Actor},
        excerpt::excerpt,
        token::Visible,
    },
    error::{Conflict, Error, Missing},
};

/// Makes an account.
///
/// # Errors
/// [`Error::Conflict`] if another account has the id, in any profile.
pub fn create(tx: &Tx<'_>, profile: &str, id: &str, alert_email: Option<&str>) -> Result<Account> {
    let made = tx
        .conn
        .prepare_cached(
            "INSERT INTO account (id, profile, alert_email, created_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )?
        .execute((id, profile, alert_email, tx.now.millis()))?;
    if made == 0 {
        return Err(Error::conflict(Conflict::Exists, format!("there is an account '{id}' already")));
    }
    let key = tx.conn.last_insert_rowid();
    audit::note(tx, Action::AccountCreated, Some((profile, id)), Some(id), None)?;
    let (id, profile, alert_email) = (id.to_owned(), profile.to_owned(), alert_email.map(str::to_owned));
    Ok(Account { key, id, profile, alert_email, alerts_url: None, created_at: tx.now })
}

/// Changes the address to which an account's alerts are mailed, including alerts that are not delivered yet; `None`: no
/// mail.
///
/// # Errors
/// [`Error::NotFound`] if there is no such account.
pub fn set_alert_email(tx: &Tx<'_>, id: &str, alert_email: Option<&str>) -> Result<()> {
    let account = named(tx, None, id)?;
    tx.conn.prepare_cached("UPDATE account SET alert_email = ? WHERE key = ?")?.execute((alert_email, account.key))?;
    let note = if alert_email.is_some() { "alert e-mail" } else { "no alert e-mail" };
    audit::note(tx, Action::AccountChanged, Some((&account.profile, id)), Some(id), Some(note))
}

/// The error for an unknown account. The id is cut, because it may be of any length.
pub(super) fn missing(id: &str) -> Error {
    Error::NotFound(Missing::Account(excerpt(id).into_owned()))
}

/// The account with this id in this profile, for a write. For a request it must have existed when the request began
/// and, if the token belongs to an account, be that account: never another one that got the id since.
///
/// # Errors
/// [`Error::NotFound`] if there is none.
pub fn find(tx: &Tx<'_>, profile: &str, id: &str) -> Result<Account> {
    named(tx, Some(profile), id)
}

/// As [`find`]; in any profile if none is given.
pub(super) fn named(tx: &Tx<'_>, profile: Option<&str>, id: &str) -> Result<Account> {
    let (own, newest) = match tx.actor() {
        Actor::Request(grant) => (grant.account(), grant.newest_account()),
        Actor::CommandLine | Actor::Engine => (None, AccountKey::MAX),
    };
    tx.conn
        .prepare_cached(
            "SELECT * FROM account
             WHERE id = ?1 AND profile = ifnull(?2, profile) AND profile != '' AND key = ifnull(?3, key) AND key <= ?4",
        )?
        .query_row((id, profile, own, newest), read)
        .optional()?
        .ok_or_else(|| missing(id))
}

/// The account with this id, in any profile.
///
/// # Errors
/// [`Error::NotFound`] if none is visible.
pub fn see(view: &View<'_>, visible: &Visible, id: &str) -> Result<Account> {
    let sql = "SELECT * FROM account WHERE id = ?1 AND profile != '' AND (?2 IS NULL OR profile = ?2) AND (?3 IS NULL OR key = ?3)";
    view.conn
        .prepare_cached(sql)?
        .query_row((id, &visible.profile, visible.account), read)
        .optional()?
        .ok_or_else(|| missing(id))
}

/// One page of accounts, in the order they were made, after the one of this id.
///
/// # Errors
/// [`Error::Invalid`] if none of this id is visible.
pub fn page(view: &View<'_>, visible: &Visible, after: Option<&str>, limit: usize) -> Result<Vec<Account>> {
    let after = after.map_or(Ok(0), |id| see(view, visible, id).map(|account| account.key));
    let after = after.map_err(Error::of_cursor)?;
    let mut rows = view.conn.prepare_cached(
        "SELECT * FROM account WHERE key > ?1 AND profile != '' AND (?2 IS NULL OR profile = ?2) AND (?3 IS NULL OR key = ?3)
         ORDER BY key LIMIT ?4",
    )?;
    let rows = rows.query_map((after, &visible.profile, visible.account, limit), read)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Every account that was not erased, in the order they were made.
pub fn list(view: &View<'_>) -> Result<Vec<Account>> {
    let mut rows = view.conn.prepare_cached("SELECT * FROM account WHERE profile != '' ORDER BY key")?;
    Ok(rows.query_map([], read)?.collect::<rusqlite::Result<_>>()?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Account> {
    Ok(Account {
        key: row.get("key")?,
        id: row.get("id")?,
        profile: row.get("profile")?,
        alert_email: row.get("alert_email")?,
        alerts_url: row.get("alerts_url")?,
        created_at: convert::moment(row, "created_at")?,
    })
}
