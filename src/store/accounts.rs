//! Accounts.

use rusqlite::{OptionalExtension, Row};

use super::{Tx, View, convert};
use crate::{
    domain::account::Account,
    error::{Conflict, Error, Missing, Result},
};

/// Makes an account.
///
/// # Errors
/// [`Error::Conflict`] if the id is taken, in whatever profile.
pub fn create(tx: &Tx<'_>, profile: &str, id: &str, alert_email: Option<&str>) -> Result<()> {
    let made = tx
        .conn
        .prepare_cached(
            "INSERT INTO account (id, profile, alert_email, created_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )?
        .execute((id, profile, alert_email, tx.now.millis()))?;
    if made == 0 {
        return Err(Error::conflict(Conflict::Exists, format!("there is an account '{id}' already")));
    }
    Ok(())
}

/// The account of this id, in this profile.
///
/// # Errors
/// [`Error::NotFound`] if there is none.
pub fn find(tx: &Tx<'_>, profile: &str, id: &str) -> Result<Account> {
    tx.conn
        .prepare_cached("SELECT * FROM account WHERE id = ? AND profile = ?")?
        .query_row((id, profile), read)
        .optional()?
        .ok_or(Error::NotFound(Missing::Account))
}

/// Every account that was not erased, in the order they were made.
///
/// # Errors
/// Faults of the database only.
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
