//! Accounts.

use rusqlite::{Connection, OptionalExtension, Row};

use super::{Result, Tx, View, audit, convert};
use crate::{
    domain::{
        account::{Account, AccountKey},
        audit::{Action, Actor},
        excerpt::excerpt,
        token::AccessScope,
    },
    error::{Conflict, Error, Missing},
};

/// Makes an account.
///
/// # Errors
/// [`Error::Conflict`] if the id is taken, in whatever profile.
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
    Ok(Account { key, id, profile, alert_email, created_at: tx.now })
}

/// Has the alerts of an account mailed to this address from now on, those included that could not be sent until now; `None`: to
/// nobody.
///
/// # Errors
/// [`Error::NotFound`] if there is no such account.
pub fn set_alert_email(tx: &Tx<'_>, id: &str, alert_email: Option<&str>) -> Result<()> {
    let account = find_in(tx.conn, &AccessScope::EVERYTHING, id)?;
    tx.conn.prepare_cached("UPDATE account SET alert_email = ? WHERE key = ?")?.execute((alert_email, account.key))?;
    let note = if alert_email.is_some() { "alert e-mail" } else { "no alert e-mail" };
    audit::note(tx, Action::AccountChanged, Some((&account.profile, id)), Some(id), Some(note))
}

/// That there is no account of this id, which may be as long as anybody likes.
pub(super) fn missing(id: &str) -> Error {
    Error::NotFound(Missing::Account(excerpt(id).into_owned()))
}

/// The account that a write means by this id, in this profile. A request means one that was there when it began, and its
/// token's own if the token belongs to one: never another account that was given the name since.
///
/// # Errors
/// [`Error::NotFound`] if there is none.
pub fn find(tx: &Tx<'_>, profile: &str, id: &str) -> Result<Account> {
    named(tx, Some(profile), id)
}

/// As [`find`]; in whatever profile, if none is given.
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

/// The account of this id, in whatever profile.
///
/// # Errors
/// [`Error::NotFound`] if there is none within the scope.
pub fn see(view: &View<'_>, scope: &AccessScope, id: &str) -> Result<Account> {
    find_in(view.conn, scope, id)
}

pub(super) fn find_in(conn: &Connection, scope: &AccessScope, id: &str) -> Result<Account> {
    conn.prepare_cached(
        "SELECT * FROM account WHERE id = ?1 AND profile != '' AND (?2 IS NULL OR profile = ?2) AND (?3 IS NULL OR key = ?3)",
    )?
    .query_row((id, &scope.profile, scope.account), read)
    .optional()?
    .ok_or_else(|| missing(id))
}

/// One page of accounts, in the order they were made, after the one of this id.
///
/// # Errors
/// [`Error::Invalid`] if there is none of this id within the scope.
pub fn page(view: &View<'_>, scope: &AccessScope, after: Option<&str>, limit: usize) -> Result<Vec<Account>> {
    let after = after.map_or(Ok(0), |id| find_in(view.conn, scope, id).map(|account| account.key));
    let after = after.map_err(Error::of_cursor)?;
    let mut rows = view.conn.prepare_cached(
        "SELECT * FROM account WHERE key > ?1 AND profile != '' AND (?2 IS NULL OR profile = ?2) AND (?3 IS NULL OR key = ?3)
         ORDER BY key LIMIT ?4",
    )?;
    let rows = rows.query_map((after, &scope.profile, scope.account, limit), read)?;
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
        created_at: convert::moment(row, "created_at")?,
    })
}
