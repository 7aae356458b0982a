//! Accounts, tokens, sign-in links, and the audit.

use poem_openapi::Object;
use serde::{Deserialize, Serialize};

use crate::{
    api::openapi::{SecretText, wire_enum},
    app::{Page, tokens::TokenRecord},
    domain::{
        account, audit::Entry, endpoint::masked, ids::EndpointId, profile::Profiles, signature::SigningSecret,
        token::Scope,
    },
};

/// An account to make.
#[derive(Debug, Deserialize, Object)]
pub(crate) struct AccountInput {
    /// Its id, unique over all profiles: 1 to 100 letters, digits or any of `-` `_` `.` `:`, of which the
    /// first is a letter or a digit.
    pub(crate) account_id: String,
    /// The profile, which names the API that the account uses.
    pub(crate) profile: String,
    /// The e-mail address for its alerts.
    pub(crate) alert_email: Option<String>,
}

/// An account.
#[derive(Debug, Serialize, Object)]
pub(crate) struct Account {
    /// Its id.
    account_id: String,
    /// The profile, which names the API that the account uses.
    profile: String,
    /// The e-mail address for its alerts; null if there is none.
    alert_email: Option<String>,
    /// Where notices about its webhooks are POSTed, with at most 12 characters of its path and no query; null for nowhere.
    alerts_url: Option<String>,
    /// When it was made: RFC 3339, UTC.
    created_at: String,
}

impl From<&account::Account> for Account {
    fn from(account: &account::Account) -> Self {
        Self {
            account_id: account.id.clone(),
            profile: account.profile.clone(),
            alert_email: account.alert_email.clone(),
            alerts_url: account.alerts_url.as_deref().map(masked),
            created_at: account.created_at.to_string(),
        }
    }
}

/// Changes to an account; a member that is left out stays.
#[derive(Debug, Deserialize, Object)]
pub(crate) struct AccountUpdate {
    /// The e-mail address for its alerts; an empty text removes it.
    pub(crate) alert_email: Option<String>,
    /// Where notices about its webhooks are POSTed; an empty text stops them. Every new place has a new secret.
    pub(crate) alerts_url: Option<String>,
}

/// An account that was changed.
#[derive(Serialize, Object)]
pub(crate) struct ChangedAccount {
    /// Its id.
    account_id: String,
    /// The profile, which names the API that the account uses.
    profile: String,
    /// The e-mail address for its alerts; null if there is none.
    alert_email: Option<String>,
    /// Where notices about its webhooks are POSTed, with at most 12 characters of its path and no query; null for nowhere.
    alerts_url: Option<String>,
    /// The secret that signs its notices. Only in the answer to a change that named an `alerts_url`; it is never shown again.
    #[serde(skip_serializing_if = "Option::is_none")]
    alerts_secret: Option<SecretText>,
    /// When it was made: RFC 3339, UTC.
    created_at: String,
}

impl ChangedAccount {
    /// The account after the change, with its new secret.
    pub(crate) fn new(account: &account::Account, secret: Option<&SigningSecret>) -> Self {
        let Account { account_id, profile, alert_email, alerts_url, created_at } = Account::from(account);
        let alerts_secret = secret.map(SecretText::from);
        Self { account_id, profile, alert_email, alerts_url, alerts_secret, created_at }
    }
}

/// One page of accounts, in the order in which they were made.
#[derive(Debug, Serialize, Object)]
pub(crate) struct AccountPage {
    /// The accounts.
    pub(crate) accounts: Vec<Account>,
    /// The `cursor` of the next page; null on the last page.
    pub(crate) next_cursor: Option<String>,
}

impl From<Page<account::Account>> for AccountPage {
    fn from(page: Page<account::Account>) -> Self {
        Self { accounts: page.items.iter().map(Account::from).collect(), next_cursor: page.next }
    }
}

wire_enum! {
    /// A scope of a token.
    TokenScope ("lowercase") of Scope {
        /// Manage webhooks, read and replay deliveries.
        Webhooks => Webhooks,
        /// Publish events, read events and tasks.
        Events => Events,
        /// Everything, in every account.
        Operator => Operator,
    }
}

/// A token to make: for an account, a platform or an operator.
#[derive(Debug, Deserialize, Object)]
pub(crate) struct TokenInput {
    /// The account that it belongs to.
    pub(crate) account_id: Option<String>,
    /// The profile of the platform that it belongs to. It reaches all accounts of the profile.
    pub(crate) profile: Option<String>,
    /// Its scopes.
    pub(crate) scopes: Vec<TokenScope>,
    /// A label for your lists: at most 200 bytes.
    pub(crate) label: Option<String>,
    /// After how many seconds it expires: 60 to 315,360,000 (3,650 days). Default: it does not expire.
    pub(crate) expires_in: Option<u64>,
}

/// A new token.
#[derive(Serialize, Object)]
#[oai(rename = "CreatedToken")]
pub(crate) struct MadeToken {
    /// Its id, which is not secret.
    pub(crate) token_id: String,
    /// The token itself. It is never shown again.
    pub(crate) token: SecretText,
    /// When it expires: RFC 3339, UTC; null for never.
    pub(crate) expires_at: Option<String>,
}

/// A token in a list.
#[derive(Debug, Serialize, Object)]
pub(crate) struct Token {
    /// Its id, which is not secret.
    token_id: String,
    /// The account that it belongs to; null for a token of a platform or an operator.
    account_id: Option<String>,
    /// The profile that it belongs to; null for a token of an operator.
    profile: Option<String>,
    /// Its scopes.
    scopes: Vec<String>,
    /// Its label.
    label: Option<String>,
    /// When it was made: RFC 3339, UTC.
    created_at: String,
    /// When it was last used, to the minute; null for never.
    last_used_at: Option<String>,
    /// When it expires, or has expired; null for never.
    expires_at: Option<String>,
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
            expires_at: token.expires_at.map(|at| at.to_string()),
        }
    }
}

/// One page of tokens, in the order in which they were made.
#[derive(Debug, Serialize, Object)]
pub(crate) struct TokenPage {
    /// The tokens.
    pub(crate) tokens: Vec<Token>,
    /// The `cursor` of the next page; null on the last page.
    pub(crate) next_cursor: Option<String>,
}

impl From<Page<TokenRecord>> for TokenPage {
    fn from(page: Page<TokenRecord>) -> Self {
        Self { tokens: page.items.iter().map(Token::from).collect(), next_cursor: page.next }
    }
}

/// A sign-in link to make.
#[derive(Debug, Deserialize, Object)]
pub(crate) struct SignInLinkInput {
    /// The id of the account whose dashboard it opens.
    pub(crate) account: String,
    /// How long it can be opened, in seconds: 60 to 86,400. Default: 900.
    pub(crate) expires_in: Option<u64>,
}

/// A new sign-in link.
#[derive(Serialize, Object)]
pub(crate) struct SignInLink {
    /// The id of the account whose dashboard it opens.
    pub(crate) account: String,
    /// The link. It is never shown again, and opens once.
    pub(crate) url: SecretText,
    /// When its time is over: RFC 3339, UTC.
    pub(crate) expires_at: String,
}

/// A change: who made it, and when.
#[derive(Debug, Serialize, Object)]
pub(crate) struct AuditEntry {
    /// When it was made: RFC 3339, UTC.
    at: String,
    /// Who made it: a token's id, `command line`, or `engine` for the server itself.
    actor: String,
    /// The account in which it was made; null for none.
    account_id: Option<String>,
    /// The action, such as `webhook.suspended`, `token.created` or `recovery.started`.
    action: String,
    /// The id of the changed object; null if it has none.
    subject: Option<String>,
    /// Details, such as the new URL or the reason. Never a secret.
    note: Option<String>,
}

impl AuditEntry {
    fn new(entry: Entry, profiles: &Profiles) -> Self {
        let webhook = entry.action.starts_with("webhook.").then(|| {
            // A webhook's id is shown with its vendor's prefix.
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
    /// The `cursor` of the next page; null on the last page. A page with few entries may not be the last.
    pub(crate) next_cursor: Option<String>,
}

impl AuditPage {
    pub(crate) fn new(page: Page<Entry>, profiles: &Profiles) -> Self {
        let entries = page.items.into_iter().map(|entry| AuditEntry::new(entry, profiles)).collect();
        Self { entries, next_cursor: page.next }
    }
}
