//! Accounts: the tenants of a profile.

use crate::{
    domain::timestamp::Timestamp,
    error::{Error, Result},
};

/// Longest account id, in characters.
const MAX_ID: usize = 100;

/// The key of an account's row.
pub type AccountKey = i64;

/// A tenant: for AsiliChain a cooperative, for ASG a customer. Ids are unique over all profiles.
#[derive(Debug, Clone)]
pub struct Account {
    /// The key of its row.
    pub key: AccountKey,
    /// The public id, such as `COOP-MBALE-001`.
    pub id: String,
    /// The name of its profile.
    pub profile: String,
    /// Where its alerts go.
    pub alert_email: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Checks an account id: 1 to 100 letters, digits, `-`, `_`, `.` or `:`.
///
/// # Errors
/// Any other text.
pub fn check_id(id: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    if (1..=MAX_ID).contains(&id.len()) && id.chars().all(allowed) {
        return Ok(());
    }
    Err(Error::request(format!("account id '{id}' is not 1 to {MAX_ID} letters, digits or any of - _ . :")))
}

/// Checks an alert address: one `@` between a name and a host, no spaces.
///
/// # Errors
/// Any other text.
pub fn check_email(address: &str) -> Result<()> {
    let halves = address.split_once('@');
    let plain = !address.contains(|c: char| c.is_whitespace() || c.is_control());
    if plain && halves.is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains('@')) {
        return Ok(());
    }
    Err(Error::request(format!("'{address}' is no e-mail address: expected name@host")))
}
