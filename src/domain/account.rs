//! Accounts: the tenants of a profile.

use crate::{
    domain::timestamp::Timestamp,
    error::{Error, Result},
};

/// Longest account id, in characters.
const MAX_ID: usize = 100;
/// Longest parts of an e-mail address, in bytes: its name, its host, and a label of that.
const MAX_NAME: usize = 64;
const MAX_HOST: usize = 253;
const MAX_LABEL: usize = 63;

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

/// Checks an alert address: a name and a host as RFC 5321 has them, in ASCII, without quotes; the host may have a single label.
///
/// # Errors
/// Any other text.
pub fn check_email(address: &str) -> Result<()> {
    let is_name = |name: &str| {
        let atom = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c);
        name.len() <= MAX_NAME && name.split('.').all(|part| !part.is_empty() && part.chars().all(atom))
    };
    let is_label = |label: &str| {
        let inside = |c: char| c.is_ascii_alphanumeric() || c == '-';
        (1..=MAX_LABEL).contains(&label.len())
            && label.chars().all(inside)
            && !(label.starts_with('-') || label.ends_with('-'))
    };
    let is_host = |host: &str| host.len() <= MAX_HOST && host.split('.').all(is_label);
    if address.split_once('@').is_some_and(|(name, host)| is_name(name) && is_host(host)) {
        return Ok(());
    }
    Err(Error::request(format!("'{address}' is no e-mail address that mail can be sent to: expected name@host")))
}
