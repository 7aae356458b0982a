//! The audit: who changed what, and when.

use std::fmt;

use crate::domain::{grant::Grant, timestamp::Timestamp};

/// The actor of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// A request, with this grant.
    Request(Grant),
    /// A user with a shell on the machine.
    CommandLine,
    /// The server by itself.
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
        /// A kind of change.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Action { $($(#[$doc])* $name,)* }

        impl Action {
            /// Every action.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// As it is stored and shown: the kind of the subject, and the change.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Whether its entries may be removed when there are many: accounts may do this as often as they like.
            pub fn passes(self) -> bool {
                ["webhook.", "delivery.", "recovery.", "session.", "sign_in_link."].iter().any(|subject| self.name().starts_with(subject))
            }
        }
    };
}

actions! {
    /// An account was made.
    AccountCreated = "account.created";
    /// Its alert e-mail was changed or removed.
    AccountChanged = "account.changed";
    /// An account was erased; the entry names its number.
    AccountErased = "account.erased";
    /// A token was made.
    TokenCreated = "token.created";
    /// A token was revoked.
    TokenRevoked = "token.revoked";
    /// A session of the dashboard began with a token.
    SessionBegun = "session.begun";
    /// A session of an account was ended by somebody else.
    SessionEnded = "session.ended";
    /// A link was made that opens the dashboard of an account once.
    LinkMade = "sign_in_link.created";
    /// The link was opened: a session began.
    LinkOpened = "sign_in_link.opened";
    /// A webhook was registered.
    WebhookCreated = "webhook.created";
    /// Its URL or its events were changed.
    WebhookChanged = "webhook.changed";
    /// Its signing secret was changed.
    SecretChanged = "webhook.secret_changed";
    /// It was suspended, by a person or by the engine.
    WebhookSuspended = "webhook.suspended";
    /// It was resumed.
    WebhookResumed = "webhook.resumed";
    /// It was deleted.
    WebhookDeleted = "webhook.deleted";
    /// A test delivery to it was requested.
    WebhookTested = "webhook.tested";
    /// Its held deliveries were cancelled.
    HeldDropped = "webhook.held_dropped";
    /// Its held deliveries were cancelled because they were too old.
    HeldCancelled = "webhook.held_cancelled";
    /// A delivery was replayed.
    DeliveryReplayed = "delivery.replayed";
    /// A delivery was cancelled.
    DeliveryCancelled = "delivery.cancelled";
    /// A recovery was started.
    RecoveryStarted = "recovery.started";
    /// A recovery was cancelled.
    RecoveryCancelled = "recovery.cancelled";
    /// A test mail was requested.
    MailTested = "mail.tested";
    /// A test of a channel of alerts was requested.
    ChannelTested = "channel.tested";
    /// A backup was requested at the dashboard; the entry names the file.
    BackedUp = "database.backed_up";
    /// A backup took the place of the database; the entry names the file.
    Restored = "database.restored";
    /// A backup, or its key, was downloaded at the dashboard; the entry names the file.
    BackupTaken = "database.backup_taken";
    /// The key file was created, or first noted; the entry names the key by its mark.
    KeyMade = "key.made";
    /// The signing secrets got a new key; the entry names it by its mark.
    KeyRotated = "key.rotated";
}

/// The key of an entry's row.
pub type EntryKey = i64;

/// One change, in a list.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key of its row.
    pub key: EntryKey,
    /// When.
    pub at: Timestamp,
    /// Who, as [`Actor`] prints it.
    pub actor: String,
    /// The label of the token that did it, if a token did it and has one.
    pub label: Option<String>,
    /// The profile in which it was made, if any.
    pub profile: Option<String>,
    /// The account in which it was made, if any.
    pub account_id: Option<String>,
    /// What, as [`Action::name`] says it.
    pub action: String,
    /// The id of the changed object; a webhook's without its prefix.
    pub subject: Option<String>,
    /// Details; never a secret.
    pub note: Option<String>,
}
