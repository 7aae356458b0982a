//! Accounts, tokens, and the audit.

use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};

use crate::{
    api::openapi::{SecretText, stands_for},
    app::{Page, tokens::TokenRecord},
    domain::{account, audit::Entry, ids::EndpointId, profile::Profiles, token::Scope},
};

/// A tenant to be made.
#[derive(Debug, Deserialize, Object)]
pub(crate) struct NewAccount {
    /// Its id, unique over all vendors: 1 to 100 letters, digits or any of `-` `_` `.` `:`.
    pub(crate) account_id: String,
    /// The vendor whose routes it uses.
    pub(crate) profile: String,
    /// Where its alerts go.
    pub(crate) alert_email: Option<String>,
}

/// A tenant of a vendor: a cooperative, a customer.
#[derive(Debug, Serialize, Object)]
pub(crate) struct Account {
    /// Its id.
    account_id: String,
    /// The vendor whose routes it uses.
    profile: String,
    /// Where its alerts go; null for nowhere.
    alert_email: Option<String>,
    /// When it was made, RFC 3339, UTC.
    created_at: String,
}

impl From<&account::Account> for Account {
    fn from(account: &account::Account) -> Self {
        Self {
            account_id: account.id.clone(),
            profile: account.profile.clone(),
            alert_email: account.alert_email.clone(),
            created_at: account.created_at.to_string(),
        }
    }
}

/// One page of accounts, in the order they were made.
#[derive(Debug, Serialize, Object)]
pub(crate) struct AccountPage {
    /// The accounts.
    pub(crate) accounts: Vec<Account>,
    /// Send it as `cursor` to get the next page; null on the last.
    pub(crate) next_cursor: Option<String>,
}

impl From<Page<account::Account>> for AccountPage {
    fn from(page: Page<account::Account>) -> Self {
        Self { accounts: page.items.iter().map(Account::from).collect(), next_cursor: page.next }
    }
}

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub(crate) enum TokenScope {
    /// Manage webhooks, read and replay deliveries.
    Webhooks,
    /// Publish; read events and tasks.
    Events,
    /// Everything, in every account.
    Operator,
}

stands_for!(TokenScope => Scope { Webhooks => Webhooks, Events => Events, Operator => Operator });

/// A token to be made: of an account, of a vendor's platform, or of an operator.
#[derive(Debug, Deserialize, Object)]
pub(crate) struct NewToken {
    /// The account it belongs to.
    pub(crate) account_id: Option<String>,
    /// The vendor whose platform it belongs to: it reaches all of its accounts.
    pub(crate) profile: Option<String>,
    /// What it may do.
    pub(crate) scopes: Vec<TokenScope>,
    /// What you call it: at most 200 bytes.
    pub(crate) label: Option<String>,
}

/// A token that was just made.
#[derive(Serialize, Object)]
#[oai(rename = "CreatedToken")]
pub(crate) struct MadeToken {
    /// Its id, which is no secret.
    pub(crate) token_id: String,
    /// The token itself. It is never shown again.
    pub(crate) token: SecretText,
}

/// A token, as it is listed.
#[derive(Debug, Serialize, Object)]
pub(crate) struct Token {
    /// Its id, which is no secret.
    token_id: String,
    /// The account it belongs to; null for a platform's and an operator's.
    account_id: Option<String>,
    /// The vendor it belongs to; null for an operator's.
    profile: Option<String>,
    /// What it may do.
    scopes: Vec<String>,
    /// What its maker called it.
    label: Option<String>,
    /// When it was made, RFC 3339, UTC.
    created_at: String,
    /// When it was last used, within a minute; null for never.
    last_used_at: Option<String>,
}

impl From<&TokenRecord> for Token {
    fn from(token: &TokenRecord) -> Self {
        Self {
            token_id: token.id.to_string(),
            account_id: token.account.clone(),
            profile: token.profile.clone(),
            scopes: token.scopes.names().into_iter().map(str::to_owned).collect(),
            label: token.label.clone(),
            created_at: token.created_at.to_string(),
            last_used_at: token.last_used_at.map(|at| at.to_string()),
        }
    }
}

/// One page of tokens, in the order they were made.
#[derive(Debug, Serialize, Object)]
pub(crate) struct TokenPage {
    /// The tokens.
    pub(crate) tokens: Vec<Token>,
    /// Send it as `cursor` to get the next page; null on the last.
    pub(crate) next_cursor: Option<String>,
}

impl From<Page<TokenRecord>> for TokenPage {
    fn from(page: Page<TokenRecord>) -> Self {
        Self { tokens: page.items.iter().map(Token::from).collect(), next_cursor: page.next }
    }
}

/// A change: who made it, and when.
#[derive(Debug, Serialize, Object)]
pub(crate) struct AuditEntry {
    /// When, RFC 3339, UTC.
    at: String,
    /// Who: a token's id, `command line`, or `engine` for the server itself.
    actor: String,
    /// In which account; null if in none.
    account_id: Option<String>,
    /// What: such as `webhook.suspended`, `token.created` or `retry.started`.
    action: String,
    /// The id of what was changed; null where there is none.
    subject: Option<String>,
    /// What of it: the new URL, the reason. Never a secret.
    note: Option<String>,
}

impl AuditEntry {
    fn new(entry: Entry, profiles: &Profiles) -> Self {
        let webhook = entry.action.starts_with("webhook.").then(|| {
            // Its id has its vendor's prefix.
            let id = EndpointId::parse(entry.subject.as_deref()?)?;
            Some(profiles.on_wire(entry.profile.as_deref()?, id))
        });
        let subject = webhook.flatten().or(entry.subject);
        Self {
            at: entry.at.precise(),
            actor: entry.actor,
            account_id: entry.account_id,
            action: entry.action,
            subject,
            note: entry.note,
        }
    }
}

/// One page of changes, newest first.
#[derive(Debug, Serialize, Object)]
pub(crate) struct AuditPage {
    /// The changes.
    pub(crate) entries: Vec<AuditEntry>,
    /// Send it as `cursor` to get the next page; null on the last. A page that is not full need not be the last.
    pub(crate) next_cursor: Option<String>,
}

impl AuditPage {
    pub(crate) fn new(page: Page<Entry>, profiles: &Profiles) -> Self {
        let entries = page.items.into_iter().map(|entry| AuditEntry::new(entry, profiles)).collect();
        Self { entries, next_cursor: page.next }
    }
}
