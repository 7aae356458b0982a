//! The audit: who changed what, and when.

use std::fmt;

use crate::domain::{grant::Grant, timestamp::Timestamp};

/// Who changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// A request, by this right.
    Request(Grant),
    /// Whoever has a shell on the machine.
    CommandLine,
    /// The server, unasked.
    Engine,
}

/// As it is stored and shown: `tok_...`, `command line`, `engine`.
impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(grant) => grant.token().fmt(f),
            Self::CommandLine => f.write_str("command line"),
            Self::Engine => f.write_str("engine"),
        }
    }
}

impl From<Grant> for Actor {
    fn from(grant: Grant) -> Self {
        Self::Request(grant)
    }
}

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// What is changed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Action { $($(#[$doc])* $name,)* }

        impl Action {
            /// Every action.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// As it is stored and shown: the kind of the subject, and what became of it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Whether its entries pass when there are many: it is what an account may do as often as it likes.
            pub fn passes(self) -> bool {
                ["webhook.", "delivery.", "retry.", "session."].iter().any(|subject| self.name().starts_with(subject))
            }
        }
    };
}

actions! {
    /// An account was made.
    AccountCreated = "account.created";
    /// It has another alert e-mail, or none any more.
    AccountChanged = "account.changed";
    /// An account was erased; the entry names its number.
    AccountErased = "account.erased";
    /// A token was made.
    TokenCreated = "token.created";
    /// A token was revoked.
    TokenRevoked = "token.revoked";
    /// A token was shown to the dashboard, where a session began.
    SessionBegun = "session.begun";
    /// A webhook was registered.
    WebhookCreated = "webhook.created";
    /// Its URL or its events were changed.
    WebhookChanged = "webhook.changed";
    /// It has a new signing secret.
    SecretChanged = "webhook.secret_changed";
    /// It was suspended, by a person or by the engine.
    WebhookSuspended = "webhook.suspended";
    /// It was resumed.
    WebhookResumed = "webhook.resumed";
    /// It was deleted.
    WebhookDeleted = "webhook.deleted";
    /// A test delivery to it was asked for.
    WebhookTested = "webhook.tested";
    /// What was held for it was cancelled.
    HeldDropped = "webhook.held_dropped";
    /// What was held for it for too long was cancelled.
    HeldCancelled = "webhook.held_cancelled";
    /// A delivery was replayed.
    DeliveryReplayed = "delivery.replayed";
    /// A delivery was cancelled.
    DeliveryCancelled = "delivery.cancelled";
    /// A run that retries many deliveries was started.
    RetryStarted = "retry.started";
    /// Such a run was cancelled.
    RetryCancelled = "retry.cancelled";
    /// A test mail was asked for.
    MailTested = "mail.tested";
    /// A backup was asked for at the dashboard; the entry names the file.
    BackedUp = "database.backed_up";
    /// The key file was made, or first noted; the entry names the key by its mark.
    KeyMade = "key.made";
    /// The signing secrets have a new key; the entry names it by its mark.
    KeyRotated = "key.rotated";
}

/// The key of an entry's row.
pub type EntryKey = i64;

/// One change, as it is listed.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key of its row.
    pub key: EntryKey,
    /// When.
    pub at: Timestamp,
    /// Who, as [`Actor`] prints it.
    pub actor: String,
    /// What the token is called that did it, if one did and it has a name.
    pub label: Option<String>,
    /// The profile it was made in, if it was in one.
    pub profile: Option<String>,
    /// The account it was made in, if it was in one.
    pub account_id: Option<String>,
    /// What, as [`Action::name`] says it.
    pub action: String,
    /// The id of what was changed; a webhook's without its prefix.
    pub subject: Option<String>,
    /// What of it; never a secret.
    pub note: Option<String>,
}
