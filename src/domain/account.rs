//! Accounts: for AsiliChain a cooperative, for ASG Gateway a customer.

use email_address::{EmailAddress, Options};

use crate::{
    domain::{excerpt::excerpt, timestamp::Timestamp},
    error::{Error, Result},
};

const MAX_ID: usize = 100;
/// Longest host of an e-mail address, in bytes.
const MAX_HOST: usize = 253;

/// The key of an account's row.
pub type AccountKey = i64;

/// An account. Ids are unique over all profiles.
#[derive(Debug, Clone)]
pub struct Account {
    /// The key of its row.
    pub key: AccountKey,
    /// The public id, such as `COOP-MBALE-001`.
    pub id: String,
    /// The name of its profile.
    pub profile: String,
    /// The e-mail address of its alerts.
    pub alert_email: Option<String>,
    /// Where notices about its webhooks are POSTed.
    pub alerts_url: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Checks the id of a new account: 1 to 100 letters, digits, `-`, `_`, `.` or `:`, of which the first is a letter or a
/// digit. A path leads nowhere with `.` or `..` in it, and a command takes `-x` for an option.
///
/// # Errors
/// Any other text.
pub fn check_id(id: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    if id.len() <= MAX_ID && id.starts_with(|c: char| c.is_ascii_alphanumeric()) && id.chars().all(allowed) {
        return Ok(());
    }
    let id = excerpt(id);
    Err(Error::request(format!(
        "account id '{id}' is not 1 to {MAX_ID} letters, digits or any of - _ . : that begin with a letter or a digit"
    )))
}

/// Checks an alert address: a name and a host as RFC 5321 has them, in ASCII, without quotes; the host may have a
/// single label.
///
/// # Errors
/// Any other text.
pub fn check_email(address: &str) -> Result<()> {
    let options = Options::default().without_display_text().without_domain_literal();
    let is_address = EmailAddress::parse_with_options(address, options).is_ok();
    // That takes quoted names too, names and hosts beyond ASCII, and hosts that no DNS can hold.
    let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    let is_plain = address.rsplit_once('@').is_some_and(|(name, host)| {
        name.is_ascii() && !name.contains('"') && host.len() <= MAX_HOST && host.chars().all(is_host)
    });
    if is_address && is_plain {
        return Ok(());
    }
    let address = excerpt(address);
    Err(Error::request(format!("'{address}' is no e-mail address that mail can be sent to: expected name@host")))
}
