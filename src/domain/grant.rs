//! Grants: the right by which a request acts. A request gets its grant when its head has come. The store checks the
//! grant again in every write and after every read.

use crate::{
    config::command_for_all,
    domain::{
        account::AccountKey,
        ids::TokenId,
        scope::{Scope, Scopes},
        timestamp::Timestamp,
    },
    error::{Error, Result},
};

/// The right by which a request acts: its token, its session if it has one, the account, and the scope that it needs.
/// Only a [`Caller`](crate::domain::token::Caller) gives grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    pub(super) token: TokenId,
    pub(super) session: Option<[u8; 32]>,
    pub(super) account: Option<AccountKey>,
    pub(super) newest_account: AccountKey,
    pub(super) scope: Option<Scope>,
}

impl Grant {
    /// The token.
    pub fn token(&self) -> TokenId {
        self.token
    }

    /// The SHA-256 of the session's key, if the request has a session.
    pub fn session(&self) -> Option<[u8; 32]> {
        self.session
    }

    /// The account that the token belongs to, if it belongs to one.
    pub fn account(&self) -> Option<AccountKey> {
        self.account
    }

    /// The newest account when the request began. Names mean no newer account: an account that was erased and made
    /// again under its name is another one.
    pub fn newest_account(&self) -> AccountKey {
        self.newest_account
    }

    /// Checks the scopes that the token has now.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if the scope that the request needs is not among them.
    pub fn check_scopes(&self, scopes: &Scopes) -> Result<()> {
        self.scope.map_or(Ok(()), |scope| scopes.need(scope))
    }

    /// The error for a request whose token expired at this moment.
    pub fn expired(&self, at: Timestamp) -> Error {
        Error::Unauthorized(match self.session {
            Some(_) => {
                format!("the token of your session expired at {at}, before this was done: sign in with another one")
            }
            None => expired(at),
        })
    }

    /// The error for a request whose token or session is gone.
    pub fn ended(&self) -> Error {
        Error::Unauthorized(match self.session {
            Some(_) => "your session ended before this was done: sign in again, then see what was done".to_owned(),
            None => {
                let make = command_for_all("token create");
                format!("this token was revoked before the request was done: make a new one by '{make}'")
            }
        })
    }
}

/// The sentence for a token that expired at this moment.
pub fn expired(at: Timestamp) -> String {
    format!("this token expired at {at}: make a new one by '{}'", command_for_all("token create"))
}
