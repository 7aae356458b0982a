//! Bearer tokens: make, list, revoke.

use std::time::Duration;

use super::{Access, App, Operator, Page, PageRequest, id};
use crate::{
    domain::{
        account::Account,
        ids::TokenId,
        profile::Profiles,
        timestamp::Timestamp,
        token::{BearerToken, Scopes, check_label},
    },
    error::{Error, Missing, Result},
    store::{Tx, tokens},
};

pub use crate::store::tokens::{Holder, TokenRecord};

/// The shortest and the longest time of a token that expires.
const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(3650 * 86_400);

/// A checked token: its holder and its scopes belong together.
#[derive(Debug)]
pub struct NewToken {
    holder: Holder,
    scopes: Scopes,
    label: Option<String>,
    lasts: Option<Duration>,
}

/// A new token. It can be seen only now.
pub struct CreatedToken {
    /// Its public id.
    pub id: TokenId,
    /// The token.
    pub token: BearerToken,
    /// When it expires; `None`: never.
    pub expires_at: Option<Timestamp>,
}

impl NewToken {
    /// Checks a token before it is made, at a door or on the command line. It is for an account, for a platform, or,
    /// with the scope `operator` and neither of them, for an operator.
    ///
    /// # Errors
    /// [`Error::Invalid`] if holder and scopes do not belong together, for an unknown profile, or a label that cannot
    /// be taken.
    pub fn new(
        profiles: &Profiles,
        (account, profile): (Option<String>, Option<&str>),
        scopes: Scopes,
        label: Option<String>,
    ) -> Result<Self> {
        let holder = match (account, profile) {
            (None, None) if scopes.is_operator() => Holder::Operator,
            (None, None) => {
                return Err(Error::request(
                    "whose token? Name an account or a profile; only a token with the scope operator needs neither",
                ));
            }
            _ if scopes.is_operator() => {
                let message = "an operator's token reaches every account: leave out account and profile";
                return Err(Error::request(message));
            }
            (Some(_), Some(_)) => return Err(Error::request("name an account or a profile, not both")),
            (Some(account), None) => Holder::Account(account),
            (None, Some(profile)) => Holder::Platform(profiles.named(profile)?.name.to_owned()),
        };
        label.as_deref().map(check_label).transpose()?;
        Ok(Self { holder, scopes, label, lasts: None })
    }

    /// The same token, which expires after this time; `None`: never.
    ///
    /// # Errors
    /// [`Error::Invalid`] for less than a minute or more than 3,650 days.
    pub fn lasting(self, lasts: Option<Duration>) -> Result<Self> {
        if lasts.is_some_and(|lasts| !(SHORTEST..=LONGEST).contains(&lasts)) {
            return Err(Error::request("a token that expires lasts at least 1 minute and at most 3650 days"));
        }
        Ok(Self { lasts, ..self })
    }

    /// Its holder.
    pub fn holder(&self) -> &Holder {
        &self.holder
    }

    /// Its scopes.
    pub fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    /// Makes the token. It can be seen only now.
    ///
    /// # Errors
    /// [`Error::NotFound`] if it is for an unknown account.
    pub fn create(&self, tx: &Tx<'_>) -> Result<CreatedToken> {
        let made = tokens::create(tx, &self.holder, &self.scopes, self.label.as_deref())?;
        self.limited(tx, made)
    }

    /// Makes the token for this account, which the same transaction made.
    pub(super) fn create_in(&self, tx: &Tx<'_>, account: &Account) -> Result<CreatedToken> {
        let made = tokens::create_in(tx, account, &self.scopes, self.label.as_deref())?;
        self.limited(tx, made)
    }

    fn limited(&self, tx: &Tx<'_>, (id, token): (TokenId, BearerToken)) -> Result<CreatedToken> {
        let expires_at = self.lasts.map(|lasts| tokens::expire_after(tx, id, lasts)).transpose()?;
        Ok(CreatedToken { id, token, expires_at })
    }
}

impl App {
    /// Makes a token. It can be seen only now.
    ///
    /// # Errors
    /// As [`NewToken::create`].
    pub async fn create_token(&self, access: &Access<Operator>, new: NewToken) -> Result<CreatedToken> {
        self.write(access, move |tx, _| new.create(tx)).await
    }

    /// A page of the tokens that are not revoked, in the order in which they were made. If an account is named, only
    /// its tokens.
    pub async fn tokens(
        &self,
        access: &Access<Operator>,
        account: Option<String>,
        page: PageRequest,
    ) -> Result<Page<TokenRecord>> {
        let (size, after) = (self.page_size(&page)?, page.after(TokenId::parse)?);
        let list =
            self.read(access, move |view, visible| tokens::page(view, visible, account.as_deref(), after, size + 1));
        Ok(Page::cut(list.await?, size, |token| token.id))
    }

    /// Revokes a token: it is refused from now on, also for requests under way.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such token, or it is revoked already.
    pub async fn revoke_token(&self, access: &Access<Operator>, token: &str) -> Result<()> {
        let token = id(TokenId::parse(token), Missing::Token)?;
        self.write(access, move |tx, _| tokens::revoke(tx, token)).await
    }
}
