//! Accounts: make, list, get.

use super::{Access, App, Manages, Operator, Page, PageRequest};
use crate::{
    domain::{
        account::{self, Account},
        profile::Profiles,
    },
    error::Result,
    store::{Tx, accounts},
};

/// A checked account: its id and address are well-formed, and its profile exists.
#[derive(Debug)]
pub struct NewAccount {
    id: String,
    profile: &'static str,
    alert_email: Option<String>,
}

impl NewAccount {
    /// Checks an account before it is made, at a door or on the command line.
    ///
    /// # Errors
    /// [`Invalid`](crate::error::Error::Invalid) for an id or an address that is not well-formed, or an unknown
    /// profile.
    pub fn new(profiles: &Profiles, id: String, profile: &str, alert_email: Option<String>) -> Result<Self> {
        account::check_id(&id)?;
        alert_email.as_deref().map(account::check_email).transpose()?;
        Ok(Self { id, profile: profiles.named(profile)?.name, alert_email })
    }

    /// Makes the account.
    ///
    /// # Errors
    /// [`Conflict`](crate::error::Error::Conflict) if there is an account of this id, in any profile.
    pub fn create(&self, tx: &Tx<'_>) -> Result<Account> {
        accounts::create(tx, self.profile, &self.id, self.alert_email.as_deref())
    }
}

impl App {
    /// Makes an account.
    ///
    /// # Errors
    /// As [`NewAccount::create`].
    pub async fn create_account(&self, access: &Access<Operator>, new: NewAccount) -> Result<Account> {
        self.write(access, move |tx, _| new.create(tx)).await
    }

    /// A page of accounts, in the order they were made.
    pub async fn accounts(&self, access: &Access<impl Manages>, page: PageRequest) -> Result<Page<Account>> {
        let (size, after) = (self.page_size(&page)?, page.after(|id| Some(id.to_owned()))?);
        let found =
            self.read(access, move |view, scope| accounts::page(view, scope, after.as_deref(), size + 1)).await?;
        Ok(Page::cut(found, size, |account| account.id.clone()))
    }

    /// One account.
    pub async fn account(&self, access: &Access<impl Manages>, id: &str) -> Result<Account> {
        let id = id.to_owned();
        self.read(access, move |view, scope| accounts::see(view, scope, &id)).await
    }
}
